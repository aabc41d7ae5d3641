// SPDX-License-Identifier: GPL-2.0
//! The commands that change partitions, on the machine or, for a dry run, in memory.

use std::path::Path;

use anyhow::{bail, Context, Result};
use lwk::auto::{propose, Proposal};
use lwk::{
    ChangeError, Control, CpuList, Device, Error, Forecast, Found, Machine, NewPartition,
    PartitionName, State, Topology,
};
use lwk_logic::logic::cpuset::CpuSet;
use lwk_logic::logic::mempolicy::Policy;
use lwk_logic::uapi::Refusal;

use crate::change::{plan, Plan, Step};
use crate::cli::{Apply, Create, Delete, Mode, Resize};
use crate::config;
use crate::outcome::ChangeReport;
use crate::transaction::{execute, Outcome};
use crate::Answer;

/// How often a default name is chosen again when somebody else took it meanwhile.
const NAME_TRIES: usize = 8;

/// Where changes go: the device, or a machine in memory.
pub struct Target {
    control: Box<dyn Control>,
    topology: Option<Topology>,
    dry_run: bool,
}

impl Target {
    /// The device at `path`, or for a dry run its state in memory.
    ///
    /// # Errors
    ///
    /// If it cannot be opened or read.
    pub fn open(path: &Path, mode: Mode) -> Result<Self> {
        let device = Device::open(path)?;
        // A machine without sysfs has no topology; the kernel judges what the forecast then cannot.
        let topology = Topology::read(Path::new("/")).ok();
        let control: Box<dyn Control> = if mode.dry_run {
            let info = device.info();
            let machine = Machine {
                armed: info.armed,
                nr_cpus: info.nr_cpu_ids,
                topology: topology.clone(),
            };
            Box::new(Forecast::new(machine, device.state()?))
        } else {
            Box::new(device)
        };
        Ok(Self {
            control,
            topology,
            dry_run: mode.dry_run,
        })
    }

