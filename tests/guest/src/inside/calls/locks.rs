// SPDX-License-Identifier: GPL-2.0
//! Locks whose holders are on a CPU of Linux for a call.

use std::fs::File;
use std::io::Read;

use anyhow::{ensure, Context, Result};
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitStatus};
use rustix::io::{read, write};
use rustix::pipe::pipe;
use rustix::thread::sched_getcpu;

use super::waits::{own_tid, wait_away};
use crate::cpus;
use crate::proc;
use crate::sys::mutex::{Locked, SharedMutex};
use crate::sys::sched::{policy, set_policy, Policy};
use crate::sys::{exit_thread, spawn};

/// The holder is killed while it waits in a moved call.
pub(super) fn robust(_: &[&str]) -> Result<()> {
    let mutex = SharedMutex::new()?;
    let (from, _to) = pipe().context("pipe")?;
    let home = cpus::affinity(0)?;
    let child = spawn(|| {
        if mutex.lock().is_ok() {
            // Until it is killed.
            let _ = read(&from, &mut [0; 1]);
        }
        1
    })?;
    let is_away = || {
        let threads = proc::threads(child.as_raw());
        threads
            .iter()
            .any(|stat| stat.state == 'S' && !home.contains(&stat.cpu))
    };
    while !is_away() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    kill(child, Signal::SIGKILL).context("kill")?;
    println!("killed {:?}", mutex.lock()?);
    mutex.unlock()?;
    let status = waitpid(child, None).context("wait")?;
    ensure!(
        status == WaitStatus::Signaled(child, Signal::SIGKILL, false),
        "{status:?}"
    );
    Ok(())
}

/// A thread that holds the lock ends by `exit(2)`, for which it goes to a CPU of Linux.
pub(super) fn robust_exit(_: &[&str]) -> Result<()> {
    let mutex: &'static SharedMutex = Box::leak(Box::new(SharedMutex::new()?));
    let (told, is_locked) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let result = mutex.lock();
        // Nobody listens only if this program failed.
        let _ = told.send(result.is_ok());
        drop(told);
        exit_thread()
    });
    ensure!(is_locked.recv().context("the thread")?, "not locked");
    println!("ended {:?}", mutex.lock()?);
    mutex.unlock()
}

/// The holder waits, and then computes, in moved calls while a real-time thread waits for the lock.
pub(super) fn inheritance(_: &[&str]) -> Result<()> {
    const ROUNDS: usize = 20;
    let mutex = SharedMutex::new()?;
    let (from, to) = pipe().context("pipe")?;
    let home = cpus::affinity(0)?;
    let zero = File::open("/dev/zero").context("/dev/zero")?;
    std::thread::scope(|scope| -> Result<()> {
        let (told, tid) = std::sync::mpsc::channel();
        let holder = scope.spawn(|| -> Result<()> {
            let told = told;
            let mut large = vec![1; 4 << 20];
            for _ in 0..ROUNDS {
                mutex.lock()?;
                told.send(own_tid())?;
                ensure!(read(&from, &mut [0; 1]) == Ok(1), "read");
                (&zero).read_exact(&mut large).context("/dev/zero")?;
                let cpu = sched_getcpu();
                mutex.unlock()?;
                ensure!(home.contains(&cpu), "went on on CPU {cpu}");
                // Who waited takes it before it is asked for again.
                ensure!(read(&from, &mut [0; 1]) == Ok(1), "read");
            }
            ensure!(policy(0) == Ok(0), "the policy changed");
            Ok(())
        });
        for _ in 0..ROUNDS {
            // If it has ended, it says why below.
            let Ok(holder) = tid.recv() else { break };
            wait_away(holder)?;
            let waiter = scope.spawn(|| -> Result<Locked> {
                set_policy(0, Policy::Fifo(10)).context("SCHED_FIFO")?;
                let locked = mutex.lock()?;
                mutex.unlock()?;
                Ok(locked)
            });
            let is_boosted = || -> Result<bool> {
                let path = format!("/proc/self/task/{holder}/stat");
                let text = std::fs::read_to_string(path).context("stat")?;
                let rest = text.rsplit_once(") ").context("stat")?.1;
                // The priority is field 18; those of real-time threads are below -1.
                let priority = rest.split(' ').nth(15).context("priority")?;
                Ok(priority.parse::<i32>().context("priority")? < -1)
            };
            while !is_boosted()? {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            write(&to, b"x").context("write")?;
            let locked = waiter.join().map_err(|_| anyhow::anyhow!("a panic"))??;
            ensure!(locked == Locked::Usually, "{locked:?}");
            write(&to, b"x").context("write")?;
        }
        holder.join().map_err(|_| anyhow::anyhow!("a panic"))?
    })?;
    println!("rounds {ROUNDS}");
    Ok(())
}
