// SPDX-License-Identifier: GPL-2.0
//! Filters of system calls.

use core::ffi::c_long;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;

/// What becomes of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    /// It fails with this error.
    Fail(u16),
    /// It ends the process.
    Kill,
    /// It is a signal.
    Trap,
    /// A tracer decides.
    Trace,
}

/// Has a filter look at all calls of this thread from now on, for this one.
pub(crate) fn filter(nr: c_long, action: Action) -> Result<()> {
    let verdict = match action {
        Action::Fail(error) => libc::SECCOMP_RET_ERRNO | u32::from(error),
        Action::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        Action::Trap => libc::SECCOMP_RET_TRAP,
        Action::Trace => libc::SECCOMP_RET_TRACE,
    };
    let instruction = |code: u32, jf: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf,
        k,
    };
    let mut code = [
        // The number of the call is the first word.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        instruction(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            1,
            u32::try_from(nr)?,
        ),
        instruction(libc::BPF_RET | libc::BPF_K, 0, verdict),
        instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: 4,
        filter: code.as_mut_ptr(),
    };
    // SAFETY: Integers only.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    Errno::result(result).context("PR_SET_NO_NEW_PRIVS")?;
    // SAFETY: The kernel reads the program and its instructions, which live through the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    Errno::result(result).context("seccomp").map(drop)
}
