// SPDX-License-Identifier: GPL-2.0
//! Records of the log of disturbances, with names and options in place of bytes and special numbers.

use lwk_logic::uapi::{
    IrqSource, NoiseRecord, RanKind, NOISE_LATE, NOISE_RESCHED, NOISE_SIGNAL, NOISE_TASK_WORK,
    NOISE_UNKNOWN, NOISE_WAITED,
};

use crate::model::text;

/// What one reading of a CPU's log gave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Disturbances {
    /// The records, oldest first.
    pub records: Vec<Disturbance>,
    /// The number from which to read on.
    pub next: u64,
    /// How many were overwritten before they were read.
    pub lost: u64,
}

/// A thread and its process, as the caller's pid namespace numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// The thread.
    pub tid: u32,
    /// Its process.
    pub pid: u32,
}

/// Who sent an interrupt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// From which CPU.
    pub cpu: u32,
    /// What ran there when the interrupt arrived.
    pub process: Process,
    /// Its command name.
    pub comm: String,
}

/// A kernel thread that ran before the disturbed thread went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestRun {
    /// Its number.
    pub tid: u32,
    /// Its command name.
    pub comm: String,
    /// The work function that it ran last, if it is a kworker; empty if not known.
    pub work: String,
    /// For how long.
    pub ns: u64,
}

/// One entry into the kernel that a thread of a job had not asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disturbance {
    /// The CPU.
    pub cpu: u32,
    /// Its number on that CPU.
    pub seq: u64,
    /// When, in nanoseconds of the monotonic clock.
    pub time_ns: u64,
    /// How long.
    pub duration_ns: u64,
    /// The interrupt; of several the one that tells most.
    pub cause: IrqSource,
    /// All interrupts.
    pub sources: Vec<IrqSource>,
    /// How many came.
    pub nr_irqs: u32,
    /// It was found only later, by a counter, and may not have come in user mode.
    pub is_late: bool,
    /// A signal waited for the thread.
    pub has_signal: bool,
    /// Another task was to run.
    pub has_resched: bool,
    /// The thread was to do work for the kernel.
    pub has_task_work: bool,
    /// Nobody was interrupted: the guest, which may be a thread of the job, waited for so long, and the sender had the
    /// CPU.
    pub has_waited: bool,
    /// What kind of function `symbol` is.
    pub ran: RanKind,
    /// The kernel function that ran; empty if not known.
    pub symbol: String,
    /// How many calls of other CPUs waited.
    pub nr_calls: u32,
    /// The device's interrupt and its name.
    pub irq: Option<(u32, String)>,
    /// Who sent the interrupt.
    pub sender: Option<Sender>,
    /// Who was disturbed.
    pub victim: Option<Process>,
    /// What ran before the thread went on.
    pub guest: Option<GuestRun>,
}

impl Disturbance {
    /// Translates what the kernel wrote.
    pub(crate) fn new(cpu: u32, raw: &NoiseRecord) -> Self {
        let known = |number: u32| (number != NOISE_UNKNOWN).then_some(number);
        let source = |number: u32| {
            IrqSource::ALL
                .iter()
                .find(|s| **s as u32 == number)
                .copied()
        };
        Self {
            cpu,
            seq: raw.seq,
            time_ns: raw.time_ns,
            duration_ns: raw.duration_ns,
            cause: source(raw.cause).unwrap_or(IrqSource::Other),
            sources: IrqSource::ALL
                .iter()
                .filter(|source| raw.sources & 1 << source.index() != 0)
                .copied()
                .collect(),
            nr_irqs: raw.nr_irqs,
            is_late: raw.flags & NOISE_LATE != 0,
            has_signal: raw.flags & NOISE_SIGNAL != 0,
            has_resched: raw.flags & NOISE_RESCHED != 0,
            has_task_work: raw.flags & NOISE_TASK_WORK != 0,
            has_waited: raw.flags & NOISE_WAITED != 0,
            ran: RanKind::ALL
                .iter()
                .find(|kind| **kind as u32 == raw.ran)
                .copied()
                .unwrap_or(RanKind::Unknown),
            symbol: text(&raw.symbol),
            nr_calls: raw.nr_calls,
            irq: known(raw.irq).map(|irq| (irq, text(&raw.irq_name))),
            sender: known(raw.sender_cpu).map(|cpu| Sender {
                cpu,
                process: Process {
                    tid: raw.sender_tid,
                    pid: raw.sender_pid,
                },
                comm: text(&raw.sender_comm),
            }),
            victim: known(raw.victim_tid).map(|tid| Process {
                tid,
                pid: raw.victim_pid,
            }),
            guest: known(raw.guest_tid).map(|tid| GuestRun {
                tid,
                comm: text(&raw.guest_comm),
                work: text(&raw.guest_symbol),
                ns: raw.guest_ns,
            }),
        }
    }

    /// Whether a thread of the disturbed process sent the interrupt.
    pub fn is_own(&self) -> bool {
        match (&self.sender, self.victim) {
            (Some(sender), Some(victim)) => sender.process.pid == victim.pid,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_numbers_become_options() {
        let raw = NoiseRecord {
            irq: NOISE_UNKNOWN,
            sender_cpu: NOISE_UNKNOWN,
            victim_tid: NOISE_UNKNOWN,
            guest_tid: NOISE_UNKNOWN,
            cause: IrqSource::Nmi as u32,
            flags: NOISE_LATE,
            ..NoiseRecord::default()
        };
        let told = Disturbance::new(3, &raw);
        assert!(told.irq.is_none() && told.sender.is_none());
        assert!(told.victim.is_none() && told.guest.is_none());
        assert!(told.is_late && !told.is_own());
        assert_eq!((told.cpu, told.cause), (3, IrqSource::Nmi));
    }

    #[test]
    fn a_sibling_thread_is_the_process_itself() {
        let raw = NoiseRecord {
            sources: 1 << IrqSource::Tlb.index() | 1,
            sender_cpu: 0,
            sender_tid: 8,
            sender_pid: 7,
            victim_tid: 7,
            victim_pid: 7,
            ..NoiseRecord::default()
        };
        let told = Disturbance::new(3, &raw);
        assert!(told.is_own());
        assert_eq!(told.sources, [IrqSource::Device, IrqSource::Tlb]);
        let other = NoiseRecord {
            sender_pid: 8,
            ..raw
        };
        assert!(!Disturbance::new(3, &other).is_own());
    }
}
