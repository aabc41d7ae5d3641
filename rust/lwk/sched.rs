// SPDX-License-Identifier: GPL-2.0
//! The lwk scheduling class: one queue for each CPU, by rank, first in, first out among equals; a task alone on its CPU
//! is left alone.
//!
//! All functions but [`select`] run under the lock of the run queue, with interrupts off: they neither allocate, sleep
//! nor print. What to do is decided in `logic/rank.rs`, `logic/pick.rs`, `logic/place.rs` and `logic/patience.rs`.
#![forbid(unsafe_code)]

use crate::{
    logic::{
        cpuset::CpuId,
        disturbance::{Name, Waited},
        patience::{self, Guest},
        pick::{self, Action, Tick, GUEST_TURN_NS, TASK_TURN_NS},
        place,
        rank::{goes_before, End, Rank, Turn},
    },
    noise,
    sys::{cpu, rq::LockedRq, task::Task},
};

/// The end of a turn that has not begun.
const NOT_BEGUN: u64 = 0;

/// The end of a turn that does not end: so far off that sums with a clock do not overflow.
const ENDLESS_NS: u64 = 1 << 62;

/// A task becomes runnable here: at the head of its equals in the middle of its turn, at the tail to wait for one.
pub(crate) fn enqueue(rq: &mut LockedRq<'_>, task: &Task<'_>, end: End) {
    if let End::Tail = end {
        task.set_turn_end_ns(NOT_BEGUN);
    }
    rq.push(task, task.due_rank(), end);
    note_load(rq);
}

/// A task sleeps, leaves or changes.
pub(crate) fn dequeue(rq: &mut LockedRq<'_>, task: &Task<'_>) {
    remove(rq, task);
    note_load(rq);
}

fn remove(rq: &mut LockedRq<'_>, task: &Task<'_>) {
    if task.rank() == Rank::LIFTED {
        rq.end_lift();
    }
    rq.remove(task);
}

/// Tells those who place tasks how many want this CPU; one for whom it is kept free is among them.
pub(crate) fn note_load(rq: &LockedRq<'_>) {
    let all = rq.nr_tasks() + u32::from(rq.is_kept());
    noise::set_load(rq.cpu(), all, rq.nr_rt());
}

/// The running task lets the others of its rank go first.
pub(crate) fn requeue(rq: &mut LockedRq<'_>, task: &Task<'_>) {
    remove(rq, task);
    enqueue(rq, task, End::Tail);
}

/// Runs a waiting task before all others for one turn.
fn lift(rq: &mut LockedRq<'_>, task: &Task<'_>) {
    remove(rq, task);
    task.set_turn_end_ns(NOT_BEGUN);
    rq.push(task, Rank::LIFTED, End::Tail);
    note_load(rq);
}

/// Whether a task that was just queued here is to run before the running one; one that goes on with its turn, at the
/// head, also goes before an equal.
pub(crate) fn preempts(
    rq: &mut LockedRq<'_>,
    running: &Task<'_>,
    task: &Task<'_>,
    end: End,
) -> bool {
    if running.is_leaving() {
        return true;
    }
    // Nobody waited when the turn for which it was lifted was over. One that just went to sleep is in no queue any more.
    if running.is_on_rq()
        && running.rank() == Rank::LIFTED
        && rq.clock_ns() >= running.turn_end_ns()
    {
        requeue(rq, running);
    }
    goes_before(task.rank(), end, running.rank())
}

/// Whether another task than the running one is first.
pub(crate) fn is_behind(rq: &LockedRq<'_>, task: &Task<'_>) -> bool {
    rq.first().is_some_and(|first| !first.is(task))
}

/// How long a task may keep the CPU from its equals; none for ever.
pub(crate) fn turn_ns(task: &Task<'_>) -> Option<u64> {
    match task.turn() {
        Turn::Endless => None,
        Turn::RoundRobin => Some(cpu::round_robin_ns()),
        Turn::Shared => Some(TASK_TURN_NS),
    }
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
        let turn_ns = if task.rank() == Rank::LIFTED {
            TASK_TURN_NS
        } else {
            turn_ns(task).unwrap_or(ENDLESS_NS)
        };
        task.set_turn_end_ns(now_ns.saturating_add(turn_ns));
    }
    noise::count_switch(rq.cpu());
}

