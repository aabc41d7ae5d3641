// SPDX-License-Identifier: GPL-2.0
//! Programs of one user beside the job of another, hogs of CPUs, and memory that is taken out of service.

use std::hint::black_box;
use std::io::{Read, Write};

use anyhow::{ensure, Context, Result};
use lwk_logic::uapi::{self, CallRecord, NoiseRecord};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags};

use super::load::compute;
use super::number;
use super::pages::tell_job;
use crate::cpus::{self, to_word, Cpus};
use crate::sys::lwk::{self, size_of_abi, IoResult};
use crate::sys::map::Mapping;
use crate::sys::sched::{set_policy, Policy};
use crate::sys::FreshPages;

const M: usize = 1 << 20;

fn say(line: &str) -> Result<()> {
    println!("{line}");
    std::io::stdout().flush().context("stdout")
}

fn expect(what: &str, got: IoResult<()>, wanted: IoResult<()>) -> Result<()> {
    ensure!(got == wanted, "{what}: wanted {wanted:?}, got {got:?}");
    Ok(())
}

/// Tries all that the device offers on another user's job, again and again: its number, its CPU, one that nobody has.
pub(super) fn tries(args: &[&str]) -> Result<()> {
    let job = u32::try_from(number(args, 0)?)?;
    let (taken, free) = (number(args, 1)?, number(args, 2)?);
    let mut first = true;
    loop {
        look(u32::try_from(taken)?)?;
        reach_for(job)?;
        change()?;
        compete(job, taken, free)?;
        if std::mem::take(&mut first) {
            say("tried 1")?;
        }
    }
}

/// Who looks sees that there is a job, and not what it does.
fn look(taken: u32) -> Result<()> {
    let device = lwk::open()?;
    let mut info = uapi::Info {
        size: size_of_abi::<uapi::Info>(),
        ..Default::default()
    };
    expect("Info", lwk::info(&device, &mut info, &[]), Ok(()))?;
    let mut cpu = uapi::CpuGet {
        size: size_of_abi::<uapi::CpuGet>(),
        cpu: taken,
        ..Default::default()
    };
    expect("CpuGet", lwk::cpu_get(&device, &mut cpu), Ok(()))?;
    let counts = cpu.entries.iter().chain(&cpu.irqs);
    let sum: u64 = counts.sum::<u64>() + cpu.switches + cpu.faults + cpu.caught_up;
    ensure!(
        cpu.job != 0 && cpu.flags & uapi::CPU_UNTOLD != 0 && sum == 0 && cpu.nr_running == 0,
        "{cpu:?}"
    );
    let mut records = vec![NoiseRecord::default(); 64];
    let mut noise = uapi::NoiseRead {
        size: size_of_abi::<uapi::NoiseRead>(),
        cpu: taken,
        ..Default::default()
    };
    let read = lwk::noise_read(&device, &mut noise, &mut records);
    expect("NoiseRead", read, Ok(()))?;
    ensure!(noise.nr == 0, "{:?}", records.first());
    Ok(())
}

/// Nothing of the job is to be had.
fn reach_for(job: u32) -> Result<()> {
    let device = lwk::open()?;
    let mut table = uapi::CallTable {
        size: size_of_abi::<uapi::CallTable>(),
        job,
        ..Default::default()
    };
    for flags in [0, uapi::CALLS_SET] {
        table.flags = flags;
        let got = lwk::call_table(&device, &mut table);
        expect("CallTable of the job", got, Err(Errno::PERM))?;
    }
    for tid in [0, 1, job] {
        let mut records = [CallRecord::default(); 16];
        let mut arg = uapi::CallsRead {
            size: size_of_abi::<uapi::CallsRead>(),
            job,
            tid,
            ..Default::default()
        };
        let got = lwk::calls_read(&device, &mut arg, &mut records);
        expect("CallsRead", got, Err(Errno::PERM))?;
    }
    let mut enter = uapi::JobEnter {
        size: size_of_abi::<uapi::JobEnter>(),
        job,
        ..Default::default()
    };
    let got = lwk::job_enter(&device, &mut enter, &[]);
    expect("JobEnter", got, Err(Errno::NOENT))
}

