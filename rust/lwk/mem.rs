// SPDX-License-Identifier: GPL-2.0
//! Memory of partitions: how it comes from Linux and goes back.
//!
//! ```text
//! begin: for each node more is wanted of, take blocks until the plan is met ──▶ Taken
//! Taken ──commit──▶ the new shares hold      ──undo──▶ the old ones do
//! settle: pools give up what is nobody's share, now or when its last user drops it
//! ```
//!
//! A share is what a partition is to have of a node. Its account in the node's pool holds what of that no job was
//! promised. What is taken is in an account of the change until that is committed, so that no job gets it and nobody gives
//! it back.
//!
//! All this takes long and needs the lock of changes. Shares are [`Memory`], behind the lock of the state, which is held
//! for moments only: jobs begin and end meanwhile. [`free`] may come from anywhere.
#![forbid(unsafe_code)]

mod promise;
mod room;
mod zeroing;

use crate::{
    logic::{
        claim::Claim,
        frames::{AccountId, Fault, Pfn, Pieces, PoolError, Stats, FRAMES_PER_BLOCK},
        memspec::MemSpec,
        node::{NodeId, NodeSet},
        partition::PartitionId,
        refused::Refused,
        spread::{self, Room},
    },
    partition::{Change, Changes, CHANGES, STATE},
    sys::{
        cpu::{self, NR_CPUS},
        page::{self, Claimed, NR_NODES},
        pool::{self, Activity},
    },
    uapi::{Refusal, MAX_PARTITIONS},
};
use core::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use kernel::{
    error::{code, Error, Result},
    prelude::*,
};

pub(crate) use promise::{Place, Promise, Spot, Want};
pub(crate) use room::survey;
pub(crate) use zeroing::zero_block;

use zeroing::pause;

/// Accounts of a pool: partitions, a change, and jobs, of which each has a CPU at least. What a job leaves in use is in no
/// account.
const NR_ACCOUNTS: usize = MAX_PARTITIONS + 1 + NR_CPUS;

/// How often a check of a pool is begun anew that changed meanwhile.
const MAX_CHECKS: u32 = 16;

/// Blocks of each node that partitions are to have, so that a pool knows when it has more.
static SHARED: [AtomicU64; NR_NODES] = [const { AtomicU64::new(u64::MAX) }; NR_NODES];

/// Whether a wrong free was told of.
static HAS_WARNED: AtomicBool = AtomicBool::new(false);

/// What a partition has of a node.
#[derive(Clone, Copy)]
struct Share {
    /// Blocks.
    blocks: u32,
    /// Those of them that live jobs were promised.
    promised: u32,
    /// Where the pool keeps those that no job was promised.
    account: Option<AccountId>,
}

/// Who has which memory.
pub(crate) struct Memory {
    shares: [[Share; NR_NODES]; MAX_PARTITIONS],
}

impl Memory {
    /// Nobody has any.
    pub(crate) const fn new() -> Self {
        const NONE: Share = Share {
            blocks: 0,
            promised: 0,
            account: None,
        };
        Self {
            shares: [[NONE; NR_NODES]; MAX_PARTITIONS],
        }
    }

    fn share(&self, id: PartitionId, node: NodeId) -> Option<&Share> {
        self.shares.get(slot(id))?.get(usize::from(node.get()))
    }

    fn share_mut(&mut self, id: PartitionId, node: NodeId) -> Option<&mut Share> {
        self.shares
            .get_mut(slot(id))?
            .get_mut(usize::from(node.get()))
    }

    /// How many blocks of a node jobs of a partition were promised, or were lost as they are bad.
    fn promised(&self, id: PartitionId, node: NodeId) -> u64 {
        self.blocks(id, node)
            .saturating_sub(self.unreserved(id, node))
    }

    /// Sets how many blocks of a node a partition is to have.
    fn set_blocks(&mut self, id: PartitionId, node: NodeId, blocks: u64) {
        if let Some(share) = self.share_mut(id, node) {
            // A span has at most `u32::MAX` blocks.
            share.blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
        }
    }

    /// How many blocks of a node a partition is to have.
    pub(crate) fn blocks(&self, id: PartitionId, node: NodeId) -> u64 {
        self.share(id, node)
            .map_or(0, |share| u64::from(share.blocks))
    }

    /// How many of them no job was promised.
    pub(crate) fn unreserved(&self, id: PartitionId, node: NodeId) -> u64 {
        let account = self.share(id, node).and_then(|share| share.account);
        let view = account.and_then(|account| pool::with(node, |pool| pool.account(account)));
        view.flatten().map_or(0, |view| view.reserved)
    }

