// SPDX-License-Identifier: GPL-2.0
//! Disturbances, summed up: by cause and what ran, by duration, by culprit. The JSON is this.

use std::collections::BTreeMap;

use lwk::Disturbance;
use lwk_logic::logic::cpuset::CpuSet;
use lwk_logic::uapi::{IrqSource, RanKind};
use serde::Serialize;

use crate::disturbances::advice::advice;
use crate::report::{numbers, SCHEMA};

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Version of the JSON.
    pub schema: u32,
    /// The CPUs whose logs were read.
    #[serde(serialize_with = "numbers")]
    pub cpus: CpuSet,
    /// Records that were overwritten before they were read.
    pub lost: u64,
    /// What interrupted, most often first.
    pub causes: Vec<Cause>,
    /// Durations, in powers of two.
    pub histogram: Vec<Bucket>,
    /// Who is to blame, most often first.
    pub culprits: Vec<Culprit>,
    /// Each disturbance, oldest first.
    pub records: Vec<Record>,
}

/// How often and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// How often.
    pub count: u64,
    /// For how long in all.
    pub total_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// Half of them were not longer.
    pub median_ns: u64,
}

/// Disturbances of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// The interrupt, as `/proc/interrupts` names it.
    pub cause: &'static str,
    /// What ran.
    pub ran: String,
    /// How often and how long.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Disturbances that took so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bucket {
    /// From.
    pub from_ns: u64,
    /// To, not included.
    pub to_ns: u64,
    /// How many.
    pub count: u64,
}

/// Who disturbed, and how to stop it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Culprit {
    /// Its name: a command, a kernel thread, a device's interrupt, or what else is known.
    pub who: String,
    /// Its process in the caller's pid namespace, if it is one.
    pub pid: Option<u32>,
    /// The CPU that it sent from.
    pub cpu: Option<u32>,
    /// Whether it is the disturbed process itself.
    pub own: bool,
    /// What ran for it.
    pub ran: String,
    /// How often.
    pub count: u64,
    /// For how long in all.
    pub total_ns: u64,
    /// How to stop it.
    pub advice: &'static str,
}

/// One disturbance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// The CPU.
    pub cpu: u32,
    /// Its number there.
    pub seq: u64,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// How long.
    pub duration_ns: u64,
    /// The interrupt that tells most.
    pub cause: &'static str,
    /// All interrupts.
    pub sources: Vec<&'static str>,
    /// How many came.
    pub nr_irqs: u32,
    /// What kind of function ran.
    pub kind: &'static str,
    /// The function, if known.
    pub function: Option<String>,
    /// Calls of other CPUs that waited.
    pub nr_calls: u32,
    /// The device's interrupt.
    pub irq: Option<u32>,
    /// The device's name for it.
    pub irq_name: Option<String>,
    /// Who sent it: CPU, thread, process, command.
    pub sender: Option<Thread>,
    /// The disturbed thread.
    pub victim: Option<Thread>,
    /// The kernel thread that ran meanwhile.
    pub guest: Option<Thread>,
    /// The work function that it ran.
    pub guest_work: Option<String>,
    /// How long it ran.
    pub guest_ns: u64,
    /// Found only later, by a counter.
    pub late: bool,
    /// A signal waited for the thread.
    pub signal: bool,
    /// Nobody was interrupted: the guest waited for the CPU for that long, and the sender had it.
    pub waited: bool,
}

/// A thread of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Thread {
    /// Where it ran, if it was elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// Its number.
    pub tid: u32,
    /// Its process, if told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its command name, if told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comm: Option<String>,
}

impl Summary {
    /// Sums up records, which are in the order of their times.
    pub fn new(cpus: CpuSet, records: &[Disturbance], lost: u64) -> Self {
        Self {
            schema: SCHEMA,
            cpus,
            lost,
            causes: causes(records),
            histogram: histogram(records),
            culprits: culprits(records),
            records: records.iter().map(Record::new).collect(),
        }
    }
}

/// What ran, in a few words.
pub fn ran(record: &Disturbance) -> String {
    if let (true, Some(guest)) = (record.has_waited, &record.guest) {
        return format!("{} waits", guest.comm);
    }
    let mut text = match (&record.irq, record.symbol.as_str()) {
        (Some((irq, name)), _) => format!("irq {irq} {name}"),
        (None, "") => unnamed(record).to_owned(),
        (None, symbol) => symbol.to_owned(),
    };
    if let Some(guest) = &record.guest {
        text += &format!(", then {}", guest.comm);
        if !guest.work.is_empty() {
            text += &format!(" ({})", guest.work);
        }
    }
    text
}

/// What ran where no function has a name.
fn unnamed(record: &Disturbance) -> &'static str {
    match record.cause {
        IrqSource::Reschedule if record.has_signal => "signal",
        IrqSource::Reschedule if record.has_task_work => "task work",
        IrqSource::Reschedule => "reschedule",
        IrqSource::Nmi => "NMI",
        _ if record.ran == RanKind::WakeUp => "wake-up",
        _ => "unknown",
    }
}

