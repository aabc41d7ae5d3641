// SPDX-License-Identifier: GPL-2.0
//! The disturbance log: what interrupted the threads of jobs, a ring of records for each LWK CPU.
//!
//! Only the CPU itself writes its ring, with interrupts off; readers on other CPUs never hold it up. What is waiting for
//! the CPU is seen by `c/noise.c` as it enters the kernel; as it leaves, the counters of interrupts say what of it came.
#![forbid(unsafe_code)]

use crate::{
    logic::{
        cpuset::CpuId,
        disturbance::{judge, late, Disturbance, Entry, Guest, Moved, WORDS},
        ring::{Found, Ring},
    },
    sys::{
        cpu::{self, NR_CPUS},
        noise as linux, task,
    },
    uapi::{IrqSource, NoiseRecord, COMM_LEN, IRQ_SLOTS, NOISE_UNKNOWN},
};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use kernel::error::Result;

/// What belongs to one CPU's log beside the records.
#[repr(align(64))]
struct Log {
    /// The number of the next record.
    next: AtomicU64,
    /// The first record since the CPU joined its partition.
    first: AtomicU64,
    /// Interrupts by source as of the last look.
    seen: [AtomicU64; IRQ_SLOTS],
    /// The entry (by its time) that has its record already, or shall have none.
    closed_ns: AtomicU64,
    /// The entry during which a kernel thread ran, and that thread.
    guest_entry_ns: AtomicU64,
    guest_ns: AtomicU64,
    guest_work: AtomicU64,
    guest_tid: AtomicU32,
    guest_comm: [AtomicU64; COMM_LEN / 8],
}

impl Log {
    const fn new() -> Self {
        Self {
            next: AtomicU64::new(0),
            first: AtomicU64::new(0),
            seen: [const { AtomicU64::new(0) }; IRQ_SLOTS],
            closed_ns: AtomicU64::new(0),
            guest_entry_ns: AtomicU64::new(0),
            guest_ns: AtomicU64::new(0),
            guest_work: AtomicU64::new(0),
            guest_tid: AtomicU32::new(0),
            guest_comm: [const { AtomicU64::new(0) }; COMM_LEN / 8],
        }
    }

    fn of(cpu: CpuId) -> Option<&'static Self> {
        LOGS.get(cpu.index())
    }

    fn ring(&'static self, cpu: CpuId) -> Ring<'static, WORDS> {
        Ring::new(linux::slots(cpu), &self.next)
    }

    fn set_guest(&self, tid: u32, comm: [u8; COMM_LEN]) {
        // ORDERING: Relaxed here and below: the CPU itself writes and reads; only the ring has readers elsewhere.
        self.guest_tid.store(tid, Relaxed);
        for (slot, bytes) in self.guest_comm.iter().zip(comm.chunks_exact(8)) {
            slot.store(bytes.try_into().map_or(0, u64::from_ne_bytes), Relaxed);
        }
    }

    fn guest(&self, entry: &Entry) -> Guest {
        if self.guest_entry_ns.load(Relaxed) != entry.time_ns {
            return Guest::default();
        }
        let mut guest = Guest {
            ns: self.guest_ns.load(Relaxed),
            tid: self.guest_tid.load(Relaxed),
            work: self.guest_work.load(Relaxed),
            ..Guest::default()
        };
        for (to, from) in guest.comm.chunks_exact_mut(8).zip(&self.guest_comm) {
            to.copy_from_slice(&from.load(Relaxed).to_ne_bytes());
        }
        guest
    }

    /// How far each counter of interrupts moved since the last look.
    fn look(&self, cpu: CpuId) -> Moved {
        let mut moved = [0; IRQ_SLOTS];
        let counts = cpu::irq_counts(cpu);
        for ((to, now), seen) in moved.iter_mut().zip(counts).zip(&self.seen) {
            *to = now.wrapping_sub(seen.load(Relaxed));
            seen.store(now, Relaxed);
        }
        moved
    }

    fn write(&'static self, cpu: CpuId, noise: Disturbance) {
        let noise = Disturbance {
            owner: task::owner_of_current().unwrap_or(NOISE_UNKNOWN),
            ..noise
        };
        self.ring(cpu).push(&noise.pack());
        linux::trace(&noise);
    }
}

static LOGS: [Log; NR_CPUS] = [const { Log::new() }; NR_CPUS];

fn has_moved(moved: &Moved, source: IrqSource) -> bool {
    moved.get(source.index()).is_some_and(|count| *count != 0)
}

/// Sees to it that the CPU has a log, which it keeps for ever.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn make_room(cpu: CpuId) -> Result {
    linux::make_room(cpu)
}

