// SPDX-License-Identifier: GPL-2.0
//! What the counter writes when the machine is switched off.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The counter's file, as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// The closed windows in the order of their opening.
    pub windows: Vec<Window>,
    /// What makes the windows worthless, for example a `CLOSE` without an `OPEN`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

/// One window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// By number of the vCPU.
    pub vcpus: Vec<Vcpu>,
    /// Kernel instructions by vCPU and call stack (`4;asm_exc_page_fault;exc_page_fault`), if asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stacks: BTreeMap<String, u64>,
}

/// What one vCPU did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vcpu {
    /// Instructions in user mode.
    pub user: u64,
    /// Instructions in kernel mode.
    pub kernel: u64,
    /// Changes from user to kernel mode.
    pub entries: u64,
    /// Instructions of the longest stay in kernel mode that began in the window; the part in the window counts.
    pub longest: u64,
    /// Stays that began in the window, by length in it: number `n` counts those of 2^n to 2^(n+1)-1 instructions; no
    /// trailing zeros. They add up to the entries.
    pub stays: Vec<u64>,
    /// Entries by the symbol that they began at, for example `asm_sysvec_apic_timer_interrupt`.
    pub causes: BTreeMap<String, u64>,
    /// Kernel instructions by function, if asked for; they add up to `kernel`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub functions: BTreeMap<String, u64>,
}
