// SPDX-License-Identifier: GPL-2.0
//! What `lwkcpus=` on the boot line makes, and what becomes of a bad value.

use anyhow::{ensure, Context, Result};
use lwk_logic::uapi;
use rustix::io::Errno;
use serde_json::{json, Value};

use super::LWK;
use crate::cpus::{self, Cpus};
use crate::harness::Case;
use crate::sys::lwk;
use crate::{init, job, proc};

/// `lwkcpus=0.2-3` on four CPUs.
pub(super) const GOOD: &[Case] = &[
    Case::new(
        "partition",
        "the boot line makes a partition called boot with its CPUs and service CPU",
        partition,
    ),
    Case::new(
        "log",
        "the kernel log tells of the partition in exactly one line",
        log,
    ),
    Case::new("show", "lwkctl show names the partition and its CPUs", show),
    Case::new(
        "show-json",
        "lwkctl show --json agrees with the device",
        show_json,
    ),
    Case::new("cpus", "each CPU knows its partition and role", cpus),
    Case::new(
        "linux-stays-away",
        "no user task runs on a partition's CPUs, nor may PID 1",
        linux_stays_away,
    ),
    Case::new(
        "interrupts",
        "no device interrupt may come to a partition's CPU, nor may a new one",
        interrupts_stay_away,
    ),
    Case::new(
        "interrupts-sent",
        "a write to /proc/irq gets the Linux CPUs that it names, and is refused if it names none",
        interrupts_sent_here,
    ),
];

/// A value that the kernel must refuse; `lwktest.expect=` has words of the reason, joined by `_`.
pub(super) const BAD: &[Case] = &[
    Case::new(
        "refused",
        "a bad value leaves no partition and one line that says why",
        refused,
    ),
    Case::new(
        "no-job",
        "without a partition there is nothing to reserve",
        no_job,
    ),
];

/// An empty `lwkcpus=`.
pub(super) const ARMED: &[Case] = &[
    Case::new(
        "armed",
        "an empty value makes no partition but leaves CPUs takable later",
        armed,
    ),
    Case::new(
        "no-job",
        "without a partition there is nothing to reserve",
        no_job,
    ),
];

/// No `lwkcpus=`.
pub(super) const OFF: &[Case] = &[
    Case::new(
        "not-armed",
        "without the boot parameter there is no partition and no arming",
        not_armed,
    ),
    Case::new(
        "no-job",
        "without a partition there is nothing to reserve",
        no_job,
    ),
];

fn partition() -> Result<()> {
    let info = job::info()?;
    ensure!(
        info.abi_version == uapi::ABI_VERSION && info.nr_partitions == 1 && info.nr_jobs == 0,
        "{info:?}"
    );
    ensure!(info.armed == 1 && info.nr_cpu_ids == 4, "{info:?}");
    let wanted = job::Partition {
        id: 1,
        name: "boot".to_owned(),
        flags: uapi::PARTITION_BOOT,
        cpus: Cpus::from(LWK),
        service: Cpus::from([0]),
        nr_cpus: 2,
        nr_free: 2,
        nr_jobs: 0,
    };
    let found = job::partitions()?;
    ensure!(found == [wanted], "{found:?}");
    Ok(())
}

fn log() -> Result<()> {
    let lines = proc::lwk_log()?;
    let about: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("partition"))
        .collect();
    ensure!(
        about.len() == 1
            && about
                .iter()
                .all(|line| line.contains("boot") && line.contains("2-3")),
        "{lines:?}"
    );
    Ok(())
}

fn show() -> Result<()> {
    let text = job::lwkctl(&["show"])?;
    ensure!(
        text.lines()
            .any(|line| line.contains("boot") && line.contains("2-3")),
        "{text}"
    );
    Ok(())
}

fn show_json() -> Result<()> {
    let text = job::lwkctl(&["show", "--json"])?;
    let value: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let partitions = value["partitions"]
        .as_array()
        .with_context(|| text.clone())?;
    ensure!(partitions.len() == 1, "{text}");
    let boot = &partitions[0];
    ensure!(
        boot["name"] == "boot" && boot["id"] == 1 && boot["boot"] == true,
        "{text}"
    );
    for (key, wanted) in [
        ("cpus", json!([2, 3])),
        ("service_cpus", json!([0])),
        ("free_cpus", json!([2, 3])),
    ] {
        ensure!(boot[key] == wanted, "{key}: {text}");
    }
    for (cpu, owner) in ["service", "linux", "lwk", "lwk"].into_iter().enumerate() {
        ensure!(
            value["cpus"][cpu]["cpu"] == cpu && value["cpus"][cpu]["owner"] == owner,
            "CPU {cpu}: {text}"
        );
    }
    ensure!(
        value["jobs"].as_array().is_some_and(Vec::is_empty),
        "{text}"
    );
    Ok(())
}

fn cpus() -> Result<()> {
    for number in 0..4 {
        let cpu = job::cpu(number)?;
        let (partition, flags) = match number {
            0 => (1, uapi::CPU_ONLINE | uapi::CPU_SERVICE),
            1 => (0, uapi::CPU_ONLINE),
            _ => (1, uapi::CPU_ONLINE),
        };
        ensure!(
            (cpu.partition, cpu.flags) == (partition, flags),
            "CPU {number}: {cpu:?}"
        );
    }
    let beyond = lwk::cpu_get(
        &lwk::open()?,
        &mut uapi::CpuGet {
            size: lwk::size_of_abi::<uapi::CpuGet>(),
            cpu: 4,
            ..Default::default()
        },
    );
    ensure!(beyond == Err(rustix::io::Errno::NOENT), "CPU 4: {beyond:?}");
    Ok(())
}

