// SPDX-License-Identifier: GPL-2.0
//! NUMA nodes and sets of them.

use crate::uapi::MAX_MEM_NODES;
use core::fmt;

/// Nodes that the LWK can have memory of; more than any machine has, and a set of them is one word.
// CAST: 64.
pub const MAX_NODES: u16 = MAX_MEM_NODES as u16;

const _: () = assert!(MAX_MEM_NODES <= 64);

/// The number of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(u16);

impl NodeId {
    /// Returns node `number`, which need not exist; none if it is too high.
    pub const fn new(number: u16) -> Option<Self> {
        if number < MAX_NODES {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Returns its number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A set of nodes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct NodeSet(u64);

impl NodeSet {
    /// No node.
    pub const EMPTY: Self = Self(0);

    /// Says whether it has no node.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Says whether it has this node.
    pub const fn contains(self, node: NodeId) -> bool {
        self.0 >> node.0 & 1 == 1
    }

    /// Adds a node and says whether it was not there.
    pub fn insert(&mut self, node: NodeId) -> bool {
        let before = self.0;
        self.0 |= 1 << node.0;
        self.0 != before
    }

    /// Returns how many nodes it has.
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Returns the nodes whose bits are set.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns a word with a bit for each node.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Returns the nodes of either set.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the nodes of both sets.
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Goes through the nodes, the lowest first.
    pub fn iter(self) -> impl Iterator<Item = NodeId> {
        (0..MAX_NODES)
            .map(NodeId)
            .filter(move |node| self.contains(*node))
    }
}

impl FromIterator<NodeId> for NodeSet {
    fn from_iter<T: IntoIterator<Item = NodeId>>(nodes: T) -> Self {
        let mut set = Self::EMPTY;
        for node in nodes {
            set.insert(node);
        }
        set
    }
}
