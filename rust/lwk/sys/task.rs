// SPDX-License-Identifier: GPL-2.0
//! A task and what it carries for the LWK.

use super::{
    bindings, cpu,
    job::{Job, JobRef},
    thread::Thread,
};
use crate::logic::{
    cpuset::{CpuId, CpuSet},
    rank::{Rank, Turn},
};
use core::{marker::PhantomData, mem::offset_of, ptr};
use kernel::sync::Arc;

/// A task that stays alive for `'a`.
///
/// # Invariants
///
/// `raw` points to a live `task_struct`. Its `lwk.job` is null or came from `Arc::<Job>::into_raw`, and one reference of
/// that job is the task's own. `lwk.node`, `lwk.rank` and `lwk.slice_end` are used only under the lock of the task's
/// run queue.
pub(crate) struct Task<'a> {
    raw: *mut bindings::task_struct,
    _alive: PhantomData<&'a bindings::task_struct>,
}

impl<'a> Task<'a> {
    /// Wraps a task.
    ///
    /// # Safety
    ///
    /// `raw` must point to a task that lives for `'a`.
    pub(crate) unsafe fn from_raw(raw: *mut bindings::task_struct) -> Self {
        // INVARIANT: `lwk.job` is written only in this file and by `lwk_c_task_enter`, which is given such a pointer.
        Self {
            raw,
            _alive: PhantomData,
        }
    }

    /// Wraps the task whose queue node is `node`.
    ///
    /// # Safety
    ///
    /// `node` must be the `lwk.node` of a task that lives for `'a`.
    pub(super) unsafe fn from_node(node: *mut bindings::list_head) -> Self {
        const OFFSET: usize =
            offset_of!(bindings::task_struct, lwk) + offset_of!(bindings::sched_lwk_entity, node);
        // SAFETY: By the contract of this function the node lies at that offset in a task.
        unsafe { Self::from_raw(node.byte_sub(OFFSET).cast()) }
    }

    /// The task as C knows it.
    pub(crate) fn as_raw(&self) -> *mut bindings::task_struct {
        self.raw
    }

    pub(super) fn node(&self) -> *mut bindings::list_head {
        // SAFETY: By the type invariant the task is live; no reference is made.
        unsafe { ptr::addr_of_mut!((*self.raw).lwk.node) }
    }

    /// Whether the other is the same task.
    pub(crate) fn is(&self, other: &Task<'_>) -> bool {
        ptr::eq(self.raw, other.raw)
    }

    /// Its rank in the queue that it is in, or was in last.
    pub(crate) fn rank(&self) -> Rank {
        // SAFETY: By the type invariant; callers hold the lock of the run queue.
        Rank::from_bits(unsafe { (*self.raw).lwk.rank })
    }

    pub(super) fn set_rank(&self, rank: Rank) {
        // SAFETY: By the type invariant; callers hold the lock of the run queue.
        unsafe { (*self.raw).lwk.rank = rank.bits() };
    }

    /// Its priority as of now, as Linux numbers them; one that is lent to it counts.
    fn prio(&self) -> i32 {
        // SAFETY: By the type invariant; it changes under `pi_lock` and the lock of the run queue, of which callers hold
        // one.
        unsafe { (*self.raw).prio }
    }

    /// The rank that is due to it.
    pub(crate) fn due_rank(&self) -> Rank {
        Rank::of(self.prio())
    }

    /// How long it may keep the CPU from others of its rank.
    pub(crate) fn turn(&self) -> Turn {
        Turn::of(self.policy(), self.prio())
    }

    /// Since when it waits for its CPU on the clock of tasks, while it is queued and does not run.
    pub(super) fn waits_since_ns(&self) -> u64 {
        // SAFETY: By the type invariant; callers hold the lock of the run queue.
        unsafe { (*self.raw).se.exec_start }
    }

    /// How long it has run in its life.
    pub(crate) fn ran_ns(&self) -> u64 {
        // SAFETY: By the type invariant; callers hold the lock of the run queue.
        unsafe { (*self.raw).se.sum_exec_runtime }
    }

    /// Its policy as Linux numbers it.
    pub(crate) fn policy(&self) -> u32 {
        // SAFETY: By the type invariant; it changes under the locks named above.
        unsafe { (*self.raw).policy }
    }

    /// Its process, as the initial pid namespace numbers it.
    pub(crate) fn tgid(&self) -> u32 {
        // SAFETY: By the type invariant; written once, before anybody knows the task.
        u32::try_from(unsafe { (*self.raw).tgid }).unwrap_or(0)
    }

    /// Whether it is in the lwk class, and not one of Linux.
    pub(crate) fn is_queued_class(&self) -> bool {
        // SAFETY: By the type invariant; the class changes only under the run queue's lock, which callers hold.
        unsafe {
            ptr::eq(
                (*self.raw).sched_class,
                ptr::addr_of!(bindings::lwk_sched_class),
            )
        }
    }

