// SPDX-License-Identifier: GPL-2.0
//! Partitions: which CPUs belong to the LWK, and how a CPU changes owner.
//!
//! A CPU changes owner while it is off line, because nothing of Linux runs there then and its masks can change:
//!
//! ```text
//! Linux ─fair server off─▶ ─down─▶ ─isolate: masks, tick, tracking─▶ ─own─▶ ─up─▶ LWK (on line, not active)
//! ```
//!
//! The steps of one creation are a transaction: [`Claim`] undoes them, last first, unless it is committed.
#![forbid(unsafe_code)]

use crate::{
    logic::{
        bootline::BootSpec,
        cpuset::{CpuId, CpuSet},
        error::Errno,
        partition::{PartitionId, Table},
    },
    noise,
    sys::{
        control::Control,
        cpu::{self, NR_CPUS},
        job::JobRef,
    },
    uapi::PARTITION_BOOT,
};
use kernel::{
    error::{code, Error, Result},
    prelude::*,
    str::CStr,
};

/// All that changes rarely.
pub(crate) struct State {
    /// Who owns which CPU.
    pub(crate) table: Table,
    /// What `lwkcpus=` asked for.
    boot: BootSpec,
    /// The jobs, each at the number of its first CPU.
    jobs: [Option<JobRef>; NR_CPUS],
}

impl State {
    /// Where the job is noted whose first CPU is `cpu`.
    pub(crate) fn slot(&mut self, cpu: CpuId) -> Option<&mut Option<JobRef>> {
        self.jobs.get_mut(cpu.index())
    }
}

/// The one instance.
pub(crate) static STATE: Control<State> = Control::new(State {
    table: Table::new(),
    boot: BootSpec::EMPTY,
    jobs: [const { None }; NR_CPUS],
});

/// One step of a CPU's way to the LWK, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    FairServerOff { before_ns: u64 },
    Down,
    Isolated,
    Owned,
    Up,
}

/// The CPUs that a creation has taken so far; gives them back when dropped.
#[must_use = "dropping it gives the CPUs back"]
struct Claim {
    steps: KVec<(CpuId, Step)>,
    is_committed: bool,
}

impl Claim {
    /// A claim with room for all steps, so that none needs memory later.
    fn begin(cpus: &CpuSet) -> Result<Self> {
        // CAST: usize has 64 bits.
        let steps = KVec::with_capacity(cpus.len() as usize * 5, GFP_KERNEL)?;
        Ok(Self {
            steps,
            is_committed: false,
        })
    }

    fn note(&mut self, cpu: CpuId, step: Step) -> Result {
        self.steps.push((cpu, step), GFP_KERNEL)?;
        Ok(())
    }

    /// Takes one CPU; on an error its finished steps stay noted for the undoing.
    fn take(&mut self, cpu: CpuId) -> Result {
        // Before the CPU leaves its domain, where deadline admission would refuse the change.
        let before_ns = cpu::fair_server_ns(cpu);
        cpu::set_fair_server_ns(cpu, 0)?;
        self.note(cpu, Step::FairServerOff { before_ns })?;
        cpu::take_down(cpu)?;
        self.note(cpu, Step::Down)?;
        cpu::isolate(cpu);
        self.note(cpu, Step::Isolated)?;
        noise::reset(cpu);
        cpu::set_owned(cpu, true);
        self.note(cpu, Step::Owned)?;
        cpu::bring_up(cpu)?;
        self.note(cpu, Step::Up)
    }

    fn commit(mut self) {
        self.is_committed = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let steps = if self.is_committed {
            &[][..]
        } else {
            &self.steps[..]
        };
        for &(cpu, step) in steps.iter().rev() {
            let undone = match step {
                Step::FairServerOff { before_ns } => cpu::set_fair_server_ns(cpu, before_ns),
                Step::Down => cpu::bring_up(cpu),
                Step::Isolated => {
                    cpu::unisolate(cpu);
                    Ok(())
                }
                Step::Owned => {
                    cpu::set_owned(cpu, false);
                    Ok(())
                }
                // Disowned first, as nobody may take an owned CPU down.
                Step::Up => {
                    cpu::set_owned(cpu, false);
                    cpu::take_down(cpu)
                }
            };
            if let Err(error) = undone {
                pr_err!(
                    "CPU {}: giving it back to Linux failed at {:?}: {:?}\n",
                    cpu,
                    step,
                    error
                );
            }
        }
    }
}

