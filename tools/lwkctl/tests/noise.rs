// SPDX-License-Identifier: GPL-2.0
//! What `lwkctl noise` prints, from records as the kernel would write them.

use lwk::{Disturbance, GuestRun, Process, Sender};
use lwk_logic::logic::cpuset::CpuSet;
use lwk_logic::uapi::{IrqSource, RanKind};
use lwkctl::disturbances::summary::Summary;
use lwkctl::disturbances::text::text;
use lwkctl::table::Style;

const JOB: Process = Process { tid: 51, pid: 50 };

fn record(seq: u64, cause: IrqSource, symbol: &str, duration_ns: u64) -> Disturbance {
    Disturbance {
        cpu: 3,
        seq,
        time_ns: 1_000_000 * (seq + 1),
        duration_ns,
        cause,
        sources: vec![cause],
        nr_irqs: 1,
        is_late: false,
        has_signal: false,
        has_resched: false,
        has_task_work: false,
        has_waited: false,
        ran: RanKind::CallWait,
        symbol: symbol.to_owned(),
        nr_calls: 0,
        irq: None,
        sender: None,
        victim: Some(JOB),
        guest: None,
    }
}

fn sent(mut record: Disturbance, pid: u32, comm: &str) -> Disturbance {
    record.sender = Some(Sender {
        cpu: 1,
        process: Process { tid: pid, pid },
        comm: comm.to_owned(),
    });
    record
}

/// Three flushes by the job itself, one by somebody else, a kworker, a device and an NMI.
fn records() -> Vec<Disturbance> {
    let flush = |seq, ns| record(seq, IrqSource::Tlb, "flush_tlb_func", ns);
    let mut worker = record(4, IrqSource::Timer, "tick_nohz_handler", 900_000);
    worker.guest = Some(GuestRun {
        tid: 9,
        comm: "kworker/3:1".to_owned(),
        work: "refresh_vm_stats".to_owned(),
        ns: 800_000,
    });
    let mut device = record(5, IrqSource::Device, "vring_interrupt", 5_000);
    device.irq = Some((27, "virtio0-input.0".to_owned()));
    let mut nmi = record(6, IrqSource::Nmi, "", 0);
    (nmi.is_late, nmi.victim) = (true, None);
    vec![
        sent(flush(0, 1_500), 50, "app"),
        sent(flush(1, 2_500), 50, "app"),
        sent(flush(2, 9_000), 50, "app"),
        sent(flush(3, 3_000), 7, "kswapd0\x1b"),
        worker,
        device,
        nmi,
    ]
}

fn cpus() -> CpuSet {
    "2-3".parse().expect("a list of the test")
}

#[test]
fn everything_is_summed_up() {
    insta::assert_snapshot!(text(&Summary::new(cpus(), &records(), 3), Style::Plain));
}

#[test]
fn nothing_is_one_sentence() {
    assert_eq!(
        text(&Summary::new(cpus(), &[], 0), Style::Plain),
        "Nothing disturbed LWK CPUs 2-3.\n"
    );
    assert_eq!(
        text(&Summary::new(CpuSet::EMPTY, &[], 0), Style::Plain),
        "No LWK CPUs.\n"
    );
}

#[test]
fn figures_are_those_of_the_records() {
    let summary = Summary::new(cpus(), &records(), 0);
    let flushes = &summary.causes[0];
    assert_eq!(
        (flushes.cause, flushes.ran.as_str()),
        ("TLB", "flush_tlb_func")
    );
    let figures = flushes.figures;
    assert_eq!((figures.count, figures.total_ns), (4, 16_000));
    assert_eq!((figures.max_ns, figures.median_ns), (9_000, 2_500));
    let counted: u64 = summary.histogram.iter().map(|bucket| bucket.count).sum();
    // The NMI has no duration.
    assert_eq!(counted, 6);
    for bucket in &summary.histogram {
        assert_eq!(bucket.to_ns, 2 * bucket.from_ns);
    }
    let own = &summary.culprits[0];
    assert_eq!(
        (own.who.as_str(), own.pid, own.cpu),
        ("app", Some(50), Some(1))
    );
    assert!(own.own && own.count == 3);
}

#[test]
fn who_waited_too_long_is_named_with_who_had_the_cpu() {
    let mut waited = sent(
        record(0, IrqSource::Reschedule, "", 1_300_000_000),
        50,
        "spin",
    );
    waited.has_waited = true;
    waited.guest = Some(GuestRun {
        tid: 9,
        comm: "kworker/3:1".to_owned(),
        work: String::new(),
        ns: 0,
    });
    let summary = Summary::new(cpus(), &[waited], 0);
    let culprit = &summary.culprits[0];
    assert_eq!((culprit.who.as_str(), culprit.pid), ("spin", Some(50)));
    assert_eq!(culprit.ran, "kworker/3:1 waits");
    assert!(summary.histogram.is_empty(), "nobody was interrupted");
    let json = serde_json::to_value(&summary).expect("JSON");
    assert_eq!(json["records"][0]["waited"], true);
}

#[test]
fn json_has_every_record_and_keeps_names_as_they_are() {
    let json = serde_json::to_value(Summary::new(cpus(), &records(), 3)).expect("JSON");
    assert_eq!(json["lost"], 3);
    assert_eq!(json["cpus"], serde_json::json!([2, 3]));
    assert_eq!(json["records"].as_array().map(Vec::len), Some(7));
    assert_eq!(json["records"][3]["sender"]["comm"], "kswapd0\x1b");
    assert_eq!(json["records"][4]["guest_work"], "refresh_vm_stats");
    assert_eq!(json["records"][5]["irq_name"], "virtio0-input.0");
    assert_eq!(json["records"][6]["victim"], serde_json::Value::Null);
    assert_eq!(json["causes"][0]["median_ns"], 2_500);
}
