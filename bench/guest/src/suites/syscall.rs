// SPDX-License-Identifier: GPL-2.0
//! System calls, one by one: the entry alone, and those that programs use most.

use anyhow::{ensure, Result};
use rustix::process::{getppid, Pid};

use super::EMPTY;
use crate::measure::Meter;
use crate::spec::{Bench, Suite};

/// The suite.
pub(super) const SUITE: Suite = Suite {
    name: "syscall",
    about: "system calls: what one costs where it is made",
    benches: &[
        EMPTY,
        Bench::inside(
            "entry",
            "Asks for the parent: the way into the kernel and back.",
            1000,
            entry,
        )
        .quick(),
    ],
    not_built: &[],
};

fn entry(meter: &mut Meter) -> Result<()> {
    let parent = getppid().map(Pid::as_raw_pid);
    meter.measure(|_| {
        ensure!(getppid().map(Pid::as_raw_pid) == parent, "another parent");
        Ok(())
    })
}
