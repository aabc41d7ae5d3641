// SPDX-License-Identifier: GPL-2.0
//! The options that say where system calls are carried out, for one job or for all of a partition.

use std::fmt;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use lwk_logic::logic::locality::{
    self, able, members, CallError, CallSet, Group, Place, Table, BATCH_NS, EVERY,
};
use lwk_logic::uapi::{self, CallTable, MAX_BATCH_NS};

use crate::policies::Whether;

/// Where system calls are carried out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
#[command(
    next_help_heading = "Where system calls are carried out (LIST: names, groups as %file, or all)"
)]
pub struct Calls {
    /// Carry out calls on the CPU of the thread (local), on a CPU of Linux (move), or by the LWK itself (native)
    ///
    /// A list holds names of system calls, groups with a percent sign (%file, %desc, %process, %network, %signal,
    /// %ipc, %memory, %creds, %clock, %sched, %futex, %time, %identity, %poll) or all, with commas between. What comes
    /// later wins, so that local=all,move=%network moves only the network. Groups leave out what cannot be there.
    #[arg(long, value_name = "local=LIST,move=LIST,native=LIST", value_parser = changes)]
    pub syscalls: Option<String>,
    /// Let no other thread have the CPU of one whose call was moved, so that it returns at once
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes", hide_possible_values = true)]
    pub exclusive_wait: Option<Whether>,
    /// How long a thread stays on the CPU of Linux after a moved call if the next is likely to follow soon: at most
    /// 1ms, or no; by default 50us
    #[arg(long, value_name = "TIME")]
    pub syscall_batch: Option<Batch>,
    /// Let a CPU whose thread is away halt or poll meanwhile; by default halt
    #[arg(long, value_name = "halt|poll", hide_possible_values = true)]
    pub idle: Option<Idle>,
}

/// What a CPU does whose thread is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Idle {
    /// It halts, which saves power.
    Halt,
    /// It polls, which gets the thread back sooner.
    Poll,
}

impl Idle {
    /// Its name on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Halt => "halt",
            Self::Poll => "poll",
        }
    }
}

/// How long a thread stays after a moved call, in nanoseconds; 0 for not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch(pub u32);

/// Units of time with their nanoseconds, the largest first.
const UNITS: [(&str, u32); 3] = [("ms", 1_000_000), ("us", 1_000), ("ns", 1)];

impl FromStr for Batch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "no" {
            return Ok(Self(0));
        }
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = UNITS
            .iter()
            .find(|(unit, _)| *unit == &text[digits.len()..]);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let (Some((_, ns)), true) = (unit, is_number) else {
            return Err(
                "a time is a whole number with ns, us or ms after it, or \"no\"".to_owned(),
            );
        };
        let time = digits.parse().ok().and_then(|n: u32| n.checked_mul(*ns));
        let time = time.filter(|time| *time <= MAX_BATCH_NS).map(Self);
        time.ok_or_else(|| format!("that is too long; at most {}", Self(MAX_BATCH_NS)))
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.iter().find(|(_, ns)| self.0.is_multiple_of(*ns));
        match (self.0, unit) {
            (0, _) => f.write_str("no"),
            (time, Some((unit, ns))) => write!(f, "{}{unit}", time / ns),
            // Every time is a multiple of one.
            (time, None) => write!(f, "{time}ns"),
        }
    }
}

/// Changes of a table that make no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("syscalls: {0}")]
pub struct CallsError(pub CallError);

impl From<CallError> for CallsError {
    fn from(error: CallError) -> Self {
        Self(error)
    }
}

/// Where the system calls of a job are carried out, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallPolicy {
    /// The place of each call.
    pub table: Table,
    /// Whether the CPU of a thread whose call was moved is kept for it.
    pub exclusive: bool,
    /// Whether the time of all calls is measured.
    pub timed: bool,
    /// Whether a CPU whose thread is away polls.
    pub poll: bool,
    /// How long a thread stays after a moved call, in nanoseconds.
    pub batch_ns: u32,
}

