// SPDX-License-Identifier: GPL-2.0
//! The cpulist grammar against a parser that works by cutting strings.

use host_tests::{any_plain, near_list, plain, set, Plain};
use lwk_logic::logic::cpuset::CpuSet;
use lwk_logic::logic::error::Errno;
use proptest::prelude::*;

/// Reads a number the plain way.
fn number(text: &str, nr_cpus: u32) -> Option<u32> {
    if text == "N" {
        return Some(nr_cpus - 1);
    }
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// Reads one element the plain way.
fn element(text: &str, nr_cpus: u32) -> Option<Plain> {
    let (range, stride) = match text.split_once(':') {
        Some((range, stride)) => (range, Some(stride)),
        None => (text, None),
    };
    let (first, last) = match range.split_once('-') {
        Some((first, last)) => (number(first, nr_cpus)?, number(last, nr_cpus)?),
        None if range.eq_ignore_ascii_case("all") => (0, nr_cpus - 1),
        None if stride.is_some() => return None,
        None => (number(range, nr_cpus)?, number(range, nr_cpus)?),
    };
    let (used, group) = match stride.map(|stride| stride.split_once('/')) {
        Some(Some((used, group))) => (number(used, nr_cpus)?, number(group, nr_cpus)?),
        Some(None) => return None,
        None => (1, 1),
    };
    if first > last || last >= nr_cpus || used == 0 || used > group {
        return None;
    }
    Some(
        (first..=last)
            .filter(|n| (n - first) % group < used)
            .collect(),
    )
}

/// Reads a list the plain way.
fn list(text: &str, nr_cpus: u32) -> Option<Plain> {
    if text.trim().is_empty() {
        return Some(Plain::new());
    }
    let elements = text.split(',').map(|part| element(part.trim(), nr_cpus));
    elements
        .collect::<Option<Vec<_>>>()
        .map(|sets| sets.into_iter().flatten().collect())
}

/// Prints a set the plain way, one step for each possible CPU.
fn printed(numbers: &Plain) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let run = |(first, last): &(u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    runs.iter().map(run).collect::<Vec<_>>().join(",")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn print_and_parse_are_inverse(numbers in any_plain()) {
        let text = set(&numbers).to_string();
        prop_assert_eq!(&text, &printed(&numbers));
        prop_assert_eq!(format!("{:?}", set(&numbers)), text.clone());
        prop_assert_eq!(text.parse::<CpuSet>(), Ok(set(&numbers)));
    }

    #[test]
    fn a_set_is_refused_exactly_if_the_machine_is_too_small(numbers in any_plain(), nr_cpus in 1..1100u32) {
        let fits = numbers.last().is_none_or(|last| *last < nr_cpus);
        let found = CpuSet::parse(set(&numbers).to_string().as_bytes(), nr_cpus);
        prop_assert_eq!(found.is_ok(), fits);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn same_verdict_as_the_plain_parser(text in near_list(), nr_cpus in 1..24u32) {
        let found = CpuSet::parse(text.as_bytes(), nr_cpus);
        prop_assert_eq!(found.ok().map(|set| plain(&set)), list(&text, nr_cpus), "{:?} of {}", text, nr_cpus);
    }

    #[test]
    fn strides_are_understood(
        first in 0..40u32, len in 0..40u32, used in 0..12u32, group in 0..12u32, nr_cpus in 1..80u32
    ) {
        let text = format!("{first}-{}:{used}/{group}", first + len);
        let found = CpuSet::parse(text.as_bytes(), nr_cpus);
        prop_assert_eq!(found.ok().map(|set| plain(&set)), list(&text, nr_cpus), "{}", text);
    }

    #[test]
    fn any_bytes_give_a_set_or_one_line(text: Vec<u8>, nr_cpus: u32) {
        match CpuSet::parse(&text, nr_cpus) {
            Ok(set) => prop_assert!(set.last().is_none_or(|last| last.get() < nr_cpus.max(1))),
            Err(error) => {
                let line = error.to_string();
                prop_assert!(line.len() < 120 && !line.contains(char::is_control), "{}", line);
                prop_assert!(error.errno() > 0);
            }
        }
    }
}
