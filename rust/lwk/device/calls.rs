// SPDX-License-Identifier: GPL-2.0
//! The requests about system calls of jobs.
#![forbid(unsafe_code)]

use super::{may_see, require_zero};
use crate::{
    job,
    logic::{
        locality::{CallSet, Table},
        partition::PartitionId,
    },
    partition::{State, STATE},
    sys::{cpu, job::JobRef, thread::Threads, uaccess::Records},
    syscall::{self, Policy},
    uapi::{
        CallTable, CallsRead, CALLS_EXCLUSIVE, CALLS_POLL, CALLS_SET, CALLS_TIMED, MAX_BATCH_NS,
    },
};
use kernel::error::{code, Result};

/// All options that there are.
const OPTIONS: u32 = CALLS_EXCLUSIVE | CALLS_TIMED | CALLS_POLL;

fn policy(args: &CallTable) -> Result<Policy> {
    if args.options & !OPTIONS != 0 || args.batch_ns > MAX_BATCH_NS {
        return Err(code::EINVAL);
    }
    let sets = (
        CallSet::from_words(args.moved),
        CallSet::from_words(args.native),
    );
    Ok(Policy {
        table: Table::new(sets.0, sets.1).ok_or(code::EINVAL)?,
        options: args.options,
        batch_ns: args.batch_ns,
    })
}

fn tell(policy: &Policy, args: &mut CallTable) {
    args.moved = policy.table.moved.words();
    args.native = policy.table.native.words();
    args.options = policy.options;
    args.batch_ns = policy.batch_ns;
}

fn exact_job(state: &mut State, id: u32) -> Result<JobRef> {
    job::find(state, id)
        .filter(|job| job.id == id)
        .ok_or(code::ENOENT)
}

/// Reads or sets the table of a partition or a job.
///
/// # Errors
///
/// `EINVAL` for a table that cannot be, `ENOENT` if there is no such partition or job, `EPERM`.
pub(super) fn table(args: &mut CallTable) -> Result {
    require_zero(&[args.reserved])?;
    let new = match args.flags {
        0 => None,
        CALLS_SET => Some(policy(args)?),
        _ => return Err(code::EINVAL),
    };
    let mut state = STATE.lock_killable()?;
    match (args.partition, args.job) {
        (id, 0) => {
            let id = PartitionId::new(id).ok_or(code::EINVAL)?;
            let calls = state.calls(id).ok_or(code::ENOENT)?;
            if let Some(new) = new {
                if !cpu::may_admin() {
                    return Err(code::EPERM);
                }
                *calls = new;
            }
            tell(calls, args);
        }
        (0, id) => {
            let job = exact_job(&mut state, id)?;
            // What follows takes long where there are many tasks, and is about this job alone.
            drop(state);
            let is_permitted = match new {
                Some(_) => job.is_callers() || cpu::may_admin(),
                None => may_see(&job),
            };
            if !is_permitted {
                return Err(code::EPERM);
            }
            if let Some(new) = new {
                // With a lock, so that tasks are told of the last change last.
                let _threads = Threads::lock(&job);
                job.watch_calls(job.calls.set(&new));
            }
            tell(&job.calls.policy(), args);
        }
        _ => return Err(code::EINVAL),
    }
    args.flags = 0;
    Ok(())
}

/// Reads what a thread counted.
///
/// # Errors
///
/// `ENOENT` if there is no such job or thread, `EPERM` if the job is another user's, `ENOMEM`, `EFAULT`.
pub(super) fn read(args: &mut CallsRead) -> Result {
    require_zero(&[args.flags.into(), args.reserved.into()])?;
    let mut records = Records::new(args.records_ptr, args.nr)?;
    let job = exact_job(&mut *STATE.lock_killable()?, args.job)?;
    if !may_see(&job) {
        return Err(code::EPERM);
    }
    let report = syscall::read(&job, args.tid)?;
    args.nr = 0;
    for record in report.records.iter() {
        if records.is_full() {
            break;
        }
        records.push(record)?;
        args.nr += 1;
    }
    args.tid = report.tid;
    args.comm = report.comm;
    args.lost = report.lost;
    Ok(())
}
