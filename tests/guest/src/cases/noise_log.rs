// SPDX-License-Identifier: GPL-2.0
//! The disturbance log names what interrupted a computing LWK CPU, who sent it and how long it took, and holds nothing
//! that the job did itself. CPU 3 is the LWK's from boot on, CPU 2 can join.

use std::fs;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use lwk_logic::uapi::{
    EntryKind, IrqSource, NoiseRead, NoiseRecord, RanKind, NOISE_LATE, NOISE_RECORDS, NOISE_SIGNAL,
    NOISE_UNKNOWN,
};
use rustix::io::Errno;
use rustix::thread::{membarrier, MembarrierCommand};
use rustix::time::{clock_gettime, ClockId};

use super::noise::{entry, Spinner};
use super::partition::{done, fail, jobs_end, FAIL};
use crate::harness::{Case, Skip};
use crate::partition::{create, delete};
use crate::sys::lwk::{self, size_of_abi};
use crate::{cpus, job};

/// The suite. The first case needs a CPU that was never in a partition.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "no-room",
        "a CPU without memory for its log stays with Linux, and joins when there is some",
        no_room,
    )
    .around(nothing, no_second)
    .limit_s(60),
    Case::new(
        "call",
        "a call of another CPU is logged with its function, its sender and the disturbed thread",
        call,
    )
    .limit_s(60),
    Case::new(
        "kworker",
        "a kernel thread that runs meanwhile is named with its work",
        kworker,
    )
    .limit_s(60),
    Case::new("tick", "the tick of a shared CPU is named", tick).limit_s(60),
    Case::new(
        "device",
        "a device's interrupt that is steered here is named",
        device,
    )
    .around(nothing, steer_back)
    .limit_s(60),
    Case::new("killed", "so is the signal that ends a job", killed).limit_s(60),
    Case::new(
        "self-inflicted",
        "system calls and faults leave no record, and every interrupt of user mode leaves one",
        self_inflicted,
    )
    .limit_s(60),
    Case::new(
        "overflow",
        "records that were overwritten are counted as lost, the others read in any portions",
        overflow,
    )
    .limit_s(60),
    Case::new(
        "second",
        "a second partition has records of its own, and none of those before it",
        second,
    )
    .around(nothing, no_second)
    .limit_s(120),
    Case::new("lwkctl", "lwkctl noise tells the same", lwkctl).limit_s(60),
    Case::new("tracepoint", "so does the tracepoint", tracepoint)
        .around(nothing, no_tracing)
        .limit_s(60),
    Case::new("arguments", "bad arguments are refused", arguments),
];

fn nothing() -> Result<()> {
    Ok(())
}

/// What the log of a CPU has from record `next` on.
#[derive(Debug)]
struct Log {
    records: Vec<NoiseRecord>,
    next: u64,
    lost: u64,
}

impl Log {
    fn read(cpu: u32, next: u64, room: usize) -> Result<Log> {
        let mut records = vec![NoiseRecord::default(); room];
        let mut arg = NoiseRead {
            size: size_of_abi::<NoiseRead>(),
            cpu,
            next,
            ..Default::default()
        };
        lwk::noise_read(&lwk::open()?, &mut arg, &mut records).context("LWK_NOISE_READ")?;
        records.truncate(usize::try_from(arg.nr)?);
        Ok(Log {
            records,
            next: arg.next,
            lost: arg.lost,
        })
    }

    fn since(cpu: u32, next: u64) -> Result<Log> {
        Log::read(cpu, next, NOISE_RECORDS)
    }

    /// The number of the next record.
    fn end(cpu: u32) -> Result<u64> {
        Ok(Log::since(cpu, 0)?.next)
    }

    fn of_function(&self, name: &str) -> Vec<NoiseRecord> {
        let has_name = |record: &&NoiseRecord| job::text(&record.symbol) == name;
        self.records.iter().filter(has_name).copied().collect()
    }
}

