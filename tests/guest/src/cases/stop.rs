// SPDX-License-Identifier: GPL-2.0
//! Stopping the machine beside jobs: for a CPU that goes off line, for whoever names his CPUs, and NMIs meanwhile.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};

use super::hotplug::{back_on_line, switch};
use super::noise::Spinner;
use crate::harness::{Case, Skip};
use crate::{init, job, proc};

/// Off and on at least this often, and for that many seconds; `lwktest.seconds=` on the boot line sets another number.
const ROUNDS: usize = 3;
const SECONDS: u32 = 20;

pub(super) const UNMAPPING: Case = Case::new(
    "unmapping-job",
    "a Linux CPU goes off and on line while a thread of a job unmaps what another, which computes, has mapped, too",
    unmapping_job,
)
.around(|| Ok(()), back_on_line)
.limit_s(90);

pub(super) const NAMED: Case = Case::new(
    "named-cpus",
    "memory types are set on all CPUs, on those that compute in user mode, too",
    named_cpus,
)
.limit_s(60);

pub(super) const BACKTRACES: Case = Case::new(
    "backtraces",
    "all CPUs take an NMI while a Linux CPU goes off and on line",
    backtraces,
)
.around(|| Ok(()), back_on_line)
.limit_s(90);

fn off_and_on() -> Result<()> {
    switch(1, "0").context("CPU 1 off line")?;
    switch(1, "1").context("CPU 1 on line")
}

fn unmapping_job() -> Result<()> {
    // The thread unmaps on its own CPU, or on one of Linux, where it goes before the work that stops the machine.
    for place in ["local=munmap", "move=munmap"] {
        unmapping_at(place).with_context(|| place)?;
    }
    Ok(())
}

fn unmapping_at(place: &str) -> Result<()> {
    let enough = Duration::from_secs(u64::from(init::seconds()?.max(SECONDS)) / 2);
    let options = ["-c", "2-3", "--syscalls", place];
    let mut unmapping = job::Beating::start_command(job::yod_inside(&options, &["unmap"]))?;
    let begun = Instant::now();
    let mut rounds = 0;
    while rounds < ROUNDS || begun.elapsed() < enough {
        off_and_on()?;
        // It gets on: all calls to the computing thread's CPU have come to their end.
        unmapping.drain()?;
        unmapping.beats(1)?;
        rounds += 1;
    }
    println!("{place}: {rounds} rounds");
    unmapping.kill()
}

const MTRR: &str = "/proc/mtrr";
/// IA32_MTRR_PHYSBASE0; each register has two.
const PHYS_BASE: u64 = 0x200;

/// What a CPU's registers say of one range of memory.
fn range_registers(cpu: usize, register: u64) -> Result<[u64; 2]> {
    let path = format!("/dev/cpu/{cpu}/msr");
    let file = File::open(&path).context(path)?;
    let mut found = [0; 2];
    for (number, value) in (0..).zip(&mut found) {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, PHYS_BASE + 2 * register + number)
            .context("rdmsr")?;
        *value = u64::from_le_bytes(bytes);
    }
    Ok(found)
}

/// The register that says what type the memory at `base` has, as the kernel tells.
fn register_of(base: &str) -> Result<Option<u64>> {
    let text = fs::read_to_string(MTRR).context(MTRR)?;
    let line = text
        .lines()
        .find(|line| line.contains(&format!("base={base}")));
    // reg00: base=0x0c0000000 (...
    let number = line.and_then(|line| line.strip_prefix("reg")?.split_once(':'));
    number
        .map(|(number, _)| number.parse().with_context(|| text.clone()))
        .transpose()
}

fn named_cpus() -> Result<()> {
    if fs::read_to_string(MTRR).map_or(true, |text| text.is_empty()) {
        return Err(Skip("this machine's firmware leaves the memory types alone").into());
    }
    let spinner = Spinner::start()?;
    fs::write(
        MTRR,
        "base=0xd0000000 size=0x1000000 type=write-combining\n",
    )
    .context("setting a type")?;
    let register = register_of("0x0d0000000")?.context("it is not set")?;
    let told = (0..4)
        .map(|cpu| Ok((cpu, range_registers(cpu, register)?)))
        .collect::<Result<BTreeMap<_, _>>>();
    fs::write(MTRR, format!("disable={register}\n")).context("taking it back")?;
    let told = told?;
    let linux = told.get(&0).context("CPU 0")?;
    ensure!(
        linux.iter().all(|value| *value != 0) && told.values().all(|value| value == linux),
        "the CPUs differ: {told:x?}"
    );
    spinner.end()
}

fn backtraces() -> Result<()> {
    // What the kernel says is read from its log: on the console it would look like a complaint.
    fs::write("/proc/sys/kernel/printk", "1").context("printk")?;
    let result = take_backtraces();
    fs::write("/proc/sys/kernel/printk", "7").context("printk")?;
    result
}

fn take_backtraces() -> Result<()> {
    let mut unmapping = job::Beating::start_command(job::yod_inside(&["-c", "2-3"], &["unmap"]))?;
    let answers = |cpu: usize| -> Result<usize> {
        let start = format!("NMI backtrace for cpu {cpu}");
        let log = proc::kernel_log()?;
        Ok(log.iter().filter(|line| line.starts_with(&start)).count())
    };
    let before = [answers(2)?, answers(3)?];
    for _ in 0..3 {
        switch(1, "0").context("CPU 1 off line")?;
        fs::write("/proc/sysrq-trigger", "l").context("sysrq l")?;
        switch(1, "1").context("CPU 1 on line")?;
        unmapping.drain()?;
        unmapping.beats(1)?;
    }
    let after = [answers(2)?, answers(3)?];
    ensure!(
        after == before.map(|count| count + 3),
        "NMIs that CPUs 2 and 3 took: {before:?}, then {after:?}"
    );
    unmapping.kill()
}
