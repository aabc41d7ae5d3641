// SPDX-License-Identifier: GPL-2.0
//! The options that say how memory backs programs, for one job or for all of a partition.

use std::fmt;

use clap::{Args, ValueEnum};
use lwk_logic::logic::mempolicy::{
    OptionError, Policy, Region, RegionPolicy, WhenFull, WhenUnneeded,
};

use crate::memory::Amount;

/// How memory backs programs: options as mOS has them.
///
/// SCOPE is dbss (data and bss), heap, anon_private, tstack (stacks of threads), stack or all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
#[command(
    next_help_heading = "How memory backs programs (SCOPE: dbss, heap, anon_private, tstack, stack, all)"
)]
pub struct Policies {
    /// The largest pages: SCOPE:4k|2m|1g; by default 2m
    ///
    /// 1g is as 2m and keeps whole pieces of 1 GiB for mappings with MAP_HUGETLB and MAP_HUGE_1GB.
    #[arg(long, value_name = "SCOPE:SIZE/...", value_parser = |text: &str| check(text, Policy::set_max_pages))]
    pub maxpage: Option<String>,
    /// Take memory when it is mapped or when it is touched: SCOPE:nofault|onefault; by default nofault, for stacks
    /// onefault
    #[arg(long, value_name = "SCOPE:WHEN/...", value_parser = |text: &str| check(text, Policy::set_populate))]
    pub pagefault: Option<String>,
    /// Nodes to take memory from: SCOPE:normal|interleave[:NODES]|bind:NODES|preferred:NODES; by default normal, the
    /// nearest first
    #[arg(long, value_name = "SCOPE:POLICY/...", value_parser = |text: &str| check(text, Policy::set_placement))]
    pub mempolicy: Option<String>,
    /// Have anonymous mappings of at least SIZE bytes begin at a multiple of ALIGN; by default 2M:2M
    #[arg(long, value_name = "SIZE[:ALIGN]", value_parser = |text: &str| check(text, Policy::set_alignment))]
    pub aligned_mmap: Option<String>,
    /// How much the heap takes at once, so that it grows in few steps; by default 2M
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| check(text, Policy::set_heap_step))]
    pub heap_step: Option<String>,
    /// Let a mapping fail with ENOMEM where the reserved memory does not suffice, instead of taking memory of Linux
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes", hide_possible_values = true)]
    pub strict: Option<Whether>,
    /// Have madvise(MADV_DONTNEED) leave memory and what is in it as they are
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes", hide_possible_values = true)]
    pub keep_unneeded: Option<Whether>,
}

impl fmt::Display for Policies {
    /// Writes them as on command lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("as a new one");
        }
        let switch = |whether: Option<Whether>| match whether {
            Some(Whether::Yes) => Some("yes".to_owned()),
            Some(Whether::No) => Some("no".to_owned()),
            None => None,
        };
        let options = [
            ("maxpage", self.maxpage.clone()),
            ("pagefault", self.pagefault.clone()),
            ("mempolicy", self.mempolicy.clone()),
            ("aligned-mmap", self.aligned_mmap.clone()),
            ("heap-step", self.heap_step.clone()),
            ("strict", switch(self.strict)),
            ("keep-unneeded", switch(self.keep_unneeded)),
        ];
        let told = options
            .iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)));
        for (nr, (name, value)) in told.enumerate() {
            let space = if nr == 0 { "" } else { " " };
            write!(f, "{space}--{name}={value}")?;
        }
        Ok(())
    }
}

/// An option that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{option}: {error}")]
pub struct PolicyError {
    /// Its name, with `_` for `-`.
    pub option: &'static str,
    /// What is wrong.
    pub error: OptionError,
}

/// Whether something is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Whether {
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// An amount as on command lines.
fn size(bytes: u64) -> String {
    Amount::Bytes(bytes).to_string()
}

/// Sets something of a policy from a text.
type Setter = fn(&mut Policy, &[u8]) -> Result<(), OptionError>;

/// Returns a text that can be set.
fn check(text: &str, set: Setter) -> Result<String, String> {
    let mut policy = Policy::DEFAULT;
    let result = set(&mut policy, text.as_bytes());
    result
        .map(|()| text.to_owned())
        .map_err(|error| error.to_string())
}

