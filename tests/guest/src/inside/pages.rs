// SPDX-License-Identifier: GPL-2.0
//! Programs that use memory as programs do.

use std::fs;
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;

use anyhow::{ensure, Context, Result};
use rustix::mm::Advice;

use super::number;
use crate::sys::calls;
use crate::sys::map::{move_break, splice_out, Mapping};
use crate::sys::{spawn, PAGE};

const M: usize = 1 << 20;

/// Page faults of this process so far.
pub(super) fn faults() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/stat").context("stat")?;
    let rest = text.rsplit_once(')').context("a name")?.1;
    // proc_pid_stat(5): the name is field 2, minflt is 10.
    let field = rest.split_whitespace().nth(7).context("minflt")?;
    field.parse().context("minflt")
}

/// What `/proc/self/smaps` says of the mapping that begins at or before an address: the value of each field.
fn smaps(address: usize, field: &str) -> Result<String> {
    let text = fs::read_to_string("/proc/self/smaps").context("smaps")?;
    let mut is_it = false;
    for line in text.lines() {
        let range = line
            .split_whitespace()
            .next()
            .and_then(|word| word.split_once('-'));
        let number = |text| usize::from_str_radix(text, 16).ok();
        if let Some((Some(start), Some(end))) = range.map(|(a, b)| (number(a), number(b))) {
            is_it = (start..end).contains(&address);
        } else if let Some(value) = line.strip_prefix(field).filter(|_| is_it) {
            return Ok(value.trim_start_matches(':').trim().to_owned());
        }
    }
    anyhow::bail!("no {field} at {address:x} in {text}")
}

/// The same as a number of KiB.
pub(super) fn smaps_kib(address: usize, field: &str) -> Result<usize> {
    let text = smaps(address, field)?;
    text.trim_end_matches(" kB")
        .parse()
        .with_context(|| text.clone())
}

/// Tells what this job's memory is.
pub(super) fn tell_job() -> Result<()> {
    let pid = std::process::id();
    let jobs = crate::job::jobs()?;
    let job = jobs.iter().find(|job| job.pid == pid).context("no job")?;
    println!("promised {}", job.promised);
    println!("used {}", job.used);
    println!("spilled {}", job.spilled);
    Ok(())
}

/// Maps so many MiB, checks that they are zero, and writes to each page.
pub(super) fn map(args: &[&str]) -> Result<()> {
    let mut memory = Mapping::new(number(args, 0)? * M)?;
    println!("faults-at-map {}", faults()?);
    println!("huge {}", smaps_kib(memory.address(), "AnonHugePages")?);
    println!("resident {}", smaps_kib(memory.address(), "Rss")?);
    println!("flags {}", smaps(memory.address(), "VmFlags")?);
    ensure!(memory.bytes().iter().all(|byte| *byte == 0), "not zero");
    let before = faults()?;
    memory.bytes_mut().fill(0xa5);
    println!("faults {}", faults()? - before);
    ensure!(memory.bytes().iter().all(|byte| *byte == 0xa5), "not kept");
    println!(
        "huge-at-end {}",
        smaps_kib(memory.address(), "AnonHugePages")?
    );
    let nodes = calls::nodes(&memory)?;
    let on = |wanted| nodes.iter().filter(|node| **node == wanted).count();
    println!("on-node-0 {}", on(0));
    println!("on-node-1 {}", on(1));
    tell_job()
}

/// Maps so many MiB without a reservation and touches the first four.
pub(super) fn sparse(args: &[&str]) -> Result<()> {
    let mut memory = Mapping::sparse(number(args, 0)? * M)?;
    println!("resident-at-map {}", smaps_kib(memory.address(), "Rss")?);
    memory.bytes_mut()[..4 * M].fill(1);
    println!("huge {}", smaps_kib(memory.address(), "AnonHugePages")?);
    tell_job()
}

/// Grows the heap in small steps, shrinks it, and grows it again.
pub(super) fn heap(_: &[&str]) -> Result<()> {
    const STEP: usize = 64 << 10;
    let begin = move_break(0)?;
    let mut before = 0;
    for nr in 0..48 {
        if nr == 1 {
            // The code of the program is there now.
            before = faults()?;
        }
        let at = move_break(isize::try_from(STEP)?)?;
        ensure!(at == begin + nr * STEP, "the heap has a hole");
        let piece = crate::sys::map::heap(at, STEP);
        ensure!(piece.iter().all(|byte| *byte == 0), "not zero");
        piece.fill(3);
    }
    println!("faults {}", faults()? - before);
    println!("huge {}", smaps_kib(begin, "AnonHugePages")?);
    let less = 20 * STEP;
    move_break(-isize::try_from(less)?)?;
    let end = move_break(isize::try_from(less)?)?;
    ensure!(end == begin + 28 * STEP, "{end:x}");
    ensure!(
        crate::sys::map::heap(begin, 28 * STEP)
            .iter()
            .all(|byte| *byte == 3),
        "not kept"
    );
    let again = crate::sys::map::heap(end, less);
    ensure!(again.iter().all(|byte| *byte == 0), "old data came back");
    again.fill(4);
    println!("huge-again {}", smaps_kib(begin, "AnonHugePages")?);
    move_break(-isize::try_from(48 * STEP)?)?;
    ensure!(move_break(0)? == begin, "the heap did not shrink");
    tell_job()
}

