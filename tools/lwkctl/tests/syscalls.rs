// SPDX-License-Identifier: GPL-2.0
//! What `lwkctl syscalls` prints, from counts as the kernel would fill them.

use lwk::{CallPolicy, ThreadCalls};
use lwk_logic::logic::locality::number;
use lwk_logic::uapi::{CallRecord, CALL_FAULT};
use lwkctl::syscalls::Reading;
use lwkctl::table::Style;

fn call(name: &str) -> u32 {
    number(name.as_bytes()).expect("a system call")
}

/// A job that reads small pieces, yields by Linux, and had one slow `ioctl` at home.
fn reading() -> Reading {
    let mut policy = CallPolicy {
        exclusive: true,
        timed: true,
        ..CallPolicy::DEFAULT
    };
    policy
        .table
        .assign(b"local=ioctl,sched_yield")
        .expect("good changes");
    let read = CallRecord {
        call: call("read"),
        moved: 4000,
        stayed: 3000,
        travel_ns: 4000 * 9_000,
        linux_ns: 4000 * 700,
        longest_ns: 25_000,
        ..CallRecord::default()
    };
    let yields = CallRecord {
        call: call("sched_yield"),
        local: 70_000,
        timed: 70_000,
        local_ns: 70_000 * 210,
        longest_ns: 3_000,
        ..CallRecord::default()
    };
    let ioctl = CallRecord {
        call: call("ioctl"),
        local: 2,
        timed: 2,
        local_ns: 1_300_000,
        longest_ns: 1_250_000,
        ..CallRecord::default()
    };
    let fault = CallRecord {
        call: CALL_FAULT,
        moved: 12,
        travel_ns: 120_000,
        linux_ns: 2_400_000,
        longest_ns: 900_000,
        ..CallRecord::default()
    };
    let thread = |tid, comm: &str, records: &[CallRecord], lost| ThreadCalls {
        tid,
        comm: comm.to_owned(),
        records: records.to_vec(),
        lost,
    };
    Reading {
        job: 3,
        policy,
        counts: vec![
            thread(0, "", &[read, ioctl, yields, fault], 7),
            thread(812, "hpcc", &[read, fault], 0),
            thread(813, "a b\x1b[2J", &[], 7),
        ],
    }
}

#[test]
fn syscalls_plain() {
    insta::assert_snapshot!(reading().text(true, Style::Plain));
}

#[test]
fn syscalls_boxed() {
    insta::assert_snapshot!(reading().text(false, Style::Boxed));
}

#[test]
fn syscalls_json() {
    let json = serde_json::to_string_pretty(&reading().report(true));
    insta::assert_snapshot!(json.expect("JSON"));
}

#[test]
fn only_what_is_asked_for_is_told() {
    let json = serde_json::to_value(reading().report(false)).expect("JSON");
    assert!(json.get("threads").is_none());
    assert!(!reading().text(false, Style::Plain).contains("Thread"));
}

#[test]
fn a_second_reading_tells_what_is_new() {
    let (before, mut now) = (reading(), reading());
    now.counts[0].records[0].moved += 5;
    let new = ThreadCalls {
        tid: 900,
        comm: "late".to_owned(),
        records: vec![CallRecord {
            call: call("read"),
            moved: 5,
            ..CallRecord::default()
        }],
        lost: 0,
    };
    now.counts.push(new);
    let report = now.since(&before).report(true);
    let told: Vec<_> = report
        .calls
        .iter()
        .map(|call| (call.call.as_str(), call.count))
        .collect();
    assert_eq!(told, [("read", 5)]);
    let threads = report.threads.expect("asked for");
    let counts: Vec<_> = threads.iter().map(|t| (t.tid, t.calls.len())).collect();
    assert_eq!(counts, [(812, 0), (813, 0), (900, 1)]);
    assert!(now
        .since(&now)
        .text(false, Style::Plain)
        .starts_with("No system calls were counted.\n"));
}
