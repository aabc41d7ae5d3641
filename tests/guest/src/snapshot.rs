// SPDX-License-Identifier: GPL-2.0
//! What Linux says about its CPUs, to be compared before a partition and after it.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{ensure, Result};

use crate::{cpus, proc};

/// Lines of text by what they are about.
pub(crate) type Snapshot = BTreeMap<String, String>;

/// One value for the machine each.
const FILES: &[&str] = &[
    "/proc/irq/default_smp_affinity",
    "/proc/sys/kernel/watchdog_cpumask",
    "/sys/devices/system/cpu/isolated",
    "/sys/devices/system/cpu/nohz_full",
    "/sys/devices/system/cpu/online",
    "/sys/devices/virtual/workqueue/cpumask",
    "/sys/devices/virtual/workqueue/cpumask_isolated",
    "/sys/fs/cgroup/cpuset.cpus.effective",
    "/sys/fs/cgroup/cpuset.cpus.isolated",
];

/// Reads all of it.
pub(crate) fn take() -> Result<Snapshot> {
    let mut snapshot = Snapshot::new();
    for path in FILES {
        if let Ok(text) = fs::read_to_string(path) {
            snapshot.insert((*path).to_owned(), text);
        }
    }
    ensure!(snapshot.len() >= 6, "hardly any of {FILES:?} is there");
    for irq in proc::device_irqs()? {
        let path = format!("/proc/irq/{irq}/smp_affinity_list");
        snapshot.insert(path.clone(), fs::read_to_string(path)?);
    }
    for cpu in cpus::from_file("/sys/devices/system/cpu/possible")? {
        let sched = "/sys/kernel/debug/sched";
        let server = format!("{sched}/fair_server/cpu{cpu}/runtime");
        snapshot.insert(server.clone(), fs::read_to_string(server)?);
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/online");
        snapshot.insert(path.clone(), fs::read_to_string(path).unwrap_or_default());
        let domain = format!("{sched}/domains/cpu{cpu}/domain0");
        for file in ["name", "flags", "max_newidle_lb_cost"].iter().take(2) {
            let path = format!("{domain}/{file}");
            snapshot.insert(path.clone(), fs::read_to_string(path).unwrap_or_default());
        }
    }
    for process in proc::processes() {
        // Workers come and go, and are bound to what they work for.
        if process.comm.starts_with("kworker/") {
            continue;
        }
        // An interrupt's thread goes where the interrupt came last, which its mask leaves open.
        if process.comm.starts_with("irq/") {
            continue;
        }
        if let Ok(affinity) = cpus::affinity(process.pid) {
            let name = format!("affinity of {} ({})", process.pid, process.comm);
            snapshot.insert(name, format!("{affinity:?}"));
        }
    }
    Ok(snapshot)
}

/// Expects nothing to have changed; what came or went is no change.
pub(crate) fn compare(before: &Snapshot, after: &Snapshot) -> Result<()> {
    let changed: Vec<_> = before
        .iter()
        .filter_map(|(key, old)| {
            let new = after.get(key)?;
            (new != old).then(|| format!("{key}: {:?} became {:?}", old.trim(), new.trim()))
        })
        .collect();
    ensure!(changed.is_empty(), "{}", changed.join("; "));
    Ok(())
}
