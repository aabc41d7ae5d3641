// SPDX-License-Identifier: GPL-2.0
//! What the administrator switches.

use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::mount::{mount, unmount, MountFlags, UnmountFlags};

use crate::kernel::{self, Restored};
use crate::measure::Meter;

pub(super) fn hotplug(meter: &mut Meter) -> Result<()> {
    let cpu = Restored::remember(&format!(
        "/sys/devices/system/cpu/cpu{}/online",
        meter.spare()?
    ))?;
    meter.disturb(|_| {
        cpu.set("0")?;
        cpu.set("1")
    })
}

pub(super) fn schedstats(meter: &mut Meter) -> Result<()> {
    let switch = Restored::remember("/proc/sys/kernel/sched_schedstats")?;
    meter.disturb(|_| {
        switch.set("1")?;
        switch.set("0")
    })
}

pub(super) fn sched_features(meter: &mut Meter) -> Result<()> {
    const FEATURES: &str = "/sys/kernel/debug/sched/features";
    meter.disturb(|_| {
        kernel::set(FEATURES, "NO_GENTLE_FAIR_SLEEPERS")
            .or_else(|_| kernel::set(FEATURES, "NO_WAKEUP_PREEMPTION"))?;
        kernel::set(FEATURES, "GENTLE_FAIR_SLEEPERS")
            .or_else(|_| kernel::set(FEATURES, "WAKEUP_PREEMPTION"))
    })
}

pub(super) fn numa_balancing(meter: &mut Meter) -> Result<()> {
    let switch = Restored::remember("/proc/sys/kernel/numa_balancing")?;
    meter.disturb(|_| {
        switch.set("1")?;
        switch.set("0")
    })
}

pub(super) fn sysctl(meter: &mut Meter) -> Result<()> {
    let settings: Result<Vec<_>> = [
        "vm/swappiness",
        "vm/dirty_ratio",
        "kernel/panic",
        "fs/lease-break-time",
    ]
    .iter()
    .map(|name| Restored::remember(&format!("/proc/sys/{name}")))
    .collect();
    let settings = settings?;
    meter.disturb(|_| settings.iter().try_for_each(Restored::reset))
}

pub(super) fn rcu_expedited(meter: &mut Meter) -> Result<()> {
    const WHERE: &str = "/tmp/noise-rcu";
    fs::create_dir_all(WHERE).context(WHERE)?;
    let hurry = Restored::remember("/sys/kernel/rcu_expedited")?;
    hurry.set("1")?;
    meter.disturb(|_| {
        mount("none", WHERE, "tmpfs", MountFlags::empty(), None)?;
        Ok(unmount(WHERE, UnmountFlags::empty())?)
    })
}

pub(super) fn slab_shrink(meter: &mut Meter) -> Result<()> {
    meter.disturb(|_| kernel::set("/sys/kernel/slab/dentry/shrink", "1"))
}

pub(super) fn clocksource(meter: &mut Meter) -> Result<()> {
    const FOLDER: &str = "/sys/devices/system/clocksource/clocksource0";
    let current = Restored::remember(&format!("{FOLDER}/current_clocksource"))?;
    let available = kernel::read(&format!("{FOLDER}/available_clocksource"))?;
    let now = kernel::read(&format!("{FOLDER}/current_clocksource"))?;
    let other = available.split_whitespace().find(|name| *name != now);
    let other = other.ok_or_else(|| crate::measure::NotHere(format!("there is only {now}")))?;
    meter.disturb(|_| {
        current.set(other)?;
        current.reset()
    })
}

pub(super) fn irq_affinity(meter: &mut Meter) -> Result<()> {
    let (home, spare) = (meter.home()?.to_string(), meter.spare()?.to_string());
    let mut movable = Vec::new();
    for entry in fs::read_dir("/proc/irq").context("/proc/irq")?.flatten() {
        let path = format!(
            "/proc/irq/{}/smp_affinity_list",
            entry.file_name().to_string_lossy()
        );
        // Timers and interrupts that a driver spread itself refuse.
        if kernel::write(&path, &home).is_ok() {
            movable.push(path);
        }
    }
    movable.sort();
    meter.disturb(|_| {
        movable
            .iter()
            .try_for_each(|path| kernel::write(path, &spare))?;
        movable
            .iter()
            .try_for_each(|path| kernel::write(path, &home))
    })
}

pub(super) fn psi(meter: &mut Meter) -> Result<()> {
    const PRESSURE: &str = "/proc/pressure/memory";
    kernel::need(PRESSURE)?;
    meter.disturb(|_| {
        let mut pressure = File::options().read(true).write(true).open(PRESSURE)?;
        pressure.write_all(b"some 150000 1000000\0")?;
        std::thread::sleep(Duration::from_millis(5));
        Ok(())
    })
}
