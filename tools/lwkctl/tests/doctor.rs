// SPDX-License-Identifier: GPL-2.0
//! `lwkctl doctor` on made-up machines: a good one has no finding, and each flaw gives its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use lwkctl::doctor::{DeviceFacts, Diagnosis, Facts, Status};
use tempfile::TempDir;

/// A machine of four cores without SMT: CPU 0 serves 2-3 of the LWK, and nothing is wrong with it.
const GOOD: &[(&str, &str)] = &[
    (
        "proc/cmdline",
        "root=/dev/vda lwkcpus=0.2-3 tsc=reliable nowatchdog",
    ),
    ("proc/sys/kernel/osrelease", "6.12.43-lwk"),
    ("proc/sys/kernel/watchdog", "0"),
    ("proc/sys/kernel/watchdog_cpumask", "0-1"),
    ("proc/sys/kernel/timer_migration", "1"),
    ("proc/sys/kernel/numa_balancing", "0"),
    (
        "proc/cpuinfo",
        "flags : fpu tsc constant_tsc nonstop_tsc tsc_adjust",
    ),
    ("proc/1/comm", "systemd"),
    ("proc/irq/default_smp_affinity", "f"),
    ("proc/irq/24/smp_affinity_list", "0-3"),
    ("proc/irq/24/effective_affinity_list", "1"),
    ("proc/irq/24/virtio0/x", ""),
    ("sys/class/misc/lwk/dev", "10:122"),
    ("sys/kernel/mm/ksm/run", "0"),
    (
        "sys/kernel/mm/transparent_hugepage/enabled",
        "always [madvise] never",
    ),
    (
        "sys/devices/system/clocksource/clocksource0/current_clocksource",
        "tsc",
    ),
    ("sys/devices/system/cpu/online", "0-3"),
    (
        "sys/devices/system/cpu/cpu2/cpufreq/scaling_governor",
        "performance",
    ),
    ("sys/devices/system/cpu/cpu2/cpuidle/state1/latency", "2"),
    ("sys/devices/system/cpu/cpu2/cpuidle/state1/disable", "0"),
    (
        "sys/devices/system/machinecheck/machinecheck2/cmci_disabled",
        "0",
    ),
    (
        "sys/devices/system/machinecheck/machinecheck2/ignore_ce",
        "0",
    ),
    ("dev/lwk", ""),
];

struct Machine(TempDir);

impl Machine {
    fn good() -> Self {
        let machine = Self(tempfile::tempdir().expect("a directory"));
        for (path, text) in GOOD {
            machine.write(path, text);
        }
        machine.mode(0o660);
        machine
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
        fs::write(path, format!("{text}\n")).expect("a file");
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.0.path().join(path)).expect("a file");
    }

    fn mode(&self, mode: u32) {
        let path = self.0.path().join("dev/lwk");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a file");
    }

    fn check(&self, device: Option<DeviceFacts>) -> Diagnosis {
        Diagnosis::new(&Facts::read(self.0.path(), device).expect("a machine"))
    }

    /// The findings as `name: what was found`.
    fn findings(&self) -> Vec<String> {
        findings(&self.check(None))
    }
}

fn findings(diagnosis: &Diagnosis) -> Vec<String> {
    let is_finding = |check: &&lwkctl::doctor::Check| check.status == Status::Finding;
    let checks = diagnosis.checks.iter().filter(is_finding);
    checks
        .inspect(|check| assert!(check.why.is_some() && check.change.is_some(), "{check:?}"))
        .map(|check| format!("{}: {}", check.name, check.found))
        .collect()
}

#[test]
fn a_good_machine_has_no_finding() {
    let diagnosis = Machine::good().check(None);
    assert_eq!(findings(&diagnosis), Vec::<String>::new());
    assert_eq!(diagnosis.nr_findings, 0);
    assert_eq!(diagnosis.lwk_cpus.to_string(), "2-3");
    assert!(diagnosis.text().ends_with("\n0 findings\n"));
}

#[test]
fn each_flaw_is_found_and_nothing_else() {
    let line = "proc/cmdline";
    let flaws: &[(&str, &str, &str)] = &[
        (
            line,
            "lwkcpus=0.2-3 tsc=reliable isolcpus=domain,3 nowatchdog",
            "isolation: isolcpus= has CPU 3 of the LWK",
        ),
        (
            line,
            "nowatchdog tsc=reliable",
            "lwkcpus: the boot line has no lwkcpus=",
        ),
        (
            line,
            "nowatchdog tsc=reliable lwkcpus=3-2",
            "lwkcpus: lwkcpus= is not understood: the CPU range 3-2 runs backwards",
        ),
        (
            "proc/sys/kernel/timer_migration",
            "0",
            "timer-migration: kernel.timer_migration is 0",
        ),
        (
            "proc/sys/kernel/numa_balancing",
            "1",
            "numa-balancing: NUMA balancing is on",
        ),
        (
            "proc/9/comm",
            "irqbalance",
            "irqbalance: irqbalance runs and counts CPUs 2-3 among those it may use",
        ),
        (
            "proc/irq/24/effective_affinity_list",
            "1,3",
            "irqs: interrupt 24 (virtio0) on LWK CPU 3",
        ),
        ("sys/kernel/mm/ksm/run", "1", "ksm: KSM merges equal pages"),
        (
            "sys/kernel/mm/transparent_hugepage/enabled",
            "[always] madvise never",
            "thp: transparent huge pages are on for all programs, and khugepaged scans",
        ),
        (
            "sys/devices/system/clocksource/clocksource0/current_clocksource",
            "acpi_pm",
            "clocksource: the clock source is acpi_pm",
        ),
        (
            "sys/devices/system/cpu/cpu1/topology/core_cpus_list",
            "1-2",
            "siblings: threads of Linux are on the cores of LWK CPU 2",
        ),
        (
            "sys/devices/system/cpu/cpu3/cpufreq/scaling_governor",
            "powersave",
            "cpufreq: governor powersave on LWK CPU 3",
        ),
        (
            "sys/devices/system/cpu/cpu2/cpuidle/state1/latency",
            "400",
            "cpuidle: LWK CPU 2 may need 400 us to wake up",
        ),
        (
            "sys/devices/system/machinecheck/machinecheck2/cmci_disabled",
            "1",
            "mce: the interrupt for corrected errors is off",
        ),
        (
            "proc/cpuinfo",
            "vendor_id : AuthenticAMD\nflags : constant_tsc nonstop_tsc tsc_adjust",
            "mce: the processor has no interrupt for corrected errors",
        ),
        (
            "sys/hypervisor/guest_type",
            "PV",
            "lwkcpus: this is a paravirtual guest of Xen",
        ),
    ];
    for (path, text, wanted) in flaws {
        let machine = Machine::good();
        machine.write(path, text);
        assert_eq!(machine.findings(), [*wanted], "{path}: {text}");
    }
}

