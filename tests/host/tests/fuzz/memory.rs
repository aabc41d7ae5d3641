// SPDX-License-Identifier: GPL-2.0
//! Amounts of memory, as the boot line, the file of partitions and options have them.

use lwk::{Amount, MemoryWish};
use lwk_logic::logic::error::Errno;
use lwk_logic::logic::memspec::{JobAmount, MemSpec};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::check_line;
use crate::driver::{damaged, fuzz};

/// A size.
pub(crate) fn size() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        4 => (1..10_000_u64).prop_map(|n| n * 4096),
        2 => 1..2000_u64,
        1 => (0..64_u32).prop_map(|shift| 1 << shift),
        1 => any::<u64>(),
    ];
    let unit = proptest::sample::select(&["", "K", "M", "G", "T", "k", "m", "g", "t"][..]);
    prop_oneof![
        8 => (number, unit).prop_map(|(number, unit)| format!("{number}{unit}")),
        1 => Just("all".to_owned()),
        1 => Just("0".to_owned()),
    ]
}

/// Amounts by node.
pub(crate) fn wish() -> impl Strategy<Value = String> {
    let node = prop_oneof![4 => 0..4_u32, 1 => 60..70_u32];
    let amount = (prop::option::of(node), size()).prop_map(|(node, size)| match node {
        Some(node) => format!("{node}:{size}"),
        None => size,
    });
    vec(amount, 1..4).prop_map(|amounts| amounts.join(","))
}

/// A part of the whole.
fn part() -> impl Strategy<Value = String> {
    let number = || prop_oneof![4 => 0..20_u64, 1 => any::<u64>()];
    prop_oneof![
        2 => (number(), number()).prop_map(|(a, b)| format!("{a}/{b}")),
        2 => (0..3_u64, number()).prop_map(|(a, b)| format!("{a}.{b}")),
        1 => number().prop_map(|b| format!(".{b}")),
        3 => size(),
    ]
}

#[test]
fn amounts_by_node() {
    fuzz("amounts_by_node", damaged(wish()), |text| {
        let mut spec = MemSpec::EMPTY;
        spec.parse_into(b"0:1G,4K").expect("a good line");
        match spec.parse_into(&text) {
            Ok(()) => {
                let mut again = MemSpec::EMPTY;
                let printed = spec.to_string();
                prop_assert_eq!(again.parse_into(printed.as_bytes()), Ok(()), "{}", printed);
                prop_assert_eq!(&again, &spec);
            }
            Err(error) => {
                prop_assert_eq!(&spec, &MemSpec::EMPTY);
                check_line(&error.to_string())?;
                prop_assert!(error.errno() > 0);
            }
        }
        let Ok(text) = std::str::from_utf8(&text) else {
            return Ok(());
        };
        for wish in [text.parse::<MemoryWish>(), MemoryWish::parse_target(text)] {
            match wish {
                Ok(wish) => {
                    let again = MemoryWish::parse_target(&wish.to_string());
                    prop_assert_eq!(again, Ok(wish), "{}", text);
                }
                Err(error) => check_line(&error.to_string())?,
            }
        }
        Ok(())
    });
}

#[test]
fn parts_and_sizes() {
    fuzz(
        "parts_and_sizes",
        (damaged(part()), any::<u64>(), any::<u64>()),
        |(text, total, unit)| {
            match JobAmount::parse(&text) {
                Ok(amount) => {
                    let blocks = amount.blocks(total, unit);
                    if matches!(amount, JobAmount::Fraction { .. }) {
                        prop_assert!(blocks <= total.max(1));
                    }
                }
                Err(error) => {
                    check_line(&error.to_string())?;
                    prop_assert!(error.errno() > 0);
                }
            }
            if let Ok(text) = std::str::from_utf8(&text) {
                match text.parse::<Amount>() {
                    Ok(amount) => prop_assert_eq!(amount.to_string().parse::<Amount>(), Ok(amount)),
                    Err(error) => check_line(&error.to_string())?,
                }
                match yod::cli::memory(text) {
                    Ok(_) => {}
                    Err(line) => check_line(&line)?,
                }
            }
            Ok(())
        },
    );
}
