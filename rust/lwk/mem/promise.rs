// SPDX-License-Identifier: GPL-2.0
//! What jobs were promised of the pools, and pages for them.
//!
//! A promise is kept or refused at once: a job has an account in the pool of each node that it was promised blocks of,
//! and partitions and jobs promise no block twice. It ends with the job's last user; pages that Linux still refers to
//! come home later.
#![forbid(unsafe_code)]

use super::{for_nodes, nodes, pause, Memory};
use crate::{
    logic::{
        frames::{AccountId, Grant, PageSize, Pfn, PoolError, BLOCK_BYTES},
        mempolicy::{NearFirst, Policy, Populate, Region, RegionPolicy, WhenFull, WhenUnneeded},
        memspec::{Amount, MemSpec},
        node::{NodeId, NodeSet},
        partition::PartitionId,
        spread::{spread, Room},
    },
    sys::{
        cpu,
        page::{self, NR_NODES},
        pool,
    },
};
use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use kernel::{
    error::{code, Result},
    prelude::*,
};

/// How much memory a job asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Want {
    /// All that no other job was promised.
    All,
    /// So many bytes, rounded up to blocks.
    Bytes(u64),
    /// As large a part of it as the job has of the CPUs that were free.
    Share {
        /// The CPUs of the job.
        cpus: u32,
        /// All that were free.
        of: u32,
    },
}

/// How often a pool is asked again while its last free block is being zeroed. Nothing comes in between that but interrupts.
const MAX_TRIES: u32 = 1 << 20;

/// What holds for address spaces whose program is not to be shaped by the user who made the job.
static PLAIN: Policy = Policy::DEFAULT;

/// Where in an address space memory is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    pub(crate) region: Region,
    /// Whether the policy of the job is not for this address space.
    pub(crate) is_plain: bool,
}

/// No account.
const NONE: u32 = u32::MAX;

/// Blocks of the pools that a job was promised.
pub(crate) struct Promise {
    /// The numbers of its accounts, or [`NONE`], changed only under the lock of the pool of that node: whoever holds it
    /// and finds a number has an account of this job and no other's.
    accounts: [AtomicU32; NR_NODES],
    /// The nodes that it was promised blocks of.
    nodes: NodeSet,
    policy: Policy,
    /// Pages of 4 KiB that Linux gave instead.
    spilled: AtomicU64,
}

/// What a job has, in blocks.
#[derive(Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) promised: u64,
    pub(crate) used: u64,
}

impl Usage {
    /// Those that it may use yet.
    pub(crate) fn left(&self) -> u64 {
        self.promised.saturating_sub(self.used)
    }
}

impl Promise {
    /// Promises memory of a partition, that of the nodes in `near` and of those that `policy` names first.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is not so much.
    pub(crate) fn new(
        memory: &mut Memory,
        id: PartitionId,
        near: NodeSet,
        want: Want,
        policy: &Policy,
    ) -> Result<Self> {
        let mut promise = Self {
            accounts: [const { AtomicU32::new(NONE) }; NR_NODES],
            nodes: NodeSet::EMPTY,
            policy: *policy,
            spilled: AtomicU64::new(0),
        };
        let total: u64 = nodes().map(|node| memory.unreserved(id, node)).sum();
        let blocks = match want {
            Want::All => total,
            Want::Bytes(bytes) => bytes.div_ceil(BLOCK_BYTES),
            Want::Share { cpus, of } => total * u64::from(cpus) / u64::from(of.max(1)),
        };
        if blocks > total {
            return Err(code::ENOMEM);
        }
        if blocks > 0 {
            let result = promise.open(memory, id, near, blocks);
            if let Err(error) = result {
                promise.close(memory, id);
                return Err(error);
            }
        }
        Ok(promise)
    }

