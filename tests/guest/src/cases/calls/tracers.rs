// SPDX-License-Identifier: GPL-2.0
//! Tracers and filters find the calls of a job as they are, and may change them before it is decided where they go.

use anyhow::{ensure, Context, Result};
use nix::libc::{self, c_long};
use nix::sys::wait::WaitStatus;

use super::places::{check_call, Seen};
use super::{is_lwk, Blocked, NO_BATCH};
use crate::cpus;
use crate::job;
use crate::trace::{marked, Trace, CALLS};
use crate::tracer::{between_marks, follow, glance, Glance, Outcome, Resume, Step, Stop};

const AS_JOB: &str = "/bin/yod";

fn command<'a>(options: &[&'a str], program: &[&'a str]) -> Vec<&'a str> {
    [&[AS_JOB], options, &["/init", "inside"], program].concat()
}

fn succeeded(status: WaitStatus) -> Result<()> {
    ensure!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
    Ok(())
}

/// A tracer sees the same calls, results and signals.
pub(super) fn same_sequence() -> Result<()> {
    let sequence = |command: &[&str]| -> Result<Vec<Step>> {
        let (steps, status) = follow(command, |_, _| Resume::Usual)?;
        succeeded(status)?;
        Ok(between_marks(&steps)?.to_vec())
    };
    let linux = sequence(&["/init", "inside", "calls-script"])?;
    ensure!(linux.len() > 20, "{linux:?}");
    for options in [
        &[][..],
        &NO_BATCH,
        &["--exclusive-wait"],
        &["--syscalls", "move=all"],
        &["--syscalls", "local=all"],
    ] {
        let job = sequence(&command(options, &["calls-script"]))?;
        ensure!(
            job == linux,
            "{options:?}: as a job {job:?}, on Linux {linux:?}"
        );
    }
    Ok(())
}

/// What a call became on its way in, and where that was carried out.
pub(super) fn changes() -> Result<()> {
    let trace = Trace::start(&CALLS)?;
    let mut is_next_emulated = false;
    let name = "/tmp/calls-changed";
    let script = format!("exec /bin/yod --syscall-batch no /init inside calls-changed > {name}");
    let (_, status) = follow(&["/bin/sh", "-c", &script], |stop, registers| {
        // CAST: numbers of calls and small arguments.
        let nr = registers.orig_rax as c_long;
        let mark = registers.rdi as i32;
        if is_next_emulated && stop == Stop::Enter {
            is_next_emulated = false;
            registers.rax = 1234;
            return Resume::Usual;
        }
        match (stop, nr, registers.rdx) {
            (Stop::Enter, libc::SYS_getpgid, _) if mark == marked(5) => {
                (registers.orig_rax, registers.rdi) = (libc::SYS_close as u64, 9999);
            }
            (Stop::Enter, libc::SYS_write, 5) => registers.orig_rax = libc::SYS_getppid as u64,
            (Stop::Enter, libc::SYS_write, 6) => registers.orig_rax = u64::MAX,
            (Stop::Leave, -1, 6) => registers.rax = 77,
            (Stop::Leave, libc::SYS_getpgid, _) if mark == marked(6) => {
                is_next_emulated = true;
                return Resume::Emulated;
            }
            _ => {}
        }
        Resume::Usual
    })?;
    succeeded(status)?;
    let told = std::fs::read_to_string(name).context(name)?;
    let wanted = "local Err(EBADF)\nmoved true\nskipped Ok(77)\nemulated Ok(1234)\nlast Ok(8)\n";
    ensure!(told == wanted, "{told}");
    let calls = Seen::new(&trace.stop()?)?.calls();
    // What was skipped or emulated never was a call to Linux.
    let made: Vec<c_long> = calls
        .iter()
        .map(|call| call.nr)
        .filter(|nr| *nr >= 0)
        .collect();
    let wanted = [
        libc::SYS_getpgid,
        libc::SYS_close,
        libc::SYS_getppid,
        libc::SYS_getpgid,
        libc::SYS_write,
    ];
    ensure!(made == wanted, "{calls:?}");
    for call in &calls {
        let moves = [libc::SYS_close, libc::SYS_write].contains(&call.nr);
        check_call(call, moves)?;
    }
    Ok(())
}

/// Registers of a thread whose moved call waits.
pub(super) fn registers() -> Result<()> {
    for how in [Glance::Attach, Glance::Seize] {
        let job = Blocked::start(&[])?;
        for round in 0..5 {
            let registers = glance(job.pid(), how).with_context(|| format!("round {round}"))?;
            // CAST: the number of a call.
            let nr = registers.orig_rax as c_long;
            ensure!(nr == libc::SYS_read, "{registers:?}");
            ensure!(registers.rdi == 0 && registers.rdx == 1, "{registers:?}");
            ensure!(
                registers.rip != 0 && registers.rip < 1 << 47,
                "{registers:?}"
            );
            job.wait().context("after it was let go")?;
        }
        let cpu = job.release()?;
        ensure!(is_lwk(cpu), "went on on CPU {cpu}");
    }
    Ok(())
}

/// The results of filtered calls, and where they ended.
fn filtered(action: &str, results: &str) -> Result<job::Finished> {
    let trace = Trace::start(&CALLS)?;
    let told = job::run(&mut job::yod_inside(&NO_BATCH, &["calls-filtered", action]))?;
    told.expect_code(0)?;
    ensure!(told.value("results")? == results, "{told:?}");
    let seen = Seen::new(&trace.stop()?)?;
    for event in &seen.events.0 {
        if event.call() == Some(libc::SYS_mkdir) {
            ensure!(is_lwk(event.cpu), "a call that was refused: {event:?}");
        }
    }
    // Others are moved as ever.
    for call in seen.calls() {
        let moves = [libc::SYS_openat, libc::SYS_read, libc::SYS_close];
        if moves.contains(&call.nr) {
            check_call(&call, true)?;
        }
    }
    Ok(told)
}

/// Filters.
pub(super) fn filters() -> Result<()> {
    filtered("fail", "[Some(18), Some(18)]")?;
    // Nobody traces.
    filtered("trace", "[Some(38), Some(38)]")?;
    let told = job::run(&mut job::yod_inside(&NO_BATCH, &["calls-filtered", "trap"]))?;
    told.expect_code(0)?;
    ensure!(told.value("handled")? == "2", "{told:?}");
    let cpus = cpus::parse(told.value("handlers")?)?;
    ensure!(cpus.iter().all(|cpu| is_lwk(*cpu)), "{told:?}");
    let told = job::run(&mut job::yod_inside(&[], &["calls-filtered", "kill"]))?;
    ensure!(told.signal == Some(libc::SIGSYS), "{told:?}");
    job::check_idle()
}

/// A filter that leaves it to a tracer, which lets one call pass and skips the other.
pub(super) fn traced_filter() -> Result<()> {
    let mut asked = 0;
    let (steps, status) = follow(
        &command(&NO_BATCH, &["calls-filtered", "trace"]),
        |stop, registers| {
            if stop == Stop::Filter {
                asked += 1;
                if asked == 2 {
                    registers.orig_rax = u64::MAX;
                    registers.rax = (-i64::from(libc::EPERM)).cast_unsigned();
                }
            }
            Resume::Usual
        },
    )?;
    succeeded(status)?;
    ensure!(asked == 2, "asked {asked} times");
    let results: Vec<_> = between_marks(&steps)?
        .iter()
        .filter_map(|step| match step {
            Step::Call(libc::SYS_mkdir | -1, outcome) => Some(*outcome),
            _ => None,
        })
        .collect();
    let wanted = [0, -i64::from(libc::EPERM)].map(Outcome::Number);
    ensure!(results == wanted, "{steps:?}");
    Ok(())
}
