// SPDX-License-Identifier: GPL-2.0
//! A CPU list as typed, before it is known how many CPUs the machine has.

use lwk_logic::logic::cpulist::ListError;
use lwk_logic::logic::cpuset::CpuSet;

/// A CPU list in the kernel's grammar; `N` and `all` get their meaning from the machine.
///
/// # Invariants
///
/// The text is a list for a machine with as many CPUs as there can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuList(String);

/// A text is no CPU list, or names CPUs that the machine cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CpuListError(ListError);

impl CpuList {
    /// The CPUs that it names on a machine with so many.
    ///
    /// # Errors
    ///
    /// If it names others.
    pub fn resolve(&self, nr_cpus: u32) -> Result<CpuSet, CpuListError> {
        CpuSet::parse(self.0.as_bytes(), nr_cpus).map_err(CpuListError)
    }
}

impl From<&CpuSet> for CpuList {
    fn from(set: &CpuSet) -> Self {
        // INVARIANT: A set prints as a list of its own CPUs.
        Self(set.to_string())
    }
}

impl std::str::FromStr for CpuList {
    type Err = CpuListError;

    fn from_str(text: &str) -> Result<Self, CpuListError> {
        match text.parse::<CpuSet>() {
            // INVARIANT: Just tested.
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => Err(CpuListError(error)),
        }
    }
}

impl std::fmt::Display for CpuList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_what_all_and_the_last_are() {
        let resolved = |text: &str| {
            let list: CpuList = text.parse().expect("a list of the test");
            list.resolve(8).map(|set| set.to_string())
        };
        assert_eq!(resolved("all").as_deref(), Ok("0-7"));
        assert_eq!(resolved("5-N").as_deref(), Ok("5-7"));
        assert_eq!(resolved("0-7:1/2").as_deref(), Ok("0,2,4,6"));
        assert!(resolved("8").is_err());
        assert!("3-1".parse::<CpuList>().is_err());
    }
}
