// SPDX-License-Identifier: GPL-2.0
//! Handing out memory.

use super::bits::Bits;
use super::table::{Kind, State, NO_BLOCK};
use super::{
    AccountId, Block, Content, Grant, PageSize, Pool, PoolError, BLOCKS_PER_GROUP, FRAMES_PER_BLOCK,
};

/// Zeroed memory first, because zeroing costs more than anything here; then what spares whole groups.
const ORDER: [Kind; 4] = [
    Kind::ZeroedInPart,
    Kind::ZeroedInWhole,
    Kind::DirtyInPart,
    Kind::DirtyInWhole,
];

/// Groups first, for accounts that want it so.
const SPARING: [Kind; 4] = [
    Kind::ZeroedInPart,
    Kind::DirtyInPart,
    Kind::ZeroedInWhole,
    Kind::DirtyInWhole,
];

impl Pool<'_> {
    /// Takes a page of exactly this size for an account.
    ///
    /// # Errors
    ///
    /// The account has used all that it was promised, or (only for 1 GiB, or where memory retired or is being zeroed)
    /// no such page is free.
    pub fn allocate(&mut self, id: AccountId, size: PageSize) -> Result<Grant, PoolError> {
        match size {
            PageSize::Small => self.allocate_small(id),
            PageSize::Large => {
                let (nr, content) = self.take_block(id, State::Whole)?;
                Ok(self.grant(nr, 0, size, content))
            }
            PageSize::Giant => self.allocate_giant(id),
        }
    }

    /// Takes the largest page that there is for an account, at most of this size.
    ///
    /// # Errors
    ///
    /// There is none of 4 KiB either.
    pub fn allocate_at_most(&mut self, id: AccountId, most: PageSize) -> Result<Grant, PoolError> {
        let mut size = most;
        loop {
            match (self.allocate(id, size), size.smaller()) {
                (Err(PoolError::NoFrame | PoolError::Exhausted), Some(smaller)) => size = smaller,
                (result, _) => return result,
            }
        }
    }

    fn allocate_small(&mut self, id: AccountId) -> Result<Grant, PoolError> {
        let spare = self.open_account(id)?.spare;
        let nr = if spare == NO_BLOCK {
            let (nr, content) = self.take_block(id, State::Broken)?;
            if let Some(block) = self.block_mut(nr) {
                block.zeroed = match content {
                    Content::Zeroed => Bits::FULL,
                    Content::Dirty => Bits::EMPTY,
                };
            }
            self.link(nr);
            nr
        } else {
            spare
        };
        let block = self.block_mut(nr).ok_or(PoolError::NoFrame)?;
        let zeroed = block.zeroed.first();
        let (place, content) = match zeroed {
            Some(place) => (place, Content::Zeroed),
            None => {
                let unused = Bits::FULL.minus(&block.used).first();
                (unused.ok_or(PoolError::NoFrame)?, Content::Dirty)
            }
        };
        // INVARIANT: The frame was not in use, as zeroed ones are not either.
        block.used.insert(place);
        block.zeroed.remove(place);
        block.nr_used += 1;
        let is_full = block.nr_used == FRAMES_PER_BLOCK;
        self.nr_small += 1;
        self.nr_changes += 1;
        if is_full {
            self.unlink(nr);
        }
        Ok(self.grant(nr, place, PageSize::Small, content))
    }

    fn allocate_giant(&mut self, id: AccountId) -> Result<Grant, PoolError> {
        let nr_blocks = u64::from(BLOCKS_PER_GROUP);
        self.check_allowance(id, nr_blocks)?;
        let summaries = self.tables.summaries.iter();
        let wholly = (0..).zip(summaries).find_map(|(nr, summary)| {
            let group = summary.first_wholly_zeroed()?;
            Some((nr * u64::BITS + group) * u32::from(BLOCKS_PER_GROUP))
        });
        let found = wholly.or_else(|| self.find(&[Kind::ZeroedInWhole, Kind::DirtyInWhole]));
        let some = found.ok_or_else(|| self.shortage())?;
        let first = some - some % u32::from(BLOCKS_PER_GROUP);
        let is_free = |nr| self.state(nr) == State::Free;
        if !(first..first + u32::from(BLOCKS_PER_GROUP)).all(is_free) {
            return Err(PoolError::Zeroing);
        }
        let mut content = Content::Zeroed;
        for nr in first..first + u32::from(BLOCKS_PER_GROUP) {
            if self.unset_free(nr) == Content::Dirty {
                content = Content::Dirty;
            }
            self.give(nr, id, State::Giant);
        }
        self.charge(id, nr_blocks);
        Ok(self.grant(first, 0, PageSize::Giant, content))
    }

    /// Takes a free block for an account.
    fn take_block(&mut self, id: AccountId, state: State) -> Result<(u32, Content), PoolError> {
        self.check_allowance(id, 1)?;
        let order = if self.open_account(id)?.spares_groups {
            &SPARING
        } else {
            &ORDER
        };
        let nr = self.find(order).ok_or_else(|| self.shortage())?;
        let content = self.unset_free(nr);
        self.give(nr, id, state);
        self.charge(id, 1);
        Ok((nr, content))
    }

    /// Notes to whom a block goes.
    pub(super) fn give(&mut self, nr: u32, id: AccountId, state: State) {
        self.set_state(nr, state);
        let owner = self.owner(id);
        if let Some(block) = self.block_mut(nr) {
            // INVARIANT: No frame is in use, and it is in no list yet.
            *block = Block {
                state,
                owner,
                ..Block::ABSENT
            };
        }
    }

    fn check_allowance(&mut self, id: AccountId, nr_blocks: u64) -> Result<(), PoolError> {
        let account = self.open_account(id)?;
        if account.reserved.saturating_sub(account.used) < nr_blocks {
            return Err(PoolError::Exhausted);
        }
        Ok(())
    }

    fn charge(&mut self, id: AccountId, nr_blocks: u64) {
        if let Some(account) = self.account_mut(id) {
            account.used += nr_blocks;
        }
    }

    /// Says why no block was found.
    fn shortage(&self) -> PoolError {
        if self.count(State::Zeroing) > 0 {
            PoolError::Zeroing
        } else {
            PoolError::NoFrame
        }
    }

    fn grant(&self, nr: u32, place: u16, size: PageSize, content: Content) -> Grant {
        Grant {
            first: self.span.frame(nr, place),
            size,
            content,
        }
    }
}
