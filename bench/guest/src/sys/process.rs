// SPDX-License-Identifier: GPL-2.0
//! Forking.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::Path;

use anyhow::{ensure, Context, Result};
use nix::libc;
use nix::sys::wait::{waitpid, WaitStatus};
use nix::unistd::{fork, ForkResult, Pid};

/// A child that shares nothing but what it inherited.
#[derive(Debug)]
pub(crate) struct Forked(Pid);

/// Runs `child` in a forked process; it must not depend on other threads of this one.
///
/// # Errors
///
/// If fork fails.
pub(crate) fn forked(child: impl FnOnce() -> i32) -> Result<Forked> {
    // SAFETY: The callers fork before they start threads, or use nothing in the child that another thread may have
    // locked: they compute, make system calls and end.
    match unsafe { fork() }.context("fork")? {
        ForkResult::Parent { child } => Ok(Forked(child)),
        ForkResult::Child => {
            let code = catch_unwind(AssertUnwindSafe(child)).unwrap_or(101);
            exit_now(code)
        }
    }
}

/// Ends the process at once, without what was registered to run at its end.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit only ends the process.
    unsafe { libc::_exit(code) }
}

impl Forked {
    /// Its process id.
    pub(crate) const fn pid(&self) -> Pid {
        self.0
    }

    /// Waits for its end, which must be a successful one.
    pub(crate) fn finish(self) -> Result<()> {
        let status = waitpid(self.0, None).context("waitpid")?;
        ensure!(
            matches!(status, WaitStatus::Exited(_, 0)),
            "a child ended with {status:?}"
        );
        Ok(())
    }
}

/// Becomes another program, or returns the exit status for not being able to.
pub(crate) fn exec(program: &Path, args: &[&str]) -> i32 {
    let Ok(program) = CString::new(program.as_os_str().as_bytes()) else {
        return 126;
    };
    let args: Result<Vec<CString>, _> = args.iter().map(|arg| CString::new(*arg)).collect();
    let Ok(mut args) = args else {
        return 126;
    };
    args.insert(0, program.clone());
    let Err(error) = nix::unistd::execv(&program, &args);
    eprintln!("bench-guest: {}: {error}", program.to_string_lossy());
    126
}
