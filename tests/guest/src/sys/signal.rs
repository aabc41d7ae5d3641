// SPDX-License-Identifier: GPL-2.0
//! Signal handlers that note where they run.

use core::ffi::c_int;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal};
use nix::unistd::Pid;

/// CPUs on which handlers ran, as a bitmap; test machines have fewer than 64.
static CPUS: AtomicU64 = AtomicU64::new(0);
static COUNT: AtomicUsize = AtomicUsize::new(0);

extern "C" fn note(_: c_int) {
    // SAFETY: Reads a segment limit or a register; takes no lock.
    let cpu = unsafe { libc::sched_getcpu() };
    // ORDERING: Relaxed: whoever reads them knows from elsewhere that the handler has run.
    CPUS.fetch_or(1_u64.wrapping_shl(cpu.unsigned_abs()), Ordering::Relaxed);
    COUNT.fetch_add(1, Ordering::Relaxed);
}

/// What becomes of a system call that a handler interrupts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interrupted {
    /// It fails with `EINTR`.
    Fails,
    /// It begins anew.
    Restarts,
}

/// Has a handler note where it runs.
pub(crate) fn note_signal(signal: Signal, interrupted: Interrupted) -> Result<()> {
    let flags = match interrupted {
        Interrupted::Fails => SaFlags::empty(),
        Interrupted::Restarts => SaFlags::SA_RESTART,
    };
    let action = SigAction::new(SigHandler::Handler(note), flags, SigSet::empty());
    // SAFETY: The handler only does what handlers may.
    unsafe { sigaction(signal, &action) }.context("sigaction")?;
    Ok(())
}

/// Sends a signal to one thread of a process.
pub(crate) fn send_to(pid: Pid, tid: Pid, signal: Signal) -> nix::Result<()> {
    // SAFETY: Integers only.
    let result = unsafe {
        libc::syscall(
            libc::SYS_tgkill,
            pid.as_raw(),
            tid.as_raw(),
            signal as c_int,
        )
    };
    Errno::result(result).map(drop)
}

/// How often handlers ran so far, and on which CPUs, as a bitmap.
pub(crate) fn noted() -> (usize, u64) {
    // ORDERING: as above.
    (COUNT.load(Ordering::Relaxed), CPUS.load(Ordering::Relaxed))
}
