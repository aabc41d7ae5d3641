// SPDX-License-Identifier: GPL-2.0
//! Checks how well a machine is set up: what was found, why it matters, what to change.
//!
//! Everything is read below one directory, [`tree::Tree`], so that any machine can be checked that was captured or made
//! up; only the device is asked, if there is one. [`facts::Facts`] is what the checks share. Each check is a function
//! from facts to a [`Check`]; [`checks`] lists them. A file that is missing makes a check "unknown", not a finding.

mod boot;
mod clock;
mod facts;
mod irq;
mod kernel;
mod memory;
mod power;
mod tree;

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use lwk_logic::logic::cpuset::CpuSet;
use serde::Serialize;

pub use facts::{DeviceFacts, Facts};
pub use tree::Tree;

use crate::report::{numbers, SCHEMA};
use crate::Answer;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// All is well.
    Ok,
    /// Something should be changed.
    Finding,
    /// The machine does not tell.
    Unknown,
}

/// A check and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// How it ended.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// Why it matters, for a finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
    /// What to change, for a finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
}

impl Check {
    /// All is well.
    pub(crate) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            status: Status::Ok,
            found: found.into(),
            why: None,
            change: None,
        }
    }

    /// The machine does not tell.
    pub(crate) fn unknown(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            status: Status::Unknown,
            ..Self::ok(name, found)
        }
    }

    /// Something should be changed.
    pub(crate) fn finding(
        name: &'static str,
        found: impl Into<String>,
        why: &'static str,
        change: impl Into<String>,
    ) -> Self {
        Self {
            name,
            status: Status::Finding,
            found: found.into(),
            why: Some(why),
            change: Some(change.into()),
        }
    }
}

impl Check {
    /// It without what files of another machine might say to the terminal.
    fn plain(self) -> Self {
        Self {
            found: lwk::plain(&self.found),
            change: self.change.map(|change| lwk::plain(&change)),
            ..self
        }
    }
}

/// All checks of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Version of the JSON.
    pub schema: u32,
    /// The CPUs that were taken for those of the LWK.
    #[serde(serialize_with = "numbers")]
    pub lwk_cpus: CpuSet,
    /// How many checks ended with a finding.
    pub nr_findings: usize,
    /// The checks.
    pub checks: Vec<Check>,
}

/// Every check, in the order in which they are told.
fn checks() -> [fn(&Facts) -> Check; 19] {
    [
        kernel::lwk,
        kernel::abi,
        kernel::access,
        boot::lwkcpus,
        boot::isolation,
        boot::nowatchdog,
        clock::tsc_reliable,
        clock::clocksource,
        clock::timer_migration,
        power::cpuidle,
        power::governor,
        irq::spread,
        irq::irqbalance,
        memory::thp,
        memory::ksm,
        memory::numa_balancing,
        kernel::corrected_errors,
        kernel::siblings,
        kernel::service,
    ]
}

impl Diagnosis {
    /// Makes all checks.
    pub fn new(facts: &Facts) -> Self {
        let checks: Vec<Check> = checks().iter().map(|check| check(facts).plain()).collect();
        let is_finding = |check: &&Check| check.status == Status::Finding;
        Self {
            schema: SCHEMA,
            lwk_cpus: facts.lwk,
            nr_findings: checks.iter().filter(is_finding).count(),
            checks,
        }
    }

    /// A line for each check, and what to change below each finding.
    pub fn text(&self) -> String {
        let width = self
            .checks
            .iter()
            .map(|check| check.name.len())
            .max()
            .unwrap_or(0);
        let mut text = String::new();
        for check in &self.checks {
            let status = match check.status {
                Status::Ok => "ok",
                Status::Finding => "FINDING",
                Status::Unknown => "unknown",
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{status:<7}  {:<width$}  {}", check.name, check.found);
            let indent = width + 11;
            if let Some(why) = check.why {
                let _ = writeln!(text, "{:indent$}why: {why}", "");
            }
            if let Some(change) = &check.change {
                let _ = writeln!(text, "{:indent$}change: {change}", "");
            }
        }
        let _ = writeln!(text, "{} findings", self.nr_findings);
        text
    }
}

/// Checks the machine below `sysroot`; the device is asked only on the machine itself.
///
/// # Errors
///
/// If there is no machine to read.
pub(crate) fn answer(device: &Path, sysroot: &Path, json: bool) -> Result<Answer> {
    let asked = (sysroot == Path::new("/")).then(|| DeviceFacts::ask(device));
    let facts = Facts::read(sysroot, asked)
        .with_context(|| format!("cannot check the machine in {}", sysroot.display()))?;
    let diagnosis = Diagnosis::new(&facts);
    let text = if json {
        serde_json::to_string_pretty(&diagnosis)? + "\n"
    } else {
        diagnosis.text()
    };
    Ok(Answer {
        text,
        error: None,
        status: u8::from(diagnosis.nr_findings > 0),
    })
}
