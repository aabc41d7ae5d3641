// SPDX-License-Identifier: GPL-2.0
//! Where system calls are carried out: rules that hold for all tables, and the names and numbers of the kernel's own
//! list.

use lwk_logic::logic::locality::{
    able, listed, members, name, number, suggestion, CallSet, Group, Place, Table, NATIVE,
};
use lwk_logic::uapi::{CallRecord, CALL_FAULT};
use proptest::collection::vec;
use proptest::prelude::*;
use std::path::Path;

/// The table that the kernel build makes its entry points of.
const KERNEL_LIST: &str = "build/linux/arch/x86/entry/syscalls/syscall_64.tbl";

/// The number and name of each line of the kernel's list that 64-bit programs use.
fn kernel_calls(text: &str) -> Vec<(u32, &str)> {
    let lines = text.lines().map(|line| line.split_whitespace());
    let calls = lines.filter_map(|mut words| {
        let nr = words.next()?.parse().ok()?;
        let is_ours = matches!(words.next()?, "common" | "64");
        is_ours.then_some((nr, words.next()?))
    });
    calls.collect()
}

#[test]
fn names_are_those_of_the_kernel() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // Only a tree with a kernel build has the list.
    let Ok(text) = std::fs::read_to_string(root.join(KERNEL_LIST)) else {
        return;
    };
    let listed = kernel_calls(&text);
    let ours = (0..512).filter_map(|nr| Some((nr, name(nr)?)));
    let ours: Vec<_> = ours.filter(|(nr, _)| *nr != CALL_FAULT).collect();
    assert_eq!(ours, listed);
}

#[test]
fn lists_are_read_as_the_kernel_reads_them() {
    let text = "# <number>\n0\tcommon\tread\tsys_read\n15\t64\trt_sigreturn\n512\tx32\tioctl\n\n";
    assert_eq!(kernel_calls(text), [(0, "read"), (15, "rt_sigreturn")]);
}

fn set() -> impl Strategy<Value = CallSet> {
    let words = prop_oneof![Just(0), any::<u64>()];
    vec(words, 8).prop_map(|words| CallSet::from_words(words.try_into().expect("eight words")))
}

fn place() -> impl Strategy<Value = Place> {
    proptest::sample::select(Place::ALL.to_vec())
}

/// Names, groups and `all`, and how a model reads them.
fn item() -> impl Strategy<Value = (String, Vec<u32>)> {
    let calls: Vec<u32> = (0..512).filter(|nr| name(*nr).is_some()).collect();
    let one = proptest::sample::select(calls)
        .prop_map(|nr| (name(nr).expect("a name").to_owned(), vec![nr]));
    let group = proptest::sample::select(Group::ALL.to_vec())
        .prop_map(|group| (group.name().to_owned(), members(group).iter().collect()));
    prop_oneof![
        8 => one,
        2 => group,
        1 => Just(("all".to_owned(), (0..512).collect())),
    ]
}

