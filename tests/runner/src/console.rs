// SPDX-License-Identifier: GPL-2.0
//! Searches a console log for the kernel's complaints: any of them fails the run, whatever the cases said.

use std::fmt;

/// What a complaint contains, in the kernel's own spelling.
const COMPLAINTS: &[&str] = &[
    "WARNING: ",
    "BUG:",
    "INFO: possible recursive",
    "Kernel panic",
    "Oops",
    "general protection",
    "nable to handle",
    "divide error",
    "invalid opcode",
    "double fault",
    "Call Trace",
    "stack guard page",
    "KASAN:",
    "UBSAN:",
    "KCSAN:",
    "refcount_t:",
    "list_add corruption",
    "list_del corruption",
    "scheduling while atomic",
    "sleeping function called",
    "possible circular locking",
    "possible recursive locking",
    "irq lock inversion",
    "inconsistent lock state",
    "bad unlock balance",
    "held lock",
    "locks held",
    "lockdep is turned off",
    "uspicious RCU usage",
    "nvalid wait context",
    "soft lockup",
    "hard LOCKUP",
    "hard lockup",
    "blocked for more than",
    "workqueue lockup",
    "rust_kernel: panicked",
    "rust panic",
    "page allocation failure",
    "Out of memory:",
    "segfault at",
    "traps: ",
    "APIC timer disabled",
];

/// What in a log shows that the emulator failed the kernel, and how.
const EMULATOR_TROUBLE: &[(&str, &str)] = &[
    (
        // Nobody sets breakpoints in these guests but the kernel's own text patching, which withdraws them.
        "Oops: int3",
        "a vCPU ran a breakpoint that text patching had removed (translation races with writes in old QEMUs)",
    ),
    (
        "APIC timer disabled due to verification failure",
        "the host was too busy for the guest to calibrate its timer, so it cannot stop ticks",
    ),
    (
        "Kernel panic - not syncing: IO-APIC + timer doesn't work!",
        "the host was too busy for the guest to see its timer tick",
    ),
];

/// Warnings that only say that a CPU got its turn late, which is the emulator's doing on a busy host: this one is about
/// the tick that a Linux CPU does for a tickless one each second.
const LATE: &[&str] = &["sched_tick_remote+"];

/// What a panic over one of them shows.
const LATE_TROUBLE: &str = "a CPU got its turn seconds late";

/// The kernel's last words.
const PANIC: &str = "Kernel panic - not syncing";

/// Words that mean trouble only as a word of their own: "installed" is none.
const WORDS: &[&str] = &["stall", "stalls", "stalled"];

/// Beginnings of lines that quote what somebody typed.
const HARMLESS: &[&str] = &["Kernel command line:", "Command line:", "lwktest: "];

const BEFORE: usize = 3;
/// How far a trace may reach.
const AFTER: usize = 60;
/// How far before a panic the complaint is that made the kernel panic: KASAN's reports are long.
const BEFORE_PANIC: usize = 250;
/// How much to show after a complaint without one.
const AFTER_LINE: usize = 6;

/// A complaint with the lines around it.
#[derive(Debug)]
pub struct Complaint {
    case: Option<String>,
    first: String,
    context: Vec<String>,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let case = self.case.as_deref().unwrap_or("before any case");
        write!(f, "{} ({case})", self.first)?;
        self.context
            .iter()
            .try_for_each(|line| write!(f, "\n{line}"))
    }
}

