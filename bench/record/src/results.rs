// SPDX-License-Identifier: GPL-2.0
//! What the lab makes of counts and report: the file that is compared with the committed baseline.
//!
//! Two runs of the same programs give the same bytes, so nothing in here depends on the host or the hour.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::place::Place;
use crate::report::{Key, Usage, Why};

/// Version of the file.
pub const SCHEMA: u32 = 1;

/// The lab's results, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Results {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Whether these are counts of the emulator or times of a machine.
    pub kind: Kind,
    /// What they depend on: kernel version, configuration hash, versions of emulator and compilers, boot lines.
    pub conditions: BTreeMap<String, String>,
    /// Sorted by machine, key and place, no two with the same.
    pub rows: Vec<Row>,
}

/// What the figures are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Instructions and entries, counted by the emulator.
    Counted,
    /// Nanoseconds of a real machine.
    Timed,
}

/// One measurement in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The emulated machine, of which there are several; `real` for a real one.
    pub machine: String,
    /// What.
    pub key: Key,
    /// Where.
    pub place: Place,
    /// The figures, or why there are none.
    pub figures: Result<Figures, Why>,
    /// In a baseline: what else was counted when nothing but the clock's phase differed, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
}

/// The counts of runs of the same programs on the same machine at other phases of its clock.
///
/// A change anywhere shifts what comes later, and so which of two CPUs comes first and where ticks fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// The least of each count.
    pub least: Totals,
    /// The most of each count.
    pub most: Totals,
}

/// The counts that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// As [`Figures::user`].
    pub user: u64,
    /// As [`Figures::kernel`].
    pub kernel: u64,
    /// As [`Figures::entries`].
    pub entries: u64,
}

impl From<&Figures> for Totals {
    fn from(figures: &Figures) -> Self {
        Self {
            user: figures.user,
            kernel: figures.kernel,
            entries: figures.entries,
        }
    }
}

/// The figures of one measurement in one place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// How many times the operation was repeated; all counts are of all repetitions together.
    pub iterations: u64,
    /// Instructions in user mode on the place's CPUs.
    pub user: u64,
    /// Instructions in kernel mode on the place's CPUs.
    pub kernel: u64,
    /// Changes from user to kernel mode there.
    pub entries: u64,
    /// The longest stay in kernel mode there, in instructions.
    pub longest: u64,
    /// Stays by length: number `n` counts those of 2^n to 2^(n+1)-1 instructions.
    pub stays: Vec<u64>,
    /// Entries by the symbol that they began at.
    pub causes: BTreeMap<String, u64>,
    /// Instructions in kernel mode on CPUs that belong to no place of the window: what Linux does on its behalf.
    pub kernel_elsewhere: u64,
    /// Page faults and context switches, where the program looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Times, on a real machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<Times>,
}

/// Times of single operations in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// How many.
    pub nr: u64,
    /// The shortest.
    pub min_ns: u64,
    /// Half of them took no longer.
    pub median_ns: u64,
    /// 99.9 % of them took no longer.
    pub p999_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// Distance between the quartiles.
    pub spread_ns: u64,
}