    /// Opens accounts, as many as it can.
    fn open(&mut self, memory: &mut Memory, id: PartitionId, near: NodeSet, blocks: u64) -> Result {
        let (mut rooms, mut shares) = (for_nodes(Room::default())?, for_nodes(0_u64)?);
        let has_some = |node: &NodeId| memory.unreserved(id, *node) > 0;
        let wanted = self
            .policy
            .wanted_nodes(near, nodes().filter(has_some).collect());
        for (node, room) in nodes().zip(rooms.iter_mut()) {
            let spare = memory.unreserved(id, node);
            *room = Room {
                spare,
                is_near: wanted.contains(node),
                exists: spare > 0,
                ..Room::default()
            };
        }
        let mut spec = KBox::new(MemSpec::EMPTY, GFP_KERNEL)?;
        spec.add(None, Amount::Bytes(blocks * BLOCK_BYTES))
            .map_err(|_| code::EINVAL)?;
        spread(&spec, &rooms, &mut shares).map_err(|_| code::ENOMEM)?;
        for (node, blocks) in nodes().zip(shares.iter().copied()) {
            if blocks > 0 {
                self.open_on(memory, id, node, blocks)?;
            }
        }
        Ok(())
    }

    /// Moves blocks from the partition's account to a new one.
    fn open_on(
        &mut self,
        memory: &mut Memory,
        id: PartitionId,
        node: NodeId,
        blocks: u64,
    ) -> Result {
        let share = memory.share_mut(id, node).ok_or(code::ENOMEM)?;
        let (from, slot) = (share.account, self.slot(node));
        let (from, slot) = from.zip(slot).ok_or(code::ENOMEM)?;
        let spares_groups = self.policy.wants_groups();
        let opened = pool::with(node, |pool| {
            let has = pool.account(from).map_or(0, |view| view.reserved);
            let left = has.checked_sub(blocks).ok_or(code::ENOMEM)?;
            pool.resize(from, left).map_err(|_| code::ENOMEM)?;
            let opened = pool.open(blocks).map_err(|_| code::ENOSPC);
            match opened {
                Ok(account) => {
                    if spares_groups {
                        // Cannot fail: it is open.
                        let _ = pool.spare_groups(account);
                    }
                    // ORDERING: Release, as the memory of the pool is another's from here on; see `account()`.
                    slot.store(account.get().into(), Release);
                }
                // Cannot fail: it had them a moment ago.
                Err(_) => drop(pool.resize(from, has)),
            }
            opened
        });
        opened.ok_or(code::ENODEV)??;
        // A span has at most `u32::MAX` blocks.
        share.promised += u32::try_from(blocks).unwrap_or(u32::MAX);
        self.nodes.insert(node);
        Ok(())
    }

    /// Ends the promise; memory in use is charged to nobody who is left until it comes home.
    pub(crate) fn close(&self, memory: &mut Memory, id: PartitionId) {
        for node in self.nodes.iter() {
            let closed = pool::with(node, |pool| {
                let account = self.account(node)?;
                // ORDERING: Relaxed: all who look hold the pool's lock.
                self.slot(node)?.store(NONE, Relaxed);
                let promised = pool.account(account)?.reserved;
                pool.close(account).ok()?;
                Some(promised)
            });
            if let (Some(share), Some(promised)) = (memory.share_mut(id, node), closed.flatten()) {
                share.promised = share
                    .promised
                    .saturating_sub(u32::try_from(promised).unwrap_or(u32::MAX));
            }
        }
        if !self.nodes.is_empty() {
            super::take_over(memory);
        }
    }

