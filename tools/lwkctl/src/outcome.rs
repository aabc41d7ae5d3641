// SPDX-License-Identifier: GPL-2.0
//! What became of a change, as text and as JSON.

use lwk::{CallPolicy, Calls, Policies};
use lwk_logic::logic::cpuset::CpuSet;
use lwk_logic::logic::mempolicy::Policy;
use serde::Serialize;

use crate::change::Step;
use crate::report::{numbers, SCHEMA};
use crate::transaction::{Outcome, Record, Status};

/// A change and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct ChangeReport {
    /// Version of the JSON.
    pub schema: u32,
    /// Whether nothing was to be changed.
    pub dry_run: bool,
    /// What became of all of it.
    pub result: Whole,
    /// The steps in their order.
    pub steps: Vec<StepReport>,
    /// Partitions of the boot line that were left alone, as nobody named them.
    pub kept: Vec<String>,
}

/// What became of a change as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whole {
    /// There was nothing to do.
    Unchanged,
    /// A dry run that nothing speaks against.
    Planned,
    /// All done.
    Done,
    /// A step was refused; the machine is as it was.
    Failed,
    /// A step was refused, and not all could be taken back.
    Partial,
}

/// A step and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    /// `create`, `resize`, `policy`, `syscalls` or `delete`.
    pub action: &'static str,
    /// The name of the partition.
    pub partition: String,
    /// The LWK CPUs of a new partition.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "maybe_numbers"
    )]
    pub cpus: Option<CpuSet>,
    /// The service CPUs of a new partition.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "maybe_numbers"
    )]
    pub service_cpus: Option<CpuSet>,
    /// The CPUs that a partition gets.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "maybe_numbers"
    )]
    pub add: Option<CpuSet>,
    /// The CPUs that it gives back.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "maybe_numbers"
    )]
    pub remove: Option<CpuSet>,
    /// The memory that a partition is to have, as on the command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// How it backs jobs, as options on the command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Where its system calls are carried out, as options on the command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syscalls: Option<String>,
    /// What became of it: `planned`, `done`, `failed`, `undone` or `not undone`.
    pub status: &'static str,
    /// Why it failed or could not be undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The step in words.
    #[serde(skip)]
    text: String,
}

impl ChangeReport {
    /// Tells of steps that were carried out, on the machine or, for a dry run, in memory.
    pub fn new(outcome: &Outcome, kept: Vec<String>, dry_run: bool) -> Self {
        let result = match outcome.failure() {
            _ if outcome.records.is_empty() => Whole::Unchanged,
            Some(_) if outcome.has_leftovers() => Whole::Partial,
            Some(_) => Whole::Failed,
            None if dry_run => Whole::Planned,
            None => Whole::Done,
        };
        let step = |record: &Record| StepReport::new(record, dry_run);
        Self {
            schema: SCHEMA,
            dry_run,
            result,
            steps: outcome.records.iter().map(step).collect(),
            kept,
        }
    }

    /// A line for each step.
    pub fn text(&self) -> String {
        let mut text: String = self
            .steps
            .iter()
            .map(|step| format!("{}: {}\n", step.status, step.text))
            .collect();
        if self.steps.is_empty() {
            text += "unchanged: the machine has these partitions already\n";
        }
        for name in &self.kept {
            text += &format!("kept: partition {name} of the boot line\n");
        }
        text
    }

    /// What to say of the machine after a failure.
    pub fn aftermath(&self) -> Option<String> {
        match self.result {
            Whole::Failed if self.dry_run || self.steps.len() == 1 => None,
            Whole::Failed => Some("the machine is as it was before".to_owned()),
            Whole::Partial => {
                let left = self.steps.iter().filter(|step| step.status == "not undone");
                let left = left.map(|step| {
                    format!(
                        "{} ({})",
                        step.text,
                        step.error.as_deref().unwrap_or_default()
                    )
                });
                let left: Vec<String> = left.collect();
                Some(format!("not taken back: {}", left.join("; ")))
            }
            _ => None,
        }
    }
}

impl StepReport {
    fn new(record: &Record, dry_run: bool) -> Self {
        let (mut cpus, mut service_cpus, mut add, mut remove) = (None, None, None, None);
        match &record.step {
            Step::Create(new) => (cpus, service_cpus) = (Some(new.cpus), Some(new.service)),
            Step::Resize(_, change) => (add, remove) = (Some(change.add), Some(change.remove)),
            Step::Delete(_) | Step::Policy(..) | Step::Calls(..) => {}
        }
        let memory = match &record.step {
            Step::Create(new) => new.memory.as_ref(),
            Step::Resize(_, change) => change.memory.as_ref(),
            Step::Delete(_) | Step::Policy(..) | Step::Calls(..) => None,
        };
        let policy = match &record.step {
            Step::Create(new) => Some(&new.policy).filter(|policy| **policy != Policy::DEFAULT),
            Step::Policy(_, policy) => Some(policy),
            Step::Resize(..) | Step::Delete(_) | Step::Calls(..) => None,
        };
        let calls = match &record.step {
            Step::Create(new) => Some(&new.calls).filter(|calls| **calls != CallPolicy::DEFAULT),
            Step::Calls(_, calls) => Some(calls),
            Step::Resize(..) | Step::Delete(_) | Step::Policy(..) => None,
        };
        let status = match &record.status {
            Status::Failed(_) => record.status.name(),
            _ if dry_run => Status::Planned.name(),
            status => status.name(),
        };
        Self {
            action: record.step.action(),
            partition: record.step.partition().to_owned(),
            cpus,
            service_cpus,
            add,
            remove,
            memory: memory.map(ToString::to_string),
            policy: policy.map(|policy| Policies::of(policy).to_string()),
            syscalls: calls.map(|calls| Calls::of(calls).to_string()),
            status,
            error: record.status.error().map(ToString::to_string),
            text: record.step.to_string(),
        }
    }
}

/// Writes a set that is there as an array of CPU numbers.
fn maybe_numbers<S: serde::Serializer>(
    set: &Option<CpuSet>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    numbers(&set.unwrap_or_default(), serializer)
}
