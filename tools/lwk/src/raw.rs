// SPDX-License-Identifier: GPL-2.0
//! The ioctls as safe functions: the only unsafe code of the tools.
//!
//! Each function builds the whole argument itself, so that no pointer comes from a caller.
#![expect(
    unsafe_code,
    reason = "an ioctl is a promise about memory that only the caller can make"
)]

use std::os::fd::BorrowedFd;

use lwk_logic::logic::cpuset::CpuSet;
use lwk_logic::uapi::{
    self, CallRecord, CallTable, CallsRead, CpuGet, Info, JobCreate, JobEnter, JobGet, MemGet,
    MemShare, NoiseRead, NoiseRecord, PartitionCreate, PartitionDelete, PartitionGet,
    PartitionPolicy, PartitionResize, MAX_CALLS, MAX_CPUS, NAME_LEN, NOISE_RECORDS,
};
use rustix::io::Errno;
use rustix::ioctl::{ioctl, Updater};

use lwk_logic::logic::mempolicy::Policy;

use crate::calls::CallPolicy;
use crate::device::Target;
use crate::memory::{Amount, MemoryWish};

/// 64-bit words of the largest CPU set.
pub(crate) const WORDS: usize = MAX_CPUS / 64;

/// A CPU set as it crosses the ABI.
pub(crate) type Words = [u64; WORDS];

macro_rules! requests {
    ($($name:ident: $code:ident($ty:ident);)*) => {$(
        /// # Safety
        ///
        /// Each `*_ptr` field of `value` is 0 or points to `nr_bits` bits, `nr` records or `nr_mem`
        /// amounts, that the kernel may access.
        unsafe fn $name(fd: BorrowedFd<'_>, value: &mut $ty) -> Result<(), Errno> {
            // SAFETY: The ABI table pairs this request code with this structure.
            let call = unsafe { Updater::<{ uapi::$code }, $ty>::new(value) };
            // SAFETY: By the function's contract, and because the size is part of the request code, the kernel
            // touches nothing but `value` and the buffers it names.
            unsafe { ioctl(fd, call) }
        }
    )*};
}

requests! {
    call_info: IOC_INFO(Info);
    call_partition_get: IOC_PARTITION_GET(PartitionGet);
    call_job_create: IOC_JOB_CREATE(JobCreate);
    call_job_enter: IOC_JOB_ENTER(JobEnter);
    call_job_get: IOC_JOB_GET(JobGet);
    call_cpu_get: IOC_CPU_GET(CpuGet);
    call_noise_read: IOC_NOISE_READ(NoiseRead);
    call_partition_create: IOC_PARTITION_CREATE(PartitionCreate);
    call_partition_resize: IOC_PARTITION_RESIZE(PartitionResize);
    call_partition_delete: IOC_PARTITION_DELETE(PartitionDelete);
    call_mem_get: IOC_MEM_GET(MemGet);
    call_partition_policy: IOC_PARTITION_POLICY(PartitionPolicy);
    call_call_table: IOC_CALL_TABLE(CallTable);
    call_calls_read: IOC_CALLS_READ(CallsRead);
}

/// What the `size` field of a structure of type `T` says.
const fn abi_size<T>() -> u32 {
    // CAST: the ABI's structures have at most some hundred bytes.
    std::mem::size_of::<T>() as u32
}

/// Bits of [`Words`].
// CAST: `MAX_CPUS` is far smaller than `u32::MAX`.
const NR_BITS: u32 = MAX_CPUS as u32;

/// A buffer's address as it crosses the ABI.
fn address(words: &mut Words) -> u64 {
    // CAST: `usize` is never wider than 64 bits on Linux.
    words.as_mut_ptr().expose_provenance() as u64
}

/// A set as it crosses the ABI.
fn words(set: &CpuSet) -> Words {
    let mut words = [0; WORDS];
    words
        .iter_mut()
        .zip(set.words())
        .for_each(|(to, from)| *to = *from);
    words
}

/// Reads what the kernel offers.
pub(crate) fn info(fd: BorrowedFd<'_>) -> Result<Info, Errno> {
    let mut arg = Info {
        size: abi_size::<Info>(),
        ..Info::default()
    };
    // SAFETY: The structure names no buffer.
    unsafe { call_info(fd, &mut arg) }?;
    Ok(arg)
}

