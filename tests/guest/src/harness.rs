// SPDX-License-Identifier: GPL-2.0
//! Runs the cases of a suite, each in a child process with a time limit, so that a hang or a crash of one is its
//! own failure and the rest go on.
//!
//! After each case every process is killed and the LWK must be as it was: no job, every CPU free. A case that leaves
//! anything behind fails even if its own checks passed.

use std::fs::File;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::Pid;

use crate::ktap::{self, Report, Verdict};
use crate::{job, proc, sys};

/// One test.
pub(crate) struct Case {
    /// Unique in its suite; says what must hold.
    pub(crate) name: &'static str,
    /// One sentence for a person.
    pub(crate) description: &'static str,
    setup: fn() -> Result<()>,
    run: fn() -> Result<()>,
    cleanup: fn() -> Result<()>,
    limit_s: u32,
}

impl Case {
    /// A case without preparation that may take half a minute.
    pub(crate) const fn new(
        name: &'static str,
        description: &'static str,
        run: fn() -> Result<()>,
    ) -> Case {
        Case {
            name,
            description,
            setup: nothing,
            run,
            cleanup: nothing,
            limit_s: 30,
        }
    }

    /// What to prepare before, and to put right after it however it ended.
    pub(crate) const fn around(
        mut self,
        setup: fn() -> Result<()>,
        cleanup: fn() -> Result<()>,
    ) -> Case {
        self.setup = setup;
        self.cleanup = cleanup;
        self
    }

    /// Another time limit, for the production kernel.
    pub(crate) const fn limit_s(mut self, seconds: u32) -> Case {
        self.limit_s = seconds;
        self
    }
}

/// The preparation and cleanup of a case that needs none.
fn nothing() -> Result<()> {
    Ok(())
}

/// Cases that share a machine and its boot line.
pub(crate) struct Suite {
    /// What `lwktest.suite=` says.
    pub(crate) name: &'static str,
    /// In order.
    pub(crate) cases: &'static [Case],
}

/// What the boot line asked for.
pub(crate) struct Settings {
    /// Only cases whose name contains this.
    pub(crate) filter: Option<String>,
    /// How much slower this kernel is than a production one.
    pub(crate) factor: u32,
    /// How much longer each case may take, on top of that.
    pub(crate) more: Duration,
}

