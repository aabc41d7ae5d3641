// SPDX-License-Identifier: GPL-2.0
//! A machine in memory that takes the changes of a dry run and refuses what the kernel would refuse.
//!
//! It knows the rules of the ABI (`Refusal`) as far as the state of partitions and sysfs tell whether they are broken;
//! deadline tasks, the clock, hotplug and memory only the kernel can judge.

use lwk_logic::logic::cpuset::{CpuId, CpuSet};
use lwk_logic::logic::mempolicy::Policy;
use lwk_logic::uapi::{Refusal, MAX_CPUS, MAX_PARTITIONS};

use crate::calls::CallPolicy;
use crate::control::{Control, NewPartition, Resize};
use crate::error::{Error, Named};
use crate::memory::Shares;
use crate::model::Partition;
use crate::plan::State;
use crate::refusal::{Asked, ChangeError};
use crate::topology::Topology;

/// What a forecast knows of the machine besides its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Whether the boot line has `lwkcpus=`.
    pub armed: bool,
    /// One more than the highest possible CPU number.
    pub nr_cpus: u32,
    /// Its cores, if known.
    pub topology: Option<Topology>,
}

/// A machine in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    machine: Machine,
    state: State,
    isolated: CpuSet,
}

impl Forecast {
    /// A machine in this state.
    pub fn new(machine: Machine, state: State) -> Self {
        let lwk = lwk_cpus(&state);
        // The kernel tells the CPUs of the LWK among the isolated ones.
        let isolated = machine
            .topology
            .as_ref()
            .map_or(CpuSet::EMPTY, |topology| topology.isolated.difference(&lwk));
        Self {
            machine,
            state,
            isolated,
        }
    }

    /// Checks CPUs that Linux shall give, as LWK CPUs or for service.
    fn check_unused(&self, cpus: &CpuSet, for_lwk: bool) -> Result<(), Broken> {
        for cpu in cpus {
            let topology = self.machine.topology.as_ref();
            let is_online = topology.is_none_or(|topology| topology.online.contains(cpu));
            if !is_online || cpu.get() >= self.machine.nr_cpus {
                return Err(Broken(Refusal::NotOnline, Some(cpu)));
            }
            // The kernel knows which CPU keeps the time; it is the one that the machine booted on.
            if for_lwk && topology.is_some() && cpu.get() == 0 {
                return Err(Broken(Refusal::KeepsTime, Some(cpu)));
            }
            if for_lwk && self.isolated.contains(cpu) {
                return Err(Broken(Refusal::IsolatedByBoot, Some(cpu)));
            }
            let has = |of: fn(&Partition) -> &CpuSet| {
                self.state.partitions.iter().any(|p| of(p).contains(cpu))
            };
            if has(|p| &p.cpus) {
                return Err(Broken(Refusal::Taken, Some(cpu)));
            }
            if has(|p| &p.service) {
                return Err(Broken(Refusal::Serves, Some(cpu)));
            }
        }
        Ok(())
    }

    /// Checks that no core of `changed` has threads on both sides when the LWK has `lwk`.
    fn check_siblings(&self, changed: &CpuSet, lwk: &CpuSet) -> Result<(), Broken> {
        let cores = self
            .machine
            .topology
            .iter()
            .flat_map(|topology| &topology.cores);
        for core in cores.filter(|core| core.threads.intersects(changed)) {
            let taken = core.threads.intersection(lwk);
            if !taken.is_empty() && taken != core.threads {
                let is_taken = changed.intersection(&taken).first().is_some();
                let left = if is_taken {
                    core.threads.difference(lwk)
                } else {
                    taken
                };
                return Err(Broken(Refusal::Sibling, left.first()));
            }
        }
        Ok(())
    }

