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

/// The pieces of the free memory, as far as groups were looked at in turn.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Pieces {
    /// Blocks of the piece that may go on in the next group.
    run: u64,
    free_groups: u64,
    free_runs: u64,
    longest_run: u64,
}

impl Pieces {
    /// Adds what they are to the counts of the same pool.
    #[must_use]
    pub const fn complete(&self, counts: Stats) -> Stats {
        Stats {
            free_groups: self.free_groups,
            free_runs: self.free_runs,
            longest_run: self.longest_run,
            ..counts
        }
    }
}

impl Pool<'_> {
    /// Returns what it has as far as that is counted anyway: all but the pieces that the free memory is in.
    pub fn counts(&self) -> Stats {
        let mut stats = Stats {
            free: self.count(State::Free) + self.count(State::Zeroing),
            zeroed: self.nr_zeroed,
            zeroing: self.count(State::Zeroing),
            whole: self.count(State::Whole),
            broken: self.count(State::Broken),
            small: self.nr_small,
            giant: self.count(State::Giant),
            retired: self.count(State::Retired),
            reserved: self.nr_reserved,
            ..Stats::default()
        };
        stats.total = stats.free + stats.whole + stats.broken + stats.giant + stats.retired;
        stats
    }

    /// Adds the pieces of a group, the next in order; false past the last. For who must not hold the pool for long.
    pub fn look_at_group(&self, nr: usize, pieces: &mut Pieces) -> bool {
        let Some(group) = self.tables.groups.get(nr) else {
            return false;
        };
        if group.free.is_full() {
            pieces.free_groups += 1;
        }
        for bit in 0..BLOCKS_PER_GROUP {
            if !group.free.contains(bit) {
                pieces.run = 0;
                continue;
            }
            pieces.run += 1;
            if pieces.run == 1 {
                pieces.free_runs += 1;
            }
            pieces.longest_run = pieces.longest_run.max(pieces.run);
        }
        true
    }

    /// Counts all that it has; goes through all groups.
    pub fn stats(&self) -> Stats {
        let mut pieces = Pieces::default();
        for nr in 0.. {
            if !self.look_at_group(nr, &mut pieces) {
                break;
            }
        }
        pieces.complete(self.counts())
    }
}
