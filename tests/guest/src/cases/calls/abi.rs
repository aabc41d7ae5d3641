// SPDX-License-Identifier: GPL-2.0
//! Bad arguments of the requests about system calls: each gives the error that the ABI promises and changes nothing.

use anyhow::{ensure, Context, Result};
use lwk_logic::uapi::{self, CallRecord, CallTable, CallsRead};
use nix::libc;
use rustix::io::Errno;

use super::partition;
use crate::calls::{self, contains, Whose};
use crate::job::{self, Beating};
use crate::sys::lwk::{self, size_of_abi, IoResult, BAD_ADDRESSES};
use crate::sys::spawn;

type Spoil = fn(&mut CallTable);

/// Sets the table of a job to what it is already but for `spoil`.
fn set_with(whose: Whose, spoil: impl FnOnce(&mut CallTable), tail: &[u8]) -> Result<IoResult<()>> {
    let mut table = calls::get(whose)?;
    table.flags = uapi::CALLS_SET;
    table.size += u32::try_from(tail.len())?;
    spoil(&mut table);
    Ok(lwk::call_table_with(&lwk::open()?, &mut table, tail))
}

fn put(set: &mut [u64; 8], nr: libc::c_long, is_in: bool) {
    let bit = 1 << (nr % 64);
    if let Some(word) = usize::try_from(nr / 64).ok().and_then(|at| set.get_mut(at)) {
        *word = if is_in { *word | bit } else { *word & !bit };
    }
}

/// Expects an error and the table as it was.
fn refuses(
    whose: Whose,
    what: &str,
    wanted: Errno,
    tail: &[u8],
    spoil: impl FnOnce(&mut CallTable),
) -> Result<()> {
    let before = calls::get(whose)?;
    let result = set_with(whose, spoil, tail)?;
    ensure!(
        result == Err(wanted),
        "{what}: wanted {wanted:?}, got {result:?}"
    );
    let after = calls::get(whose)?;
    let text = |table: &CallTable| format!("{table:?}");
    ensure!(
        text(&before) == text(&after),
        "{what}: {before:?} became {after:?}"
    );
    Ok(())
}

/// Tables that make no sense.
pub(super) fn tables() -> Result<()> {
    let job = Beating::start(&["-c", "2"])?;
    let id = job::jobs()?.first().context("no job")?.id;
    let of_partition = Whose::Partition(partition()?.id);
    let bad: [(&str, Errno, Spoil); 17] = [
        ("an unknown flag", Errno::INVAL, |table| table.flags |= 2),
        ("another", Errno::INVAL, |table| table.flags = 1 << 31),
        ("no target", Errno::INVAL, |table| {
            (table.partition, table.job) = (0, 0);
        }),
        ("both targets", Errno::INVAL, |table| {
            (table.partition, table.job) = (1, 1);
        }),
        ("no such job", Errno::NOENT, |table| {
            (table.partition, table.job) = (0, 0x7fff_ffff);
        }),
        ("no such partition", Errno::NOENT, |table| {
            (table.partition, table.job) = (60, 0);
        }),
        ("a partition out of range", Errno::NOENT, |table| {
            (table.partition, table.job) = (u32::MAX, 0);
        }),
        ("an unknown option", Errno::INVAL, |table| {
            table.options |= 8;
        }),
        ("another option", Errno::INVAL, |table| {
            table.options |= 1 << 31;
        }),
        ("too long a stay", Errno::INVAL, |table| {
            table.batch_ns = uapi::MAX_BATCH_NS + 1;
        }),
        ("the longest number", Errno::INVAL, |table| {
            table.batch_ns = u32::MAX;
        }),
        ("a reserved field", Errno::INVAL, |table| table.reserved = 1),
        ("a call that is not native", Errno::INVAL, |table| {
            put(&mut table.moved, libc::SYS_write, false);
            put(&mut table.native, libc::SYS_write, true);
        }),
        ("a call in both sets", Errno::INVAL, |table| {
            put(&mut table.moved, libc::SYS_sched_yield, true);
            put(&mut table.native, libc::SYS_sched_yield, true);
        }),
        ("a call that cannot move", Errno::INVAL, |table| {
            put(&mut table.moved, libc::SYS_rt_sigreturn, true);
        }),
        ("a short structure", Errno::INVAL, |table| table.size -= 8),
        ("no size", Errno::INVAL, |table| table.size = 0),
    ];
    for whose in [Whose::Job(id), of_partition] {
        for (what, wanted, spoil) in bad {
            refuses(whose, what, wanted, &[], spoil)?;
        }
        refuses(
            whose,
            "a tail",
            Errno::TOOBIG,
            &[0, 0, 0, 0, 0, 0, 1, 0],
            |_| (),
        )?;
        let larger = set_with(whose, |_| (), &[0; 16])?;
        ensure!(larger == Ok(()), "a tail of zeros: {larger:?}");
    }
    let longest = set_with(
        Whose::Job(id),
        |table| table.batch_ns = uapi::MAX_BATCH_NS,
        &[],
    )?;
    ensure!(longest == Ok(()), "the longest stay: {longest:?}");
    job.kill()
}