    fn check_create(&self, new: &NewPartition) -> Result<(), Broken> {
        let state = &self.state;
        if !self.machine.armed {
            return Err(Broken(Refusal::NotArmed, None));
        }
        if state.partitions.iter().any(|p| p.name == new.name.as_str()) {
            return Err(Broken(Refusal::NameTaken, None));
        }
        if state.partitions.len() >= MAX_PARTITIONS {
            return Err(Broken(Refusal::TooMany, None));
        }
        if new.cpus.is_empty() {
            return Err(Broken(Refusal::Empty, None));
        }
        if let Some(cpu) = new.cpus.intersection(&new.service).first() {
            return Err(Broken(Refusal::BothRoles, Some(cpu)));
        }
        self.check_unused(&new.cpus, true)?;
        self.check_unused(&new.service, false)?;
        self.check_siblings(&new.cpus, &lwk_cpus(state).union(&new.cpus))
    }

    fn check_resize(&self, id: u32, change: &Resize) -> Result<(), Broken> {
        let state = &self.state;
        let Some(partition) = state.partitions.iter().find(|p| p.id == id) else {
            return Err(Broken(Refusal::NoSuchPartition, None));
        };
        if let Some(cpu) = change.add.intersection(&change.remove).first() {
            return Err(Broken(Refusal::BothRoles, Some(cpu)));
        }
        if let Some(cpu) = change.remove.difference(&partition.cpus).first() {
            return Err(Broken(Refusal::NotOwned, Some(cpu)));
        }
        let held = change.remove.difference(&state.free(partition));
        if let Some(cpu) = held.first() {
            return Err(Broken(Refusal::InUse, Some(cpu)));
        }
        if partition
            .cpus
            .union(&change.add)
            .difference(&change.remove)
            .is_empty()
        {
            return Err(Broken(Refusal::Empty, None));
        }
        self.check_unused(&change.add, true)?;
        let lwk = lwk_cpus(state)
            .union(&change.add)
            .difference(&change.remove);
        self.check_siblings(&change.add.union(&change.remove), &lwk)
    }

    fn check_delete(&self, id: u32) -> Result<(), Broken> {
        if !self.state.partitions.iter().any(|p| p.id == id) {
            return Err(Broken(Refusal::NoSuchPartition, None));
        }
        if self.state.jobs.iter().any(|job| job.partition == id) {
            return Err(Broken(Refusal::InUse, None));
        }
        Ok(())
    }

    /// The error of a broken rule.
    fn refused(&self, asked: Asked, broken: Broken) -> Error {
        Box::new(ChangeError::rule(asked, broken.0, broken.1, &self.state)).into()
    }
}

/// A rule that a change breaks, and on which CPU.
struct Broken(Refusal, Option<CpuId>);

impl Control for Forecast {
    fn nr_cpus(&self) -> u32 {
        self.machine.nr_cpus
    }

    fn state(&self) -> Result<State, Error> {
        Ok(self.state.clone())
    }

    fn create(&mut self, new: &NewPartition) -> Result<u32, Error> {
        self.check_create(new)
            .map_err(|broken| self.refused(Asked::Create(Box::new(new.clone())), broken))?;
        let partitions = &mut self.state.partitions;
        // The smallest number that is not in use, as the kernel does; there is one, as partitions are few.
        let is_used = |id: &u32| partitions.iter().any(|p| p.id == *id);
        let id = (1..).find(|id| !is_used(id)).unwrap_or(u32::MAX);
        partitions.push(Partition {
            id,
            name: new.name.to_string(),
            boot: false,
            cpus: new.cpus,
            service: new.service,
            memory: new
                .memory
                .as_ref()
                .map_or_else(Shares::default, |wish| Shares::default().after(wish)),
            policy: new.policy,
            calls: new.calls,
        });
        partitions.sort_by_key(|p| p.id);
        Ok(id)
    }

