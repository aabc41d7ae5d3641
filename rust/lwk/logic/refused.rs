// SPDX-License-Identifier: GPL-2.0
//! Why a change of partitions was refused, in the words of the ABI.

use super::cpuset::CpuId;
use super::error::{Errno, EBUSY, EINVAL, ENODEV, ENOMEM, EOPNOTSUPP, EPERM};
use super::frames::BLOCK_BYTES;
use super::memspec::Amount;
use super::partition::TableError;
use super::spread::{Shortage, SpreadError};
use crate::uapi::Refusal;
use core::fmt;

/// A refused change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The reason.
    pub refusal: Refusal,
    /// The CPU that it is about.
    pub cpu: Option<CpuId>,
    /// The memory that is missing.
    pub memory: Option<Shortage>,
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
            memory: None,
            errno,
        }
    }

    /// Refuses because of memory of a node, or of all nodes together.
    pub const fn memory(refusal: Refusal, memory: Shortage) -> Self {
        let errno = match refusal {
            Refusal::NoNode => ENODEV,
            Refusal::NoMemory => ENOMEM,
            _ => EBUSY,
        };
        Self {
            refusal,
            cpu: None,
            memory: Some(memory),
            errno,
        }
    }

    /// Refuses because of the machine or of the request as a whole.
    pub const fn all(refusal: Refusal) -> Self {
        let errno = match refusal {
            Refusal::NoSuchPartition | Refusal::NoNode => ENODEV,
            Refusal::BadAmount => EINVAL,
            _ => EOPNOTSUPP,
        };
        Self {
            refusal,
            cpu: None,
            memory: None,
            errno,
        }
    }

    /// Passes on what another part of Linux said, with the CPU that it happened at.
    pub const fn linux(errno: i32, refusal: Refusal, cpu: Option<CpuId>) -> Self {
        Self {
            refusal,
            cpu,
            memory: None,
            errno,
        }
    }
}

impl From<SpreadError> for Refused {
    fn from(error: SpreadError) -> Self {
        let about = |node, asked, found| Shortage {
            node,
            asked,
            found,
            longest: 0,
        };
        match error {
            SpreadError::NoNode(node) => Self::memory(Refusal::NoNode, about(Some(node), 0, 0)),
            SpreadError::Short(short) => Self::memory(Refusal::NoMemory, short),
            SpreadError::Promised { node, promised } => {
                Self::memory(Refusal::MemoryInUse, about(node, promised, 0))
            }
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
            memory: None,
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
        if let Some(memory) = &self.memory {
            match memory.node {
                Some(node) => write!(f, "node {node}: ")?,
                None => f.write_str("all nodes: ")?,
            }
            if self.refusal == Refusal::NoMemory {
                let bytes = |blocks: u64| Amount::Bytes(blocks.saturating_mul(BLOCK_BYTES));
                let (asked, found) = (bytes(memory.asked), bytes(memory.found));
                let longest = bytes(memory.longest);
                return write!(
                    f,
                    "not enough memory: asked for {asked}, found {found}, at most {longest} in one piece"
                );
            }
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
        let short = Shortage {
            node: None,
            asked: 512,
            found: 3,
            longest: 1,
        };
        assert_eq!(
            std::format!("{}", Refused::from(SpreadError::Short(short))),
            "all nodes: not enough memory: asked for 1G, found 6M, at most 2M in one piece"
        );
        let refused = Refused::from(TableError::EmptyPartition);
        assert_eq!((refused.refusal, refused.cpu), (Refusal::Empty, None));
        assert_eq!(refused.errno(), EINVAL);
    }
}
