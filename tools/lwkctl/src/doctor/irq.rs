// SPDX-License-Identifier: GPL-2.0
//! Device interrupts.

use lwk::CpusText;
use lwk_logic::logic::cpuset::CpuSet;

use super::facts::Facts;
use super::Check;

/// How many interrupts are named.
const NAMED: usize = 8;

/// Whether device interrupts go to LWK CPUs.
pub(super) fn spread(facts: &Facts) -> Check {
    const NAME: &str = "irqs";
    let tree = &facts.tree;
    let irqs: Vec<String> = tree
        .names("proc/irq")
        .into_iter()
        .filter(|name| name.parse::<u32>().is_ok())
        .collect();
    if irqs.is_empty() {
        return Check::unknown(NAME, "the kernel does not tell its interrupts");
    }
    let mut bad = Vec::new();
    let mut cpus = CpuSet::EMPTY;
    for irq in &irqs {
        // Where it goes, which the LWK restricts; where it may go only if the kernel does not tell the former.
        let set = tree
            .list(&format!("proc/irq/{irq}/effective_affinity_list"))
            .or_else(|| tree.list(&format!("proc/irq/{irq}/smp_affinity_list")))
            .unwrap_or_default();
        let on_lwk = set.intersection(&facts.lwk);
        let actions = actions(facts, irq);
        // An interrupt that nobody handles does not come.
        if !on_lwk.is_empty() && !actions.is_empty() {
            bad.push(format!("interrupt {irq} ({actions})"));
            cpus = cpus.union(&on_lwk);
        }
    }
    if bad.is_empty() {
        return Check::ok(NAME, "no device interrupt goes to an LWK CPU");
    }
    let more = bad.len().saturating_sub(NAMED);
    bad.truncate(NAMED);
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    let linux = facts.topology.online.difference(&facts.lwk);
    Check::finding(
        NAME,
        format!("{}{more} on LWK {}", bad.join(", "), CpusText(&cpus)),
        "each one stops the program on that CPU",
        format!(
            "echo {linux} > /proc/irq/N/smp_affinity_list for each; where that is refused the device's queues are managed: \
             give it fewer queues"
        ),
    )
}

/// Who handles an interrupt: the folders of `/proc/irq/N` are called like the handlers.
fn actions(facts: &Facts, irq: &str) -> String {
    let dir = format!("proc/irq/{irq}");
    let is_handler = |name: &String| facts.tree.path(&format!("{dir}/{name}")).is_dir();
    let names: Vec<String> = facts
        .tree
        .names(&dir)
        .into_iter()
        .filter(is_handler)
        .collect();
    names.join(" ")
}

/// Whether irqbalance knows of the LWK CPUs.
pub(super) fn irqbalance(facts: &Facts) -> Check {
    const NAME: &str = "irqbalance";
    let tree = &facts.tree;
    let runs = tree
        .names("proc")
        .iter()
        .filter(|name| name.parse::<u32>().is_ok())
        .any(|pid| tree.text(&format!("proc/{pid}/comm")).as_deref() == Some("irqbalance"));
    if !runs {
        return Check::ok(NAME, "irqbalance does not run");
    }
    if facts.lwk.is_empty() {
        return Check::ok(NAME, "irqbalance runs; there is no LWK CPU yet");
    }
    let settings =
        ["etc/default/irqbalance", "etc/sysconfig/irqbalance"].map(|path| tree.text(path));
    let banned = settings
        .iter()
        .flatten()
        .find_map(|text| setting(text, "IRQBALANCE_BANNED_CPULIST"));
    if banned
        .as_ref()
        .is_some_and(|banned| facts.lwk.is_subset(banned))
    {
        return Check::ok(NAME, "irqbalance runs and leaves the LWK CPUs out");
    }
    Check::finding(
        NAME,
        format!(
            "irqbalance runs and counts {} among those it may use",
            CpusText(&facts.lwk)
        ),
        "it spreads interrupts over CPUs that will not take them, so that the others get them unevenly, and moves what \
         you have placed",
        format!(
            "set IRQBALANCE_BANNED_CPULIST={} in /etc/default/irqbalance and restart it, or: systemctl disable --now \
             irqbalance",
            facts.lwk
        ),
    )
}

/// The CPU list of a shell-like setting.
fn setting(text: &str, name: &str) -> Option<CpuSet> {
    let value = |line: &str| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let value = line.strip_prefix(name)?.strip_prefix('=')?;
        value.trim_matches(|c| c == '"' || c == '\'').parse().ok()
    };
    text.lines().rev().find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_a_shell_would() {
        let told = |text: &str| setting(text, "X").map(|set| set.to_string());
        assert_eq!(told("#X=1\nX=2-3\n"), Some("2-3".to_owned()));
        assert_eq!(told("X=1\nexport X=\"2\"\n"), Some("2".to_owned()));
        assert_eq!(told("Y=1\nXX=2\n"), None);
    }
}
