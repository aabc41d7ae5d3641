// SPDX-License-Identifier: GPL-2.0
//! Reads the reports of KCSAN, and tells those about our code from those about Linux alone, which has races of its own.
//!
//! A report names two accesses, each with its stack, or one access and that the value changed meanwhile.

use std::fmt;

use crate::console::message;

/// How a report begins; what follows names the functions.
const TITLE: &str = "BUG: KCSAN: ";

/// What ends a report, and precedes its title.
const RULER: &str = "====================";

/// A report has two stacks of at most 64 functions.
const LONGEST: usize = 160;

/// How functions begin that run what others, further out on the stack, did not ask for: the scheduler and entries.
const BORDERS: &[&str] = &["schedule", "__schedule", "preempt_schedule", "asm_"];

/// How far out on the stack a function of ours may be: what Linux does deep below a call of ours, with locks and objects
/// that are its own, it does for others, too.
const NEAR: u32 = 4;

/// What is written early by a kernel that has KCSAN.
const ENABLED: &str = "kcsan: enabled early";

/// Two accesses to the same memory at the same time.
#[derive(Debug)]
pub struct Race {
    case: Option<String>,
    title: String,
    lines: Vec<String>,
}

impl Race {
    /// What kind of race it is, and in which functions.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Whether a function of the lightweight kernel made one of the accesses, or called what made it, by few steps.
    ///
    /// All have its name in theirs, those in Rust that of the crate. What called the scheduler or was interrupted has
    /// nothing to do with what happened then.
    pub fn is_ours(&self) -> bool {
        let mut steps_left = NEAR;
        for line in &self.lines {
            if is_access(line) {
                steps_left = NEAR;
            } else if let (Some(name), 1..) = (function(line), steps_left) {
                if BORDERS.iter().any(|start| name.starts_with(start)) {
                    steps_left = 0;
                } else if name.contains("lwk") {
                    return true;
                } else {
                    steps_left -= 1;
                }
            }
        }
        false
    }
}

impl fmt::Display for Race {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let case = self.case.as_deref().unwrap_or("before any case");
        write!(f, "{} ({case})", self.title)?;
        self.lines.iter().try_for_each(|line| write!(f, "\n{line}"))
    }
}

/// Takes the reports out of a log, and returns them and the rest, in which there may be other complaints.
pub fn split(log: &str) -> (Vec<Race>, String) {
    let mut races: Vec<Race> = Vec::new();
    let mut rest = String::new();
    let mut case = None;
    // How many more lines the report may have that began last.
    let mut left = 0;
    for line in log.lines() {
        let text = message(line.trim_end());
        if let Some((_, name)) = text.split_once("lwktest: case ") {
            case = Some(name.trim().to_owned());
        }
        if let Some(title) = text.strip_prefix(TITLE) {
            races.push(Race {
                case: case.clone(),
                title: title.to_owned(),
                lines: Vec::new(),
            });
            left = LONGEST;
        } else if text.starts_with(RULER) {
            left = 0;
        } else if let (Some(race), true) = (races.last_mut(), left > 0 && is_of_report(text)) {
            race.lines.push(text.to_owned());
            left -= 1;
        } else {
            // Another CPU may have something to say in the middle of a report.
            rest.push_str(line);
            rest.push('\n');
        }
    }
    (races, rest)
}

/// Whether the kernel looked for races at all.
pub fn is_watched(log: &str) -> bool {
    log.lines().any(|line| message(line).starts_with(ENABLED))
}

fn is_of_report(text: &str) -> bool {
    const STARTS: &[&str] = &[
        "value changed: ",
        "bits changed: ",
        "Reported by Kernel Concurrency Sanitizer",
        "CPU: ",
        "Hardware name: ",
        "Tainted: ",
    ];
    text.is_empty()
        || function(text).is_some()
        || STARTS.iter().any(|start| text.starts_with(start))
        || is_access(text)
}

/// Whether the line says what was done to the memory, before the stack of who did it.
fn is_access(text: &str) -> bool {
    text.contains(" bytes by ") && text.contains(" on cpu ")
}

