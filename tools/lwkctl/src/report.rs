// SPDX-License-Identifier: GPL-2.0
//! What `lwkctl show` tells, as data: the JSON is this, the text is drawn from it.

use std::collections::BTreeMap;

use lwk::{Cpu, Device, Job, Noise, Partition, State};
use lwk_logic::logic::cpuset::CpuSet;
use lwk_logic::uapi::{EntryKind, IrqSource};
use serde::Serialize;

use crate::users::Users;

/// Version of the JSON; goes up when a field goes away or means something else.
pub const SCHEMA: u32 = 1;

/// What is told about CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Who owns them.
    Owners,
    /// Also what disturbed those of the LWK.
    Noise,
}

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The kernel's ABI version.
    pub abi_version: u32,
    /// Whether the boot line had `lwkcpus=`.
    pub armed: bool,
    /// The partitions by id.
    pub partitions: Vec<PartitionReport>,
    /// The jobs by id.
    pub jobs: Vec<JobReport>,
    /// All CPUs.
    pub cpus: Vec<CpuReport>,
}

/// A partition.
#[derive(Debug, Clone, Serialize)]
pub struct PartitionReport {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Whether `lwkcpus=` made it.
    pub boot: bool,
    /// Its LWK CPUs.
    #[serde(serialize_with = "numbers")]
    pub cpus: CpuSet,
    /// Its Linux service CPUs.
    #[serde(serialize_with = "numbers")]
    pub service_cpus: CpuSet,
    /// The LWK CPUs that no job holds.
    #[serde(serialize_with = "numbers")]
    pub free_cpus: CpuSet,
}

/// A job.
#[derive(Debug, Clone, Serialize)]
pub struct JobReport {
    /// Its id.
    pub id: u32,
    /// The id of its partition.
    pub partition: u32,
    /// The process that created it, if this pid namespace shows it.
    pub pid: Option<u32>,
    /// The id of the user who created it.
    pub uid: u32,
    /// The name of that user, or the id.
    pub user: String,
    /// Command name.
    pub comm: String,
    /// Its live tasks.
    pub nr_tasks: u32,
    /// Its CPUs.
    #[serde(serialize_with = "numbers")]
    pub cpus: CpuSet,
}

/// Who has a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// Linux alone.
    Linux,
    /// Linux, which serves a partition with it.
    Service,
    /// The LWK.
    Lwk,
}

impl Owner {
    /// Its name in the text and in the JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Service => "service",
            Self::Lwk => "lwk",
        }
    }
}

/// A CPU.
#[derive(Debug, Clone, Serialize)]
pub struct CpuReport {
    /// Its number.
    pub cpu: u32,
    /// Its NUMA node.
    pub node: u32,
    /// Whether it is on line.
    pub online: bool,
    /// Who has it.
    pub owner: Owner,
    /// The id of its partition.
    pub partition: Option<u32>,
    /// The id of the job that holds it.
    pub job: Option<u32>,
    /// LWK tasks queued or running on it.
    pub nr_running: u32,
    /// Its counters, if asked for and it is one of the LWK's that no other user's job has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<NoiseReport>,
}

/// Counters of an LWK CPU since it joined its partition.
#[derive(Debug, Clone, Serialize)]
pub struct NoiseReport {
    /// Entries into the kernel by kind.
    pub entries: BTreeMap<&'static str, u64>,
    /// Interrupts by source.
    pub irqs: BTreeMap<&'static str, u64>,
    /// Kernel threads that ran while an LWK task wanted the CPU.
    pub guests: GuestReport,
    /// Context switches of LWK tasks.
    pub switches: u64,
    /// Page faults of LWK tasks.
    pub faults: u64,
    /// Times that the CPU made up on its next way into the kernel for an interrupt that it was spared.
    pub caught_up: u64,
}

/// Runs of kernel threads.
#[derive(Debug, Clone, Serialize)]
pub struct GuestReport {
    /// How many.
    pub runs: u64,
    /// Nanoseconds in all.
    pub total_ns: u64,
    /// Command name of the last one.
    pub last: Option<String>,
}

