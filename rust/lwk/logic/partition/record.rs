// SPDX-License-Identifier: GPL-2.0
//! What the partition table stores: a record for each CPU, a slot for each partition.

use crate::uapi::{MAX_PARTITIONS, NAME_LEN};

// Partition numbers and name lengths are stored in a byte.
const _: () = assert!(MAX_PARTITIONS <= 255);
const _: () = assert!(NAME_LEN <= 255);

/// In a record: no partition.
pub(super) const NONE: u8 = 0;

/// In a record: no CPU.
pub(super) const NO_CPU: u16 = u16::MAX;

/// What one CPU is.
///
/// # Invariants
///
/// At most one of `partition` and `serves` is set; `head` is set only with `partition`. The lowest CPU of a job is its
/// own `head` and has the job's number; the other CPUs of the job have it as their `head` and no number. `is_moving` is
/// set only with `partition`, and not while a job holds the CPU.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// The partition that owns it.
    pub(super) partition: u8,
    /// The partition that it serves from Linux.
    pub(super) serves: u8,
    /// Whether it is on its way to its partition or from there.
    pub(super) is_moving: bool,
    /// The lowest CPU of the job that holds it.
    pub(super) head: u16,
    /// That job's number, at the lowest CPU only.
    pub(super) job: u32,
}

impl Record {
    /// A CPU of Linux that serves nobody.
    pub(super) const LINUX: Self = Self {
        partition: NONE,
        serves: NONE,
        is_moving: false,
        head: NO_CPU,
        job: 0,
    };

    /// Says whether a job could get it.
    pub(super) fn is_free(&self) -> bool {
        self.partition != NONE && self.head == NO_CPU && !self.is_moving
    }
}

/// What is stored of one partition; an empty name marks a free slot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) name: [u8; NAME_LEN],
    pub(super) name_len: u8,
    pub(super) flags: u32,
}

impl Slot {
    /// A slot without a partition.
    pub(super) const FREE: Self = Self {
        name: [0; NAME_LEN],
        name_len: 0,
        flags: 0,
    };

    /// Returns the name of its partition, empty if there is none.
    pub(super) fn name(&self) -> &[u8] {
        self.name
            .get(..usize::from(self.name_len))
            .unwrap_or_default()
    }
}
