// SPDX-License-Identifier: GPL-2.0
//! Threads that wait in moved calls, and what others see and do meanwhile. Only for jobs.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::pthread::{pthread_kill, pthread_self, Pthread};
use nix::sys::signal::{SigEvent, SigevNotify, Signal};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use rustix::io::{read, write, Errno};
use rustix::pipe::pipe;
use rustix::thread::{gettid, sched_getcpu};

use super::super::load::compute;
use super::super::number;
use super::list;
use crate::cpus;
use crate::proc::{self, Stat};
use crate::sys::signal::{note_signal, noted, Interrupted};
use crate::trace::mark;

/// What is told of a thread of this process.
fn stat(tid: i32) -> Result<Stat> {
    let threads = proc::threads(std::process::id().cast_signed());
    let mut threads = threads.into_iter();
    threads
        .find(|stat| stat.pid == tid)
        .context("no such thread")
}

/// Waits until a thread of this process sleeps on a CPU that is not its job's.
pub(super) fn wait_away(tid: i32) -> Result<Stat> {
    let home = cpus::affinity(0)?;
    let begun = Instant::now();
    loop {
        let stat = stat(tid)?;
        if matches!(stat.state, 'S' | 'D') && !home.contains(&stat.cpu) {
            return Ok(stat);
        }
        ensure!(
            begun.elapsed() < Duration::from_secs(60),
            "it does not wait on a CPU of Linux: {stat:?}"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The number of the calling thread.
pub(super) fn own_tid() -> i32 {
    gettid().as_raw_nonzero().get()
}

/// A thread that reads from a pipe: what ends that, its number, and then what it read and where it was.
pub(super) type Reader = (OwnedFd, i32, std::thread::JoinHandle<(usize, usize)>);

/// Starts one and waits until it reads on a CPU of Linux. Whatever is written to the pipe lets it end.
pub(super) fn reader() -> Result<Reader> {
    let (from, to) = pipe().context("pipe")?;
    let (told, tid) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        // Nobody listens only if this program failed.
        let _ = told.send(own_tid());
        let got = read(from.as_fd(), &mut [0; 1]).unwrap_or(99);
        (got, sched_getcpu())
    });
    let tid = tid.recv().context("the thread's number")?;
    wait_away(tid)?;
    Ok((to, tid, thread))
}

/// Another thread sees where a waiting one may run, and where it is.
pub(super) fn watched(_: &[&str]) -> Result<()> {
    let (to, tid, thread) = reader()?;
    let stat = wait_away(tid)?;
    println!("own {}", list(&cpus::affinity(0)?));
    println!("other {}", list(&cpus::affinity(tid)?));
    let status = format!("/proc/self/task/{tid}/status");
    println!(
        "status {}",
        proc::status_field(&status, "Cpus_allowed_list")?
    );
    println!("away {}", stat.cpu);
    write(&to, b"x").context("write")?;
    let (got, cpu) = thread.join().map_err(|_| anyhow::anyhow!("a panic"))?;
    ensure!(got == 1, "read {got}");
    println!("back {cpu}");
    Ok(())
}

/// Signals come while the first thread waits; each has a handler, and calls fail or go on as was asked for.
pub(super) fn interrupted(args: &[&str]) -> Result<()> {
    const ROUNDS: usize = 20;
    let how = match args {
        ["fails"] => Interrupted::Fails,
        _ => Interrupted::Restarts,
    };
    note_signal(Signal::SIGUSR1, how)?;
    let (from, to) = pipe().context("pipe")?;
    let (first, tid): (Pthread, i32) = (pthread_self(), own_tid());
    let sender = std::thread::spawn(move || -> Result<()> {
        for round in 1..=ROUNDS {
            wait_away(tid)?;
            pthread_kill(first, Signal::SIGUSR1).context("tgkill")?;
            while noted().0 < round {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        wait_away(tid)?;
        write(&to, b"x").context("write").map(drop)
    });
    let (mut failed, mut cpus) = (0, cpus::Cpus::new());
    let last = loop {
        let result = read(&from, &mut [0; 1]);
        cpus.insert(sched_getcpu());
        match result {
            Err(Errno::INTR) => failed += 1,
            other => break other,
        }
    };
    sender.join().map_err(|_| anyhow::anyhow!("a panic"))??;
    let (handled, handlers) = noted();
    println!("last {last:?}");
    println!("failed {failed}");
    println!("handled {handled}");
    println!("handlers {}", list(&cpus::from_words(&[handlers])));
    println!("after {}", list(&cpus));
    Ok(())
}

/// Moved calls while a timer sends a signal each millisecond.
pub(super) fn timers(args: &[&str]) -> Result<()> {
    let rounds = number(args, 0)?;
    note_signal(Signal::SIGALRM, Interrupted::Restarts)?;
    let event = SigEvent::new(SigevNotify::SigevSignal {
        signal: Signal::SIGALRM,
        si_value: 0,
    });
    let mut timer = Timer::new(ClockId::CLOCK_MONOTONIC, event).context("timer_create")?;
    let period = Expiration::Interval(Duration::from_millis(1).into());
    timer
        .set(period, TimerSetTimeFlags::empty())
        .context("timer_settime")?;
    let (from, to) = pipe().context("pipe")?;
    let zero = File::open("/dev/zero").context("/dev/zero")?;
    let mut large = vec![1; 1 << 20];
    for round in 0..rounds {
        let sent = [u8::try_from(round % 251)?; 8];
        let mut got = [0; 8];
        ensure!(write(&to, &sent) == Ok(8), "write");
        ensure!(
            read(&from, &mut got) == Ok(8) && got == sent,
            "read {got:?}"
        );
        if round % 16 == 0 {
            // Long enough for a signal to come in the middle.
            (&zero).read_exact(&mut large).context("/dev/zero")?;
            ensure!(large.iter().all(|byte| *byte == 0), "not all of it");
            large.fill(1);
        }
        black_box(compute(50));
    }
    drop(timer);
    let (handled, handlers) = noted();
    println!("handled {handled}");
    println!("handlers {}", list(&cpus::from_words(&[handlers])));
    Ok(())
}

/// Waits for nothing, so long in milliseconds, and tells how that ended.
pub(super) fn polled(args: &[&str]) -> Result<()> {
    let (from, _to) = pipe().context("pipe")?;
    let time = Duration::from_millis(number(args, 0)? as u64);
    let limit = PollTimeout::try_from(time).context("a time")?;
    println!("before 1");
    std::io::stdout().flush().context("stdout")?;
    let begun = Instant::now();
    mark(1);
    // By the system call that goes on with the rest of the time after a stop.
    let mut files = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
    let result = poll(&mut files, limit);
    let cpu = sched_getcpu();
    mark(2);
    ensure!(begun.elapsed() >= time, "after {:?}", begun.elapsed());
    println!("result {result:?}");
    println!("after {cpu}");
    Ok(())
}

/// Calls that compute on a CPU of Linux, for ever; says so before, and a byte each some.
pub(super) fn busy(_: &[&str]) -> Result<()> {
    let mut zero = File::open("/dev/zero").context("/dev/zero")?;
    let mut large = vec![1; 8 << 20];
    let mut out = std::io::stdout();
    loop {
        zero.read_exact(&mut large).context("/dev/zero")?;
        out.write_all(b".").context("stdout")?;
        out.flush().context("stdout")?;
    }
}