    fn resize(&mut self, partition: &Named, change: &Resize) -> Result<(), Error> {
        let asked = || Asked::Resize(partition.clone(), Box::new(change.clone()));
        self.check_resize(partition.id, change)
            .map_err(|broken| self.refused(asked(), broken))?;
        let partitions = &mut self.state.partitions;
        for found in partitions.iter_mut().filter(|p| p.id == partition.id) {
            found.cpus = found.cpus.union(&change.add).difference(&change.remove);
            if let Some(wish) = &change.memory {
                found.memory = found.memory.after(wish);
            }
        }
        Ok(())
    }

    fn set_policy(&mut self, partition: u32, policy: &Policy) -> Result<(), Error> {
        let partitions = &mut self.state.partitions;
        for found in partitions.iter_mut().filter(|p| p.id == partition) {
            found.policy = *policy;
        }
        Ok(())
    }

    fn set_partition_calls(&mut self, partition: u32, calls: &CallPolicy) -> Result<(), Error> {
        let partitions = &mut self.state.partitions;
        for found in partitions.iter_mut().filter(|p| p.id == partition) {
            found.calls = *calls;
        }
        Ok(())
    }

    fn delete(&mut self, partition: &Named) -> Result<(), Error> {
        self.check_delete(partition.id)
            .map_err(|broken| self.refused(Asked::Delete(partition.clone()), broken))?;
        self.state.partitions.retain(|p| p.id != partition.id);
        Ok(())
    }
}

impl Machine {
    /// A machine of which only sysfs is known, ready for partitions.
    pub fn of(topology: Topology) -> Self {
        let last = topology.online.last().map_or(0, CpuId::get);
        Self {
            armed: true,
            nr_cpus: (last + 1).min(u32::try_from(MAX_CPUS).unwrap_or(u32::MAX)),
            topology: Some(topology),
        }
    }
}

