// SPDX-License-Identifier: GPL-2.0
//! Tests of the comparison with a baseline.

use super::*;
use crate::sample;
use bench_record::report::Why;

/// Compares the sample with a changed copy of itself.
fn changed(change: impl FnOnce(&mut Results)) -> Comparison {
    let base = sample::results();
    let mut now = base.clone();
    change(&mut now);
    compare(&base, &now, |_| true).unwrap()
}

/// Rows of the sample that have figures: a disturbed LWK CPU, and a thousand system calls there.
const NOISY: usize = 2;
const CALL: usize = 3;

/// The figures of the n-th row that has some.
fn figures(results: &mut Results, nr: usize) -> &mut Figures {
    let mut measured = (results.rows.iter_mut()).filter_map(|row| row.figures.as_mut().ok());
    measured.nth(nr).unwrap()
}

#[test]
fn equal_results_are_equal() {
    let found = changed(|_| {});
    assert_eq!(found.nr_rows, sample::results().rows.len());
    let empty = Comparison {
        nr_rows: found.nr_rows,
        ..Comparison::default()
    };
    assert_eq!(found, empty);
}

#[test]
fn five_percent_more_instructions_are_a_regression() {
    let changes: [fn(&mut Figures); 2] = [
        |figures| figures.user += figures.user / 20,
        |figures| figures.kernel += figures.kernel / 20,
    ];
    for change in changes {
        let found = changed(|now| change(figures(now, CALL)));
        assert_eq!(found.regressions.len(), 1, "{found:?}");
        assert!(found.regressions[0].1.contains("+5.0 %"), "{found:?}");
    }
}

#[test]
fn two_percent_is_the_border() {
    let user = 100_000;
    let mut base = sample::results();
    figures(&mut base, CALL).user = user;
    let with = |user| {
        let mut now = base.clone();
        figures(&mut now, CALL).user = user;
        compare(&base, &now, |_| true).unwrap().regressions.len()
    };
    assert_eq!((with(user + user / 50), with(user + user / 50 + 1)), (0, 1));
}

#[test]
fn one_more_entry_is_a_regression_and_names_its_cause() {
    let found = changed(|now| {
        let figures = figures(now, NOISY);
        figures.entries += 1;
        *figures
            .causes
            .entry("asm_sysvec_call_function".to_owned())
            .or_default() += 1;
    });
    assert_eq!(found.regressions.len(), 1);
    let (name, how) = &found.regressions[0];
    assert!(name.contains("LWK CPUs"), "{name}");
    assert_eq!(
        how,
        "kernel entries 0 -> 1 (+1), asm_sysvec_call_function 0 -> 1"
    );
}

#[test]
fn a_few_instructions_in_a_tiny_window_are_not() {
    let tiny = |user| {
        move |results: &mut Results| {
            figures(results, CALL).user = user;
        }
    };
    let mut base = sample::results();
    tiny(10)(&mut base);
    let mut now = base.clone();
    tiny(10 + FLOOR)(&mut now);
    assert!(compare(&base, &now, |_| true)
        .unwrap()
        .regressions
        .is_empty());
    tiny(11 + FLOOR)(&mut now);
    assert_eq!(compare(&base, &now, |_| true).unwrap().regressions.len(), 1);
}

#[test]
fn a_lost_row_and_a_lost_figure_are_regressions() {
    let found = changed(|now| drop(now.rows.remove(0)));
    assert_eq!(found.regressions[0].1, "is no longer there");
    let found = changed(|now| now.rows[0].figures = Err(Why::NotBuilt));
    assert_eq!(found.regressions[0].1, "is no longer measured: not built");
}

#[test]
fn fewer_counts_are_improvements_and_new_rows_are_named() {
    let found = changed(|now| {
        let row = figures(now, 0);
        (row.kernel, row.entries) = (row.kernel / 2, row.entries - 1);
        let last = now.rows.last_mut().unwrap();
        assert!(last.figures.is_err());
        last.figures = Ok(Figures::default());
        let mut new = now.rows[0].clone();
        new.key.bench = "another".to_owned();
        now.rows.push(new);
    });
    assert!(found.regressions.is_empty(), "{found:?}");
    assert_eq!((found.improvements.len(), found.new.len()), (3, 1));
}

#[test]
fn what_other_phases_count_is_no_regression_and_more_is() {
    let mut base = sample::results();
    let mut other = base.clone();
    let row = figures(&mut other, NOISY);
    (row.kernel, row.entries) = (row.kernel + 1000, row.entries + 3);
    merge(&mut base, &[other.clone()]).unwrap();
    assert_eq!(
        base.rows.iter().filter(|row| row.spread.is_some()).count(),
        1
    );
    let found = compare(&base, &other, |_| true).unwrap();
    assert!(
        found.regressions.is_empty() && found.improvements.is_empty(),
        "{found:?}"
    );
    figures(&mut other, NOISY).entries += 4;
    let found = compare(&base, &other, |_| true).unwrap();
    assert_eq!(found.regressions.len(), 1);
    assert!(
        found.regressions[0].1.contains("at other phases"),
        "{found:?}"
    );
}

