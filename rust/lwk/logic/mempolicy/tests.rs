// SPDX-License-Identifier: GPL-2.0
//! Unit tests of policies.

use super::*;
use crate::logic::node::NodeId;
use std::{format, string::ToString, vec::Vec};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
const KIB: u64 = 1 << 10;

fn node(number: u16) -> NodeId {
    NodeId::new(number).expect("a node of the test")
}

/// The nodes to try for an address, where node 2 is the nearest and the others follow by their numbers.
fn order(policy: &RegionPolicy, address: u64, nodes: &[u16]) -> Vec<u16> {
    let set = nodes.iter().map(|number| node(*number)).collect();
    let near = NearFirst::new(set, |node| if node.get() == 2 { 10 } else { 20 });
    let order = policy.candidates(address, &near);
    order.map(NodeId::get).collect()
}

#[test]
fn the_nearest_comes_first() {
    let near = RegionPolicy::DEFAULT;
    assert_eq!(order(&near, 0, &[0, 1, 2, 3]), [2, 0, 1, 3]);
    assert_eq!(order(&near, GIB, &[3, 1]), [1, 3]);
    assert_eq!(order(&near, GIB, &[]), []);
}

#[test]
fn bound_regions_take_nothing_else() {
    let mut policy = RegionPolicy {
        placement: Placement::Bind,
        nodes: [node(1), node(3), node(5)].into_iter().collect(),
        ..RegionPolicy::DEFAULT
    };
    assert_eq!(order(&policy, 0, &[0, 1, 2, 3]), [1, 3]);
    assert_eq!(order(&policy, 0, &[0, 2]), []);
    policy.placement = Placement::Preferred;
    assert_eq!(order(&policy, 0, &[0, 1, 2, 3]), [1, 3, 2, 0]);
}

#[test]
fn interleaving_goes_by_address() {
    let mut policy = RegionPolicy {
        placement: Placement::Interleave,
        ..RegionPolicy::DEFAULT
    };
    let turns = (0..4).map(|nr| order(&policy, nr * 2 * MIB + 4 * KIB, &[0, 2, 3]));
    let turns: Vec<_> = turns.collect();
    assert_eq!(turns, [[0, 3, 2], [2, 0, 3], [3, 2, 0], [0, 3, 2]]);
    policy.nodes = [node(0), node(3)].into_iter().collect();
    assert_eq!(order(&policy, 2 * MIB, &[0, 2, 3]), [3, 0]);
}

#[test]
fn memory_is_wanted_of_nodes_that_policies_name() {
    let set = |nodes: &[u16]| {
        nodes
            .iter()
            .map(|number| node(*number))
            .collect::<NodeSet>()
    };
    let (near, all) = (set(&[1]), set(&[0, 1, 2]));
    let mut policy = Policy::DEFAULT;
    assert_eq!(policy.wanted_nodes(near, all), near);
    policy.set_placement(b"heap:bind:0").expect("a place");
    assert_eq!(policy.wanted_nodes(near, all), set(&[0, 1]));
    policy.set_placement(b"stack:interleave").expect("a place");
    assert_eq!(policy.wanted_nodes(near, all), all);
}

#[test]
fn options_set_scopes() {
    let mut policy = Policy::DEFAULT;
    policy.set_max_pages(b"all:4k/heap:1G").expect("sizes");
    policy.set_populate(b"stack:onefault").expect("a time");
    policy
        .set_placement(b"dbss:bind:1,3/tstack:interleave")
        .expect("places");
    policy.set_alignment(b"16M:1G").expect("an alignment");
    let of = |region| *policy.region(region);
    assert_eq!(of(Region::Heap).max_page, PageSize::Giant);
    assert_eq!(of(Region::Dbss).max_page, PageSize::Small);
    assert_eq!(of(Region::Stack).populate, Populate::AtTouch);
    assert_eq!(of(Region::Heap).populate, Populate::AtMap);
    assert_eq!(of(Region::Dbss).placement, Placement::Bind);
    assert_eq!(
        of(Region::Dbss).nodes,
        [node(1), node(3)].into_iter().collect()
    );
    assert_eq!(of(Region::ThreadStack).placement, Placement::Interleave);
    let anon = of(Region::AnonPrivate);
    assert_eq!((anon.alignment(16 * MIB), anon.alignment(MIB)), (GIB, 4096));
}

#[test]
fn bad_options_change_nothing() {
    let mut policy = Policy::DEFAULT;
    let set = |policy: &mut Policy, text: &str| {
        let found = [
            policy.set_max_pages(text.as_bytes()),
            policy.set_populate(text.as_bytes()),
            policy.set_placement(text.as_bytes()),
        ];
        assert!(found.iter().all(Result::is_err), "{text}");
        assert_eq!(*policy, Policy::DEFAULT, "{text}");
    };
    for text in [
        "",
        "4k",
        "heap",
        "heap:",
        ":4k",
        "Heap:4k",
        "heap:8k",
        "heap:4k/",
        "heap:4k/x:4k",
        "heap:bind",
        "heap:normal:1",
        "heap:bind:",
        "heap:bind:64",
        "heap:bind:1,",
        "heap:random",
    ] {
        set(&mut policy, text);
    }
    for text in ["", "1", "all", "1M:3M", "1M:", ":1M", ".5"] {
        assert!(policy.set_alignment(text.as_bytes()).is_err(), "{text}");
    }
    for text in ["", "0", "all", "5000", "2T", "8388608T"] {
        assert!(policy.set_heap_step(text.as_bytes()).is_err(), "{text}");
    }
    for bytes in [1, 4097, Policy::MAX_HEAP_STEP + FRAME_BYTES, 1 << 63] {
        let mut policy = Policy::DEFAULT;
        assert!(!policy.set_heap_step_bytes(bytes), "{bytes}");
    }
    assert!(policy.set_heap_step(b"2M").is_ok());
    assert_eq!(policy, Policy::DEFAULT);
    let told = |found: Result<(), OptionError>| found.expect_err("bad").to_string();
    assert_eq!(
        told(policy.set_max_pages(b"hep:4k")),
        "'hep' is not a scope (all, dbss, heap, anon_private, tstack, stack)"
    );
    assert_eq!(
        told(policy.set_max_pages(b"heap:3m")),
        "'3m' is not a value of this option"
    );
    assert_eq!(
        told(policy.set_alignment(b"1M:3M")),
        format!("the alignment '3M' is not a power of two and at least 4K")
    );
}
