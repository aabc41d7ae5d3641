// SPDX-License-Identifier: GPL-2.0
//! System calls that disturb other CPUs and that no crate offers safely.

use core::mem::{size_of, size_of_val};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use anyhow::{ensure, Context, Result};
use nix::errno::Errno;
use nix::libc;

/// An instruction of the kernel's BPF machine.
#[repr(C)]
struct BpfInstruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// The part of `union bpf_attr` that loads a program.
#[repr(C)]
struct BpfProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

/// The part of `union bpf_attr` that makes a map.
#[repr(C)]
struct BpfMapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
}

/// Commands of bpf(2), from `linux/bpf.h`.
const BPF_MAP_CREATE: i32 = 0;
const BPF_PROG_LOAD: i32 = 5;
/// Kinds of maps and programs, from the same file.
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_PROG_TYPE_SOCKET_FILTER: u32 = 1;
/// `r0 = immediate` and `return`.
const BPF_MOV64_IMM: u8 = 0xb7;
const BPF_EXIT: u8 = 0x95;

/// Loads a program that accepts nothing.
pub(crate) fn bpf_prog_load() -> Result<OwnedFd> {
    let program = [BPF_MOV64_IMM, BPF_EXIT].map(|code| BpfInstruction {
        code,
        registers: 0,
        offset: 0,
        immediate: 0,
    });
    let mut attr = BpfProgLoad {
        prog_type: BPF_PROG_TYPE_SOCKET_FILTER,
        insn_cnt: 2,
        insns: program.as_ptr().expose_provenance() as u64,
        license: c"GPL".as_ptr().expose_provenance() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
    };
    // SAFETY: The kernel reads the attribute, the program and the license, which live through the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_LOAD,
            &raw mut attr,
            size_of_val(&attr),
        )
    };
    descriptor(fd, "bpf(BPF_PROG_LOAD)")
}

/// Makes an array of one number.
pub(crate) fn bpf_map_create() -> Result<OwnedFd> {
    let mut attr = BpfMapCreate {
        map_type: BPF_MAP_TYPE_ARRAY,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        map_flags: 0,
    };
    // SAFETY: The kernel reads the attribute, which lives through the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_MAP_CREATE,
            &raw mut attr,
            size_of_val(&attr),
        )
    };
    descriptor(fd, "bpf(BPF_MAP_CREATE)")
}

/// Takes the descriptor that a system call returned.
fn descriptor(result: i64, call: &'static str) -> Result<OwnedFd> {
    let fd = i32::try_from(Errno::result(result).context(call)?)?;
    // SAFETY: The kernel has just made the descriptor, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a classic BPF program that accepts everything to a socket.
pub(crate) fn attach_filter(socket: &impl AsFd) -> Result<()> {
    /// Returns a constant number of bytes.
    const RETURN: u16 = 0x06;
    let mut filter = [libc::sock_filter {
        code: RETURN,
        jt: 0,
        jf: 0,
        k: 0xffff,
    }];
    let program = libc::sock_fprog {
        len: 1,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: The kernel reads the program and its instructions, which live through the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as u32,
        )
    };
    Errno::result(result).context("SO_ATTACH_FILTER")?;
    Ok(())
}

/// Makes a segment of shared memory, attaches it, writes to it and destroys it.
pub(crate) fn sysv_shared_memory() -> Result<()> {
    // SAFETY: A new private segment touches nothing of this process.
    let id =
        Errno::result(unsafe { libc::shmget(libc::IPC_PRIVATE, 4096, 0o600) }).context("shmget")?;
    // SAFETY: A null address lets the kernel choose a free one.
    let addr = unsafe { libc::shmat(id, core::ptr::null(), 0) };
    // SAFETY: The segment was made above and only this function knows it.
    Errno::result(unsafe { libc::shmctl(id, libc::IPC_RMID, core::ptr::null_mut()) })
        .context("shmctl")?;
    ensure!(addr.addr() != usize::MAX, "shmat: {}", Errno::last());
    // SAFETY: The segment is attached there and is a page long.
    unsafe { addr.cast::<u8>().write_volatile(1) };
    // SAFETY: It is attached there and nobody keeps a pointer into it.
    Errno::result(unsafe { libc::shmdt(addr) }).context("shmdt")?;
    Ok(())
}

