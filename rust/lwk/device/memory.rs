// SPDX-License-Identifier: GPL-2.0
//! The requests about memory, and the memory that other requests ask for.
#![forbid(unsafe_code)]

use super::require_zero;
use crate::{
    logic::{
        frames::{Stats, BLOCK_BYTES, FRAME_BYTES},
        mempolicy::Policy,
        memspec::{Amount, MemSpec},
        node::NodeId,
        partition::PartitionId,
        refused::Refused,
        spread::Shortage,
    },
    mem,
    partition::STATE,
    sys::{
        cpu,
        uaccess::{read_regions, write_regions, Shares},
    },
    uapi::{
        JobCreate, MemGet, PartitionPolicy, Refusal, MAX_MEM_NODES, MEM_ALL, MEM_ANY_NODE,
        MEM_CHECK, MEM_SURVEY, NR_MEM_REGIONS, POLICY_SET,
    },
};
use kernel::{
    error::{code, Error, Result},
    prelude::*,
};

/// The memory that a request asks for, and where the caller said so.
pub(super) struct Wish {
    pub(super) spec: KBox<MemSpec>,
    shares: Shares,
}

/// Whether an amount may be 0, which gives all memory of a node back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Nothing {
    Allowed,
    Refused,
}

impl Wish {
    /// Reads an array of the ABI.
    ///
    /// # Errors
    ///
    /// `EFAULT`, or `EINVAL` for more elements than there can be nodes. A refusal if they contradict each other.
    pub(super) fn read(
        address: u64,
        nr: u32,
        nothing: Nothing,
    ) -> Result<core::result::Result<Self, Refused>> {
        // CAST: At most 65.
        if nr > MAX_MEM_NODES as u32 + 1 || (nr == 0) != (address == 0) {
            return Err(code::EINVAL);
        }
        let shares = Shares::new(address, nr)?;
        let mut spec = KBox::new(MemSpec::EMPTY, GFP_KERNEL)?;
        for index in 0..nr {
            let share = shares.get(index)?;
            require_zero(&[share.reserved.into()])?;
            let node = match share.node {
                MEM_ANY_NODE => None,
                number => {
                    let node = u16::try_from(number).ok().and_then(NodeId::new);
                    let Some(node) = node else {
                        return Ok(Err(Refused::all(Refusal::NoNode)));
                    };
                    Some(node)
                }
            };
            let amount = match share.bytes {
                MEM_ALL => Amount::All,
                0 if nothing == Nothing::Refused => {
                    return Ok(Err(Refused::all(Refusal::BadAmount)));
                }
                bytes => Amount::Bytes(bytes),
            };
            if spec.add(node, amount).is_err() {
                return Ok(Err(Refused::all(Refusal::BadAmount)));
            }
        }
        Ok(Ok(Self { spec, shares }))
    }

    /// Tells the caller how much there was of what it asked for.
    pub(super) fn tell(&self, shortage: &Shortage) {
        let node = node_number(shortage);
        for index in 0..self.shares.len() {
            let Ok(mut share) = self.shares.get(index) else {
                return;
            };
            if share.node == node {
                share.found = bytes(shortage.found);
                share.longest = bytes(shortage.longest);
                // A courtesy: what counts is the error number.
                let _ = self.shares.put(index, &share);
            }
        }
    }
}

/// Reads how the memory of a job is to be backed; none if that is for its partition to say.
///
/// # Errors
///
/// `EFAULT`, or `EINVAL` if it makes no sense.
pub(super) fn job_policy(args: &JobCreate) -> Result<Option<Policy>> {
    if args.regions_ptr == 0 {
        let rest = [
            args.nr_regions.into(),
            args.mem_flags.into(),
            args.heap_step,
        ];
        return require_zero(&rest).map(|()| None);
    }
    require_all_regions(args.nr_regions)?;
    read_policy(args.regions_ptr, args.mem_flags, args.heap_step).map(Some)
}

fn require_all_regions(nr: u32) -> Result {
    // CAST: Five.
    if nr == NR_MEM_REGIONS as u32 {
        Ok(())
    } else {
        Err(code::EINVAL)
    }
}

fn read_policy(regions: u64, flags: u32, heap_step: u64) -> Result<Policy> {
    let mut policy = Policy::DEFAULT;
    for (nr, region) in read_regions(regions)?.iter().enumerate() {
        if !policy.set_from_abi(nr, region) {
            return Err(code::EINVAL);
        }
    }
    if !policy.set_flags(flags) || !policy.set_heap_step_bytes(heap_step) {
        return Err(code::EINVAL);
    }
    Ok(policy)
}

