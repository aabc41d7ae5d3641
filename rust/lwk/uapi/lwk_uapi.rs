// SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note
//! The ABI of `/dev/lwk`: ioctls, structures, limits and names.
//!
//! This is the single source. The kernel crate and the host crate `lwk-logic` compile this very file, and
//! `cargo xtask gen` derives the C header `lwk.h` and the ABI page from the tables below.
//!
//! Rules every structure follows: `size` first (what the caller's structure measures), then `flags`, padding is
//! explicit, called `reserved` and must be zero; integers have fixed width and pointers travel as `u64`, so that the
//! layout is the same for 32-bit programs. An unknown flag is `EINVAL`; a larger `size` whose tail is not zero is
//! `E2BIG`; a smaller `size` than version 1's is `EINVAL`.
//!
//! CPU sets cross as bitmaps: `cpus_ptr` points to 64-bit words, CPU `n` is bit `n % 64` of word `n / 64`, and
//! `nr_bits` (a multiple of 64) says how many bits the caller's buffer holds.

mod names;

pub use names::{EntryKind, IrqSource, RanKind, Refusal};

/// Version of this ABI; tools read it first and name both versions when they differ.
pub const ABI_VERSION: u32 = 1;

/// The device node through which everything passes.
pub const DEVICE_PATH: &str = "/dev/lwk";

/// The ioctl type byte (see `Documentation/userspace-api/ioctl/ioctl-number.rst` for the ones in use).
pub const IOC_MAGIC: u32 = 0xbc;

/// The largest number of logical CPUs the LWK manages; `CONFIG_NR_CPUS` must not be larger.
pub const MAX_CPUS: usize = 1024;

/// The largest number of partitions at one time.
pub const MAX_PARTITIONS: usize = 64;

/// Bytes of a partition name with its terminating NUL.
pub const NAME_LEN: usize = 32;

/// Bytes of a command name with its terminating NUL, as in `/proc/PID/comm`.
pub const COMM_LEN: usize = 16;

/// Slots for entry kinds in [`CpuGet`]; the ones past [`EntryKind::ALL`] read zero.
pub const ENTRY_SLOTS: usize = 8;

/// Slots for interrupt sources in [`CpuGet`]; the ones past [`IrqSource::ALL`] read zero.
pub const IRQ_SLOTS: usize = 24;

/// Bytes of the name of a kernel function with its terminating NUL; longer names are cut.
pub const SYMBOL_LEN: usize = 48;

/// Bytes of the name of a device's interrupt with its terminating NUL; longer names are cut.
pub const IRQ_NAME_LEN: usize = 32;

/// Disturbances that the log of one CPU holds; the oldest make room for new ones.
pub const NOISE_RECORDS: usize = 512;

/// A CPU, process or interrupt that is not known, in [`NoiseRecord`].
pub const NOISE_UNKNOWN: u32 = u32::MAX;

/// [`NoiseRecord::flags`]: found only later, by a counter; when it came is not known, nor whether in user mode.
pub const NOISE_LATE: u32 = 1 << 0;

/// [`NoiseRecord::flags`]: a signal waited for the thread as it was interrupted.
pub const NOISE_SIGNAL: u32 = 1 << 1;

/// [`NoiseRecord::flags`]: another task was to run as the thread was interrupted.
pub const NOISE_RESCHED: u32 = 1 << 2;

/// [`NoiseRecord::flags`]: the thread was to do work for the kernel before it went on (`task_work_add`).
pub const NOISE_TASK_WORK: u32 = 1 << 3;

/// [`NoiseRecord::flags`]: nobody was interrupted, but somebody, the guest, waited for this CPU for more than a second, a
/// kernel thread or a thread of the job; the sender had the CPU meanwhile, and the duration is the wait.
pub const NOISE_WAITED: u32 = 1 << 4;

/// [`PartitionGet::flags`]: the partition was made by `lwkcpus=` on the boot line.
pub const PARTITION_BOOT: u32 = 1 << 0;

/// The largest number of NUMA nodes that the LWK can have memory of; nodes with higher numbers stay with Linux.
pub const MAX_MEM_NODES: usize = 64;

