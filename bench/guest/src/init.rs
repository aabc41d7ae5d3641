// SPDX-License-Identifier: GPL-2.0
//! What PID 1 of the lab's machine does: mount, run what the boot line says, write the report, power off.
//!
//! Words of the boot line: `lab.suite=NAME,...`, `lab.bench=NAME,...` (both: all without it), `lab.linux=LIST`,
//! `lab.tuned=LIST`, `lab.lwk=LIST`, `lab.quick=1`, `lab.phase=N`.

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use bench_record::report::Report;
use bench_record::Place;
use nix::sys::personality::{self, Persona};
use rustix::mount::{mount, MountFlags};
use rustix::system::{reboot, RebootCommand};

use crate::driver::{Driver, Settings};
use crate::kernel::{self, boot_word};
use crate::measure::Mode;
use crate::{sites, slices};

/// Type and where of each file system.
const MOUNTS: &[(&str, &str)] = &[
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/dev/shm"),
    ("tmpfs", "/tmp"),
    ("mqueue", "/dev/mqueue"),
    ("cgroup2", "/sys/fs/cgroup"),
    ("debugfs", "/sys/kernel/debug"),
    ("tracefs", "/sys/kernel/tracing"),
];

/// Name of the port that the report goes to.
const PORT: &str = "lab";

/// Where it goes if there is no such port.
const FALLBACK: &str = "/tmp/report.json";

/// Runs the benchmarks and powers the machine off; never returns in the lab's machine.
pub(crate) fn main() -> ExitCode {
    match run() {
        Ok(()) => eprintln!("bench-guest: done"),
        Err(error) => eprintln!("bench-guest: {error:#}"),
    }
    rustix::fs::sync();
    if let Err(error) = reboot(RebootCommand::PowerOff) {
        eprintln!("bench-guest: cannot power off: {error}");
    }
    ExitCode::FAILURE
}

fn run() -> Result<()> {
    for (kind, target) in MOUNTS {
        mount_one(kind, target)?;
    }
    std::env::set_var("PATH", "/bin");
    std::env::set_var("HOME", "/tmp");
    // Programs started from here have the same addresses in every run.
    let persona = personality::get().context("personality")?;
    personality::set(persona | Persona::ADDR_NO_RANDOMIZE).context("personality")?;
    let line = kernel::read("/proc/cmdline")?;
    let mut settings = settings(&line)?;
    await_clock()?;
    shift_clock(&line)?;
    let slices = slices::start();
    for site in &mut settings.sites {
        site.tuning.push(slices.clone());
    }
    write(&Driver::new(settings)?.run())
}

/// Has all that follows come later by some part of a tick and of a second, which are no multiple of it.
fn shift_clock(line: &str) -> Result<()> {
    const PHASE: Duration = Duration::from_micros(1370);
    if let Some(word) = boot_word(line, "lab.phase") {
        std::thread::sleep(PHASE * word.parse().context("lab.phase")?);
    }
    Ok(())
}

/// Waits until the kernel has refined the frequency of its clock, of which it tells every CPU, once, in the first seconds.
fn await_clock() -> Result<()> {
    const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    for _ in 0..1000 {
        if kernel::read(SOURCE)? != "tsc-early" {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    anyhow::bail!("the clock is still tsc-early")
}

fn mount_one(kind: &str, target: &str) -> Result<()> {
    // Mount points below /sys are the kernel's to make.
    if !target.starts_with("/sys") {
        fs::create_dir_all(target).with_context(|| target.to_owned())?;
    }
    match mount(kind, target, kind, MountFlags::empty(), None) {
        // The kernel may have mounted devtmpfs itself.
        Ok(()) | Err(rustix::io::Errno::BUSY) => Ok(()),
        // A benchmark that needs it says so.
        Err(rustix::io::Errno::NODEV | rustix::io::Errno::NOENT) => {
            eprintln!("bench-guest: this kernel has no {kind}");
            Ok(())
        }
        Err(error) => Err(error).with_context(|| format!("mounting {kind} on {target}")),
    }
}

/// Reads the boot line.
fn settings(line: &str) -> Result<Settings> {
    let names = |key| -> Vec<String> {
        let list = boot_word(line, key).unwrap_or_default();
        let names = list.split(',').filter(|name| !name.is_empty());
        names.map(str::to_owned).collect()
    };
    let mut lists = Vec::new();
    for place in Place::ALL {
        let key = format!("lab.{}", place.name());
        if let Some(list) = boot_word(line, &key) {
            lists.push((place, sites::parse(list).context(key)?));
        }
    }
    Ok(Settings {
        suites: names("lab.suite"),
        benches: names("lab.bench"),
        is_quick: boot_word(line, "lab.quick").is_some_and(|word| word != "0"),
        mode: Mode::Counted,
        sites: sites::sites(&lists, line)?,
        yod: "/bin/yod".to_owned(),
    })
}

/// Writes the report to the lab's port.
fn write(report: &Report) -> Result<()> {
    let text = serde_json::to_vec(report).context("report")?;
    let path = match port()? {
        Some(path) => path,
        None => {
            fs::File::create(FALLBACK).context(FALLBACK)?;
            FALLBACK.to_owned()
        }
    };
    let file = fs::OpenOptions::new().write(true).open(&path);
    let written = file.and_then(|mut file| std::io::Write::write_all(&mut file, &text));
    written.with_context(|| format!("writing the report to {path}"))?;
    eprintln!("bench-guest: report of {} bytes in {path}", text.len());
    Ok(())
}

/// The device of the lab's port, if there is one.
fn port() -> Result<Option<String>> {
    const PORTS: &str = "/sys/class/virtio-ports";
    let Ok(entries) = fs::read_dir(PORTS) else {
        return Ok(None);
    };
    for entry in entries {
        let device = entry.context(PORTS)?.file_name();
        let device = device.to_string_lossy();
        if kernel::read(&format!("{PORTS}/{device}/name"))? == PORT {
            return Ok(Some(format!("/dev/{device}")));
        }
    }
    Ok(None)
}
