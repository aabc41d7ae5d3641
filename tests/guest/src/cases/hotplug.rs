// SPDX-License-Identifier: GPL-2.0
//! Taking CPUs off line through sysfs while partitions and jobs exist.

use std::path::Path;

use anyhow::{ensure, Context, Result};

use super::{stop, LWK};
use crate::cpus::{self, Cpus};
use crate::harness::{Case, Skip};
use crate::job::{self, Beating};

/// The suite.
pub(super) const CASES: &[Case] = &[
    Case::new("lwk-cpu", "an LWK CPU cannot be taken off line", lwk_cpu),
    Case::new("busy-lwk-cpu", "nor can one that runs a job", busy_lwk_cpu),
    Case::new(
        "linux-cpu",
        "a Linux CPU goes off and on line while a job computes",
        linux_cpu,
    )
    .around(|| Ok(()), back_on_line)
    .limit_s(90),
    stop::UNMAPPING,
    stop::NAMED,
    stop::BACKTRACES,
];

pub(super) fn switch(cpu: usize, on: &str) -> std::io::Result<()> {
    std::fs::write(format!("/sys/devices/system/cpu/cpu{cpu}/online"), on)
}

fn online() -> Result<Cpus> {
    cpus::from_file("/sys/devices/system/cpu/online")
}

fn refuse_all() -> Result<()> {
    for cpu in LWK {
        let result = switch(cpu, "0");
        let code = result.as_ref().err().and_then(std::io::Error::raw_os_error);
        ensure!(
            code == Some(rustix::io::Errno::BUSY.raw_os_error()),
            "CPU {cpu} off line: {result:?}"
        );
    }
    ensure!(online()? == (0..4).collect::<Cpus>(), "{:?}", online()?);
    let partitions = job::partitions()?;
    ensure!(
        partitions.iter().all(|p| p.cpus == Cpus::from(LWK)) && partitions.len() == 1,
        "{partitions:?}"
    );
    Ok(())
}

fn lwk_cpu() -> Result<()> {
    refuse_all()?;
    let told = job::run(&mut job::yod_inside(&[], &["threads", "4"]))?;
    ensure!(told.value("cpus")? == "2,3", "{told:?}");
    Ok(())
}

fn busy_lwk_cpu() -> Result<()> {
    let mut job = Beating::start(&["-c", "2"])?;
    refuse_all()?;
    job.beats(5)?;
    job.kill()
}

fn linux_cpu() -> Result<()> {
    if !Path::new("/sys/devices/system/cpu/cpu1/online").exists() {
        return Err(Skip("this kernel cannot take CPU 1 off line").into());
    }
    let mut job = Beating::start(&["-c", "2-3"])?;
    for _ in 0..3 {
        switch(1, "0").context("CPU 1 off line")?;
        ensure!(online()? == Cpus::from([0, 2, 3]), "{:?}", online()?);
        job.beats(3)?;
        switch(1, "1").context("CPU 1 on line")?;
        ensure!(online()? == (0..4).collect::<Cpus>(), "{:?}", online()?);
        job.beats(3)?;
    }
    ensure!(
        cpus::affinity(job.pid())? == Cpus::from(LWK),
        "{:?}",
        cpus::affinity(job.pid())?
    );
    // CPU 1 must be as good as before: a task that may run only there does.
    cpus::set_affinity(0, &Cpus::from([1])).context("moving to CPU 1")?;
    ensure!(
        rustix::thread::sched_getcpu() == 1,
        "runs on CPU {}",
        rustix::thread::sched_getcpu()
    );
    job.kill()
}

pub(super) fn back_on_line() -> Result<()> {
    if !online()?.contains(&1) {
        switch(1, "1").context("CPU 1 on line")?;
    }
    Ok(())
}
