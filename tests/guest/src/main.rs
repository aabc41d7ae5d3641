// SPDX-License-Identifier: GPL-2.0
//! The guest tests: this program is PID 1 of a small machine whose kernel holds the LWK.
//!
//! [`init`] mounts what a system needs and runs the suite that the kernel command line names, [`harness`] runs each
//! case in a child of its own and writes KTAP to a virtio port, [`cases`] are the tests, and [`inside`] are the
//! programs that the tests run on LWK CPUs (this same binary, called as `guest-tests inside NAME ARGS`).
//! `guest-tests --list` prints every case and needs no guest, which is how the runner knows what to expect.
#![deny(unsafe_code)]

mod calls;
mod cases;
mod cpus;
mod fuzz;
mod harness;
mod init;
mod inside;
mod job;
mod ktap;
mod memory;
mod partition;
mod proc;
mod random;
mod snapshot;
#[expect(
    unsafe_code,
    reason = "the only place that forks, maps memory and issues ioctls"
)]
mod sys;
mod trace;
mod tracer;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--list"] => {
            for suite in cases::SUITES {
                for case in suite.cases {
                    println!("{}\t{}\t{}", suite.name, case.name, case.description);
                }
            }
            ExitCode::SUCCESS
        }
        ["inside", name, rest @ ..] => inside::main(name, rest),
        // PID 1 gets the words of the boot line that the kernel does not know, hence no check of `args`.
        _ if std::process::id() == 1 => init::main(),
        _ => {
            eprintln!("guest-tests is the init of a test machine; elsewhere it only knows --list and inside NAME");
            ExitCode::from(2)
        }
    }
}
