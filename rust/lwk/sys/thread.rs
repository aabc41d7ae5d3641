// SPDX-License-Identifier: GPL-2.0
//! What a task of a job has for its system calls, and the list of these of a job.

use super::{bindings, job::Job, noise, task::Task};
use crate::{
    logic::counts::{Counts, JOB_CALLS, THREAD_CALLS},
    uapi::COMM_LEN,
};
use core::{
    mem::size_of,
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering::Relaxed},
};

/// A thread's system calls. `counts` is for all who hold the lock of the job's list, the rest for the thread alone.
#[repr(C)]
pub(crate) struct Thread {
    raw: bindings::lwk_thread,
    /// How often it made which call.
    pub(crate) counts: Counts<THREAD_CALLS>,
    comm: [AtomicU64; COMM_LEN / 8],
    /// The call that it makes, and one more, or 0.
    pub(crate) call: AtomicU32,
    /// The CPU of Linux that served it last, and one more, or 0.
    pub(crate) service: AtomicU32,
    /// When the call began.
    pub(crate) began_ns: AtomicU64,
    /// When it was on the CPU of Linux.
    pub(crate) there_ns: AtomicU64,
    /// When the thread came back to user mode after the last moved call.
    pub(crate) user_ns: AtomicU64,
    /// Where it goes on in user mode after the call.
    pub(crate) ip: AtomicU64,
    /// [`Batch::to_bits`](crate::logic::batch::Batch::to_bits).
    pub(crate) batch: AtomicU64,
}

impl Thread {
    /// Makes one for the calling task, which is in a job and has none; none if there is no memory.
    pub(crate) fn new<'a>(task: &'a Task<'_>) -> Option<&'a Self> {
        // SAFETY: Process context; all zeroes are a valid value of what follows `raw`, which C initialises. The task
        // keeps it until `Threads::end`, at its exit.
        let raw = unsafe { bindings::lwk_c_thread_new(size_of::<Self>()) };
        // SAFETY: Null, or so many bytes that nobody frees before the task exits.
        let thread = unsafe { raw.cast::<Self>().as_ref() }?;
        thread.name(task);
        Some(thread)
    }

    /// Notes the thread's name, which a program may change.
    pub(crate) fn name(&self, task: &Task<'_>) {
        // ORDERING: Relaxed here and below: for a report only.
        for (to, from) in self.comm.iter().zip(task.comm().chunks_exact(8)) {
            to.store(from.try_into().map_or(0, u64::from_ne_bytes), Relaxed);
        }
    }

    /// Its number in the pid namespace of the caller; none if that may not look at it. For [`for_each`].
    pub(crate) fn number_here(&self) -> Option<u32> {
        // SAFETY: The task ends this before it is gone itself, for which it needs the lock that `for_each` holds.
        let number = unsafe { bindings::lwk_c_thread_nr(self.raw.task) };
        (number != 0).then_some(number)
    }

    /// Its command name.
    pub(crate) fn comm(&self) -> [u8; COMM_LEN] {
        let mut comm = [0; COMM_LEN];
        for (to, from) in comm.chunks_exact_mut(8).zip(&self.comm) {
            to.copy_from_slice(&from.load(Relaxed).to_ne_bytes());
        }
        comm
    }

    /// Has the task look at its work on the way to user mode in so many nanoseconds, unless that is stopped.
    pub(crate) fn start_timer(&self, ns: u64) {
        // SAFETY: Called by the thread itself, to whom the timer belongs.
        unsafe { bindings::lwk_c_thread_timer_start(self.as_raw(), ns) };
    }

    /// Stops the timer; its function does not run any more.
    pub(crate) fn stop_timer(&self) {
        // SAFETY: As above; process context.
        unsafe { bindings::lwk_c_thread_timer_stop(self.as_raw()) };
    }

    fn as_raw(&self) -> *mut bindings::lwk_thread {
        ptr::addr_of!(self.raw).cast_mut()
    }
}

/// What the ended threads of a job counted.
pub(super) struct Ended {
    /// Null, or a table that the job owns.
    counts: AtomicPtr<Counts<JOB_CALLS>>,
    /// How many have ended.
    nr: AtomicU64,
}

impl Ended {
    pub(super) const fn new() -> Self {
        Self {
            counts: AtomicPtr::new(ptr::null_mut()),
            nr: AtomicU64::new(0),
        }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        // SAFETY: It came from `Sum::new`, and nobody else refers to a job that is dropped.
        unsafe { bindings::lwk_c_free(self.counts.get_mut().cast()) };
    }
}

/// A table as large as that of a job, for a sum.
pub(crate) struct Sum(NonNull<Counts<JOB_CALLS>>);

impl Sum {
    /// An empty one; none if there is no memory.
    pub(crate) fn new() -> Option<Self> {
        // SAFETY: Process context; all zeroes are an empty table.
        let raw = unsafe { bindings::lwk_c_zalloc(size_of::<Counts<JOB_CALLS>>()) };
        NonNull::new(raw.cast()).map(Self)
    }

