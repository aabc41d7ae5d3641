// SPDX-License-Identifier: GPL-2.0
//! The pools, one for each node at most, each behind a lock that anybody who frees a page may take.

use super::{
    bindings,
    page::{Withdrawn, NR_NODES},
};
use crate::logic::{
    frames::{Account, Block, Content, Group, Pfn, Pool, PoolError, Span, Summary, Tables},
    node::NodeId,
};
use core::cell::UnsafeCell;
use kernel::{
    alloc::{AllocError, Flags},
    error::code,
    prelude::*,
};

/// A table that a pool borrows; freed when the pool is no more.
struct Table<T> {
    first: *mut T,
    len: usize,
    room: usize,
}

impl<T: Copy> Table<T> {
    /// Allocates one of at least one element.
    fn new(len: usize, value: T) -> Result<Self, AllocError> {
        let flags: Flags = GFP_KERNEL;
        let mut table = KVVec::with_capacity(len.max(1), flags)?;
        for _ in 0..len {
            table.push(value, flags)?;
        }
        let (first, len, room) = table.into_raw_parts();
        Ok(Self { first, len, room })
    }

    /// Lends it for as long as the borrower cares to promise.
    ///
    /// # Safety
    ///
    /// Called once; what borrows it is gone when the table is dropped.
    unsafe fn lend(&mut self) -> &'static mut [T] {
        // SAFETY: `new()` initialised `len` elements, and by the contract nobody else has them.
        unsafe { core::slice::from_raw_parts_mut(self.first, self.len) }
    }
}

impl<T> Drop for Table<T> {
    fn drop(&mut self) {
        // SAFETY: They are the parts of the vector of `new()`.
        drop(unsafe { KVVec::from_raw_parts(self.first, self.len, self.room) });
    }
}

/// A pool with its tables. Fields are dropped in this order, the borrower first.
struct Entry {
    pool: Pool<'static>,
    _summaries: Table<Summary>,
    _groups: Table<Group>,
    _blocks: Table<Block>,
    _accounts: Table<Account>,
}

/// All pools.
struct Pools([UnsafeCell<Option<KBox<Entry>>>; NR_NODES]);

// SAFETY: Each is reached only under its lock.
unsafe impl Sync for Pools {}

static POOLS: Pools = Pools([const { UnsafeCell::new(None) }; NR_NODES]);

/// Does something with the slot of a node under its lock.
fn locked<R>(node: NodeId, what: impl FnOnce(&mut Option<KBox<Entry>>) -> R) -> Option<R> {
    let slot = POOLS.0.get(usize::from(node.get()))?;
    // SAFETY: The number is below `MAX_NUMNODES`.
    let flags = unsafe { bindings::lwk_c_pool_lock(node.get().into()) };
    // SAFETY: Its lock is held.
    let result = what(unsafe { &mut *slot.get() });
    // SAFETY: Taken above.
    unsafe { bindings::lwk_c_pool_unlock(node.get().into(), flags) };
    Some(result)
}

