// SPDX-License-Identifier: GPL-2.0
//! Policies for memory and system calls, as options have them and as they cross the ABI.

use lwk::{changes_to, Batch, CallPolicy, Calls, Policies};
use lwk_logic::logic::error::Errno;
use lwk_logic::logic::locality::{listed, Place, Table};
use lwk_logic::logic::mempolicy::{Policy, RegionPolicy};
use lwk_logic::uapi::MemRegion;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::check_line;
use crate::driver::{damaged, fuzz};
use crate::memory::size;

fn select(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    proptest::sample::select(words)
}

fn scope() -> impl Strategy<Value = &'static str> {
    select(&["all", "dbss", "heap", "anon_private", "tstack", "stack"])
}

/// Settings of scopes, with values that are for some option.
pub(crate) fn settings() -> impl Strategy<Value = String> {
    let value = select(&[
        "4k",
        "2m",
        "1g",
        "nofault",
        "onefault",
        "normal",
        "interleave",
        "interleave:0,1",
        "bind:0",
        "preferred:1,63",
        "bind:64",
        "bind",
    ]);
    let setting = (scope(), value).prop_map(|(scope, value)| format!("{scope}:{value}"));
    vec(setting, 1..4).prop_map(|settings| settings.join("/"))
}

/// A list of calls and groups, or changes of places.
pub(crate) fn calls() -> impl Strategy<Value = String> {
    let item = select(&[
        "read",
        "write",
        "openat",
        "getcpu",
        "sched_yield",
        "mmap",
        "rt_sigreturn",
        "file_fault",
        "%file",
        "%desc",
        "%network",
        "%memory",
        "%sched",
        "%poll",
        "all",
        "raed",
    ]);
    let change = (select(&["local=", "move=", "native=", "", ""]), item);
    vec(
        change.prop_map(|(place, item)| format!("{place}{item}")),
        1..5,
    )
    .prop_map(|items| items.join(","))
}

type Setter = fn(&mut Policy, &[u8]) -> Result<(), lwk_logic::logic::mempolicy::OptionError>;

/// All options of a policy.
const SETTERS: [Setter; 5] = [
    Policy::set_max_pages,
    Policy::set_populate,
    Policy::set_placement,
    Policy::set_alignment,
    Policy::set_heap_step,
];

#[test]
fn memory_options() {
    let pair = (size(), size()).prop_map(|(from, align)| format!("{from}:{align}"));
    let text = prop_oneof![3 => settings(), 1 => size(), 1 => pair];
    fuzz("memory_options", damaged(text), |text| {
        for set in SETTERS {
            let mut policy = Policy::DEFAULT;
            match set(&mut policy, &text) {
                Ok(()) => {
                    let told = Policies::of(&policy);
                    let again = told.over(&Policy::DEFAULT);
                    prop_assert_eq!(
                        again.map_err(|error| error.error.to_string()),
                        Ok(policy),
                        "{}",
                        told
                    );
                    for region in policy.to_abi() {
                        prop_assert!(RegionPolicy::from_abi(&region).is_some(), "{:?}", region);
                    }
                }
                Err(error) => {
                    prop_assert_eq!(&policy, &Policy::DEFAULT);
                    check_line(&error.to_string())?;
                    prop_assert!(error.errno() > 0);
                }
            }
        }
        Ok(())
    });
}

#[test]
fn call_options() {
    fuzz("call_options", damaged(calls()), |text| {
        let mut table = Table::DEFAULT;
        match table.assign(&text) {
            Ok(()) => {
                let mut again = Table::DEFAULT;
                if let Some(changes) = changes_to(&table) {
                    prop_assert!(again.assign(changes.as_bytes()).is_ok(), "{}", changes);
                }
                prop_assert_eq!(again, table);
            }
            Err(error) => {
                prop_assert_eq!(table, Table::DEFAULT);
                check_line(&error.to_string())?;
            }
        }
        for place in Place::ALL {
            if let Err(error) = Table::DEFAULT.clone().set(place, &text) {
                check_line(&error.to_string())?;
            }
        }
        if let Err(error) = listed(&text) {
            check_line(&error.to_string())?;
        }
        if let Ok(text) = std::str::from_utf8(&text) {
            let calls = Calls {
                syscalls: Some(text.to_owned()),
                ..Calls::default()
            };
            if let Ok(policy) = calls.over(&CallPolicy::DEFAULT) {
                prop_assert_eq!(Calls::of(&policy).over(&CallPolicy::DEFAULT), Ok(policy));
            }
        }
        Ok(())
    });
}

#[test]
fn structures_and_times() {
    let word = || prop_oneof![3 => 0..20_u32, 1 => any::<u32>()];
    let region = (word(), word(), word(), 0..2_u32, any::<[u64; 3]>()).prop_map(
        |(order, flags, placement, reserved, rest)| {
            let [nodes, align_from, align] = rest;
            MemRegion {
                order,
                flags,
                placement,
                reserved,
                nodes,
                align_from,
                align: 1 << (align % 64),
            }
        },
    );
    let time = (any::<u32>(), select(&["ns", "us", "ms", "s", ""]))
        .prop_map(|(n, unit)| format!("{n}{unit}"));
    fuzz(
        "structures_and_times",
        (region, damaged(time)),
        |(region, text)| {
            if let Some(policy) = RegionPolicy::from_abi(&region) {
                prop_assert_eq!(RegionPolicy::from_abi(&policy.to_abi()), Some(policy));
            }
            if let Ok(text) = std::str::from_utf8(&text) {
                match text.parse::<Batch>() {
                    Ok(batch) => prop_assert_eq!(batch.to_string().parse(), Ok(batch)),
                    Err(line) => check_line(&line)?,
                }
            }
            Ok(())
        },
    );
}
