// SPDX-License-Identifier: GPL-2.0
//! Kernel threads that move or scan the memory of programs.

use super::facts::Facts;
use super::Check;

/// khugepaged is taken to rest if it sleeps so long.
const RESTING_MS: u64 = 3_600_000;

/// Whether khugepaged works on the memory of jobs.
pub(super) fn thp(facts: &Facts) -> Check {
    const NAME: &str = "thp";
    let dir = "sys/kernel/mm/transparent_hugepage";
    let Some(text) = facts.tree.text(&format!("{dir}/enabled")) else {
        return Check::unknown(NAME, "the kernel has no transparent huge pages");
    };
    let chosen = text.split(['[', ']']).nth(1).unwrap_or(&text).to_owned();
    let sleep = format!("{dir}/khugepaged/scan_sleep_millisecs");
    let rests = facts.tree.number(&sleep).is_some_and(|ms| ms >= RESTING_MS);
    if chosen != "always" || rests {
        return Check::ok(NAME, format!("transparent huge pages: {chosen}"));
    }
    Check::finding(
        NAME,
        "transparent huge pages are on for all programs, and khugepaged scans",
        "when it makes a huge page of a running program's pages, all CPUs of that program are interrupted",
        format!("let it rest for a day; page faults still make huge pages: echo 86400000 > /{sleep}"),
    )
}

/// Whether KSM merges pages.
pub(super) fn ksm(facts: &Facts) -> Check {
    const NAME: &str = "ksm";
    match facts.tree.number("sys/kernel/mm/ksm/run") {
        None => Check::ok(NAME, "the kernel has no KSM"),
        Some(1) => Check::finding(
            NAME,
            "KSM merges equal pages",
            "it makes pages read-only and so costs the program an interrupt now and a page fault later",
            "echo 0 > /sys/kernel/mm/ksm/run",
        ),
        Some(_) => Check::ok(NAME, "KSM does not run"),
    }
}

/// Whether Linux looks for better nodes for pages.
pub(super) fn numa_balancing(facts: &Facts) -> Check {
    const NAME: &str = "numa-balancing";
    match facts.tree.number("proc/sys/kernel/numa_balancing") {
        None => Check::ok(NAME, "the kernel has no NUMA balancing"),
        Some(0) => Check::ok(NAME, "NUMA balancing is off"),
        Some(_) => Check::finding(
            NAME,
            "NUMA balancing is on",
            "it unmaps pages of running programs again and again, to see by their page faults who uses them",
            "sysctl kernel.numa_balancing=0",
        ),
    }
}
