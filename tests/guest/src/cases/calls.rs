// SPDX-License-Identifier: GPL-2.0
//! System calls of jobs are carried out where their table says, and nothing but the place tells that from Linux.
//!
//! The machine has CPUs 0 and 1 for Linux, which serve the job, and 2 and 3 for the LWK. Where a call is carried out is
//! taken from the kernel's trace, never from counters of the LWK.

mod abi;
mod counts;
pub(super) mod cpus;
mod faults;
mod places;
pub(super) mod quiet;
pub(super) mod storm;
mod table;
pub(super) mod tasks;
mod tracers;
mod waits;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{ensure, Context, Result};

use super::LWK;
use crate::harness::Case;
use crate::job::{self, Partition};
use crate::proc::{self, Stat};

/// The suite about places, tables and counts.
pub(super) const CASES: &[Case] = &[
    Case::new("file", "calls on files by name move", places::file),
    Case::new("desc", "calls on open files move", places::desc),
    Case::new(
        "network",
        "calls on sockets move: TCP, UDP and UNIX",
        places::network,
    ),
    Case::new(
        "ipc",
        "calls of System V IPC and of message queues move",
        places::ipc,
    ),
    Case::new(
        "process",
        "fork, vfork, execve and all ends move, and who is new begins on a CPU of the job",
        places::process,
    )
    .limit_s(60),
    Case::new("memory", "calls about memory stay", places::memory),
    Case::new("sched", "calls about scheduling stay", places::sched),
    Case::new("futex", "futexes stay", places::futex),
    Case::new("signal", "calls about signals stay", places::signal),
    Case::new("time", "sleeps and timers stay", places::time),
    Case::new(
        "identity",
        "calls about who one is and what one uses stay",
        places::identity,
    ),
    Case::new(
        "no-memory",
        "calls move also where no memory is left to count them",
        places::no_memory,
    ),
    Case::new(
        "overrides",
        "yod --syscalls puts calls elsewhere, and what comes later wins",
        table::overrides,
    )
    .limit_s(120),
    Case::new(
        "partition-default",
        "lwkctl policy sets the table of jobs that do not say otherwise",
        table::partition_default,
    )
    .around(table::partition_saved, table::partition_restored)
    .limit_s(60),
    Case::new(
        "live-change",
        "lwkctl syscalls changes the table of a job that runs, for all of its threads",
        table::live_change,
    )
    .limit_s(120),
    Case::new(
        "refusals",
        "names and times that make no sense are refused, with what was meant, and change nothing",
        table::refusals,
    )
    .limit_s(60),
    Case::new(
        "abi-tables",
        "tables that make no sense are refused by the device and change nothing",
        abi::tables,
    ),
    Case::new(
        "abi-round-trip",
        "a table is read as it was set, and others may not set it",
        abi::round_trip,
    ),
    Case::new(
        "abi-counts",
        "counts are read into as much room as there is, and not with bad arguments",
        abi::counts,
    ),
    Case::new(
        "counts",
        "calls are counted exactly, by thread and in all, also of threads that ended",
        counts::exact,
    )
    .limit_s(60),
    Case::new(
        "counts-timed",
        "calls that stay are measured if asked for",
        counts::timed,
    ),
    Case::new(
        "counts-stayed",
        "moved calls that found their thread there are told apart",
        counts::stayed,
    ),
    Case::new(
        "counts-off",
        "a job that moves nothing is not counted unless asked for",
        counts::uncounted,
    ),
    Case::new(
        "report",
        "yod --syscall-report tells of all calls at the end, and ends like the program",
        counts::report,
    )
    .limit_s(60),
];

/// The CPUs of Linux, all of which serve the job.
const LINUX: [usize; 2] = [0, 1];

/// Every thread is at home as soon as its moved call is over.
const NO_BATCH: [&str; 2] = ["--syscall-batch", "no"];

fn is_linux(cpu: usize) -> bool {
    LINUX.contains(&cpu)
}

fn is_lwk(cpu: usize) -> bool {
    LWK.contains(&cpu)
}

/// The only partition.
fn partition() -> Result<Partition> {
    job::partitions()?.pop().context("no partition")
}

/// Lets sockets connect within the machine.
fn loopback_up() -> Result<()> {
    job::run(Command::new("/bin/ip").args(["link", "set", "lo", "up"]))?
        .success()
        .map(drop)
}

/// How much longer than a production kernel this one may take.
fn scaled(time: Duration) -> Result<Duration> {
    Ok(time * crate::init::factor()?)
}

/// A program that says a line, waits for a byte, and goes on, again and again.
pub(super) struct Stepping {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Stepping {
    pub(super) fn start(mut command: Command) -> Result<Stepping> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{command:?}"))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let output = BufReader::new(output.context("no pipe")?);
        Ok(Stepping {
            child,
            input,
            output,
        })
    }

    fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// The next line.
    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let len = self.output.read_line(&mut line).context("its next line")?;
        ensure!(len > 0, "it ended without the line");
        Ok(line.trim_end().to_owned())
    }

    /// The number of the next line, which must have this key.
    pub(super) fn expect(&mut self, key: &str) -> Result<u32> {
        let line = self.line().with_context(|| format!("{key}?"))?;
        let value = line.strip_prefix(key).map(str::trim);
        let value = value.with_context(|| format!("wanted {key}, got {line:?}"))?;
        value.parse().with_context(|| line.clone())
    }

    /// Whether it has not ended.
    pub(super) fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait().context("wait")?.is_none())
    }

    /// Lets it go on.
    pub(super) fn go(&mut self) -> Result<()> {
        let input = self.input.as_mut().context("no pipe")?;
        input.write_all(b".").context("its standard input")
    }

    /// Waits for its end, which must be a good one.
    fn finish(mut self) -> Result<()> {
        let status = self.child.wait().context("wait")?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }

    pub(super) fn kill(mut self) -> Result<()> {
        self.child.kill().context("kill")?;
        self.child.wait().context("wait").map(drop)
    }
}

/// A job that waits in a moved `read(2)`.
struct Blocked(Stepping);

impl Blocked {
    /// Starts it and waits until it does so on a CPU of Linux. After the call it will be at home at once.
    fn start(options: &[&str]) -> Result<Blocked> {
        let options = [&NO_BATCH, options].concat();
        let mut program = Stepping::start(job::yod_inside(&options, &["calls-blocked"]))?;
        program.expect("before")?;
        let blocked = Blocked(program);
        blocked.wait()?;
        Ok(blocked)
    }

    fn pid(&self) -> i32 {
        self.0.pid()
    }

    fn stat(&self) -> Result<Stat> {
        let mut threads = proc::threads(self.pid());
        threads.pop().context("it has ended")
    }

    /// Waits until it sleeps on a CPU of Linux.
    fn wait(&self) -> Result<()> {
        let is_away = || {
            let stat = self.stat()?;
            Ok(stat.state == 'S' && is_linux(stat.cpu))
        };
        let limit = scaled(Duration::from_secs(5))?;
        job::eventually(limit, "a job that waits on a CPU of Linux", is_away)
            .with_context(|| format!("{:?}", self.stat()))
    }

    /// Lets it go on to its end and returns where it was after the call.
    fn release(mut self) -> Result<usize> {
        self.0.go()?;
        let after = self.0.expect("after")?;
        let got = self.0.line()?;
        ensure!(got == "got Ok(1) [46]", "{got}");
        self.0.line()?;
        self.0.finish()?;
        Ok(usize::try_from(after)?)
    }
}