/// Reads the partition with the smallest id that is at least `id`, its LWK CPUs and its service CPUs.
pub(crate) fn partition_get(
    fd: BorrowedFd<'_>,
    id: u32,
) -> Result<(PartitionGet, Words, Words), Errno> {
    let (mut cpus, mut service) = ([0; WORDS], [0; WORDS]);
    let mut arg = PartitionGet {
        size: abi_size::<PartitionGet>(),
        id,
        nr_bits: NR_BITS,
        cpus_ptr: address(&mut cpus),
        service_ptr: address(&mut service),
        ..PartitionGet::default()
    };
    // SAFETY: Both buffers live past the call, are not otherwise borrowed and hold `nr_bits` bits.
    unsafe { call_partition_get(fd, &mut arg) }?;
    Ok((arg, cpus, service))
}

/// Reserves `cpus`, or `nr_cpus` of the kernel's choice without them, and returns the job's id.
pub(crate) fn job_create(
    fd: BorrowedFd<'_>,
    partition: u32,
    nr_cpus: u32,
    cpus: Option<&CpuSet>,
    mem_bytes: u64,
    policy: Option<&Policy>,
) -> Result<u32, Errno> {
    let mut cpus = cpus.map(words);
    let regions = policy.map(Policy::to_abi);
    let mut arg = JobCreate {
        mem_bytes,
        regions_ptr: regions
            .as_ref()
            .map_or(0, |regions| regions.as_ptr().expose_provenance() as u64),
        // CAST: Five.
        nr_regions: regions.map_or(0, |regions| regions.len() as u32),
        mem_flags: policy.map_or(0, Policy::flags),
        heap_step: policy.map_or(0, |policy| policy.heap_step),
        size: abi_size::<JobCreate>(),
        partition,
        nr_cpus,
        cpus_ptr: cpus.as_mut().map_or(0, address),
        nr_bits: if cpus.is_some() { NR_BITS } else { 0 },
        ..JobCreate::default()
    };
    // SAFETY: The buffer, if any, lives past the call and holds `nr_bits` bits, and so do the regions.
    unsafe { call_job_create(fd, &mut arg) }?;
    Ok(arg.job)
}

/// Moves the calling thread into the job of this descriptor.
pub(crate) fn job_enter(fd: BorrowedFd<'_>, job: u32) -> Result<(), Errno> {
    let mut arg = JobEnter {
        size: abi_size::<JobEnter>(),
        job,
        ..JobEnter::default()
    };
    // SAFETY: The structure names no buffer.
    unsafe { call_job_enter(fd, &mut arg) }
}

/// Reads the job with the smallest id that is at least `id`, and its CPUs.
pub(crate) fn job_get(fd: BorrowedFd<'_>, id: u32) -> Result<(JobGet, Words), Errno> {
    let mut cpus = [0; WORDS];
    let mut arg = JobGet {
        size: abi_size::<JobGet>(),
        id,
        cpus_ptr: address(&mut cpus),
        nr_bits: NR_BITS,
        ..JobGet::default()
    };
    // SAFETY: The buffer lives past the call, is not otherwise borrowed and holds `nr_bits` bits.
    unsafe { call_job_get(fd, &mut arg) }?;
    Ok((arg, cpus))
}

/// Reads one CPU.
pub(crate) fn cpu_get(fd: BorrowedFd<'_>, cpu: u32) -> Result<CpuGet, Errno> {
    let mut arg = CpuGet {
        size: abi_size::<CpuGet>(),
        cpu,
        ..CpuGet::default()
    };
    // SAFETY: The structure names no buffer.
    unsafe { call_cpu_get(fd, &mut arg) }?;
    Ok(arg)
}

/// Reads the disturbances of a CPU from number `next` on, as many as one call gives.
pub(crate) fn noise_read(
    fd: BorrowedFd<'_>,
    cpu: u32,
    next: u64,
) -> Result<(NoiseRead, Vec<NoiseRecord>), Errno> {
    let mut records = vec![NoiseRecord::default(); NOISE_RECORDS];
    let mut arg = NoiseRead {
        size: abi_size::<NoiseRead>(),
        cpu,
        next,
        // CAST: some hundred; `usize` is never wider than 64 bits on Linux.
        nr: NOISE_RECORDS as u32,
        records_ptr: records.as_mut_ptr().expose_provenance() as u64,
        ..NoiseRead::default()
    };
    // SAFETY: The buffer lives past the call, is not otherwise borrowed and holds `nr` records.
    unsafe { call_noise_read(fd, &mut arg) }?;
    // CAST: as above.
    records.truncate(arg.nr as usize);
    Ok((arg, records))
}

