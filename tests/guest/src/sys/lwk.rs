// SPDX-License-Identifier: GPL-2.0
//! `/dev/lwk` without the tools' library, so that the tests can also say what no sane program would.
//!
//! Every argument travels in a page of its own. The kernel never writes more than a structure of the ABI, so no
//! `size` that a test invents can make it write outside.

use core::ffi::c_void;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result};
use lwk_logic::uapi;
use rustix::io::Errno;
use rustix::ioctl::{ioctl, Ioctl, IoctlOutput, Opcode};

use super::PAGE;

/// Result of an ioctl.
pub(crate) type IoResult<T> = core::result::Result<T, Errno>;

/// A page that holds the argument structure at its beginning.
#[repr(C, align(4096))]
struct ArgPage([u8; PAGE]);

struct Request {
    code: u32,
    arg: *mut c_void,
}

// SAFETY: `opcode` is what the caller asked for and `as_ptr` the page or the bad address that goes with it;
// `IS_MUTATING` is true, so the kernel may write through it.
unsafe impl Ioctl for Request {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.code
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.arg
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> IoResult<()> {
        Ok(())
    }
}

/// A structure of the ABI as plain bytes.
///
/// # Safety
///
/// The type has no padding and any bytes are a valid value of it.
pub(crate) unsafe trait Abi: Copy + Default {}
macro_rules! abi {
    ($($name:ident),*) => { $(
        // SAFETY: A `repr(C)` structure of integers and integer arrays, whose fields add up to its asserted size.
        unsafe impl Abi for uapi::$name {}
    )* };
}
abi!(
    Info,
    PartitionGet,
    PartitionCreate,
    PartitionResize,
    PartitionDelete,
    JobCreate,
    JobEnter,
    JobGet,
    CpuGet,
    NoiseRead,
    MemGet,
    PartitionPolicy,
    CallTable,
    CallsRead
);

/// Opens the device.
pub(crate) fn open() -> Result<File> {
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(uapi::DEVICE_PATH)
        .context(uapi::DEVICE_PATH)
}

/// Issues `code` with `arg`, followed by `tail` bytes for the kernel to find when `size` promises more.
///
/// # Safety
///
/// Every pointer in `arg` to which `code` writes must be 0, invalid, or point to as many bits as `arg` says.
unsafe fn call<T: Abi>(fd: BorrowedFd<'_>, code: u32, arg: &mut T, tail: &[u8]) -> IoResult<()> {
    let mut page = Box::new(ArgPage([0; PAGE]));
    let size = size_of::<T>();
    let at = page.0.as_mut_ptr();
    // SAFETY: A page is larger than any structure of the ABI and is aligned for it.
    unsafe { at.cast::<T>().write(*arg) };
    if let Some(room) = page.0.get_mut(size..size + tail.len()) {
        room.copy_from_slice(tail);
    }
    let request = Request {
        code,
        arg: at.cast(),
    };
    // SAFETY: The page outlives the call and is larger than what the kernel writes; the caller vouches for pointers.
    let result = unsafe { ioctl(fd, request) };
    // SAFETY: The page still holds a value of this type: what went in, or what the kernel made of it.
    *arg = unsafe { at.cast::<T>().read() };
    result
}

/// Fills in `size`, the field with which every structure begins.
pub(crate) fn size_of_abi<T: Abi>() -> u32 {
    u32::try_from(size_of::<T>()).unwrap_or(u32::MAX)
}

/// Reads what the kernel offers; the fields of `arg` go in as they are.
pub(crate) fn info(fd: &impl AsFd, arg: &mut uapi::Info, tail: &[u8]) -> IoResult<()> {
    // SAFETY: The structure holds no pointer.
    unsafe { call(fd.as_fd(), uapi::IOC_INFO, arg, tail) }
}

