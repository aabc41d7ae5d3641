// SPDX-License-Identifier: GPL-2.0
//! What our patches cost those who do not use the LWK: the same calls on the same CPUs of Linux, counted on Linux
//! without the patches, on our kernel without a partition, and on our kernel beside one.
//!
//! All else is equal: boot line, programs, phases of the clock. A tick that falls into a window is no cost of the patches,
//! so that of several phases the one with the least instructions counts.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{anyhow, ensure, Result};
use bench_record::results::Row;
use bench_record::Place;

use crate::boot::Files;
use crate::machines::{Lwk, BYSTANDERS};
use crate::session::{self, Plan};
use crate::tables;
use crate::tally::Tally;

/// How many phases of the clock.
const PHASES: usize = 3;

/// The calls that must cost the same to the instruction: the way in and out, and next to nothing between them.
const EQUAL: &[&str] = &["entry", "getpid", "gettid"];

/// The kernels, and the name of each in the table.
const NAMES: [&str; 3] = [
    "Linux without our patches",
    "our kernel without a partition",
    "our kernel beside a partition",
];

/// Kernel instructions of all operations of a window, and how many operations that were.
type Counted = (u64, u64);

/// The least that any phase counted, by call and place.
type Least = BTreeMap<(String, Place), Counted>;

/// Boots the three machines at each phase and compares; returns the page that tells what was found.
pub(crate) fn run(linux: &Files, ours: &Files, out: &Path, tally: &mut Tally) -> Result<String> {
    let machines = [
        (linux, Lwk::Absent),
        (ours, Lwk::Absent),
        (ours, Lwk::Unused),
    ];
    let mut counted: [Least; 3] = Default::default();
    for phase in 0..PHASES {
        let boot = |index: usize| {
            let (files, lwk) = machines[index];
            let out = out.join(format!("kernel-{index}-phase-{phase}"));
            boot(files, lwk, &out, phase)
        };
        let boot = &boot;
        let found = std::thread::scope(|scope| {
            let runs = [0, 1, 2].map(|index| scope.spawn(move || boot(index)));
            runs.map(|run| {
                run.join()
                    .unwrap_or_else(|_| Err(anyhow!("its thread died")))
            })
        });
        for (least, found) in counted.iter_mut().zip(found) {
            let (rows, of_run) = found?;
            tally.add(of_run);
            keep_least(least, &rows);
        }
    }
    judge(&counted, tally);
    Ok(page(&counted))
}

fn boot(files: &Files, lwk: Lwk, out: &Path, phase: usize) -> Result<(Vec<Row>, Tally)> {
    let machines = [BYSTANDERS.with(lwk)];
    let plan = Plan {
        files,
        machines: &machines,
        out,
        phase,
        jobs: 1,
    };
    let mut tally = Tally::default();
    let rows = session::run(&plan, &mut tally)?.rows;
    ensure!(!rows.is_empty(), "nothing was measured");
    Ok((rows, tally))
}

fn keep_least(least: &mut Least, rows: &[Row]) {
    for row in rows {
        let Ok(figures) = &row.figures else { continue };
        let found = (figures.kernel, figures.iterations);
        let known = least
            .entry((row.key.bench.clone(), row.place))
            .or_insert(found);
        *known = found.min(*known);
    }
}

/// Checks what must be equal.
fn judge([linux, ours @ ..]: &[Least; 3], tally: &mut Tally) {
    for bench in EQUAL {
        let rows: Vec<_> = linux
            .iter()
            .filter(|((name, _), _)| name == bench)
            .collect();
        if rows.is_empty() {
            tally.fail(bench, "it was not measured");
        }
        for (id @ (_, place), (before, nr)) in rows {
            for (least, name) in ours.iter().zip(&NAMES[1..]) {
                let what = format!("{bench} on {}, {name}", place.label());
                match least.get(id) {
                    Some((after, of)) if (after, of) == (before, nr) => tally.pass(),
                    Some((after, of)) => {
                        let text = format!("{after} kernel instructions in {of} calls, {before} in {nr} without our patches");
                        tally.fail(&what, &text);
                    }
                    None => tally.fail(&what, "it was not measured"),
                }
            }
        }
    }
}

/// A page of documentation.
fn page(counted: &[Least; 3]) -> String {
    let [linux, ours @ ..] = counted;
    let each =
        |found: Option<&Counted>| found.map_or(String::new(), |(all, nr)| tables::each(*all, *nr));
    let lines: Vec<_> = linux
        .iter()
        .filter(|((bench, _), _)| bench != "empty")
        .map(|(id @ (bench, place), counted)| {
            let mut line = vec![bench.clone(), place.label().to_owned()];
            line.push(each(Some(counted)));
            line.extend(ours.iter().map(|least| each(least.get(id))));
            line
        })
        .collect();
    let header: Vec<_> = ["call", "on"].into_iter().chain(NAMES).collect();
    let table = tables::markdown(&header, 2, &lines);
    let equal = EQUAL.join("`, `");
    format!(
        "# What our patches cost those who do not use the LWK

Made by `make bench-plain`; do not edit. Kernel instructions of one call of a program on CPUs of Linux, the least of
{PHASES} phases of the clock. The boot line is the same but for `lwkcpus=`; the kernel without our patches is Debian's source
with the same configuration and compilers.

`{equal}` must be equal to the instruction, on CPUs with `nohz_full` too. Other calls pass places where a hook is a
no-operation of one instruction (a static key), and the compiler may lay out a function that has one in another way; those
about memory ask whether the process is one of a job.

What no call shows: with `lwkcpus=` on the boot line, a partition or not, the machine is *armed*, so that any CPU can leave
Linux later. RCU's callbacks of all CPUs are run by its threads (`rcuo*`) and not where they were queued, full dynticks count as in
use, the CPU that keeps the time (the boot CPU) never stops its tick, and `membarrier(2)` refuses `MEMBARRIER_CMD_GLOBAL`
(`EINVAL`; `MEMBARRIER_CMD_QUERY` does not offer it), as on any machine with `nohz_full=`. Without `lwkcpus=` none of this is so.

{table}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn least(place: Place, figures: &[(&str, u64)]) -> Least {
        let rows = figures.iter();
        rows.map(|(bench, kernel)| (((*bench).to_owned(), place), (*kernel, 100)))
            .collect()
    }

    const SAME: &[(&str, u64)] = &[
        ("entry", 100),
        ("getpid", 200),
        ("gettid", 300),
        ("read", 5),
    ];

    fn nr_failed(ours: &[(&str, u64)]) -> usize {
        let place = Place::Tuned;
        let (linux, ours) = (least(place, SAME), least(place, ours));
        let mut tally = Tally::default();
        judge(&[linux.clone(), linux, ours], &mut tally);
        tally.nr_failed()
    }

    #[test]
    fn one_instruction_more_is_a_failure_and_so_is_a_missing_row() {
        assert_eq!(nr_failed(SAME), 0);
        let slower_read = [
            ("entry", 100),
            ("getpid", 200),
            ("gettid", 300),
            ("read", 9),
        ];
        assert_eq!(nr_failed(&slower_read), 0);
        assert_eq!(nr_failed(&[("entry", 101), ("getpid", 200)]), 2);
        let mut tally = Tally::default();
        judge(&Default::default(), &mut tally);
        assert_eq!(tally.nr_failed(), EQUAL.len());
    }

    #[test]
    fn the_page_has_a_line_for_each_call() {
        let one = least(Place::Tuned, &[("entry", 300)]);
        let text = page(&[one.clone(), one, Least::new()]);
        assert!(text.contains("| entry | tuned Linux CPUs |"), "{text}");
    }
}
