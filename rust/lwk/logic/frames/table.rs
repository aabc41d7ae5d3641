// SPDX-License-Identifier: GPL-2.0
//! The tables of a pool: what is known of each block, of each group, and which groups to look into.

use super::bits::Bits;
use super::{AccountId, Pfn, PoolError, Span};

/// Ends a list of blocks.
pub(super) const NO_BLOCK: u32 = u32::MAX;

/// What a block is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum State {
    /// Linux has it, or it does not exist.
    Absent = 0,
    /// Nobody has it; its group says whether it is zeroed.
    Free = 1,
    /// It is being zeroed ahead and can be given to nobody.
    Zeroing = 2,
    /// Given out in one piece.
    Whole = 3,
    /// Given out in pieces.
    Broken = 4,
    /// Given out as part of its group.
    Giant = 5,
    /// Out of service for good, as a frame of it is poisoned.
    Retired = 6,
}

impl State {
    pub(super) const COUNT: usize = 7;

    /// Says whether an account pays for it.
    pub(super) const fn is_taken(self) -> bool {
        matches!(self, Self::Whole | Self::Broken | Self::Giant)
    }
}

/// Whose a block is: the account of a number, while it is the same that took the block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Owner {
    pub(super) id: AccountId,
    /// Which of the accounts that had this number.
    pub(super) serial: u64,
}

impl Owner {
    pub(super) const NOBODY: Self = Self {
        id: AccountId(0),
        serial: 0,
    };
}

/// A block of 2 MiB. 152 bytes, a fourteen-thousandth of what it stands for.
///
/// # Invariants
///
/// `owner` counts if the state is taken; the sets count if it is `Broken`: `used` has `nr_used` frames, none of them in
/// `zeroed`. A block is in the list of its owner if it is `Broken`, not damaged and has an unused frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    pub(super) state: State,
    /// A frame is poisoned: the block retires when the others are back.
    pub(super) is_damaged: bool,
    pub(super) owner: Owner,
    pub(super) nr_used: u16,
    pub(super) prev: u32,
    pub(super) next: u32,
    pub(super) used: Bits,
    pub(super) zeroed: Bits,
}

impl Block {
    /// A block that Linux has: what the table holds at first.
    pub const ABSENT: Self = Self {
        state: State::Absent,
        is_damaged: false,
        owner: Owner::NOBODY,
        nr_used: 0,
        prev: NO_BLOCK,
        next: NO_BLOCK,
        used: Bits::EMPTY,
        zeroed: Bits::EMPTY,
    };

    /// Says whether its owner can take frames from it.
    pub(super) fn has_spare(&self) -> bool {
        self.state == State::Broken && !self.is_damaged && !self.used.is_full()
    }
}

/// A group of 1 GiB.
///
/// # Invariants
///
/// `free` are its blocks in state `Free`, `zeroed` some of them, `zeroing` those in state `Zeroing`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Group {
    pub(super) free: Bits,
    pub(super) zeroed: Bits,
    pub(super) zeroing: Bits,
}

impl Group {
    /// A group without free blocks: what the table holds at first.
    pub const EMPTY: Self = Self {
        free: Bits::EMPTY,
        zeroed: Bits::EMPTY,
        zeroing: Bits::EMPTY,
    };

    /// Says whether it is whole, or will be when zeroing is done.
    fn is_whole(&self) -> bool {
        Bits::FULL.minus(&self.free) == self.zeroing
    }
}

/// Which free blocks to look for. A whole group can become a page of 1 GiB, so that it is broken last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    ZeroedInPart = 0,
    ZeroedInWhole = 1,
    DirtyInPart = 2,
    DirtyInWhole = 3,
}

impl Kind {
    pub(super) const fn is_zeroed(self) -> bool {
        matches!(self, Self::ZeroedInPart | Self::ZeroedInWhole)
    }
}

/// Which of 64 groups have free blocks of each [`Kind`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Summary([u64; 4]);

impl Summary {
    /// None of them: what the table holds at first.
    pub const EMPTY: Self = Self([0; 4]);

    pub(super) fn first(&self, kind: Kind) -> Option<u32> {
        let word = self.0.get(kind as usize)?;
        (*word != 0).then(|| word.trailing_zeros())
    }

    /// Returns the first group that is whole and all zeroes.
    pub(super) fn first_wholly_zeroed(&self) -> Option<u32> {
        let word = |kind: Kind| self.0.get(kind as usize).copied().unwrap_or(0);
        let found = word(Kind::ZeroedInWhole) & !word(Kind::DirtyInWhole);
        (found != 0).then(|| found.trailing_zeros())
    }

    pub(super) fn update(&mut self, bit: u32, group: &Group) {
        let (is_whole, has_zeroed) = (group.is_whole(), !group.zeroed.is_empty());
        let has_dirty = group.zeroed != group.free;
        for (kind, is_so) in [
            (Kind::ZeroedInPart, has_zeroed && !is_whole),
            (Kind::ZeroedInWhole, has_zeroed && is_whole),
            (Kind::DirtyInPart, has_dirty && !is_whole),
            (Kind::DirtyInWhole, has_dirty && is_whole),
        ] {
            if let Some(word) = self.0.get_mut(kind as usize) {
                *word = *word & !(1 << bit) | u64::from(is_so) << bit;
            }
        }
    }
}

/// One job's share.
///
/// # Invariants
///
/// `used` blocks name it as owner, at most `reserved` unless frames were poisoned. No block names its number with a later
/// serial, and those with an earlier one are orphans of the pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Account {
    pub(super) standing: Standing,
    /// How many accounts had this number before.
    pub(super) serial: u64,
    pub(super) reserved: u64,
    pub(super) used: u64,
    /// The first of its broken blocks with an unused frame.
    pub(super) spare: u32,
    /// Whether it takes blocks of whole groups last, also where they hold zeroes and others do not.
    pub(super) spares_groups: bool,
}

/// Whether an account may take memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// Nobody's.
    Unused,
    /// A job's.
    Open,
}

impl Account {
    /// Nobody's account: what the table holds at first.
    pub const UNUSED: Self = Self {
        standing: Standing::Unused,
        serial: 0,
        reserved: 0,
        used: 0,
        spare: NO_BLOCK,
        spares_groups: false,
    };
}

/// Memory for the tables of a pool, supplied by the caller and filled with the `EMPTY` values of its types.
#[derive(Debug)]
pub struct Tables<'a> {
    /// [`Span::nr_summaries`] of them.
    pub summaries: &'a mut [Summary],
    /// [`Span::nr_groups`] of them.
    pub groups: &'a mut [Group],
    /// [`Span::nr_blocks`] of them.
    pub blocks: &'a mut [Block],
    /// One for each partition and job that may use the pool at one time.
    pub accounts: &'a mut [Account],
}

impl Tables<'_> {
    /// Checks that they are long enough.
    pub(super) fn check(&self, span: Span) -> Result<(), PoolError> {
        let has = |len: usize, wanted: u32| usize::try_from(wanted).is_ok_and(|nr| len >= nr);
        let is_enough = has(self.summaries.len(), span.nr_summaries())
            && has(self.groups.len(), span.nr_groups())
            && has(self.blocks.len(), span.nr_blocks());
        is_enough.then_some(()).ok_or(PoolError::ShortTable)
    }
}

/// Memory handed out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Its first frame.
    pub first: Pfn,
    /// How much it is.
    pub size: super::PageSize,
    /// Whether it holds zeroes; else the caller has to write them.
    pub content: Content,
}

/// What is in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// Zeroes.
    Zeroed,
    /// Anything, maybe another job's data.
    Dirty,
}
