// SPDX-License-Identifier: GPL-2.0
//! CPUs as Linux sees them: which there are, taking them down and up, its masks, its counters.

use super::bindings;
use crate::{
    logic::{
        cpuset::{CpuId, CpuSet},
        handover::Hand,
    },
    uapi::{IrqSource, IRQ_SLOTS, MAX_CPUS},
};
use core::ptr;
use kernel::error::{to_result, Result};

/// The size of arrays with one element for each CPU.
// CAST: A small positive number.
pub(crate) const NR_CPUS: usize = bindings::CONFIG_NR_CPUS as usize;

const _: () = assert!(NR_CPUS <= crate::uapi::MAX_CPUS);

/// Length of a tick.
pub(crate) const TICK_NS: u64 = 1_000_000_000 / bindings::CONFIG_HZ as u64;

/// How long a thread with `SCHED_RR` runs before the next one of its priority.
pub(crate) fn round_robin_ns() -> u64 {
    // SAFETY: Reads a setting, which may change at once.
    let ticks = unsafe { core::ptr::addr_of!(bindings::sched_rr_timeslice).read_volatile() };
    u64::try_from(ticks).unwrap_or(1).saturating_mul(TICK_NS)
}

/// One more than the highest possible CPU number.
pub(crate) fn nr_cpu_ids() -> u32 {
    // SAFETY: Written once, early at boot.
    unsafe { bindings::nr_cpu_ids }
}

/// A mask of Linux as a set.
pub(super) fn from_mask(mask: &bindings::cpumask) -> CpuSet {
    let mut words = [0; MAX_CPUS / 64];
    for (to, from) in words.iter_mut().zip(mask.bits) {
        // CAST: unsigned long has 64 bits.
        *to = from as u64;
    }
    // Cannot fail: there are no bits past MAX_CPUS.
    CpuSet::from_words(&words).unwrap_or(CpuSet::EMPTY)
}

/// A mask of Linux that others may change meanwhile, each word as of some moment.
///
/// # Safety
///
/// `mask` points to a live one.
pub(super) unsafe fn read_mask(mask: *const bindings::cpumask) -> CpuSet {
    const NR_WORDS: usize = core::mem::size_of::<bindings::cpumask>() / 8;
    let mut words = [0; MAX_CPUS / 64];
    for (nr, word) in words.iter_mut().take(NR_WORDS).enumerate() {
        // SAFETY: By the contract; words are written whole. No reference is made to memory that may change.
        *word = unsafe { ptr::read_volatile(mask.cast::<u64>().add(nr)) };
    }
    // Cannot fail: there are no bits past MAX_CPUS.
    CpuSet::from_words(&words).unwrap_or(CpuSet::EMPTY)
}

/// A set as a mask of Linux.
pub(super) fn to_mask(cpus: &CpuSet) -> bindings::cpumask {
    let mut mask = bindings::cpumask::default();
    for (to, from) in mask.bits.iter_mut().zip(cpus.words()) {
        // CAST: unsigned long has 64 bits.
        *to = *from as usize;
    }
    mask
}

/// The CPU as C numbers it.
pub(super) fn number(cpu: CpuId) -> i32 {
    // CAST: Below MAX_CPUS.
    cpu.get() as i32
}

/// The CPUs that can ever be there.
pub(crate) fn possible() -> CpuSet {
    // SAFETY: The mask is static.
    unsafe { read_mask(ptr::addr_of!(bindings::__cpu_possible_mask)) }
}

/// Whether the CPU is on line, which may change at once.
pub(crate) fn is_online(cpu: CpuId) -> bool {
    // SAFETY: The mask is static.
    unsafe { read_mask(ptr::addr_of!(bindings::__cpu_online_mask)) }.contains(cpu)
}

/// The CPUs of Linux that take tasks, which may change at once.
pub(crate) fn active() -> CpuSet {
    // SAFETY: As above.
    unsafe { read_mask(ptr::addr_of!(bindings::__cpu_active_mask)) }
}

/// How many tasks of Linux want the CPU; none if it takes none.
pub(crate) fn service_load(cpu: CpuId) -> Option<u32> {
    // SAFETY: Reads a count of a possible CPU's run queue.
    u32::try_from(unsafe { bindings::lwk_c_service_load(number(cpu)) }).ok()
}

/// How far two CPUs are from each other, as NUMA nodes go.
pub(crate) fn distance(from: CpuId, to: CpuId) -> u32 {
    let (from, to) = (node(from), node(to));
    if from == to {
        return 0;
    }
    // SAFETY: Two nodes that exist.
    u32::try_from(unsafe { bindings::lwk_c_node_distance(from, to) }).unwrap_or(u32::MAX)
}

/// Whether the boot line had `lwkcpus=`.
pub(crate) fn is_armed() -> bool {
    // SAFETY: Written early at boot only.
    unsafe { bindings::lwk_armed }
}

