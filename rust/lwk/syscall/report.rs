// SPDX-License-Identifier: GPL-2.0
//! What the threads of a job counted.
#![forbid(unsafe_code)]

use crate::{
    sys::{
        job::Job,
        thread::{Sum, Thread, Threads},
    },
    uapi::{CallRecord, COMM_LEN},
};
use kernel::{
    error::{code, Result},
    prelude::*,
};

/// One thread, or the sum of all.
pub(crate) struct Report {
    /// Its number, 0 for the sum.
    pub(crate) tid: u32,
    /// Its command name.
    pub(crate) comm: [u8; COMM_LEN],
    /// What it counted, by number of the call.
    pub(crate) records: KVVec<CallRecord>,
    /// What it could not count.
    pub(crate) lost: u64,
}

/// Reads the thread with the smallest number from `tid` on, or with 0 the sum of all, also of those that ended.
///
/// # Errors
///
/// `ENOENT` if there is no such thread, `ENOMEM`.
pub(crate) fn read(job: &Job, tid: u32) -> Result<Report> {
    // The caller's memory is not touched under the lock, as a page fault of a job may need it.
    let mut report = if tid == 0 {
        sum(job)?
    } else {
        let threads = Threads::lock(job);
        let later = threads.iter().filter(|thread| thread.tid() >= tid);
        thread(
            later
                .min_by_key(|thread| thread.tid())
                .ok_or(code::ENOENT)?,
        )?
    };
    report.records.sort_unstable_by_key(|record| record.call);
    Ok(report)
}

fn collect(records: impl Iterator<Item = CallRecord>) -> Result<KVVec<CallRecord>> {
    let mut collected = KVVec::new();
    for record in records {
        collected.push(record, GFP_KERNEL)?;
    }
    Ok(collected)
}

fn thread(thread: &Thread) -> Result<Report> {
    Ok(Report {
        tid: thread.tid(),
        comm: thread.comm(),
        records: collect(thread.counts.records())?,
        lost: thread.counts.lost(),
    })
}

fn sum(job: &Job) -> Result<Report> {
    let sum = Sum::new().ok_or(code::ENOMEM)?;
    let counts = sum.counts();
    {
        let threads = Threads::lock(job);
        if let Some(ended) = threads.ended() {
            counts.merge(ended);
        }
        threads
            .iter()
            .for_each(|thread| counts.merge(&thread.counts));
    }
    Ok(Report {
        tid: 0,
        comm: [0; COMM_LEN],
        records: collect(counts.records())?,
        lost: counts.lost(),
    })
}
