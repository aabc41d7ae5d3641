// SPDX-License-Identifier: GPL-2.0
//! Unit tests of the table of system calls.

use super::*;
use crate::uapi::{CallRecord, CALL_FAULT};
use std::{format, string::ToString, vec::Vec};

fn nr(text: &str) -> u32 {
    number(text.as_bytes()).expect("a system call")
}

fn table(text: &str) -> Table {
    let mut table = Table::DEFAULT;
    table.assign(text.as_bytes()).expect("good changes");
    table
}

fn refusal(text: &str) -> std::string::String {
    let mut table = Table::DEFAULT;
    let error = table.assign(text.as_bytes()).expect_err("bad changes");
    assert_eq!(table, Table::DEFAULT, "{text}");
    error.to_string()
}

#[test]
fn numbers_and_names_are_unique() {
    let mut numbers: Vec<_> = CALLS.iter().map(|call| call.nr).collect();
    let mut names: Vec<_> = CALLS.iter().map(|call| call.name).collect();
    let nr_calls = CALLS.len();
    numbers.sort_unstable();
    numbers.dedup();
    names.sort_unstable();
    names.dedup();
    assert_eq!((numbers.len(), names.len()), (nr_calls, nr_calls));
    assert!(Group::ALL.iter().all(|group| !members(*group).is_empty()));
    for fixed in FIXED {
        assert_eq!(number(fixed.as_bytes()).and_then(name), Some(fixed));
    }
    assert_eq!(name(CALL_FAULT), Some("file_fault"));
}

#[test]
fn defaults_follow_what_a_call_may_wait_for() {
    for group in [Group::File, Group::Desc, Group::Network, Group::Ipc] {
        let stays = members(group).without(Table::DEFAULT.moved);
        assert!(
            stays.is_empty(),
            "{group:?}: {:?}",
            stays.iter().map(name).collect::<Vec<_>>()
        );
    }
    for group in [
        Group::Futex,
        Group::Time,
        Group::Clock,
        Group::Sched,
        Group::Identity,
    ] {
        assert!(
            members(group).intersection(Table::DEFAULT.moved).is_empty(),
            "{group:?}"
        );
    }
    let place = |name| Table::DEFAULT.place(nr(name));
    for name in [
        "mmap", "munmap", "brk", "clone", "clone3", "wait4", "tgkill",
    ] {
        assert_eq!(place(name), Place::Local, "{name}");
    }
    for name in [
        "read",
        "fork",
        "execve",
        "exit",
        "exit_group",
        "msync",
        "sync",
        "bpf",
    ] {
        assert_eq!(place(name), Place::Move, "{name}");
    }
    for name in ["sched_yield", "nanosleep", "clock_nanosleep"] {
        assert_eq!(place(name), Place::Native, "{name}");
    }
    // Numbers without a call, and numbers past the table.
    for nr in [336, 423, 463, 510, 512, 1000, u32::MAX] {
        assert_eq!(Table::DEFAULT.place(nr), Place::Local, "{nr}");
    }
    assert!(Table::new(Table::DEFAULT.moved, Table::DEFAULT.native).is_some());
}

#[test]
fn changes_apply_in_order() {
    let changed = table("local=read,write,move=%memory,native=sched_yield");
    assert_eq!(changed.place(nr("read")), Place::Local);
    assert_eq!(changed.place(nr("write")), Place::Local);
    assert_eq!(changed.place(nr("readv")), Place::Move);
    assert_eq!(changed.place(nr("mmap")), Place::Move);
    assert_eq!(changed.place(nr("sched_yield")), Place::Native);
    let later = table("local=read,move=read,local=all,move=%file,local=open");
    assert_eq!(later.place(nr("read")), Place::Local);
    assert_eq!(later.place(nr("openat")), Place::Move);
    assert_eq!(later.place(nr("open")), Place::Local);
    assert_eq!(table("local=all"), Table::ALL_LOCAL);
    assert_eq!(table("move=%net"), table("move=%network"));
}

#[test]
fn groups_leave_out_what_cannot_be() {
    let moved = table("move=all");
    assert_eq!(moved.place(nr("rt_sigreturn")), Place::Local);
    assert_eq!(moved.place(nr("sched_yield")), Place::Move);
    assert_eq!(moved.place(510), Place::Local);
    assert!(moved.native.is_empty());
    let native = table("local=all,native=%sched,%time");
    assert_eq!((native.moved, native.native), (CallSet::EMPTY, NATIVE));
    assert_eq!(
        table("move=all,native=all").moved,
        table("move=all").moved.without(NATIVE)
    );
}

