// SPDX-License-Identifier: GPL-2.0
//! What moved calls have to do with CPUs: policies, hotplug, who gets a CPU whose thread is away, how often threads travel.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use nix::libc;
use rustix::io::Errno;

use super::places::{check_call, Seen};
use super::{faults, is_linux, is_lwk, scaled, Blocked, NO_BATCH};
use crate::harness::Case;
use crate::job::{self, Beating};
use crate::sys::sched::{set_policy, Policy};
use crate::trace::{Events, Trace, CALLS};
use crate::{cpus, init, proc};

/// The suite about CPUs, and about files behind memory.
pub(in crate::cases) const CASES: &[Case] = &[
    Case::new(
        "fifo",
        "a SCHED_FIFO thread of a job makes moved calls and comes home with its policy",
        fifo,
    ),
    Case::new(
        "deadline",
        "a SCHED_DEADLINE thread cannot enter a job, and none of a job becomes one",
        deadline,
    ),
    Case::new(
        "hotplug",
        "a CPU goes off line under waiting and computing moved calls, which go on elsewhere",
        hotplug,
    )
    .around(|| Ok(()), on_line)
    .limit_s(120),
    Case::new(
        "exclusive",
        "with --exclusive-wait nobody gets the CPU of a thread that is away shortly, else who waits for it",
        exclusive,
    )
    .limit_s(60),
    Case::new(
        "exclusive-ends",
        "with --exclusive-wait two threads of one CPU that wait for each other get on",
        exclusive_ends,
    )
    .limit_s(60),
    Case::new(
        "turns",
        "threads that come to a CPU that polls for another one take turns with it",
        turns,
    )
    .limit_s(60),
    Case::new(
        "goes-on",
        "a thread that comes home in the middle of its turn does not wait for who computes there",
        goes_on,
    )
    .limit_s(60),
    Case::new(
        "starved",
        "a thread that computes gets its turns beside those that go and come all the time",
        starved,
    )
    .limit_s(60),
    Case::new(
        "idle",
        "with --idle poll a CPU is not interrupted for the return of its thread, else each time",
        idle,
    )
    .limit_s(60),
    Case::new(
        "doze",
        "a CPU whose thread is away for seconds neither polls nor halts lightly for it any longer",
        doze,
    ),
    Case::new(
        "stranded",
        "a thread that is away where real-time tasks of Linux take all of each CPU gets on at home",
        stranded,
    )
    .limit_s(60),
    Case::new(
        "batch",
        "with --syscall-batch the thread of a burst travels seldom, and is at home when it computes",
        batch,
    )
    .limit_s(60),
    Case::new(
        "faults",
        "page faults that read a file move, those of memory stay",
        faults::read,
    )
    .limit_s(60),
    Case::new(
        "faults-written",
        "so do those that tell a file system of a page to be written",
        faults::written,
    )
    .around(faults::set_up, faults::take_down)
    .limit_s(60),
    Case::new("faults-counted", "they are counted", faults::counted),
];

/// A real-time thread is as much at home here as others.
fn fifo() -> Result<()> {
    let trace = Trace::start(&CALLS)?;
    let told = job::run(&mut job::yod_inside(
        &NO_BATCH,
        &["calls-rt", "fifo", "100"],
    ))?;
    told.expect_code(0)?;
    let seen = Seen::new(&trace.stop()?)?;
    ensure!(told.value("policy")? == "1", "{told:?}");
    ensure!(is_lwk(told.value("cpu")?.parse()?), "{told:?}");
    let calls = seen.calls();
    let writes = calls.iter().filter(|call| call.nr == libc::SYS_write);
    ensure!(writes.clone().count() == 100, "{} writes", writes.count());
    for call in &calls {
        check_call(call, call.nr == libc::SYS_write)?;
    }
    Ok(())
}

/// Linux keeps count of the bandwidth of the CPUs that such a thread may use; the next case sees whether it is right.
fn deadline() -> Result<()> {
    let told = job::run(&mut job::yod_inside(&[], &["calls-rt", "deadline", "1"]))?;
    ensure!(told.stdout.starts_with("refused"), "{told:?}");
    let enter = |when| {
        let mut command = Command::new("/init");
        command.args(["inside", "calls-with-deadline", when, "/bin/yod"]);
        command.args(["/init", "inside", "calls-rt", "fifo", "1"]);
        job::run(&mut command)
    };
    let told = enter("now")?;
    ensure!(told.code == Some(125), "{told:?}");
    ensure!(told.stderr.contains("SCHED_DEADLINE"), "{told:?}");
    enter("before")?.expect_code(0)?;
    job::check_idle()
}

