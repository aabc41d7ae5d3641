// SPDX-License-Identifier: GPL-2.0
//! Users apart: no call of one delays, reads, starves or exhausts the job of another. And nobody's job waits for those who
//! wait for Linux. CPUs 2 and 3 and 512 MiB are the LWK's from boot on; both users are in the device's group.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use lwk_logic::uapi::{self, CALL_FAULT};
use nix::libc;
use serde_json::Value;

use super::calls::Stepping;
use super::pages::value;
use crate::calls::{self, Counted};
use crate::harness::Case;
use crate::job::{self, Finished};
use crate::memory::pools;
use crate::{cpus, proc};

/// The suite.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "apart",
        "an unprivileged user tries everything, and the other's job makes the same calls as without",
        apart,
    )
    .around(give_device, nothing)
    .limit_s(60),
    Case::new(
        "own-only",
        "counts and disturbances are for the user whose job it is, and for CAP_PERFMON",
        own_only,
    )
    .around(give_device, nothing)
    .limit_s(60),
    Case::new(
        "one-pool",
        "each of two users has what was promised of one pool, whatever the other does",
        one_pool,
    )
    .around(give_device, nothing)
    .limit_s(180),
    Case::new(
        "zeroing-starved",
        "jobs begin and end, and pools can be read, while who zeroes memory gets no CPU",
        zeroing_starved,
    )
    .around(begin_starving, end_starving)
    .limit_s(90),
    Case::new(
        "change-waits",
        "jobs begin and end while a change of partitions waits for Linux, and who waits for it can be killed",
        change_waits,
    )
    .around(begin_starving, end_starving)
    .limit_s(90),
    Case::new(
        "hogs",
        "jobs begin and end beside eight processes that want the CPUs of Linux more",
        hogs,
    )
    .limit_s(120),
    Case::new(
        "readers",
        "memory is zeroed ahead though others read the pools all the time",
        readers,
    )
    .around(give_device, nothing)
    .limit_s(120),
];

/// A group without a name, and two users in it.
const GROUP: u32 = 100;
const ANN: u32 = 1001;
const BOB: u32 = 1002;

fn nothing() -> Result<()> {
    Ok(())
}

/// Lets the group use the device.
fn give_device() -> Result<()> {
    let path = uapi::DEVICE_PATH;
    std::os::unix::fs::chown(path, None, Some(GROUP)).context(path)
}

fn as_user(user: u32, mut command: Command) -> Command {
    command.uid(user).gid(GROUP);
    command
}

fn inside(program: &[&str]) -> Command {
    let mut command = Command::new("/init");
    command.arg("inside").args(program);
    command
}

/// One program or another that goes on until it is killed.
struct Background(Child);

impl Background {
    fn start(mut command: Command) -> Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        Ok(Self(child.with_context(|| format!("{command:?}"))?))
    }

    /// Ends it, which it must not have done by itself.
    fn kill(mut self) -> Result<()> {
        let ended = self.0.try_wait().context("wait")?;
        ensure!(ended.is_none(), "it ended by itself: {ended:?}");
        self.0.kill().context("kill")?;
        self.0.wait().context("wait").map(drop)
    }

    fn is_over(&mut self) -> Result<bool> {
        Ok(self.0.try_wait().context("wait")?.is_some())
    }

    fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }
}

/// How often each call was made, and how often on a CPU of Linux.
fn made(before: &Counted, after: &Counted) -> Vec<(u32, u64, u64)> {
    let all = |counted: &Counted, call: u32| {
        let record = counted.of(libc::c_long::from(call));
        (record.local + record.native, record.moved)
    };
    // Pages of files may have to be read, or not; and it may wait for its next byte already, or not yet.
    let calls = after.records.iter().map(|record| record.call);
    calls
        .filter(|call| *call != CALL_FAULT && libc::c_long::from(*call) != libc::SYS_read)
        .map(|call| {
            let (old, new) = (all(before, call), all(after, call));
            (call, new.0 - old.0, new.1 - old.1)
        })
        .filter(|(_, local, moved)| local + moved > 0)
        .collect()
}

/// A job of the first user on CPU 2, which makes so many calls when it is told to.
fn job_of_ann() -> Result<(Stepping, u32)> {
    let options = ["-c", "2", "-M", "64M", "--syscall-batch", "no"];
    let program = ["calls-counted", "300", "200", "100"];
    let command = job::yod_inside(&options, &program);
    let mut program = Stepping::start(as_user(ANN, command))?;
    program.expect("tid")?;
    let id = job::jobs()?.first().context("no job")?.id;
    Ok((program, id))
}

fn burst(program: &mut Stepping, job: u32) -> Result<Vec<(u32, u64, u64)>> {
    let before = calls::sum(job)?;
    program.go()?;
    program.expect("burst")?;
    Ok(made(&before, &calls::sum(job)?))
}

