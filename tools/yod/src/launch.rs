// SPDX-License-Identifier: GPL-2.0
//! Reserves, enters and execs; for a report of system calls also waits.

use std::convert::Infallible;
use std::ffi::{CStr, CString, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use lwk::{suggested, Cpus, Device, Target, Want};
use lwk_logic::uapi::DEVICE_PATH;
use nix::errno::Errno;

use crate::cli::Options;
use crate::lookup::{self, LookupError};
use crate::parent::{self, Role};
use crate::{EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, EXIT_YOD_FAILED};

/// Why yod did not become the program.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The LWK refused.
    #[error(transparent)]
    Lwk(#[from] lwk::Error),
    /// The program cannot be found.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The file is there, but what should interpret it is not.
    #[error("cannot execute {0}: the interpreter that its first line or its ELF header names is missing")]
    NoInterpreter(String),
    /// The kernel did not execute it.
    #[error("cannot execute {0}: {1}")]
    Exec(String, std::io::Error),
    /// The dry run could not be printed.
    #[error("cannot write to standard output: {0}")]
    Output(std::io::Error),
    /// There is no process for the program.
    #[error("cannot start a process for the program: {0}")]
    Process(Errno),
}

impl Failure {
    /// The exit status for it.
    pub const fn exit_status(&self) -> u8 {
        match self {
            Self::Lwk(_) | Self::Output(_) | Self::Process(_) => EXIT_YOD_FAILED,
            Self::Lookup(LookupError::NotFound { .. }) | Self::NoInterpreter(_) => EXIT_NOT_FOUND,
            Self::Lookup(LookupError::NotExecutable { .. }) | Self::Exec(..) => EXIT_NOT_EXECUTABLE,
        }
    }
}

/// Does what the command line says; returns only from a dry run, or with the status of a program that was watched.
///
/// # Errors
///
/// If the program was not started.
pub fn launch(options: &Options) -> Result<u8, Failure> {
    let command = options
        .command
        .first()
        .map(OsString::as_os_str)
        .unwrap_or_default();
    let file = lookup::find(command, std::env::var_os("PATH").as_deref())?;
    let device = Device::open(options.device.as_deref().unwrap_or(Path::new(DEVICE_PATH)))?;
    let want = want(options, &device)?;
    if options.dry_run {
        let plan = device.state()?.plan(&want)?;
        let mut out = std::io::stdout();
        return writeln!(
            out,
            "would reserve {plan} and run {}",
            file.to_string_lossy()
        )
        .and_then(|()| out.flush())
        .map(|()| 0)
        .map_err(Failure::Output);
    }
    let job = device.job_create(&want)?;
    if options.verbose {
        tell(&device, job)?;
    }
    set_calls(options, &device, job)?;
    if options.syscall_report {
        match parent::split().map_err(Failure::Process)? {
            Role::Child => {}
            Role::Parent(parent) => {
                let end = parent.wait();
                report(&device, job);
                return Ok(end.follow());
            }
        }
    }
    device.job_enter(job)?;
    // The device stays open up to here and closes on exec: between them the job always has a descriptor or a task.
    match exec(&file, &options.command) {
        Ok(never) => match never {},
        Err(failure) => Err(failure),
    }
}

/// Translates the options.
fn want(options: &Options, device: &Device) -> Result<Want, lwk::Error> {
    let partition = options
        .partition
        .as_deref()
        .map(|asked| device.partition_id(asked))
        .transpose()?;
    let cpus = match (&options.cpus, options.nr_cpus) {
        (Some(set), _) => Cpus::Exactly(set.clone()),
        (None, Some(count)) => Cpus::Count(count),
        (None, None) => Cpus::AllFree,
    };
    let memory = options.memory.unwrap_or_default();
    Ok(Want {
        partition,
        cpus,
        memory,
        policies: options.policies.clone(),
    })
}

/// Sets where the system calls of the job are carried out, if the command line says anything of them.
fn set_calls(options: &Options, device: &Device, job: u32) -> Result<(), lwk::Error> {
    if options.calls.is_empty() && !options.syscall_report {
        return Ok(());
    }
    let target = Target::Job(job);
    let mut policy = options.calls.over(&device.calls(target)?)?;
    policy.timed |= options.syscall_report;
    device.set_calls(target, &policy)
}

/// Tells how often which system call was made; the device still holds the job, though its program has ended.
fn report(device: &Device, job: u32) {
    let text = device.calls(Target::Job(job)).and_then(|policy| {
        let counts = device.call_counts(job)?;
        let sum = counts.first().cloned().unwrap_or_default();
        let mut text = format!(
            "yod: system calls of job {job}:\n{}",
            sum.text(&policy.table)
        );
        if let Some(changes) = suggested(&sum.rows(&policy.table)) {
            text += &format!("Suggested: yod --syscalls {changes}\n");
        }
        Ok(text)
    });
    let text = text.unwrap_or_else(|error| format!("yod: {error}\n"));
    // Without standard error there is nobody to tell; what counts is how the program ended.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Says what was reserved.
fn tell(device: &Device, job: u32) -> Result<(), lwk::Error> {
    let state = device.state()?;
    if let Some(reserved) = state.reserved(job) {
        // Without standard error there is nobody to tell, and no reason not to run the program.
        let _ = writeln!(std::io::stderr(), "yod: job {job}: {reserved}");
    }
    Ok(())
}

/// Becomes the program; a file that the kernel takes for no program is given to the shell, as `execvp(3)` does.
fn exec(file: &CStr, command: &[OsString]) -> Result<Infallible, Failure> {
    let name = || file.to_string_lossy().into_owned();
    let args: Result<Vec<CString>, _> = command
        .iter()
        .map(|arg| CString::new(arg.as_bytes()))
        .collect();
    let args = args.map_err(|error| Failure::Exec(name(), error.into()))?;
    nix::unistd::execvp(file, &args).map_err(|errno| match errno {
        Errno::ENOENT => Failure::NoInterpreter(name()),
        errno => Failure::Exec(name(), errno.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exec_errors_are_told_apart() {
        let dir = tempfile::tempdir().expect("it must succeed");
        let run = |file: &str, content: &[u8]| {
            let file = dir.path().join(file);
            std::fs::write(&file, content).expect("it must succeed");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&file, mode).expect("it must succeed");
            let file = CString::new(file.as_os_str().as_bytes()).expect("it must succeed");
            exec(&file, &["x".into()]).expect_err("it must fail")
        };
        let orphan = run("orphan", b"#!/no/such/interpreter\n");
        assert!(matches!(orphan, Failure::NoInterpreter(_)), "{orphan}");
        assert_eq!(orphan.exit_status(), EXIT_NOT_FOUND);
        let plain = dir.path().join("plain");
        std::fs::write(&plain, "").expect("it must succeed");
        let plain = CString::new(plain.as_os_str().as_bytes()).expect("it must succeed");
        let refused = exec(&plain, &["x".into()]).expect_err("it must fail");
        assert!(matches!(refused, Failure::Exec(..)), "{refused}");
        assert_eq!(refused.exit_status(), EXIT_NOT_EXECUTABLE);
    }
}
