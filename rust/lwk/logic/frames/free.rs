// SPDX-License-Identifier: GPL-2.0
//! Taking memory back, by frame number alone, and taking poisoned frames out of service.

use super::bits::Bits;
use super::table::State;
use super::{
    AccountId, Block, Content, PageSize, Pfn, Pool, PoolError, BLOCKS_PER_GROUP, FRAMES_PER_BLOCK,
};

/// What came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Freed {
    /// Whose it was; nobody's if its job is gone.
    pub owner: Option<AccountId>,
    /// How many blocks are free now that were not; none if others of their frames are still in use, or if they retired.
    pub nr_blocks: u64,
}

/// How far a poisoned block is out of service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retirement {
    /// Nobody uses it.
    Done,
    /// Its other frames are in use; it will be when they are freed.
    OnceFree,
}

impl Pool<'_> {
    /// Takes back 2^`order` frames, all or a part of what was handed out: Linux may have split a page since. Frames of
    /// a damaged block that were retired count as freed already.
    ///
    /// # Errors
    ///
    /// The frame is not the pool's, or nobody holds all of the frames. Nothing has changed then.
    pub fn free(&mut self, first: Pfn, order: u32) -> Result<Freed, PoolError> {
        let (nr, place) = self.span.locate(first).ok_or(PoolError::Foreign(first))?;
        let nr_frames = 1_u64
            .checked_shl(order)
            .ok_or(PoolError::Misaligned(first))?;
        if !first.is_aligned(nr_frames) {
            return Err(PoolError::Misaligned(first));
        }
        if order == PageSize::Giant.order() {
            return self.free_group(nr, first);
        }
        let Some(len) = u16::try_from(nr_frames)
            .ok()
            .filter(|len| *len <= FRAMES_PER_BLOCK)
        else {
            return Err(PoolError::Misaligned(first));
        };
        match self.state(nr) {
            State::Absent => return Err(PoolError::Foreign(first)),
            State::Free | State::Zeroing | State::Retired => {
                return Err(PoolError::NotTaken(first));
            }
            State::Whole if len == FRAMES_PER_BLOCK => return Ok(self.release(nr)),
            State::Whole => self.break_up(nr),
            State::Giant => {
                self.split_group(nr);
                if len == FRAMES_PER_BLOCK {
                    return Ok(self.release(nr));
                }
                self.break_up(nr);
            }
            State::Broken => {}
        }
        self.free_run(nr, place, len)
            .ok_or(PoolError::NotTaken(first))
    }

    /// Takes a poisoned frame out of service, and with it its block once all other frames of it are free.
    ///
    /// A frame in use counts as freed from here on: Linux keeps poisoned frames.
    ///
    /// # Errors
    ///
    /// The frame is not the pool's.
    pub fn retire(&mut self, pfn: Pfn) -> Result<Retirement, PoolError> {
        let (nr, place) = self.span.locate(pfn).ok_or(PoolError::Foreign(pfn))?;
        match self.state(nr) {
            State::Absent => return Err(PoolError::Foreign(pfn)),
            State::Retired => return Ok(Retirement::Done),
            State::Free => {
                self.unset_free(nr);
                self.set_state(nr, State::Retired);
                return Ok(Retirement::Done);
            }
            State::Zeroing => {
                if let Some(block) = self.block_mut(nr) {
                    block.is_damaged = true;
                }
                return Ok(Retirement::OnceFree);
            }
            State::Giant => {
                self.split_group(nr);
                self.break_up(nr);
            }
            State::Whole => self.break_up(nr),
            State::Broken => {}
        }
        let was_listed = self.block(nr).is_some_and(Block::has_spare);
        if was_listed {
            self.unlink(nr);
        }
        if let Some(block) = self.block_mut(nr) {
            block.is_damaged = true;
        }
        let _ = self.free_run(nr, place, 1);
        Ok(if self.state(nr) == State::Retired {
            Retirement::Done
        } else {
            Retirement::OnceFree
        })
    }

    /// Says whether nobody has this frame, as far as the pool knows.
    pub fn is_free(&self, pfn: Pfn) -> bool {
        let Some((nr, place)) = self.span.locate(pfn) else {
            return false;
        };
        match self.state(nr) {
            State::Free | State::Retired => true,
            State::Broken => self
                .block(nr)
                .is_some_and(|block| !block.used.contains(place)),
            State::Absent | State::Zeroing | State::Whole | State::Giant => false,
        }
    }

    /// Frees a run of frames of a broken block.
    fn free_run(&mut self, nr: u32, place: u16, len: u16) -> Option<Freed> {
        let block = self.block_mut(nr)?;
        let found = block.used.count_run(place, len);
        if found == 0 || found < len && !block.is_damaged {
            return None;
        }
        let had_spare = block.has_spare();
        block.used.remove_run(place, len);
        block.nr_used -= found;
        let (owner, is_unused, has_spare) = (block.owner, block.nr_used == 0, block.has_spare());
        self.nr_small -= u64::from(found);
        self.nr_changes += 1;
        if is_unused {
            if had_spare {
                self.unlink(nr);
            }
            return Some(self.release(nr));
        }
        if has_spare && !had_spare {
            self.link(nr);
        }
        Some(Freed {
            owner: self.open_owner(owner),
            nr_blocks: 0,
        })
    }

    /// Frees a group that was given out in one piece, of which frames may have retired since.
    fn free_group(&mut self, first_nr: u32, first: Pfn) -> Result<Freed, PoolError> {
        let blocks = first_nr..first_nr + u32::from(BLOCKS_PER_GROUP);
        if self.state(first_nr) == State::Absent {
            return Err(PoolError::Foreign(first));
        }
        let mut owner = None;
        for nr in blocks.clone() {
            let Some(block) = self.block(nr) else { break };
            let is_taken = match block.state {
                State::Retired => continue,
                State::Giant | State::Whole => true,
                State::Broken => block.is_damaged,
                State::Absent | State::Free | State::Zeroing => false,
            };
            if !is_taken || *owner.get_or_insert(block.owner) != block.owner {
                return Err(PoolError::NotTaken(first));
            }
        }
        let owner = owner.ok_or(PoolError::NotTaken(first))?;
        let mut nr_blocks = 0;
        for nr in blocks {
            let freed = match self.state(nr) {
                State::Giant | State::Whole => Some(self.release(nr)),
                State::Broken => self.free_run(nr, 0, FRAMES_PER_BLOCK),
                _ => None,
            };
            nr_blocks += freed.map_or(0, |freed| freed.nr_blocks);
        }
        Ok(Freed {
            owner: self.open_owner(owner),
            nr_blocks,
        })
    }

    /// Makes a block free, or retires it, that nobody uses any more.
    fn release(&mut self, nr: u32) -> Freed {
        let Some(block) = self.block_mut(nr) else {
            return Freed {
                owner: None,
                nr_blocks: 0,
            };
        };
        let (owner, is_damaged) = (block.owner, block.is_damaged);
        // The frames of a broken block that were never used may hold zeroes; not worth the bookkeeping.
        *block = Block {
            state: block.state,
            ..Block::ABSENT
        };
        if is_damaged {
            self.set_state(nr, State::Retired);
        } else {
            self.set_free(nr, Content::Dirty);
        }
        self.uncharge(owner);
        Freed {
            owner: self.open_owner(owner),
            nr_blocks: u64::from(!is_damaged),
        }
    }

    /// Turns a block that was given out whole into one given out in frames, all in use.
    fn break_up(&mut self, nr: u32) {
        self.set_state(nr, State::Broken);
        if let Some(block) = self.block_mut(nr) {
            block.used = Bits::FULL;
            block.nr_used = FRAMES_PER_BLOCK;
            block.zeroed = Bits::EMPTY;
            self.nr_small += u64::from(FRAMES_PER_BLOCK);
        }
    }

    /// Turns the group of a block, given out in one piece, into blocks given out whole.
    fn split_group(&mut self, nr: u32) {
        let first = nr - nr % u32::from(BLOCKS_PER_GROUP);
        for nr in first..first + u32::from(BLOCKS_PER_GROUP) {
            if self.state(nr) == State::Giant {
                self.set_state(nr, State::Whole);
            }
        }
    }
}
