// SPDX-License-Identifier: GPL-2.0
//! How a CPU changes owner: step by step, each with its reverse.
//!
//! ```text
//! Linux ─quiet─▶ ─no irqs─▶ ─down─▶ ─isolated─▶ ─owned─▶ ─up─▶ LWK (on line, not active)
//!       ◀─────────────────────────────────────────────────────
//! ```
//!
//! In the middle the CPU is off line, because nothing of Linux runs there then and its masks can change. [`Moves`] goes
//! this way with some CPUs in either direction, and back with all of them unless it is committed.
#![forbid(unsafe_code)]

use crate::{
    logic::{cpuset::CpuId, refused::Refused},
    noise,
    partition::Change,
    sys::cpu::{self, NR_CPUS},
    uapi::Refusal,
};
use kernel::{
    error::{code, Error, Result},
    prelude::*,
};

/// One step from Linux to the LWK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The fair server, which would need the tick, is off.
    Quiet,
    /// Device interrupts go elsewhere.
    NoIrqs,
    /// The CPU is off line.
    Down,
    /// What Linux shares out over its CPUs leaves it out.
    Isolated,
    /// The hooks know it.
    Owned,
    /// It is on line for the LWK.
    Up,
}

impl Step {
    /// All of them, in order. Deadline admission would refuse [`Step::Quiet`] once the CPU has left its domain.
    const PATH: [Self; 6] = [
        Self::Quiet,
        Self::NoIrqs,
        Self::Down,
        Self::Isolated,
        Self::Owned,
        Self::Up,
    ];

    /// Does it.
    fn advance(self, cpu: CpuId, fair_server_ns: &mut u64) -> Result {
        match self {
            Self::Quiet => {
                *fair_server_ns = cpu::fair_server_ns(cpu);
                cpu::set_fair_server_ns(cpu, 0)
            }
            Self::NoIrqs => cpu::send_irqs_away(cpu),
            Self::Down => cpu::take_down(cpu),
            Self::Isolated => {
                cpu::isolate(cpu);
                Ok(())
            }
            Self::Owned => {
                noise::reset(cpu);
                cpu::set_owned(cpu, true);
                Ok(())
            }
            Self::Up => cpu::bring_up(cpu),
        }
    }

    /// Undoes it.
    fn retreat(self, cpu: CpuId, fair_server_ns: &mut u64) -> Result {
        match self {
            Self::Quiet => cpu::set_fair_server_ns(cpu, *fair_server_ns),
            Self::NoIrqs => {
                cpu::call_irqs_back(cpu);
                Ok(())
            }
            Self::Down => cpu::bring_up(cpu),
            Self::Isolated => {
                cpu::unisolate(cpu);
                Ok(())
            }
            Self::Owned => {
                cpu::set_owned(cpu, false);
                Ok(())
            }
            // Nobody may take an owned CPU down, so this goes first; the step before does it for a CPU that never came up.
            Self::Up => {
                cpu::set_owned(cpu, false);
                cpu::take_down(cpu).inspect_err(|_| cpu::set_owned(cpu, true))
            }
        }
    }
}

/// Which way a step was gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ToLwk,
    ToLinux,
}

impl Way {
    const fn back(self) -> Self {
        match self {
            Self::ToLwk => Self::ToLinux,
            Self::ToLinux => Self::ToLwk,
        }
    }
}

/// The steps gone so far; goes them back when dropped.
#[must_use = "dropping it goes all steps back"]
pub(crate) struct Moves<'a> {
    steps: KVec<(CpuId, Step, Way)>,
    fair_server_ns: &'a mut [u64; NR_CPUS],
    is_committed: bool,
}

impl<'a> Moves<'a> {
    /// Starts with room for all steps of `nr_cpus` CPUs, so that none needs memory later.
    pub(crate) fn begin(fair_server_ns: &'a mut [u64; NR_CPUS], nr_cpus: u32) -> Change<Self> {
        // CAST: usize has 64 bits.
        let nr = nr_cpus as usize * Step::PATH.len();
        let steps = KVec::with_capacity(nr, GFP_KERNEL)
            .map_err(|_| Refused::linux(-code::ENOMEM.to_errno(), Refusal::None, None))?;
        Ok(Self {
            steps,
            fair_server_ns,
            is_committed: false,
        })
    }

    /// Takes a CPU from Linux.
    pub(crate) fn take(&mut self, cpu: CpuId) -> Change {
        Step::PATH
            .into_iter()
            .try_for_each(|step| self.go(cpu, step, Way::ToLwk))
    }

    /// Gives a CPU back to Linux.
    pub(crate) fn give(&mut self, cpu: CpuId) -> Change {
        Step::PATH
            .into_iter()
            .rev()
            .try_for_each(|step| self.go(cpu, step, Way::ToLinux))
    }

    /// Lets the CPUs stay where they are.
    pub(crate) fn commit(mut self) {
        self.is_committed = true;
    }

    fn go(&mut self, cpu: CpuId, step: Step, way: Way) -> Change {
        let refuse = |error: Error| {
            let refusal = match step {
                Step::Quiet | Step::Down if cpu::has_deadline_tasks(cpu) => Refusal::DeadlineTask,
                Step::Down | Step::Up => Refusal::Hotplug,
                _ => Refusal::None,
            };
            Refused::linux(-error.to_errno(), refusal, Some(cpu))
        };
        self.one(cpu, step, way).map_err(refuse)?;
        self.steps
            .push((cpu, step, way), GFP_KERNEL)
            .map_err(|error| refuse(error.into()))
    }

    fn one(&mut self, cpu: CpuId, step: Step, way: Way) -> Result {
        let before_ns = self
            .fair_server_ns
            .get_mut(cpu.index())
            .ok_or(code::EINVAL)?;
        match way {
            Way::ToLwk => step.advance(cpu, before_ns),
            Way::ToLinux => step.retreat(cpu, before_ns),
        }
    }
}

impl Drop for Moves<'_> {
    fn drop(&mut self) {
        if self.is_committed {
            return;
        }
        for index in (0..self.steps.len()).rev() {
            let Some(&(cpu, step, way)) = self.steps.get(index) else {
                continue;
            };
            if let Err(error) = self.one(cpu, step, way.back()) {
                pr_err!(
                    "CPU {}: going back over step {:?} failed: {:?}\n",
                    cpu,
                    step,
                    error
                );
            }
        }
    }
}
