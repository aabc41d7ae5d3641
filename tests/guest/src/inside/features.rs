// SPDX-License-Identifier: GPL-2.0
//! What Linux can do with memory, done with a job's; each program checks one thing.

use std::fs::{self, File};
use std::io::{IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use anyhow::{ensure, Context, Result};
use nix::libc;
use nix::sys::ptrace;
use nix::sys::signal::{kill, Signal};
use nix::sys::uio::{process_vm_readv, process_vm_writev, RemoteIoVec};
use nix::sys::wait::{waitpid, WaitStatus};
use rustix::mm::{Advice, MapFlags};
use rustix::process::{Resource, Rlimit};
use rustix::thread::{self, CapabilitySet};

use crate::sys::calls;
use crate::sys::map::Mapping;
use crate::sys::{spawn, PAGE};

const M: usize = 1 << 20;

/// A mapping in huge pages, with the number of its page in each.
fn numbered() -> Result<Mapping> {
    let mut memory = Mapping::new(4 * M)?;
    number_pages(&mut memory)?;
    Ok(memory)
}

fn number_pages(memory: &mut Mapping) -> Result<()> {
    for (nr, page) in memory.bytes_mut().chunks_mut(PAGE).enumerate() {
        page.fill(u8::try_from(nr % 256)?);
    }
    Ok(())
}

/// Physical frames of a mapping, from `/proc/self/pagemap`, and whether each was written to since `clear_refs`.
pub(super) fn frames(memory: &Mapping) -> Result<Vec<(u64, bool)>> {
    frames_from(memory, 0, memory.bytes().len() / PAGE)
}

/// The same of `nr` pages from page `first` on.
fn frames_from(memory: &Mapping, first: usize, nr: usize) -> Result<Vec<(u64, bool)>> {
    let mut file = File::open("/proc/self/pagemap").context("pagemap")?;
    let at = memory.address() / PAGE + first;
    file.seek(SeekFrom::Start((at * 8) as u64))?;
    let mut words = vec![0; nr * 8];
    file.read_exact(&mut words).context("pagemap")?;
    let word = |bytes: &[u8]| bytes.try_into().map(u64::from_ne_bytes).unwrap_or(0);
    let entry = |word: u64| (word & ((1 << 55) - 1), word >> 55 & 1 == 1);
    Ok(words.chunks(8).map(|bytes| entry(word(bytes))).collect())
}

/// Each page is in one piece with its neighbours of a huge page.
pub(super) fn pagemap(_: &[&str]) -> Result<()> {
    let memory = numbered()?;
    let frames = frames(&memory)?;
    for (nr, huge) in frames.chunks(512).enumerate() {
        let first = huge[0].0;
        ensure!(
            first != 0 && first.is_multiple_of(512),
            "huge page {nr}: {first:x}"
        );
        ensure!(
            (first..).zip(huge).all(|(wanted, found)| wanted == found.0),
            "huge page {nr}"
        );
    }
    Ok(())
}

/// Another process reads and writes it: by address, with a call for that, and as a debugger.
pub(super) fn foreign_access(_: &[&str]) -> Result<()> {
    let mut memory = numbered()?;
    let (address, pages) = (memory.address(), memory.bytes().len() / PAGE);
    let child = {
        let memory = &mut memory;
        spawn(move || {
            let memory = memory.bytes_mut();
            // Waits until its parent changed the last page.
            while memory[memory.len() - 1] != 77 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            let found = [5, 9, 12].map(|page| memory[page * PAGE]);
            u8::from(found != [78, 9, 79])
        })?
    };
    let path = |what| format!("/proc/{child}/{what}");
    let mut page = [0; PAGE];
    let file = File::options()
        .read(true)
        .write(true)
        .open(path("mem"))
        .context("mem")?;
    file.read_exact_at(&mut page, (address + 300 * PAGE) as u64)
        .context("read")?;
    ensure!(page == [44; PAGE], "{:?}", &page[..4]);
    let remote = |page: usize, len| {
        [RemoteIoVec {
            base: address + page * PAGE,
            len,
        }]
    };
    let read = process_vm_readv(child, &mut [IoSliceMut::new(&mut page)], &remote(310, PAGE));
    ensure!(
        read == Ok(PAGE) && page == [54; PAGE],
        "{read:?}, {:?}",
        &page[..4]
    );
    let written = process_vm_writev(child, &[IoSlice::new(&[79])], &remote(12, 1));
    ensure!(written == Ok(1), "{written:?}");
    // Shared with us until it is written to.
    ptrace::attach(child).context("attach")?;
    waitpid(child, None).context("wait")?;
    let at = (address + 5 * PAGE) as ptrace::AddressType;
    let word = ptrace::read(child, at).context("PEEKDATA")?;
    ensure!(word.to_ne_bytes() == [5; 8], "{word:x}");
    ptrace::write(child, at, (word & !0xff) | 78).context("POKEDATA")?;
    ptrace::detach(child, None).context("detach")?;
    file.write_all_at(&[77], (address + pages * PAGE - 1) as u64)
        .context("write")?;
    let status = waitpid(child, None).context("wait")?;
    ensure!(status == WaitStatus::Exited(child, 0), "{status:?}");
    let ours = [5, 12].map(|page| memory.bytes()[page * PAGE]);
    ensure!(ours == [5, 12], "the parent's pages changed");
    Ok(())
}

/// A long-term pin leaves the pages where they are.
pub(super) fn pinned(_: &[&str]) -> Result<()> {
    let mut memory = numbered()?;
    let before = frames(&memory)?;
    let ring = calls::register_buffer(&mut memory)?;
    ensure!(frames(&memory)? == before, "pages moved");
    // A child's copies must not be of what is pinned by its parent.
    let child = {
        let memory = &mut memory;
        spawn(move || {
            memory.bytes_mut().fill(1);
            0
        })?
    };
    memory.bytes_mut()[0] = 99;
    ensure!(
        waitpid(child, None)? == WaitStatus::Exited(child, 0),
        "the child"
    );
    let after = frames(&memory)?;
    ensure!(
        after.iter().zip(&before).all(|(a, b)| a.0 == b.0),
        "pages moved"
    );
    ensure!(
        memory.bytes()[PAGE] == 1 && memory.bytes()[300 * PAGE] == 44,
        "changed"
    );
    drop(ring);
    Ok(())
}

/// Direct and ordinary reads of files arrive in it.
pub(super) fn direct(_: &[&str]) -> Result<()> {
    let mut memory = numbered()?;
    let path = "/tmp/direct";
    fs::write(path, vec![0x5a; 3 * M]).context("write")?;
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECT;
    let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).context("O_DIRECT")?;
    File::from(file)
        .read_exact(&mut memory.bytes_mut()[..3 * M])
        .context("read")?;
    ensure!(
        memory.bytes()[..3 * M].iter().all(|byte| *byte == 0x5a),
        "not read"
    );
    ensure!(
        memory.bytes()[3 * M] == u8::try_from(3 * M / PAGE % 256)?,
        "too much"
    );
    fs::remove_file(path).context("remove")
}

