// SPDX-License-Identifier: GPL-2.0
//! The kernel, its device, and how its partitions lie on the cores.

use std::os::unix::fs::PermissionsExt;

use lwk::CpusText;
use lwk_logic::logic::cpuset::CpuSet;
use lwk_logic::uapi::ABI_VERSION;

use super::facts::Facts;
use super::Check;

/// Bits of a mode that let everybody read or write.
const OTHERS: u32 = 0o006;

/// Whether the kernel has an LWK.
pub(super) fn lwk(facts: &Facts) -> Check {
    let release = facts
        .tree
        .text("proc/sys/kernel/osrelease")
        .unwrap_or_default();
    if facts.tree.path("sys/class/misc/lwk").exists() {
        return Check::ok("kernel", format!("kernel {release} has an LWK"));
    }
    Check::finding(
        "kernel",
        format!("kernel {release} has no LWK"),
        "without it there are no partitions",
        "boot a kernel built with CONFIG_LWK=y; if it is one, see the kernel log (dmesg | grep lwk:)",
    )
}

/// Whether tool and kernel speak the same ABI.
pub(super) fn abi(facts: &Facts) -> Check {
    match facts.device.as_ref().map(|device| &device.partitions) {
        None => Check::unknown("abi", "the device of another machine cannot be asked"),
        Some(Ok(_)) => Check::ok(
            "abi",
            format!("kernel and tool speak version {ABI_VERSION}"),
        ),
        Some(Err(error @ lwk::Error::AbiMismatch { .. })) => Check::finding(
            "abi",
            error.to_string(),
            "they would misunderstand each other, so that no tool works",
            "install the tools that were built with the running kernel",
        ),
        Some(Err(error)) => Check::unknown("abi", error.to_string()),
    }
}

/// Whether the right people may use the device.
pub(super) fn access(facts: &Facts) -> Check {
    let path = facts.tree.path("dev/lwk");
    let Ok(metadata) = std::fs::metadata(&path) else {
        return Check::unknown("access", format!("there is no {}", path.display()));
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        return Check::finding(
            "access",
            format!("/dev/lwk has mode {mode:04o}"),
            "every user can reserve all LWK CPUs",
            "chmod 0660 /dev/lwk, and look for the udev rule that changed it",
        );
    }
    match facts.device.as_ref().map(|device| &device.partitions) {
        Some(Err(error @ lwk::Error::NoPermission { .. })) => {
            Check::unknown("access", error.to_string())
        }
        _ => Check::ok("access", format!("/dev/lwk has mode {mode:04o}")),
    }
}

/// Whether somebody learns of memory errors that the hardware of LWK CPUs corrects: Linux does not poll them.
pub(super) fn corrected_errors(facts: &Facts) -> Check {
    const NAME: &str = "mce";
    const WHY: &str = "Linux does not poll LWK CPUs, so that nobody learns of errors that their caches correct until one \
                       is fatal";
    let tree = &facts.tree;
    let Some(cpu) = facts.lwk.iter().next() else {
        return Check::ok(NAME, "no LWK CPU yet");
    };
    let dir = format!("sys/devices/system/machinecheck/machinecheck{cpu}");
    let is_on = |name: &str| tree.number(&format!("{dir}/{name}")) == Some(1);
    let cpuinfo = tree.text("proc/cpuinfo").unwrap_or_default();
    let has_word = |wanted: &str| cpuinfo.split_ascii_whitespace().any(|word| word == wanted);
    let is_amd = has_word("AuthenticAMD") || has_word("HygonGenuine");
    if tree.names(&dir).is_empty() {
        return Check::unknown(NAME, "the kernel does not tell of machine checks");
    }
    if is_on("ignore_ce") {
        return Check::ok(
            NAME,
            "corrected errors of all CPUs are ignored, as mce= asks",
        );
    }
    if is_on("cmci_disabled") {
        return Check::finding(
            NAME,
            "the interrupt for corrected errors is off",
            WHY,
            "take mce=no_cmci out of the boot line, or write 0 to \
             /sys/devices/system/machinecheck/machinecheck0/cmci_disabled",
        );
    }
    // Banks that can interrupt have a folder with their threshold; the guests of hypervisors see no such errors.
    let interrupts = |bank: &String| {
        let blocks = tree.names(&format!("{dir}/{bank}"));
        let limit = |block: &String| format!("{dir}/{bank}/{block}/threshold_limit");
        blocks.iter().any(|block| tree.path(&limit(block)).exists())
    };
    if is_amd && !has_word("hypervisor") && !tree.names(&dir).iter().any(interrupts) {
        return Check::finding(
            NAME,
            "the processor has no interrupt for corrected errors",
            WHY,
            "leave this machine's LWK CPUs to Linux from time to time (lwkctl delete), or watch errors through the firmware",
        );
    }
    Check::ok(NAME, "corrected errors are told by an interrupt")
}

/// Whether Linux and the LWK share a core.
pub(super) fn siblings(facts: &Facts) -> Check {
    let mut split = CpuSet::EMPTY;
    for core in &facts.topology.cores {
        let lwk = core.threads.intersection(&facts.lwk);
        if !lwk.is_empty() && lwk != core.threads {
            split = split.union(&lwk);
        }
    }
    if split.is_empty() {
        return Check::ok("siblings", "no core is shared by Linux and the LWK");
    }
    Check::finding(
        "siblings",
        format!("threads of Linux are on the cores of LWK {}", CpusText(&split)),
        "what Linux runs on the other hardware thread takes execution units and caches away",
        "give whole cores to partitions (lwkctl create --auto does), or take the other threads off line",
    )
}

/// Whether each partition has a service CPU in its nodes.
pub(super) fn service(facts: &Facts) -> Check {
    let Some(Ok(partitions)) = facts.device.as_ref().map(|device| &device.partitions) else {
        return Check::unknown("service", "service CPUs of another machine are not known");
    };
    let node_of = |cpu| facts.topology.core_of(cpu).map(|core| core.node);
    let mut lacking = Vec::new();
    for (name, cpus, service) in partitions {
        let served: Vec<u32> = service.iter().filter_map(node_of).collect();
        let mut nodes: Vec<u32> = cpus.iter().filter_map(node_of).collect();
        nodes.dedup();
        for node in nodes.into_iter().filter(|node| !served.contains(node)) {
            let text = format!("{name} in node {node}");
            if !lacking.contains(&text) {
                lacking.push(text);
            }
        }
    }
    if lacking.is_empty() {
        return Check::ok(
            "service",
            "each partition has a service CPU in each of its nodes",
        );
    }
    Check::finding(
        "service",
        format!("no service CPU: {}", lacking.join(", ")),
        "Linux then does a job's work, for example its device interrupts, wherever it likes, perhaps on another node",
        "name service CPUs when the partition is made (lwkctl create --service, or --auto)",
    )
}