/// Interrupts that were noticed as they came.
fn nr_noticed(log: &Log) -> u64 {
    let on_time = |record: &&NoiseRecord| record.flags & NOISE_LATE == 0;
    log.records.iter().filter(on_time).count() as u64
}

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// Interrupts, from CPU 1, all CPUs on which a thread runs that let it.
fn disturb(times: usize) -> Result<()> {
    cpus::set_affinity(0, &cpus::Cpus::from([1])).context("affinity")?;
    for _ in 0..times {
        membarrier(MembarrierCommand::GlobalExpedited).context("membarrier")?;
    }
    Ok(())
}

/// The function that this runs there.
const BARRIER: &str = "ipi_mb";

fn no_room() -> Result<()> {
    if fs::metadata(FAIL).is_err() {
        return Err(Skip("only the debug kernel has CONFIG_FAIL_FUNCTION").into());
    }
    // NULL.
    fail("lwk_c_noise_room", 1, "0")?;
    let refused = create("second", &[2], &[])?;
    fs::write(format!("{FAIL}/inject"), "\n").context("ending the injection")?;
    let errno = refused.err().context("it was not refused")?.errno;
    ensure!(errno == Errno::NOMEM, "{errno:?}");
    ensure!(job::partitions()?.len() == 1, "{:?}", job::partitions()?);
    ensure!(job::cpu(2)?.partition == 0, "{:?}", job::cpu(2)?);
    done(create("second", &[2], &[])?).map(drop)
}

/// Ends the second partition, if there is one.
fn no_second() -> Result<()> {
    for partition in job::partitions()? {
        if partition.name == "second" {
            jobs_end()?;
            done(delete(partition.id)?)?;
        }
    }
    Ok(())
}

fn call() -> Result<()> {
    let spinner = Spinner::start_as("spin-registered", 3)?;
    let (next, before, begun) = (Log::end(3)?, job::cpu(3)?, now_ns());
    disturb(5)?;
    let (log, after, ended) = (Log::since(3, next)?, job::cpu(3)?, now_ns());
    let calls = log.of_function(BARRIER);
    ensure!(calls.len() == 5 && log.lost == 0, "{log:?}");
    let grown = entry(&after, EntryKind::Interrupt) - entry(&before, EntryKind::Interrupt);
    ensure!(nr_noticed(&log) == grown, "{grown} entries, {log:?}");
    let comm = fs::read_to_string("/proc/self/comm").context("comm")?;
    let mut last = begun;
    for record in &calls {
        ensure!(
            record.cause == IrqSource::Call as u32
                && record.sources & 1 << IrqSource::Call.index() != 0
                && record.ran == RanKind::CallWait as u32
                && record.nr_calls >= 1
                && record.nr_irqs >= 1,
            "{record:?}"
        );
        let me = std::process::id();
        ensure!(
            (record.sender_cpu, record.sender_tid, record.sender_pid) == (1, me, me)
                && job::text(&record.sender_comm) == comm.trim(),
            "{me} {comm:?}: {record:?}"
        );
        ensure!(
            (record.victim_pid, record.victim_tid) == (spinner.pid(), spinner.pid()),
            "{}: {record:?}",
            spinner.pid()
        );
        ensure!(
            record.time_ns > last && record.duration_ns > 0,
            "after {last}: {record:?}"
        );
        last = record.time_ns + record.duration_ns;
        ensure!(last < ended, "before {ended}: {record:?}");
        ensure!(
            record.irq == NOISE_UNKNOWN && record.guest_tid == NOISE_UNKNOWN,
            "{record:?}"
        );
    }
    spinner.end()
}

/// How long something may take to be seen in the log.
const LIMIT: Duration = Duration::from_secs(20);

/// Waits for a record that fits.
fn await_record(next: u64, what: &str, fits: impl Fn(&NoiseRecord) -> bool) -> Result<NoiseRecord> {
    let mut found = None;
    job::eventually(LIMIT, what, || {
        found = Log::since(3, next)?.records.into_iter().find(&fits);
        Ok(found.is_some())
    })
    .with_context(|| format!("{:?}", Log::since(3, next)))?;
    found.context("none")
}