/// Why the kernel panicked, if it did: the warning that it could not go on after, if it was one, and its last words.
pub fn panic_cause(log: &str) -> Option<String> {
    let lines: Vec<&str> = log
        .lines()
        .map(|line| message(line.trim_end_matches('\r')))
        .collect();
    let at = lines.iter().position(|line| line.starts_with(PANIC))?;
    let before = lines.get(at.saturating_sub(BEFORE_PANIC)..at)?;
    let is_cause = |line: &&&str| {
        ["WARNING: ", "BUG: ", "UBSAN: ", "Oops: "]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let words = lines.get(at)?;
    Some(match before.iter().rev().find(is_cause) {
        Some(cause) => format!("{cause} ({words})"),
        None => (*words).to_owned(),
    })
}

/// Finds every complaint; lines that belong to the context of one do not count again.
pub fn scan(log: &str) -> Vec<Complaint> {
    let lines: Vec<&str> = log
        .lines()
        .map(|line| line.trim_end_matches('\r'))
        .collect();
    let mut complaints = Vec::new();
    let mut case = None;
    let mut next = 0;
    for (index, line) in lines.iter().enumerate() {
        if let Some((_, name)) = line.split_once("lwktest: case ") {
            case = Some(name.trim().to_owned());
        }
        if index < next {
            continue;
        }
        if is_late(line) && panic_cause(log).is_none() {
            next = end_of_trace(&lines, index);
            continue;
        }
        if !is_complaint(line) {
            continue;
        }
        let end = end_of_trace(&lines, index);
        let context = lines
            .get(index.saturating_sub(BEFORE)..end)
            .unwrap_or_default();
        let context = context.iter().map(|&line| line.to_owned()).collect();
        complaints.push(Complaint {
            case: case.clone(),
            first: message(line).to_owned(),
            context,
        });
        next = end;
    }
    complaints
}

/// Where the lines about the complaint at `index` end: behind its trace, or soon if it has none.
fn end_of_trace(lines: &[&str], index: usize) -> usize {
    let limit = (index + AFTER).min(lines.len());
    let context = lines.get(index..limit).unwrap_or_default();
    let find = |text: &str| context.iter().position(|line| line.contains(text));
    match (find("---[ end trace"), find("Call Trace")) {
        (Some(length), _) => index + length + 1,
        (None, Some(_)) => limit,
        (None, None) => limit.min(index + AFTER_LINE),
    }
}

fn is_late(line: &str) -> bool {
    let text = message(line);
    text.starts_with("WARNING: ") && LATE.iter().any(|late| text.contains(late))
}

fn is_complaint(line: &str) -> bool {
    let text = message(line);
    if HARMLESS.iter().any(|start| text.starts_with(start)) {
        return false;
    }
    if text.starts_with("kmemleak: ") {
        // It also announces itself; what it finds it calls suspected leaks, unreferenced objects or errors.
        return !text.contains("initialized") && !text.contains("scanning thread started");
    }
    COMPLAINTS.iter().any(|pattern| text.contains(pattern))
        || text
            .split(|c: char| !c.is_alphanumeric())
            .any(|word| WORDS.contains(&word))
}

/// The line without its time stamp and caller, such as `[    1.234567][    T1] `.
pub(crate) fn message(line: &str) -> &str {
    let mut rest = line;
    while let Some(after) = rest
        .strip_prefix('[')
        .and_then(|inner| inner.split_once(']'))
    {
        let is_stamp = after
            .0
            .trim_start()
            .starts_with(|c: char| c.is_ascii_digit() || c == 'T' || c == 'C');
        if !is_stamp {
            break;
        }
        rest = after.1.trim_start();
    }
    rest
}

/// Why the log of a guest says nothing about its kernel, if so.
pub fn emulator_trouble(log: &str) -> Option<&'static str> {
    let known = EMULATOR_TROUBLE
        .iter()
        .find(|(pattern, _)| log.lines().any(|line| message(line).starts_with(pattern)))
        .map(|(_, trouble)| *trouble);
    let late = || panic_cause(log).filter(|cause| is_late(cause));
    known.or_else(|| late().map(|_| LATE_TROUBLE))
}

