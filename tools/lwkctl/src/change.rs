// SPDX-License-Identifier: GPL-2.0
//! From what there is to what there shall be: the steps, and their order.
//!
//! ```text
//! delete what shall go  ->  resize, whoever's new CPUs are free first  ->  set policies  ->  create
//! ```
//!
//! When CPUs go round in a circle between partitions, one of them first gives what it loses, or, if nothing of it would
//! be left, is deleted and made anew. Pure: the machine comes in as a [`State`].

use std::fmt;

use lwk::{
    CallPolicy, Calls, CpusText, NewPartition, Partition, PartitionName, Policies, Resize, State,
};
use lwk_logic::logic::cpuset::{CpuId, CpuSet};
use lwk_logic::logic::mempolicy::Policy;

/// One change of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Ends the partition of this name.
    Delete(String),
    /// Changes the CPUs of the partition of this name.
    Resize(String, Resize),
    /// Sets the memory policy of the partition of this name.
    Policy(String, Policy),
    /// Sets where the system calls of the partition of this name are carried out.
    Calls(String, CallPolicy),
    /// Makes a partition.
    Create(Box<NewPartition>),
}

impl Step {
    /// The name of the partition.
    pub fn partition(&self) -> &str {
        match self {
            Self::Delete(name)
            | Self::Resize(name, _)
            | Self::Policy(name, _)
            | Self::Calls(name, _) => name,
            Self::Create(new) => new.name.as_str(),
        }
    }

    /// The word for it.
    pub const fn action(&self) -> &'static str {
        match self {
            Self::Delete(_) => "delete",
            Self::Resize(..) => "resize",
            Self::Policy(..) => "policy",
            Self::Calls(..) => "syscalls",
            Self::Create(_) => "create",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self {
            Self::Policy(..) => "set the policy of",
            Self::Calls(..) => "set the system calls of",
            _ => self.action(),
        };
        write!(f, "{verb} partition {}", self.partition())?;
        match self {
            Self::Delete(_) => Ok(()),
            Self::Resize(_, change) => {
                let is_both = !change.add.is_empty() && !change.remove.is_empty();
                f.write_str(": ")?;
                if !change.add.is_empty() {
                    write!(f, "add {}", CpusText(&change.add))?;
                }
                if is_both {
                    f.write_str(", ")?;
                }
                if !change.remove.is_empty() {
                    write!(f, "remove {}", CpusText(&change.remove))?;
                }
                let has_cpus = !change.add.is_empty() || !change.remove.is_empty();
                let comma = if has_cpus { ", " } else { "" };
                match &change.memory {
                    Some(memory) => write!(f, "{comma}memory {memory}"),
                    None => Ok(()),
                }
            }
            Self::Create(new) => {
                write!(f, ": {}", CpusText(&new.cpus))?;
                if !new.service.is_empty() {
                    write!(f, ", served by {}", CpusText(&new.service))?;
                }
                if let Some(memory) = &new.memory {
                    write!(f, ", memory {memory}")?;
                }
                if new.policy != Policy::DEFAULT {
                    write!(f, ", policy {}", Policies::of(&new.policy))?;
                }
                if new.calls != CallPolicy::DEFAULT {
                    write!(f, ", system calls {}", Calls::of(&new.calls))?;
                }
                Ok(())
            }
            Self::Calls(_, calls) => write!(f, ": {}", Calls::of(calls)),
            Self::Policy(_, policy) => write!(f, ": {}", Policies::of(policy)),
        }
    }
}

/// Steps, and what they leave alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The steps in the order in which they work.
    pub steps: Vec<Step>,
    /// Partitions of the boot line that nobody asked for and that stay.
    pub kept: Vec<String>,
}

/// There is no way to what is wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A partition of the boot line, which stays as it is not named, has a CPU.
    #[error(
        "CPU {cpu} is wanted for {wanted}, but partition {boot} of the boot line has it; name {boot} in the file too, \
         or delete it first"
    )]
    BootHasCpu {
        /// The CPU.
        cpu: CpuId,
        /// The partition that wants it.
        wanted: PartitionName,
        /// The partition that has it.
        boot: String,
    },
}

