// SPDX-License-Identifier: GPL-2.0
//! Memory of partitions: how it comes from Linux and goes back.
//!
//! ```text
//! begin: for each node more is wanted of, take blocks until the plan is met ──▶ Change
//! Change ──commit──▶ the new shares hold      ──undo──▶ the old ones do
//! settle: pools give up what is nobody's share, now or when its last user drops it
//! ```
//!
//! A share is what a partition is to have of a node. Its account in the node's pool holds what of that no job was
//! promised. Everything here runs under the control lock, but [`free`], which may come from anywhere.
#![forbid(unsafe_code)]

mod promise;
mod room;
mod zeroing;

use crate::{
    logic::{
        claim::Claim,
        frames::{AccountId, Pfn, PoolError, FRAMES_PER_BLOCK},
        memspec::MemSpec,
        node::{NodeId, NodeSet},
        partition::PartitionId,
        refused::Refused,
        spread::{self, Room},
    },
    partition::Change,
    sys::{
        cpu::NR_CPUS,
        page::{self, Claimed, NR_NODES},
        pool::{self, Activity},
    },
    uapi::{Refusal, MAX_PARTITIONS},
};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use kernel::{
    error::{code, Error, Result},
    prelude::*,
};

pub(crate) use promise::{Place, Promise, Want};
pub(crate) use room::survey;
pub(crate) use zeroing::{pause, zero_block};

/// Accounts of a pool: partitions, jobs, and jobs that ended while Linux held on to their memory.
const NR_ACCOUNTS: usize = MAX_PARTITIONS + 2 * NR_CPUS;

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
    /// Whether the hooks look at pools.
    is_active: bool,
    /// What `lwkmem=` asks for.
    pub(crate) boot: MemSpec,
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
            is_active: false,
            boot: MemSpec::EMPTY,
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
    targets: KVec<u64>,
}

/// Takes from Linux what a partition is to have more of than it has; what it is to have less of goes when the change is
/// committed.
///
/// # Errors
///
/// There is not enough, or jobs were promised what is to go; nothing has changed then.
pub(crate) fn begin(
    memory: &mut Memory,
    id: PartitionId,
    near: NodeSet,
    spec: &MemSpec,
) -> Change<Taken> {
    let mut rooms = for_nodes(Room::default()).map_err(linux)?;
    let mut taken = Taken {
        id,
        ranges: KVec::new(),
        targets: for_nodes(0).map_err(linux)?,
    };
    room::look(memory, id, near, spec, &mut rooms)?;
    let result = take_all(memory, &mut taken, spec, &mut rooms);
    if let Err(refused) = result {
        undo(memory, taken);
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
fn take_all(memory: &mut Memory, taken: &mut Taken, spec: &MemSpec, rooms: &mut [Room]) -> Change {
    let mut got = for_nodes(0_u64).map_err(linux)?;
    loop {
        spread::spread(spec, rooms, &mut taken.targets)?;
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
            *got += take_some(memory, taken, node, wanted).map_err(linux)?;
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

/// Takes at most `wanted` blocks of a node, and returns how many.
fn take_some(memory: &mut Memory, taken: &mut Taken, node: NodeId, wanted: u64) -> Result<u64> {
    let linux = page::node(node).ok_or(code::ENODEV)?;
    if !pool::exists(node) {
        pool::make(node, linux.span, NR_ACCOUNTS)?;
    }
    if !memory.is_active {
        pool::activate(Activity::On);
        memory.is_active = true;
    }
    let share = memory.share_mut(taken.id, node).ok_or(code::EINVAL)?;
    let account = match share.account {
        Some(account) => account,
        None => {
            let opened = pool::with(node, |pool| pool.open(0));
            let opened = opened.ok_or(code::ENODEV)?;
            *share.account.insert(opened.map_err(|_| code::ENOSPC)?)
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
pub(crate) fn commit(memory: &mut Memory, taken: Taken) {
    for node in nodes() {
        let target = taken.targets.get(usize::from(node.get())).copied();
        if let (Some(share), Some(target)) = (memory.share_mut(taken.id, node), target) {
            // A span has at most `u32::MAX` blocks.
            share.blocks = u32::try_from(target).unwrap_or(u32::MAX);
        }
    }
    settle(memory);
}

/// Linux has what was taken, and the partition what it had.
pub(crate) fn undo(memory: &mut Memory, taken: Taken) {
    let _pause = pause();
    settle_accounts(memory);
    for (node, first, len) in &taken.ranges {
        for nr in 0..*len {
            // Where Linux still looks at a page, `settle()` gives another block back, or this one later.
            if let Ok(withdrawn) = pool::withdraw(*node, block(*first, nr)) {
                withdrawn.give_back();
            }
        }
        page::changed(*node);
    }
    settle(memory);
}

/// A partition ends.
pub(crate) fn release(memory: &mut Memory, id: PartitionId) {
    for node in nodes() {
        if let Some(share) = memory.share_mut(id, node) {
            share.blocks = 0;
        }
    }
    settle(memory);
}

/// Makes the pools have what partitions are to have, as far as their users let go of it.
pub(crate) fn settle(memory: &mut Memory) {
    let _pause = pause();
    settle_accounts(memory);
    let mut is_any_left = false;
    for node in nodes() {
        let shared = memory.shared(node);
        if let Some(slot) = SHARED.get(usize::from(node.get())) {
            // ORDERING: Relaxed: whoever frees before it sees this is done before the pool is looked at below, under
            // its lock.
            slot.store(shared, Relaxed);
        }
        let mut has_changed = false;
        loop {
            let spare = pool::with(node, |pool| {
                let has_more = pool.nr_blocks() > shared;
                has_more.then(|| pool.spare_block()).flatten()
            });
            let Some(first) = spare.flatten() else { break };
            let Ok(withdrawn) = pool::withdraw(node, first) else {
                break;
            };
            withdrawn.give_back();
            has_changed = true;
        }
        if has_changed {
            page::changed(node);
        }
        pool::end_if_empty(node);
        is_any_left |= pool::exists(node);
    }
    if memory.is_active && !is_any_left {
        pool::activate(Activity::Off);
        memory.is_active = false;
    }
}

/// Has the accounts of partitions promise what is theirs and no job's.
fn settle_accounts(memory: &mut Memory) {
    for shares in &mut memory.shares {
        for (node, share) in nodes().zip(shares) {
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

/// Pages of 4 KiB that the pool of a node has, or only the free ones.
pub(crate) fn pages(node: NodeId, only_free: bool) -> u64 {
    let blocks = pool::with(node, |pool| {
        let stats = pool.stats();
        if only_free {
            stats.free
        } else {
            stats.total
        }
    });
    blocks.unwrap_or(0) * u64::from(FRAMES_PER_BLOCK)
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
    // ORDERING: Relaxed: `settle()` looks at the pool once more after it has written this.
    let shared = SHARED
        .get(usize::from(node.get()))
        .map_or(u64::MAX, |shared| shared.load(Relaxed));
    let freed = pool::with(node, |pool| {
        let freed = pool.free(first, order)?;
        let is_orphaned = || {
            pool.account(freed.owner)
                .map_or(true, |view| view.is_closed)
        };
        let is_wanted = || pool.nr_blocks() > shared || is_orphaned();
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