impl CallPolicy {
    /// What a job gets that asks for nothing else.
    pub const DEFAULT: Self = Self {
        table: Table::DEFAULT,
        exclusive: false,
        timed: false,
        poll: false,
        batch_ns: BATCH_NS,
    };

    /// What a CPU does whose thread is away.
    pub const fn idle(&self) -> Idle {
        if self.poll {
            Idle::Poll
        } else {
            Idle::Halt
        }
    }

    /// Reads what crossed the ABI; none if it is no policy.
    pub(crate) fn from_abi(raw: &CallTable) -> Option<Self> {
        let (moved, native) = (raw.moved, raw.native);
        let table = Table::new(CallSet::from_words(moved), CallSet::from_words(native))?;
        let known = uapi::CALLS_EXCLUSIVE | uapi::CALLS_TIMED | uapi::CALLS_POLL;
        let has = |option| raw.options & option != 0;
        (raw.options & !known == 0).then_some(Self {
            table,
            exclusive: has(uapi::CALLS_EXCLUSIVE),
            timed: has(uapi::CALLS_TIMED),
            poll: has(uapi::CALLS_POLL),
            batch_ns: raw.batch_ns,
        })
    }

    /// Writes it as it crosses the ABI, about nobody yet.
    pub(crate) fn to_abi(self) -> CallTable {
        let option = |is_on, option| if is_on { option } else { 0 };
        CallTable {
            moved: self.table.moved.words(),
            native: self.table.native.words(),
            options: option(self.exclusive, uapi::CALLS_EXCLUSIVE)
                | option(self.timed, uapi::CALLS_TIMED)
                | option(self.poll, uapi::CALLS_POLL),
            batch_ns: self.batch_ns,
            ..CallTable::default()
        }
    }
}

impl fmt::Display for CallPolicy {
    /// Writes it in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match changes_to(&self.table) {
            Some(changes) => write!(f, "syscalls {changes}")?,
            None => f.write_str("syscalls as of a new partition")?,
        }
        let wait = if self.exclusive {
            "exclusive"
        } else {
            "shared"
        };
        let (batch, idle) = (Batch(self.batch_ns), self.idle().name());
        write!(f, "; batch {batch}, {wait} wait, idle CPUs {idle}")?;
        f.write_str(if self.timed { ", timed" } else { "" })
    }
}

/// Returns a text that changes a table.
fn changes(text: &str) -> Result<String, String> {
    let mut table = Table::DEFAULT;
    let result = table.assign(text.as_bytes());
    result
        .map(|()| text.to_owned())
        .map_err(|error| error.to_string())
}

impl fmt::Display for Calls {
    /// Writes them as on command lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("as a new one");
        }
        let wait = self.exclusive_wait.map(|whether| match whether {
            Whether::Yes => "yes".to_owned(),
            Whether::No => "no".to_owned(),
        });
        let options = [
            ("syscalls", self.syscalls.clone()),
            ("exclusive-wait", wait),
            ("syscall-batch", self.syscall_batch.map(|b| b.to_string())),
            ("idle", self.idle.map(|idle| idle.name().to_owned())),
        ];
        let told = options
            .iter()
            .filter_map(|(name, value)| Some(format!("--{name}={}", value.as_ref()?)));
        f.write_str(&told.collect::<Vec<_>>().join(" "))
    }
}

impl Calls {
    /// Whether they say nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns those that make a policy of that of a new partition.
    pub fn of(policy: &CallPolicy) -> Self {
        let usual = CallPolicy::DEFAULT;
        let batch = policy.batch_ns;
        Self {
            syscalls: changes_to(&policy.table),
            exclusive_wait: policy.exclusive.then_some(Whether::Yes),
            syscall_batch: (batch != usual.batch_ns).then_some(Batch(batch)),
            idle: policy.poll.then_some(Idle::Poll),
        }
    }

