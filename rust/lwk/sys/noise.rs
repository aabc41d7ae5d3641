// SPDX-License-Identifier: GPL-2.0
//! What an interrupt is about, memory for the log of such, and names of functions and interrupts.

use super::{bindings, cpu::number, cpu::NR_CPUS};
use crate::{
    logic::{
        cpuset::CpuId,
        disturbance::{Disturbance, Entry, WORDS},
        ring::Slot,
    },
    uapi::{NoiseRecord, COMM_LEN, NOISE_RECORDS, NOISE_UNKNOWN},
};
use core::{
    mem::{offset_of, size_of},
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};
use kernel::error::{code, Result};

/// Compares the layout of a structure with that of its twin in C.
macro_rules! same_layout {
    ($ours:ty, $theirs:ty, $($field:ident),* $(,)?) => {
        const _: () = assert!(size_of::<$ours>() == size_of::<$theirs>());
        $( const _: () = assert!(offset_of!($ours, $field) == offset_of!($theirs, $field)); )*
    };
}

same_layout!(
    Entry,
    bindings::lwk_entry,
    time_ns,
    irqs,
    faults,
    call,
    work,
    timer,
    call_kind,
    nr_calls,
    flags,
    sender_cpu,
    sender_tid,
    sender_pid,
    victim_tid,
    victim_pid,
    sender_comm,
);
same_layout!(
    Disturbance,
    bindings::lwk_disturbance,
    time_ns,
    duration_ns,
    guest_ns,
    address,
    guest_address,
    cause,
    sources,
    nr_irqs,
    flags,
    ran,
    nr_calls,
    irq,
    sender_cpu,
    sender_tid,
    sender_pid,
    victim_tid,
    victim_pid,
    guest_tid,
    owner,
    sender_comm,
    guest_comm,
);

/// The room of each CPU's log: null, or for ever [`NOISE_RECORDS`] slots.
static ROOM: [AtomicPtr<Slot<WORDS>>; NR_CPUS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; NR_CPUS];

/// Sees to it that the CPU has room for a log; it keeps it for ever. Callers hold the lock of changes.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn make_room(cpu: CpuId) -> Result {
    let place = ROOM.get(cpu.index()).ok_or(code::EINVAL)?;
    // ORDERING: Relaxed, as it changes under the lock of changes only.
    if !place.load(Ordering::Relaxed).is_null() {
        return Ok(());
    }
    let size = NOISE_RECORDS * size_of::<Slot<WORDS>>();
    // SAFETY: Process context; a possible CPU.
    let room = unsafe { bindings::lwk_c_noise_room(number(cpu), size) };
    if room.is_null() {
        return Err(code::ENOMEM);
    }
    // ORDERING: Release: whoever finds the slots finds them zeroed.
    place.store(room.cast(), Ordering::Release);
    Ok(())
}

/// The room of a CPU's log, empty if it never had one.
pub(crate) fn slots(cpu: CpuId) -> &'static [Slot<WORDS>] {
    // ORDERING: Acquire pairs with the Release of `make_room`.
    let room = ROOM
        .get(cpu.index())
        .map_or(ptr::null_mut(), |room| room.load(Ordering::Acquire));
    if room.is_null() {
        return &[];
    }
    // SAFETY: `make_room` stored it: so many slots, zeroed, which is a valid value of atomic integers, aligned as
    // pages or large `kmalloc` blocks are, never freed; all access is atomic.
    unsafe { core::slice::from_raw_parts(room, NOISE_RECORDS) }
}

/// What C saw as this CPU left user mode.
///
/// # Safety
///
/// `raw` must be this CPU's, interrupts off for `'a`.
pub(crate) unsafe fn entry<'a>(raw: *const bindings::lwk_entry) -> &'a Entry {
    // SAFETY: By the contract; the layouts are the same, checked above, and any bytes are a valid value.
    unsafe { &*raw.cast() }
}

/// Now, in nanoseconds of the monotonic clock.
pub(crate) fn now_ns() -> u64 {
    // SAFETY: May be called in any context.
    unsafe { bindings::lwk_c_now_ns() }
}

/// When this CPU came from user mode, if it did not return there since and not for a system call. Interrupts are off.
pub(crate) fn entered_ns() -> Option<u64> {
    // SAFETY: Reads variables of this CPU.
    match unsafe { bindings::lwk_c_entered_ns() } {
        0 => None,
        time_ns => Some(time_ns),
    }
}

/// The work that the running task did last, if it is a kworker, else 0; called where it gives the CPU away.
pub(crate) fn guest_work() -> u64 {
    // SAFETY: In the scheduler, where a worker's last function is stable.
    unsafe { bindings::lwk_c_guest_work() }
}

/// A device interrupt that came to this CPU since the last call.
pub(crate) fn moved_irq(cpu: CpuId) -> Option<u32> {
    // SAFETY: Called on `cpu` itself with interrupts off, or while it is off line.
    match unsafe { bindings::lwk_c_moved_irq(number(cpu)) } {
        u32::MAX => None,
        irq => Some(irq),
    }
}

/// Tells tracers, if there are any.
pub(crate) fn trace(noise: &Disturbance) {
    // SAFETY: The layouts are the same, checked above; the pointer is used during the call only.
    unsafe { bindings::lwk_c_trace_noise(ptr::from_ref(noise).cast()) };
}

/// Gives processes and threads the numbers that they have in the caller's pid namespace, and takes the names of those away
/// that it has no number for.
pub(crate) fn localize(record: &mut NoiseRecord) {
    // SAFETY: Reads the namespace of the current task.
    if unsafe { bindings::lwk_c_sees_all_pids() } {
        return;
    }
    let number = |number: &mut u32| {
        // SAFETY: Any number will do.
        let here = match *number {
            NOISE_UNKNOWN => 0,
            all => unsafe { bindings::lwk_c_pid_here(all) },
        };
        *number = if here == 0 { NOISE_UNKNOWN } else { here };
        here != 0
    };
    number(&mut record.victim_tid);
    number(&mut record.victim_pid);
    number(&mut record.sender_pid);
    if !number(&mut record.sender_tid) {
        record.sender_comm = [0; COMM_LEN];
    }
    // A kernel thread, whose name tells of nobody.
    number(&mut record.guest_tid);
}

/// Fills in the names of functions and interrupts; may sleep.
pub(crate) fn name(noise: &Disturbance, record: &mut NoiseRecord) {
    let symbol = |address, name: &mut [u8]| {
        // SAFETY: Writes at most as many bytes as there are; process context.
        unsafe { bindings::lwk_c_symbol(address, name.as_mut_ptr().cast(), name.len()) };
    };
    symbol(noise.address, &mut record.symbol);
    symbol(noise.guest_address, &mut record.guest_symbol);
    if noise.irq != NOISE_UNKNOWN {
        let name = &mut record.irq_name;
        // SAFETY: As above.
        let handler =
            unsafe { bindings::lwk_c_irq_action(noise.irq, name.as_mut_ptr().cast(), name.len()) };
        if noise.address == 0 {
            symbol(handler, &mut record.symbol);
        }
    }
}

const _: () = assert!(COMM_LEN == 16);
