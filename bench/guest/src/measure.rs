// SPDX-License-Identifier: GPL-2.0
//! Measures an operation: counted by the emulator between two markers, or timed by the time-stamp counter.
//!
//! A counted run has one window with all repetitions and nothing else in it. A timed run has a reading around each
//! operation, so that its figures tell of single operations.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use bench_record::report::Usage;
use bench_record::Place;
use nix::sys::resource::{getrusage, UsageWho};
use serde::{Deserialize, Serialize};

use crate::sys::shared::{Shared, Victim, Word, QUANTA};
use crate::sys::{clock, marker};
use crate::timed::Scale;

/// How long everything rests between the warm-up and the window, so that what the warm-up left to be done later is
/// done before.
const REST: Duration = Duration::from_millis(20);

/// What measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The emulator counts between the markers.
    Counted,
    /// The time-stamp counter times each operation.
    Timed,
}

impl Mode {
    /// The word of the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Timed => "timed",
        }
    }

    /// Reads that word.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Counted, Self::Timed]
            .into_iter()
            .find(|mode| mode.name() == name)
    }
}

/// What a measurement gave besides the counts, which only the emulator knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// How many times the operation was repeated.
    pub(crate) iterations: u64,
    /// Faults and switches of this process in the window.
    pub(crate) usage: Usage,
    /// Times of single operations.
    pub(crate) times_ns: Vec<u64>,
    /// Times of the quanta of work of each computing program in a timed run.
    pub(crate) quanta_ns: Vec<Vec<u64>>,
    /// Instructions of all operations as the processor counted them, if it did: in user mode, in kernel mode.
    pub(crate) instructions: Option<(u64, u64)>,
}

/// What a benchmark gets to measure itself with.
pub(crate) struct Meter {
    place: Place,
    cpus: Vec<u32>,
    iterations: u64,
    mode: Mode,
    shared: Shared,
    measured: Option<Measured>,
    outside: Outside,
}

/// What a benchmark needs to know to use places from the outside.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outside {
    /// The launcher of LWK programs.
    pub(crate) yod: String,
    /// All CPUs of the place.
    pub(crate) cpus: String,
    /// The CPUs that the program runs on.
    pub(crate) home: Vec<u32>,
    /// How many programs compute on other CPUs.
    pub(crate) victims: usize,
}

impl Meter {
    /// One for a benchmark with so many iterations on these CPUs of a place.
    pub(crate) fn new(
        place: Place,
        cpus: Vec<u32>,
        iterations: u64,
        mode: Mode,
        shared: Shared,
        outside: Outside,
    ) -> Self {
        Self {
            place,
            cpus,
            iterations,
            mode,
            shared,
            measured: None,
            outside,
        }
    }

    /// The place.
    pub(crate) const fn place(&self) -> Place {
        self.place
    }

    /// What is needed to use the place from the outside.
    pub(crate) const fn outside(&self) -> &Outside {
        &self.outside
    }

    /// The place's CPUs.
    pub(crate) fn cpus(&self) -> &[u32] {
        &self.cpus
    }

    /// Its first CPU.
    pub(crate) fn first(&self) -> Result<u32> {
        self.cpus.first().copied().context("the place has no CPU")
    }

    /// Its last CPU, on which the noise suite computes.
    pub(crate) fn last(&self) -> Result<u32> {
        self.cpus.last().copied().context("the place has no CPU")
    }

    /// Its second CPU.
    ///
    /// # Errors
    ///
    /// [`NotHere`] if it has only one.
    pub(crate) fn second(&self) -> Result<u32> {
        let second = self.cpus.get(1).copied();
        second.ok_or_else(|| NotHere("it takes two CPUs".to_owned()).into())
    }

    /// The CPU that disturbs.
    pub(crate) fn home(&self) -> Result<u32> {
        self.outside
            .home
            .first()
            .copied()
            .context("no CPU to disturb from")
    }