    /// How many blocks of a node all partitions together are to have.
    pub(crate) fn shared(&self, node: NodeId) -> u64 {
        let nr = usize::from(node.get());
        let of_node = self.shares.iter().filter_map(|shares| shares.get(nr));
        of_node.map(|share| u64::from(share.blocks)).sum()
    }
}

/// The row of a partition; ids begin with 1.
pub(crate) fn slot(id: PartitionId) -> usize {
    // CAST: usize has 64 bits.
    (id.get() as usize).wrapping_sub(1)
}

/// All nodes that could have memory.
pub(crate) fn nodes() -> impl Iterator<Item = NodeId> {
    // CAST: At most 64.
    (0..NR_NODES as u16).filter_map(NodeId::new)
}

/// Whether it is a node that the LWK can have memory of, or has.
pub(crate) fn is_usable(node: NodeId) -> bool {
    pool::exists(node) || page::node(node).is_some()
}

/// Blocks that were taken for a partition that does not have them yet.
#[must_use = "it holds memory: commit or undo it"]
pub(crate) struct Taken {
    id: PartitionId,
    /// First frame and number of blocks.
    ranges: KVec<(NodeId, Pfn, u64)>,
    /// What the partition is to have of each node, and had before.
    targets: KVec<u64>,
    before: KVec<u64>,
    /// Where the pool of each node keeps what was taken.
    accounts: KVec<Option<AccountId>>,
}

/// Takes from Linux what a partition is to have more of than it has. What it is to have less of no job gets from here on; it
/// goes when the change is committed.
///
/// # Errors
///
/// There is not enough, or jobs were promised what is to go; nothing has changed then.
pub(crate) fn begin(
    changes: &mut Changes,
    id: PartitionId,
    near: NodeSet,
    spec: &MemSpec,
) -> Change<Taken> {
    let mut rooms = for_nodes(Room::default()).map_err(linux)?;
    let mut taken = Taken {
        id,
        ranges: KVec::new(),
        targets: for_nodes(0).map_err(linux)?,
        before: for_nodes(0).map_err(linux)?,
        accounts: for_nodes(None).map_err(linux)?,
    };
    room::look(id, near, spec, &mut rooms)?;
    for (before, room) in taken.before.iter_mut().zip(rooms.iter()) {
        *before = room.has;
    }
    let result = take_all(changes, &mut taken, spec, &mut rooms);
    if let Err(refused) = result {
        undo(changes, taken);
        return Err(room::with_longest(refused));
    }
    Ok(taken)
}

/// Makes a table with a value for each node.
fn for_nodes<T: Copy>(value: T) -> Result<KVec<T>> {
    let mut table = KVec::with_capacity(NR_NODES, GFP_KERNEL)?;
    for _ in nodes() {
        table.push(value, GFP_KERNEL)?;
    }
    Ok(table)
}

fn linux(error: Error) -> Refused {
    Refused::linux(-error.to_errno(), Refusal::None, None)
}

/// Takes blocks until the partition has on each node what it is to have; where a node has less than it seemed, others
/// may make up for it.
fn take_all(
    changes: &mut Changes,
    taken: &mut Taken,
    spec: &MemSpec,
    rooms: &mut [Room],
) -> Change {
    let mut got = for_nodes(0_u64).map_err(linux)?;
    loop {
        spread::spread(spec, rooms, &mut taken.targets)?;
        if !lower(taken, rooms) {
            continue;
        }
        let mut is_short = false;
        for node in nodes() {
            let nr = usize::from(node.get());
            let (Some(room), Some(got)) = (rooms.get_mut(nr), got.get_mut(nr)) else {
                continue;
            };
            let target = taken.targets.get(nr).copied().unwrap_or(0);
            let wanted = target.saturating_sub(room.has).saturating_sub(*got);
            if wanted == 0 {
                continue;
            }
            *got += take_some(changes, taken, node, wanted).map_err(linux)?;
            if room.has + *got < target {
                room.spare = *got;
                is_short = true;
            }
        }
        if !is_short {
            return Ok(());
        }
    }
}