#[test]
fn rows_of_linux_that_depend_on_the_phase_are_not_compared() {
    let mut base = sample::results();
    let mut other = base.clone();
    figures(&mut other, 0).entries += 1;
    assert_eq!(
        compare(&base, &other, |_| true).unwrap().regressions.len(),
        1
    );
    merge(&mut base, &[other.clone()]).unwrap();
    figures(&mut other, 0).entries += 1000;
    assert!(compare(&base, &other, |_| true)
        .unwrap()
        .regressions
        .is_empty());
}

#[test]
fn one_more_entry_in_many_operations_may_be_chance() {
    let more = |entries| changed(|now| figures(now, CALL).entries += entries);
    assert!(more(5).regressions.is_empty());
    assert_eq!(more(6).regressions.len(), 1);
}

#[test]
fn phases_of_another_kernel_or_without_a_row_are_refused() {
    let mut other = sample::results();
    other.conditions.insert("QEMU".to_owned(), "9.2".to_owned());
    assert!(merge(&mut sample::results(), &[other]).is_err());
    let mut other = sample::results();
    other.rows.remove(0);
    assert!(merge(&mut sample::results(), &[other]).is_err());
}

#[test]
fn other_iterations_are_scaled() {
    let found = changed(|now| {
        let row = figures(now, 0);
        row.iterations *= 2;
        (row.user, row.kernel, row.entries) = (row.user * 2, row.kernel * 2, row.entries * 2);
    });
    assert!(
        found.regressions.is_empty() && found.improvements.is_empty(),
        "{found:?}"
    );
}

#[test]
fn other_machines_are_left_out_on_request() {
    let base = sample::results();
    let mut now = base.clone();
    now.rows.clear();
    let found = compare(&base, &now, |machine| machine == "other").unwrap();
    assert_eq!((found.nr_rows, found.regressions.len()), (0, 0));
}

#[test]
fn other_conditions_are_told_and_times_are_refused() {
    let found = changed(|now| {
        now.conditions.insert("QEMU".to_owned(), "9.2".to_owned());
    });
    assert_eq!(found.conditions, ["QEMU: 9.2 (baseline: 7.2)"]);
    let base = sample::results();
    let mut now = base.clone();
    now.kind = Kind::Timed;
    assert!(compare(&base, &now, |_| true).is_err());
}

/// One row of a thousand equal system calls on CPUs of a place.
fn calls(place: Place) -> Results {
    let mut base = sample::results();
    base.rows.retain(|row| row.figures.is_ok());
    base.rows.truncate(1);
    let row = &mut base.rows[0];
    row.place = place;
    row.figures = Ok(Figures {
        iterations: 1000,
        kernel: 300_000,
        entries: 1000,
        longest: 300,
        stays: vec![0, 0, 0, 0, 0, 0, 0, 0, 1000],
        ..Figures::default()
    });
    base
}

/// Interrupts `nr` of the calls, as a tick of 8000 instructions does.
fn interrupt(results: &mut Results, nr: u64) {
    let row = figures(results, 0);
    row.kernel += nr * 8000;
    row.longest = 8300;
    row.stays = vec![0, 0, 0, 0, 0, 0, 0, 0, 1000 - nr, 0, 0, 0, 0, nr];
}

#[test]
fn a_few_ticks_in_calls_are_chance_on_linux_alone() {
    for (place, allowed) in [(Place::Linux, 5), (Place::Tuned, 5), (Place::Lwk, 0)] {
        let base = calls(place);
        for (nr, count) in [(0, 0), (allowed, 0), (allowed + 1, 1)] {
            let mut now = base.clone();
            interrupt(&mut now, nr);
            let found = compare(&base, &now, |_| true).unwrap();
            assert_eq!(found.regressions.len(), count, "{place:?} {nr}: {found:?}");
        }
    }
}

#[test]
fn ticks_do_not_hide_slower_calls() {
    let base = calls(Place::Linux);
    let mut now = base.clone();
    interrupt(&mut now, 1);
    figures(&mut now, 0).kernel += 300_000 / 20;
    let found = compare(&base, &now, |_| true).unwrap();
    assert_eq!(found.regressions.len(), 1, "{found:?}");
    let stays = "; stays: 1000 of 2^8, longest 300 -> 999 of 2^8, 1 of 2^13, longest 8300";
    assert!(found.regressions[0].1.ends_with(stays), "{found:?}");
}

#[test]
fn ticks_in_more_iterations_are_scaled() {
    let base = calls(Place::Linux);
    for (nr, count) in [(10, 0), (11, 1)] {
        let mut now = calls(Place::Linux);
        interrupt(&mut now, 5);
        let row = figures(&mut now, 0);
        row.iterations = 2000;
        row.entries = 2000;
        row.kernel = 600_000 + nr * 8000;
        row.stays = vec![0, 0, 0, 0, 0, 0, 0, 0, 2000 - nr, 0, 0, 0, 0, nr];
        let found = compare(&base, &now, |_| true).unwrap();
        assert_eq!(found.regressions.len(), count, "{nr}: {found:?}");
    }
}
