// SPDX-License-Identifier: GPL-2.0
//! Gives the emulator points at which it may go on to another CPU.
//!
//! In a counted run the emulator works on one CPU until the next event of virtual time. If CPUs compute, that may be
//! a tenth of a second away, and an interrupt that one CPU sends to another waits as long. A device that counts time
//! and interrupts nobody is such an event every 100 us or so. There are two: the battery-backed clock of every
//! machine, for which the kernel must let programs use I/O ports, and an i6300ESB watchdog (`-device i6300esb`).

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use anyhow::{ensure, Context, Result};

use crate::kernel;
use crate::sys::port::{Preload, RtcPorts, WatchdogRegisters};

/// Starts the periodic events and says how that went.
pub(crate) fn start() -> String {
    let clock = match clock() {
        Ok(()) => return "periodic events of the clock at 8192 Hz".to_owned(),
        Err(error) => format!("{error:#}"),
    };
    match watchdog() {
        Ok(()) => "periodic events of a watchdog every 96 us".to_owned(),
        Err(error) => format!("periodic events: FAILED, {clock}; {error:#}"),
    }
}

/// Switches the clock's periodic interrupt on, whose line nobody has enabled once the driver is gone.
fn clock() -> Result<()> {
    /// Register A: the low four bits choose the rate; 3 is 8192 Hz.
    const RATE: (u8, u8) = (0x0a, 3);
    /// Register B: what may interrupt.
    const PERIODIC: (u8, u8) = (0x0b, 1 << 6);
    let ports = RtcPorts::open().context("ioperm")?;
    unbind("/sys/bus/pnp/drivers/rtc_cmos")?;
    ports.write(RATE.0, ports.read(RATE.0) & 0xf0 | RATE.1);
    ports.write(PERIODIC.0, ports.read(PERIODIC.0) | PERIODIC.1);
    ensure!(
        ports.read(PERIODIC.0) & PERIODIC.1 != 0,
        "the clock does not keep its setting"
    );
    Ok(())
}

/// Takes all devices from a driver.
fn unbind(driver: &str) -> Result<()> {
    let Ok(entries) = fs::read_dir(driver) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // Devices are called bus:number, the driver's own files are not.
        if name.contains(':') {
            kernel::write(&format!("{driver}/unbind"), &name)?;
        }
    }
    Ok(())
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
