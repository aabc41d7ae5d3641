// SPDX-License-Identifier: GPL-2.0
//! Devices that this program drives itself.

use std::os::fd::AsFd;

use rustix::mm::{mmap, MapFlags, ProtFlags};

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