fn switch(on: &str) -> Result<()> {
    let path = "/sys/devices/system/cpu/cpu1/online";
    // A SCHED_DEADLINE thread that ended a moment ago still counts on the CPU, until its period is over.
    job::eventually(
        scaled(Duration::from_secs(2))?,
        "a CPU that may go",
        || match std::fs::write(path, on) {
            Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => Ok(false),
            result => result
                .map(|()| true)
                .with_context(|| format!("{on} to {path}")),
        },
    )
}

/// Brings CPU 1 back if a case left it off line.
fn on_line() -> Result<()> {
    let online = crate::cpus::from_file("/sys/devices/system/cpu/online")?;
    if online.contains(&1) {
        return Ok(());
    }
    switch("1")
}

/// A CPU that serves the job goes off line.
fn hotplug() -> Result<()> {
    for options in [&[][..], &["--exclusive-wait", "--syscall-batch", "1ms"]] {
        let mut job = Beating::start_command(job::yod_inside(options, &["calls-crowd"]))?;
        let on_cpu_1 = |pid| {
            proc::threads(pid)
                .iter()
                .filter(|stat| stat.cpu == 1)
                .count()
        };
        for round in 0..5 {
            let limit = scaled(Duration::from_secs(10))?;
            let pid = job.pid();
            job::eventually(limit, "a thread on CPU 1", || Ok(on_cpu_1(pid) > 0))?;
            switch("0")?;
            job.beats(3)
                .with_context(|| format!("round {round}, off line"))?;
            job::eventually(limit, "no thread on CPU 1", || Ok(on_cpu_1(pid) == 0))?;
            // What came before may be a while in the pipe.
            job.drain()?;
            job.beats(3)
                .with_context(|| format!("round {round}, still"))?;
            switch("1")?;
            job.drain()?;
            job.beats(3)
                .with_context(|| format!("round {round}, on line"))?;
        }
        job.kill()?;
        job::check_idle()?;
    }
    Ok(())
}

/// In how many of the first thread's moved calls the second got the CPU, and of how many.
fn shared(options: &[&str], rounds: &str) -> Result<(usize, usize)> {
    let trace = Trace::start(&[CALLS[0], CALLS[1], "sched/sched_switch"])?;
    let options = [&["-c", "2", "--syscall-batch", "no"], options].concat();
    let told = job::run(&mut job::yod_inside(&options, &["calls-pair", rounds]))?;
    told.expect_code(0)?;
    let other: i64 = told.value("other")?.parse()?;
    let events = trace.stop()?;
    let first = events.who_marked(1)?;
    let (mut with_other, mut all, mut is_away, mut saw_other) = (0, 0, false, false);
    for event in events
        .between(1, 2)?
        .0
        .iter()
        .filter(|event| event.cpu == 2)
    {
        let next = event.number("next_pid");
        if event.name == "sys_enter" && event.tid == first && event.call() == Some(libc::SYS_write)
        {
            (is_away, saw_other) = (true, false);
            all += 1;
        } else if is_away && next == Some(other) {
            saw_other = true;
        } else if is_away && next == Some(first.into()) {
            with_other += usize::from(saw_other);
            is_away = false;
        }
    }
    println!("{options:?}: the other thread ran in {with_other} of {all}");
    Ok((with_other, all))
}

/// Who shares a CPU with a thread that is away gets it, or not if that is to return at once.
fn exclusive() -> Result<()> {
    let (with_other, all) = shared(&[], "60")?;
    ensure!(all == 60, "{all} calls");
    ensure!(
        with_other >= 40,
        "the other thread ran in {with_other} of {all}"
    );
    let (with_other, all) = shared(&["--exclusive-wait"], "300")?;
    ensure!(all == 300, "{all} calls");
    // A call that takes longer than 3 ms loses its place, as many do on the debug kernel, and some beside other work.
    let few = if init::factor()? > 1 { 225 } else { 100 };
    ensure!(
        with_other <= few,
        "the other thread ran in {with_other} of {all}"
    );
    Ok(())
}