/// Another thread provides its pages.
pub(super) fn userfault(_: &[&str]) -> Result<()> {
    let memory = Mapping::sparse(4 * M)?;
    let answer = calls::answer_faults(&memory, 0x77, 1024)?;
    std::thread::scope(|scope| {
        let answering = scope.spawn(answer);
        ensure!(
            memory.bytes().iter().all(|byte| *byte == 0x77),
            "not what was provided"
        );
        answering.join().map_err(|_| anyhow::anyhow!("a panic"))?
    })
}

/// Writes to read-only pages are noticed, page by page.
pub(super) fn barrier(_: &[&str]) -> Result<()> {
    let mut memory = numbered()?;
    ensure!(calls::write_barriers()? == 0, "not the first");
    memory.protect(false)?;
    for nr in [3, 4, 600, 1023] {
        memory.bytes_mut()[nr * PAGE] = 200;
    }
    // Once each.
    memory.bytes_mut()[600 * PAGE + 1] = 200;
    ensure!(
        calls::write_barriers()? == 4,
        "{} faults",
        calls::write_barriers()?
    );
    ensure!(
        memory.bytes()[602 * PAGE] == 90 && memory.bytes()[600 * PAGE] == 200,
        "changed"
    );
    Ok(())
}

/// `mincore` tells of pages that are there.
pub(super) fn mincore(_: &[&str]) -> Result<()> {
    let memory = numbered()?;
    ensure!(
        calls::resident(&memory)?.iter().all(|is| *is),
        "a page is missing"
    );
    let mut sparse = Mapping::sparse(8 * M)?;
    sparse.bytes_mut()[0] = 1;
    let found = calls::resident(&sparse)?;
    let count = found.iter().filter(|is| **is).count();
    ensure!(found[0] && (1..=1024).contains(&count), "{count} pages");
    Ok(())
}