    /// Returns a policy that is as they say, and as `base` where they say nothing.
    ///
    /// # Errors
    ///
    /// If `syscalls` makes no sense; that of a command line does.
    pub fn over(&self, base: &CallPolicy) -> Result<CallPolicy, CallsError> {
        let mut policy = *base;
        if let Some(text) = &self.syscalls {
            policy.table.assign(text.as_bytes())?;
        }
        let is_exclusive = self.exclusive_wait.map(|wait| wait == Whether::Yes);
        policy.exclusive = is_exclusive.unwrap_or(policy.exclusive);
        policy.poll = self.idle.map_or(policy.poll, |idle| idle == Idle::Poll);
        policy.batch_ns = self.syscall_batch.map_or(policy.batch_ns, |batch| batch.0);
        Ok(policy)
    }
}

/// Returns changes that make a table of the default one, as short as groups permit; none if it is the default one.
///
/// A number without a name cannot be said, so that a moved one is left out.
pub fn changes_to(table: &Table) -> Option<String> {
    let every = |place: Place| {
        let mut from = Table::DEFAULT;
        let result = from.set(place, EVERY.as_bytes());
        result.ok().map(|()| (vec![(place, EVERY)], from))
    };
    let begins = [
        Some((Vec::new(), Table::DEFAULT)),
        every(Place::Local),
        every(Place::Move),
    ];
    let texts = begins.into_iter().flatten().map(|(mut items, from)| {
        for place in Place::ALL {
            let differ = differing(&from, table, place);
            let names = covered(differ, table, place);
            items.extend(names.into_iter().map(|name| (place, name)));
        }
        let mut last = None;
        let words = items.iter().map(|(place, name)| {
            let is_new = last.replace(place) != Some(place);
            match is_new {
                true => format!("{}={name}", place.name()),
                false => (*name).to_owned(),
            }
        });
        words.collect::<Vec<_>>().join(",")
    });
    texts
        .min_by_key(String::len)
        .filter(|text| !text.is_empty())
}

/// The calls that are at a place in one table and elsewhere in another.
fn differing(from: &Table, to: &Table, place: Place) -> CallSet {
    let numbers = 0..uapi::MAX_CALLS as u32;
    let named = numbers.filter(|nr| locality::name(*nr).is_some());
    named
        .filter(|nr| to.place(*nr) == place && from.place(*nr) != place)
        .collect()
}

