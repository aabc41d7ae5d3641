// SPDX-License-Identifier: GPL-2.0
//! `/dev/lwk`: each ioctl takes one structure of the ABI in and gives it back.
#![forbid(unsafe_code)]

mod calls;
mod memory;

use crate::{
    job,
    logic::{
        cpuset::{CpuId, CpuSet},
        error::Errno,
        frames::{BLOCK_BYTES, FRAME_BYTES},
        partition::{JobId, PartitionId, Want},
        refused::Refused,
    },
    mem,
    noise::{
        self,
        log::{Read, Reader},
    },
    partition::{self, Change, CHANGES, STATE},
    sys::{
        cpu,
        file::File,
        job::Job,
        task::Task,
        uaccess::{read_cpus, write_cpus, Args, Records},
    },
    uapi::{
        CpuGet, Info, JobCreate, JobEnter, JobGet, NoiseRead, PartitionCreate, PartitionDelete,
        PartitionGet, PartitionResize, Refusal, ABI_VERSION, CPU_ONLINE, CPU_SERVICE, CPU_UNTOLD,
        IOC_CALLS_READ, IOC_CALL_TABLE, IOC_CPU_GET, IOC_INFO, IOC_JOB_CREATE, IOC_JOB_ENTER,
        IOC_JOB_GET, IOC_MEM_GET, IOC_NOISE_READ, IOC_PARTITION_CREATE, IOC_PARTITION_DELETE,
        IOC_PARTITION_GET, IOC_PARTITION_POLICY, IOC_PARTITION_RESIZE, MEM_ALL, MEM_NONE,
        NOISE_RECORDS,
    },
};
use kernel::error::{code, Error, Result};
use memory::{Nothing, Wish};

/// The bits of a request code that hold the structure's size, which says its own size.
const SIZE_BITS: u32 = 0x3fff << 16;

/// Carries out one request.
///
/// # Errors
///
/// `ENOTTY` for a request that this kernel does not know, and those of the request.
pub(crate) fn ioctl(file: &File, current: &Task<'_>, request: u32, address: usize) -> Result {
    const INFO: u32 = IOC_INFO & !SIZE_BITS;
    const PARTITION_GET: u32 = IOC_PARTITION_GET & !SIZE_BITS;
    const JOB_CREATE: u32 = IOC_JOB_CREATE & !SIZE_BITS;
    const JOB_ENTER: u32 = IOC_JOB_ENTER & !SIZE_BITS;
    const JOB_GET: u32 = IOC_JOB_GET & !SIZE_BITS;
    const CPU_GET: u32 = IOC_CPU_GET & !SIZE_BITS;
    const PARTITION_CREATE: u32 = IOC_PARTITION_CREATE & !SIZE_BITS;
    const PARTITION_RESIZE: u32 = IOC_PARTITION_RESIZE & !SIZE_BITS;
    const PARTITION_DELETE: u32 = IOC_PARTITION_DELETE & !SIZE_BITS;
    const NOISE_READ: u32 = IOC_NOISE_READ & !SIZE_BITS;
    const MEM_GET: u32 = IOC_MEM_GET & !SIZE_BITS;
    const PARTITION_POLICY: u32 = IOC_PARTITION_POLICY & !SIZE_BITS;
    const CALL_TABLE: u32 = IOC_CALL_TABLE & !SIZE_BITS;
    const CALLS_READ: u32 = IOC_CALLS_READ & !SIZE_BITS;

    match request & !SIZE_BITS {
        INFO => with(address, info),
        PARTITION_GET => with(address, partition_get),
        JOB_CREATE => job_create(file, address),
        JOB_ENTER => job_enter(file, current, address),
        JOB_GET => with(address, job_get),
        CPU_GET => with(address, cpu_get),
        NOISE_READ => with(address, noise_read),
        MEM_GET => with(address, memory::get),
        PARTITION_POLICY => with(address, memory::partition_policy),
        CALL_TABLE => with(address, calls::table),
        CALLS_READ => with(address, calls::read),
        PARTITION_CREATE => change(address, partition_create),
        PARTITION_RESIZE => change(address, partition_resize),
        PARTITION_DELETE => change(address, partition_delete),
        _ => Err(code::ENOTTY),
    }
}