fn linux_stays_away() -> Result<()> {
    for process in proc::processes().iter().filter(|p| !p.is_kernel) {
        for thread in proc::threads(process.pid) {
            ensure!(!LWK.contains(&thread.cpu), "{thread:?} is on an LWK CPU");
        }
    }
    let affinity = cpus::affinity(1)?;
    ensure!(
        affinity == Cpus::from([0, 1]),
        "PID 1 may run on {affinity:?}"
    );
    Ok(())
}

fn interrupts_stay_away() -> Result<()> {
    let (mut nr_movable, mut nr_hinted) = (0, 0);
    for irq in proc::device_irqs()? {
        let folder = format!("/proc/irq/{irq}");
        let effective = cpus::from_file(&format!("{folder}/effective_affinity_list"))?;
        ensure!(
            effective.is_disjoint(&Cpus::from(LWK)),
            "interrupt {irq} goes to {effective:?}"
        );
        // One that the kernel does not let move (the timer of the board, say) keeps the mask it was born with.
        let allowed = cpus::from_file(&format!("{folder}/smp_affinity_list"))?;
        let hint = std::fs::read_to_string(format!("{folder}/affinity_hint")).context("hint")?;
        // The emulated network card's driver would have all CPUs.
        nr_hinted += u32::from(hint.trim().ends_with('f'));
        if std::fs::write(format!("{folder}/smp_affinity_list"), "0-1").is_ok() {
            nr_movable += 1;
            ensure!(
                allowed.is_disjoint(&Cpus::from(LWK)),
                "interrupt {irq} may go to {allowed:?}"
            );
        }
    }
    ensure!(nr_movable > 0, "the machine has no interrupt that moves");
    ensure!(nr_hinted > 0, "no driver asked for LWK CPUs");
    check_new_interrupts()
}

/// Checks that interrupts of new devices go to the CPUs of Linux, which are 0 and 1.
fn check_new_interrupts() -> Result<()> {
    let text = std::fs::read_to_string("/proc/irq/default_smp_affinity").context("default")?;
    ensure!(
        u64::from_str_radix(text.trim(), 16) == Ok(0b0011),
        "a new interrupt may go to mask {text}"
    );
    Ok(())
}

/// Writes as irqbalance would make them.
fn interrupts_sent_here() -> Result<()> {
    let mut nr_movable = 0;
    for irq in proc::device_irqs()? {
        let path = format!("/proc/irq/{irq}/smp_affinity_list");
        let write = |list| std::fs::write(&path, list);
        if write("0-1").is_err() {
            continue;
        }
        nr_movable += 1;
        let error = write("2-3").err().and_then(|error| error.raw_os_error());
        ensure!(
            error == Some(Errno::INVAL.raw_os_error()),
            "interrupt {irq} was sent to LWK CPUs: {error:?}"
        );
        write("1-3").with_context(|| path.clone())?;
        let allowed = cpus::from_file(&path)?;
        ensure!(
            allowed == Cpus::from([1]),
            "interrupt {irq} was sent to 1-3 and went to {allowed:?}"
        );
    }
    ensure!(nr_movable > 0, "the machine has no interrupt that moves");
    let error = std::fs::write("/proc/irq/default_smp_affinity", "c");
    ensure!(error.is_err(), "new interrupts may go to LWK CPUs only");
    std::fs::write("/proc/irq/default_smp_affinity", "f").context("default")?;
    check_new_interrupts().context("after they were sent to all CPUs")
}

fn refused() -> Result<()> {
    no_partition()?;
    let words = init::boot_words()?;
    let expected = words
        .get("lwktest.expect")
        .context("no lwktest.expect= on the boot line")?
        .replace('_', " ");
    let lines = proc::lwk_log()?;
    let about: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("lwkcpus"))
        .collect();
    ensure!(
        about.len() == 1,
        "{} lines about lwkcpus: {lines:?}",
        about.len()
    );
    ensure!(
        about.iter().all(|line| line.contains(&expected)),
        "no {expected:?} in {lines:?}"
    );
    Ok(())
}

fn armed() -> Result<()> {
    ensure!(job::info()?.armed == 1, "{:?}", job::info()?);
    no_partition()
}

fn not_armed() -> Result<()> {
    ensure!(job::info()?.armed == 0, "{:?}", job::info()?);
    let lines = proc::lwk_log()?;
    ensure!(
        lines.iter().all(|line| !line.contains("lwkcpus")),
        "{lines:?}"
    );
    no_partition()
}

fn no_partition() -> Result<()> {
    let found = job::partitions()?;
    ensure!(
        found.is_empty() && job::info()?.nr_partitions == 0,
        "{found:?}"
    );
    let affinity = cpus::affinity(0)?;
    let online = cpus::from_file("/sys/devices/system/cpu/online")?;
    ensure!(
        affinity == online && online == Cpus::from([0, 1]),
        "Linux has {online:?}, may use {affinity:?}"
    );
    Ok(())
}

fn no_job() -> Result<()> {
    let mut create = uapi::JobCreate {
        size: lwk::size_of_abi::<uapi::JobCreate>(),
        nr_cpus: 1,
        ..Default::default()
    };
    let result = lwk::job_create(&lwk::open()?, &mut create, &[]);
    ensure!(
        result == Err(rustix::io::Errno::NODEV),
        "LWK_JOB_CREATE: {result:?}"
    );
    job::run(&mut job::yod(&["true"]))?.expect_code(125)
}
