// SPDX-License-Identifier: GPL-2.0
//! Why partitions were not changed, in words: what was asked, what was found, what to do.

use std::fmt;

use lwk_logic::logic::cpuset::{CpuId, CpuSet};
use lwk_logic::uapi::{Refusal, MAX_PARTITIONS, MEM_ALL, MEM_ANY_NODE};
use rustix::io::Errno;

use crate::control::{NewPartition, Resize};
use crate::error::{remedy, CpusText, Named};
use crate::memory::Amount;
use crate::plan::State;
use crate::raw::NotChanged;

/// A change that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// To make a partition.
    Create(Box<NewPartition>),
    /// To change one.
    Resize(Named, Box<Resize>),
    /// To end one.
    Delete(Named),
}

impl Asked {
    /// The name of the partition.
    fn name(&self) -> &str {
        match self {
            Self::Create(new) => new.name.as_str(),
            Self::Resize(named, _) | Self::Delete(named) => &named.name,
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(new) => {
                write!(
                    f,
                    "create partition {} of {}",
                    new.name,
                    CpusText(&new.cpus)
                )?;
                match &new.memory {
                    Some(memory) => write!(f, " and memory {memory}"),
                    None => Ok(()),
                }
            }
            Self::Resize(named, change) if change.add.is_empty() && change.remove.is_empty() => {
                let memory = change.memory.as_ref().map(ToString::to_string);
                let memory = memory.unwrap_or_default();
                write!(f, "set the memory of partition {} to {memory}", named.name)
            }
            Self::Resize(named, change) => {
                let is_both = !change.add.is_empty() && !change.remove.is_empty();
                if !change.add.is_empty() {
                    write!(f, "add {}", CpusText(&change.add))?;
                }
                if is_both {
                    f.write_str(" and ")?;
                }
                if !change.remove.is_empty() {
                    write!(f, "remove {}", CpusText(&change.remove))?;
                }
                let word = if change.add.is_empty() { "from" } else { "to" };
                write!(
                    f,
                    " {} partition {}",
                    if is_both { "in" } else { word },
                    named.name
                )
            }
            Self::Delete(named) => write!(f, "delete partition {}", named.name),
        }
    }
}

/// Memory that is missing, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// What was asked for; none for all that there is.
    pub asked: Option<u64>,
    /// What there was.
    pub found: u64,
    /// The largest piece that Linux could give.
    pub longest: u64,
}

/// What was found in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The kernel said which rule is broken, and on which CPU.
    Rule(Refusal, Option<CpuId>),
    /// Memory of a node, or of all together, is missing or in use.
    Memory(Refusal, Option<u32>, Option<Missing>),
    /// The caller may not change partitions.
    NotPermitted,
    /// The kernel knows no changes of partitions.
    TooOld,
    /// Only an error number is known.
    Errno(Errno),
}

/// A change that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeError {
    /// What was asked.
    pub asked: Asked,
    /// What was found.
    pub found: Found,
    /// Who has the CPU or the name, as far as partitions and jobs tell.
    by: Option<String>,
}

impl ChangeError {
    /// The error of a broken rule; `state` tells who has the CPU.
    pub(crate) fn rule(asked: Asked, rule: Refusal, cpu: Option<CpuId>, state: &State) -> Self {
        let by = owner(&asked, rule, cpu, state);
        let found = Found::Rule(rule, cpu);
        Self { asked, found, by }
    }

