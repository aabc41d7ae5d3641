// SPDX-License-Identifier: GPL-2.0
//! Where system calls are carried out, as `/dev/lwk` tells and sets it, and how often they were made.

use anyhow::{ensure, Context, Result};
use lwk_logic::uapi::{self, CallRecord, CallTable, CallsRead};
use nix::libc;
use rustix::io::Errno;

use crate::job;
use crate::sys::lwk::{self, size_of_abi};

/// Whose table.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Whose {
    /// That of a partition's jobs.
    Partition(u32),
    /// That of a job.
    Job(u32),
}

impl Whose {
    fn table(self) -> CallTable {
        let (partition, job) = match self {
            Whose::Partition(id) => (id, 0),
            Whose::Job(id) => (0, id),
        };
        CallTable {
            size: size_of_abi::<CallTable>(),
            partition,
            job,
            ..Default::default()
        }
    }
}

/// Reads a table.
pub(crate) fn get(whose: Whose) -> Result<CallTable> {
    let mut table = whose.table();
    lwk::call_table(&lwk::open()?, &mut table).with_context(|| format!("reading {whose:?}"))?;
    Ok(table)
}

/// Sets a table.
pub(crate) fn set(whose: Whose, table: &CallTable) -> Result<()> {
    let mut wanted = CallTable {
        flags: uapi::CALLS_SET,
        moved: table.moved,
        native: table.native,
        options: table.options,
        batch_ns: table.batch_ns,
        ..whose.table()
    };
    lwk::call_table(&lwk::open()?, &mut wanted).with_context(|| format!("setting {whose:?}"))
}

/// Whether a call is in a set.
pub(crate) fn contains(set: &[u64; 8], nr: libc::c_long) -> bool {
    let word = usize::try_from(nr / 64).ok().and_then(|at| set.get(at));
    word.is_some_and(|word| word >> (nr % 64) & 1 == 1)
}

/// What a thread did.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) tid: u32,
    pub(crate) comm: String,
    pub(crate) lost: u64,
    pub(crate) records: Vec<CallRecord>,
}

impl Counted {
    /// What it did of one call; zeros if it never made it.
    pub(crate) fn of(&self, nr: libc::c_long) -> CallRecord {
        let mut records = self.records.iter();
        let found = records.find(|record| libc::c_long::from(record.call) == nr);
        found.copied().unwrap_or_default()
    }
}

/// Reads the first thread from `tid` on, or the sum of all if that is 0; nothing behind the last.
pub(crate) fn read(job: u32, tid: u32) -> Result<Option<Counted>> {
    let mut records = [CallRecord::default(); uapi::MAX_CALLS];
    let mut arg = CallsRead {
        size: size_of_abi::<CallsRead>(),
        job,
        tid,
        ..Default::default()
    };
    match lwk::calls_read(&lwk::open()?, &mut arg, &mut records) {
        Err(Errno::NOENT) if tid != 0 => return Ok(None),
        result => result.context("LWK_CALLS_READ")?,
    }
    ensure!(arg.tid >= tid, "asked for {tid} or later, got {}", arg.tid);
    let records = records.get(..usize::try_from(arg.nr)?);
    let records = records.context("more records than there was room for")?;
    ensure!(
        records
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.call < b.call)),
        "not in order: {records:?}"
    );
    Ok(Some(Counted {
        tid: arg.tid,
        comm: job::text(&arg.comm),
        lost: arg.lost,
        records: records.to_vec(),
    }))
}

/// The sum of all threads of a job.
pub(crate) fn sum(job: u32) -> Result<Counted> {
    read(job, 0)?.context("no sum")
}

/// All threads of a job that made calls.
pub(crate) fn threads(job: u32) -> Result<Vec<Counted>> {
    let mut found: Vec<Counted> = Vec::new();
    let mut next = 1;
    while let Some(counted) = read(job, next)? {
        next = counted.tid + 1;
        found.push(counted);
    }
    Ok(found)
}
