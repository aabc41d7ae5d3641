// SPDX-License-Identifier: GPL-2.0
//! Threads that are on a CPU of Linux for a call: who looks sees nothing of it, and signals find them at home.

use std::process::Command;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use nix::libc;
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::Pid;
use rustix::io::Errno;

use super::places::Seen;
use super::{is_linux, is_lwk, scaled, Blocked, Stepping, NO_BATCH};
use crate::cases::LWK;
use crate::cpus::{self, Cpus};
use crate::job::{self, Beating};
use crate::proc;
use crate::trace::{Trace, CALLS};

fn allowed(pid: i32) -> Result<[Cpus; 2]> {
    let status = format!("/proc/{pid}/status");
    let status = proc::status_field(&status, "Cpus_allowed_list")?;
    Ok([cpus::affinity(pid)?, cpus::parse(&status)?])
}

/// Whoever asks gets the CPUs of the job.
pub(super) fn hidden() -> Result<()> {
    let all = Cpus::from(LWK);
    let job = Blocked::start(&[])?;
    let pid = job.pid();
    ensure!(allowed(pid)? == [all.clone(), all], "{:?}", allowed(pid)?);
    let told = job::run(Command::new("/bin/taskset").args(["-p", &pid.to_string()]))?.success()?;
    ensure!(told.trim_end().ends_with(": c"), "{told}");
    ensure!(is_linux(job.stat()?.cpu), "{:?}", job.stat()?);
    let cpu = job.release()?;
    ensure!(is_lwk(cpu), "went on on CPU {cpu}");
    let told = job::run(&mut job::yod_inside(&NO_BATCH, &["calls-watched"]))?;
    told.expect_code(0)?;
    ensure!(
        told.value("other")? == "2,3" && told.value("own")? == "2,3",
        "{told:?}"
    );
    ensure!(told.value("status")? == "2-3", "{told:?}");
    ensure!(is_linux(told.value("away")?.parse()?), "{told:?}");
    ensure!(is_lwk(told.value("back")?.parse()?), "{told:?}");
    Ok(())
}

/// A new affinity is told at once, and is where the thread goes on.
pub(super) fn affinity_changed() -> Result<()> {
    for wanted in [2, 3, 2] {
        let job = Blocked::start(&[])?;
        let pid = job.pid();
        let only = Cpus::from([wanted]);
        cpus::set_affinity(pid, &only).context("sched_setaffinity")?;
        ensure!(allowed(pid)? == [only.clone(), only], "{:?}", allowed(pid)?);
        let foreign = cpus::set_affinity(pid, &Cpus::from([1]));
        ensure!(foreign == Err(Errno::INVAL), "{foreign:?}");
        job.wait().context("after the change")?;
        let cpu = job.release()?;
        ensure!(
            cpu == wanted,
            "asked for CPU {wanted}, went on on CPU {cpu}"
        );
    }
    for (mask, wanted) in [("4", 2), ("8", 3)] {
        let job = Blocked::start(&[])?;
        let pid = job.pid().to_string();
        job::run(Command::new("/bin/taskset").args(["-p", mask, &pid]))?.success()?;
        let cpu = job.release()?;
        ensure!(cpu == wanted, "mask {mask}: went on on CPU {cpu}");
    }
    // While it computes there, too.
    let mut job = Beating::start_command(job::yod_inside(&[], &["calls-busy"]))?;
    for round in 0..20 {
        let wanted = Cpus::from([LWK[round % 2]]);
        cpus::set_affinity(job.pid(), &wanted).context("sched_setaffinity")?;
        ensure!(cpus::affinity(job.pid())? == wanted, "round {round}");
        job.beats(2)?;
    }
    job.kill()
}

fn interrupted(how: &str, options: &[&str], failed: &str) -> Result<()> {
    let told = job::run(&mut job::yod_inside(options, &["calls-interrupted", how]))?;
    told.expect_code(0)?;
    ensure!(told.value("last")? == "Ok(1)", "{told:?}");
    ensure!(told.value("failed")? == failed, "{told:?}");
    ensure!(told.value("handled")? == "20", "{told:?}");
    for key in ["handlers", "after"] {
        let cpus = cpus::parse(told.value(key)?)?;
        ensure!(!cpus.is_empty(), "{told:?}");
        ensure!(cpus.iter().all(|cpu| is_lwk(*cpu)), "{key}: {told:?}");
    }
    Ok(())
}

/// Calls that fail with `EINTR`.
pub(super) fn interrupts() -> Result<()> {
    interrupted("fails", &NO_BATCH, "20")?;
    interrupted(
        "fails",
        &["--exclusive-wait", "--syscall-batch", "no"],
        "20",
    )
}

/// Calls that begin anew.
pub(super) fn restarts() -> Result<()> {
    interrupted("restarts", &NO_BATCH, "0")?;
    interrupted(
        "restarts",
        &["--exclusive-wait", "--syscall-batch", "no"],
        "0",
    )
}

