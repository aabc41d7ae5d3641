// SPDX-License-Identifier: GPL-2.0
//! Which node a page is to come from.

use super::{Placement, RegionPolicy};
use crate::logic::frames::BLOCK_BYTES;
use crate::logic::node::{NodeId, NodeSet, MAX_NODES};

/// Nodes in order of their distance from some place, the nearest first.
#[derive(Clone, Debug)]
pub struct NearFirst {
    nodes: [Option<NodeId>; MAX_NODES as usize],
    len: usize,
}

impl NearFirst {
    /// Sorts nodes; of those that are equally far the lower comes first.
    pub fn new(set: NodeSet, distance: impl Fn(NodeId) -> u32) -> Self {
        let mut near = Self {
            nodes: [None; MAX_NODES as usize],
            len: 0,
        };
        // There are few: by insertion.
        for node in set.iter() {
            let is_nearer = |other: &Option<NodeId>| {
                other.is_some_and(|other| distance(other) <= distance(node))
            };
            let place = near
                .nodes
                .iter()
                .take(near.len)
                .filter(|other| is_nearer(other))
                .count();
            near.len += 1;
            let mut carried = Some(node);
            for slot in near.nodes.iter_mut().take(near.len).skip(place) {
                core::mem::swap(slot, &mut carried);
            }
        }
        near
    }

    fn iter(&self) -> impl Iterator<Item = NodeId> + Clone + '_ {
        self.nodes.iter().take(self.len).filter_map(|node| *node)
    }
}

impl RegionPolicy {
    /// Returns the nodes to try for a page at `address`, in order.
    pub fn candidates<'a>(
        &'a self,
        address: u64,
        near: &'a NearFirst,
    ) -> impl Iterator<Item = NodeId> + 'a {
        let is_listed = |node: &NodeId| self.nodes.is_empty() || self.nodes.contains(*node);
        let listed = near.iter().filter(move |node| is_listed(node));
        let (skip, others) = match self.placement {
            Placement::Near | Placement::Preferred => (0, near.len),
            Placement::Bind => (0, 0),
            // By number and not by distance, so that all threads agree on where a page belongs.
            Placement::Interleave => (self.turn(address, near), 0),
        };
        let (len, others) = (
            listed.clone().count(),
            near.iter()
                .filter(move |node| !is_listed(node))
                .take(others),
        );
        listed.cycle().skip(skip).take(len).chain(others)
    }

    /// Returns how many of the listed nodes, in order of their distance, come after the one whose turn it is.
    fn turn(&self, address: u64, near: &NearFirst) -> usize {
        let is_listed = |node: &NodeId| self.nodes.is_empty() || self.nodes.contains(*node);
        let set: NodeSet = near.iter().filter(is_listed).collect();
        let turn = (address / BLOCK_BYTES).checked_rem(set.len().into());
        let node = turn.and_then(|turn| set.iter().nth(usize::try_from(turn).ok()?));
        let place = near
            .iter()
            .filter(is_listed)
            .position(|other| Some(other) == node);
        place.unwrap_or(0)
    }
}