/// The tick finds `task` running; true if another is to run.
pub(crate) fn tick(rq: &mut LockedRq<'_>, task: &Task<'_>) -> bool {
    let rank = task.rank();
    let shared = rank
        .is_real_time()
        .then(|| first_shared(rq, task))
        .flatten();
    let seen = Tick {
        now_ns: rq.clock_ns(),
        tick_ns: cpu::TICK_NS,
        nr_guests: rq.nr_guests(),
        guest_since_ns: rq.guest_since_ns(),
        rank,
        turn_end_ns: task.turn_end_ns(),
        next: next(rq, task).map(|next| next.rank()),
        shared_waited_ns: shared.as_ref().map(|task| rq.waited_ns(task)),
        lifted_end_ns: rq.lifted_end_ns(),
    };
    let (action, since_ns) = seen.decide();
    rq.set_guest_since_ns(since_ns);
    match (action, shared) {
        (Action::NextTask, _) => requeue(rq, task),
        (Action::GuestTurn, _) => rq.begin_guest_turn(),
        (Action::Lift, Some(shared)) => lift(rq, &shared),
        (Action::Continue | Action::Lift, _) => return false,
    }
    true
}

/// The first task that waits behind the running one.
fn next<'a>(rq: &LockedRq<'a>, task: &Task<'_>) -> Option<Task<'a>> {
    rq.tasks().find(|other| !other.is(task))
}

/// The first without a real-time priority that waits behind the running one.
fn first_shared<'a>(rq: &LockedRq<'a>, task: &Task<'_>) -> Option<Task<'a>> {
    // Where there is none, as mostly, nobody walks the queue.
    (rq.nr_tasks() > rq.nr_rt())
        .then(|| {
            rq.tasks()
                .find(|other| other.rank() == Rank::SHARED && !other.is(task))
        })
        .flatten()
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
    let load = if task.due_rank().is_real_time() {
        noise::rt_load_first
    } else {
        noise::load
    };
    place::place(&allowed, prev, load).unwrap_or(prev)
}

/// The CPU to which a task goes that has just been queued here behind others: an idle one, or for one with a real-time
/// priority one that has none with such a priority.
///
/// [`select`] looked without a lock: two tasks that wake at once may both have been sent to the one CPU that they saw,
/// and would stay there as long as nothing sleeps.
pub(crate) fn push_to(rq: &LockedRq<'_>, task: &Task<'_>) -> Option<CpuId> {
    let cpu = select(task, rq.cpu()?);
    let waits_for_lower =
        || task.rank().is_real_time() && is_behind(rq, task) && noise::rt_load(cpu) == 0;
    (noise::load(cpu) == 0 || waits_for_lower()).then_some(cpu)
}

/// Whether a task would run at once on a CPU that has others.
pub(crate) fn outranks(to: &LockedRq<'_>, task: &Task<'_>) -> bool {
    let rank = task.rank();
    rank.is_real_time() && to.first().map_or(true, |first| rank < first.rank())
}

/// The CPU from which this one takes a task of `prev`'s job: it has nothing left to run, or nothing with a real-time
/// priority while some such task waits elsewhere.
pub(crate) fn pull_from(rq: &LockedRq<'_>, prev: &Task<'_>) -> Option<CpuId> {
    let (job, own) = (prev.job()?, rq.cpu()?);
    // Looking at each CPU takes longer the more there are.
    let is_any = noise::crowded();
    if rq.nr_tasks() > 0 {
        let is_due = is_any.rt && !rq.first().is_some_and(|first| first.rank() < Rank::SHARED);
        return is_due
            .then(|| place::busiest(&job.cpus(), own, noise::rt_load))
            .flatten();
    }
    is_any
        .all
        .then(|| place::busiest(&job.cpus(), own, noise::load))
        .flatten()
}

