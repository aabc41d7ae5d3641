// SPDX-License-Identifier: GPL-2.0
//! Property tests of the policy code and of what the tools parse and choose: each compares with a model that is as
//! plain as can be, or checks rules that must hold.
//!
//! They are here and not beside the code, because proptest needs a newer compiler than the policy code may ask for.
//! This library holds what the tests share: plain sets, ways to make up CPU sets and texts, and machines.
#![forbid(unsafe_code)]

pub mod machine;

use lwk_logic::logic::cpuset::{CpuId, CpuSet};
use lwk_logic::uapi::MAX_CPUS;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// A set of CPU numbers as the models keep it.
pub type Plain = BTreeSet<u32>;

/// Returns CPU `number`, which the test knows to be in range.
///
/// # Panics
///
/// It is not.
pub fn cpu(number: u32) -> CpuId {
    CpuId::new(number).expect("a test uses a CPU number that is too high")
}

/// Returns the set with these CPUs.
pub fn set(plain: &Plain) -> CpuSet {
    plain.iter().map(|number| cpu(*number)).collect()
}

/// Returns the numbers of these CPUs.
pub fn plain(set: &CpuSet) -> Plain {
    set.iter().map(CpuId::get).collect()
}

/// Makes up a set: a few single CPUs and a few runs, anywhere up to the highest number.
pub fn any_plain() -> impl Strategy<Value = Plain> {
    let max = u32::try_from(MAX_CPUS).unwrap_or(u32::MAX);
    let run = (0..max, 0..150u32).prop_map(move |(first, len)| first..(first + len).min(max));
    (btree_set(0..max, 0..8), vec(run, 0..4)).prop_map(|(mut numbers, runs)| {
        numbers.extend(runs.into_iter().flatten());
        numbers
    })
}

/// Makes up a text that is close to the grammars of CPU lists and boot lines.
pub fn near_list() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => (0..20u32).prop_map(|number| number.to_string()),
        1 => any::<u64>().prop_map(|number| number.to_string()),
        4 => Just("-".to_string()),
        4 => Just(",".to_string()),
        2 => Just(":".to_string()),
        2 => Just("/".to_string()),
        1 => Just(".".to_string()),
        1 => Just(" ".to_string()),
        1 => Just("N".to_string()),
        1 => prop_oneof![Just("all"), Just("ALL"), Just("al")].prop_map(str::to_string),
        1 => "[!-~]",
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}
