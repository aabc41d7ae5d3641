// SPDX-License-Identifier: GPL-2.0
//! Partitions that are made, changed and ended while the machine works, on four CPUs booted with an empty `lwkcpus=`.

use std::fs;
use std::time::Duration;

use anyhow::{anyhow, ensure, Context, Result};
use lwk_logic::uapi::{EntryKind, Refusal};
use rustix::io::Errno;

use super::noise::{entry, Spinner};
use super::{cpusets, handover};
use crate::cpus::{self, Cpus};
use crate::harness::{Case, Skip};
use crate::init;
use crate::job::{self, Beating};
use crate::partition::{create, delete, delete_all, resize, Change, Refused};
use crate::snapshot;

/// The suite.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "create",
        "a partition made at run time runs jobs like one of the boot line",
        created,
    )
    .around(none, delete_all)
    .limit_s(60),
    Case::new(
        "restored",
        "its end gives the CPUs back as they were, with all masks and affinities",
        restored,
    )
    .around(none, delete_all)
    .limit_s(60),
    Case::new(
        "resize",
        "a partition grows and shrinks while a job computes in it",
        resized,
    )
    .around(none, delete_all)
    .limit_s(60),
    Case::new(
        "two",
        "making a second partition enters the first one's computing CPU at most once for each CPU taken",
        two,
    )
    .around(none, delete_all)
    .limit_s(60),
    Case::new(
        "refused",
        "every change that cannot be is refused with its reason and changes nothing",
        refused,
    )
    .around(none, delete_all)
    .limit_s(60),
    Case::new(
        "rollback",
        "an error at whatever step of a change leaves everything as it was",
        rollback,
    )
    .around(none, delete_all)
    .limit_s(120),
    Case::new(
        "fail-down",
        "a step of Linux' CPU hotplug that fails on the way down leaves each CPU in the hands where it was",
        handover::down,
    )
    .around(none, handover::cleanup)
    .limit_s(300),
    Case::new(
        "fail-up",
        "nor does one that fails on the way up leave a CPU of the LWK active, or one of Linux inactive",
        handover::up,
    )
    .around(none, handover::cleanup)
    .limit_s(300),
    Case::new(
        "hotplug-race",
        "a CPU that somebody brings on line while it changes hands is one side's or the other's",
        handover::race,
    )
    .around(none, handover::cleanup)
    .limit_s(90),
    Case::new(
        "hotplug-target",
        "so is one that went off line and on line behind its device's back",
        handover::target,
    )
    .around(none, handover::cleanup)
    .limit_s(60),
    Case::new(
        "sibling",
        "a hardware thread that was off line when a partition got the core stays so",
        handover::sibling,
    )
    .around(none, handover::cleanup)
    .limit_s(60),
    Case::new(
        "sched-ext",
        "a scheduler of sched_ext has no say in who has which CPU, and none comes beside a partition",
        handover::sched_ext,
    )
    .around(none, handover::cleanup)
    .limit_s(60),
    Case::new(
        "zombies",
        "a job is forgotten with its last zombie, though the last partition went before",
        handover::zombies,
    )
    .around(handover::watch_zombies, handover::forget_zombies)
    .limit_s(60),
    Case::new(
        "cpusets",
        "a job keeps its CPUs in whatever cpuset, and who is not in it has those of the cpuset",
        cpusets::moved_job,
    )
    .around(cpusets::setup, cpusets::cleanup)
    .limit_s(90),
    Case::new(
        "cpusets-born",
        "so do children that a job makes in another cpuset",
        cpusets::born,
    )
    .around(cpusets::setup, cpusets::cleanup)
    .limit_s(60),
    Case::new(
        "cpusets-meanwhile",
        "partitions come and go while somebody moves a task from cpuset to cpuset",
        cpusets::moved_meanwhile,
    )
    .around(cpusets::setup, cpusets::cleanup)
    .limit_s(60),
    Case::new(
        "cpusets-isolated",
        "unbound work keeps off isolated cpusets and partitions in whatever order they come and go",
        cpusets::isolated,
    )
    .around(cpusets::setup, cpusets::cleanup)
    .limit_s(60),
    Case::new(
        "cycles",
        "200 partitions of sizes 1 to 3 come, change and go under load and leave nothing behind",
        cycles,
    )
    .around(none, delete_all)
    .limit_s(600),
];

