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
        disturbance::{Disturbance, Entry, Waited, WORDS},
        entry::{classify, Mark},
        patience::{Guest, Suspect},
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

/// One CPU's counters, on cache lines of their own. `suspect` and `waited` are for who holds the lock of its run queue.
#[repr(align(64))]
struct Counters {
    load: AtomicU32,
    suspect_tid: AtomicU32,
    suspect_ran_ns: AtomicU64,
    suspect_since_ns: AtomicU64,
    waited: [AtomicU64; WORDS],
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
            suspect_tid: AtomicU32::new(0),
            suspect_ran_ns: AtomicU64::new(0),
            suspect_since_ns: AtomicU64::new(0),
            waited: [const { AtomicU64::new(0) }; WORDS],
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

/// How many have one with a real-time priority that waits for another with such a priority.
static NR_RT_CROWDED: AtomicU32 = AtomicU32::new(0);

/// From this bit on a load counts the tasks with a real-time priority; below, all.
const RT_SHIFT: u32 = 16;

const fn all(load: u32) -> u32 {
    load & ((1 << RT_SHIFT) - 1)
}

/// Notes how many tasks of the LWK want the CPU, whose lock the caller holds, and how many of them have a real-time
/// priority.
pub(crate) fn set_load(cpu: Option<CpuId>, nr: u32, nr_rt: u32) {
    let Some(counters) = cpu.and_then(of) else {
        return;
    };
    let most = (1 << RT_SHIFT) - 1;
    let load = nr_rt.min(most) << RT_SHIFT | nr.min(most);
    let before = counters.load.load(Relaxed);
    counters.load.store(load, Relaxed);
    // ORDERING: SeqCst: a CPU that becomes crowded looks for an idle one after this, and one that becomes idle looks for
    // a crowded one after the fence of `crowded`; one of the two sees the other.
    let count = |crowded: &AtomicU32, was: bool, is: bool| match (was, is) {
        (false, true) => drop(crowded.fetch_add(1, SeqCst)),
        (true, false) => drop(crowded.fetch_sub(1, SeqCst)),
        _ => {}
    };
    count(&NR_CROWDED, all(before) > 1, nr > 1);
    count(&NR_RT_CROWDED, before >> RT_SHIFT > 1, nr_rt > 1);
}

/// Whether a task waits on any CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crowded {
    /// For any other.
    pub(crate) all: bool,
    /// One with a real-time priority for another with one.
    pub(crate) rt: bool,
}

/// Whether a task waits on any CPU, seen after the caller's own load was noted.
pub(crate) fn crowded() -> Crowded {
    fence(SeqCst);
    // ORDERING: Relaxed: the fence orders it.
    Crowded {
        all: NR_CROWDED.load(Relaxed) > 0,
        rt: NR_RT_CROWDED.load(Relaxed) > 0,
    }
}

/// How many tasks of the LWK want the CPU.
pub(crate) fn load(cpu: CpuId) -> u32 {
    of(cpu).map_or(u32::MAX, |counters| all(counters.load.load(Relaxed)))
}

/// How many tasks with a real-time priority want the CPU.
pub(crate) fn rt_load(cpu: CpuId) -> u32 {
    of(cpu).map_or(u32::MAX, |counters| counters.load.load(Relaxed) >> RT_SHIFT)
}

/// A load by which a CPU with fewer tasks with a real-time priority comes first, and among equal ones that with fewer
/// others.
pub(crate) fn rt_load_first(cpu: CpuId) -> u32 {
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

/// The guest of the CPU that waited at the last look.
pub(crate) fn suspect(cpu: CpuId) -> Suspect {
    of(cpu).map_or(Suspect::default(), |counters| Suspect {
        guest: Guest {
            tid: counters.suspect_tid.load(Relaxed),
            ran_ns: counters.suspect_ran_ns.load(Relaxed),
        },
        since_ns: counters.suspect_since_ns.load(Relaxed),
    })
}

/// Remembers it until the next look.
pub(crate) fn set_suspect(cpu: CpuId, suspect: &Suspect) {
    let Some(counters) = of(cpu) else { return };
    counters.suspect_tid.store(suspect.guest.tid, Relaxed);
    counters.suspect_ran_ns.store(suspect.guest.ran_ns, Relaxed);
    counters.suspect_since_ns.store(suspect.since_ns, Relaxed);
}

/// Remembers who waited for the CPU until that writes it into its log, which nobody else may.
pub(crate) fn note_waited(cpu: CpuId, waited: &Waited) {
    let Some(counters) = of(cpu) else { return };
    for (to, from) in counters.waited.iter().zip(waited.record(cpu.get()).pack()) {
        to.store(from, Relaxed);
    }
}

/// Writes it into the log of this CPU.
pub(crate) fn tell_waited(cpu: CpuId) {
    let Some(counters) = of(cpu) else { return };
    let mut words = [0; WORDS];
    for (to, from) in words.iter_mut().zip(&counters.waited) {
        *to = from.load(Relaxed);
    }
    log::tell(cpu, Disturbance::unpack(&words));
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
