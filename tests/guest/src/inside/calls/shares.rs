// SPDX-License-Identifier: GPL-2.0
//! Threads that share CPUs, policies and files with others whose calls are elsewhere.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use nix::unistd::execv;
use rustix::io::{read, write};
use rustix::pipe::pipe;
use rustix::thread::{sched_getcpu, sched_yield};
use rustix::time::{clock_gettime, ClockId};

use super::super::load::compute;
use super::super::number;
use crate::sys::map::Mapping;
use crate::sys::sched::{policy, set_policy, Policy};
use crate::sys::{FreshPages, PAGE};
use crate::trace::mark;

const DEADLINE: Policy = Policy::Deadline(5_000_000, 50_000_000);

/// Moved calls with a real-time policy.
pub(super) fn real_time(args: &[&str]) -> Result<()> {
    let before = policy(0).context("sched_getscheduler")?;
    let result = match args.first() {
        Some(&"fifo") => set_policy(0, Policy::Fifo(10)),
        Some(&"deadline") => set_policy(0, DEADLINE),
        other => bail!("{other:?}"),
    };
    if let Err(error) = result {
        println!("refused {error:?}");
        return Ok(());
    }
    let mut null = File::create("/dev/null").context("open")?;
    mark(1);
    for _ in 0..number(args, 1)? {
        null.write_all(b"x").context("write")?;
    }
    sched_yield();
    let cpu = sched_getcpu();
    mark(2);
    println!("policy {}", policy(0).context("sched_getscheduler")?);
    println!("cpu {cpu}");
    set_policy(0, Policy::Other).context("SCHED_OTHER")?;
    null.write_all(b"x").context("write")?;
    ensure!(policy(0) == Ok(0), "{before} became {:?}", policy(0));
    Ok(())
}

/// Becomes another program with a deadline policy, now or a moment before.
pub(super) fn with_deadline(args: &[&str]) -> Result<()> {
    set_policy(0, DEADLINE).context("SCHED_DEADLINE")?;
    match args.first() {
        Some(&"now") => {}
        Some(&"before") => set_policy(0, Policy::Other).context("SCHED_OTHER")?,
        other => bail!("{other:?}"),
    }
    let words: Vec<CString> = args[1..]
        .iter()
        .map(|word| CString::new(*word))
        .collect::<Result<_, _>>()?;
    match execv(words.first().context("which program?")?, &words).context("execve")? {}
}

/// The first thread makes so many moved calls while the other computes; both share a CPU. The calls are short or, with a
/// second number, sleep for so many milliseconds.
pub(super) fn pair(args: &[&str]) -> Result<()> {
    let rounds = number(args, 0)?;
    let nap = args.get(1).map(|_| number(args, 1)).transpose()?;
    let nap = nap.map(|ms| Duration::from_millis(ms as u64));
    let (stop, begun) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut null = File::create("/dev/null").context("open")?;
    std::thread::scope(|scope| {
        // ORDERING: the flags carry no data.
        scope.spawn(|| {
            println!("other {}", super::waits::own_tid());
            begun.store(true, Ordering::Relaxed);
            while !stop.load(Ordering::Relaxed) {
                black_box(compute(1_000));
            }
        });
        while !begun.load(Ordering::Relaxed) {
            sched_yield();
        }
        mark(1);
        let result = (0..rounds).try_for_each(|_| match nap {
            Some(nap) => {
                std::thread::sleep(nap);
                Ok(())
            }
            None => null.write_all(b"x"),
        });
        mark(2);
        stop.store(true, Ordering::Relaxed);
        result.context("write")
    })
}

/// Two threads wake each other through pipes, so many times.
pub(super) fn turns(args: &[&str]) -> Result<()> {
    let rounds = number(args, 0)?;
    let ((from, to), (back_from, back)) = (pipe().context("pipe")?, pipe().context("pipe")?);
    let begun = Instant::now();
    std::thread::scope(|scope| -> Result<()> {
        let other = scope.spawn(|| -> Result<()> {
            for _ in 0..rounds {
                ensure!(read(&from, &mut [0; 1]) == Ok(1), "read");
                ensure!(write(&back, b"x") == Ok(1), "write");
            }
            Ok(())
        });
        for _ in 0..rounds {
            ensure!(write(&to, b"x") == Ok(1), "write");
            ensure!(read(&back_from, &mut [0; 1]) == Ok(1), "read");
        }
        other.join().map_err(|_| anyhow::anyhow!("a panic"))?
    })?;
    println!("rounds {rounds}");
    println!("ms {}", begun.elapsed().as_millis());
    Ok(())
}