/// Reads one CPU.
pub(crate) fn cpu_get(fd: &impl AsFd, arg: &mut uapi::CpuGet) -> IoResult<()> {
    // SAFETY: The structure holds no pointer.
    unsafe { call(fd.as_fd(), uapi::IOC_CPU_GET, arg, &[]) }
}

/// Reads the log of a CPU; `records` replaces `records_ptr` and `nr`.
pub(crate) fn noise_read(
    fd: &impl AsFd,
    arg: &mut uapi::NoiseRead,
    records: &mut [uapi::NoiseRecord],
) -> IoResult<()> {
    // CAST: pointers have 64 bits here and travel as `u64` in the ABI.
    arg.records_ptr = records.as_mut_ptr() as u64;
    arg.nr = u32::try_from(records.len()).unwrap_or(0);
    // SAFETY: `records` is borrowed for the call and as long as `nr` says.
    unsafe { call(fd.as_fd(), uapi::IOC_NOISE_READ, arg, &[]) }
}

/// Reads the log of a CPU to where the kernel cannot write.
pub(crate) fn noise_read_to_nowhere(fd: &impl AsFd, cpu: u32) -> IoResult<()> {
    let mut arg = uapi::NoiseRead {
        size: size_of_abi::<uapi::NoiseRead>(),
        cpu,
        nr: 1,
        records_ptr: BAD_ADDRESSES[0],
        ..Default::default()
    };
    // SAFETY: The pointer is one that no mapping can have.
    unsafe { call(fd.as_fd(), uapi::IOC_NOISE_READ, &mut arg, &[]) }
}

/// Reserves CPUs. Any `cpus_ptr` is allowed because the kernel only reads from it.
pub(crate) fn job_create(fd: &impl AsFd, arg: &mut uapi::JobCreate, tail: &[u8]) -> IoResult<()> {
    // SAFETY: The kernel writes to none of its pointers.
    unsafe { call(fd.as_fd(), uapi::IOC_JOB_CREATE, arg, tail) }
}

/// Enters a job.
pub(crate) fn job_enter(fd: &impl AsFd, arg: &mut uapi::JobEnter, tail: &[u8]) -> IoResult<()> {
    // SAFETY: The structure holds no pointer.
    unsafe { call(fd.as_fd(), uapi::IOC_JOB_ENTER, arg, tail) }
}

/// Reads one job and its CPUs; `cpus` replaces `cpus_ptr` and `nr_bits`.
pub(crate) fn job_get(fd: &impl AsFd, arg: &mut uapi::JobGet, cpus: &mut [u64]) -> IoResult<()> {
    (arg.cpus_ptr, arg.nr_bits) = target(cpus);
    // SAFETY: `cpus` is borrowed for the call and as long as `nr_bits` says.
    unsafe { call(fd.as_fd(), uapi::IOC_JOB_GET, arg, &[]) }
}

/// Reads one partition, its CPUs and its service CPUs; the slices replace pointers and `nr_bits`.
pub(crate) fn partition_get(
    fd: &impl AsFd,
    arg: &mut uapi::PartitionGet,
    cpus: &mut [u64],
    service: &mut [u64],
) -> IoResult<()> {
    assert_eq!(cpus.len(), service.len());
    (arg.cpus_ptr, arg.nr_bits) = target(cpus);
    (arg.service_ptr, _) = target(service);
    // SAFETY: Both slices are borrowed for the call and as long as `nr_bits` says.
    unsafe { call(fd.as_fd(), uapi::IOC_PARTITION_GET, arg, &[]) }
}

/// Makes a partition; the slices replace pointers and `nr_bits`.
pub(crate) fn partition_create(
    fd: &impl AsFd,
    arg: &mut uapi::PartitionCreate,
    cpus: &[u64; 1],
    service: &[u64; 1],
) -> IoResult<()> {
    // CAST: pointers have 64 bits here and travel as `u64` in the ABI.
    (arg.cpus_ptr, arg.service_ptr) = (cpus.as_ptr() as u64, service.as_ptr() as u64);
    arg.nr_bits = 64;
    // SAFETY: The kernel writes to none of its pointers.
    unsafe { call(fd.as_fd(), uapi::IOC_PARTITION_CREATE, arg, &[]) }
}