    /// The table.
    pub(crate) fn counts(&self) -> &Counts<JOB_CALLS> {
        // SAFETY: It is ours, and initialised as it was zeroed.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Sum {
    fn drop(&mut self) {
        // SAFETY: It came from `lwk_c_zalloc` and is ours.
        unsafe { bindings::lwk_c_free(self.0.as_ptr().cast()) };
    }
}

/// The lock of a job's threads, which each of them takes at its first call that is counted and at its end.
///
/// # Invariants
///
/// The lock of the job's list is held.
pub(crate) struct Threads<'a> {
    job: &'a Job,
}

impl<'a> Threads<'a> {
    /// Takes the lock; may sleep.
    pub(crate) fn lock(job: &'a Job) -> Self {
        // SAFETY: Process context; the lock was initialised with the job.
        unsafe { bindings::lwk_c_threads_lock(job.as_raw()) };
        // INVARIANT: It was taken above.
        Self { job }
    }

    /// How many threads that counted calls have ended.
    pub(crate) fn nr_ended(&self) -> u64 {
        self.job.ended.nr.load(Relaxed)
    }

    /// What the ended threads counted.
    pub(crate) fn ended(&self) -> Option<&Counts<JOB_CALLS>> {
        // SAFETY: Null, or a table that lives as long as the job; by the type invariant nobody else changes it.
        unsafe { self.job.ended.counts.load(Relaxed).as_ref() }
    }

    /// The calling task, whose thread this is, exits: what it counted goes to the ended ones.
    pub(crate) fn end(&self, thread: &Thread) {
        if self.ended().is_none() {
            if let Some(sum) = Sum::new() {
                self.job.ended.counts.store(sum.0.as_ptr(), Relaxed);
                // The job owns it now.
                core::mem::forget(sum);
            }
        }
        if let Some(ended) = self.ended() {
            ended.merge(&thread.counts);
        }
        self.job.ended.nr.store(self.nr_ended() + 1, Relaxed);
        // SAFETY: It is the calling task's, which does not use it any more, and the lock is held.
        unsafe { bindings::lwk_c_thread_free(thread.as_raw()) };
    }
}

impl Drop for Threads<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::lwk_c_threads_unlock(self.job.as_raw()) };
    }
}

/// How many threads are looked at before those have the list who wait for it.
const BATCH: usize = 16;

/// Shows `look` all threads that counted calls and did not end. What it does holds up threads that end, so it must be short
/// and must not sleep; which threads there are may change between any two of them.
pub(crate) fn for_each(job: &Job, mut look: impl FnMut(&Thread)) {
    const _: () = assert!(core::mem::offset_of!(bindings::lwk_thread, node) == 0);
    // Holds the place in the list while others change it. It is no thread, as it has no task.
    let mut cursor = bindings::lwk_thread::default();
    let cursor: *mut bindings::list_head = ptr::addr_of_mut!(cursor).cast();
    // SAFETY: Only an address.
    let head = unsafe { ptr::addr_of_mut!((*job.as_raw()).threads) };
    let mut threads = Threads::lock(job);
    // SAFETY: The list is the job's, whose lock is held, and the cursor in no list.
    unsafe { insert(cursor, head) };
    for nr in 1_usize.. {
        // SAFETY: The cursor is in the list, whose lock is held.
        let node = unsafe { (*cursor).next };
        if ptr::eq(node, head) {
            break;
        }
        // SAFETY: All nodes but the head begin such a structure, and are there as long as the lock is held.
        if !unsafe { (*node.cast::<bindings::lwk_thread>()).task }.is_null() {
            // SAFETY: It has a task, so that it is no cursor, but begins a thread.
            look(unsafe { &*node.cast::<Thread>() });
        }
        // SAFETY: As above; the cursor goes behind the node.
        unsafe {
            remove(cursor);
            insert(cursor, node);
        }
        if nr % BATCH == 0 {
            drop(threads);
            threads = Threads::lock(job);
        }
    }
    // SAFETY: As above. Nobody finds the cursor any more.
    unsafe { remove(cursor) };
    drop(threads);
}

/// # Safety
///
/// `node` is in no list, `before` in one whose lock is held.
unsafe fn insert(node: *mut bindings::list_head, before: *mut bindings::list_head) {
    // SAFETY: By the contract all neighbours are live.
    unsafe {
        let next = (*before).next;
        (*node).next = next;
        (*node).prev = before;
        (*next).prev = node;
        (*before).next = node;
    }
}

/// # Safety
///
/// `node` is in a list whose lock is held.
unsafe fn remove(node: *mut bindings::list_head) {
    // SAFETY: By the contract all neighbours are live.
    unsafe {
        let (next, prev) = ((*node).next, (*node).prev);
        (*next).prev = prev;
        (*prev).next = next;
    }
}

/// Now, in nanoseconds of the monotonic clock.
pub(crate) fn now_ns() -> u64 {
    noise::now_ns()
}

/// Tells tracers of a call that goes to another CPU, or of its thread that comes home (`call` 0).
pub(crate) fn trace_move(
    call: u32,
    from: crate::logic::cpuset::CpuId,
    to: crate::logic::cpuset::CpuId,
) {
    // SAFETY: Only reads its arguments.
    unsafe { bindings::lwk_c_trace_move(call, from.get(), to.get()) };
}
