// SPDX-License-Identifier: GPL-2.0
//! Compares results with a baseline, row by row.
//!
//! The rules, for every row that both have:
//!
//! - *instructions*, user and kernel each: more than 2 % **and** more than [`FLOOR`] instructions above the baseline is
//!   a regression. The floor is for windows of a few instructions, where 2 % would be less than one; it is less than
//!   the shortest way from user mode through the kernel and back, so nothing that enters the kernel hides below it.
//! - *kernel entries*: one more is a regression; where a window has [`FEW`] operations or more, one more in so many.
//!
//! One run repeats to the bit, yet any change to the kernel or a program shifts all that comes later: a tick falls into
//! another window, another of two CPUs gets a lock first. How much a row depends on that is measured, not guessed: the
//! baseline is made of several runs that differ in the phase of the clock alone ([`merge`]), and *above the baseline*
//! means above the most that any of them counted by more than they differ among each other. Where they differ on Linux
//! CPUs, it is Linux' own doing and the row is not compared. User instructions of a row of noise tell how long the
//! disturbance took and are not compared either.
//!
//! Counts are of all iterations of a window; if the two files differ in those, the newer counts are scaled. A row that
//! disappeared, or that was measured and is now not, is a regression. Instructions on CPUs of no place are told in the
//! report and not compared: they hold whatever Linux had to do at that moment.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{ensure, Result};
use bench_record::results::{Figures, Kind, Results, Row, Spread, Totals};
use bench_record::Place;

use crate::store::{id, row_text};

/// How many parts in a hundred more are still no regression.
const PERCENT: u64 = 2;

/// How many instructions more are still no regression.
pub(crate) const FLOOR: u64 = 64;

/// One more kernel entry in so many operations may be chance.
const FEW: u64 = 200;

/// The suite that disturbs.
const NOISE: &str = "noise";

/// A count that means little in that suite.
const USER: &str = "user instructions";

/// What a comparison found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// How many rows were compared.
    pub(crate) nr_rows: usize,
    /// Names of the rows that got worse, and how.
    pub(crate) regressions: Vec<(String, String)>,
    /// Names of the rows that got better, and how.
    pub(crate) improvements: Vec<(String, String)>,
    /// Rows that the baseline does not have.
    pub(crate) new: Vec<String>,
    /// Conditions that differ, which may explain the rest.
    pub(crate) conditions: Vec<String>,
}

