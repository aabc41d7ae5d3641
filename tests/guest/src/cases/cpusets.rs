// SPDX-License-Identifier: GPL-2.0
//! Cpusets of Linux beside partitions and jobs. Run by the suite about partitions.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;

use anyhow::{ensure, Context, Result};

use super::partition::{done, jobs_end};
use crate::cpus::{self, Cpus};
use crate::job::{self, Beating};
use crate::partition::{create, delete, resize};
use crate::proc;

const ROOT: &str = "/sys/fs/cgroup";

fn write(group: &str, file: &str, text: &str) -> Result<()> {
    fs::write(format!("{ROOT}/{group}/{file}"), text)
        .with_context(|| format!("{text:?} to {file} of cgroup {group:?}"))
}

fn make(group: &str) -> Result<()> {
    fs::create_dir(format!("{ROOT}/{group}")).with_context(|| format!("mkdir {group}"))
}

pub(super) fn setup() -> Result<()> {
    write("", "cgroup.subtree_control", "+cpuset")
}

/// Removes what the cases make.
pub(super) fn cleanup() -> Result<()> {
    for group in ["one", "two", "three/threads", "three", "own", "quiet"] {
        let path = format!("{ROOT}/{group}");
        if !Path::new(&path).exists() {
            continue;
        }
        for pid in fs::read_to_string(format!("{path}/cgroup.procs"))
            .unwrap_or_default()
            .lines()
        {
            drop(write("", "cgroup.procs", pid));
        }
        fs::remove_dir(&path).with_context(|| format!("rmdir {path}"))?;
    }
    crate::partition::delete_all()?;
    write("", "cgroup.subtree_control", "-cpuset")
}

/// Expects a job to have its CPUs, and its nodes to be those that its cpuset lets it have.
fn check_job(job: &mut Beating, cpus: &[usize], about: &str) -> Result<()> {
    let pid = job.pid();
    let affinity = cpus::affinity(pid)?;
    ensure!(
        affinity == cpus.iter().copied().collect(),
        "{about}: the job may run on {affinity:?}"
    );
    let nodes = proc::status_field(&format!("/proc/{pid}/status"), "Mems_allowed_list")?;
    ensure!(nodes == "0", "{about}: nodes {nodes}");
    job.beats(2).with_context(|| about.to_owned())
}

/// A job goes from cpuset to cpuset, and the cpusets change below it.
pub(super) fn moved_job() -> Result<()> {
    for (group, list) in [("one", "0"), ("two", "1")] {
        make(group)?;
        write(group, "cpuset.cpus", list)?;
        write(group, "cpuset.mems", "0")?;
    }
    let id = done(create("work", &[2, 3], &[])?)?;
    let mut job = Beating::start(&["-c", "2-3"])?;
    let pid = job.pid().to_string();
    let both = [2, 3];
    for group in ["one", "two", "", "one"] {
        write(group, "cgroup.procs", &pid)?;
        check_job(&mut job, &both, &format!("in {group:?}"))?;
    }
    for list in ["1", "0-1", "0-3", "3", "2-3", "0"] {
        write("one", "cpuset.cpus", list)?;
        check_job(&mut job, &both, &format!("in a cpuset that becomes {list}"))?;
    }
    // The job's own choice stays as well, and can be taken back.
    cpus::set_affinity(job.pid(), &Cpus::from([3])).context("sched_setaffinity")?;
    for group in ["two", "", "one"] {
        write(group, "cgroup.procs", &pid)?;
        check_job(&mut job, &[3], &format!("on one CPU, in {group:?}"))?;
    }
    cpus::set_affinity(job.pid(), &Cpus::from(both)).context("sched_setaffinity")?;
    // A cpuset that has a CPU of the job for itself.
    make("own")?;
    write("own", "cpuset.cpus", "1,3")?;
    write("own", "cpuset.cpus.partition", "root")?;
    for group in ["", "two", ""] {
        write(group, "cgroup.procs", &pid)?;
        check_job(
            &mut job,
            &both,
            &format!("beside a partition, in {group:?}"),
        )?;
    }
    write("own", "cpuset.cpus.partition", "member")?;
    // Thread by thread.
    make("three")?;
    make("three/threads")?;
    write("three/threads", "cgroup.type", "threaded")?;
    write("three", "cgroup.subtree_control", "+cpuset")?;
    write("three/threads", "cpuset.cpus", "1")?;
    write("three", "cgroup.procs", &pid)?;
    write("three/threads", "cgroup.threads", &pid)?;
    check_job(&mut job, &both, "in a threaded cgroup")?;
    write("", "cgroup.procs", &pid)?;
    // Who is not in the job is where the cpuset says.
    let mut sleeper = std::process::Command::new("/bin/busybox")
        .args(["sleep", "1000"])
        .spawn()
        .context("sleep")?;
    write("two", "cgroup.procs", &sleeper.id().to_string())?;
    let affinity = cpus::affinity(sleeper.id().cast_signed())?;
    ensure!(affinity == Cpus::from([1]), "a task of Linux: {affinity:?}");
    sleeper.kill().context("kill")?;
    sleeper.wait().context("wait")?;
    job.kill()?;
    jobs_end()?;
    done(delete(id)?)
}

