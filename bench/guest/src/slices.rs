// SPDX-License-Identifier: GPL-2.0
//! Gives the emulator points at which it may go on to another CPU.
//!
//! In a counted run the emulator works on one CPU until the next event of virtual time. If CPUs compute, that may be
//! a tenth of a second away, and an interrupt that one CPU sends to another waits as long. An i6300ESB watchdog
//! (`-device i6300esb`) counts time and interrupts nobody, and so is such an event every 100 us or so.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};

use crate::kernel;
use crate::sys::port::{Preload, WatchdogRegisters};

/// Starts the periodic events and says how that went.
pub(crate) fn start() -> String {
    match watchdog() {
        Ok(()) => "periodic events of a watchdog every 96 us".to_owned(),
        Err(error) => format!("periodic events: FAILED, {error:#}"),
    }
}

/// Has a watchdog run in its free-running mode, in which it does nothing when its time is up but start again.
fn watchdog() -> Result<()> {
    /// Vendor and device of the i6300ESB watchdog.
    const ID: (&str, &str) = ("0x8086", "0x25ab");
    /// Two bytes of the configuration: no interrupt, no reset, steps of about a microsecond.
    const CONFIG: (u64, [u8; 2]) = (0x60, [0b0010_0111, 0]);
    /// A byte of it: enabled, free-running, not locked.
    const ENABLE: (u64, [u8; 1]) = (0x68, [0b0000_0110]);
    /// Steps of each stage.
    const STEPS: u32 = 100;
    const DEVICES: &str = "/sys/bus/pci/devices";
    for entry in fs::read_dir(DEVICES).context(DEVICES)?.flatten() {
        let device = format!("{DEVICES}/{}", entry.file_name().to_string_lossy());
        let id = |file: &str| kernel::read(&format!("{device}/{file}"));
        if (id("vendor")?.as_str(), id("device")?.as_str()) != ID {
            continue;
        }
        kernel::write(&format!("{device}/enable"), "1")?;
        let file = |name: &str| {
            let path = format!("{device}/{name}");
            File::options()
                .read(true)
                .write(true)
                .open(&path)
                .context(path)
        };
        let registers =
            WatchdogRegisters::map(&file("resource0")?).context("mmap of the watchdog")?;
        registers.write(Preload::First, STEPS);
        registers.write(Preload::Second, STEPS);
        let config = file("config")?;
        config
            .write_all_at(&CONFIG.1, CONFIG.0)
            .context("the watchdog's configuration")?;
        return config
            .write_all_at(&ENABLE.1, ENABLE.0)
            .context("starting the watchdog");
    }
    anyhow::bail!("no watchdog i6300ESB")
}