/// Has jobs not get what the partition is to have less of; false, with the rooms as they are now, if some have it already.
fn lower(taken: &Taken, rooms: &mut [Room]) -> bool {
    let mut guard = STATE.lock();
    let memory = &mut guard.memory;
    let mut is_free = true;
    for ((node, room), target) in nodes().zip(rooms.iter_mut()).zip(taken.targets.iter()) {
        room.promised = memory.promised(taken.id, node);
        is_free &= room.promised <= *target;
    }
    if !is_free {
        return false;
    }
    for ((node, room), target) in nodes().zip(rooms.iter()).zip(taken.targets.iter()) {
        memory.set_blocks(taken.id, node, room.has.min(*target));
    }
    settle_accounts(memory);
    true
}

/// Takes at most `wanted` blocks of a node, and returns how many.
fn take_some(changes: &mut Changes, taken: &mut Taken, node: NodeId, wanted: u64) -> Result<u64> {
    let linux = page::node(node).ok_or(code::ENODEV)?;
    if !pool::exists(node) {
        pool::make(node, linux.span, NR_ACCOUNTS)?;
    }
    if !changes.has_memory {
        pool::activate(Activity::On);
        changes.has_memory = true;
    }
    let slot = taken.accounts.get_mut(usize::from(node.get()));
    let slot = slot.ok_or(code::EINVAL)?;
    let account = match *slot {
        Some(account) => account,
        None => {
            let opened = pool::with(node, |pool| pool.open(0));
            let opened = opened.ok_or(code::ENODEV)?;
            *slot.insert(opened.map_err(|_| code::ENOSPC)?)
        }
    };
    // The span of the pool, if that is older than some memory.
    let span = pool::with(node, |pool| pool.span()).ok_or(code::ENODEV)?;
    let mut costs = room::costs(&linux, span)?;
    let mut plan = Claim::new(&mut costs, wanted);
    while let Some(range) = plan.next_range() {
        // CAST: A group has 512 blocks, and usize has 64 bits.
        let (start, len) = (range.start as u64, range.len() as u64);
        let first = Pfn::new(span.first().get() + start * u64::from(FRAMES_PER_BLOCK));
        let nr = take_range(taken, node, account, first, len)?;
        if nr < len {
            plan.failed(&range);
            plan.got_part(nr);
        }
    }
    page::changed(node);
    Ok(plan.got())
}

/// Takes a range, or else the parts of it that can be had, and returns how many blocks these are.
fn take_range(
    taken: &mut Taken,
    node: NodeId,
    account: AccountId,
    first: Pfn,
    len: u64,
) -> Result<u64> {
    // Room first, so that nothing can fail once the blocks are ours.
    taken.ranges.reserve(1, GFP_KERNEL)?;
    match Claimed::take(first, len) {
        Ok(claimed) => {
            taken.ranges.push((node, first, len), GFP_KERNEL)?;
            for nr in 0..len {
                let result = pool::with(node, |pool| pool.add_held(block(first, nr), account));
                if !matches!(result, Some(Ok(()))) {
                    pr_err!("node {}: a pool refuses a new block: {:?}\n", node, result);
                }
            }
            drop(claimed);
            Ok(len)
        }
        Err(error) if error == code::EINTR => Err(error),
        Err(_) if len == 1 => Ok(0),
        Err(_) => {
            let half = len / 2;
            let low = take_range(taken, node, account, first, half)?;
            let high = take_range(taken, node, account, block(first, half), len - half)?;
            Ok(low + high)
        }
    }
}

fn block(first: Pfn, nr: u64) -> Pfn {
    Pfn::new(first.get() + nr * u64::from(FRAMES_PER_BLOCK))
}

/// The partition has what it asked for.
pub(crate) fn commit(changes: &mut Changes, taken: Taken) {
    {
        let mut guard = STATE.lock();
        let memory = &mut guard.memory;
        for ((node, target), account) in nodes().zip(&taken.targets).zip(&taken.accounts) {
            memory.set_blocks(taken.id, node, *target);
            if let (Some(share), Some(new)) = (memory.share_mut(taken.id, node), *account) {
                // The new one takes over what the old one has, as that is nobody's now.
                let old = share.account.replace(new);
                close(node, old);
            }
        }
        settle_accounts(memory);
    }
    settle(changes);
}

fn close(node: NodeId, account: Option<AccountId>) {
    if let Some(account) = account {
        // What of it Linux looks at comes home later.
        let _ = pool::with(node, |pool| pool.close(account));
    }
}

