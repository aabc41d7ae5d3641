// SPDX-License-Identifier: GPL-2.0
//! The micro-benchmarks: every one of them on stock Linux CPUs, tuned Linux CPUs and LWK CPUs, in one boot.
//!
//! ```text
//! init (PID 1 of the lab's machine) ─┐                 ┌─ taskset-like ─▶ inside: benchmark on Linux CPUs
//! cli  (a normal machine) ───────────┴─▶ driver ─fork──┴─ yod ──────────▶ inside: benchmark on LWK CPUs
//!                                          │                                └─ measure: OPEN, iterations, CLOSE
//!                                          └─ noise: three computing programs at once, the driver disturbs them
//! ```
//!
//! [`spec`] says what a benchmark is, [`suites`] are the benchmarks, [`measure`] opens and closes windows or takes
//! times, [`driver`] runs everything and makes the report. Whether the figures are counts of the emulator or times of
//! this machine is up to [`measure::Mode`].
#![deny(unsafe_code)]
#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "a test that panics fails, as it should")
)]

mod apps;
mod cli;
mod driver;
mod init;
mod inside;
mod kernel;
mod measure;
mod sites;
mod slices;
mod spec;
mod suites;
#[expect(
    unsafe_code,
    reason = "the only place with marker instructions, raw memory and forks"
)]
mod sys;
mod timed;
mod victims;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        // The smallest program there is, for launching; nobody else calls it.
        ["true"] => ExitCode::SUCCESS,
        ["again", count] => {
            ExitCode::from(u8::try_from(suites::process::again(count)).unwrap_or(1))
        }
        ["inside", rest @ ..] => inside::main(rest),
        // PID 1 gets the words of the boot line that the kernel does not know.
        _ if std::process::id() == 1 => init::main(),
        _ => cli::main(),
    }
}