/// Pages stay on their node, and say which it is.
pub(super) fn nodes(_: &[&str]) -> Result<()> {
    let memory = numbered()?;
    let found = calls::nodes(&memory)?;
    ensure!(
        found.iter().all(|node| *node == found[0] && *node >= 0),
        "{:?}",
        &found[..4]
    );
    let moved = calls::move_to(&memory, 1 - found[0])?;
    ensure!(
        moved.iter().all(|status| *status == -libc::EBUSY),
        "{:?}",
        &moved[..4]
    );
    ensure!(calls::nodes(&memory)? == found, "pages moved");
    for (mode, nodes, wanted) in [
        (libc::MPOL_BIND, 1, [0, 0]),
        (libc::MPOL_BIND, 2, [1, 1]),
        (libc::MPOL_PREFERRED, 1, [0, 0]),
    ] {
        for mut memory in [Mapping::sparse(8 * M)?, Mapping::shared_sparse(8 * M)?] {
            calls::mbind(&mut memory, mode, nodes)?;
            memory.bytes_mut().fill(1);
            let found = calls::nodes(&memory)?;
            let got = [found[0], found[1024]];
            ensure!(got == wanted, "policy {mode} of nodes {nodes:b}: {got:?}");
        }
    }
    for mut memory in [Mapping::sparse(32 * M)?, Mapping::shared_sparse(32 * M)?] {
        calls::mbind(&mut memory, libc::MPOL_INTERLEAVE, 3)?;
        memory.bytes_mut().fill(1);
        let found = calls::nodes(&memory)?;
        let ones = found.iter().filter(|node| **node == 1).count();
        let part = found.len() / 8;
        ensure!(
            (3 * part..=5 * part).contains(&ones),
            "{ones} of {} pages",
            found.len()
        );
    }
    Ok(())
}

/// A file in memory is shared as ever.
pub(super) fn memfd(_: &[&str]) -> Result<()> {
    let fd = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::empty()).context("memfd")?;
    let memory = numbered()?;
    let mut file = File::from(fd);
    file.write_all(memory.bytes()).context("write")?;
    let mut back = vec![0; memory.bytes().len()];
    file.read_exact_at(&mut back, 0).context("read")?;
    ensure!(back == memory.bytes(), "not the same");
    Ok(())
}

/// A core dump has what was in memory.
pub(super) fn core(_: &[&str]) -> Result<()> {
    fs::write("/proc/sys/kernel/core_pattern", "/tmp/core.test").context("core_pattern")?;
    let unlimited = rustix::process::Rlimit {
        current: None,
        maximum: None,
    };
    rustix::process::setrlimit(Resource::Core, unlimited).context("rlimit")?;
    let mut memory = numbered()?;
    memory.bytes_mut()[2 * M..2 * M + 16].copy_from_slice(b"it was in memory");
    let child = spawn(|| {
        // The default action is a core dump; there is nobody to tell of an error but the parent.
        let _ = kill(nix::unistd::getpid(), Signal::SIGQUIT);
        0
    })?;
    let status = waitpid(child, None).context("wait")?;
    ensure!(
        status == WaitStatus::Signaled(child, Signal::SIGQUIT, true),
        "{status:?}"
    );
    let core = fs::read("/tmp/core.test").context("core")?;
    // Put together, so that the text itself is not found.
    let wanted = ["it was", "in memory"].join(" ");
    let page: Vec<u8> = wanted.bytes().chain((16..PAGE).map(|_| 0)).collect();
    ensure!(
        core.windows(PAGE).any(|window| window == page),
        "not in {} bytes",
        core.len()
    );
    fs::remove_file("/tmp/core.test").context("remove")
}

