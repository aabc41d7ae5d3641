// SPDX-License-Identifier: GPL-2.0
//! Calls on memory, threads, signals and the system.

use anyhow::{ensure, Context, Result};
use nix::sys::resource::UsageWho;
use nix::sys::signal::{SigSet, Signal};
use rustix::mm::Advice;
use rustix::process;
use rustix::thread;

use crate::measure::Meter;
use crate::sys::memory::{brk_up_and_down, Access, Pages, Region, PAGE};
use crate::sys::posix;

pub(super) fn mmap(meter: &mut Meter) -> Result<()> {
    let count = usize::try_from(meter.iterations())?;
    meter.measure_batch(
        || Ok(Vec::with_capacity(count)),
        |regions| {
            for _ in 0..count {
                regions.push(Region::map(PAGE, Pages::Small)?);
            }
            Ok(())
        },
        |_| Ok(()),
    )
}

pub(super) fn munmap(meter: &mut Meter) -> Result<()> {
    let count = meter.iterations();
    meter.measure_batch(
        || {
            let regions: Result<Vec<_>, _> = (0..count)
                .map(|_| Region::map(PAGE, Pages::Small))
                .collect();
            Ok(regions?)
        },
        |regions| regions.drain(..).try_for_each(Region::unmap),
        |_| Ok(()),
    )
}

pub(super) fn brk(meter: &mut Meter) -> Result<()> {
    meter.measure(|_| brk_up_and_down(PAGE))
}

pub(super) fn mprotect(meter: &mut Meter) -> Result<()> {
    let mut region = Region::advised(PAGE, Pages::Small)?;
    meter.measure(|_| {
        region.protect_part(0, PAGE, Access::ReadOnly)?;
        region.protect_part(0, PAGE, Access::ReadWrite)
    })
}

pub(super) fn madvise(meter: &mut Meter) -> Result<()> {
    let mut region = Region::advised(PAGE, Pages::Small)?;
    meter.measure(|_| region.advise(Advice::LinuxDontNeed))
}

pub(super) fn futex(meter: &mut Meter) -> Result<()> {
    let word = std::sync::atomic::AtomicU32::new(0);
    meter.measure(|_| {
        let woken = thread::futex::wake(&word, thread::futex::Flags::PRIVATE, 1)?;
        ensure!(woken == 0, "{woken} threads were woken");
        Ok(())
    })
}

pub(super) fn clock_gettime(meter: &mut Meter) -> Result<()> {
    let begun = posix::clock_gettime_syscall()?;
    meter.measure(|_| {
        ensure!(
            posix::clock_gettime_syscall()? >= begun,
            "the clock went backwards"
        );
        Ok(())
    })
}

pub(super) fn getpid(meter: &mut Meter) -> Result<()> {
    let id = std::process::id();
    meter.measure(|_| {
        let got = process::getpid().as_raw_pid().cast_unsigned();
        ensure!(got == id, "process {got} and {id}");
        Ok(())
    })
}

pub(super) fn gettid(meter: &mut Meter) -> Result<()> {
    let id = process::getpid();
    meter.measure(|_| {
        ensure!(thread::gettid() == id, "not the main thread");
        Ok(())
    })
}

pub(super) fn sched_yield(meter: &mut Meter) -> Result<()> {
    meter.measure(|_| {
        thread::sched_yield();
        Ok(())
    })
}

pub(super) fn getaffinity(meter: &mut Meter) -> Result<()> {
    let cpus = meter.cpus().len();
    meter.measure(|_| {
        let count = thread::sched_getaffinity(None)?.count() as usize;
        ensure!(count == cpus, "{count} CPUs of {cpus}");
        Ok(())
    })
}

pub(super) fn nanosleep(meter: &mut Meter) -> Result<()> {
    let time = thread::Timespec {
        tv_sec: 0,
        tv_nsec: 1000,
    };
    meter.measure(|_| {
        ensure!(
            matches!(
                thread::nanosleep(&time),
                thread::NanosleepRelativeResult::Ok
            ),
            "it was interrupted"
        );
        Ok(())
    })
}

pub(super) fn sigprocmask(meter: &mut Meter) -> Result<()> {
    meter.measure(|_| {
        let blocked = SigSet::thread_get_mask()?;
        ensure!(!blocked.contains(Signal::SIGTERM), "SIGTERM is blocked");
        Ok(())
    })
}

pub(super) fn sigaction(meter: &mut Meter) -> Result<()> {
    meter.measure(|_| posix::sigaction_query())
}

pub(super) fn kill(meter: &mut Meter) -> Result<()> {
    // Its default is to be ignored.
    let (own, signal) = (process::getpid(), process::Signal::WINCH);
    meter.measure(|_| Ok(process::kill_process(own, signal)?))
}

pub(super) fn uname(meter: &mut Meter) -> Result<()> {
    meter.measure(|_| {
        let name = rustix::system::uname();
        ensure!(name.sysname().to_bytes() == b"Linux", "not Linux");
        Ok(())
    })
}

pub(super) fn getrusage(meter: &mut Meter) -> Result<()> {
    meter.measure(|_| {
        nix::sys::resource::getrusage(UsageWho::RUSAGE_SELF).context("getrusage")?;
        Ok(())
    })
}
