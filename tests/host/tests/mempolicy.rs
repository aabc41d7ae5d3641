// SPDX-License-Identifier: GPL-2.0
//! Where pages come from: rules that hold for all policies.

use lwk_logic::logic::frames::PageSize;
use lwk_logic::logic::mempolicy::{NearFirst, Placement, Policy, Populate, RegionPolicy};
use lwk_logic::logic::node::{NodeId, NodeSet};
use lwk_logic::uapi::{MemRegion, MEM_KEEP_UNNEEDED, MEM_STRICT};
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

/// Policies as a program may ask for them: those that go by nodes name some.
fn region() -> impl Strategy<Value = RegionPolicy> {
    let sizes = [PageSize::Small, PageSize::Large, PageSize::Giant];
    let size = proptest::sample::select(sizes.to_vec());
    let populate = prop_oneof![Just(Populate::AtMap), Just(Populate::AtTouch)];
    let parts = (policy(), size, populate, any::<u64>(), 12..40_u32);
    parts.prop_map(|(policy, max_page, populate, align_from, align)| {
        let nodes = match policy.placement {
            Placement::Near => NodeSet::EMPTY,
            Placement::Bind | Placement::Preferred if policy.nodes.is_empty() => {
                NodeId::new(3).into_iter().collect()
            }
            _ => policy.nodes,
        };
        RegionPolicy {
            max_page,
            populate,
            nodes,
            align_from,
            align: 1 << align,
            ..policy
        }
    })
}

proptest! {
    #[test]
    fn policies_survive_the_abi(regions in vec(region(), 5), strict: bool, keep: bool) {
        let mut policy = Policy::DEFAULT;
        for (nr, region) in regions.iter().enumerate() {
            prop_assert!(policy.set_from_abi(nr, &region.to_abi()));
        }
        prop_assert!(!policy.set_from_abi(5, &regions[0].to_abi()));
        let flags = if strict { MEM_STRICT } else { 0 } | if keep { MEM_KEEP_UNNEEDED } else { 0 };
        prop_assert!(policy.set_flags(flags));
        prop_assert_eq!(policy.flags(), flags);
        let read: Vec<_> = policy.to_abi().iter().map(RegionPolicy::from_abi).collect();
        prop_assert_eq!(read, regions.iter().copied().map(Some).collect::<Vec<_>>());
    }

    #[test]
    fn what_means_nothing_is_refused(region in region(), bits in 2..32_u32, size in 1..18_u32, rest in 0..4096_u64) {
        let good = region.to_abi();
        let odd = u64::from(size != 9);
        let bad = [
            MemRegion { flags: good.flags | 1 << bits, ..good },
            MemRegion { placement: good.placement + 4, ..good },
            MemRegion { reserved: 1 << bits, ..good },
            MemRegion { align: rest, ..good },
            MemRegion { align: good.align + 1, ..good },
            MemRegion { order: if odd == 1 { size } else { 19 }, ..good },
        ];
        for raw in bad {
            prop_assert_eq!(RegionPolicy::from_abi(&raw), None, "{:?}", raw);
        }
        prop_assert!(!Policy::DEFAULT.clone().set_flags(1 << bits));
    }

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
