// SPDX-License-Identifier: GPL-2.0
//! What the kernel itself records of where things happen: instances of tracefs of our own.
//!
//! Each event is in the buffer of the CPU that it happened on, so it tells the CPU of whatever is between two marks of
//! a program without a word from the LWK.
//!
//! An instance stays, with its events switched on: each that is switched on or off patches the kernel, which QEMU before
//! 8.0 does not bear often while several vCPUs run.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};

use anyhow::{ensure, Context, Result};
use nix::libc;
use nix::unistd::{getpgid, Pid};

const INSTANCES: &str = "/sys/kernel/tracing/instances";

/// Entering and leaving system calls.
pub(crate) const CALLS: [&str; 2] = ["raw_syscalls/sys_enter", "raw_syscalls/sys_exit"];

/// No process has a number like this; a program that asks for its group leaves it in the trace.
const MARK: i32 = 0x3abc_de00;

/// The argument of a mark.
pub(crate) fn marked(number: u8) -> i32 {
    MARK + i32::from(number)
}

/// Leaves a mark in the trace of system calls.
pub(crate) fn mark(number: u8) {
    // There is no such process, which is the point.
    let _ = getpgid(Some(Pid::from_raw(marked(number))));
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// The thread that was running.
    pub(crate) tid: i32,
    /// Where.
    pub(crate) cpu: usize,
    /// Its name without the subsystem.
    pub(crate) name: String,
    /// What else it says.
    pub(crate) text: String,
}

impl Event {
    /// Reads a line of the file `trace`: `comm-tid  [cpu] flags time: name: text`.
    fn parse(line: &str) -> Option<Event> {
        // A command may hold brackets, too, but not behind a number.
        let mut columns = line.match_indices(" [").filter(|(at, _)| {
            let number = line.get(at + 2..at + 5);
            number.is_some_and(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
                && line.get(at + 5..at + 6) == Some("]")
        });
        let (at, tid) = columns.find_map(|(at, _)| {
            let (_, tid) = line.get(..at)?.trim_end().rsplit_once('-')?;
            Some((at, tid.parse().ok()?))
        })?;
        let mut words = line.get(at + 6..)?.trim_start().splitn(3, ": ");
        let (_, name, text) = (words.next()?, words.next()?, words.next()?);
        Some(Event {
            tid,
            cpu: line.get(at + 2..at + 5)?.parse().ok()?,
            name: name.trim().to_owned(),
            text: text.to_owned(),
        })
    }

    /// The value behind `key=`.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        let mut words = self.text.split(' ');
        words.find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    /// The same as a number.
    pub(crate) fn number(&self, key: &str) -> Option<i64> {
        self.value(key)?.parse().ok()
    }

    /// The number of the system call that is entered or left here.
    pub(crate) fn call(&self) -> Option<i64> {
        let mut words = self.text.strip_prefix("NR ")?.split(' ');
        words.next()?.parse().ok()
    }

    fn is_mark(&self, number: u8) -> bool {
        let argument = format!("({:x},", marked(number));
        self.name == "sys_enter"
            && self.call() == Some(libc::SYS_getpgid)
            && self.text.contains(&argument)
    }
}

/// A recording that goes on.
pub(crate) struct Trace {
    instance: String,
}

impl Trace {
    /// Begins to record events, named as the folders below `events`.
    pub(crate) fn start(events: &[&str]) -> Result<Trace> {
        let mut hasher = DefaultHasher::new();
        events.hash(&mut hasher);
        let instance = format!("{INSTANCES}/lwktest-{:x}", hasher.finish());
        let trace = Trace { instance };
        if fs::metadata(&trace.instance).is_err() {
            fs::create_dir(&trace.instance).context(trace.instance.clone())?;
            trace.write("buffer_size_kb", "6144")?;
            // Numbers in order over all CPUs, as times of several CPUs may be equal.
            trace.write("trace_clock", "counter")?;
            for event in events {
                trace.write(&format!("events/{event}/enable"), "1")?;
            }
        }
        trace.write("trace", "\n")?;
        trace.write("tracing_on", "1")?;
        Ok(trace)
    }

    /// Lets the kernel record only what its filter language says of an event.
    pub(crate) fn filter(&self, event: &str, filter: &str) -> Result<()> {
        self.write(&format!("events/{event}/filter"), filter)
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = format!("{}/{file}", self.instance);
        fs::write(&path, text).with_context(|| format!("{text} to {path}"))
    }

