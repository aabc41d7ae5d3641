// SPDX-License-Identifier: GPL-2.0
//! The calls that the LWK carries out itself, because it needs far fewer instructions than Linux for the usual case.
//!
//! What is not the usual case is left to Linux. `docs/syscalls.md` has the figures, also of calls without a gain.
#![forbid(unsafe_code)]

use crate::sys::{regs::Regs, task, thread::now_ns, uaccess};

const SCHED_YIELD: u32 = 24;
const NANOSLEEP: u32 = 35;
const CLOCK_NANOSLEEP: u32 = 230;

/// The clock whose time never jumps, as `clock_nanosleep(2)` numbers it.
const CLOCK_MONOTONIC: u64 = 1;

/// Sleeps up to this length are spent waiting. To give the CPU away and get it back takes longer, and Linux lets such a
/// sleep last 50 us more in case that other timers are due then (`PR_SET_TIMERSLACK`).
const SHORT_NS: u64 = 10_000;

/// Carries out a call of the calling task; none if Linux has to.
pub(super) fn carry_out(nr: u32, regs: &Regs<'_>) -> Option<i64> {
    if !task::is_alone() {
        return None;
    }
    match (nr, regs.args()) {
        // Nobody is there to whom it could give way.
        (SCHED_YIELD, _) => Some(0),
        (NANOSLEEP, [time, ..]) | (CLOCK_NANOSLEEP, [CLOCK_MONOTONIC, 0, time]) => wait(time),
        _ => None,
    }
}

/// A short sleep. A signal that comes meanwhile is as one that comes right after.
fn wait(time: u64) -> Option<i64> {
    let ns = uaccess::read_duration_ns(time).filter(|ns| *ns <= SHORT_NS)?;
    let end_ns = now_ns().saturating_add(ns);
    while now_ns() < end_ns {}
    Some(0)
}
