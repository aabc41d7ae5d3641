// SPDX-License-Identifier: GPL-2.0
//! Programs that use all of what they were promised, and those that try to have others pay for it.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};

use anyhow::{ensure, Context, Result};
use nix::sys::wait::{waitpid, WaitStatus};
use rustix::fs::{fallocate, memfd_create, FallocateFlags, MemfdFlags};

use super::limits::make_job;
use super::number;
use super::pages::tell_job;
use crate::sys::limits::Userfault;
use crate::sys::lwk;
use crate::sys::map::Mapping;
use crate::sys::{spawn, PAGE};

const M: usize = 1 << 20;

/// Maps so many MiB, more than Linux has, and touches some; has a child with the same memory, or waits until it is told to
/// end.
pub(super) fn beyond_linux(args: &[&str]) -> Result<()> {
    let (mib, touched) = (number(args, 0)?, number(args, 1)?);
    let text = fs::read_to_string("/proc/meminfo").context("meminfo")?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let total = total.context("MemTotal")?.trim_end_matches("kB").trim();
    println!("linux {}", total.parse::<usize>()? >> 10);
    let mut memory = Mapping::new(mib * M)?;
    for page in memory.bytes_mut()[..touched * M].chunks_mut(2 * M) {
        page[0] = 9;
    }
    println!("mapped 1");
    if args.get(2) == Some(&"hold") {
        return std::io::stdin().read_exact(&mut [0]).context("stdin");
    }
    let written = &memory.bytes()[..touched * M];
    let child = spawn(|| u8::from(written.chunks(2 * M).any(|page| page[0] != 9)))?;
    let status = waitpid(child, None)?;
    ensure!(status == WaitStatus::Exited(child, 0), "{status:?}");
    println!("forked 1");
    tell_job()
}

/// Moves pages with `UFFDIO_MOVE` between mappings that it made before it entered a job and after, and between two of the
/// job; prints the outcomes.
pub(super) fn move_pages(_: &[&str]) -> Result<()> {
    const LEN: usize = 64 << 10;
    let before = Mapping::new(2 * M)?;
    let mut old = Mapping::new(2 * M)?;
    old.bytes_mut()[..LEN].fill(1);
    let device = lwk::open()?;
    let mut enter = make_job(&device)?;
    lwk::job_enter(&device, &mut enter, &[]).context("LWK_JOB_ENTER")?;
    let mut own = Mapping::new(LEN)?;
    own.bytes_mut().fill(2);
    let other = Mapping::sparse(LEN)?;
    let uffd = Userfault::new()?;
    for memory in [&before, &other] {
        uffd.register(memory)?;
    }
    println!("out {:?}", uffd.move_into(&before, &own, LEN));
    println!("in {:?}", uffd.move_into(&other, &old, LEN));
    println!("within {:?}", uffd.move_into(&other, &own, LEN));
    drop(uffd);
    ensure!(other.bytes().iter().all(|byte| *byte == 2), "not moved");
    Ok(())
}

/// KiB that a file has.
fn kib(file: &File) -> Result<u64> {
    Ok(file.metadata()?.blocks() / 2)
}

/// Has 32 MiB in a file and punches holes that leave one page of each huge one, then cuts the file to one page, grows it
/// again, and punches all of it.
pub(super) fn punch(_: &[&str]) -> Result<()> {
    const LEN: usize = 32 * M;
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let file = File::from(memfd_create("test", MemfdFlags::empty()).context("memfd")?);
    file.set_len(LEN as u64).context("memfd")?;
    let mut memory = Mapping::of_file(&file, LEN)?;
    memory.bytes_mut().fill(5);
    for first in (0..LEN).step_by(2 * M) {
        let (at, len) = ((first + PAGE) as u64, (2 * M - PAGE) as u64);
        fallocate(&file, flags, at, len).context("a hole")?;
    }
    println!("punched {}", kib(&file)?);
    let kept = |bytes: &[u8]| {
        let mut pages = bytes.chunks(PAGE).enumerate();
        pages.all(|(nr, page)| {
            page.iter()
                .all(|byte| *byte == if nr % 512 == 0 { 5 } else { 0 })
        })
    };
    ensure!(kept(memory.bytes()), "not what is left");
    tell_job()?;
    memory.bytes_mut()[..2 * M].fill(5);
    file.set_len(PAGE as u64).context("memfd")?;
    println!("cut {}", kib(&file)?);
    ensure!(
        memory.bytes()[..PAGE].iter().all(|byte| *byte == 5),
        "cut too much"
    );
    file.set_len(LEN as u64).context("memfd")?;
    ensure!(
        memory.bytes()[PAGE..2 * M].iter().all(|byte| *byte == 0),
        "what was cut is back"
    );
    let mut byte = [1];
    file.read_exact_at(&mut byte, (2 * M - 1) as u64)?;
    ensure!(byte == [0], "what was cut is back in the file");
    fallocate(&file, flags, 0, LEN as u64).context("a hole")?;
    println!("gone {}", kib(&file)?);
    Ok(())
}

/// A frame of 64 KiB on the stack, and so many more below.
#[inline(never)]
fn descend(nr: usize) -> usize {
    let frame = black_box([1_u8; 64 << 10]);
    let below = if nr == 0 { 0 } else { descend(nr - 1) };
    usize::from(black_box(&frame)[nr % frame.len()]) + below
}

/// Maps memory until it gets no more, and then uses 4 MiB of its stack.
pub(super) fn full_stack(_: &[&str]) -> Result<()> {
    println!("begun 1");
    let mut all: Vec<Mapping> = Vec::with_capacity(64);
    while all.len() < 64 {
        let Ok(mut memory) = Mapping::new(2 * M) else {
            break;
        };
        memory.bytes_mut().fill(1);
        all.push(memory);
    }
    println!("mapped {}", all.len());
    println!("frames {}", descend(63));
    Ok(())
}
