// SPDX-License-Identifier: GPL-2.0
//! The showcase: real programs on Linux CPUs, tuned Linux CPUs and LWK CPUs, side by side in one boot.
//!
//! [`guest`] runs the programs of [`apps`] and measures them with [`launch`], [`interrupts`] and [`noise`], after
//! [`bench_places::tune`] has quietened the tuned CPUs; [`record`] is the file in between; [`report`] with [`tables`] and
//! [`chart`] tells people.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "a test that panics fails, as it should")
)]

mod apps;
mod chart;
mod cli;
mod conditions;
mod guest;
mod hpcc;
mod interrupts;
mod launch;
mod noise;
mod record;
mod report;
#[cfg(test)]
mod sample;
mod tables;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::cli::{Action, Cli};

fn main() -> ExitCode {
    match act(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("showcase: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does what the command line says; returns whether every program had the right result.
fn act(cli: &Cli) -> Result<bool> {
    let mut out = std::io::stdout();
    match &cli.action {
        Action::Guest(options) => guest::run(options, &mut out),
        Action::Report(options) => report::run(options, &mut out),
    }
}