/// The first task that waits in `from` and may run on `cpu`.
pub(crate) fn pull_task<'a>(from: &LockedRq<'a>, cpu: CpuId) -> Option<Task<'a>> {
    from.tasks()
        .find(|task| !task.is_running() && task.affinity().contains(cpu))
}

/// A CPU of Linux looks whether somebody has waited here for too long behind the running task, a guest or a thread, and
/// says who. Room is made already; the CPU has to choose anew.
pub(crate) fn look(rq: &mut LockedRq<'_>, running: &Task<'_>) -> Option<Waited> {
    let (cpu, now_ns) = (rq.cpu()?, rq.clock_ns());
    let told = match longest_wait(rq, running) {
        Some((task, waited_ns)) => {
            lift(rq, &task);
            waited(&task, running, waited_ns, now_ns)
        }
        None => {
            let (guest, waited_ns) = stuck_guest(rq, cpu, now_ns)?;
            // Else nobody would end the turn.
            if running.is_queued_class() {
                rq.begin_guest_turn();
            }
            waited(&guest, running, waited_ns, now_ns)
        }
    };
    noise::note_waited(cpu, &told);
    rq.set_starved(true);
    Some(told)
}

/// Whether a thread that is away here, and queued, has not run for too long.
pub(crate) fn is_stranded(rq: &LockedRq<'_>, task: &Task<'_>) -> bool {
    let nr_others = rq.nr_tasks().saturating_sub(1);
    !task.is_running() && patience::is_too_long(rq.waited_ns(task), nr_others)
}

/// An idle CPU that has waited for tasks that are away since the look before this one is idle as any other from here on:
/// what costs time on the way out of deep idleness now costs less than what halting lightly, or polling, does meanwhile.
pub(crate) fn doze(rq: &mut LockedRq<'_>) -> bool {
    let dozes = !rq.note_switches() && rq.nr_away() > 0 && !rq.dozes();
    if dozes {
        rq.set_dozes();
    }
    dozes
}

fn waited(task: &Task<'_>, running: &Task<'_>, waited_ns: u64, now_ns: u64) -> Waited {
    let name = |task: &Task<'_>| Name {
        tid: task.tid(),
        pid: task.tgid(),
        comm: task.comm(),
    };
    Waited {
        now_ns,
        waited_ns,
        who: name(task),
        behind: name(running),
    }
}

/// The thread that has waited for longest, if that is too long.
fn longest_wait<'a>(rq: &LockedRq<'a>, running: &Task<'_>) -> Option<(Task<'a>, u64)> {
    let nr_others = rq.nr_tasks().saturating_sub(1);
    let waiting = rq
        .tasks()
        .filter(|task| !task.is(running) && task.rank() != Rank::LIFTED);
    waiting
        .map(|task| {
            let waited_ns = rq.waited_ns(&task);
            (task, waited_ns)
        })
        .max_by_key(|(_, waited_ns)| *waited_ns)
        .filter(|(_, waited_ns)| patience::is_too_long(*waited_ns, nr_others))
}

/// A guest that has not run for too long though it could.
fn stuck_guest<'a>(rq: &LockedRq<'a>, cpu: CpuId, now_ns: u64) -> Option<(Task<'a>, u64)> {
    let mut suspect = noise::suspect(cpu);
    let guest = rq.waiting_guest(suspect.guest.tid);
    let seen = guest.as_ref().map_or(Guest::default(), |guest| Guest {
        tid: guest.tid(),
        ran_ns: guest.ran_ns(),
    });
    let waited_ns = suspect.look(seen, now_ns);
    noise::set_suspect(cpu, &suspect);
    Some((guest?, waited_ns?))
}

/// The CPU tells its log of who waited for too long.
pub(crate) fn tell_waited(rq: &mut LockedRq<'_>) {
    rq.set_starved(false);
    if let Some(cpu) = rq.cpu() {
        noise::tell_waited(cpu);
    }
}
