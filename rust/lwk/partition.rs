// SPDX-License-Identifier: GPL-2.0
//! Partitions: which CPUs belong to the LWK, and how a CPU changes owner.
//!
//! How a CPU changes owner is in `moves.rs`, how memory does in `mem.rs`. Each change here is a transaction: it checks, changes the table, moves the
//! CPUs and takes all of it back if a step fails.
//!
//! A change may take minutes, for Linux has to move memory away and to wait for devices as a CPU goes off line. One goes on
//! at a time, under the lock of [`CHANGES`]; the state is locked for its first and last steps only, so that jobs begin and
//! end meanwhile, as calls and reports go on. Between these steps the table says of CPUs that they move, so that no job
//! gets them.
#![forbid(unsafe_code)]

use crate::{
    job,
    logic::{
        bootline::BootSpec,
        cpuset::{CpuId, CpuSet},
        mempolicy::Policy,
        memspec::MemSpec,
        node::{NodeId, NodeSet},
        partition::{PartitionId, Table},
        refused::Refused,
    },
    mem::{self, Memory},
    moves::{Cores, Misplaced, Moves},
    noise,
    sys::{
        control::{Control, Guarded, Lock},
        cpu::{self, NR_CPUS},
        job::JobRef,
    },
    syscall,
    uapi::{Refusal, MAX_PARTITIONS, PARTITION_BOOT},
};
use kernel::{error::Error, prelude::*, str::CStr};

/// What only changes of partitions need.
pub(crate) struct Changes {
    /// What `lwkcpus=` asked for.
    boot: BootSpec,
    /// What `lwkmem=` asked for.
    boot_memory: MemSpec,
    /// The fair server's runtime on each CPU before the LWK had it.
    fair_server_ns: [u64; NR_CPUS],
    /// Whether the hooks look at pools.
    pub(crate) has_memory: bool,
}

impl Guarded for Changes {
    const LOCK: Lock = Lock::Change;

    fn has_backlog() -> bool {
        mem::wants_settling()
    }

    fn work_off(&mut self) {
        mem::settle(self);
    }
}

/// Who has what.
pub(crate) struct State {
    /// Who owns which CPU.
    pub(crate) table: Table,
    /// Who has which memory.
    pub(crate) memory: Memory,
    /// How the memory of their jobs is backed where these do not say so.
    policies: [Policy; MAX_PARTITIONS],
    /// Where their system calls are carried out, likewise.
    calls: [syscall::Policy; MAX_PARTITIONS],
    /// The jobs, each at the number of its first CPU.
    jobs: [Option<JobRef>; NR_CPUS],
}

impl Guarded for State {
    const LOCK: Lock = Lock::State;

    fn has_backlog() -> bool {
        job::has_ended_ones()
    }

    fn work_off(&mut self) {
        job::end_all(self);
    }
}

impl State {
    /// The memory policy of a partition; none if there is no such partition.
    pub(crate) fn policy(&mut self, id: PartitionId) -> Option<&mut Policy> {
        let exists = self.table.next_partition(id.get())?.id == id;
        self.policies.get_mut(mem::slot(id)).filter(|_| exists)
    }

    /// Where calls of a partition's jobs are carried out; none if there is no such partition.
    pub(crate) fn calls(&mut self, id: PartitionId) -> Option<&mut syscall::Policy> {
        let exists = self.table.next_partition(id.get())?.id == id;
        self.calls.get_mut(mem::slot(id)).filter(|_| exists)
    }

    /// Where the job is noted whose first CPU is `cpu`.
    pub(crate) fn slot(&mut self, cpu: CpuId) -> Option<&mut Option<JobRef>> {
        self.jobs.get_mut(cpu.index())
    }
}

/// The one instance; its lock is taken before that of [`STATE`].
pub(crate) static CHANGES: Control<Changes> = Control::new(Changes {
    boot: BootSpec::EMPTY,
    boot_memory: MemSpec::EMPTY,
    fair_server_ns: [0; NR_CPUS],
    has_memory: false,
});

/// The one instance.
pub(crate) static STATE: Control<State> = Control::new(State {
    table: Table::new(),
    memory: Memory::new(),
    policies: [Policy::DEFAULT; MAX_PARTITIONS],
    calls: [syscall::Policy::DEFAULT; MAX_PARTITIONS],
    jobs: [const { None }; NR_CPUS],
});