    /// A CPU on which nobody computes, apart from the one that disturbs: the first of two stock Linux CPUs.
    ///
    /// # Errors
    ///
    /// [`NotHere`] if there is none.
    pub(crate) fn spare(&self) -> Result<u32> {
        self.second().context(NotHere(
            "it takes a Linux CPU on which nobody computes".to_owned(),
        ))?;
        self.first()
    }

    /// How many iterations there are to be.
    pub(crate) const fn iterations(&self) -> u64 {
        self.iterations
    }

    /// Measures single operations; the numbers that they get start at 0 and go through the warm-up, which
    /// [`Self::warm_up`] has the length of, and the measurement.
    #[inline(always)]
    pub(crate) fn measure(&mut self, mut op: impl FnMut(u64) -> Result<()>) -> Result<()> {
        let warm = self.warm_up();
        for number in 0..warm {
            op(number).context("in the warm-up")?;
        }
        self.rest();
        let numbers = warm..warm + self.iterations;
        match self.mode {
            Mode::Counted => self.window(self.iterations, || {
                for number in numbers {
                    op(number)?;
                }
                Ok(())
            }),
            Mode::Timed => {
                let before = usage()?;
                let mut counters = crate::timed::Instructions::start();
                let mut ticks = Vec::with_capacity(usize::try_from(self.iterations)?);
                for number in numbers {
                    let begun = clock::ticks();
                    op(number)?;
                    ticks.push(clock::ticks() - begun);
                }
                let instructions = counters.as_mut().and_then(|counters| counters.stop());
                self.timed(self.iterations, &ticks, 1, before, instructions)
            }
        }
    }

    /// How many operations come before the measured ones.
    pub(crate) const fn warm_up(&self) -> u64 {
        let tenth = self.iterations / 10;
        if tenth < 2 {
            2
        } else if tenth > 100 {
            100
        } else {
            tenth
        }
    }

    /// Measures all iterations as one piece of work, which `prepare` makes ready and `finish` cleans up.
    ///
    /// A timed run does so several times and takes the time of an iteration to be that part of the time.
    pub(crate) fn measure_batch<T>(
        &mut self,
        mut prepare: impl FnMut() -> Result<T>,
        mut op: impl FnMut(&mut T) -> Result<()>,
        mut finish: impl FnMut(T) -> Result<()>,
    ) -> Result<()> {
        /// Repetitions of a timed run.
        const TIMED: usize = 100;
        let mut warm = prepare().context("before the warm-up")?;
        op(&mut warm).context("in the warm-up")?;
        finish(warm).context("after the warm-up")?;
        let mut state = prepare()?;
        self.rest();
        if self.mode == Mode::Counted {
            self.window(self.iterations, || op(&mut state))?;
            return finish(state);
        }
        let before = usage()?;
        let mut ticks = Vec::with_capacity(TIMED);
        loop {
            let begun = clock::ticks();
            op(&mut state)?;
            ticks.push(clock::ticks() - begun);
            finish(state)?;
            if ticks.len() == TIMED {
                break;
            }
            state = prepare()?;
        }
        let each = self.iterations;
        self.timed(each * TIMED as u64, &ticks, each, before, None)
    }