/// Lets others run whose turn it is; in process context, without locks.
pub(crate) fn may_yield() {
    // SAFETY: By the sentence above, which all callers keep: they may sleep.
    unsafe { bindings::lwk_c_may_yield() };
}

/// Whether the caller may change who has which CPU.
pub(crate) fn may_admin() -> bool {
    // SAFETY: Process context.
    unsafe { bindings::lwk_c_may_admin() }
}

/// Whether the caller may see what threads of other users do: `CAP_PERFMON`.
pub(crate) fn may_watch() -> bool {
    // SAFETY: Process context.
    unsafe { bindings::lwk_c_may_watch() }
}

/// A user id of the initial user namespace as the caller's numbers it.
pub(crate) fn uid_here(uid: u32) -> u32 {
    // SAFETY: Reads the credentials of the current task.
    unsafe { bindings::lwk_c_uid_here(uid) }
}

/// Whether the caller is this user.
pub(crate) fn is_user(uid: u32) -> bool {
    // SAFETY: Reads the credentials of the current task.
    unsafe { bindings::lwk_c_current_uid() == uid }
}

/// The CPU that keeps the time, as long as full dynticks need one.
pub(crate) fn timekeeper() -> Option<CpuId> {
    // SAFETY: Compares the number with a variable.
    possible()
        .iter()
        .find(|cpu| unsafe { bindings::lwk_c_cpu_keeps_time(number(*cpu)) })
}

/// Whether `nohz_full=` or `isolcpus=` has it already.
pub(crate) fn is_isolated(cpu: CpuId) -> bool {
    // SAFETY: Reads masks that live for ever.
    unsafe { bindings::lwk_c_cpu_isolated(number(cpu)) }
}

/// Its NUMA node.
pub(crate) fn node(cpu: CpuId) -> u32 {
    // SAFETY: `cpu` is possible, as callers take it from a partition or test it against `nr_cpu_ids`.
    u32::try_from(unsafe { bindings::lwk_c_cpu_to_node(number(cpu)) }).unwrap_or(0)
}

/// The lock of CPU hotplug, held: only its holder takes CPUs off line and on line.
#[must_use = "dropping it opens the lock"]
pub(crate) struct Hotplug(());

impl Hotplug {
    /// Takes the lock, inside the control lock; may sleep long.
    pub(crate) fn lock() -> Self {
        // SAFETY: Process context.
        unsafe { bindings::lwk_c_hotplug_lock() };
        Self(())
    }

    /// Takes the CPU off line; may sleep long.
    pub(crate) fn take_down(&self, cpu: CpuId) -> Result {
        // SAFETY: Process context, and the lock is held; a possible CPU has a device.
        to_result(unsafe { bindings::lwk_c_cpu_offline(number(cpu)) })
    }

    /// Brings the CPU on line; may sleep long.
    pub(crate) fn bring_up(&self, cpu: CpuId) -> Result {
        // SAFETY: As above.
        to_result(unsafe { bindings::lwk_c_cpu_online(number(cpu)) })
    }
}

impl Drop for Hotplug {
    fn drop(&mut self) {
        // SAFETY: `self` stands for the lock taken in `lock`.
        unsafe { bindings::lwk_c_hotplug_unlock() };
    }
}

/// Removes the off-line CPU from all that Linux shares out over its CPUs.
pub(crate) fn isolate(cpu: CpuId) {
    // SAFETY: The masks exist, as `is_armed` was checked; the lock of changes keeps others out.
    unsafe { bindings::lwk_c_cpu_isolate(number(cpu)) };
}

/// The reverse of [`isolate`].
pub(crate) fn unisolate(cpu: CpuId) {
    // SAFETY: As above.
    unsafe { bindings::lwk_c_cpu_unisolate(number(cpu)) };
}

/// The hardware threads of the CPU's core, itself among them.
pub(crate) fn siblings(cpu: CpuId) -> CpuSet {
    let mut words = [0_usize; MAX_CPUS / 64];
    // SAFETY: `MAX_CPUS` bits are at least `nr_cpu_ids`; a possible CPU.
    unsafe { bindings::lwk_c_cpu_siblings(number(cpu), words.as_mut_ptr()) };
    // CAST: unsigned long has 64 bits.
    CpuSet::from_words(&words.map(|word| word as u64)).unwrap_or(CpuSet::EMPTY)
}

/// Whether the CPUs have no clock in common, so that none can do without the tick.
pub(crate) fn is_clock_unstable() -> bool {
    // SAFETY: Reads a variable.
    unsafe { bindings::lwk_c_clock_unstable() }
}

/// Whether deadline tasks count on the CPU.
pub(crate) fn has_deadline_tasks(cpu: CpuId) -> bool {
    // SAFETY: Reads under RCU; a possible CPU.
    unsafe { bindings::lwk_c_deadline_tasks(number(cpu)) }
}