fn apart() -> Result<()> {
    let (mut program, id) = job_of_ann()?;
    let alone = burst(&mut program, id)?;
    program.kill()?;
    let (mut program, id) = job_of_ann()?;
    let id_text = id.to_string();
    let tries = inside(&["user-tries", &id_text, "2", "3"]);
    let mut bob = Stepping::start(as_user(BOB, tries))?;
    bob.expect("tried")?;
    let beside = burst(&mut program, id)?;
    ensure!(
        alone == beside && alone.iter().any(|(_, local, _)| *local >= 300),
        "{alone:?} became {beside:?}"
    );
    // It ends with the first thing that is not as it should be.
    ensure!(bob.is_running()?, "the other user got through");
    bob.kill()?;
    program.kill()
}

fn lwkctl_as(user: u32, args: &[&str]) -> Result<Finished> {
    let mut command = Command::new("/bin/lwkctl");
    command.args(args);
    job::run(&mut as_user(user, command))
}

fn records(finished: Finished) -> Result<usize> {
    let text = finished.success()?;
    let told: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    Ok(told["records"].as_array().context("no records")?.len())
}

fn own_only() -> Result<()> {
    let command = job::yod_inside(
        &["-c", "3", "-M", "none"],
        &["calls-counted", "1", "1", "1"],
    );
    let mut ann = Stepping::start(as_user(ANN, command))?;
    ann.expect("tid")?;
    let id = job::jobs()?.first().context("no job")?.id.to_string();
    let args = ["syscalls", &id, "--threads", "--json"];
    for user in [0, ANN] {
        let told: Value = serde_json::from_str(&lwkctl_as(user, &args)?.success()?)?;
        let threads = told["threads"].as_array().context("no threads")?;
        ensure!(threads.len() == 1, "user {user}: {told}");
    }
    let refused = lwkctl_as(BOB, &args)?;
    ensure!(
        refused.code != Some(0) && refused.stderr.contains("another user's"),
        "{refused:?}"
    );
    // Who is in another pid namespace knows none of these threads.
    let mut elsewhere = Command::new("/bin/busybox");
    elsewhere.args(["unshare", "-p", "-f", "/bin/lwkctl"]);
    let told = job::run(elsewhere.args(args))?.success()?;
    let told: Value = serde_json::from_str(&told).with_context(|| told.clone())?;
    let is_empty = |key: &str| told[key].as_array().is_none_or(Vec::is_empty);
    ensure!(is_empty("threads") && !is_empty("calls"), "{told}");
    ann.kill()?;
    let spinner = Background::start(as_user(ANN, job::yod_inside(&["-c", "3"], &["spin"])))?;
    let noise = ["noise", "--json", "--cpus", "3"];
    let limit = Duration::from_secs(40);
    job::eventually(limit, "a record of the first user's job", || {
        cpus::run_work(3)?;
        Ok(records(lwkctl_as(ANN, &noise)?)? > 0)
    })?;
    ensure!(records(lwkctl_as(0, &noise)?)? > 0, "nothing for root");
    let others = records(lwkctl_as(BOB, &noise)?)?;
    ensure!(others == 0, "{others} records for another user");
    let shown = lwkctl_as(BOB, &["show", "--noise"])?.success()?;
    ensure!(shown.contains("LWK CPUs 3 are not told of"), "{shown}");
    spinner.kill()
}

fn one_pool() -> Result<()> {
    let map = |user, cpu, mib| {
        let command = job::yod_inside(&["-c", cpu, "-M", "80M"], &["map", mib]);
        as_user(user, command)
    };
    let mut script = Command::new("/bin/busybox");
    let line = "while :; do /bin/yod -c 3 -M 80M /init inside map 100; done";
    script.args(["sh", "-c", line]).process_group(0);
    let bob = Background::start(as_user(BOB, script))?;
    for _ in 0..3 {
        let got = job::run(&mut map(ANN, "2", "60"))?;
        got.expect_code(0)?;
        ensure!(value(&got, "promised")? == 80 << 20, "{got:?}");
        ensure!(value(&got, "huge")? == 60 << 10, "{got:?}");
        ensure!(value(&got, "spilled")? == 0, "{got:?}");
    }
    bob.kill()?;
    // What it started ends by itself.
    job::eventually(Duration::from_secs(30), "the last job", || {
        Ok(job::jobs()?.is_empty())
    })
}

const UNBOUND: &str = "/sys/devices/virtual/workqueue/cpumask";
const SERVER: &str = "/sys/kernel/debug/sched/fair_server/cpu1/runtime";
const SAVED: &str = "/tmp/starving";

/// Has CPU 1 do unbound work alone, and run real-time tasks as long as they like.
fn begin_starving() -> Result<()> {
    let before = fs::read_to_string(UNBOUND).context(UNBOUND)?;
    fs::write(SAVED, before).context(SAVED)?;
    fs::write(UNBOUND, "2").context(UNBOUND)?;
    fs::write(SERVER, "0").context(SERVER)
}

