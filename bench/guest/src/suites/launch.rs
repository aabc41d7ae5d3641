// SPDX-License-Identifier: GPL-2.0
//! Launching programs on LWK CPUs, against launching them on Linux: the counts are those of all CPUs together.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{ensure, Context, Result};
use bench_record::Place;

use super::process::own_program;
use super::EMPTY;
use crate::measure::Meter;
use crate::spec::{Bench, Suite};

/// Linux is the baseline.
const BASELINE_AND_LWK: &[Place] = &[Place::Linux, Place::Lwk];

/// The suite.
pub(super) const SUITE: Suite = Suite {
    name: "launch",
    about: "launching on LWK CPUs: yod against doing without",
    benches: &[
        EMPTY,
        Bench::outside(
            "true",
            "Launches a small program on one CPU: yod, or just the program.",
            20,
            one_cpu,
        )
        .variant("1cpu")
        .only(BASELINE_AND_LWK)
        .quick(),
        Bench::outside(
            "true",
            "Launches a small program on all CPUs of the place.",
            20,
            all_cpus,
        )
        .variant("all-cpus")
        .only(BASELINE_AND_LWK),
        Bench::outside("lwkctl-show", "Shows partitions and jobs.", 10, lwkctl_show)
            .only(&[Place::Lwk]),
    ],
    not_built: &[],
};

/// Runs a program to its successful end.
pub(super) fn finish(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

fn one_cpu(meter: &mut Meter) -> Result<()> {
    let cpu = meter.first()?.to_string();
    launch(meter, &cpu)
}

fn all_cpus(meter: &mut Meter) -> Result<()> {
    let cpus = meter.outside().cpus.clone();
    launch(meter, &cpus)
}

/// Launches `bench-guest true`.
fn launch(meter: &mut Meter, cpus: &str) -> Result<()> {
    let program = own_program()?;
    let yod = meter.outside().yod.clone();
    let is_lwk = meter.place() == Place::Lwk;
    meter.measure(|_| {
        let mut command = if is_lwk {
            let mut command = Command::new(&yod);
            command.args(["-c", cpus]).arg(&program);
            command
        } else {
            Command::new(&program)
        };
        finish(command.arg("true"))
    })
}

fn lwkctl_show(meter: &mut Meter) -> Result<()> {
    // Both tools are installed in one place.
    let lwkctl = Path::new(&meter.outside().yod).with_file_name("lwkctl");
    meter.measure(|_| finish(Command::new(&lwkctl).arg("show")))
}