/// The off-line CPU joins a partition: what its log has so far is not that partition's.
pub(crate) fn reset(cpu: CpuId) {
    let Some(log) = Log::of(cpu) else { return };
    log.first.store(log.next.load(Relaxed), Relaxed);
    log.look(cpu);
    linux::moved_irq(cpu);
}

/// Interrupts came while the CPU was in the kernel: they are nobody's disturbance, but NMIs may have come before.
pub(crate) fn irqs_meanwhile(cpu: CpuId, entry: &Entry) {
    let Some(log) = Log::of(cpu) else { return };
    let moved = log.look(cpu);
    if has_moved(&moved, IrqSource::Device) {
        linux::moved_irq(cpu);
    }
    if let Some(noise) = late(&moved, entry.time_ns) {
        log.write(cpu, noise);
    }
}

/// An interrupt of a thread of a job ends.
pub(super) fn interrupted(cpu: CpuId, entry: &Entry) {
    let Some(log) = Log::of(cpu) else { return };
    let moved = log.look(cpu);
    let irq = if has_moved(&moved, IrqSource::Device) {
        linux::moved_irq(cpu)
    } else {
        None
    };
    if let Some(noise) = late(&moved, entry.time_ns) {
        log.write(cpu, noise);
    }
    if log.closed_ns.load(Relaxed) == entry.time_ns {
        return;
    }
    if let Some(noise) = judge(entry, &moved, irq, &log.guest(entry), linux::now_ns()) {
        log.write(cpu, noise);
    }
}

/// Writes what others found out about this CPU.
pub(super) fn tell(cpu: CpuId, noise: Disturbance) {
    if let Some(log) = Log::of(cpu) {
        log.write(cpu, noise);
    }
}

/// The entry gets no record from here on.
pub(super) fn close(cpu: CpuId, entry: &Entry) {
    if let Some(log) = Log::of(cpu) {
        log.closed_ns.store(entry.time_ns, Relaxed);
    }
}

/// A kernel thread takes this CPU from a willing task.
pub(super) fn guest_begins(cpu: CpuId, tid: u32, comm: [u8; COMM_LEN]) {
    let (Some(log), Some(entered_ns)) = (Log::of(cpu), linux::entered_ns()) else {
        return;
    };
    if log.guest_entry_ns.load(Relaxed) != entered_ns {
        log.guest_entry_ns.store(entered_ns, Relaxed);
        log.guest_ns.store(0, Relaxed);
        log.guest_work.store(0, Relaxed);
    }
    log.set_guest(tid, comm);
}

/// The running task, a kernel thread, gives this CPU back.
pub(super) fn guest_ends(cpu: CpuId, tid: u32, comm: [u8; COMM_LEN], ns: u64) {
    let (Some(log), Some(entered_ns)) = (Log::of(cpu), linux::entered_ns()) else {
        return;
    };
    if log.guest_entry_ns.load(Relaxed) == entered_ns {
        // At least 1, as 0 stands for none.
        let all_ns = log.guest_ns.load(Relaxed).saturating_add(ns.max(1));
        log.guest_ns.store(all_ns, Relaxed);
        log.guest_work.store(linux::guest_work(), Relaxed);
        log.set_guest(tid, comm);
    }
}

/// Walks the records of a CPU from a number on.
pub(crate) struct Reader {
    ring: Ring<'static, WORDS>,
    /// The number of the next record to read.
    pub(crate) next: u64,
    /// Records that were overwritten before they were read.
    pub(crate) lost: u64,
}

impl Reader {
    /// Starts at record `next`, or at the first one since the CPU joined its partition.
    pub(crate) fn new(cpu: CpuId, next: u64) -> Option<Self> {
        let log = Log::of(cpu)?;
        Some(Self {
            ring: log.ring(cpu),
            next: next.max(log.first.load(Relaxed)),
            lost: 0,
        })
    }
}

/// A record, and who may read it.
pub(crate) struct Read {
    /// The record.
    pub(crate) record: NoiseRecord,
    /// The user id of who made the disturbed job, or [`NOISE_UNKNOWN`].
    pub(crate) owner: u32,
}

impl Iterator for Reader {
    type Item = Read;

    fn next(&mut self) -> Option<Read> {
        loop {
            match self.ring.read(self.next) {
                Found::Record(words) => {
                    let noise = Disturbance::unpack(&words);
                    let mut record = noise.report(self.next);
                    linux::name(&noise, &mut record);
                    linux::localize(&mut record);
                    self.next += 1;
                    let owner = noise.owner;
                    return Some(Read { record, owner });
                }
                Found::Lost => {
                    let after = self.ring.oldest().max(self.next + 1);
                    self.lost += after - self.next;
                    self.next = after;
                }
                Found::NotYet => return None,
            }
        }
    }
}