/// [`MemShare::node`]: all nodes together that no other element names.
pub const MEM_ANY_NODE: u32 = u32::MAX;

/// [`MemShare::bytes`]: all that can be had.
pub const MEM_ALL: u64 = u64::MAX;

/// [`JobCreate::mem_bytes`]: none.
pub const MEM_NONE: u64 = u64::MAX - 1;

/// [`PartitionPolicy::flags`]: sets the policy.
pub const POLICY_SET: u32 = 1 << 0;

/// [`JobCreate::mem_flags`]: a mapping fails with `ENOMEM` where the job's memory does not suffice for it, instead of
/// taking memory of Linux.
pub const MEM_STRICT: u32 = 1 << 0;

/// [`JobCreate::mem_flags`]: `MADV_DONTNEED` does nothing: what is in memory stays there.
pub const MEM_KEEP_UNNEEDED: u32 = 1 << 1;

/// How many regions an address space has for [`JobCreate::regions_ptr`]: data and bss, heap, private anonymous mappings,
/// stacks of threads, main stack.
pub const NR_MEM_REGIONS: usize = 5;

/// [`MemRegion::flags`]: memory is taken as it is touched, and not when it is mapped.
pub const MEM_AT_TOUCH: u32 = 1 << 0;

/// [`MemRegion::placement`]: the nearest node that has some.
pub const MEM_NEAR: u32 = 0;

/// [`MemRegion::placement`]: each 2 MiB from another of the nodes in turn, by address.
pub const MEM_INTERLEAVE: u32 = 1;

/// [`MemRegion::placement`]: no other than the nodes, the nearest first.
pub const MEM_BIND: u32 = 2;

/// [`MemRegion::placement`]: the nodes first, then all others.
pub const MEM_PREFERRED: u32 = 3;

/// Memory is given to partitions in blocks of so many bytes; amounts are rounded up to them.
pub const MEM_BLOCK_BYTES: u64 = 2 << 20;

/// [`MemGet::flags`]: also look what Linux could give, which takes a while; needs `CAP_SYS_ADMIN`.
pub const MEM_SURVEY: u32 = 1 << 0;

/// [`MemGet::flags`]: also check all tables of the pool; `EUCLEAN` if they contradict, and a line in the kernel log says
/// where. Needs `CAP_SYS_ADMIN`.
pub const MEM_CHECK: u32 = 1 << 1;

/// Numbers of system calls that a [`CallTable`] tells of; higher ones are carried out where they are made.
pub const MAX_CALLS: usize = 512;

/// [`CallRecord::call`]: not a call, but page faults that read a file.
pub const CALL_FAULT: u32 = 511;

/// [`CallTable::flags`]: sets the table.
pub const CALLS_SET: u32 = 1 << 0;

/// [`CallTable::options`]: no other thread gets the CPU of a thread whose call was moved, so that it
/// returns at once; for 3 ms at most.
pub const CALLS_EXCLUSIVE: u32 = 1 << 0;

/// [`CallTable::options`]: the time that calls take is measured, also of those that are not moved.
pub const CALLS_TIMED: u32 = 1 << 1;

/// [`CallTable::options`]: a CPU whose thread is away does not halt meanwhile.
pub const CALLS_POLL: u32 = 1 << 2;

/// [`CallTable::batch_ns`]: at most this.
pub const MAX_BATCH_NS: u32 = 1_000_000;

/// [`CpuGet::flags`]: the CPU serves a partition as its Linux service CPU.
pub const CPU_SERVICE: u32 = 1 << 0;

/// [`CpuGet::flags`]: the CPU is on line.
pub const CPU_ONLINE: u32 = 1 << 1;

/// [`CpuGet::flags`]: what happens on the CPU is not told, as a job of another user has it: all counts are zero.
pub const CPU_UNTOLD: u32 = 1 << 2;

/// One field of a structure, for the generators.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its Rust type as text: `u32`, `u64` or `[u8; NAME_LEN]` and the like.
    pub ty: &'static str,
    /// Its documentation, a line per element.
    pub doc: &'static [&'static str],
}