/// Makes a partition of `cpus`.
///
/// # Errors
///
/// What the table says, `EPERM` for the CPU that keeps the time, `EBUSY` for one that `nohz_full=` or `isolcpus=` has,
/// or what Linux said when a CPU was taken; nothing has changed then.
fn create(
    state: &mut State,
    name: &[u8],
    cpus: &CpuSet,
    service: &CpuSet,
    flags: u32,
) -> Result<PartitionId> {
    check(cpus, service)?;
    let is_first = state.table.nr_partitions() == 0;
    let id = state
        .table
        .create(name, cpus, service, flags)
        .inspect_err(|error| pr_err!("{}\n", error))
        .map_err(|error| Error::from_errno(-error.errno()))?;
    if is_first {
        cpu::activate_hooks();
    }
    let owned = owned(&state.table);
    let made = claim(cpus).and_then(|claim| {
        cpu::exclude_from_workqueues(&owned)?;
        claim.commit();
        Ok(())
    });
    if let Err(error) = made {
        // Cannot fail: it was created above, under the same lock, and has no job.
        let _ = state.table.delete(id);
        if is_first {
            cpu::deactivate_hooks();
        }
        return Err(error);
    }
    Ok(id)
}

fn owned(table: &Table) -> CpuSet {
    (0..cpu::nr_cpu_ids())
        .filter_map(CpuId::new)
        .filter(|cpu| table.owner(*cpu).is_some())
        .collect()
}

fn check(cpus: &CpuSet, service: &CpuSet) -> Result {
    for cpu in &cpus.union(service) {
        if !cpu::is_online(cpu) {
            pr_err!("CPU {} is not on line\n", cpu);
            return Err(code::ENODEV);
        }
    }
    for cpu in cpus {
        if Some(cpu) == cpu::timekeeper() {
            pr_err!("CPU {} keeps the time and must stay with Linux\n", cpu);
            return Err(code::EPERM);
        }
        if cpu::is_isolated(cpu) {
            pr_err!(
                "CPU {} is in nohz_full= or isolcpus=; leave it out there\n",
                cpu
            );
            return Err(code::EBUSY);
        }
    }
    Ok(())
}

fn claim(cpus: &CpuSet) -> Result<Claim> {
    let mut claim = Claim::begin(cpus)?;
    for cpu in cpus {
        claim
            .take(cpu)
            .inspect_err(|error| pr_err!("CPU {}: Linux keeps it: {:?}\n", cpu, error))?;
    }
    Ok(claim)
}

/// Remembers what `lwkcpus=` asks for; only reads, as it comes before memory can be allocated.
pub(crate) fn note_boot_line(text: &CStr) {
    let mut state = STATE.lock();
    if let Err(error) = state.boot.parse_into(text.as_bytes(), cpu::nr_cpu_ids()) {
        pr_err!("lwkcpus={}: {}; no partition is made\n", text, error);
    }
}

/// Makes the partition that the boot line asked for.
pub(crate) fn make_boot_partition() {
    let mut state = STATE.lock();
    let State { boot, .. } = &*state;
    if boot.is_empty() {
        return;
    }
    let (cpus, service) = (*boot.cpus(), *boot.service());
    let Some(timekeeper) = cpu::timekeeper() else {
        return;
    };
    if let Err(error) = boot.check(&cpu::possible(), timekeeper) {
        pr_err!("lwkcpus=: {}; no partition is made\n", error);
        return;
    }
    match create(&mut state, b"boot", &cpus, &service, PARTITION_BOOT) {
        Ok(_) if service.is_empty() => pr_info!("partition boot: CPUs {}\n", cpus),
        Ok(_) => pr_info!("partition boot: CPUs {}, service CPUs {}\n", cpus, service),
        Err(error) => pr_err!("lwkcpus=: no partition is made: {:?}\n", error),
    }
}
