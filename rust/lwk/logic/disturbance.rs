// SPDX-License-Identifier: GPL-2.0
//! What interrupted a thread of a job: from what waited for the CPU as it entered the kernel, and from which counters
//! of interrupts moved until it left, to one record for the log.

use crate::uapi::{
    IrqSource, NoiseRecord, RanKind, COMM_LEN, IRQ_SLOTS, NOISE_LATE, NOISE_UNKNOWN, NOISE_WAITED,
};

/// What C saw as the CPU entered the kernel, before anything was handled; `struct lwk_entry` of `c/rust.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Entry {
    /// When it was.
    pub time_ns: u64,
    /// The count of all interrupts at the last look at the counters.
    pub irqs: u64,
    /// The count of page faults.
    pub faults: u64,
    /// The function that another CPU wants called, or 0.
    pub call: u64,
    /// The function of the work that this CPU left itself, or 0.
    pub work: u64,
    /// The function of the timer that is due, or 0.
    pub timer: u64,
    /// Which [`RanKind`] `call` is.
    pub call_kind: u32,
    /// How many calls wait.
    pub nr_calls: u32,
    /// `NOISE_*` of the thread.
    pub flags: u32,
    /// Which CPU wants `call` called.
    pub sender_cpu: u32,
    /// What runs there.
    pub sender_tid: u32,
    /// The process of that.
    pub sender_pid: u32,
    /// The interrupted thread.
    pub victim_tid: u32,
    /// Its process.
    pub victim_pid: u32,
    /// Command name of the sender.
    pub sender_comm: [u8; COMM_LEN],
}

/// A kernel thread that ran before the CPU left the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Guest {
    /// For how long; 0 if none ran.
    pub ns: u64,
    /// Its number.
    pub tid: u32,
    /// The work function that it ran, or 0.
    pub work: u64,
    /// Its command name.
    pub comm: [u8; COMM_LEN],
}

/// A task by its numbers and name; `struct lwk_name` of `c/rust.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Name {
    /// Its number.
    pub tid: u32,
    /// Its process.
    pub pid: u32,
    /// Its command name.
    pub comm: [u8; COMM_LEN],
}

/// Somebody waited for the CPU for too long; `struct lwk_waited` of `c/rust.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Waited {
    /// When this was found.
    pub now_ns: u64,
    /// How long it had waited by then.
    pub waited_ns: u64,
    /// Who: a kernel thread, or a thread of a job.
    pub who: Name,
    /// Who had the CPU.
    pub behind: Name,
}

impl Waited {
    /// The record for the log of `cpu`.
    pub fn record(&self, cpu: u32) -> Disturbance {
        Disturbance {
            time_ns: self.now_ns.saturating_sub(self.waited_ns),
            duration_ns: self.waited_ns,
            // CAST: discriminants are small.
            cause: IrqSource::Reschedule as u32,
            flags: NOISE_WAITED,
            sender_cpu: cpu,
            sender_tid: self.behind.tid,
            sender_pid: self.behind.pid,
            sender_comm: self.behind.comm,
            guest_tid: self.who.tid,
            guest_comm: self.who.comm,
            ..nobody()
        }
    }
}

/// Words of a packed record.
pub const WORDS: usize = 16;

/// One disturbance as the log keeps it; `struct lwk_disturbance` of `c/rust.h`. What the fields mean is said at
/// [`NoiseRecord`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
#[expect(missing_docs, reason = "documented where the ABI has them")]
pub struct Disturbance {
    pub time_ns: u64,
    pub duration_ns: u64,
    pub guest_ns: u64,
    /// The function that ran, or 0.
    pub address: u64,
    /// The work function of the kernel thread, or 0.
    pub guest_address: u64,
    pub cause: u32,
    pub sources: u32,
    pub nr_irqs: u32,
    pub flags: u32,
    pub ran: u32,
    pub nr_calls: u32,
    pub irq: u32,
    pub sender_cpu: u32,
    pub sender_tid: u32,
    pub sender_pid: u32,
    pub victim_tid: u32,
    pub victim_pid: u32,
    pub guest_tid: u32,
    /// The user id of who made the job that was disturbed, or [`NOISE_UNKNOWN`]; for who asks for the record.
    pub owner: u32,
    pub sender_comm: [u8; COMM_LEN],
    pub guest_comm: [u8; COMM_LEN],
}

const _: () = assert!(core::mem::size_of::<Disturbance>() == WORDS * 8);

