// SPDX-License-Identifier: GPL-2.0
//! Zeroing ahead, block by block, outside the pool's lock.

use super::table::{Kind, State};
use super::{bit, Content, Pfn, Pool, PoolError};

impl Pool<'_> {
    /// Takes a dirty free block aside, so that the caller can zero it. Blocks of groups in use come first, as these are
    /// handed out first.
    pub fn begin_zeroing(&mut self) -> Option<Pfn> {
        let nr = self.find(&[Kind::DirtyInPart, Kind::DirtyInWhole])?;
        self.unset_free(nr);
        self.set_state(nr, State::Zeroing);
        self.with_group(nr, |group| group.zeroing.insert(bit(nr)));
        Some(self.span.frame(nr, 0))
    }

    /// Puts the block back; `content` is dirty if zeroing was given up.
    ///
    /// # Errors
    ///
    /// The block was not taken aside.
    pub fn end_zeroing(&mut self, first: Pfn, content: Content) -> Result<(), PoolError> {
        let nr = self.block_at(first)?;
        let is_damaged = match self.block_mut(nr) {
            Some(block) if block.state == State::Zeroing => {
                core::mem::replace(&mut block.is_damaged, false)
            }
            _ => return Err(PoolError::NotZeroing(first)),
        };
        self.with_group(nr, |group| group.zeroing.remove(bit(nr)));
        if is_damaged {
            self.set_state(nr, State::Retired);
        } else {
            self.set_free(nr, content);
        }
        Ok(())
    }
}
