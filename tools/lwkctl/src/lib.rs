// SPDX-License-Identifier: GPL-2.0
//! lwkctl: shows partitions, jobs and CPUs of the LWK.
//!
//! [`cli`] is the command line, [`report`] the JSON schema and how it is filled, [`show`] and [`noise`] the text for
//! people, [`table`] its columns, [`users`] the names of users.
#![forbid(unsafe_code)]

pub mod cli;
pub mod noise;
pub mod report;
pub mod show;
pub mod table;
pub mod users;

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result};
use lwk::Device;
use lwk_logic::uapi::{ABI_VERSION, DEVICE_PATH};

use crate::cli::{Command, Options};
use crate::report::{Detail, Report};
use crate::table::Style;
use crate::users::Users;

/// Does what the command line says and prints the result.
///
/// # Errors
///
/// If the device or standard output fails. A reader that closed the pipe has what it wanted: no error.
pub fn run(options: &Options) -> Result<()> {
    let text = text(options)?;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done.context("cannot write to standard output"),
    }
}

/// What to print.
fn text(options: &Options) -> Result<String> {
    let path = options.device.as_deref().unwrap_or(Path::new(DEVICE_PATH));
    match options.command {
        Command::Version => Ok(version(path)),
        Command::List => {
            let partitions = Device::open(path)?.partitions()?;
            Ok(partitions
                .iter()
                .map(|partition| format!("{}\n", partition.name))
                .collect())
        }
        Command::Show { json, noise } => {
            let detail = if noise { Detail::Noise } else { Detail::Owners };
            let report = Report::read(&Device::open(path)?, &Users::read(), detail)?;
            if json {
                return Ok(serde_json::to_string_pretty(&report)? + "\n");
            }
            let style = if std::io::stdout().is_terminal() {
                Style::Boxed
            } else {
                Style::Plain
            };
            Ok(match detail {
                Detail::Owners => show::text(&report, style),
                Detail::Noise => noise::text(&report, style),
            })
        }
    }
}

/// The versions of tool and kernel; a kernel without LWK is an answer here, not an error.
fn version(path: &Path) -> String {
    let kernel = match Device::abi_version(path) {
        Ok(version) => format!("ABI {version}"),
        Err(error) => format!("unknown: {error}"),
    };
    format!(
        "lwkctl {} (ABI {ABI_VERSION})\nkernel {kernel}\n",
        env!("CARGO_PKG_VERSION")
    )
}
