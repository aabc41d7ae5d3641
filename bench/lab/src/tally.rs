// SPDX-License-Identifier: GPL-2.0
//! Counts checks, prints those that fail and ends with 'N passed, N failed'.

/// The checks so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Tally {
    /// Counts a check that went well.
    pub(crate) fn pass(&mut self) {
        self.passed += 1;
    }

    /// Counts several.
    pub(crate) fn pass_all(&mut self, nr: usize) {
        self.passed += nr;
    }

    /// Counts one that did not, and says so.
    pub(crate) fn fail(&mut self, what: &str, why: &str) {
        self.failed += 1;
        println!("FAILED {what}: {why}");
    }

    /// Counts one that cannot be made here, and says so.
    pub(crate) fn skip(&mut self, what: &str, why: &str) {
        self.skipped += 1;
        println!("# skipped {what}: {why}");
    }

    /// Adds the checks of another.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// How many failed.
    #[cfg(test)]
    pub(crate) fn nr_failed(&self) -> usize {
        self.failed
    }

    /// Prints the totals; returns whether all is well. A run that checked nothing and gave no reason is not.
    pub(crate) fn finish(mut self) -> bool {
        if self.passed + self.failed + self.skipped == 0 {
            self.fail("lab", "nothing was checked");
        }
        print!("{} passed, {} failed", self.passed, self.failed);
        match self.skipped {
            0 => println!(),
            nr => println!(", {nr} skipped"),
        }
        self.failed == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_checks_that_all_passed_are_good() {
        let mut tally = Tally::default();
        tally.pass();
        tally.pass_all(2);
        assert_eq!(tally.passed, 3);
        assert!(tally.finish());
        let mut tally = Tally::default();
        tally.pass();
        tally.fail("a", "b");
        assert!(!tally.finish());
        assert!(!Tally::default().finish());
        let mut tally = Tally::default();
        tally.skip("a", "b");
        assert!(tally.finish());
    }
}