/// The suite of a machine with 64 CPUs on 4 nodes.
pub(super) const WIDE: &[Case] = &[Case::new(
    "wide",
    "half of 64 CPUs become a partition, run a thread each, and come back as they were",
    wide,
)
.around(none, delete_all)
.limit_s(300)];

fn none() -> Result<()> {
    Ok(())
}

pub(super) fn done<T>(change: core::result::Result<T, Refused>) -> Result<T> {
    change.map_err(|refused| anyhow!("{refused:?}"))
}

/// Waits until the last task of a job that was told to end has ended.
pub(super) fn jobs_end() -> Result<()> {
    job::eventually(Duration::from_secs(10), "the job's end", || {
        Ok(job::jobs()?.is_empty())
    })
}

fn owners() -> Result<Vec<u32>> {
    (0..4).map(|cpu| Ok(job::cpu(cpu)?.partition)).collect()
}

fn runs_on(list: &str, wanted: &str) -> Result<()> {
    run_threads(list, "4", wanted)
}

fn run_threads(list: &str, count: &str, wanted: &str) -> Result<()> {
    let told = job::run(&mut job::yod_inside(&["-c", list], &["threads", count]))?;
    told.expect_code(0)?;
    ensure!(told.value("cpus")? == wanted, "{told:?}");
    Ok(())
}

fn created() -> Result<()> {
    let id = done(create("work", &[2, 3], &[0])?)?;
    ensure!(owners()? == [id, 0, id, id], "{:?}", owners()?);
    runs_on("2-3", "2,3")?;
    ensure!(
        cpus::affinity(0)? == Cpus::from([0, 1]),
        "Linux may use {:?}",
        cpus::affinity(0)?
    );
    done(delete(id)?)?;
    ensure!(
        owners()? == [0; 4] && job::partitions()?.is_empty(),
        "{:?}",
        job::partitions()?
    );
    Ok(())
}

fn restored() -> Result<()> {
    // One that may run on a CPU to be taken only, and one that may run there, too.
    let bound: Vec<_> = [&[3][..], &[1, 2]]
        .into_iter()
        .map(|list| {
            let child = std::process::Command::new("/bin/busybox")
                .args(["sleep", "1000"])
                .spawn()
                .context("sleep")?;
            let pid = i32::try_from(child.id()).context("pid")?;
            cpus::set_affinity(pid, &list.iter().copied().collect())
                .context("sched_setaffinity")?;
            Ok(child)
        })
        .collect::<Result<_>>()?;
    let before = snapshot::take()?;
    let id = done(create("work", &[2, 3], &[])?)?;
    ensure!(
        snapshot::compare(&before, &snapshot::take()?).is_err(),
        "a partition changed nothing"
    );
    done(delete(id)?)?;
    let after = snapshot::take()?;
    for mut child in bound {
        child.kill().context("kill")?;
        child.wait().context("wait")?;
    }
    snapshot::compare(&before, &after)?;
    for cpu in 0..4 {
        cpus::set_affinity(0, &Cpus::from([cpu]))
            .with_context(|| format!("moving to CPU {cpu}"))?;
        ensure!(rustix::thread::sched_getcpu() == cpu, "not on CPU {cpu}");
    }
    cpus::set_affinity(0, &(0..4).collect()).context("moving back")?;
    Ok(())
}

fn wide() -> Result<()> {
    let before = snapshot::take()?;
    let half: Vec<usize> = (32..64).collect();
    let id = done(create("half", &half, &[0, 1])?)?;
    let numbers: Vec<String> = half.iter().map(usize::to_string).collect();
    run_threads("32-63", "32", &numbers.join(","))?;
    jobs_end()?;
    done(delete(id)?)?;
    snapshot::compare(&before, &snapshot::take()?)
}

