// SPDX-License-Identifier: GPL-2.0
//! What a task's job pointer points to.

use super::{bindings, cpu, thread::Ended};
use crate::{logic::cpuset::CpuSet, mem::Promise, syscall::Calls, uapi::COMM_LEN};
use core::{mem::ManuallyDrop, ptr::NonNull, sync::atomic::AtomicU32};
use kernel::sync::Arc;

/// A counted reference to a job.
pub(crate) type JobRef = Arc<Job>;

/// One job: the CPUs it may use and who shares in them. Lives until nobody refers to it; its reservation ends earlier,
/// when `users` gets to zero.
#[repr(C)]
pub(crate) struct Job {
    raw: bindings::lwk_job,
    /// Its id, for the table of partitions.
    pub(crate) id: u32,
    /// The partition that it is in.
    pub(crate) partition: u32,
    /// User id of its creator.
    pub(crate) uid: u32,
    /// The file and the tasks that keep the reservation.
    pub(crate) users: AtomicU32,
    /// The tasks among them.
    pub(crate) tasks: AtomicU32,
    /// Its memory.
    pub(crate) memory: Promise,
    /// Where its system calls are carried out.
    pub(crate) calls: Calls,
    pub(super) ended: Ended,
    creator: ProcessId,
}

// SAFETY: What begins it is constant but for the list of threads, which is used under its lock only; the rest is `Send`.
unsafe impl Send for Job {}
// SAFETY: As above, and the rest is `Sync`.
unsafe impl Sync for Job {}

impl Job {
    /// Makes a job of the calling process; [`settle`](Self::settle) must follow when it has its place.
    pub(crate) fn new(
        id: u32,
        partition: u32,
        cpus: &CpuSet,
        memory: Promise,
        calls: Calls,
    ) -> Self {
        Self {
            raw: bindings::lwk_job {
                cpus: cpu::to_mask(cpus),
                ..Default::default()
            },
            id,
            partition,
            // SAFETY: Reads the credentials of the current task.
            uid: unsafe { bindings::lwk_c_current_uid() },
            users: AtomicU32::new(0),
            tasks: AtomicU32::new(0),
            memory,
            calls,
            ended: Ended::new(),
            creator: ProcessId::current(),
        }
    }

    /// Makes the list of its threads, once the job does not move any more.
    pub(crate) fn settle(self: &Arc<Self>) {
        // SAFETY: The job is in an `Arc`, which does not move, and nobody else uses the list yet.
        unsafe { bindings::lwk_c_job_init(self.as_raw()) };
    }

    pub(super) fn as_raw(&self) -> *mut bindings::lwk_job {
        core::ptr::addr_of!(self.raw).cast_mut()
    }

    /// Has all its tasks look at each of their calls, or none.
    pub(crate) fn watch_calls(&self, is_watching: bool) {
        // SAFETY: Process context; the job only serves for comparison.
        unsafe { bindings::lwk_c_watch_calls(self.as_raw(), is_watching) };
    }

    /// The job that C points to.
    ///
    /// # Safety
    ///
    /// `raw` begins a job that somebody refers to for `'a`.
    pub(crate) unsafe fn from_raw<'a>(raw: *const bindings::lwk_job) -> &'a Self {
        // SAFETY: Every `struct lwk_job` begins a job, by the contract a live one.
        unsafe { &*raw.cast() }
    }

    /// Takes a reference for C.
    ///
    /// # Safety
    ///
    /// `raw` begins a job that somebody refers to meanwhile.
    pub(crate) unsafe fn get(raw: *mut bindings::lwk_job) {
        let job: *const Self = raw.cast_const().cast();
        // SAFETY: Every `struct lwk_job` begins a job in an `Arc`, by the contract a live one.
        let job = ManuallyDrop::new(unsafe { Arc::from_raw(job) });
        let _ = Arc::into_raw(JobRef::clone(&job));
    }

    /// Gives a reference of C up.
    ///
    /// # Safety
    ///
    /// `raw` came with a reference from [`get`](Self::get) or `Arc::into_raw`, which nobody uses any more.
    pub(crate) unsafe fn put(raw: *mut bindings::lwk_job) {
        let job: *const Self = raw.cast_const().cast();
        // SAFETY: By the contract of this function.
        drop(unsafe { Arc::from_raw(job) });
    }

    /// Its CPUs.
    pub(crate) fn cpus(&self) -> CpuSet {
        cpu::from_mask(&self.raw.cpus)
    }

    /// The process that made it, as the caller numbers processes, or 0.
    pub(crate) fn creator_pid(&self) -> u32 {
        // SAFETY: `creator` holds a reference.
        unsafe { bindings::lwk_c_pid_nr(self.creator.0.as_ptr()) }
    }

    /// The command name of that process, empty once it is gone.
    pub(crate) fn creator_comm(&self) -> [u8; COMM_LEN] {
        let mut comm = [0; COMM_LEN];
        // SAFETY: `creator` holds a reference; the buffer has TASK_COMM_LEN bytes.
        unsafe { bindings::lwk_c_pid_comm(self.creator.0.as_ptr(), comm.as_mut_ptr().cast()) };
        comm
    }
}

/// A counted reference to a `struct pid`.
struct ProcessId(NonNull<bindings::pid>);

// SAFETY: A `struct pid` may be read and put from any context.
unsafe impl Send for ProcessId {}
// SAFETY: As above.
unsafe impl Sync for ProcessId {}

impl ProcessId {
    fn current() -> Self {
        // SAFETY: The current process has a pid, of which we get a reference.
        Self(unsafe { NonNull::new_unchecked(bindings::lwk_c_get_pid()) })
    }
}

impl Drop for ProcessId {
    fn drop(&mut self) {
        // SAFETY: Gives up the reference taken in `current`.
        unsafe { bindings::put_pid(self.0.as_ptr()) };
    }
}