impl Report {
    /// Asks the device for everything.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn read(device: &Device, users: &Users, detail: Detail) -> Result<Self, lwk::Error> {
        let info = device.info();
        let mut report = Self::new(&device.state()?, &device.cpus()?, users, detail);
        (report.abi_version, report.armed) = (info.abi_version, info.armed);
        Ok(report)
    }

    /// Builds it from what was read.
    pub fn new(state: &State, cpus: &[Cpu], users: &Users, detail: Detail) -> Self {
        Self {
            schema: SCHEMA,
            abi_version: lwk_logic::uapi::ABI_VERSION,
            armed: true,
            partitions: state
                .partitions
                .iter()
                .map(|partition| PartitionReport::new(partition, state))
                .collect(),
            jobs: state
                .jobs
                .iter()
                .map(|job| JobReport::new(job, users))
                .collect(),
            cpus: cpus.iter().map(|cpu| CpuReport::new(cpu, detail)).collect(),
        }
    }

    /// Leaves only one partition, its jobs and its CPUs.
    pub fn retain_partition(&mut self, id: u32) {
        self.partitions.retain(|partition| partition.id == id);
        self.jobs.retain(|job| job.partition == id);
        self.cpus.retain(|cpu| cpu.partition == Some(id));
    }

    /// The name of a partition, or its id if it went away while others were read.
    pub fn partition_name(&self, id: u32) -> String {
        let found = self.partitions.iter().find(|partition| partition.id == id);
        found.map_or_else(|| id.to_string(), |partition| partition.name.clone())
    }
}

/// What `lwkctl list` and `lwkctl save` tell.
#[derive(Debug, Clone, Serialize)]
pub struct PartitionsReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The partitions by id.
    pub partitions: Vec<PartitionReport>,
}

impl PartitionsReport {
    /// Builds it from what was read.
    pub fn new(state: &State) -> Self {
        let partition = |partition| PartitionReport::new(partition, state);
        Self {
            schema: SCHEMA,
            partitions: state.partitions.iter().map(partition).collect(),
        }
    }
}

impl PartitionReport {
    fn new(partition: &Partition, state: &State) -> Self {
        Self {
            id: partition.id,
            name: partition.name.clone(),
            boot: partition.boot,
            cpus: partition.cpus,
            service_cpus: partition.service,
            free_cpus: state.free(partition),
        }
    }
}

impl JobReport {
    fn new(job: &Job, users: &Users) -> Self {
        Self {
            id: job.id,
            partition: job.partition,
            pid: (job.pid != 0).then_some(job.pid),
            uid: job.uid,
            user: users.name(job.uid),
            comm: job.comm.clone(),
            nr_tasks: job.nr_tasks,
            cpus: job.cpus,
        }
    }
}

impl CpuReport {
    fn new(cpu: &Cpu, detail: Detail) -> Self {
        let owner = match (cpu.partition, cpu.service) {
            (None, _) => Owner::Linux,
            (Some(_), true) => Owner::Service,
            (Some(_), false) => Owner::Lwk,
        };
        let is_told = detail == Detail::Noise && owner == Owner::Lwk && cpu.is_told;
        Self {
            cpu: cpu.cpu,
            node: cpu.node,
            online: cpu.online,
            owner,
            partition: cpu.partition,
            job: cpu.job,
            nr_running: cpu.nr_running,
            noise: is_told.then(|| NoiseReport::new(&cpu.noise)),
        }
    }
}

impl NoiseReport {
    fn new(noise: &Noise) -> Self {
        let guests = &noise.guests;
        Self {
            entries: EntryKind::ALL
                .iter()
                .map(|kind| kind.name())
                .zip(noise.entries)
                .collect(),
            irqs: IrqSource::ALL
                .iter()
                .map(|source| source.name())
                .zip(noise.irqs)
                .collect(),
            guests: GuestReport {
                runs: guests.runs,
                total_ns: guests.total_ns,
                last: (!guests.last.is_empty()).then(|| guests.last.clone()),
            },
            switches: noise.switches,
            faults: noise.faults,
            caught_up: noise.caught_up,
        }
    }
}

/// Writes a set as an array of CPU numbers.
pub(crate) fn numbers<S: serde::Serializer>(
    set: &CpuSet,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(set.iter().map(|cpu| cpu.get()))
}
