// SPDX-License-Identifier: GPL-2.0
//! How long a reservation lives: as long as its descriptor or the last task of its job, and not a moment longer.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use lwk_logic::uapi;
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use rustix::io::Errno;

use super::LWK;
use crate::cpus::{self, Cpus};
use crate::harness::Case;
use crate::job::{self, Beating};
use crate::sys::lwk::{self, size_of_abi, IoResult};
use crate::{proc, sys};

/// The suite.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "busy",
        "CPUs of a living job cannot be reserved again",
        busy,
    ),
    Case::new(
        "side-by-side",
        "two jobs compute at the same time on a CPU each",
        side_by_side,
    ),
    Case::new(
        "free-at-once",
        "CPUs are free as soon as the last task's parent knows of its end",
        free_at_once,
    )
    .limit_s(60),
    Case::new(
        "last-task",
        "a job outlives its first process and ends with its last task",
        last_task,
    ),
    Case::new(
        "descriptor",
        "a reservation nobody entered ends when its descriptor is closed",
        descriptor,
    ),
    Case::new(
        "duplicate",
        "a duplicated descriptor keeps the reservation",
        duplicate,
    ),
    Case::new(
        "inherited",
        "a descriptor inherited by fork keeps the reservation until that process is killed",
        inherited,
    ),
    Case::new(
        "one-job-each",
        "one descriptor reserves one job",
        one_job_each,
    ),
    Case::new(
        "not-mine",
        "only the job of the descriptor can be entered",
        not_mine,
    ),
    Case::new(
        "two-threads",
        "a process with two threads cannot enter a job",
        two_threads,
    ),
    Case::new(
        "taken-back",
        "nobody is left in a job that the kernel took back because its id could not be told",
        crate::fuzz::enter_jobs_taken_back,
    )
    .limit_s(120),
    Case::new(
        "thread-exit",
        "a job whose main thread has ended lives on in its other threads",
        thread_exit,
    ),
];

/// Asks for exactly these CPUs; the reservation lives as long as the file.
fn reserve(device: &File, cpus: &[usize]) -> IoResult<u32> {
    let words = [cpus::to_word(cpus)];
    let mut create = uapi::JobCreate {
        size: size_of_abi::<uapi::JobCreate>(),
        // CAST: pointers travel as `u64` in the ABI.
        cpus_ptr: words.as_ptr() as u64,
        nr_bits: 64,
        ..Default::default()
    };
    lwk::job_create(device, &mut create, &[]).map(|()| create.job)
}

fn expect_busy(cpus: &[usize]) -> Result<()> {
    let result = reserve(&lwk::open()?, cpus);
    ensure!(
        result == Err(Errno::BUSY),
        "reserving {cpus:?} a second time: {result:?}"
    );
    Ok(())
}

fn busy() -> Result<()> {
    let mut first = Beating::start(&["-c", "2"])?;
    expect_busy(&[2])?;
    expect_busy(&LWK)?;
    for options in [&["-c", "2"][..], &["-c", "2-3"]] {
        let refused = job::run(&mut job::yod_inside(options, &["where"]))?;
        refused.expect_code(125)?;
    }
    let free = job::run(&mut job::yod_inside(&["-c", "3"], &["where"]))?;
    ensure!(free.value("affinity")? == "3", "{free:?}");
    let rest = job::run(&mut job::yod_inside(&[], &["where"]))?;
    ensure!(
        rest.value("affinity")? == "3",
        "all that is free is CPU 3: {rest:?}"
    );
    first.beats(3)?;
    first.kill()?;
    job::check_idle().context("right after the job was reaped")?;
    let free = job::run(&mut job::yod_inside(&["-c", "2-3"], &["where"]))?;
    free.expect_code(0)
}

fn side_by_side() -> Result<()> {
    let mut one = Beating::start(&["-c", "2"])?;
    let mut two = Beating::start(&["-c", "3"])?;
    let jobs = job::jobs()?;
    let sets: Vec<_> = jobs.iter().map(|job| job.cpus.clone()).collect();
    ensure!(sets == [Cpus::from([2]), Cpus::from([3])], "{jobs:?}");
    expect_busy(&[3])?;
    for _ in 0..5 {
        one.beats(2)?;
        two.beats(2)?;
    }
    one.kill()?;
    two.beats(2)?;
    ensure!(job::jobs()?.len() == 1, "{:?}", job::jobs()?);
    two.kill()
}

fn free_at_once() -> Result<()> {
    for round in 0..20 {
        job::run(&mut job::yod(&["-c", "2-3", "true"]))?.success()?;
        job::check_idle()
            .with_context(|| format!("round {round}, right after the job was reaped"))?;
        let device = lwk::open()?;
        reserve(&device, &LWK).with_context(|| format!("round {round}"))?;
        drop(device);
        job::run(&mut job::yod_inside(&["-c", "2-3"], &["threads", "3"]))?.success()?;
        job::check_idle()
            .with_context(|| format!("round {round}, right after the threads were reaped"))?;
    }
    Ok(())
}