/// A thread wakes two others by one moved call, so many times; then all three compute until the last of them got so far.
pub(super) fn wakes(args: &[&str]) -> Result<()> {
    let rounds = number(args, 0)?;
    let (from, to) = pipe().context("pipe")?;
    let reached: [AtomicUsize; 3] = Default::default();
    let meet = |me: usize, round: usize| {
        // ORDERING: the counters carry no data.
        reached[me].store(round, Ordering::Relaxed);
        while reached
            .iter()
            .any(|one| one.load(Ordering::Relaxed) < round)
        {
            black_box(compute(100));
        }
    };
    std::thread::scope(|scope| -> Result<()> {
        for me in [1, 2] {
            let (from, meet) = (&from, &meet);
            scope.spawn(move || {
                for round in 1..=rounds {
                    if read(from, &mut [0; 1]) != Ok(1) {
                        return;
                    }
                    meet(me, round);
                }
            });
        }
        for round in 1..=rounds {
            // Alone for so long that the tick stops.
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(20) {
                black_box(compute(100));
            }
            ensure!(write(&to, b"xx") == Ok(2), "write");
            meet(0, round);
        }
        Ok(())
    })
}

/// Computes for so many milliseconds of CPU time beside threads that make moved calls all the time.
pub(super) fn starved(args: &[&str]) -> Result<()> {
    let ms = i64::try_from(number(args, 0)?)?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            // ORDERING: the flag carries no data.
            scope.spawn(|| -> Result<()> {
                let mut null = File::create("/dev/null").context("open")?;
                while !stop.load(Ordering::Relaxed) {
                    null.write_all(b"x").context("write")?;
                }
                Ok(())
            });
        }
        let used = || {
            let time = clock_gettime(ClockId::ThreadCPUTime);
            time.tv_sec * 1000 + time.tv_nsec / 1_000_000
        };
        let until = used() + ms;
        while used() < until {
            black_box(compute(10_000));
        }
        stop.store(true, Ordering::Relaxed);
    });
    Ok(())
}

/// Threads that compute in moved calls and threads that wait in them, for ever; a byte each time that all got on.
pub(super) fn crowd(_: &[&str]) -> Result<()> {
    let counts: [AtomicU64; 5] = Default::default();
    let pipes = [(); 2].map(|()| (pipe(), pipe()));
    std::thread::scope(|scope| -> Result<()> {
        // ORDERING: the counters carry no data.
        for count in &counts[..3] {
            scope.spawn(move || -> Result<()> {
                let mut zero = File::open("/dev/zero").context("/dev/zero")?;
                let mut large = vec![1; 2 << 20];
                loop {
                    zero.read_exact(&mut large).context("/dev/zero")?;
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for (count, (there, back)) in counts[3..].iter().zip(pipes) {
            let ((from, to), (back_from, back)) = (there?, back?);
            scope.spawn(move || loop {
                if read(&from, &mut [0; 1]) != Ok(1) || write(&back, b"x") != Ok(1) {
                    return;
                }
            });
            scope.spawn(move || loop {
                if write(&to, b"x") != Ok(1) || read(&back_from, &mut [0; 1]) != Ok(1) {
                    return;
                }
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_millis(1));
            });
        }
        let mut out = std::io::stdout();
        loop {
            let before: Vec<u64> = counts.iter().map(|n| n.load(Ordering::Relaxed)).collect();
            let got_on = || {
                let mut pairs = counts.iter().zip(&before);
                pairs.all(|(count, before)| count.load(Ordering::Relaxed) > *before)
            };
            while !got_on() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            out.write_all(b".").context("stdout")?;
            out.flush().context("stdout")?;
        }
    })
}

/// Reads a mapped file page by page between the first two marks, and fresh memory between the second and the third.
pub(super) fn read_pages(args: &[&str]) -> Result<()> {
    let (memory, pages) = map(args)?;
    mark(1);
    let sum: u64 = memory
        .bytes()
        .iter()
        .step_by(PAGE)
        .map(|byte| u64::from(*byte))
        .sum();
    let cpu = sched_getcpu();
    mark(2);
    let mut fresh = FreshPages::map(pages)?;
    fresh.touch();
    mark(3);
    println!("sum {sum}");
    println!("cpu {cpu}");
    Ok(())
}

/// Writes to a mapped file page by page between the marks.
pub(super) fn write_pages(args: &[&str]) -> Result<()> {
    let (mut memory, _) = map(args)?;
    // What is only read is there already.
    let sum: u64 = memory
        .bytes()
        .iter()
        .step_by(PAGE)
        .map(|byte| u64::from(*byte))
        .sum();
    mark(1);
    for byte in memory.bytes_mut().iter_mut().step_by(PAGE) {
        *byte = 1;
    }
    let cpu = sched_getcpu();
    mark(2);
    println!("sum {sum}");
    println!("cpu {cpu}");
    Ok(())
}

fn map(args: &[&str]) -> Result<(Mapping, usize)> {
    let (path, pages) = (args.first().context("which file?")?, number(args, 1)?);
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.with_context(|| (*path).to_owned())?;
    Ok((Mapping::of_file(&file, pages * PAGE)?, pages))
}
