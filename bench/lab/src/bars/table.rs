// SPDX-License-Identifier: GPL-2.0
//! The bars of `docs/design.md`, with the rows that they read.

use bench_record::results::Figures;
use bench_record::Place;

use super::{Bar, Exception, Growth, Measure, Other, Per, Rule, Select};

/// Entries in the whole window.
const ENTRIES: Measure = Measure {
    name: "kernel entries",
    of: |figures| Some(figures.entries),
    per: Per::Window,
};

/// Entries of one operation.
const ENTRIES_EACH: Measure = Measure {
    name: "kernel entries",
    of: |figures| Some(figures.entries),
    per: Per::Operation,
};

/// Faults of the program's threads in the whole window.
const FAULTS: Measure = Measure {
    name: "faults",
    of: |figures| figures.usage.map(|usage| usage.faults),
    per: Per::Window,
};

/// Kernel instructions of one operation on the place's CPUs.
const KERNEL: Measure = Measure {
    name: "kernel instructions",
    of: |figures| Some(figures.kernel),
    per: Per::Operation,
};

/// Instructions of one operation in both modes, on all CPUs.
const ALL: Measure = Measure {
    name: "instructions",
    of: all,
    per: Per::Operation,
};

/// Everything that a row's operations cost.
fn all(figures: &Figures) -> Option<u64> {
    Some(figures.user + figures.kernel + figures.kernel_elsewhere)
}

/// Picks benchmarks in all their variants.
const fn of(suite: &'static str, benches: &'static [&'static str]) -> Select {
    Select {
        suite,
        benches,
        except: &[],
        variants: &["*"],
    }
}

const NONE: &[Exception] = &[];

/// Every bar, in the order of the document.
pub(crate) const BARS: &[Bar] = &[
    Bar {
        name: "no-noise",
        promise: "kernel entries on a computing LWK CPU while Linux is quiet or other processes disturb it: none",
        rows: Select {
            suite: "noise",
            benches: &["*"],
            except: &["same-*"],
            variants: &["*"],
        },
        exceptions: NONE,
        rule: Rule::AtMost(ENTRIES, 0),
    },
    Bar {
        name: "sibling-noise",
        promise: "the same while a thread of the same process disturbs it: never more than on a tuned Linux CPU",
        rows: of("noise", &["same-*"]),
        exceptions: NONE,
        rule: Rule::NotAboveTuned(ENTRIES, 0),
    },
    Bar {
        name: "no-faults",
        promise: "faults of a job after its start in private anonymous memory: none",
        rows: of("memory", &["job-touch*"]),
        exceptions: NONE,
        rule: Rule::AtMost(FAULTS, 0),
    },
    Bar {
        name: "map-and-touch",
        promise: "map and touch 1 GiB: at most a twentieth of the kernel instructions with pages of 4 KiB",
        rows: of("memory", &["map-touch-1g"]),
        exceptions: NONE,
        rule: Rule::Hundredths(
            KERNEL,
            5,
            Other {
                bench: "map-touch-1g",
                variant: "4KiB",
                place: Place::Linux,
            },
        ),
    },
    Bar {
        name: "local-call",
        promise: "local system call while the job moves none: not above a tuned Linux CPU",
        rows: of("syscall", &["entry"]),
        exceptions: NONE,
        rule: Rule::NotAboveTuned(KERNEL, 0),
    },
    Bar {
        name: "local-call-in-moving-job",
        promise: "local system call in a job that moves some: at most 100 instructions above a tuned Linux CPU",
        rows: of("syscall", &["entry-moving"]),
        exceptions: NONE,
        rule: Rule::NotAboveTuned(KERNEL, 100),
    },
    Bar {
        name: "moved-call",
        promise: "moved system call: at most 4000 kernel instructions on the LWK CPU, there and back",
        rows: of("syscall", &["moved*"]),
        exceptions: NONE,
        rule: Rule::AtMost(KERNEL, 4000),
    },
    Bar {
        name: "thread-start-and-wake",
        promise: "thread creation with its first run on another CPU, futex wake to run: below a tuned Linux CPU",
        rows: of("thread", &["create-join", "wake"]),
        exceptions: NONE,
        rule: Rule::BelowTuned(ALL),
    },
    Bar {
        name: "launch",
        promise: "`yod true` over `true`: at most 1.2 times the instructions",
        rows: of("launch", &["yod-true"]),
        exceptions: NONE,
        rule: Rule::Hundredths(
            ALL,
            120,
            Other {
                bench: "true",
                variant: "",
                place: Place::Linux,
            },
        ),
    },
    Bar {
        name: "partition-change",
        promise: "creating and deleting a partition of one CPU disturbs others at most once each",
        rows: of("partition", &["others*"]),
        exceptions: NONE,
        rule: Rule::AtMost(ENTRIES_EACH, 1),
    },
    Bar {
        name: "64-cpus",
        promise: "64 CPUs: partition, launch and placement cost no more for each CPU than with 8",
        rows: of("scaling", &["*"]),
        exceptions: NONE,
        rule: Rule::NoGrowth(
            ALL,
            Growth {
                small: ("scaling-8", 8),
                large: ("scaling-64", 64),
            },
        ),
    },
];
