// SPDX-License-Identifier: GPL-2.0
//! Placement of threads against its rule in one line.

use host_tests::{any_plain, cpu, set};
use lwk_logic::logic::place::place;
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn least_loaded_then_nearest_from_the_previous_cpu_upwards(
        allowed in any_plain(),
        prev in 0..1024u32,
        busy in 0..4u32,
        seed: u32,
    ) {
        // With `busy` 0 all are idle, else few or none.
        let load_of = |n: u32| (n.wrapping_mul(0x9e37_79b1) ^ seed).rotate_left(9) % 5 * busy.min(1) + busy / 2;
        let asked = RefCell::new(BTreeMap::new());
        let load = |id: lwk_logic::logic::cpuset::CpuId| {
            *asked.borrow_mut().entry(id.get()).or_insert(0u32) += 1;
            load_of(id.get())
        };
        let found = place(&set(&allowed), cpu(prev), load);

        let distance = |n: u32| (n + 1024 - prev) % 1024;
        let expected = allowed.iter().copied().min_by_key(|n| (load_of(*n), distance(*n)));
        prop_assert_eq!(found.map(|id| id.get()), expected);

        let is_idle = |n: &u32| load_of(*n) == 0;
        if allowed.iter().any(is_idle) {
            prop_assert!(found.is_some_and(|id| is_idle(&id.get())));
        }
        prop_assert!(asked.borrow().iter().all(|(n, times)| *times == 1 && allowed.contains(n)));
    }
}
