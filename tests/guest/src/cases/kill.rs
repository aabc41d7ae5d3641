// SPDX-License-Identifier: GPL-2.0
//! Killing at any moment leaves no reservation behind.

use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use lwk_logic::uapi;
use nix::sys::signal::{kill, killpg, Signal};
use nix::unistd::Pid;

use super::LWK;
use crate::harness::Case;
use crate::random::Random;
use crate::sys::lwk::{self, size_of_abi};
use crate::{job, proc, sys};

/// The suite.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "holder",
        "killing a process that only holds a descriptor frees its CPUs",
        holder,
    ),
    Case::new(
        "any-moment",
        "200 times, yod or its job is killed at a random moment; nothing is left",
        any_moment,
    )
    .limit_s(240),
];

/// How often the random test kills.
const ROUNDS: u32 = 200;

fn holder() -> Result<()> {
    for _ in 0..20 {
        let (ready, told) = std::io::pipe().context("pipe")?;
        let holder = sys::spawn(move || hold(told))?;
        std::io::Read::read_exact(&mut &ready, &mut [0; 1]).context("the holder's sign")?;
        ensure!(job::jobs()?.len() == 1, "{:?}", job::jobs()?);
        kill(holder, Signal::SIGKILL).context("kill")?;
        job::reap_all(Duration::from_secs(20))?;
        job::check_idle().context("right after the holder was reaped")?;
    }
    Ok(())
}

/// Reserves all CPUs, says so and waits for its end.
fn hold(mut told: std::io::PipeWriter) -> u8 {
    let Ok(device) = lwk::open() else { return 1 };
    let mut create = uapi::JobCreate {
        size: size_of_abi::<uapi::JobCreate>(),
        ..Default::default()
    };
    if lwk::job_create(&device, &mut create, &[]).is_err()
        || std::io::Write::write_all(&mut told, b".").is_err()
    {
        return 1;
    }
    std::thread::sleep(Duration::from_secs(1000));
    0
}

fn any_moment() -> Result<()> {
    let mut random = Random(0x5eed_0000_0000_0001);
    let start = time_to_start()?;
    let (mut before_entry, mut with_job) = (0, 0);
    for round in 0..ROUNDS {
        let jobs = one_round(&mut random, start).with_context(|| format!("round {round}"))?;
        if jobs == 0 {
            before_entry += 1;
        } else {
            with_job += 1;
        }
    }
    println!("killed {before_entry} times without and {with_job} times with a job, which begins after {start:?}");
    ensure!(
        with_job >= ROUNDS / 4,
        "only {with_job} of {ROUNDS} rounds met a job: the moments are badly chosen"
    );
    Ok(())
}

/// Starts yod with a job in a process group of its own.
fn start() -> Result<Pid> {
    let mut command = job::yod_inside(&["-c", "2-3"], &["storm"]);
    let yod = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("yod")?;
    Ok(Pid::from_raw(yod.id().cast_signed()))
}

/// How long it takes on this machine until there is a job.
fn time_to_start() -> Result<Duration> {
    let begun = Instant::now();
    let group = start()?;
    while job::jobs()?.is_empty() {
        ensure!(
            begun.elapsed() < Duration::from_secs(60),
            "yod makes no job"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    let time = begun.elapsed();
    killpg(group, Signal::SIGKILL).context("killing yod")?;
    job::reap_all(Duration::from_secs(60))?;
    Ok(time)
}

/// Starts a job, kills some of it at a random moment and then the rest; returns how many jobs there were then.
fn one_round(random: &mut Random, time_to_start: Duration) -> Result<usize> {
    let group = start()?;
    // Half of the moments lie around the start: fork, exec, reservation, entry, exec.
    let longest = time_to_start * if random.below(2) == 0 { 2 } else { 4 };
    let longest = u64::try_from(longest.as_micros())?;
    std::thread::sleep(Duration::from_micros(random.below(longest)));
    let jobs = job::jobs()?.len();
    match random.below(3) {
        0 => kill(group, Signal::SIGKILL).context("killing yod")?,
        1 => {
            let members: Vec<_> = proc::processes()
                .into_iter()
                .filter(|p| p.pgrp == group.as_raw())
                .collect();
            let chosen = members.get(usize::try_from(random.below(members.len().max(1) as u64))?);
            if let Some(victim) = chosen {
                // It may have ended by itself since it was seen.
                let _ = kill(Pid::from_raw(victim.pid), Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_micros(random.below(5_000)));
        }
        _ => {}
    }
    // Whoever is left; ESRCH says that nobody is.
    let _ = killpg(group, Signal::SIGKILL);
    job::reap_all(Duration::from_secs(60))?;
    job::check_idle().context("right after everything was reaped")?;
    let partitions = job::partitions()?;
    ensure!(
        partitions.iter().all(|p| p.nr_free == LWK.len() as u32),
        "{partitions:?}"
    );
    Ok(jobs)
}