fn kworker() -> Result<()> {
    let spinner = Spinner::start()?;
    let next = Log::end(3)?;
    cpus::run_work(3)?;
    let record = await_record(next, "a record of CPU 3's kworker", |record| {
        job::text(&record.guest_comm).starts_with("kworker/3:")
            && job::text(&record.guest_symbol) == "update_pages_handler"
    })?;
    let comm = fs::read_to_string(format!("/proc/{}/comm", record.guest_tid)).context("comm")?;
    ensure!(comm.starts_with("kworker/3:"), "{comm:?}: {record:?}");
    ensure!(
        record.guest_ns > 0 && record.duration_ns > 0 && record.victim_pid == spinner.pid(),
        "{record:?}"
    );
    spinner.end()
}

fn tick() -> Result<()> {
    let spinner = Spinner::start_as("spin-twice", 3)?;
    let next = Log::end(3)?;
    std::thread::sleep(Duration::from_secs(1));
    let log = Log::since(3, next)?;
    let is_tick = |record: &&NoiseRecord| {
        record.cause == IrqSource::Timer as u32 && record.ran == RanKind::Timer as u32
    };
    let ticks = log.of_function("tick_nohz_handler");
    ensure!(
        ticks.len() >= 10 && ticks.iter().all(|record| is_tick(&record)),
        "{log:?}"
    );
    ensure!(
        ticks
            .iter()
            .all(|record| record.sender_cpu == NOISE_UNKNOWN),
        "{ticks:?}"
    );
    spinner.end()
}

/// The interrupt of the serial line.
const SERIAL_IRQ: u32 = 4;

const STEER: &str = "echo 3 > /proc/irq/4/smp_affinity_list";

fn steer_back() -> Result<()> {
    let path = format!("/proc/irq/{SERIAL_IRQ}/smp_affinity_list");
    fs::write(&path, "0-1").context(path)
}

fn device() -> Result<()> {
    // Only a job may send interrupts to its CPUs.
    job::run(job::yod(&["-c", "3"]).args(["/bin/busybox", "sh", "-c", STEER]))?.success()?;
    let spinner = Spinner::start()?;
    let next = Log::end(3)?;
    // One interrupt may send all there is, and the first one only moves the next ones here.
    let mut found = None;
    job::eventually(LIMIT, "a record of the serial line", || {
        fs::write("/dev/ttyS0", "an interrupt\n").context("ttyS0")?;
        found = Log::since(3, next)?
            .records
            .into_iter()
            .find(|record| record.irq == SERIAL_IRQ);
        Ok(found.is_some())
    })?;
    let record = found.context("none")?;
    ensure!(
        record.cause == IrqSource::Device as u32 && record.ran == RanKind::Handler as u32,
        "{record:?}"
    );
    ensure!(
        job::text(&record.irq_name) == "ttyS0"
            && job::text(&record.symbol) == "serial8250_interrupt",
        "{record:?}"
    );
    spinner.end()
}

fn killed() -> Result<()> {
    let spinner = Spinner::start()?;
    let (next, before, pid) = (Log::end(3)?, job::cpu(3)?, spinner.pid());
    spinner.end()?;
    jobs_end()?;
    // Nothing returned to user mode since.
    let record = await_record(next, "a record of the signal", |record| {
        record.flags & NOISE_SIGNAL != 0
    })?;
    ensure!(
        record.cause == IrqSource::Reschedule as u32 && record.victim_pid == pid,
        "{record:?}"
    );
    let (log, after) = (Log::since(3, next)?, job::cpu(3)?);
    let grown = entry(&after, EntryKind::Interrupt) - entry(&before, EntryKind::Interrupt);
    ensure!(nr_noticed(&log) == grown, "{grown} entries, {log:?}");
    Ok(())
}

fn self_inflicted() -> Result<()> {
    let (next, before) = (Log::end(3)?, job::cpu(3)?);
    for program in [["syscalls", "1000"], ["touch", "101"]] {
        job::run(&mut job::yod_inside(&["-c", "3"], &program))?.success()?;
    }
    jobs_end()?;
    let (log, after) = (Log::since(3, next)?, job::cpu(3)?);
    let grown = |kind| entry(&after, kind) - entry(&before, kind);
    ensure!(
        grown(EntryKind::Syscall) >= 1000 && grown(EntryKind::Fault) >= 100,
        "{before:?} {after:?}"
    );
    ensure!(
        nr_noticed(&log) == grown(EntryKind::Interrupt),
        "{before:?} {after:?} {log:?}"
    );
    Ok(())
}