    /// Measures what a disturbance does to programs that compute elsewhere.
    ///
    /// The operations get numbers from 1; one with the number 0 is the warm-up.
    pub(crate) fn disturb(&mut self, mut op: impl FnMut(u64) -> Result<()>) -> Result<()> {
        let victims = self.victims();
        ensure!(!victims.is_empty(), NotHere("nobody computes".to_owned()));

        let iterations = self.iterations;
        // ORDERING: Who sees a count also sees the times up to it.
        let read = || -> Vec<u64> {
            let counts = victims.iter().map(|victim| victim.done());
            counts.map(|count| count.load(Ordering::Acquire)).collect()
        };
        op(0).context("in the warm-up")?;
        self.rest();
        let before = read();
        let mut disturb = || {
            for number in 1..=iterations {
                op(number)?;
            }
            // What was put off belongs to the disturbance.
            std::thread::sleep(REST);
            Ok(())
        };
        match self.mode {
            Mode::Counted => self.window(iterations, disturb)?,
            Mode::Timed => {
                let usage_before = usage()?;
                disturb()?;
                self.timed(iterations, &[], 1, usage_before, None)?;
            }
        }
        let after = read();
        for (number, (before, after)) in before.iter().zip(&after).enumerate() {
            ensure!(after > before, "victim {number} did not compute");
        }
        if let (Mode::Timed, Some(measured)) = (self.mode, &mut self.measured) {
            let scale = Scale::calibrate();
            for (victim, (before, after)) in victims.iter().zip(before.iter().zip(&after)) {
                // Older ones are overwritten.
                let first = (*before).max(after.saturating_sub(QUANTA as u64));
                let ticks = (first..*after).map(|count| victim.time(count).load(Ordering::Relaxed));
                measured
                    .quanta_ns
                    .push(ticks.map(|ticks| scale.nanoseconds(ticks)).collect());
            }
        }
        Ok(())
    }

    /// The computing programs of the window.
    pub(crate) fn victims(&self) -> Vec<Victim> {
        (0..self.outside.victims)
            .map(|number| self.shared.victim(number))
            .collect()
    }

    /// What measures.
    pub(crate) const fn mode(&self) -> Mode {
        self.mode
    }

    /// Lets what was begun before come to its end.
    pub(crate) fn rest(&self) {
        std::thread::sleep(REST);
    }

    /// Opens a window, does `work`, closes it; a failure throws the window away.
    #[inline(always)]
    fn window(&mut self, iterations: u64, work: impl FnOnce() -> Result<()>) -> Result<()> {
        ensure!(self.measured.is_none(), "a second window");
        let closed = self.shared.word(Word::Closed);
        // Both take their page faults here.
        closed.store(0, Ordering::Relaxed);
        since(usage()?, usage()?);
        let before = usage()?;
        marker::open();
        let result = work();
        if result.is_err() {
            marker::cancel();
            return result;
        }
        marker::close();
        // ORDERING: Only this process writes; the driver reads after its end.
        closed.fetch_add(1, Ordering::Relaxed);
        let usage = since(before, usage()?);
        self.measured = Some(Measured {
            iterations,
            usage,
            ..Measured::default()
        });
        Ok(())
    }

    /// Keeps the result of a timed run.
    fn timed(
        &mut self,
        iterations: u64,
        ticks: &[u64],
        each: u64,
        before: Usage,
        instructions: Option<(u64, u64)>,
    ) -> Result<()> {
        let usage = since(before, usage()?);
        let scale = Scale::calibrate();
        self.measured = Some(Measured {
            iterations,
            usage,
            times_ns: ticks.iter().map(|t| scale.nanoseconds(*t) / each).collect(),
            quanta_ns: Vec::new(),
            instructions,
        });
        Ok(())
    }

    /// The result.
    ///
    /// # Errors
    ///
    /// If the benchmark never measured.
    pub(crate) fn finish(self) -> Result<Measured> {
        self.measured.context("the benchmark measured nothing")
    }
}

/// The machine or kernel cannot do it.
#[derive(Debug)]
pub(crate) struct NotHere(pub(crate) String);

impl std::fmt::Display for NotHere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotHere {}

/// Faults and switches of this process so far.
fn usage() -> Result<Usage> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).context("getrusage")?;
    let positive = |number: i64| u64::try_from(number).unwrap_or(0);
    Ok(Usage {
        faults: positive(usage.minor_page_faults()) + positive(usage.major_page_faults()),
        switches: positive(usage.voluntary_context_switches())
            + positive(usage.involuntary_context_switches()),
    })
}

fn since(before: Usage, after: Usage) -> Usage {
    Usage {
        faults: after.faults.saturating_sub(before.faults),
        switches: after.switches.saturating_sub(before.switches),
    }
}