    /// When its turn among others ends.
    pub(crate) fn turn_end_ns(&self) -> u64 {
        // SAFETY: By the type invariant; callers hold the lock of the run queue.
        unsafe { (*self.raw).lwk.slice_end }
    }

    /// Sets when its turn among others ends.
    pub(crate) fn set_turn_end_ns(&self, end_ns: u64) {
        // SAFETY: By the type invariant; callers hold the lock of the run queue.
        unsafe { (*self.raw).lwk.slice_end = end_ns };
    }

    /// Whether it is on a run queue, so that it could run.
    pub(crate) fn is_on_rq(&self) -> bool {
        // SAFETY: By the type invariant; callers hold the lock of the run queue.
        unsafe { (*self.raw).on_rq != 0 }
    }

    /// Whether a CPU executes it now.
    pub(crate) fn is_running(&self) -> bool {
        // SAFETY: By the type invariant; callers hold the lock of the run queue, under which it starts to run.
        unsafe { (*self.raw).on_cpu != 0 }
    }

    /// Its number in the initial pid namespace.
    pub(crate) fn tid(&self) -> u32 {
        // SAFETY: By the type invariant; written once, before anybody knows the task.
        u32::try_from(unsafe { (*self.raw).pid }).unwrap_or(0)
    }

    /// Its command name; may be half of an old and a new one while it changes.
    pub(crate) fn comm(&self) -> [u8; crate::uapi::COMM_LEN] {
        // SAFETY: By the type invariant; bytes may change as we read, which is fine for a name in a report.
        let comm = unsafe { ptr::read_volatile(ptr::addr_of!((*self.raw).comm)) };
        let mut out = [0; crate::uapi::COMM_LEN];
        for (to, from) in out.iter_mut().zip(comm) {
            // CAST: C characters are bytes.
            *to = from as u8;
        }
        out
    }

    /// The CPUs that its affinity allows, whatever its job says.
    pub(crate) fn affinity(&self) -> CpuSet {
        // SAFETY: By the type invariant; `cpus_ptr` points to a mask that lives as long as the task. Callers hold
        // `pi_lock` or the lock of its run queue; it changes under both, if it is not one of Linux' own.
        unsafe { cpu::read_mask((*self.raw).cpus_ptr) }
    }

    /// The CPUs that it asked for, also while it is away from them.
    pub(crate) fn wanted_cpus(&self) -> CpuSet {
        // SAFETY: By the type invariant. It may change as we read, if another process sets it: any mixture of both masks
        // is checked by Linux again when the task gets there.
        unsafe { cpu::read_mask(ptr::addr_of!((*self.raw).cpus_mask)) }
    }

    /// The CPU that it is on.
    pub(crate) fn cpu(&self) -> Option<CpuId> {
        // SAFETY: By the type invariant; may change at once unless it is the calling task, which then is elsewhere.
        CpuId::new(unsafe { ptr::read_volatile(ptr::addr_of!((*self.raw).thread_info.cpu)) })
    }

    /// Whether it is on a CPU of Linux for a system call.
    pub(crate) fn is_away(&self) -> bool {
        // SAFETY: By the type invariant; changes only while the task does not run.
        unsafe { (*self.raw).lwk.away }
    }

    /// Whether its place at home is kept for it.
    pub(crate) fn is_place_kept(&self) -> bool {
        // SAFETY: As above.
        unsafe { (*self.raw).lwk.how & bindings::LWK_MOVE_KEEP != 0 }
    }

    /// Whether it is about to leave its CPU, and so not willing to run there; callers hold the lock of the run queue.
    pub(crate) fn is_leaving(&self) -> bool {
        // SAFETY: By the type invariant and that lock.
        unsafe { (*self.raw).lwk.leaving_to != 0 }
    }

    /// The CPU of its job from which it was moved last.
    pub(crate) fn home(&self) -> Option<CpuId> {
        // SAFETY: As above.
        CpuId::new(unsafe { (*self.raw).lwk.home })
    }

    /// What it has for its calls; only for the calling task.
    pub(crate) fn thread(&self) -> Option<&Thread> {
        // SAFETY: By the type invariant; null, or made by `Thread::new` and freed only when the calling task exits.
        unsafe { (*self.raw).lwk.thread.cast::<Thread>().as_ref() }
    }

    /// Gives up what the calling task, which exits, left behind at home.
    pub(crate) fn release_place(&self) {
        // SAFETY: By the type invariant; takes the lock of that run queue itself.
        unsafe { bindings::lwk_c_release_place(self.raw) };
    }