/// The steps from `state` to `wanted`, whose names and CPUs are apart from each other.
///
/// # Errors
///
/// If a partition that stays is in the way.
pub fn plan(state: &State, wanted: &[NewPartition]) -> Result<Plan, PlanError> {
    let wish = |partition: &Partition| {
        wanted
            .iter()
            .find(|new| new.name.as_str() == partition.name)
    };
    let (kept, changed): (Vec<&Partition>, Vec<&Partition>) = state
        .partitions
        .iter()
        .partition(|partition| partition.boot && wish(partition).is_none());
    check_kept(&kept, wanted)?;
    let mut work = Work::default();
    let mut resizes = Vec::new();
    for partition in changed {
        work.used = work.used.union(&partition.cpus).union(&partition.service);
        match wish(partition) {
            None => work.delete(partition),
            // A resize leaves the service CPUs alone.
            Some(new) if new.service != partition.service => {
                work.delete(partition);
                work.creates.push(new.clone());
            }
            Some(new) if new.cpus != partition.cpus => resizes.push((partition.clone(), new)),
            Some(_) => {}
        }
    }
    work.resize(resizes);
    let (mut less, mut more, mut policies) = (Vec::new(), Vec::new(), Vec::new());
    for partition in &state.partitions {
        let is_anew = work
            .creates
            .iter()
            .any(|new| new.name.as_str() == partition.name);
        let Some(new) = wish(partition).filter(|_| !is_anew) else {
            continue;
        };
        let step = |memory| {
            let change = Resize {
                memory: Some(memory),
                ..Resize::default()
            };
            Step::Resize(partition.name.clone(), change)
        };
        let [first, then] = partition.memory.changes(new.memory.as_ref());
        less.extend(first.map(step));
        more.extend(then.map(step));
        if new.policy != partition.policy {
            policies.push(Step::Policy(partition.name.clone(), new.policy));
        }
        if new.calls != partition.calls {
            policies.push(Step::Calls(partition.name.clone(), new.calls));
        }
    }
    let is_new =
        |new: &&NewPartition| !state.partitions.iter().any(|p| p.name == new.name.as_str());
    work.creates.extend(wanted.iter().filter(is_new).cloned());
    // In the order of the file, so that ids come out the same each time.
    let position = |new: &NewPartition| wanted.iter().position(|other| other.name == new.name);
    work.creates.sort_by_key(position);
    let mut steps = work.deletes;
    steps.extend(less);
    steps.extend(work.resizes);
    steps.extend(more);
    steps.extend(policies);
    steps.extend(work.creates.into_iter().map(Box::new).map(Step::Create));
    let kept = kept
        .iter()
        .map(|partition| partition.name.clone())
        .collect();
    Ok(Plan { steps, kept })
}

/// Checks that no partition that stays has a wanted CPU.
fn check_kept(kept: &[&Partition], wanted: &[NewPartition]) -> Result<(), PlanError> {
    for partition in kept {
        let has = partition.cpus.union(&partition.service);
        for new in wanted {
            if let Some(cpu) = new.cpus.union(&new.service).intersection(&has).first() {
                return Err(PlanError::BootHasCpu {
                    cpu,
                    wanted: new.name.clone(),
                    boot: partition.name.clone(),
                });
            }
        }
    }
    Ok(())
}

/// Steps by kind while they are collected.
#[derive(Default)]
struct Work {
    deletes: Vec<Step>,
    resizes: Vec<Step>,
    creates: Vec<NewPartition>,
    /// CPUs in use once all steps so far are done.
    used: CpuSet,
}

impl Work {
    /// Ends a partition.
    fn delete(&mut self, partition: &Partition) {
        self.used = self
            .used
            .difference(&partition.cpus)
            .difference(&partition.service);
        self.deletes.push(Step::Delete(partition.name.clone()));
    }