    /// The error that the kernel returned; `state` tells who has the CPU.
    pub(crate) fn kernel(asked: Asked, error: NotChanged, state: &State) -> Self {
        let rule = Refusal::ALL
            .iter()
            .find(|rule| rule.index() == usize::try_from(error.refusal).unwrap_or(usize::MAX));
        let found = match (rule, error.errno) {
            (Some(rule @ (Refusal::NoNode | Refusal::NoMemory | Refusal::MemoryInUse)), _) => {
                let share = error.memory.iter().find(|share| share.node == error.cpu);
                let missing = share.map(|share| Missing {
                    asked: (share.bytes != MEM_ALL).then_some(share.bytes),
                    found: share.found,
                    longest: share.longest,
                });
                let node = (error.cpu != MEM_ANY_NODE).then_some(error.cpu);
                Found::Memory(*rule, node, missing)
            }
            (Some(rule), _) if *rule != Refusal::None => {
                return Self::rule(asked, *rule, CpuId::new(error.cpu), state);
            }
            (_, Errno::PERM | Errno::ACCESS) => Found::NotPermitted,
            (_, Errno::NOTTY) => Found::TooOld,
            (_, errno) => Found::Errno(errno),
        };
        let by = None;
        Self { asked, found, by }
    }

    /// What was found and what to do about it, for a rule.
    fn told(&self, rule: Refusal, cpu: Option<CpuId>) -> (String, String) {
        let by = self.by.as_deref();
        let cpu = cpu.map_or_else(|| "a CPU of it".to_owned(), |cpu| format!("CPU {cpu}"));
        let leave = format!("leave {cpu} out");
        match rule {
            Refusal::None => (String::new(), String::new()),
            Refusal::NotArmed => (
                "the machine was booted without lwkcpus=, or cannot have partitions (dmesg | grep lwk: says so)".to_owned(),
                "add lwkcpus= to the boot line, with nothing after it if no partition is wanted at boot, and reboot".to_owned(),
            ),
            Refusal::BadName | Refusal::NameTaken | Refusal::NoSuchPartition | Refusal::TooMany | Refusal::Empty => {
                self.told_of_partition(rule)
            }
            Refusal::BothRoles => (
                format!("{cpu} is asked for in two roles"),
                "give each CPU one role: LWK CPU or service CPU, added or removed".to_owned(),
            ),
            Refusal::NotOnline => (
                format!("{cpu} is not on line"),
                format!("bring it on line (/sys/devices/system/cpu/cpuN/online), or {leave}"),
            ),
            Refusal::KeepsTime => (format!("{cpu} keeps the time and must stay with Linux"), leave),
            Refusal::IsolatedByBoot => (
                format!("nohz_full= or isolcpus= has {cpu}"),
                format!("{leave}, or take it out of these boot parameters and reboot"),
            ),
            Refusal::Taken => (
                format!("{cpu} belongs to {}", by.unwrap_or("a partition already")),
                format!("{leave}, or remove it there first"),
            ),
            Refusal::Serves => (
                format!("{cpu} serves {}", by.unwrap_or("a partition")),
                format!("{leave}, or delete that partition first"),
            ),
            Refusal::NotOwned => (
                format!("{cpu} is not in partition {}", self.asked.name()),
                "see lwkctl show for the CPUs that are".to_owned(),
            ),
            Refusal::InUse => self.told_of_jobs(&cpu),
            Refusal::Sibling => (
                format!("{cpu} is a hardware thread of the same core and would be on the other side"),
                "name all threads of a core, or none (/sys/devices/system/cpu/cpuN/topology/core_cpus_list)".to_owned(),
            ),
            Refusal::DeadlineTask => (
                format!("a deadline task (SCHED_DEADLINE) needs {cpu}"),
                format!("move or end that task, or {leave}"),
            ),
            Refusal::UnstableClock => (
                "the time-stamp counter is not reliable, so that no CPU can do without the tick".to_owned(),
                "see lwkctl doctor; boot with tsc=reliable if the counter is known to be good".to_owned(),
            ),
            Refusal::Hotplug => (
                format!("Linux could not take {cpu} off line or bring it back"),
                "see the kernel log (dmesg) for the reason, and try again when it is gone".to_owned(),
            ),
            Refusal::BadAmount => (
                "the amounts of memory contradict each other, or one is 0".to_owned(),
                "name each node once, with a size".to_owned(),
            ),
            Refusal::NoNode | Refusal::NoMemory | Refusal::MemoryInUse => told_of_memory(rule, None, None),
        }
    }

