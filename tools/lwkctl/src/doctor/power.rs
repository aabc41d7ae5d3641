// SPDX-License-Identifier: GPL-2.0
//! Idle states and frequencies of LWK CPUs.

use lwk::CpusText;
use lwk_logic::logic::cpuset::CpuSet;

use super::facts::Facts;
use super::Check;

/// Wake-ups that take longer than this, in microseconds, are worth a word.
const SLOW_WAKEUP_US: u64 = 50;

/// Whether idle LWK CPUs wake up fast.
pub(super) fn cpuidle(facts: &Facts) -> Check {
    const NAME: &str = "cpuidle";
    if facts.lwk.is_empty() {
        return Check::ok(NAME, "no LWK CPU yet");
    }
    let (mut slow, mut slowest, mut is_told) = (CpuSet::EMPTY, 0, false);
    for cpu in &facts.lwk {
        let dir = format!("sys/devices/system/cpu/cpu{cpu}/cpuidle");
        for state in facts
            .tree
            .names(&dir)
            .iter()
            .filter(|name| name.starts_with("state"))
        {
            let file = |name: &str| facts.tree.number(&format!("{dir}/{state}/{name}"));
            is_told = true;
            let latency = file("latency").unwrap_or(0);
            if latency > SLOW_WAKEUP_US && file("disable") != Some(1) {
                slow.insert(cpu);
                slowest = latency.max(slowest);
            }
        }
    }
    if !is_told {
        return Check::ok(NAME, "LWK CPUs have no deep idle states");
    }
    if slow.is_empty() {
        return Check::ok(NAME, format!("LWK CPUs wake up within {SLOW_WAKEUP_US} us"));
    }
    Check::finding(
        NAME,
        format!("LWK {} may need {slowest} us to wake up", CpusText(&slow)),
        "a thread that waits for another one loses that time at each wake-up",
        format!("cpupower -c {slow} idle-set -D {SLOW_WAKEUP_US}"),
    )
}

/// Whether LWK CPUs keep one frequency.
pub(super) fn governor(facts: &Facts) -> Check {
    const NAME: &str = "cpufreq";
    let governor = |cpu| {
        facts.tree.text(&format!(
            "sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"
        ))
    };
    let mut others = CpuSet::EMPTY;
    let mut found = None;
    for cpu in &facts.lwk {
        if let Some(name) = governor(cpu).filter(|name| name != "performance") {
            others.insert(cpu);
            found = Some(name);
        }
    }
    match found {
        None if facts.lwk.is_empty() => Check::ok(NAME, "no LWK CPU yet"),
        None => Check::ok(NAME, "LWK CPUs keep their frequency"),
        Some(name) => Check::finding(
            NAME,
            format!("governor {name} on LWK {}", CpusText(&others)),
            "it changes frequencies, for which it interrupts CPUs, and makes run times vary",
            format!("cpupower -c {others} frequency-set -g performance"),
        ),
    }
}
