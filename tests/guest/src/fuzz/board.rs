// SPDX-License-Identifier: GPL-2.0
//! What the processes of a fuzzing run share: how far each worker is, what it did last, which processes are prey, and what
//! one of them found wrong.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use lwk_logic::uapi::OPS;

use super::request::Made;
use crate::sys::map::Mapping;
use crate::sys::PAGE;

/// Numbers of each worker: a complaint, the next step, then the last steps, then its prey.
const NUMBERS: usize = 32;
const LAST: usize = 12;
const PREY: usize = 14;
/// Prey that a worker may have at a time.
pub(super) const MAX_PREY: usize = 5;

const _: () = assert!(PREY + MAX_PREY <= NUMBERS);

/// The shared page.
pub(super) struct Board(Mapping);

impl Board {
    /// Makes one for this process and those that it forks.
    pub(super) fn new() -> Result<Board> {
        Ok(Board(Mapping::shared(2 * PAGE).context("the board")?))
    }

    fn numbers(&self, worker: usize) -> &[AtomicU64] {
        let start = worker * NUMBERS;
        self.0
            .counters()
            .get(start..start + NUMBERS)
            .unwrap_or_default()
    }

    // ORDERING: Relaxed everywhere: each number is told by one process for others to look at, and none depends on
    // another.
    fn get(&self, worker: usize, index: usize) -> u64 {
        let numbers = self.numbers(worker);
        numbers
            .get(index)
            .map_or(0, |number| number.load(Ordering::Relaxed))
    }

    fn set(&self, worker: usize, index: usize, value: u64) {
        if let Some(number) = self.numbers(worker).get(index) {
            number.store(value, Ordering::Relaxed);
        }
    }

    /// The step that a worker is at, or does next.
    pub(super) fn step(&self, worker: usize) -> u64 {
        self.get(worker, 1)
    }

    /// Notes that a worker has done all steps before this one.
    pub(super) fn set_step(&self, worker: usize, step: u64) {
        self.set(worker, 1, step);
    }

    /// Notes what a worker does in a step, by its place in the table of operations.
    pub(super) fn begin(&self, worker: usize, step: u64, operation: usize) {
        self.set_step(worker, step);
        let slot = usize::try_from(step).unwrap_or(0) % LAST;
        self.set(worker, 2 + slot, step << 8 | (operation as u64 + 1));
    }

    /// The last steps of a worker with what it did, the oldest first.
    pub(super) fn last(&self, worker: usize) -> Vec<(u64, usize)> {
        let slots = (0..LAST).map(|slot| self.get(worker, 2 + slot));
        let mut steps: Vec<u64> = slots.filter(|noted| *noted != 0).collect();
        steps.sort_unstable();
        let parts = |noted: u64| (noted >> 8, (noted & 0xff) as usize - 1);
        steps.into_iter().map(parts).collect()
    }

    /// Notes that something is wrong, as a line of the source.
    pub(super) fn complain(&self, worker: usize, line: u32) {
        self.set(worker, 0, line.into());
    }

    /// What is wrong.
    pub(super) fn complaint(&self, worker: usize) -> Option<u64> {
        Some(self.get(worker, 0)).filter(|line| *line != 0)
    }

    /// Counts a request.
    pub(super) fn count(&self, made: Made) {
        for (index, by) in [(0, 1), (1, u64::from(made.is_done))] {
            let at = PAGE / 8 + made.op * 2 + index;
            if let Some(counter) = self.0.counters().get(at) {
                counter.fetch_add(by, Ordering::Relaxed);
            }
        }
    }

    /// How many requests there were, and how many were carried out.
    pub(super) fn requests(&self) -> String {
        let count = |at: usize| {
            self.0
                .counters()
                .get(at)
                .map_or(0, |counter| counter.load(Ordering::Relaxed))
        };
        let told = OPS.iter().enumerate().map(|(index, op)| {
            let at = PAGE / 8 + index * 2;
            format!("{} {}/{}", op.name, count(at + 1), count(at))
        });
        told.collect::<Vec<_>>().join(", ")
    }

    /// Notes a process as prey.
    pub(super) fn add_prey(&self, worker: usize, slot: usize, pid: i32) {
        self.set(worker, PREY + slot, u64::from(pid.cast_unsigned()));
    }

    /// Forgets one.
    pub(super) fn forget_prey(&self, worker: usize, slot: usize) {
        self.set(worker, PREY + slot, 0);
    }

    /// The prey of a worker, by slot.
    pub(super) fn prey(&self, worker: usize) -> Vec<Option<i32>> {
        let slots = (0..MAX_PREY).map(|slot| self.get(worker, PREY + slot));
        slots
            .map(|pid| i32::try_from(pid).ok().filter(|pid| *pid > 0))
            .collect()
    }
}