/// Partitions come and go, for which Linux makes workers, while somebody moves a task from cpuset to cpuset.
pub(super) fn moved_meanwhile() -> Result<()> {
    make("one")?;
    make("two")?;
    let mut sleeper = std::process::Command::new("/bin/busybox")
        .args(["sleep", "1000"])
        .spawn()
        .context("sleep")?;
    let pid = sleeper.id().to_string();
    let (moves, is_over) = (AtomicU32::new(0), AtomicBool::new(false));
    let changed = thread::scope(|scope| {
        let mover = scope.spawn(|| -> Result<()> {
            while !is_over.load(Relaxed) {
                write("one", "cgroup.procs", &pid)?;
                write("two", "cgroup.procs", &pid)?;
                moves.fetch_add(2, Relaxed);
            }
            Ok(())
        });
        let changed = [&[2, 3][..], &[3], &[1, 2], &[1, 3], &[2], &[1, 2, 3]]
            .iter()
            .try_for_each(|cpus| {
                let id = done(create("work", cpus, &[])?)?;
                done(delete(id)?)
            });
        is_over.store(true, Relaxed);
        let moved = mover.join().expect("it does not panic");
        changed.and(moved)
    });
    sleeper.kill().context("kill")?;
    sleeper.wait().context("wait")?;
    changed?;
    let moves = moves.into_inner();
    println!("moved {moves} times");
    ensure!(moves > 10, "moved only {moves} times");
    Ok(())
}

/// A job makes children in another cpuset and in its own.
pub(super) fn born() -> Result<()> {
    make("one")?;
    write("one", "cpuset.cpus", "0")?;
    let id = done(create("work", &[2, 3], &[])?)?;
    let path = format!("{ROOT}/one");
    job::run(&mut job::yod_inside(
        &["-c", "2-3"],
        &["into-cgroup", &path],
    ))?
    .success()?;
    jobs_end()?;
    done(delete(id)?)
}

fn mask(file: &str) -> Result<Cpus> {
    let path = format!("/sys/devices/virtual/workqueue/{file}");
    let text = fs::read_to_string(&path).context(path)?;
    let word = u64::from_str_radix(&text.trim().replace(',', ""), 16).context(text)?;
    Ok(cpus::from_words(&[word]))
}

/// Checks that unbound work keeps off these CPUs and no others.
fn check_unbound(isolated: &[usize], about: &str) -> Result<()> {
    let isolated: Cpus = isolated.iter().copied().collect();
    let others: Cpus = (0..4).filter(|cpu| !isolated.contains(cpu)).collect();
    let found = (mask("cpumask_isolated")?, mask("cpumask")?);
    ensure!(
        found.0 == isolated && found.1 == others,
        "{about}: unbound work keeps off {:?} and may run on {:?}",
        found.0,
        found.1
    );
    Ok(())
}

/// Isolated cpusets and partitions come and go in any order.
pub(super) fn isolated() -> Result<()> {
    let isolate = |how: &str| write("quiet", "cpuset.cpus.partition", how);
    make("quiet")?;
    write("quiet", "cpuset.cpus", "1")?;
    check_unbound(&[], "at first")?;
    isolate("isolated")?;
    check_unbound(&[1], "a cpuset")?;
    let id = done(create("work", &[3], &[])?)?;
    check_unbound(&[1, 3], "a cpuset, then a partition")?;
    done(resize(id, &[2], &[])?)?;
    check_unbound(&[1, 2, 3], "a partition that grew")?;
    isolate("member")?;
    check_unbound(&[2, 3], "the cpuset gone")?;
    isolate("isolated")?;
    check_unbound(&[1, 2, 3], "a partition, then a cpuset")?;
    done(resize(id, &[], &[3])?)?;
    check_unbound(&[1, 2], "a partition that shrank")?;
    done(delete(id)?)?;
    check_unbound(&[1], "the partition gone")?;
    isolate("member")?;
    check_unbound(&[], "all gone")
}
