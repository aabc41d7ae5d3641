// SPDX-License-Identifier: GPL-2.0
//! What jobs can take of memory that is not theirs, on a machine that booted with `lwkmem=256M` and can swap to a disk.

mod hugetlb;

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{ensure, Context, Result};

use super::pages::{good, value};
use crate::harness::Case;
use crate::job::{self, yod_inside, Finished};
use crate::memory::pools;
use crate::sys::limits::swap;

const M: u64 = 1 << 20;

/// Makes a case after which the pool must be whole.
const fn case(name: &'static str, what: &'static str, run: fn() -> Result<()>) -> Case {
    Case::new(name, what, run).around(whole, whole).limit_s(60)
}

/// The suite.
pub(super) const CASES: &[Case] = &[
    case(
        "locked-new",
        "what is mapped while all is locked is on no list of Linux, and is not swapped when it is unlocked",
        locked_new,
    ),
    case(
        "lock-beyond",
        "beyond its limit a process locks what it has of a pool, and nothing of Linux",
        lock_beyond,
    ),
    case(
        "badness",
        "the OOM killer counts what a process has of Linux, whatever others of its job have",
        badness,
    ),
    case(
        "badness-memcg",
        "the OOM killer of a cgroup counts what a process has of a pool, as the cgroup pays for it",
        badness_memcg,
    ),
    case(
        "left-pages",
        "pages that jobs of a user leave in files cost the pool nothing",
        left_pages,
    ),
    case(
        "set-uid",
        "the memory policy of a job is not for set-uid programs, and not for what they execute",
        set_uid,
    ),
    case(
        "heap-file",
        "the end of the heap moves as on Linux where a file is mapped over it or behind it",
        heap_file,
    ),
    case(
        "heap-exact",
        "the heap grows by what was asked for where there is no room for a step",
        || {
            good(&["-M", "128M", "--heap-step", "64M"], &["heap-exact"]).map(drop)
        },
    ),
    case(
        "file-end",
        "a page behind the end of a small file is not there, and not paid for",
        || {
            let got = good(&["-M", "64M"], &["file-end"])?;
            ensure!(value(&got, "bus-error")? == 1, "{got:?}");
            ensure!(value(&got, "kib")? == 4, "{got:?}");
            Ok(())
        },
    ),
    case(
        "enter-shared",
        "a process whose memory another one has, too, does not enter a job",
        enter_shared,
    ),
    case(
        "own-hugetlb",
        "a job that reserved pages of hugetlbfs gets its own of them",
        hugetlb::own,
    ),
    case(
        "unreserve-hugetlb",
        "a job that gives up what it reserved of hugetlbfs leaves others theirs",
        hugetlb::unreserve,
    ),
    case(
        "overcommit-hugetlb",
        "what jobs have of hugetlbfs is not of what others may have beyond its reserve",
        hugetlb::overcommit,
    ),
    case(
        "move-pages",
        "UFFDIO_MOVE takes no page into or out of what a process mapped as a job",
        move_pages,
    ),
    case(
        "punch",
        "a file pays for a huge page of a pool as long as it has any of it",
        punch,
    ),
    case(
        "full-stack",
        "in strict mode the stack grows though nothing is left of the promise",
        || {
            let got = good(&["-M", "32M", "--strict"], &["full-stack"])?;
            ensure!((8..16).contains(&value(&got, "mapped")?), "{got:?}");
            ensure!(value(&got, "frames")? == 64, "{got:?}");
            Ok(())
        },
    ),
    case(
        "stays",
        "compaction takes no page from a list that a job maps",
        stays,
    ),
];

/// Waits until the pool has all of its memory, promised to nobody.
fn whole() -> Result<()> {
    let id = job::partitions()?.first().context("no partition")?.id;
    let is_whole = || {
        let pools = pools(id)?;
        Ok(pools.iter().all(|pool| {
            pool.total == 256 * M && pool.free == pool.total && pool.unreserved == pool.share
        }))
    };
    job::eventually(
        Duration::from_secs(20),
        "all memory back in the pool",
        is_whole,
    )
    .with_context(|| format!("{:?}", pools(id)))
}