/// Changes a partition; the slices replace pointers and `nr_bits`.
pub(crate) fn partition_resize(
    fd: &impl AsFd,
    arg: &mut uapi::PartitionResize,
    add: &[u64; 1],
    remove: &[u64; 1],
) -> IoResult<()> {
    // CAST: as above.
    (arg.add_ptr, arg.remove_ptr) = (add.as_ptr() as u64, remove.as_ptr() as u64);
    arg.nr_bits = 64;
    // SAFETY: The kernel writes to none of its pointers.
    unsafe { call(fd.as_fd(), uapi::IOC_PARTITION_RESIZE, arg, &[]) }
}

/// Makes a partition with memory, the amounts of which the kernel may change.
pub(crate) fn partition_create_with(
    fd: &impl AsFd,
    arg: &mut uapi::PartitionCreate,
    cpus: &[u64; 1],
    service: &[u64; 1],
    memory: &mut [uapi::MemShare],
) -> IoResult<()> {
    // CAST: pointers have 64 bits here and travel as `u64` in the ABI.
    (arg.cpus_ptr, arg.service_ptr) = (cpus.as_ptr() as u64, service.as_ptr() as u64);
    arg.nr_bits = 64;
    (arg.mem_ptr, arg.nr_mem) = amounts(memory);
    // SAFETY: `memory` is borrowed for the call and as long as `nr_mem` says; the kernel writes to no other pointer.
    unsafe { call(fd.as_fd(), uapi::IOC_PARTITION_CREATE, arg, &[]) }
}

/// Changes a partition and its memory.
pub(crate) fn partition_resize_with(
    fd: &impl AsFd,
    arg: &mut uapi::PartitionResize,
    add: &[u64; 1],
    remove: &[u64; 1],
    memory: &mut [uapi::MemShare],
) -> IoResult<()> {
    // CAST: as above.
    (arg.add_ptr, arg.remove_ptr) = (add.as_ptr() as u64, remove.as_ptr() as u64);
    arg.nr_bits = 64;
    (arg.mem_ptr, arg.nr_mem) = amounts(memory);
    // SAFETY: `memory` is borrowed for the call and as long as `nr_mem` says; the kernel writes to no other pointer.
    unsafe { call(fd.as_fd(), uapi::IOC_PARTITION_RESIZE, arg, &[]) }
}

/// Reads the pool of a node.
pub(crate) fn mem_get(fd: &impl AsFd, arg: &mut uapi::MemGet) -> IoResult<()> {
    // SAFETY: The structure holds no pointer.
    unsafe { call(fd.as_fd(), uapi::IOC_MEM_GET, arg, &[]) }
}

/// Reads or sets the policy of a partition; `regions` replaces the array that `arg` names, unless that is bad already.
pub(crate) fn partition_policy(
    fd: &impl AsFd,
    arg: &mut uapi::PartitionPolicy,
    regions: &mut [uapi::MemRegion; uapi::NR_MEM_REGIONS],
) -> IoResult<()> {
    if !BAD_ADDRESSES.contains(&arg.regions_ptr) {
        // CAST: as above.
        arg.regions_ptr = regions.as_mut_ptr() as u64;
    }
    // SAFETY: The array is borrowed for the call and has as many elements as the kernel ever writes, or its address is
    // invalid.
    unsafe { call(fd.as_fd(), uapi::IOC_PARTITION_POLICY, arg, &[]) }
}

/// Reads or sets where system calls are carried out.
pub(crate) fn call_table(fd: &impl AsFd, arg: &mut uapi::CallTable) -> IoResult<()> {
    call_table_with(fd, arg, &[])
}

