// SPDX-License-Identifier: GPL-2.0
//! The lwk scheduling class: one queue for each CPU, first in, first out; a task alone on its CPU is left alone.
//!
//! All functions but [`select`] run under the lock of the run queue, with interrupts off: they neither allocate, sleep
//! nor print. What to do is decided in `logic/pick.rs` and `logic/place.rs`.
#![forbid(unsafe_code)]

use crate::{
    logic::{
        cpuset::CpuId,
        pick::{self, Action, Tick, GUEST_TURN_NS, TASK_TURN_NS},
        place,
    },
    noise,
    sys::{
        cpu,
        rq::{End, LockedRq},
        task::Task,
    },
};

/// The end of a turn that has not begun.
const NOT_BEGUN: u64 = 0;

/// A task becomes runnable here: at the head in the middle of its turn, at the tail to wait for one.
pub(crate) fn enqueue(rq: &mut LockedRq<'_>, task: &Task<'_>, end: End) {
    if let End::Tail = end {
        task.set_turn_end_ns(NOT_BEGUN);
    }
    rq.push(task, end);
    note_load(rq);
}

/// A task sleeps, leaves or changes class.
pub(crate) fn dequeue(rq: &mut LockedRq<'_>, task: &Task<'_>) {
    rq.remove(task);
    note_load(rq);
}

/// Tells those who place tasks how many want this CPU; one for whom it is kept free is among them.
pub(crate) fn note_load(rq: &LockedRq<'_>) {
    noise::set_load(rq.cpu(), rq.nr_tasks() + u32::from(rq.is_kept()));
}

/// The running task lets the others go first.
pub(crate) fn requeue(rq: &mut LockedRq<'_>, task: &Task<'_>) {
    rq.remove(task);
    task.set_turn_end_ns(NOT_BEGUN);
    rq.push(task, End::Tail);
}

/// The task to run, or none if there is no other than guests or it is their turn.
pub(crate) fn pick<'a>(rq: &mut LockedRq<'a>) -> Option<Task<'a>> {
    if rq.is_guest_turn() {
        if rq.nr_guests() > 0 {
            return None;
        }
        rq.end_guest_turn();
    }
    rq.first()
}

/// A task of ours stops running and `next` follows it.
pub(crate) fn put_prev(rq: &mut LockedRq<'_>, task: &Task<'_>, next: Option<&Task<'_>>) {
    let Some(next) = next else { return };
    if next.is_queued_class() {
        return;
    }
    if rq.is_guest_turn() {
        rq.limit_guest_turn(GUEST_TURN_NS);
    }
    if task.is_on_rq() && !task.is_leaving() {
        rq.set_guest_start_ns(rq.clock_ns());
        noise::count_guest(rq.cpu(), next);
    }
}

/// A task of ours starts running after `before`.
pub(crate) fn set_next<'a>(
    rq: &mut LockedRq<'_>,
    task: &Task<'_>,
    before: impl FnOnce() -> Task<'a>,
) {
    let now_ns = rq.clock_ns();
    let start_ns = rq.guest_start_ns();
    if start_ns != 0 {
        noise::add_guest_time(rq.cpu(), &before(), now_ns.saturating_sub(start_ns));
        rq.set_guest_start_ns(0);
    }
    // Others may have had the CPU for a moment, which does not make the turn longer.
    if task.turn_end_ns() == NOT_BEGUN {
        task.set_turn_end_ns(now_ns.saturating_add(TASK_TURN_NS));
    }
    noise::count_switch(rq.cpu());
}

/// The tick finds `task` running; true if another is to run.
pub(crate) fn tick(rq: &mut LockedRq<'_>, task: &Task<'_>) -> bool {
    let seen = Tick {
        now_ns: rq.clock_ns(),
        tick_ns: cpu::TICK_NS,
        nr_guests: rq.nr_guests(),
        guest_since_ns: rq.guest_since_ns(),
        nr_tasks: rq.nr_tasks(),
        task_turn_end_ns: task.turn_end_ns(),
    };
    let (action, since_ns) = seen.decide();
    rq.set_guest_since_ns(since_ns);
    match action {
        Action::Continue => return false,
        Action::NextTask => requeue(rq, task),
        Action::GuestTurn => rq.begin_guest_turn(),
    }
    true
}

/// A guest has become runnable behind a running task; true if it is to run at once.
pub(crate) fn guest_waits(rq: &mut LockedRq<'_>) -> bool {
    let is_due = pick::is_turn_due(rq.since_guest_turn_ns());
    if is_due {
        rq.begin_guest_turn();
    }
    is_due
}

/// The CPU on which a new or woken task queues up; Linux checks the answer.
pub(crate) fn select(task: &Task<'_>, prev: CpuId) -> CpuId {
    let Some(job) = task.job() else { return prev };
    let allowed = job.cpus().intersection(&task.affinity());
    place::place(&allowed, prev, noise::load).unwrap_or(prev)
}

/// The idle CPU to which a task goes that has just been queued here behind others.
///
/// [`select`] looked without a lock: two tasks that wake at once may both have been sent to the one idle CPU that they
/// saw, and would stay there as long as nothing sleeps.
pub(crate) fn push_to(rq: &LockedRq<'_>, task: &Task<'_>) -> Option<CpuId> {
    let cpu = select(task, rq.cpu()?);
    (noise::load(cpu) == 0).then_some(cpu)
}

/// The CPU with most tasks of `prev`'s job, if any has to wait there: this CPU has nothing left to run.
pub(crate) fn pull_from(rq: &LockedRq<'_>, prev: &Task<'_>) -> Option<CpuId> {
    let job = prev.job()?;
    // Looking at each CPU takes longer the more there are.
    noise::is_any_crowded()
        .then(|| place::busiest(&job.cpus(), rq.cpu()?, noise::load))
        .flatten()
}

/// The first task that waits in `from` and may run on `cpu`.
pub(crate) fn pull_task<'a>(from: &LockedRq<'a>, cpu: CpuId) -> Option<Task<'a>> {
    from.tasks()
        .find(|task| !task.is_running() && task.affinity().contains(cpu))
}
