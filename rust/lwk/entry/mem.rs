// SPDX-License-Identifier: GPL-2.0
//! The doors of the memory manager.

use crate::{
    logic::{
        frames::{Content, Pfn, FRAMES_PER_BLOCK},
        mempolicy::Region,
        node::{NodeId, NodeSet},
    },
    mem,
    sys::{bindings, job::Job},
};

check!(
    lwk_rs_allocate,
    lwk_rs_spilled,
    lwk_rs_populates,
    lwk_rs_aligns,
    lwk_rs_is_large,
    lwk_rs_has_large,
    lwk_rs_permits,
    lwk_rs_keeps,
    lwk_rs_heap_step,
    lwk_rs_has_room,
    lwk_rs_promised,
    lwk_rs_left,
    lwk_rs_owns,
    lwk_rs_pool_pages,
    lwk_rs_job_has_memory,
    lwk_rs_free,
    lwk_rs_zero_block,
    lwk_rs_retire,
    lwk_rs_retire_free,
    lwk_rs_settle,
);

/// What `lwk_policy_of()` says.
fn spot(number: u32) -> mem::Spot {
    mem::Spot {
        region: Region::new(number & !bindings::LWK_PLAIN),
        is_plain: number & bindings::LWK_PLAIN != 0,
    }
}

/// A page of 2^`order` frames for a job: the first frame, with `LWK_PAGE_ZEROED` if all hold zeroes, or 0 if there is
/// none.
///
/// # Safety
///
/// `job` is one that somebody holds a reference to meanwhile.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_allocate(
    job: *mut bindings::lwk_job,
    region: u32,
    order: u32,
    address: u64,
    nid: u32,
    nodes: u64,
    chosen: bool,
) -> u64 {
    // SAFETY: By the contract of this function.
    let job = unsafe { Job::from_raw(job) };
    let Some(near) = u16::try_from(nid).ok().and_then(NodeId::new) else {
        return 0;
    };
    let place = mem::Place {
        spot: spot(region),
        address,
        near,
        allowed: NodeSet::from_bits(nodes),
        is_chosen: chosen,
    };
    let page = job.memory.allocate(order, &place);
    page.map_or(0, |page| match page.content {
        Content::Zeroed => page.first.get() | bindings::LWK_PAGE_ZEROED,
        Content::Dirty => page.first.get(),
    })
}

/// A job got pages of 4 KiB from Linux.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_spilled(job: *mut bindings::lwk_job, pages: u64) {
    // SAFETY: By the contract of this function.
    unsafe { Job::from_raw(job) }.memory.spill(pages);
}

/// Whether a new range of a job is to be backed at once.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_populates(
    job: *mut bindings::lwk_job,
    region: u32,
    bytes: u64,
) -> bool {
    // SAFETY: By the contract of this function.
    let memory = &unsafe { Job::from_raw(job) }.memory;
    memory.populates(spot(region), bytes)
}

/// Whether a new mapping should begin where a page of 2 MiB can.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_aligns(
    job: *mut bindings::lwk_job,
    region: u32,
    bytes: u64,
) -> bool {
    // SAFETY: By the contract of this function.
    let memory = &unsafe { Job::from_raw(job) }.memory;
    memory.is_aligned(spot(region), bytes)
}

/// Whether a region may have pages of 2 MiB.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_is_large(job: *mut bindings::lwk_job, region: u32) -> bool {
    // SAFETY: By the contract of this function.
    let memory = &unsafe { Job::from_raw(job) }.memory;
    memory.is_large(spot(region))
}

/// Whether so much can be had in pages of 2 MiB.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_has_large(
    job: *mut bindings::lwk_job,
    region: u32,
    bytes: u64,
) -> bool {
    // SAFETY: By the contract of this function.
    let memory = &unsafe { Job::from_raw(job) }.memory;
    memory.has_large(spot(region), bytes)
}

/// Whether a job may map so much more.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_permits(job: *mut bindings::lwk_job, bytes: u64) -> bool {
    // SAFETY: By the contract of this function.
    let memory = &unsafe { Job::from_raw(job) }.memory;
    memory.permits(bytes)
}