/// Does something with the pool of a node, if there is one, with interrupts off: no allocation, no sleep.
pub(crate) fn with<R>(node: NodeId, what: impl FnOnce(&mut Pool<'static>) -> R) -> Option<R> {
    locked(node, |slot| {
        slot.as_mut().map(|entry| what(&mut entry.pool))
    })
    .flatten()
}

/// Makes an empty pool for a node that has none.
///
/// # Errors
///
/// No memory for the tables.
pub(crate) fn make(node: NodeId, span: Span, nr_accounts: usize) -> Result {
    // CAST: usize has 64 bits.
    let mut summaries = Table::new(span.nr_summaries() as usize, Summary::EMPTY)?;
    let mut groups = Table::new(span.nr_groups() as usize, Group::EMPTY)?;
    let mut blocks = Table::new(span.nr_blocks() as usize, Block::ABSENT)?;
    let mut accounts = Table::new(nr_accounts, Account::UNUSED)?;
    let tables = Tables {
        // SAFETY: Lent once; the pool goes into an `Entry`, which drops it before its tables.
        summaries: unsafe { summaries.lend() },
        // SAFETY: As above.
        groups: unsafe { groups.lend() },
        // SAFETY: As above.
        blocks: unsafe { blocks.lend() },
        // SAFETY: As above.
        accounts: unsafe { accounts.lend() },
    };
    let pool = Pool::new(span, tables).map_err(|_| code::EINVAL)?;
    let entry = Entry {
        pool,
        _summaries: summaries,
        _groups: groups,
        _blocks: blocks,
        _accounts: accounts,
    };
    let mut entry = Some(KBox::new(entry, GFP_KERNEL)?);
    locked(node, |slot| {
        if slot.is_none() {
            *slot = entry.take();
        }
    });
    // One that is not wanted is dropped here, without the lock.
    drop(entry);
    Ok(())
}

/// Ends the pool of a node if it has no memory.
pub(crate) fn end_if_empty(node: NodeId) {
    let entry = locked(node, |slot| {
        let is_empty = slot.as_ref().is_some_and(|entry| entry.pool.is_empty());
        if is_empty {
            slot.take()
        } else {
            None
        }
    });
    drop(entry);
}

/// Takes a free block that nobody was promised, if the pool of a node has more than `least` that are not out of service.
pub(crate) fn withdraw_spare(node: NodeId, least: u64) -> Option<Withdrawn> {
    let first = with(node, |pool| {
        let has_more = pool.nr_usable() > least;
        let first = has_more.then(|| pool.spare_block()).flatten()?;
        pool.withdraw_free(first).is_ok().then_some(first)
    });
    // SAFETY: The pool gave it up as a free block: `add_held()` and `free()` are the only ways for frames into a pool.
    first
        .flatten()
        .map(|first| unsafe { Withdrawn::new(first) })
}

/// Takes a block from the pool of a node.
///
/// # Errors
///
/// See [`Pool::withdraw`].
pub(crate) fn withdraw(node: NodeId, first: Pfn) -> Result<Withdrawn, PoolError> {
    let result = with(node, |pool| pool.withdraw_free(first));
    result.unwrap_or(Err(PoolError::Foreign(first)))?;
    // SAFETY: The pool gave it up as a free block: `add_held()` and `free()` are the only ways for frames into a pool.
    Ok(unsafe { Withdrawn::new(first) })
}

/// Has memory that is nobody's go to Linux soon.
pub(crate) fn wake_settling() {
    // SAFETY: May be called from anywhere.
    unsafe { bindings::lwk_c_settle_wake() };
}

/// A free block that its pool keeps aside while it is zeroed.
#[must_use = "nobody else can have the block"]
pub(crate) struct BeingZeroed {
    node: NodeId,
    first: Pfn,
}

/// Takes a block aside that does not hold zeroes, if the pool of a node has one.
pub(crate) fn begin_zeroing(node: NodeId) -> Option<BeingZeroed> {
    let first = with(node, Pool::begin_zeroing)??;
    Some(BeingZeroed { node, first })
}

impl BeingZeroed {
    /// Zeroes it and puts it back.
    pub(crate) fn finish(self) {
        // CAST: unsigned long has 64 bits.
        let pfn = self.first.get() as usize;
        // SAFETY: The pool has the block and gives it to nobody before `end_zeroing()`; nobody refers to its pages.
        unsafe { bindings::lwk_c_zero(pfn) };
        let result = with(self.node, |pool| {
            pool.end_zeroing(self.first, Content::Zeroed)
        });
        if !matches!(result, Some(Ok(()))) {
            pr_err!("node {}: a pool lost a block: {:?}\n", self.node, result);
        }
    }
}

/// There may be something to zero.
pub(crate) fn wake_zeroing() {
    // SAFETY: May be called from anywhere.
    unsafe { bindings::lwk_c_zeroing_wake() };
}

/// Whether there is a pool.
pub(crate) fn exists(node: NodeId) -> bool {
    locked(node, |slot| slot.is_some()).unwrap_or(false)
}

/// Has the hooks look at pools, or not.
pub(crate) fn activate(on: Activity) {
    // SAFETY: Process context, under the lock of changes.
    unsafe { bindings::lwk_c_memory_activate(on == Activity::On) };
}

/// Whether hooks look at pools.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Activity {
    /// There are some.
    On,
    /// There are none.
    Off,
}
