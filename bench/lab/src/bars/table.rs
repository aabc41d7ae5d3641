// SPDX-License-Identifier: GPL-2.0
//! The bars of `docs/design.md`, with the rows that they read.

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

/// Entries by page faults in the whole window; pages that a call maps are no faults of the program.
const FAULTS: Measure = Measure {
    name: "page faults",
    of: |figures| {
        Some(
            figures
                .causes
                .get("asm_exc_page_fault")
                .copied()
                .unwrap_or(0),
        )
    },
    per: Per::Window,
};

/// Kernel instructions of one operation on the place's CPUs.
const KERNEL: Measure = Measure {
    name: "kernel instructions",
    of: |figures| Some(figures.kernel),
    per: Per::Operation,
};

/// Instructions of one operation in both modes on the place's CPUs.
const ON_PLACE: Measure = Measure {
    name: "instructions",
    of: |figures| Some(figures.user + figures.kernel),
    per: Per::Operation,
};

/// Instructions of one operation in both modes, on all CPUs.
const ALL: Measure = Measure {
    name: "instructions",
    of: |figures| Some(figures.user + figures.kernel + figures.kernel_elsewhere),
    per: Per::Operation,
};

/// Picks benchmarks and their variants, without the window that has nothing in it.
const fn pick(
    suite: &'static str,
    benches: &'static [&'static str],
    variants: &'static [&'static str],
) -> Select {
    Select {
        suite,
        benches,
        except: &["empty"],
        variants,
        except_variants: &[],
    }
}

/// Another benchmark of the suite on stock Linux CPUs.
const fn on_linux(bench: &'static str, variant: &'static str) -> Other {
    Other {
        bench,
        variant,
        place: Place::Linux,
    }
}

const NONE: &[Exception] = &[];

/// Benchmarks of several calls.
const MOVED: &[Exception] = &[
    several("brk", 3, "three calls"),
    several("getdents", 3, "three calls"),
    several("mprotect", 2, "two calls"),
    several("socket-send", 2, "two calls"),
];

/// What so many moved calls may take.
const fn several(bench: &'static str, calls: u64, why: &'static str) -> Exception {
    Exception {
        bench,
        max: calls * 4000,
        why,
    }
}

/// Every bar, in the order of the document.
pub(crate) const BARS: &[Bar] = &[
    Bar {
        name: "no-noise",
        promise: "kernel entries on a computing LWK CPU while Linux is quiet or other processes disturb it: none",
        rows: Select {
            suite: "noise",
            benches: &["*"],
            except: &["empty"],
            variants: &["*"],
            // Who counts on all CPUs means this one, too.
            except_variants: &["same-process*", "all-cpus"],
        },
        exceptions: NONE,
        rule: Rule::AtMost(ENTRIES, 0),
    },
    Bar {
        name: "sibling-noise",
        promise: "the same while a thread of the same process disturbs it: never more than on a tuned Linux CPU",
        rows: pick("noise", &["*"], &["same-process*"]),
        exceptions: NONE,
        rule: Rule::NotAboveTuned(ENTRIES, 0),
    },
    Bar {
        name: "no-faults",
        promise: "faults of a job after its start in private anonymous memory: none",
        rows: pick("memory", &["touch", "map-touch"], &["2MiB-pool", "64MiB-pool", "1GiB-pool"]),
        exceptions: NONE,
        rule: Rule::AtMost(FAULTS, 0),
    },
    Bar {
        name: "map-and-touch",
        promise: "map and touch 1 GiB: at most a twentieth of the kernel instructions with pages of 4 KiB",
        rows: pick("memory", &["map-touch"], &["1GiB-pool"]),
        exceptions: NONE,
        rule: Rule::Hundredths(KERNEL, 5, on_linux("map-touch", "1GiB-4KiB")),
    },
    Bar {
        name: "map-and-touch-thp",
        promise: "map and touch 1 GiB: less than with transparent huge pages",
        rows: pick("memory", &["map-touch"], &["1GiB-pool"]),
        exceptions: NONE,
        rule: Rule::Below(KERNEL, on_linux("map-touch", "1GiB-thp")),
    },
    Bar {
        name: "local-call",
        promise: "local system call while the job moves none: not above a tuned Linux CPU",
        rows: pick("syscall", &["*"], &["", "local"]),
        exceptions: NONE,
        rule: Rule::NotAboveTuned(KERNEL, 0),
    },
    Bar {
        name: "local-call-in-moving-job",
        promise: "local system call in a job that moves some: at most 100 instructions above a tuned Linux CPU",
        rows: pick("syscall", &["*"], &["local-in-moving-job"]),
        exceptions: NONE,
        rule: Rule::NotAboveTuned(KERNEL, 100),
    },
    Bar {
        name: "moved-call",
        promise: "moved system call: at most 4000 kernel instructions on the LWK CPU, there and back",
        rows: pick("syscall", &["*"], &["moved"]),
        exceptions: MOVED,
        rule: Rule::AtMost(KERNEL, 4000),
    },
    Bar {
        name: "thread-start",
        promise: "thread creation, first run on another CPU and end: below a tuned Linux CPU",
        rows: pick("thread", &["create", "create-join"], &[""]),
        exceptions: NONE,
        rule: Rule::BelowTuned(ON_PLACE),
    },
    Bar {
        name: "futex-wake",
        promise: "futex wake to run on another CPU: below a tuned Linux CPU",
        rows: pick("thread", &["futex-wake"], &["cross-cpu"]),
        exceptions: NONE,
        rule: Rule::BelowTuned(ON_PLACE),
    },
    Bar {
        name: "launch",
        promise: "`yod true` over `true`: at most 1.2 times the instructions",
        rows: pick("launch", &["true"], &["1cpu"]),
        exceptions: NONE,
        rule: Rule::Hundredths(ALL, 120, on_linux("true", "1cpu")),
    },
    Bar {
        name: "partition-change",
        promise: "creating and deleting a partition of one CPU disturbs others at most once each",
        rows: pick("partition", &["create-delete"], &["others-disturbed"]),
        exceptions: NONE,
        rule: Rule::AtMost(ENTRIES_EACH, 1),
    },
    Bar {
        name: "64-cpus",
        promise: "64 CPUs: partition and launch cost no more for each LWK CPU than with 8",
        rows: pick("scaling", &["launch", "partition*"], &["*"]),
        exceptions: NONE,
        rule: Rule::NoGrowth(
            ALL,
            Growth {
                small: ("scaling-8", 4),
                large: ("scaling-64", 32),
            },
        ),
    },
    Bar {
        name: "64-cpus-placement",
        promise: "64 CPUs: starting a thread on a CPU of its own costs no more than with 8",
        rows: pick("scaling", &["threads"], &["*"]),
        exceptions: NONE,
        // The first thread is there already; those that came wait for the others in user mode.
        rule: Rule::NoGrowth(
            KERNEL,
            Growth {
                small: ("scaling-8", 3),
                large: ("scaling-64", 31),
            },
        ),
    },
];
