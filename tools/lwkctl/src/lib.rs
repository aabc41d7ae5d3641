// SPDX-License-Identifier: GPL-2.0
//! lwkctl: shows and changes partitions of the LWK, and checks the machine.
//!
//! [`cli`] is the command line. Looking: [`report`] is the JSON schema and how it is filled, [`show`] and [`noise`] the
//! text for people, [`memory`] the pools, [`policy`] how they back jobs, [`table`] its columns, [`syscalls`] where calls are carried out and how often, [`users`] the names of users, [`disturbances`] who disturbed. Changing: [`commands`] does it, [`config`] is
//! the file of partitions, [`change`] the steps from what there is to what shall be, [`transaction`] carries them out or
//! takes them back, [`outcome`] tells it. Checking: [`doctor`].
#![forbid(unsafe_code)]

pub mod change;
pub mod cli;
pub mod commands;
pub mod config;
pub mod disturbances;
pub mod doctor;
pub mod memory;
pub mod noise;
pub mod outcome;
pub mod policy;
pub mod report;
pub mod show;
pub mod syscalls;
pub mod table;
pub mod transaction;
pub mod users;

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result};
use lwk::{Device, State, Survey};
use lwk_logic::uapi::{ABI_VERSION, DEVICE_PATH};

use crate::cli::{Command, Mem, Options, Show};
use crate::commands::Target;
use crate::memory::MemoryReport;
use crate::report::{Detail, PartitionsReport, Report};
use crate::table::Style;
use crate::users::Users;

/// What to print, and how it ended.
#[derive(Debug)]
pub struct Answer {
    /// For standard output.
    pub text: String,
    /// What went wrong, if something did.
    pub error: Option<anyhow::Error>,
    /// The exit status, if nothing went wrong.
    pub status: u8,
}

impl Answer {
    /// An answer that may come with an error.
    pub const fn new(text: String, error: Option<anyhow::Error>) -> Self {
        Self {
            text,
            error,
            status: 0,
        }
    }
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self::new(text, None)
    }
}

/// Does what the command line says, prints the result and returns the exit status.
///
/// # Errors
///
/// If it cannot be done, or standard output fails. A reader that closed the pipe has what it wanted: no error.
pub fn run(options: &Options) -> Result<u8> {
    if let Command::Noise(asked) = &options.command {
        // It may go on for ever, so that it prints itself.
        disturbances::run(
            device(options),
            asked,
            style(),
            &mut std::io::stdout().lock(),
        )?;
        return Ok(0);
    }
    if let Command::Syscalls(asked) = &options.command {
        // It may go on for long, too.
        syscalls::run(
            device(options),
            asked,
            style(),
            &mut std::io::stdout().lock(),
        )?;
        return Ok(0);
    }
    let answer = answer(options)?;
    let mut out = std::io::stdout().lock();
    match out
        .write_all(answer.text.as_bytes())
        .and_then(|()| out.flush())
    {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        done => done.context("cannot write to standard output")?,
    }
    answer.error.map_or(Ok(answer.status), Err)
}

/// The exit status of a command that failed.
pub const fn failure_status(options: &Options) -> u8 {
    match options.command {
        Command::Doctor { .. } => 2,
        _ => 1,
    }
}

/// The device to use.
fn device(options: &Options) -> &Path {
    options.device.as_deref().unwrap_or(Path::new(DEVICE_PATH))
}

/// How tables are drawn on standard output.
fn style() -> Style {
    if std::io::stdout().is_terminal() {
        Style::Boxed
    } else {
        Style::Plain
    }
}

/// Does what the command line says.
fn answer(options: &Options) -> Result<Answer> {
    let path = device(options);
    match &options.command {
        Command::Version => Ok(version(path).into()),
        Command::List { json } => list(&Device::open(path)?.state()?, *json).map(Answer::from),
        Command::Show(asked) => show(path, asked).map(Answer::from),
        Command::Mem(asked) => mem(path, *asked).map(Answer::from),
        Command::Policy(asked) => {
            policy::answer(&mut Device::open(path)?, asked, style()).map(Answer::from)
        }
        // See `run`.
        Command::Noise(_) | Command::Syscalls(_) => Ok(Answer::from(String::new())),
        Command::Create(asked) => match &asked.sysroot {
            Some(sysroot) => Target::plan_only(sysroot)?.create(asked),
            None => Target::open(path, asked.mode)?.create(asked),
        },
        Command::Resize(asked) => Target::open(path, asked.mode)?.resize(asked),
        Command::Delete(asked) => Target::open(path, asked.mode)?.delete(asked),
        Command::Apply(asked) => Target::open(path, asked.mode)?.apply(asked),
        Command::Save { file, json } => {
            let state = Device::open(path)?.state()?;
            save(&state, file.as_deref(), *json).map(Answer::from)
        }
        Command::Doctor { json, sysroot } => doctor::answer(path, sysroot, *json),
    }
}

/// The names of the partitions.
fn list(state: &State, json: bool) -> Result<String> {
    if json {
        return Ok(serde_json::to_string_pretty(&PartitionsReport::new(state))? + "\n");
    }
    Ok(state
        .partitions
        .iter()
        .map(|partition| format!("{}\n", partition.name))
        .collect())
}

/// Partitions, jobs and CPUs.
fn show(path: &Path, asked: &Show) -> Result<String> {
    let device = Device::open(path)?;
    let detail = if asked.noise {
        Detail::Noise
    } else {
        Detail::Owners
    };
    let mut report = Report::read(&device, &Users::read(), detail)?;
    if let Some(name) = &asked.name {
        report.retain_partition(device.partition_id(name)?);
    }
    if asked.json {
        return Ok(serde_json::to_string_pretty(&report)? + "\n");
    }
    Ok(match detail {
        Detail::Owners => show::text(&report, style()),
        Detail::Noise => noise::text(&report, style()),
    })
}

/// The memory of partitions.
fn mem(path: &Path, asked: Mem) -> Result<String> {
    let survey = if asked.survey {
        Survey::Yes
    } else {
        Survey::No
    };
    let report = MemoryReport::read(&Device::open(path)?, survey)?;
    if asked.json {
        return Ok(serde_json::to_string_pretty(&report)? + "\n");
    }
    Ok(report.text(style()))
}

/// The partitions as a file; the text for standard output.
fn save(state: &State, file: Option<&Path>, json: bool) -> Result<String> {
    if json {
        return list(state, true);
    }
    let text = config::text(state)?;
    match file.filter(|file| *file != Path::new("-")) {
        None => Ok(text),
        Some(file) => {
            config::write(file, &text)?;
            Ok(String::new())
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