/// Reads the pool of the first node from `node` on; `flags` are `MEM_*`, `partition` may be 0.
pub(crate) fn mem_get(
    fd: BorrowedFd<'_>,
    node: u32,
    partition: u32,
    flags: u32,
) -> Result<MemGet, Errno> {
    let mut arg = MemGet {
        size: abi_size::<MemGet>(),
        flags,
        node,
        partition,
        ..MemGet::default()
    };
    // SAFETY: The structure names no buffer.
    unsafe { call_mem_get(fd, &mut arg) }?;
    Ok(arg)
}

/// Reads the memory policy of a partition, or sets it before; `EPROTO` if the kernel answers with what is no policy.
pub(crate) fn partition_policy(
    fd: BorrowedFd<'_>,
    id: u32,
    new: Option<&Policy>,
) -> Result<Policy, Errno> {
    let mut regions = new.map_or_else(Default::default, Policy::to_abi);
    let mut arg = PartitionPolicy {
        size: abi_size::<PartitionPolicy>(),
        flags: new.map_or(0, |_| uapi::POLICY_SET),
        id,
        mem_flags: new.map_or(0, Policy::flags),
        regions_ptr: regions.as_mut_ptr().expose_provenance() as u64,
        // CAST: Five.
        nr_regions: regions.len() as u32,
        heap_step: new.map_or(0, |policy| policy.heap_step),
        ..PartitionPolicy::default()
    };
    // SAFETY: The array lives past the call, is not otherwise borrowed and has `nr_regions` elements.
    unsafe { call_partition_policy(fd, &mut arg) }?;
    let mut policy = Policy::DEFAULT;
    let mut regions = regions.iter().enumerate();
    let is_known = regions.all(|(nr, region)| policy.set_from_abi(nr, region))
        && policy.set_flags(arg.mem_flags);
    policy.heap_step = arg.heap_step;
    is_known.then_some(policy).ok_or(Errno::PROTO)
}

/// Reads where system calls are carried out, or sets it before; `EPROTO` if the kernel answers with what is no policy.
pub(crate) fn call_table(
    fd: BorrowedFd<'_>,
    target: Target,
    new: Option<&CallPolicy>,
) -> Result<CallPolicy, Errno> {
    let (partition, job) = match target {
        Target::Partition(id) => (id, 0),
        Target::Job(id) => (0, id),
    };
    let mut arg = CallTable {
        size: abi_size::<CallTable>(),
        flags: new.map_or(0, |_| uapi::CALLS_SET),
        partition,
        job,
        ..new.map_or_else(CallTable::default, |policy| policy.to_abi())
    };
    // SAFETY: The structure names no buffer.
    unsafe { call_call_table(fd, &mut arg) }?;
    CallPolicy::from_abi(&arg).ok_or(Errno::PROTO)
}

/// Reads the calls of the thread of a job with the smallest number that is at least `tid`, or for 0 those of all.
pub(crate) fn calls_read(
    fd: BorrowedFd<'_>,
    job: u32,
    tid: u32,
) -> Result<(CallsRead, Vec<CallRecord>), Errno> {
    let mut records = vec![CallRecord::default(); MAX_CALLS];
    let mut arg = CallsRead {
        size: abi_size::<CallsRead>(),
        job,
        tid,
        // CAST: some hundred; `usize` is never wider than 64 bits on Linux.
        nr: MAX_CALLS as u32,
        records_ptr: records.as_mut_ptr().expose_provenance() as u64,
        ..CallsRead::default()
    };
    // SAFETY: The buffer lives past the call, is not otherwise borrowed and holds `nr` records.
    unsafe { call_calls_read(fd, &mut arg) }?;
    // CAST: as above.
    records.truncate(arg.nr as usize);
    Ok((arg, records))
}