/// Uses much of a thread's stack.
pub(super) fn stack(_: &[&str]) -> Result<()> {
    let run = || -> Result<()> {
        let array = black_box([1_u8; 5 * M]);
        let middle = array[..].as_ptr().addr() + 2 * M;
        println!("huge {}", smaps_kib(middle, "AnonHugePages")?);
        println!("flags {}", smaps(middle, "VmFlags")?);
        Ok(())
    };
    let thread = std::thread::Builder::new().stack_size(8 * M).spawn(run)?;
    thread.join().map_err(|_| anyhow::anyhow!("a panic"))??;
    tell_job()
}

/// Says memory is not needed, and whether it is kept.
pub(super) fn unneeded(_: &[&str]) -> Result<()> {
    let mut memory = Mapping::new(4 * M)?;
    memory.bytes_mut().fill(5);
    memory.advise(Advice::LinuxDontNeed)?;
    let kept = memory.bytes().iter().filter(|byte| **byte == 5).count();
    println!("kept {kept}");
    Ok(())
}

/// Writes numbers to all pages from `first` on.
fn number_pages(bytes: &mut [u8], salt: usize) {
    for (nr, page) in bytes.chunks_mut(PAGE).enumerate() {
        page.fill(tag(nr, salt));
    }
}

fn tag(nr: usize, salt: usize) -> u8 {
    u8::try_from((nr * 7 + salt) % 251 + 1).unwrap_or(1)
}

/// Checks the numbers of [`number_pages`] from page `first` on.
fn check_pages(bytes: &[u8], first: usize, salt: usize) -> Result<()> {
    for (nr, page) in bytes.chunks(PAGE).enumerate() {
        let wanted = tag(first + nr, salt);
        ensure!(
            page.iter().all(|byte| *byte == wanted),
            "page {}",
            first + nr
        );
    }
    Ok(())
}

/// Forks; parent and child write to what they share, and neither sees what the other wrote.
pub(super) fn cow(_: &[&str]) -> Result<()> {
    let mut memory = Mapping::new(8 * M)?;
    number_pages(memory.bytes_mut(), 0);
    let (mut ready, go) =
        rustix::pipe::pipe().map(|(r, w)| (fs::File::from(r), fs::File::from(w)))?;
    let child = {
        let memory = &mut memory;
        spawn(move || {
            let mut run = || -> Result<()> {
                check_pages(memory.bytes(), 0, 0)?;
                let half = memory.bytes().len() / 2;
                number_pages(&mut memory.bytes_mut()[..half], 5);
                // The parent writes now.
                ready.read_exact(&mut [0]).context("the parent")?;
                check_pages(&memory.bytes()[..half], 0, 5)?;
                check_pages(&memory.bytes()[half..], half / PAGE, 0)
            };
            match run() {
                Ok(()) => 0,
                Err(error) => {
                    eprintln!("child: {error:#}");
                    1
                }
            }
        })?
    };
    number_pages(memory.bytes_mut(), 9);
    (&go).write_all(&[1]).context("the child")?;
    let status = nix::sys::wait::waitpid(child, None).context("wait")?;
    ensure!(
        status == nix::sys::wait::WaitStatus::Exited(child, 0),
        "{status:?}"
    );
    check_pages(memory.bytes(), 0, 9)?;
    number_pages(memory.bytes_mut(), 3);
    check_pages(memory.bytes(), 0, 3)?;
    tell_job()
}

/// Unmaps, protects, discards, moves and enlarges parts of a mapping.
pub(super) fn split(_: &[&str]) -> Result<()> {
    let mut low = Mapping::new(16 * M)?;
    number_pages(low.bytes_mut(), 0);
    // A hole of one page in a huge one.
    let mut hole = low.split_off(5 * M);
    let mut high = hole.split_off(PAGE);
    drop(hole);
    let first = 5 * M / PAGE + 1;
    check_pages(low.bytes(), 0, 0)?;
    check_pages(high.bytes(), first, 0)?;
    // A page in the middle becomes read-only and writable again.
    let mut page = low.split_off(3 * M);
    let rest = page.split_off(PAGE);
    page.protect(false)?;
    check_pages(page.bytes(), 3 * M / PAGE, 0)?;
    page.protect(true)?;
    page.bytes_mut().fill(7);
    check_pages(rest.bytes(), 3 * M / PAGE + 1, 0)?;
    // What is discarded is zero when it is touched again.
    let mut discarded = high.split_off(4 * M);
    let kept = discarded.split_off(M);
    discarded.advise(Advice::LinuxDontNeed)?;
    ensure!(discarded.bytes().iter().all(|byte| *byte == 0), "not zero");
    discarded.bytes_mut().fill(9);
    check_pages(kept.bytes(), first + 5 * M / PAGE, 0)?;
    // It grows and perhaps moves.
    high.grow(12 * M)?;
    check_pages(&high.bytes()[..4 * M], first, 0)?;
    ensure!(
        high.bytes()[4 * M..].iter().all(|byte| *byte == 0),
        "not zero"
    );
    high.bytes_mut().fill(3);
    // Advice that would move it elsewhere is taken and changes nothing.
    high.advise(Advice::LinuxCold)?;
    high.advise(Advice::LinuxPageOut)?;
    ensure!(high.bytes().iter().all(|byte| *byte == 3), "not kept");
    high.advise(Advice::LinuxFree)?;
    high.bytes_mut().fill(4);
    ensure!(high.bytes().iter().all(|byte| *byte == 4), "not kept");
    tell_job()
}

