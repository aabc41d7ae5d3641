// SPDX-License-Identifier: GPL-2.0
//! The suites. Each runs in a machine of its own, whose CPUs and boot line the runner's table gives under the same
//! name.
//!
//! Unless a suite says otherwise its machine has four CPUs and booted with `lwkcpus=0.2-3`.

mod abi;
mod boot;
mod calls;
mod cpusets;
mod deferral;
mod fuzz;
mod handover;
mod hotplug;
mod job;
mod kill;
mod lifetime;
mod limits;
mod memory;
mod noise;
mod noise_log;
mod offline;
mod pages;
mod partition;
mod sanity;
mod sched;
mod shared;
mod stop;
mod users;

use crate::harness::Suite;

/// The LWK CPUs of a usual test machine.
const LWK: [usize; 2] = [2, 3];

/// Every suite.
pub(crate) const SUITES: &[Suite] = &[
    Suite {
        name: "boot-good",
        cases: boot::GOOD,
    },
    Suite {
        name: "boot-bad",
        cases: boot::BAD,
    },
    Suite {
        name: "boot-armed",
        cases: boot::ARMED,
    },
    Suite {
        name: "boot-off",
        cases: boot::OFF,
    },
    Suite {
        name: "job",
        cases: job::CASES,
    },
    Suite {
        name: "lifetime",
        cases: lifetime::CASES,
    },
    Suite {
        name: "abi",
        cases: abi::CASES,
    },
    Suite {
        name: "sanity",
        cases: sanity::CASES,
    },
    Suite {
        name: "sched",
        cases: sched::CASES,
    },
    Suite {
        name: "lone",
        cases: sched::LONE,
    },
    Suite {
        name: "smt",
        cases: sched::SMT,
    },
    Suite {
        name: "hotplug",
        cases: hotplug::CASES,
    },
    Suite {
        name: "noise",
        cases: noise::CASES,
    },
    Suite {
        name: "watched",
        cases: noise::WATCHED,
    },
    Suite {
        name: "noise-log",
        cases: noise_log::CASES,
    },
    Suite {
        name: "deferral",
        cases: deferral::CASES,
    },
    Suite {
        name: "partition",
        cases: partition::CASES,
    },
    Suite {
        name: "wide",
        cases: partition::WIDE,
    },
    Suite {
        name: "memory",
        cases: memory::CASES,
    },
    Suite {
        name: "pages",
        cases: pages::CASES,
    },
    Suite {
        name: "shared",
        cases: shared::CASES,
    },
    Suite {
        name: "limits",
        cases: limits::CASES,
    },
    Suite {
        name: "poison",
        cases: pages::POISON,
    },
    Suite {
        name: "memory-boot",
        cases: memory::BOOT,
    },
    Suite {
        name: "memory-boot-bad",
        cases: memory::BOOT_BAD,
    },
    Suite {
        name: "calls",
        cases: calls::CASES,
    },
    Suite {
        name: "calls-tasks",
        cases: calls::tasks::CASES,
    },
    Suite {
        name: "calls-cpus",
        cases: calls::cpus::CASES,
    },
    Suite {
        name: "calls-quiet",
        cases: calls::quiet::CASES,
    },
    Suite {
        name: "calls-storm",
        cases: calls::storm::CASES,
    },
    Suite {
        name: "kill",
        cases: kill::CASES,
    },
    Suite {
        name: "users",
        cases: users::CASES,
    },
    Suite {
        name: "fuzz",
        cases: fuzz::CASES,
    },
];