/// A change that may not come to be.
pub(crate) type Change<T = ()> = core::result::Result<T, Refused>;

/// Makes a partition of `cpus` and of the memory that `spec` asks for.
///
/// # Errors
///
/// What the table says, or why a CPU cannot leave Linux; nothing has changed then.
pub(crate) fn create(
    changes: &mut Changes,
    name: &[u8],
    cpus: &CpuSet,
    service: &CpuSet,
    spec: &MemSpec,
    flags: u32,
) -> Change<PartitionId> {
    for cpu in service {
        require(cpu::is_online(cpu), Refusal::NotOnline, cpu)?;
    }
    let (id, is_first) = {
        let mut state = STATE.lock();
        check_takable(&state.table, cpus)?;
        let is_first = state.table.nr_partitions() == 0;
        let id = state.table.create(name, cpus, service, flags)?;
        // The boot line may split cores, as mOS allows.
        if flags & PARTITION_BOOT == 0 {
            check_whole_cores(&state.table, cpus).inspect_err(|_| {
                // Cannot fail: it was created above, under the same lock.
                let _ = state.table.delete(id);
            })?;
        }
        state.table.depart(cpus);
        if let Some(policy) = state.policy(id) {
            *policy = Policy::DEFAULT;
        }
        if let Some(calls) = state.calls(id) {
            *calls = syscall::Policy::DEFAULT;
        }
        (id, is_first)
    };
    if is_first {
        cpu::activate_hooks();
    }
    let none = CpuSet::EMPTY;
    let mut misplaced = Misplaced::default();
    let cores = Cores::of(flags);
    let changed = change_all(changes, id, (cpus, &none), spec, cores, &mut misplaced);
    if let Err(refused) = changed {
        // All of them, or else the partition keeps those that Linux does not take back.
        misplaced.lost = cpus.difference(&misplaced.kept);
        correct(changes, id, &misplaced, |table| table.arrive(cpus));
        return Err(refused);
    }
    STATE.lock().table.arrive(cpus);
    Ok(id)
}

/// Takes back what a change that failed did to the table, and notes where CPUs are that could not be moved back; ends a
/// partition that has none left. No job can get a CPU in between.
fn correct(
    changes: &mut Changes,
    id: PartitionId,
    misplaced: &Misplaced,
    undo: impl FnOnce(&mut Table),
) {
    let (exists, is_last) = {
        let mut state = STATE.lock();
        undo(&mut state.table);
        let Misplaced { kept, lost } = misplaced;
        state.table.correct(id, kept, lost);
        (state.policy(id).is_some(), state.table.nr_partitions() == 0)
    };
    if !exists {
        mem::release(changes, id);
    }
    if is_last {
        cpu::deactivate_hooks();
    }
}

/// Takes `add` from Linux for a partition and gives `remove` back; changes its memory to what `spec` asks for.
///
/// # Errors
///
/// As [`create`]; also that a job holds a CPU of `remove` or memory that is to go.
pub(crate) fn resize(
    changes: &mut Changes,
    id: PartitionId,
    add: &CpuSet,
    remove: &CpuSet,
    spec: &MemSpec,
) -> Change {
    {
        let mut state = STATE.lock();
        check_takable(&state.table, add)?;
        state.table.resize(id, add, remove)?;
        check_whole_cores(&state.table, &add.union(remove)).inspect_err(|_| {
            // Cannot fail: it is the reverse of what was done above, under the same lock.
            let _ = state.table.resize(id, remove, add);
        })?;
        state.table.depart(add);
    }
    let mut misplaced = Misplaced::default();
    let cpus = (add, remove);
    let changed = change_all(changes, id, cpus, spec, Cores::Whole, &mut misplaced);
    if changed.is_ok() {
        STATE.lock().table.arrive(add);
    } else {
        correct(changes, id, &misplaced, |table| {
            // Cannot fail: changes are one after the other, and no job got a CPU that moves.
            let _ = table.resize(id, remove, add);
        });
    }
    changed
}

