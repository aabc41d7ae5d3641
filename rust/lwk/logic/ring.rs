// SPDX-License-Identifier: GPL-2.0
//! A ring of records with one writer, which never waits, and readers that notice what was overwritten.
//!
//! Records have numbers, from 0. Record `n` lies in slot `n % len`; each slot says which record it holds, as a sequence
//! lock does: a reader that finds the same number before and after it copied the words has them whole. The words are
//! atomic, so that a reader who comes too late reads nonsense and throws it away, rather than race.

use core::sync::atomic::{fence, AtomicU64, Ordering};

/// Room for one record of `WORDS` words.
#[derive(Debug)]
#[repr(C)]
pub struct Slot<const WORDS: usize> {
    /// One more than the number of the record, or 0 while there is none.
    seq: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl<const WORDS: usize> Default for Slot<WORDS> {
    /// An empty one; all bytes zero is the same.
    fn default() -> Self {
        Self {
            seq: AtomicU64::new(0),
            words: core::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

/// What a reader finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<const WORDS: usize> {
    /// The record.
    Record([u64; WORDS]),
    /// It was overwritten.
    Lost,
    /// It has not been written yet.
    NotYet,
}

/// The ring over slots that somebody else keeps.
#[derive(Debug, Clone, Copy)]
pub struct Ring<'a, const WORDS: usize> {
    slots: &'a [Slot<WORDS>],
    /// The number of the next record.
    next: &'a AtomicU64,
}

impl<'a, const WORDS: usize> Ring<'a, WORDS> {
    /// A ring over `slots`, of which `next` counts the records; both start as zeros.
    pub const fn new(slots: &'a [Slot<WORDS>], next: &'a AtomicU64) -> Self {
        Self { slots, next }
    }

    /// How many records were written.
    pub fn written(&self) -> u64 {
        // ORDERING: Acquire pairs with the Release of `push`: all records below are there or overwritten.
        self.next.load(Ordering::Acquire)
    }

    /// The number of the oldest record that may still be there.
    pub fn oldest(&self) -> u64 {
        // CAST: u64 is not narrower than usize.
        self.written().saturating_sub(self.slots.len() as u64)
    }

    fn slot(&self, number: u64) -> Option<&'a Slot<WORDS>> {
        // CAST: as above; the remainder is below a usize.
        let index = number.checked_rem(self.slots.len() as u64)? as usize;
        self.slots.get(index)
    }

    /// Writes the next record. Only one thread may do so at a time.
    pub fn push(&self, record: &[u64; WORDS]) {
        // ORDERING: Relaxed, as only the writer changes it.
        let number = self.next.load(Ordering::Relaxed);
        if let Some(slot) = self.slot(number) {
            // ORDERING: Relaxed and then a Release fence: whoever reads one of the new words and then has an Acquire
            // fence sees that the old record is gone.
            slot.seq.store(0, Ordering::Relaxed);
            fence(Ordering::Release);
            for (to, from) in slot.words.iter().zip(record) {
                // ORDERING: Relaxed, see the fence above and the Release below.
                to.store(*from, Ordering::Relaxed);
            }
            // ORDERING: Release: whoever sees the number sees the words.
            slot.seq.store(number.wrapping_add(1), Ordering::Release);
        }
        // ORDERING: Release: see `written`.
        self.next.store(number.wrapping_add(1), Ordering::Release);
    }

    /// Reads record `number`; any thread may at any time.
    pub fn read(&self, number: u64) -> Found<WORDS> {
        if number >= self.written() {
            return Found::NotYet;
        }
        let Some(slot) = self.slot(number) else {
            return Found::Lost;
        };
        let wanted = number.wrapping_add(1);
        // ORDERING: Acquire pairs with the last Release of `push`.
        if slot.seq.load(Ordering::Acquire) != wanted {
            return Found::Lost;
        }
        let mut record = [0; WORDS];
        for (to, from) in record.iter_mut().zip(&slot.words) {
            // ORDERING: Relaxed, see the fence below.
            *to = from.load(Ordering::Relaxed);
        }
        // ORDERING: Acquire pairs with the Release fence of `push`: if a word came from a later record, the number is
        // another one by now.
        fence(Ordering::Acquire);
        // ORDERING: Relaxed, after the fence.
        if slot.seq.load(Ordering::Relaxed) == wanted {
            Found::Record(record)
        } else {
            Found::Lost
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{thread, vec::Vec};

    fn slots<const WORDS: usize>(len: usize) -> Vec<Slot<WORDS>> {
        (0..len).map(|_| Slot::default()).collect()
    }

    #[test]
    fn the_last_records_are_there_and_the_others_lost() {
        let (slots, next) = (slots::<2>(4), AtomicU64::new(0));
        let ring = Ring::new(&slots, &next);
        assert_eq!(ring.read(0), Found::NotYet);
        (0..6).for_each(|n| ring.push(&[n, !n]));
        assert_eq!((ring.oldest(), ring.written()), (2, 6));
        assert_eq!(ring.read(1), Found::Lost);
        assert_eq!(ring.read(2), Found::Record([2, !2]));
        assert_eq!(ring.read(5), Found::Record([5, !5]));
        assert_eq!(ring.read(6), Found::NotYet);
    }

    #[test]
    fn a_ring_without_slots_loses_all() {
        let next = AtomicU64::new(0);
        let ring = Ring::<1>::new(&[], &next);
        ring.push(&[7]);
        assert_eq!(ring.read(0), Found::Lost);
        assert_eq!(ring.written(), 1);
    }

    #[test]
    fn readers_beside_the_writer_see_whole_records_only() {
        const RECORDS: u64 = if cfg!(miri) { 200 } else { 200_000 };
        let (slots, next) = (slots::<8>(4), AtomicU64::new(0));
        let ring = Ring::new(&slots, &next);
        let read_all = || {
            let (mut seen, mut at) = (0_u64, 0);
            while at < RECORDS {
                match ring.read(at) {
                    Found::Record(words) => {
                        let wanted: [u64; 8] =
                            core::array::from_fn(|word| at.wrapping_mul(word as u64 + 1));
                        assert_eq!(words, wanted, "record {at}");
                        seen += 1;
                        at += 1;
                    }
                    Found::Lost => at = ring.oldest().max(at + 1),
                    Found::NotYet => thread::yield_now(),
                }
            }
            seen
        };
        let seen = thread::scope(|scope| {
            let readers = [scope.spawn(read_all), scope.spawn(read_all)];
            for n in 0..RECORDS {
                ring.push(&core::array::from_fn(|word| {
                    n.wrapping_mul(word as u64 + 1)
                }));
            }
            readers.map(|reader| reader.join().map_or(0, |seen| seen))
        });
        assert!(seen.iter().all(|seen| *seen > 0), "{seen:?}");
    }
}