fn overflow() -> Result<()> {
    let spinner = Spinner::start_as("spin-registered", 3)?;
    let next = Log::end(3)?;
    disturb(NOISE_RECORDS + 100)?;
    let log = Log::since(3, next)?;
    let nr = log.records.len() as u64;
    ensure!(
        nr == NOISE_RECORDS as u64 && log.lost >= 100,
        "{nr} records, {} lost",
        log.lost
    );
    ensure!(
        log.next == next + log.lost + nr,
        "from {next} to {}: {nr} records, {} lost",
        log.next,
        log.lost
    );
    let mut at = log.next - 100;
    while at < log.next {
        let part = Log::read(3, at, 7)?;
        for record in &part.records {
            ensure!(record.seq == at, "wanted {at}: {record:?}");
            at += 1;
        }
        ensure!(
            part.lost == 0 && part.next == at && !part.records.is_empty(),
            "{part:?}"
        );
    }
    ensure!(
        Log::read(3, next, 0)?.records.is_empty(),
        "no room, but records"
    );
    spinner.end()
}

fn second() -> Result<()> {
    let id = done(create("second", &[2], &[])?)?;
    ensure!(
        Log::since(2, 0)?.records.is_empty(),
        "{:?}",
        Log::since(2, 0)?
    );
    let (first, second) = (Spinner::start()?, Spinner::start_as("spin-registered", 2)?);
    let next = (Log::end(3)?, Log::end(2)?);
    disturb(5)?;
    let logs = (Log::since(3, next.0)?, Log::since(2, next.1)?);
    ensure!(
        logs.0.of_function(BARRIER).is_empty() && logs.1.of_function(BARRIER).len() == 5,
        "{logs:?}"
    );
    let text = job::lwkctl(&["noise", "second", "--json"])?;
    let told: serde_json::Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    ensure!(told["cpus"] == serde_json::json!([2]), "{text}");
    let records = told["records"].as_array().context("no records")?;
    ensure!(
        records.len() >= 5 && records.iter().all(|record| record["cpu"] == 2),
        "{text}"
    );
    first.end()?;
    second.end()?;
    jobs_end()?;
    done(delete(id)?)?;
    ensure!(
        Log::since(2, 0)?.records.is_empty(),
        "records of a CPU of Linux"
    );
    let again = now_ns();
    done(create("second", &[2], &[])?)?;
    let log = Log::since(2, 0)?;
    ensure!(
        log.lost == 0 && log.records.iter().all(|record| record.time_ns > again),
        "{log:?}"
    );
    Ok(())
}

fn lwkctl() -> Result<()> {
    let spinner = Spinner::start_as("spin-registered", 3)?;
    let next = Log::end(3)?;
    disturb(3)?;
    let wanted = Log::since(3, next)?.of_function(BARRIER);
    let text = job::lwkctl(&["noise", "--json", "--cpus", "3"])?;
    let told: serde_json::Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let records = told["records"].as_array().context("no records")?;
    for record in &wanted {
        let told = records
            .iter()
            .find(|told| told["seq"] == record.seq)
            .with_context(|| format!("no record {}", record.seq))?;
        ensure!(
            told["cpu"] == 3
                && told["time_ns"] == record.time_ns
                && told["duration_ns"] == record.duration_ns
                && told["cause"] == "CAL"
                && told["function"] == BARRIER
                && told["sender"]["cpu"] == 1
                && told["sender"]["pid"] == std::process::id()
                && told["victim"]["pid"] == spinner.pid(),
            "{told}"
        );
    }
    let culprit = told["culprits"]
        .as_array()
        .and_then(|all| all.iter().find(|one| one["pid"] == std::process::id()))
        .with_context(|| text.clone())?;
    ensure!(
        culprit["ran"] == BARRIER && culprit["count"].as_u64() >= Some(3),
        "{culprit}"
    );
    let advice = culprit["advice"].as_str().context("no advice")?;
    ensure!(advice.contains("membarrier"), "{advice}");
    let text = job::lwkctl(&["noise"])?;
    ensure!(
        text.contains(BARRIER) && text.contains("membarrier(2)"),
        "{text}"
    );
    // Later than all records.
    std::thread::sleep(Duration::from_millis(1500));
    let text = job::lwkctl(&["noise", "--since", "0.5", "--json"])?;
    let told: serde_json::Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let records = told["records"].as_array().context("no records")?;
    ensure!(
        records.iter().all(|record| record["function"] != BARRIER),
        "{text}"
    );
    let refused = job::run(std::process::Command::new("/bin/lwkctl").args(["noise", "-c", "0"]))?;
    refused.expect_code(1)?;
    spinner.end()
}

