// SPDX-License-Identifier: GPL-2.0
//! Zeroing ahead: free blocks are zeroed on CPUs of Linux before anybody wants them.
#![forbid(unsafe_code)]

use super::nodes;
use crate::sys::pool;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

/// How many want no block to be begun.
static NR_PAUSES: AtomicU32 = AtomicU32::new(0);

/// While it lives no block is being zeroed, so that all free ones can be seen, promised and given back.
pub(crate) struct Pause(());

/// Waits until no block is being zeroed; may sleep.
pub(crate) fn pause() -> Pause {
    // ORDERING: SeqCst: who does not see this holds the work that is waited for.
    NR_PAUSES.fetch_add(1, SeqCst);
    pool::wait_for_zeroing();
    Pause(())
}

impl Drop for Pause {
    fn drop(&mut self) {
        // ORDERING: As above.
        if NR_PAUSES.fetch_sub(1, SeqCst) == 1 {
            pool::wake_zeroing();
        }
    }
}

/// Zeroes a block; false if there is none that needs it, or none may be begun.
pub(crate) fn zero_block() -> bool {
    // ORDERING: As above.
    if NR_PAUSES.load(SeqCst) > 0 {
        return false;
    }
    let block = nodes().find_map(pool::begin_zeroing);
    block.map(pool::BeingZeroed::finish).is_some()
}