#[test]
fn what_is_wrong_is_named() {
    let cases = [
        ("", "a name of a system call is missing"),
        ("local=", "a name of a system call is missing"),
        ("local=read,,write", "a name of a system call is missing"),
        ("local=read,", "a name of a system call is missing"),
        ("read", "'read' has no place before it: begin with local=, move= or native="),
        ("remote=read", "'remote' is not a place for system calls (local, move, native)"),
        ("=read", "'' is not a place for system calls (local, move, native)"),
        ("local=raed", "unknown system call 'raed'; did you mean 'read'?"),
        ("local=%fiel", "unknown group of system calls '%fiel'; did you mean '%file'?"),
        ("local=file", "unknown group of system calls 'file'; did you mean '%file'?"),
        ("local=All", "unknown system call 'All'; did you mean 'all'?"),
        ("move=a\x1bb", "unknown system call 'a?b'"),
        ("move=0", "unknown system call '0'"),
        (
            "native=read",
            "the LWK cannot carry out 'read' itself, only sched_yield, nanosleep, clock_nanosleep",
        ),
        (
            "native=%file",
            "the LWK cannot carry out '%file' itself, only sched_yield, nanosleep, clock_nanosleep",
        ),
        (
            "move=rt_sigreturn",
            "'rt_sigreturn' cannot be moved: it is the end of something that began where it is made",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(refusal(text), message, "{text}");
    }
    let mut table = Table::DEFAULT;
    assert_eq!(table.set(Place::Move, b"read,"), Err(CallError::Empty));
    assert_eq!(table.set(Place::Local, b"read,%memory"), Ok(()));
    assert_eq!(table.place(nr("read")), Place::Local);
}

#[test]
fn tables_from_outside_are_checked() {
    let set = |name| [nr(name)].into_iter().collect::<CallSet>();
    assert!(Table::new(set("read"), set("sched_yield")).is_some());
    assert!(Table::new(set("sched_yield"), set("sched_yield")).is_none());
    assert!(Table::new(set("rt_sigreturn"), CallSet::EMPTY).is_none());
    assert!(Table::new(CallSet::EMPTY, set("read")).is_none());
    // A tool may know calls that this kernel does not.
    assert!(Table::new([500].into_iter().collect(), CallSet::EMPTY).is_some());
}

#[test]
fn sets_hold_what_fits() {
    let mut set = CallSet::EMPTY;
    assert!(set.is_empty() && set.insert(0) && set.insert(64) && set.insert(511));
    assert!(!set.insert(512));
    assert_eq!(set.iter().collect::<Vec<_>>(), [0, 64, 511]);
    assert_eq!(
        set.words().map(|word| word.count_ones()),
        [1, 1, 0, 0, 0, 0, 0, 1]
    );
    set.remove(64);
    set.remove(512);
    assert_eq!(
        (set.len(), set.contains(64), set.contains(512)),
        (2, false, false)
    );
    assert_eq!(CallSet::FULL.len(), 512);
    assert!(format!("{set:?}").starts_with("CallSet"));
}

#[test]
fn suggestions_weigh_the_way_against_the_work() {
    let base = CallRecord {
        call: nr("read"),
        moved: 5000,
        travel_ns: 5000 * 8_000,
        linux_ns: 5000 * 500,
        longest_ns: 20_000,
        ..CallRecord::default()
    };
    let table = Table::DEFAULT;
    assert_eq!(suggestion(&base, &table), Some(Place::Local));
    let seldom = CallRecord { moved: 999, ..base };
    let waited = CallRecord {
        longest_ns: 900_000,
        ..base
    };
    let works = CallRecord {
        linux_ns: 5000 * 3_000,
        ..base
    };
    for record in [seldom, waited, works] {
        assert_eq!(suggestion(&record, &table), None, "{record:?}");
    }
    let local = CallRecord {
        moved: 0,
        local: 2,
        local_ns: 200_000,
        longest_ns: 150_000,
        ..base
    };
    assert_eq!(suggestion(&local, &Table::ALL_LOCAL), Some(Place::Move));
    let short = CallRecord {
        longest_ns: 99_999,
        ..local
    };
    let was_moved = CallRecord {
        longest_ns: 300_000,
        ..local
    };
    let futex = CallRecord {
        call: nr("futex"),
        ..local
    };
    for record in [short, was_moved, futex] {
        assert_eq!(suggestion(&record, &Table::ALL_LOCAL), None, "{record:?}");
    }
    let yields = CallRecord {
        call: nr("sched_yield"),
        local: 1000,
        ..CallRecord::default()
    };
    assert_eq!(suggestion(&yields, &Table::ALL_LOCAL), Some(Place::Native));
    assert_eq!(suggestion(&yields, &table), None);
}