// The structure is on the stack, which is to have only that of the request.
#[inline(never)]
fn with<T: Args>(address: usize, carry_out: impl FnOnce(&mut T) -> Result) -> Result {
    let mut args = T::read(address)?;
    carry_out(&mut args)?;
    args.write(address)
}

/// A request that changes partitions and has room for the reason why it was refused.
trait Refusable: Args {
    fn refuse(&mut self, refusal: Refusal, cpu: u32);
}

macro_rules! refusable {
    ($($name:ty),*) => { $(
        impl Refusable for $name {
            fn refuse(&mut self, refusal: Refusal, cpu: u32) {
                // CAST: a small positive number.
                self.refusal = refusal as u32;
                self.refused_cpu = cpu;
            }
        }
    )* };
}

refusable!(PartitionCreate, PartitionResize, PartitionDelete);

#[inline(never)]
fn change<T: Refusable>(
    address: usize,
    carry_out: impl FnOnce(&mut T) -> Result<Change>,
) -> Result {
    if !cpu::may_admin() {
        return Err(code::EPERM);
    }
    let mut args = T::read(address)?;
    let change = if cpu::is_armed() {
        carry_out(&mut args)?
    } else {
        Err(Refused::all(Refusal::NotArmed))
    };
    match change {
        Ok(()) => args.write(address),
        Err(refused) => {
            let cpu = refused.cpu.map_or(0, CpuId::get);
            let node = refused.memory.as_ref().map(memory::node_number);
            args.refuse(refused.refusal, node.unwrap_or(cpu));
            // The reason is a courtesy: what counts is the error number.
            let _ = args.write(address);
            Err(Error::from_errno(-refused.errno()))
        }
    }
}

/// Reads a CPU set, which is empty if the caller gave none.
fn optional_cpus(address: u64, nr_bits: u32) -> Result<CpuSet> {
    if address == 0 {
        return Ok(CpuSet::EMPTY);
    }
    read_cpus(address, nr_bits)
}

fn partition_create(args: &mut PartitionCreate) -> Result<Change> {
    require_zero(&[args.flags.into(), args.reserved.into()])?;
    let cpus = read_cpus(args.cpus_ptr, args.nr_bits)?;
    let service = optional_cpus(args.service_ptr, args.nr_bits)?;
    if cpu::is_clock_unstable() {
        return Ok(Err(Refused::all(Refusal::UnstableClock)));
    }
    // Without a NUL it is too long, which the table says.
    let name = args.name.split(|byte| *byte == 0).next().unwrap_or(&[]);
    let wish = match Wish::read(args.mem_ptr, args.nr_mem, Nothing::Refused)? {
        Ok(wish) => wish,
        Err(refused) => return Ok(Err(refused)),
    };
    let mut changes = CHANGES.lock_killable()?;
    let made = partition::create(&mut changes, name, &cpus, &service, &wish.spec, 0);
    drop(changes);
    Ok(tell(&wish, made.map(|id| args.id = id.get())))
}

fn partition_resize(args: &mut PartitionResize) -> Result<Change> {
    require_zero(&[args.flags.into(), args.reserved.into()])?;
    let add = optional_cpus(args.add_ptr, args.nr_bits)?;
    let remove = optional_cpus(args.remove_ptr, args.nr_bits)?;
    let wish = match Wish::read(args.mem_ptr, args.nr_mem, Nothing::Allowed)? {
        Ok(wish) => wish,
        Err(refused) => return Ok(Err(refused)),
    };
    let Some(id) = PartitionId::new(args.id) else {
        return Ok(Err(Refused::all(Refusal::NoSuchPartition)));
    };
    let mut changes = CHANGES.lock_killable()?;
    let changed = partition::resize(&mut changes, id, &add, &remove, &wish.spec);
    drop(changes);
    Ok(tell(&wish, changed))
}

