// SPDX-License-Identifier: GPL-2.0
//! Counters of what disturbs an LWK CPU: kernel entries, interrupts, guests.
//!
//! Each CPU writes its own counters only, with interrupts off, so that plain loads and stores suffice; readers on other
//! CPUs may see one count older than another. Interrupts and faults are counted by Linux anyway, and system calls by the
//! hook itself: here is only what the counts were when the CPU joined its partition.
#![forbid(unsafe_code)]

pub(crate) mod log;

use crate::{
    logic::{
        cpuset::CpuId,
        disturbance::Entry,
        entry::{classify, Mark},
    },
    sys::{
        cpu::{self, NR_CPUS},
        task::Task,
    },
    uapi::{CpuGet, EntryKind, COMM_LEN, ENTRY_SLOTS, IRQ_SLOTS},
};
use core::sync::atomic::{
    fence, AtomicU32, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

/// One CPU's counters, on cache lines of their own.
#[repr(align(64))]
struct Counters {
    load: AtomicU32,
    entries: [AtomicU64; ENTRY_SLOTS],
    switches: AtomicU64,
    guest_runs: AtomicU64,
    guest_ns: AtomicU64,
    guest_comm: [AtomicU64; COMM_LEN / 8],
    base_irqs: [AtomicU64; IRQ_SLOTS],
    base_faults: AtomicU64,
    base_caught_up: AtomicU64,
    base_syscalls: AtomicU64,
}

impl Counters {
    const fn new() -> Self {
        Self {
            load: AtomicU32::new(0),
            entries: [const { AtomicU64::new(0) }; ENTRY_SLOTS],
            switches: AtomicU64::new(0),
            guest_runs: AtomicU64::new(0),
            guest_ns: AtomicU64::new(0),
            guest_comm: [const { AtomicU64::new(0) }; COMM_LEN / 8],
            base_irqs: [const { AtomicU64::new(0) }; IRQ_SLOTS],
            base_faults: AtomicU64::new(0),
            base_caught_up: AtomicU64::new(0),
            base_syscalls: AtomicU64::new(0),
        }
    }
}

static COUNTERS: [Counters; NR_CPUS] = [const { Counters::new() }; NR_CPUS];

fn of(cpu: CpuId) -> Option<&'static Counters> {
    COUNTERS.get(cpu.index())
}

// ORDERING: Relaxed everywhere: statistics, each with one writer, that order nothing else.
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(amount), Relaxed);
}

/// How many CPUs have a task of the LWK that waits for another.
static NR_CROWDED: AtomicU32 = AtomicU32::new(0);

/// Notes how many tasks of the LWK want the CPU, whose lock the caller holds.
pub(crate) fn set_load(cpu: Option<CpuId>, nr: u32) {
    let Some(counters) = cpu.and_then(of) else {
        return;
    };
    let was_crowded = counters.load.load(Relaxed) > 1;
    counters.load.store(nr, Relaxed);
    // ORDERING: SeqCst: a CPU that becomes crowded looks for an idle one after this, and one that becomes idle looks for
    // a crowded one after the fence of `is_any_crowded`; one of the two sees the other.
    match (was_crowded, nr > 1) {
        (false, true) => drop(NR_CROWDED.fetch_add(1, SeqCst)),
        (true, false) => drop(NR_CROWDED.fetch_sub(1, SeqCst)),
        _ => {}
    }
}

/// Whether a task waits on any CPU, seen after the caller's own load was noted.
pub(crate) fn is_any_crowded() -> bool {
    fence(SeqCst);
    // ORDERING: Relaxed: the fence orders it.
    NR_CROWDED.load(Relaxed) > 0
}

/// How many tasks of the LWK want the CPU.
pub(crate) fn load(cpu: CpuId) -> u32 {
    of(cpu).map_or(u32::MAX, |counters| counters.load.load(Relaxed))
}

/// A task of the LWK starts running.
pub(crate) fn count_switch(cpu: Option<CpuId>) {
    if let Some(counters) = cpu.and_then(of) {
        add(&counters.switches, 1);
    }
}

