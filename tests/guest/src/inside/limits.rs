// SPDX-License-Identifier: GPL-2.0
//! Programs that go to the limits of what a process may lock, leave behind, or do with the end of its heap.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{ensure, Context, Result};
use lwk_logic::uapi;
use nix::sys::signal::Signal;
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::Pid;
use rustix::fs::{memfd_create, MemfdFlags};
use rustix::mm::{mlockall, munlockall, MapFlags, MlockAllFlags};
use rustix::process::{setrlimit, Resource, Rlimit};
use rustix::thread::{self, CapabilitySet};

use super::features::frames;
use super::number;
use super::pages::tell_job;
use crate::proc::status_field;
use crate::sys::lwk::{self, size_of_abi};
use crate::sys::map::{heap, move_break, Mapping};
use crate::sys::{calls, limits, spawn, PAGE};

const M: usize = 1 << 20;

/// The limit of what it may lock, from now on for good.
fn limit_locks(bytes: usize) -> Result<()> {
    let limit = Rlimit {
        current: Some(bytes as u64),
        maximum: None,
    };
    setrlimit(Resource::Memlock, limit).context("rlimit")?;
    let mut capabilities = thread::capabilities(None).context("capget")?;
    capabilities.effective.remove(CapabilitySet::IPC_LOCK);
    thread::set_capabilities(None, capabilities).context("capset")
}

/// KiB of a line of `/proc/self/status`.
fn status_kib(key: &str) -> Result<usize> {
    let text = status_field("/proc/self/status", key)?;
    text.trim_end_matches(" kB")
        .trim()
        .parse()
        .with_context(|| text.clone())
}

/// Maps 32 MiB while all that it maps is locked, unlocks them, and has its cgroup, the first argument, reclaim memory.
pub(super) fn locked_new(args: &[&str]) -> Result<()> {
    const LRU: u32 = 5;
    let group = args.first().context("a cgroup")?;
    fs::write(format!("{group}/cgroup.procs"), "0").context("cgroup.procs")?;
    mlockall(MlockAllFlags::FUTURE).context("mlockall")?;
    let mut memory = Mapping::new(32 * M)?;
    memory.bytes_mut().fill(7);
    println!("locked {}", status_kib("VmLck")?);
    munlockall().context("munlockall")?;
    let mut flags = File::open("/proc/kpageflags").context("kpageflags")?;
    let mut nr_listed = 0;
    for (frame, _) in frames(&memory)? {
        let mut word = [0; 8];
        flags.seek(SeekFrom::Start(frame * 8))?;
        flags.read_exact(&mut word).context("kpageflags")?;
        nr_listed += u64::from_ne_bytes(word) >> LRU & 1;
    }
    println!("listed {nr_listed}");
    // It may find less than that.
    let reclaimed = fs::write(format!("{group}/memory.reclaim"), "64M");
    println!("reclaim {reclaimed:?}");
    println!("swapped {}", status_kib("VmSwap")?);
    ensure!(memory.bytes().iter().all(|byte| *byte == 7), "not kept");
    tell_job()
}

/// A file of Linux' memory.
fn file(len: usize) -> Result<File> {
    let mut file = File::from(memfd_create("test", MemfdFlags::empty()).context("memfd")?);
    // Not so large that the C library would change its mind about what comes from the heap.
    let piece = [7; PAGE];
    for _ in 0..len / PAGE {
        file.write_all(&piece).context("write")?;
    }
    Ok(file)
}

