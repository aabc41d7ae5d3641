// SPDX-License-Identifier: GPL-2.0
//! Numbers of partitions and jobs.

use super::record::NONE;
use core::fmt;

/// A partition, from 1 on; the lowest free number is given to the next one created.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub(super) u32);

impl PartitionId {
    /// Returns partition `number`, which need not exist; none if it is 0.
    pub const fn new(number: u32) -> Option<Self> {
        if number == 0 {
            None
        } else {
            Some(Self(number))
        }
    }

    /// Returns its number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Returns what CPU records call it.
    pub(super) fn tag(self) -> u8 {
        u8::try_from(self.0).unwrap_or(NONE)
    }
}

/// A job, from 1 on; a number comes again only after all others were used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash)]
pub struct JobId(pub(super) u32);

impl JobId {
    /// Returns job `number`, which need not exist; none if it is 0.
    pub const fn new(number: u32) -> Option<Self> {
        if number == 0 {
            None
        } else {
            Some(Self(number))
        }
    }

    /// Returns its number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Returns the number after it.
    pub(super) fn next(self) -> Self {
        Self(self.0.checked_add(1).unwrap_or(1))
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
