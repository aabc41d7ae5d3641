// SPDX-License-Identifier: GPL-2.0
//! Jobs: reservations of CPUs, and the file and tasks that share in them.
//!
//! ```text
//! JobCreate ──▶ reserved, users = the file
//! JobEnter, fork ──▶ one more user and task          close, exit ──▶ one less
//! users == 0 ──▶ CPUs free; never again above 0, as only a user can add one
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
        job::{Job, JobRef},
        task::{self, Task},
    },
    syscall::{self, Calls},
};
use core::sync::atomic::Ordering::{AcqRel, Relaxed};
use kernel::{
    error::{code, Error, Result},
    prelude::*,
    sync::UniqueArc,
};

/// Reserves CPUs for `file`, which has no job yet; without a policy its memory is backed as the partition says.
///
/// # Errors
///
/// `EBUSY` if the file has a job or a CPU is taken, `ENOMEM` if there is not so much memory, and what the table of
/// partitions says.
pub(crate) fn create(
    file: &File,
    from: Option<PartitionId>,
    want: Want<'_>,
    memory: Option<mem::Want>,
    policy: Option<Policy>,
) -> Result<JobId> {
    let mut state = STATE.lock();
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
    let made = make(&mut state, id, partition, &cpus, memory, &policy).inspect_err(|_| {
        // Cannot fail: it was reserved above, under the same lock.
        let _ = state.table.release(id);
    });
    let job = made?;
    share(&job);
    if let Some(slot) = cpus.first().and_then(|cpu| state.slot(cpu)) {
        *slot = Some(job.clone());
    }
    file.set_job(job);
    Ok(id)
}

/// Makes a job of CPUs that are reserved, with memory.
fn make(
    state: &mut State,
    id: JobId,
    partition: PartitionId,
    cpus: &CpuSet,
    memory: Option<mem::Want>,
    policy: &Policy,
) -> Result<JobRef> {
    let view = state.table.next_partition(partition.get());
    let nr_free = view.map_or(0, |view| view.nr_free);
    let want = memory.unwrap_or(mem::Want::Share {
        cpus: cpus.len(),
        of: cpus.len() + nr_free,
    });
    let near = cpus.iter().filter_map(node_of).collect();
    // Room first, so that nothing can fail once memory is promised.
    let room = UniqueArc::new_uninit(GFP_KERNEL)?;
    let promise = Promise::new(&mut state.memory, partition, near, want, policy)?;
    let service = state.table.service_of(partition);
    let default = syscall::Policy::DEFAULT;
    let calls = Calls::new(
        state.calls(partition).map_or(&default, |calls| calls),
        service,
    );
    let job: JobRef = room
        .write(Job::new(id.get(), partition.get(), cpus, promise, calls))
        .into();
    job.settle();
    Ok(job)
}

/// Moves the calling thread into the job of `file`.
///
/// # Errors
///
/// `ENOENT` if the file does not hold this job, `EBUSY` if the caller is in a job, `EINVAL` if its process has other
/// threads, `EPERM` if it has `SCHED_DEADLINE`, `EINTR` if it is killed.
pub(crate) fn enter(file: &File, id: u32, current: &Task<'_>) -> Result {
    let job = {
        let _state = STATE.lock();
        file.job().filter(|job| job.id == id).ok_or(code::ENOENT)?
    };
    if current.job().is_some() {
        return Err(code::EBUSY);
    }
    if !task::is_single_threaded() {
        return Err(code::EINVAL);
    }
    // The file keeps the job in use meanwhile: it cannot be closed during its own ioctl.
    share(&job);
    // ORDERING: Relaxed, a statistic.
    job.tasks.fetch_add(1, Relaxed);
    task::enter(job.clone()).inspect_err(|_| {
        job.tasks.fetch_sub(1, Relaxed);
        unshare(&job);
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

/// The last `close(2)` of a file.
pub(crate) fn release(file: &File) {
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
    if job.users.fetch_sub(1, AcqRel) != 1 {
        return;
    }
    let mut state = STATE.lock();
    let freed = JobId::new(job.id).and_then(|id| state.table.release(id).ok());
    if let Some(partition) = PartitionId::new(job.partition) {
        job.memory.close(&mut state.memory, partition);
    }
    // Dropped after the lock, as its last reference may go with it.
    let entry = freed
        .and_then(|cpus| cpus.first())
        .and_then(|cpu| state.slot(cpu))
        .and_then(Option::take);
    drop(state);
    drop(entry);
}

/// The first job whose id is at least `from`.
pub(crate) fn find(state: &mut State, from: u32) -> Option<JobRef> {
    let id = state.table.next_job(from)?.id;
    let first: CpuId = state.table.cpus_of_job(id).first()?;
    state.slot(first)?.clone()
}
