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
//! CPUs, it is Linux' own doing and the row is not compared. Where they do not, a tick of Linux may still fall into the
//! window for the first time: on CPUs other than those of the LWK, as many stays in the kernel as may be chance, that are
//! new or longer than any of the baseline, do not count, and a row got worse only if it did at every phase that was
//! tried ([`crate::phases`]). User instructions of a program that computes while others do something tell how long that
//! took and are not compared either.
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

/// The suite and the variant whose program computes meanwhile.
const NOISE: &str = "noise";
const OTHERS: &str = "others-disturbed";

/// A count that means little there.
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
        let is_noise = new.key.suite == NOISE || new.key.variant == OTHERS;
        let ticks = match new.place {
            Place::Lwk => 0,
            Place::Linux | Place::Tuned => chance(before, after),
        };
        for (what, old, count, least, most, excused) in [
            (USER, before.user, after.user, least.user, most.user, 0),
            (
                "kernel instructions",
                before.kernel,
                after.kernel,
                least.kernel,
                most.kernel,
                ticks,
            ),
        ] {
            if is_noise && what == USER {
                continue;
            }
            let (count, width) = (scaled(count), most - least);
            if is_above(count.saturating_sub(excused), most, width) {
                let text = change_text(what, old, count, most);
                self.worse(new, text + &stays_text(before, after));
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

/// Kernel instructions of so few new or longer stays that they may be chance: none if there are more of them.
fn chance(before: &Figures, after: &Figures) -> u64 {
    let scaled = |count| scale(count, before.iterations, after.iterations);
    let longer: u64 = after.stays.iter().skip(before.stays.len()).sum();
    let more = scaled(after.entries).saturating_sub(before.entries);
    let nr = scaled(longer).max(more);
    match nr <= before.iterations / FEW {
        true => nr.saturating_mul(after.longest),
        false => 0,
    }
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

/// Tells how long stays in the kernel were, by powers of two, if that changed.
fn stays_text(before: &Figures, after: &Figures) -> String {
    if before.stays == after.stays {
        return String::new();
    }
    let text = |figures: &Figures| {
        let stays = (0..).zip(&figures.stays).filter(|(_, &nr)| nr > 0);
        let stays: Vec<_> = stays.map(|(n, nr)| format!("{nr} of 2^{n}")).collect();
        format!("{}, longest {}", stays.join(", "), figures.longest)
    };
    format!("; stays: {} -> {}", text(before), text(after))
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

/// Lists the conditions that differ, those of other machines left out.
fn conditions(
    base: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
    is_wanted: impl Fn(&str) -> bool,
) -> Vec<String> {
    let names: BTreeSet<_> = base.keys().chain(now.keys()).collect();
    let is_of_other =
        |name: &str| crate::conditions::machine(name).is_some_and(|machine| !is_wanted(machine));
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
mod tests;
