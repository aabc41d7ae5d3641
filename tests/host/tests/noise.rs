// SPDX-License-Identifier: GPL-2.0
//! The log of disturbances: its ring against a list that forgets, its records against the counters they come from.

use lwk_logic::logic::disturbance::{judge, late, Disturbance, Entry, Guest, WORDS};
use lwk_logic::logic::ring::{Found, Ring, Slot};
use lwk_logic::uapi::{IrqSource, RanKind, IRQ_SLOTS, NOISE_UNKNOWN};
use proptest::prelude::*;
use std::sync::atomic::AtomicU64;

fn any_entry() -> impl Strategy<Value = Entry> {
    (any::<[u64; 3]>(), any::<[u32; 8]>(), 0..4_u32).prop_map(|(longs, words, nr_calls)| Entry {
        time_ns: longs[0],
        irqs: 0,
        faults: 0,
        call: longs[1],
        work: longs[2],
        timer: longs[1] ^ longs[2],
        call_kind: words[0] % 8,
        nr_calls,
        flags: words[1],
        sender_cpu: words[2],
        sender_tid: words[3],
        sender_pid: words[4],
        victim_tid: words[5],
        victim_pid: words[6],
        sender_comm: [7; 16],
    })
}

/// Few counters move, as in the machine.
fn any_moved() -> impl Strategy<Value = [u64; IRQ_SLOTS]> {
    proptest::collection::vec((0..IrqSource::ALL.len(), 0..5_u64), 0..4).prop_map(|moves| {
        let mut moved = [0; IRQ_SLOTS];
        for (slot, by) in moves {
            moved[slot] = by;
        }
        moved
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_ring_is_a_list_that_forgets(len in 0..9_usize, writes in 0..40_u64, reads in 0..45_u64) {
        let slots: Vec<Slot<2>> = (0..len).map(|_| Slot::default()).collect();
        let next = AtomicU64::new(0);
        let ring = Ring::new(&slots, &next);
        let mut model: Vec<[u64; 2]> = Vec::new();
        for n in 0..writes {
            let record = [n, n.wrapping_mul(0x9e37_79b9_7f4a_7c15)];
            ring.push(&record);
            model.push(record);
        }
        let oldest = writes.saturating_sub(len as u64);
        prop_assert_eq!((ring.written(), ring.oldest()), (writes, oldest));
        let expected = match model.get(usize::try_from(reads)?) {
            None => Found::NotYet,
            Some(_) if reads < oldest => Found::Lost,
            Some(record) => Found::Record(*record),
        };
        prop_assert_eq!(ring.read(reads), expected);
    }

    #[test]
    fn packing_and_unpacking_any_words_changes_nothing(words: [u64; WORDS]) {
        prop_assert_eq!(Disturbance::unpack(&words).pack(), words);
    }

    #[test]
    fn a_record_tells_what_moved_and_nothing_else(
        entry in any_entry(),
        moved in any_moved(),
        irq in proptest::option::of(0..300_u32),
        now in any::<u64>(),
    ) {
        let nmi = IrqSource::Nmi;
        let told = judge(&entry, &moved, irq, &Guest::default(), now);
        let others = |source: &&IrqSource| **source != nmi && moved[source.index()] != 0;
        let (bits, count) = IrqSource::ALL.iter().filter(others).fold((0_u32, 0), |(bits, n), source| {
            (bits | 1 << source.index(), n + moved[source.index()])
        });
        prop_assert_eq!(told.is_some(), bits != 0);
        prop_assert_eq!(late(&moved, now).is_some(), moved[nmi.index()] != 0);
        let Some(told) = told else { return Ok(()) };
        prop_assert_eq!((told.sources, u64::from(told.nr_irqs)), (bits, count));
        prop_assert!(told.sources & 1 << told.cause != 0);
        prop_assert_eq!(told.duration_ns, now.saturating_sub(entry.time_ns));
        let is_call = [IrqSource::Call as u32, IrqSource::Tlb as u32].contains(&told.cause);
        if !is_call || entry.nr_calls == 0 {
            prop_assert_eq!((told.sender_cpu, told.nr_calls), (NOISE_UNKNOWN, 0));
        }
        if told.ran == RanKind::Unknown as u32 {
            prop_assert_eq!(told.address, 0);
        }
        prop_assert_eq!((told.guest_tid, told.guest_address), (NOISE_UNKNOWN, 0));
    }
}
