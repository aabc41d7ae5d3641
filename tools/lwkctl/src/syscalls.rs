// SPDX-License-Identifier: GPL-2.0
//! `lwkctl syscalls`: where the system calls of a job are carried out, how often and how long, as text and as JSON.

use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result};
use lwk::{
    changes_to, suggested, CallPolicy, CallRow, CallsError, Device, Error, Target, ThreadCalls,
    Whether, CALL_COLUMNS, NOTHING,
};
use lwk_logic::logic::locality::{listed, name, CallSet, Place, Table as Places};
use serde::Serialize;

use crate::cli::Syscalls;
use crate::report::SCHEMA;
use crate::show::printable;
use crate::table::{Style, Table};

/// The calls of a job.
#[derive(Debug, Clone, Serialize)]
pub struct SyscallsReport {
    /// Version of the JSON.
    pub schema: u32,
    /// The job's id.
    pub job: u32,
    /// Where calls are carried out.
    pub policy: CallsReport,
    /// All threads together, also those that ended.
    pub calls: Vec<CallReport>,
    /// Calls that were not counted for want of room.
    pub lost: u64,
    /// Changes that may help, as `--syscalls` takes them.
    pub suggested: Option<String>,
    /// Each thread, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<Vec<ThreadReport>>,
}

/// The calls of a thread.
#[derive(Debug, Clone, Serialize)]
pub struct ThreadReport {
    /// Its number in the caller's pid namespace.
    pub tid: u32,
    /// Command name.
    pub comm: String,
    /// The most frequent first.
    pub calls: Vec<CallReport>,
    /// Calls that were not counted for want of room.
    pub lost: u64,
}

/// A call; times in nanoseconds.
#[derive(Debug, Clone, Serialize)]
pub struct CallReport {
    /// Its name, or its number if it has none.
    pub call: String,
    /// Its number.
    pub number: u32,
    /// Where it is carried out now.
    pub place: &'static str,
    /// How often it was made.
    pub count: u64,
    /// How often of that by Linux where it was made.
    pub local: u64,
    /// How often on a CPU of Linux.
    pub moved: u64,
    /// How often of that the thread was there already.
    pub stayed: u64,
    /// How often by the LWK.
    pub native: u64,
    /// What moved calls took to get there and back, together.
    pub travel_ns: u64,
    /// What they took there, together.
    pub linux_ns: u64,
    /// Of how many of the others the time was measured.
    pub timed: u64,
    /// What these took, together.
    pub local_ns: u64,
    /// What the longest took, with its way.
    pub longest_ns: u64,
    /// Where it would be better.
    pub suggestion: Option<&'static str>,
}

/// Where calls are carried out.
#[derive(Debug, Clone, Serialize)]
pub struct CallsReport {
    /// Changes that make it of what a new partition has, as `--syscalls` takes them.
    pub changes: Option<String>,
    /// The calls that are moved.
    #[serde(rename = "move")]
    pub moved: Vec<&'static str>,
    /// The calls that the LWK carries out itself.
    pub native: Vec<&'static str>,
    /// Whether the CPU of a thread whose call was moved is kept for it.
    pub exclusive_wait: bool,
    /// How long a thread stays after a moved call.
    pub batch_ns: u32,
    /// What a CPU does whose thread is away.
    pub idle: &'static str,
    /// Whether all calls are measured.
    pub timed: bool,
}

impl CallsReport {
    /// Puts it together.
    pub fn new(policy: &CallPolicy) -> Self {
        let names = |set: &CallSet| set.iter().filter_map(name).collect();
        Self {
            changes: changes_to(&policy.table),
            moved: names(&policy.table.moved),
            native: names(&policy.table.native),
            exclusive_wait: policy.exclusive,
            batch_ns: policy.batch_ns,
            idle: policy.idle().name(),
            timed: policy.timed,
        }
    }
}

