// SPDX-License-Identifier: GPL-2.0
//! The time-stamp counter.

use core::arch::x86_64::{__rdtscp, _mm_lfence};

/// Reads the time-stamp counter; nothing of the measured work moves across the reading.
#[inline(always)]
pub(crate) fn ticks() -> u64 {
    let mut processor = 0;
    // SAFETY: Every x86-64 processor since 2008 has RDTSCP, and it only writes to the variable given.
    let ticks = unsafe { __rdtscp(&mut processor) };
    // SAFETY: LFENCE is part of SSE2, which x86-64 has; it changes nothing.
    unsafe { _mm_lfence() };
    ticks
}
