// SPDX-License-Identifier: GPL-2.0
//! Which pages from which nodes back a range.

use super::{Placement, RegionPolicy};
use crate::logic::frames::{PageSize, BLOCKS_PER_GROUP, FRAMES_PER_BLOCK};
use crate::logic::node::NodeId;
use core::ops::Range;

/// What a job can still take from one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeFree {
    /// The node.
    pub node: NodeId,
    /// Pages of 1 GiB; their blocks count in `large`, too.
    pub giant: u64,
    /// Blocks of 2 MiB.
    pub large: u64,
    /// Frames of 4 KiB in blocks that the job has broken already.
    pub small: u64,
}

impl NodeFree {
    /// Says whether there is such a page.
    const fn has(&self, size: PageSize) -> bool {
        match size {
            PageSize::Small => self.small > 0 || self.large > 0,
            PageSize::Large => self.large > 0,
            PageSize::Giant => self.giant > 0,
        }
    }

    /// Takes such a page, as [`Pool`](crate::logic::frames::Pool) would: groups are broken last.
    fn take(&mut self, size: PageSize) {
        match size {
            PageSize::Small if self.small > 0 => self.small -= 1,
            PageSize::Small => {
                self.take(PageSize::Large);
                self.small = u64::from(FRAMES_PER_BLOCK) - 1;
            }
            PageSize::Large => {
                self.large = self.large.saturating_sub(1);
                self.giant = self.giant.min(self.large / u64::from(BLOCKS_PER_GROUP));
            }
            PageSize::Giant => {
                self.giant = self.giant.saturating_sub(1);
                self.large = self.large.saturating_sub(u64::from(BLOCKS_PER_GROUP));
            }
        }
    }
}

/// Where memory comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backing {
    /// The pool of a node.
    Pool(NodeId),
    /// Linux, as the job may take no more.
    Linux,
}

/// Consecutive pages of one size from one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Where it begins.
    pub start: u64,
    /// How many bytes it has.
    pub len: u64,
    /// The size of its pages; for memory of Linux the largest that fits.
    pub size: PageSize,
    /// Where they come from.
    pub backing: Backing,
}

/// The pieces of a range, in order and without gaps.
#[derive(Debug)]
pub struct Plan<'a> {
    policy: RegionPolicy,
    nodes: &'a mut [NodeFree],
    at: u64,
    end: u64,
}

impl<'a> Plan<'a> {
    /// Begins a plan for a range of whole pages. `nodes` are the nodes of the partition, the nearest first; what the
    /// plan takes is deducted.
    pub fn new(range: Range<u64>, policy: RegionPolicy, nodes: &'a mut [NodeFree]) -> Self {
        let page = PageSize::Small.bytes();
        Self {
            policy,
            nodes,
            at: range.start - range.start % page,
            end: range.end - range.end % page,
        }
    }

    /// Says what the next page is, and at which place of the list its node is.
    fn look(&self) -> Option<(Piece, Option<usize>)> {
        let mut sizes = PageSize::DESCENDING.into_iter();
        let largest = sizes.find(|size| *size <= self.policy.max_page && self.fits(*size))?;
        let (size, backing, index) = match self.choose(largest) {
            Some((index, size)) => {
                let node = self.nodes.get(index)?.node;
                (size, Backing::Pool(node), Some(index))
            }
            None => (largest, Backing::Linux, None),
        };
        let piece = Piece {
            start: self.at,
            len: size.bytes(),
            size,
            backing,
        };
        Some((piece, index))
    }

    /// Takes that page.
    fn take(&mut self, piece: &Piece, index: Option<usize>) {
        if let Some(free) = index.and_then(|index| self.nodes.get_mut(index)) {
            free.take(piece.size);
        }
        self.at += piece.size.bytes();
    }

    fn fits(&self, size: PageSize) -> bool {
        self.at % size.bytes() == 0 && self.end.saturating_sub(self.at) >= size.bytes()
    }

    /// Chooses a node and a size: the first node in order of preference that has any page that fits, and its largest.
    fn choose(&self, largest: PageSize) -> Option<(usize, PageSize)> {
        let sizes = || {
            let sizes = PageSize::DESCENDING.into_iter();
            sizes.filter(move |size| *size <= largest)
        };
        let is_listed =
            |free: &NodeFree| self.policy.nodes.is_empty() || self.policy.nodes.contains(free.node);
        let listed = || {
            self.nodes
                .iter()
                .enumerate()
                .filter(|(_, free)| is_listed(free))
        };
        let others = || {
            self.nodes
                .iter()
                .enumerate()
                .filter(|(_, free)| !is_listed(free))
        };
        let best = |(index, free): (usize, &NodeFree)| {
            let size = sizes().find(|size| free.has(*size))?;
            Some((index, size))
        };
        match self.policy.placement {
            Placement::Bind => listed().find_map(best),
            Placement::Near | Placement::Preferred => {
                listed().find_map(best).or_else(|| others().find_map(best))
            }
            Placement::Interleave => {
                let nr = listed().count();
                let turn = self.turn(largest).checked_rem(u64::try_from(nr).ok()?)?;
                let turn = usize::try_from(turn).ok()?;
                listed().cycle().skip(turn).take(nr).find_map(best)
            }
        }
    }

    /// Returns which turn of an interleaved range an address is in: a page of 1 GiB is one, and else 2 MiB are.
    fn turn(&self, largest: PageSize) -> u64 {
        self.at / largest.max(PageSize::Large).bytes()
    }
}

impl Iterator for Plan<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let (mut piece, index) = self.look()?;
        self.take(&piece, index);
        while let Some((next, index)) = self.look() {
            if (next.size, next.backing) != (piece.size, piece.backing) {
                break;
            }
            self.take(&next, index);
            piece.len += next.len;
        }
        Some(piece)
    }
}