fn last_task() -> Result<()> {
    job::run(&mut job::yod(&[
        "-c",
        "2",
        "sh",
        "-c",
        "sleep 1000 </dev/null >/dev/null 2>&1 &",
    ]))?
    .success()?;
    let jobs = job::jobs()?;
    ensure!(
        jobs.len() == 1 && jobs.iter().all(|job| job.nr_tasks == 1),
        "{jobs:?}"
    );
    expect_busy(&[2])?;
    let sleeper = proc::processes()
        .into_iter()
        .find(|p| p.comm == "sleep")
        .context("no sleep runs")?;
    ensure!(
        cpus::affinity(sleeper.pid)? == Cpus::from([2]),
        "{sleeper:?}"
    );
    kill(Pid::from_raw(sleeper.pid), Signal::SIGKILL).context("kill")?;
    job::reap_all(Duration::from_secs(20))?;
    job::check_idle().context("right after the last task was reaped")
}

fn descriptor() -> Result<()> {
    let device = lwk::open()?;
    let id = reserve(&device, &[3])?;
    expect_busy(&[3])?;
    let jobs = job::jobs()?;
    ensure!(
        jobs.len() == 1 && jobs.iter().all(|job| job.id == id && job.nr_tasks == 0),
        "{jobs:?}"
    );
    drop(device);
    job::check_idle().context("right after close")?;
    let again = lwk::open()?;
    let next = reserve(&again, &[3])?;
    ensure!(next != id && next != 0, "job id {id} came again as {next}");
    Ok(())
}

fn duplicate() -> Result<()> {
    let device = lwk::open()?;
    reserve(&device, &[3])?;
    let copy = sys::inheritable(device.as_fd())?;
    drop(device);
    expect_busy(&[3])?;
    drop(copy);
    job::check_idle().context("right after the last close")
}

fn inherited() -> Result<()> {
    let device = lwk::open()?;
    reserve(&device, &LWK)?;
    let holder = sys::spawn(|| {
        std::thread::sleep(Duration::from_secs(1000));
        0
    })?;
    drop(device);
    expect_busy(&LWK)?;
    kill(holder, Signal::SIGKILL).context("kill")?;
    job::reap_all(Duration::from_secs(20))?;
    job::check_idle().context("right after the holder was reaped")
}

fn one_job_each() -> Result<()> {
    let device = lwk::open()?;
    reserve(&device, &[2])?;
    let second = reserve(&device, &[3]);
    ensure!(
        second.is_err(),
        "a second job on one descriptor: {second:?}"
    );
    ensure!(job::jobs()?.len() == 1, "{:?}", job::jobs()?);
    Ok(())
}

fn enter(device: &File, job: u32) -> IoResult<()> {
    let mut enter = uapi::JobEnter {
        size: size_of_abi::<uapi::JobEnter>(),
        job,
        ..Default::default()
    };
    lwk::job_enter(device, &mut enter, &[])
}

fn not_mine() -> Result<()> {
    let before = cpus::affinity(0)?;
    let (empty, one, two) = (lwk::open()?, lwk::open()?, lwk::open()?);
    let (first, second) = (reserve(&one, &[2])?, reserve(&two, &[3])?);
    for (device, job) in [
        (&empty, first),
        (&empty, 0),
        (&one, second),
        (&two, first),
        (&one, 0),
        (&one, u32::MAX),
    ] {
        let result = enter(device, job);
        ensure!(
            result.is_err(),
            "entered job {job} with a descriptor that is not its own"
        );
    }
    ensure!(
        cpus::affinity(0)? == before,
        "a refused call changed the affinity to {:?}",
        cpus::affinity(0)?
    );
    Ok(())
}

fn two_threads() -> Result<()> {
    let mut program = std::process::Command::new("/init");
    let told = job::run(program.args(["inside", "two-threaded-enter"]))?;
    told.expect_code(0)?;
    ensure!(told.value("enter")?.starts_with("Err("), "{told:?}");
    Ok(())
}

fn thread_exit() -> Result<()> {
    let mut command = job::yod_inside(&["-c", "3"], &["orphan-thread"]);
    let mut job = command.process_group(0).spawn().context("yod")?;
    let pid = job.id().cast_signed();
    job::eventually(Duration::from_secs(20), "a main thread that ended", || {
        Ok(proc::processes()
            .iter()
            .any(|p| p.pid == pid && p.state == 'Z'))
    })?;
    let jobs = job::jobs()?;
    ensure!(
        jobs.len() == 1 && jobs.iter().all(|job| job.nr_tasks == 1),
        "{jobs:?}"
    );
    expect_busy(&[3])?;
    job.kill().context("kill")?;
    job.wait().context("wait")?;
    job::check_idle().context("right after the job was reaped")
}