/// Signals in the middle of everything.
pub(super) fn timer_storm() -> Result<()> {
    let is_slow = crate::init::factor()? > 1;
    let rounds = if is_slow { "300" } else { "1500" };
    for options in [
        &NO_BATCH[..],
        &["--syscall-batch", "1ms"],
        &["--exclusive-wait", "--idle", "poll"],
    ] {
        let told = job::run(&mut job::yod_inside(options, &["calls-timers", rounds]))?;
        told.expect_code(0)
            .with_context(|| format!("{options:?}"))?;
        ensure!(told.value("handled")?.parse::<u32>()? > 50, "{told:?}");
        let cpus = cpus::parse(told.value("handlers")?)?;
        ensure!(
            cpus.iter().all(|cpu| is_lwk(*cpu)),
            "handlers ran on CPUs of Linux: {options:?}: {told:?}"
        );
    }
    Ok(())
}

fn killed(pid: i32) -> Result<()> {
    let pid = Pid::from_raw(pid);
    kill(pid, Signal::SIGKILL).context("kill")?;
    let status = waitpid(pid, None).context("wait")?;
    ensure!(
        status == WaitStatus::Signaled(pid, Signal::SIGKILL, false),
        "{status:?}"
    );
    job::check_idle().context("right after it was reaped")
}

/// SIGKILL while a call waits, and while one computes.
pub(super) fn kills() -> Result<()> {
    for options in [&[][..], &["--exclusive-wait"]] {
        for _ in 0..5 {
            killed(Blocked::start(options)?.pid())?;
            let mut job = Beating::start_command(job::yod_inside(options, &["calls-busy"]))?;
            job.beats(3)?;
            killed(job.pid())?;
        }
    }
    Ok(())
}

fn stop(pid: i32) -> Result<()> {
    let pid = Pid::from_raw(pid);
    kill(pid, Signal::SIGSTOP).context("SIGSTOP")?;
    let status = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).context("wait")?;
    ensure!(
        status == WaitStatus::Stopped(pid, Signal::SIGSTOP),
        "{status:?}"
    );
    Ok(())
}

fn go_on(pid: i32) -> Result<()> {
    kill(Pid::from_raw(pid), Signal::SIGCONT).context("SIGCONT")
}

/// SIGSTOP and SIGCONT in moved calls.
pub(super) fn stops() -> Result<()> {
    let job = Blocked::start(&[])?;
    for _ in 0..5 {
        stop(job.pid())?;
        ensure!(job.stat()?.state == 'T', "{:?}", job.stat()?);
        go_on(job.pid())?;
        job.wait().context("after SIGCONT")?;
    }
    let cpu = job.release()?;
    ensure!(is_lwk(cpu), "went on on CPU {cpu}");
    let mut job = Beating::start_command(job::yod_inside(&[], &["calls-busy"]))?;
    for _ in 0..5 {
        stop(job.pid())?;
        job.drain()?;
        std::thread::sleep(Duration::from_millis(50));
        ensure!(!job.drain()?, "a stopped job went on");
        go_on(job.pid())?;
        job.beats(3)?;
    }
    job.kill()
}

/// A call with a time limit goes on with the rest of it after a stop, by `restart_syscall(2)`, which stays.
pub(super) fn stopped_poll() -> Result<()> {
    let trace = Trace::start(&CALLS)?;
    let command = job::yod_inside(&NO_BATCH, &["calls-polled", "1500"]);
    let mut job = Stepping::start(command)?;
    job.expect("before")?;
    let is_away = || {
        let threads = proc::threads(job.pid());
        Ok(threads
            .iter()
            .all(|stat| stat.state == 'S' && is_linux(stat.cpu)))
    };
    job::eventually(scaled(Duration::from_secs(5))?, "poll", is_away)?;
    stop(job.pid())?;
    go_on(job.pid())?;
    let mut line = job.line()?;
    ensure!(line == "result Ok(0)", "{line}");
    line = job.line()?;
    let cpu = line.strip_prefix("after ").context("where?")?;
    ensure!(is_lwk(cpu.parse()?), "{line}");
    job.finish()?;
    let calls = Seen::new(&trace.stop()?)?.calls();
    let of = |nr| calls.iter().filter(move |call| call.nr == nr);
    ensure!(of(libc::SYS_poll).count() == 1, "{calls:?}");
    let restarted: Vec<_> = of(libc::SYS_restart_syscall).collect();
    ensure!(restarted.len() == 1, "{calls:?}");
    for call in restarted {
        ensure!(
            is_lwk(call.entered_on) && call.left.is_some_and(|(cpu, _)| is_lwk(cpu)),
            "{call:?}"
        );
    }
    Ok(())
}
