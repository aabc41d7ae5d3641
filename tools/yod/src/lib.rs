// SPDX-License-Identifier: GPL-2.0
//! yod: reserves LWK CPUs and becomes the program that runs on them.
//!
//! There is no child: yod enters its job and execs, so exit status, signals and the process id are the program's
//! own. It changes nothing else that a program inherits: no environment, no signal state, no descriptor. Only for
//! `--syscall-report` does it stay, as the program's parent.
//!
//! [`cli`] is the full command line, [`quick`] reads the common ones without the cost of a full parser, [`lookup`]
//! finds the program before anything is reserved, [`launch`] does the work, [`parent`] waits for the program.
#![deny(unsafe_code)]

pub mod cli;
pub mod launch;
pub mod lookup;
pub mod parent;
pub mod quick;

use std::io::Write;

use clap::Parser;

/// Exit status when yod itself failed, as for `env` and `nohup`.
pub const EXIT_YOD_FAILED: u8 = 125;
/// Exit status when the command was found but could not be executed.
pub const EXIT_NOT_EXECUTABLE: u8 = 126;
/// Exit status when the command was not found.
pub const EXIT_NOT_FOUND: u8 = 127;

/// Runs yod with the arguments of this process; returns its exit status if it did not become the program.
pub fn run() -> u8 {
    let args: Vec<_> = std::env::args_os().collect();
    let options = match quick::parse(&args) {
        Some(options) => options,
        None => match cli::Options::try_parse_from(&args) {
            Ok(options) => options,
            Err(error) => {
                // Nobody is left to tell when standard error cannot be written.
                let _ = error.print();
                return if error.use_stderr() {
                    EXIT_YOD_FAILED
                } else {
                    0
                };
            }
        },
    };
    match launch::launch(&options) {
        Ok(status) => status,
        Err(failure) => {
            // One write, so that messages of many launches do not mix; else as above.
            let _ = std::io::stderr().write_all(format!("yod: {failure}\n").as_bytes());
            failure.exit_status()
        }
    }
}