/// Leaves a page in the pipe that is its standard output, and exits.
pub(super) fn leave(_: &[&str]) -> Result<()> {
    let mut memory = Mapping::new(4 * M)?;
    memory.bytes_mut().fill(b'x');
    let sent = splice_out(std::io::stdout().as_fd(), &memory.bytes()[..PAGE])?;
    ensure!(sent == PAGE, "{sent}");
    Ok(())
}

/// Maps, touches and unmaps pieces of all sizes until it is killed.
pub(super) fn churn(args: &[&str]) -> Result<()> {
    let most = number(args, 0)? * M;
    let mut seed = number(args, 1)?;
    println!("begun");
    let mut kept: Vec<Mapping> = Vec::new();
    loop {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let len = (seed >> 33) % most / PAGE * PAGE + PAGE;
        let mut memory = Mapping::new(len)?;
        for page in memory
            .bytes_mut()
            .chunks_mut(PAGE * ((seed >> 20) % 16 + 1))
        {
            page[0] = 1;
        }
        black_box(memory.bytes());
        let middle = len / 2 / PAGE * PAGE;
        let high = memory.split_off(middle);
        if seed & 1 << 40 == 0 {
            kept.push(memory);
        } else {
            kept.push(high);
        }
        if kept.len() > 4 {
            kept.remove(0);
        }
    }
}

/// Moves to the cgroup `work` and looks what memory counts there.
pub(super) fn memcg(_: &[&str]) -> Result<()> {
    let path = |file| format!("/sys/fs/cgroup/work/{file}");
    let current = || -> Result<usize> {
        let text = fs::read_to_string(path("memory.current")).context("memory.current")?;
        text.trim().parse().context("memory.current")
    };
    fs::write(path("cgroup.procs"), "0").context("cgroup.procs")?;
    let before = current()?;
    let mut memory = Mapping::new(32 * M)?;
    memory.bytes_mut().fill(1);
    let with = current()?;
    ensure!(with >= before + 32 * M, "{before} became {with}");
    drop(memory);
    let after = current()?;
    ensure!(after < with - 30 * M, "{with} became {after}");
    Ok(())
}

/// Maps so many MiB, and becomes a program that maps so many others.
pub(super) fn exec(args: &[&str]) -> Result<()> {
    let mut memory = Mapping::new(number(args, 0)? * M)?;
    memory.bytes_mut().fill(1);
    let error = std::process::Command::new("/proc/self/exe")
        .args(["inside", "map"])
        .args(args.get(1))
        .exec();
    Err(error).context("exec")
}

/// Reads the time, and the code that does it.
pub(super) fn vdso(_: &[&str]) -> Result<()> {
    let maps = fs::read_to_string("/proc/self/maps").context("maps")?;
    let line = maps.lines().find(|line| line.ends_with("[vdso]"));
    let start = line.and_then(|line| line.split('-').next());
    let start = u64::from_str_radix(start.context("no vDSO")?, 16)?;
    let mut magic = [0; 4];
    let memory = fs::File::open("/proc/self/mem").context("mem")?;
    memory
        .read_exact_at(&mut magic, start)
        .context("the vDSO")?;
    ensure!(&magic == b"\x7fELF", "{magic:?}");
    let before = std::time::Instant::now();
    while before.elapsed().as_millis() < 2 {}
    Ok(())
}

/// Touches what is below a mapping that grows down.
pub(super) fn grows_down(_: &[&str]) -> Result<()> {
    // Room below, which nobody else maps.
    let room = Mapping::new(16 * M)?;
    drop(room);
    let mut memory = Mapping::growing_down(4 * PAGE)?;
    let before = smaps_kib(memory.address(), "Size")?;
    memory.grow_down(100);
    ensure!(
        memory
            .bytes()
            .iter()
            .step_by(PAGE)
            .take(100)
            .all(|byte| *byte == 1),
        "not kept"
    );
    let after = smaps_kib(memory.address(), "Size")?;
    ensure!(after == before + 400, "{before} KiB became {after} KiB");
    Ok(())
}
