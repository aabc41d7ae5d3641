// SPDX-License-Identifier: GPL-2.0
//! Tests of the rules, with rows made by hand.

use std::collections::BTreeSet;

use bench_record::report::{Key, Usage, Why};

use super::*;

const ENTRIES: Measure = Measure {
    name: "kernel entries",
    of: |figures| Some(figures.entries),
    per: Per::Window,
};

const KERNEL: Measure = Measure {
    name: "kernel instructions",
    of: |figures| Some(figures.kernel),
    per: Per::Operation,
};

const FAULTS: Measure = Measure {
    name: "faults",
    of: |figures| figures.usage.map(|usage| usage.faults),
    per: Per::Window,
};

const ALL: Select = Select {
    suite: "noise",
    benches: &["*"],
    except: &["same-*"],
    variants: &["*"],
    except_variants: &["other"],
};

fn bar(rule: Rule) -> &'static Bar {
    with(rule, &[])
}

fn with(rule: Rule, exceptions: &'static [Exception]) -> &'static Bar {
    Box::leak(Box::new(Bar {
        name: "test",
        promise: "a test",
        rows: ALL,
        exceptions,
        rule,
    }))
}

fn row(machine: &str, bench: &str, place: Place, (kernel, entries): (u64, u64)) -> Row {
    Row {
        machine: machine.to_owned(),
        key: Key {
            suite: "noise".to_owned(),
            bench: bench.to_owned(),
            variant: String::new(),
        },
        place,
        figures: Ok(Figures {
            iterations: 100,
            kernel,
            entries,
            ..Figures::default()
        }),
        spread: None,
    }
}

#[test]
fn names_are_unique() {
    let names: BTreeSet<_> = BARS.iter().map(|bar| bar.name).collect();
    assert_eq!(names.len(), BARS.len());
}

#[test]
fn every_row_must_hold_and_the_worst_tells_the_distance() {
    let rows = [
        row("m", "quiet", Place::Lwk, (0, 0)),
        row("m", "fork", Place::Lwk, (0, 2)),
        row("m", "mmap", Place::Lwk, (0, 7)),
        row("m", "same-unmap", Place::Lwk, (0, 100)),
        row("m", "quiet", Place::Linux, (0, 100)),
    ];
    let bar = bar(Rule::AtMost(ENTRIES, 0));
    let judged = bar.judge(&rows);
    assert_eq!(judged.verdict, Verdict::Missed);
    assert_eq!(judged.misses.len(), 2);
    assert_eq!(judged.misses[0].row.key.bench, "mmap");
    assert_eq!(
        judged.distance,
        "2 of 3 rows over it; worst: m: noise/mmap on LWK CPUs, \
         7 kernel entries where 0 are allowed, 7 too many"
    );
    assert_eq!(bar.judge(&rows[..1]).verdict, Verdict::Met);
}

#[test]
fn stars_and_exceptions_pick_rows() {
    let mut picked = row("m", "fork", Place::Lwk, (0, 0));
    assert!(ALL.has(&picked));
    picked.key.variant = "other".to_owned();
    assert!(!ALL.has(&picked));
    assert!(!ALL.has(&row("m", "same-unmap", Place::Lwk, (0, 0))));
    assert!(matches("fork*", "fork-exec") && !matches("fork", "fork-exec"));
}

#[test]
fn exceptions_allow_what_the_hardware_asks_for_and_no_more() {
    const ONE: &[Exception] = &[Exception {
        bench: "off-line",
        max: 1,
        why: "a test",
    }];
    let bar = with(Rule::AtMost(ENTRIES, 0), ONE);
    let entries = |nr| [row("m", "off-line", Place::Lwk, (0, nr))];
    assert_eq!(bar.judge(&entries(1)).verdict, Verdict::Met);
    assert_eq!(bar.judge(&entries(2)).verdict, Verdict::Missed);
}

#[test]
fn what_is_not_built_is_neither_met_nor_missed() {
    let mut rows = vec![row("m", "quiet", Place::Lwk, (0, 0))];
    let mut open = row("m", "later", Place::Lwk, (0, 0));
    open.figures = Err(Why::NotBuilt);
    rows.push(open);
    let bar = bar(Rule::AtMost(ENTRIES, 0));
    let judged = bar.judge(&rows);
    assert_eq!(judged.verdict, Verdict::NotBuilt);
    assert!(
        judged.distance.ends_with("1 of 2 rows have no figures"),
        "{}",
        judged.distance
    );
    rows.push(row("m", "fork", Place::Lwk, (0, 1)));
    assert_eq!(bar.judge(&rows).verdict, Verdict::Missed);
    assert_eq!(bar.judge(&[]).verdict, Verdict::NotRun);
}

#[test]
fn tuned_linux_is_the_limit_for_each_operation() {
    let rows = |lwk, tuned| {
        [
            row("m", "call", Place::Lwk, (lwk, 0)),
            row("m", "call", Place::Tuned, (tuned, 0)),
            row("other", "call", Place::Tuned, (0, 0)),
        ]
    };
    let verdict = |rule, lwk, tuned| bar(rule).judge(&rows(lwk, tuned)).verdict;
    let not_above = Rule::NotAboveTuned(KERNEL, 1);
    assert_eq!(verdict(not_above, 600, 500), Verdict::Met);
    assert_eq!(verdict(not_above, 601, 500), Verdict::Missed);
    assert_eq!(verdict(Rule::BelowTuned(KERNEL), 500, 500), Verdict::Missed);
    assert_eq!(verdict(Rule::BelowTuned(KERNEL), 499, 500), Verdict::Met);
    let alone = [row("m", "call", Place::Lwk, (1, 0))];
    assert_eq!(bar(not_above).judge(&alone).verdict, Verdict::NotBuilt);
}

#[test]
fn another_benchmark_is_the_limit() {
    let rule = Rule::Hundredths(
        KERNEL,
        5,
        Other {
            bench: "small-pages",
            variant: "",
            place: Place::Linux,
        },
    );
    let verdict = |kernel| {
        let rows = [
            row("m", "touch", Place::Lwk, (kernel, 0)),
            row("m", "small-pages", Place::Linux, (2000, 0)),
        ];
        bar(rule).judge(&rows).verdict
    };
    assert_eq!(verdict(100), Verdict::Met);
    assert_eq!(verdict(101), Verdict::Missed);
}

#[test]
fn cost_of_a_cpu_must_not_grow_with_their_number() {
    let growth = Growth {
        small: ("scaling-8", 8),
        large: ("scaling-64", 64),
    };
    let verdict = |kernel| {
        let mut rows = [
            row("scaling-8", "create", Place::Lwk, (800, 0)),
            row("scaling-64", "create", Place::Lwk, (kernel, 0)),
        ];
        rows[1].key.variant = "64cpus".to_owned();
        bar(Rule::NoGrowth(KERNEL, growth)).judge(&rows).verdict
    };
    assert_eq!(verdict(6400), Verdict::Met);
    assert_eq!(verdict(6401), Verdict::Missed);
}

#[test]
fn a_row_without_the_figure_leaves_the_bar_open() {
    let bar = bar(Rule::AtMost(FAULTS, 0));
    let mut rows = [row("m", "run", Place::Lwk, (0, 0))];
    assert_eq!(bar.judge(&rows).verdict, Verdict::NotBuilt);
    rows[0].figures.as_mut().unwrap().usage = Some(Usage::default());
    assert_eq!(bar.judge(&rows).verdict, Verdict::Met);
}

#[test]
fn figures_are_rounded_up_to_a_hundredth() {
    let figures = Figures {
        iterations: 3,
        kernel: 10,
        ..Figures::default()
    };
    assert_eq!(KERNEL.value(&figures), Some(334));
    assert_eq!(
        (text(334), text(300), text(5)),
        ("3.34".into(), "3".into(), "0.05".into())
    );
}
