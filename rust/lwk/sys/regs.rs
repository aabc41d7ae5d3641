// SPDX-License-Identifier: GPL-2.0
//! The registers with which a task came from user mode.

use super::bindings;

/// Registers of the calling task in user mode.
pub(crate) struct Regs<'a>(&'a mut bindings::pt_regs);

impl<'a> Regs<'a> {
    /// Wraps them.
    ///
    /// # Safety
    ///
    /// `raw` must be those of the calling task in user mode, and nobody else may use them for `'a`.
    pub(crate) unsafe fn from_raw(raw: *mut bindings::pt_regs) -> Self {
        // SAFETY: By the contract of this function.
        Self(unsafe { &mut *raw })
    }

    /// Where it goes on in user mode.
    pub(crate) fn ip(&self) -> u64 {
        // CAST: unsigned long has 64 bits.
        self.0.ip as u64
    }

    /// The first three arguments of its system call.
    pub(crate) fn args(&self) -> [u64; 3] {
        // CAST: As above.
        [self.0.di, self.0.si, self.0.dx].map(|register| register as u64)
    }

    /// Sets the result of its system call, which Linux does not carry out.
    pub(crate) fn set_result(&mut self, result: i64) {
        // CAST: As above.
        self.0.ax = result as _;
    }
}
