// SPDX-License-Identifier: GPL-2.0
//! Threads: making them, switching between them, waking and waiting, as Nautilus and lmbench measure it.
//!
//! [`ball`] has what two threads hand to and fro, [`crowd`] what many threads do.

mod ball;
mod crowd;

use std::hint::black_box;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use rustix::thread::{futex, sched_yield};

use super::EMPTY;
use crate::measure::Meter;
use crate::spec::{Bench, Suite};
use crate::sys::posix::Key;

/// The suite.
pub(super) const SUITE: Suite = Suite {
    name: "thread",
    about: "threads: make, switch, wake, wait",
    benches: &[
        EMPTY,
        Bench::inside(
            "create",
            "Creates threads that wait to be let go.",
            32,
            crowd::create,
        ),
        Bench::inside("join", "Joins threads that have ended.", 32, crowd::join),
        Bench::inside(
            "create-join",
            "Creates a thread and waits for its end.",
            100,
            crowd::create_join,
        )
        .quick(),
        Bench::inside(
            "many",
            "Creates 32 threads that compute, and joins them.",
            32,
            crowd::many,
        ),
        Bench::inside(
            "switch",
            "Hands over to another thread on the same CPU and back, by futex.",
            200,
            ball::switch_futex,
        )
        .variant("futex")
        .quick(),
        Bench::inside(
            "switch",
            "Hands over to another thread on the same CPU and back, by sched_yield.",
            200,
            ball::switch_yield,
        )
        .variant("yield"),
        Bench::inside(
            "yield",
            "Yields where no other thread wants the CPU.",
            1000,
            yield_alone,
        )
        .quick(),
        Bench::inside(
            "futex-wake",
            "Wakes a thread on another CPU and waits until it has woken this one.",
            200,
            ball::wake_futex,
        )
        .variant("cross-cpu")
        .quick(),
        Bench::inside("futex-wake", "Wakes nobody.", 1000, wake_nobody).variant("no-waiter"),
        Bench::inside(
            "mutex",
            "Locks and unlocks a mutex that nobody else wants.",
            1000,
            mutex_alone,
        )
        .variant("uncontended"),
        Bench::inside(
            "mutex",
            "Locks a mutex that another CPU wants most of the time.",
            500,
            ball::mutex,
        )
        .variant("contended"),
        Bench::inside(
            "barrier",
            "Meets another thread at a barrier.",
            200,
            ball::barrier,
        )
        .quick(),
        Bench::inside(
            "condvar-signal",
            "Signals a condition to another CPU and waits for the answer.",
            200,
            ball::condvar,
        ),
        Bench::inside(
            "condvar-broadcast",
            "Signals a condition to four threads and waits for all answers.",
            50,
            crowd::broadcast,
        )
        .quick(),
        Bench::inside(
            "semaphore",
            "Posts a semaphore to another CPU and waits for the answer.",
            200,
            ball::semaphore,
        ),
        Bench::inside(
            "spin",
            "Hands over to a computing thread on another CPU and back, without the kernel.",
            50,
            ball::spin,
        ),
        Bench::inside("key", "Sets and reads a value of this thread.", 1000, key),
        Bench::inside("nanosleep", "Sleeps for a millisecond.", 50, nanosleep),
        Bench::inside(
            "clock",
            "Reads the clock without a system call.",
            1000,
            clock,
        ),
    ],
    not_built: &[],
};

fn yield_alone(meter: &mut Meter) -> Result<()> {
    meter.measure(|_| {
        sched_yield();
        Ok(())
    })
}

fn wake_nobody(meter: &mut Meter) -> Result<()> {
    let word = std::sync::atomic::AtomicU32::new(0);
    meter.measure(|_| {
        let woken = futex::wake(&word, futex::Flags::PRIVATE, 1)?;
        ensure!(woken == 0, "{woken} threads were woken");
        Ok(())
    })
}

fn mutex_alone(meter: &mut Meter) -> Result<()> {
    let count = Mutex::new(0_u64);
    meter.measure(|_| {
        let mut count = count.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
        *count += 1;
        Ok(())
    })?;
    let count = count.into_inner().context("poisoned")?;
    ensure!(count >= meter.iterations(), "counted to {count}");
    Ok(())
}

fn key(meter: &mut Meter) -> Result<()> {
    let key = Key::new()?;
    meter.measure(|number| {
        let value = usize::try_from(number)? + 1;
        key.set(value)?;
        ensure!(key.get() == value, "set {value}, got {}", key.get());
        Ok(())
    })
}

fn nanosleep(meter: &mut Meter) -> Result<()> {
    const LENGTH: Duration = Duration::from_millis(1);
    let begun = Instant::now();
    let mut slept = 0;
    meter.measure(|_| {
        std::thread::sleep(LENGTH);
        slept += 1;
        Ok(())
    })?;
    ensure!(
        begun.elapsed() >= LENGTH * slept,
        "{slept} sleeps took {:?}",
        begun.elapsed()
    );
    Ok(())
}

fn clock(meter: &mut Meter) -> Result<()> {
    let mut last = Instant::now();
    meter.measure(|_| {
        let now = black_box(Instant::now());
        ensure!(now >= last, "the clock went backwards");
        last = now;
        Ok(())
    })
}