/// A guest took the CPU from a task that wanted it.
pub(crate) fn count_guest(cpu: Option<CpuId>, guest: &Task<'_>) {
    let Some((cpu, counters)) = cpu.and_then(|cpu| Some((cpu, of(cpu)?))) else {
        return;
    };
    let comm = guest.comm();
    log::guest_begins(cpu, guest.tid(), comm);
    add(&counters.guest_runs, 1);
    for (slot, bytes) in counters.guest_comm.iter().zip(comm.chunks_exact(8)) {
        slot.store(bytes.try_into().map_or(0, u64::from_ne_bytes), Relaxed);
    }
}

/// The guest, which still runs, gives the CPU back.
pub(crate) fn add_guest_time(cpu: Option<CpuId>, guest: &Task<'_>, ns: u64) {
    if let Some((cpu, counters)) = cpu.and_then(|cpu| Some((cpu, of(cpu)?))) {
        add(&counters.guest_ns, ns);
        log::guest_ends(cpu, guest.tid(), guest.comm(), ns);
    }
}

fn kind(entry: &Entry, now: &Mark) -> EntryKind {
    let before = Mark {
        irqs: entry.irqs,
        faults: entry.faults,
    };
    classify(&before, now)
}

/// The CPU returns to user mode: one kernel entry ends. True if all interrupts until now are accounted for.
pub(crate) fn user_enter(cpu: CpuId, entry: &Entry, now: Mark) -> bool {
    let kind = kind(entry, &now);
    if let Some(slot) = of(cpu).and_then(|counters| counters.entries.get(kind.index())) {
        add(slot, 1);
    }
    if kind == EntryKind::Interrupt {
        log::interrupted(cpu, entry);
        return true;
    }
    false
}

/// How a thread goes to sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sleep {
    /// It waits for something that it asked for.
    Waits,
    /// It was stopped.
    Stops,
}

/// The thread with which the entry began will not end it by its return.
pub(crate) fn thread_sleeps(cpu: CpuId, entry: &Entry, sleep: Sleep, now: Mark) {
    if sleep == Sleep::Stops && kind(entry, &now) == EntryKind::Interrupt {
        log::interrupted(cpu, entry);
    }
    log::close(cpu, entry);
}

/// Starts all counts of an off-line CPU anew.
pub(crate) fn reset(cpu: CpuId) {
    log::reset(cpu);
    let Some(counters) = of(cpu) else { return };
    let singles = [&counters.switches, &counters.guest_runs, &counters.guest_ns];
    for counter in singles
        .into_iter()
        .chain(&counters.entries)
        .chain(&counters.guest_comm)
    {
        counter.store(0, Relaxed);
    }
    for (base, count) in counters.base_irqs.iter().zip(cpu::irq_counts(cpu)) {
        base.store(count, Relaxed);
    }
    counters.base_faults.store(cpu::fault_count(cpu), Relaxed);
    counters
        .base_caught_up
        .store(cpu::caught_up_count(cpu), Relaxed);
    counters
        .base_syscalls
        .store(cpu::syscall_count(cpu), Relaxed);
}

/// Fills in the counters of an LWK CPU.
pub(crate) fn report(cpu: CpuId, out: &mut CpuGet) {
    let Some(counters) = of(cpu) else { return };
    out.nr_running = load(cpu);
    for (to, from) in out.entries.iter_mut().zip(&counters.entries) {
        *to = from.load(Relaxed);
    }
    if let Some(syscalls) = out.entries.get_mut(EntryKind::Syscall.index()) {
        *syscalls = cpu::syscall_count(cpu).saturating_sub(counters.base_syscalls.load(Relaxed));
    }
    let bases = counters.base_irqs.iter().map(|base| base.load(Relaxed));
    for ((to, now), base) in out.irqs.iter_mut().zip(cpu::irq_counts(cpu)).zip(bases) {
        *to = now.saturating_sub(base);
    }
    out.switches = counters.switches.load(Relaxed);
    out.guest_runs = counters.guest_runs.load(Relaxed);
    out.guest_ns = counters.guest_ns.load(Relaxed);
    for (to, from) in out.guest_comm.chunks_exact_mut(8).zip(&counters.guest_comm) {
        to.copy_from_slice(&from.load(Relaxed).to_ne_bytes());
    }
    out.caught_up = cpu::caught_up_count(cpu).saturating_sub(counters.base_caught_up.load(Relaxed));
    out.faults = cpu::fault_count(cpu).saturating_sub(counters.base_faults.load(Relaxed));
}