/// Makes a semaphore, adds one, takes one and destroys it.
pub(crate) fn sysv_semaphore() -> Result<()> {
    // SAFETY: A new private semaphore touches nothing of this process.
    let id =
        Errno::result(unsafe { libc::semget(libc::IPC_PRIVATE, 1, 0o600) }).context("semget")?;
    let mut steps = [1, -1].map(|sem_op| libc::sembuf {
        sem_num: 0,
        sem_op,
        sem_flg: 0,
    });
    // SAFETY: The kernel reads two steps, which live through the call.
    let done = unsafe { libc::semop(id, steps.as_mut_ptr(), steps.len()) };
    // SAFETY: The semaphore was made above and only this function knows it.
    Errno::result(unsafe { libc::semctl(id, 0, libc::IPC_RMID) }).context("semctl")?;
    Errno::result(done).context("semop")?;
    Ok(())
}

/// Makes a ring for asynchronous calls and closes it.
pub(crate) fn io_uring() -> Result<()> {
    /// Bytes of `struct io_uring_params`.
    const PARAMS: usize = 120;
    let mut params = [0_u64; PARAMS / 8];
    // SAFETY: The kernel reads and writes the parameters, which have the size of its structure.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 8, params.as_mut_ptr()) };
    descriptor(fd, "io_uring_setup").map(drop)
}

/// Makes a descriptor for handling page faults and closes it.
pub(crate) fn userfaultfd() -> Result<()> {
    // SAFETY: A descriptor with no memory registered does nothing.
    let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) };
    descriptor(fd, "userfaultfd").map(drop)
}

/// Makes a key that lives as long as this process.
pub(crate) fn add_key(number: u64) -> Result<()> {
    /// KEY_SPEC_PROCESS_KEYRING.
    const PROCESS_KEYRING: i32 = -2;
    let name = std::ffi::CString::new(format!("bench-{number}"))?;
    // SAFETY: The kernel reads the two names and the four bytes, which live through the call.
    let key = unsafe {
        libc::syscall(
            libc::SYS_add_key,
            c"user".as_ptr(),
            name.as_ptr(),
            b"data".as_ptr(),
            4,
            PROCESS_KEYRING,
        )
    };
    Errno::result(key).context("add_key")?;
    Ok(())
}

/// Gives this process a real-time priority.
pub(crate) fn become_real_time(priority: i32) -> Result<()> {
    let param = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: The kernel reads the parameter, which lives through the call.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param) };
    Errno::result(result).context("sched_setscheduler")?;
    Ok(())
}

/// Lets an interval timer run out once, which sends a signal that is ignored.
pub(crate) fn interval_timer(microseconds: i64) -> Result<()> {
    let timer = libc::itimerval {
        it_interval: libc::timeval {
            tv_sec: 0,
            tv_usec: 0,
        },
        it_value: libc::timeval {
            tv_sec: 0,
            tv_usec: microseconds,
        },
    };
    // SAFETY: Ignoring a signal runs no handler.
    unsafe { libc::signal(libc::SIGALRM, libc::SIG_IGN) };
    // SAFETY: The kernel reads the timer, which lives through the call, and writes nowhere.
    let result =
        unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, core::ptr::null_mut()) };
    Errno::result(result).context("setitimer")?;
    std::thread::sleep(std::time::Duration::from_micros(
        2 * microseconds.cast_unsigned(),
    ));
    Ok(())
}

/// Collapses memory into large pages at once.
pub(crate) fn collapse(region: &mut super::memory::Region) -> Result<()> {
    /// From `linux/mman.h`.
    const MADV_COLLAPSE: i32 = 25;
    let addr = core::ptr::with_exposed_provenance_mut(region.addr());
    // SAFETY: The range is the region, whose contents stay.
    let result = unsafe { libc::madvise(addr, region.len(), MADV_COLLAPSE) };
    Errno::result(result).context("MADV_COLLAPSE")?;
    Ok(())
}

/// Gives the process a filter of system calls that allows everything.
pub(crate) fn seccomp_allow_all() -> Result<()> {
    /// Returns a constant.
    const RETURN: u16 = 0x06;
    let mut filter = [libc::sock_filter {
        code: RETURN,
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_ALLOW,
    }];
    let program = libc::sock_fprog {
        len: 1,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: The kernel reads the program and its instructions, which live through the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    Errno::result(result).context("seccomp")?;
    Ok(())
}

/// Gives this process namespaces of its own for mounts, names, messages and the network.
pub(crate) fn new_namespaces() -> Result<()> {
    let flags = libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC | libc::CLONE_NEWNET;
    // SAFETY: None of these changes descriptors or memory.
    Errno::result(unsafe { libc::unshare(flags) }).context("unshare")?;
    Ok(())
}
