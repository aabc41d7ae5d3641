// SPDX-License-Identifier: GPL-2.0
//! Reads the logs of several CPUs, each time what is new.

use std::collections::BTreeMap;
use std::time::Duration;

use lwk::{Device, Disturbance, Error};
use lwk_logic::logic::cpuset::CpuSet;

/// Where each CPU's log was read to.
#[derive(Debug)]
pub struct Follower {
    cpus: CpuSet,
    next: BTreeMap<u32, u64>,
}

impl Follower {
    /// Starts with all that the logs of `cpus` hold.
    pub const fn new(cpus: CpuSet) -> Self {
        Self {
            cpus,
            next: BTreeMap::new(),
        }
    }

    /// Reads what is new, by time, and how many records were overwritten before.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn read(&mut self, device: &Device) -> Result<(Vec<Disturbance>, u64), Error> {
        let (mut all, mut lost) = (Vec::new(), 0);
        for cpu in self.cpus.iter().map(|cpu| cpu.get()) {
            let next = self.next.entry(cpu).or_insert(0);
            let read = device.disturbances(cpu, *next)?;
            all.extend(read.records);
            lost += read.lost;
            *next = read.next;
        }
        all.sort_by_key(|record| (record.time_ns, record.cpu));
        Ok((all, lost))
    }
}

/// Now, by the clock of the records.
pub fn now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::try_from(now).unwrap_or_default()
}

/// A time as the records have it.
pub fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
