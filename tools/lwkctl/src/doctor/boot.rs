// SPDX-License-Identifier: GPL-2.0
//! The boot line.

use lwk::CpusText;
use lwk_logic::logic::cpuset::CpuSet;

use super::facts::Facts;
use super::Check;

/// Whether partitions can be made, and whether `lwkcpus=` is understood.
pub(super) fn lwkcpus(facts: &Facts) -> Check {
    if facts.tree.text("sys/hypervisor/guest_type").as_deref() == Some("PV") {
        return Check::finding(
            "lwkcpus",
            "this is a paravirtual guest of Xen",
            "its kernel may not flush translations by itself, as LWK CPUs do, so that lwkcpus= is ignored",
            "boot it as a guest of the kind PVH or HVM",
        );
    }
    match facts.boot_spec() {
        None => Check::finding(
            "lwkcpus",
            "the boot line has no lwkcpus=",
            "only at boot can Linux be prepared for giving CPUs away, so that no partition can be made",
            "add lwkcpus= to the boot line, with nothing after it if no partition is wanted at boot",
        ),
        Some(Err(error)) => Check::finding(
            "lwkcpus",
            format!("lwkcpus= is not understood: {error}"),
            "the machine boots without a partition then",
            "correct it; docs/operations.md has examples",
        ),
        Some(Ok(spec)) if spec.is_empty() => {
            Check::ok("lwkcpus", "the boot line has an empty lwkcpus=: partitions can be made")
        }
        Some(Ok(spec)) => Check::ok("lwkcpus", format!("the boot line has lwkcpus={spec}")),
    }
}

/// Whether other parameters claim the same CPUs.
pub(super) fn isolation(facts: &Facts) -> Check {
    let lwk = facts
        .boot_spec()
        .and_then(Result::ok)
        .map(|spec| *spec.cpus());
    let wanted = facts.lwk.union(&lwk.unwrap_or_default());
    let mut claims = Vec::new();
    for name in ["nohz_full", "isolcpus"] {
        let overlap = facts
            .parameter(name)
            .map_or(CpuSet::EMPTY, |text| cpus_of(text).intersection(&wanted));
        if !overlap.is_empty() {
            claims.push(format!("{name}= has {}", CpusText(&overlap)));
        }
    }
    if claims.is_empty() {
        return Check::ok(
            "isolation",
            "nohz_full= and isolcpus= leave the LWK CPUs alone",
        );
    }
    Check::finding(
        "isolation",
        format!("{} of the LWK", claims.join(" and ")),
        "CPUs isolated by the boot line cannot be taken, as they could not be given back as they were",
        "take LWK CPUs out of nohz_full= and isolcpus=: a partition does more than both",
    )
}

/// The CPUs of a parameter that may have flags before its list, as in `managed_irq,domain,2-3`.
fn cpus_of(text: &str) -> CpuSet {
    let is_flag =
        |word: &&str| word.starts_with(|c: char| c.is_ascii_lowercase()) && *word != "all";
    let list: Vec<&str> = text.split(',').skip_while(is_flag).collect();
    list.join(",").parse().unwrap_or_default()
}

/// Whether the lockup watchdogs run on LWK CPUs.
pub(super) fn nowatchdog(facts: &Facts) -> Check {
    const NAME: &str = "nowatchdog";
    let tree = &facts.tree;
    if facts.has_word("nowatchdog") {
        return Check::ok(NAME, "the boot line has nowatchdog");
    }
    let is_on = |name: &str| {
        tree.number(&format!("proc/sys/kernel/{name}"))
            .map(|value| value != 0)
    };
    let (Some(all), nmi) = (is_on("watchdog"), is_on("nmi_watchdog").unwrap_or(false)) else {
        return Check::unknown(NAME, "the kernel has no watchdog, or does not tell");
    };
    if !all {
        return Check::ok(NAME, "kernel.watchdog is 0");
    }
    let kind = if nmi { "soft and hard" } else { "soft" };
    let watched = tree
        .list("proc/sys/kernel/watchdog_cpumask")
        .map_or(facts.lwk, |mask| mask.intersection(&facts.lwk));
    if watched.is_empty() && !facts.lwk.is_empty() {
        return Check::ok(
            NAME,
            format!("the {kind} lockup watchdogs leave the LWK CPUs alone"),
        );
    }
    let found = if watched.is_empty() {
        format!("the {kind} lockup watchdogs are on")
    } else {
        format!(
            "the {kind} lockup watchdogs run on LWK {}",
            CpusText(&watched)
        )
    };
    Check::finding(
        NAME,
        found,
        "they set timers and use a performance counter of each CPU that they watch",
        "add nowatchdog to the boot line, or: sysctl kernel.watchdog=0",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_before_a_list_are_skipped() {
        let told = |text: &str| cpus_of(text).to_string();
        assert_eq!(told("2-3,5"), "2-3,5");
        assert_eq!(told("managed_irq,domain,2-3"), "2-3");
        assert_eq!(told("domain"), "");
        assert_eq!(told("nonsense-"), "");
    }
}