/// Tells the caller of memory that is missing.
fn tell(wish: &Wish, change: Change) -> Change {
    if let Err(Refused {
        memory: Some(shortage),
        ..
    }) = &change
    {
        wish.tell(shortage);
    }
    change
}

fn partition_delete(args: &mut PartitionDelete) -> Result<Change> {
    require_zero(&[args.flags.into()])?;
    require_zero(&args.reserved.map(u64::from))?;
    Ok(match PartitionId::new(args.id) {
        Some(id) => partition::delete(&mut *CHANGES.lock_killable()?, id),
        None => Err(Refused::all(Refusal::NoSuchPartition)),
    })
}

fn require_zero(values: &[u64]) -> Result {
    if values.iter().all(|value| *value == 0) {
        Ok(())
    } else {
        Err(code::EINVAL)
    }
}

fn info(args: &mut Info) -> Result {
    require_zero(&[args.flags.into(), args.reserved.into()])?;
    let state = STATE.lock_killable()?;
    args.abi_version = ABI_VERSION;
    args.nr_cpu_ids = cpu::nr_cpu_ids();
    args.nr_partitions = state.table.nr_partitions();
    args.nr_jobs = state.table.nr_jobs();
    args.armed = cpu::is_armed().into();
    Ok(())
}

fn partition_get(args: &mut PartitionGet) -> Result {
    require_zero(&[args.flags.into(), args.reserved.into()])?;
    let (cpus, service) = {
        let state = STATE.lock_killable()?;
        let view = state.table.next_partition(args.id).ok_or(code::ENOENT)?;
        args.id = view.id.get();
        args.flags = view.flags;
        args.nr_cpus = view.nr_cpus;
        args.nr_free = view.nr_free;
        args.nr_jobs = view.nr_jobs;
        args.name = Default::default();
        for (to, from) in args.name.iter_mut().zip(view.name) {
            *to = *from;
        }
        (
            state.table.cpus_of(view.id),
            state.table.service_of(view.id),
        )
    };
    write_cpus(&cpus, args.cpus_ptr, args.nr_bits)?;
    write_cpus(&service, args.service_ptr, args.nr_bits)
}

#[inline(never)]
fn job_create(file: &File, address: usize) -> Result {
    let mut args = JobCreate::read(address)?;
    require_zero(&[args.flags.into()])?;
    let from = match args.partition {
        0 => None,
        id => Some(PartitionId::new(id).ok_or(code::ENOENT)?),
    };
    let cpus: CpuSet;
    let want = if args.cpus_ptr != 0 {
        require_zero(&[args.nr_cpus.into()])?;
        cpus = read_cpus(args.cpus_ptr, args.nr_bits)?;
        Want::Exact(&cpus)
    } else if args.nr_cpus != 0 {
        Want::Count(args.nr_cpus)
    } else {
        Want::All
    };
    let memory = match args.mem_bytes {
        0 => None,
        MEM_NONE => Some(mem::Want::Bytes(0)),
        MEM_ALL => Some(mem::Want::All),
        bytes => Some(mem::Want::Bytes(bytes)),
    };
    let policy = memory::job_policy(&args)?;
    args.job = job::create(file, from, want, memory, policy)?.get();
    // A caller that cannot learn the id cannot use the job.
    args.write(address).inspect_err(|_| job::abandon(file))
}

#[inline(never)]
fn job_enter(file: &File, current: &Task<'_>, address: usize) -> Result {
    let args = JobEnter::read(address)?;
    require_zero(&[args.flags.into(), args.reserved.into()])?;
    job::enter(file, args.job, current)
}