fn end_starving() -> Result<()> {
    // In nanoseconds; what it is by default.
    fs::write(SERVER, "50000000").context(SERVER)?;
    let before = fs::read_to_string(SAVED).context(SAVED)?;
    fs::write(UNBOUND, before.trim()).context(UNBOUND)
}

/// A process that is about to take CPU 1 for itself.
fn hog() -> Result<Stepping> {
    let mut hog = Stepping::start(inside(&["hog", "1"]))?;
    hog.expect("hog")?;
    Ok(hog)
}

/// Jobs with memory, one after the other.
fn some_jobs(nr: usize) -> Result<()> {
    for _ in 0..nr {
        let mut command = job::yod(&["-M", "64M"]);
        job::run(command.arg("/bin/true"))?.success()?;
    }
    Ok(())
}

fn not_zeroed() -> Result<u64> {
    Ok(pools(0)?.iter().map(|pool| pool.total - pool.zeroed).sum())
}

fn all_zeroed() -> Result<()> {
    job::eventually(Duration::from_secs(60), "zeroing ahead", || {
        Ok(not_zeroed()? == 0)
    })
    .with_context(|| format!("{:?}", pools(0)))
}

/// Whether the worker that zeroes is in the middle of it, on a CPU or waiting for one.
fn is_zeroing() -> bool {
    let workers = proc::processes();
    workers.iter().any(|task| task.comm.ends_with("+lwk_zero"))
}

fn zeroing_starved() -> Result<()> {
    for _ in 0..10 {
        let mut hog = hog()?;
        job::run(&mut job::yod_inside(&["-M", "all"], &["user-maps", "480"]))?.success()?;
        let limit = Duration::from_secs(20);
        let begun = job::eventually(limit, "zeroing ahead", || Ok(is_zeroing()));
        hog.go()?;
        hog.expect("hogs")?;
        if begun.is_err() || !is_zeroing() {
            // It was done before.
            hog.kill()?;
            continue;
        }
        some_jobs(5)?;
        let mut read = Command::new("/bin/lwkctl");
        job::run(read.arg("mem"))?.success()?;
        ensure!(is_zeroing(), "it was not starved");
        hog.kill()?;
        return all_zeroed();
    }
    anyhow::bail!("memory is zeroed faster than anybody could disturb it")
}

fn resize(memory: &str) -> Command {
    let mut command = Command::new("/bin/lwkctl");
    command.args(["resize", "boot", "--mem", memory]);
    command
}

/// Waits until it sleeps where only the kernel can wake it.
fn in_kernel(process: &Background) -> Result<()> {
    let path = format!("/proc/{}/stat", process.pid());
    let is_there = || {
        let text = fs::read_to_string(&path).context(path.clone())?;
        Ok(text.contains(") D "))
    };
    job::eventually(Duration::from_secs(20), "a change that waits", is_there)?;
    std::thread::sleep(Duration::from_millis(200));
    ensure!(is_there()?, "it went on");
    Ok(())
}

fn change_waits() -> Result<()> {
    let mut hog = hog()?;
    hog.go()?;
    hog.expect("hogs")?;
    // It has work done on each CPU, and waits for CPU 1.
    let mut first = Background::start(resize("600M"))?;
    in_kernel(&first)?;
    some_jobs(5)?;
    let mut show = Command::new("/bin/lwkctl");
    job::run(show.arg("show"))?.success()?;
    let second = Background::start(resize("400M"))?;
    in_kernel(&second)?;
    second.kill()?;
    some_jobs(1)?;
    ensure!(!first.is_over()?, "nothing was waited for");
    hog.kill()?;
    job::eventually(Duration::from_secs(30), "the change", || first.is_over())
        .with_context(proc::describe_user_tasks)?;
    let share = |wanted: u64| {
        let found: u64 = pools(1)?.iter().map(|pool| pool.share).sum();
        ensure!(found == wanted << 20, "{found} bytes");
        Ok(())
    };
    share(600)?;
    job::run(&mut resize("512M"))?.success()?;
    share(512)
}

fn hogs() -> Result<()> {
    let hog = || Background::start(inside(&["busy"]));
    let hogs = (0..8).map(|_| hog()).collect::<Result<Vec<_>>>()?;
    some_jobs(3)?;
    hogs.into_iter().try_for_each(Background::kill)
}

fn readers() -> Result<()> {
    let start = |_| {
        let mut reader = Stepping::start(as_user(BOB, inside(&["user-reads"])))?;
        reader.expect("reads").map(|_| reader)
    };
    let readers = (0..2).map(start).collect::<Result<Vec<_>>>()?;
    job::run(&mut job::yod_inside(&["-M", "all"], &["user-maps", "480"]))?.success()?;
    // They leave the worker, which is nice, little of the CPUs; but what it has is its own.
    let before = not_zeroed()?;
    job::eventually(Duration::from_secs(60), "some zeroing ahead", || {
        let left = not_zeroed()?;
        Ok(left < before || left == 0)
    })?;
    readers.into_iter().try_for_each(Stepping::kill)?;
    all_zeroed()
}