    fn raw_job(&self) -> *const Job {
        // SAFETY: By the type invariant. The task itself may be about to enter a job: volatile, so that it is read once.
        let job = unsafe { ptr::read_volatile(ptr::addr_of!((*self.raw).lwk.job)) };
        job.cast_const().cast()
    }

    /// The job that it is in.
    pub(crate) fn job(&self) -> Option<&'a Job> {
        // SAFETY: By the type invariant the pointer is null or the task holds a reference while it lives; only the
        // last reference to a task, and the task itself before it is in a job, change it.
        unsafe { self.raw_job().as_ref() }
    }

    /// Takes a reference of its own to the job that the new task's copy of its parent points to.
    pub(crate) fn adopt_parents_job(&self) -> Option<&'a Job> {
        let job = self.job()?;
        // SAFETY: The pointer came from `Arc::into_raw`, and the parent's reference keeps the job alive here.
        let parents = unsafe { core::mem::ManuallyDrop::new(Arc::from_raw(ptr::from_ref(job))) };
        // Ownership of the new reference goes to the copied pointer.
        let _ = Arc::into_raw(JobRef::clone(&parents));
        // SAFETY: The task is new and nobody else's yet.
        unsafe { (*self.raw).lwk.left = false };
        Some(job)
    }

    /// Notes that it no longer shares in the job's reservation; false if that was so already.
    pub(crate) fn mark_left(&self) -> bool {
        // SAFETY: Only an address.
        let left = unsafe { ptr::addr_of_mut!((*self.raw).lwk.left) };
        // SAFETY: Called by the exiting task itself or for a task that never ran, so nobody else writes. Whole, as others
        // look at any time.
        let was_left = unsafe { left.read_volatile() };
        // SAFETY: As above.
        unsafe { left.write_volatile(true) };
        !was_left
    }

    /// Takes the job out of a task that nobody else refers to any more.
    pub(crate) fn take_job(&self) -> Option<JobRef> {
        let job = self.raw_job();
        if job.is_null() {
            return None;
        }
        // SAFETY: The caller has the last reference to the task, so nobody reads this at the same time.
        unsafe { (*self.raw).lwk.job = ptr::null_mut() };
        // SAFETY: By the type invariant it is a reference of the task's own.
        Some(unsafe { Arc::from_raw(job) })
    }
}

/// The user id of who made the job that the current task is in. May be called in any context.
pub(crate) fn owner_of_current() -> Option<u32> {
    // SAFETY: The current task lives while it runs.
    let current = unsafe { Task::from_raw(bindings::lwk_c_current_task()) };
    current.job().map(|job| job.uid)
}

/// Whether the calling thread is the only one of its process.
pub(crate) fn is_single_threaded() -> bool {
    // SAFETY: Reads a count of the current process.
    unsafe { bindings::lwk_c_single_threaded() }
}

/// Moves the calling thread to the job's CPUs and into the lwk class; it takes over `job`.
///
/// # Errors
///
/// What Linux says about the change of affinity; nothing has changed then.
pub(crate) fn enter(job: JobRef) -> Result<(), kernel::error::Error> {
    let raw = Arc::into_raw(job);
    // SAFETY: `raw` starts with a `struct lwk_job` and carries a reference, which the task takes over on success.
    let ret = unsafe { bindings::lwk_c_task_enter(raw.cast_mut().cast()) };
    kernel::error::to_result(ret).inspect_err(|_| {
        // SAFETY: On failure the reference is still ours.
        drop(unsafe { Arc::from_raw(raw) });
    })?;
    // SAFETY: The task has a reference to the job now, and nobody else can take it from a task that runs.
    unsafe { bindings::lwk_c_mm_enter(raw.cast_mut().cast()) };
    // SAFETY: The task is in its job.
    unsafe { bindings::lwk_c_watch_self() };
    Ok(())
}

/// What becomes of the place that the calling task leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// Nobody else runs there.
    pub(crate) is_kept: bool,
    /// The CPU does not halt.
    pub(crate) polls: bool,
}

/// Takes the calling task to another CPU: an active one of Linux or one of its job. False if it did not get there.
pub(crate) fn move_to(cpu: CpuId, place: Place) -> bool {
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    let how =
        flag(place.is_kept, bindings::LWK_MOVE_KEEP) | flag(place.polls, bindings::LWK_MOVE_POLL);
    // SAFETY: Process context, and nothing is held that keeps a task from sleeping, as the doors say.
    unsafe { bindings::lwk_c_move(cpu.get(), how) }
}

/// Has the calling task look at its work on the way to user mode.
pub(crate) fn set_exit_work() {
    // SAFETY: Sets a flag of the current task.
    unsafe { bindings::lwk_c_set_exit_work() };
}

/// Whether nothing else wants the CPU of the calling task.
pub(crate) fn is_alone() -> bool {
    // SAFETY: Reads a count, which may change at once.
    unsafe { bindings::lwk_c_alone() }
}
