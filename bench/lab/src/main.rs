// SPDX-License-Identifier: GPL-2.0
//! The measuring lab: boots the benchmarks in QEMU, gives the counts their names, judges and shows them.
//!
//! ```text
//! machines ─▶ session ─▶ join ─▶ results.json ─┬▶ compare (with bench/baseline.json)
//!             (boot)                           ├▶ bars    (what design.md promises)
//!                                              └▶ report  (tables, chart, flame)
//! ```
//!
//! Everything to the right of `join` needs no guest and is a pure function of its files.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "a test that panics fails, as it should")
)]

mod attribution;
mod bars;
mod boot;
mod chart;
mod cli;
mod compare;
mod conditions;
mod flame;
mod join;
mod machines;
mod page;
mod phases;
mod plain;
mod progress;
mod report;
#[cfg(test)]
mod sample;
mod session;
mod store;
mod tables;
mod tally;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::run(&cli::Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench-lab: {error:#}");
            println!("0 passed, 1 failed");
            ExitCode::FAILURE
        }
    }
}
