// SPDX-License-Identifier: GPL-2.0
//! Scheduling policies, and where the kernel says a thread runs.

use core::ffi::{c_int, c_uint};

use nix::errno::Errno;
use nix::libc;

/// A scheduling policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// The usual one.
    Other,
    /// Real-time, of this priority.
    Fifo(c_int),
    /// The same, in turns with others of its priority.
    RoundRobin(c_int),
    /// Runs this much of each period, both in nanoseconds.
    Deadline(u64, u64),
}

/// `struct sched_attr` of `sched_setattr(2)`, first version.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Sets the policy of a thread (0: the calling one).
pub(crate) fn set_policy(tid: i32, policy: Policy) -> nix::Result<()> {
    let mut attributes = Attributes {
        size: size_of::<Attributes>() as u32,
        ..Default::default()
    };
    match policy {
        Policy::Other => {}
        Policy::Fifo(priority) => {
            attributes.policy = libc::SCHED_FIFO.unsigned_abs();
            attributes.priority = priority.unsigned_abs();
        }
        Policy::RoundRobin(priority) => {
            attributes.policy = libc::SCHED_RR.unsigned_abs();
            attributes.priority = priority.unsigned_abs();
        }
        Policy::Deadline(runtime, period) => {
            attributes.policy = libc::SCHED_DEADLINE.unsigned_abs();
            (attributes.runtime, attributes.deadline, attributes.period) =
                (runtime, period, period);
        }
    }
    // SAFETY: The kernel reads as many bytes as the structure says it has.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, tid, &raw const attributes, 0) };
    Errno::result(result).map(drop)
}

/// The number of a thread's policy (0: the calling one).
pub(crate) fn policy(tid: i32) -> nix::Result<c_int> {
    // SAFETY: One integer.
    Errno::result(unsafe { libc::sched_getscheduler(tid) })
}

/// What core scheduling is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cookie {
    /// Give the calling process a new cookie.
    Create,
    /// Give another process that of the calling thread.
    ShareTo(i32),
    /// Take that of another thread.
    ShareFrom(i32),
}

/// Changes cookies of core scheduling.
pub(crate) fn cookie(cookie: Cookie) -> nix::Result<()> {
    const SCOPE_THREAD: u64 = 0;
    const SCOPE_THREAD_GROUP: u64 = 1;
    let (command, pid, scope) = match cookie {
        Cookie::Create => (libc::PR_SCHED_CORE_CREATE, 0, SCOPE_THREAD_GROUP),
        Cookie::ShareTo(pid) => (libc::PR_SCHED_CORE_SHARE_TO, pid, SCOPE_THREAD_GROUP),
        Cookie::ShareFrom(pid) => (libc::PR_SCHED_CORE_SHARE_FROM, pid, SCOPE_THREAD),
    };
    // SAFETY: Integers only.
    let result = unsafe { libc::prctl(libc::PR_SCHED_CORE, command, pid, scope, 0_u64) };
    Errno::result(result).map(drop)
}

/// The turn of a thread (0: the calling one) as `sched_rr_get_interval(2)` says.
pub(crate) fn turn(tid: i32) -> nix::Result<core::time::Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: The kernel writes one structure.
    Errno::result(unsafe { libc::sched_rr_get_interval(tid, &raw mut time) })?;
    // CAST: Neither is negative.
    Ok(core::time::Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    ))
}

/// The CPU that `getcpu(2)` tells of as a system call, not the vDSO.
pub(crate) fn getcpu() -> nix::Result<usize> {
    let mut cpu: c_uint = 0;
    // SAFETY: The kernel writes one integer; the other pointers may be null.
    let result = unsafe {
        libc::syscall(
            libc::SYS_getcpu,
            &raw mut cpu,
            core::ptr::null::<c_uint>(),
            core::ptr::null::<c_uint>(),
        )
    };
    // CAST: CPUs have small numbers.
    Errno::result(result).map(|_| cpu as usize)
}