/// Linux has what was taken, and the partition what it had.
pub(crate) fn undo(changes: &mut Changes, taken: Taken) {
    {
        let mut guard = STATE.lock();
        let memory = &mut guard.memory;
        for ((node, before), account) in nodes().zip(&taken.before).zip(&taken.accounts) {
            memory.set_blocks(taken.id, node, *before);
            close(node, *account);
        }
        settle_accounts(memory);
    }
    for (node, first, len) in &taken.ranges {
        for nr in 0..*len {
            let first = block(*first, nr);
            let withdrawn = pool::withdraw(*node, first).or_else(|_| {
                // It may be the one that is being zeroed.
                let _pause = pause();
                pool::withdraw(*node, first)
            });
            // Where Linux still looks at a page, `settle()` gives another block back, or this one later.
            if let Ok(withdrawn) = withdrawn {
                withdrawn.give_back();
            }
            cpu::may_yield();
        }
        page::changed(*node);
    }
    settle(changes);
}

/// A partition ends that has no jobs and gets none.
pub(crate) fn release(changes: &mut Changes, id: PartitionId) {
    {
        let mut guard = STATE.lock();
        for node in nodes() {
            guard.memory.set_blocks(id, node, 0);
        }
        settle_accounts(&mut guard.memory);
    }
    settle(changes);
}

/// Whether somebody asked for [`settle`] since.
static WANTS_SETTLING: AtomicBool = AtomicBool::new(false);

/// Has [`settle`] run, now or when the change is done that goes on.
pub(crate) fn settle_soon() {
    // ORDERING: SeqCst, see `Control::nudge`.
    WANTS_SETTLING.store(true, SeqCst);
    CHANGES.nudge();
}

/// Whether [`settle`] is to run.
pub(crate) fn wants_settling() -> bool {
    // ORDERING: Relaxed: `Control` has the fence.
    WANTS_SETTLING.load(Relaxed)
}

/// Makes the pools have what partitions are to have, as far as their users let go of it. Needs the lock of changes, as
/// Linux may take long to take memory back.
pub(crate) fn settle(changes: &mut Changes) {
    // ORDERING: SeqCst: what those left who ask from here on is perhaps not seen below.
    WANTS_SETTLING.store(false, SeqCst);
    settle_accounts(&mut STATE.lock().memory);
    let mut is_any_left = false;
    for node in nodes() {
        if give_spare_back(node) {
            page::changed(node);
        }
        pool::end_if_empty(node);
        is_any_left |= pool::exists(node);
    }
    if changes.has_memory && !is_any_left {
        pool::activate(Activity::Off);
        changes.has_memory = false;
    }
}

/// Gives Linux what the pool of a node has too much, and says whether that was anything.
fn give_spare_back(node: NodeId) -> bool {
    let mut has_changed = false;
    let withdraw = || pool::withdraw_spare(node, shared(node));
    // That may be terabytes, while zeroing goes on for others: only for the last ones nothing is to be missed.
    while let Some(withdrawn) = withdraw().or_else(|| {
        let _pause = pause();
        withdraw()
    }) {
        withdrawn.give_back();
        has_changed = true;
        cpu::may_yield();
    }
    has_changed
}

/// How many blocks of a node all partitions together are to have.
fn shared(node: NodeId) -> u64 {
    let slot = SHARED.get(usize::from(node.get()));
    // ORDERING: Relaxed: `settle()` looks at the pool once more after it was written.
    slot.map_or(u64::MAX, |shared| shared.load(Relaxed))
}

/// A job let go of what it was promised: partitions have it again.
fn take_over(memory: &mut Memory) {
    settle_accounts(memory);
    let has_more = |node| pool::with(node, |pool| pool.nr_usable() > shared(node));
    if nodes().any(|node| has_more(node).unwrap_or(false)) {
        pool::wake_settling();
    }
}

/// Has the accounts of partitions promise what is theirs and no job's.
fn settle_accounts(memory: &mut Memory) {
    for node in nodes() {
        if let Some(slot) = SHARED.get(usize::from(node.get())) {
            // ORDERING: Relaxed: whoever frees before it sees this is done before a pool is looked at, under its lock.
            slot.store(memory.shared(node), Relaxed);
        }
    }
    for shares in &mut memory.shares {
        for (node, share) in nodes().zip(shares) {
            if share.account.is_none() && share.blocks > 0 {
                // It had none of this node for a while, as a change lowered and then raised it.
                let opened = pool::with(node, |pool| pool.open(0));
                share.account = opened.and_then(|account| account.ok());
            }
            let Some(account) = share.account else {
                continue;
            };
            let blocks = u64::from(share.blocks.saturating_sub(share.promised));
            let is_done = pool::with(node, |pool| {
                let Some(view) = pool.account(account) else {
                    return true;
                };
                let most = view.reserved.saturating_add(pool.nr_unreserved());
                let least = blocks.min(most).saturating_sub(pool.nr_lost());
                // While a page of a new block is looked at by Linux the account uses it.
                let _ = pool.resize(account, least.max(view.used));
                share.blocks == 0 && pool.close(account).is_ok()
            });
            if is_done.unwrap_or(true) {
                share.account = None;
            }
        }
    }
}