/// With 64 MiB of a pool and a limit of 64 KiB: which memory can it lock beyond that?
pub(super) fn lock_beyond(_: &[&str]) -> Result<()> {
    limit_locks(64 << 10)?;
    let shared = Mapping::of_file(file(48 * M)?, 48 * M)?;
    let mut nr_locked = 0;
    for _ in 0..4 {
        let child = spawn(|| u8::from(calls::lock(&shared).is_err()))?;
        nr_locked += u32::from(waitpid(child, None)? == WaitStatus::Exited(child, 0));
    }
    println!("files {nr_locked}");
    drop(shared);
    let mut own = Mapping::new(32 * M)?;
    own.bytes_mut().fill(1);
    println!("own {}", u8::from(calls::lock(&own).is_ok()));
    println!("own-kib {}", status_kib("VmLck")?);
    let mut more = Mapping::new(48 * M)?;
    more.bytes_mut().fill(1);
    println!("spilled-locked {}", u8::from(calls::lock(&more).is_ok()));
    tell_job()?;
    drop(more);
    // What is of the pool is not of these 36 MiB.
    limit_locks(36 * M)?;
    let total = status_kib("VmSize")?;
    ensure!(total > 36 << 10, "{total} KiB can be locked by anybody");
    let all = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE);
    println!("all {}", u8::from(all.is_ok()));
    println!("all-kib {}", status_kib("VmLck")?);
    let mut new = Mapping::new(16 * M)?;
    new.bytes_mut().fill(1);
    println!("new-kib {}", status_kib("VmLck")?);
    println!("too-much {}", u8::from(Mapping::new(512 * M).is_err()));
    Ok(())
}

/// What the OOM killer thinks of a process.
fn score(pid: Pid) -> Result<u32> {
    let path = format!("/proc/{pid}/oom_score");
    let text = fs::read_to_string(&path).context(path)?;
    text.trim().parse().context("a score")
}

/// Starts a process that maps and touches so many MiB and waits until `gate` is closed.
fn holder(mib: usize, gate: &File) -> Result<Pid> {
    let (ready, told) = rustix::pipe::pipe()?;
    let mut gate = gate;
    let child = spawn(move || {
        let Ok(mut memory) = Mapping::new(mib * M) else {
            return 1;
        };
        memory.bytes_mut().fill(1);
        let told = File::from(told);
        let sent = (&told).write_all(&[1]);
        drop(told);
        let _ = gate.read(&mut [0]);
        u8::from(sent.is_err())
    })?;
    File::from(ready)
        .read_exact(&mut [0])
        .context("the child")?;
    Ok(child)
}

/// With 128 MiB of a pool: one process has 100 of them, another takes as much and gets most of it from Linux.
pub(super) fn badness(_: &[&str]) -> Result<()> {
    println!("nothing {}", score(Pid::this())?);
    let (gate, open) = rustix::pipe::pipe()?;
    let gate = File::from(gate);
    let first = holder(100, &gate)?;
    let second = holder(100, &gate)?;
    println!("pool {}", score(first)?);
    println!("linux {}", score(second)?);
    tell_job()?;
    // All of them wait at the same gate, whose other end they inherited, too.
    for pid in [first, second] {
        nix::sys::signal::kill(pid, Signal::SIGKILL)?;
        waitpid(pid, None)?;
    }
    drop(open);
    // Parent and child share what they have.
    let mut memory = Mapping::new(100 * M)?;
    memory.bytes_mut().fill(1);
    let child = spawn(|| match score(Pid::this()) {
        Ok(score) => u8::try_from(score / 4).unwrap_or(255),
        Err(_) => 255,
    })?;
    match waitpid(child, None)? {
        WaitStatus::Exited(_, quarter) => println!("shared {}", quarter * 4),
        other => anyhow::bail!("{other:?}"),
    }
    Ok(())
}

