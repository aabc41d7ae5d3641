// SPDX-License-Identifier: GPL-2.0
//! Processes: fork, exec, spawn, as lmbench measures them.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{ensure, Context, Result};

use super::EMPTY;
use crate::measure::Meter;
use crate::spec::{Bench, Suite};
use crate::sys::memory::{Pages, Region, PAGE};
use crate::sys::process::{exec, forked};

/// The suite.
pub(super) const SUITE: Suite = Suite {
    name: "process",
    about: "processes: fork, exec, spawn",
    benches: &[
        EMPTY,
        Bench::inside(
            "fork",
            "Forks a child that ends at once, and waits for it.",
            30,
            fork,
        )
        .quick(),
        Bench::inside(
            "fork",
            "The same from a process with 16 MiB of touched small pages.",
            10,
            fork_large,
        )
        .variant("16MiB"),
        Bench::inside(
            "fork-exec",
            "Forks a child that executes a small program, and waits.",
            20,
            fork_exec,
        )
        .quick(),
        Bench::inside(
            "spawn",
            "Spawns a small program by posix_spawn, and waits.",
            20,
            spawn,
        ),
        Bench::inside(
            "exec",
            "A program that executes itself over and over; one fork and wait are in it.",
            20,
            exec_chain,
        ),
    ],
    not_built: &[],
};

/// This program, which does nothing as `bench-guest true`.
pub(super) fn own_program() -> Result<PathBuf> {
    std::env::current_exe().context("the path of this program")
}

fn fork(meter: &mut Meter) -> Result<()> {
    meter.measure(|_| forked(|| 0)?.finish())
}

fn fork_large(meter: &mut Meter) -> Result<()> {
    let mut region = Region::advised(16 << 20, Pages::Small)?;
    region.touch(PAGE);
    meter.measure(|_| forked(|| 0)?.finish())
}

fn fork_exec(meter: &mut Meter) -> Result<()> {
    let program = own_program()?;
    meter.measure(|_| forked(|| exec(&program, &["true"]))?.finish())
}

fn spawn(meter: &mut Meter) -> Result<()> {
    let program = own_program()?;
    meter.measure(|_| {
        let status = Command::new(&program)
            .arg("true")
            .stdin(Stdio::null())
            .status()?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    })
}

fn exec_chain(meter: &mut Meter) -> Result<()> {
    let program = own_program()?;
    let count = meter.iterations().to_string();
    meter.measure_batch(
        || Ok(()),
        |()| forked(|| exec(&program, &["again", &count]))?.finish(),
        |()| Ok(()),
    )
}

/// What `bench-guest again COUNT` does: executes itself until the count is down to one.
pub(crate) fn again(count: &str) -> i32 {
    let (Ok(count), Ok(program)) = (count.parse::<u64>(), own_program()) else {
        return 2;
    };
    if count <= 1 {
        return 0;
    }
    exec(&program, &["again", &(count - 1).to_string()])
}
