// SPDX-License-Identifier: GPL-2.0
//! Programs with one thread, or with child processes.

use std::hint::black_box;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use lwk_logic::uapi;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{waitpid, WaitStatus};
use rustix::thread::{membarrier, sched_getcpu, MembarrierCommand};

use super::number;
use crate::cpus;
use crate::sys::{self, lwk, lwk::size_of_abi};

/// Computes without a system call.
pub(super) fn compute(rounds: u64) -> u64 {
    (0..rounds).fold(1, |x: u64, i| {
        black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(i))
    })
}

/// Computes for ever and writes a byte each time some work is done.
pub(super) fn beat(_: &[&str]) -> Result<()> {
    let mut out = std::io::stdout();
    loop {
        black_box(compute(200_000));
        out.write_all(b".").context("writing a beat")?;
        out.flush().context("writing a beat")?;
    }
}

/// Computes for ever, with no system call after the line that says so.
pub(super) fn spin(_: &[&str]) -> Result<()> {
    println!("cpu {}", sched_getcpu());
    std::io::stdout().flush().context("stdout")?;
    loop {
        black_box(compute(1_000_000));
    }
}

/// The same, but any process may have a memory barrier executed where it runs.
pub(super) fn spin_registered(args: &[&str]) -> Result<()> {
    membarrier(MembarrierCommand::RegisterGlobalExpedited).context("membarrier")?;
    spin(args)
}

/// Computes a little and makes a system call, in turns, that many times.
pub(super) fn turns(args: &[&str]) -> Result<()> {
    for _ in 0..number(args, 0)? {
        black_box(compute(2_000));
        black_box(rustix::process::getppid());
    }
    Ok(())
}

/// Makes threads and processes without end, as prey for the tests that kill at a random moment.
pub(super) fn storm(_: &[&str]) -> Result<()> {
    loop {
        let child = sys::spawn(|| {
            let threads: Vec<_> = (0..3)
                .map(|_| std::thread::spawn(|| compute(50_000)))
                .collect();
            let done = threads
                .into_iter()
                .map(std::thread::JoinHandle::join)
                .filter(Result::is_ok)
                .count();
            u8::from(done != 3)
        })?;
        let exec = Command::new("/bin/true").spawn();
        black_box(compute(20_000));
        drop(exec.context("/bin/true")?.wait());
        waitpid(child, None).context("waitpid")?;
    }
}

/// Forks that many children at once, each of which computes, and reports on which CPUs they ran.
pub(super) fn children(args: &[&str]) -> Result<()> {
    let wanted = number(args, 0)?;
    let mut pids = Vec::new();
    for _ in 0..wanted {
        pids.push(sys::spawn(|| {
            black_box(compute(20_000));
            u8::try_from(sched_getcpu()).unwrap_or(255)
        })?);
    }
    let mut seen = std::collections::BTreeSet::new();
    for pid in pids {
        match waitpid(pid, None).context("waitpid")? {
            WaitStatus::Exited(_, cpu) => seen.insert(cpu),
            other => bail!("a child ended with {other:?}"),
        };
    }
    println!(
        "cpus {}",
        seen.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",")
    );
    Ok(())
}

/// Makes a child in the cgroup whose folder is the argument, which makes another one there: each is to have the affinity
/// of this process and to run on one of its CPUs.
pub(super) fn into_cgroup(args: &[&str]) -> Result<()> {
    let path = args.first().context("which cgroup?")?;
    let group = std::fs::File::open(path).context("the cgroup's folder")?;
    let own = cpus::affinity(0)?;
    let name = path.trim_start_matches("/sys/fs/cgroup").to_owned();
    let check = || -> Result<()> {
        let cgroup = std::fs::read_to_string("/proc/self/cgroup")?;
        ensure!(cgroup.trim().ends_with(&name), "in cgroup {cgroup}");
        let affinity = cpus::affinity(0)?;
        ensure!(affinity == own, "a child may run on {affinity:?}");
        black_box(compute(20_000));
        let cpu = sched_getcpu();
        ensure!(own.contains(&cpu), "a child runs on CPU {cpu}");
        Ok(())
    };
    let code = |result: Result<()>| match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error:#}");
            1
        }
    };
    let ends_well = |pid| -> Result<()> {
        let status = waitpid(pid, None).context("waitpid")?;
        ensure!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
        Ok(())
    };
    let child = sys::process::spawn_into(group.as_fd(), || {
        code(check().and_then(|()| ends_well(sys::spawn(|| code(check()))?)))
    })?;
    ends_well(child)
}

/// Makes that many system calls.
pub(super) fn syscalls(args: &[&str]) -> Result<()> {
    for _ in 0..number(args, 0)? {
        black_box(rustix::process::getppid());
    }
    Ok(())
}

/// Touches that many fresh pages.
pub(super) fn touch(args: &[&str]) -> Result<()> {
    sys::FreshPages::map(number(args, 0)?)?.touch();
    Ok(())
}

/// Sleeps, waits with a time limit and takes an alarm signal; none may come early, all must come.
pub(super) fn timers(_: &[&str]) -> Result<()> {
    let begun = Instant::now();
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(5));
    }
    ensure!(
        begun.elapsed() >= Duration::from_millis(100),
        "20 times 5 ms lasted {:?}",
        begun.elapsed()
    );
    let (lock, cond) = (std::sync::Mutex::new(()), std::sync::Condvar::new());
    let guard = lock.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
    let begun = Instant::now();
    let (guard, result) = cond
        .wait_timeout_while(guard, Duration::from_millis(50), |()| true)
        .map_err(|_| anyhow::anyhow!("poisoned"))?;
    drop(guard);
    ensure!(
        result.timed_out() && begun.elapsed() >= Duration::from_millis(50),
        "a futex wait came back early"
    );
    let mut alarm = SigSet::empty();
    alarm.add(Signal::SIGALRM);
    alarm.thread_block().context("sigprocmask")?;
    let begun = Instant::now();
    nix::unistd::alarm::set(1);
    // Computing until the signal is pending shows that the timer also fires on a busy CPU.
    while !pending_alarm()? {
        black_box(compute(100_000));
    }
    ensure!(
        alarm.wait().context("sigwait")? == Signal::SIGALRM,
        "not SIGALRM"
    );
    ensure!(
        begun.elapsed() >= Duration::from_millis(990),
        "alarm(1) came after {:?}",
        begun.elapsed()
    );
    Ok(())
}

fn pending_alarm() -> Result<bool> {
    let pending = crate::proc::status_field("/proc/self/status", "ShdPnd")?;
    Ok(u64::from_str_radix(&pending, 16).context("ShdPnd")? & 1 << (14 - 1) != 0)
}

/// Makes a job of its own and enters it, as `yod` does, and prints how both calls ended.
pub(super) fn enter(_: &[&str]) -> Result<()> {
    let device = lwk::open()?;
    let mut create = uapi::JobCreate {
        size: size_of_abi::<uapi::JobCreate>(),
        ..Default::default()
    };
    println!("create {:?}", lwk::job_create(&device, &mut create, &[]));
    let mut enter = uapi::JobEnter {
        size: size_of_abi::<uapi::JobEnter>(),
        job: create.job,
        ..Default::default()
    };
    println!("enter {:?}", lwk::job_enter(&device, &mut enter, &[]));
    Ok(())
}