/// Amounts of memory as they cross the ABI.
fn shares(memory: Option<&MemoryWish>) -> Vec<MemShare> {
    let amounts = memory.map_or(&[][..], MemoryWish::amounts);
    let share = |(node, amount): &(Option<u32>, Amount)| MemShare {
        node: node.unwrap_or(uapi::MEM_ANY_NODE),
        bytes: match amount {
            Amount::All => uapi::MEM_ALL,
            Amount::Bytes(bytes) => *bytes,
        },
        ..MemShare::default()
    };
    amounts.iter().map(share).collect()
}

/// Where they are and how many.
fn shares_address(shares: &mut [MemShare]) -> (u64, u32) {
    if shares.is_empty() {
        return (0, 0);
    }
    // CAST: `usize` is never wider than 64 bits on Linux; no list has more than some hundred elements.
    (
        shares.as_mut_ptr().expose_provenance() as u64,
        shares.len() as u32,
    )
}

/// Why the kernel did not change a partition.
#[derive(Debug, Clone)]
pub(crate) struct NotChanged {
    /// The error number.
    pub(crate) errno: Errno,
    /// The number of a [`uapi::Refusal`].
    pub(crate) refusal: u32,
    /// The CPU it is about, or the node; none if it is out of range.
    pub(crate) cpu: u32,
    /// The memory that was asked for, and what there was.
    pub(crate) memory: Vec<MemShare>,
}

/// Makes a partition and returns its id.
pub(crate) fn partition_create(
    fd: BorrowedFd<'_>,
    name: &[u8; NAME_LEN],
    cpus: &CpuSet,
    service: &CpuSet,
    memory: Option<&MemoryWish>,
) -> Result<u32, NotChanged> {
    let (mut cpus, mut service) = (words(cpus), words(service));
    let mut memory = shares(memory);
    let (mem_ptr, nr_mem) = shares_address(&mut memory);
    let mut arg = PartitionCreate {
        size: abi_size::<PartitionCreate>(),
        nr_bits: NR_BITS,
        cpus_ptr: address(&mut cpus),
        service_ptr: address(&mut service),
        name: *name,
        refused_cpu: u32::MAX,
        mem_ptr,
        nr_mem,
        ..PartitionCreate::default()
    };
    // SAFETY: The buffers live past the call, are not otherwise borrowed and hold `nr_bits` bits and `nr_mem` amounts.
    match unsafe { call_partition_create(fd, &mut arg) } {
        Ok(()) => Ok(arg.id),
        Err(errno) => Err(NotChanged {
            errno,
            refusal: arg.refusal,
            cpu: arg.refused_cpu,
            memory,
        }),
    }
}

/// Adds CPUs to a partition and removes others, and changes its memory.
pub(crate) fn partition_resize(
    fd: BorrowedFd<'_>,
    id: u32,
    add: &CpuSet,
    remove: &CpuSet,
    memory: Option<&MemoryWish>,
) -> Result<(), NotChanged> {
    let (mut add, mut remove) = (words(add), words(remove));
    let mut memory = shares(memory);
    let (mem_ptr, nr_mem) = shares_address(&mut memory);
    let mut arg = PartitionResize {
        size: abi_size::<PartitionResize>(),
        id,
        nr_bits: NR_BITS,
        add_ptr: address(&mut add),
        remove_ptr: address(&mut remove),
        refused_cpu: u32::MAX,
        mem_ptr,
        nr_mem,
        ..PartitionResize::default()
    };
    // SAFETY: The buffers live past the call, are not otherwise borrowed and hold `nr_bits` bits and `nr_mem` amounts.
    unsafe { call_partition_resize(fd, &mut arg) }.map_err(|errno| NotChanged {
        errno,
        refusal: arg.refusal,
        cpu: arg.refused_cpu,
        memory,
    })
}

/// Ends a partition.
pub(crate) fn partition_delete(fd: BorrowedFd<'_>, id: u32) -> Result<(), NotChanged> {
    let mut arg = PartitionDelete {
        size: abi_size::<PartitionDelete>(),
        id,
        refused_cpu: u32::MAX,
        ..PartitionDelete::default()
    };
    // SAFETY: The structure names no buffer.
    unsafe { call_partition_delete(fd, &mut arg) }.map_err(|errno| NotChanged {
        errno,
        refusal: arg.refusal,
        cpu: arg.refused_cpu,
        memory: Vec::new(),
    })
}
