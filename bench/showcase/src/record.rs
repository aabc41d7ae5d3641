// SPDX-License-Identifier: GPL-2.0
//! What a run of the programs leaves behind: the file that `guest` writes and `report` reads.

use std::collections::BTreeMap;

use anyhow::{ensure, Context, Result};
use serde::{Deserialize, Serialize};

use crate::apps::App;
use crate::conditions::Conditions;

/// Version of the file, so that `report` refuses what it would misread.
pub(crate) const SCHEMA: u32 = 1;

/// Counts by cause.
pub(crate) type Counts = BTreeMap<String, u64>;

/// A kind of CPUs that programs run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Place {
    /// CPUs as Linux runs them by default.
    Linux,
    /// CPUs quietened with what Linux itself offers.
    Tuned,
    /// CPUs of an LWK partition.
    Lwk,
}

impl Place {
    /// All of them, baseline first.
    pub(crate) const ALL: [Self; 3] = [Self::Linux, Self::Tuned, Self::Lwk];

    /// The words for tables and progress lines.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Linux => "Linux CPUs",
            Self::Tuned => "tuned Linux CPUs",
            Self::Lwk => "LWK CPUs",
        }
    }

    /// The word of the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Tuned => "tuned",
            Self::Lwk => "lwk",
        }
    }
}

/// A place with its CPUs on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Site {
    /// Which it is.
    pub(crate) place: Place,
    /// Its CPUs as a list.
    pub(crate) cpus: String,
    /// What was done to quieten it, and whether that worked.
    pub(crate) tuning: Vec<String>,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Exit {
    /// It exited with this status.
    Status(i32),
    /// This signal killed it.
    Signal(i32),
    /// It was stopped because it took too long.
    TimedOut,
}

impl Exit {
    /// Whether it exited with status 0.
    pub(crate) const fn is_success(self) -> bool {
        matches!(self, Self::Status(0))
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
            Self::TimedOut => f.write_str("stopped after the time limit"),
        }
    }
}

/// What the LWK counted on its CPUs; unlike `/proc/interrupts` it sees every way into the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct LwkCounts {
    /// Entries from user mode by kind.
    pub(crate) entries: Counts,
    /// Interrupts by source.
    pub(crate) irqs: Counts,
    /// Context switches of LWK tasks.
    pub(crate) switches: u64,
    /// Page faults of LWK tasks.
    pub(crate) faults: u64,
    /// Runs of per-CPU kernel threads while an LWK task wanted the CPU.
    pub(crate) guest_runs: u64,
}

/// One program in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// The program.
    pub(crate) program: App,
    /// Where it ran.
    pub(crate) place: Place,
    /// The command with its launcher.
    pub(crate) command: Vec<String>,
    /// How it ended.
    pub(crate) exit: Exit,
    /// Why its result is wrong, or nothing if it is right.
    pub(crate) wrong: Option<String>,
    /// SHA-256 of its normalised output.
    pub(crate) digest: Option<String>,
    /// Wall time with the launcher.
    pub(crate) wall_ns: u64,
    /// Interrupts on the CPUs of the place, by row of `/proc/interrupts`.
    pub(crate) interrupts: Counts,
    /// The LWK's own counters, for LWK CPUs.
    pub(crate) lwk: Option<LwkCounts>,
    /// Voluntary and involuntary context switches of all its processes.
    pub(crate) switches: u64,
    /// Minor and major page faults of all its processes.
    pub(crate) faults: u64,
}

impl Run {
    /// Whether it exited with 0 and its result was right.
    pub(crate) const fn is_correct(&self) -> bool {
        self.exit.is_success() && self.wrong.is_none()
    }

    /// Timer interrupts: the tick, and high-resolution timers that came with it.
    pub(crate) fn ticks(&self) -> u64 {
        self.interrupts.get("LOC").copied().unwrap_or(0)
    }

    /// Interrupts other than timer ones.
    pub(crate) fn other_interrupts(&self) -> u64 {
        self.interrupts
            .iter()
            .filter(|(cause, _)| *cause != "LOC")
            .map(|(_, count)| count)
            .sum()
    }
}

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// [`SCHEMA`].
    pub(crate) schema: u32,
    /// The machine, the kernel and the packages.
    pub(crate) conditions: Conditions,
    /// The places in the order that they were used.
    pub(crate) sites: Vec<Site>,
    /// The runs in the order that they were made.
    pub(crate) runs: Vec<Run>,
}

impl Record {
    /// Reads the file's text.
    ///
    /// # Errors
    ///
    /// It is no such file, of another version, or holds no run.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let value: serde_json::Value = serde_json::from_str(text).context("not JSON")?;
        let schema = value.get("schema").and_then(serde_json::Value::as_u64);
        ensure!(
            schema == Some(SCHEMA.into()),
            "schema {} where this program wants {SCHEMA}",
            schema.map_or_else(|| "missing".to_owned(), |schema| schema.to_string())
        );
        let record: Self = serde_json::from_value(value)?;
        ensure!(!record.runs.is_empty(), "it holds no run");
        Ok(record)
    }

    /// Returns the run of a program in a place.
    pub(crate) fn run(&self, program: App, place: Place) -> Option<&Run> {
        self.runs
            .iter()
            .find(|run| run.program == program && run.place == place)
    }

    /// Returns the programs in the order that they ran.
    pub(crate) fn programs(&self) -> Vec<App> {
        let mut programs = Vec::new();
        for run in &self.runs {
            if !programs.contains(&run.program) {
                programs.push(run.program);
            }
        }
        programs
    }
}
