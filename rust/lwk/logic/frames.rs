// SPDX-License-Identifier: GPL-2.0
//! The frames of a memory pool on one NUMA node: which are free, who has the others, and which hold zeroes.
//!
//! ```text
//! Linux --add--> free, dirty --begin_zeroing--> zeroing --end_zeroing--> free, zeroed
//!       <--withdraw--  |                                                     |
//!                      +------------- allocate ---> taken --- free ----------+--> free, dirty
//!                                                    | retire, then all others freed
//!                                                    v
//!                                                 retired --withdraw--> Linux
//! ```
//!
//! Memory comes and goes in blocks of 2 MiB, the pageblocks of Linux. A block is given out whole, as part of a group of
//! 1 GiB, or broken into frames of 4 KiB. A broken block serves one account only, so that blocks are whole again as
//! soon as their job is gone, and so that jobs can be promised blocks: an account pays for whole blocks. It can always
//! have what was reserved for it, except for blocks that retired since. What jobs leave in use when they end is counted
//! together, in no account.
//!
//! Nothing is searched but bitmaps: 512 bits for a block or a group, and a summary with one word for each 64 groups.
//! The caller supplies the memory of the tables, which are for a fixed [`Span`] of frames, and holds a lock around each
//! call. A wrong `free` is refused and changes nothing.

mod account;
mod alloc;
mod bits;
mod check;
mod error;
mod free;
mod size;
mod stats;
mod table;
#[cfg(test)]
mod tests;
mod zeroing;

pub use account::{AccountId, AccountView};
pub use check::{Check, Fault};
pub use error::PoolError;
pub use free::{Freed, Retirement};
pub use size::{
    PageSize, Pfn, Span, BLOCKS_PER_GROUP, BLOCK_BYTES, FRAMES_PER_BLOCK, FRAMES_PER_GROUP,
    FRAME_BYTES,
};
pub use stats::{Pieces, Stats};
pub use table::{Account, Block, Content, Grant, Group, Summary, Tables};

use table::{Kind, State};

/// The frames of one pool on one node.
///
/// # Invariants
///
/// The tables are as long as the span asks for; those of their entries hold; the summaries, the counts and the lists of
/// the accounts follow from the blocks. [`check`](Self::check) checks all of it.
#[derive(Debug)]
pub struct Pool<'a> {
    span: Span,
    tables: Tables<'a>,
    /// Blocks by state.
    counts: [u64; State::COUNT],
    /// Free blocks that hold zeroes.
    nr_zeroed: u64,
    /// Frames in use of broken blocks.
    nr_small: u64,
    /// Blocks promised to accounts, and orphans.
    nr_reserved: u64,
    /// Blocks in use whose account is closed.
    nr_orphans: u64,
    /// How often any of it changed, for who looks at parts one after the other.
    nr_changes: u64,
}

impl<'a> Pool<'a> {
    /// Makes a pool without memory, whatever the tables hold.
    ///
    /// # Errors
    ///
    /// A table is too short.
    pub fn new(span: Span, tables: Tables<'a>) -> Result<Self, PoolError> {
        tables.check(span)?;
        tables.summaries.fill(Summary::EMPTY);
        tables.groups.fill(Group::EMPTY);
        tables.blocks.fill(Block::ABSENT);
        tables.accounts.fill(Account::UNUSED);
        let mut counts = [0; State::COUNT];
        if let Some(absent) = counts.get_mut(State::Absent as usize) {
            *absent = u64::from(span.nr_blocks());
        }
        // INVARIANT: No block is the pool's, and nobody has an account.
        Ok(Self {
            span,
            tables,
            counts,
            nr_zeroed: 0,
            nr_small: 0,
            nr_reserved: 0,
            nr_orphans: 0,
            nr_changes: 0,
        })
    }

    /// Returns the span that the tables are for.
    pub const fn span(&self) -> Span {
        self.span
    }

    /// Takes a block over from Linux.
    ///
    /// # Errors
    ///
    /// It is no block, is outside the span, or is the pool's already.
    pub fn add(&mut self, first: Pfn, content: Content) -> Result<(), PoolError> {
        let nr = self.block_at(first)?;
        if self.state(nr) != State::Absent {
            return Err(PoolError::Present(first));
        }
        self.set_free(nr, content);
        Ok(())
    }

