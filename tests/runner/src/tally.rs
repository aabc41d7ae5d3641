// SPDX-License-Identifier: GPL-2.0
//! Counts and prints results.

use crate::ktap::Verdict;

/// All results so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: u32,
    skipped: Vec<String>,
    failed: Vec<String>,
}

impl Tally {
    /// Takes the verdict of one case.
    pub(crate) fn case(&mut self, boot: &str, name: &str, verdict: &Verdict) {
        println!("{boot}: {name}: {verdict}");
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Skipped(why) => self.skipped.push(format!("{boot}: {name}: {why}")),
            Verdict::Failed(why) => {
                why.lines().for_each(|line| println!("    {line}"));
                // The guest says first what the case is about, and how long it took.
                let starts = [format!("{name}: "), format!("{name} took ")];
                let is_reason = |line: &&str| {
                    !line.is_empty() && !starts.iter().any(|start| line.starts_with(start))
                };
                let first = why.lines().map(str::trim).find(is_reason);
                self.failed
                    .push(format!("{boot}: {name}: {}", first.unwrap_or("no reason")));
            }
        }
    }

    /// Takes what is wrong with a machine as a whole.
    pub(crate) fn failure(&mut self, boot: &str, what: &str, why: &str) {
        self.case(boot, what, &Verdict::Failed(why.to_owned()));
    }

    /// Notes a machine that was not booted.
    pub(crate) fn leave_out(&mut self, boot: &str, why: &str) {
        println!("# {boot}: left out, {why}");
        self.skipped.push(format!("{boot}: {why}"));
    }

    /// Whether the boot whose results came last had a failure.
    pub(crate) fn has_failed(&self, boot: &str) -> bool {
        let start = format!("{boot}: ");
        self.failed.iter().any(|name| name.starts_with(&start))
    }

    /// Prints what failed, what was skipped and the totals; returns whether the run is good.
    pub(crate) fn finish(&self) -> bool {
        for name in &self.skipped {
            println!("# skipped {name}");
        }
        for name in &self.failed {
            println!("# failed {name}");
        }
        println!("{}", self.summary());
        self.is_good()
    }

    /// A run that ran nothing is not good.
    fn is_good(&self) -> bool {
        self.failed.is_empty() && self.passed > 0
    }

    fn summary(&self) -> String {
        // A run without a single result is itself a failure and must not read like a success.
        let failed = if self.passed == 0 && self.failed.is_empty() {
            1
        } else {
            self.failed.len()
        };
        let skipped = if self.skipped.is_empty() {
            String::new()
        } else {
            format!(", {} skipped", self.skipped.len())
        };
        format!("{} passed, {failed} failed{skipped}", self.passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_counts_each_sort() {
        let mut tally = Tally::default();
        tally.case("b", "one", &Verdict::Passed);
        assert_eq!(
            (tally.summary().as_str(), tally.is_good()),
            ("1 passed, 0 failed", true)
        );
        tally.case("b", "two", &Verdict::Skipped("no".to_owned()));
        assert_eq!(
            (tally.summary().as_str(), tally.is_good()),
            ("1 passed, 0 failed, 1 skipped", true)
        );
        tally.leave_out("c", "late");
        assert_eq!(tally.summary(), "1 passed, 0 failed, 2 skipped");
        tally.failure(
            "b",
            "kernel-log",
            "kernel-log: of all\nkernel-log took 2 ms\n\n  WARNING\nmore",
        );
        assert_eq!(tally.failed, ["b: kernel-log: WARNING"]);
        assert_eq!(
            (tally.summary().as_str(), tally.is_good()),
            ("1 passed, 1 failed, 2 skipped", false)
        );
        assert!(tally.has_failed("b") && !tally.has_failed("c"));
    }

    #[test]
    fn nothing_run_is_a_failure() {
        let mut tally = Tally::default();
        assert_eq!(
            (tally.summary().as_str(), tally.is_good()),
            ("0 passed, 1 failed", false)
        );
        tally.case("b", "one", &Verdict::Skipped("no".to_owned()));
        assert!(!tally.is_good());
    }
}