/// Writes the header of swap space to a disk, as mkswap(8) does: version, last page, and a signature at the page's end.
fn make_swap(path: &str, bytes: u64) -> Result<()> {
    let disk = File::options().write(true).open(path).context("the disk")?;
    let mut page = [0_u8; 4096];
    let last = u32::try_from(bytes / 4096 - 1)?;
    page[1024..1028].copy_from_slice(&1_u32.to_ne_bytes());
    page[1028..1032].copy_from_slice(&last.to_ne_bytes());
    page[4086..].copy_from_slice(b"SWAPSPACE2");
    disk.write_all_at(&page, 0).context("the disk")
}

/// Does something with a new cgroup that has a controller for memory.
fn with_group<T>(what: impl FnOnce(&str) -> Result<T>) -> Result<T> {
    let root = "/sys/fs/cgroup/cgroup.subtree_control";
    fs::write(root, "+memory").context(root)?;
    let group = "/sys/fs/cgroup/limits";
    fs::create_dir(group).context(group)?;
    let result = what(group);
    job::eventually(Duration::from_secs(5), "an empty cgroup", || {
        Ok(fs::remove_dir(group).is_ok())
    })?;
    result
}

fn locked_new() -> Result<()> {
    make_swap("/dev/vda", 128 * M)?;
    swap(c"/dev/vda", true)?;
    let got = with_group(|group| good(&["-M", "64M"], &["locked-new", group]));
    swap(c"/dev/vda", false)?;
    let got = got?;
    ensure!(value(&got, "locked")? >= 32 << 10, "{got:?}");
    ensure!(value(&got, "used")? >= 32 * M, "{got:?}");
    ensure!(value(&got, "listed")? == 0, "{got:?}");
    ensure!(value(&got, "swapped")? == 0, "{got:?}");
    Ok(())
}

fn badness_memcg() -> Result<()> {
    // The killer tells of what it does with a trace, which would be a failure on the console.
    let path = "/proc/sys/kernel/printk";
    let levels = fs::read_to_string(path).context(path)?;
    fs::write(path, "1").context(path)?;
    let got = with_group(|group| {
        fs::write(format!("{group}/memory.max"), "48M").context("memory.max")?;
        good(&["-M", "128M"], &["memcg-oom", group])
    });
    fs::write(path, levels).context(path)?;
    let got = got?;
    ensure!(value(&got, "large")? == 1, "{got:?}");
    ensure!(value(&got, "small")? == 0, "{got:?}");
    Ok(())
}

fn lock_beyond() -> Result<()> {
    let got = good(&["-M", "64M"], &["lock-beyond"])?;
    ensure!(value(&got, "files")? == 0, "{got:?}");
    ensure!(value(&got, "own")? == 1, "{got:?}");
    // It needs no lock.
    ensure!(value(&got, "own-kib")? == 0, "{got:?}");
    ensure!(value(&got, "spilled")? > 8 * M, "{got:?}");
    ensure!(value(&got, "spilled-locked")? == 0, "{got:?}");
    ensure!(value(&got, "all")? == 1, "{got:?}");
    ensure!((1..=36 << 10).contains(&value(&got, "all-kib")?), "{got:?}");
    ensure!(value(&got, "new-kib")? <= 36 << 10, "{got:?}");
    ensure!(value(&got, "too-much")? == 1, "{got:?}");
    Ok(())
}

fn badness() -> Result<()> {
    let got = good(&["-M", "128M"], &["badness"])?;
    let nothing = value(&got, "nothing")?;
    ensure!(value(&got, "spilled")? >= 64 * M, "{got:?}");
    ensure!(value(&got, "pool")? <= nothing + 4, "{got:?}");
    // Two thirds of a thousandth for each thousandth of the memory of Linux.
    ensure!(value(&got, "linux")? >= nothing + 20, "{got:?}");
    ensure!(value(&got, "shared")? <= nothing + 4, "{got:?}");
    Ok(())
}

/// Runs a program as an unprivileged member of the device's group.
fn as_member(program: &str, args: &[&str]) -> Result<Finished> {
    let mut command = Command::new(program);
    command.args(args).uid(1000).gid(0);
    job::run(&mut command)
}

/// Has an unprivileged user leave memory of jobs behind.
pub(super) fn leave(nr: u32, kib: u32) -> Result<()> {
    let (nr, kib) = (nr.to_string(), kib.to_string());
    let got = as_member("/init", &["inside", "leave-jobs", &nr, &kib])?;
    got.expect_code(0)?;
    ensure!(got.value("huge")? == "8192", "{got:?}");
    Ok(())
}