/// Ends a partition without jobs.
///
/// # Errors
///
/// There is no such partition, it runs jobs, or Linux does not take a CPU back; nothing has changed then.
pub(crate) fn delete(changes: &mut Changes, id: PartitionId) -> Change {
    let cpus = {
        let mut state = STATE.lock();
        state.table.check_deletable(id)?;
        let cpus = state.table.cpus_of(id);
        state.table.depart(&cpus);
        cpus
    };
    let none = CpuSet::EMPTY;
    let mut misplaced = Misplaced::default();
    let moved = transfer(changes, (&none, &cpus), Cores::Split, &mut misplaced);
    if let Err(refused) = moved {
        correct(changes, id, &misplaced, |table| table.arrive(&cpus));
        return Err(refused);
    }
    // Before another may get its number.
    mem::release(changes, id);
    let is_last = {
        let mut state = STATE.lock();
        // Cannot fail: it has no CPU that a job could get.
        state.table.delete(id)?;
        state.table.nr_partitions() == 0
    };
    if is_last {
        cpu::deactivate_hooks();
    }
    Ok(())
}

fn require(is_so: bool, refusal: Refusal, cpu: CpuId) -> Change {
    if is_so {
        Ok(())
    } else {
        Err(Refused::cpu(refusal, cpu))
    }
}

/// Checks that Linux could do without `cpus`.
fn check_takable(table: &Table, cpus: &CpuSet) -> Change {
    for cpu in cpus {
        require(cpu::is_online(cpu), Refusal::NotOnline, cpu)?;
        require(Some(cpu) != cpu::timekeeper(), Refusal::KeepsTime, cpu)?;
        // One that the LWK has looks the same; the table refuses it with a better reason.
        require(
            table.owner(cpu).is_some() || !cpu::is_isolated(cpu),
            Refusal::IsolatedByBoot,
            cpu,
        )?;
    }
    Ok(())
}

/// Checks that the hardware threads of each core are on one side: what runs on one disturbs the others.
fn check_whole_cores(table: &Table, changed: &CpuSet) -> Change {
    for cpu in changed {
        let is_lwk = table.owner(cpu).is_some();
        for sibling in &cpu::siblings(cpu) {
            require(
                table.owner(sibling).is_some() == is_lwk,
                Refusal::Sibling,
                sibling,
            )?;
        }
    }
    Ok(())
}

/// Changes the memory and the CPUs of a partition, or nothing: memory first, as that fails most often and is undone
/// with the least noise.
fn change_all(
    changes: &mut Changes,
    id: PartitionId,
    cpus: (&CpuSet, &CpuSet),
    spec: &MemSpec,
    cores: Cores,
    misplaced: &mut Misplaced,
) -> Change {
    if spec.is_empty() {
        return transfer(changes, cpus, cores, misplaced);
    }
    let own = STATE.lock().table.cpus_of(id);
    let near: NodeSet = own.iter().filter_map(node_of).collect();
    let taken = mem::begin(changes, id, near, spec)?;
    match transfer(changes, cpus, cores, misplaced) {
        Ok(()) => {
            mem::commit(changes, taken);
            Ok(())
        }
        Err(refused) => {
            mem::undo(changes, taken);
            Err(refused)
        }
    }
}

/// The node that a CPU belongs to.
pub(crate) fn node_of(cpu: CpuId) -> Option<NodeId> {
    u16::try_from(cpu::node(cpu)).ok().and_then(NodeId::new)
}

/// Takes the first CPUs from Linux and gives the second back to it; the table says already whose they are to be.
///
/// # Errors
///
/// Why it cannot be; then each CPU is where it was, but for those in `misplaced`.
fn transfer(
    changes: &mut Changes,
    (add, remove): (&CpuSet, &CpuSet),
    cores: Cores,
    misplaced: &mut Misplaced,
) -> Change {
    for cpu in add {
        noise::log::make_room(cpu).map_err(|error| refused(error, Refusal::None, Some(cpu)))?;
    }
    let mut moves = Moves::begin(&mut changes.fair_server_ns, add.len() + remove.len())?;
    // Again, as nobody takes CPUs off line or on line from here on.
    for cpu in add {
        require(cpu::is_online(cpu), Refusal::NotOnline, cpu)?;
    }
    if cores == Cores::Whole {
        check_whole_cores(&STATE.lock().table, &add.union(remove))?;
    }
    move_all(&mut moves, add, remove, cores).inspect_err(|_| {
        *misplaced = moves.undo();
        if !misplaced.is_empty() {
            let others = owned(&add.union(remove));
            let here = misplaced.kept.union(&remove.difference(&misplaced.lost));
            // It failed before, or will not now; such work may then come to a CPU that was kept.
            let _ = cpu::exclude_from_workqueues(&others.union(&here));
        }
    })
}

