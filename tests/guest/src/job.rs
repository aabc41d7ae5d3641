// SPDX-License-Identifier: GPL-2.0
//! Jobs as a user starts them, and the state of the LWK as `/dev/lwk` tells it.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use lwk_logic::uapi;
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::Pid;

use crate::cpus::{self, Cpus};
use crate::sys::lwk::{self, size_of_abi};

/// A partition with its CPU sets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) flags: u32,
    pub(crate) cpus: Cpus,
    pub(crate) service: Cpus,
    pub(crate) nr_cpus: u32,
    pub(crate) nr_free: u32,
    pub(crate) nr_jobs: u32,
}

/// A job with its CPU set.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: u32,
    pub(crate) pid: u32,
    pub(crate) nr_tasks: u32,
    pub(crate) comm: String,
    pub(crate) cpus: Cpus,
    /// Memory that it was promised, uses, and has of Linux, in bytes.
    pub(crate) promised: u64,
    pub(crate) used: u64,
    pub(crate) spilled: u64,
}

/// Reads what the kernel offers.
pub(crate) fn info() -> Result<uapi::Info> {
    let mut info = uapi::Info {
        size: size_of_abi::<uapi::Info>(),
        ..Default::default()
    };
    lwk::info(&lwk::open()?, &mut info, &[]).context("LWK_INFO")?;
    Ok(info)
}

/// Reads all partitions.
pub(crate) fn partitions() -> Result<Vec<Partition>> {
    let device = lwk::open()?;
    let mut found = Vec::new();
    let mut id = 1;
    loop {
        let mut arg = uapi::PartitionGet {
            size: size_of_abi::<uapi::PartitionGet>(),
            id,
            ..Default::default()
        };
        let (mut words, mut service) = ([0; 16], [0; 16]);
        match lwk::partition_get(&device, &mut arg, &mut words, &mut service) {
            Err(rustix::io::Errno::NOENT) => return Ok(found),
            result => result.context("LWK_PARTITION_GET")?,
        }
        ensure!(
            arg.id >= id,
            "asked for partition {id} or later, got {}",
            arg.id
        );
        id = arg.id + 1;
        found.push(Partition {
            id: arg.id,
            name: text(&arg.name),
            flags: arg.flags,
            cpus: cpus::from_words(&words),
            service: cpus::from_words(&service),
            nr_cpus: arg.nr_cpus,
            nr_free: arg.nr_free,
            nr_jobs: arg.nr_jobs,
        });
    }
}

/// Reads all jobs.
pub(crate) fn jobs() -> Result<Vec<Job>> {
    let device = lwk::open()?;
    let mut found = Vec::new();
    let mut id = 1;
    loop {
        let mut arg = uapi::JobGet {
            size: size_of_abi::<uapi::JobGet>(),
            id,
            ..Default::default()
        };
        let mut words = [0; 16];
        match lwk::job_get(&device, &mut arg, &mut words) {
            Err(rustix::io::Errno::NOENT) => return Ok(found),
            result => result.context("LWK_JOB_GET")?,
        }
        ensure!(arg.id >= id, "asked for job {id} or later, got {}", arg.id);
        id = arg.id + 1;
        found.push(Job {
            id: arg.id,
            pid: arg.pid,
            nr_tasks: arg.nr_tasks,
            comm: text(&arg.comm),
            cpus: cpus::from_words(&words),
            promised: arg.mem_promised,
            used: arg.mem_used,
            spilled: arg.mem_spilled,
        });
    }
}

/// Reads one CPU with its counters.
pub(crate) fn cpu(cpu: u32) -> Result<uapi::CpuGet> {
    let mut arg = uapi::CpuGet {
        size: size_of_abi::<uapi::CpuGet>(),
        cpu,
        ..Default::default()
    };
    lwk::cpu_get(&lwk::open()?, &mut arg).with_context(|| format!("LWK_CPU_GET of CPU {cpu}"))?;
    Ok(arg)
}

/// The text before the NUL of a field of the ABI.
pub(crate) fn text(field: &[u8]) -> String {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    String::from_utf8_lossy(field.get(..end).unwrap_or_default()).into_owned()
}