impl CallReport {
    fn new(row: &CallRow) -> Self {
        let record = &row.record;
        Self {
            call: row.name(),
            number: record.call,
            place: row.place.name(),
            count: row.count(),
            local: record.local,
            moved: record.moved,
            stayed: record.stayed,
            native: record.native,
            travel_ns: record.travel_ns,
            linux_ns: record.linux_ns,
            timed: record.timed,
            local_ns: record.local_ns,
            longest_ns: record.longest_ns,
            suggestion: row.suggestion.map(Place::name),
        }
    }
}

/// A reading: the policy and the counts that go with it.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Whose.
    pub job: u32,
    /// Where calls are carried out.
    pub policy: CallPolicy,
    /// First all together, then each thread.
    pub counts: Vec<ThreadCalls>,
}

impl Reading {
    fn read(device: &Device, job: u32) -> Result<Self, Error> {
        Ok(Self {
            job,
            policy: device.calls(Target::Job(job))?,
            counts: device.call_counts(job)?,
        })
    }

    /// What is new since it was read before.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let new = |thread: &ThreadCalls| {
            let old = before.counts.iter().find(|old| old.tid == thread.tid);
            old.map_or_else(|| thread.clone(), |old| thread.since(old))
        };
        Self {
            counts: self.counts.iter().map(new).collect(),
            ..self.clone()
        }
    }

    fn sum(&self) -> ThreadCalls {
        self.counts.first().cloned().unwrap_or_default()
    }

    fn threads(&self) -> &[ThreadCalls] {
        self.counts.get(1..).unwrap_or_default()
    }

    /// It as JSON has it.
    pub fn report(&self, threads: bool) -> SyscallsReport {
        let calls = |thread: &ThreadCalls| {
            let rows = thread.rows(&self.policy.table);
            rows.iter().map(CallReport::new).collect()
        };
        let thread = |thread: &ThreadCalls| ThreadReport {
            tid: thread.tid,
            comm: thread.comm.clone(),
            calls: calls(thread),
            lost: thread.lost,
        };
        let sum = self.sum();
        SyscallsReport {
            schema: SCHEMA,
            job: self.job,
            policy: CallsReport::new(&self.policy),
            calls: calls(&sum),
            lost: sum.lost,
            suggested: suggested(&sum.rows(&self.policy.table)),
            threads: threads.then(|| self.threads().iter().map(thread).collect()),
        }
    }

    /// It as tables.
    pub fn text(&self, threads: bool, style: Style) -> String {
        let sum = self.sum();
        let mut text = self.table(&sum, style);
        if threads {
            for thread in self.threads() {
                let comm = printable(&thread.comm);
                text += &format!("\nThread {} ({comm}):\n", thread.tid);
                text += &self.table(thread, style);
            }
        }
        text += &format!("\nJob {}: {}\n", self.job, self.policy);
        if let Some(changes) = suggested(&sum.rows(&self.policy.table)) {
            let job = self.job;
            text += &format!("Suggested: lwkctl syscalls {job} --syscalls {changes}\n");
        }
        text
    }

    fn table(&self, thread: &ThreadCalls, style: Style) -> String {
        let rows = thread.rows(&self.policy.table);
        if rows.is_empty() {
            return NOTHING.to_owned() + &thread.lost_text();
        }
        let mut table = Table::new(CALL_COLUMNS);
        for row in rows {
            table.row(row.cells());
        }
        table.text(style) + &thread.lost_text()
    }
}

/// Prints what the command line asks for; with `--watch` until the job or somebody ends it.
///
/// # Errors
///
/// If there is no such job, the kernel refuses, or output fails.
pub fn run(path: &Path, asked: &Syscalls, style: Style, out: &mut impl Write) -> Result<()> {
    let device = Device::open(path)?;
    let job = device.job(asked.job)?.id;
    if asked.changes() {
        let target = Target::Job(job);
        device.set_calls(target, &asked.over(&device.calls(target)?)?)?;
    }
    let mut before: Option<Reading> = None;
    loop {
        let now = match Reading::read(&device, job) {
            // The job has ended, and nobody can tell more of it.
            Err(_) if before.is_some() && device.job(job).is_err() => return Ok(()),
            read => read?,
        };
        let new = before
            .as_ref()
            .map_or_else(|| now.clone(), |old| now.since(old));
        let text = match (asked.json, asked.watch) {
            (true, Some(_)) => serde_json::to_string(&new.report(asked.threads))? + "\n",
            (true, None) => serde_json::to_string_pretty(&new.report(asked.threads))? + "\n",
            (false, _) if before.is_some() => format!("\n{}", new.text(asked.threads, style)),
            (false, _) => new.text(asked.threads, style),
        };
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // A reader that closed the pipe has what it wanted.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            done => done.context("cannot write to standard output")?,
        }
        let Some(pause) = asked.watch else {
            return Ok(());
        };
        before = Some(now);
        std::thread::sleep(pause);
    }
}

