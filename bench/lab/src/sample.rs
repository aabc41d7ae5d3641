// SPDX-License-Identifier: GPL-2.0
//! What the parts of the lab would say of two small windows, for tests.

use std::collections::BTreeMap;

use bench_record::counts::{Counts, Vcpu, Window as Counted};
use bench_record::report::{self, Key, Missing, Report, Subject, Usage, Why, Window};
use bench_record::results::{Kind, Results, SCHEMA};
use bench_record::{Place, Site};

use crate::attribution::Attribution;

/// CPUs of a place.
fn cpus(place: Place) -> Vec<u32> {
    match place {
        Place::Linux => vec![1, 2],
        Place::Tuned => vec![3, 4],
        Place::Lwk => vec![5, 6],
    }
}

/// A key without a variant.
fn key(suite: &str, bench: &str) -> Key {
    Key {
        suite: suite.to_owned(),
        bench: bench.to_owned(),
        variant: String::new(),
    }
}

/// A report of two windows: one of all places at once, one of the LWK alone.
pub(crate) fn report() -> Report {
    let subject = |place| Subject {
        place,
        cpus: cpus(place),
        usage: Some(Usage {
            faults: 1,
            switches: 2,
        }),
    };
    Report {
        schema: report::SCHEMA,
        kind: Kind::Counted,
        kernel: "6.12.117".to_owned(),
        boot_line: "lwkcpus=0.5-6".to_owned(),
        sites: Place::ALL
            .map(|place| Site {
                place,
                cpus: cpus(place),
                tuning: vec![],
            })
            .to_vec(),
        windows: vec![
            Window {
                key: key("noise", "fork-storm"),
                iterations: 1,
                subjects: Place::ALL.map(subject).to_vec(),
                times_ns: vec![],
                instructions: None,
            },
            Window {
                key: key("syscall", "getppid"),
                iterations: 1000,
                subjects: vec![subject(Place::Lwk)],
                times_ns: vec![],
                instructions: None,
            },
        ],
        missing: vec![Missing {
            key: key("syscall", "getppid-moved"),
            place: Some(Place::Lwk),
            why: Why::NotBuilt,
        }],
    }
}

/// What a vCPU did.
fn vcpu(user: u64, kernel: u64, entries: u64, cause: &str) -> Vcpu {
    let causes = (entries > 0).then(|| (cause.to_owned(), entries));
    Vcpu {
        user,
        kernel,
        entries,
        longest: kernel / entries.max(1),
        stays: match entries {
            0 => vec![],
            _ => vec![0, 0, entries],
        },
        causes: causes.into_iter().collect(),
        ..Vcpu::default()
    }
}

/// The counts of these two windows on seven vCPUs.
pub(crate) fn counts() -> Counts {
    const TIMER: &str = "asm_sysvec_apic_timer_interrupt";
    const CALL: &str = "entry_SYSCALL_64";
    let window = |of: fn(u32) -> Vcpu| Counted {
        vcpus: (0..7).map(of).collect(),
        stacks: BTreeMap::new(),
    };
    Counts {
        windows: vec![
            window(|cpu| match cpu {
                0 => vcpu(10, 5000, 3, CALL),
                1 | 2 => vcpu(50_000, 4000, 20, TIMER),
                3 | 4 => vcpu(50_000, 700, 2, TIMER),
                _ => vcpu(50_000, 0, 0, ""),
            }),
            window(|cpu| match cpu {
                0 => vcpu(0, 300, 0, ""),
                5 => vcpu(9000, 120_000, 1000, CALL),
                _ => Vcpu::default(),
            }),
        ],
        errors: vec![],
    }
}

/// What is made of both.
pub(crate) fn results() -> Results {
    let mut rows = crate::join::join("micro", &report(), &counts())
        .expect("they match")
        .rows;
    crate::store::sort(&mut rows).expect("names are unique");
    let conditions = [("QEMU", "7.2"), ("boot line micro", "lwkcpus=0.5-6")];
    Results {
        schema: SCHEMA,
        kind: Kind::Counted,
        conditions: conditions
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        rows,
    }
}

/// Where the instructions of a row went.
pub(crate) fn attribution() -> Attribution {
    let stacks = [
        ("asm_exc_page_fault;handle_mm_fault", 250),
        ("asm_exc_page_fault;handle_mm_fault;clear_page_erms", 700),
        ("asm_exc_page_fault", 50),
    ];
    Attribution {
        machine: "micro".to_owned(),
        key: key("memory", "touch"),
        place: Place::Lwk,
        functions: BTreeMap::new(),
        stacks: stacks
            .map(|(stack, count)| (stack.to_owned(), count))
            .into(),
    }
}