const TRACING: &str = "/sys/kernel/tracing";

fn trace(file: &str, text: &str) -> Result<()> {
    fs::write(format!("{TRACING}/{file}"), text).with_context(|| format!("{text:?} to {file}"))
}

fn no_tracing() -> Result<()> {
    trace("events/lwk/lwk_noise/enable", "0")?;
    trace("trace", "\n")
}

fn tracepoint() -> Result<()> {
    let spinner = Spinner::start_as("spin-registered", 3)?;
    let next = Log::end(3)?;
    trace("trace", "\n")?;
    trace("events/lwk/lwk_noise/enable", "1")?;
    disturb(4)?;
    trace("events/lwk/lwk_noise/enable", "0")?;
    let text = fs::read_to_string(format!("{TRACING}/trace")).context("trace")?;
    let records = Log::since(3, next)?.of_function(BARRIER);
    ensure!(records.len() == 4, "{records:?}");
    for record in &records {
        let wanted = [
            "lwk_noise: cause=CAL ".to_owned(),
            format!(" at={} duration={} ", record.time_ns, record.duration_ns),
            format!(" function={BARRIER} "),
            format!(" sender_cpu=1 sender_tid={} ", std::process::id()),
            format!(" victim_tid={} ", spinner.pid()),
        ];
        ensure!(
            text.lines()
                .any(|line| wanted.iter().all(|part| line.contains(part.as_str()))),
            "{wanted:?} not in {text}"
        );
    }
    spinner.end()
}

fn arguments() -> Result<()> {
    let device = lwk::open()?;
    let read = |change: fn(&mut NoiseRead)| {
        let mut arg = NoiseRead {
            size: size_of_abi::<NoiseRead>(),
            cpu: 3,
            ..Default::default()
        };
        change(&mut arg);
        lwk::noise_read(&device, &mut arg, &mut [NoiseRecord::default(); 2])
    };
    ensure!(read(|_| ()) == Ok(()), "the plain one");
    ensure!(read(|arg| arg.next = u64::MAX) == Ok(()), "the far future");
    ensure!(read(|arg| arg.cpu = 0) == Ok(()), "a CPU of Linux");
    ensure!(read(|arg| arg.cpu = 4) == Err(Errno::NOENT), "no such CPU");
    ensure!(
        read(|arg| arg.cpu = u32::MAX) == Err(Errno::NOENT),
        "the last CPU of all"
    );
    ensure!(read(|arg| arg.flags = 1) == Err(Errno::INVAL), "a flag");
    ensure!(
        read(|arg| arg.reserved = 1) == Err(Errno::INVAL),
        "reserved"
    );
    ensure!(
        read(|arg| arg.size -= 8) == Err(Errno::INVAL),
        "a small size"
    );
    // There is a record to be written by now.
    job::run(&mut job::yod_inside(&["-c", "3"], &["syscalls", "1"]))?.success()?;
    if Log::since(3, 0)?.records.is_empty() {
        return Err(Skip("no record to write").into());
    }
    ensure!(
        lwk::noise_read_to_nowhere(&device, 3) == Err(Errno::FAULT),
        "nowhere"
    );
    Ok(())
}