impl Syscalls {
    /// Whether anything is to be set.
    fn changes(&self) -> bool {
        let lists = [&self.local, &self.moved, &self.native];
        !self.calls.is_empty() || self.timed.is_some() || lists.iter().any(|list| list.is_some())
    }

    /// A policy that is as the options say, and as `base` where they say nothing.
    ///
    /// # Errors
    ///
    /// If a list makes no sense; those of a command line do.
    pub fn over(&self, base: &CallPolicy) -> Result<CallPolicy, CallsError> {
        let mut policy = self.calls.over(base)?;
        let lists = [
            (Place::Local, &self.local),
            (Place::Move, &self.moved),
            (Place::Native, &self.native),
        ];
        let mut given = Vec::new();
        for (place, list) in lists {
            if let Some(list) = list {
                given.push((listed(list.as_bytes())?.len(), place, list));
            }
        }
        // Where lists overlap the one that names fewer calls means them in particular.
        given.sort_by_key(|(calls, ..)| std::cmp::Reverse(*calls));
        for (_, place, list) in given {
            policy.table.set(place, list.as_bytes())?;
        }
        let is_timed = self.timed.map(|timed| timed == Whether::Yes);
        policy.timed = is_timed.unwrap_or(policy.timed);
        Ok(policy)
    }
}

/// Reads a list of calls that can be at a place.
///
/// # Errors
///
/// If it is none.
pub fn list(text: &str, place: Place) -> Result<String, String> {
    let mut table = Places::DEFAULT;
    let result = table.set(place, text.as_bytes());
    result
        .map(|()| text.to_owned())
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use lwk_logic::logic::locality::number;

    use super::*;
    use crate::cli::{Command, Options};

    fn asked(line: &str) -> Syscalls {
        let line = format!("lwkctl syscalls 3 {line}");
        let options = Options::try_parse_from(line.split_whitespace()).expect("a good line");
        match options.command {
            Command::Syscalls(asked) => asked,
            other => panic!("another command: {other:?}"),
        }
    }

    fn place(line: &str, call: &str) -> Place {
        let policy = asked(line).over(&CallPolicy::DEFAULT).expect("good lists");
        policy.table.place(number(call.as_bytes()).expect("a call"))
    }

    #[test]
    fn the_list_with_fewer_calls_wins() {
        assert_eq!(place("--local all --move read", "read"), Place::Move);
        assert_eq!(place("--move read --local all", "read"), Place::Move);
        assert_eq!(place("--move %file --local open", "open"), Place::Local);
        assert_eq!(place("--move %file --local open", "openat"), Place::Move);
        assert_eq!(
            place("--move all --native sched_yield", "sched_yield"),
            Place::Native
        );
    }

    #[test]
    fn only_options_that_set_change() {
        for line in ["", "--json --threads --watch 3"] {
            assert!(!asked(line).changes(), "{line}");
        }
        for line in [
            "--timed",
            "--timed=no",
            "--local read",
            "--idle poll",
            "--syscall-batch no",
        ] {
            assert!(asked(line).changes(), "{line}");
        }
        let timed = asked("--timed").over(&CallPolicy::DEFAULT).expect("good");
        assert!(timed.timed);
        assert!(!asked("--timed=no").over(&timed).expect("good").timed);
        assert!(asked("--idle poll").over(&timed).expect("good").timed);
    }
}
