// SPDX-License-Identifier: GPL-2.0
//! CPUs change hands, several in one change.
//!
//! The steps, their order and what becomes of a CPU when one fails are in `logic/handover.rs`; here they are carried out.
//! [`Moves`] goes this way with some CPUs in either direction, and back with all of them if it is [undone](Moves::undo).
#![forbid(unsafe_code)]

use crate::{
    logic::{
        cpuset::{CpuId, CpuSet},
        handover::{self, Hand, Place, Porter, Side, Step},
        refused::Refused,
    },
    noise,
    partition::Change,
    sys::cpu::{self, Hotplug, NR_CPUS},
    uapi::{Refusal, PARTITION_BOOT},
};
use kernel::{
    error::{code, Error, Result},
    prelude::*,
};

/// Whether Linux may have hardware threads of cores of which a partition has others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cores {
    /// It may not: what runs on one disturbs the others.
    Whole,
    /// It may, as the boot line said so.
    Split,
}

impl Cores {
    /// How a partition with these flags is made: the boot line may split cores, as mOS allows.
    pub(crate) const fn of(flags: u32) -> Self {
        if flags & PARTITION_BOOT == 0 {
            Self::Whole
        } else {
            Self::Split
        }
    }
}

/// CPUs that could not be brought back to where they were.
#[derive(Default)]
pub(crate) struct Misplaced {
    /// Those that the LWK has though they were Linux'.
    pub(crate) kept: CpuSet,
    /// Those that Linux has, perhaps off line, though they were the LWK's.
    pub(crate) lost: CpuSet,
}

impl Misplaced {
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.lost.is_empty()
    }
}

/// Carries the steps out, with the lock of CPU hotplug held.
struct Steps<'a> {
    hotplug: Hotplug,
    /// The fair server's runtime on each CPU before the LWK had it.
    fair_server_ns: &'a mut [u64; NR_CPUS],
    /// Who comes back to the LWK goes on counting.
    is_undoing: bool,
}

impl Steps<'_> {
    /// Does a step.
    fn advance(&mut self, cpu: CpuId, step: Step) -> Result {
        match step {
            Step::Quiet => {
                let before_ns = cpu::fair_server_ns(cpu);
                cpu::set_fair_server_ns(cpu, 0)?;
                *self.slot(cpu)? = before_ns;
                Ok(())
            }
            Step::NoIrqs => cpu::send_irqs_away(cpu),
            Step::Down => self.hotplug.take_down(cpu),
            Step::Isolated => {
                cpu::isolate(cpu);
                Ok(())
            }
            // The hooks are told around each step.
            Step::Owned => {
                if !self.is_undoing {
                    noise::reset(cpu);
                }
                Ok(())
            }
            Step::Up => self.hotplug.bring_up(cpu),
        }
    }

    /// Undoes it.
    fn retreat(&mut self, cpu: CpuId, step: Step) -> Result {
        match step {
            Step::Quiet => cpu::set_fair_server_ns(cpu, *self.slot(cpu)?),
            Step::NoIrqs => {
                cpu::call_irqs_back(cpu);
                Ok(())
            }
            Step::Down => self.hotplug.bring_up(cpu),
            Step::Isolated => {
                cpu::unisolate(cpu);
                Ok(())
            }
            Step::Owned => Ok(()),
            Step::Up => self.hotplug.take_down(cpu),
        }
    }

    fn slot(&mut self, cpu: CpuId) -> Result<&mut u64> {
        self.fair_server_ns.get_mut(cpu.index()).ok_or(code::EINVAL)
    }
}

impl Porter for Steps<'_> {
    type Error = Error;

    fn step(&mut self, cpu: CpuId, step: Step, to: Side) -> Result {
        let set = |hand: Option<Hand>| {
            if let Some(hand) = hand {
                cpu::set_hand(cpu, hand);
            }
        };
        set(Hand::before(step, to));
        let result = match to {
            Side::Lwk => self.advance(cpu, step),
            Side::Linux => self.retreat(cpu, step),
        };
        set(match result {
            Ok(()) => Hand::after(step, to),
            Err(_) => Hand::after_failure(step, to),
        });
        result
    }

    fn failed(&mut self, cpu: CpuId, step: Step, to: Side, error: Error) {
        pr_err!(
            "CPU {}: going back to {:?} over step {:?} failed: {:?}\n",
            cpu,
            to,
            step,
            error
        );
    }
}

/// One CPU on its way.
struct Move {
    cpu: CpuId,
    home: Side,
    place: Place,
}

/// The CPUs moved so far; nobody else takes any off line or on line meanwhile.
#[must_use = "what was moved is to be undone if the change fails"]
pub(crate) struct Moves<'a> {
    moves: KVec<Move>,
    steps: Steps<'a>,
}

impl<'a> Moves<'a> {
    /// Starts with room for `nr_cpus` CPUs, so that nothing needs memory later.
    pub(crate) fn begin(fair_server_ns: &'a mut [u64; NR_CPUS], nr_cpus: u32) -> Change<Self> {
        // CAST: usize has 64 bits.
        let moves = KVec::with_capacity(nr_cpus as usize, GFP_KERNEL)
            .map_err(|_| Refused::linux(-code::ENOMEM.to_errno(), Refusal::None, None))?;
        let hotplug = Hotplug::lock();
        Ok(Self {
            moves,
            steps: Steps {
                hotplug,
                fair_server_ns,
                is_undoing: false,
            },
        })
    }

    /// Takes a CPU from Linux.
    pub(crate) fn take(&mut self, cpu: CpuId, cores: Cores) -> Change {
        cpu::set_shares_core(cpu, cores == Cores::Split);
        self.go(cpu, Side::Linux, Side::Lwk)
    }

    /// Gives a CPU back to Linux.
    pub(crate) fn give(&mut self, cpu: CpuId) -> Change {
        self.go(cpu, Side::Lwk, Side::Linux)
    }

    fn go(&mut self, cpu: CpuId, home: Side, to: Side) -> Change {
        let mut place = home.place();
        let gone = handover::go(&mut self.steps, cpu, &mut place, to);
        let one = Move { cpu, home, place };
        // Cannot fail: there is room.
        let _ = self.moves.push(one, GFP_KERNEL);
        gone.map_err(|(step, error)| {
            let refusal = match step {
                Step::Quiet | Step::Down if cpu::has_deadline_tasks(cpu) => Refusal::DeadlineTask,
                Step::Down | Step::Up => Refusal::Hotplug,
                _ => Refusal::None,
            };
            Refused::linux(-error.to_errno(), refusal, Some(cpu))
        })
    }

    /// Brings all CPUs back to where they were, last first, and returns those for which that cannot be.
    pub(crate) fn undo(mut self) -> Misplaced {
        let mut misplaced = Misplaced::default();
        self.steps.is_undoing = true;
        for one in self.moves.iter_mut().rev() {
            let side = handover::go_home(&mut self.steps, one.cpu, &mut one.place, one.home);
            match (one.home, side) {
                (Side::Linux, Side::Lwk) => misplaced.kept.insert(one.cpu),
                (Side::Lwk, Side::Linux) => misplaced.lost.insert(one.cpu),
                _ => false,
            };
        }
        if !misplaced.is_empty() {
            pr_err!(
                "after a change that failed: CPUs {} stay with their partition, CPUs {} with Linux\n",
                misplaced.kept,
                misplaced.lost
            );
        }
        misplaced
    }
}
