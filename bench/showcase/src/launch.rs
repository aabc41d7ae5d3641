// SPDX-License-Identifier: GPL-2.0
//! Runs one command to its end, with a time limit, and says what it cost.

use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use nix::sys::resource::{getrusage, UsageWho};
use rustix::process::{kill_process_group, Pid, Signal};

use crate::record::Exit;

/// How long a stopped command may take to clean up.
const GRACE: Duration = Duration::from_secs(5);

/// A command to run.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    /// The program and its arguments.
    pub(crate) argv: &'a [String],
    /// Its working directory, in which `stdout` and `stderr` appear.
    pub(crate) dir: &'a Path,
    /// Its whole environment, so that runs do not depend on the caller's.
    pub(crate) env: &'a [(&'static str, String)],
    /// When it is stopped.
    pub(crate) limit: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How it ended.
    pub(crate) exit: Exit,
    /// From just before it started to just after it ended.
    pub(crate) wall: Duration,
    /// Context switches of it and all of its descendants that were waited for.
    pub(crate) switches: u64,
    /// Page faults of the same.
    pub(crate) faults: u64,
}

/// Context switches and page faults of all children waited for so far.
fn usage() -> Result<(u64, u64)> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("getrusage")?;
    let sum = |one: i64, other: i64| {
        u64::try_from(one + other).context("getrusage gave a negative count")
    };
    Ok((
        sum(
            usage.voluntary_context_switches(),
            usage.involuntary_context_switches(),
        )?,
        sum(usage.minor_page_faults(), usage.major_page_faults())?,
    ))
}

/// Runs a command; no other child may end meanwhile, because the kernel only tells the usage of all of them.
///
/// # Errors
///
/// It could not be started, or could not be ended.
pub(crate) fn run(job: &Job<'_>) -> Result<Outcome> {
    let (program, args) = job.argv.split_first().context("empty command")?;
    let output = |name: &str| {
        File::create(job.dir.join(name)).with_context(|| format!("{name} in {:?}", job.dir))
    };
    let mut command = Command::new(program);
    command
        .args(args)
        .current_dir(job.dir)
        .env_clear()
        .envs(job.env.iter().cloned());
    command
        .stdin(Stdio::null())
        .stdout(output("stdout")?)
        .stderr(output("stderr")?);
    // A group of its own, so that a stop reaches what the command has started.
    command.process_group(0);

    let (switches, faults) = usage()?;
    let start = Instant::now();
    let child = command
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let group = Pid::from_child(&child);
    let (exit, wall) = wait(child, group, start, job.limit)?;
    let (switches_after, faults_after) = usage()?;
    Ok(Outcome {
        exit,
        wall,
        switches: switches_after - switches,
        faults: faults_after - faults,
    })
}

/// Waits for the end, or brings it about.
fn wait(mut child: Child, group: Pid, start: Instant, limit: Duration) -> Result<(Exit, Duration)> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let status = child.wait();
        // The receiver is gone only if the command outlived SIGKILL, which has been reported by then.
        let _ = sender.send((status, start.elapsed()));
    });
    match receiver.recv_timeout(limit) {
        Ok((status, wall)) => Ok((exit(status.context("wait")?), wall)),
        Err(RecvTimeoutError::Timeout) => stop(&receiver, group),
        Err(RecvTimeoutError::Disconnected) => bail!("the waiting thread died"),
    }
}

/// Ends a command that takes too long: politely first, since launchers then end what they started elsewhere.
fn stop(
    receiver: &Receiver<(std::io::Result<ExitStatus>, Duration)>,
    group: Pid,
) -> Result<(Exit, Duration)> {
    for signal in [Signal::TERM, Signal::KILL] {
        // It may have ended by itself just now.
        let _ = kill_process_group(group, signal);
        if let Ok((_, wall)) = receiver.recv_timeout(GRACE) {
            return Ok((Exit::TimedOut, wall));
        }
    }
    bail!("process {} outlives SIGKILL", group.as_raw_nonzero())
}

/// Translates the status that wait gave.
fn exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Status(code),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a shell script; cargo runs tests of one binary as threads, so usage figures may hold more than its own.
    fn shell(script: &str, limit: Duration) -> (Outcome, String) {
        let dir = tempfile::tempdir().unwrap();
        let argv = ["/bin/sh", "-c", script].map(str::to_owned);
        let env = [("WORD", "here".to_owned())];
        let job = Job {
            argv: &argv,
            dir: dir.path(),
            env: &env,
            limit,
        };
        let outcome = run(&job).unwrap();
        (
            outcome,
            std::fs::read_to_string(dir.path().join("stdout")).unwrap(),
        )
    }

    #[test]
    fn status_signal_output_and_usage_come_back() {
        let minute = Duration::from_secs(60);
        let (outcome, output) = shell("echo $WORD $HOME; exit 3", minute);
        assert_eq!((outcome.exit, output.as_str()), (Exit::Status(3), "here\n"));
        assert!(outcome.faults > 0);
        assert_eq!(shell("kill -9 $$", minute).0.exit, Exit::Signal(9));
    }

    #[test]
    fn command_that_takes_too_long_is_stopped_with_its_children() {
        let script = "sleep 1000 & echo $!; wait";
        let (outcome, output) = shell(script, Duration::from_millis(300));
        assert_eq!(outcome.exit, Exit::TimedOut);
        assert!(outcome.wall < GRACE);
        let path = format!("/proc/{}/stat", output.trim());
        let lives = || std::fs::read_to_string(&path).is_ok_and(|state| !state.contains(") Z "));
        // The signal has been sent, yet the child may still be on its way out.
        for _ in 0..100 {
            if !lives() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the child lives");
    }

    #[test]
    fn missing_program_is_an_error() {
        let argv = ["/nowhere/program".to_owned()];
        let dir = tempfile::tempdir().unwrap();
        let job = Job {
            argv: &argv,
            dir: dir.path(),
            env: &[],
            limit: GRACE,
        };
        assert!(run(&job)
            .unwrap_err()
            .to_string()
            .contains("/nowhere/program"));
    }
}
