// SPDX-License-Identifier: GPL-2.0
//! Scheduling, timers and signals of others.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use nix::sys::ptrace as trace;
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitStatus};
use rustix::thread::{futex, membarrier as barrier, MembarrierCommand};
use rustix::time::{
    timerfd_create, timerfd_settime, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags,
    Timespec,
};

use crate::kernel::Restored;
use crate::measure::Meter;
use crate::sites;
use crate::sys::disturb;
use crate::sys::process::{forked, Forked};

pub(super) fn timerfd(meter: &mut Meter) -> Result<()> {
    let timer =
        timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::empty()).context("timerfd")?;
    let interval = Timespec {
        tv_sec: 0,
        tv_nsec: 200_000,
    };
    let every = Itimerspec {
        it_interval: interval,
        it_value: interval,
    };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &every).context("timerfd_settime")?;
    let mut expired = [0; 8];
    meter.disturb(|_| {
        let got = rustix::io::read(&timer, &mut expired)?;
        ensure!(got == 8, "{got} bytes");
        Ok(())
    })
}

pub(super) fn itimer(meter: &mut Meter) -> Result<()> {
    meter.disturb(|_| disturb::interval_timer(500))
}

pub(super) fn nanosleep(meter: &mut Meter) -> Result<()> {
    meter.disturb(|_| {
        std::thread::sleep(Duration::from_micros(100));
        Ok(())
    })
}

pub(super) fn setaffinity(meter: &mut Meter) -> Result<()> {
    let (home, spare) = (meter.home()?, meter.spare()?);
    meter.disturb(|_| {
        sites::confine(&[spare])?;
        sites::confine(&[home])
    })
}

pub(super) fn real_time(meter: &mut Meter) -> Result<()> {
    let spare = meter.spare()?;
    meter.disturb(|_| {
        let work = || {
            let ready = sites::confine(&[spare]).and_then(|()| disturb::become_real_time(10));
            super::quantum();
            i32::from(ready.is_err())
        };
        forked(work)?.finish()
    })
}

pub(super) fn nice(meter: &mut Meter) -> Result<()> {
    let at = |nice: i32| {
        forked(move || {
            let set = rustix::process::setpriority_process(None, nice);
            super::quantum();
            i32::from(set.is_err())
        })
    };
    meter.disturb(|_| {
        let (polite, rude) = (at(19)?, at(-20)?);
        polite.finish()?;
        rude.finish()
    })
}

/// A child that ignores signals and waits to be killed.
fn sleeper() -> Result<Forked> {
    forked(|| loop {
        std::thread::sleep(Duration::from_secs(1000));
    })
}

/// Ends a child that would never end by itself.
fn end(child: &Forked) -> Result<()> {
    kill(child.pid(), Signal::SIGKILL).context("kill")?;
    let status = waitpid(child.pid(), None).context("waitpid")?;
    ensure!(
        matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _)),
        "a killed child ended with {status:?}"
    );
    Ok(())
}

pub(super) fn signals(meter: &mut Meter) -> Result<()> {
    let child = sleeper()?;
    // Signals whose default is to be ignored, and that still interrupt the sleep.
    let measured = meter.disturb(|_| Ok(kill(child.pid(), Signal::SIGCONT)?));
    end(&child)?;
    measured
}

pub(super) fn ptrace(meter: &mut Meter) -> Result<()> {
    let child = forked(|| loop {
        super::quantum();
    })?;
    let stopped = |wanted| -> Result<()> {
        let status = waitpid(child.pid(), None).context("waitpid")?;
        ensure!(
            matches!(status, WaitStatus::Stopped(_, signal) if signal == wanted),
            "the traced child: {status:?}"
        );
        Ok(())
    };
    trace::attach(child.pid()).context("PTRACE_ATTACH")?;
    stopped(Signal::SIGSTOP)?;
    let measured = meter.disturb(|_| {
        trace::step(child.pid(), None)?;
        stopped(Signal::SIGTRAP)?;
        trace::getregs(child.pid())?;
        Ok(())
    });
    trace::detach(child.pid(), None).context("PTRACE_DETACH")?;
    end(&child)?;
    measured
}

pub(super) fn futex_storm(meter: &mut Meter) -> Result<()> {
    /// Whose turn it is: 0 and 1; 2 ends the game.
    const OVER: u32 = 2;
    let spare = meter.spare()?;
    let turn = AtomicU32::new(0);
    let pass = |to: u32| {
        // ORDERING: The turn is all that is passed on.
        turn.store(to, Ordering::Release);
        // Waking cannot fail on an address of this process.
        let _ = futex::wake(&turn, futex::Flags::PRIVATE, 1);
    };
    let wait_while = |value: u32| {
        while turn.load(Ordering::Acquire) == value {
            // Any reason to come back is a reason to look again.
            let _ = futex::wait(&turn, futex::Flags::PRIVATE, value, None);
        }
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let confined = sites::confine(&[spare]);
            loop {
                wait_while(0);
                if turn.load(Ordering::Acquire) == OVER {
                    return confined;
                }
                pass(0);
            }
        });
        let measured = meter.disturb(|_| {
            pass(1);
            wait_while(1);
            Ok(())
        });
        pass(OVER);
        let other = other.join();
        measured?;
        other.unwrap_or_else(|_| Err(anyhow::anyhow!("the other thread panicked")))
    })
}

pub(super) fn workqueue(meter: &mut Meter) -> Result<()> {
    let mask = Restored::remember("/sys/devices/virtual/workqueue/cpumask")?;
    meter.disturb(|_| {
        mask.set("1")?;
        mask.reset()
    })
}

pub(super) fn membarrier(meter: &mut Meter) -> Result<()> {
    barrier(MembarrierCommand::RegisterPrivateExpedited).context("membarrier")?;
    // Without a second running thread the call has nobody to interrupt.
    let spare = meter.spare()?;
    let is_over = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let confined = sites::confine(&[spare]);
            while is_over.load(Ordering::Relaxed) == 0 {
                super::quantum();
            }
            confined
        });
        let measured = meter.disturb(|_| Ok(barrier(MembarrierCommand::PrivateExpedited)?));
        is_over.store(1, Ordering::Relaxed);
        let other = other.join();
        measured?;
        other.unwrap_or_else(|_| Err(anyhow::anyhow!("the other thread panicked")))
    })
}

pub(super) fn membarrier_global(meter: &mut Meter) -> Result<()> {
    barrier(MembarrierCommand::RegisterGlobalExpedited).context("membarrier")?;
    meter.disturb(|_| Ok(barrier(MembarrierCommand::GlobalExpedited)?))
}
