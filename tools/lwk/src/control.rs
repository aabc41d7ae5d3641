// SPDX-License-Identifier: GPL-2.0
//! Changes of partitions: what can be asked, and the trait of whoever carries it out.
//!
//! [`crate::Device`] is the kernel; [`crate::Forecast`] is a machine in memory, for dry runs and tests.

use lwk_logic::logic::cpuset::CpuSet;
use lwk_logic::logic::mempolicy::Policy;
use lwk_logic::uapi::NAME_LEN;

use crate::calls::CallPolicy;
use crate::error::{Error, Named};
use crate::memory::MemoryWish;
use crate::model::Partition;
use crate::plan::State;

/// A partition that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPartition {
    /// Its name.
    pub name: PartitionName,
    /// Its LWK CPUs.
    pub cpus: CpuSet,
    /// The Linux CPUs that serve it.
    pub service: CpuSet,
    /// Its memory.
    pub memory: Option<MemoryWish>,
    /// How that backs jobs that do not say so.
    pub policy: Policy,
    /// Where system calls of jobs that do not say so are carried out.
    pub calls: CallPolicy,
}

/// What a resize changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resize {
    /// The CPUs to take from Linux.
    pub add: CpuSet,
    /// The CPUs to give back.
    pub remove: CpuSet,
    /// What memory of some nodes it is to have from here on.
    pub memory: Option<MemoryWish>,
}

impl Resize {
    /// The change that takes this one of a partition back.
    #[must_use]
    pub fn inverse(&self, partition: &Partition) -> Self {
        let restore = |wish| partition.memory.restore(wish);
        Self {
            add: self.remove,
            remove: self.add,
            memory: self.memory.as_ref().map(restore),
        }
    }
}

/// Whoever owns partitions and can change them.
pub trait Control {
    /// One more than the highest possible CPU number.
    fn nr_cpus(&self) -> u32;

    /// Reads partitions and jobs.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    fn state(&self) -> Result<State, Error>;

    /// Makes a partition and returns its id.
    ///
    /// # Errors
    ///
    /// If it is refused; nothing has changed then.
    fn create(&mut self, new: &NewPartition) -> Result<u32, Error>;

    /// Changes the CPUs and the memory of a partition.
    ///
    /// # Errors
    ///
    /// If it is refused; nothing has changed then.
    fn resize(&mut self, partition: &Named, change: &Resize) -> Result<(), Error>;

    /// Sets how the memory of a partition backs jobs that do not say so.
    ///
    /// # Errors
    ///
    /// If it is refused; nothing has changed then.
    fn set_policy(&mut self, partition: u32, policy: &Policy) -> Result<(), Error>;

    /// Sets where the system calls of a partition's jobs that do not say so are carried out.
    ///
    /// # Errors
    ///
    /// If it is refused; nothing has changed then.
    fn set_partition_calls(&mut self, partition: u32, calls: &CallPolicy) -> Result<(), Error>;

    /// Ends a partition.
    ///
    /// # Errors
    ///
    /// If it is refused; nothing has changed then.
    fn delete(&mut self, partition: &Named) -> Result<(), Error>;
}

/// A name that the kernel takes for a partition.
///
/// # Invariants
///
/// 1 to `NAME_LEN - 1` ASCII letters, digits, `-`, `_` and `.`, the first a letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionName(String);

/// A text is no name of a partition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name for a partition: it takes a letter, then letters, digits, '-', '_' and '.', at most {max} in all",
    max = NAME_LEN - 1
)]
pub struct NameError(String);

impl PartitionName {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first of `lwk0`, `lwk1` and so on that no partition has.
    pub fn unused(state: &State) -> Self {
        let is_taken = |name: &str| state.partitions.iter().any(|found| found.name == name);
        let mut names = (0_u32..).map(|number| format!("lwk{number}"));
        // INVARIANT: These are three letters and at most ten digits. There are fewer partitions than numbers.
        Self(names.find(|name| !is_taken(name)).unwrap_or_default())
    }

    /// It with NULs after it, as it crosses the ABI.
    pub(crate) fn bytes(&self) -> [u8; NAME_LEN] {
        let mut bytes = [0; NAME_LEN];
        bytes
            .iter_mut()
            .zip(self.0.as_bytes())
            .for_each(|(to, from)| *to = *from);
        bytes
    }
}

impl std::str::FromStr for PartitionName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_good = (1..NAME_LEN).contains(&text.len())
            && text.chars().all(is_plain)
            && text.starts_with(|c: char| c.is_ascii_alphabetic());
        if is_good {
            // INVARIANT: Just tested.
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError(text.to_owned()))
        }
    }
}

impl std::fmt::Display for PartitionName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Partition;

    #[test]
    fn names_are_those_that_the_abi_takes() {
        for good in ["a", "lwk0", "A-b_c.d", &"x".repeat(31)] {
            assert_eq!(
                good.parse::<PartitionName>().map(|name| name.to_string()),
                Ok(good.to_owned())
            );
        }
        for bad in [
            "",
            "-a",
            "1",
            "_a",
            "a b",
            "a/b",
            "ä",
            "a\0",
            &"x".repeat(32),
        ] {
            let error = bad.parse::<PartitionName>().expect_err("a bad name");
            assert!(error.to_string().contains("at most 31"), "{error}");
        }
    }

    #[test]
    fn a_name_ends_with_nul() {
        let name: PartitionName = "ab".parse().expect("a good name");
        assert_eq!(name.bytes()[..4], *b"ab\0\0");
    }

    #[test]
    fn the_default_name_is_the_first_that_is_not_taken() {
        let mut state = State::default();
        assert_eq!(PartitionName::unused(&state).as_str(), "lwk0");
        for name in ["lwk0", "lwk2", "boot"] {
            state.partitions.push(Partition {
                id: 1,
                name: name.to_owned(),
                boot: false,
                cpus: CpuSet::EMPTY,
                service: CpuSet::EMPTY,
                memory: crate::Shares::default(),
                policy: Policy::DEFAULT,
                calls: CallPolicy::DEFAULT,
            });
        }
        assert_eq!(PartitionName::unused(&state).as_str(), "lwk1");
    }
}
