// SPDX-License-Identifier: GPL-2.0
//! Checks that the tables of a pool agree; for tests, and for administrators, as it goes through all of them: with
//! [`Pool::check`] at once, or group by group, so that nobody waits for the pool meanwhile.

use super::bits::Bits;
use super::table::{Standing, State, NO_BLOCK};
use super::{AccountId, Block, Pfn, Pool, BLOCKS_PER_GROUP, FRAMES_PER_BLOCK};
use core::fmt;

/// What does not agree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The sets, the count or the owner of the block that begins here.
    Block(Pfn),
    /// What the group of this block says of it.
    Group(Pfn),
    /// The summary of a group.
    Summary(u32),
    /// The sums of an account.
    Account(AccountId),
    /// The list of an account.
    List(AccountId),
    /// The counts of the pool.
    Counts,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(pfn) => write!(f, "block {pfn} contradicts itself"),
            Self::Group(pfn) => write!(f, "block {pfn} and its group disagree"),
            Self::Summary(nr) => write!(f, "the summary of group {nr} is wrong"),
            Self::Account(id) => write!(f, "account {} is wrong", id.get()),
            Self::List(id) => write!(f, "the list of account {} is wrong", id.get()),
            Self::Counts => f.write_str("the counts of the pool are wrong"),
        }
    }
}

/// Sums of the groups that were checked so far.
#[derive(Clone, Copy, Default, Debug)]
pub struct Check {
    nr_changes: u64,
    counts: [u64; State::COUNT],
    nr_zeroed: u64,
    nr_small: u64,
    nr_orphans: u64,
}

fn require(is_so: bool, fault: Fault) -> Result<(), Fault> {
    is_so.then_some(()).ok_or(fault)
}

impl Pool<'_> {
    /// Checks the invariants.
    ///
    /// # Errors
    ///
    /// The first that does not hold.
    pub fn check(&self) -> Result<(), Fault> {
        let mut check = self.begin_check();
        let mut nr = 0;
        while self.check_group(nr, &mut check)? {
            nr += 1;
        }
        self.end_check(&check)?;
        self.check_accounts()
    }

    /// Begins a check in parts.
    pub fn begin_check(&self) -> Check {
        Check {
            nr_changes: self.nr_changes,
            ..Check::default()
        }
    }

    /// Checks the blocks and the summary of group number `nr`; false if there are no more.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn check_group(&self, nr: u32, check: &mut Check) -> Result<bool, Fault> {
        let index = usize::try_from(nr).ok();
        let Some(group) = index.and_then(|nr| self.tables.groups.get(nr)) else {
            return Ok(false);
        };
        let first_block = nr * u32::from(BLOCKS_PER_GROUP);
        for nr in first_block..first_block + u32::from(BLOCKS_PER_GROUP) {
            let first = self.span.frame(nr, 0);
            let block = self.block(nr).ok_or(Fault::Block(first))?;
            require(is_consistent(block), Fault::Block(first))?;
            let is_free = group.free.contains(super::bit(nr));
            let is_zeroed = group.zeroed.contains(super::bit(nr));
            let is_zeroing = group.zeroing.contains(super::bit(nr));
            let agrees = is_free == (block.state == State::Free)
                && is_zeroing == (block.state == State::Zeroing)
                && (is_free || !is_zeroed);
            require(agrees, Fault::Group(first))?;
            check.nr_zeroed += u64::from(is_zeroed);
            if block.state == State::Broken {
                check.nr_small += u64::from(block.nr_used);
            }
            if block.state.is_taken() && self.open_owner(block.owner).is_none() {
                check.nr_orphans += 1;
            }
            if let Some(count) = check.counts.get_mut(block.state as usize) {
                *count += 1;
            }
        }
        self.check_summary(nr / u64::BITS, nr % u64::BITS)?;
        Ok(true)
    }

    /// Checks the sums once all groups were looked at; false if the pool changed since the first, so that they cannot be.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn end_check(&self, check: &Check) -> Result<bool, Fault> {
        if check.nr_changes != self.nr_changes {
            return Ok(false);
        }
        let accounts = self.tables.accounts.iter();
        let promised: u64 = accounts.clone().map(|account| account.reserved).sum();
        let used: u64 = accounts.map(|account| account.used).sum();
        let taken = [State::Whole, State::Broken, State::Giant].map(|state| self.count(state));
        let is_right = check.counts == self.counts
            && (check.nr_zeroed, check.nr_small) == (self.nr_zeroed, self.nr_small)
            && check.nr_orphans == self.nr_orphans
            && promised + self.nr_orphans == self.nr_reserved
            && used + self.nr_orphans == taken.iter().sum();
        require(is_right, Fault::Counts)?;
        Ok(true)
    }

    /// Checks what a summary says of one of its groups.
    fn check_summary(&self, nr: u32, bit: u32) -> Result<(), Fault> {
        let nr_group = nr * u64::BITS + bit;
        let index = |nr: u32| usize::try_from(nr).unwrap_or(usize::MAX);
        let summary = self.tables.summaries.get(index(nr));
        let group = self.tables.groups.get(index(nr_group));
        let (Some(summary), Some(group)) = (summary, group) else {
            return Err(Fault::Summary(nr_group));
        };
        let mut expected = *summary;
        expected.update(bit, group);
        require(*summary == expected, Fault::Summary(nr_group))
    }

    /// Checks the accounts.
    fn check_accounts(&self) -> Result<(), Fault> {
        for (nr, account) in (0..=u16::MAX).zip(self.tables.accounts.iter()) {
            let id = AccountId(nr);
            let owner = self.owner(id);
            let is_own = |block: &&Block| block.state.is_taken() && block.owner == owner;
            let blocks = self.tables.blocks.iter();
            let used: u64 = blocks.clone().filter(is_own).map(|_| 1).sum();
            let is_right = match account.standing {
                Standing::Unused => used == 0 && account.reserved == 0,
                Standing::Open => used <= account.reserved,
            };
            require(is_right && used == account.used, Fault::Account(id))?;
            let spare: u64 = blocks
                .filter(is_own)
                .filter(|block| block.has_spare())
                .map(|_| 1)
                .sum();
            require(
                self.list_len(id, account.spare) == Some(spare),
                Fault::List(id),
            )?;
        }
        Ok(())
    }

    /// Walks the list of an account; none if a block does not belong there or the list does not end.
    fn list_len(&self, id: AccountId, first: u32) -> Option<u64> {
        let (mut nr, mut prev, mut len) = (first, NO_BLOCK, 0);
        while nr != NO_BLOCK {
            let block = self.block(nr)?;
            let belongs = block.has_spare() && block.owner == self.owner(id) && block.prev == prev;
            if !belongs || len > u64::from(self.span.nr_blocks()) {
                return None;
            }
            (prev, nr, len) = (nr, block.next, len + 1);
        }
        Some(len)
    }
}

/// Checks what a block says by itself.
fn is_consistent(block: &Block) -> bool {
    let is_listed = block.prev != NO_BLOCK || block.next != NO_BLOCK;
    match block.state {
        State::Broken => {
            block.used.len() == block.nr_used
                && (1..=FRAMES_PER_BLOCK).contains(&block.nr_used)
                && block.zeroed.minus(&block.used) == block.zeroed
                && (block.has_spare() || !is_listed)
        }
        State::Zeroing => block.used == Bits::EMPTY && !is_listed,
        _ => (block.nr_used, block.used) == (0, Bits::EMPTY) && !block.is_damaged && !is_listed,
    }
}
