// SPDX-License-Identifier: GPL-2.0
//! Why a pool refused an operation.

use super::Pfn;
use crate::logic::error::{Errno, EBUSY, EINVAL, ENODEV, ENOENT, ENOMEM, ENOSPC};
use core::fmt;

/// Why a pool refused an operation; it is as before then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PoolError {
    /// A table is shorter than the span asks for.
    ShortTable,
    /// The frame is outside the span, or Linux has it.
    Foreign(Pfn),
    /// The pool has the block already.
    Present(Pfn),
    /// A page cannot begin there or have that size.
    Misaligned(Pfn),
    /// Nobody holds the frame: it is freed for the second time, or was never handed out.
    NotTaken(Pfn),
    /// Somebody holds the block, or it is being zeroed.
    InUse(Pfn),
    /// Nobody is zeroing the block.
    NotZeroing(Pfn),
    /// Jobs were promised more than the pool would have.
    Reserved {
        /// How many blocks nobody was promised.
        unreserved: u64,
    },
    /// There are as many accounts as there can be.
    TooManyAccounts,
    /// There is no such account.
    NoSuchAccount,
    /// An account cannot have less than it uses.
    AccountInUse {
        /// How many blocks it uses.
        used: u64,
    },
    /// The account has used all that was reserved.
    Exhausted,
    /// No page of this size is free.
    NoFrame,
    /// None is free at this moment, as one is being zeroed.
    Zeroing,
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShortTable => f.write_str("a table of the memory pool is too short"),
            Self::Foreign(pfn) => write!(f, "frame {pfn} is not the pool's"),
            Self::Present(pfn) => write!(f, "the pool has block {pfn} already"),
            Self::Misaligned(pfn) => write!(f, "no such page can begin at frame {pfn}"),
            Self::NotTaken(pfn) => write!(f, "frame {pfn} is freed, but nobody holds it"),
            Self::InUse(pfn) => write!(f, "block {pfn} is in use"),
            Self::NotZeroing(pfn) => write!(f, "block {pfn} is not being zeroed"),
            Self::Reserved { unreserved } => {
                write!(f, "blocks of 2M that no job was promised: {unreserved}")
            }
            Self::TooManyAccounts => f.write_str("the pool has no room for another job"),
            Self::NoSuchAccount => f.write_str("the pool has no such account"),
            Self::AccountInUse { used } => write!(f, "the job uses {used} blocks of 2M"),
            Self::Exhausted => f.write_str("the job has used all memory reserved for it"),
            Self::NoFrame => f.write_str("no page of this size is free"),
            Self::Zeroing => f.write_str("the last free page is being zeroed"),
        }
    }
}

impl Errno for PoolError {
    fn errno(&self) -> i32 {
        match self {
            Self::ShortTable | Self::Misaligned(_) | Self::NotTaken(_) | Self::NotZeroing(_) => {
                EINVAL
            }
            Self::Foreign(_) => ENODEV,
            Self::Present(_) | Self::InUse(_) | Self::AccountInUse { .. } | Self::Zeroing => EBUSY,
            Self::NoSuchAccount => ENOENT,
            Self::TooManyAccounts => ENOSPC,
            Self::Reserved { .. } | Self::Exhausted | Self::NoFrame => ENOMEM,
        }
    }
}