    /// Whether it was promised any memory.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn slot(&self, node: NodeId) -> Option<&AtomicU32> {
        self.accounts.get(usize::from(node.get()))
    }

    /// Its account in the pool of a node, whose lock the caller holds.
    fn account(&self, node: NodeId) -> Option<AccountId> {
        // ORDERING: Acquire: the pool's lock orders all but the first look at a job that was just made.
        let number = self.slot(node)?.load(Acquire);
        u16::try_from(number).ok().map(AccountId::new)
    }

    /// What it was promised and what of that it uses.
    pub(crate) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for node in self.nodes.iter() {
            let view = pool::with(node, |pool| pool.account(self.account(node)?)).flatten();
            if let Some(view) = view {
                usage.promised += view.reserved;
                usage.used += view.used;
            }
        }
        usage
    }

    /// Pages of 4 KiB that came from Linux since the job began.
    pub(crate) fn spilled(&self) -> u64 {
        // ORDERING: Relaxed, a statistic.
        self.spilled.load(Relaxed)
    }

    /// Notes pages of 4 KiB that came from Linux.
    pub(crate) fn spill(&self, pages: u64) {
        // ORDERING: Relaxed, a statistic.
        self.spilled.fetch_add(pages, Relaxed);
    }

    /// Whether a new range of so many bytes is to be backed at once: not if that would take more than is left.
    pub(crate) fn populates(&self, spot: Spot, bytes: u64) -> bool {
        self.at(spot).populate == Populate::AtMap && self.has_room(bytes)
    }

    /// The policy at a place.
    fn at(&self, spot: Spot) -> &RegionPolicy {
        let policy = if spot.is_plain { &PLAIN } else { &self.policy };
        policy.region(spot.region)
    }

    /// Whether a mapping may be made, which in strict mode must have room for all of it.
    pub(crate) fn permits(&self, bytes: u64) -> bool {
        self.policy.when_full == WhenFull::Spill || self.has_room(bytes)
    }

    /// Whether a mapping of so many bytes should begin where a page of 2 MiB can.
    pub(crate) fn is_aligned(&self, spot: Spot, bytes: u64) -> bool {
        self.at(spot).alignment(bytes) >= BLOCK_BYTES
    }

    /// Whether `MADV_DONTNEED` does nothing.
    pub(crate) fn keeps_unneeded(&self) -> bool {
        self.policy.when_unneeded == WhenUnneeded::Keep
    }

    /// How much the heap takes at once.
    pub(crate) fn heap_step(&self) -> u64 {
        self.policy.heap_step
    }

    /// Whether a region may have pages of 2 MiB.
    pub(crate) fn is_large(&self, spot: Spot) -> bool {
        self.at(spot).max_page >= PageSize::Large
    }

    /// Whether so much can be had in pages of 2 MiB.
    pub(crate) fn has_large(&self, spot: Spot, bytes: u64) -> bool {
        self.is_large(spot) && self.has_room(bytes)
    }

    /// Whether this job pays for a frame in use.
    pub(crate) fn owns(&self, node: NodeId, pfn: Pfn) -> bool {
        let owns = pool::with(node, |pool| Some(pool.payer(pfn)? == self.account(node)?));
        owns.flatten().unwrap_or(false)
    }

    /// Whether so much is left of what it was promised.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        bytes <= self.usage().left().saturating_mul(BLOCK_BYTES)
    }

    /// Takes a page of 2^`order` frames for `place`, if there is one; may sleep if it is one of 1 GiB.
    pub(crate) fn allocate(&self, order: u32, place: &Place) -> Option<Grant> {
        let size = PageSize::from_order(order)?;
        let policy = if place.is_chosen {
            &RegionPolicy::DEFAULT
        } else {
            self.at(place.spot)
        };
        // Who asks for 1 GiB does so for each mapping; the region only says whether its pages are to be large.
        if size.min(PageSize::Large) > policy.max_page {
            return None;
        }
        let near = NearFirst::new(self.nodes.intersection(place.allowed), |node| {
            page::distance(place.near, node)
        });
        let mut candidates = policy.candidates(place.address, &near);
        candidates.find_map(|node| self.allocate_on(node, size))
    }

    /// Takes a page of the pool of a node; waits for a block that is being zeroed if there is no other.
    fn allocate_on(&self, node: NodeId, size: PageSize) -> Option<Grant> {
        let mut stop = None;
        for _ in 0..MAX_TRIES {
            let result = pool::with(node, |pool| Some(pool.allocate(self.account(node)?, size)));
            match result.flatten()? {
                // A group with a block that is being zeroed is not whole, and there would be one all the time. Only who
                // was promised so much comes by here, as others could keep zeroing from going on.
                Err(PoolError::Zeroing) if size == PageSize::Giant && stop.is_none() => {
                    stop = Some(pause());
                }
                Err(PoolError::Zeroing) => cpu::may_yield(),
                result => return result.ok(),
            }
        }
        None
    }
}

/// What a page is wanted for.
pub(crate) struct Place {
    /// The part of the address space.
    pub(crate) spot: Spot,
    /// Its address in the program.
    pub(crate) address: u64,
    /// The node that it should come from, or be near to.
    pub(crate) near: NodeId,
    /// The nodes that it may come from.
    pub(crate) allowed: NodeSet,
    /// Whether the program said so itself, with `mbind(2)` or `set_mempolicy(2)`.
    pub(crate) is_chosen: bool,
}
