// SPDX-License-Identifier: GPL-2.0
//! Memory as plain arrays: who holds each frame, and whether it holds zeroes.

use lwk_logic::logic::frames::{PageSize, Stats};
use std::collections::BTreeSet;
use std::ops::Range;

use super::{BLOCK, GROUP, NR_ACCOUNTS, NR_BLOCKS, NR_GROUPS};

/// From here on numbers stand for accounts that are closed.
const ORPHANS: u16 = 1000;

/// The memory behind the frames.
pub(crate) struct Model {
    /// Who holds each frame: the account's number and one, or another number from [`ORPHANS`] on for each that was closed.
    pub(crate) holder: Vec<u16>,
    /// How many frames of each block are held, and by whom.
    pub(crate) held: Vec<usize>,
    pub(crate) owner: Vec<u16>,
    /// Frames that hold something else than zeroes.
    pub(crate) dirty: Vec<bool>,
    pub(crate) present: Vec<bool>,
    pub(crate) damaged: Vec<bool>,
    pub(crate) zeroing: BTreeSet<usize>,
    /// Groups that were given out in one piece and are so still.
    pub(crate) giants: BTreeSet<usize>,
    /// Blocks that were given out in one piece and are so still.
    pub(crate) whole: BTreeSet<usize>,
    /// What each account was promised.
    pub(crate) accounts: Vec<Option<u64>>,
    /// How many were closed.
    nr_closed: u16,
    /// What was given out and not freed, as first frame and order.
    pub(crate) grants: Vec<(usize, u32)>,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            holder: vec![0; NR_BLOCKS * BLOCK],
            held: vec![0; NR_BLOCKS],
            owner: vec![0; NR_BLOCKS],
            dirty: vec![true; NR_BLOCKS * BLOCK],
            present: vec![false; NR_BLOCKS],
            damaged: vec![false; NR_BLOCKS],
            zeroing: BTreeSet::new(),
            giants: BTreeSet::new(),
            whole: BTreeSet::new(),
            accounts: vec![None; NR_ACCOUNTS],
            nr_closed: 0,
            grants: Vec::new(),
        }
    }

    pub(crate) fn held(&self, block: usize) -> usize {
        self.held[block]
    }

    /// The account that holds frames of a block.
    pub(crate) fn owner(&self, block: usize) -> Option<u16> {
        (self.held[block] > 0).then(|| self.owner[block])
    }

    /// Changes who holds frames: an account's number and one, or 0 for nobody.
    pub(crate) fn hold(&mut self, frames: Range<usize>, holder: u16) {
        for block in frames.start / BLOCK..frames.end.div_ceil(BLOCK) {
            let part = frames.start.max(block * BLOCK)..frames.end.min((block + 1) * BLOCK);
            let part = &mut self.holder[part];
            self.held[block] -= part.iter().filter(|holder| **holder != 0).count();
            if holder != 0 {
                self.held[block] += part.len();
                self.owner[block] = holder;
            }
            part.fill(holder);
        }
    }

    pub(crate) fn is_retired(&self, block: usize) -> bool {
        self.present[block]
            && self.damaged[block]
            && !self.zeroing.contains(&block)
            && self.held(block) == 0
    }

    pub(crate) fn is_free(&self, block: usize) -> bool {
        self.present[block]
            && !self.damaged[block]
            && !self.zeroing.contains(&block)
            && self.held(block) == 0
    }

    pub(crate) fn used(&self, account: usize) -> u64 {
        let holder = Some(number(account));
        (0..NR_BLOCKS)
            .filter(|block| self.owner(*block) == holder)
            .count() as u64
    }

    /// What all accounts were promised, with what those that are closed have in use.
    fn reserved(&self) -> u64 {
        let promised: u64 = self.accounts.iter().flatten().sum();
        promised + self.orphans()
    }

    /// Blocks in use whose account is closed.
    pub(crate) fn orphans(&self) -> u64 {
        let is_orphan = |block: &usize| self.owner(*block).is_some_and(|owner| owner >= ORPHANS);
        (0..NR_BLOCKS).filter(is_orphan).count() as u64
    }

    /// The account that pays for a block.
    pub(crate) fn payer(&self, block: usize) -> Option<u16> {
        self.owner(block).filter(|owner| *owner < ORPHANS)
    }

    pub(crate) fn close(&mut self, account: usize) {
        let closed = ORPHANS + self.nr_closed;
        self.nr_closed += 1;
        self.accounts[account] = None;
        for holder in self.holder.iter_mut().chain(&mut self.owner) {
            if *holder == number(account) {
                *holder = closed;
            }
        }
    }

    pub(crate) fn unreserved(&self) -> u64 {
        let usable =
            (0..NR_BLOCKS).filter(|block| self.present[*block] && !self.is_retired(*block));
        (usable.count() as u64).saturating_sub(self.reserved())
    }

    /// Whether an account can take a page of this size now.
    pub(crate) fn can_take(&self, account: usize, size: PageSize) -> bool {
        let Some(reserved) = self.accounts[account] else {
            return false;
        };
        let left = reserved.saturating_sub(self.used(account));
        let can_take_block = || left > 0 && (0..NR_BLOCKS).any(|block| self.is_free(block));
        match size {
            PageSize::Small => {
                let is_spare = |block: usize| {
                    self.owner(block) == Some(number(account))
                        && !self.damaged[block]
                        && self.held(block) < BLOCK
                };
                (0..NR_BLOCKS).any(is_spare) || can_take_block()
            }
            PageSize::Large => can_take_block(),
            PageSize::Giant => {
                let is_free = |group: usize| {
                    (group * GROUP..(group + 1) * GROUP).all(|block| self.is_free(block))
                };
                left >= GROUP as u64 && (0..NR_GROUPS).any(is_free)
            }
        }
    }

    /// Frees frames as Linux would; says whether somebody held all that counts.
    pub(crate) fn free(&mut self, first: usize, order: u32) -> bool {
        let len = 1_usize << order;
        if order > 9 && order != 18 || !first.is_multiple_of(len) {
            return false;
        }
        let group = first / (GROUP * BLOCK);
        let held = self.holder[first..first + len]
            .iter()
            .filter(|holder| **holder != 0)
            .count();
        if held == 0 || order == 18 && !self.is_group_held(group) {
            return false;
        }
        if order < 18 && held < len && !self.damaged[first / BLOCK] {
            return false;
        }
        self.hold(first..first + len, 0);
        self.giants.remove(&group);
        for block in first / BLOCK..(first + len).div_ceil(BLOCK) {
            self.whole.remove(&block);
        }
        true
    }

    /// Whether one account has all of a group in whole blocks, but for frames that retired.
    fn is_group_held(&self, group: usize) -> bool {
        let blocks = || group * GROUP..(group + 1) * GROUP;
        let owners: BTreeSet<_> = blocks().filter_map(|block| self.owner(block)).collect();
        let is_held = |block: usize| {
            self.damaged[block] && (self.held(block) > 0 || self.is_retired(block))
                || self.whole.contains(&block) && self.held(block) == BLOCK
        };
        owners.len() == 1 && blocks().all(is_held)
    }

    pub(crate) fn stats(&self) -> Stats {
        let count = |is_so: &dyn Fn(usize) -> bool| {
            (0..NR_BLOCKS).filter(|block| is_so(*block)).count() as u64
        };
        let is_giant = |block: usize| self.giants.contains(&(block / GROUP));
        let is_whole = |block: usize| self.whole.contains(&block) && !is_giant(block);
        let is_broken = |block: usize| self.held(block) > 0 && !is_giant(block) && !is_whole(block);
        let mut stats = Stats {
            total: count(&|block| self.present[block]),
            free: count(&|block| self.is_free(block)) + self.zeroing.len() as u64,
            zeroing: self.zeroing.len() as u64,
            whole: count(&is_whole),
            broken: count(&is_broken),
            small: (0..NR_BLOCKS)
                .filter(|block| is_broken(*block))
                .map(|block| self.held(block) as u64)
                .sum(),
            giant: count(&is_giant),
            retired: count(&|block| self.is_retired(block)),
            reserved: self.reserved(),
            ..Stats::default()
        };
        let mut run = 0;
        for block in 0..NR_BLOCKS {
            run = if self.is_free(block) { run + 1 } else { 0 };
            stats.free_runs += u64::from(run == 1);
            stats.longest_run = stats.longest_run.max(run);
        }
        let groups = 0..NR_GROUPS;
        let is_free =
            |group: &usize| (group * GROUP..(group + 1) * GROUP).all(|block| self.is_free(block));
        stats.free_groups = groups.filter(is_free).count() as u64;
        stats
    }
}

/// How the model names an account: its number and one.
pub(crate) fn number(account: usize) -> u16 {
    u16::try_from(account + 1).expect("a small number")
}
