// SPDX-License-Identifier: GPL-2.0
//! Gives the counter's windows the names that the guest's report has for them.
//!
//! The n-th window of the one is the n-th of the other; anything else wrong with either makes all of them worthless,
//! since a single lost window would shift the names of all that follow.

use std::collections::BTreeMap;

use anyhow::{ensure, Context, Result};
use bench_record::counts::{self, Counts, Vcpu};
use bench_record::report::{self, Report, Subject, Why};
use bench_record::results::{Figures, Kind, Row, Times};

use crate::attribution::Attribution;

/// Name of the machine in results of a real one.
pub(crate) const REAL: &str = "real";

/// What became of the windows of one machine.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    /// The rows in the order of the report.
    pub(crate) rows: Vec<Row>,
    /// Where the kernel instructions went, if the counter was asked to look.
    pub(crate) attributions: Vec<Attribution>,
}

/// Joins what the guest and the counter of one machine wrote.
pub(crate) fn join(machine: &str, report: &Report, counts: &Counts) -> Result<Joined> {
    ensure!(
        report.schema == report::SCHEMA,
        "the guest's report has schema {} where this program wants {}",
        report.schema,
        report::SCHEMA
    );
    ensure!(
        report.kind == Kind::Counted,
        "the guest took times where counts were meant"
    );
    ensure!(
        counts.errors.is_empty(),
        "the counter gave up its windows: {}",
        counts.errors.join("; ")
    );
    ensure!(
        report.windows.len() == counts.windows.len(),
        "the guest reports {} windows, the counter saw {}",
        report.windows.len(),
        counts.windows.len()
    );
    let mut joined = Joined::default();
    for (index, (named, counted)) in report.windows.iter().zip(&counts.windows).enumerate() {
        let what = || format!("window {index}, {}", crate::store::key_text(&named.key));
        check_subjects(named, counted).with_context(what)?;
        for subject in &named.subjects {
            let figures = figures(named, subject, counted);
            joined
                .attributions
                .extend(attribution(machine, named, subject, counted));
            joined.rows.push(Row {
                machine: machine.to_owned(),
                key: named.key.clone(),
                place: subject.place,
                figures: Ok(figures),
                spread: None,
            });
        }
    }
    joined.rows.extend(missing(machine, report));
    Ok(joined)
}

/// Makes rows of a report from a real machine, which has times in place of counts.
pub(crate) fn timed(report: &Report) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for window in report.windows.iter().filter(|w| !w.subjects.is_empty()) {
        let what = || crate::store::key_text(&window.key);
        let times = times(&window.times_ns).with_context(|| format!("{}: no times", what()))?;
        let [subject] = window.subjects.as_slice() else {
            anyhow::bail!("{}: times of several places at once belong to none", what());
        };
        let (user, kernel) = window.instructions.unwrap_or_default();
        rows.push(Row {
            machine: REAL.to_owned(),
            key: window.key.clone(),
            place: subject.place,
            figures: Ok(Figures {
                iterations: window.iterations,
                user,
                kernel,
                usage: subject.usage,
                times: Some(times),
                ..Figures::default()
            }),
            spread: None,
        });
    }
    rows.extend(missing(REAL, report));
    Ok(rows)
}

/// Every subject must have CPUs of this machine, and no CPU may count for two; a void window has no subjects.
fn check_subjects(named: &report::Window, counted: &counts::Window) -> Result<()> {
    ensure!(named.iterations > 0, "no iterations");
    let mut seen = std::collections::BTreeSet::new();
    for subject in &named.subjects {
        ensure!(
            !subject.cpus.is_empty(),
            "{} have no CPUs",
            subject.place.label()
        );
        for &cpu in &subject.cpus {
            let exists = usize::try_from(cpu).is_ok_and(|cpu| cpu < counted.vcpus.len());
            ensure!(exists, "CPU {cpu} of {}", counted.vcpus.len());
            ensure!(seen.insert(cpu), "CPU {cpu} counts for two places");
        }
    }
    Ok(())
}