/// Writes since a moment are known.
pub(super) fn soft_dirty(_: &[&str]) -> Result<()> {
    let mut memory = numbered()?;
    let dirty = |memory: &Mapping| -> Result<usize> {
        Ok(frames(memory)?
            .iter()
            .filter(|(_, is_dirty)| *is_dirty)
            .count())
    };
    ensure!(
        dirty(&memory)? == 1024,
        "{} pages at first",
        dirty(&memory)?
    );
    fs::write("/proc/self/clear_refs", "4").context("clear_refs")?;
    ensure!(dirty(&memory)? == 0, "{} pages after that", dirty(&memory)?);
    memory.bytes_mut()[5 * PAGE] = 1;
    let found = dirty(&memory)?;
    ensure!((1..=512).contains(&found), "{found} pages after a write");
    Ok(())
}

/// A protection key keeps writes out.
pub(super) fn pkey(_: &[&str]) -> Result<()> {
    let mut memory = numbered()?;
    let Some(_key) = calls::forbid_writing_by_key(&mut memory)? else {
        println!("no-keys 1");
        return Ok(());
    };
    ensure!(memory.bytes()[300 * PAGE] == 44, "cannot be read");
    let zero = File::open("/dev/zero").context("/dev/zero")?;
    let refused = rustix::io::read(&zero, &mut memory.bytes_mut()[300 * PAGE..301 * PAGE]);
    ensure!(refused == Err(rustix::io::Errno::FAULT), "{refused:?}");
    ensure!(memory.bytes()[300 * PAGE] == 44, "was written to");
    Ok(())
}

/// Locking succeeds, of memory of the pool also beyond the limit; what is locked stays what it was.
pub(super) fn mlock(args: &[&str]) -> Result<()> {
    let mut memory = numbered()?;
    let before = frames(&memory)?;
    if args == ["beyond-limit"] {
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        rustix::process::setrlimit(Resource::Memlock, none).context("rlimit")?;
        let mut capabilities = thread::capabilities(None).context("capget")?;
        capabilities.effective.remove(CapabilitySet::IPC_LOCK);
        thread::set_capabilities(None, capabilities).context("capset")?;
        let too_much = Mapping::sparse(512 * M)?;
        ensure!(
            calls::lock(&too_much).is_err(),
            "locked more than was promised"
        );
    }
    calls::lock(&memory)?;
    ensure!(frames(&memory)? == before, "pages moved");
    memory.advise(Advice::LinuxDontFork)?;
    Ok(())
}

/// One page of private or shared memory goes bad; the others stay what they are.
pub(super) fn poison(args: &[&str]) -> Result<()> {
    const BAD: usize = 300;
    let memory = match args {
        ["shared"] => {
            let mut memory = Mapping::shared(4 * M)?;
            number_pages(&mut memory)?;
            memory
        }
        _ => numbered()?,
    };
    let before = frames(&memory)?;
    // A frame of another huge page, for later.
    println!("frame {}", before[700].0);
    poison_frame(before[BAD].0)?;
    for (nr, page) in memory.bytes().chunks(PAGE).enumerate() {
        let wanted = u8::try_from(nr % 256)?;
        ensure!(
            nr == BAD || page.iter().all(|byte| *byte == wanted),
            "page {nr}"
        );
    }
    dies_at(&memory, BAD)
}

/// One page of a page of 1 GiB goes bad.
pub(super) fn poison_giant(_: &[&str]) -> Result<()> {
    const BAD: usize = 1000;
    let flags = MapFlags::PRIVATE | MapFlags::HUGE_1GB;
    let mut memory = Mapping::hugetlb(1024 * M, flags)?;
    memory.bytes_mut()[BAD * PAGE] = 1;
    poison_frame(frames_from(&memory, BAD, 1)?[0].0)?;
    dies_at(&memory, BAD)
}

/// Checks that who touches a page gets SIGBUS.
fn dies_at(memory: &Mapping, page: usize) -> Result<()> {
    let child = spawn(move || std::hint::black_box(memory.bytes()[page * PAGE]))?;
    let status = waitpid(child, None).context("wait")?;
    ensure!(
        matches!(status, WaitStatus::Signaled(_, Signal::SIGBUS, _)),
        "{status:?}"
    );
    Ok(())
}

/// Tells the kernel that a frame is bad.
pub(crate) fn poison_frame(frame: u64) -> Result<()> {
    let path = "/sys/kernel/debug/hwpoison/corrupt-pfn";
    fs::write(path, frame.to_string()).context(path)
}
