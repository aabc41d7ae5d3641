// SPDX-License-Identifier: GPL-2.0
//! What any Linux task can do works for the tasks of a job: signals, tracing, timers, futexes, many children.

use std::time::Duration;

use anyhow::{ensure, Context, Result};
use nix::sys::ptrace;
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::Pid;

use crate::harness::Case;
use crate::job::{self, Beating};
use crate::proc;

/// The suite.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "stop-continue",
        "SIGSTOP halts a computing job, SIGCONT lets it go on",
        stop_continue,
    ),
    Case::new(
        "ptrace",
        "a debugger attaches to a computing job, reads its registers and lets it go",
        trace,
    ),
    Case::new(
        "pingpong",
        "two threads on two LWK CPUs wake each other 10,000 times",
        pingpong,
    )
    .limit_s(120),
    Case::new(
        "pingpong-one-cpu",
        "two threads on one LWK CPU wake each other 2,000 times",
        pingpong_one,
    )
    .limit_s(60),
    Case::new(
        "timers",
        "sleeps, timed waits and alarms work, also on a busy CPU",
        timers,
    ),
    Case::new(
        "many-children",
        "200 children are forked, run and reaped five times",
        many_children,
    )
    .limit_s(120),
    Case::new(
        "sigterm",
        "a signal without a handler ends a computing job",
        sigterm,
    ),
    Case::new(
        "syscalls-of-all-sorts",
        "pipes, files, mappings and directories work from a job",
        ordinary_work,
    ),
];

fn stop_continue() -> Result<()> {
    let mut job = Beating::start(&["-c", "3"])?;
    let pid = Pid::from_raw(job.pid());
    for _ in 0..5 {
        kill(pid, Signal::SIGSTOP).context("SIGSTOP")?;
        let status = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).context("waitpid")?;
        ensure!(
            status == WaitStatus::Stopped(pid, Signal::SIGSTOP),
            "{status:?}"
        );
        job.drain()?;
        std::thread::sleep(Duration::from_millis(100));
        ensure!(!job.drain()?, "a stopped job computed on");
        ensure!(
            job::cpu(3)?.nr_running == 0,
            "a stopped task counts as running"
        );
        kill(pid, Signal::SIGCONT).context("SIGCONT")?;
        job.beats(3)?;
    }
    job.kill()
}

fn trace() -> Result<()> {
    let mut job = Beating::start(&["-c", "2"])?;
    let pid = Pid::from_raw(job.pid());
    for _ in 0..5 {
        ptrace::attach(pid).context("PTRACE_ATTACH")?;
        let status = waitpid(pid, None).context("waitpid")?;
        ensure!(
            status == WaitStatus::Stopped(pid, Signal::SIGSTOP),
            "{status:?}"
        );
        let registers = ptrace::getregs(pid).context("PTRACE_GETREGS")?;
        ensure!(
            registers.rip != 0 && registers.rsp != 0,
            "rip {:#x} rsp {:#x}",
            registers.rip,
            registers.rsp
        );
        job.drain()?;
        ensure!(!job.drain()?, "a traced job computed on");
        ptrace::step(pid, None).context("PTRACE_SINGLESTEP")?;
        let status = waitpid(pid, None).context("waitpid")?;
        ensure!(
            status == WaitStatus::Stopped(pid, Signal::SIGTRAP),
            "after a step: {status:?}"
        );
        ptrace::detach(pid, None).context("PTRACE_DETACH")?;
        job.beats(3)?;
    }
    // A beat is written on a CPU of Linux now and then.
    job::eventually(Duration::from_secs(10), "it is at home", || {
        Ok(proc::threads(job.pid())
            .iter()
            .all(|thread| thread.cpu == 2))
    })?;
    job.kill()
}

fn pingpong() -> Result<()> {
    let told = job::run(&mut job::yod_inside(&[], &["pingpong", "10000", "2", "3"]))?;
    told.expect_code(0)?;
    ensure!(told.value("turns")? == "20000", "{told:?}");
    Ok(())
}

fn pingpong_one() -> Result<()> {
    let told = job::run(&mut job::yod_inside(
        &["-c", "2"],
        &["pingpong", "2000", "2", "2"],
    ))?;
    told.expect_code(0)?;
    ensure!(told.value("turns")? == "4000", "{told:?}");
    Ok(())
}

fn timers() -> Result<()> {
    job::run(&mut job::yod_inside(&["-c", "3"], &["timers"]))?
        .success()
        .map(drop)
}

fn many_children() -> Result<()> {
    for _ in 0..5 {
        job::run(&mut job::yod_inside(&[], &["children", "200"]))?.success()?;
        job::check_idle().context("right after the job was reaped")?;
    }
    Ok(())
}

fn sigterm() -> Result<()> {
    let job = Beating::start(&["-c", "3"])?;
    let pid = Pid::from_raw(job.pid());
    kill(pid, Signal::SIGTERM).context("SIGTERM")?;
    let status = waitpid(pid, None).context("waitpid")?;
    ensure!(
        status == WaitStatus::Signaled(pid, Signal::SIGTERM, false),
        "{status:?}"
    );
    job::check_idle().context("right after the job was reaped")
}

fn ordinary_work() -> Result<()> {
    const SCRIPT: &str = "mkdir -p /tmp/w && cd /tmp/w && seq 1 20000 > a && sort -n -r a > b && sort -n b | cmp - a \
        && cp a c && cat a | md5sum > s1 && md5sum < c > s2 && cmp s1 s2 && find . -type f | wc -l && rm -r /tmp/w";
    let inside = job::run(job::yod(&["sh", "-c", SCRIPT]).env("PATH", "/bin"))?.success()?;
    let outside =
        job::run(std::process::Command::new("/bin/sh").args(["-c", SCRIPT]))?.success()?;
    ensure!(
        inside == outside && inside.trim() == "5",
        "inside {inside:?}, outside {outside:?}"
    );
    Ok(())
}
