// SPDX-License-Identifier: GPL-2.0
//! A few calls of each kind, once or for ever.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::getppid;
use rustix::thread::{sched_getcpu, sched_yield};

use super::super::number;
use crate::cpus;
use crate::trace::mark;

/// One call of each kind, between the marks.
pub(super) fn once(_: &[&str]) -> Result<()> {
    let null = File::create("/dev/null").context("/dev/null")?;
    mark(1);
    let result = one_of_each(&null);
    mark(2);
    result
}

fn one_of_each(mut null: &File) -> Result<()> {
    // A new process group leader has a parent, or init.
    let _ = getppid();
    drop(File::open("/dev/zero").context("/dev/zero")?);
    null.write_all(b"x").context("write")?;
    sched_yield();
    Ok(())
}

/// The same again and again, in two threads, one of which has the other's number of CPUs to itself.
pub(super) fn again(_: &[&str]) -> Result<()> {
    let rounds = || -> Result<()> {
        let null = File::create("/dev/null").context("/dev/null")?;
        loop {
            one_of_each(&null)?;
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let other = std::thread::spawn(rounds);
    println!("begun 1");
    rounds()?;
    other.join().map_err(|_| anyhow::anyhow!("a panic"))?
}

/// Calls for the counters: so many of `getppid`, `write`, `sched_yield`, in each of two threads, one of which ends. Each
/// step waits for a byte on standard input and ends with a line.
pub(super) fn counted(args: &[&str]) -> Result<()> {
    let (local, moved, native) = (number(args, 0)?, number(args, 1)?, number(args, 2)?);
    let burst = move || -> Result<()> {
        let mut null = File::create("/dev/null").context("/dev/null")?;
        for _ in 0..local {
            let _ = getppid();
        }
        for _ in 0..moved {
            null.write_all(b"x").context("write")?;
        }
        for _ in 0..native {
            sched_yield();
        }
        Ok(())
    };
    step(&format!("tid {}", rustix::thread::gettid()))?;
    burst()?;
    step("burst 1")?;
    let (made, go_on) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let other = {
        let (made, go_on) = (Arc::clone(&made), Arc::clone(&go_on));
        std::thread::spawn(move || {
            let result = burst();
            println!("other {}", rustix::thread::gettid());
            made.wait();
            go_on.wait();
            result
        })
    };
    made.wait();
    step("burst 2")?;
    go_on.wait();
    other.join().map_err(|_| anyhow::anyhow!("a panic"))??;
    step("ended 1")
}

/// Says a line and waits for a byte.
fn step(line: &str) -> Result<()> {
    println!("{line}");
    std::io::stdout().flush().context("stdout")?;
    std::io::stdin().read_exact(&mut [0; 1]).context("stdin")
}

/// Waits for a byte between the marks and tells where it is before and after.
pub(super) fn blocked(_: &[&str]) -> Result<()> {
    println!("before {}", sched_getcpu());
    std::io::stdout().flush().context("stdout")?;
    mark(1);
    let mut byte = [0; 1];
    let got = rustix::io::read(rustix::stdio::stdin(), &mut byte);
    let after = sched_getcpu();
    mark(2);
    println!("after {after}");
    println!("got {got:?} {byte:?}");
    println!("affinity {}", super::list(&cpus::affinity(0)?));
    Ok(())
}

/// Runs a program as a child and ends like it.
pub(super) fn parent(args: &[&str]) -> Result<()> {
    let status = Command::new("/init").arg("inside").args(args).status();
    let code = status.context("a child")?.code().context("a signal")?;
    std::process::exit(code)
}

/// Makes so many moved calls back to back, then computes without a call until it is at home, and tells how it went.
pub(super) fn burst(args: &[&str]) -> Result<()> {
    let count = number(args, 0)?;
    let home = cpus::affinity(0)?;
    let mut null = File::create("/dev/null").context("/dev/null")?;
    mark(1);
    for _ in 0..count {
        null.write_all(b"x").context("write")?;
    }
    // Some 10 s on an emulator, which no stay may last.
    let mut looks = 0_u64;
    while !home.contains(&sched_getcpu()) && looks < 100_000_000 {
        looks += 1;
    }
    let cpu = sched_getcpu();
    mark(2);
    println!("home {}", home.contains(&cpu));
    println!("looks {looks}");
    Ok(())
}