/// The LWK CPUs of all partitions.
fn lwk_cpus(state: &State) -> CpuSet {
    state
        .partitions
        .iter()
        .fold(CpuSet::EMPTY, |all, partition| all.union(&partition.cpus))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Job, JobMemory};
    use crate::topology::Core;

    fn set(list: &str) -> CpuSet {
        list.parse().expect("a list of the test")
    }

    /// Eight CPUs, two threads a core, CPU 7 off line, 5 isolated with its core, partition "a" of 2-3 served by 1.
    fn machine() -> Forecast {
        let core = |(number, threads): (i64, &str)| Core {
            threads: set(threads),
            node: 0,
            package: 0,
            number,
        };
        let topology = Topology {
            cores: [(0, "0-1"), (1, "2-3"), (2, "4-5"), (3, "6")]
                .map(core)
                .to_vec(),
            online: set("0-6"),
            isolated: set("2-5"),
        };
        let partition = Partition {
            id: 1,
            name: "a".to_owned(),
            boot: false,
            cpus: set("2-3"),
            service: set("1"),
            memory: Shares::default(),
            policy: Policy::DEFAULT,
            calls: CallPolicy::DEFAULT,
        };
        let state = State {
            partitions: vec![partition],
            jobs: Vec::new(),
        };
        let mut machine = Machine::of(topology);
        machine.nr_cpus = 8;
        Forecast::new(machine, state)
    }

    fn create(forecast: &mut Forecast, name: &str, cpus: &str, service: &str) -> String {
        let new = NewPartition {
            name: name.parse().expect("a good name"),
            cpus: set(cpus),
            service: set(service),
            memory: None,
            policy: Policy::DEFAULT,
            calls: CallPolicy::DEFAULT,
        };
        told(forecast.create(&new))
    }

    fn told<T>(result: Result<T, Error>) -> String {
        match result {
            Ok(_) => "done".to_owned(),
            Err(Error::Change(error)) => match error.found {
                crate::refusal::Found::Rule(rule, Some(cpu)) => format!("{} {cpu}", rule.name()),
                crate::refusal::Found::Rule(rule, None) => rule.name().to_owned(),
                other => format!("{other:?}"),
            },
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn creations_are_refused_by_the_rules_of_the_abi() {
        let cases = [
            ("a", "6", "", "name taken"),
            ("b", "", "", "empty"),
            ("b", "6", "6", "both roles 6"),
            ("b", "6-7", "", "not on line 7"),
            ("b", "0,6", "", "keeps the time 0"),
            ("b", "4,6", "", "isolated by the boot line 4"),
            ("b", "2", "", "taken 2"),
            ("b", "6", "3", "taken 3"),
            ("b", "6", "1", "serves a partition 1"),
            ("b", "6", "0", "done"),
        ];
        for (name, cpus, service, wanted) in cases {
            assert_eq!(
                create(&mut machine(), name, cpus, service),
                wanted,
                "{cpus} {service}"
            );
        }
        let mut unarmed = machine();
        unarmed.machine.armed = false;
        assert_eq!(create(&mut unarmed, "b", "6", ""), "not armed");
    }

    #[test]
    fn a_core_is_not_split() {
        let mut forecast = machine();
        forecast.isolated = CpuSet::EMPTY;
        assert_eq!(create(&mut forecast, "b", "4", ""), "sibling left behind 5");
        assert_eq!(create(&mut forecast, "b", "4-5", ""), "done");
    }

    #[test]
    fn resizes_are_refused_by_the_rules_of_the_abi() {
        let named = Named {
            id: 1,
            name: "a".to_owned(),
        };
        let resize = |forecast: &mut Forecast, add: &str, remove: &str| {
            let (add, remove) = (set(add), set(remove));
            told(forecast.resize(
                &named,
                &Resize {
                    add,
                    remove,
                    memory: None,
                },
            ))
        };
        assert_eq!(resize(&mut machine(), "", "6"), "not in the partition 6");
        assert_eq!(resize(&mut machine(), "6", "6"), "both roles 6");
        assert_eq!(resize(&mut machine(), "", "2-3"), "empty");
        assert_eq!(resize(&mut machine(), "", "2"), "sibling left behind 3");
        assert_eq!(resize(&mut machine(), "3", ""), "taken 3");
        let mut forecast = machine();
        assert_eq!(resize(&mut forecast, "6", "2-3"), "done");
        assert_eq!(forecast.state.partitions[0].cpus, set("6"));
        let nobody = Named {
            id: 9,
            name: "z".to_owned(),
        };
        assert_eq!(
            told(forecast.resize(&nobody, &Resize::default())),
            "no such partition"
        );
    }

    #[test]
    fn jobs_keep_their_cpus_and_their_partition() {
        let named = Named {
            id: 1,
            name: "a".to_owned(),
        };
        let mut forecast = machine();
        forecast.state.jobs.push(Job {
            id: 1,
            partition: 1,
            nr_tasks: 1,
            pid: 1,
            uid: 0,
            comm: "app".to_owned(),
            cpus: set("3"),
            memory: JobMemory::default(),
        });
        let change = Resize {
            add: set("6"),
            remove: set("2-3"),
            memory: None,
        };
        assert_eq!(told(forecast.resize(&named, &change)), "in use 3");
        assert_eq!(told(forecast.delete(&named)), "in use");
        forecast.state.jobs.clear();
        assert_eq!(told(forecast.delete(&named)), "done");
        assert_eq!(told(forecast.delete(&named)), "no such partition");
    }

    #[test]
    fn ids_are_the_smallest_that_are_free() {
        let mut forecast = machine();
        assert_eq!(create(&mut forecast, "b", "6", ""), "done");
        let named = Named {
            id: 1,
            name: "a".to_owned(),
        };
        forecast.delete(&named).expect("it must succeed");
        assert_eq!(create(&mut forecast, "c", "2-3", ""), "done");
        let ids: Vec<u32> = forecast.state.partitions.iter().map(|p| p.id).collect();
        assert_eq!(ids, [1, 2]);
    }
}
