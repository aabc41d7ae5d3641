// SPDX-License-Identifier: GPL-2.0
//! What a pool has, in blocks of 2 MiB.

use super::table::State;
use super::{Pool, BLOCKS_PER_GROUP};

/// What a pool has.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stats {
    /// Blocks that it has, retired ones included.
    pub total: u64,
    /// Free ones, those being zeroed included.
    pub free: u64,
    /// Free ones that hold zeroes.
    pub zeroed: u64,
    /// Free ones that are being zeroed.
    pub zeroing: u64,
    /// Given out whole.
    pub whole: u64,
    /// Given out in frames of 4 KiB.
    pub broken: u64,
    /// Frames of 4 KiB of those that are in use.
    pub small: u64,
    /// Given out as part of 1 GiB.
    pub giant: u64,
    /// Out of service.
    pub retired: u64,
    /// Promised to jobs, used or not.
    pub reserved: u64,
    /// Groups of 1 GiB that are free.
    pub free_groups: u64,
    /// How many pieces the free blocks are in.
    pub free_runs: u64,
    /// Blocks of the longest piece.
    pub longest_run: u64,
}

impl Stats {
    /// Returns how much of the free memory is outside its longest piece, in thousandths.
    pub const fn fragmentation(&self) -> u64 {
        let idle = self.free - self.zeroing;
        if idle == 0 {
            return 0;
        }
        // Blocks are counted in 32 bits.
        (idle - self.longest_run) * 1000 / idle
    }
}

/// Pieces of free memory, seen so far: [`Pool::look`] at one group after the other.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Pieces {
    free_groups: u64,
    runs: u64,
    longest: u64,
    /// Free blocks before the next group.
    run: u64,
}

impl Stats {
    /// Returns them with what was found by looking.
    pub const fn with(mut self, pieces: &Pieces) -> Self {
        self.free_groups = pieces.free_groups;
        self.free_runs = pieces.runs;
        self.longest_run = pieces.longest;
        self
    }
}

impl Pool<'_> {
    /// Returns what it counts all the time; nothing of groups and pieces.
    pub fn counts(&self) -> Stats {
        Stats {
            total: self.nr_blocks(),
            free: self.nr_free(),
            zeroed: self.nr_zeroed,
            zeroing: self.count(State::Zeroing),
            whole: self.count(State::Whole),
            broken: self.count(State::Broken),
            small: self.nr_small,
            giant: self.count(State::Giant),
            retired: self.count(State::Retired),
            reserved: self.nr_reserved,
            ..Stats::default()
        }
    }

    /// Looks at the next group, number `nr`; false if there are no more. Who does not hold the lock from the first to the
    /// last gets a picture of memory that moved.
    pub fn look(&self, nr: u32, pieces: &mut Pieces) -> bool {
        let group = usize::try_from(nr).ok();
        let Some(group) = group.and_then(|nr| self.tables.groups.get(nr)) else {
            return false;
        };
        pieces.free_groups += u64::from(group.free.is_full());
        for bit in 0..BLOCKS_PER_GROUP {
            if !group.free.contains(bit) {
                pieces.run = 0;
                continue;
            }
            pieces.run += 1;
            if pieces.run == 1 {
                pieces.runs += 1;
            }
            pieces.longest = pieces.longest.max(pieces.run);
        }
        true
    }

    /// Counts what it has, and in which pieces; goes through all groups.
    pub fn stats(&self) -> Stats {
        let mut pieces = Pieces::default();
        let mut nr = 0;
        while self.look(nr, &mut pieces) {
            nr += 1;
        }
        self.counts().with(&pieces)
    }
}
