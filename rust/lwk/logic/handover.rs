// SPDX-License-Identifier: GPL-2.0
//! How a CPU changes hands, and where it stays when that fails.
//!
//! ```text
//! place    0        1         2       3           4        5     6
//!        Linux ─quiet─▶ ─no irqs─▶ ─down─▶ ─isolated─▶ ─owned─▶ ─up─▶ LWK
//!              ◀──────────────── each step has its reverse ────────────
//!                                     off line
//! hand     Linux                                    Arrives ─────▶ Lwk
//!                                                   Leaves  ◀──────
//! ```
//!
//! A CPU is off line in the middle, because nothing of Linux runs there then and its masks can change. When a step fails
//! the CPU goes home ([`go_home`]), to whom it belonged. Only what takes it off line or on line can fail for good: then it
//! goes to the other side, and if it does not come on line there either, it stays off line and is Linux'.

use super::cpuset::CpuId;

/// One step from Linux to the LWK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
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
    pub const PATH: [Self; 6] = [
        Self::Quiet,
        Self::NoIrqs,
        Self::Down,
        Self::Isolated,
        Self::Owned,
        Self::Up,
    ];

    /// Whether the CPU's way can go on without it: it is then less quiet, or Linux less fair there.
    const fn is_comfort(self) -> bool {
        matches!(self, Self::Quiet | Self::NoIrqs)
    }
}

/// Whose a CPU is, or is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Of Linux.
    Linux,
    /// Of a partition.
    Lwk,
}

impl Side {
    /// The place of who has arrived there.
    pub const fn place(self) -> Place {
        match self {
            Self::Linux => Place(0),
            // CAST: Six.
            Self::Lwk => Place(Step::PATH.len() as u8),
        }
    }
}

/// How many steps from Linux a CPU is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u8);

impl Place {
    /// The next step towards a side, and the place behind it; none if it is there.
    fn next(self, to: Side) -> Option<(Step, Self)> {
        let (index, place) = match to {
            Side::Lwk => (self.0, self.0 + 1),
            Side::Linux => (self.0.checked_sub(1)?, self.0 - 1),
        };
        let step = Step::PATH.get(usize::from(index))?;
        Some((*step, Self(place)))
    }
}

/// In whose hands a CPU is as far as the hooks in Linux go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hand {
    /// Linux has it.
    Linux,
    /// It comes on line for the LWK; Linux may take it down again, if it does not get there.
    Arrives,
    /// The LWK has it.
    Lwk,
    /// It goes off line for Linux. If it does not get there it stays on line without ever having been active.
    Leaves,
}

impl Hand {
    /// Whether tasks of jobs may run there and those of Linux may not, and work for it may be put off.
    pub const fn is_owned(self) -> bool {
        matches!(self, Self::Arrives | Self::Lwk)
    }

    /// Whether it stays out of `cpu_active_mask` when it is on line.
    pub const fn is_inactive(self) -> bool {
        !matches!(self, Self::Linux)
    }

    /// Whether nobody may take it off line.
    pub const fn is_pinned(self) -> bool {
        matches!(self, Self::Lwk)
    }

    /// In whose hands it is from just before a step on, if that changes.
    pub const fn before(step: Step, to: Side) -> Option<Self> {
        match (step, to) {
            (Step::Owned, Side::Lwk) => Some(Self::Arrives),
            (Step::Up, Side::Linux) => Some(Self::Leaves),
            _ => None,
        }
    }

    /// In whose hands it is once a step is done, if that changes.
    pub const fn after(step: Step, to: Side) -> Option<Self> {
        match (step, to) {
            (Step::Up, Side::Lwk) => Some(Self::Lwk),
            (Step::Owned, Side::Linux) => Some(Self::Linux),
            _ => None,
        }
    }

    /// In whose hands it is once a step failed, if that changes.
    pub const fn after_failure(step: Step, to: Side) -> Option<Self> {
        match (step, to) {
            (Step::Up, Side::Linux) => Some(Self::Lwk),
            _ => None,
        }
    }
}

/// Who carries the steps out.
pub trait Porter {
    /// Why a step failed.
    type Error;

    /// Goes one step with a CPU; if that fails the CPU is where it was.
    ///
    /// # Errors
    ///
    /// What Linux says.
    fn step(&mut self, cpu: CpuId, step: Step, to: Side) -> Result<(), Self::Error>;

    /// A step on the way home failed, and the CPU goes on without it or turns round.
    fn failed(&mut self, cpu: CpuId, step: Step, to: Side, error: Self::Error);
}

/// Goes to a side, as far as that can be done.
///
/// # Errors
///
/// The step that failed and why; `place` is where the CPU is.
pub fn go<P: Porter>(
    porter: &mut P,
    cpu: CpuId,
    place: &mut Place,
    to: Side,
) -> Result<(), (Step, P::Error)> {
    while let Some((step, next)) = place.next(to) {
        porter.step(cpu, step, to).map_err(|error| (step, error))?;
        *place = next;
    }
    Ok(())
}

/// Brings a CPU that is somewhere on its way to the side where it was, or to the other if that cannot be.
///
/// Returns whose it is now; if it could not be brought on line it is Linux', and off line.
pub fn go_home<P: Porter>(porter: &mut P, cpu: CpuId, place: &mut Place, home: Side) -> Side {
    let mut to = home;
    while let Some((step, next)) = place.next(to) {
        let Err(error) = porter.step(cpu, step, to) else {
            *place = next;
            continue;
        };
        porter.failed(cpu, step, to, error);
        match (step, to) {
            _ if step.is_comfort() => *place = next,
            // It does not go off line for the LWK, so Linux keeps it; or it does not come on line for the LWK, so that
            // Linux tries.
            (_, Side::Lwk) => to = Side::Linux,
            // It does not go off line for Linux.
            (Step::Up, Side::Linux) => to = Side::Lwk,
            // It does not come on line at all: the rest can be done off line.
            (_, Side::Linux) => *place = next,
        }
    }
    to
}

#[cfg(test)]
mod tests;
