// SPDX-License-Identifier: GPL-2.0
//! Plans of ranges: rules that hold for all of them.

use lwk_logic::logic::frames::PageSize;
use lwk_logic::logic::mempolicy::{Backing, NodeFree, Piece, Placement, Plan, RegionPolicy};
use lwk_logic::logic::node::{NodeId, NodeSet};
use proptest::collection::vec;
use proptest::prelude::*;

const PAGE: u64 = 4096;

/// Makes up nodes that could be: pages of 1 GiB consist of blocks.
fn nodes() -> impl Strategy<Value = Vec<NodeFree>> {
    let one = (0..3_u64, 0..700_u64, 0..800_u64);
    vec(one, 0..4).prop_map(|all| {
        let numbers = (0..).filter_map(NodeId::new);
        let free = |(node, (giant, rest, small))| NodeFree {
            node,
            giant,
            large: giant * 512 + rest,
            small,
        };
        numbers.zip(all).map(free).collect()
    })
}

fn policy() -> impl Strategy<Value = RegionPolicy> {
    let placement = prop_oneof![
        Just(Placement::Near),
        Just(Placement::Interleave),
        Just(Placement::Bind),
        Just(Placement::Preferred),
    ];
    let size = prop_oneof![
        Just(PageSize::Small),
        Just(PageSize::Large),
        Just(PageSize::Giant)
    ];
    (placement, size, vec(0..5_u16, 0..3)).prop_map(|(placement, max_page, nodes)| RegionPolicy {
        placement,
        max_page,
        nodes: nodes
            .into_iter()
            .filter_map(NodeId::new)
            .collect::<NodeSet>(),
        ..RegionPolicy::DEFAULT
    })
}

/// Makes up a range near boundaries of all sizes.
fn range() -> impl Strategy<Value = (u64, u64)> {
    let near = |size: u64| {
        prop_oneof![
            Just(size),
            (0..20_u64).prop_map(move |pages| size + pages * PAGE),
            (1..20_u64).prop_map(move |pages| size - pages * PAGE),
        ]
    };
    let start = prop_oneof![near(1 << 30), near(3 << 21), near(5 << 30)];
    let len = prop_oneof![near(1 << 30), near(1 << 21), near(7 << 21), near(1 << 20)];
    (start, len)
}

/// What a piece took, in frames.
fn frames(pieces: &[Piece], node: NodeId) -> u64 {
    let own = pieces
        .iter()
        .filter(|piece| piece.backing == Backing::Pool(node));
    own.map(|piece| piece.len / PAGE).sum()
}

proptest! {
    #[test]
    fn plans_cover_the_range_with_pages_that_fit((start, len) in range(), policy in policy(), nodes in nodes()) {
        let mut left = nodes.clone();
        let pieces: Vec<Piece> = Plan::new(start..start + len, policy, &mut left).collect();
        let mut at = start;
        for piece in &pieces {
            prop_assert_eq!(piece.start, at);
            prop_assert!(piece.len > 0 && piece.len.is_multiple_of(piece.size.bytes()));
            prop_assert!(at.is_multiple_of(piece.size.bytes()) && piece.size <= policy.max_page);
            at += piece.len;
        }
        prop_assert_eq!(at, start + len);
        for pair in pieces.windows(2) {
            prop_assert!((pair[0].size, pair[0].backing) != (pair[1].size, pair[1].backing));
        }
        for (before, after) in nodes.iter().zip(&left) {
            let total = |free: &NodeFree| free.large * 512 + free.small;
            prop_assert_eq!(total(before) - total(after), frames(&pieces, before.node));
            prop_assert!(after.giant * 512 <= after.large && after.giant <= before.giant);
        }
    }

    #[test]
    fn linux_is_asked_only_when_permitted_nodes_have_nothing(
        (start, len) in range(), policy in policy(), nodes in nodes(),
    ) {
        let mut left = nodes;
        let pieces: Vec<Piece> = Plan::new(start..start + len, policy, &mut left).collect();
        let is_strict = matches!(policy.placement, Placement::Bind | Placement::Interleave);
        let is_listed = |node| policy.nodes.is_empty() || policy.nodes.contains(node);
        let spills = pieces.iter().any(|piece| piece.backing == Backing::Linux);
        let is_used_up = left
            .iter()
            .filter(|free| !is_strict || is_listed(free.node))
            .all(|free| free.large == 0 && free.small == 0);
        prop_assert!(!spills || is_used_up);
        for piece in &pieces {
            if let Backing::Pool(node) = piece.backing {
                prop_assert!(!is_strict || is_listed(node));
            }
        }
    }

    #[test]
    fn near_takes_from_the_next_node_only_when_the_first_is_empty(
        (start, len) in range(), nodes in nodes(),
    ) {
        let mut left = nodes;
        let pieces: Vec<Piece> = Plan::new(start..start + len, RegionPolicy::DEFAULT, &mut left).collect();
        let order = |piece: &Piece| match piece.backing {
            Backing::Pool(node) => node.get(),
            Backing::Linux => u16::MAX,
        };
        prop_assert!(pieces.windows(2).all(|pair| order(&pair[0]) <= order(&pair[1])));
    }
}