/// Names for calls that are at a place of a table: groups as far as all of a group is there, else their own.
fn covered(mut calls: CallSet, table: &Table, place: Place) -> Vec<&'static str> {
    let mut names = Vec::new();
    let is_there = |set: CallSet| set.iter().all(|nr| table.place(nr) == place);
    let groups = Group::ALL.map(|group| (group, members(group).intersection(able(place))));
    loop {
        let gains = groups
            .iter()
            .map(|(group, set)| (set.intersection(calls).len(), group, *set));
        let useful = gains.filter(|(gain, _, set)| *gain > 1 && is_there(*set));
        let Some((_, group, set)) = useful.max_by_key(|(gain, ..)| *gain) else {
            break;
        };
        names.push(group.name());
        calls = calls.without(set);
    }
    names.extend(calls.iter().filter_map(locality::name));
    names
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        calls: Calls,
    }

    fn calls(args: &[&str]) -> Calls {
        Line::parse_from(["x"].iter().chain(args)).calls
    }

    fn refusal(arg: &str) -> String {
        let line = Line::try_parse_from(["x", arg]);
        line.err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn options_change_what_they_say() {
        assert!(calls(&[]).is_empty());
        assert_eq!(
            calls(&[]).over(&CallPolicy::DEFAULT),
            Ok(CallPolicy::DEFAULT)
        );
        let base = calls(&["--syscalls=local=read", "--exclusive-wait", "--idle=poll"]);
        let base = base.over(&CallPolicy::DEFAULT).expect("checked");
        assert!(base.exclusive && base.poll && !base.timed);
        let more = calls(&[
            "--syscalls",
            "local=write",
            "--exclusive-wait=no",
            "--syscall-batch=no",
        ]);
        let more = more.over(&base).expect("checked");
        assert!(!more.exclusive && more.poll);
        assert_eq!(more.batch_ns, 0);
        for nr in [0, 1] {
            assert_eq!(more.table.place(nr), Place::Local);
        }
    }

    #[test]
    fn a_policy_is_made_of_those_that_it_tells() {
        assert!(Calls::of(&CallPolicy::DEFAULT).is_empty());
        let lines: [&[&str]; 6] = [
            &["--syscalls=local=read,write", "--exclusive-wait"],
            &["--syscalls=local=all", "--syscall-batch=1ms"],
            &["--syscalls=move=all", "--idle=poll"],
            &[
                "--syscalls=local=all,move=%network,read",
                "--syscall-batch=no",
            ],
            &["--syscalls=local=%file,%desc,move=execve,local=openat"],
            &["--syscalls=local=sched_yield", "--syscall-batch=1500ns"],
        ];
        for line in lines {
            let policy = calls(line).over(&CallPolicy::DEFAULT).expect("checked");
            let told = Calls::of(&policy);
            assert_eq!(told.over(&CallPolicy::DEFAULT), Ok(policy), "{told:?}");
            let text = told.to_string();
            let again: Vec<_> = text.split(' ').collect();
            assert_eq!(calls(&again), told);
            let abi = policy.to_abi();
            assert_eq!(CallPolicy::from_abi(&abi), Some(policy));
        }
    }

    #[test]
    fn changes_are_told_in_few_words() {
        let told = |text: &str| {
            let mut table = Table::DEFAULT;
            table.assign(text.as_bytes()).expect("good changes");
            changes_to(&table).unwrap_or_default()
        };
        let same = [
            "local=all",
            "move=all",
            "local=read",
            "local=read,write,move=sched_yield",
            "local=all,move=%network",
            "local=%network",
            "local=all,move=%network,native=sched_yield",
        ];
        assert_eq!(same.map(told), same);
        assert_eq!(
            told("move=all,local=all,native=sched_yield"),
            "local=all,native=sched_yield"
        );
        assert_eq!(told("local=read,move=read"), "");
    }

    #[test]
    fn what_the_kernel_should_not_say_is_no_policy() {
        let good = CallPolicy::DEFAULT.to_abi();
        let mut both = good;
        both.native = [u64::MAX; 8];
        let other = CallTable { options: 8, ..good };
        assert_eq!(CallPolicy::from_abi(&both), None);
        assert_eq!(CallPolicy::from_abi(&other), None);
    }

    #[test]
    fn times_have_a_unit_and_an_end() {
        let told = |text: &str| match text.parse::<Batch>() {
            Ok(batch) => batch.to_string(),
            Err(error) => error,
        };
        let good = ["no", "1ns", "50us", "1500ns", "1ms"];
        assert_eq!(good.map(told), good);
        assert_eq!(["0", "1000us", "0us"].map(told)[1..], ["1ms", "no"]);
        for bad in ["", "0", "5", "us", "1s", "-1us", "1.5us", "1 us", "ä", "1ä"] {
            assert!(told(bad).starts_with("a time is"), "{bad}");
        }
        for long in ["2ms", "1001us", "99999999999ns", "5000ms"] {
            assert_eq!(told(long), "that is too long; at most 1ms");
        }
    }

    #[test]
    fn policies_are_told_in_words() {
        let told = |line: &[&str]| {
            let policy = calls(line).over(&CallPolicy::DEFAULT).expect("checked");
            policy.to_string()
        };
        assert_eq!(
            told(&[]),
            "syscalls as of a new partition; batch 50us, shared wait, idle CPUs halt"
        );
        assert_eq!(
            told(&[
                "--syscalls=local=read",
                "--exclusive-wait",
                "--idle=poll",
                "--syscall-batch=no"
            ]),
            "syscalls local=read; batch no, exclusive wait, idle CPUs poll"
        );
    }

    #[test]
    fn slips_are_told() {
        assert!(refusal("--syscalls=local=raed").contains("did you mean 'read'?"));
        assert!(refusal("--syscalls=read").contains("begin with local=, move= or native="));
        assert!(refusal("--syscall-batch=2ms").contains("at most 1ms"));
        assert!(refusal("--idle=sleep").contains("sleep"));
    }
}
