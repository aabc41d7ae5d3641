// SPDX-License-Identifier: GPL-2.0
//! A run queue under its lock, and the LWK's list of tasks in it.

use super::{bindings, task::Task};
use crate::logic::{
    cpuset::CpuId,
    rank::{goes_before, End, Rank},
};
use core::{marker::PhantomData, ptr};

/// Access to one CPU's run queue while its lock is held.
///
/// # Invariants
///
/// `raw` points to a live `struct rq` whose lock this CPU holds for `'a`. Its LWK part is written under that lock only, but
/// read without it, too. Every node on `lwk.queue` is that of a live task that is queued on this run queue in the lwk
/// class, and their ranks ascend.
pub(crate) struct LockedRq<'a> {
    raw: *mut bindings::rq,
    _held: PhantomData<&'a mut bindings::rq>,
}

/// Reads or writes a field of a run queue that others may look at without its lock, whole and once.
macro_rules! place {
    ($place:expr) => {
        // SAFETY: By the type invariant of `LockedRq` the run queue is live; an integer or a pointer, read whole.
        unsafe { ptr::addr_of!($place).read_volatile() }
    };
    ($place:expr, $value:expr) => {
        // SAFETY: As above, and under its lock nobody else writes it.
        unsafe { ptr::addr_of_mut!($place).write_volatile($value) }
    };
}

impl<'a> LockedRq<'a> {
    /// Wraps a run queue.
    ///
    /// # Safety
    ///
    /// `raw` must point to a live run queue whose lock the caller holds for `'a`, and nothing else may use its LWK part.
    pub(crate) unsafe fn from_raw(raw: *mut bindings::rq) -> Self {
        // INVARIANT: By the contract of this function.
        Self {
            raw,
            _held: PhantomData,
        }
    }

    /// The LWK's part. No reference to a run queue is ever made: others read and write some of it without the lock.
    fn lwk(&self) -> *mut bindings::lwk_rq {
        // SAFETY: By the type invariant it is live; only an address.
        unsafe { ptr::addr_of_mut!((*self.raw).lwk) }
    }

    fn queue(&self) -> *mut bindings::list_head {
        // SAFETY: As above.
        unsafe { ptr::addr_of_mut!((*self.lwk()).queue) }
    }

    /// The CPU that it belongs to.
    pub(crate) fn cpu(&self) -> Option<CpuId> {
        u32::try_from(place!((*self.raw).cpu))
            .ok()
            .and_then(CpuId::new)
    }

    /// Its clock.
    pub(crate) fn clock_ns(&self) -> u64 {
        place!((*self.raw).clock)
    }

    /// How long a task that is queued here and does not run has waited.
    pub(crate) fn waited_ns(&self, task: &Task<'_>) -> u64 {
        place!((*self.raw).clock_task).saturating_sub(task.waits_since_ns())
    }

    /// Runnable tasks of the LWK, the running one included.
    pub(crate) fn nr_tasks(&self) -> u32 {
        place!((*self.lwk()).nr_running)
    }

    /// Those of them with a real-time priority.
    pub(crate) fn nr_rt(&self) -> u32 {
        place!((*self.lwk()).nr_rt)
    }

    /// Whether it is kept free for a task that is away.
    pub(crate) fn is_kept(&self) -> bool {
        !place!((*self.lwk()).kept_for).is_null()
    }

    /// Runnable tasks of classes below the LWK's; some that sleep stay in the queue of the fair class for a while.
    pub(crate) fn nr_guests(&self) -> u32 {
        let nr_deadline = place!((*self.raw).dl.dl_nr_running);
        place!((*self.raw).nr_running)
            .saturating_sub(self.nr_tasks())
            .saturating_sub(place!((*self.raw).cfs.h_nr_delayed))
            .saturating_sub(place!((*self.raw).rt.rt_nr_running))
            .saturating_sub(nr_deadline.try_into().unwrap_or(u32::MAX))
    }

    /// Since when guests wait, or 0.
    pub(crate) fn guest_since_ns(&self) -> u64 {
        place!((*self.lwk()).guest_since)
    }

    /// Notes since when guests wait.
    pub(crate) fn set_guest_since_ns(&mut self, since_ns: u64) {
        place!((*self.lwk()).guest_since, since_ns);
    }

    /// Whether guests run first.
    pub(crate) fn is_guest_turn(&self) -> bool {
        place!((*self.lwk()).guest_turn)
    }

    /// How long ago the guests' last turn was to end; negative if it lies ahead.
    pub(crate) fn since_guest_turn_ns(&self) -> i64 {
        // SAFETY: By the type invariant; the timer was set up with the run queue.
        unsafe { bindings::lwk_c_since_guest_turn(self.raw) }
    }

    /// Has guests run first from the next choice on.
    pub(crate) fn begin_guest_turn(&mut self) {
        place!((*self.lwk()).guest_turn, true);
    }

    /// Ends the guests' turn in `turn_ns`; only for the run queue of this CPU.
    pub(crate) fn limit_guest_turn(&mut self, turn_ns: u64) {
        // SAFETY: By the type invariant; the timer was set up with the run queue.
        unsafe { bindings::lwk_c_guest_timer_start(self.raw, turn_ns) };
    }

    /// Has LWK tasks run first again.
    pub(crate) fn end_guest_turn(&mut self) {
        place!((*self.lwk()).guest_turn, false);
        // SAFETY: By the type invariant; the timer was set up with the run queue, and its function runs without the lock.
        unsafe { bindings::lwk_c_guest_timer_stop(self.raw) };
    }