/// A page is bad that somebody had until a moment ago, and others cannot get. False if somebody has it again.
pub(crate) fn retire_free(node: NodeId, pfn: Pfn) -> bool {
    let _pause = pause();
    let retired = pool::with(node, |pool| {
        let is_free = pool.is_free(pfn);
        is_free && pool.retire(pfn).is_ok()
    });
    if retired == Some(true) {
        tell_of_retired(node);
    }
    retired.unwrap_or(false)
}

fn tell_of_retired(node: NodeId) {
    pr_info!("node {}: a bad page, its 2 MiB are out of service\n", node);
}

/// A page is bad: its block is out of service as soon as nobody uses it. True if that is so now.
pub(crate) fn retire(node: NodeId, pfn: Pfn) -> bool {
    // One that is being zeroed could not be told from one in use.
    let _pause = pause();
    let result = pool::with(node, |pool| {
        let is_free = pool.is_free(pfn);
        (is_free, pool.retire(pfn))
    });
    match result {
        Some((is_free, Ok(_))) => {
            tell_of_retired(node);
            is_free
        }
        _ => false,
    }
}

/// Pages of 4 KiB that the pool of a node has, or only the free ones. Anybody may ask, at any time: nothing is searched.
pub(crate) fn pages(node: NodeId, only_free: bool) -> u64 {
    let blocks = pool::with(node, |pool| {
        if only_free {
            pool.nr_free()
        } else {
            pool.nr_blocks()
        }
    });
    blocks.unwrap_or(0) * u64::from(FRAMES_PER_BLOCK)
}

/// What the pool of a node has, if there is one. Its pieces are looked at one group after the other, so that nobody waits
/// for its lock; memory that moves meanwhile may be in two of them, or in none.
pub(crate) fn stats(node: NodeId) -> Option<Stats> {
    let mut pieces = Pieces::default();
    let mut nr = 0;
    while pool::with(node, |pool| pool.look(nr, &mut pieces))? {
        nr += 1;
        cpu::may_yield();
    }
    pool::with(node, |pool| pool.counts().with(&pieces))
}

/// Checks the pool of a node, group by group.
///
/// # Errors
///
/// What does not agree.
pub(crate) fn check(node: NodeId) -> core::result::Result<(), Fault> {
    for _ in 0..MAX_CHECKS {
        let Some(mut check) = pool::with(node, |pool| pool.begin_check()) else {
            return Ok(());
        };
        let mut nr = 0;
        while pool::with(node, |pool| pool.check_group(nr, &mut check)).unwrap_or(Ok(false))? {
            nr += 1;
            cpu::may_yield();
        }
        if pool::with(node, |pool| pool.end_check(&check)).unwrap_or(Ok(true))? {
            return Ok(());
        }
    }
    // Jobs are busy with it. What each group says by itself was right.
    Ok(())
}

/// What is to be done after pages came home.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Next {
    /// The pool can give something up, or promise it anew: [`settle`].
    pub(crate) settle: bool,
    /// Blocks can be zeroed: [`zero_block`].
    pub(crate) zero: bool,
}

/// Pages come home.
pub(crate) fn free(node: NodeId, first: Pfn, order: u32) -> Next {
    let shared = shared(node);
    let freed = pool::with(node, |pool| {
        let freed = pool.free(first, order)?;
        // What was nobody's can be promised again.
        let is_wanted = || pool.nr_usable() > shared || freed.owner.is_none();
        Ok::<_, PoolError>(Next {
            settle: freed.nr_blocks > 0 && is_wanted(),
            zero: freed.nr_blocks > 0,
        })
    });
    match freed {
        Some(Ok(next)) => next,
        // The pages are lost: nobody can say whose they are.
        Some(Err(error)) => {
            // ORDERING: Relaxed, nothing hangs on it.
            if !HAS_WARNED.swap(true, Relaxed) {
                pr_err!("node {}: order {}: {}\n", node, order, error);
            }
            Next::default()
        }
        None => Next::default(),
    }
}