/// Whether `MADV_DONTNEED` does nothing.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_keeps(job: *mut bindings::lwk_job) -> bool {
    // SAFETY: By the contract of this function.
    let memory = &unsafe { Job::from_raw(job) }.memory;
    memory.keeps_unneeded()
}

/// How much the heap takes at once.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_heap_step(job: *mut bindings::lwk_job) -> u64 {
    // SAFETY: By the contract of this function.
    let memory = &unsafe { Job::from_raw(job) }.memory;
    memory.heap_step()
}

/// Whether so much is left of what a job was promised.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_has_room(job: *mut bindings::lwk_job, bytes: u64) -> bool {
    // SAFETY: By the contract of this function.
    unsafe { Job::from_raw(job) }.memory.has_room(bytes)
}

/// How many pages of 4 KiB a job was promised.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_promised(job: *mut bindings::lwk_job) -> u64 {
    // SAFETY: By the contract of this function.
    let usage = unsafe { Job::from_raw(job) }.memory.usage();
    usage.promised * u64::from(FRAMES_PER_BLOCK)
}

/// How many of these it does not use yet.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_left(job: *mut bindings::lwk_job) -> u64 {
    // SAFETY: By the contract of this function.
    let usage = unsafe { Job::from_raw(job) }.memory.usage();
    usage.left() * u64::from(FRAMES_PER_BLOCK)
}

/// Whether a job pays for a frame in use.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_owns(
    job: *mut bindings::lwk_job,
    nid: u32,
    pfn: u64,
) -> bool {
    // SAFETY: By the contract of this function.
    let memory = &unsafe { Job::from_raw(job) }.memory;
    let node = u16::try_from(nid).ok().and_then(NodeId::new);
    node.is_some_and(|node| memory.owns(node, Pfn::new(pfn)))
}

/// How many pages of 4 KiB a pool has, or only those that are free.
///
/// # Safety
///
/// None is needed.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_pool_pages(nid: u32, free: bool) -> u64 {
    let node = u16::try_from(nid).ok().and_then(NodeId::new);
    node.map_or(0, |node| mem::pages(node, free))
}

/// Whether a job was promised memory.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_job_has_memory(job: *mut bindings::lwk_job) -> bool {
    // SAFETY: By the contract of this function.
    !unsafe { Job::from_raw(job) }.memory.is_empty()
}

/// Pages that nobody refers to go back to their pool; returns what is to be done next.
///
/// # Safety
///
/// The pages are of a pageblock of the LWK on node `nid`, and prepared as for the buddy allocator.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_free(nid: u32, pfn: u64, order: u32) -> u32 {
    let Some(node) = u16::try_from(nid).ok().and_then(NodeId::new) else {
        return 0;
    };
    let next = mem::free(node, Pfn::new(pfn), order);
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    flag(next.settle, bindings::LWK_NEXT_SETTLE) | flag(next.zero, bindings::LWK_NEXT_ZERO)
}

/// Zeroes a free block; false if there is nothing to do.
///
/// # Safety
///
/// Called by the one worker for it, with no lock held and preemption off.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_zero_block() -> bool {
    mem::zero_block()
}

/// A page is bad; true if nobody uses it.
///
/// # Safety
///
/// None is needed.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_retire(nid: u32, pfn: u64) -> bool {
    let node = u16::try_from(nid).ok().and_then(NodeId::new);
    node.is_some_and(|node| mem::retire(node, Pfn::new(pfn)))
}

/// A page is bad that somebody had until a moment ago; true if nobody has it and nobody gets it.
///
/// # Safety
///
/// None is needed.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_retire_free(nid: u32, pfn: u64) -> bool {
    let node = u16::try_from(nid).ok().and_then(NodeId::new);
    node.is_some_and(|node| mem::retire_free(node, Pfn::new(pfn)))
}

/// Memory that belongs to no partition goes to Linux, now or when a change of partitions that goes on is done.
///
/// # Safety
///
/// Process context, no lock held.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_settle() {
    mem::settle_soon();
}
