// SPDX-License-Identifier: GPL-2.0
//! How the memory of a job is backed: a policy for each region of its address space.
//!
//! Regions and the options that set their policies are those of mOS.

mod abi;
mod options;
mod order;
#[cfg(test)]
mod tests;

pub use options::OptionError;
pub use order::NearFirst;

use super::frames::{PageSize, BLOCK_BYTES, FRAME_BYTES};
use super::node::NodeSet;

/// A part of an address space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Region {
    /// Data and bss of programs and libraries.
    Dbss = 0,
    /// What `brk(2)` grows.
    Heap = 1,
    /// Private anonymous mappings.
    AnonPrivate = 2,
    /// Stacks of threads: mappings with `MAP_STACK`.
    ThreadStack = 3,
    /// The stack of the first thread.
    Stack = 4,
}

impl Region {
    /// All of them in order.
    pub const ALL: [Self; 5] = [
        Self::Dbss,
        Self::Heap,
        Self::AnonPrivate,
        Self::ThreadStack,
        Self::Stack,
    ];

    /// Returns the region of this number, which C got from `lwk_part()`.
    pub fn new(number: u32) -> Self {
        let region = usize::try_from(number).ok();
        let region = region.and_then(|number| Self::ALL.get(number));
        region.copied().unwrap_or(Self::AnonPrivate)
    }

    /// Returns its name on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dbss => "dbss",
            Self::Heap => "heap",
            Self::AnonPrivate => "anon_private",
            Self::ThreadStack => "tstack",
            Self::Stack => "stack",
        }
    }
}

/// When memory is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Populate {
    /// When it is mapped, so that it is never faulted in.
    AtMap,
    /// When it is first touched.
    AtTouch,
}

impl Populate {
    /// Returns its name on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AtMap => "nofault",
            Self::AtTouch => "onefault",
        }
    }
}

/// Which of its nodes a region prefers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placement {
    /// The nearest to the CPU that asks, then the next.
    Near,
    /// Each 2 MiB (or larger page) from another node in turn, by address; none that is not listed.
    Interleave,
    /// None that is not listed; the nearest of these first.
    Bind,
    /// The listed ones, the nearest first, then all others.
    Preferred,
}

impl Placement {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Near, Self::Interleave, Self::Bind, Self::Preferred];

    /// Returns its name on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Near => "normal",
            Self::Interleave => "interleave",
            Self::Bind => "bind",
            Self::Preferred => "preferred",
        }
    }
}

/// How one region is backed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegionPolicy {
    /// The largest page to use.
    pub max_page: PageSize,
    /// When memory is taken.
    pub populate: Populate,
    /// Which node comes first.
    pub placement: Placement,
    /// The nodes that `placement` is about; empty means all.
    pub nodes: NodeSet,
    /// A mapping of at least this many bytes begins at a multiple of `align`.
    pub align_from: u64,
    /// A power of two, at least a page.
    pub align: u64,
}

impl RegionPolicy {
    /// 2 MiB pages when mapped, from the nearest node.
    pub const DEFAULT: Self = Self {
        max_page: PageSize::Large,
        populate: Populate::AtMap,
        placement: Placement::Near,
        nodes: NodeSet::EMPTY,
        align_from: BLOCK_BYTES,
        align: BLOCK_BYTES,
    };

    /// The same, but when it is touched.
    pub const STACK: Self = Self {
        populate: Populate::AtTouch,
        ..Self::DEFAULT
    };

    /// Returns where a mapping of `len` bytes should begin at a multiple of.
    pub const fn alignment(&self, len: u64) -> u64 {
        if len >= self.align_from {
            self.align
        } else {
            FRAME_BYTES
        }
    }
}

/// What happens when a job has used up its reservation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhenFull {
    /// It gets memory of Linux, which is counted.
    Spill,
    /// A mapping that needs more fails with `ENOMEM`.
    Fail,
}

/// What `MADV_DONTNEED` does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhenUnneeded {
    /// It frees the memory; the next touch finds zeroes.
    Free,
    /// Nothing: the memory stays, with what is in it.
    Keep,
}

/// How the memory of a job is backed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    regions: [RegionPolicy; Region::ALL.len()],
    /// What happens when the reservation is used up.
    pub when_full: WhenFull,
    /// What `MADV_DONTNEED` does.
    pub when_unneeded: WhenUnneeded,
    /// How much more than asked for the heap takes at once, so that it grows in few steps.
    pub heap_step: u64,
}

impl Policy {
    /// The most that the heap may take at once.
    pub const MAX_HEAP_STEP: u64 = 1 << 40;

    /// What a job gets that asks for nothing else.
    pub const DEFAULT: Self = Self {
        regions: [
            RegionPolicy::DEFAULT,
            RegionPolicy::DEFAULT,
            RegionPolicy::DEFAULT,
            // Much is mapped for stacks and little of it used.
            RegionPolicy::STACK,
            RegionPolicy::STACK,
        ],
        when_full: WhenFull::Spill,
        when_unneeded: WhenUnneeded::Free,
        heap_step: BLOCK_BYTES,
    };

    /// Returns the nodes that memory is wanted of, where `near` are those of the job's CPUs and `all` all that there are.
    pub fn wanted_nodes(&self, near: NodeSet, all: NodeSet) -> NodeSet {
        self.regions.iter().fold(near, |nodes, region| {
            let more = match (region.placement, region.nodes.is_empty()) {
                (Placement::Interleave, true) => all,
                _ => region.nodes,
            };
            nodes.union(more)
        })
    }

    /// Says whether any region is to have pages of 1 GiB.
    pub fn wants_groups(&self) -> bool {
        self.regions
            .iter()
            .any(|region| region.max_page == PageSize::Giant)
    }

    /// Returns the policy of a region.
    pub fn region(&self, region: Region) -> &RegionPolicy {
        // The array has an entry for each region.
        let entry = self.regions.get(region as usize);
        entry.unwrap_or(&RegionPolicy::DEFAULT)
    }

    /// Returns the policy of a region, to change it.
    pub fn region_mut(&mut self, region: Region) -> Option<&mut RegionPolicy> {
        self.regions.get_mut(region as usize)
    }
}
