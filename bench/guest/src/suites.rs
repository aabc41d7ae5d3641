// SPDX-License-Identifier: GPL-2.0
//! The benchmarks, suite by suite.

mod launch;
mod memory;
pub(crate) mod noise;
mod partition;
pub(crate) mod process;
pub(crate) mod scaling;
mod syscall;
mod thread;

use anyhow::Result;

use crate::measure::Meter;
use crate::spec::{Bench, Suite};

/// All suites in the order in which they run.
pub(crate) const ALL: &[Suite] = &[
    noise::SUITE,
    thread::SUITE,
    syscall::SUITE,
    memory::SUITE,
    process::SUITE,
    launch::SUITE,
    partition::SUITE,
    scaling::SUITE,
];

/// A window with nothing in it: what the markers and the loop around an operation add to every figure.
const EMPTY: Bench =
    Bench::inside("empty", "Nothing: what measuring itself adds.", 1000, empty).quick();

fn empty(meter: &mut Meter) -> Result<()> {
    meter.measure(|_| Ok(()))
}
