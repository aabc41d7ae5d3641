// SPDX-License-Identifier: GPL-2.0

use super::*;

/// CPU 1 asked for a call of 0x100, and a timer is due.
const ENTRY: Entry = Entry {
    time_ns: 1000,
    irqs: 0,
    faults: 0,
    call: 0x100,
    work: 0x200,
    timer: 0x300,
    call_kind: RanKind::CallWait as u32,
    nr_calls: 2,
    flags: 0,
    sender_cpu: 1,
    sender_tid: 11,
    sender_pid: 10,
    victim_tid: 21,
    victim_pid: 20,
    sender_comm: *b"sender\0\0\0\0\0\0\0\0\0\0",
};

fn moved(by: &[(IrqSource, u64)]) -> Moved {
    let mut moved = [0; IRQ_SLOTS];
    for (source, count) in by {
        moved[source.index()] = *count;
    }
    moved
}

fn judged(by: &[(IrqSource, u64)]) -> Option<Disturbance> {
    judge(&ENTRY, &moved(by), None, &Guest::default(), 1500)
}

#[test]
fn nothing_moved_is_no_disturbance() {
    assert_eq!(judged(&[]), None);
    // An NMI alone is told apart.
    assert_eq!(judged(&[(IrqSource::Nmi, 3)]), None);
}

#[test]
fn a_call_names_function_and_sender() {
    let told = judged(&[(IrqSource::Call, 1)]).expect("a record");
    assert_eq!((told.time_ns, told.duration_ns), (1000, 500));
    assert_eq!((told.ran, told.address), (RanKind::CallWait as u32, 0x100));
    assert_eq!((told.nr_calls, told.nr_irqs), (2, 1));
    assert_eq!(
        (told.sender_cpu, told.sender_tid, told.sender_pid),
        (1, 11, 10)
    );
    assert_eq!(&told.sender_comm[..6], b"sender");
    assert_eq!((told.victim_tid, told.victim_pid), (21, 20));
    assert_eq!(told.guest_tid, NOISE_UNKNOWN);
}

#[test]
fn a_timer_has_no_sender_even_if_a_call_is_on_its_way() {
    let told = judged(&[(IrqSource::Timer, 1)]).expect("a record");
    assert_eq!((told.ran, told.address), (RanKind::Timer as u32, 0x300));
    assert_eq!((told.sender_cpu, told.nr_calls), (NOISE_UNKNOWN, 0));
    assert_eq!(told.sender_comm, [0; COMM_LEN]);
}

#[test]
fn of_several_the_one_that_tells_most_is_the_cause() {
    let by = [
        (IrqSource::Timer, 2),
        (IrqSource::Tlb, 1),
        (IrqSource::Nmi, 5),
    ];
    let told = judged(&by).expect("a record");
    assert_eq!(told.cause, IrqSource::Tlb as u32);
    assert_eq!(told.sources, 1 << 1 | 1 << 7);
    assert_eq!(told.nr_irqs, 3);
}

#[test]
fn what_waited_comes_before_what_may_have_come_later() {
    let entry = Entry {
        nr_calls: 0,
        work: 0,
        timer: 0,
        flags: crate::uapi::NOISE_SIGNAL,
        ..ENTRY
    };
    let by = moved(&[
        (IrqSource::IrqWork, 1),
        (IrqSource::Timer, 1),
        (IrqSource::Reschedule, 1),
    ]);
    let told = judge(&entry, &by, None, &Guest::default(), 1500).expect("a record");
    assert_eq!(told.cause, IrqSource::Reschedule as u32);
}

#[test]
fn every_source_can_be_a_cause() {
    for source in IrqSource::ALL.iter().filter(|s| **s != IrqSource::Nmi) {
        assert_eq!(
            judged(&[(*source, 1)]).map(|told| told.cause),
            Some(*source as u32)
        );
    }
}

#[test]
fn what_is_not_known_is_said_so() {
    let entry = Entry {
        nr_calls: 0,
        timer: 0,
        work: 0,
        ..ENTRY
    };
    for source in [
        IrqSource::Call,
        IrqSource::Timer,
        IrqSource::IrqWork,
        IrqSource::Device,
    ] {
        let told = judge(
            &entry,
            &moved(&[(source, 1)]),
            None,
            &Guest::default(),
            1500,
        );
        let told = told.expect("a record");
        assert_eq!((told.ran, told.address), (RanKind::Unknown as u32, 0));
        assert_eq!((told.sender_cpu, told.irq), (NOISE_UNKNOWN, NOISE_UNKNOWN));
    }
}

#[test]
fn a_device_is_told_by_its_interrupt() {
    let by = moved(&[(IrqSource::Device, 1)]);
    let told = judge(&ENTRY, &by, Some(27), &Guest::default(), 1500).expect("a record");
    assert_eq!((told.ran, told.irq), (RanKind::Handler as u32, 27));
}

#[test]
fn a_guest_is_told_with_its_work() {
    let guest = Guest {
        ns: 70,
        tid: 9,
        work: 0x400,
        comm: *b"kworker/3:1\0\0\0\0\0",
    };
    let told = judge(
        &ENTRY,
        &moved(&[(IrqSource::Reschedule, 1)]),
        None,
        &guest,
        1500,
    );
    let told = told.expect("a record");
    assert_eq!(
        (told.guest_ns, told.guest_tid, told.guest_address),
        (70, 9, 0x400)
    );
    assert_eq!(&told.guest_comm[..7], b"kworker");
}

#[test]
fn nmis_are_told_late() {
    assert_eq!(late(&moved(&[(IrqSource::Timer, 1)]), 7), None);
    let told = late(&moved(&[(IrqSource::Nmi, 4)]), 7).expect("a record");
    assert_eq!((told.time_ns, told.nr_irqs, told.flags), (7, 4, NOISE_LATE));
}

#[test]
fn packing_loses_nothing() {
    let told = Disturbance {
        time_ns: 1,
        duration_ns: 2,
        guest_ns: 3,
        address: 4,
        guest_address: 5,
        cause: 6,
        sources: 7,
        nr_irqs: 8,
        flags: 9,
        ran: 10,
        nr_calls: 11,
        irq: 12,
        sender_cpu: 13,
        sender_tid: 14,
        sender_pid: 15,
        victim_tid: 16,
        victim_pid: 17,
        guest_tid: 18,
        owner: 1000,
        sender_comm: *b"0123456789abcdef",
        guest_comm: *b"ghijklmnopqrstuv",
    };
    assert_eq!(Disturbance::unpack(&told.pack()), told);
    let report = told.report(99);
    assert_eq!(
        (report.seq, report.guest_tid, report.victim_pid),
        (99, 18, 17)
    );
}
