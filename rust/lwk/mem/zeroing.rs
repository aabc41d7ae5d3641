// SPDX-License-Identifier: GPL-2.0
//! Zeroing ahead: free blocks are zeroed on CPUs of Linux before anybody wants them.
//!
//! A worker of the lowest priority does it, which may not run for long when others want its CPU. So nobody waits for the
//! worker, but for the one block that it has in hand at most, with which it is not preempted.
#![forbid(unsafe_code)]

use super::nodes;
use crate::sys::pool;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

/// How many want no block to be begun.
static NR_PAUSES: AtomicU32 = AtomicU32::new(0);

/// Whether the worker has a block in hand, or is about to.
static IS_BUSY: AtomicBool = AtomicBool::new(false);

/// While it lives no block is being zeroed, so that all free ones can be seen and given back.
pub(crate) struct Pause(());

/// Waits until no block is being zeroed, which is not longer than one takes.
pub(crate) fn pause() -> Pause {
    // ORDERING: SeqCst, all here: of who says that it is busy or pauses, and then looks at the other, one sees the other.
    NR_PAUSES.fetch_add(1, SeqCst);
    while IS_BUSY.load(SeqCst) {
        core::hint::spin_loop();
    }
    Pause(())
}

impl Drop for Pause {
    fn drop(&mut self) {
        if NR_PAUSES.fetch_sub(1, SeqCst) == 1 {
            pool::wake_zeroing();
        }
    }
}

/// Zeroes a block; false if there is none that needs it, or none may be begun. The caller, of which there is one at a time,
/// is not preempted.
pub(crate) fn zero_block() -> bool {
    IS_BUSY.store(true, SeqCst);
    let mut block = None;
    if NR_PAUSES.load(SeqCst) == 0 {
        block = nodes().find_map(pool::begin_zeroing);
    }
    let is_done = block.map(pool::BeingZeroed::finish).is_some();
    IS_BUSY.store(false, SeqCst);
    is_done
}
