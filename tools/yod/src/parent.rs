// SPDX-License-Identifier: GPL-2.0
//! yod as the parent of the program: waits for it, passes signals on, and ends as it ended.
//!
//! Signals are taken with `sigwait(3)`, so that none is lost and nothing runs in a handler. The terminal sends SIGINT
//! and SIGQUIT to the program too, so that yod only outlives them, as `system(3)` does.
#![expect(
    unsafe_code,
    reason = "fork and signal are promises about the rest of the process that only the caller can make"
)]

use nix::errno::Errno;
use nix::sys::signal::{kill, raise, signal, SigHandler, SigSet, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::{fork, ForkResult, Pid};

/// Signals that are passed on to the program.
const PASSED: [Signal; 2] = [Signal::SIGTERM, Signal::SIGHUP];

/// Signals that the terminal sends to both.
const SHARED: [Signal; 2] = [Signal::SIGINT, Signal::SIGQUIT];

/// What a signal adds to the exit status of a shell's command.
const SIGNALLED: u8 = 128;

/// Which of the two processes this is.
#[derive(Debug)]
pub enum Role {
    /// The one that becomes the program; its signals are as they were.
    Child,
    /// The one that waits.
    Parent(Parent),
}

/// The process that waits.
#[derive(Debug)]
pub struct Parent {
    child: Pid,
    awaited: SigSet,
}

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With an exit status.
    Exited(u8),
    /// By a signal.
    Killed(Signal),
}

/// Makes two of this process, which must have only one thread.
///
/// # Errors
///
/// If there can be no other process.
pub fn split() -> Result<Role, Errno> {
    let awaited: SigSet = PASSED
        .into_iter()
        .chain(SHARED)
        .chain([Signal::SIGCHLD])
        .collect();
    let inherited = awaited.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK)?;
    // If its parent had it ignored, nobody would keep the program's exit status.
    // SAFETY: No handler is installed.
    let on_child = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    // SAFETY: There is no other thread, so that the child may do whatever this process might.
    match unsafe { fork() } {
        Ok(ForkResult::Parent { child }) => Ok(Role::Parent(Parent { child, awaited })),
        Ok(ForkResult::Child) => {
            // SAFETY: It is what the process had before; yod installs no handlers.
            unsafe { signal(Signal::SIGCHLD, on_child) }?;
            inherited.thread_set_mask()?;
            Ok(Role::Child)
        }
        Err(errno) => {
            inherited.thread_set_mask()?;
            Err(errno)
        }
    }
}

impl Parent {
    /// Waits until the program has ended.
    pub fn wait(&self) -> End {
        loop {
            if let Some(end) = self.ended() {
                return end;
            }
            match self.awaited.wait() {
                Ok(passed) if PASSED.contains(&passed) => {
                    // If it has just ended there is nobody to tell.
                    let _ = kill(self.child, passed);
                }
                // What the terminal sent, or the child changed: look again.
                _ => {}
            }
        }
    }

    /// How the program ended, if it has.
    fn ended(&self) -> Option<End> {
        match waitpid(self.child, Some(WaitPidFlag::WNOHANG)) {
            // CAST: `exit(3)` keeps the lowest eight bits, and so does the kernel.
            Ok(WaitStatus::Exited(_, status)) => Some(End::Exited(status as u8)),
            Ok(WaitStatus::Signaled(_, signal, _)) => Some(End::Killed(signal)),
            Ok(_) | Err(Errno::EINTR) => None,
            // Nobody else waits for it.
            Err(_) => Some(End::Exited(crate::EXIT_YOD_FAILED)),
        }
    }
}

impl End {
    /// Ends this process by the signal that ended the program; else returns the exit status.
    pub fn follow(self) -> u8 {
        let cause = match self {
            Self::Exited(status) => return status,
            Self::Killed(cause) => cause,
        };
        // A core of yod would only replace that of the program.
        let _ =
            rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
        // SAFETY: No handler is installed.
        let _ = unsafe { signal(cause, SigHandler::SigDfl) };
        let _ = raise(cause);
        let _ = SigSet::from(cause).thread_unblock();
        // CAST: There are 64 signals.
        SIGNALLED + cause as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_status_is_passed_through() {
        assert_eq!(End::Exited(7).follow(), 7);
    }
}
