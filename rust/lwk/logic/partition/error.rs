// SPDX-License-Identifier: GPL-2.0
//! Why the partition table refused an operation.

use super::{JobId, PartitionId};
use crate::logic::cpuset::CpuId;
use crate::logic::error::{Errno, Excerpt, EBUSY, EEXIST, EINVAL, ENODEV, ENOENT, ENOSPC};
use crate::uapi::{MAX_PARTITIONS, NAME_LEN};
use core::fmt;

/// Why the table refused an operation; each is raised in one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TableError {
    /// A partition name has no letter first, or something odd in it.
    BadName(Excerpt),
    /// A partition name does not fit.
    LongName(Excerpt),
    /// This partition has the name.
    NameTaken(PartitionId),
    /// A partition was to have no CPU.
    EmptyPartition,
    /// A CPU was to be LWK CPU and service CPU of the same partition.
    BothRoles(CpuId),
    /// A CPU belongs to a partition already.
    Owned {
        /// The CPU.
        cpu: CpuId,
        /// Its partition.
        id: PartitionId,
    },
    /// A CPU serves a partition already.
    Serves {
        /// The CPU.
        cpu: CpuId,
        /// The partition that it serves.
        id: PartitionId,
    },
    /// There is no room for another partition.
    TooManyPartitions,
    /// There is no partition with this number.
    NoSuchPartition(PartitionId),
    /// A partition cannot go while jobs run in it.
    HasJobs {
        /// The partition.
        id: PartitionId,
        /// How many jobs it runs.
        nr_jobs: u32,
    },
    /// There is no partition at all.
    NoPartition,
    /// A job was to have 0 CPUs.
    NoCpuWanted,
    /// A job was to have the empty set of CPUs.
    NoCpuInSet,
    /// A CPU belongs to Linux.
    NotLwk(CpuId),
    /// A CPU is in another partition than the one asked for or than a lower CPU of the set.
    OtherPartition {
        /// The CPU.
        cpu: CpuId,
        /// Its partition.
        id: PartitionId,
        /// The partition that it should be in.
        other: PartitionId,
    },
    /// A job holds a CPU.
    CpuBusy {
        /// The CPU.
        cpu: CpuId,
        /// The job.
        job: JobId,
    },
    /// No partition asked has so many CPUs.
    TooManyCpus {
        /// How many were asked for.
        wanted: u32,
        /// How many the largest one has.
        most: u32,
    },
    /// No partition asked has so many free CPUs now.
    NotEnoughFree {
        /// How many were asked for.
        wanted: u32,
        /// How many are free at most.
        free: u32,
    },
    /// There is no job with this number.
    NoSuchJob(JobId),
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName(name) => {
                write!(f, "the partition name {name} is not a letter followed by letters, digits, '-', '_' or '.'")
            }
            Self::LongName(name) => write!(
                f,
                "the partition name {name} is longer than {} bytes",
                NAME_LEN - 1
            ),
            Self::NameTaken(id) => write!(f, "partition {id} has this name"),
            Self::EmptyPartition => f.write_str("a partition needs at least one CPU"),
            Self::BothRoles(cpu) => write!(f, "CPU {cpu} cannot be both LWK CPU and service CPU"),
            Self::Owned { cpu, id } => write!(f, "CPU {cpu} belongs to partition {id}"),
            Self::Serves { cpu, id } => write!(f, "CPU {cpu} serves partition {id}"),
            Self::TooManyPartitions => write!(f, "there are {MAX_PARTITIONS} partitions already"),
            Self::NoSuchPartition(id) => write!(f, "there is no partition {id}"),
            Self::HasJobs { id, nr_jobs } => write!(f, "partition {id} still runs jobs: {nr_jobs}"),
            Self::NoPartition => f.write_str("there is no partition"),
            Self::NoCpuWanted => f.write_str("a job needs at least one CPU"),
            Self::NoCpuInSet => f.write_str("the set of CPUs for the job is empty"),
            Self::NotLwk(cpu) => write!(f, "CPU {cpu} is in no partition"),
            Self::OtherPartition { cpu, id, other } => {
                write!(f, "CPU {cpu} is in partition {id}, not in {other}")
            }
            Self::CpuBusy { cpu, job } => write!(f, "job {job} holds CPU {cpu}"),
            Self::TooManyCpus { wanted, most } => {
                write!(f, "CPUs wanted: {wanted}, in a partition at most: {most}")
            }
            Self::NotEnoughFree { wanted, free } => write!(
                f,
                "CPUs wanted: {wanted}, free in a partition at most: {free}"
            ),
            Self::NoSuchJob(job) => write!(f, "there is no job {job}"),
        }
    }
}

impl Errno for TableError {
    fn errno(&self) -> i32 {
        match self {
            Self::BadName(_)
            | Self::LongName(_)
            | Self::EmptyPartition
            | Self::BothRoles(_)
            | Self::NoCpuWanted
            | Self::NoCpuInSet
            | Self::OtherPartition { .. }
            | Self::TooManyCpus { .. } => EINVAL,
            Self::NameTaken(_) => EEXIST,
            Self::Owned { .. }
            | Self::Serves { .. }
            | Self::HasJobs { .. }
            | Self::CpuBusy { .. }
            | Self::NotEnoughFree { .. } => EBUSY,
            Self::TooManyPartitions => ENOSPC,
            Self::NoSuchPartition(_) | Self::NoPartition | Self::NotLwk(_) => ENODEV,
            Self::NoSuchJob(_) => ENOENT,
        }
    }
}
