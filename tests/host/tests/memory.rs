// SPDX-License-Identifier: GPL-2.0
//! The grammar of memory wishes against a parser that works by cutting strings.

use lwk::{Amount, MemoryWish};
use proptest::prelude::*;

/// Reads a size the plain way.
fn size(text: &str) -> Option<Option<u64>> {
    if text.to_lowercase() == "all" {
        return Some(None);
    }
    let (digits, factor) = match text.to_uppercase().chars().last()? {
        'K' => (&text[..text.len() - 1], 1 << 10),
        'M' => (&text[..text.len() - 1], 1 << 20),
        'G' => (&text[..text.len() - 1], 1 << 30),
        'T' => (&text[..text.len() - 1], 1_u128 << 40),
        _ => (text, 1),
    };
    if digits.is_empty() || digits.chars().any(|c| !c.is_ascii_digit()) {
        return None;
    }
    let bytes = digits.parse::<u128>().ok()?.checked_mul(factor)?;
    let bytes = u64::try_from(bytes).ok()?;
    (bytes > 0 && bytes % 4096 == 0).then_some(Some(bytes))
}

/// Reads a wish the plain way.
fn wish(text: &str) -> Option<Vec<(Option<u32>, Option<u64>)>> {
    let mut all = Vec::new();
    for element in text.split(',') {
        let element = element.trim();
        let (node, amount) = match element.find(':') {
            None => (None, element),
            Some(colon) => {
                let node = &element[..colon];
                if node.is_empty() || node.chars().any(|c| !c.is_ascii_digit()) {
                    return None;
                }
                let node: u32 = node.parse().ok()?;
                (
                    Some(node).filter(|node| *node < 1024),
                    &element[colon + 1..],
                )
            }
        };
        if element.contains(':') && node.is_none() {
            return None;
        }
        all.push((node, size(amount)?));
    }
    let mut nodes: Vec<Option<u32>> = all.iter().map(|(node, _)| *node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    (nodes.len() == all.len()).then_some(all)
}

/// Makes up a text that is close to the grammar.
fn near_wish() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => (0..5_u32).prop_map(|n| n.to_string()),
        2 => any::<u64>().prop_map(|n| n.to_string()),
        2 => Just("4096".to_owned()),
        6 => "[KMGTkmgt]",
        4 => Just(":".to_owned()),
        4 => Just(",".to_owned()),
        1 => Just(" ".to_owned()),
        2 => prop_oneof![Just("all"), Just("ALL"), Just("al")].prop_map(str::to_owned),
        1 => "[!-~]",
        1 => Just("ä".to_owned()),
    ];
    prop::collection::vec(piece, 0..9).prop_map(|pieces| pieces.concat())
}

/// Makes up a wish.
fn any_wish() -> impl Strategy<Value = String> {
    let amount = prop_oneof![
        Just("all".to_owned()),
        ((1..2000_u64), "[KMGT]").prop_map(|(n, unit)| if unit == "K" {
            format!("{}K", n * 4)
        } else {
            format!("{n}{unit}")
        }),
    ];
    let nodes = prop::collection::btree_map(prop::option::of(0..1024_u32), amount, 1..5);
    nodes.prop_map(|all| {
        let elements = all.into_iter().map(|(node, amount)| match node {
            Some(node) => format!("{node}:{amount}"),
            None => amount,
        });
        elements.collect::<Vec<_>>().join(",")
    })
}

proptest! {
    #[test]
    fn texts_mean_what_the_plain_parser_says(text in prop_oneof![near_wish(), any_wish()]) {
        let parsed = text.parse::<MemoryWish>().ok().map(|wish| {
            let plain = |(node, amount): &(Option<u32>, Amount)| match amount {
                Amount::All => (*node, None),
                Amount::Bytes(bytes) => (*node, Some(*bytes)),
            };
            wish.amounts().iter().map(plain).collect::<Vec<_>>()
        });
        prop_assert_eq!(parsed, wish(&text));
    }

    #[test]
    fn a_wish_prints_as_it_is_read(text in any_wish()) {
        let wish: MemoryWish = text.parse().expect("a wish");
        prop_assert_eq!(wish.to_string().parse::<MemoryWish>(), Ok(wish));
    }
}