/// One structure, for the generators.
#[derive(Debug, Clone, Copy)]
pub struct Struct {
    /// Its Rust name.
    pub name: &'static str,
    /// Its size in bytes.
    pub size: usize,
    /// Its documentation, a line per element.
    pub doc: &'static [&'static str],
    /// Its fields in order.
    pub fields: &'static [Field],
}

/// The value with which all fields of a structure start; `Default` ends at arrays of 32 elements.
trait Zero {
    const ZERO: Self;
}

impl Zero for u32 {
    const ZERO: Self = 0;
}

impl Zero for u64 {
    const ZERO: Self = 0;
}

impl<T: Zero + Copy, const N: usize> Zero for [T; N] {
    const ZERO: Self = [T::ZERO; N];
}

impl Zero for u8 {
    const ZERO: Self = 0;
}

macro_rules! uapi_structs {
    ($(
        $(#[doc = $doc:literal])*
        struct $name:ident($size:literal) {
            $( $(#[doc = $fdoc:literal])* $field:ident: $ty:ty, )*
        }
    )*) => {
        $(
            $(#[doc = $doc])*
            #[repr(C)]
            #[derive(Debug, Clone, Copy)]
            pub struct $name {
                $( $(#[doc = $fdoc])* pub $field: $ty, )*
            }
            impl Default for $name {
                fn default() -> Self {
                    Self { $( $field: Zero::ZERO, )* }
                }
            }
            const _: () = assert!(core::mem::size_of::<$name>() == $size);
        )*
        /// Every structure of the ABI.
        pub const STRUCTS: &[Struct] = &[$(
            Struct {
                name: stringify!($name),
                size: $size,
                doc: &[$($doc),*],
                fields: &[$( Field { name: stringify!($field), ty: stringify!($ty), doc: &[$($fdoc),*] } ),*],
            }
        ),*];
    };
}

uapi_structs! {
    /// What this kernel offers.
    struct Info(32) {
        /// Bytes of the caller's structure.
        size: u32,
        /// Must be zero.
        flags: u32,
        /// Out: [`ABI_VERSION`] of the kernel.
        abi_version: u32,
        /// Out: one more than the highest possible CPU number.
        nr_cpu_ids: u32,
        /// Out: partitions that exist.
        nr_partitions: u32,
        /// Out: jobs that exist.
        nr_jobs: u32,
        /// Out: 1 if the boot line had `lwkcpus=`, so that CPUs can be taken without a reboot.
        armed: u32,
        /// Must be zero.
        reserved: u32,
    }
    /// One partition. Walk all of them by starting with `id` 1 and adding one to what came back, until `ENOENT`.
    struct PartitionGet(80) {
        /// Bytes of the caller's structure.
        size: u32,
        /// In: must be zero. Out: `PARTITION_*`.
        flags: u32,
        /// In: the smallest id wanted. Out: the id found; ids start at 1.
        id: u32,
        /// Bits of each of the two CPU sets.
        nr_bits: u32,
        /// Where the LWK CPUs go, or 0.
        cpus_ptr: u64,
        /// Where the Linux service CPUs go, or 0.
        service_ptr: u64,
        /// Out: how many LWK CPUs it has.
        nr_cpus: u32,
        /// Out: how many of them no job holds.
        nr_free: u32,
        /// Out: how many jobs it runs.
        nr_jobs: u32,
        /// Must be zero.
        reserved: u32,
        /// Out: its name, NUL-terminated.
        name: [u8; NAME_LEN],
    }
    /// Reserves CPUs for a job. The reservation lives until both this file descriptor (with all its duplicates) is
    /// closed and the last task of the job has exited. One descriptor reserves one job.
    struct JobCreate(64) {
        /// Bytes of the caller's structure.
        size: u32,
        /// Must be zero.
        flags: u32,
        /// The partition to take from, or 0 for the first that can serve the request.
        partition: u32,
        /// With `cpus_ptr` 0: how many CPUs, 0 for all that are free. Else must be zero.
        nr_cpus: u32,
        /// The exact CPUs wanted, or 0 to let the kernel choose.
        cpus_ptr: u64,
        /// Bits of the CPU set.
        nr_bits: u32,
        /// Out: the job's id, never 0 and not reused.
        job: u32,
        /// Bytes of the partition's memory, rounded up to whole blocks, or `MEM_ALL` or `MEM_NONE`; 0 for as large a
        /// part of what no job was promised as the job gets of the CPUs that are free.
        mem_bytes: u64,
        /// How its regions are backed: an array of `MemRegion`, or 0 for the policy of the partition.
        regions_ptr: u64,
        /// Elements of that array: `NR_MEM_REGIONS` or 0.
        nr_regions: u32,
        /// `MEM_STRICT`, `MEM_KEEP_UNNEEDED`. Without an array must be zero.
        mem_flags: u32,
        /// Bytes that the heap takes at once, so that it grows in few steps; 0 for 2 MiB. Without an array must be zero.
        heap_step: u64,
    }
    /// Reads, or with `POLICY_SET` sets, how the memory of a partition's jobs is backed where they do not say so
    /// themselves. A new partition has 2 MiB pages from the nearest node, at once but for stacks.
    struct PartitionPolicy(40) {
        /// Bytes of the caller's structure.
        size: u32,
        /// 0 or `POLICY_SET`, which needs `CAP_SYS_ADMIN`.
        flags: u32,
        /// The partition.
        id: u32,
        /// In or out: `MEM_STRICT`, `MEM_KEEP_UNNEEDED`.
        mem_flags: u32,
        /// The array of `MemRegion` to read or to fill.
        regions_ptr: u64,
        /// Its elements: `NR_MEM_REGIONS`.
        nr_regions: u32,
        /// Must be zero.
        reserved: u32,
        /// In or out: bytes that the heap takes at once; 0 for 2 MiB.
        heap_step: u64,
    }
    /// How a region of an address space is backed.
    struct MemRegion(40) {
        /// The largest page, 4 KiB times two to this power: 0, 9 or 18.
        order: u32,
        /// `MEM_AT_TOUCH`.
        flags: u32,
        /// `MEM_NEAR`, `MEM_INTERLEAVE`, `MEM_BIND` or `MEM_PREFERRED`.
        placement: u32,
        /// Must be zero.
        reserved: u32,
        /// The nodes that `placement` is about, a bit for each. With `MEM_INTERLEAVE` 0 means all.
        nodes: u64,
        /// Mappings of at least so many bytes begin at a multiple of `align`.
        align_from: u64,
        /// A power of two, at least 4 KiB.
        align: u64,
    }
    /// Moves the calling thread into the job of this file descriptor. The caller must be the only thread of its process,
    /// and have neither `SCHED_DEADLINE` nor a cookie of core scheduling (`EPERM`). From here on it, and all that it forks,
    /// runs on the job's CPUs.
    struct JobEnter(16) {
        /// Bytes of the caller's structure.
        size: u32,
        /// Must be zero.
        flags: u32,
        /// The job's id as `JobCreate` gave it.
        job: u32,
        /// Must be zero.
        reserved: u32,
    }
    /// One job. Walk all of them by starting with `id` 1 and adding one to what came back, until `ENOENT`.
    struct JobGet(88) {
        /// Bytes of the caller's structure.
        size: u32,
        /// Must be zero.
        flags: u32,
        /// In: the smallest id wanted. Out: the id found.
        id: u32,
        /// Out: the partition it runs in.
        partition: u32,
        /// Out: its live tasks (threads).
        nr_tasks: u32,
        /// Out: the process that created it, as the caller's pid namespace numbers it, or 0.
        pid: u32,
        /// Out: user id of that process, as the caller's user namespace numbers it.
        uid: u32,
        /// Out: how many CPUs it holds.
        nr_cpus: u32,
        /// Where its CPUs go, or 0.
        cpus_ptr: u64,
        /// Bits of the CPU set.
        nr_bits: u32,
        /// Must be zero.
        reserved: u32,
        /// Out: command name of that process as of now, NUL-terminated; empty once it is gone, or if `pid` is 0.
        comm: [u8; COMM_LEN],
        /// Out: bytes of memory that it was promised.
        mem_promised: u64,
        /// Out: how many of these are in use, in whole blocks.
        mem_used: u64,
        /// Out: bytes that came from Linux instead, since the job began; what went back since counts, too.
        mem_spilled: u64,
    }
    /// One CPU with its counters. `ENOENT` past the last possible CPU. All counts are since the CPU joined its
    /// partition and zero for a CPU of Linux. Those of a CPU that another user's job has are for `CAP_PERFMON` only.
    struct CpuGet(360) {
        /// Bytes of the caller's structure.
        size: u32,
        /// In: must be zero. Out: `CPU_*`.
        flags: u32,
        /// In: the CPU.
        cpu: u32,
        /// Out: its NUMA node.
        node: u32,
        /// Out: the partition that owns it (or that it serves, with `CPU_SERVICE`), or 0 for Linux.
        partition: u32,
        /// Out: the job that holds it, or 0.
        job: u32,
        /// Out: tasks of the LWK class that are queued or running on it.
        nr_running: u32,
        /// Must be zero.
        reserved: u32,
        /// Out: entries into the kernel from user mode, one slot for each `EntryKind`.
        entries: [u64; ENTRY_SLOTS],
        /// Out: interrupts taken in whatever mode, one slot for each `IrqSource`.
        irqs: [u64; IRQ_SLOTS],
        /// Out: context switches of LWK tasks.
        switches: u64,
        /// Out: times that a task of Linux (a per-CPU kthread) got the CPU while an LWK task wanted it.
        guest_runs: u64,
        /// Out: nanoseconds that those took.
        guest_ns: u64,
        /// Out: times that the CPU, coming from user mode, did what it would else have been interrupted for.
        caught_up: u64,
        /// Out: reserved for later counters, zero.
        spare: [u64; 2],
        /// Out: command name of the last such task, NUL-terminated.
        guest_comm: [u8; COMM_LEN],
        /// Out: page faults of LWK tasks on this CPU.
        faults: u64,
    }
    /// Takes CPUs and memory from Linux and makes a partition of them. Needs `CAP_SYS_ADMIN`, as all changes of partitions do. On
    /// an error nothing has changed, and `refusal` says more than the error number, if it could be written back.
    struct PartitionCreate(88) {
        /// Bytes of the caller's structure.
        size: u32,
        /// Must be zero.
        flags: u32,
        /// Out: the partition's id.
        id: u32,
        /// Bits of each of the two CPU sets.
        nr_bits: u32,
        /// The LWK CPUs.
        cpus_ptr: u64,
        /// The Linux service CPUs, or 0 for none.
        service_ptr: u64,
        /// Its name, NUL-terminated: letters, digits, `-`, `_` and `.`, not beginning with `-`; unique.
        name: [u8; NAME_LEN],
        /// Out: a `Refusal`.
        refusal: u32,
        /// Out: the CPU, or for memory the NUMA node, that `refusal` is about.
        refused_cpu: u32,
        /// What memory it is to have: an array of `MemShare`, or 0 for none.
        mem_ptr: u64,
        /// Elements of that array.
        nr_mem: u32,
        /// Must be zero.
        reserved: u32,
    }
    /// Adds CPUs to a partition and takes others, which no job holds, away from it; changes its memory. Running jobs keep
    /// what they have.
    struct PartitionResize(56) {
        /// Bytes of the caller's structure.
        size: u32,
        /// Must be zero.
        flags: u32,
        /// The partition.
        id: u32,
        /// Bits of each of the two CPU sets.
        nr_bits: u32,
        /// The CPUs to take from Linux, or 0 for none.
        add_ptr: u64,
        /// The CPUs to give back to Linux, or 0 for none.
        remove_ptr: u64,
        /// Out: a `Refusal`.
        refusal: u32,
        /// Out: the CPU, or for memory the NUMA node, that `refusal` is about.
        refused_cpu: u32,
        /// What memory it is to have from here on: an array of `MemShare`, or 0 for what it has. A node that no element
        /// names keeps its memory.
        mem_ptr: u64,
        /// Elements of that array.
        nr_mem: u32,
        /// Must be zero.
        reserved: u32,
    }
    /// How much memory of a node a partition is to have.
    struct MemShare(32) {
        /// The NUMA node, or `MEM_ANY_NODE`.
        node: u32,
        /// Must be zero.
        reserved: u32,
        /// Bytes, rounded up to whole blocks, or `MEM_ALL`. 0 only for `PartitionResize`.
        bytes: u64,
        /// Out, if memory was missing: how much of it there was.
        found: u64,
        /// Out, if memory was missing: the largest piece that Linux could give there.
        longest: u64,
    }
    /// The pool of a NUMA node. Walk all of them by starting with `node` 0 and adding one to what came back, until
    /// `ENOENT`. Amounts are in bytes.
    struct MemGet(176) {
        /// Bytes of the caller's structure.
        size: u32,
        /// In: `MEM_*`. Out: zero.
        flags: u32,
        /// In: the smallest node wanted. Out: the node found.
        node: u32,
        /// In: the partition that `share` and `unreserved` are about, or 0.
        partition: u32,
        /// Out: memory that the pool has.
        total: u64,
        /// Out: what of it nobody uses.
        free: u64,
        /// Out: what of that holds zeroes.
        zeroed: u64,
        /// Out: in use in pages of 1 GiB.
        giant: u64,
        /// Out: in use in pages of 2 MiB.
        large: u64,
        /// Out: in use in pages of 4 KiB.
        small: u64,
        /// Out: blocks that are in use in pages of 4 KiB.
        broken: u64,
        /// Out: out of service, as a part of it is poisoned.
        retired: u64,
        /// Out: whole aligned pieces of 1 GiB that nobody uses.
        free_giant: u64,
        /// Out: how many pieces the free memory is in.
        free_pieces: u64,
        /// Out: the largest of them.
        longest: u64,
        /// Out: what the partition is to have.
        share: u64,
        /// Out: what of that no job was promised.
        unreserved: u64,
        /// Out: memory of no partition, which goes back to Linux as soon as its last user drops it.
        leaving: u64,
        /// Out, `MEM_SURVEY`: memory of Linux that could be taken at once.
        linux_free: u64,
        /// Out, `MEM_SURVEY`: the same with what must be moved first.
        linux_movable: u64,
        /// Out, `MEM_SURVEY`: the largest piece of that.
        linux_longest: u64,
        /// Out, `MEM_SURVEY`: how much Linux can do without.
        linux_spare: u64,
        /// Must be zero.
        spare: [u64; 2],
    }
    /// Gives all CPUs and all memory of a partition without jobs back to Linux.
    struct PartitionDelete(32) {
        /// Bytes of the caller's structure.
        size: u32,
        /// Must be zero.
        flags: u32,
        /// The partition.
        id: u32,
        /// Out: a `Refusal`.
        refusal: u32,
        /// Out: the CPU that `refusal` is about.
        refused_cpu: u32,
        /// Must be zero.
        reserved: [u32; 3],
    }
    /// Reads what disturbed an LWK CPU since it joined its partition, the oldest first. `ENOENT` past the last possible
    /// CPU; a CPU of Linux has no records. To follow the log, begin with `next` 0 and give back what came; there may be more
    /// as long as `next` grows. Records about jobs that other users made are passed over, unless the caller has
    /// `CAP_PERFMON`.
    struct NoiseRead(48) {
        /// Bytes of the caller's structure.
        size: u32,
        /// Must be zero.
        flags: u32,
        /// The CPU.
        cpu: u32,
        /// In: records that there is room for. Out: records that were written.
        nr: u32,
        /// Where the records go: an array of `NoiseRecord`.
        records_ptr: u64,
        /// In: the smallest number wanted. Out: the number after the last one that was read.
        next: u64,
        /// Out: records from `next` on that were overwritten before they were read.
        lost: u64,
        /// Must be zero.
        reserved: u64,
    }
    /// Reads, or with `CALLS_SET` sets, where the system calls of a job are carried out, or those of a partition's jobs
    /// that do not say so themselves. A set is a bitmap: call `n` is bit `n % 64` of word `n / 64`, numbered as in
    /// `arch/x86/entry/syscalls/syscall_64.tbl`. A call in neither set is carried out on the CPU that it is made on.
    struct CallTable(160) {
        /// Bytes of the caller's structure.
        size: u32,
        /// 0 or `CALLS_SET`, which needs `CAP_SYS_ADMIN` for a partition, and that or the user id of its creator for a job.
        /// To read that of a job takes the user id of its creator or `CAP_PERFMON`.
        flags: u32,
        /// The partition, or 0.
        partition: u32,
        /// The job, or 0; one of the two is needed.
        job: u32,
        /// In or out: the calls that are carried out on a CPU of Linux.
        moved: [u64; 8],
        /// In or out: the calls that the LWK carries out itself: those that it can.
        native: [u64; 8],
        /// In or out: `CALLS_EXCLUSIVE`, `CALLS_TIMED`, `CALLS_POLL`.
        options: u32,
        /// In or out: how long, in nanoseconds, a thread stays on the CPU of Linux after a moved call at most, if it is
        /// likely that the next one follows soon; 0 for not at all.
        batch_ns: u32,
        /// Must be zero.
        reserved: u64,
    }
    /// Reads how often a thread of a job made which system call, for which the caller needs the user id of the job's creator
    /// or `CAP_PERFMON` (`EPERM`). Walk all threads by starting with `tid` 1 and adding one to what came back, until
    /// `ENOENT`; `tid` 0 is the sum of all threads, also of those that ended. Threads that are not in the caller's pid
    /// namespace or that it could not trace are only in the sum. Calls are counted while the table of the job has calls to
    /// move or to carry out natively, or says `CALLS_TIMED`.
    struct CallsRead(56) {
        /// Bytes of the caller's structure.
        size: u32,
        /// Must be zero.
        flags: u32,
        /// The job.
        job: u32,
        /// In: the smallest thread wanted, or 0. Out: the thread found, as the caller's pid namespace numbers it.
        tid: u32,
        /// Where the records go: an array of `CallRecord`.
        records_ptr: u64,
        /// In: records that there is room for. Out: records that were written, by number of the call.
        nr: u32,
        /// Must be zero.
        reserved: u32,
        /// Out: command name of the thread, NUL-terminated; empty for the sum.
        comm: [u8; COMM_LEN],
        /// Out: calls that were not counted for want of room.
        lost: u64,
    }
    /// How often a system call was made, and how long it took.
    struct CallRecord(80) {
        /// Its number, or `CALL_FAULT`.
        call: u32,
        /// Zero.
        reserved: u32,
        /// Calls that Linux carried out on the CPU that they were made on.
        local: u64,
        /// Calls that were moved to a CPU of Linux.
        moved: u64,
        /// Moved calls that found the thread there already, as it had stayed after the one before; a part of `moved`.
        stayed: u64,
        /// Calls that the LWK carried out itself.
        native: u64,
        /// Nanoseconds that moved calls took until they were there, and from there back, together.
        travel_ns: u64,
        /// Nanoseconds that moved calls took on CPUs of Linux, together.
        linux_ns: u64,
        /// Local calls whose time was taken, with `CALLS_TIMED`.
        timed: u64,
        /// Nanoseconds that these took, together.
        local_ns: u64,
        /// Nanoseconds that the longest took, with its way.
        longest_ns: u64,
    }
    /// One disturbance: the CPU was in user mode, in a thread of a job, and had to enter the kernel, though the thread
    /// had not asked for it. Processes and threads have the numbers of the caller's pid namespace; those that it has none
    /// for are `NOISE_UNKNOWN`, without a name.
    struct NoiseRecord(256) {
        /// Its number; those of one CPU follow each other without a gap.
        seq: u64,
        /// When the CPU entered the kernel, in nanoseconds of `CLOCK_MONOTONIC`.
        time_ns: u64,
        /// How long it stayed.
        duration_ns: u64,
        /// How long a kernel thread ran meanwhile, or 0.
        guest_ns: u64,
        /// The interrupt, an `IrqSource`; of several the one that tells most.
        cause: u32,
        /// All sources of interrupts, a bit for each `IrqSource`.
        sources: u32,
        /// How many interrupts came.
        nr_irqs: u32,
        /// `NOISE_*`.
        flags: u32,
        /// What kind of function `symbol` names, a `RanKind`.
        ran: u32,
        /// How many functions other CPUs had the CPU call, that of `symbol` among them.
        nr_calls: u32,
        /// The device's interrupt by its Linux number, or `NOISE_UNKNOWN`.
        irq: u32,
        /// The CPU that sent the interrupt, or `NOISE_UNKNOWN`.
        sender_cpu: u32,
        /// The thread that ran on that CPU when the interrupt arrived, or `NOISE_UNKNOWN`.
        sender_tid: u32,
        /// That thread's process.
        sender_pid: u32,
        /// The thread that was interrupted.
        victim_tid: u32,
        /// That thread's process.
        victim_pid: u32,
        /// The kernel thread that ran meanwhile, the last if there were several, or `NOISE_UNKNOWN`.
        guest_tid: u32,
        /// Zero.
        reserved: u32,
        /// The kernel function that ran, NUL-terminated; empty if not known.
        symbol: [u8; SYMBOL_LEN],
        /// The last work function that the kernel thread ran, if it is a kworker.
        guest_symbol: [u8; SYMBOL_LEN],
        /// The device's name for its interrupt.
        irq_name: [u8; IRQ_NAME_LEN],
        /// Command name of the sender's thread.
        sender_comm: [u8; COMM_LEN],
        /// Command name of the kernel thread.
        guest_comm: [u8; COMM_LEN],
        /// Zero.
        spare: u64,
    }
}

/// One ioctl, for the generators.
#[derive(Debug, Clone, Copy)]
pub struct Op {
    /// Its Rust name, also that of its structure.
    pub name: &'static str,
    /// Its number within [`IOC_MAGIC`].
    pub nr: u32,
    /// The full request code.
    pub code: u32,
    /// Its documentation.
    pub doc: &'static [&'static str],
}

/// Request code of a read-write ioctl, as `_IOWR` of `asm-generic/ioctl.h` computes it.
const fn iowr(nr: u32, size: usize) -> u32 {
    // CAST: every structure here is far smaller than the 14 bits that the size field has.
    3 << 30 | (size as u32) << 16 | IOC_MAGIC << 8 | nr
}

macro_rules! uapi_ops {
    ($( $(#[doc = $doc:literal])* $name:ident = $nr:literal => $code:ident, )*) => {
        $(
            $(#[doc = $doc])*
            pub const $code: u32 = iowr($nr, core::mem::size_of::<$name>());
        )*
        /// Every ioctl of the ABI.
        pub const OPS: &[Op] = &[$( Op { name: stringify!($name), nr: $nr, code: $code, doc: &[$($doc),*] } ),*];
    };
}

uapi_ops! {
    /// Reads what this kernel offers.
    Info = 0 => IOC_INFO,
    /// Reads one partition.
    PartitionGet = 1 => IOC_PARTITION_GET,
    /// Reserves CPUs for a job.
    JobCreate = 2 => IOC_JOB_CREATE,
    /// Moves the calling thread into a job.
    JobEnter = 3 => IOC_JOB_ENTER,
    /// Reads one job.
    JobGet = 4 => IOC_JOB_GET,
    /// Reads one CPU.
    CpuGet = 5 => IOC_CPU_GET,
    /// Makes a partition.
    PartitionCreate = 6 => IOC_PARTITION_CREATE,
    /// Changes the CPUs and the memory of a partition.
    PartitionResize = 7 => IOC_PARTITION_RESIZE,
    /// Ends a partition.
    PartitionDelete = 8 => IOC_PARTITION_DELETE,
    /// Reads the disturbances of one CPU.
    NoiseRead = 9 => IOC_NOISE_READ,
    /// Reads the memory pool of one NUMA node.
    MemGet = 10 => IOC_MEM_GET,
    /// Reads or sets the memory policy of a partition.
    PartitionPolicy = 11 => IOC_PARTITION_POLICY,
    /// Reads or sets where system calls are carried out.
    CallTable = 12 => IOC_CALL_TABLE,
    /// Reads how often a thread made which system call.
    CallsRead = 13 => IOC_CALLS_READ,
}

const _: () = assert!(EntryKind::ALL.len() <= ENTRY_SLOTS && IrqSource::ALL.len() <= IRQ_SLOTS);