fn job_get(args: &mut JobGet) -> Result {
    require_zero(&[args.flags.into(), args.reserved.into()])?;
    // The reference is dropped after the lock.
    let found = job::find(&mut *STATE.lock_killable()?, args.id);
    let job = found.ok_or(code::ENOENT)?;
    let cpus = job.cpus();
    args.id = job.id;
    args.partition = job.partition;
    // ORDERING: Relaxed, a statistic.
    args.nr_tasks = job.tasks.load(core::sync::atomic::Ordering::Relaxed);
    args.pid = job.creator_pid();
    args.uid = cpu::uid_here(job.uid);
    args.nr_cpus = cpus.len();
    args.comm = job.creator_comm();
    let usage = job.memory.usage();
    args.mem_promised = usage.promised.saturating_mul(BLOCK_BYTES);
    args.mem_used = usage.used.saturating_mul(BLOCK_BYTES);
    args.mem_spilled = job.memory.spilled().saturating_mul(FRAME_BYTES);
    write_cpus(&cpus, args.cpus_ptr, args.nr_bits)
}

/// Whether the caller may see what the threads of a job do.
fn may_see(job: &Job) -> bool {
    job.is_callers() || cpu::may_watch()
}

fn possible_cpu(number: u32) -> Result<CpuId> {
    CpuId::new(number)
        .filter(|cpu| cpu::possible().contains(*cpu))
        .ok_or(code::ENOENT)
}

/// Records that one call writes at most, so that it comes to an end while new ones come.
// CAST: some hundred.
const NOISE_ROOM: u32 = NOISE_RECORDS as u32;

fn noise_read(args: &mut NoiseRead) -> Result {
    require_zero(&[args.flags.into(), args.reserved])?;
    let cpu = possible_cpu(args.cpu)?;
    let mut records = Records::new(args.records_ptr, args.nr.min(NOISE_ROOM))?;
    (args.nr, args.lost) = (0, 0);
    // The lock is not kept: records never go away, and copying them may take long.
    let is_lwk = STATE.lock_killable()?.table.owner(cpu).is_some();
    let Some(mut log) = Reader::new(cpu, args.next).filter(|_| is_lwk) else {
        return Ok(());
    };
    let may_watch = cpu::may_watch();
    // Those about jobs of other users are passed over, which must come to an end, too.
    for _ in 0..NOISE_ROOM {
        if records.is_full() {
            break;
        }
        let Some(Read { record, owner }) = log.next() else {
            break;
        };
        if may_watch || cpu::is_user(owner) {
            records.push(&record)?;
            args.nr += 1;
        }
    }
    (args.next, args.lost) = (log.next, log.lost);
    Ok(())
}

fn cpu_get(args: &mut CpuGet) -> Result {
    require_zero(&[args.flags.into(), args.reserved.into()])?;
    let cpu = possible_cpu(args.cpu)?;
    let mut state = STATE.lock_killable()?;
    let job = state.table.job_of(cpu);
    // Nobody's, if no job has it.
    let holder = job.and_then(|job| job::find(&mut state, job.get()));
    let is_told = holder.map_or(true, |job| may_see(&job));
    let table = &state.table;
    let (owner, served) = (table.owner(cpu), table.serves(cpu));
    let size = args.size;
    *args = CpuGet {
        size,
        cpu: cpu.get(),
        node: cpu::node(cpu),
        ..CpuGet::default()
    };
    args.partition = owner.or(served).map_or(0, PartitionId::get);
    args.job = job.map_or(0, JobId::get);
    if served.is_some() {
        args.flags |= CPU_SERVICE;
    }
    if cpu::is_online(cpu) {
        args.flags |= CPU_ONLINE;
    }
    if owner.is_some() && is_told {
        noise::report(cpu, args);
    } else if owner.is_some() {
        args.flags |= CPU_UNTOLD;
    }
    Ok(())
}