/// The same with bytes behind the structure.
pub(crate) fn call_table_with(
    fd: &impl AsFd,
    arg: &mut uapi::CallTable,
    tail: &[u8],
) -> IoResult<()> {
    // SAFETY: The structure holds no pointer.
    unsafe { call(fd.as_fd(), uapi::IOC_CALL_TABLE, arg, tail) }
}

/// Reads how often calls were made; `records` replaces the array that `arg` names, unless that is bad already.
pub(crate) fn calls_read(
    fd: &impl AsFd,
    arg: &mut uapi::CallsRead,
    records: &mut [uapi::CallRecord],
) -> IoResult<()> {
    if !BAD_ADDRESSES.contains(&arg.records_ptr) {
        // CAST: as above.
        arg.records_ptr = records.as_mut_ptr() as u64;
    }
    arg.nr = u32::try_from(records.len()).unwrap_or(0);
    // SAFETY: The array is borrowed for the call and as long as `nr` says, or its address is invalid.
    unsafe { call(fd.as_fd(), uapi::IOC_CALLS_READ, arg, &[]) }
}

/// Address and length of amounts of memory, or nulls for none.
fn amounts(memory: &mut [uapi::MemShare]) -> (u64, u32) {
    if memory.is_empty() {
        return (0, 0);
    }
    // CAST: pointers have 64 bits here and travel as `u64` in the ABI.
    (
        memory.as_mut_ptr() as u64,
        u32::try_from(memory.len()).unwrap_or(0),
    )
}

/// Ends a partition.
pub(crate) fn partition_delete(fd: &impl AsFd, arg: &mut uapi::PartitionDelete) -> IoResult<()> {
    // SAFETY: The structure holds no pointer.
    unsafe { call(fd.as_fd(), uapi::IOC_PARTITION_DELETE, arg, &[]) }
}

/// Reads the first partition with a CPU set pointer that the kernel cannot write to.
pub(crate) fn partition_get_to_nowhere(fd: &impl AsFd) -> IoResult<()> {
    let mut arg = uapi::PartitionGet {
        size: size_of_abi::<uapi::PartitionGet>(),
        id: 1,
        nr_bits: 1024,
        cpus_ptr: BAD_ADDRESSES[0],
        ..Default::default()
    };
    // SAFETY: The pointer is one that no mapping can have.
    unsafe { call(fd.as_fd(), uapi::IOC_PARTITION_GET, &mut arg, &[]) }
}

/// Issues a request whose code the ABI does not define.
pub(crate) fn unknown(fd: &impl AsFd, code: u32) -> IoResult<()> {
    assert!(uapi::OPS.iter().all(|op| op.code != code));
    // SAFETY: Whatever the kernel made of the code, it would find zeros: no pointer but 0.
    unsafe { call(fd.as_fd(), code, &mut uapi::CpuGet::default(), &[]) }
}

/// Addresses no mapping can have: page zero, a non-canonical one, one of the kernel.
pub(crate) const BAD_ADDRESSES: [u64; 3] = [8, 1 << 47, 0xffff_8880_0000_1000];

/// Issues `code` with an argument that lies at one of [`BAD_ADDRESSES`].
pub(crate) fn bad_argument(fd: &impl AsFd, code: u32, which: usize) -> IoResult<()> {
    // CAST: x86-64 only; the addresses have 64 bits.
    let arg = core::ptr::without_provenance_mut(BAD_ADDRESSES[which] as usize);
    // SAFETY: No user mapping exists there, so the kernel can write nothing of ours.
    unsafe { ioctl(fd.as_fd(), Request { code, arg }) }
}

/// Address and bit count of a slice that the kernel fills, or nulls for an empty one.
fn target(words: &mut [u64]) -> (u64, u32) {
    if words.is_empty() {
        return (0, 0);
    }
    // CAST: pointers have 64 bits here and travel as `u64` in the ABI.
    (
        words.as_mut_ptr() as u64,
        u32::try_from(words.len() * 64).unwrap_or(0),
    )
}
