// SPDX-License-Identifier: GPL-2.0
//! A computing LWK CPU is left alone, and whatever disturbs it is counted under its name.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{ensure, Context, Result};
use lwk_logic::uapi::{CpuGet, EntryKind, IrqSource};

use crate::harness::Case;
use crate::{cpus, job, proc};

/// The suite.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "tick",
        "the timer interrupt of a computing CPU does not come once in 10 s",
        tick,
    )
    .limit_s(60),
    Case::new(
        "entries",
        "no entry is counted that /proc/interrupts does not explain",
        entries,
    )
    .limit_s(60),
    Case::new(
        "syscalls",
        "1000 system calls are counted as such",
        syscalls,
    ),
    Case::new("faults", "100 fresh pages are 100 page faults", faults),
    Case::new(
        "guest",
        "work queued for a computing CPU gets done there, counted and named",
        guest,
    )
    .limit_s(60),
    Case::new(
        "guest-at-once",
        "a guest runs without waiting for the tick",
        guest_at_once,
    )
    .limit_s(60),
    Case::new("show", "lwkctl show --noise tells of the LWK CPUs", show),
];

/// The suite of a machine whose TSC is checked.
pub(super) const WATCHED: &[Case] = &[Case::new(
    "clock",
    "the check of the clock goes round the CPUs of Linux only",
    clock,
)
.limit_s(60)];

/// A job that computes on CPU 3 and makes no system call.
pub(super) struct Spinner {
    child: Child,
}

impl Spinner {
    pub(super) fn start() -> Result<Spinner> {
        Spinner::start_as("spin", 3)
    }