/// The vCPUs of a window that are among, or not among, some CPUs.
fn select<'a>(
    counted: &'a counts::Window,
    is_wanted: impl Fn(u32) -> bool + 'a,
) -> impl Iterator<Item = &'a Vcpu> {
    let numbers = 0_u32..;
    let all = numbers.zip(&counted.vcpus);
    all.filter(move |(cpu, _)| is_wanted(*cpu))
        .map(|(_, vcpu)| vcpu)
}

/// Adds up what the CPUs of a subject did.
fn figures(named: &report::Window, subject: &Subject, counted: &counts::Window) -> Figures {
    let mut sum = Figures {
        iterations: named.iterations,
        usage: subject.usage,
        times: times(&named.times_ns),
        ..Figures::default()
    };
    for vcpu in select(counted, |cpu| subject.cpus.contains(&cpu)) {
        sum.user += vcpu.user;
        sum.kernel += vcpu.kernel;
        sum.entries += vcpu.entries;
        sum.longest = sum.longest.max(vcpu.longest);
        if sum.stays.len() < vcpu.stays.len() {
            sum.stays.resize(vcpu.stays.len(), 0);
        }
        for (total, stays) in sum.stays.iter_mut().zip(&vcpu.stays) {
            *total += stays;
        }
        add(&mut sum.causes, &vcpu.causes);
    }
    let is_of_no_place = |cpu| !(named.subjects.iter()).any(|subject| subject.cpus.contains(&cpu));
    sum.kernel_elsewhere = select(counted, is_of_no_place)
        .map(|vcpu| vcpu.kernel)
        .sum();
    sum
}

/// Adds one map of counts to another.
fn add(sum: &mut BTreeMap<String, u64>, counts: &BTreeMap<String, u64>) {
    for (name, count) in counts {
        *sum.entry(name.clone()).or_default() += count;
    }
}

/// What the kernel instructions of a subject were spent on, if that was counted.
fn attribution(
    machine: &str,
    named: &report::Window,
    subject: &Subject,
    counted: &counts::Window,
) -> Option<Attribution> {
    let mut functions = BTreeMap::new();
    for vcpu in select(counted, |cpu| subject.cpus.contains(&cpu)) {
        add(&mut functions, &vcpu.functions);
    }
    let mut stacks = BTreeMap::new();
    for (stack, count) in &counted.stacks {
        let (cpu, frames) = stack.split_once(';')?;
        if subject.cpus.contains(&cpu.parse().ok()?) {
            *stacks.entry(frames.to_owned()).or_default() += count;
        }
    }
    let is_empty = functions.is_empty() && stacks.is_empty();
    (!is_empty).then(|| Attribution {
        machine: machine.to_owned(),
        key: named.key.clone(),
        place: subject.place,
        functions,
        stacks,
    })
}

/// Rows of what was to be measured and was not: one for each place of the report that it concerns.
fn missing(machine: &str, report: &Report) -> Vec<Row> {
    let mut rows = Vec::new();
    for missing in &report.missing {
        let sites = report.sites.iter().map(|site| site.place);
        for place in sites.filter(|&place| missing.place.is_none_or(|only| only == place)) {
            rows.push(Row {
                machine: machine.to_owned(),
                key: missing.key.clone(),
                place,
                figures: Err(missing.why.clone()),
                spread: None,
            });
        }
    }
    rows
}

/// Whether a row tells of something that went wrong.
pub(crate) fn failure(row: &Row) -> Option<&str> {
    match &row.figures {
        Err(Why::Failed(reason)) => Some(reason),
        _ => None,
    }
}