/// Keeps device interrupts off the CPU, which is on line.
pub(crate) fn send_irqs_away(cpu: CpuId) -> Result {
    // SAFETY: Process context; the lock of changes keeps other calls for the CPU out.
    to_result(unsafe { bindings::lwk_c_irqs_leave(number(cpu)) })
}

/// Lets the interrupts come again that [`send_irqs_away`] moved.
pub(crate) fn call_irqs_back(cpu: CpuId) {
    // SAFETY: As above.
    unsafe { bindings::lwk_c_irqs_return(number(cpu)) };
}

/// Tells the hooks in whose hands the CPU is.
pub(crate) fn set_hand(cpu: CpuId, hand: Hand) {
    let (owned, inactive, pinned) = (hand.is_owned(), hand.is_inactive(), hand.is_pinned());
    // SAFETY: Writes per-CPU variables of a possible CPU.
    unsafe { bindings::lwk_c_set_hand(number(cpu), owned, inactive, pinned) };
}

/// Says whether Linux may have other hardware threads of the CPU's core, so that those may come on line.
pub(crate) fn set_shares_core(cpu: CpuId, shares: bool) {
    // SAFETY: Writes a per-CPU variable of a possible CPU.
    unsafe { bindings::lwk_c_set_shares_core(number(cpu), shares) };
}

/// Arms the hooks; before a first CPU is owned.
pub(crate) fn activate_hooks() {
    // SAFETY: Process context.
    unsafe { bindings::lwk_c_activate() };
}

/// Disarms the hooks; after the last CPU is given back.
pub(crate) fn deactivate_hooks() {
    // SAFETY: Process context.
    unsafe { bindings::lwk_c_deactivate() };
}

/// Keeps unbound work items off `cpus`.
pub(crate) fn exclude_from_workqueues(cpus: &CpuSet) -> Result {
    // SAFETY: `MAX_CPUS` bits are at least `nr_cpu_ids`; process context.
    to_result(unsafe { bindings::lwk_c_workqueues_exclude(cpus.words().as_ptr().cast()) })
}

/// Runtime of the CPU's fair server in each second.
pub(crate) fn fair_server_ns(cpu: CpuId) -> u64 {
    // SAFETY: Reads a variable of a possible CPU's run queue.
    unsafe { bindings::lwk_c_fair_server_get(number(cpu)) }
}

/// Sets the runtime of the CPU's fair server, which would make the tick go on; 0 turns it off.
pub(crate) fn set_fair_server_ns(cpu: CpuId, runtime_ns: u64) -> Result {
    // SAFETY: Takes the run queue's lock itself.
    to_result(unsafe { bindings::lwk_c_fair_server_set(number(cpu), runtime_ns) })
}

/// Interrupts that the CPU took since boot, by source.
pub(crate) fn irq_counts(cpu: CpuId) -> [u64; IRQ_SLOTS] {
    let mut raw = bindings::lwk_irq_counts::default();
    // SAFETY: Reads per-CPU counters of a possible CPU into `raw`.
    unsafe { bindings::lwk_c_irq_counts(number(cpu), &mut raw) };
    let mut counts = [0; IRQ_SLOTS];
    let mut known: u64 = 0;
    for source in IrqSource::ALL {
        let count = match source {
            IrqSource::Device => raw.device,
            IrqSource::Timer => raw.timer,
            IrqSource::Spurious => raw.spurious,
            IrqSource::Pmi => raw.pmi,
            IrqSource::IrqWork => raw.irq_work,
            IrqSource::Reschedule => raw.reschedule,
            IrqSource::Call => raw.call,
            IrqSource::Tlb => raw.tlb,
            IrqSource::Thermal => raw.thermal,
            IrqSource::Threshold => raw.threshold,
            IrqSource::Nmi => raw.nmi,
            IrqSource::Mce => raw.mce,
            IrqSource::McePoll => raw.mce_poll,
            IrqSource::Platform => raw.platform,
            // The last of all.
            IrqSource::Other => raw.all.saturating_sub(known),
        };
        known = known.saturating_add(count);
        if let Some(slot) = counts.get_mut(source.index()) {
            *slot = count;
        }
    }
    counts
}

/// Page faults on the CPU since boot.
pub(crate) fn fault_count(cpu: CpuId) -> u64 {
    // SAFETY: Reads a per-CPU counter of a possible CPU.
    unsafe { bindings::lwk_c_fault_count(number(cpu)) }
}

/// Returns to user mode on the CPU that ended a system call, while it belonged to partitions.
pub(crate) fn syscall_count(cpu: CpuId) -> u64 {
    // SAFETY: Reads a per-CPU counter of a possible CPU.
    unsafe { bindings::lwk_c_syscall_count(number(cpu)) }
}

/// Times that the CPU made up for interrupts it was spared, since boot.
pub(crate) fn caught_up_count(cpu: CpuId) -> u64 {
    // SAFETY: Reads a per-CPU counter of a possible CPU.
    unsafe { bindings::lwk_c_caught_up(number(cpu)) }
}
