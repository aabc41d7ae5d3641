// SPDX-License-Identifier: GPL-2.0
//! What PID 1 does: mount, run the suite of the kernel command line, power off.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{bail, Context, Result};
use rustix::mount::{mount, MountFlags};
use rustix::system::{reboot, RebootCommand};

use crate::{cases, harness, ktap};

/// Type, where and options of each file system; what may be missing from a kernel says so.
const MOUNTS: &[(&str, &str, &str)] = &[
    ("proc", "/proc", ""),
    ("sysfs", "/sys", ""),
    ("devtmpfs", "/dev", ""),
    ("tmpfs", "/dev/shm", ""),
    ("tmpfs", "/tmp", ""),
    ("cgroup2", "/sys/fs/cgroup", ""),
    ("debugfs", "/sys/kernel/debug", ""),
    ("tracefs", "/sys/kernel/tracing", ""),
];

/// Runs the suite and powers the machine off; never returns in a guest.
pub(crate) fn main() -> ExitCode {
    if let Err(error) = run() {
        eprintln!("guest-tests: {error:#}");
    }
    rustix::fs::sync();
    if let Err(error) = reboot(RebootCommand::PowerOff) {
        eprintln!("guest-tests: cannot power off: {error}");
    }
    ExitCode::FAILURE
}

fn run() -> Result<()> {
    for &(kind, target, options) in MOUNTS {
        mount_one(kind, target, options)?;
    }
    std::env::set_var("PATH", "/bin");
    std::env::set_var("HOME", "/tmp");
    let words = boot_words()?;
    let name = words
        .get("lwktest.suite")
        .context("no lwktest.suite= on the kernel command line")?;
    let Some(suite) = cases::SUITES.iter().find(|s| s.name == name) else {
        bail!("no suite is called {name:?}");
    };
    let settings = harness::Settings {
        filter: words.get("lwktest.case").cloned(),
        factor: factor()?,
        more: Duration::from_secs(u64::from(seconds()?)),
    };
    ktap::kernel_log(&format!("suite {name}"));
    harness::run(suite, &settings)
}

/// How many times slower this machine is than a usual one, as its boot line says.
pub(crate) fn factor() -> Result<u32> {
    let words = boot_words()?;
    let factor = words
        .get("lwktest.factor")
        .map_or(Ok(1), |text| text.parse());
    factor.context("lwktest.factor")
}

/// How many seconds more a case may take that is asked to go on for so long, as the boot line says.
pub(crate) fn seconds() -> Result<u32> {
    let words = boot_words()?;
    let seconds = words.get("lwktest.seconds");
    seconds
        .map_or(Ok(0), |text| text.parse())
        .context("lwktest.seconds")
}

fn mount_one(kind: &str, target: &str, options: &str) -> Result<()> {
    if !target.starts_with("/sys/") {
        std::fs::create_dir_all(target).with_context(|| target.to_owned())?;
    }
    let options = std::ffi::CString::new(options)?;
    match mount(
        kind,
        target,
        kind,
        MountFlags::empty(),
        Some(options.as_c_str()),
    ) {
        Ok(()) => Ok(()),
        // The kernel mounts devtmpfs itself when CONFIG_DEVTMPFS_MOUNT says so and there is a root device.
        Err(rustix::io::Errno::BUSY) => Ok(()),
        // A case that needs the file system fails on its own, saying which file it missed.
        Err(rustix::io::Errno::NODEV | rustix::io::Errno::NOENT) => {
            eprintln!("guest-tests: this kernel has no {kind}");
            Ok(())
        }
        Err(error) => Err(error).with_context(|| format!("mounting {kind} on {target}")),
    }
}

/// The `key=value` words of the kernel command line.
pub(crate) fn boot_words() -> Result<BTreeMap<String, String>> {
    let line = std::fs::read_to_string("/proc/cmdline").context("/proc/cmdline")?;
    Ok(line
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect())
}