/// The error of a case that cannot run on this machine.
#[derive(Debug)]
pub(crate) struct Skip(pub(crate) &'static str);

impl std::fmt::Display for Skip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Skip {}

const REASON: &str = "/tmp/case.reason";
const LOG: &str = "/tmp/case.log";
const FAILED: u8 = 1;
const SKIPPED: u8 = 4;

/// Runs the suite and writes the report.
pub(crate) fn run(suite: &Suite, settings: &Settings) -> Result<()> {
    let wanted = |case: &&Case| {
        settings
            .filter
            .as_ref()
            .is_none_or(|f| case.name.contains(f.as_str()))
    };
    let cases: Vec<&Case> = suite.cases.iter().filter(wanted).collect();
    let mut report = Report::begin(cases.len())?;
    for case in cases {
        report.note(&format!("{}: {}", case.name, case.description))?;
        ktap::kernel_log(&format!("case {}", case.name));
        let begun = Instant::now();
        let verdict = run_case(case, settings);
        report.note(&format!(
            "{} took {} ms",
            case.name,
            begun.elapsed().as_millis()
        ))?;
        report.result(case.name, &verdict)?;
    }
    Ok(())
}

fn run_case(case: &Case, settings: &Settings) -> Verdict {
    let factor = settings.factor;
    let limit = Duration::from_secs(u64::from(case.limit_s)) * factor + settings.more;
    let mut verdict = in_child(limit, || {
        (case.setup)().context("setup").and_then(|()| (case.run)())
    });
    if let Verdict::Failed(why) = in_child(limit, || (case.cleanup)().context("cleanup")) {
        verdict = worse(verdict, why);
    }
    if let Err(error) = kill_everyone(Duration::from_secs(10) * factor) {
        verdict = worse(verdict, format!("{error:#}"));
    }
    if let Err(error) = job::check_idle() {
        verdict = worse(verdict, format!("left behind: {error:#}"));
    }
    verdict
}

fn worse(verdict: Verdict, why: String) -> Verdict {
    match verdict {
        Verdict::Failed(first) => Verdict::Failed(format!("{first}\n{why}")),
        _ => Verdict::Failed(why),
    }
}

/// Runs `body` in a child that adopts the orphans below it, and judges how it ended.
fn in_child(limit: Duration, body: impl FnOnce() -> Result<()>) -> Verdict {
    match try_in_child(limit, body) {
        Ok(verdict) => verdict,
        Err(error) => Verdict::Failed(format!("{error:#}")),
    }
}

fn try_in_child(limit: Duration, body: impl FnOnce() -> Result<()>) -> Result<Verdict> {
    let log = File::create(LOG).context(LOG)?;
    std::fs::write(REASON, "").context(REASON)?;
    let child = sys::spawn(|| child_main(&log, body))?;
    let status = match wait_for(child, limit) {
        Some(status) => status,
        None => {
            let stuck = proc::describe_user_tasks();
            let seconds = limit.as_secs();
            return Ok(Verdict::Failed(format!(
                "no end after {seconds} s; tasks:\n{stuck}{}",
                log_tail()
            )));
        }
    };
    let reason = std::fs::read_to_string(REASON).context(REASON)?;
    Ok(match status {
        WaitStatus::Exited(_, 0) => Verdict::Passed,
        WaitStatus::Exited(_, code) if code == i32::from(SKIPPED) => Verdict::Skipped(reason),
        WaitStatus::Exited(_, code) if code == i32::from(FAILED) => {
            Verdict::Failed(reason + &log_tail())
        }
        other => Verdict::Failed(format!(
            "the case itself ended with {other:?}{}",
            log_tail()
        )),
    })
}

fn child_main(log: &File, body: impl FnOnce() -> Result<()>) -> u8 {
    let prepared = rustix::stdio::dup2_stdout(log.as_fd())
        .and_then(|()| rustix::stdio::dup2_stderr(log.as_fd()))
        .and_then(|()| rustix::process::set_child_subreaper(Some(rustix::process::getpid())))
        .context("preparing the case");
    let Err(error) = prepared.and_then(|()| body()) else {
        return 0;
    };
    let code = if error.downcast_ref::<Skip>().is_some() {
        SKIPPED
    } else {
        FAILED
    };
    // Without its reason the case still fails by its exit code.
    drop(std::fs::write(REASON, format!("{error:#}")));
    code
}

/// What the case and its programs printed, cut to its end.
fn log_tail() -> String {
    let text = String::from_utf8_lossy(&std::fs::read(LOG).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines
        .get(lines.len().saturating_sub(15)..)
        .unwrap_or_default();
    tail.iter()
        .fold(String::new(), |all, line| all + "\n| " + line)
}

/// Waits for `child` and reaps whatever else ends meanwhile.
fn wait_for(child: Pid, limit: Duration) -> Option<WaitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(status) if status.pid() == Some(child) => return Some(status),
            Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(5)),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
    None
}

/// Kills every process but this one and waits until all are gone.
fn kill_everyone(limit: Duration) -> Result<()> {
    let begun = Instant::now();
    loop {
        // From PID 1 this reaches all of user space; an error means that nobody is left.
        let nobody = kill(Pid::from_raw(-1), Signal::SIGKILL).is_err();
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(_) => return Ok(()),
            Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(2)),
            Ok(_) => continue,
        }
        if begun.elapsed() > limit {
            let tasks = proc::describe_user_tasks();
            anyhow::bail!("tasks that SIGKILL does not end (nobody to kill: {nobody}):\n{tasks}");
        }
    }
}
