// SPDX-License-Identifier: GPL-2.0
//! New processes by the system calls that C libraries no longer use, and programs in place of this one.

use core::arch::asm;
use core::ffi::{c_char, CStr};
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;

use anyhow::{Context, Result};

/// Ends the process at once, without what the C library does at its end.
pub(crate) fn exit_now(code: u8) -> ! {
    // SAFETY: Takes one integer and does not return.
    unsafe { libc::_exit(code.into()) }
}

/// As [`super::spawn`], by `fork(2)` itself and with any number of threads; `child` must not wait for any of them, which
/// includes taking memory.
pub(crate) fn fork(child: impl FnOnce() -> u8) -> Result<Pid> {
    // SAFETY: The child only runs `child` and ends.
    let pid = Errno::result(unsafe { libc::syscall(libc::SYS_fork) }).context("fork")?;
    if pid == 0 {
        exit_now(child());
    }
    Ok(Pid::from_raw(i32::try_from(pid)?))
}

/// As [`super::spawn`], with the child in a cgroup from the start, whose folder `group` is.
pub(crate) fn spawn_into(group: BorrowedFd<'_>, child: impl FnOnce() -> u8) -> Result<Pid> {
    /// `struct clone_args` up to its field `cgroup`.
    #[repr(C)]
    #[derive(Default)]
    struct CloneArgs {
        flags: u64,
        pidfd: u64,
        child_tid: u64,
        parent_tid: u64,
        exit_signal: u64,
        stack: u64,
        stack_size: u64,
        tls: u64,
        set_tid: u64,
        set_tid_size: u64,
        cgroup: u64,
    }
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    anyhow::ensure!(threads == 1, "clone3 from a process with {threads} threads");
    let args = CloneArgs {
        flags: CLONE_INTO_CGROUP,
        // CAST: Small positive numbers.
        exit_signal: libc::SIGCHLD as u64,
        cgroup: group.as_raw_fd() as u64,
        ..CloneArgs::default()
    };
    // SAFETY: As for `fork()`; the structure lives through the call, and this process has one thread, checked above, so
    // that the child may use locks and the allocator.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    if Errno::result(pid).context("clone3")? == 0 {
        exit_now(child());
    }
    Ok(Pid::from_raw(i32::try_from(pid)?))
}

/// Runs a program by `vfork(2)` and `execve(2)` and returns when it has begun; the child's exit code is 127 if it has not.
/// The child waits for a byte from `gate` before.
pub(crate) fn vfork(
    program: &CStr,
    arguments: &[&CStr],
    gate: Option<BorrowedFd<'_>>,
) -> Result<Pid> {
    let mut pointers: Vec<*const c_char> =
        arguments.iter().map(|argument| argument.as_ptr()).collect();
    pointers.insert(0, program.as_ptr());
    pointers.push(core::ptr::null());
    let nothing = [core::ptr::null::<c_char>()];
    // No file has this number.
    let gate = gate.map_or(-1, |gate| i64::from(gate.as_raw_fd()));
    let mut byte = 0_u8;
    let pid: i64;
    // SAFETY: The child runs on this stack, which it does not touch, until it is another program or has ended; the
    // parent waits for that. All pointers live through it.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov rdi, r8",
            "mov rsi, r9",
            "mov edx, 1",
            "xor eax, eax",
            "syscall",
            "mov rdi, r12",
            "mov rsi, r13",
            "mov rdx, r14",
            "mov eax, 59",
            "syscall",
            "mov edi, 127",
            "mov eax, 231",
            "syscall",
            "2:",
            inlateout("rax") libc::SYS_vfork => pid,
            in("r8") gate,
            in("r9") &raw mut byte,
            in("r12") program.as_ptr(),
            in("r13") pointers.as_ptr(),
            in("r14") nothing.as_ptr(),
            lateout("rcx") _,
            lateout("r11") _,
            lateout("rdi") _,
            lateout("rsi") _,
            lateout("rdx") _,
        );
    }
    if pid < 0 {
        return Err(Errno::from_raw(i32::try_from(-pid)?)).context("vfork");
    }
    Ok(Pid::from_raw(i32::try_from(pid)?))
}
