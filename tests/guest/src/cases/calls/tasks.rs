// SPDX-License-Identifier: GPL-2.0
//! Threads and processes begin, change and end while calls of others are on CPUs of Linux; what belongs to a thread goes
//! with it.

use std::process::Command;

use anyhow::{ensure, Context, Result};

use super::{is_linux, is_lwk, tracers, waits, NO_BATCH};
use crate::cpus::Cpus;
use crate::harness::Case;
use crate::job::{self, Finished};
use crate::sys::rseq;

/// The suite about all that happens to a thread while its call is elsewhere.
pub(in crate::cases) const CASES: &[Case] = &[
    Case::new(
        "hidden",
        "who asks where a thread may run that is on a CPU of Linux gets the CPUs of its job",
        waits::hidden,
    ),
    Case::new(
        "affinity",
        "a new affinity takes effect when the thread is home again",
        waits::affinity_changed,
    )
    .limit_s(60),
    Case::new(
        "interrupts",
        "signals that interrupt moved calls have their handlers run on the job's CPUs",
        waits::interrupts,
    )
    .limit_s(60),
    Case::new(
        "restarts",
        "so have those after which the call begins anew",
        waits::restarts,
    )
    .limit_s(60),
    Case::new(
        "timer-storm",
        "a signal each millisecond disturbs no moved call, and all handlers run on the job's CPUs",
        waits::timer_storm,
    )
    .limit_s(120),
    Case::new(
        "kills",
        "SIGKILL ends threads that wait or compute in moved calls, and frees their CPUs",
        waits::kills,
    )
    .limit_s(120),
    Case::new(
        "stops",
        "SIGSTOP halts threads in moved calls, SIGCONT lets them go on",
        waits::stops,
    )
    .limit_s(60),
    Case::new(
        "stopped-poll",
        "a moved call with a time limit goes on with the rest of it after a stop",
        waits::stopped_poll,
    ),
    Case::new(
        "tracer",
        "a tracer sees the same calls, results and signals as on Linux",
        tracers::same_sequence,
    )
    .limit_s(120),
    Case::new(
        "tracer-changes",
        "a call that a tracer changes, skips or emulates is carried out where the new one belongs",
        tracers::changes,
    )
    .limit_s(60),
    Case::new(
        "tracer-registers",
        "a tracer reads and sets the registers of a thread whose moved call waits",
        tracers::registers,
    )
    .limit_s(60),
    Case::new(
        "filters",
        "filters that refuse, trap or kill come before a call moves",
        tracers::filters,
    )
    .limit_s(60),
    Case::new(
        "filter-tracer",
        "a filter may leave a call to a tracer",
        tracers::traced_filter,
    ),
    Case::new(
        "vfork",
        "a parent waits on a CPU of Linux until its child is another program",
        vfork,
    )
    .limit_s(60),
    Case::new(
        "fork-beside",
        "processes and threads begin and end while others are in moved calls",
        fork_beside,
    )
    .limit_s(120),
    Case::new(
        "exec-beside",
        "any thread becomes another program while others are in moved calls",
        exec_beside,
    )
    .limit_s(120),
    Case::new(
        "exit-beside",
        "all threads end at once, wherever their calls are",
        exit_beside,
    )
    .limit_s(120),
    Case::new("children", "children begin at home", children),
    Case::new(
        "robust",
        "a robust lock whose holder dies in a moved call goes to the next",
        robust,
    )
    .limit_s(60),
    Case::new(
        "inheritance",
        "a real-time thread lends its priority to a holder in a moved call and gets the lock",
        inheritance,
    )
    .limit_s(120),
    Case::new(
        "times",
        "the CPU times of a thread go on while it computes in moved calls",
        times,
    )
    .limit_s(60),
    Case::new(
        "sequences",
        "restartable sequences find the CPU of the job after each moved call",
        sequences,
    )
    .limit_s(60),
    Case::new(
        "ring",
        "io_uring works, and its threads stay on CPUs of Linux",
        ring,
    ),
    Case::new(
        "credentials",
        "files open with the rights of the moment",
        credentials,
    ),
];

/// What a program says as a job that is to end well.
fn told(options: &[&str], program: &[&str]) -> Result<Finished> {
    let told = job::run(&mut job::yod_inside(options, program))?;
    told.expect_code(0)
        .with_context(|| format!("{options:?}"))?;
    Ok(told)
}

/// `vfork(2)`.
fn vfork() -> Result<()> {
    for options in [&NO_BATCH[..], &["--exclusive-wait"]] {
        for _ in 0..3 {
            ensure!(
                told(options, &["calls-vfork"])?.value("code")? == "9",
                "another code"
            );
        }
    }
    Ok(())
}