/// Sources by how much they tell, the most first: what another CPU or a device wanted, before what comes by itself.
const PRIORITY: [IrqSource; 15] = [
    IrqSource::Mce,
    IrqSource::Tlb,
    IrqSource::Call,
    IrqSource::IrqWork,
    IrqSource::Pmi,
    IrqSource::Device,
    IrqSource::Timer,
    IrqSource::Reschedule,
    IrqSource::Platform,
    IrqSource::Thermal,
    IrqSource::Threshold,
    IrqSource::McePoll,
    IrqSource::Other,
    IrqSource::Spurious,
    IrqSource::Nmi,
];

const _: () = assert!(PRIORITY.len() == IrqSource::ALL.len() && IrqSource::ALL.len() <= 32);

/// How far each counter of interrupts moved.
pub type Moved = [u64; IRQ_SLOTS];

fn moved_by(moved: &Moved, source: IrqSource) -> u64 {
    moved.get(source.index()).copied().unwrap_or(0)
}

/// The bits of the sources that moved, and by how much they did in all; NMIs are told by [`late`].
fn sources(moved: &Moved) -> (u32, u32) {
    IrqSource::ALL
        .iter()
        .filter(|source| **source != IrqSource::Nmi && moved_by(moved, **source) != 0)
        .fold((0, 0), |(bits, nr), source| {
            let more = u32::try_from(moved_by(moved, *source)).unwrap_or(u32::MAX);
            (bits | 1 << source.index(), nr.saturating_add(more))
        })
}

/// The record of an entry that ended at `now_ns`, or none if no interrupt came. `irq` is the device's interrupt that
/// came, if one did.
pub fn judge(
    entry: &Entry,
    moved: &Moved,
    irq: Option<u32>,
    guest: &Guest,
    now_ns: u64,
) -> Option<Disturbance> {
    let (bits, nr_irqs) = sources(moved);
    let cause = cause(entry, bits)?;
    let (ran, address) = ran(entry, cause, irq);
    let is_called = matches!(cause, IrqSource::Call | IrqSource::Tlb) && entry.nr_calls != 0;
    let mut record = Disturbance {
        time_ns: entry.time_ns,
        duration_ns: now_ns.saturating_sub(entry.time_ns),
        guest_ns: guest.ns,
        address,
        // CAST: discriminants are small.
        cause: cause as u32,
        sources: bits,
        nr_irqs,
        flags: entry.flags,
        ran: ran as u32,
        nr_calls: if is_called { entry.nr_calls } else { 0 },
        irq: irq.unwrap_or(NOISE_UNKNOWN),
        victim_tid: entry.victim_tid,
        victim_pid: entry.victim_pid,
        ..nobody()
    };
    if is_called {
        record.sender_cpu = entry.sender_cpu;
        record.sender_tid = entry.sender_tid;
        record.sender_pid = entry.sender_pid;
        record.sender_comm = entry.sender_comm;
    }
    if guest.ns != 0 {
        record.guest_tid = guest.tid;
        record.guest_comm = guest.comm;
        record.guest_address = guest.work;
    }
    Some(record)
}

/// The source among `bits` that tells most. What waited as the CPU entered comes first: the others may have come later,
/// in the kernel.
fn cause(entry: &Entry, bits: u32) -> Option<IrqSource> {
    let waited = |source: IrqSource| match source {
        IrqSource::Tlb | IrqSource::Call => entry.nr_calls != 0,
        IrqSource::IrqWork => entry.work != 0,
        IrqSource::Timer => entry.timer != 0,
        IrqSource::Reschedule => entry.flags != 0,
        _ => true,
    };
    let moved = || {
        let has_moved = |source: &IrqSource| bits & 1 << source.index() != 0;
        PRIORITY.into_iter().filter(has_moved)
    };
    moved().find(|source| waited(*source)).or(moved().next())
}

/// A record about nobody.
fn nobody() -> Disturbance {
    Disturbance {
        irq: NOISE_UNKNOWN,
        sender_cpu: NOISE_UNKNOWN,
        sender_tid: NOISE_UNKNOWN,
        sender_pid: NOISE_UNKNOWN,
        guest_tid: NOISE_UNKNOWN,
        victim_tid: NOISE_UNKNOWN,
        victim_pid: NOISE_UNKNOWN,
        owner: NOISE_UNKNOWN,
        ..Disturbance::default()
    }
}

