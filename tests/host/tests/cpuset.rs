// SPDX-License-Identifier: GPL-2.0
//! CPU sets against ordered sets of numbers.

use host_tests::{any_plain, cpu, plain, set, Plain};
use lwk_logic::logic::cpuset::CpuSet;
use proptest::prelude::*;

proptest! {
    #[test]
    fn holds_what_was_put_in(numbers in any_plain()) {
        let found = set(&numbers);
        prop_assert_eq!(plain(&found), numbers.clone());
        prop_assert!(found.iter().zip(found.iter().skip(1)).all(|(low, high)| low < high));
        prop_assert_eq!(found.len() as usize, numbers.len());
        prop_assert_eq!(found.is_empty(), numbers.is_empty());
        prop_assert_eq!(found.first(), numbers.first().map(|number| cpu(*number)));
        prop_assert_eq!(found.last(), numbers.last().map(|number| cpu(*number)));
        prop_assert_eq!(CpuSet::from_words(found.words()), Ok(found));
    }

    #[test]
    fn algebra_is_that_of_sets(a in any_plain(), b in any_plain()) {
        let (x, y) = (set(&a), set(&b));
        prop_assert_eq!(plain(&x.union(&y)), &a | &b);
        prop_assert_eq!(plain(&x.intersection(&y)), &a & &b);
        prop_assert_eq!(plain(&x.difference(&y)), &a - &b);
        prop_assert_eq!(x.is_subset(&y), a.is_subset(&b));
        prop_assert!(x.intersection(&y).is_subset(&y));
        prop_assert_eq!(x.intersects(&y), !a.is_disjoint(&b));
        prop_assert_eq!(x == y, a == b);
    }

    #[test]
    fn insert_and_remove_tell_the_truth(steps in prop::collection::vec((any::<bool>(), 0..1024u32), 0..200)) {
        let (mut found, mut model) = (CpuSet::EMPTY, Plain::new());
        for (is_insert, number) in steps {
            // Few enough numbers that some meet twice, spread over several words.
            let number = number / 16 * 16;
            if is_insert {
                prop_assert_eq!(found.insert(cpu(number)), model.insert(number));
            } else {
                prop_assert_eq!(found.remove(cpu(number)), model.remove(&number));
            }
            prop_assert_eq!(found.contains(cpu(number)), is_insert);
        }
        prop_assert_eq!(plain(&found), model);
    }

    #[test]
    fn ranges_have_all_between(first in 0..1024u32, last in 0..1024u32) {
        let expected: Plain = (first..=last).collect();
        prop_assert_eq!(plain(&CpuSet::range(cpu(first), cpu(last))), expected);
    }
}