    /// A machine of which there is only its `/sys` below `sysroot`, ready for partitions and without any.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn plan_only(sysroot: &Path) -> Result<Self> {
        let topology = Topology::read(sysroot)?;
        Ok(Self {
            control: Box::new(Forecast::new(
                Machine::of(topology.clone()),
                State::default(),
            )),
            topology: Some(topology),
            dry_run: true,
        })
    }

    /// Any machine, for tests.
    pub fn new(control: Box<dyn Control>, topology: Option<Topology>) -> Self {
        Self {
            control,
            topology,
            dry_run: false,
        }
    }

    /// Makes a partition.
    ///
    /// # Errors
    ///
    /// If the request makes no sense on this machine; a refusal by the kernel is an answer.
    pub fn create(&mut self, asked: &Create) -> Result<Answer> {
        let state = self.control.state()?;
        let service = asked
            .service
            .as_ref()
            .map(|list| self.set("--service", list))
            .transpose()?;
        let cpus = asked
            .cpus
            .as_ref()
            .map(|list| self.set("--cpus", list))
            .transpose()?;
        let chosen = match (cpus, asked.auto) {
            (Some(cpus), _) => Proposal {
                cpus,
                service: service.unwrap_or_default(),
            },
            (None, share) => {
                let topology = self
                    .topology
                    .as_ref()
                    .context("cannot choose CPUs: /sys tells of none")?;
                let share = share.unwrap_or(lwk::auto::Share::All);
                propose(topology, &used(&state), service.as_ref(), share)?
            }
        };
        let mut new = NewPartition {
            name: asked
                .name
                .clone()
                .unwrap_or_else(|| PartitionName::unused(&state)),
            cpus: chosen.cpus,
            service: chosen.service,
            memory: asked.mem.clone(),
            policy: Policy::DEFAULT,
            calls: lwk::CallPolicy::DEFAULT,
        };
        let mut outcome = execute(
            &mut *self.control,
            vec![Step::Create(Box::new(new.clone()))],
        );
        for _ in 0..NAME_TRIES {
            if asked.name.is_some() || !is_name_taken(&outcome) {
                break;
            }
            new.name = PartitionName::unused(&self.control.state()?);
            outcome = execute(
                &mut *self.control,
                vec![Step::Create(Box::new(new.clone()))],
            );
        }
        self.answer(&outcome, Vec::new(), asked.mode)
    }

    /// Changes the CPUs and the memory of a partition.
    ///
    /// # Errors
    ///
    /// As for [`Self::create`].
    pub fn resize(&mut self, asked: &Resize) -> Result<Answer> {
        let name = self.control.state()?.find(&asked.name)?.name.clone();
        let set = |option, list: &Option<CpuList>| match list {
            Some(list) => self.set(option, list),
            None => Ok(CpuSet::EMPTY),
        };
        let change = lwk::Resize {
            add: set("--add", &asked.add)?,
            remove: set("--remove", &asked.remove)?,
            memory: asked.mem.clone(),
        };
        if change == lwk::Resize::default() {
            bail!("cannot resize partition {name}: both lists are empty; name CPUs to add or to remove, or memory");
        }
        let outcome = execute(&mut *self.control, vec![Step::Resize(name, change)]);
        self.answer(&outcome, Vec::new(), asked.mode)
    }

    /// Ends a partition.
    ///
    /// # Errors
    ///
    /// As for [`Self::create`].
    pub fn delete(&mut self, asked: &Delete) -> Result<Answer> {
        let name = self.control.state()?.find(&asked.name)?.name.clone();
        let outcome = execute(&mut *self.control, vec![Step::Delete(name)]);
        self.answer(&outcome, Vec::new(), asked.mode)
    }

    /// Makes the machine have the partitions of a file.
    ///
    /// # Errors
    ///
    /// As for [`Self::create`].
    pub fn apply(&mut self, asked: &Apply) -> Result<Answer> {
        let wanted = config::read(&asked.file, self.control.nr_cpus())
            .with_context(|| format!("cannot apply {}", asked.file.display()))?;
        let state = self.control.state()?;
        let Plan { steps, kept } = plan(&state, &wanted)
            .with_context(|| format!("cannot apply {}", asked.file.display()))?;
        // Jobs, names and owners are known beforehand: better refuse at once than half way.
        let mut outcome = self.rehearse(&state, steps.clone());
        if outcome.failure().is_none() {
            outcome = execute(&mut *self.control, steps);
        }
        self.answer(&outcome, kept, asked.mode)
    }

    /// Carries out steps in memory and says only whether and why one would fail.
    fn rehearse(&self, state: &State, steps: Vec<Step>) -> Outcome {
        let machine = Machine {
            armed: true,
            nr_cpus: self.control.nr_cpus(),
            topology: None,
        };
        let mut outcome = execute(&mut Forecast::new(machine, state.clone()), steps);
        outcome.forget_undone();
        outcome
    }

    /// The CPUs of an option's list on this machine.
    fn set(&self, option: &'static str, list: &CpuList) -> Result<CpuSet> {
        list.resolve(self.control.nr_cpus())
            .with_context(|| format!("{option} {list}"))
    }

    /// What to say of a change.
    fn answer(&self, outcome: &Outcome, kept: Vec<String>, mode: Mode) -> Result<Answer> {
        let report = ChangeReport::new(outcome, kept, self.dry_run);
        let text = if mode.json {
            serde_json::to_string_pretty(&report)? + "\n"
        } else {
            report.text()
        };
        let error = outcome.failure().map(|error| match report.aftermath() {
            Some(aftermath) => anyhow::anyhow!("{error}\nlwkctl: {aftermath}"),
            None => anyhow::anyhow!("{error}"),
        });
        Ok(Answer::new(text, error))
    }
}

/// The CPUs that have a role in a partition.
fn used(state: &State) -> CpuSet {
    let all = state.partitions.iter().flat_map(|p| [p.cpus, p.service]);
    all.fold(CpuSet::EMPTY, |used, set| used.union(&set))
}

/// Whether a creation failed because of its name.
fn is_name_taken(outcome: &Outcome) -> bool {
    let Some(Error::Change(error)) = outcome.failure() else {
        return false;
    };
    let ChangeError { found, .. } = error.as_ref();
    matches!(found, Found::Rule(Refusal::NameTaken, _))
}