    /// Changes partitions to what is wanted of them.
    fn resize(&mut self, mut left: Vec<(Partition, &NewPartition)>) {
        while !left.is_empty() {
            let used = self.used;
            let is_ready = |(partition, new): &(Partition, &NewPartition)| {
                !new.cpus.difference(&partition.cpus).intersects(&used)
            };
            if let Some(index) = left.iter().position(is_ready) {
                let (partition, new) = left.remove(index);
                self.step(&partition, &new.cpus);
                continue;
            }
            // All wait for CPUs of each other: open the circle where somebody waits.
            let wanted = left
                .iter()
                .map(|(partition, new)| new.cpus.difference(&partition.cpus))
                .fold(CpuSet::EMPTY, |all, cpus| all.union(&cpus));
            let blocks =
                |(partition, _): &(Partition, &NewPartition)| partition.cpus.intersects(&wanted);
            let leaves_some = |pair: &(Partition, &NewPartition)| {
                blocks(pair) && pair.0.cpus.intersects(&pair.1.cpus)
            };
            if let Some((partition, new)) = left.iter_mut().find(|pair| leaves_some(pair)) {
                let rest = partition.cpus.intersection(&new.cpus);
                self.step(partition, &rest);
                partition.cpus = rest;
            } else {
                // Nothing would be left of it: make it anew. It goes first, so what it gave before need not be told.
                let (partition, new) = left.remove(left.iter().position(blocks).unwrap_or(0));
                self.resizes
                    .retain(|step| step.partition() != partition.name);
                self.delete(&partition);
                self.creates.push(new.clone());
            }
        }
    }