proptest! {
    #[test]
    fn sets_do_as_sets_do(left in set(), right in set(), nr in 0..600_u32) {
        let has = |set: &CallSet| set.contains(nr);
        prop_assert_eq!(has(&left.union(right)), has(&left) || has(&right));
        prop_assert_eq!(has(&left.intersection(right)), has(&left) && has(&right));
        prop_assert_eq!(has(&left.without(right)), has(&left) && !has(&right));
        prop_assert_eq!(left.iter().collect::<CallSet>(), left);
        prop_assert_eq!(left.iter().count(), left.len() as usize);
        prop_assert!(left.iter().is_sorted());
        let mut changed = left;
        prop_assert_eq!(changed.insert(nr), nr < 512);
        prop_assert_eq!(has(&changed), nr < 512);
        changed.remove(nr);
        prop_assert_eq!(changed, left.without([nr].into_iter().collect()));
        prop_assert_eq!(CallSet::from_words(left.words()), left);
    }

    #[test]
    fn later_changes_win(changes in vec((place(), vec(item(), 1..5)), 1..6)) {
        let mut table = Table::DEFAULT;
        let mut model: Vec<Place> = (0..512).map(|nr| table.place(nr)).collect();
        let mut text = Vec::new();
        let mut is_good = true;
        for (place, items) in &changes {
            let names: Vec<_> = items.iter().map(|(name, _)| name.as_str()).collect();
            text.push(format!("{}={}", place.name(), names.join(",")));
            for (_, calls) in items {
                let able: Vec<_> = calls.iter().filter(|nr| able(*place).contains(**nr)).collect();
                is_good &= !able.is_empty();
                for nr in able {
                    model[*nr as usize] = *place;
                }
            }
        }
        let read = table.assign(text.join(",").as_bytes());
        prop_assert_eq!(read.is_ok(), is_good);
        if is_good {
            let places: Vec<_> = (0..512).map(|nr| table.place(nr)).collect();
            prop_assert_eq!(places, model);
        } else {
            prop_assert_eq!(table, Table::DEFAULT);
        }
        prop_assert_eq!(Table::new(table.moved, table.native), Some(table));
    }

    #[test]
    fn tables_survive_being_told(moved in set(), native in set(), mask in set(), changes in vec((place(), item()), 0..6)) {
        let named: CallSet = (0..512).filter(|nr| name(*nr).is_some()).collect();
        let native = native.intersection(NATIVE);
        let moved = moved.union(mask).intersection(able(Place::Move)).without(native);
        let mut table = Table { moved: moved.intersection(named), native };
        for base in [table, Table::DEFAULT] {
            table = base;
            for (place, (item, _)) in &changes {
                // A call that cannot be there stays where it is.
                let _ = table.set(*place, item.as_bytes());
            }
            let mut again = Table::DEFAULT;
            if let Some(text) = lwk::changes_to(&table) {
                prop_assert!(again.assign(text.as_bytes()).is_ok(), "{}", text);
            }
            prop_assert_eq!(again, table);
        }
    }

    #[test]
    fn tables_from_outside_keep_the_rules(moved in set(), native in set()) {
        let native = native.intersection(NATIVE);
        let moved = moved.intersection(able(Place::Move)).without(native);
        let table = Table::new(moved, native);
        prop_assert!(table.is_some());
        let both = Table::new(moved.union(native), native);
        prop_assert_eq!(both.is_some(), native.is_empty());
    }

    #[test]
    fn no_text_breaks_the_parser(text in vec(any::<u8>(), 0..80), words in "[a-z%=,_]{0,60}") {
        for text in [text.as_slice(), words.as_bytes()] {
            let mut table = Table::DEFAULT;
            if let Err(error) = table.assign(text) {
                prop_assert!(!error.to_string().chars().any(char::is_control));
                prop_assert_eq!(table, Table::DEFAULT);
            }
        }
    }

    #[test]
    fn slips_are_forgiven(nr in 0..512_u32, at in 0..32_usize, letter in b'a'..=b'z') {
        let Some(right) = name(nr).filter(|name| name.len() > 3) else {
            return Ok(());
        };
        let mut wrong = right.as_bytes().to_vec();
        let at = at % wrong.len();
        wrong[at] = letter;
        let wrong = String::from_utf8(wrong).expect("letters");
        if number(wrong.as_bytes()).is_none() {
            let error = listed(wrong.as_bytes()).expect_err("no call");
            prop_assert!(error.to_string().contains("did you mean"), "{}", error);
        }
    }

    #[test]
    fn suggestions_are_possible_changes(
        call in 0..512_u32, counts in vec(prop_oneof![Just(0), 0..10_000_u64, any::<u64>()], 8), moved in set(),
    ) {
        let [local, moved_calls, stayed, native, travel_ns, linux_ns, local_ns, longest_ns] = counts[..] else {
            unreachable!("eight numbers");
        };
        let record = CallRecord {
            call, local, moved: moved_calls, stayed, native, travel_ns, linux_ns, local_ns, longest_ns,
            ..CallRecord::default()
        };
        let moved = moved.intersection(able(Place::Move)).without(NATIVE);
        let table = Table { moved, native: CallSet::EMPTY };
        if let Some(place) = suggestion(&record, &table) {
            prop_assert!(place != table.place(call) && able(place).contains(call));
        }
    }
}
