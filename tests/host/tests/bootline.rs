// SPDX-License-Identifier: GPL-2.0
//! The boot parameter: lines made from a known answer, and lines made of anything.

use host_tests::{cpu, near_list, set, Plain};
use lwk_logic::logic::bootline::{BootError, BootSpec};
use lwk_logic::logic::cpuset::CpuSet;
use lwk_logic::logic::error::Errno;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// CPUs of the machine that the lines are about.
const NR_CPUS: u32 = 80;

/// CPUs below this may be service CPUs, the others LWK CPUs.
const NR_SERVICE: u32 = 8;

/// A known answer: LWK CPUs with their service CPU, and service CPUs for nobody.
#[derive(Debug, Clone)]
struct Known {
    served_by: BTreeMap<u32, Option<u32>>,
    idle: Plain,
}

impl Known {
    /// Returns the LWK CPUs of one service CPU, or those without one.
    fn served(&self, service: Option<u32>) -> Plain {
        let of_service = self.served_by.iter().filter(|(_, by)| **by == service);
        of_service.map(|(number, _)| *number).collect()
    }

    /// Returns all service CPUs.
    fn service(&self) -> Plain {
        self.served_by
            .values()
            .flatten()
            .chain(&self.idle)
            .copied()
            .collect()
    }

    /// Returns the groups of a line that says it, each as large as can be.
    fn groups(&self) -> Vec<String> {
        let text = |(left, cpus): (String, Plain)| format!("{left}{}", set(&cpus));
        self.rows().map(text).chain(self.idle_group()).collect()
    }

    /// Returns the groups of a line that says it, each with one LWK CPU.
    fn single_groups(&self) -> Vec<String> {
        let single = |(left, cpus): (String, Plain)| {
            let cpus = cpus.into_iter();
            cpus.map(move |number| format!("{left}{number}"))
        };
        self.rows()
            .flat_map(single)
            .chain(self.idle_group())
            .collect()
    }

    /// Returns what comes before the list of a group, with the CPUs of its list.
    fn rows(&self) -> impl Iterator<Item = (String, Plain)> + '_ {
        let left = |number: u32| format!("{number}.");
        let services = (0..NR_SERVICE).map(Some).chain([None]);
        services
            .map(move |by| (by.map_or(String::new(), left), self.served(by)))
            .filter(|(_, cpus)| !cpus.is_empty())
    }

    /// Returns the group of the service CPUs for nobody, if there are any.
    fn idle_group(&self) -> Option<String> {
        (!self.idle.is_empty()).then(|| format!("{}.", set(&self.idle)))
    }
}

/// Makes up an answer with at least one LWK CPU.
fn known() -> impl Strategy<Value = Known> {
    let entry = (NR_SERVICE..NR_CPUS, prop::option::of(0..NR_SERVICE));
    let idle = prop::collection::btree_set(0..NR_SERVICE, 0..3);
    (vec(entry, 1..40), idle).prop_map(|(entries, idle)| Known {
        served_by: entries.into_iter().collect(),
        idle,
    })
}

/// Parses into a spec that held something else, and returns what it holds then.
fn parse(text: &str) -> (BootSpec, Result<(), BootError>) {
    let mut spec = BootSpec::EMPTY;
    spec.parse_into(b"3.4-5:6:7.", NR_CPUS)
        .expect("a good line");
    let result = spec.parse_into(text.as_bytes(), NR_CPUS);
    (spec, result)
}

/// Checks what holds for every spec, and that it is printed and read back.
fn check_spec(spec: &BootSpec) -> Result<(), TestCaseError> {
    prop_assert!(!spec.cpus().intersects(spec.service()));
    prop_assert!(!spec.is_empty() || spec.service().is_empty());
    for number in 0..NR_CPUS {
        let service = spec.service_of(cpu(number));
        prop_assert!(service.is_none() || spec.cpus().contains(cpu(number)));
        prop_assert!(service.is_none_or(|id| spec.service().contains(id)));
    }
    prop_assert_eq!(parse(&spec.to_string()), (spec.clone(), Ok(())));
    Ok(())
}

proptest! {
    #[test]
    fn lines_mean_what_they_say(known in known(), split: bool, order in any::<prop::sample::Index>()) {
        let mut groups = if split { known.single_groups() } else { known.groups() };
        let middle = order.index(groups.len());
        groups.rotate_left(middle);
        let (spec, result) = parse(&groups.join(":"));
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(*spec.cpus(), set(&known.served_by.keys().copied().collect()));
        prop_assert_eq!(*spec.service(), set(&known.service()));
        for number in 0..NR_CPUS {
            let expected = known.served_by.get(&number).copied().flatten();
            prop_assert_eq!(spec.service_of(cpu(number)), expected.map(cpu));
        }
        check_spec(&spec)?;
    }

    #[test]
    fn a_cpu_named_twice_is_refused(known in known(), which in any::<prop::sample::Index>()) {
        let numbers: Vec<u32> = known.served_by.keys().copied().collect();
        let twice = *which.get(&numbers);
        let mut groups = known.groups();
        groups.push(twice.to_string());
        let expected = (BootSpec::EMPTY, Err(BootError::Twice(cpu(twice))));
        prop_assert_eq!(parse(&groups.join(":")), expected);
        if let Some(last) = groups.last_mut() {
            last.push('.');
        }
        let expected = (BootSpec::EMPTY, Err(BootError::LwkAndService(cpu(twice))));
        prop_assert_eq!(parse(&groups.join(":")), expected);
    }

    #[test]
    fn the_machine_keeps_its_boot_cpu_and_has_all_others(
        known in known(), nr_possible in 1..NR_CPUS + 1, boot in 0..NR_CPUS
    ) {
        let (spec, result) = parse(&known.groups().join(":"));
        prop_assert_eq!(result, Ok(()));
        let possible = CpuSet::range(cpu(0), cpu(nr_possible - 1));
        let has_all = spec.cpus().union(spec.service()).is_subset(&possible);
        let leaves_one = !possible.difference(spec.cpus()).is_empty();
        let keeps_boot = !spec.cpus().contains(cpu(boot));
        let found = spec.check(&possible, cpu(boot));
        prop_assert_eq!(found.is_ok(), has_all && leaves_one && keeps_boot, "{:?}", found);
        prop_assert_eq!(matches!(found, Err(BootError::NoSuchCpu { .. })), !has_all);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn lines_close_to_the_grammar_give_a_sound_spec_or_one_line(text in near_list()) {
        let (spec, result) = parse(&text);
        check_spec(&spec)?;
        match result {
            Ok(()) => prop_assert_eq!(spec.is_empty(), text.trim().is_empty()),
            Err(error) => {
                prop_assert!(spec == BootSpec::EMPTY);
                let line = error.to_string();
                prop_assert!(line.len() < 120 && !line.contains(char::is_control), "{}", line);
                prop_assert!(error.errno() > 0);
            }
        }
    }

    #[test]
    fn any_bytes_are_survived(text: Vec<u8>, nr_cpus: u32) {
        let mut spec = BootSpec::EMPTY;
        if spec.parse_into(&text, nr_cpus).is_err() {
            prop_assert!(spec == BootSpec::EMPTY);
        }
    }
}