/// The last lines of a log.
pub fn tail(log: &str, count: usize) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let last = lines
        .get(lines.len().saturating_sub(count)..)
        .unwrap_or_default();
    last.iter()
        .map(|line| format!("> {}\n", line.trim_end_matches('\r')))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_turn_is_excused_with_its_trace_and_nothing_behind_it() {
        let log = "[ 1.0] WARNING: CPU: 0 PID: 178 at kernel/sched/core.c:5744 sched_tick_remote+0x30f/0x370\n\
                   [ 1.0] Call Trace:\n[ 1.0]  worker_thread+0x4cd/0x5e0\n\
                   [ 1.0] ---[ end trace 0000000000000000 ]---\n";
        assert!(scan(log).is_empty());
        let more = format!("{log}[ 1.1] BUG: scheduling while atomic\n");
        assert_eq!(scan(&more).len(), 1);
    }

    #[test]
    fn complaints_of_every_sort_are_found() {
        for line in [
            "[    3.000000] WARNING: CPU: 1 PID: 52 at kernel/sched/core.c:100 f+0x10/0x20",
            "[    3.0] BUG: kernel NULL pointer dereference, address: 0000000000000008",
            "[    3.0] BUG: KASAN: slab-use-after-free in f+0x1/0x2",
            "[    3.0] UBSAN: array-index-out-of-bounds in f.c:1:2",
            "[    3.0] WARNING: possible circular locking dependency detected",
            "[    3.0] WARNING: suspicious RCU usage",
            "[    3.0] WARNING: inconsistent lock state",
            "[    3.0] rcu: INFO: rcu_sched self-detected stall on CPU",
            "[    3.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
            "[    3.0] watchdog: BUG: soft lockup - CPU#2 stuck for 26s! [init:50]",
            "[    3.0] INFO: task init:1 blocked for more than 120 seconds.",
            "[    3.0] Oops: general protection fault, probably for non-canonical address",
            "[    3.0] Kernel panic - not syncing: Attempted to kill init!",
            "[    3.0] rust_kernel: panicked at lwk.rs:1:1:",
            "[    3.0] refcount_t: underflow; use-after-free.",
            "[    3.0] list_add corruption. prev->next should be next",
            "[    3.0] kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
            "[    3.0][   T50] BUG: scheduling while atomic: init/50/0x00000002",
            "[    3.0] init[50]: segfault at 8 ip 0 sp 0 error 4",
            "[    3.0] INFO: lockdep is turned off.",
        ] {
            assert_eq!(scan(line).len(), 1, "{line}");
        }
    }

    #[test]
    fn ordinary_lines_are_no_complaint() {
        for line in [
            "[    0.1] Kernel command line: console=ttyS0 lwktest.case=stall",
            "[    0.1] kasan: KernelAddressSanitizer initialized",
            "[    0.1] kmemleak: Kernel memory leak detector initialized (mem pool available: 15679)",
            "[    0.1] Lock dependency validator: Copyright (c) 2006 Red Hat, Inc., Ingo Molnar",
            "[    0.1] firmware installed, debugging on",
            "[    0.1] lwk: partition boot: CPUs 2-3, service CPU 0",
            "[    0.1] lwktest: case stall-and-bug:",
            "[    0.1] Spectre V2 : WARNING-free",
        ] {
            assert!(scan(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn one_trace_is_one_complaint_and_names_its_case() {
        let log = "[1.0] lwktest: case threads\n[1.1] a\n[1.2] WARNING: CPU: 1\n[1.2] Call Trace:\n[1.2]  f+0x1/0x2\n";
        let found = scan(log);
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().contains("(threads)"), "{}", found[0]);
        assert!(found[0].to_string().contains("f+0x1/0x2"));
    }

    #[test]
    fn complaints_behind_the_end_of_a_trace_count_again() {
        let log = "[1] WARNING: a\n[1] Call Trace:\n[1] ---[ end trace 0 ]---\n[1] BUG: b\n";
        assert_eq!(scan(log).len(), 2);
    }

    #[test]
    fn emulator_trouble_is_told_from_kernel_trouble_and_still_a_complaint() {
        for line in [
            "[    1.8] Oops: int3: 0000 [#1] PREEMPT SMP",
            "[    0.3] APIC timer disabled due to verification failure",
            "[    0.0] Kernel panic - not syncing: IO-APIC + timer doesn't work!  Boot with apic=debug",
        ] {
            assert!(emulator_trouble(line).is_some(), "{line}");
            assert_eq!(scan(line).len(), 1, "{line}");
        }
        for line in [
            "[    1.8] Oops: general protection fault, probably for non-canonical address",
            "[    1.8] lwktest: case Oops: int3",
        ] {
            assert!(emulator_trouble(line).is_none(), "{line}");
        }
    }

    /// A warning of which the kernel dies, as 6.12 prints it.
    fn fatal(at: &str) -> String {
        format!(
            "[ 2.0] lwktest: case threads\n[ 2.1] ------------[ cut here ]------------\n\
             [ 2.1] WARNING: CPU: 1 PID: 52 at {at}\n[ 2.1] Modules linked in:\n[ 2.1] RIP: 0010:f+0x10/0x20\n\
             [ 2.1] Call Trace:\n[ 2.1]  <TASK>\n[ 2.1]  g+0x1/0x2\n[ 2.1]  </TASK>\n\
             [ 2.1] Kernel panic - not syncing: kernel: panic_on_warn set ...\r\n[ 2.1] Call Trace:\n[ 2.1]  panic+0x3/0x4\n\
             [ 2.1] Rebooting in 1 seconds..\n"
        )
    }

    #[test]
    fn a_panic_names_the_warning_that_it_is_for() {
        let log = fatal("kernel/sched/core.c:100 f+0x10/0x20");
        assert_eq!(
            panic_cause(&log).as_deref(),
            Some(
                "WARNING: CPU: 1 PID: 52 at kernel/sched/core.c:100 f+0x10/0x20 \
                 (Kernel panic - not syncing: kernel: panic_on_warn set ...)"
            )
        );
        assert_eq!(emulator_trouble(&log), None);
        assert!(scan(&log)[0].to_string().contains("(threads)"));
        let alone = "[ 1.0] Kernel panic - not syncing: Attempted to kill init!";
        assert_eq!(
            panic_cause(alone).as_deref(),
            Some("Kernel panic - not syncing: Attempted to kill init!")
        );
        let quoted = "[ 0.1] Kernel command line: panic=-1 panic_on_warn=1";
        assert_eq!(panic_cause(quoted), None);
    }

    #[test]
    fn a_panic_over_a_late_turn_is_the_emulators_and_still_a_complaint() {
        let log = fatal("kernel/sched/core.c:5737 sched_tick_remote+0x13b/0x160");
        assert!(emulator_trouble(&log).is_some());
        assert_eq!(scan(&log).len(), 1);
    }

    #[test]
    fn tail_is_the_end() {
        assert_eq!(tail("a\nb\r\nc\n", 2), "> b\n> c\n");
        assert_eq!(tail("", 2), "");
    }
}
