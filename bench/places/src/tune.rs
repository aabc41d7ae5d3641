// SPDX-License-Identifier: GPL-2.0
//! Quietens CPUs with what Linux itself offers at run time.
//!
//! The boot line does the rest (`nohz_full`, `rcu_nocbs`, `tsc=reliable`, `nowatchdog`). This changes the whole machine
//! and is not undone, so it is for a machine that was booted for the purpose.

use std::fs;
use std::path::{Path, PathBuf};

use lwk_logic::logic::cpuset::CpuSet;

/// Whether this machine was booted for an LWK, and so may be changed.
pub fn is_allowed(boot_line: &str) -> bool {
    boot_line
        .split_whitespace()
        .any(|word| word.starts_with("lwkcpus="))
}

/// Turns off what disturbs `tuned` and returns a line about each step.
///
/// A step that fails is not fatal: it makes the CPUs less quiet, which the line then explains.
pub fn quieten(root: &Path, tuned: &CpuSet, others: &CpuSet) -> Vec<String> {
    // Without the limit on real-time tasks the fair server may be turned off.
    let limit = write(root, "proc/sys/kernel/sched_rt_runtime_us", "-1");
    let mut steps = vec![line("no limit on real-time tasks", &limit)];
    for cpu in tuned {
        let path = format!("sys/kernel/debug/sched/fair_server/cpu{cpu}/runtime");
        steps.push(line(
            &format!("fair server of CPU {cpu} off"),
            &write(root, &path, "0"),
        ));
    }
    steps.push(move_interrupts(root, others));
    steps
}

/// Sends the interrupts of devices to `others`.
fn move_interrupts(root: &Path, others: &CpuSet) -> String {
    let default = write(root, "proc/irq/default_smp_affinity", &mask(others));
    let (mut moved, mut stayed) = (0, Vec::new());
    for irq in numbers(&root.join("proc/irq")) {
        match write(
            root,
            &format!("proc/irq/{irq}/smp_affinity_list"),
            &others.to_string(),
        ) {
            Ok(()) => moved += 1,
            // Timers and interrupts that a driver spread itself refuse.
            Err(_) => stayed.push(irq.to_string()),
        }
    }
    let stayed = if stayed.is_empty() {
        "none".to_owned()
    } else {
        stayed.join(" ")
    };
    line(
        &format!("{moved} device interrupts on CPUs {others}, fixed ones: {stayed}"),
        &default,
    )
}

/// Prints a set as the hexadecimal mask that the kernel wants: words of 32 bits, highest first, with commas.
fn mask(cpus: &CpuSet) -> String {
    let halves = cpus
        .words()
        .iter()
        .rev()
        .flat_map(|word| [word >> 32, word & 0xffff_ffff]);
    let words: Vec<String> = halves
        .skip_while(|half| *half == 0)
        .map(|half| format!("{half:08x}"))
        .collect();
    words.join(",")
}

/// Returns the numbers among the names of a directory, in order.
fn numbers(dir: &Path) -> Vec<u32> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut numbers: Vec<u32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

/// Writes to an existing file of the kernel.
fn write(root: &Path, path: &str, value: &str) -> Result<(), String> {
    let path: PathBuf = root.join(path);
    let result = fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|mut file| {
            use std::io::Write;
            file.write_all(value.as_bytes())
        });
    result.map_err(|error| format!("{}: {error}", path.display()))
}

/// Says what was done and how it went.
fn line(what: &str, result: &Result<(), String>) -> String {
    match result {
        Ok(()) => what.to_owned(),
        Err(error) => format!("{what}: FAILED, {error}"),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that panics fails, as it should")]
mod tests {
    use super::*;

    #[test]
    fn only_a_machine_booted_for_it_is_changed() {
        assert!(is_allowed("quiet lwkcpus=0.5-6 nohz_full=3-4"));
        assert!(is_allowed("lwkcpus="));
        assert!(!is_allowed("quiet nohz_full=3-4"));
        assert!(!is_allowed("xlwkcpus=1"));
    }

    #[test]
    fn mask_has_the_form_of_the_kernel() {
        let mask_of = |list: &str| mask(&list.parse().unwrap());
        assert_eq!(mask_of("0-2"), "00000007");
        assert_eq!(mask_of("0,32-33"), "00000003,00000001");
        assert_eq!(mask_of("64"), "00000001,00000000,00000000");
    }

    #[test]
    fn steps_reach_their_files_and_failures_are_named() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for path in [
            "proc/sys/kernel",
            "proc/irq/9",
            "proc/irq/10",
            "sys/kernel/debug/sched/fair_server/cpu3",
        ] {
            fs::create_dir_all(at(path)).unwrap();
        }
        let files = [
            "proc/sys/kernel/sched_rt_runtime_us",
            "proc/irq/default_smp_affinity",
            "proc/irq/9/smp_affinity_list",
            "sys/kernel/debug/sched/fair_server/cpu3/runtime",
        ];
        for path in files {
            fs::write(at(path), "").unwrap();
        }
        let steps = quieten(
            root.path(),
            &"3-4".parse().unwrap(),
            &"0-2".parse().unwrap(),
        );
        let contents = files.map(|path| fs::read_to_string(at(path)).unwrap());
        assert_eq!(contents, ["-1", "00000007", "0-2", "0"]);
        assert_eq!(steps.len(), 4);
        assert_eq!(steps[1], "fair server of CPU 3 off");
        assert!(
            steps[2].starts_with("fair server of CPU 4 off: FAILED, "),
            "{}",
            steps[2]
        );
        assert_eq!(steps[3], "1 device interrupts on CPUs 0-2, fixed ones: 10");
    }
}