/// Sums up times; nothing for none.
fn times(times_ns: &[u64]) -> Option<Times> {
    let mut sorted = times_ns.to_vec();
    sorted.sort_unstable();
    // The smallest time that this many thousandths of all times do not exceed.
    let quantile = |thousandths: usize| {
        let rank = (sorted.len() * thousandths).div_ceil(1000).max(1);
        sorted.get(rank - 1).copied()
    };
    Some(Times {
        nr: u64::try_from(sorted.len()).ok()?,
        min_ns: *sorted.first()?,
        median_ns: quantile(500)?,
        p999_ns: quantile(999)?,
        max_ns: *sorted.last()?,
        spread_ns: quantile(750)? - quantile(250)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use bench_record::Place;

    #[test]
    fn counts_of_a_place_are_those_of_its_cpus() {
        let (report, counts) = (sample::report(), sample::counts());
        let joined = join("micro", &report, &counts).unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&joined.rows).unwrap());
    }

    #[test]
    fn stacks_and_functions_are_those_of_the_places_cpus() {
        let (report, mut counts) = (sample::report(), sample::counts());
        let stacks = &mut counts.windows[0].stacks;
        for (stack, count) in [("0;a", 7), ("5;a;b", 3), ("6;a;b", 2), ("6;c", 1)] {
            stacks.insert(stack.to_owned(), count);
        }
        counts.windows[0].vcpus[6]
            .functions
            .insert("b".to_owned(), 6);
        let joined = join("micro", &report, &counts).unwrap();
        let lwk = joined
            .attributions
            .iter()
            .find(|attribution| attribution.place == Place::Lwk)
            .unwrap();
        let stacks: Vec<_> = lwk.stacks.iter().map(|(s, n)| (s.as_str(), *n)).collect();
        assert_eq!(stacks, [("a;b", 5), ("c", 1)]);
        assert_eq!(lwk.functions["b"], 6);
    }

    #[test]
    fn windows_that_do_not_match_are_refused() {
        let (report, mut counts) = (sample::report(), sample::counts());
        counts.windows.pop();
        let error = join("micro", &report, &counts).unwrap_err().to_string();
        assert!(
            error.contains("reports 2 windows, the counter saw 1"),
            "{error}"
        );
        let mut counts = sample::counts();
        counts.errors.push("a CLOSE without an OPEN".to_owned());
        let error = join("micro", &report, &counts).unwrap_err().to_string();
        assert!(error.contains("a CLOSE without an OPEN"), "{error}");
    }

    #[test]
    fn void_windows_keep_their_number_and_give_no_row() {
        let (mut report, counts) = (sample::report(), sample::counts());
        report.windows[0].subjects.clear();
        let rows = join("micro", &report, &counts).unwrap().rows;
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].key.bench, "getppid");
        assert_eq!(rows[0].figures.as_ref().unwrap().entries, 1000);
    }

    #[test]
    fn cpus_that_do_not_exist_or_count_twice_are_refused() {
        for (cpus, message) in [
            (vec![9], "CPU 9 of 7"),
            (vec![2], "CPU 2 counts for two places"),
        ] {
            let (mut report, counts) = (sample::report(), sample::counts());
            report.windows[0].subjects[2].cpus = cpus;
            let error = format!("{:#}", join("micro", &report, &counts).unwrap_err());
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn times_are_summed_up_by_rank() {
        let all: Vec<u64> = (1..=1000).rev().collect();
        let times = times(&all).unwrap();
        assert_eq!(
            (times.min_ns, times.median_ns, times.p999_ns),
            (1, 500, 999)
        );
        assert_eq!((times.max_ns, times.spread_ns, times.nr), (1000, 500, 1000));
        let one = super::times(&[7]).unwrap();
        assert_eq!((one.min_ns, one.p999_ns, one.spread_ns), (7, 7, 0));
        assert!(super::times(&[]).is_none());
    }

    #[test]
    fn a_real_machine_must_tell_times_of_one_place_each() {
        let mut report = sample::report();
        assert!(timed(&report).is_err());
        for window in &mut report.windows {
            window.times_ns = vec![3, 1, 2];
            window.subjects.truncate(1);
        }
        let rows = timed(&report).unwrap();
        assert_eq!(rows[0].machine, REAL);
        let times = rows[0].figures.as_ref().unwrap().times.unwrap();
        assert_eq!((times.median_ns, times.max_ns), (2, 3));
    }
}
