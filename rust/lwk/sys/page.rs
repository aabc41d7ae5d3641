// SPDX-License-Identifier: GPL-2.0
//! Memory as Linux sees it: what a node has, taking pageblocks, giving them back.

use super::bindings;
use crate::{
    logic::{
        claim,
        frames::{Pfn, Span, FRAMES_PER_BLOCK},
        node::NodeId,
    },
    uapi::MAX_MEM_NODES,
};
use kernel::error::{to_result, Result};

/// The size of arrays with one element for each node.
pub(crate) const NR_NODES: usize = {
    // CAST: A small positive number.
    let all = 1_usize << bindings::CONFIG_NODES_SHIFT;
    if all < MAX_MEM_NODES {
        all
    } else {
        MAX_MEM_NODES
    }
};

const _: () = assert!(bindings::LWK_NEVER == claim::NEVER as u32);

/// A node that has memory for the LWK.
pub(crate) struct Node {
    id: NodeId,
    /// The frames that the LWK may have some of.
    pub(crate) span: Span,
    /// Blocks that Linux could do without.
    pub(crate) spare: u64,
}

/// What a node has, if there is anything for the LWK.
pub(crate) fn node(id: NodeId) -> Option<Node> {
    if usize::from(id.get()) >= NR_NODES {
        return None;
    }
    let mut raw = bindings::lwk_node::default();
    // SAFETY: `id` is below `MAX_NUMNODES`; the call fills `raw`.
    let has_some = unsafe { bindings::lwk_c_node(id.get().into(), &mut raw) };
    has_some.then(|| Node {
        id,
        span: Span::covering(Pfn::new(raw.first), Pfn::new(raw.end)),
        spare: raw.spare / u64::from(FRAMES_PER_BLOCK),
    })
}

impl Node {
    /// What it takes to get the block at `first`: pages to move, or [`claim::NEVER`].
    pub(crate) fn cost(&self, first: Pfn) -> u16 {
        // CAST: unsigned long has 64 bits.
        let pfn = first.get() as usize;
        // SAFETY: `lwk_c_node()` knows the node; any frame number will do.
        unsafe { bindings::lwk_c_block_cost(self.id.get().into(), pfn) }
    }
}

/// How far apart two nodes are, as the firmware says.
pub(crate) fn distance(from: NodeId, to: NodeId) -> u32 {
    // SAFETY: Linux checks the numbers.
    let distance = unsafe { bindings::lwk_c_node_distance(from.get().into(), to.get().into()) };
    u32::try_from(distance).unwrap_or(u32::MAX)
}

/// Has pages be where they can be found, before the costs of blocks are looked at.
pub(crate) fn settle() {
    // SAFETY: Process context.
    unsafe { bindings::lwk_c_settle_pages() };
}

/// Blocks of Linux that are the LWK's from here on, but not yet where they belong; each page has one reference.
///
/// They go where a freed page goes when this is dropped: home, if a pool knows them.
#[must_use = "the pages are sent home at once"]
pub(crate) struct Claimed {
    first: Pfn,
    nr_blocks: u64,
}

impl Claimed {
    /// Takes blocks from Linux, which moves away what is in them; may sleep long.
    ///
    /// # Errors
    ///
    /// Those of `alloc_contig_range()`: `EBUSY` if something cannot be moved, `ENOMEM`, `EINTR`.
    pub(crate) fn take(first: Pfn, nr_blocks: u64) -> Result<Self> {
        // CAST: unsigned long has 64 bits.
        let (pfn, nr) = (first.get() as usize, nr_blocks as usize);
        // SAFETY: The frames are of one zone, as their blocks had a cost below `NEVER`. Process context.
        to_result(unsafe { bindings::lwk_c_claim(pfn, nr) })?;
        Ok(Self { first, nr_blocks })
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        // CAST: unsigned long has 64 bits.
        let (pfn, nr) = (self.first.get() as usize, self.nr_blocks as usize);
        // SAFETY: `take()` got a reference to each of these pages, which ends here.
        unsafe { bindings::lwk_c_send_home(pfn, nr) };
    }
}

/// A block that a pool gave up: no pool has it, and nobody refers to its pages.
#[must_use = "the block belongs to nobody"]
pub(crate) struct Withdrawn(Pfn);

impl Withdrawn {
    /// Wraps a block.
    ///
    /// # Safety
    ///
    /// A pool just gave this block up, all of whose frames came home through `lwk_rs_free()`.
    pub(super) const unsafe fn new(first: Pfn) -> Self {
        Self(first)
    }

    /// Gives it to Linux.
    pub(crate) fn give_back(self) {
        // CAST: unsigned long has 64 bits.
        let pfn = self.0.get() as usize;
        // SAFETY: By the contract of `new()` nobody else refers to these pages, which are prepared as the allocator
        // wants them.
        unsafe { bindings::lwk_c_give_back(pfn) };
    }
}

/// Has Linux take note that it has more or less memory than before.
pub(crate) fn changed(node: NodeId) {
    // SAFETY: Process context; `node()` was asked for it before.
    unsafe { bindings::lwk_c_memory_changed(node.get().into()) };
}
