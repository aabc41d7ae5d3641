// SPDX-License-Identifier: GPL-2.0
//! Runs lwkctl: exit status 0 if all went well, 1 if it failed, 2 if the command line is wrong.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let options = lwkctl::cli::Options::parse();
    match lwkctl::run(&options) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            // Nobody is left to tell when standard error cannot be written.
            let _ = std::io::stderr().write_all(format!("lwkctl: {error:#}\n").as_bytes());
            ExitCode::from(lwkctl::failure_status(&options))
        }
    }
}