/// A table is read as it was set, by a job's creator also without rights.
pub(super) fn round_trip() -> Result<()> {
    let job = Beating::start(&["-c", "2"])?;
    let whose = Whose::Job(job::jobs()?.first().context("no job")?.id);
    let mut table = calls::get(whose)?;
    ensure!(contains(&table.moved, libc::SYS_read), "{table:?}");
    ensure!(contains(&table.native, libc::SYS_sched_yield), "{table:?}");
    ensure!(!contains(&table.moved, libc::SYS_mmap), "{table:?}");
    for nr in [libc::SYS_read, libc::SYS_openat] {
        put(&mut table.moved, nr, false);
    }
    put(&mut table.native, libc::SYS_sched_yield, false);
    put(&mut table.moved, libc::SYS_mmap, true);
    (table.options, table.batch_ns) = (uapi::CALLS_EXCLUSIVE | uapi::CALLS_TIMED, 7);
    calls::set(whose, &table)?;
    let read = calls::get(whose)?;
    ensure!(format!("{read:?}") == format!("{table:?}"), "{read:?}");
    // Opened with all rights and used without them.
    let device = lwk::open()?;
    let child = spawn(|| {
        if nix::unistd::setuid(1000.into()).is_err() {
            return 1;
        }
        let (mut get, mut set) = (read, read);
        set.flags = uapi::CALLS_SET;
        if lwk::call_table(&device, &mut get) != Err(Errno::PERM) {
            return 2;
        }
        if lwk::call_table(&device, &mut set) != Err(Errno::PERM) {
            return 3;
        }
        (set.job, set.partition) = (0, 1);
        match lwk::call_table(&device, &mut set) {
            Err(Errno::PERM) => 0,
            _ => 4,
        }
    })?;
    let status = nix::sys::wait::waitpid(child, None).context("wait")?;
    ensure!(
        status == nix::sys::wait::WaitStatus::Exited(child, 0),
        "another user: {status:?}"
    );
    job.kill()
}

/// Reads counts with bad arguments.
pub(super) fn counts() -> Result<()> {
    let job = Beating::start(&["-c", "2"])?;
    let id = job::jobs()?.first().context("no job")?.id;
    let mut records = [CallRecord::default(); 512];
    let mut read = |spoil: fn(&mut CallsRead), room: usize| -> Result<(IoResult<()>, CallsRead)> {
        let mut arg = CallsRead {
            size: size_of_abi::<CallsRead>(),
            job: id,
            ..Default::default()
        };
        spoil(&mut arg);
        let records = records.get_mut(..room).context("so much room")?;
        let result = lwk::calls_read(&lwk::open()?, &mut arg, records);
        Ok((result, arg))
    };
    let (good, all) = read(|_| (), 512)?;
    ensure!(good == Ok(()) && all.nr > 3, "{good:?}, {all:?}");
    type Spoil = fn(&mut CallsRead);
    let bad: [(&str, Errno, Spoil); 7] = [
        ("an unknown flag", Errno::INVAL, |arg| arg.flags = 1),
        ("a reserved field", Errno::INVAL, |arg| arg.reserved = 1),
        ("no job", Errno::NOENT, |arg| arg.job = 0),
        ("no such job", Errno::NOENT, |arg| arg.job = 0x7fff_ffff),
        ("no such thread", Errno::NOENT, |arg| arg.tid = u32::MAX),
        ("a bad address", Errno::FAULT, |arg| {
            arg.records_ptr = BAD_ADDRESSES[2];
        }),
        ("a short structure", Errno::INVAL, |arg| arg.size = 48),
    ];
    for (what, wanted, spoil) in bad {
        let (result, _) = read(spoil, 512)?;
        ensure!(
            result == Err(wanted),
            "{what}: wanted {wanted:?}, got {result:?}"
        );
    }
    // Less room than there is to tell.
    for room in [0, 1, 2] {
        let (result, arg) = read(|_| (), room)?;
        ensure!(
            result == Ok(()) && usize::try_from(arg.nr)? == room,
            "room for {room}: {result:?}, {arg:?}"
        );
    }
    job.kill()
}