/// New processes and threads beside calls that wait and compute.
fn fork_beside() -> Result<()> {
    for options in [&[][..], &["--exclusive-wait"]] {
        let options = [&NO_BATCH, options].concat();
        told(&options, &["calls-beside", "fork"])?;
    }
    Ok(())
}

/// Another program, by the first thread and by another one.
fn exec_beside() -> Result<()> {
    let linux = job::run(Command::new("/init").args(["inside", "calls-script"]))?.success()?;
    for options in [&[][..], &NO_BATCH, &["--exclusive-wait"]] {
        for who in ["exec", "exec-thread"] {
            for round in 0..5 {
                let told = told(options, &["calls-beside", who])
                    .with_context(|| format!("{who}, round {round}"))?;
                ensure!(told.stdout == linux, "{who}: {told:?}, on Linux {linux:?}");
            }
        }
    }
    Ok(())
}

/// The end of all, by the first thread and by another one.
fn exit_beside() -> Result<()> {
    for options in [&[][..], &NO_BATCH, &["--exclusive-wait"]] {
        for (who, code) in [("exit", 5), ("exit-thread", 6)] {
            for round in 0..5 {
                let mut command = job::yod_inside(options, &["calls-beside", who]);
                job::run(&mut command)?
                    .expect_code(code)
                    .with_context(|| format!("{who}, round {round}, {options:?}"))?;
                job::check_idle()?;
            }
        }
    }
    Ok(())
}

/// Robust locks.
fn robust() -> Result<()> {
    for options in [&[][..], &["--exclusive-wait"]] {
        for _ in 0..5 {
            let told_one = told(options, &["calls-robust"])?;
            ensure!(told_one.value("killed")? == "AfterDeath", "{told_one:?}");
            let told_one = told(options, &["calls-robust-exit"])?;
            ensure!(told_one.value("ended")? == "AfterDeath", "{told_one:?}");
        }
    }
    Ok(())
}

/// Priority inheritance.
fn inheritance() -> Result<()> {
    for options in [&[][..], &["--exclusive-wait"]] {
        let options = [&NO_BATCH, options].concat();
        told(&options, &["calls-inheritance"])?;
    }
    Ok(())
}

/// Times.
fn times() -> Result<()> {
    let told = told(&NO_BATCH, &["calls-times", "20"])?;
    let number = |key| -> Result<i64> { told.value(key)?.parse().context(key) };
    let (wall, thread) = (number("wall")?, number("thread")?);
    // It computes all the time, but for what others take of the CPU of Linux.
    ensure!(thread <= wall + wall / 100 && thread > wall / 8, "{told:?}");
    ensure!(number("process")? > thread / 2, "{told:?}");
    // What getrusage(2) splits is the same time.
    let usage = number("usage")?;
    ensure!(usage > thread / 2 && usage < thread * 2, "{told:?}");
    Ok(())
}

/// Restartable sequences.
fn sequences() -> Result<()> {
    for options in [&NO_BATCH[..], &["-c", "3", "--syscall-batch", "no"]] {
        let mut command = job::yod_inside(options, &["calls-sequences", "300"]);
        let (name, value) = rseq::LEFT_TO_US;
        let told = job::run(command.env(name, value))?;
        told.expect_code(0)?;
        ensure!(told.value("right")?.parse::<u32>()? > 250, "{told:?}");
    }
    Ok(())
}

/// Rings.
fn ring() -> Result<()> {
    for options in [&[][..], &["--syscalls", "local=all"]] {
        let told = told(options, &["calls-ring"])?;
        let workers: Cpus = crate::cpus::parse(told.value("workers")?)?;
        ensure!(!workers.is_empty(), "no thread of the kernel: {told:?}");
        ensure!(workers.iter().all(|cpu| is_linux(*cpu)), "{told:?}");
    }
    Ok(())
}

/// Credentials.
fn credentials() -> Result<()> {
    let linux = job::run(Command::new("/init").args(["inside", "calls-credentials"]))?.success()?;
    let wanted = "root None\nother Some(Some(13))\nagain None\nable None\nunable Some(Some(13))\n";
    ensure!(linux == wanted, "{linux}");
    let job = told(&[], &["calls-credentials"])?.stdout;
    ensure!(job == linux, "{job}");
    Ok(())
}

/// A child of a thread that was away is at home from the beginning.
fn children() -> Result<()> {
    for options in [&[][..], &NO_BATCH] {
        let told = told(options, &["calls-parent", "where"])?;
        ensure!(is_lwk(told.value("cpu")?.parse()?), "{told:?}");
        let affinity: Cpus = crate::cpus::parse(told.value("affinity")?)?;
        ensure!(affinity == Cpus::from(crate::cases::LWK), "{told:?}");
    }
    Ok(())
}
