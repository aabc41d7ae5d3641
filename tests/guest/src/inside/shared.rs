// SPDX-License-Identifier: GPL-2.0
//! Programs with memory that others share, with pages of hugetlbfs, and with much on the stack of their first thread.

use std::fs::File;
use std::hint::black_box;

use anyhow::{bail, ensure, Context, Result};
use nix::sys::wait::{waitpid, WaitStatus};
use rustix::fs::{memfd_create, MemfdFlags};
use rustix::mm::MapFlags;

use super::number;
use super::pages::{faults, smaps_kib, tell_job};
use crate::sys::calls;
use crate::sys::map::Mapping;
use crate::sys::{spawn, PAGE};

const M: usize = 1 << 20;

/// Makes shared memory of a kind.
fn make(kind: &str, len: usize) -> Result<Mapping> {
    match kind {
        "anonymous" => Mapping::shared(len),
        "memfd" => {
            let file = File::from(memfd_create("test", MemfdFlags::empty()).context("memfd")?);
            file.set_len(len as u64).context("memfd")?;
            Mapping::of_file(file, len)
        }
        "segment" => {
            let id = calls::make_segment(len)?;
            let memory = Mapping::of_segment(id, len);
            // It lives on while it is attached.
            calls::remove_segment(id)?;
            memory
        }
        _ => bail!("no shared memory is called {kind:?}"),
    }
}

/// Shares so many MiB with a child, which writes to all of them.
pub(super) fn shared(args: &[&str]) -> Result<()> {
    let kind = *args.first().context("a kind")?;
    let mut memory = make(kind, number(args, 1)? * M)?;
    println!("resident {}", smaps_kib(memory.address(), "Rss")?);
    println!("huge {}", smaps_kib(memory.address(), "ShmemPmdMapped")?);
    let before = faults()?;
    ensure!(memory.bytes().iter().all(|byte| *byte == 0), "not zero");
    memory.bytes_mut().fill(1);
    println!("faults {}", faults()? - before);
    println!(
        "huge-at-end {}",
        smaps_kib(memory.address(), "ShmemPmdMapped")?
    );
    give_to_child(&mut memory)?;
    tell_job()
}

fn give_to_child(memory: &mut Mapping) -> Result<()> {
    let child = spawn(|| {
        let is_ours = memory.bytes().iter().step_by(PAGE).all(|byte| *byte == 1);
        memory.bytes_mut().fill(2);
        u8::from(!is_ours)
    })?;
    ensure!(
        waitpid(child, None)? == WaitStatus::Exited(child, 0),
        "the child"
    );
    ensure!(
        memory.bytes().iter().all(|byte| *byte == 2),
        "what the child wrote"
    );
    Ok(())
}

/// Leaves a segment of so many MiB behind.
pub(super) fn leave_segment(args: &[&str]) -> Result<()> {
    let len = number(args, 0)? * M;
    let id = calls::make_segment(len)?;
    Mapping::of_segment(id, len)?.bytes_mut().fill(5);
    println!("id {id}");
    tell_job()
}

#[inline(never)]
fn touch(bytes: &mut [u8]) {
    for page in bytes.chunks_mut(PAGE) {
        page[0] = 1;
    }
}

/// Maps so many MiB that must be pages of hugetlbfs, of 2 MiB or 1 GiB, private or shared.
pub(super) fn hugetlb(args: &[&str]) -> Result<()> {
    let len = number(args, 0)? * M;
    let mut flags = MapFlags::empty();
    for arg in args.iter().skip(1) {
        flags |= match *arg {
            "2m" => MapFlags::HUGE_2MB,
            "1g" => MapFlags::HUGE_1GB,
            "private" => MapFlags::PRIVATE,
            "shared" => MapFlags::SHARED,
            _ => bail!("{arg:?} is none of 2m, 1g, private, shared"),
        };
    }
    let mut memory = Mapping::hugetlb(len, flags)?;
    ensure!(
        memory.bytes().iter().step_by(PAGE).all(|byte| *byte == 0),
        "not zero"
    );
    // The code of the program is there afterwards.
    touch(&mut [0; PAGE]);
    println!("at-first {}", faults()?);
    let before = faults()?;
    touch(memory.bytes_mut());
    println!("faults {}", faults()? - before);
    println!("page {}", smaps_kib(memory.address(), "KernelPageSize")?);
    println!("huge {}", smaps_kib(memory.address(), "AnonHugePages")?);
    println!(
        "hugetlb {}",
        smaps_kib(memory.address(), "Private_Hugetlb")?
            + smaps_kib(memory.address(), "Shared_Hugetlb")?
    );
    tell_job()
}

/// Uses 5 MiB of the first thread's stack.
pub(super) fn main_stack(_: &[&str]) -> Result<()> {
    // The code of the program is there afterwards.
    use_stack::<PAGE>();
    println!("at-first {}", faults()?);
    let before = faults()?;
    use_stack::<{ 5 * M }>();
    println!("faults {}", faults()? - before);
    tell_job()
}

#[inline(never)]
fn use_stack<const LEN: usize>() {
    black_box(&mut [1_u8; LEN]);
}