/// Reads or sets how the memory of a partition's jobs is backed.
///
/// # Errors
///
/// `ENOENT` if there is no such partition, `EPERM`, and as [`job_policy`].
pub(super) fn partition_policy(args: &mut PartitionPolicy) -> Result {
    require_zero(&[args.reserved.into()])?;
    require_all_regions(args.nr_regions)?;
    let id = PartitionId::new(args.id).ok_or(code::ENOENT)?;
    let new = match args.flags {
        0 => None,
        POLICY_SET if cpu::may_admin() => Some(read_policy(
            args.regions_ptr,
            args.mem_flags,
            args.heap_step,
        )?),
        POLICY_SET => return Err(code::EPERM),
        _ => return Err(code::EINVAL),
    };
    let policy = {
        let mut state = STATE.lock_killable()?;
        let policy = state.policy(id).ok_or(code::ENOENT)?;
        if let Some(new) = new {
            *policy = new;
        }
        *policy
    };
    args.mem_flags = policy.flags();
    args.heap_step = policy.heap_step;
    write_regions(&policy.to_abi(), args.regions_ptr)
}

/// The node that memory is missing of, as the ABI numbers it.
pub(super) fn node_number(shortage: &Shortage) -> u32 {
    shortage
        .node
        .map_or(MEM_ANY_NODE, |node| u32::from(node.get()))
}

fn bytes(blocks: u64) -> u64 {
    blocks.saturating_mul(BLOCK_BYTES)
}

/// Reads the pool of a node.
///
/// # Errors
///
/// `ENOENT` past the last node with memory, `EPERM`, `EUCLEAN` if the pool contradicts itself.
pub(super) fn get(args: &mut MemGet) -> Result {
    if args.flags & !(MEM_SURVEY | MEM_CHECK) != 0 {
        return Err(code::EINVAL);
    }
    require_zero(&args.spare)?;
    if args.flags != 0 && !cpu::may_admin() {
        return Err(code::EPERM);
    }
    let partition = match args.partition {
        0 => None,
        id => Some(PartitionId::new(id).ok_or(code::ENOENT)?),
    };
    let from = args.node;
    let node = mem::nodes()
        .filter(|node| u32::from(node.get()) >= from)
        .find(|node| mem::is_usable(*node))
        .ok_or(code::ENOENT)?;
    let (size, flags, partition_nr) = (args.size, args.flags, args.partition);
    *args = MemGet {
        size,
        node: node.get().into(),
        partition: partition_nr,
        ..MemGet::default()
    };
    if flags & MEM_CHECK != 0 {
        if let Err(fault) = mem::check(node) {
            pr_err!("node {}: {}\n", node, fault);
            return Err(Error::from_errno(-EUCLEAN));
        }
    }
    if let Some(stats) = mem::stats(node) {
        fill(args, &stats);
    }
    {
        let state = STATE.lock_killable()?;
        let shared = state.memory.shared(node);
        args.leaving = args.total.saturating_sub(bytes(shared));
        if let Some(id) = partition {
            args.share = bytes(state.memory.blocks(id, node));
            args.unreserved = bytes(state.memory.unreserved(id, node));
        }
    }
    if flags & MEM_SURVEY != 0 {
        let survey = mem::survey(node)?;
        args.linux_free = bytes(survey.free);
        args.linux_movable = bytes(survey.movable);
        args.linux_longest = bytes(survey.longest);
        args.linux_spare = bytes(survey.spare);
    }
    Ok(())
}

/// Structure needs cleaning; not among the errors that the kernel crate names.
const EUCLEAN: i32 = 117;

fn fill(args: &mut MemGet, stats: &Stats) {
    args.total = bytes(stats.total);
    args.free = bytes(stats.free);
    args.zeroed = bytes(stats.zeroed);
    args.giant = bytes(stats.giant);
    args.large = bytes(stats.whole);
    args.small = stats.small.saturating_mul(FRAME_BYTES);
    args.broken = bytes(stats.broken);
    args.retired = bytes(stats.retired);
    args.free_giant = stats.free_groups << 30;
    args.free_pieces = stats.free_runs;
    args.longest = bytes(stats.longest_run);
}
