// SPDX-License-Identifier: GPL-2.0
//! Two threads that take turns.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Barrier, Condvar, Mutex};

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::thread::{futex, sched_yield};

use crate::measure::Meter;
use crate::sites;
use crate::sys::posix::Semaphore;

/// Whose turn it is.
const MINE: u32 = 0;
const YOURS: u32 = 1;
/// Nobody's any more.
const OVER: u32 = 2;

/// How threads hand over.
trait Ball: Sync {
    /// Makes it the turn of `to`.
    fn hand(&self, to: u32);
    /// Waits until it is no longer the turn of `from` and returns whose it is.
    fn take(&self, from: u32) -> u32;
}

/// Lets the measuring thread on CPU `here` take turns with another on CPU `there`.
fn take_turns(meter: &mut Meter, here: u32, there: u32, ball: &impl Ball) -> Result<()> {
    std::thread::scope(|scope| {
        let other = scope.spawn(move || -> Result<()> {
            let confined = sites::confine(&[there]);
            // Also a thread on the wrong CPU must play, else the other one waits for ever.
            while ball.take(MINE) != OVER {
                ball.hand(MINE);
            }
            confined
        });
        let measured = sites::confine(&[here]).and_then(|()| {
            meter.measure(|_| {
                ball.hand(YOURS);
                ball.take(YOURS);
                Ok(())
            })
        });
        ball.hand(OVER);
        let other = other.join();
        measured?;
        other.unwrap_or_else(|_| Err(anyhow::anyhow!("the other thread panicked")))
    })
}

/// Waits in the kernel.
#[derive(Default)]
struct Futex(AtomicU32);

impl Ball for Futex {
    fn hand(&self, to: u32) {
        // ORDERING: Release and acquire make each turn see the ones before.
        self.0.store(to, Ordering::Release);
        // Waking cannot fail on an address of this process; a lost one would hang, which the driver notices.
        let _ = futex::wake(&self.0, futex::Flags::PRIVATE, 1);
    }

    fn take(&self, from: u32) -> u32 {
        loop {
            let turn = self.0.load(Ordering::Acquire);
            if turn != from {
                return turn;
            }
            match futex::wait(&self.0, futex::Flags::PRIVATE, from, None) {
                Ok(()) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => panic!("futex: {error}"),
            }
        }
    }
}

/// Gives the CPU away until it is its turn.
#[derive(Default)]
struct Yield(AtomicU32);

impl Ball for Yield {
    fn hand(&self, to: u32) {
        // ORDERING: As for the futex.
        self.0.store(to, Ordering::Release);
    }

    fn take(&self, from: u32) -> u32 {
        loop {
            let turn = self.0.load(Ordering::Acquire);
            if turn != from {
                return turn;
            }
            sched_yield();
        }
    }
}

/// Computes until it is its turn.
#[derive(Default)]
struct Spin(AtomicU32);

impl Ball for Spin {
    fn hand(&self, to: u32) {
        // ORDERING: As for the futex.
        self.0.store(to, Ordering::Release);
    }

    fn take(&self, from: u32) -> u32 {
        loop {
            // Without the pause instruction, for which the emulator leaves its fast path each time.
            let turn = self.0.load(Ordering::Acquire);
            if turn != from {
                return turn;
            }
        }
    }
}

/// Waits for a condition.
#[derive(Default)]
struct Condition {
    turn: Mutex<u32>,
    changed: Condvar,
}

impl Ball for Condition {
    fn hand(&self, to: u32) {
        let mut turn = self.turn.lock().unwrap_or_else(|error| error.into_inner());
        *turn = to;
        drop(turn);
        self.changed.notify_one();
    }

    fn take(&self, from: u32) -> u32 {
        let turn = self.turn.lock().unwrap_or_else(|error| error.into_inner());
        let turn = self.changed.wait_while(turn, |turn| *turn == from);
        *turn.unwrap_or_else(|error| error.into_inner())
    }
}

/// Waits for a semaphore.
struct Semaphores {
    turn: AtomicU32,
    mine: Semaphore,
    yours: Semaphore,
}

impl Ball for Semaphores {
    fn hand(&self, to: u32) {
        // ORDERING: As for the futex.
        self.turn.store(to, Ordering::Release);
        let semaphore = if to == MINE { &self.mine } else { &self.yours };
        semaphore.post().expect("a valid semaphore");
    }

    fn take(&self, from: u32) -> u32 {
        let semaphore = if from == MINE {
            &self.yours
        } else {
            &self.mine
        };
        // A signal may interrupt it.
        while semaphore.wait().is_err() {}
        self.turn.load(Ordering::Acquire)
    }
}

pub(super) fn switch_futex(meter: &mut Meter) -> Result<()> {
    let cpu = meter.first()?;
    take_turns(meter, cpu, cpu, &Futex::default())
}

pub(super) fn switch_yield(meter: &mut Meter) -> Result<()> {
    let cpu = meter.first()?;
    take_turns(meter, cpu, cpu, &Yield::default())
}

pub(super) fn wake_futex(meter: &mut Meter) -> Result<()> {
    let (here, there) = (meter.first()?, meter.second()?);
    take_turns(meter, here, there, &Futex::default())
}

pub(super) fn spin(meter: &mut Meter) -> Result<()> {
    let (here, there) = (meter.first()?, meter.second()?);
    take_turns(meter, here, there, &Spin::default())
}

pub(super) fn condvar(meter: &mut Meter) -> Result<()> {
    let (here, there) = (meter.first()?, meter.second()?);
    take_turns(meter, here, there, &Condition::default())
}

pub(super) fn semaphore(meter: &mut Meter) -> Result<()> {
    let (here, there) = (meter.first()?, meter.second()?);
    let semaphores = Semaphores {
        turn: AtomicU32::new(MINE),
        mine: Semaphore::new(0)?,
        yours: Semaphore::new(0)?,
    };
    take_turns(meter, here, there, &semaphores)
}

/// Both threads meet as often: the other one knows how often that is.
pub(super) fn barrier(meter: &mut Meter) -> Result<()> {
    let (here, there) = (meter.first()?, meter.second()?);
    let meetings = meter.warm_up() + meter.iterations();
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let confined = sites::confine(&[there]);
            for _ in 0..meetings {
                barrier.wait();
            }
            confined
        });
        // An error before the last meeting would leave the other thread waiting; the driver then ends this process.
        sites::confine(&[here])?;
        meter.measure(|_| {
            barrier.wait();
            Ok(())
        })?;
        other
            .join()
            .unwrap_or_else(|_| Err(anyhow::anyhow!("the other thread panicked")))
    })
}

/// Both threads hold the mutex most of the time.
pub(super) fn mutex(meter: &mut Meter) -> Result<()> {
    /// Steps of work with the mutex held.
    const WORK: u64 = 2000;
    let (here, there) = (meter.first()?, meter.second()?);
    let (sum, is_over) = (Mutex::new(0_u64), AtomicU32::new(0));
    let work = || -> Result<()> {
        let mut sum = sum.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
        for step in 0..WORK {
            *sum = black_box(sum.wrapping_add(step));
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| -> Result<()> {
            sites::confine(&[there])?;
            while is_over.load(Ordering::Relaxed) == 0 {
                work()?;
            }
            Ok(())
        });
        let measured = sites::confine(&[here]).and_then(|()| meter.measure(|_| work()));
        is_over.store(1, Ordering::Relaxed);
        let other = other.join();
        measured?;
        other.unwrap_or_else(|_| Err(anyhow::anyhow!("the other thread panicked")))
    })
    .context("the mutex")
}