    /// [`Self::told`] for rules about the partition itself.
    fn told_of_partition(&self, rule: Refusal) -> (String, String) {
        let (found, change) = match rule {
            Refusal::BadName => (
                "the kernel does not take this name".to_owned(),
                "use a letter, then letters, digits, '-', '_' and '.', at most 31 in all",
            ),
            Refusal::NameTaken => (
                "there is a partition of this name".to_owned(),
                "choose another name, or change that partition with lwkctl resize",
            ),
            Refusal::TooMany => (
                format!("there are {MAX_PARTITIONS} partitions, as many as there can be"),
                "delete one first",
            ),
            Refusal::Empty if matches!(self.asked, Asked::Create(_)) => {
                ("it would have no CPU".to_owned(), "name at least one CPU")
            }
            Refusal::Empty => (
                "no CPU would be left in it".to_owned(),
                "leave one, or delete the partition",
            ),
            _ => (
                "there is no such partition".to_owned(),
                "see lwkctl list for those there are",
            ),
        };
        (found, change.to_owned())
    }

    /// [`Self::told`] where jobs are in the way.
    fn told_of_jobs(&self, cpu: &str) -> (String, String) {
        let by = self.by.as_deref();
        match self.asked {
            Asked::Delete(_) => (
                format!("it runs {}", by.unwrap_or("jobs")),
                "wait until it runs none, or end them".to_owned(),
            ),
            _ => (
                format!("{cpu} is held by {}", by.unwrap_or("a job")),
                "wait until the job has ended, or name other CPUs".to_owned(),
            ),
        }
    }
}

/// What was found and what to do about it, for memory of a node or of all together.
fn told_of_memory(rule: Refusal, node: Option<u32>, missing: Option<Missing>) -> (String, String) {
    let place = node.map_or_else(
        || "all nodes together".to_owned(),
        |node| format!("node {node}"),
    );
    match (rule, missing) {
        (Refusal::NoMemory, Some(missing)) => {
            let found = Amount::Bytes(missing.found);
            let asked = missing.asked.map_or(Amount::All, Amount::Bytes);
            let longest = Amount::Bytes(missing.longest);
            (
                format!(
                    "{place}: asked for {asked}, found {found} that Linux can give, the largest piece {longest}"
                ),
                "ask for less, end programs that use memory there, or take it at boot with lwkmem= (lwkctl mem tells what there is)"
                    .to_owned(),
            )
        }
        (Refusal::NoMemory, None) => (
            format!("{place}: Linux cannot give so much"),
            "ask for less, or take it at boot with lwkmem=".to_owned(),
        ),
        (Refusal::MemoryInUse, _) => (
            format!("{place}: jobs were promised some of that memory"),
            "wait until they have ended, or leave the partition more".to_owned(),
        ),
        _ => (
            format!("{place}: there is no such NUMA node, or it has no memory for partitions"),
            "see lwkctl mem for those there are".to_owned(),
        ),
    }
}