#[test]
fn the_boot_line_is_only_needed_where_the_machine_is_not_good_by_itself() {
    let machine = Machine::good();
    machine.write("proc/cmdline", "lwkcpus=0.2-3");
    assert_eq!(
        machine.findings(),
        Vec::<String>::new(),
        "the watchdog is off and the TSC trusted"
    );
    machine.write("proc/sys/kernel/watchdog", "1");
    assert_eq!(
        machine.findings(),
        Vec::<String>::new(),
        "the watchdog leaves 2-3 out"
    );
    machine.write("proc/sys/kernel/watchdog_cpumask", "0-2");
    machine.write("proc/cpuinfo", "flags : constant_tsc nonstop_tsc");
    assert_eq!(
        machine.findings(),
        [
            "nowatchdog: the soft lockup watchdogs run on LWK CPU 2",
            "tsc: the processor lacks tsc_adjust, and the boot line has no tsc=reliable"
        ]
    );
}

#[test]
fn kernel_and_device_are_looked_at() {
    let machine = Machine::good();
    machine.remove("sys/class/misc/lwk/dev");
    fs::remove_dir(machine.0.path().join("sys/class/misc/lwk")).expect("a directory");
    machine.mode(0o666);
    assert_eq!(
        machine.findings(),
        [
            "kernel: kernel 6.12.43-lwk has no LWK",
            "access: /dev/lwk has mode 0666"
        ]
    );
}

#[test]
fn settings_that_do_no_harm_are_no_findings() {
    let machine = Machine::good();
    machine.write("proc/9/comm", "irqbalance");
    machine.write("etc/default/irqbalance", "IRQBALANCE_BANNED_CPULIST=1-3");
    machine.write("proc/irq/24/effective_affinity_list", "3");
    fs::remove_dir_all(machine.0.path().join("proc/irq/24/virtio0")).expect("a directory");
    machine.write(
        "sys/kernel/mm/transparent_hugepage/enabled",
        "[always] madvise never",
    );
    machine.write(
        "sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs",
        "86400000",
    );
    machine.write("sys/devices/system/cpu/cpu2/cpuidle/state1/latency", "400");
    machine.write("sys/devices/system/cpu/cpu2/cpuidle/state1/disable", "1");
    let amd = "vendor_id : AuthenticAMD\nflags : constant_tsc nonstop_tsc tsc_adjust";
    machine.write("proc/cpuinfo", amd);
    machine.write(
        "sys/devices/system/machinecheck/machinecheck2/dram_ecc/dram_ecc/threshold_limit",
        "4095",
    );
    machine.write(
        "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor",
        "powersave",
    );
    assert_eq!(machine.findings(), Vec::<String>::new());
}

#[test]
fn the_device_knows_better_than_the_boot_line() {
    let set = |list: &str| list.parse().expect("a list of the test");
    let machine = Machine::good();
    machine.write("proc/irq/24/effective_affinity_list", "1");
    let device = DeviceFacts {
        partitions: Ok(vec![("rt".to_owned(), set("1"), set(""))]),
    };
    let diagnosis = machine.check(Some(device));
    assert_eq!(diagnosis.lwk_cpus.to_string(), "1");
    assert_eq!(
        findings(&diagnosis),
        [
            "irqs: interrupt 24 (virtio0) on LWK CPU 1",
            "service: no service CPU: rt in node 0"
        ]
    );
    let device = DeviceFacts {
        partitions: Err(lwk::Error::AbiMismatch { tool: 1, kernel: 2 }),
    };
    let findings = findings(&machine.check(Some(device)));
    assert!(
        findings.len() == 1 && findings[0].starts_with("abi: "),
        "{findings:?}"
    );
}

#[test]
fn a_machine_that_tells_nothing_is_unknown_not_bad() {
    let dir = tempfile::tempdir().expect("a directory");
    let machine = Machine(dir);
    machine.write("proc/cmdline", "lwkcpus=");
    machine.write("sys/devices/system/cpu/online", "0");
    machine.write("sys/class/misc/lwk/dev", "10:122");
    assert_eq!(machine.findings(), Vec::<String>::new());
    let unknown = |check: &&lwkctl::doctor::Check| check.status == Status::Unknown;
    assert!(machine.check(None).checks.iter().filter(unknown).count() >= 6);
}

#[test]
fn this_machine_can_be_checked() {
    let facts = Facts::read(Path::new("/"), None).expect("a machine");
    assert_eq!(Diagnosis::new(&facts).checks.len(), 19);
}