impl Policies {
    /// Whether they say nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns those that make a policy of that of a new partition.
    pub fn of(policy: &Policy) -> Self {
        let list = |value: fn(&RegionPolicy) -> String| {
            let differs = |region: &Region| {
                let found = value(policy.region(*region));
                let usual = value(Policy::DEFAULT.region(*region));
                (found != usual).then(|| format!("{}:{found}", region.name()))
            };
            let settings: Vec<_> = Region::ALL.iter().filter_map(differs).collect();
            (!settings.is_empty()).then(|| settings.join("/"))
        };
        let anon = |policy: &Policy| {
            let anon = policy.region(Region::AnonPrivate);
            format!("{}:{}", size(anon.align_from), size(anon.align))
        };
        let aligned = anon(policy);
        let step = policy.heap_step;
        let is_strict = policy.when_full == WhenFull::Fail;
        let keeps = policy.when_unneeded == WhenUnneeded::Keep;
        Self {
            maxpage: list(|policy| policy.max_page.name().to_owned()),
            pagefault: list(|policy| policy.populate.name().to_owned()),
            mempolicy: list(|policy| {
                let nodes: Vec<_> = policy.nodes.iter().map(|node| node.to_string()).collect();
                let colon = if nodes.is_empty() { "" } else { ":" };
                format!("{}{colon}{}", policy.placement.name(), nodes.join(","))
            }),
            aligned_mmap: (aligned != anon(&Policy::DEFAULT)).then_some(aligned),
            heap_step: (step != Policy::DEFAULT.heap_step).then(|| size(step)),
            strict: is_strict.then_some(Whether::Yes),
            keep_unneeded: keeps.then_some(Whether::Yes),
        }
    }

    /// Returns a policy that is as they say, and as `base` where they say nothing.
    ///
    /// # Errors
    ///
    /// The option that makes no sense, and why not; those of a command line do.
    pub fn over(&self, base: &Policy) -> Result<Policy, PolicyError> {
        let mut policy = *base;
        let settings: [(&'static str, &Option<String>, Setter); 5] = [
            ("maxpage", &self.maxpage, Policy::set_max_pages),
            ("pagefault", &self.pagefault, Policy::set_populate),
            ("mempolicy", &self.mempolicy, Policy::set_placement),
            ("aligned_mmap", &self.aligned_mmap, Policy::set_alignment),
            ("heap_step", &self.heap_step, Policy::set_heap_step),
        ];
        for (name, text, set) in settings {
            if let Some(text) = text {
                set(&mut policy, text.as_bytes()).map_err(|error| PolicyError {
                    option: name,
                    error,
                })?;
            }
        }
        policy.when_full = match self.strict {
            Some(Whether::Yes) => WhenFull::Fail,
            Some(Whether::No) => WhenFull::Spill,
            None => policy.when_full,
        };
        policy.when_unneeded = match self.keep_unneeded {
            Some(Whether::Yes) => WhenUnneeded::Keep,
            Some(Whether::No) => WhenUnneeded::Free,
            None => policy.when_unneeded,
        };
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use lwk_logic::logic::frames::PageSize;
    use lwk_logic::logic::mempolicy::{Populate, Region};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        policies: Policies,
    }

    fn policies(args: &[&str]) -> Policies {
        Line::parse_from(["x"].iter().chain(args)).policies
    }

    #[test]
    fn policies_are_set_as_in_mos() {
        assert!(policies(&[]).is_empty());
        assert_eq!(policies(&[]).over(&Policy::DEFAULT), Ok(Policy::DEFAULT));
        let policy = policies(&[
            "--maxpage=all:4k/heap:2m",
            "--pagefault",
            "heap:onefault",
            "--strict",
            "--heap-step",
            "16M",
        ])
        .over(&Policy::DEFAULT)
        .expect("checked when it was read");
        assert_eq!(policy.region(Region::Stack).max_page, PageSize::Small);
        assert_eq!(policy.region(Region::Heap).max_page, PageSize::Large);
        assert_eq!(policy.region(Region::Heap).populate, Populate::AtTouch);
        assert_eq!(policy.when_full, WhenFull::Fail);
        assert_eq!(policy.heap_step, 16 << 20);
    }

    #[test]
    fn a_policy_is_made_of_those_that_it_tells() {
        assert!(Policies::of(&Policy::DEFAULT).is_empty());
        let lines: [&[&str]; 3] = [
            &["--maxpage=all:4k/heap:2m", "--strict"],
            &[
                "--pagefault=stack:nofault",
                "--keep-unneeded",
                "--heap-step=64K",
            ],
            &[
                "--mempolicy=dbss:bind:0,3/heap:interleave",
                "--aligned-mmap=16M:1G",
            ],
        ];
        for line in lines {
            let policy = policies(line).over(&Policy::DEFAULT).expect("checked");
            let told = Policies::of(&policy);
            assert_eq!(told.over(&Policy::DEFAULT), Ok(policy), "{told:?}");
            let text = told.to_string();
            let again: Vec<_> = text.split(' ').collect();
            assert_eq!(policies(&again), told);
        }
    }

    #[test]
    fn what_they_do_not_say_stays() {
        let base = policies(&["--maxpage=all:4k", "--strict", "--keep-unneeded"]);
        let base = base.over(&Policy::DEFAULT).expect("checked");
        let policy = policies(&["--maxpage", "heap:2m", "--strict=no"])
            .over(&base)
            .expect("checked");
        assert_eq!(policy.region(Region::Stack).max_page, PageSize::Small);
        assert_eq!(policy.region(Region::Heap).max_page, PageSize::Large);
        assert_eq!(policy.when_full, WhenFull::Spill);
        assert_eq!(policy.when_unneeded, WhenUnneeded::Keep);
    }
}