    /// Gives a partition exactly `cpus`.
    fn step(&mut self, partition: &Partition, cpus: &CpuSet) {
        let change = Resize {
            add: cpus.difference(&partition.cpus),
            remove: partition.cpus.difference(cpus),
            memory: None,
        };
        self.used = self.used.union(&change.add).difference(&change.remove);
        self.resizes
            .push(Step::Resize(partition.name.clone(), change));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lwk::Shares;
    use lwk_logic::logic::mempolicy::WhenFull;

    fn set(list: &str) -> CpuSet {
        list.parse().expect("a list of the test")
    }

    fn partitions(all: &[(&str, &str, &str)]) -> State {
        let partition = |(index, (name, cpus, service)): (usize, &(&str, &str, &str))| Partition {
            id: u32::try_from(index + 1).expect("few"),
            name: (*name).to_owned(),
            boot: name.starts_with("boot"),
            cpus: set(cpus),
            service: set(service),
            memory: Shares::default(),
            policy: Policy::DEFAULT,
            calls: CallPolicy::DEFAULT,
        };
        State {
            partitions: all.iter().enumerate().map(partition).collect(),
            jobs: Vec::new(),
        }
    }

    fn wanted(all: &[(&str, &str, &str)]) -> Vec<NewPartition> {
        let new = |(name, cpus, service): &(&str, &str, &str)| NewPartition {
            name: name.parse().expect("a good name"),
            cpus: set(cpus),
            service: set(service),
            memory: None,
            policy: Policy::DEFAULT,
            calls: CallPolicy::DEFAULT,
        };
        all.iter().map(new).collect()
    }

    fn steps(from: &[(&str, &str, &str)], to: &[(&str, &str, &str)]) -> String {
        match plan(&partitions(from), &wanted(to)) {
            Ok(plan) => {
                let steps: Vec<String> = plan.steps.iter().map(Step::to_string).collect();
                steps.join("; ")
            }
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn nothing_changes_where_nothing_differs() {
        let same = [("boot", "2-3", "0"), ("a", "4", "")];
        assert_eq!(steps(&same, &same), "");
        assert_eq!(steps(&[], &[]), "");
    }

    #[test]
    fn what_is_given_back_comes_before_what_is_taken() {
        let from = [
            ("old", "2-3", ""),
            ("small", "4-5", "1"),
            ("big", "6-9", ""),
        ];
        let to = [("new", "2", "3"), ("small", "4-7", "1"), ("big", "8-9", "")];
        assert_eq!(
            steps(&from, &to),
            "delete partition old; resize partition big: remove CPUs 6-7; \
             resize partition small: add CPUs 6-7; create partition new: CPU 2, served by CPU 3"
        );
    }

    #[test]
    fn policies_are_set_where_they_differ() {
        let mut state = partitions(&[("a", "2", ""), ("b", "3", ""), ("c", "4", "")]);
        let mut goal = wanted(&[
            ("a", "2", ""),
            ("b", "3", ""),
            ("c", "4", "0"),
            ("d", "5", ""),
        ]);
        state.partitions[1].policy.when_full = WhenFull::Fail;
        for new in [0, 2, 3] {
            goal[new].policy.heap_step = 4096;
        }
        state.partitions[1].calls.poll = true;
        for new in [0, 3] {
            goal[new].calls.exclusive = true;
        }
        let plan = plan(&state, &goal).expect("nothing is in the way");
        let told: Vec<String> = plan.steps.iter().map(Step::to_string).collect();
        assert_eq!(
            told,
            [
                "delete partition c",
                "set the policy of partition a: --heap-step=4K",
                "set the system calls of partition a: --exclusive-wait=yes",
                "set the policy of partition b: as a new one",
                "set the system calls of partition b: as a new one",
                "create partition c: CPU 4, served by CPU 0, policy --heap-step=4K",
                "create partition d: CPU 5, policy --heap-step=4K, system calls --exclusive-wait=yes",
            ]
        );
    }

    #[test]
    fn memory_is_given_back_before_it_is_taken() {
        let mut state = partitions(&[("a", "2", ""), ("b", "3", ""), ("c", "4", "")]);
        let mut goal = wanted(&[
            ("a", "2", ""),
            ("b", "3", ""),
            ("c", "4", ""),
            ("d", "5", ""),
        ]);
        let has = ["0:8M", "0:2M,1:4M", "1:2M"];
        let wants = ["0:16M,1:2M", "0:2M", "1:2M", "0:2M"];
        for (partition, has) in state.partitions.iter_mut().zip(has) {
            partition.memory = Shares::default().after(&has.parse().expect("a wish"));
        }
        for (new, wish) in goal.iter_mut().zip(wants) {
            new.memory = Some(wish.parse().expect("a wish"));
        }
        let plan = plan(&state, &goal).expect("nothing is in the way");
        let told: Vec<String> = plan.steps.iter().map(Step::to_string).collect();
        assert_eq!(
            told,
            [
                "resize partition b: memory 1:0",
                "resize partition a: memory 0:16M,1:2M",
                "create partition d: CPU 5, memory 0:2M"
            ]
        );
    }

    #[test]
    fn a_partition_can_move_in_one_step() {
        let (from, to) = ([("a", "2-3", "0")], [("a", "4-5", "0")]);
        assert_eq!(
            steps(&from, &to),
            "resize partition a: add CPUs 4-5, remove CPUs 2-3"
        );
    }

    #[test]
    fn another_service_cpu_needs_a_new_partition() {
        let (from, to) = ([("a", "2-3", "0")], [("a", "2-3", "1")]);
        assert_eq!(
            steps(&from, &to),
            "delete partition a; create partition a: CPUs 2-3, served by CPU 1"
        );
    }

    #[test]
    fn circles_are_opened() {
        let (from, to) = (
            [("a", "2-3", ""), ("b", "4-5", "")],
            [("a", "2,4", ""), ("b", "3,5", "")],
        );
        assert_eq!(
            steps(&from, &to),
            "resize partition a: remove CPU 3; resize partition b: add CPU 3, remove CPU 4; \
             resize partition a: add CPU 4"
        );
        let (from, to) = (
            [("a", "2", ""), ("b", "3", "")],
            [("a", "3", ""), ("b", "2", "")],
        );
        assert_eq!(
            steps(&from, &to),
            "delete partition a; resize partition b: add CPU 2, remove CPU 3; create partition a: CPU 3"
        );
    }

    #[test]
    fn only_who_is_waited_for_is_made_anew() {
        let from = [("a", "6,11", ""), ("b", "3,8", ""), ("e", "10", "")];
        let to = [("a", "8,11", ""), ("b", "10", ""), ("e", "3", "")];
        assert_eq!(
            steps(&from, &to),
            "delete partition b; resize partition a: add CPU 8, remove CPU 6; \
             resize partition e: add CPU 3, remove CPU 10; create partition b: CPU 10"
        );
    }

    #[test]
    fn partitions_of_the_boot_line_stay_unless_they_are_named() {
        let from = [("boot", "2-3", "0"), ("a", "4", "")];
        let kept = plan(&partitions(&from), &[]).expect("a plan");
        assert_eq!(kept.kept, ["boot"]);
        assert_eq!(kept.steps, [Step::Delete("a".to_owned())]);
        assert_eq!(
            steps(&from, &[("boot", "2", "0")]),
            "delete partition a; resize partition boot: remove CPU 3"
        );
        assert_eq!(
            steps(&from, &[("b", "3", "")]),
            "error: CPU 3 is wanted for b, but partition boot of the boot line has it; name boot in the file too, \
             or delete it first"
        );
        assert!(steps(&from, &[("b", "5", "0")]).starts_with("error: CPU 0 is wanted for b"));
    }
}
