// SPDX-License-Identifier: GPL-2.0
//! The lightweight kernel (LWK): owns designated CPUs and runs jobs there, undisturbed, while Linux has the rest.
//!
//! ```text
//! entry      every door through which C calls in; converts and calls, nothing more
//! device     /dev/lwk: ioctls in, results out
//! partition  which CPUs belong to the LWK
//! moves      how a CPU changes owner
//! mem        memory of partitions, and how it comes and goes
//! job        reservations of CPUs and who shares in them
//! sched      the lwk scheduling class
//! syscall    where system calls of jobs are carried out
//! noise      counters and log of what disturbs a CPU
//! logic      pure policy, also compiled and tested on the host; no unsafe
//! sys        safe wrappers over Linux; with entry the only unsafe code
//! uapi       the ABI of /dev/lwk
//! ```
//!
//! Order: uapi < logic; sys < features < entry. Lock order is in `docs/locking.md`.
#![warn(missing_docs)]

/// Put before each line that the crate prints.
const __LOG_PREFIX: &[u8] = b"lwk\0";

pub mod logic;
#[path = "uapi/lwk_uapi.rs"]
pub mod uapi;

mod device;
mod entry;
mod job;
mod mem;
mod moves;
mod noise;
mod partition;
mod sched;
mod sys;
mod syscall;