/// The name in a line of a stack, such as `f+0x10/0x20`.
fn function(text: &str) -> Option<&str> {
    let (name, place) = text.split_once("+0x")?;
    (place.contains("/0x") && !name.contains(char::is_whitespace)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(first: &str, second: &str) -> String {
        format!(
            "[    9.1] ==================================================================\n\
             [    9.1] BUG: KCSAN: data-race in {first} / {second}\n\
             [    9.1] \n\
             [    9.1] write to 0xffff88803ec2cbe4 of 4 bytes by task 71 on cpu 2:\n\
             [    9.1]  {first}+0x61/0xa0\n\
             [    9.1]  schedule+0x5a/0xd0\n\
             [    9.1] \n\
             [    9.1] read to 0xffff88803ec2cbe4 of 4 bytes by interrupt on cpu 0:\n\
             [    9.1]  {second}+0x18/0x30\n\
             [    9.1]  do_idle+0x10/0x20\n\
             [    9.1] \n\
             [    9.1] value changed: 0x00000001 -> 0x00000000\n\
             [    9.1] \n\
             [    9.1] Reported by Kernel Concurrency Sanitizer on:\n\
             [    9.1] CPU: 0 UID: 0 PID: 0 Comm: lwktest Not tainted 6.12.0-quietcore-race #1\n\
             [    9.1] Hardware name: QEMU Standard PC\n\
             [    9.1] ==================================================================\n"
        )
    }

    #[test]
    fn a_race_is_ours_when_a_stack_has_a_function_of_ours() {
        for (first, second, is_ours) in [
            ("enqueue_task_lwk", "do_idle", true),
            ("do_idle", "__lwk_idle_waits", true),
            ("_RNvNtCs1Kk_3lwk5sched4pick", "do_idle", true),
            ("try_to_wake_up", "do_idle", false),
        ] {
            let (races, rest) = split(&report(first, second));
            assert_eq!(races.len(), 1);
            // The command that ran says nothing.
            assert_eq!(races[0].is_ours(), is_ours, "{first} / {second}");
            assert_eq!(races[0].title(), format!("data-race in {first} / {second}"));
            assert_eq!(rest, "");
        }
    }

    #[test]
    fn who_called_the_scheduler_or_was_interrupted_has_no_part_in_it() {
        for border in [
            "schedule",
            "__schedule",
            "asm_sysvec_reschedule_ipi",
            "vfs_read",
        ] {
            let log = report("a", "b").replace(
                "do_idle+0x10/0x20",
                &format!("{border}+0x1/0x2\n[    9.1]  lwk_c_move+0x10/0x20"),
            );
            let (races, _) = split(&log);
            assert_eq!(races[0].is_ours(), border == "vfs_read", "{border}");
        }
        // The border of one stack is none of the other.
        let log = report("a", "b").replace(" b+0x18", " lwk_take+0x18");
        assert!(split(&log).0[0].is_ours());
    }

    #[test]
    fn what_linux_does_deep_below_a_call_of_ours_is_its_own() {
        for (between, is_ours) in [(2, true), (3, false)] {
            let frames = "call+0x1/0x2\n[    9.1]  ".repeat(between);
            let log = report("a", "b").replace(
                "do_idle+0x10/0x20",
                &format!("{frames}lwk_c_move+0x10/0x20"),
            );
            assert_eq!(split(&log).0[0].is_ours(), is_ours, "{between} between");
        }
    }

    #[test]
    fn what_else_the_kernel_says_stays_in_the_log() {
        let one = report("a", "b");
        let (head, tail) = one.split_at(one.find("[    9.1]  schedule").expect("a frame"));
        let log = format!(
            "[ 1.0] lwktest: case first\n{head}[ 9.1] WARNING: CPU: 1 PID: 2 at f+0x1/0x2\n{tail}[ 9.2] last\n{}",
            report("c", "d")
        );
        let (races, rest) = split(&log);
        assert_eq!(
            rest,
            "[ 1.0] lwktest: case first\n[ 9.1] WARNING: CPU: 1 PID: 2 at f+0x1/0x2\n[ 9.2] last\n"
        );
        assert_eq!(races.len(), 2);
        let text = races[0].to_string();
        assert!(text.starts_with("data-race in a / b (first)\n"), "{text}");
        assert!(
            text.contains("schedule+0x5a/0xd0") && text.contains("value changed"),
            "{text}"
        );
    }

    #[test]
    fn a_report_that_is_cut_off_counts() {
        let whole = report("lwk_take", "b");
        let (races, rest) = split(&whole[..whole.find("value changed").expect("a value")]);
        assert!(races.len() == 1 && races[0].is_ours());
        assert_eq!(rest, "");
    }

    #[test]
    fn a_kernel_that_does_not_look_is_found_out() {
        assert!(is_watched("[ 0.2] kcsan: enabled early\n"));
        assert!(!is_watched("[ 0.2] Linux version 6.12\n"));
    }
}
