// SPDX-License-Identifier: GPL-2.0
//! How often a thread made which system call: a small table with one writer and readers that never stop it.
//!
//! A program makes some dozen different calls, so a thread has room for that many and not for all there are; what finds
//! no room is counted as lost. All zeroes is an empty table, which is how the kernel allocates it.

use crate::uapi::{CallRecord, MAX_CALLS};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicU8, Ordering::Relaxed};

/// Calls that the table of a thread has room for.
pub const THREAD_CALLS: usize = 64;

/// Calls that the table of a job has room for.
pub const JOB_CALLS: usize = 192;

/// How a call was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// By Linux, where it was made.
    Local,
    /// By Linux, on another CPU.
    Moved,
    /// By Linux, on another CPU where the thread was already.
    Stayed,
    /// By the LWK.
    Native,
}

/// How long a call took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Took {
    /// Where it was made.
    Here(u64),
    /// On the way there and back, and there.
    Away {
        /// Nanoseconds of both ways.
        travel_ns: u64,
        /// Nanoseconds on the CPU of Linux.
        linux_ns: u64,
    },
}

/// One call's counters.
#[derive(Debug, Default)]
#[repr(C)]
struct Slot {
    local: AtomicU64,
    moved: AtomicU64,
    stayed: AtomicU64,
    native: AtomicU64,
    travel_ns: AtomicU64,
    linux_ns: AtomicU64,
    timed: AtomicU64,
    local_ns: AtomicU64,
    longest_ns: AtomicU64,
}

// ORDERING: Relaxed everywhere: statistics, each with one writer, that order nothing else; a reader may see one count
// older than another.
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(amount), Relaxed);
}

impl Slot {
    fn record(&self, call: u32) -> CallRecord {
        CallRecord {
            call,
            reserved: 0,
            local: self.local.load(Relaxed),
            moved: self.moved.load(Relaxed),
            stayed: self.stayed.load(Relaxed),
            native: self.native.load(Relaxed),
            travel_ns: self.travel_ns.load(Relaxed),
            linux_ns: self.linux_ns.load(Relaxed),
            timed: self.timed.load(Relaxed),
            local_ns: self.local_ns.load(Relaxed),
            longest_ns: self.longest_ns.load(Relaxed),
        }
    }
}

/// The table; only one thread at a time may call what changes it.
#[derive(Debug)]
#[repr(C)]
pub struct Counts<const N: usize> {
    lost: AtomicU64,
    used: AtomicU32,
    /// For each call its slot, and one more, or 0.
    index: [AtomicU8; MAX_CALLS],
    slots: [Slot; N],
}

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Self {
            lost: AtomicU64::new(0),
            used: AtomicU32::new(0),
            index: [const { AtomicU8::new(0) }; MAX_CALLS],
            slots: core::array::from_fn(|_| Slot::default()),
        }
    }
}

impl<const N: usize> Counts<N> {
    /// The counters of a call, if it has some.
    fn slot(&self, call: u32) -> Option<&Slot> {
        // CAST: usize has 64 bits.
        self.slot_at(self.index.get(call as usize)?)
    }

    fn slot_at(&self, place: &AtomicU8) -> Option<&Slot> {
        let found = usize::from(place.load(Relaxed)).checked_sub(1)?;
        self.slots.get(found)
    }

    /// The counters of a call, which get a slot if they have none.
    fn own_slot(&self, call: u32) -> Option<&Slot> {
        match self.slot(call) {
            None => self.new_slot(call),
            slot => slot,
        }
    }

    #[cold]
    fn new_slot(&self, call: u32) -> Option<&Slot> {
        let used = self.used.load(Relaxed);
        // CAST: usize has 64 bits.
        let room = (self.index.get(call as usize)).zip(self.slots.get(used as usize));
        let Some((place, slot)) = room.filter(|_| used < u8::MAX.into()) else {
            add(&self.lost, 1);
            return None;
        };
        self.used.store(used + 1, Relaxed);
        // CAST: Not above 255.
        place.store((used + 1) as u8, Relaxed);
        Some(slot)
    }