fn resized() -> Result<()> {
    let id = done(create("work", &[3], &[])?)?;
    let mut job = Beating::start(&["-c", "3"])?;
    for _ in 0..3 {
        done(resize(id, &[1, 2], &[])?)?;
        ensure!(owners()? == [0, id, id, id], "{:?}", owners()?);
        runs_on("1-2", "1,2")?;
        job.beats(3)?;
        done(resize(id, &[], &[1])?)?;
        // Both at once.
        done(resize(id, &[1], &[2])?)?;
        ensure!(owners()? == [0, id, 0, id], "{:?}", owners()?);
        done(resize(id, &[], &[1])?)?;
        job.beats(3)?;
    }
    ensure!(
        cpus::affinity(job.pid())? == Cpus::from([3]),
        "the job moved"
    );
    job.kill()?;
    done(delete(id)?)
}

fn two() -> Result<()> {
    let first = done(create("first", &[3], &[])?)?;
    let spinner = Spinner::start()?;
    let count = || -> Result<u64> {
        let cpu = job::cpu(3)?;
        Ok(EntryKind::ALL.iter().map(|kind| entry(&cpu, *kind)).sum())
    };
    let before = count()?;
    let second = done(create("second", &[1, 2], &[])?)?;
    let entries = count()? - before;
    ensure!(entries <= 2, "{entries} entries while two CPUs were taken");
    done(delete(second)?)?;
    spinner.end()?;
    jobs_end()?;
    done(delete(first)?)
}

/// Expects a change to be refused for this reason.
fn refuses<T: std::fmt::Debug>(
    what: core::result::Result<T, Refused>,
    errno: Errno,
    refusal: Refusal,
    cpu: u32,
) -> Result<()> {
    let wanted = Refused {
        errno,
        refusal,
        cpu,
    };
    match what {
        Err(refused) if refused == wanted => Ok(()),
        other => Err(anyhow!("wanted {wanted:?}, got {other:?}")),
    }
}

fn refused() -> Result<()> {
    let id = done(create("work", &[3], &[1])?)?;
    let mut job = Beating::start(&["-c", "3"])?;
    let before = (snapshot::take()?, job::partitions()?);
    refuses(create("a", &[0], &[])?, Errno::PERM, Refusal::KeepsTime, 0)?;
    refuses(create("a", &[9], &[])?, Errno::NODEV, Refusal::NotOnline, 9)?;
    refuses(create("a", &[3], &[])?, Errno::BUSY, Refusal::Taken, 3)?;
    refuses(create("a", &[1], &[])?, Errno::BUSY, Refusal::Serves, 1)?;
    refuses(
        create("a", &[2], &[2])?,
        Errno::INVAL,
        Refusal::BothRoles,
        2,
    )?;
    refuses(create("a", &[], &[])?, Errno::INVAL, Refusal::Empty, 0)?;
    refuses(
        create("work", &[2], &[])?,
        Errno::EXIST,
        Refusal::NameTaken,
        0,
    )?;
    for name in ["", "-x", "a b", "a/b", "0123", &"x".repeat(32)] {
        refuses(create(name, &[2], &[])?, Errno::INVAL, Refusal::BadName, 0)?;
    }
    refuses(
        resize(7, &[2], &[])?,
        Errno::NODEV,
        Refusal::NoSuchPartition,
        0,
    )?;
    refuses(
        resize(0, &[2], &[])?,
        Errno::NODEV,
        Refusal::NoSuchPartition,
        0,
    )?;
    refuses(resize(id, &[3], &[])?, Errno::BUSY, Refusal::Taken, 3)?;
    refuses(resize(id, &[2], &[2])?, Errno::INVAL, Refusal::BothRoles, 2)?;
    refuses(resize(id, &[], &[2])?, Errno::NODEV, Refusal::NotOwned, 2)?;
    refuses(resize(id, &[2], &[3])?, Errno::BUSY, Refusal::InUse, 3)?;
    refuses(delete(id)?, Errno::BUSY, Refusal::InUse, 0)?;
    refuses(delete(7)?, Errno::NODEV, Refusal::NoSuchPartition, 0)?;
    snapshot::compare(&before.0, &snapshot::take()?)?;
    ensure!(before.1 == job::partitions()?, "{:?}", job::partitions()?);
    job.beats(3)?;
    job.kill()?;
    jobs_end()?;
    refuses(resize(id, &[], &[3])?, Errno::INVAL, Refusal::Empty, 0)?;
    done(delete(id)?)
}