    /// When a guest took the CPU from a willing task, or 0.
    pub(crate) fn guest_start_ns(&self) -> u64 {
        place!((*self.lwk()).guest_start)
    }

    /// Notes when a guest took the CPU.
    pub(crate) fn set_guest_start_ns(&mut self, start_ns: u64) {
        place!((*self.lwk()).guest_start, start_ns);
    }

    /// When the turn of a task that had been lifted ended last.
    pub(crate) fn lifted_end_ns(&self) -> u64 {
        place!((*self.lwk()).lifted_end)
    }

    /// Notes that the turn of a task that had been lifted ends now.
    pub(crate) fn end_lift(&mut self) {
        let now_ns = self.clock_ns();
        place!((*self.lwk()).lifted_end, now_ns);
    }

    /// Has the CPU tell its log of somebody who waited for too long, when it next stops a task.
    pub(crate) fn set_starved(&mut self, is_starved: bool) {
        place!((*self.lwk()).starved, is_starved);
    }

    /// Tasks that are away from here.
    pub(crate) fn nr_away(&self) -> u32 {
        place!((*self.lwk()).nr_away)
    }

    /// Whether it is idle as any CPU though tasks are away.
    pub(crate) fn dozes(&self) -> bool {
        place!((*self.lwk()).dozes)
    }

    /// Has it so until one more task goes away.
    pub(crate) fn set_dozes(&mut self) {
        place!((*self.lwk()).dozes, true);
    }

    /// Whether the CPU has changed tasks since this was asked last.
    pub(crate) fn note_switches(&mut self) -> bool {
        let (switches, seen) = (
            place!((*self.raw).nr_switches),
            place!((*self.lwk()).switches_seen),
        );
        place!((*self.lwk()).switches_seen, switches);
        switches != seen
    }

    /// The guest with this number if it waits, else another that does.
    pub(crate) fn waiting_guest(&self, tid: u32) -> Option<Task<'a>> {
        // SAFETY: By the type invariant the lock is held, which the function wants.
        let guest = unsafe { bindings::lwk_c_waiting_guest(self.raw, tid) };
        // SAFETY: Null, or a task that is queued here, which lives while the lock is held.
        (!guest.is_null()).then(|| unsafe { Task::from_raw(guest) })
    }

    /// The task whose turn it is.
    pub(crate) fn first(&self) -> Option<Task<'a>> {
        self.tasks().next()
    }

    /// All tasks in their order, the running one among them.
    pub(crate) fn tasks(&self) -> Tasks<'a, '_> {
        Tasks {
            next: place!((*self.queue()).next),
            end: self.queue(),
            _rq: PhantomData,
        }
    }

    /// Adds `task`, which is not on any queue, with this rank.
    pub(crate) fn push(&mut self, task: &Task<'_>, rank: Rank, end: End) {
        task.set_rank(rank);
        let head = self.queue();
        // SAFETY: By the type invariant all neighbours are live.
        let mut prev = unsafe { (*head).prev };
        while !ptr::eq(prev, head) {
            // SAFETY: As above: it is the node of a task.
            let other = unsafe { Task::from_node(prev) };
            if !goes_before(rank, end, other.rank()) {
                break;
            }
            // SAFETY: As above.
            prev = unsafe { (*prev).prev };
        }
        // SAFETY: By the type invariant all neighbours are live; the task's node is on no list, as the scheduler
        // enqueues a task once.
        unsafe {
            let next = (*prev).next;
            let node = task.node();
            (*node).next = next;
            (*node).prev = prev;
            (*next).prev = node;
            (*prev).next = node;
        }
        place!((*self.lwk()).nr_running, self.nr_tasks() + 1);
        place!(
            (*self.lwk()).nr_rt,
            self.nr_rt() + u32::from(rank.is_real_time())
        );
    }

    /// Takes out `task`, which is on this queue.
    pub(crate) fn remove(&mut self, task: &Task<'_>) {
        // SAFETY: The scheduler dequeues only what it enqueued here, so the node is on this list and its neighbours
        // are live by the type invariant.
        unsafe {
            let node = task.node();
            let (next, prev) = ((*node).next, (*node).prev);
            (*next).prev = prev;
            (*prev).next = next;
        }
        place!((*self.lwk()).nr_running, self.nr_tasks() - 1);
        let is_rt = task.rank().is_real_time();
        place!((*self.lwk()).nr_rt, self.nr_rt() - u32::from(is_rt));
    }
}

/// Walks the queue of a [`LockedRq`], which nobody changes as long as this borrows it.
///
/// # Invariants
///
/// `next` is a node of the list whose head is `end`, or `end` itself.
pub(crate) struct Tasks<'a, 'q> {
    next: *mut bindings::list_head,
    end: *const bindings::list_head,
    _rq: PhantomData<&'q LockedRq<'a>>,
}

impl<'a> Iterator for Tasks<'a, '_> {
    type Item = Task<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let node = self.next;
        if ptr::eq(node, self.end) {
            return None;
        }
        // SAFETY: By the type invariants of this and of `LockedRq` the node is that of a queued task.
        self.next = unsafe { (*node).next };
        // SAFETY: As above; a queued task lives while the lock is held.
        Some(unsafe { Task::from_node(node) })
    }
}
