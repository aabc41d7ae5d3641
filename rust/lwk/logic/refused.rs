// SPDX-License-Identifier: GPL-2.0
//! Why a change of partitions was refused, in the words of the ABI.

use super::cpuset::CpuId;
use super::error::{Errno, EBUSY, EINVAL, ENODEV, EOPNOTSUPP, EPERM};
use super::partition::TableError;
use crate::uapi::Refusal;
use core::fmt;

/// A refused change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The reason.
    pub refusal: Refusal,
    /// The CPU that it is about.
    pub cpu: Option<CpuId>,
    errno: i32,
}

impl Refused {
    /// Refuses because of one CPU.
    pub const fn cpu(refusal: Refusal, cpu: CpuId) -> Self {
        let errno = match refusal {
            Refusal::NotOnline => ENODEV,
            Refusal::KeepsTime => EPERM,
            Refusal::Sibling | Refusal::NotOwned => EINVAL,
            _ => EBUSY,
        };
        Self {
            refusal,
            cpu: Some(cpu),
            errno,
        }
    }

    /// Refuses because of the machine or of the request as a whole.
    pub const fn all(refusal: Refusal) -> Self {
        let errno = match refusal {
            Refusal::NoSuchPartition => ENODEV,
            _ => EOPNOTSUPP,
        };
        Self {
            refusal,
            cpu: None,
            errno,
        }
    }

    /// Passes on what another part of Linux said, with the CPU that it happened at.
    pub const fn linux(errno: i32, refusal: Refusal, cpu: Option<CpuId>) -> Self {
        Self {
            refusal,
            cpu,
            errno,
        }
    }
}

impl From<TableError> for Refused {
    fn from(error: TableError) -> Self {
        let (refusal, cpu) = match error {
            TableError::BadName(_) | TableError::LongName(_) => (Refusal::BadName, None),
            TableError::NameTaken(_) => (Refusal::NameTaken, None),
            TableError::EmptyPartition => (Refusal::Empty, None),
            TableError::BothRoles(cpu) => (Refusal::BothRoles, Some(cpu)),
            TableError::Owned { cpu, .. } => (Refusal::Taken, Some(cpu)),
            TableError::Serves { cpu, .. } => (Refusal::Serves, Some(cpu)),
            TableError::TooManyPartitions => (Refusal::TooMany, None),
            TableError::NoSuchPartition(_) => (Refusal::NoSuchPartition, None),
            TableError::HasJobs { .. } => (Refusal::InUse, None),
            TableError::CpuBusy { cpu, .. } => (Refusal::InUse, Some(cpu)),
            TableError::NotLwk(cpu) | TableError::OtherPartition { cpu, .. } => {
                (Refusal::NotOwned, Some(cpu))
            }
            // Raised for jobs only.
            TableError::NoPartition
            | TableError::NoCpuWanted
            | TableError::NoCpuInSet
            | TableError::TooManyCpus { .. }
            | TableError::NotEnoughFree { .. }
            | TableError::NoSuchJob(_) => (Refusal::None, None),
        };
        Self {
            refusal,
            cpu,
            errno: error.errno(),
        }
    }
}

impl Errno for Refused {
    fn errno(&self) -> i32 {
        self.errno
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(cpu) = self.cpu {
            write!(f, "CPU {cpu}: ")?;
        }
        write!(f, "{} (error {})", self.refusal.name(), self.errno)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::partition::PartitionId;

    #[test]
    fn table_errors_keep_their_errno_and_name_the_cpu() {
        let cpu = CpuId::new(3).expect("a CPU");
        let id = PartitionId::new(1).expect("a partition");
        let refused = Refused::from(TableError::Owned { cpu, id });
        assert_eq!(refused, Refused::cpu(Refusal::Taken, cpu));
        assert_eq!(std::format!("{refused}"), "CPU 3: taken (error 16)");
        let refused = Refused::from(TableError::EmptyPartition);
        assert_eq!((refused.refusal, refused.cpu), (Refusal::Empty, None));
        assert_eq!(refused.errno(), EINVAL);
    }
}
