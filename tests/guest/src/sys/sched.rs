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