/// Nobody waits for ever for a thread that waits.
fn exclusive_ends() -> Result<()> {
    for options in [&["-c", "2", "--exclusive-wait"][..], &["-c", "2"]] {
        let told = job::run(&mut job::yod_inside(options, &["calls-turns", "40"]))?;
        told.expect_code(0)?;
        // Each of two threads waits 40 times, 10 ms of them with the CPU kept.
        let ms: u128 = told.value("ms")?.parse()?;
        let limit = scaled(Duration::from_secs(10))?.as_millis();
        ensure!(ms < limit, "{options:?}: {told:?}");
    }
    Ok(())
}

/// Threads that are handed over to a CPU that polls, and is kept for another one.
fn turns() -> Result<()> {
    let options = ["-c", "2", "--exclusive-wait", "--idle", "poll"];
    let options = [&options[..], &NO_BATCH].concat();
    job::run(&mut job::yod_inside(&options, &["calls-wakes", "40"]))?.expect_code(0)
}

/// A thread that is away for longer than a turn each time, and back for a moment.
fn goes_on() -> Result<()> {
    const TICK: &str = "irq_vectors/local_timer_entry";
    let switches = ["sched/sched_switch", "sched/sched_migrate_task", TICK];
    let trace = Trace::start(&[&CALLS[..], &switches].concat())?;
    let options = ["-c", "2", "--syscalls", "move=clock_nanosleep"];
    let options = [&options[..], &NO_BATCH].concat();
    job::run(&mut job::yod_inside(&options, &["calls-pair", "50", "20"]))?.expect_code(0)?;
    let events = trace.stop()?;
    let first = i64::from(events.who_marked(1)?);
    let (mut returns, mut late, mut ticks) = (0, 0, None);
    for event in &events.between(1, 2)?.0 {
        let is_home = event.cpu == 2;
        match event.name.as_str() {
            "sched_migrate_task" if event.number("pid") == Some(first) => {
                ticks = (event.number("dest_cpu") == Some(2)).then_some(0);
            }
            "local_timer_entry" if is_home => ticks = ticks.map(|nr| nr + 1),
            "sched_switch" if is_home && event.number("next_pid") == Some(first) => {
                if let Some(ticks) = ticks.take() {
                    returns += 1;
                    late += usize::from(ticks > 0);
                }
            }
            _ => {}
        }
    }
    println!("of {returns} returns {late} waited for a tick");
    ensure!(returns == 50, "{returns} returns");
    ensure!(late <= 25, "{late} of {returns} returns waited for a tick");
    Ok(())
}

/// A thread whose CPU others leave and come back to.
fn starved() -> Result<()> {
    for options in [&["-c", "2"][..], &["-c", "2", "--exclusive-wait"]] {
        let options = [options, &NO_BATCH].concat();
        job::run(&mut job::yod_inside(&options, &["calls-starved", "100"]))?
            .expect_code(0)
            .with_context(|| format!("{options:?}"))?;
    }
    Ok(())
}

/// Reschedule interrupts of CPU 2 by a program that makes 1000 moved calls.
fn interrupts(idle: &str) -> Result<u64> {
    let read = || -> Result<u64> {
        let counts = proc::interrupts(2)?;
        counts.get("RES").copied().context("no RES")
    };
    let before = read()?;
    let options = ["-c", "2", "--syscall-batch", "no", "--idle", idle];
    job::run(&mut job::yod_inside(&options, &["calls-burst", "1000"]))?.success()?;
    Ok(read()? - before)
}

/// A CPU that polls need not be interrupted for its thread to return.
fn idle() -> Result<()> {
    let halt = interrupts("halt")?;
    ensure!(halt >= 900, "{halt} interrupts of a CPU that halts");
    // A thread that is back before the CPU polls does interrupt it, which happens often where the vCPUs share few CPUs.
    let few = halt / 2;
    let mut polls = Vec::new();
    for _ in 0..5 {
        polls.push(interrupts("poll")?);
        if polls.last().is_some_and(|poll| *poll <= few) {
            break;
        }
    }
    println!("interrupts: {halt} of a CPU that halts, {polls:?} of one that polls");
    ensure!(
        polls.iter().any(|poll| *poll <= few),
        "{polls:?} interrupts of a CPU that polls"
    );
    Ok(())
}

