// SPDX-License-Identifier: GPL-2.0
//! I/O ports.

use core::arch::asm;

use nix::errno::Errno;
use nix::libc;

/// The two ports of the battery-backed clock, which this process may use.
#[derive(Debug)]
pub(crate) struct RtcPorts(());

impl RtcPorts {
    /// Asks the kernel for them.
    pub(crate) fn open() -> Result<Self, Errno> {
        // SAFETY: Being allowed to use ports changes nothing by itself.
        Errno::result(unsafe { libc::ioperm(0x70, 2, 1) })?;
        Ok(Self(()))
    }

    /// Reads a register.
    pub(crate) fn read(&self, register: u8) -> u8 {
        let value;
        Self::select(register);
        // SAFETY: This process may use the port (type invariant), and reading the clock does not touch memory.
        unsafe { asm!("in al, 0x71", out("al") value, options(nomem, nostack, preserves_flags)) };
        value
    }

    /// Writes a register.
    pub(crate) fn write(&self, register: u8, value: u8) {
        Self::select(register);
        // SAFETY: As for reading; the clock has no access to memory.
        unsafe { asm!("out 0x71, al", in("al") value, options(nomem, nostack, preserves_flags)) };
    }

    fn select(register: u8) {
        // SAFETY: As above; the port only takes the number of the register.
        unsafe {
            asm!("out 0x70, al", in("al") register, options(nomem, nostack, preserves_flags))
        };
    }
}
