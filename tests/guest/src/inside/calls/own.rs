// SPDX-License-Identifier: GPL-2.0
//! Calls that a thread makes about itself: memory, scheduling, futexes, signals, time, identity.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use nix::sys::resource::{getrusage, UsageWho};
use nix::sys::signal::{kill, raise, SigEvent, SigSet, SigevNotify, SigmaskHow, Signal};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use nix::unistd::{getpid, Pid};
use rustix::mm::Advice;
use rustix::process as id;
use rustix::thread::futex;
use rustix::time::Timespec;

use super::Between;
use crate::cpus::{self, Cpus};
use crate::sys::map::{move_break, Mapping};
use crate::sys::signal::{note_signal, noted, Interrupted};
use crate::sys::{calls, sched, PAGE};

/// Memory.
pub(super) fn memory(_: &[&str]) -> Result<()> {
    let mut marked = Between::begin();
    let mut memory = Mapping::new(64 * PAGE)?;
    memory.bytes_mut().fill(3);
    memory.protect(false)?;
    memory.protect(true)?;
    memory.advise(Advice::LinuxDontFork)?;
    memory.grow(128 * PAGE)?;
    marked.say(memory.bytes()[64 * PAGE - 1]);
    marked.say(calls::resident(&memory)?.iter().filter(|is| **is).count() >= 64);
    calls::lock(&memory)?;
    drop(memory);
    let step = isize::try_from(16 * PAGE)?;
    let (start, end) = (move_break(step)?, move_break(-step)?);
    marked.say(end - start);
    marked.end();
    Ok(())
}

/// Scheduling; what is told of CPUs is for the caller to judge.
pub(super) fn scheduling(_: &[&str]) -> Result<()> {
    let mut marked = Between::begin();
    for _ in 0..3 {
        rustix::thread::sched_yield();
    }
    let all = cpus::affinity(0)?;
    let first = all.first().copied().context("no CPU")?;
    cpus::set_affinity(0, &Cpus::from([first])).context("sched_setaffinity")?;
    marked.say(cpus::affinity(0)?.len());
    marked.say(sched::getcpu().context("getcpu")? == first);
    cpus::set_affinity(0, &all).context("sched_setaffinity")?;
    marked.say(sched::policy(0).context("sched_getscheduler")?);
    marked.say(id::getpriority_process(None).context("getpriority")?);
    marked.say(id::setpriority_process(None, 1).context("setpriority"));
    marked.end();
    Ok(())
}

/// Futexes, alone and between two threads.
pub(super) fn futexes(_: &[&str]) -> Result<()> {
    let word = AtomicU32::new(0);
    let mut marked = Between::begin();
    let soon = Timespec {
        tv_sec: 0,
        tv_nsec: 3_000_000,
    };
    marked.say(futex::wait(&word, futex::Flags::PRIVATE, 0, Some(&soon)));
    marked.say(futex::wait(&word, futex::Flags::PRIVATE, 1, None));
    marked.say(futex::wake(&word, futex::Flags::PRIVATE, 1));
    let turns = std::thread::scope(|scope| {
        let pass = |me: u32| {
            for round in 0..20_u32 {
                // ORDERING: the word is all that the threads share.
                while word.load(Ordering::Relaxed) != 2 * round + me {
                    let seen = word.load(Ordering::Relaxed);
                    if seen != 2 * round + me {
                        // Whatever ends it, the word is looked at again.
                        let _ = futex::wait(&word, futex::Flags::PRIVATE, seen, None);
                    }
                }
                word.fetch_add(1, Ordering::Relaxed);
                let _ = futex::wake(&word, futex::Flags::PRIVATE, 1);
            }
        };
        scope.spawn(move || pass(1));
        pass(0);
        word.load(Ordering::Relaxed) >= 39
    });
    marked.say(turns);
    marked.end();
    Ok(())
}

/// Signals.
pub(super) fn signals(_: &[&str]) -> Result<()> {
    let mut marked = Between::begin();
    note_signal(Signal::SIGUSR1, Interrupted::Restarts)?;
    raise(Signal::SIGUSR1).context("tgkill")?;
    kill(getpid(), Signal::SIGUSR1).context("kill")?;
    marked.say(noted().0);
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGUSR2);
    blocked.thread_block().context("sigprocmask")?;
    kill(getpid(), Signal::SIGUSR2).context("kill")?;
    marked.say(blocked.wait().context("rt_sigtimedwait")?);
    note_signal(Signal::SIGUSR2, Interrupted::Restarts)?;
    kill(getpid(), Signal::SIGUSR2).context("kill")?;
    marked.say(noted().0);
    // Waits with it open, so that it comes at once.
    SigSet::empty().suspend().context("rt_sigsuspend")?;
    marked.say(noted().0);
    let old = SigSet::empty().thread_swap_mask(SigmaskHow::SIG_SETMASK);
    marked.say(old.context("sigprocmask")?.contains(Signal::SIGUSR2));
    // Nobody has this number, which is above any limit.
    marked.say(kill(Pid::from_raw(i32::MAX), None));
    marked.end();
    Ok(())
}

/// Sleeps and timers.
pub(super) fn time(_: &[&str]) -> Result<()> {
    let mut marked = Between::begin();
    let soon = Duration::from_millis(2);
    std::thread::sleep(soon);
    let request = Timespec {
        tv_sec: 0,
        tv_nsec: 2_000_000,
    };
    let slept = rustix::thread::nanosleep(&request);
    marked.say(matches!(slept, rustix::thread::NanosleepRelativeResult::Ok));
    note_signal(Signal::SIGALRM, Interrupted::Restarts)?;
    let event = SigEvent::new(SigevNotify::SigevSignal {
        signal: Signal::SIGALRM,
        si_value: 0,
    });
    let mut timer = Timer::new(ClockId::CLOCK_MONOTONIC, event).context("timer_create")?;
    let (once, none) = (Expiration::OneShot(soon.into()), TimerSetTimeFlags::empty());
    timer.set(once, none).context("timer_settime")?;
    while noted().0 == 0 {
        std::hint::spin_loop();
    }
    marked.say(timer.get().context("timer_gettime")?.is_some());
    drop(timer);
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    marked.say(used.tv_sec >= 0);
    nix::unistd::alarm::set(100);
    marked.say(nix::unistd::alarm::cancel().is_some());
    marked.end();
    Ok(())
}

/// Who one is.
pub(super) fn identity(_: &[&str]) -> Result<()> {
    let mut marked = Between::begin();
    let own = id::getpid();
    ensure!(own == rustix::thread::gettid(), "not the first thread");
    marked.say(id::getppid().is_some());
    marked.say((id::getuid(), id::geteuid(), id::getgid(), id::getegid()));
    marked.say(id::getsid(None).is_ok());
    marked.say(id::getpgid(None).is_ok());
    marked.say(id::umask(rustix::fs::Mode::empty()));
    marked.say(id::getgroups());
    marked.say(rustix::system::uname().sysname().to_owned());
    marked.say(rustix::system::sysinfo().totalram > 0);
    marked.say(id::getrlimit(id::Resource::Nofile));
    let used = getrusage(UsageWho::RUSAGE_SELF).context("getrusage")?;
    marked.say(used.max_rss() > 0);
    marked.end();
    Ok(())
}