    /// Another of the programs that compute, on another CPU.
    pub(super) fn start_as(program: &str, cpu: u32) -> Result<Spinner> {
        let mut command = job::yod_inside(&["-c", &cpu.to_string()], &[program]);
        let mut child = command
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("yod")?;
        let mut line = [0; 6];
        child
            .stdout
            .as_mut()
            .context("no pipe")?
            .read_exact(&mut line)
            .context("the spinner's first line")?;
        let line = String::from_utf8_lossy(&line);
        ensure!(line == format!("cpu {cpu}\n"), "{line:?}");
        // What starting a program leaves behind (deferred frees, RCU callbacks) is not what the tests are about.
        std::thread::sleep(Duration::from_secs(3));
        Ok(Spinner { child })
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn end(mut self) -> Result<()> {
        ensure!(
            self.child.try_wait().context("wait")?.is_none(),
            "the spinner ended by itself"
        );
        self.child.kill().context("kill")?;
        self.child.wait().context("wait").map(drop)
    }
}

pub(super) fn entry(cpu: &CpuGet, kind: EntryKind) -> u64 {
    cpu.entries.get(kind.index()).copied().unwrap_or(0)
}

fn tick() -> Result<()> {
    // What was programmed into a CPU's timer before it joined the partition may still fire, once, in the first seconds.
    while proc::uptime()? < Duration::from_secs(15) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let spinner = Spinner::start()?;
    let read = || proc::interrupts(3)?.get("LOC").copied().context("no LOC");
    let linux = proc::interrupts(0)?;
    let mut readings = vec![read()?];
    for _ in 0..10 {
        std::thread::sleep(Duration::from_secs(1));
        readings.push(read()?);
    }
    ensure!(
        readings.first() == readings.last(),
        "LOC of CPU 3, second by second: {readings:?}"
    );
    // The same reading must see a tick where there is one.
    ensure!(
        proc::interrupts(0)?.get("LOC") > linux.get("LOC"),
        "CPU 0 had no timer interrupt either"
    );
    spinner.end()
}

fn clock() -> Result<()> {
    const TRACING: &str = "/sys/kernel/tracing";
    let event = format!("{TRACING}/events/timer/timer_expire_entry/enable");
    // What is set up only once is not what the case is about.
    std::fs::write(&event, "1").context(event.clone())?;
    std::fs::write(&event, "0").context(event.clone())?;
    let spinner = Spinner::start()?;
    let before = job::cpu(3)?;
    std::fs::write(&event, "1").context(event.clone())?;
    std::thread::sleep(Duration::from_secs(5));
    std::fs::write(&event, "0").context(event)?;
    let after = job::cpu(3)?;
    let trace = std::fs::read_to_string(format!("{TRACING}/trace")).context("trace")?;
    let on = |cpu: u32| {
        let cpu = format!("[{cpu:03}]");
        trace
            .lines()
            .filter(|line| line.contains("clocksource_watchdog") && line.contains(&cpu))
            .count()
    };
    ensure!(on(0) > 0 && on(1) > 0, "no check of the clock: {trace}");
    ensure!(on(2) == 0 && on(3) == 0, "it was checked there: {trace}");
    ensure!(
        before.entries == after.entries,
        "before {before:?}, after {after:?}"
    );
    spinner.end()
}

fn entries() -> Result<()> {
    let spinner = Spinner::start()?;
    // Interrupts are read around the counters, so that one between two readings cannot be missed.
    let (irqs, before) = (proc::interrupts(3)?, job::cpu(3)?);
    std::thread::sleep(Duration::from_secs(5));
    let (after, irqs_after) = (job::cpu(3)?, proc::interrupts(3)?);
    let explained: u64 = irqs_after
        .iter()
        .map(|(name, n)| n - irqs.get(name).copied().unwrap_or(0))
        .sum();
    let counted = entry(&after, EntryKind::Interrupt) - entry(&before, EntryKind::Interrupt);
    ensure!(
        counted <= explained,
        "{counted} interrupt entries, /proc/interrupts shows {explained}"
    );
    for kind in [EntryKind::Syscall, EntryKind::Fault, EntryKind::Exception] {
        let grown = entry(&after, kind) - entry(&before, kind);
        ensure!(
            grown == 0,
            "{grown} entries of kind {} into a spinner's CPU",
            kind.name()
        );
    }
    let timer = IrqSource::Timer.index();
    ensure!(
        after.irqs.get(timer) == before.irqs.get(timer),
        "timer interrupts: {before:?} {after:?}"
    );
    ensure!(
        after.switches == before.switches,
        "{} switches became {}",
        before.switches,
        after.switches
    );
    spinner.end()
}

/// What a program adds to the counters of CPU 3.
fn grown(program: &[&str], kind: EntryKind) -> Result<(u64, u64)> {
    let before = job::cpu(3)?;
    job::run(&mut job::yod_inside(&["-c", "3"], program))?.success()?;
    let after = job::cpu(3)?;
    Ok((
        entry(&after, kind) - entry(&before, kind),
        after.faults - before.faults,
    ))
}

fn syscalls() -> Result<()> {
    let (none, _) = grown(&["syscalls", "0"], EntryKind::Syscall)?;
    let (thousand, _) = grown(&["syscalls", "1000"], EntryKind::Syscall)?;
    ensure!(thousand >= 1000, "1000 calls counted as {thousand}");
    ensure!(
        (1000..1100).contains(&(thousand - none.min(thousand))),
        "without them {none}, with them {thousand}"
    );
    Ok(())
}

fn faults() -> Result<()> {
    let (none, none_faults) = grown(&["touch", "1"], EntryKind::Fault)?;
    let (hundred, hundred_faults) = grown(&["touch", "101"], EntryKind::Fault)?;
    ensure!(hundred >= 100, "100 faults counted as {hundred}");
    // How many pages of a program are mapped at once around a fault varies a little from run to run.
    let more = hundred.saturating_sub(none);
    ensure!(
        (80..150).contains(&more),
        "entries: without 100 pages {none}, with them {hundred}"
    );
    let more = hundred_faults.saturating_sub(none_faults);
    ensure!(
        (80..150).contains(&more),
        "faults: without 100 pages {none_faults}, with them {hundred_faults}"
    );
    Ok(())
}

fn guest() -> Result<()> {
    let spinner = Spinner::start()?;
    let before = job::cpu(3)?;
    let begun = Instant::now();
    cpus::run_work(3)?;
    let after = job::cpu(3)?;
    ensure!(
        after.guest_runs > before.guest_runs,
        "nobody was counted; it took {:?}",
        begun.elapsed()
    );
    // The work is done before its thread has given the CPU back.
    while job::cpu(3)?.guest_ns == before.guest_ns {
        ensure!(
            begun.elapsed() < Duration::from_secs(30),
            "runs without time: {after:?}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    let name = job::text(&after.guest_comm);
    ensure!(
        name.starts_with("kworker/3:"),
        "{name:?} is not CPU 3's kworker"
    );
    spinner.end()
}

fn guest_at_once() -> Result<()> {
    const ROUNDS: u32 = 20;
    let spinner = Spinner::start()?;
    let timer = IrqSource::Timer.index();
    let mut without_tick = 0;
    for _ in 0..ROUNDS {
        let before = job::cpu(3)?;
        cpus::run_work(3)?;
        let after = job::cpu(3)?;
        ensure!(
            after.guest_runs > before.guest_runs,
            "nobody was counted: before {before:?}, after {after:?}"
        );
        without_tick += u32::from(after.irqs.get(timer) == before.irqs.get(timer));
        // Guests that come one behind the other do wait.
        std::thread::sleep(Duration::from_millis(100));
    }
    // On a busy host a turn may last until its timer ends it; a guest that waits sees a tick every time.
    ensure!(
        without_tick > 0,
        "each of {ROUNDS} guests waited for the tick"
    );
    println!("{without_tick} of {ROUNDS} without the timer");
    spinner.end()
}

fn show() -> Result<()> {
    job::run(&mut job::yod_inside(&["-c", "3"], &["syscalls", "10"]))?.success()?;
    let text = job::lwkctl(&["show", "--noise"])?;
    ensure!(text.contains("ENTRY:syscall"), "{text}");
    let is_row = |line: &str| line.split_whitespace().next() == Some("3");
    ensure!(text.lines().any(is_row), "no line for CPU 3: {text}");
    let text = job::lwkctl(&["show", "--noise", "--json"])?;
    let value: serde_json::Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let shown = value["cpus"][3]["noise"]["entries"]["syscall"]
        .as_u64()
        .context("no count of system calls")?;
    // Nothing ran there since.
    let device = entry(&job::cpu(3)?, EntryKind::Syscall);
    ensure!(
        shown == device && shown >= 10,
        "lwkctl says {shown}, the device {device}"
    );
    Ok(())
}
