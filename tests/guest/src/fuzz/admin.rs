// SPDX-License-Identifier: GPL-2.0
//! What the administrator does: partitions, CPUs off and on line, settings of the machine, looks at all tables.

use std::fs;
use std::process::{Command, Stdio};

use super::worker::{Operation, Worker};
use crate::{cpus, job, memory, partition};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation::new("partition", 8, change_partition),
    Operation::new("hotplug", 6, switch_cpu),
    Operation::new("tables", 3, show),
    Operation::new("fair-server", 2, set_fair_server),
    Operation::new("work", 2, queue_work),
    Operation::new("caches", 2, drop_caches),
    Operation::new("patching", 2, patch_text),
    Operation::new("mtrr", 1, set_mtrr),
];

/// Takes a CPU of Linux off line or puts it back, some times in a row.
fn switch_cpu(worker: &mut Worker<'_>) {
    for _ in 0..1 + worker.random.below(4) {
        let cpu = 1 + worker.random.below(5);
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/online");
        // What is refused is one more case.
        let _ = fs::write(&path, worker.random.pick(&["0", "1"]));
        if worker.random.one_in(2) {
            let _ = fs::write(&path, "1");
        }
    }
}

/// Makes, changes or ends a partition, in a way that may well work.
fn change_partition(worker: &mut Worker<'_>) {
    const MIB: u64 = 1 << 20;
    let ids: Vec<u32> = job::partitions()
        .unwrap_or_default()
        .iter()
        .map(|partition| partition.id)
        .collect();
    let random = &mut worker.random;
    let some = |random: &mut crate::random::Random| -> Vec<usize> {
        let mask = random.any() & random.any() & 0x3e;
        (0..6).filter(|cpu| mask >> cpu & 1 == 1).collect()
    };
    let shares = match random.below(3) {
        0 => Vec::new(),
        1 => vec![memory::of_node(
            random.below(2) as u32,
            random.below(33) * 2 * MIB,
        )],
        _ => vec![memory::of_node(u32::MAX, random.below(33) * 2 * MIB)],
    };
    let id = if ids.is_empty() { 1 } else { random.pick(&ids) };
    // What is refused is one more case.
    match random.below(8) {
        0..=2 => {
            let name = random.pick(&["one", "two", "three"]);
            let _ = memory::create(name, &some(random), &shares);
        }
        3..=5 => drop(memory::resize(id, &some(random), &some(random), &shares)),
        _ => drop(partition::delete(id)),
    }
}

/// Asks for all that the tools can tell.
fn show(worker: &mut Worker<'_>) {
    const COMMANDS: &[&[&str]] = &[
        &["list"],
        &["show"],
        &["show", "--json", "--noise"],
        &["noise"],
        &["mem"],
        &["mem", "--survey"],
        &["doctor"],
        &["save", "/tmp/fuzz.toml"],
        &["apply", "--dry-run", "/tmp/fuzz.toml"],
        &["create", "--auto", "--dry-run"],
        &["version"],
    ];
    let mut command = Command::new("/bin/lwkctl");
    command.args(worker.random.pick(COMMANDS));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Partitions come and go meanwhile, so that it may fail.
    let _ = command.status();
}

fn set_fair_server(worker: &mut Worker<'_>) {
    let cpu = worker.random.below(6);
    let path = format!("/sys/kernel/debug/sched/fair_server/cpu{cpu}/runtime");
    let Ok(old) = fs::read_to_string(&path) else {
        return;
    };
    let _ = fs::write(&path, worker.random.pick(&["0", "1000000", "50000000"]));
    let _ = fs::write(&path, old.trim());
}

/// Has the kernel do work on a CPU and wait for it.
fn queue_work(worker: &mut Worker<'_>) {
    // CAST: below 6.
    let _ = cpus::run_work(worker.random.below(6) as usize);
}

fn drop_caches(worker: &mut Worker<'_>) {
    let (file, value) = worker.random.pick(&[
        ("drop_caches", "3"),
        ("compact_memory", "1"),
        ("stat_refresh", "1"),
    ]);
    let _ = fs::write(format!("/proc/sys/vm/{file}"), value);
}

/// Has the kernel change its own text: trace points on and off.
fn patch_text(worker: &mut Worker<'_>) {
    let event = worker.random.pick(&["lwk", "sched/sched_switch", "ipi"]);
    let path = format!("/sys/kernel/tracing/events/{event}/enable");
    let _ = fs::write(&path, "1");
    super::nap(worker.random.below(3_000));
    let _ = fs::write(&path, "0");
}

/// Has all CPUs stopped to change how memory is cached, where there is none.
fn set_mtrr(worker: &mut Worker<'_>) {
    let base = 0xe000_0000_u64 + worker.random.below(4) * 0x100_0000;
    let line = format!("base={base:#x} size=0x1000000 type=write-combining");
    let _ = fs::write("/proc/mtrr", line);
    for register in 0..8 {
        let _ = fs::write("/proc/mtrr", format!("disable={register}"));
    }
}