/// A CPU that is to poll does so for two looks of the CPU that looks after it, which come each second.
fn doze() -> Result<()> {
    let trace = Trace::start(&[CALLS[0], CALLS[1], "power/cpu_idle"])?;
    let blocked = Blocked::start(&["-c", "2", "--idle", "poll"])?;
    std::thread::sleep(scaled(Duration::from_secs(4))?);
    let after = blocked.release()?;
    ensure!(after == 2, "it came back to CPU {after}");
    let events = trace.stop()?.between(1, 2)?;
    let states: Vec<i64> = events
        .named("cpu_idle")
        .filter(|event| event.cpu == 2)
        .filter_map(|event| event.number("state"))
        .filter(|state| *state < i64::from(u32::MAX))
        .collect();
    println!("states of the idle CPU: {states:?}");
    ensure!(states.contains(&0), "it never polled: {states:?}");
    ensure!(states.last() != Some(&0), "it polls on: {states:?}");
    ensure!(states.len() < 40, "it is woken up all the time: {states:?}");
    Ok(())
}

/// Tasks of Linux that compute with a real-time policy, one on each CPU of Linux.
struct Hogs(Vec<Child>);

impl Hogs {
    fn start() -> Result<Hogs> {
        let mut hogs = Hogs(Vec::new());
        for cpu in [0, 1] {
            let mut command = Command::new("/init");
            command.args(["inside", "spin"]).stdout(Stdio::null());
            hogs.0.push(command.spawn().context("a hog")?);
            let pid = hogs.0.last().context("no hog")?.id().cast_signed();
            cpus::set_affinity(pid, &[cpu].into_iter().collect()).context("its CPU")?;
            set_policy(pid, Policy::Fifo(1)).context("its policy")?;
        }
        Ok(hogs)
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        for hog in &mut self.0 {
            // Whatever comes of it, the next case finds out.
            let _ = hog.kill().and_then(|()| hog.wait());
        }
    }
}

fn stranded() -> Result<()> {
    let before = proc::lwk_log()?.len();
    let blocked = Blocked::start(&["-c", "2"])?;
    let hogs = Hogs::start()?;
    let after = blocked.release()?;
    drop(hogs);
    ensure!(after == 2, "it got on on CPU {after}");
    let log = proc::lwk_log()?.split_off(before);
    let is_told = log
        .iter()
        .any(|line| line.contains("waited for its call behind init"));
    ensure!(is_told, "{log:?}");
    Ok(())
}

/// How often the thread of a burst of 1000 moved calls went to another CPU, and what it said.
fn travels(batch: &str) -> Result<usize> {
    let trace = Trace::start(&[CALLS[0], CALLS[1], "sched/sched_migrate_task"])?;
    let options = ["-c", "2", "--syscall-batch", batch];
    let told = job::run(&mut job::yod_inside(&options, &["calls-burst", "1000"]))?;
    told.expect_code(0)?;
    ensure!(told.value("home")? == "true", "{told:?}");
    let events = trace.stop()?;
    let tid = events.who_marked(1)?;
    let events: Events = events.between(1, 2)?;
    let away = events.calls(|other| other == tid);
    let is_moved = |call: &&crate::trace::Call| call.left.is_some_and(|(cpu, _)| is_linux(cpu));
    let moved = away.iter().filter(is_moved).count();
    ensure!(moved == 1000, "batch {batch}: {moved} calls were moved");
    let count = events.migrations(tid);
    println!("batch {batch}: {count} times to another CPU, {told:?}");
    Ok(count)
}

/// Threads of bursts stay, and go home when the burst is over.
fn batch() -> Result<()> {
    let (one_by_one, long, usual) = (travels("no")?, travels("1ms")?, travels("50us")?);
    ensure!((1990..=2010).contains(&one_by_one), "{one_by_one} times");
    ensure!(long < one_by_one / 4, "{long} times of {one_by_one}");
    ensure!(usual <= one_by_one, "{usual} times of {one_by_one}");
    Ok(())
}
