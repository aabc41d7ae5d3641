// SPDX-License-Identifier: GPL-2.0
//! `lwkmem=` against the parser of the tools, and plans of claims.

use lwk::MemoryWish;
use lwk_logic::logic::claim::{Claim, NEVER};
use lwk_logic::logic::memspec::{JobAmount, MemSpec};
use proptest::collection::vec;
use proptest::prelude::*;

/// Makes up a text that is close to the grammar.
fn near_spec() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => (0..5_u32).prop_map(|n| n.to_string()),
        1 => any::<u64>().prop_map(|n| n.to_string()),
        2 => Just("4096".to_owned()),
        6 => "[KMGTkmgt]",
        4 => Just(":".to_owned()),
        4 => Just(",".to_owned()),
        1 => prop_oneof![Just("all"), Just("ALL"), Just("al")].prop_map(str::to_owned),
        1 => "[!-~]",
    ];
    vec(piece, 1..9).prop_map(|pieces| pieces.concat())
}

fn parse(text: &str) -> Option<MemSpec> {
    let mut spec = MemSpec::EMPTY;
    spec.parse_into(text.as_bytes()).ok().map(|()| spec)
}

proptest! {
    #[test]
    fn kernel_and_tools_read_the_same(text in near_spec()) {
        let wish = text.parse::<MemoryWish>().ok();
        // The kernel has room for fewer nodes, and an empty text asks for nothing there.
        let is_high = |wish: &MemoryWish| wish.amounts().iter().any(|(node, _)| node.is_some_and(|node| node > 63));
        match wish.filter(|wish| !is_high(wish)) {
            Some(wish) => {
                let spec = parse(&text);
                prop_assert!(spec.is_some());
                let nr = spec.as_ref().map_or(0, |spec| spec.amounts().count() + usize::from(spec.anywhere().is_some()));
                prop_assert_eq!(nr, wish.amounts().len());
            }
            None => prop_assert_eq!(parse(&text), None),
        }
    }

    #[test]
    fn what_is_printed_is_read_back(text in near_spec()) {
        if let Some(spec) = parse(&text) {
            prop_assert_eq!(parse(&spec.to_string()), Some(spec));
        }
    }

    #[test]
    fn shares_are_of_what_there_is(text in "[0-9]{0,3}[./]?[0-9]{0,3}", total in 1..1_000_000_u64) {
        if let Ok(amount @ JobAmount::Fraction { .. }) = JobAmount::parse(text.as_bytes()) {
            prop_assert!((1..=total).contains(&amount.blocks(total, 1 << 21)));
        }
    }

    #[test]
    fn claims_name_each_block_once_and_only_what_can_be_had(
        costs in vec(prop_oneof![3 => 0..512_u16, 1 => Just(NEVER)], 0..1200), wanted in 0..1300_u64,
    ) {
        let mut left = costs.clone();
        let mut claim = Claim::new(&mut left, wanted);
        let mut seen = vec![false; costs.len()];
        while let Some(range) = claim.next_range() {
            prop_assert!(!range.is_empty() && range.start / 512 == (range.end - 1) / 512);
            for block in range {
                prop_assert!(!seen[block] && costs[block] != NEVER);
                seen[block] = true;
            }
        }
        let available = costs.iter().filter(|cost| **cost != NEVER).count() as u64;
        prop_assert_eq!(claim.got(), wanted.min(available));
    }
}