/// Who is in the way.
fn owner(asked: &Asked, rule: Refusal, cpu: Option<CpuId>, state: &State) -> Option<String> {
    let partition = |is_it: &dyn Fn(&CpuSet, &CpuSet) -> bool| {
        let found = state
            .partitions
            .iter()
            .find(|p| is_it(&p.cpus, &p.service))?;
        Some(Named::new(found).to_string())
    };
    match (rule, cpu) {
        (Refusal::Taken, Some(cpu)) => partition(&|cpus, _| cpus.contains(cpu)),
        (Refusal::Serves, Some(cpu)) => partition(&|_, service| service.contains(cpu)),
        (Refusal::InUse, cpu) => {
            let partition = state.partitions.iter().find(|p| p.name == asked.name());
            let is_in_the_way = |job: &&crate::model::Job| match (asked, cpu) {
                (Asked::Delete(_), _) | (_, None) => {
                    partition.is_some_and(|p| p.id == job.partition)
                }
                (_, Some(cpu)) => job.cpus.contains(cpu),
            };
            let jobs = state
                .jobs
                .iter()
                .filter(is_in_the_way)
                .map(|job| match job.pid {
                    0 => format!("job {} ({})", job.id, job.comm),
                    pid => format!("job {} (pid {pid}, {})", job.id, job.comm),
                });
            let jobs: Vec<String> = jobs.collect();
            (!jobs.is_empty()).then(|| jobs.join(", "))
        }
        _ => None,
    }
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: ", self.asked)?;
        match &self.found {
            Found::Rule(rule, cpu) => {
                let (found, change) = self.told(*rule, *cpu);
                write!(f, "{found}; {change}")
            }
            Found::Memory(rule, node, missing) => {
                let (found, change) = told_of_memory(*rule, *node, *missing);
                write!(f, "{found}; {change}")
            }
            Found::NotPermitted => f.write_str(
                "changing partitions needs CAP_SYS_ADMIN; run it as root, for example with sudo",
            ),
            Found::TooOld => f.write_str(
                "this kernel cannot change partitions while it runs; boot a newer one, or use lwkcpus= on the boot line",
            ),
            Found::Errno(errno) => write!(f, "the kernel refused ({errno}); {}", remedy(*errno)),
        }
    }
}

