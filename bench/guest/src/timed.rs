// SPDX-License-Identifier: GPL-2.0
//! Times on a machine that has time: what a tick of the time-stamp counter is, instructions, and the table of results.

use std::time::{Duration, Instant};

use bench_record::report::{Report, Window};
use bench_record::results::Times;
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use perf_event::events::Hardware;
use perf_event::{Builder, Counter};

use crate::sys::clock;

/// How long the time-stamp counter is compared with the kernel's clock.
const CALIBRATION: Duration = Duration::from_millis(20);

/// Length of a tick.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    ticks: u64,
    nanoseconds: u64,
}

impl Scale {
    /// Compares the time-stamp counter with CLOCK_MONOTONIC.
    pub(crate) fn calibrate() -> Self {
        let (begun, first) = (Instant::now(), clock::ticks());
        while begun.elapsed() < CALIBRATION {}
        let (last, elapsed) = (clock::ticks(), begun.elapsed());
        Self {
            ticks: (last - first).max(1),
            nanoseconds: u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX),
        }
    }

    /// Converts ticks.
    pub(crate) fn nanoseconds(self, ticks: u64) -> u64 {
        let product = u128::from(ticks) * u128::from(self.nanoseconds);
        u64::try_from(product / u128::from(self.ticks)).unwrap_or(u64::MAX)
    }
}

/// The processor's own count of instructions of this thread, in user and in kernel mode.
pub(crate) struct Instructions {
    user: Counter,
    all: Counter,
}

impl Instructions {
    /// Starts counting; nothing if the machine or the rights of the user do not allow it.
    pub(crate) fn start() -> Option<Self> {
        let mut user = Builder::new().kind(Hardware::INSTRUCTIONS).build().ok()?;
        let mut builder = Builder::new().kind(Hardware::INSTRUCTIONS);
        builder.include_kernel();
        let mut all = builder.build().ok()?;
        user.enable().ok()?;
        all.enable().ok()?;
        Some(Self { user, all })
    }

    /// Returns the instructions in user and in kernel mode since the start.
    pub(crate) fn stop(&mut self) -> Option<(u64, u64)> {
        self.all.disable().ok()?;
        self.user.disable().ok()?;
        let (user, all) = (self.user.read().ok()?, self.all.read().ok()?);
        Some((user, all.saturating_sub(user)))
    }
}

/// What the times of single operations say together; nothing of nothing.
pub(crate) fn summary(times_ns: &[u64]) -> Option<Times> {
    let mut sorted = times_ns.to_vec();
    sorted.sort_unstable();
    // The smallest time that `per_mille` of all times do not exceed.
    let at = |per_mille: usize| {
        let rank = (sorted.len() * per_mille).div_ceil(1000).max(1);
        sorted.get(rank - 1).copied()
    };
    Some(Times {
        nr: sorted.len() as u64,
        min_ns: *sorted.first()?,
        median_ns: at(500)?,
        p999_ns: at(999)?,
        max_ns: *sorted.last()?,
        spread_ns: at(750)? - at(250)?,
    })
}

/// The times as a table for people.
pub(crate) fn table(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header([
        "benchmark",
        "place",
        "times",
        "min ns",
        "median ns",
        "p99.9 ns",
        "max ns",
        "spread ns",
    ]);
    for window in &report.windows {
        let Some(times) = summary(&window.times_ns) else {
            continue;
        };
        for subject in &window.subjects {
            let numbers = [
                times.nr,
                times.min_ns,
                times.median_ns,
                times.p999_ns,
                times.max_ns,
                times.spread_ns,
            ];
            let mut row = vec![name(window), subject.place.label().to_owned()];
            row.extend(numbers.map(|number| number.to_string()));
            table.add_row(row);
        }
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

fn name(window: &Window) -> String {
    let key = &window.key;
    let variant = if key.variant.is_empty() { "" } else { " " };
    format!("{} {}{variant}{}", key.suite, key.bench, key.variant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_nanoseconds_without_overflow() {
        let scale = Scale {
            ticks: 3,
            nanoseconds: 1,
        };
        assert_eq!(scale.nanoseconds(30), 10);
        assert_eq!(scale.nanoseconds(u64::MAX), u64::MAX / 3);
    }

    #[test]
    fn calibration_gives_a_plausible_frequency() {
        let scale = Scale::calibrate();
        // Between 100 MHz and 10 GHz.
        let ticks_in_a_millisecond = scale.ticks * 1_000_000 / scale.nanoseconds;
        assert!(
            (100_000..10_000_000).contains(&ticks_in_a_millisecond),
            "{scale:?}"
        );
    }

    #[test]
    fn summary_uses_nearest_ranks() {
        let times: Vec<u64> = (1..=1000).rev().collect();
        let want = Times {
            nr: 1000,
            min_ns: 1,
            median_ns: 500,
            p999_ns: 999,
            max_ns: 1000,
            spread_ns: 500,
        };
        assert_eq!(summary(&times), Some(want));
        assert_eq!(
            summary(&[7]).map(|times| (times.min_ns, times.p999_ns)),
            Some((7, 7))
        );
        assert_eq!(summary(&[]), None);
    }
}
