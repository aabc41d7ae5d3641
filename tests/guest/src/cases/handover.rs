// SPDX-License-Identifier: GPL-2.0
//! CPUs that change hands while Linux fails, or while somebody else takes them off line and on line. Run by the suite
//! about partitions.

use std::fs;
use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use lwk_logic::uapi::Refusal;
use rustix::io::Errno;

use super::partition::done;
use crate::cpus::{self, Cpus};
use crate::harness::Skip;
use crate::init;
use crate::job;
use crate::partition::{create, delete, Change};
use crate::proc;
use crate::snapshot::{self, Snapshot};
use crate::sys::scx::{self, Scheduler};

/// `CPUHP_INVALID`: no step fails.
const NONE: &str = "-1";

fn file(cpu: usize, name: &str) -> String {
    format!("/sys/devices/system/cpu/cpu{cpu}/{name}")
}

fn write(cpu: usize, name: &str, text: &str) -> io::Result<()> {
    fs::write(file(cpu, name), text)
}

/// Checks that each CPU is wholly the LWK's or wholly Linux': on line in either case, and open to tasks of Linux in the
/// second case only.
pub(super) fn check(lwk: &[usize]) -> Result<()> {
    let online = cpus::from_file("/sys/devices/system/cpu/online")?;
    ensure!(online == (0..4).collect::<Cpus>(), "on line: {online:?}");
    for cpu in 0..4 {
        let owner = job::cpu(u32::try_from(cpu)?)?.partition;
        let is_lwk = lwk.contains(&cpu);
        ensure!((owner != 0) == is_lwk, "CPU {cpu} is of partition {owner}");
        let bound = cpus::set_affinity(0, &Cpus::from([cpu]));
        let here = rustix::thread::sched_getcpu();
        cpus::set_affinity(0, &(0..4).collect()).context("back to all CPUs")?;
        if is_lwk {
            ensure!(
                bound == Err(Errno::INVAL),
                "CPU {cpu} of the LWK takes a task of Linux: {bound:?}"
            );
        } else {
            bound.with_context(|| format!("moving to CPU {cpu} of Linux"))?;
            ensure!(here == cpu, "asked for CPU {cpu}, runs on {here}");
        }
    }
    Ok(())
}

/// Checks that, and that all masks are as they were when the CPUs were in these hands before.
fn check_all(lwk: &[usize], wanted: &Snapshot) -> Result<()> {
    check(lwk)?;
    snapshot::compare(wanted, &snapshot::take()?)
}

/// The steps of Linux' CPU hotplug, numbers with names.
fn steps() -> Result<Vec<(String, String)>> {
    let path = "/sys/devices/system/cpu/hotplug/states";
    let text = fs::read_to_string(path).context(path)?;
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    Ok(lines
        .map(|(number, name)| (number.trim().to_owned(), name.trim().to_owned()))
        .collect())
}

/// Has the next call of a step fail for a CPU; false if Linux does not let it fail now.
fn arm(cpu: usize, step: &str) -> Result<bool> {
    match write(cpu, "hotplug/fail", step) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(false),
        Err(error) => {
            Err(error).with_context(|| format!("{step} to {}", file(cpu, "hotplug/fail")))
        }
    }
}

/// Does something during which a CPU goes off line, and has a step fail from when it is.
fn armed_off_line<T>(cpu: usize, step: &str, what: impl FnOnce() -> Result<T>) -> Result<T> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let armer = scope.spawn(|| -> Result<()> {
            while !is_over.load(Relaxed) {
                let state = fs::read_to_string(file(cpu, "hotplug/state")).context("state")?;
                if state.trim() == "0" {
                    arm(cpu, step)?;
                    return Ok(());
                }
            }
            Ok(())
        });
        let result = what();
        is_over.store(true, Relaxed);
        armer.join().expect("the armer panicked")?;
        result
    })
}

/// Judges a change that may have failed at a CPU; returns whether it did.
fn has_failed<T: std::fmt::Debug>(
    change: &core::result::Result<T, crate::partition::Refused>,
    cpu: usize,
) -> Result<bool> {
    let Err(refused) = change else {
        return Ok(false);
    };
    ensure!(
        refused.refusal == Refusal::Hotplug && refused.cpu as usize == cpu,
        "{refused:?}"
    );
    Ok(true)
}

/// When a step is to fail.
#[derive(Debug, Clone, Copy)]
enum When {
    /// At its next call, which is on the way down if it has one there.
    Now,
    /// On the way up.
    OffLine,
}

fn with_failure<T>(
    when: When,
    cpu: usize,
    step: &str,
    what: impl FnOnce() -> Change<T>,
) -> Change<T> {
    let result = match when {
        When::Now => {
            arm(cpu, step)?;
            what()
        }
        When::OffLine => armed_off_line(cpu, step, what),
    };
    write(cpu, "hotplug/fail", NONE).context("ending the injection")?;
    result
}

