// SPDX-License-Identifier: GPL-2.0
//! Programs for tracers and filters.

use std::fs::{create_dir, metadata, remove_dir, File};
use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{bail, ensure, Context, Result};
use nix::libc;
use nix::sys::signal::{raise, Signal};
use nix::unistd::{getpgid, Pid};
use rustix::io::{dup, write};
use rustix::pipe::pipe;
use rustix::thread::sched_yield;

use super::{list, Between};
use crate::cpus;
use crate::sys::map::Mapping;
use crate::sys::seccomp::{filter, Action};
use crate::sys::signal::{note_signal, noted, Interrupted};
use crate::sys::PAGE;
use crate::trace::{mark, marked};

/// A sequence that is the same each time, with moved and other calls, errors and a signal.
pub(super) fn script(_: &[&str]) -> Result<()> {
    note_signal(Signal::SIGUSR1, Interrupted::Restarts)?;
    let mut marked = Between::begin();
    let mut zero = File::open("/dev/zero").context("open")?;
    let mut bytes = [1; 100];
    zero.read_exact(&mut bytes).context("read")?;
    let mut null = File::create("/dev/null").context("open")?;
    null.write_all(&bytes).context("write")?;
    marked.say(rustix::process::getuid());
    sched_yield();
    marked.say(metadata("/no/such").err());
    raise(Signal::SIGUSR1).context("raise")?;
    marked.say(noted().0);
    std::thread::sleep(Duration::from_millis(1));
    drop(Mapping::new(16 * PAGE)?);
    drop(dup(&null).context("dup")?);
    let (from, to) = pipe().context("pipe")?;
    write(&to, b"pipe").context("write")?;
    marked.say(rustix::io::read(&from, &mut bytes));
    marked.say(cpus::affinity(0).is_ok());
    marked.end();
    Ok(())
}

/// Tells the results of calls that a tracer changes.
pub(super) fn changed(_: &[&str]) -> Result<()> {
    let null = File::create("/dev/null").context("open")?;
    mark(1);
    let local = getpgid(Some(Pid::from_raw(marked(5))));
    let moved = write(&null, &[0; 5]);
    let skipped = write(&null, &[0; 6]);
    mark(6);
    let emulated = write(&null, &[0; 7]);
    let last = write(&null, &[0; 8]);
    mark(2);
    println!("local {local:?}");
    println!("moved {}", moved == Ok(parent()?));
    println!("skipped {skipped:?}");
    println!("emulated {emulated:?}");
    println!("last {last:?}");
    Ok(())
}

fn parent() -> Result<usize> {
    let pid = rustix::process::getppid().context("no parent")?;
    Ok(usize::try_from(pid.as_raw_nonzero().get())?)
}

/// Has calls of `mkdir` filtered and tells what comes of two.
pub(super) fn filtered(args: &[&str]) -> Result<()> {
    const PATH: &str = "/tmp/calls-filtered";
    // What an earlier run left.
    drop(remove_dir(PATH));
    let action = match args {
        ["fail"] => Action::Fail(18),
        ["kill"] => Action::Kill,
        ["trap"] => Action::Trap,
        ["trace"] => Action::Trace,
        other => bail!("{other:?}"),
    };
    note_signal(Signal::SIGSYS, Interrupted::Restarts)?;
    filter(libc::SYS_mkdir, action)?;
    mark(1);
    let results = [create_dir(PATH), create_dir(PATH)];
    // Others pass.
    let mut zero = File::open("/dev/zero").context("open")?;
    zero.read_exact(&mut [0; 10]).context("read")?;
    mark(2);
    let codes = results.map(|result| result.err().and_then(|error| error.raw_os_error()));
    println!("results {codes:?}");
    let (handled, handlers) = noted();
    println!("handled {handled}");
    println!("handlers {}", list(&cpus::from_words(&[handlers])));
    ensure!(metadata(PATH).is_err() || matches!(args, ["trace"]), "made");
    Ok(())
}