fn move_all(moves: &mut Moves<'_>, add: &CpuSet, remove: &CpuSet, cores: Cores) -> Change {
    // The other way round than they were taken, so that interrupts find back to what was.
    let mut leaving = *remove;
    while let Some(cpu) = leaving.last() {
        leaving.remove(cpu);
        moves.give(cpu)?;
    }
    for cpu in add {
        moves.take(cpu, cores)?;
    }
    cpu::exclude_from_workqueues(&owned(remove))
        .map_err(|error| refused(error, Refusal::None, None))
}

/// The CPUs that partitions have, without some.
fn owned(without: &CpuSet) -> CpuSet {
    let state = STATE.lock();
    let is_owned = |cpu: &CpuId| state.table.owner(*cpu).is_some() && !without.contains(*cpu);
    let all = (0..cpu::nr_cpu_ids()).filter_map(CpuId::new);
    all.filter(is_owned).collect()
}

fn refused(error: Error, refusal: Refusal, cpu: Option<CpuId>) -> Refused {
    Refused::linux(-error.to_errno(), refusal, cpu)
}

/// What becomes of a boot line that cannot be followed, and what to do.
const NO_PARTITION: &str =
    "no partition is made: correct the boot line, or make one now with lwkctl create";
const NO_MEMORY: &str =
    "no memory is taken: correct the boot line, or try lwkctl resize --mem with less";

/// Remembers what `lwkcpus=` asks for; only reads, as it comes before memory can be allocated.
pub(crate) fn note_boot_line(text: &CStr) {
    let mut changes = CHANGES.lock();
    if let Err(error) = changes.boot.parse_into(text.as_bytes(), cpu::nr_cpu_ids()) {
        pr_err!("lwkcpus={}: {}; {}\n", text, error, NO_PARTITION);
    }
}

/// Remembers what `lwkmem=` asks for.
pub(crate) fn note_boot_memory(text: &CStr) {
    let mut changes = CHANGES.lock();
    if let Err(error) = changes.boot_memory.parse_into(text.as_bytes()) {
        pr_err!("lwkmem={}: {}; {}\n", text, error, NO_MEMORY);
    }
}

/// Takes the memory that the boot line asks for.
fn take_boot_memory(changes: &mut Changes, id: PartitionId) {
    let Ok(spec) = KBox::new(changes.boot_memory.clone(), GFP_KERNEL) else {
        return;
    };
    if spec.is_empty() {
        return;
    }
    let none = CpuSet::EMPTY;
    let mut misplaced = Misplaced::default();
    let cpus = (&none, &none);
    match change_all(changes, id, cpus, &spec, Cores::Split, &mut misplaced) {
        Ok(()) => pr_info!("partition boot: memory {}\n", *spec),
        Err(refused) => pr_err!("lwkmem={}: {}; {}\n", *spec, refused, NO_MEMORY),
    }
}

/// Makes the partition that the boot line asked for.
pub(crate) fn make_boot_partition() {
    let mut changes = CHANGES.lock();
    let Changes {
        boot, boot_memory, ..
    } = &*changes;
    if boot.is_empty() {
        if !boot_memory.is_empty() {
            pr_err!(
                "lwkmem={}: no partition can have it, see lwkcpus=; {}\n",
                boot_memory,
                NO_MEMORY
            );
        }
        return;
    }
    let (cpus, service) = (*boot.cpus(), *boot.service());
    let Some(timekeeper) = cpu::timekeeper() else {
        return;
    };
    if let Err(error) = boot.check(&cpu::possible(), timekeeper) {
        pr_err!("lwkcpus={}: {}; {}\n", boot, error, NO_PARTITION);
        return;
    }
    if cpu::is_clock_unstable() {
        pr_warn!("the time-stamp counter is not reliable: the tick of LWK CPUs goes on; see tsc=reliable\n");
    }
    let none = &MemSpec::EMPTY;
    let made = create(&mut changes, b"boot", &cpus, &service, none, PARTITION_BOOT);
    let id = match made {
        Ok(id) => id,
        Err(refused) => {
            pr_err!("lwkcpus={}: {}; {}\n", changes.boot, refused, NO_PARTITION);
            return;
        }
    };
    if service.is_empty() {
        pr_info!("partition boot: CPUs {}\n", cpus);
    } else {
        pr_info!("partition boot: CPUs {}, service CPUs {}\n", cpus, service);
    }
    take_boot_memory(&mut changes, id);
}