/// In a cgroup that is too small for both: one process has all of its memory from a pool and goes on, another has little,
/// and that of Linux. Tells which of them was killed.
pub(super) fn memcg_oom(args: &[&str]) -> Result<()> {
    let group = args.first().context("a cgroup")?;
    fs::write("/proc/self/oom_score_adj", "-1000").context("oom_score_adj")?;
    fs::write(format!("{group}/cgroup.procs"), "0").context("cgroup.procs")?;
    let prey = || fs::write("/proc/self/oom_score_adj", "0");
    let (ready, told) = rustix::pipe::pipe()?;
    let small = spawn(|| {
        let told = File::from(told);
        let Ok(memory) = file(4 * M).and_then(|file| Mapping::of_file(file, 4 * M)) else {
            return 1;
        };
        std::hint::black_box(memory.bytes().iter().step_by(PAGE).all(|byte| *byte == 7));
        if prey().is_err() || (&told).write_all(&[1]).is_err() {
            return 1;
        }
        loop {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
    })?;
    File::from(ready)
        .read_exact(&mut [0])
        .context("the child")?;
    let large = spawn(|| {
        let memory = prey()
            .map_err(Into::into)
            .and_then(|()| Mapping::sparse(96 * M));
        memory.map_or(1, |mut memory| {
            memory.bytes_mut().fill(1);
            0
        })
    })?;
    let status = waitpid(large, None)?;
    println!(
        "large {}",
        u8::from(matches!(
            status,
            WaitStatus::Signaled(_, Signal::SIGKILL, _)
        ))
    );
    let small_ended = nix::sys::wait::waitpid(small, Some(nix::sys::wait::WaitPidFlag::WNOHANG))?;
    println!("small {}", u8::from(small_ended != WaitStatus::StillAlive));
    if small_ended == WaitStatus::StillAlive {
        nix::sys::signal::kill(small, Signal::SIGKILL)?;
        waitpid(small, None)?;
    }
    tell_job()
}

/// Has so many jobs, one after the other, that each leave so many KiB in a file, and then another.
pub(super) fn leave_jobs(args: &[&str]) -> Result<()> {
    let (nr, len) = (number(args, 0)?, number(args, 1)? << 10);
    let mut files = Vec::new();
    for nr in 0..nr {
        let file = File::from(memfd_create("left", MemfdFlags::CLOEXEC).context("memfd")?);
        file.set_len(len as u64).context("memfd")?;
        let child = spawn(|| match leave_in(&file, len) {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("job {nr}: {error:#}");
                1
            }
        })?;
        let status = waitpid(child, None)?;
        ensure!(
            status == WaitStatus::Exited(child, 0),
            "job {nr}: {status:?}"
        );
        files.push(file);
    }
    println!("jobs {nr}");
    let last = Command::new("/bin/yod")
        .args(["-M", "16M", "/init", "inside", "map", "8"])
        .output()
        .context("yod")?;
    print!("{}", String::from_utf8_lossy(&last.stdout));
    ensure!(last.status.success(), "{last:?}");
    Ok(())
}

pub(super) fn make_job(device: &File) -> Result<uapi::JobEnter> {
    let mut create = uapi::JobCreate {
        size: size_of_abi::<uapi::JobCreate>(),
        nr_cpus: 1,
        mem_bytes: 2 << 20,
        ..Default::default()
    };
    lwk::job_create(device, &mut create, &[]).context("LWK_JOB_CREATE")?;
    Ok(uapi::JobEnter {
        size: size_of_abi::<uapi::JobEnter>(),
        job: create.job,
        ..Default::default()
    })
}

fn leave_in(file: &File, len: usize) -> Result<()> {
    let device = lwk::open()?;
    let mut enter = make_job(&device)?;
    lwk::job_enter(&device, &mut enter, &[]).context("LWK_JOB_ENTER")?;
    Mapping::of_file(file, len)?.bytes_mut()[0] = 1;
    Ok(())
}

/// Enters a job while another process has its memory, and again when that has ended; prints both outcomes.
pub(super) fn enter_shared(_: &[&str]) -> Result<()> {
    let (gate, open) = rustix::pipe::pipe()?;
    let device = lwk::open()?;
    let mut enter = make_job(&device)?;
    let other = limits::sharer(std::os::fd::AsFd::as_fd(&gate))?;
    println!("with {:?}", lwk::job_enter(&device, &mut enter, &[]));
    rustix::io::write(&open, &[1]).context("the gate")?;
    waitpid(other, None)?;
    println!("without {:?}", lwk::job_enter(&device, &mut enter, &[]));
    Ok(())
}

/// Shrinks the heap where a file is mapped over a part of it, and grows it where one is mapped behind it.
pub(super) fn heap_file(_: &[&str]) -> Result<()> {
    let begin = move_break(0)?;
    // To a multiple of 2 MiB, and 4 MiB.
    let base = begin.next_multiple_of(2 * M);
    move_break(isize::try_from(base + 4 * M - begin)?)?;
    heap(base, 4 * M).fill(3);
    let other = file(M)?;
    limits::map_over(base + M, M / 2, &other)?;
    move_break(-isize::try_from(3 * M + M / 2)?)?;
    println!("kept {}", sevens(&other)?);
    // Grown again it is zero where it was given up, unless the file is in the way.
    let grown = move_break(isize::try_from(M / 4)?)?;
    ensure!(grown == base + M / 2, "{grown:x}");
    println!(
        "zero {}",
        heap(grown, M / 4).iter().filter(|byte| **byte == 0).count()
    );
    ensure!(heap(base, M / 2).iter().all(|byte| *byte == 3), "not kept");
    move_break(-isize::try_from(M * 3 / 4)?)?;
    let end = move_break(isize::try_from(64 << 10)?)? + (64 << 10);
    limits::map_over(end, 64 << 10, &other)?;
    println!(
        "over-file {}",
        u8::from(move_break(isize::try_from(128 << 10)?).is_ok())
    );
    println!("kept-again {}", sevens(&other)?);
    Ok(())
}