/// What of the steps that are tried fails at least, in each direction.
const LEAST: usize = 3;

/// Whether a step is tried: all that Linux lets fail on a CPU on line; of the others all if the boot line says
/// `lwktest.steps=all`, else each fourth.
fn is_tried(when: When, index: usize, step: &str) -> Result<bool> {
    let words = init::boot_words()?;
    let all = words.get("lwktest.steps").is_some_and(|text| text == "all");
    match when {
        When::Now => {
            let can_fail = arm(3, step)?;
            write(3, "hotplug/fail", NONE).context("ending the injection")?;
            Ok(can_fail)
        }
        When::OffLine => Ok(all || index % 4 == 1),
    }
}

/// Has each step of Linux' CPU hotplug fail while a partition of two CPUs is made and while it ends: at the CPU that is
/// second, so that the first has to go back.
fn sweep(when: When) -> Result<()> {
    let linux = snapshot::take()?;
    let id = done(create("work", &[2, 3], &[])?)?;
    let lwk = snapshot::take()?;
    done(delete(id)?)?;
    let (mut nr_creates, mut nr_deletes) = (0, 0);
    for (index, (step, name)) in steps()?.into_iter().enumerate() {
        if !is_tried(when, index, &step)? {
            continue;
        }
        let about = |what: &str| format!("{what} with step {step} ({name}) failing, {when:?}");
        let id = match with_failure(when, 3, &step, || create("work", &[2, 3], &[]))? {
            result if has_failed(&result, 3)? => {
                nr_creates += 1;
                check_all(&[], &linux).with_context(|| about("create"))?;
                done(create("work", &[2, 3], &[])?).with_context(|| about("create after create"))?
            }
            result => done(result)?,
        };
        let result = with_failure(when, 2, &step, || delete(id))?;
        if has_failed(&result, 2)? {
            nr_deletes += 1;
            check_all(&[2, 3], &lwk).with_context(|| about("delete"))?;
            let told = job::run(&mut job::yod_inside(&["-c", "2-3"], &["threads", "2"]))?;
            ensure!(told.value("cpus")? == "2,3", "{told:?}");
            super::partition::jobs_end()?;
            done(delete(id)?).with_context(|| about("delete after delete"))?;
        }
        check_all(&[], &linux).with_context(|| about("all over"))?;
    }
    println!("{nr_creates} creations and {nr_deletes} deletions failed");
    ensure!(
        nr_creates >= LEAST && nr_deletes >= LEAST,
        "only {nr_creates} creations and {nr_deletes} deletions failed"
    );
    Ok(())
}

/// The first direction.
pub(super) fn down() -> Result<()> {
    sweep(When::Now)
}

/// The other.
pub(super) fn up() -> Result<()> {
    sweep(When::OffLine)
}

/// Brings a CPU on line again and again while it changes hands.
pub(super) fn race() -> Result<()> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    // Refused or not: only what comes of it counts.
                    drop(write(3, "online", "1"));
                }
            });
        }
        let result = (0..10).try_for_each(|round| {
            let id = done(create("work", &[3], &[])?)?;
            check(&[3]).with_context(|| format!("round {round}, created"))?;
            done(delete(id)?)?;
            check(&[]).with_context(|| format!("round {round}, deleted"))
        });
        is_over.store(true, Relaxed);
        result
    })
}

/// A CPU that was brought on line by `hotplug/target`, of which its device knows nothing.
pub(super) fn target() -> Result<()> {
    let on = fs::read_to_string(file(0, "hotplug/target")).context("target")?;
    for (down, up) in [("online", "hotplug/target"), ("hotplug/target", "online")] {
        write(3, down, "0").with_context(|| down.to_owned())?;
        let text = if up == "online" { "1" } else { on.trim() };
        write(3, up, text).with_context(|| up.to_owned())?;
        // The device may believe that it is on line already.
        if !cpus::from_file("/sys/devices/system/cpu/online")?.contains(&3) {
            write(3, "hotplug/target", on.trim()).context("target")?;
        }
        check(&[])?;
        let id = done(create("work", &[3], &[])?)?;
        check(&[3]).with_context(|| format!("{down} off, {up} on"))?;
        done(delete(id)?)?;
        check(&[])?;
    }
    Ok(())
}

