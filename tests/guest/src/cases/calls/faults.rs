// SPDX-License-Identifier: GPL-2.0
//! Page faults that read or write files are carried out on CPUs of Linux; those of memory are not.
//!
//! The machine has a disk, `/dev/vda`.

use std::fs;
use std::process::Command;

use anyhow::{ensure, Context, Result};

use super::{is_linux, is_lwk, NO_BATCH};
use crate::job;
use crate::trace::{self, Events, Trace, CALLS};

const DISK: &str = "/dev/vda";
const MOUNT: &str = "/tmp/disk";
const TRACING: &str = "/sys/kernel/tracing";
const PROBE: &str = "lwktest_mkwrite";

/// Empties the page cache.
fn forget() -> Result<()> {
    rustix::fs::sync();
    let path = "/proc/sys/vm/drop_caches";
    fs::write(path, "3").context(path)
}

/// Runs a program that touches pages of a file nobody has read, and returns what the kernel did meanwhile.
fn touch(options: &[&str], program: &[&str], events: &[&str]) -> Result<(Events, i32)> {
    forget()?;
    let all = [
        &CALLS[..],
        &["exceptions/page_fault_user", "sched/sched_migrate_task"],
        events,
    ];
    let trace = Trace::start(&all.concat())?;
    let options = [&NO_BATCH[..], options].concat();
    let told = job::run(&mut job::yod_inside(&options, program))?;
    told.expect_code(0)?;
    ensure!(is_lwk(told.value("cpu")?.parse()?), "{told:?}");
    let events = trace.stop()?;
    let tid = events.who_marked(1)?;
    Ok((events, tid))
}

/// The CPUs of a thread's events of a name.
fn cpus(events: &Events, name: &str, tid: i32) -> Vec<usize> {
    let own = events.named(name).filter(|event| event.tid == tid);
    own.map(|event| event.cpu).collect()
}

/// Pages of a file that is not in memory.
pub(super) fn read() -> Result<()> {
    let program = ["calls-read-pages", DISK, "512"];
    let (events, tid) = touch(&[], &program, &["block/block_bio_queue"])?;
    let (file, memory) = (events.between(1, 2)?, events.between(2, 3)?);
    let requests = cpus(&file, "block_bio_queue", tid);
    ensure!(!requests.is_empty(), "nothing was read");
    ensure!(requests.iter().all(|cpu| is_linux(*cpu)), "{requests:?}");
    for (what, events, least) in [("of the file", &file, 1), ("of memory", &memory, 512)] {
        let faults = cpus(events, "page_fault_user", tid);
        ensure!(faults.len() >= least, "{} faults {what}", faults.len());
        ensure!(faults.iter().all(|cpu| is_lwk(*cpu)), "{what}: {faults:?}");
    }
    ensure!(
        file.migrations(tid) >= 2,
        "{} travels",
        file.migrations(tid)
    );
    ensure!(
        memory.migrations(tid) == 0,
        "{} travels for memory",
        memory.migrations(tid)
    );
    // What is in memory already needs no travel: the program's own pages, and a second reading.
    let (events, tid) = touch(
        &["--syscalls", "local=all"],
        &program,
        &["block/block_bio_queue"],
    )?;
    let requests = cpus(&events.between(1, 2)?, "block_bio_queue", tid);
    ensure!(!requests.is_empty(), "nothing was read");
    ensure!(requests.iter().all(|cpu| is_lwk(*cpu)), "{requests:?}");
    Ok(())
}

/// A file system on the disk, and a probe where it is told of pages to be written.
pub(super) fn set_up() -> Result<()> {
    job::run(Command::new("/bin/mke2fs").args(["-F", DISK]))?.success()?;
    fs::create_dir_all(MOUNT).context(MOUNT)?;
    let mut mount = Command::new("/bin/mount");
    job::run(mount.args(["-t", "ext2", DISK, MOUNT]))?.success()?;
    let path = format!("{TRACING}/kprobe_events");
    let probe = format!("p:kprobes/{PROBE} ext4_page_mkwrite");
    fs::write(&path, probe).context(path)
}

/// Takes both away.
pub(super) fn take_down() -> Result<()> {
    trace::forget()?;
    let path = format!("{TRACING}/kprobe_events");
    // Opening it for writing afresh removes the probe.
    fs::write(&path, "\n").context(path)?;
    job::run(Command::new("/bin/umount").arg(MOUNT))?
        .success()
        .map(drop)
}

/// Pages of a file of a file system that wants to know of writes.
pub(super) fn written() -> Result<()> {
    let path = format!("{MOUNT}/file");
    fs::File::create(&path)
        .and_then(|file| file.set_len(64 * 4096))
        .context(path.clone())?;
    let probe = format!("kprobes/{PROBE}");
    let program = ["calls-write-pages", &path, "64"];
    let (events, tid) = touch(&[], &program, &[&probe])?;
    let told = cpus(&events.between(1, 2)?, PROBE, tid);
    ensure!(told.len() >= 64, "told of {} pages", told.len());
    ensure!(told.iter().all(|cpu| is_linux(*cpu)), "{told:?}");
    forget()?;
    let bytes = fs::read(&path).context(path)?;
    ensure!(bytes.iter().step_by(4096).all(|byte| *byte == 1), "lost");
    Ok(())
}

/// What faults are counted as.
pub(super) fn counted() -> Result<()> {
    forget()?;
    let told = job::run(&mut job::yod_inside(
        &["--syscall-report"],
        &["calls-read-pages", DISK, "512"],
    ))?;
    told.expect_code(0)?;
    let row = told
        .stderr
        .lines()
        .find(|line| line.starts_with("file_fault"));
    let row = row.with_context(|| format!("no file_fault in {told:?}"))?;
    let count: u64 = row.split_whitespace().nth(4).context("moved")?.parse()?;
    ensure!(count > 0, "{row}");
    Ok(())
}
