// SPDX-License-Identifier: GPL-2.0
//! Devices that this program drives itself.

use core::arch::asm;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::libc;
use rustix::mm::{mmap, MapFlags, ProtFlags};

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

/// The registers of an i6300ESB watchdog timer, a simple device that emulators offer.
#[derive(Debug)]
pub(crate) struct WatchdogRegisters(*mut u32);

impl WatchdogRegisters {
    /// Maps them from the file of the device's first region.
    pub(crate) fn map(region: &impl AsFd) -> Result<Self, rustix::io::Errno> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: A null hint without MAP_FIXED replaces no mapping.
        let addr = unsafe {
            mmap(
                core::ptr::null_mut(),
                4096,
                protection,
                MapFlags::SHARED,
                region.as_fd(),
                0,
            )
        }?;
        Ok(Self(addr.cast()))
    }

    /// Writes a register that is locked.
    pub(crate) fn write(&self, register: Preload, value: u32) {
        /// The register that unlocks, and what it wants to see.
        const UNLOCK: (usize, [u32; 2]) = (3, [0x80, 0x86]);
        for word in UNLOCK.1 {
            // SAFETY: The register lies in the mapping, and the device has no access to this program's memory.
            unsafe { self.0.wrapping_add(UNLOCK.0).write_volatile(word) };
        }
        // SAFETY: As above.
        unsafe { self.0.wrapping_add(register as usize).write_volatile(value) };
    }
}

/// The registers that hold the lengths of the two stages; the numbers are their places.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Preload {
    /// The first stage.
    First = 0,
    /// The second.
    Second = 1,
}
