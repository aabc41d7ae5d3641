// SPDX-License-Identifier: GPL-2.0
//! What a task's job pointer points to.

use super::{bindings, cpu, thread::Ended};
use crate::{logic::cpuset::CpuSet, mem::Promise, syscall::Calls, uapi::COMM_LEN};
use core::{
    cell::UnsafeCell,
    mem::{ManuallyDrop, MaybeUninit},
    ptr::{self, NonNull},
    sync::atomic::{
        AtomicPtr, AtomicU32,
        Ordering::{Acquire, Relaxed, SeqCst},
    },
};
use kernel::{
    error::Result,
    prelude::*,
    sync::{Arc, UniqueArc},
};

/// A counted reference to a job.
pub(crate) type JobRef = Arc<Job>;

/// One job: the CPUs it may use and who shares in them. Lives until nobody refers to it; its reservation ends earlier,
/// when `users` gets to zero.
///
/// # Invariants
///
/// It lies in an [`Arc`], and what C has of it was set up there: [`Room::make`] is the only way to one.
#[repr(C)]
pub(crate) struct Job {
    /// C changes its list of threads, under a lock that is in it.
    raw: UnsafeCell<bindings::lwk_job>,
    /// Its id, for the table of partitions.
    pub(crate) id: u32,
    /// The partition that it is in.
    pub(crate) partition: u32,
    /// User id of its creator, as the initial user namespace numbers it.
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
    /// The job that ended before it, while it is in [`Backlog`].
    before: AtomicPtr<Job>,
}

// SAFETY: What begins it is constant but for the list of threads, which is used under its lock only; the rest is `Send`.
unsafe impl Send for Job {}
// SAFETY: As above, and the rest is `Sync`.
unsafe impl Sync for Job {}

/// Memory for a job.
pub(crate) struct Room(UniqueArc<MaybeUninit<Job>>);

impl Room {
    /// Allocates it.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(UniqueArc::new_uninit(GFP_KERNEL)?))
    }

    /// Makes a job of the calling process.
    // It is on the stack until it is in its room.
    #[inline(never)]
    pub(crate) fn make(
        self,
        id: u32,
        partition: u32,
        cpus: &CpuSet,
        memory: Promise,
        calls: Calls,
    ) -> JobRef {
        let job = self.0.write(Job {
            raw: UnsafeCell::new(bindings::lwk_job {
                cpus: cpu::to_mask(cpus),
                ..Default::default()
            }),
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
            before: AtomicPtr::new(ptr::null_mut()),
        });
        // SAFETY: It lies where it stays, and is nobody else's yet.
        unsafe { bindings::lwk_c_job_init(job.as_raw()) };
        // INVARIANT: It is in an `Arc` from here on.
        job.into()
    }
}

impl Job {
    pub(super) fn as_raw(&self) -> *mut bindings::lwk_job {
        self.raw.get()
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
        // SAFETY: The mask is constant as long as the job lives.
        cpu::from_mask(unsafe { &(*self.as_raw()).cpus })
    }

    /// Whether the caller may see what its threads do, and say where their calls are carried out.
    pub(crate) fn is_callers(&self) -> bool {
        cpu::is_user(self.uid)
    }

    /// The process that made it, as the caller numbers processes, or 0.
    pub(crate) fn creator_pid(&self) -> u32 {
        // SAFETY: `creator` holds a reference.
        unsafe { bindings::lwk_c_pid_nr(self.creator.0.as_ptr()) }
    }

    /// The command name of that process, empty once it is gone or if the caller does not know it.
    pub(crate) fn creator_comm(&self) -> [u8; COMM_LEN] {
        let mut comm = [0; COMM_LEN];
        // SAFETY: `creator` holds a reference; the buffer has TASK_COMM_LEN bytes.
        unsafe { bindings::lwk_c_pid_comm(self.creator.0.as_ptr(), comm.as_mut_ptr().cast()) };
        comm
    }
}

/// Jobs that nobody uses any more and whose reservations have not ended yet: a stack to which anybody may add.
///
/// # Invariants
///
/// `last` is null or the job that was added last, `before` of each the one before it; each comes with a reference.
pub(crate) struct Backlog {
    last: AtomicPtr<Job>,
}

impl Backlog {
    /// An empty one.
    pub(crate) const fn new() -> Self {
        Self {
            last: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        // ORDERING: Relaxed: `Control` has the fence.
        self.last.load(Relaxed).is_null()
    }

    /// Adds a job, which must not have been added before; it would be lost with all before it.
    pub(crate) fn add(&self, job: &Job) {
        // SAFETY: By the type invariant of `Job` it lies in an `Arc`, which the caller's reference keeps.
        let job = ManuallyDrop::new(unsafe { Arc::from_raw(job) });
        let added = Arc::into_raw(JobRef::clone(&job)).cast_mut();
        let mut last = self.last.load(Relaxed);
        loop {
            // ORDERING: Relaxed: the next line publishes it.
            job.before.store(last, Relaxed);
            // ORDERING: SeqCst: a full barrier before the caller looks whether the lock is free, see `Control::nudge`.
            match self.last.compare_exchange(last, added, SeqCst, Relaxed) {
                // INVARIANT: It is the last now, and its reference went with it.
                Ok(_) => return,
                Err(other) => last = other,
            }
        }
    }

    /// Takes all of them out, the last one first.
    pub(crate) fn take(&self) -> impl Iterator<Item = JobRef> {
        // ORDERING: Acquire: what was done before a job was added has been seen.
        let mut next = self.last.swap(ptr::null_mut(), Acquire);
        core::iter::from_fn(move || {
            if next.is_null() {
                return None;
            }
            // SAFETY: By the type invariant it came with this reference, which nobody else has any more.
            let job = unsafe { Arc::from_raw(next.cast_const()) };
            next = job.before.load(Relaxed);
            Some(job)
        })
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
