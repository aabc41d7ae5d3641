// SPDX-License-Identifier: GPL-2.0
//! What the threads of a job counted.
//!
//! A thread that ends waits for who looks at the list of threads, so that nobody looks at all of them in one go. What is
//! read is no snapshot: counts go on meanwhile.
#![forbid(unsafe_code)]

use crate::{
    logic::counts::THREAD_CALLS,
    sys::{
        job::Job,
        thread::{for_each, Sum, Threads},
    },
    uapi::{CallRecord, COMM_LEN},
};
use kernel::{
    error::{code, Result},
    prelude::*,
};

/// How often the sum is taken anew because threads ended meanwhile, whose counts may be missing.
const TRIES: u32 = 4;

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

/// Reads the thread with the smallest number from `tid` on that the caller may look at, or with 0 the sum of all, also of
/// those that ended.
///
/// # Errors
///
/// `ENOENT` if there is no such thread, `ENOMEM`.
pub(crate) fn read(job: &Job, tid: u32) -> Result<Report> {
    if tid == 0 {
        sum(job)
    } else {
        thread(job, tid)
    }
}

fn thread(job: &Job, mut from: u32) -> Result<Report> {
    // Room first, as nothing may sleep while it is filled.
    let mut report = Report {
        tid: 0,
        comm: [0; COMM_LEN],
        records: KVVec::with_capacity(THREAD_CALLS, GFP_KERNEL)?,
        lost: 0,
    };
    loop {
        let mut first: Option<u32> = None;
        for_each(job, |thread| {
            if let Some(number) = thread.number_here().filter(|number| *number >= from) {
                first = Some(first.map_or(number, |first| first.min(number)));
            }
        });
        let number = first.ok_or(code::ENOENT)?;
        for_each(job, |thread| {
            if report.tid != 0 || thread.number_here() != Some(number) {
                return;
            }
            (report.tid, report.comm) = (number, thread.comm());
            report.lost = thread.counts.lost();
            for record in thread.counts.records() {
                // Cannot fail: there is room for all.
                let _ = report.records.push(record, GFP_ATOMIC);
            }
        });
        if report.tid != 0 {
            return Ok(report);
        }
        // It ended meanwhile.
        from = number.checked_add(1).ok_or(code::ENOENT)?;
    }
}

fn sum(job: &Job) -> Result<Report> {
    let mut tries = TRIES;
    loop {
        let sum = Sum::new().ok_or(code::ENOMEM)?;
        let counts = sum.counts();
        let nr_ended = {
            let threads = Threads::lock(job);
            if let Some(ended) = threads.ended() {
                counts.merge(ended);
            }
            threads.nr_ended()
        };
        for_each(job, |thread| counts.merge(&thread.counts));
        tries -= 1;
        if tries > 0 && Threads::lock(job).nr_ended() != nr_ended {
            continue;
        }
        let mut records = KVVec::new();
        for record in counts.records() {
            records.push(record, GFP_KERNEL)?;
        }
        return Ok(Report {
            tid: 0,
            comm: [0; COMM_LEN],
            records,
            lost: counts.lost(),
        });
    }
}
