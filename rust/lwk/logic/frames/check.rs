// SPDX-License-Identifier: GPL-2.0
//! Checks that the tables of a pool agree; for tests and for `debugfs`, as it goes through all of them.

use super::bits::Bits;
use super::table::{Standing, State, NO_BLOCK};
use super::{AccountId, Block, Pfn, Pool, Summary, FRAMES_PER_BLOCK};
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
        let mut counts = [0; State::COUNT];
        let (mut nr_zeroed, mut nr_small) = (0, 0);
        for nr in 0..self.span.nr_blocks() {
            let first = self.span.frame(nr, 0);
            let block = self.block(nr).ok_or(Fault::Block(first))?;
            require(is_consistent(block), Fault::Block(first))?;
            let nr_group = usize::try_from(nr / u32::from(super::BLOCKS_PER_GROUP));
            let group = nr_group.ok().and_then(|nr| self.tables.groups.get(nr));
            let group = group.ok_or(Fault::Group(first))?;
            let is_free = group.free.contains(super::bit(nr));
            let is_zeroed = group.zeroed.contains(super::bit(nr));
            let is_zeroing = group.zeroing.contains(super::bit(nr));
            let agrees = is_free == (block.state == State::Free)
                && is_zeroing == (block.state == State::Zeroing)
                && (is_free || !is_zeroed);
            require(agrees, Fault::Group(first))?;
            nr_zeroed += u64::from(is_zeroed);
            if block.state == State::Broken {
                nr_small += u64::from(block.nr_used);
            }
            if let Some(count) = counts.get_mut(block.state as usize) {
                *count += 1;
            }
        }
        self.check_summaries()?;
        let nr_reserved = self.check_accounts()?;
        let found = (counts, nr_zeroed, nr_small, nr_reserved);
        let kept = (self.counts, self.nr_zeroed, self.nr_small, self.nr_reserved);
        require(found == kept, Fault::Counts)
    }

    fn check_summaries(&self) -> Result<(), Fault> {
        for (nr, summary) in (0_u32..).zip(self.tables.summaries.iter()) {
            let mut expected = Summary::EMPTY;
            let groups = self.tables.groups.iter();
            // CAST: A summary has 64 groups.
            let groups = groups.skip(nr as usize * 64).take(64);
            for (bit, group) in (0..).zip(groups) {
                expected.update(bit, group);
            }
            require(*summary == expected, Fault::Summary(nr * 64))?;
        }
        Ok(())
    }

    /// Checks the accounts and returns what they were promised together.
    fn check_accounts(&self) -> Result<u64, Fault> {
        let mut nr_reserved = 0;
        for (nr, account) in (0..=u16::MAX).zip(self.tables.accounts.iter()) {
            let id = AccountId(nr);
            let is_own = |block: &&Block| block.state.is_taken() && block.owner == id;
            let blocks = self.tables.blocks.iter();
            let used: u64 = blocks.clone().filter(is_own).map(|_| 1).sum();
            let is_right = match account.standing {
                Standing::Unused => used == 0 && account.reserved == 0,
                Standing::Open => used <= account.reserved,
                Standing::Closed => used == account.reserved && used > 0,
            };
            require(is_right && used == account.used, Fault::Account(id))?;
            nr_reserved += account.reserved;
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
        Ok(nr_reserved)
    }

    /// Walks the list of an account; none if a block does not belong there or the list does not end.
    fn list_len(&self, id: AccountId, first: u32) -> Option<u64> {
        let (mut nr, mut prev, mut len) = (first, NO_BLOCK, 0);
        while nr != NO_BLOCK {
            let block = self.block(nr)?;
            let belongs = block.has_spare() && block.owner == id && block.prev == prev;
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