pub(super) const FAIL: &str = "/sys/kernel/debug/fail_function";

/// -ENOMEM as a function returns it.
const NOMEM: &str = "0xfffffffffffffff4";

/// Has the `nth` call of a kernel function from here on fail, once, by returning `value` at once.
pub(super) fn fail(function: &str, nth: usize, value: &str) -> Result<()> {
    let write = |file: &str, text: &str| {
        fs::write(format!("{FAIL}/{file}"), text).with_context(|| format!("{file} of {FAIL}"))
    };
    write("inject", "\n")?;
    write("inject", function)?;
    write(&format!("{function}/retval"), value)?;
    write("verbose", "0")?;
    write("probability", "100")?;
    write("interval", &nth.to_string())?;
    write("times", "1")
}

/// Makes `what`, which moves two CPUs, fail at every call of the functions that it consists of.
fn fails_everywhere(nr_taken: usize, what: impl Fn() -> Change<()>) -> Result<()> {
    for (function, nr_calls) in [
        ("lwk_c_fair_server_set", 2),
        // Only for CPUs that leave Linux.
        ("lwk_c_irqs_leave", nr_taken),
        ("lwk_c_cpu_offline", 2),
        ("lwk_c_cpu_online", 2),
        ("lwk_c_workqueues_exclude", 1),
    ] {
        for nth in 1..=nr_calls {
            let before = (snapshot::take()?, job::partitions()?);
            fail(function, nth, NOMEM)?;
            let result = what()?;
            fs::write(format!("{FAIL}/inject"), "\n").context("ending the injection")?;
            let refused = result
                .err()
                .with_context(|| format!("{function}, call {nth}: no error"))?;
            ensure!(
                refused.errno == Errno::NOMEM,
                "{function}, call {nth}: {refused:?}"
            );
            snapshot::compare(&before.0, &snapshot::take()?)
                .with_context(|| format!("{function}, call {nth}"))?;
            ensure!(
                before.1 == job::partitions()?,
                "{function}, call {nth}: {:?}",
                job::partitions()?
            );
        }
    }
    Ok(())
}

fn rollback() -> Result<()> {
    if fs::metadata(FAIL).is_err() {
        return Err(Skip("only the debug kernel has CONFIG_FAIL_FUNCTION").into());
    }
    fails_everywhere(2, || Ok(create("work", &[2, 3], &[])?.map(drop)))?;
    let id = done(create("work", &[1, 2], &[])?)?;
    // One comes and one goes, so each function is called.
    fails_everywhere(1, || resize(id, &[3], &[1]))?;
    runs_on("1-2", "1,2")?;
    jobs_end()?;
    done(delete(id)?)
}

fn cycles() -> Result<()> {
    let before = snapshot::take()?;
    let mut load = std::process::Command::new("/init")
        .args(["inside", "storm"])
        .spawn()
        .context("storm")?;
    // The debug kernel needs its time for each, so that it does each combination once; `lwktest.cycles=200` has it do all.
    let words = init::boot_words()?;
    let count = match words.get("lwktest.cycles") {
        Some(text) => text.parse().context("lwktest.cycles")?,
        None if init::factor()? > 1 => 12,
        None => 200,
    };
    for round in 0..count {
        let cpus: &[usize] = match round % 3 {
            0 => &[3],
            1 => &[2, 3],
            _ => &[1, 2, 3],
        };
        let id = done(create("cycle", cpus, &[])?).with_context(|| format!("round {round}"))?;
        match round % 4 {
            0 => runs_on("3", "3")?,
            1 if cpus.len() < 3 => done(resize(id, &[1], &[])?)?,
            2 if cpus.len() > 1 => done(resize(id, &[], &[2])?)?,
            _ => {}
        }
        jobs_end()?;
        done(delete(id)?).with_context(|| format!("round {round}"))?;
    }
    load.kill().context("kill")?;
    load.wait().context("wait")?;
    ensure!(owners()? == [0; 4], "{:?}", owners()?);
    snapshot::compare(&before, &snapshot::take()?)
}
