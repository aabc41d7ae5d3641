// SPDX-License-Identifier: GPL-2.0
//! Jobs: reservations of CPUs, and the file and tasks that share in them.
//!
//! ```text
//! JobCreate ──▶ reserved, users = the file
//! JobEnter, fork ──▶ one more user and task          close, exit ──▶ one less
//! users == 0 ──▶ CPUs free; never again above 0, as only a user can add one
//!               a task that exits waits for nobody to say so: the next one who asks finds it done
//! last reference (a dead task's task_struct may hold it longest) ──▶ memory freed
//! ```
#![forbid(unsafe_code)]

use crate::{
    logic::{
        cpuset::{CpuId, CpuSet},
        error::Errno,
        mempolicy::Policy,
        partition::{JobId, PartitionId, Want},
    },
    mem::{self, Promise},
    partition::{node_of, State, STATE},
    sys::{
        file::File,
        job::{Backlog, Job, JobRef, Room},
        task::{self, Task},
    },
    syscall::{self, Calls},
};
use core::sync::atomic::Ordering::{AcqRel, Relaxed};
use kernel::error::{code, Error, Result};

/// Jobs without users whose CPUs and memory are to be free again.
static ENDED: Backlog = Backlog::new();

/// Reserves CPUs for `file`, which has no job yet; without a policy its memory is backed as the partition says.
///
/// # Errors
///
/// `EBUSY` if the file has a job or a CPU is taken, `ENOMEM` if there is not so much memory, `EINTR` if the caller is
/// killed, and what the table of partitions says.
// A job is made on the stack, which is to have nothing of the request but its structure.
#[inline(never)]
pub(crate) fn create(
    file: &File,
    from: Option<PartitionId>,
    want: Want<'_>,
    memory: Option<mem::Want>,
    policy: Option<Policy>,
) -> Result<JobId> {
    // Room first, so that nothing can fail once memory is promised.
    let room = Room::new()?;
    let mut state = STATE.lock_killable()?;
    if file.job().is_some() {
        return Err(code::EBUSY);
    }
    let (id, partition, cpus) = state
        .table
        .reserve(from, want)
        .map_err(|error| Error::from_errno(-error.errno()))?;
    let default = || {
        state
            .policy(partition)
            .map_or(Policy::DEFAULT, |policy| *policy)
    };
    let policy = policy.unwrap_or_else(default);
    let promise = match promise(&mut state, partition, &cpus, memory, &policy) {
        Ok(promise) => promise,
        Err(error) => {
            // Cannot fail: it was reserved above, under the same lock.
            let _ = state.table.release(id);
            return Err(error);
        }
    };
    let service = state.table.service_of(partition);
    let default = syscall::Policy::DEFAULT;
    let calls = Calls::new(
        state.calls(partition).map_or(&default, |calls| calls),
        service,
    );
    let job = room.make(id.get(), partition.get(), &cpus, promise, calls);
    share(&job);
    if let Some(slot) = cpus.first().and_then(|cpu| state.slot(cpu)) {
        *slot = Some(job.clone());
    }
    file.set_job(job);
    Ok(id)
}

/// Promises memory to a job of CPUs that are reserved.
#[inline(never)]
fn promise(
    state: &mut State,
    partition: PartitionId,
    cpus: &CpuSet,
    memory: Option<mem::Want>,
    policy: &Policy,
) -> Result<Promise> {
    let view = state.table.next_partition(partition.get());
    let nr_free = view.map_or(0, |view| view.nr_free);
    let want = memory.unwrap_or(mem::Want::Share {
        cpus: cpus.len(),
        of: cpus.len() + nr_free,
    });
    let near = cpus.iter().filter_map(node_of).collect();
    Promise::new(&mut state.memory, partition, near, want, policy)
}

/// Moves the calling thread into the job of `file`.
///
/// # Errors
///
/// `ENOENT` if the file does not hold this job, `EBUSY` if the caller is in a job, `EINVAL` if its process has other
/// threads or another process has its memory, `EPERM` if it has `SCHED_DEADLINE` or a cookie of core scheduling, `EINTR` if
/// it is killed.
pub(crate) fn enter(file: &File, id: u32, current: &Task<'_>) -> Result {
    let job = {
        let _state = STATE.lock_killable()?;
        let job = file.job().filter(|job| job.id == id);
        let job = job.ok_or(code::ENOENT)?;
        // Before the lock is dropped: afterwards another ioctl on this file, which could not tell its caller the id, may
        // take the file's own share away.
        share(&job);
        job
    };
    let entered = try_enter(&job, current);
    if entered.is_err() {
        unshare(&job);
    }
    entered
}

/// Has the caller take over a share in a job.
fn try_enter(job: &JobRef, current: &Task<'_>) -> Result {
    if current.job().is_some() {
        return Err(code::EBUSY);
    }
    if !task::is_single_threaded() {
        return Err(code::EINVAL);
    }
    // ORDERING: Relaxed, a statistic.
    job.tasks.fetch_add(1, Relaxed);
    task::enter(job.clone()).inspect_err(|_| {
        job.tasks.fetch_sub(1, Relaxed);
    })
}

/// A new task joins its parent's job.
pub(crate) fn fork(task: &Task<'_>) {
    if let Some(job) = task.adopt_parents_job() {
        share(job);
        job.tasks.fetch_add(1, Relaxed);
    }
}

/// A task gives up its share, at its exit or because it never came to be.
pub(crate) fn exit(task: &Task<'_>) {
    let Some(job) = task.job() else { return };
    syscall::exit(task);
    if task.mark_left() {
        job.tasks.fetch_sub(1, Relaxed);
        unshare(job);
    }
}

/// The last `close(2)` of a file, which nobody else can use any more.
pub(crate) fn release(file: &File) {
    if let Some(job) = file.take_job() {
        unshare(&job);
    }
}

/// A file gives up the job that was just made for it, for the caller does not learn of it.
pub(crate) fn abandon(file: &File) {
    let job = {
        let _state = STATE.lock();
        file.take_job()
    };
    if let Some(job) = job {
        unshare(&job);
    }
}

fn share(job: &Job) {
    // ORDERING: Relaxed: whoever adds a user is one, or holds the lock under which the job was made.
    job.users.fetch_add(1, Relaxed);
}

fn unshare(job: &Job) {
    // ORDERING: AcqRel: what all users did comes before the CPUs are given to others.
    if job.users.fetch_sub(1, AcqRel) == 1 {
        // Once, as it never has users again.
        ENDED.add(job);
        STATE.nudge();
    }
}

/// Whether there are jobs for [`end_all`].
pub(crate) fn has_ended_ones() -> bool {
    !ENDED.is_empty()
}

/// Ends the reservations of jobs that nobody uses any more; called before anything else is done with the state.
pub(crate) fn end_all(state: &mut State) {
    for job in ENDED.take() {
        end(state, &job);
    }
}

fn end(state: &mut State, job: &Job) {
    let freed = JobId::new(job.id).and_then(|id| state.table.release(id).ok());
    if let Some(partition) = PartitionId::new(job.partition) {
        job.memory.close(&mut state.memory, partition);
    }
    // Perhaps its last reference but that of the backlog.
    let entry = freed
        .and_then(|cpus| cpus.first())
        .and_then(|cpu| state.slot(cpu))
        .and_then(Option::take);
    drop(entry);
}

/// The first job whose id is at least `from`.
pub(crate) fn find(state: &mut State, from: u32) -> Option<JobRef> {
    let id = state.table.next_job(from)?.id;
    let first: CpuId = state.table.cpus_of_job(id).first()?;
    state.slot(first)?.clone()
}
