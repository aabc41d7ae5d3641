// SPDX-License-Identifier: GPL-2.0
//! Unit tests of policies and plans; random plans are in `tests/host`.

use super::*;
use crate::logic::node::NodeId;
use std::{format, string::ToString, vec, vec::Vec};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
const KIB: u64 = 1 << 10;

fn node(number: u16) -> NodeId {
    NodeId::new(number).expect("a node of the test")
}

fn free(number: u16, giant: u64, large: u64, small: u64) -> NodeFree {
    NodeFree {
        node: node(number),
        giant,
        large,
        small,
    }
}

/// Plans a range and tells each piece as size, place and length.
fn told(
    start: u64,
    len: u64,
    policy: RegionPolicy,
    nodes: &mut [NodeFree],
) -> Vec<(u64, &'static str, u16)> {
    let mut at = start;
    let pieces = Plan::new(start..start + len, policy, nodes).map(|piece| {
        assert_eq!(piece.start, at);
        at += piece.len;
        let from = match piece.backing {
            Backing::Pool(node) => node.get(),
            Backing::Linux => 99,
        };
        (piece.len, piece.size.name(), from)
    });
    pieces.collect()
}

#[test]
fn edges_are_small_and_the_middle_is_large() {
    let mut nodes = [free(0, 0, 10, 0)];
    let pieces = told(
        2 * MIB - 8 * KIB,
        4 * MIB + 12 * KIB,
        RegionPolicy::DEFAULT,
        &mut nodes,
    );
    assert_eq!(
        pieces,
        [(8 * KIB, "4k", 0), (4 * MIB, "2m", 0), (4 * KIB, "4k", 0)]
    );
    assert_eq!(nodes, [free(0, 0, 7, 509)]);
}

#[test]
fn giant_pages_are_used_on_request() {
    let mut policy = RegionPolicy::DEFAULT;
    let mut nodes = [free(0, 1, 600, 0)];
    assert_eq!(told(GIB, GIB, policy, &mut nodes.clone()), [(GIB, "2m", 0)]);
    policy.max_page = PageSize::Giant;
    let pieces = told(GIB, 2 * GIB, policy, &mut nodes);
    assert_eq!(
        pieces,
        [(GIB, "1g", 0), (176 * MIB, "2m", 0), (848 * MIB, "2m", 99)]
    );
}

#[test]
fn near_nodes_come_before_large_pages() {
    let mut nodes = [free(1, 0, 1, 300), free(0, 0, 9, 0)];
    let pieces = told(0, 6 * MIB, RegionPolicy::DEFAULT, &mut nodes);
    assert_eq!(
        pieces,
        [
            (2 * MIB, "2m", 1),
            (1200 * KIB, "4k", 1),
            (848 * KIB, "4k", 0),
            (2 * MIB, "2m", 0)
        ]
    );
}

#[test]
fn bound_regions_take_nothing_else() {
    let mut policy = RegionPolicy {
        placement: Placement::Bind,
        nodes: [node(1)].into_iter().collect(),
        ..RegionPolicy::DEFAULT
    };
    let nodes = [free(0, 0, 9, 0), free(1, 0, 1, 0)];
    assert_eq!(
        told(0, 4 * MIB, policy, &mut nodes.clone()),
        [(2 * MIB, "2m", 1), (2 * MIB, "2m", 99)]
    );
    policy.placement = Placement::Preferred;
    assert_eq!(
        told(0, 4 * MIB, policy, &mut nodes.clone()),
        [(2 * MIB, "2m", 1), (2 * MIB, "2m", 0)]
    );
}

#[test]
fn interleaving_goes_by_address() {
    let policy = RegionPolicy {
        placement: Placement::Interleave,
        ..RegionPolicy::DEFAULT
    };
    let nodes = vec![free(0, 0, 2, 0), free(1, 0, 9, 0), free(3, 0, 9, 0)];
    let pieces = told(2 * MIB, 16 * MIB, policy, &mut nodes.clone());
    let from: Vec<u16> = pieces.iter().map(|(_, _, from)| *from).collect();
    // Node 0 has two; the third time its turn goes to the next.
    assert_eq!(from, [1, 3, 0, 1, 3, 0, 1, 3]);
    let pieces = told(MIB, 2 * MIB, policy, &mut nodes.clone());
    assert_eq!(pieces, [(MIB, "4k", 0), (MIB, "4k", 1)]);
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
