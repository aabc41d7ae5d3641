// SPDX-License-Identifier: GPL-2.0
//! The kinds of CPUs that are compared.

use serde::{Deserialize, Serialize};

/// A kind of CPUs that programs run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// CPUs as Linux runs them by default.
    Linux,
    /// CPUs quietened with what Linux itself offers.
    Tuned,
    /// CPUs of an LWK partition.
    Lwk,
}

impl Place {
    /// All of them, baseline first.
    pub const ALL: [Self; 3] = [Self::Linux, Self::Tuned, Self::Lwk];

    /// The words for tables and progress lines.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Linux => "Linux CPUs",
            Self::Tuned => "tuned Linux CPUs",
            Self::Lwk => "LWK CPUs",
        }
    }

    /// The word of the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Tuned => "tuned",
            Self::Lwk => "lwk",
        }
    }
}

/// A place with its CPUs on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Which it is.
    pub place: Place,
    /// Its CPUs.
    pub cpus: Vec<u32>,
    /// What was done to quieten it, and whether that worked.
    pub tuning: Vec<String>,
}
