// SPDX-License-Identifier: GPL-2.0
//! Zeroing ahead: free blocks are zeroed on CPUs of Linux before anybody wants them.
#![forbid(unsafe_code)]

use super::nodes;
use crate::sys::pool;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Whether no block may be begun.
static IS_PAUSED: AtomicBool = AtomicBool::new(false);

/// While it lives no block is being zeroed, so that all free ones can be seen, promised and given back. It is held
/// under the control lock.
pub(crate) struct Pause {
    was_paused: bool,
}

/// Waits until no block is being zeroed.
pub(crate) fn pause() -> Pause {
    // ORDERING: SeqCst: who does not see this holds the work that is waited for.
    let was_paused = IS_PAUSED.swap(true, SeqCst);
    pool::wait_for_zeroing();
    Pause { was_paused }
}

impl Drop for Pause {
    fn drop(&mut self) {
        // ORDERING: As above.
        IS_PAUSED.store(self.was_paused, SeqCst);
        if !self.was_paused {
            pool::wake_zeroing();
        }
    }
}

/// Zeroes a block; false if there is none that needs it, or none may be begun.
pub(crate) fn zero_block() -> bool {
    // ORDERING: As above.
    if IS_PAUSED.load(SeqCst) {
        return false;
    }
    let block = nodes().find_map(pool::begin_zeroing);
    block.map(pool::BeingZeroed::finish).is_some()
}
