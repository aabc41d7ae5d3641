// SPDX-License-Identifier: GPL-2.0
//! A program that works with files and sockets leaves no trace of that on its CPUs.
//!
//! The machine has CPUs 0 to 3 for Linux and 4 to 7 for the LWK, and a disk, `/dev/vda`.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{ensure, Context, Result};

use super::{loopback_up, Stepping};
use crate::harness::Case;
use crate::trace::{self, Trace};
use crate::{init, job, proc};

/// The suite.
pub(in crate::cases) const CASES: &[Case] = &[Case::new(
    "io",
    "60 s of files and sockets from four threads run no softirq, no RCU callback and no driver on their CPUs",
    io,
)
.around(set_up, take_down)
.limit_s(150)];

const LWK: core::ops::Range<usize> = 4..8;
const MOUNT: &str = "/tmp/disk";
const PROBES: &str = "/sys/kernel/tracing/kprobe_events";

/// Softirqs that work on files and sockets would leave behind.
const SOFTIRQS: [&str; 6] = ["HI", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET"];

/// Ticks of all CPUs of the LWK together: threads share a CPU for a moment when they begin, and RCU asks for one when the
/// emulator stops a CPU in the kernel, which a busy host does more often. Each may find work for RCU. CPUs of Linux have
/// 60,000 in that time.
const TICKS: u64 = 100;

/// Functions that hand over RCU callbacks. The kernel's own events for that need CONFIG_RCU_TRACE.
const CALLBACKS: [&str; 2] = ["call_rcu", "kvfree_call_rcu"];

/// What must not happen on a CPU of the LWK.
const EVENTS: [&str; 8] = [
    "block/block_bio_queue",
    "block/block_rq_complete",
    "block/block_rq_issue",
    "net/net_dev_queue",
    "net/netif_receive_skb",
    "net/netif_rx",
    "kprobes/lwktest_call_rcu",
    "kprobes/lwktest_kvfree_call_rcu",
];

fn set_up() -> Result<()> {
    loopback_up()?;
    job::run(Command::new("/bin/mke2fs").args(["-F", "/dev/vda"]))?.success()?;
    fs::create_dir_all(MOUNT).context(MOUNT)?;
    let mut mount = Command::new("/bin/mount");
    job::run(mount.args(["-t", "ext2", "/dev/vda", MOUNT]))?.success()?;
    let probes = CALLBACKS.map(|function| format!("p:kprobes/lwktest_{function} {function}\n"));
    fs::write(PROBES, probes.concat()).context(PROBES)
}

fn take_down() -> Result<()> {
    trace::forget()?;
    // Opening it for writing afresh removes the probes.
    fs::write(PROBES, "\n").context(PROBES)?;
    job::run(Command::new("/bin/umount").arg(MOUNT))?
        .success()
        .map(drop)
}

/// Counters of a CPU by name.
type Counts = BTreeMap<String, u64>;

/// What a CPU did.
#[derive(Debug)]
struct Counted {
    softirqs: Counts,
    interrupts: Counts,
    /// Packets received, dropped, and how often time was short, among others.
    network: Vec<String>,
}

/// Reads it for each CPU.
fn count() -> Result<Vec<Counted>> {
    // A line of CPUs, then a row for each softirq.
    let softirqs = fs::read_to_string("/proc/softirqs").context("softirqs")?;
    let network = fs::read_to_string("/proc/net/softnet_stat").context("softnet_stat")?;
    let of = |cpu: usize| -> Result<Counted> {
        let rows = softirqs.lines().skip(1);
        let rows = rows.filter_map(|line| line.split_once(':'));
        let counts = rows.map(|(name, counts)| {
            let count = counts.split_whitespace().nth(cpu).context("a count")?;
            Ok((name.trim().to_owned(), count.parse().context("a count")?))
        });
        // A row for each CPU that is on line, which are all.
        let row = network.lines().nth(cpu).context("a row of softnet_stat")?;
        Ok(Counted {
            softirqs: counts.collect::<Result<_>>()?,
            interrupts: proc::interrupts(cpu)?,
            network: row.split_whitespace().map(str::to_owned).collect(),
        })
    };
    (0..8).map(of).collect()
}

/// How much a counter grew.
fn grown(before: &Counts, after: &Counts, name: &str) -> u64 {
    let of = |counts: &Counts| counts.get(name).copied().unwrap_or(0);
    of(after) - of(before)
}

/// Interrupts of devices.
fn devices(before: &Counts, after: &Counts) -> u64 {
    let names = after.keys().filter(|name| name.parse::<u32>().is_ok());
    names.map(|name| grown(before, after, name)).sum()
}

/// Checks that a CPU of the LWK did nothing, and returns how many ticks it had.
fn check(cpu: usize, before: &Counted, after: &Counted) -> Result<u64> {
    for name in SOFTIRQS {
        let count = grown(&before.softirqs, &after.softirqs, name);
        ensure!(count == 0, "CPU {cpu} had {count} softirqs {name}");
    }
    let count = devices(&before.interrupts, &after.interrupts);
    ensure!(count == 0, "CPU {cpu} had {count} interrupts of devices");
    ensure!(
        before.network == after.network,
        "CPU {cpu}: {:?} became {:?}",
        before.network,
        after.network
    );
    let ticks = grown(&before.interrupts, &after.interrupts, "LOC");
    let callbacks = grown(&before.softirqs, &after.softirqs, "RCU");
    ensure!(
        callbacks <= ticks,
        "CPU {cpu} had {callbacks} softirqs RCU in {ticks} ticks"
    );
    Ok(ticks)
}

fn io() -> Result<()> {
    let words = init::boot_words()?;
    let seconds = match words.get("lwktest.seconds") {
        Some(text) => text.clone(),
        None if init::factor()? > 1 => "30".to_owned(),
        None => "60".to_owned(),
    };
    let command = job::yod_inside(&["-c", "4-7"], &["calls-io", MOUNT, &seconds]);
    let mut program = Stepping::start(command)?;
    program.expect("begun")?;
    // What starting leaves behind comes within seconds.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let trace = Trace::start(&EVENTS)?;
    for event in EVENTS {
        trace.filter(event, "CPU >= 4")?;
    }
    let before = count()?;
    program.go()?;
    program.expect("ended")?;
    let after = count()?;
    let events = trace.stop()?;
    program.go()?;
    println!("{} rounds at least", program.expect("least")?);
    program.finish()?;
    let (mut ticks, mut received, mut requests) = (0, 0, 0);
    for (cpu, (before, after)) in before.iter().zip(&after).enumerate() {
        if LWK.contains(&cpu) {
            ticks += check(cpu, before, after)?;
        } else {
            received += grown(&before.softirqs, &after.softirqs, "NET_RX");
            requests += devices(&before.interrupts, &after.interrupts);
        }
    }
    println!("{ticks} ticks; on Linux {received} softirqs NET_RX, {requests} interrupts");
    let factor = u64::from(crate::init::factor()?);
    ensure!(
        received > 1000 / factor && requests > 100 / factor,
        "the program did little"
    );
    ensure!(ticks <= TICKS, "{ticks} ticks");
    let mut found: BTreeMap<(&str, usize), usize> = BTreeMap::new();
    for event in &events.0 {
        *found.entry((&event.name, event.cpu)).or_default() += 1;
    }
    let first = events.0.first();
    ensure!(found.is_empty(), "events: {found:?}, such as {first:?}");
    Ok(())
}
