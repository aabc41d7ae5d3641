// SPDX-License-Identifier: GPL-2.0
//! What belongs to a thread goes with it to the CPU of Linux and back: its times, its credentials, its rings, the memory
//! in which the kernel keeps its CPU.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use anyhow::{ensure, Context, Result};
use nix::sys::resource::{getrusage, UsageWho};
use nix::sys::time::TimeValLike;
use rustix::thread::{
    capabilities, sched_getcpu, set_capabilities, set_thread_res_uid, CapabilitySet, Uid,
};
use rustix::time::{clock_gettime, ClockId};

use super::super::number;
use crate::sys::ring::{Operation, Ring, When};
use crate::sys::rseq::Area;
use crate::{cpus, proc};

fn nanoseconds(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Computes in moved calls and tells how much time passed by which clock.
pub(super) fn times(args: &[&str]) -> Result<()> {
    let usage = || -> Result<i64> {
        let usage = getrusage(UsageWho::RUSAGE_THREAD).context("getrusage")?;
        Ok((usage.user_time() + usage.system_time()).num_microseconds())
    };
    let mut zero = File::open("/dev/zero").context("/dev/zero")?;
    let mut large = vec![1; 8 << 20];
    let clocks = [
        ClockId::Monotonic,
        ClockId::ThreadCPUTime,
        ClockId::ProcessCPUTime,
    ];
    let (before, used) = (clocks.map(nanoseconds), usage()?);
    let mut last = before;
    for _ in 0..number(args, 0)? {
        zero.read_exact(&mut large).context("/dev/zero")?;
        let now = clocks.map(nanoseconds);
        ensure!(
            now.iter().zip(&last).all(|(now, last)| now >= last),
            "a clock ran backwards: {last:?}, {now:?}"
        );
        last = now;
    }
    let [wall, thread, process] = [0, 1, 2].map(|at| (last[at] - before[at]) / 1000);
    let used = usage()? - used;
    println!("wall {wall}");
    println!("thread {thread}");
    println!("process {process}");
    println!("usage {used}");
    Ok(())
}

/// The kernel's word about the CPU is right whenever the thread is in user mode.
pub(super) fn sequences(args: &[&str]) -> Result<()> {
    let area = Area::register()?;
    let home = cpus::affinity(0)?;
    let mut zero = File::open("/dev/zero").context("/dev/zero")?;
    let mut right = 0;
    for round in 0..number(args, 0)? {
        zero.read_exact(&mut [0; 16]).context("/dev/zero")?;
        let before = area.cpus();
        let cpu = sched_getcpu();
        let after = area.cpus();
        ensure!(before[0] == before[1], "round {round}: {before:?}");
        ensure!(home.contains(&before[1]), "round {round}: {before:?}");
        // It may be moved in between only if it shares its CPU.
        right += usize::from(before == after && before[1] == cpu);
    }
    println!("right {right}");
    Ok(())
}

/// Operations of a ring, at once and by a thread of the kernel.
pub(super) fn ring(_: &[&str]) -> Result<()> {
    let path = "/tmp/calls-ring";
    fs::write(path, b"from a ring").context("write")?;
    let file = File::open(path).context("open")?;
    let ring = Ring::new()?;
    for when in [When::Usually, When::Elsewhere] {
        for _ in 0..20 {
            let mut buffer = [0; 16];
            let result = ring.run(Operation::Nothing, when, &file, &mut [])?;
            ensure!(result == 0, "nothing: {result}");
            let result = ring.run(Operation::Read, when, &file, &mut buffer)?;
            ensure!(
                result == 11 && buffer.starts_with(b"from a ring"),
                "{when:?}: {result}, {buffer:?}"
            );
        }
    }
    // The threads that carry out such operations; they wait for the next one.
    let workers = proc::threads(std::process::id().cast_signed());
    let workers = workers.iter().filter(|one| one.comm.starts_with("iou-wrk"));
    let cpus: Vec<_> = workers.map(|one| one.cpu.to_string()).collect();
    println!("workers {}", cpus.join(","));
    let folder = File::open("/tmp").context("open")?;
    let result = ring.run(Operation::Read, When::Usually, &folder, &mut [0; 1])?;
    ensure!(result == -nix::libc::EISDIR, "a folder was read: {result}");
    fs::remove_file(path).context("unlink")?;
    println!("operations 80");
    Ok(())
}

/// Files of others open with the rights of the moment.
pub(super) fn credentials(_: &[&str]) -> Result<()> {
    let path = "/tmp/calls-secret";
    // What an earlier run left.
    drop(fs::remove_file(path));
    fs::write(path, "secret").context("write")?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).context("chmod")?;
    let open = || File::open(path).err().map(|error| error.raw_os_error());
    println!("root {:?}", open());
    let (root, other) = (Uid::ROOT, Uid::from_raw(1000));
    set_thread_res_uid(root, other, root).context("setresuid")?;
    println!("other {:?}", open());
    set_thread_res_uid(root, root, root).context("setresuid")?;
    println!("again {:?}", open());
    std::os::unix::fs::chown(path, Some(1000), Some(1000)).context("chown")?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o0)).context("chmod")?;
    println!("able {:?}", open());
    let mut sets = capabilities(None).context("capget")?;
    sets.effective
        .remove(CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH);
    set_capabilities(None, sets).context("capset")?;
    println!("unable {:?}", open());
    Ok(())
}