    /// Ends it and returns what was recorded, in order.
    pub(crate) fn stop(self) -> Result<Events> {
        self.write("tracing_on", "0")?;
        let path = format!("{}/trace", self.instance);
        let text = fs::read_to_string(&path).context(path)?;
        // "# entries-in-buffer/entries-written: 12/12   #P:4"
        let counts = text
            .lines()
            .find_map(|line| line.strip_prefix("# entries-in-buffer/entries-written: "));
        let counts = counts.and_then(|counts| counts.split_whitespace().next()?.split_once('/'));
        let (kept, written) = counts.context("the trace has no heading")?;
        ensure!(kept == written, "{kept} of {written} events were kept");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let lines = lines.filter(|line| !line.trim().is_empty());
        let events: Result<Vec<_>> = lines
            .map(|line| Event::parse(line).with_context(|| format!("cannot read {line:?}")))
            .collect();
        Ok(Events(events?))
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // A case that ends early need not pay for what others do.
        if let Err(error) = self.write("tracing_on", "0") {
            eprintln!("{error:#}");
        }
    }
}

/// Removes all instances, so that events that are about to go are not in use.
pub(crate) fn forget() -> Result<()> {
    for entry in fs::read_dir(INSTANCES).context(INSTANCES)? {
        let path = entry.context(INSTANCES)?.path();
        fs::remove_dir(&path).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// What was recorded.
#[derive(Debug)]
pub(crate) struct Events(pub(crate) Vec<Event>);

impl Events {
    /// The events from one mark of a program to another, of all threads.
    pub(crate) fn between(&self, from: u8, to: u8) -> Result<Events> {
        let position = |number: u8| {
            let mut events = self.0.iter();
            events
                .position(|event| event.is_mark(number))
                .with_context(|| format!("no mark {number} in {} events", self.0.len()))
        };
        let (start, end) = (position(from)?, position(to)?);
        let events = self.0.get(start..end);
        Ok(Events(events.context("the marks are swapped")?.to_vec()))
    }

    /// The thread that left a mark.
    pub(crate) fn who_marked(&self, number: u8) -> Result<i32> {
        let event = self.0.iter().find(|event| event.is_mark(number));
        Ok(event.with_context(|| format!("no mark {number}"))?.tid)
    }

    /// Those of this name.
    pub(crate) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Event> {
        self.0.iter().filter(move |event| event.name == name)
    }

    /// How often a thread was taken to another CPU.
    pub(crate) fn migrations(&self, tid: i32) -> usize {
        self.named("sched_migrate_task")
            .filter(|event| event.number("pid") == Some(tid.into()))
            .count()
    }

    /// The system calls of these threads, in the order in which they were entered.
    pub(crate) fn calls(&self, is_wanted: impl Fn(i32) -> bool) -> Vec<Call> {
        let mut calls: Vec<Call> = Vec::new();
        let mut open = BTreeMap::new();
        for event in self.0.iter().filter(|event| is_wanted(event.tid)) {
            let Some(nr) = event.call() else { continue };
            match event.name.as_str() {
                "sys_enter" => {
                    open.insert(event.tid, calls.len());
                    calls.push(Call {
                        tid: event.tid,
                        nr,
                        entered_on: event.cpu,
                        left: None,
                    });
                }
                "sys_exit" => {
                    let result = event.text.rsplit(' ').next();
                    let result = result.and_then(|text| text.parse().ok());
                    // A new task leaves a call that its parent entered.
                    let call = open.remove(&event.tid).and_then(|at| calls.get_mut(at));
                    if let Some(call) = call.filter(|call| call.nr == nr) {
                        call.left = Some((event.cpu, result.unwrap_or_default()));
                    }
                }
                _ => {}
            }
        }
        calls
    }
}

/// A system call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Whose.
    #[expect(dead_code, reason = "for messages")]
    pub(crate) tid: i32,
    /// Which.
    pub(crate) nr: i64,
    /// The CPU on which it came into the kernel.
    pub(crate) entered_on: usize,
    /// The CPU on which Linux had carried it out, and the result; nothing if it did not return.
    pub(crate) left: Option<(usize, i64)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_trace_are_read() {
        let line = " my [001] prog-117   [002] ..... 12.345678: sys_exit: NR 1 = -9";
        let event = Event::parse(line).expect("an event");
        assert_eq!((event.tid, event.cpu), (117, 2));
        assert_eq!((event.name.as_str(), event.call()), ("sys_exit", Some(1)));
        let line = "<idle>-0 [003] d..2. 7: sched_switch: prev_pid=0 ==> next_comm=a next_pid=9";
        let event = Event::parse(line).expect("an event");
        assert_eq!((event.tid, event.number("next_pid")), (0, Some(9)));
        assert!(Event::parse("CPU:2 [LOST 12 EVENTS]").is_none());
    }

    #[test]
    fn calls_are_put_together_by_thread() {
        let event = |tid, cpu, name: &str, text: &str| Event {
            tid,
            cpu,
            name: name.to_owned(),
            text: text.to_owned(),
        };
        let events = Events(vec![
            event(7, 2, "sys_enter", "NR 57 (0, 0, 0, 0, 0, 0)"),
            event(8, 3, "sys_exit", "NR 57 = 0"),
            event(7, 0, "sys_exit", "NR 57 = 8"),
            event(8, 3, "sys_enter", "NR 60 (0, 0, 0, 0, 0, 0)"),
        ]);
        let calls = events.calls(|_| true);
        let told: Vec<_> = calls
            .iter()
            .map(|call| (call.nr, call.entered_on, call.left))
            .collect();
        assert_eq!(told, [(57, 2, Some((0, 8))), (60, 3, None)]);
    }
}
