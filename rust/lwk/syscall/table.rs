// SPDX-License-Identifier: GPL-2.0
//! The table of a job: where each of its calls is carried out. It may change while the job runs.
#![forbid(unsafe_code)]

use crate::{
    logic::{
        cpuset::CpuSet,
        locality::{CallSet, Place, Table},
    },
    sys::task,
    uapi::{CALLS_EXCLUSIVE, CALLS_POLL, CALLS_TIMED, MAX_CALLS},
};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Words of a set of calls.
const WORDS: usize = MAX_CALLS / 64;

/// What [`CallTable`](crate::uapi::CallTable) sets, and a partition keeps for its jobs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// Where each call is carried out.
    pub(crate) table: Table,
    /// `CALLS_*`.
    pub(crate) options: u32,
    /// How long a thread stays after a moved call.
    pub(crate) batch_ns: u32,
}

impl Policy {
    /// That of a new partition.
    pub(crate) const DEFAULT: Self = Self {
        table: Table::DEFAULT,
        options: 0,
        batch_ns: crate::logic::locality::BATCH_NS,
    };

    /// Whether the threads of a job have to look at each of their calls.
    fn is_watching(&self) -> bool {
        !self.table.moved.is_empty()
            || !self.table.native.is_empty()
            || self.options & CALLS_TIMED != 0
    }
}

/// A policy that threads read as it changes: one that makes a call meanwhile sees either.
pub(crate) struct Calls {
    moved: [AtomicU64; WORDS],
    native: [AtomicU64; WORDS],
    options: AtomicU32,
    batch_ns: AtomicU32,
    is_watching: AtomicU32,
    /// The CPUs of Linux that serve the job; empty if any may.
    pub(super) service: CpuSet,
}

fn bit(words: &[AtomicU64; WORDS], nr: u32) -> bool {
    // CAST: usize has 64 bits.
    words
        .get(nr as usize / 64)
        .is_some_and(|word| word.load(Relaxed) >> (nr % 64) & 1 != 0)
}

impl Calls {
    /// The table of a new job.
    pub(crate) fn new(policy: &Policy, service: CpuSet) -> Self {
        let calls = Self {
            moved: [const { AtomicU64::new(0) }; WORDS],
            native: [const { AtomicU64::new(0) }; WORDS],
            options: AtomicU32::new(0),
            batch_ns: AtomicU32::new(0),
            is_watching: AtomicU32::new(0),
            service,
        };
        calls.set(policy);
        calls
    }

    /// Sets it; returns whether threads have to look at each of their calls from here on.
    pub(crate) fn set(&self, policy: &Policy) -> bool {
        // ORDERING: Relaxed: each word means something by itself; who is told of threads that are to look at their calls
        // does so under locks.
        for (words, set) in [
            (&self.moved, policy.table.moved),
            (&self.native, policy.table.native),
        ] {
            for (to, from) in words.iter().zip(set.words()) {
                to.store(from, Relaxed);
            }
        }
        self.options.store(policy.options, Relaxed);
        self.batch_ns.store(policy.batch_ns, Relaxed);
        self.is_watching.store(policy.is_watching().into(), Relaxed);
        policy.is_watching()
    }

    /// It as a whole.
    pub(crate) fn policy(&self) -> Policy {
        let set = |words: &[AtomicU64; WORDS]| {
            let mut out = [0; WORDS];
            for (to, from) in out.iter_mut().zip(words) {
                *to = from.load(Relaxed);
            }
            CallSet::from_words(out)
        };
        Policy {
            table: Table {
                moved: set(&self.moved),
                native: set(&self.native),
            },
            options: self.options.load(Relaxed),
            batch_ns: self.batch_ns(),
        }
    }

    /// Where a call is carried out.
    pub(crate) fn place(&self, nr: u32) -> Place {
        if bit(&self.moved, nr) {
            Place::Move
        } else if bit(&self.native, nr) {
            Place::Native
        } else {
            Place::Local
        }
    }

    /// Whether a call is carried out by Linux where it is made, and its time is not taken.
    pub(super) fn is_plain(&self, nr: u32) -> bool {
        !bit(&self.moved, nr) && !bit(&self.native, nr) && !self.is_timed()
    }

    /// Whether threads have to look at each of their calls.
    pub(crate) fn is_watching(&self) -> bool {
        self.is_watching.load(Relaxed) != 0
    }

    fn has(&self, option: u32) -> bool {
        self.options.load(Relaxed) & option != 0
    }

    /// Whether the time of calls is measured that are not moved.
    pub(super) fn is_timed(&self) -> bool {
        self.has(CALLS_TIMED)
    }

    /// What becomes of the place that a thread leaves.
    pub(super) fn place_at_home(&self) -> task::Place {
        task::Place {
            is_kept: self.has(CALLS_EXCLUSIVE),
            polls: self.has(CALLS_POLL),
        }
    }

    /// How long a thread stays after a moved call.
    pub(super) fn batch_ns(&self) -> u32 {
        self.batch_ns.load(Relaxed)
    }
}
