// SPDX-License-Identifier: GPL-2.0
//! What the guest program says at the end of its run.

use serde::{Deserialize, Serialize};

use crate::place::{Place, Site};
use crate::results::Kind;

/// Version of the report.
pub const SCHEMA: u32 = 1;

/// The guest's report, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Whether the windows were counted by the emulator or timed by the program itself.
    pub kind: Kind,
    /// `uname -r`.
    pub kernel: String,
    /// The boot line.
    pub boot_line: String,
    /// The places in the order in which they are used.
    pub sites: Vec<Site>,
    /// The windows in the order of their opening.
    pub windows: Vec<Window>,
    /// What was to be measured and was not.
    pub missing: Vec<Missing>,
}

/// A window that was opened and closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// What was measured.
    pub key: Key,
    /// How many times the window repeats the operation.
    pub iterations: u64,
    /// Whose figures count: one for each place that the window measures; none if it is void, because the benchmark
    /// failed after it was closed.
    pub subjects: Vec<Subject>,
    /// Times of single operations on a machine that has time; empty in counted runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times_ns: Vec<u64>,
    /// Instructions of all repetitions in user and in kernel mode as the processor counted them in a timed run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<(u64, u64)>,
}

/// Names a measurement apart from its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// `noise`, `thread`, `syscall`, `memory`, `process`, `launch`, `partition`, `apps`, `scaling`.
    pub suite: String,
    /// The benchmark in the suite, kebab-case.
    pub bench: String,
    /// What distinguishes variants, for example `2MiB` or `64cpus`; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

/// The CPUs of one place in a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The place.
    pub place: Place,
    /// The CPUs whose counts are added up.
    pub cpus: Vec<u32>,
    /// Page faults and context switches of the subject's threads, where it looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// What `getrusage(2)` told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Minor and major page faults.
    pub faults: u64,
    /// Voluntary and involuntary context switches.
    pub switches: u64,
}

/// A measurement without a figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// What.
    pub key: Key,
    /// Where; nothing for everywhere.
    pub place: Option<Place>,
    /// Why.
    pub why: Why,
}

/// Why there is no figure.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The feature does not exist yet.
    NotBuilt,
    /// The machine or kernel cannot do it, with the reason.
    NotHere(String),
    /// It went wrong, with the reason; the run has failed.
    Failed(String),
}