    /// Takes a block over that an account holds whole, though it was not promised: how claimed memory enters, since
    /// Linux may look at a page for a moment yet, and each frame then comes home through [`free`](Self::free).
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add), or there is no such account.
    pub fn add_held(&mut self, first: Pfn, id: AccountId) -> Result<(), PoolError> {
        let nr = self.block_at(first)?;
        if self.state(nr) != State::Absent {
            return Err(PoolError::Present(first));
        }
        let account = self.open_account(id)?;
        account.reserved += 1;
        account.used += 1;
        self.nr_reserved += 1;
        self.give(nr, id, State::Whole);
        Ok(())
    }

    /// Gives a block up, so that Linux can have it back; a retired one still has its poisoned frames.
    ///
    /// # Errors
    ///
    /// It is not the pool's, is in use, or was promised to a job.
    pub fn withdraw(&mut self, first: Pfn) -> Result<(), PoolError> {
        let nr = self.block_at(first)?;
        match self.state(nr) {
            State::Absent => return Err(PoolError::Foreign(first)),
            State::Retired => {}
            State::Free => {
                let unreserved = self.nr_unreserved();
                if unreserved == 0 {
                    return Err(PoolError::Reserved { unreserved });
                }
                self.unset_free(nr);
            }
            State::Zeroing | State::Whole | State::Broken | State::Giant => {
                return Err(PoolError::InUse(first));
            }
        }
        self.set_state(nr, State::Absent);
        Ok(())
    }

    /// Gives a free block up, but not a retired one, as [`withdraw`](Self::withdraw) would.
    ///
    /// # Errors
    ///
    /// As [`withdraw`](Self::withdraw); a retired block is in use.
    pub fn withdraw_free(&mut self, first: Pfn) -> Result<(), PoolError> {
        let nr = self.block_at(first)?;
        if self.state(nr) == State::Retired {
            return Err(PoolError::InUse(first));
        }
        self.withdraw(first)
    }

    /// Says whether it has no memory, retired blocks included.
    pub fn is_empty(&self) -> bool {
        self.count(State::Absent) == u64::from(self.span.nr_blocks())
    }

    /// Returns how many blocks it has, retired ones included.
    pub fn nr_blocks(&self) -> u64 {
        u64::from(self.span.nr_blocks()) - self.count(State::Absent)
    }

    /// Returns how many of them nobody has, those being zeroed included.
    pub fn nr_free(&self) -> u64 {
        self.count(State::Free) + self.count(State::Zeroing)
    }

    /// Returns the free block that the pool can best do without, if any is not promised: one of a group that is in use.
    pub fn spare_block(&self) -> Option<Pfn> {
        const ORDER: [Kind; 4] = [
            Kind::DirtyInPart,
            Kind::ZeroedInPart,
            Kind::DirtyInWhole,
            Kind::ZeroedInWhole,
        ];
        let nr = (self.nr_unreserved() > 0).then(|| self.find(&ORDER))??;
        Some(self.span.frame(nr, 0))
    }

    /// Goes through the blocks of the pool that are out of service.
    pub fn retired(&self) -> impl Iterator<Item = Pfn> + '_ {
        let blocks = (0..).zip(self.tables.blocks.iter());
        let retired = blocks.filter(|(_, block)| block.state == State::Retired);
        retired.map(|(nr, _)| self.span.frame(nr, 0))
    }

    /// Says whether the pool has the block of this frame, free or not.
    pub fn has(&self, pfn: Pfn) -> bool {
        let located = self.span.locate(pfn);
        located.is_some_and(|(nr, _)| self.state(nr) != State::Absent)
    }

    /// Returns how many blocks nobody was promised.
    pub fn nr_unreserved(&self) -> u64 {
        self.nr_usable().saturating_sub(self.nr_reserved)
    }

    /// Returns how many blocks were promised that are there no longer, as they retired since.
    pub fn nr_lost(&self) -> u64 {
        self.nr_reserved.saturating_sub(self.nr_usable())
    }

    /// Returns how many blocks it has that are not out of service. Only these can go, so only these can be too many.
    pub fn nr_usable(&self) -> u64 {
        let lost = self.count(State::Absent) + self.count(State::Retired);
        u64::from(self.span.nr_blocks()) - lost
    }

    /// Returns the number of the block that begins at this frame.
    fn block_at(&self, first: Pfn) -> Result<u32, PoolError> {
        match self.span.locate(first) {
            Some((nr, 0)) => Ok(nr),
            Some(_) => Err(PoolError::Misaligned(first)),
            None => Err(PoolError::Foreign(first)),
        }
    }

    fn block(&self, nr: u32) -> Option<&Block> {
        self.tables.blocks.get(usize::try_from(nr).ok()?)
    }

    fn block_mut(&mut self, nr: u32) -> Option<&mut Block> {
        self.tables.blocks.get_mut(usize::try_from(nr).ok()?)
    }

    fn state(&self, nr: u32) -> State {
        self.block(nr).map_or(State::Absent, |block| block.state)
    }

    fn count(&self, state: State) -> u64 {
        self.counts.get(state as usize).copied().unwrap_or(0)
    }

    fn set_state(&mut self, nr: u32, state: State) {
        let Some(block) = self.block_mut(nr) else {
            return;
        };
        let before = core::mem::replace(&mut block.state, state);
        self.nr_changes += 1;
        if let Some(count) = self.counts.get_mut(before as usize) {
            *count -= 1;
        }
        if let Some(count) = self.counts.get_mut(state as usize) {
            *count += 1;
        }
    }

    /// Makes a block free, whatever it was but free.
    fn set_free(&mut self, nr: u32, content: Content) {
        self.set_state(nr, State::Free);
        let bit = bit(nr);
        self.with_group(nr, |group| {
            group.free.insert(bit);
            if content == Content::Zeroed {
                group.zeroed.insert(bit);
            }
        });
        if content == Content::Zeroed {
            self.nr_zeroed += 1;
        }
    }

    /// Takes a free block out of its group and says what it holds; its next state is for the caller to set.
    fn unset_free(&mut self, nr: u32) -> Content {
        let bit = bit(nr);
        let mut content = Content::Dirty;
        self.with_group(nr, |group| {
            if group.zeroed.contains(bit) {
                content = Content::Zeroed;
            }
            group.free.remove(bit);
            group.zeroed.remove(bit);
        });
        if content == Content::Zeroed {
            self.nr_zeroed -= 1;
        }
        content
    }

    /// Changes the group of a block and brings its summary up to date.
    fn with_group(&mut self, nr: u32, change: impl FnOnce(&mut Group)) {
        let nr_group = nr / u32::from(BLOCKS_PER_GROUP);
        let index = |nr: u32| usize::try_from(nr).unwrap_or(usize::MAX);
        let group = self.tables.groups.get_mut(index(nr_group));
        let summary = self.tables.summaries.get_mut(index(nr_group / u64::BITS));
        if let (Some(group), Some(summary)) = (group, summary) {
            change(group);
            summary.update(nr_group % u64::BITS, group);
        }
    }

    /// Finds the lowest free block of the first kind that there is one of.
    fn find(&self, kinds: &[Kind]) -> Option<u32> {
        kinds.iter().find_map(|kind| {
            let groups = (0..).zip(self.tables.summaries.iter());
            let mut groups = groups.filter_map(|(nr, summary)| {
                let first = summary.first(*kind)?;
                Some(nr * u64::BITS + first)
            });
            let nr_group = groups.next()?;
            let group = self.tables.groups.get(usize::try_from(nr_group).ok()?)?;
            let first = if kind.is_zeroed() {
                group.zeroed.first()?
            } else {
                group.free.minus(&group.zeroed).first()?
            };
            Some(nr_group * u32::from(BLOCKS_PER_GROUP) + u32::from(first))
        })
    }
}

/// Returns the place of a block in its group.
fn bit(nr: u32) -> u16 {
    // CAST: The remainder is below 512.
    (nr % u32::from(BLOCKS_PER_GROUP)) as u16
}
