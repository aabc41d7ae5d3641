// SPDX-License-Identifier: GPL-2.0
//! Programs whose system calls are carried out here or there, and which cannot tell.

mod files;
mod ipc;
mod locks;
mod own;
mod own_state;
mod script;
mod shares;
mod simple;
mod sockets;
mod tasks;
mod waits;
pub(crate) mod work;

use std::fmt::Debug;

use super::Program;
use crate::cpus::Cpus;
use crate::trace::mark;

/// By name.
pub(super) const PROGRAMS: &[(&str, Program)] = &[
    ("calls-file", files::names),
    ("calls-desc", files::descriptors),
    ("calls-network", sockets::network),
    ("calls-ipc", ipc::ipc),
    ("calls-process", tasks::tasks),
    ("calls-memory", own::memory),
    ("calls-sched", own::scheduling),
    ("calls-futex", own::futexes),
    ("calls-signal", own::signals),
    ("calls-time", own::time),
    ("calls-identity", own::identity),
    ("calls-end", tasks::end),
    ("calls-once", simple::once),
    ("calls-again", simple::again),
    ("calls-counted", simple::counted),
    ("calls-blocked", simple::blocked),
    ("calls-parent", simple::parent),
    ("calls-burst", simple::burst),
    ("calls-watched", waits::watched),
    ("calls-interrupted", waits::interrupted),
    ("calls-timers", waits::timers),
    ("calls-polled", waits::polled),
    ("calls-busy", waits::busy),
    ("calls-script", script::script),
    ("calls-changed", script::changed),
    ("calls-filtered", script::filtered),
    ("calls-robust", locks::robust),
    ("calls-robust-exit", locks::robust_exit),
    ("calls-inheritance", locks::inheritance),
    ("calls-times", own_state::times),
    ("calls-sequences", own_state::sequences),
    ("calls-ring", own_state::ring),
    ("calls-credentials", own_state::credentials),
    ("calls-vfork", tasks::vfork_waits),
    ("calls-beside", tasks::beside),
    ("calls-rt", shares::real_time),
    ("calls-with-deadline", shares::with_deadline),
    ("calls-pair", shares::pair),
    ("calls-turns", shares::turns),
    ("calls-wakes", shares::wakes),
    ("calls-starved", shares::starved),
    ("calls-crowd", shares::crowd),
    ("calls-read-pages", shares::read_pages),
    ("calls-write-pages", shares::write_pages),
    ("calls-io", work::io),
    ("calls-prey", work::prey),
];

/// What a program does between two marks in the trace, and what came of it, which is printed behind the second one.
struct Between {
    said: Vec<String>,
}

impl Between {
    /// Leaves the first mark.
    fn begin() -> Between {
        mark(1);
        Between { said: Vec::new() }
    }

    /// Notes a result, which must be the same on every run.
    fn say(&mut self, what: impl Debug) {
        self.said.push(format!("{what:?}"));
    }

    /// Leaves the second mark and prints what was noted.
    fn end(self) {
        mark(2);
        for line in self.said {
            println!("{line}");
        }
    }
}

/// A set of CPUs as text.
fn list(cpus: &Cpus) -> String {
    let cpus: Vec<_> = cpus.iter().map(ToString::to_string).collect();
    cpus.join(",")
}