/// A hardware thread that was off line when the rest of its core went to a partition.
pub(super) fn sibling() -> Result<()> {
    let siblings = cpus::from_file(&file(2, "topology/thread_siblings_list"))?;
    if siblings != Cpus::from([2, 3]) {
        return Err(Skip("the cores of this machine have one thread each").into());
    }
    write(3, "online", "0").context("CPU 3 off line")?;
    let id = done(create("work", &[2], &[])?)?;
    let refused = write(3, "online", "1");
    let code = refused.as_ref().err().and_then(io::Error::raw_os_error);
    ensure!(
        code == Some(Errno::PERM.raw_os_error()),
        "CPU 3, whose core is of a partition, on line: {refused:?}"
    );
    let online = cpus::from_file("/sys/devices/system/cpu/online")?;
    ensure!(online == (0..3).collect::<Cpus>(), "{online:?}");
    done(delete(id)?)?;
    write(3, "online", "1").context("CPU 3 on line")?;
    check(&[])?;
    // A whole core changes hands, thread by thread.
    let id = done(create("work", &[2, 3], &[])?)?;
    check(&[2, 3])?;
    done(delete(id)?)?;
    check(&[])
}

const TRACING: &str = "/sys/kernel/tracing";

/// The probe of the function by which a job gives back what it counted of its calls, when nobody refers to it any more.
const LETS_GO: &str = "lwktest_lets_go";

/// How often that was called since the probe was made.
fn nr_let_go() -> Result<u64> {
    let path = format!("{TRACING}/kprobe_profile");
    let text = fs::read_to_string(&path).context(path)?;
    let line = text.lines().find(|line| line.contains(LETS_GO));
    let count = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    count.with_context(|| format!("no {LETS_GO} in {text:?}"))
}

pub(super) fn watch_zombies() -> Result<()> {
    let probe = format!("p:kprobes/{LETS_GO} lwk_c_free");
    fs::write(format!("{TRACING}/kprobe_events"), probe).context("kprobe_events")?;
    fs::write(format!("{TRACING}/events/kprobes/{LETS_GO}/enable"), "1").context("enable")
}

pub(super) fn forget_zombies() -> Result<()> {
    fs::write(format!("{TRACING}/events/kprobes/{LETS_GO}/enable"), "0").context("enable")?;
    fs::write(format!("{TRACING}/kprobe_events"), "\n").context("kprobe_events")?;
    crate::partition::delete_all()
}

/// A job whose zombie is reaped after the last partition is gone.
pub(super) fn zombies() -> Result<()> {
    for round in 0..3 {
        let id = done(create("work", &[3], &[])?)?;
        let mut child = Command::new("/bin/yod")
            .args(["-c", "3", "true"])
            .spawn()
            .context("yod")?;
        let pid = child.id().cast_signed();
        job::eventually(Duration::from_secs(10), "a zombie", || {
            let is_zombie = |p: &proc::Stat| p.pid == pid && p.state == 'Z';
            Ok(proc::processes().iter().any(is_zombie) && job::jobs()?.is_empty())
        })?;
        done(delete(id)?)?;
        let before = nr_let_go()?;
        child.wait().context("wait")?;
        // The last reference to a task goes after a grace period.
        let what = "the end of a job whose last zombie is reaped";
        job::eventually(Duration::from_secs(10), what, || Ok(nr_let_go()? > before))
            .with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

/// A scheduler of sched_ext is on when a CPU changes hands: it has no say in that, and the kernel ends it, as for any CPU
/// that comes or goes. While there is a partition none can come, as with isolated CPUs of Linux.
pub(super) fn sched_ext() -> Result<()> {
    if !std::path::Path::new("/sys/kernel/sched_ext/state").exists() {
        return Err(Skip("this kernel has no sched_ext").into());
    }
    let first = Scheduler::start()?;
    let id = done(create("work", &[3], &[])?)?;
    check(&[3]).context("created while a scheduler was on")?;
    // Perhaps the kernel was first.
    drop(first.stop());
    job::eventually(Duration::from_secs(10), "the scheduler's end", || {
        Ok(!scx::is_on()?)
    })?;
    let mut job = job::Beating::start(&["-c", "3"])?;
    ensure!(
        Scheduler::start().is_err() && !scx::is_on()?,
        "a scheduler came beside a partition"
    );
    job.beats(3)?;
    check(&[3]).context("a scheduler was refused")?;
    job.kill()?;
    super::partition::jobs_end()?;
    done(delete(id)?)?;
    let second = Scheduler::start().context("after the partition")?;
    check(&[]).context("a scheduler is on")?;
    second.stop()?;
    check(&[])
}

/// Leaves every CPU on line and nothing armed.
pub(super) fn cleanup() -> Result<()> {
    for cpu in 1..4 {
        drop(write(cpu, "hotplug/fail", NONE));
    }
    crate::partition::delete_all()?;
    for cpu in 1..4 {
        drop(write(cpu, "online", "1"));
    }
    Ok(())
}