fn figures(durations: &mut [u64]) -> Figures {
    durations.sort_unstable();
    Figures {
        count: durations.len() as u64,
        total_ns: durations.iter().sum(),
        max_ns: durations.last().copied().unwrap_or(0),
        median_ns: durations
            .get(durations.len().saturating_sub(1) / 2)
            .copied()
            .unwrap_or(0),
    }
}

fn causes(records: &[Disturbance]) -> Vec<Cause> {
    let mut by_cause: BTreeMap<(usize, String), Vec<u64>> = BTreeMap::new();
    for record in records {
        let key = (record.cause.index(), ran(record));
        by_cause.entry(key).or_default().push(record.duration_ns);
    }
    let mut causes: Vec<Cause> = by_cause
        .into_iter()
        .map(|((cause, ran), mut durations)| Cause {
            cause: IrqSource::ALL.get(cause).map_or("other", |s| s.name()),
            ran,
            figures: figures(&mut durations),
        })
        .collect();
    // Stable, so that equal ones stay in the order of causes and names.
    causes.sort_by_key(|cause| std::cmp::Reverse(cause.figures.count));
    causes
}

/// From the shortest to the longest there is, with the empty ones between; those found late have no duration.
fn histogram(records: &[Disturbance]) -> Vec<Bucket> {
    let on_time = records
        .iter()
        .filter(|record| !record.is_late && !record.has_waited);
    let powers: Vec<u32> = on_time.map(|r| r.duration_ns.max(1).ilog2()).collect();
    let (Some(&first), Some(&last)) = (powers.iter().min(), powers.iter().max()) else {
        return Vec::new();
    };
    (first..=last)
        .map(|wanted| Bucket {
            from_ns: 1 << wanted,
            to_ns: 1_u64.checked_shl(wanted + 1).unwrap_or(u64::MAX),
            count: powers.iter().filter(|power| **power == wanted).count() as u64,
        })
        .collect()
}

/// A culprit of one disturbance; the one nearest to the reason that is known.
fn culprit(record: &Disturbance) -> Culprit {
    let (mut who, mut pid, mut cpu) = (String::new(), None, None);
    if let Some(guest) = record.guest.as_ref().filter(|_| !record.has_waited) {
        who.clone_from(&guest.comm);
    } else if let Some(sender) = &record.sender {
        who.clone_from(&sender.comm);
        (pid, cpu) = (Some(sender.process.pid), Some(sender.cpu));
    } else if let Some((irq, name)) = &record.irq {
        who = format!("irq {irq} {name}");
    }
    if who.is_empty() {
        who = match record.cause {
            IrqSource::Timer => "timer",
            IrqSource::Reschedule if record.has_signal => "signal",
            IrqSource::Nmi => "NMI",
            _ => "unknown",
        }
        .to_owned();
    }
    Culprit {
        who,
        pid,
        cpu,
        own: record.is_own(),
        ran: ran(record),
        count: 1,
        total_ns: record.duration_ns,
        advice: advice(record),
    }
}

fn culprits(records: &[Disturbance]) -> Vec<Culprit> {
    let mut all: Vec<Culprit> = Vec::new();
    for one in records.iter().map(culprit) {
        let same = |c: &&mut Culprit| {
            (&c.who, c.pid, c.cpu, c.own, &c.ran, c.advice)
                == (&one.who, one.pid, one.cpu, one.own, &one.ran, one.advice)
        };
        match all.iter_mut().find(same) {
            Some(known) => {
                known.count += 1;
                known.total_ns += one.total_ns;
            }
            None => all.push(one),
        }
    }
    all.sort_by_key(|culprit| std::cmp::Reverse(culprit.count));
    all
}

impl Record {
    fn new(record: &Disturbance) -> Self {
        let named = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Self {
            cpu: record.cpu,
            seq: record.seq,
            time_ns: record.time_ns,
            duration_ns: record.duration_ns,
            cause: record.cause.name(),
            sources: record.sources.iter().map(|source| source.name()).collect(),
            nr_irqs: record.nr_irqs,
            kind: record.ran.name(),
            function: named(&record.symbol),
            nr_calls: record.nr_calls,
            irq: record.irq.as_ref().map(|(irq, _)| *irq),
            irq_name: record.irq.as_ref().and_then(|(_, name)| named(name)),
            sender: record.sender.as_ref().map(|sender| Thread {
                cpu: Some(sender.cpu),
                tid: sender.process.tid,
                pid: Some(sender.process.pid),
                comm: named(&sender.comm),
            }),
            victim: record.victim.map(|victim| Thread {
                cpu: None,
                tid: victim.tid,
                pid: Some(victim.pid),
                comm: None,
            }),
            guest: record.guest.as_ref().map(|guest| Thread {
                cpu: None,
                tid: guest.tid,
                pid: None,
                comm: named(&guest.comm),
            }),
            guest_work: record.guest.as_ref().and_then(|guest| named(&guest.work)),
            guest_ns: record.guest.as_ref().map_or(0, |guest| guest.ns),
            late: record.is_late,
            signal: record.has_signal,
            waited: record.has_waited,
        }
    }
}
