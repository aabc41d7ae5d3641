// SPDX-License-Identifier: GPL-2.0
//! What a benchmark is, and the list of all of them.

use anyhow::Result;
use bench_record::report::Key;
use bench_record::Place;

use crate::measure::Meter;
use crate::suites;

/// Benchmarks of one kind.
pub(crate) struct Suite {
    /// Kebab-case, as in [`Key::suite`].
    pub(crate) name: &'static str,
    /// One sentence.
    pub(crate) about: &'static str,
    /// In the order in which they run.
    pub(crate) benches: &'static [Bench],
    /// What is to be measured once it exists.
    pub(crate) not_built: &'static [NotBuilt],
}

/// One benchmark.
#[derive(Clone, Copy)]
pub(crate) struct Bench {
    /// Kebab-case, as in [`Key::bench`].
    pub(crate) name: &'static str,
    /// As in [`Key::variant`].
    pub(crate) variant: &'static str,
    /// One sentence.
    pub(crate) about: &'static str,
    /// How many times the window repeats the operation.
    pub(crate) iterations: u64,
    /// Whether it belongs to the quick subset.
    pub(crate) quick: bool,
    /// Where it runs.
    pub(crate) places: &'static [Place],
    /// What it has of the LWK's memory, where it runs on LWK CPUs.
    pub(crate) memory: Memory,
    /// Where its system calls are carried out, where it runs on LWK CPUs.
    pub(crate) calls: Calls,
    /// Who does it.
    pub(crate) run: Run,
}

/// Where the system calls of a program on LWK CPUs are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Calls {
    /// As those of every job that does not ask for anything else.
    Default,
    /// All where they are made.
    Local,
    /// All on CPUs of Linux, and the thread goes home after each.
    Moved,
}

/// What a program on LWK CPUs has of the LWK's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// None, so that only the CPU differs.
    None,
    /// Its part, as every job that does not ask for anything else.
    Share,
}

/// Who does the work of a benchmark.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// A program on the place's CPUs, whose counts are those of these CPUs.
    Inside(fn(&mut Meter) -> Result<()>),
    /// A program on stock Linux CPUs that uses the place; the counts are those of all CPUs.
    Outside(fn(&mut Meter) -> Result<()>),
    /// A program on housekeeping CPUs, while one computes on the last CPU of each place: their counts.
    Disturb(fn(&mut Meter) -> Result<()>),
    /// A program on the place's CPUs, one thread of which computes on the last: the count is that CPU's.
    Sibling(fn(&mut Meter) -> Result<()>),
}

/// A measurement of a feature that does not exist yet.
pub(crate) struct NotBuilt {
    /// As in [`Key::bench`].
    pub(crate) bench: &'static str,
    /// As in [`Key::variant`].
    pub(crate) variant: &'static str,
}

impl Bench {
    /// A benchmark of the place's own CPUs, everywhere, in the full run only.
    pub(crate) const fn inside(
        name: &'static str,
        about: &'static str,
        iterations: u64,
        run: fn(&mut Meter) -> Result<()>,
    ) -> Self {
        Self {
            name,
            variant: "",
            about,
            iterations,
            quick: false,
            places: &Place::ALL,
            memory: Memory::None,
            calls: Calls::Default,
            run: Run::Inside(run),
        }
    }

    /// The same on LWK CPUs with memory of the LWK, under the name of a variant.
    pub(crate) const fn pool(mut self, variant: &'static str) -> Self {
        self.variant = variant;
        self.places = &[Place::Lwk];
        self.memory = Memory::Share;
        self
    }

    /// The same with all calls where they are made.
    pub(crate) const fn local(mut self) -> Self {
        self.variant = "local";
        self.calls = Calls::Local;
        self
    }

    /// The same in a job as every other, which moves some calls, and for comparison on tuned Linux CPUs.
    pub(crate) const fn in_moving_job(mut self) -> Self {
        self.variant = "local-in-moving-job";
        self.places = &[Place::Tuned, Place::Lwk];
        self
    }

    /// The same on LWK CPUs with all calls moved.
    pub(crate) const fn moved(mut self) -> Self {
        self.variant = "moved";
        self.places = &[Place::Lwk];
        self.calls = Calls::Moved;
        self
    }

    /// The same as part of the quick subset.
    pub(crate) const fn quick(mut self) -> Self {
        self.quick = true;
        self
    }

    /// The same under the name of a variant.
    pub(crate) const fn variant(mut self, variant: &'static str) -> Self {
        self.variant = variant;
        self
    }

    /// The same in some places only.
    pub(crate) const fn only(mut self, places: &'static [Place]) -> Self {
        self.places = places;
        self
    }

    /// The same done from the outside of the place.
    pub(crate) const fn outside(
        name: &'static str,
        about: &'static str,
        iterations: u64,
        run: fn(&mut Meter) -> Result<()>,
    ) -> Self {
        let mut bench = Self::inside(name, about, iterations, run);
        bench.run = Run::Outside(run);
        bench
    }

    /// A disturbance by another process.
    pub(crate) const fn disturb(
        name: &'static str,
        about: &'static str,
        iterations: u64,
        run: fn(&mut Meter) -> Result<()>,
    ) -> Self {
        let mut bench = Self::inside(name, about, iterations, run);
        bench.run = Run::Disturb(run);
        bench
    }

    /// Its name in the report.
    pub(crate) fn key(&self, suite: &str) -> Key {
        Key {
            suite: suite.to_owned(),
            bench: self.name.to_owned(),
            variant: self.variant.to_owned(),
        }
    }
}

/// Finds a benchmark by its names.
pub(crate) fn find(suite: &str, bench: &str, variant: &str) -> Option<&'static Bench> {
    let suite = suites::ALL.iter().find(|known| known.name == suite)?;
    suite
        .benches
        .iter()
        .find(|known| known.name == bench && known.variant == variant)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_kebab_case_and_unique() {
        let is_kebab = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        for suite in suites::ALL {
            assert!(is_kebab(suite.name), "{}", suite.name);
            let mut seen = BTreeSet::new();
            for bench in suite.benches {
                assert!(is_kebab(bench.name), "{}", bench.name);
                assert!(bench.iterations > 0, "{}", bench.name);
                assert!(bench.about.ends_with('.'), "{}", bench.name);
                assert!(seen.insert((bench.name, bench.variant)), "{}", bench.name);
            }
            for row in suite.not_built {
                assert!(seen.insert((row.bench, row.variant)), "{}", row.bench);
            }
        }
    }

    #[test]
    fn every_suite_shows_its_overhead() {
        for suite in suites::ALL {
            assert!(
                suite.benches.is_empty() || find(suite.name, "empty", "").is_some(),
                "{}",
                suite.name
            );
        }
    }
}