/// Which function an interrupt of that source ran.
fn ran(entry: &Entry, cause: IrqSource, irq: Option<u32>) -> (RanKind, u64) {
    let if_known = |kind, address| match address {
        0 => (RanKind::Unknown, 0),
        _ => (kind, address),
    };
    match cause {
        IrqSource::Call | IrqSource::Tlb => RanKind::ALL
            .iter()
            .filter(|kind| entry.nr_calls != 0 && **kind != RanKind::Unknown)
            .find(|kind| **kind as u32 == entry.call_kind)
            .map_or((RanKind::Unknown, 0), |kind| (*kind, entry.call)),
        IrqSource::IrqWork => if_known(RanKind::IrqWork, entry.work),
        IrqSource::Timer => if_known(RanKind::Timer, entry.timer),
        // Its address is looked up when the record is read.
        IrqSource::Device if irq.is_some() => (RanKind::Handler, 0),
        _ => (RanKind::Unknown, 0),
    }
}

/// The record of NMIs, which pass by the places that notice all other entries, or none if none came.
pub fn late(moved: &Moved, time_ns: u64) -> Option<Disturbance> {
    let nr = moved_by(moved, IrqSource::Nmi);
    (nr != 0).then(|| Disturbance {
        time_ns,
        // CAST: discriminants are small.
        cause: IrqSource::Nmi as u32,
        sources: 1 << IrqSource::Nmi.index(),
        nr_irqs: u32::try_from(nr).unwrap_or(u32::MAX),
        flags: NOISE_LATE,
        ..nobody()
    })
}

fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn unpair(word: u64) -> (u32, u32) {
    // CAST: the lower half, then the upper one.
    (word as u32, (word >> 32) as u32)
}

fn halves(comm: &[u8; COMM_LEN]) -> [u64; 2] {
    let all = u128::from_ne_bytes(*comm);
    // CAST: the lower half, then the upper one.
    [all as u64, (all >> 64) as u64]
}

fn whole(low: u64, high: u64) -> [u8; COMM_LEN] {
    (u128::from(low) | u128::from(high) << 64).to_ne_bytes()
}

impl Disturbance {
    /// The record as words.
    pub fn pack(&self) -> [u64; WORDS] {
        let ([sender, sender_end], [guest, guest_end]) =
            (halves(&self.sender_comm), halves(&self.guest_comm));
        [
            self.time_ns,
            self.duration_ns,
            self.guest_ns,
            self.address,
            self.guest_address,
            pair(self.cause, self.sources),
            pair(self.nr_irqs, self.flags),
            pair(self.ran, self.nr_calls),
            pair(self.irq, self.sender_cpu),
            pair(self.sender_tid, self.sender_pid),
            pair(self.victim_tid, self.victim_pid),
            pair(self.guest_tid, self.owner),
            sender,
            sender_end,
            guest,
            guest_end,
        ]
    }

    /// The record from its words.
    pub fn unpack(words: &[u64; WORDS]) -> Self {
        let [time_ns, duration_ns, guest_ns, address, guest_address, cause, nr, ran, irq, sender, victim, guest, s0, s1, g0, g1] =
            *words;
        let (cause, sources) = unpair(cause);
        let (nr_irqs, flags) = unpair(nr);
        let (ran, nr_calls) = unpair(ran);
        let (irq, sender_cpu) = unpair(irq);
        let (sender_tid, sender_pid) = unpair(sender);
        let (victim_tid, victim_pid) = unpair(victim);
        let (guest_tid, owner) = unpair(guest);
        Self {
            time_ns,
            duration_ns,
            guest_ns,
            address,
            guest_address,
            cause,
            sources,
            nr_irqs,
            flags,
            ran,
            nr_calls,
            irq,
            sender_cpu,
            sender_tid,
            sender_pid,
            victim_tid,
            victim_pid,
            guest_tid,
            owner,
            sender_comm: whole(s0, s1),
            guest_comm: whole(g0, g1),
        }
    }

    /// The record as the ABI has it, without names of functions and interrupts.
    pub fn report(&self, seq: u64) -> NoiseRecord {
        NoiseRecord {
            seq,
            time_ns: self.time_ns,
            duration_ns: self.duration_ns,
            guest_ns: self.guest_ns,
            cause: self.cause,
            sources: self.sources,
            nr_irqs: self.nr_irqs,
            flags: self.flags,
            ran: self.ran,
            nr_calls: self.nr_calls,
            irq: self.irq,
            sender_cpu: self.sender_cpu,
            sender_tid: self.sender_tid,
            sender_pid: self.sender_pid,
            victim_tid: self.victim_tid,
            victim_pid: self.victim_pid,
            guest_tid: self.guest_tid,
            sender_comm: self.sender_comm,
            guest_comm: self.guest_comm,
            ..NoiseRecord::default()
        }
    }
}

#[cfg(test)]
#[path = "disturbance/tests.rs"]
mod tests;
