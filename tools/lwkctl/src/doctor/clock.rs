// SPDX-License-Identifier: GPL-2.0
//! The time-stamp counter and timers.

use super::facts::Facts;
use super::Check;

/// Packages up to which Linux trusts a good time-stamp counter without a watchdog.
const TRUSTED_PACKAGES: usize = 4;

/// Whether Linux watches the time-stamp counter.
pub(super) fn tsc_reliable(facts: &Facts) -> Check {
    const NAME: &str = "tsc";
    if facts.parameter("tsc") == Some("reliable") {
        return Check::ok(NAME, "the boot line has tsc=reliable");
    }
    let Some(cpuinfo) = facts.tree.text("proc/cpuinfo") else {
        return Check::unknown(NAME, "there is no /proc/cpuinfo");
    };
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
    let has =
        |wanted: &str| flags.is_some_and(|line| line.split_whitespace().any(|flag| flag == wanted));
    let mut packages: Vec<i64> = facts
        .topology
        .cores
        .iter()
        .map(|core| core.package)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    let lacking: Vec<&str> = ["constant_tsc", "nonstop_tsc", "tsc_adjust"]
        .into_iter()
        .filter(|flag| !has(flag))
        .collect();
    let found = if lacking.is_empty() && packages.len() <= TRUSTED_PACKAGES {
        return Check::ok(NAME, "Linux trusts the time-stamp counter of this machine");
    } else if lacking.is_empty() {
        format!(
            "the machine has {} packages, and the boot line no tsc=reliable",
            packages.len()
        )
    } else {
        format!(
            "the processor lacks {}, and the boot line has no tsc=reliable",
            lacking.join(", ")
        )
    };
    Check::finding(
        NAME,
        found,
        "Linux then compares clocks twice a second on all CPUs in turn, also on those of the LWK",
        "add tsc=reliable to the boot line if the counters of all CPUs are known to be in step",
    )
}

/// Whether time comes from the time-stamp counter.
pub(super) fn clocksource(facts: &Facts) -> Check {
    const NAME: &str = "clocksource";
    let path = "sys/devices/system/clocksource/clocksource0/current_clocksource";
    match facts.tree.text(path).as_deref() {
        None => Check::unknown(NAME, "the kernel does not tell its clock source"),
        Some(source @ ("tsc" | "kvm-clock" | "hyperv_clocksource_tsc_page")) => {
            Check::ok(NAME, format!("the clock source is {source}"))
        }
        Some(source) => Check::finding(
            NAME,
            format!("the clock source is {source}"),
            "Linux has found the time-stamp counter bad: no CPU can do without the tick, and each look at the clock is a \
             system call",
            "see dmesg | grep -i tsc; boot with tsc=reliable if the counter is known to be good",
        ),
    }
}

/// Whether timers may move to other CPUs.
pub(super) fn timer_migration(facts: &Facts) -> Check {
    const NAME: &str = "timer-migration";
    match facts.tree.number("proc/sys/kernel/timer_migration") {
        None => Check::unknown(NAME, "the kernel does not tell kernel.timer_migration"),
        Some(0) => Check::finding(
            NAME,
            "kernel.timer_migration is 0",
            "timers then fire on the CPU where they were set, also on those of the LWK",
            "sysctl kernel.timer_migration=1",
        ),
        Some(_) => Check::ok(NAME, "timers may move to other CPUs"),
    }
}
