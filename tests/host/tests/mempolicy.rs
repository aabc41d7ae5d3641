// SPDX-License-Identifier: GPL-2.0
//! Where pages come from: rules that hold for all policies.

use lwk_logic::logic::mempolicy::{NearFirst, Placement, RegionPolicy};
use lwk_logic::logic::node::{NodeId, NodeSet};
use proptest::collection::vec;
use proptest::prelude::*;

fn nodes() -> impl Strategy<Value = NodeSet> {
    vec(0..8_u16, 0..6).prop_map(|all| all.into_iter().filter_map(NodeId::new).collect())
}

fn policy() -> impl Strategy<Value = RegionPolicy> {
    let placement = prop_oneof![
        Just(Placement::Near),
        Just(Placement::Interleave),
        Just(Placement::Bind),
        Just(Placement::Preferred),
    ];
    (placement, nodes()).prop_map(|(placement, nodes)| RegionPolicy {
        placement,
        nodes,
        ..RegionPolicy::DEFAULT
    })
}

proptest! {
    #[test]
    fn each_permitted_node_is_tried_once(
        policy in policy(), set in nodes(), address in 0..1_u64 << 40, distances in vec(10..14_u32, 8),
    ) {
        let near = NearFirst::new(set, |node| distances[usize::from(node.get())]);
        let order: Vec<NodeId> = policy.candidates(address, &near).collect();
        let tried: NodeSet = order.iter().copied().collect();
        prop_assert_eq!(tried.len() as usize, order.len());
        let listed = match policy.nodes.is_empty() {
            true => set,
            false => set.intersection(policy.nodes),
        };
        let is_strict = matches!(policy.placement, Placement::Bind | Placement::Interleave);
        prop_assert_eq!(tried, if is_strict { listed } else { set });
        // Listed ones come first, and but for turns the nearest of each kind do.
        let kind = |node: &NodeId| !listed.contains(*node);
        prop_assert!(order.is_sorted_by_key(kind));
        if policy.placement != Placement::Interleave {
            let place = |node: &NodeId| (kind(node), distances[usize::from(node.get())], node.get());
            prop_assert!(order.is_sorted_by_key(place));
        }
    }

    #[test]
    fn turns_are_even_and_do_not_depend_on_who_asks(
        set in nodes(), distances in vec(10..14_u32, 8), start in 0..1_u64 << 20,
    ) {
        let policy = RegionPolicy { placement: Placement::Interleave, ..RegionPolicy::DEFAULT };
        let near = NearFirst::new(set, |node| distances[usize::from(node.get())]);
        let equal = NearFirst::new(set, |_| 10);
        let mut all = NodeSet::EMPTY;
        for turn in 0..u64::from(set.len()) {
            let address = (start + turn) << 21;
            let first = policy.candidates(address, &near).next();
            prop_assert_eq!(first, policy.candidates(address, &equal).next());
            all.insert(first.expect("a node"));
        }
        prop_assert_eq!(all, set);
    }
}
