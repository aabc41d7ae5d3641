// SPDX-License-Identifier: GPL-2.0
//! A tracer as strace is one, which may also change what the program does.

use std::ffi::CString;

use anyhow::{anyhow, bail, ensure, Context, Result};
use nix::libc::{self, c_int, user_regs_struct};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::{execv, Pid};

use crate::sys::spawn;

/// Why the program stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It enters a system call.
    Enter,
    /// It leaves one.
    Leave,
    /// A filter asks.
    Filter,
}

/// How it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resume {
    /// To its next stop.
    Usual,
    /// The same, but the next call is not carried out.
    Emulated,
}

/// One thing that a program did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A system call and its result; addresses and process ids are not the same each time.
    Call(i64, Outcome),
    /// A signal.
    Signal(Signal),
}

/// What a call returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A number or a negative error.
    Number(i64),
    /// An address or a process.
    Address,
}

fn outcome(value: u64) -> Outcome {
    match value.cast_signed() {
        number @ -4095..=0xf_ffff => Outcome::Number(number),
        _ => Outcome::Address,
    }
}

/// Traces a command to its end and returns what it did. `look` sees each stop and may change registers.
pub(crate) fn follow(
    command: &[&str],
    mut look: impl FnMut(Stop, &mut user_regs_struct) -> Resume,
) -> Result<(Vec<Step>, WaitStatus)> {
    let words: Vec<CString> = command
        .iter()
        .map(|word| CString::new(*word))
        .collect::<Result<_, _>>()?;
    let pid = spawn(|| {
        let Some(program) = words.first() else {
            return 1;
        };
        if ptrace::traceme().is_err() {
            return 2;
        }
        // Returns only if it fails.
        let _ = execv(program, &words);
        3
    })?;
    let status = waitpid(pid, None).context("wait")?;
    ensure!(
        status == WaitStatus::Stopped(pid, Signal::SIGTRAP),
        "{status:?}"
    );
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACESECCOMP
        | Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(pid, options).context("PTRACE_SETOPTIONS")?;
    let mut steps = Vec::new();
    let (mut resume, mut signal, mut is_inside) = (Resume::Usual, None, false);
    loop {
        match resume {
            Resume::Usual => ptrace::syscall(pid, signal.take()).context("PTRACE_SYSCALL")?,
            Resume::Emulated => ptrace::sysemu(pid, signal.take()).context("PTRACE_SYSEMU")?,
        }
        resume = Resume::Usual;
        let stop = match waitpid(pid, Some(WaitPidFlag::__WALL)).context("wait")? {
            WaitStatus::PtraceSyscall(_) => {
                is_inside = !is_inside;
                if is_inside {
                    Stop::Enter
                } else {
                    Stop::Leave
                }
            }
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_SECCOMP) => Stop::Filter,
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXEC) => continue,
            WaitStatus::Stopped(_, caught) => {
                steps.push(Step::Signal(caught));
                signal = Some(caught);
                continue;
            }
            status @ (WaitStatus::Exited(..) | WaitStatus::Signaled(..)) => {
                return Ok((steps, status));
            }
            other => bail!("{other:?}"),
        };
        let before = ptrace::getregs(pid).context("PTRACE_GETREGS")?;
        let mut registers = before;
        resume = look(stop, &mut registers);
        if registers != before {
            ptrace::setregs(pid, registers).context("PTRACE_SETREGS")?;
        }
        if stop == Stop::Leave {
            let call = registers.orig_rax.cast_signed();
            steps.push(match call {
                libc::SYS_getpid | libc::SYS_gettid => Step::Call(call, Outcome::Address),
                _ => Step::Call(call, outcome(registers.rax)),
            });
        }
    }
}

/// Stops a thread that runs elsewhere, looks at its registers, and lets it go on.
pub(crate) fn glance(pid: i32, how: Glance) -> Result<user_regs_struct> {
    let pid = Pid::from_raw(pid);
    let wanted = match how {
        Glance::Attach => {
            ptrace::attach(pid).context("PTRACE_ATTACH")?;
            WaitStatus::Stopped(pid, Signal::SIGSTOP)
        }
        Glance::Seize => {
            ptrace::seize(pid, Options::empty()).context("PTRACE_SEIZE")?;
            ptrace::interrupt(pid).context("PTRACE_INTERRUPT")?;
            const STOP: c_int = 128;
            WaitStatus::PtraceEvent(pid, Signal::SIGTRAP, STOP)
        }
    };
    let status = waitpid(pid, Some(WaitPidFlag::__WALL)).context("wait")?;
    ensure!(status == wanted, "{how:?}: {status:?}");
    let registers = ptrace::getregs(pid).context("PTRACE_GETREGS")?;
    ptrace::setregs(pid, registers).context("PTRACE_SETREGS")?;
    ptrace::detach(pid, None).context("PTRACE_DETACH")?;
    Ok(registers)
}

/// How to stop it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Glance {
    /// By a signal.
    Attach,
    /// Without one.
    Seize,
}

/// The steps between the two marks of a program.
pub(crate) fn between_marks(steps: &[Step]) -> Result<&[Step]> {
    let is_mark = |step: &&Step| matches!(step, Step::Call(libc::SYS_getpgid, _));
    let marks: Vec<usize> = (0..steps.len())
        .filter(|at| steps.get(*at).as_ref().is_some_and(is_mark))
        .collect();
    let [first, .., last] = marks.as_slice() else {
        bail!("{} marks", marks.len());
    };
    steps
        .get(first + 1..*last)
        .ok_or_else(|| anyhow!("no steps"))
}