/// Checks that no job exists and that every CPU of every partition is free.
pub(crate) fn check_idle() -> Result<()> {
    if !std::path::Path::new(uapi::DEVICE_PATH).exists() {
        return Ok(());
    }
    let jobs = jobs()?;
    ensure!(jobs.is_empty(), "{jobs:?}");
    ensure!(
        info()?.nr_jobs == 0,
        "LWK_INFO counts {} jobs that LWK_JOB_GET does not find",
        info()?.nr_jobs
    );
    for partition in partitions()? {
        ensure!(
            partition.nr_free == partition.nr_cpus && partition.nr_jobs == 0,
            "{partition:?}"
        );
        for &number in &partition.cpus {
            let number = u32::try_from(number)?;
            ensure!(cpu(number)?.job == 0, "CPU {number}: {:?}", cpu(number)?);
            // A task leaves its job before its parent learns of its end, but its run queue some instructions after.
            let quiet = format!("CPU {number} has no task of the LWK class");
            eventually(Duration::from_secs(5), &quiet, || {
                Ok(cpu(number)?.nr_running == 0)
            })?;
        }
    }
    Ok(())
}

/// How a program ended and what it said.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Exit code, or `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// The signal that ended it.
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// The output of a program that must have succeeded.
    pub(crate) fn success(self) -> Result<String> {
        ensure!(self.code == Some(0), "{self:?}");
        Ok(self.stdout)
    }

    /// Checks for one exit code.
    pub(crate) fn expect_code(&self, code: i32) -> Result<()> {
        ensure!(self.code == Some(code), "wanted exit code {code}: {self:?}");
        Ok(())
    }

    /// The value of a `key value` line of the output.
    pub(crate) fn value(&self, key: &str) -> Result<&str> {
        self.stdout
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
            .with_context(|| format!("no {key}: {self:?}"))
    }
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Result<Finished> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{command:?}"))?;
    Ok(Finished {
        code: output.status.code(),
        signal: output.status.signal(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// `yod` with its arguments, not started.
pub(crate) fn yod(args: &[&str]) -> Command {
    let mut command = Command::new("/bin/yod");
    command.args(args);
    command
}

/// `lwkctl` with its arguments, run to a successful end.
pub(crate) fn lwkctl(args: &[&str]) -> Result<String> {
    run(Command::new("/bin/lwkctl").args(args))?.success()
}

/// `yod`'s own arguments followed by one of the programs of [`crate::inside`].
pub(crate) fn yod_inside(options: &[&str], program: &[&str]) -> Command {
    let mut command = yod(options);
    command.args(["/init", "inside"]).args(program);
    command
}

/// A job that computes until it is killed and sends a byte each time it has computed some more.
pub(crate) struct Beating {
    child: Child,
}

impl Beating {
    /// Starts it with `yod`'s options and waits for its first sign of life.
    pub(crate) fn start(options: &[&str]) -> Result<Beating> {
        Self::start_command(yod_inside(options, &["beat"]))
    }

    /// The same with any command that ends up in `inside beat`.
    pub(crate) fn start_command(mut command: Command) -> Result<Beating> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("{command:?}"))?;
        let mut beating = Beating { child };
        beating.beats(1)?;
        Ok(beating)
    }

    /// Its process id, which is `yod`'s.
    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Waits until it has computed `count` times more.
    pub(crate) fn beats(&mut self, count: usize) -> Result<()> {
        let out = self.child.stdout.as_mut().context("no pipe")?;
        for _ in 0..count {
            if out.read(&mut [0; 1]).context("reading beats")? == 0 {
                let status = self.child.wait().context("wait")?;
                bail!("the job ended by itself: {status}");
            }
        }
        Ok(())
    }

    /// Takes the beats that came so far and returns whether there were any.
    pub(crate) fn drain(&mut self) -> Result<bool> {
        let out = self.child.stdout.as_mut().context("no pipe")?;
        let waiting = rustix::io::ioctl_fionread(out.as_fd()).context("FIONREAD")?;
        let mut buffer = vec![0; usize::try_from(waiting)?];
        out.read_exact(&mut buffer).context("reading beats")?;
        Ok(!buffer.is_empty())
    }

    /// Kills it and waits for its end.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill().context("kill")?;
        let status = self.child.wait().context("wait")?;
        ensure!(
            status.signal() == Some(9),
            "the job was killed and ended with {status}"
        );
        Ok(())
    }
}

/// Waits for every child and adopted orphan of this process.
pub(crate) fn reap_all(limit: Duration) -> Result<()> {
    let begun = Instant::now();
    loop {
        match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Err(nix::errno::Errno::ECHILD) => return Ok(()),
            Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_micros(200)),
            Ok(_) => {}
            Err(error) => return Err(error).context("waitpid"),
        }
        if begun.elapsed() > limit {
            bail!(
                "still alive after {} s:\n{}",
                limit.as_secs(),
                crate::proc::describe_user_tasks()
            );
        }
    }
}

/// Calls `probe` until it returns true, at most `limit` long.
pub(crate) fn eventually(
    limit: Duration,
    what: &str,
    mut probe: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let begun = Instant::now();
    while !probe()? {
        if begun.elapsed() > limit {
            bail!("not within {} s: {what}", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