impl std::error::Error for ChangeError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Job, JobMemory, Partition};
    use lwk_logic::logic::mempolicy::Policy;
    use lwk_logic::uapi::MemShare;

    fn set(list: &str) -> CpuSet {
        list.parse().expect("a list of the test")
    }

    fn state() -> State {
        let partition = Partition {
            id: 1,
            name: "boot".to_owned(),
            boot: true,
            cpus: set("2-5"),
            service: set("0"),
            memory: crate::Shares::default(),
            policy: Policy::DEFAULT,
            calls: crate::CallPolicy::DEFAULT,
        };
        let job = Job {
            id: 7,
            partition: 1,
            nr_tasks: 1,
            pid: 321,
            uid: 0,
            comm: "app".to_owned(),
            cpus: set("3"),
            memory: JobMemory::default(),
        };
        State {
            partitions: vec![partition],
            jobs: vec![job],
        }
    }

    fn create(cpus: &str) -> Asked {
        Asked::Create(Box::new(NewPartition {
            name: "rt".parse().expect("a good name"),
            cpus: set(cpus),
            service: CpuSet::EMPTY,
            memory: None,
            policy: Policy::DEFAULT,
            calls: crate::CallPolicy::DEFAULT,
        }))
    }

    fn named() -> Named {
        Named {
            id: 1,
            name: "boot".to_owned(),
        }
    }

    fn resize(add: &str, remove: &str) -> Asked {
        let (add, remove) = (set(add), set(remove));
        Asked::Resize(
            named(),
            Box::new(Resize {
                add,
                remove,
                memory: None,
            }),
        )
    }

    fn told(asked: Asked, errno: Errno, rule: Refusal, cpu: u32) -> String {
        let refusal = u32::try_from(rule.index()).expect("small");
        let error = NotChanged {
            errno,
            refusal,
            cpu,
            memory: Vec::new(),
        };
        ChangeError::kernel(asked, error, &state()).to_string()
    }

    #[test]
    fn owners_are_named() {
        assert_eq!(
            told(create("5-7"), Errno::BUSY, Refusal::Taken, 5),
            "cannot create partition rt of CPUs 5-7: CPU 5 belongs to partition 1 (boot); \
             leave CPU 5 out, or remove it there first"
        );
        assert_eq!(
            told(create("0"), Errno::BUSY, Refusal::Serves, 0),
            "cannot create partition rt of CPU 0: CPU 0 serves partition 1 (boot); \
             leave CPU 0 out, or delete that partition first"
        );
        assert_eq!(
            told(resize("6", "3"), Errno::BUSY, Refusal::InUse, 3),
            "cannot add CPU 6 and remove CPU 3 in partition boot: CPU 3 is held by job 7 (pid 321, app); \
             wait until the job has ended, or name other CPUs"
        );
        assert_eq!(
            told(Asked::Delete(named()), Errno::BUSY, Refusal::InUse, u32::MAX),
            "cannot delete partition boot: it runs job 7 (pid 321, app); wait until it runs none, or end them"
        );
    }

    #[test]
    fn every_rule_says_what_was_found_and_what_to_do() {
        for rule in Refusal::ALL.iter().filter(|rule| **rule != Refusal::None) {
            for asked in [
                create("6"),
                resize("6", ""),
                resize("", "4"),
                Asked::Delete(named()),
            ] {
                for cpu in [6, u32::MAX] {
                    let text = told(asked.clone(), Errno::INVAL, *rule, cpu);
                    let (found, change) = text.split_once("; ").expect("two parts");
                    assert!(
                        found.starts_with("cannot ") && found.contains(": "),
                        "{text}"
                    );
                    assert!(
                        change.len() > 8 && !text.contains("Invalid argument"),
                        "{text}"
                    );
                }
            }
        }
    }

    #[test]
    fn an_error_number_alone_is_told_too() {
        let none = Refusal::None;
        assert!(told(create("6"), Errno::PERM, none, 0).contains("CAP_SYS_ADMIN"));
        assert!(told(create("6"), Errno::NOTTY, none, 0).contains("boot a newer one"));
        assert!(told(create("6"), Errno::NOMEM, none, 0).ends_with(
            "(Cannot allocate memory (os error 12)); \
             the kernel is short of memory: end programs, then try again"
        ));
        for errno in [Errno::INTR, Errno::AGAIN, Errno::IO, Errno::INVAL] {
            let text = told(create("6"), errno, none, 0);
            let (_, change) = text.split_once("; ").expect("two parts");
            assert!(
                change.contains(": ") || change.starts_with("see "),
                "{text}"
            );
        }
        let unknown = NotChanged {
            errno: Errno::BUSY,
            refusal: 999,
            cpu: 3,
            memory: Vec::new(),
        };
        let error = ChangeError::kernel(create("6"), unknown, &state());
        assert_eq!(error.found, Found::Errno(Errno::BUSY));
    }

    #[test]
    fn a_rule_goes_before_the_error_number() {
        assert!(told(create("1"), Errno::PERM, Refusal::KeepsTime, 1).contains("keeps the time"));
    }

    #[test]
    fn missing_memory_is_told_with_what_was_asked_and_found() {
        let share = MemShare {
            node: 1,
            bytes: 4 << 30,
            found: 3 << 20,
            longest: 2 << 20,
            ..MemShare::default()
        };
        let error = NotChanged {
            errno: Errno::NOMEM,
            refusal: 20,
            cpu: 1,
            memory: vec![share],
        };
        let asked = Asked::Resize(
            named(),
            Box::new(Resize {
                memory: Some("1:4G".parse().expect("a wish")),
                ..Resize::default()
            }),
        );
        assert_eq!(
            ChangeError::kernel(asked, error, &state()).to_string(),
            "cannot set the memory of partition boot to 1:4G: node 1: asked for 4G, found 3M that Linux can give, \
             the largest piece 2M; ask for less, end programs that use memory there, or take it at boot with lwkmem= \
             (lwkctl mem tells what there is)"
        );
    }

    #[test]
    fn one_sided_changes_read_well() {
        assert_eq!(
            resize("6-7", "").to_string(),
            "add CPUs 6-7 to partition boot"
        );
        assert_eq!(
            resize("", "4").to_string(),
            "remove CPU 4 from partition boot"
        );
    }
}