fn left_pages() -> Result<()> {
    // There are 128 blocks.
    leave(140, 4)
}

fn set_uid() -> Result<()> {
    let program = "/set-uid";
    fs::copy("/init", program).context(program)?;
    fs::set_permissions(program, Permissions::from_mode(0o4755)).context(program)?;
    let kept = |args: &[&str]| -> Result<u64> {
        let options = ["-M", "64M", "--keep-unneeded"];
        let got = as_member("/bin/yod", &[&options[..], args].concat())?;
        got.expect_code(0)?;
        value(&got, "kept")
    };
    let plain = kept(&["/init", "inside", "unneeded"])?;
    ensure!(plain == 4 * M, "{plain}");
    let suid = kept(&[program, "inside", "unneeded"])?;
    ensure!(suid == 0, "a set-uid program: {suid}");
    let executed = kept(&[program, "inside", "become", "unneeded"])?;
    ensure!(executed == 0, "what it executes: {executed}");
    // Nor do its mappings fail where the user says.
    let got = as_member(
        "/bin/yod",
        &["-M", "8M", "--strict", program, "inside", "map", "32"],
    )?;
    got.expect_code(0)?;
    fs::remove_file(program).context(program)
}

fn heap_file() -> Result<()> {
    let got = good(&["-M", "64M"], &["heap-file"])?;
    ensure!(value(&got, "kept")? == M, "{got:?}");
    ensure!(value(&got, "zero")? == M / 4, "{got:?}");
    ensure!(value(&got, "over-file")? == 0, "{got:?}");
    ensure!(value(&got, "kept-again")? == M, "{got:?}");
    Ok(())
}

fn enter_shared() -> Result<()> {
    let got = job::run(Command::new("/init").args(["inside", "enter-shared"]))?;
    got.expect_code(0)?;
    ensure!(got.value("with")?.contains("22"), "{got:?}");
    ensure!(got.value("without")? == "Ok(())", "{got:?}");
    Ok(())
}

fn move_pages() -> Result<()> {
    let got = job::run(Command::new("/init").args(["inside", "move-pages"]))?;
    got.expect_code(0)?;
    for direction in ["out", "in"] {
        ensure!(got.value(direction)? == "Err(EINVAL)", "{got:?}");
    }
    ensure!(got.value("within")? == "Ok(65536)", "{got:?}");
    Ok(())
}

fn punch() -> Result<()> {
    let got = good(&["-M", "64M"], &["punch"])?;
    ensure!(value(&got, "punched")? == 32 << 10, "{got:?}");
    ensure!(value(&got, "used")? >= 32 * M, "{got:?}");
    ensure!(value(&got, "cut")? == 2 << 10, "{got:?}");
    ensure!(value(&got, "gone")? == 0, "{got:?}");
    Ok(())
}

/// A count of `/proc/vmstat`.
fn vmstat(key: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/vmstat").context("vmstat")?;
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let count = line.context("a count")?.trim();
    count.parse().context("a count")
}

fn stays() -> Result<()> {
    // Its pages alternate with free ones, so that there is something to compact.
    let (path, between) = ("/tmp/mapped", "/tmp/between");
    let mut files = [File::create(path)?, File::create(between)?];
    for _ in 0..(64 << 20) / 4096 {
        for file in &mut files {
            file.write_all(&[5; 4096]).context(path)?;
        }
    }
    fs::remove_file(between).context(between)?;
    drop(files);
    let mut holder = yod_inside(&["-M", "16M"], &["map-file", path])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("yod")?;
    let mut out = BufReader::new(holder.stdout.take().context("no pipe")?);
    let mut line = String::new();
    out.read_line(&mut line).context("the job")?;
    ensure!(line.trim() == "mapped 1", "{line:?}");
    let before = vmstat("pgmigrate_fail ")?;
    for _ in 0..3 {
        fs::write("/proc/sys/vm/compact_memory", "1").context("compact_memory")?;
    }
    let failed = vmstat("pgmigrate_fail ")? - before;
    holder.kill().context("kill")?;
    holder.wait().context("wait")?;
    fs::remove_file(path).context(path)?;
    // It has 16384 pages.
    ensure!(failed < 512, "{failed} pages were taken for nothing");
    Ok(())
}