/// How many bytes of a file are as [`file`] wrote them; takes no memory of the heap.
fn sevens(mut file: &File) -> Result<usize> {
    let mut piece = [0; PAGE];
    let mut nr = 0;
    file.seek(SeekFrom::Start(0))?;
    loop {
        let len = file.read(&mut piece)?;
        if len == 0 {
            return Ok(nr);
        }
        nr += piece[..len].iter().filter(|byte| **byte == 7).count();
    }
}

/// Grows the heap by 1 MiB, often enough that a step of 64 MiB is used up where there is no room for another.
pub(super) fn heap_exact(_: &[&str]) -> Result<()> {
    let now = status_kib("VmSize")? << 10;
    let limit = Rlimit {
        current: Some((now + 32 * M) as u64),
        maximum: None,
    };
    setrlimit(Resource::As, limit).context("rlimit")?;
    for nr in 0..80 {
        move_break(isize::try_from(M)?).with_context(|| format!("{nr} MiB"))?;
        // How much of the first step was left is a matter of chance.
        if status_kib("VmSize")? << 10 > now {
            return Ok(());
        }
    }
    anyhow::bail!("the heap has a step of more than 64 MiB")
}

/// Touches the page behind the end of a small file, within the same 2 MiB.
pub(super) fn file_end(_: &[&str]) -> Result<()> {
    let file = File::from(memfd_create("test", MemfdFlags::empty()).context("memfd")?);
    file.set_len(PAGE as u64).context("memfd")?;
    let mut memory = Mapping::of_file(&file, 4 * M)?;
    memory.bytes_mut()[0] = 1;
    let blocks = std::os::unix::fs::MetadataExt::blocks(&file.metadata()?);
    println!("kib {}", blocks / 2);
    let child = spawn(|| std::hint::black_box(memory.bytes()[PAGE]))?;
    let status = waitpid(child, None)?;
    println!(
        "bus-error {}",
        u8::from(matches!(status, WaitStatus::Signaled(_, Signal::SIGBUS, _)))
    );
    Ok(())
}

/// Becomes another of these programs.
pub(super) fn become_other(args: &[&str]) -> Result<()> {
    Err(Command::new("/init").arg("inside").args(args).exec()).context("exec")
}

/// Reserves pages of hugetlbfs, says so, and uses them, or gives them up, when it is told to; ends when it is told again.
pub(super) fn reserve(args: &[&str]) -> Result<()> {
    let mut memory = Mapping::hugetlb(number(args, 0)? * M, MapFlags::SHARED | MapFlags::HUGE_2MB)?;
    println!("reserved 1");
    let mut byte = [0];
    let mut input = std::io::stdin();
    input.read_exact(&mut byte).context("stdin")?;
    if args.get(1) == Some(&"drop") {
        drop(memory);
    } else {
        memory.bytes_mut().fill(1);
    }
    println!("done 1");
    input.read_exact(&mut byte).context("stdin")
}

/// Maps a file, reads all of it, says so and waits.
pub(super) fn map_file(args: &[&str]) -> Result<()> {
    let path = args.first().context("a file")?;
    let file = File::options()
        .read(true)
        .write(true)
        .open(path)
        .context("the file")?;
    let len = usize::try_from(file.metadata()?.len())?;
    let memory = Mapping::of_file(file, len)?;
    ensure!(
        memory.bytes().iter().step_by(PAGE).all(|byte| *byte == 5),
        "the contents"
    );
    println!("mapped 1");
    std::io::stdin().read_exact(&mut [0]).context("stdin")
}
