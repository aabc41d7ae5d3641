// SPDX-License-Identifier: GPL-2.0
//! Control groups and namespaces of others.

use std::fs;
use std::path::Path;

use anyhow::{ensure, Context, Result};
use nix::sys::signal::Signal;
use nix::sys::wait::{waitpid, WaitStatus};

use crate::kernel;
use crate::measure::{Meter, NotHere};
use crate::sys::disturb;
use crate::sys::memory::{Pages, Region, PAGE};
use crate::sys::process::forked;

/// Where control groups are.
const ROOT: &str = "/sys/fs/cgroup";

/// A control group that is removed when it is no longer used.
struct Group(String);

impl Group {
    /// Makes one in the root with a controller, if one is wanted.
    fn make(name: &str, controller: Option<&str>) -> Result<Self> {
        if !Path::new(ROOT).join("cgroup.procs").exists() {
            return Err(NotHere(format!("no control groups in {ROOT}")).into());
        }
        if let Some(controller) = controller {
            let known = kernel::read(&format!("{ROOT}/cgroup.controllers"))?;
            if !known.split(' ').any(|word| word == controller) {
                return Err(NotHere(format!("no controller {controller}")).into());
            }
            kernel::write(
                &format!("{ROOT}/cgroup.subtree_control"),
                &format!("+{controller}"),
            )?;
        }
        let path = format!("{ROOT}/{name}");
        fs::create_dir(&path).with_context(|| path.clone())?;
        Ok(Self(path))
    }

    fn set(&self, file: &str, value: &str) -> Result<()> {
        kernel::write(&format!("{}/{file}", self.0), value)
    }

    fn remove(self) -> Result<()> {
        let path = std::mem::take(&mut std::mem::ManuallyDrop::new(self).0);
        fs::remove_dir(&path).with_context(|| path.clone())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            eprintln!("bench-guest: {}: {error}", self.0);
        }
    }
}

pub(super) fn create(meter: &mut Meter) -> Result<()> {
    meter.disturb(|_| Group::make("noise", None)?.remove())
}

pub(super) fn migrate(meter: &mut Meter) -> Result<()> {
    let group = Group::make("noise", None)?;
    let own = std::process::id().to_string();
    meter.disturb(|_| {
        group.set("cgroup.procs", &own)?;
        kernel::write(&format!("{ROOT}/cgroup.procs"), &own)
    })
}

pub(super) fn cpu_max(meter: &mut Meter) -> Result<()> {
    let group = Group::make("noise", Some("cpu"))?;
    meter.disturb(|_| {
        group.set("cpu.max", "50000 100000")?;
        group.set("cpu.max", "max 100000")
    })
}

pub(super) fn reclaim(meter: &mut Meter) -> Result<()> {
    let group = Group::make("noise", Some("memory"))?;
    let own = std::process::id().to_string();
    let folder = format!("/dev/shm/noise-{own}");
    fs::create_dir(&folder).with_context(|| folder.clone())?;
    let measured = meter.disturb(|number| {
        group.set("cgroup.procs", &own)?;
        // Names that do not exist leave entries in a cache, which can be reclaimed without swap.
        for name in 0..200 {
            let is_there = Path::new(&folder).join(format!("{number}-{name}")).exists();
            ensure!(!is_there, "a file nobody made");
        }
        kernel::write(&format!("{ROOT}/cgroup.procs"), &own)?;
        // It fails if less than that could be reclaimed; trying is what disturbs.
        let _ = group.set("memory.reclaim", "1M");
        Ok(())
    });
    fs::remove_dir(&folder).with_context(|| folder.clone())?;
    measured
}

pub(super) fn oom(meter: &mut Meter) -> Result<()> {
    let group = Group::make("noise", Some("memory"))?;
    group.set("memory.max", "8388608")?;
    let procs = format!("{}/cgroup.procs", group.0);
    meter.disturb(|_| {
        let child = forked(|| {
            let own = std::process::id().to_string();
            let Ok(()) = kernel::write(&procs, &own) else {
                return 1;
            };
            let Ok(mut region) = Region::advised(16 << 20, Pages::Small) else {
                return 2;
            };
            region.touch(PAGE);
            3
        })?;
        let status = waitpid(child.pid(), None)?;
        ensure!(
            matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _)),
            "beyond its memory: {status:?}"
        );
        Ok(())
    })
}

pub(super) fn cpuset(meter: &mut Meter) -> Result<()> {
    let (home, spare) = (meter.home()?, meter.spare()?);
    let group = Group::make("noise", Some("cpuset"))?;
    meter.disturb(|_| {
        group.set("cpuset.cpus", &home.to_string())?;
        group.set("cpuset.cpus", &spare.to_string())?;
        group.set("cpuset.cpus", "")
    })
}

pub(super) fn partition(meter: &mut Meter) -> Result<()> {
    let spare = meter.spare()?;
    let group = Group::make("noise", Some("cpuset"))?;
    group.set("cpuset.cpus", &spare.to_string())?;
    meter.disturb(|_| {
        group.set("cpuset.cpus.partition", "isolated")?;
        let state = kernel::read(&format!("{}/cpuset.cpus.partition", group.0))?;
        ensure!(state == "isolated", "the partition is {state}");
        group.set("cpuset.cpus.partition", "member")
    })
}

pub(super) fn namespaces(meter: &mut Meter) -> Result<()> {
    meter.disturb(|_| forked(|| i32::from(disturb::new_namespaces().is_err()))?.finish())
}

pub(super) fn seccomp(meter: &mut Meter) -> Result<()> {
    meter.disturb(|_| forked(|| i32::from(disturb::seccomp_allow_all().is_err()))?.finish())
}
