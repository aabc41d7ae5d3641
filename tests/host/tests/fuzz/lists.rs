// SPDX-License-Identifier: GPL-2.0
//! CPU lists, and the boot line with them.

use host_tests::{any_plain, near_list, set};
use lwk::CpuList;
use lwk_logic::logic::bootline::BootSpec;
use lwk_logic::logic::cpuset::CpuSet;
use lwk_logic::logic::error::Errno;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::check_line;
use crate::driver::{damaged, fuzz};

/// A list as the kernel reads it.
pub(crate) fn list() -> impl Strategy<Value = String> {
    let stride = (0..200_u32, 0..200_u32, 1..20_u32, 1..20_u32)
        .prop_map(|(first, len, used, group)| format!("{first}-{}:{used}/{group}", first + len));
    prop_oneof![
        3 => any_plain().prop_map(|plain| set(&plain).to_string()),
        1 => near_list(),
        1 => stride,
        1 => proptest::sample::select(&["all", "0-N", "N", "", " 1 , 2 "][..]).prop_map(str::to_owned),
    ]
}

/// A boot line.
fn line() -> impl Strategy<Value = String> {
    let group = (prop::option::of(0..16_u32), list()).prop_map(|(service, list)| match service {
        Some(service) => format!("{service}.{list}"),
        None => list,
    });
    vec(group, 0..4).prop_map(|groups| groups.join(":"))
}

#[test]
fn cpu_lists() {
    fuzz(
        "cpu_lists",
        (damaged(list()), 0..1100_u32),
        |(text, nr_cpus)| {
            match CpuSet::parse(&text, nr_cpus) {
                Ok(found) => {
                    prop_assert!(found.last().is_none_or(|last| last.get() < nr_cpus.max(1)));
                    prop_assert_eq!(found.to_string().parse::<CpuSet>(), Ok(found));
                }
                Err(error) => {
                    check_line(&error.to_string())?;
                    prop_assert!(error.errno() > 0);
                }
            }
            if let Ok(text) = std::str::from_utf8(&text) {
                match text.parse::<CpuList>() {
                    Ok(list) => {
                        let found = list.resolve(nr_cpus).ok();
                        prop_assert_eq!(found, CpuSet::parse(text.as_bytes(), nr_cpus).ok());
                    }
                    Err(error) => check_line(&error.to_string())?,
                }
            }
            Ok(())
        },
    );
}

#[test]
fn boot_lines() {
    fuzz(
        "boot_lines",
        (damaged(line()), 1..1100_u32),
        |(text, nr_cpus)| {
            let mut spec = BootSpec::EMPTY;
            // What was asked for before must not be left.
            spec.parse_into(b"3.4-5:6:7.", 16).expect("a good line");
            match spec.parse_into(&text, nr_cpus) {
                Ok(()) => {
                    let mut again = BootSpec::EMPTY;
                    let printed = spec.to_string();
                    prop_assert_eq!(
                        again.parse_into(printed.as_bytes(), nr_cpus),
                        Ok(()),
                        "{}",
                        printed
                    );
                    prop_assert_eq!(&again, &spec);
                    prop_assert!(!spec.cpus().intersects(spec.service()));
                    let possible = CpuSet::parse(b"0-7", 8).expect("a good list");
                    if let Err(error) = spec.check(&possible, host_tests::cpu(0)) {
                        check_line(&error.to_string())?;
                    }
                }
                Err(error) => {
                    prop_assert_eq!(&spec, &BootSpec::EMPTY);
                    check_line(&error.to_string())?;
                    prop_assert!(error.errno() > 0);
                }
            }
            Ok(())
        },
    );
}
