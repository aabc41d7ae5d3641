// SPDX-License-Identifier: GPL-2.0
//! Making threads, and what many of them do together.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{Builder, JoinHandle};

use anyhow::{ensure, Context, Result};
use rustix::thread::futex;

use crate::measure::Meter;

/// Bytes of a thread's stack: the same as in small runtimes, so that mapping it costs little.
const STACK: usize = 64 << 10;

/// A gate that is shut once for all threads behind it.
#[derive(Default)]
struct Gate(AtomicU32);

impl Gate {
    fn open(&self) {
        // ORDERING: Release and acquire, so that who passes sees what was done before the opening.
        self.0.store(1, Ordering::Release);
        // Waking cannot fail on an address of this process.
        let _ = futex::wake(&self.0, futex::Flags::PRIVATE, u32::MAX >> 1);
    }

    fn pass(&self) {
        while self.0.load(Ordering::Acquire) == 0 {
            // Any reason to come back is a reason to look again.
            let _ = futex::wait(&self.0, futex::Flags::PRIVATE, 0, None);
        }
    }
}

/// Starts a thread.
fn start<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>> {
    Builder::new()
        .stack_size(STACK)
        .spawn(body)
        .context("creating a thread")
}

/// Waits for threads and checks what they return.
fn join_all(threads: Vec<JoinHandle<u64>>) -> Result<()> {
    for (number, thread) in (0..).zip(threads) {
        let got = thread
            .join()
            .map_err(|_| anyhow::anyhow!("a thread panicked"))?;
        ensure!(got == number, "thread {number} returned {got}");
    }
    Ok(())
}

pub(super) fn create_join(meter: &mut Meter) -> Result<()> {
    meter.measure(|number| {
        let got = start(move || black_box(number))?.join();
        ensure!(
            got.is_ok_and(|got| got == number),
            "a thread's result got lost"
        );
        Ok(())
    })
}

pub(super) fn create(meter: &mut Meter) -> Result<()> {
    let count = meter.iterations();
    meter.measure_batch(
        || {
            Ok((
                Arc::new(Gate::default()),
                Vec::with_capacity(usize::try_from(count)?),
            ))
        },
        |(gate, threads)| {
            for number in 0..count {
                let gate = Arc::clone(gate);
                threads.push(start(move || {
                    gate.pass();
                    number
                })?);
            }
            Ok(())
        },
        |(gate, threads)| {
            gate.open();
            join_all(threads)
        },
    )
}

pub(super) fn join(meter: &mut Meter) -> Result<()> {
    let count = meter.iterations();
    meter.measure_batch(
        || {
            let threads: Result<Vec<_>> = (0..count).map(|number| start(move || number)).collect();
            let threads = threads?;
            while !threads.iter().all(JoinHandle::is_finished) {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            // Between its last word and its end a thread still unmaps its stack.
            std::thread::sleep(std::time::Duration::from_millis(5));
            Ok(Some(threads))
        },
        |threads| join_all(threads.take().unwrap_or_default()),
        |threads| {
            ensure!(threads.is_none(), "nobody joined");
            Ok(())
        },
    )
}

pub(super) fn many(meter: &mut Meter) -> Result<()> {
    /// Steps of each thread.
    const WORK: u64 = 20_000;
    let count = meter.iterations();
    meter.measure_batch(
        || Ok(()),
        |()| {
            let work = |number: u64| {
                move || {
                    let sum = (0..WORK).fold(0_u64, |sum, step| black_box(sum ^ step));
                    // The exclusive or of 0 to 4n-1 is 0.
                    number + sum
                }
            };
            let threads: Result<Vec<_>> = (0..count).map(|number| start(work(number))).collect();
            join_all(threads?)
        },
        |()| Ok(()),
    )
}

/// State of the broadcast: the round that was announced, and how many have answered it.
#[derive(Default)]
struct Round {
    state: Mutex<(u64, u32)>,
    announced: Condvar,
    answered: Condvar,
    is_over: AtomicBool,
}

pub(super) fn broadcast(meter: &mut Meter) -> Result<()> {
    const LISTENERS: u32 = 4;
    let round = Arc::new(Round::default());
    let poisoned = |_| anyhow::anyhow!("poisoned");
    let listeners: Result<Vec<_>> = (0..LISTENERS)
        .map(|_| {
            let round = Arc::clone(&round);
            start(move || listen(&round))
        })
        .collect();
    let listeners = listeners?;
    let measured = meter.measure(|_| {
        let mut state = round
            .state
            .lock()
            .map_err(|_| anyhow::anyhow!("poisoned"))?;
        *state = (state.0 + 1, 0);
        round.announced.notify_all();
        let state = round
            .answered
            .wait_while(state, |state| state.1 < LISTENERS);
        state.map(drop).map_err(|_| anyhow::anyhow!("poisoned"))
    });
    round.is_over.store(true, Ordering::Release);
    round.state.lock().map_err(poisoned)?.0 += 1;
    round.announced.notify_all();
    measured?;
    for listener in listeners {
        listener
            .join()
            .map_err(|_| anyhow::anyhow!("a listener panicked"))?;
    }
    Ok(())
}

/// Answers each round until it is over.
fn listen(round: &Round) {
    let mut heard = 0;
    loop {
        let state = round
            .state
            .lock()
            .unwrap_or_else(|error| error.into_inner());
        let state = round.announced.wait_while(state, |state| state.0 == heard);
        let mut state = state.unwrap_or_else(|error| error.into_inner());
        if round.is_over.load(Ordering::Acquire) {
            return;
        }
        heard = state.0;
        state.1 += 1;
        round.answered.notify_one();
    }
}