/// Compares with the rows of a baseline that are of the named machines.
pub(crate) fn compare(
    base: &Results,
    now: &Results,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Comparison> {
    for results in [base, now] {
        ensure!(
            results.kind == Kind::Counted,
            "times of a real machine differ from run to run: only counts can be compared"
        );
    }
    let mut found = Comparison {
        conditions: conditions(&base.conditions, &now.conditions, &is_wanted),
        ..Comparison::default()
    };
    let rows: BTreeMap<_, _> = now.rows.iter().map(|row| (id(row), row)).collect();
    for old in base.rows.iter().filter(|row| is_wanted(&row.machine)) {
        found.nr_rows += 1;
        match rows.get(&id(old)) {
            Some(new) => found.row(old, new),
            None => found.worse(old, "is no longer there".to_owned()),
        }
    }
    let known: BTreeSet<_> = base.rows.iter().map(id).collect();
    let new = now.rows.iter().filter(|row| !known.contains(&id(row)));
    found.new = new.map(row_text).collect();
    Ok(found)
}

impl Comparison {
    /// Notes a regression.
    fn worse(&mut self, row: &Row, how: String) {
        self.regressions.push((row_text(row), how));
    }

    /// Notes an improvement.
    fn better(&mut self, row: &Row, how: String) {
        self.improvements.push((row_text(row), how));
    }

    /// Compares one row.
    fn row(&mut self, old: &Row, new: &Row) {
        match (&old.figures, &new.figures) {
            (Ok(before), Ok(after)) => self.figures(old, new, before, after),
            (Ok(_), Err(why)) => {
                self.worse(new, format!("is no longer measured: {}", why_text(why)));
            }
            (Err(why), Ok(_)) => {
                self.better(new, format!("is measured now, was {}", why_text(why)))
            }
            (Err(_), Err(_)) => {}
        }
    }

    /// Compares the figures of one row.
    fn figures(&mut self, old: &Row, new: &Row, before: &Figures, after: &Figures) {
        let known = spread(old, before);
        if row_depends_on_phase(old) && new.place != Place::Lwk {
            return;
        }
        let scaled = |count: u64| scale(count, before.iterations, after.iterations);
        let (least, most) = (known.least, known.most);
        let is_noise = new.key.suite == NOISE;
        for (what, old, count, least, most) in [
            (USER, before.user, after.user, least.user, most.user),
            (
                "kernel instructions",
                before.kernel,
                after.kernel,
                least.kernel,
                most.kernel,
            ),
        ] {
            if is_noise && what == USER {
                continue;
            }
            let (count, width) = (scaled(count), most - least);
            if is_above(count, most, width) {
                self.worse(new, change_text(what, old, count, most));
            } else if is_above(least, count, width) {
                self.better(new, change_text(what, old, count, most));
            }
        }
        let (old, count, most) = (before.entries, scaled(after.entries), known.most.entries);
        let text = || change_text("kernel entries", old, count, most);
        let allowed = (most - known.least.entries).max(before.iterations / FEW);
        if count > most + allowed {
            self.worse(new, text() + &causes_text(before, after));
        } else if count + allowed < known.least.entries {
            self.better(new, text());
        }
    }
}

/// What the runs of the baseline counted for a row.
fn spread(row: &Row, figures: &Figures) -> Spread {
    let own = Totals::from(figures);
    row.spread.unwrap_or(Spread {
        least: own,
        most: own,
    })
}

/// Notes in the rows of a baseline what runs at other phases of the clock counted.
///
/// # Errors
///
/// If a run lacks a figure that the baseline has, or was made under other conditions than the boot line.
pub(crate) fn merge(base: &mut Results, others: &[Results]) -> Result<()> {
    for other in others {
        let differing = conditions(&base.conditions, &other.conditions, |_| false);
        ensure!(
            differing.is_empty(),
            "a run of another phase has other conditions: {}",
            differing.join("; ")
        );
        let rows: BTreeMap<_, _> = other.rows.iter().map(|row| (id(row), row)).collect();
        for row in &mut base.rows {
            let Ok(figures) = &row.figures else {
                continue;
            };
            let found = rows.get(&id(row)).and_then(|row| row.figures.as_ref().ok());
            let Some(found) = found else {
                anyhow::bail!("a run of another phase has no {}", row_text(row));
            };
            let (known, own) = (spread(row, figures), Totals::from(found));
            let by = |pick: fn(u64, u64) -> u64, a: Totals, b: Totals| Totals {
                user: pick(a.user, b.user),
                kernel: pick(a.kernel, b.kernel),
                entries: pick(a.entries, b.entries),
            };
            let sum = Spread {
                least: by(u64::min, known.least, own),
                most: by(u64::max, known.most, own),
            };
            row.spread = (sum.least != sum.most).then_some(sum);
        }
    }
    Ok(())
}

/// Whether the runs of the baseline differ in a row.
const fn row_depends_on_phase(row: &Row) -> bool {
    row.spread.is_some()
}

/// Whether a count is above another by more than the rules allow, where the runs of the baseline differ by `width`.
fn is_above(count: u64, other: u64, width: u64) -> bool {
    let percents = other / 100 * PERCENT + other % 100 * PERCENT / 100;
    count > other.saturating_add(percents.max(FLOOR).max(width))
}

/// Converts a count of `from` iterations to one of `to`, rounded up.
fn scale(count: u64, to: u64, from: u64) -> u64 {
    if to == from || from == 0 {
        return count;
    }
    let scaled = (u128::from(count) * u128::from(to)).div_ceil(u128::from(from));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// Prints two counts and the change in parts of a hundred, and the most of the baseline if that is another count.
fn change_text(what: &str, old: u64, new: u64, most: u64) -> String {
    let sign = if new >= old { '+' } else { '-' };
    let tenths = match new.abs_diff(old).checked_mul(1000) {
        Some(change) if old > 0 => format!(", {sign}{}.{} %", change / old / 10, change / old % 10),
        _ => String::new(),
    };
    let known = match most == old {
        true => String::new(),
        false => format!("; at most {most} at other phases"),
    };
    format!(
        "{what} {old} -> {new} ({sign}{}{tenths}{known})",
        new.abs_diff(old)
    )
}

/// Names the causes of entries that there are more of.
fn causes_text(before: &Figures, after: &Figures) -> String {
    let mut text = String::new();
    for (cause, &count) in &after.causes {
        let old = before.causes.get(cause).copied().unwrap_or(0);
        if count > old {
            text.push_str(&format!(", {cause} {old} -> {count}"));
        }
    }
    text
}

/// Prints why there are no figures.
pub(crate) fn why_text(why: &bench_record::report::Why) -> String {
    use bench_record::report::Why;
    match why {
        Why::NotBuilt => "not built".to_owned(),
        Why::NotHere(reason) => format!("not here: {reason}"),
        Why::Failed(reason) => format!("failed: {reason}"),
    }
}

/// Lists the conditions that differ, boot lines of other machines left out.
fn conditions(
    base: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
    is_wanted: impl Fn(&str) -> bool,
) -> Vec<String> {
    let names: BTreeSet<_> = base.keys().chain(now.keys()).collect();
    let is_of_other = |name: &str| {
        let machine = name.strip_prefix(crate::conditions::BOOT_LINE);
        machine.is_some_and(|machine| !is_wanted(machine))
    };
    let mut lines = Vec::new();
    for name in names.into_iter().filter(|name| !is_of_other(name)) {
        let text = |side: &BTreeMap<String, String>| {
            side.get(name)
                .map_or_else(|| "nothing".to_owned(), Clone::clone)
        };
        let (old, new) = (text(base), text(now));
        if old != new {
            lines.push(format!("{name}: {new} (baseline: {old})"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use bench_record::report::Why;

    /// Compares the sample with a changed copy of itself.
    fn changed(change: impl FnOnce(&mut Results)) -> Comparison {
        let base = sample::results();
        let mut now = base.clone();
        change(&mut now);
        compare(&base, &now, |_| true).unwrap()
    }

    /// Rows of the sample that have figures: a disturbed LWK CPU, and a thousand system calls there.
    const NOISY: usize = 2;
    const CALL: usize = 3;

    /// The figures of the n-th row that has some.
    fn figures(results: &mut Results, nr: usize) -> &mut Figures {
        let mut measured = (results.rows.iter_mut()).filter_map(|row| row.figures.as_mut().ok());
        measured.nth(nr).unwrap()
    }

    #[test]
    fn equal_results_are_equal() {
        let found = changed(|_| {});
        assert_eq!(found.nr_rows, sample::results().rows.len());
        let empty = Comparison {
            nr_rows: found.nr_rows,
            ..Comparison::default()
        };
        assert_eq!(found, empty);
    }

    #[test]
    fn five_percent_more_instructions_are_a_regression() {
        let changes: [fn(&mut Figures); 2] = [
            |figures| figures.user += figures.user / 20,
            |figures| figures.kernel += figures.kernel / 20,
        ];
        for change in changes {
            let found = changed(|now| change(figures(now, CALL)));
            assert_eq!(found.regressions.len(), 1, "{found:?}");
            assert!(found.regressions[0].1.contains("+5.0 %"), "{found:?}");
        }
    }

    #[test]
    fn two_percent_is_the_border() {
        let user = 100_000;
        let mut base = sample::results();
        figures(&mut base, CALL).user = user;
        let with = |user| {
            let mut now = base.clone();
            figures(&mut now, CALL).user = user;
            compare(&base, &now, |_| true).unwrap().regressions.len()
        };
        assert_eq!((with(user + user / 50), with(user + user / 50 + 1)), (0, 1));
    }

    #[test]
    fn one_more_entry_is_a_regression_and_names_its_cause() {
        let found = changed(|now| {
            let figures = figures(now, NOISY);
            figures.entries += 1;
            *figures
                .causes
                .entry("asm_sysvec_call_function".to_owned())
                .or_default() += 1;
        });
        assert_eq!(found.regressions.len(), 1);
        let (name, how) = &found.regressions[0];
        assert!(name.contains("LWK CPUs"), "{name}");
        assert_eq!(
            how,
            "kernel entries 0 -> 1 (+1), asm_sysvec_call_function 0 -> 1"
        );
    }

    #[test]
    fn a_few_instructions_in_a_tiny_window_are_not() {
        let tiny = |user| {
            move |results: &mut Results| {
                figures(results, CALL).user = user;
            }
        };
        let mut base = sample::results();
        tiny(10)(&mut base);
        let mut now = base.clone();
        tiny(10 + FLOOR)(&mut now);
        assert!(compare(&base, &now, |_| true)
            .unwrap()
            .regressions
            .is_empty());
        tiny(11 + FLOOR)(&mut now);
        assert_eq!(compare(&base, &now, |_| true).unwrap().regressions.len(), 1);
    }

    #[test]
    fn a_lost_row_and_a_lost_figure_are_regressions() {
        let found = changed(|now| drop(now.rows.remove(0)));
        assert_eq!(found.regressions[0].1, "is no longer there");
        let found = changed(|now| now.rows[0].figures = Err(Why::NotBuilt));
        assert_eq!(found.regressions[0].1, "is no longer measured: not built");
    }

    #[test]
    fn fewer_counts_are_improvements_and_new_rows_are_named() {
        let found = changed(|now| {
            let row = figures(now, 0);
            (row.kernel, row.entries) = (row.kernel / 2, row.entries - 1);
            let last = now.rows.last_mut().unwrap();
            assert!(last.figures.is_err());
            last.figures = Ok(Figures::default());
            let mut new = now.rows[0].clone();
            new.key.bench = "another".to_owned();
            now.rows.push(new);
        });
        assert!(found.regressions.is_empty(), "{found:?}");
        assert_eq!((found.improvements.len(), found.new.len()), (3, 1));
    }

    #[test]
    fn what_other_phases_count_is_no_regression_and_more_is() {
        let mut base = sample::results();
        let mut other = base.clone();
        let row = figures(&mut other, NOISY);
        (row.kernel, row.entries) = (row.kernel + 1000, row.entries + 3);
        merge(&mut base, &[other.clone()]).unwrap();
        assert_eq!(
            base.rows.iter().filter(|row| row.spread.is_some()).count(),
            1
        );
        let found = compare(&base, &other, |_| true).unwrap();
        assert!(
            found.regressions.is_empty() && found.improvements.is_empty(),
            "{found:?}"
        );
        figures(&mut other, NOISY).entries += 4;
        let found = compare(&base, &other, |_| true).unwrap();
        assert_eq!(found.regressions.len(), 1);
        assert!(
            found.regressions[0].1.contains("at other phases"),
            "{found:?}"
        );
    }

    #[test]
    fn rows_of_linux_that_depend_on_the_phase_are_not_compared() {
        let mut base = sample::results();
        let mut other = base.clone();
        figures(&mut other, 0).entries += 1;
        assert_eq!(
            compare(&base, &other, |_| true).unwrap().regressions.len(),
            1
        );
        merge(&mut base, &[other.clone()]).unwrap();
        figures(&mut other, 0).entries += 1000;
        assert!(compare(&base, &other, |_| true)
            .unwrap()
            .regressions
            .is_empty());
    }

    #[test]
    fn one_more_entry_in_many_operations_may_be_chance() {
        let more = |entries| changed(|now| figures(now, CALL).entries += entries);
        assert!(more(5).regressions.is_empty());
        assert_eq!(more(6).regressions.len(), 1);
    }

    #[test]
    fn phases_of_another_kernel_or_without_a_row_are_refused() {
        let mut other = sample::results();
        other.conditions.insert("QEMU".to_owned(), "9.2".to_owned());
        assert!(merge(&mut sample::results(), &[other]).is_err());
        let mut other = sample::results();
        other.rows.remove(0);
        assert!(merge(&mut sample::results(), &[other]).is_err());
    }

    #[test]
    fn other_iterations_are_scaled() {
        let found = changed(|now| {
            let row = figures(now, 0);
            row.iterations *= 2;
            (row.user, row.kernel, row.entries) = (row.user * 2, row.kernel * 2, row.entries * 2);
        });
        assert!(
            found.regressions.is_empty() && found.improvements.is_empty(),
            "{found:?}"
        );
    }

    #[test]
    fn other_machines_are_left_out_on_request() {
        let base = sample::results();
        let mut now = base.clone();
        now.rows.clear();
        let found = compare(&base, &now, |machine| machine == "other").unwrap();
        assert_eq!((found.nr_rows, found.regressions.len()), (0, 0));
    }

    #[test]
    fn other_conditions_are_told_and_times_are_refused() {
        let found = changed(|now| {
            now.conditions.insert("QEMU".to_owned(), "9.2".to_owned());
        });
        assert_eq!(found.conditions, ["QEMU: 9.2 (baseline: 7.2)"]);
        let base = sample::results();
        let mut now = base.clone();
        now.kind = Kind::Timed;
        assert!(compare(&base, &now, |_| true).is_err());
    }
}