/// Nothing of the partition can be changed.
fn change() -> Result<()> {
    let device = lwk::open()?;
    let denied = Err(Errno::PERM);
    let mut table = uapi::CallTable {
        size: size_of_abi::<uapi::CallTable>(),
        partition: 1,
        flags: uapi::CALLS_SET,
        ..Default::default()
    };
    let got = lwk::call_table(&device, &mut table);
    expect("CallTable of the partition", got, denied)?;
    let mut regions = [uapi::MemRegion::default(); uapi::NR_MEM_REGIONS];
    let mut policy = uapi::PartitionPolicy {
        size: size_of_abi::<uapi::PartitionPolicy>(),
        id: 1,
        nr_regions: 5,
        flags: uapi::POLICY_SET,
        ..Default::default()
    };
    let got = lwk::partition_policy(&device, &mut policy, &mut regions);
    expect("PartitionPolicy", got, denied)?;
    for flags in [uapi::MEM_SURVEY, uapi::MEM_CHECK] {
        expect("MemGet with flags", mem_get(&device, flags), denied)?;
    }
    expect("MemGet", mem_get(&device, 0), Ok(()))?;
    let mut create = uapi::PartitionCreate {
        size: size_of_abi::<uapi::PartitionCreate>(),
        ..Default::default()
    };
    let got = lwk::partition_create(&device, &mut create, &[2], &[0]);
    expect("PartitionCreate", got, denied)?;
    let mut resize = uapi::PartitionResize {
        size: size_of_abi::<uapi::PartitionResize>(),
        id: 1,
        ..Default::default()
    };
    let got = lwk::partition_resize(&device, &mut resize, &[2], &[4]);
    expect("PartitionResize", got, denied)?;
    let mut delete = uapi::PartitionDelete {
        size: size_of_abi::<uapi::PartitionDelete>(),
        id: 1,
        ..Default::default()
    };
    let got = lwk::partition_delete(&device, &mut delete);
    expect("PartitionDelete", got, denied)
}

fn mem_get(device: &std::fs::File, flags: u32) -> IoResult<()> {
    let mut arg = uapi::MemGet {
        size: size_of_abi::<uapi::MemGet>(),
        partition: 1,
        flags,
        ..Default::default()
    };
    lwk::mem_get(device, &mut arg)
}

/// Jobs of its own, as many as it likes, on CPUs and with memory that are not the other's.
fn compete(job: u32, taken: usize, free: usize) -> Result<()> {
    let create = |cpu: usize, mem_bytes: u64| -> Result<(IoResult<()>, u32)> {
        let cpus = [to_word(&[cpu])];
        let mut arg = uapi::JobCreate {
            size: size_of_abi::<uapi::JobCreate>(),
            // CAST: pointers travel as `u64` in the ABI.
            cpus_ptr: cpus.as_ptr() as u64,
            nr_bits: 64,
            mem_bytes,
            ..Default::default()
        };
        Ok((lwk::job_create(&lwk::open()?, &mut arg, &[]), arg.job))
    };
    expect("its CPU", create(taken, 0)?.0, Err(Errno::BUSY))?;
    expect("too much", create(free, 1 << 40)?.0, Err(Errno::NOMEM))?;
    for _ in 0..8 {
        let (got, own) = create(free, uapi::MEM_ALL)?;
        expect("all that is left", got, Ok(()))?;
        ensure!(own != job, "the same job twice");
    }
    Ok(())
}

/// Reads what anybody may, without a pause.
pub(super) fn reads(_: &[&str]) -> Result<()> {
    let device = lwk::open()?;
    say("reads 1")?;
    loop {
        expect("MemGet", mem_get(&device, 0), Ok(()))?;
    }
}

/// Computes for ever, and would rather do so than let others.
pub(super) fn busy(_: &[&str]) -> Result<()> {
    rustix::process::setpriority_process(None, -10).context("setpriority")?;
    loop {
        black_box(compute(1_000_000));
    }
}

/// Has so many MiB for a moment.
pub(super) fn maps(args: &[&str]) -> Result<()> {
    Mapping::new(number(args, 0)? * M).map(drop)
}

/// Waits for a byte and then takes a CPU for itself, with a real-time priority.
pub(super) fn hog(args: &[&str]) -> Result<()> {
    let cpu = number(args, 0)?;
    cpus::set_affinity(0, &Cpus::from([cpu])).context("affinity")?;
    set_policy(0, Policy::Fifo(10)).context("SCHED_FIFO")?;
    say(&format!("hog {cpu}"))?;
    std::io::stdin().read_exact(&mut [0; 1]).context("stdin")?;
    // It waits in a list of this CPU to be put on one of all.
    FreshPages::map(1)?.touch();
    let mut page = FreshPages::map(1)?;
    page.touch();
    say("hogs 1")?;
    loop {
        black_box(compute(1_000_000));
    }
}

/// A page that may go bad one day is taken out of service: its contents stay.
pub(super) fn soft_offline(_: &[&str]) -> Result<()> {
    let mut memory = Mapping::hugetlb(2 * M, MapFlags::SHARED)?;
    memory.bytes_mut().fill(7);
    tell_job()?;
    memory.advise(Advice::LinuxSoftOffline)?;
    ensure!(
        memory.bytes().iter().all(|byte| *byte == 7),
        "its contents changed"
    );
    memory.bytes_mut().fill(8);
    Ok(())
}
