// SPDX-License-Identifier: GPL-2.0
//! Calls that make, replace and end processes and threads.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::process::Command;
use std::time::Duration;

use anyhow::{anyhow, bail, ensure, Context, Result};
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::execv;
use rustix::io::write;
use rustix::pipe::pipe;

use super::super::number;
use super::waits::{own_tid, reader, wait_away};
use super::Between;
use crate::cpus;
use crate::sys::process;

/// The exit code of a child.
fn code(child: nix::unistd::Pid) -> Result<i32> {
    match waitpid(child, None).context("wait4")? {
        WaitStatus::Exited(_, code) => Ok(code),
        other => Err(anyhow!("{other:?}")),
    }
}

/// All ways to a new process or thread.
pub(super) fn tasks(_: &[&str]) -> Result<()> {
    let mut marked = Between::begin();
    let child = process::fork(|| 7)?;
    marked.say(code(child)?);
    let child = process::vfork(c"/init", &[c"inside", c"calls-end", c"9"], None)?;
    marked.say(code(child)?);
    let child = process::vfork(c"/no/such", &[], None)?;
    marked.say(code(child)?);
    let mut spawned = Command::new("/init");
    let status = spawned.args(["inside", "calls-end", "11"]).status();
    marked.say(status.context("posix_spawn")?.code());
    let missing = Command::new("/no/such").spawn();
    marked.say(missing.err());
    let thread = std::thread::spawn(|| 13);
    marked.say(thread.join().map_err(|_| anyhow!("a thread panicked"))?);
    marked.end();
    Ok(())
}

/// Ends with an exit code.
pub(super) fn end(args: &[&str]) -> Result<()> {
    process::exit_now(u8::try_from(number(args, 0)?)?)
}

/// A parent waits until its child by `vfork` is another program, which another thread decides on.
pub(super) fn vfork_waits(_: &[&str]) -> Result<()> {
    let (gate, opener) = pipe().context("pipe")?;
    let (told, tid) = std::sync::mpsc::channel();
    let parent = std::thread::spawn(move || {
        told.send(own_tid())?;
        let arguments = [c"inside", c"calls-end", c"9"];
        process::vfork(c"/init", &arguments, Some(gate.as_fd()))
    });
    let tid = tid.recv().context("the parent")?;
    wait_away(tid)?;
    std::thread::sleep(Duration::from_millis(50));
    let stat = wait_away(tid)?;
    ensure!(!parent.is_finished(), "it did not wait: {stat:?}");
    write(&opener, b"x").context("write")?;
    let child = parent.join().map_err(|_| anyhow!("a panic"))??;
    println!("code {}", code(child)?);
    Ok(())
}

/// Does something while other threads wait in moved calls, and one computes in them.
pub(super) fn beside(args: &[&str]) -> Result<()> {
    let (to, _, waits) = reader()?;
    let (_never, _, _) = reader()?;
    let mut zero = File::open("/dev/zero").context("/dev/zero")?;
    std::thread::spawn(move || {
        let mut large = vec![1; 4 << 20];
        while zero.read_exact(&mut large).is_ok() {}
    });
    let words = [c"/init", c"inside", c"calls-script"];
    match args {
        ["fork"] => {
            for round in 0..10 {
                ensure!(code(process::fork(|| 7)?)? == 7, "round {round}");
                let mut command = Command::new("/init");
                let status = command.args(["inside", "calls-end", "9"]).status();
                let status = status.context("posix_spawn")?;
                ensure!(status.code() == Some(9), "round {round}: {status}");
                let thread = std::thread::spawn(move || round);
                ensure!(thread.join().is_ok_and(|got| got == round), "no thread");
            }
            write(&to, b"x").context("write")?;
            let (got, cpu) = waits.join().map_err(|_| anyhow!("a panic"))?;
            ensure!(got == 1, "read {got}");
            ensure!(cpus::affinity(0)?.contains(&cpu), "went on on CPU {cpu}");
            println!("rounds 10");
            // The others wait and compute on.
            process::exit_now(0)
        }
        ["exec"] => match execv(words[0], &words).context("execve")? {},
        ["exec-thread"] => {
            let other = std::thread::spawn(move || execv(words[0], &words));
            drop(other.join());
            bail!("this thread outlived execve")
        }
        ["exit"] => process::exit_now(5),
        ["exit-thread"] => {
            std::thread::spawn(|| process::exit_now(6));
            loop {
                std::thread::park();
            }
        }
        other => bail!("{other:?}"),
    }
}
