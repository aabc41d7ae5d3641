// SPDX-License-Identifier: GPL-2.0
//! Policies as they cross the ABI.

use super::{Placement, Policy, Populate, Region, RegionPolicy, WhenFull, WhenUnneeded};
use crate::logic::frames::{PageSize, FRAME_BYTES};
use crate::logic::node::NodeSet;
use crate::uapi::{
    MemRegion, MEM_AT_TOUCH, MEM_BIND, MEM_INTERLEAVE, MEM_KEEP_UNNEEDED, MEM_NEAR, MEM_PREFERRED,
    MEM_STRICT,
};

impl RegionPolicy {
    /// Reads one; none if it is no policy.
    pub fn from_abi(raw: &MemRegion) -> Option<Self> {
        let placement = match raw.placement {
            MEM_NEAR => Placement::Near,
            MEM_INTERLEAVE => Placement::Interleave,
            MEM_BIND => Placement::Bind,
            MEM_PREFERRED => Placement::Preferred,
            _ => return None,
        };
        let populate = match raw.flags {
            0 => Populate::AtMap,
            MEM_AT_TOUCH => Populate::AtTouch,
            _ => return None,
        };
        let nodes = NodeSet::from_bits(raw.nodes);
        let needs_nodes = matches!(placement, Placement::Bind | Placement::Preferred);
        let takes_nodes = placement != Placement::Near;
        let is_bad = (needs_nodes && nodes.is_empty())
            || (!takes_nodes && !nodes.is_empty())
            || !raw.align.is_power_of_two()
            || raw.align < FRAME_BYTES
            || raw.reserved != 0;
        if is_bad {
            return None;
        }
        Some(Self {
            max_page: PageSize::from_order(raw.order)?,
            populate,
            placement,
            nodes,
            align_from: raw.align_from,
            align: raw.align,
        })
    }

    /// Writes it.
    pub const fn to_abi(&self) -> MemRegion {
        MemRegion {
            order: self.max_page.order(),
            flags: match self.populate {
                Populate::AtMap => 0,
                Populate::AtTouch => MEM_AT_TOUCH,
            },
            placement: match self.placement {
                Placement::Near => MEM_NEAR,
                Placement::Interleave => MEM_INTERLEAVE,
                Placement::Bind => MEM_BIND,
                Placement::Preferred => MEM_PREFERRED,
            },
            reserved: 0,
            nodes: self.nodes.bits(),
            align_from: self.align_from,
            align: self.align,
        }
    }
}

impl Policy {
    /// Writes the policies of all regions.
    pub fn to_abi(&self) -> [MemRegion; Region::ALL.len()] {
        self.regions.map(|region| region.to_abi())
    }

    /// Sets the policy of the region with this number; false if it is none, or there is no such region.
    #[must_use]
    pub fn set_from_abi(&mut self, nr: usize, raw: &MemRegion) -> bool {
        let (slot, policy) = (self.regions.get_mut(nr), RegionPolicy::from_abi(raw));
        match (slot, policy) {
            (Some(slot), Some(policy)) => {
                *slot = policy;
                true
            }
            _ => false,
        }
    }

    /// Sets what the flags of a job say; false if there are others.
    #[must_use]
    pub fn set_flags(&mut self, flags: u32) -> bool {
        self.when_full = match flags & MEM_STRICT {
            0 => WhenFull::Spill,
            _ => WhenFull::Fail,
        };
        self.when_unneeded = match flags & MEM_KEEP_UNNEEDED {
            0 => WhenUnneeded::Free,
            _ => WhenUnneeded::Keep,
        };
        flags & !(MEM_STRICT | MEM_KEEP_UNNEEDED) == 0
    }

    /// Sets how much the heap takes at once; 0 leaves it as it is. False if that is no number of pages, or too many.
    #[must_use]
    pub fn set_heap_step_bytes(&mut self, bytes: u64) -> bool {
        if bytes != 0 {
            self.heap_step = bytes;
        }
        bytes % FRAME_BYTES == 0 && bytes <= Self::MAX_HEAP_STEP
    }

    /// Writes the flags.
    pub const fn flags(&self) -> u32 {
        let strict = match self.when_full {
            WhenFull::Spill => 0,
            WhenFull::Fail => MEM_STRICT,
        };
        let keep = match self.when_unneeded {
            WhenUnneeded::Free => 0,
            WhenUnneeded::Keep => MEM_KEEP_UNNEEDED,
        };
        strict | keep
    }
}
