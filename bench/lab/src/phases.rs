// SPDX-License-Identifier: GPL-2.0
//! Runs at other phases of the clock: whether a row of Linux got worse, or Linux just then did something of its own.
//!
//! An interrupt of a program is a stay in the kernel that can be told apart. What an idle CPU of the same place wakes up
//! for is not: it came from no user mode, and all that shows is more kernel instructions than in the baseline.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use bench_record::results::{Results, Row};
use bench_record::Place;

use crate::compare::{compare, Comparison};
use crate::machines::Machine;
use crate::session::{self, Plan};
use crate::store::{id, row_text};
use crate::tally::Tally;

/// How many more phases are tried.
const RETRIES: usize = 2;

/// Suites whose counts are of all CPUs, those of Linux among them.
const EVERYWHERE: &[&str] = &["launch", "partition", "scaling"];

/// Boots machines again, at other phases of the clock, while rows of other CPUs than those of the LWK seem worse.
pub(crate) fn settle(
    plan: &Plan<'_>,
    base: &Results,
    now: &mut Results,
    tally: &mut Tally,
) -> Result<()> {
    for phase in (1..).take(RETRIES) {
        let found = compare(base, now, |name| plan.has(name))?;
        let rows = doubtful(now, &found);
        if rows.is_empty() {
            break;
        }
        let names: BTreeSet<_> = rows.iter().map(|row| row_text(row)).collect();
        for (name, how) in &found.regressions {
            if names.contains(name) {
                println!("# at phase {phase} of the clock once more: {name}: {how}");
            }
        }
        let of_rows = |machine: &&Machine| rows.iter().any(|row| row.machine == machine.name);
        let machines: Vec<_> = plan.machines.iter().filter(of_rows).copied().collect();
        let again = Plan {
            machines: &machines,
            out: &plan.out.join(format!("phase-{phase}")),
            phase,
            ..*plan
        };
        let other = session::run(&again, tally)?;
        take_rows(now, &names, &other);
    }
    Ok(())
}

/// The rows of CPUs other than those of the LWK that got worse: another phase of the clock may show that they did not.
fn doubtful<'a>(now: &'a Results, found: &Comparison) -> Vec<&'a Row> {
    let worse: BTreeSet<_> = found.regressions.iter().map(|(name, _)| name).collect();
    let rows = now.rows.iter();
    let rows =
        rows.filter(|row| row.place != Place::Lwk || EVERYWHERE.contains(&row.key.suite.as_str()));
    rows.filter(|row| worse.contains(&row_text(row))).collect()
}

/// Takes the rows of these names from a run at another phase of the clock, if it has them.
fn take_rows(now: &mut Results, names: &BTreeSet<String>, other: &Results) {
    let others: BTreeMap<_, _> = other.rows.iter().map(|row| (id(row), row)).collect();
    for row in &mut now.rows {
        if let (true, Some(other)) = (names.contains(&row_text(row)), others.get(&id(row))) {
            row.clone_from(other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    /// Results in which the first measured row of a place has twice as many kernel instructions, and the name of it.
    fn slower(place: Place) -> (Results, String) {
        let mut now = sample::results();
        let mut rows = now.rows.iter_mut().filter(|row| row.place == place);
        let row = rows.find(|row| row.figures.is_ok()).unwrap();
        let figures = row.figures.as_mut().unwrap();
        figures.kernel = figures.kernel * 2 + 10_000;
        let name = row_text(row);
        (now, name)
    }

    #[test]
    fn rows_of_the_lwk_are_not_doubted() {
        for (place, nr) in [(Place::Linux, 1), (Place::Tuned, 1), (Place::Lwk, 0)] {
            let (now, name) = slower(place);
            let found = compare(&sample::results(), &now, |_| true).unwrap();
            assert_eq!(found.regressions.len(), 1, "{name}");
            assert_eq!(doubtful(&now, &found).len(), nr, "{name}");
        }
    }

    #[test]
    fn rows_of_all_cpus_are_doubted() {
        let (mut now, _) = slower(Place::Lwk);
        let mut base = sample::results();
        for row in now.rows.iter_mut().chain(&mut base.rows) {
            row.key.suite = "launch".to_owned();
        }
        let found = compare(&base, &now, |_| true).unwrap();
        assert_eq!(doubtful(&now, &found).len(), 1);
    }

    #[test]
    fn a_row_is_worse_only_if_it_is_at_every_phase() {
        let base = sample::results();
        let (slow, name) = slower(Place::Linux);
        let names = [name].into();
        for (other, nr) in [(&base, 0), (&slow, 1)] {
            let mut now = slow.clone();
            take_rows(&mut now, &names, other);
            let found = compare(&base, &now, |_| true).unwrap();
            assert_eq!(found.regressions.len(), nr, "{found:?}");
        }
    }

    #[test]
    fn other_rows_are_not_taken() {
        let (slow, _) = slower(Place::Linux);
        let mut now = slow.clone();
        take_rows(&mut now, &BTreeSet::new(), &sample::results());
        assert_eq!(now, slow);
    }
}