    /// Counts a call.
    pub fn count(&self, call: u32, how: How) {
        let Some(slot) = self.own_slot(call) else {
            return;
        };
        match how {
            How::Local => add(&slot.local, 1),
            How::Native => add(&slot.native, 1),
            How::Moved => add(&slot.moved, 1),
            How::Stayed => {
                add(&slot.moved, 1);
                add(&slot.stayed, 1);
            }
        }
    }

    /// Notes how long a call took that was counted; nothing if there was no room for it.
    pub fn took(&self, call: u32, took: Took) {
        let Some(slot) = self.slot(call) else { return };
        let whole_ns = match took {
            Took::Here(ns) => {
                add(&slot.timed, 1);
                add(&slot.local_ns, ns);
                ns
            }
            Took::Away {
                travel_ns,
                linux_ns,
            } => {
                add(&slot.travel_ns, travel_ns);
                add(&slot.linux_ns, linux_ns);
                travel_ns.saturating_add(linux_ns)
            }
        };
        slot.longest_ns
            .store(slot.longest_ns.load(Relaxed).max(whole_ns), Relaxed);
    }

    /// Calls that found no room.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// What is counted, by number of the call.
    pub fn records(&self) -> impl Iterator<Item = CallRecord> + '_ {
        (0..)
            .zip(&self.index)
            .filter_map(|(call, place)| Some(self.slot_at(place)?.record(call)))
    }

    /// Adds what another table has.
    pub fn merge<const M: usize>(&self, other: &Counts<M>) {
        add(&self.lost, other.lost());
        for record in other.records() {
            let Some(slot) = self.own_slot(record.call) else {
                continue;
            };
            add(&slot.local, record.local);
            add(&slot.moved, record.moved);
            add(&slot.stayed, record.stayed);
            add(&slot.native, record.native);
            add(&slot.travel_ns, record.travel_ns);
            add(&slot.linux_ns, record.linux_ns);
            add(&slot.timed, record.timed);
            add(&slot.local_ns, record.local_ns);
            let longest_ns = slot.longest_ns.load(Relaxed).max(record.longest_ns);
            slot.longest_ns.store(longest_ns, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn all<const N: usize>(counts: &Counts<N>) -> Vec<CallRecord> {
        counts.records().collect()
    }

    #[test]
    fn calls_are_told_apart_and_in_order() {
        let counts = Counts::<4>::default();
        for (call, how) in [
            (8, How::Native),
            (4, How::Local),
            (0, How::Moved),
            (4, How::Stayed),
        ] {
            counts.count(call, how);
        }
        let found: Vec<_> = all(&counts)
            .iter()
            .map(|r| (r.call, r.local, r.moved, r.stayed, r.native))
            .collect();
        assert_eq!(found, [(0, 0, 1, 0, 0), (4, 1, 1, 1, 0), (8, 0, 0, 0, 1)]);
    }

    #[test]
    fn what_finds_no_room_is_lost() {
        let counts = Counts::<2>::default();
        for call in 0..4 {
            counts.count(call, How::Local);
        }
        assert_eq!(counts.lost(), 2);
        assert_eq!(counts.records().count(), 2);
    }

    #[test]
    fn times_add_up_and_the_longest_stays() {
        let counts = Counts::<8>::default();
        let away = |travel_ns, linux_ns| Took::Away {
            travel_ns,
            linux_ns,
        };
        counts.count(1, How::Moved);
        counts.took(1, away(10, 100));
        counts.took(1, away(5, 20));
        counts.took(1, Took::Here(7));
        let records = all(&counts);
        let record = records.first().expect("it was counted");
        assert_eq!(
            (record.travel_ns, record.linux_ns, record.local_ns),
            (15, 120, 7)
        );
        assert_eq!(record.longest_ns, 110);
    }

    #[test]
    fn merging_is_as_if_one_had_counted_all() {
        let (a, b, both) = (
            Counts::<8>::default(),
            Counts::<4>::default(),
            Counts::<8>::default(),
        );
        for (nr, call) in [1, 9, 1, 3, 9, 9].into_iter().enumerate() {
            let how = if nr % 2 == 0 { How::Moved } else { How::Local };
            if nr < 3 {
                a.count(call, how);
            } else {
                b.count(call, how);
            }
            both.count(call, how);
        }
        a.merge(&b);
        assert_eq!(
            std::format!("{:?}", all(&a)),
            std::format!("{:?}", all(&both))
        );
    }
}
