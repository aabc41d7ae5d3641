// SPDX-License-Identifier: GPL-2.0
//! The emulated machines that `make bench` boots.

use std::fmt::Write as _;

/// A machine and what runs on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Unique; names rows and files.
    pub(crate) name: &'static str,
    /// The suites, in the order in which they run.
    pub(crate) suites: &'static [&'static str],
    /// Whether only the quick part of the suites runs.
    pub(crate) subset: Subset,
    /// Virtual CPUs, spread evenly over the nodes.
    pub(crate) cpus: u32,
    /// NUMA nodes.
    pub(crate) nodes: u32,
    /// Memory in MiB, spread evenly over the nodes.
    pub(crate) memory_mib: u32,
    /// CPUs of stock Linux, of tuned Linux, of the LWK; the others keep the house.
    pub(crate) places: [&'static str; 3],
    /// What becomes of the CPUs of the LWK.
    pub(crate) lwk: Lwk,
    /// What else goes on the boot line.
    pub(crate) append: &'static str,
    /// What its root file system holds.
    pub(crate) root: Root,
    /// How long it may take on a busy host.
    pub(crate) limit_s: u64,
}

/// Which part of the suites runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subset {
    /// All of it.
    Full,
    /// What a developer can wait for.
    Quick,
}

/// What becomes of the CPUs of the LWK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lwk {
    /// Programs run there.
    Used,
    /// There is a partition, and nobody in it.
    Unused,
    /// They are CPUs of Linux.
    Absent,
}

/// What a machine finds in its root file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    /// The guest program and the tools.
    Tools,
    /// Real programs with their libraries, too.
    Programs,
}

/// What every guest boots with: no randomness, no timers of the lockup watchdogs, a time-stamp counter to be trusted
/// although TCG does not say that it is invariant, and no self-tests that starve behind a busy CPU.
const APPEND: &str =
    "console=ttyS0 panic=-1 quiet nokaslr norandmaps tsc=reliable nowatchdog cryptomgr.notests";

/// Seven CPUs: one that keeps the house, two for each place.
const USUAL: Machine = Machine {
    name: "",
    suites: &[],
    subset: Subset::Full,
    cpus: 7,
    nodes: 1,
    memory_mib: 4096,
    places: ["1-2", "3-4", "5-6"],
    lwk: Lwk::Used,
    append: "",
    root: Root::Tools,
    limit_s: 1500,
};

/// Every machine, those first that take longest.
pub(crate) const MACHINES: &[Machine] = &[
    Machine {
        name: "noise",
        suites: &["noise"],
        append: "lwkmem=512M",
        ..USUAL
    },
    Machine {
        name: "micro",
        suites: &["thread", "syscall", "process", "launch", "partition"],
        ..USUAL
    },
    Machine {
        name: "memory",
        suites: &["memory"],
        // Three of them are below 4 GiB, where devices with short addresses need them.
        memory_mib: 6144,
        append: "lwkmem=1536M",
        ..USUAL
    },
    Machine {
        name: "quick",
        suites: &[
            "noise",
            "thread",
            "syscall",
            "memory",
            "process",
            "launch",
            "partition",
        ],
        subset: Subset::Quick,
        append: "lwkmem=512M",
        limit_s: 600,
        ..USUAL
    },
    Machine {
        name: "apps",
        suites: &["apps"],
        append: "lwkmem=768M",
        root: Root::Programs,
        ..USUAL
    },
    scaling("scaling-64", 64, 4, ["1-31", "", "32-63"]),
    scaling("scaling-32", 32, 2, ["1-15", "", "16-31"]),
    scaling("scaling-8", 8, 1, ["1-3", "", "4-7"]),
    scaling("scaling-2", 2, 1, ["0", "", "1"]),
];

/// The machine on which our kernel and one without our patches are compared; the LWK has nothing to do.
pub(crate) const BYSTANDERS: Machine = Machine {
    name: "bystanders",
    suites: &["syscall"],
    ..USUAL
};

/// A machine of some size, of which the LWK has half.
const fn scaling(name: &'static str, cpus: u32, nodes: u32, places: [&'static str; 3]) -> Machine {
    Machine {
        name,
        suites: &["scaling"],
        cpus,
        nodes,
        places,
        ..USUAL
    }
}

impl Machine {
    /// The same, where something else becomes of the CPUs of the LWK.
    pub(crate) const fn with(self, lwk: Lwk) -> Self {
        Self { lwk, ..self }
    }

    /// The boot line; `benches` are those that run, or none for all; `phase` shifts the clock against the programs.
    pub(crate) fn boot_line(&self, benches: &[String], phase: usize) -> String {
        let [linux, tuned, lwk] = self.places;
        let mut line = APPEND.to_owned();
        if self.lwk != Lwk::Absent {
            let _ = write!(line, " lwkcpus=0.{lwk}");
        }
        if !tuned.is_empty() {
            let _ = write!(line, " nohz_full={tuned} rcu_nocbs={tuned}");
        }
        if linux == "0" {
            line.push_str(" irqaffinity=0");
        } else {
            let _ = write!(line, " irqaffinity=0,{linux}");
        }
        let lwk = if self.lwk == Lwk::Used { lwk } else { "" };
        for (word, value) in [("linux", linux), ("tuned", tuned), ("lwk", lwk)] {
            if !value.is_empty() {
                let _ = write!(line, " lab.{word}={value}");
            }
        }
        let _ = write!(line, " lab.suite={}", self.suites.join(","));
        if !benches.is_empty() {
            let _ = write!(line, " lab.bench={}", benches.join(","));
        }
        if self.subset == Subset::Quick {
            line.push_str(" lab.quick=1");
        }
        if phase > 0 {
            let _ = write!(line, " lab.phase={phase}");
        }
        if !self.append.is_empty() {
            let _ = write!(line, " {}", self.append);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_cpus_fill_nodes() {
        let names: BTreeSet<_> = MACHINES.iter().map(|machine| machine.name).collect();
        assert_eq!(names.len(), MACHINES.len());
        for machine in MACHINES {
            assert_eq!(machine.cpus % machine.nodes, 0, "{}", machine.name);
            assert_eq!(machine.memory_mib % machine.nodes, 0, "{}", machine.name);
            assert!(!machine.suites.is_empty(), "{}", machine.name);
        }
    }

    #[test]
    fn boot_line_names_places_suites_and_subset() {
        let quick = MACHINES
            .iter()
            .find(|machine| machine.name == "quick")
            .unwrap();
        let line = quick.boot_line(&["entry".to_owned(), "read".to_owned()], 0);
        for word in [
            "lwkcpus=0.5-6",
            "nohz_full=3-4",
            "lab.lwk=5-6",
            "lab.quick=1",
            "lab.bench=entry,read",
            "norandmaps",
        ] {
            assert!(line.split(' ').any(|w| w == word), "{word} in {line}");
        }
        assert!(!line.contains("lab.phase"), "{line}");
        assert!(quick.boot_line(&[], 2).contains(" lab.phase=2"));
        let unused = quick.with(Lwk::Unused).boot_line(&[], 0);
        assert!(unused.contains("lwkcpus=0.5-6"), "{unused}");
        assert!(!unused.contains("lab.lwk"), "{unused}");
        let absent = quick.with(Lwk::Absent).boot_line(&[], 0);
        assert!(!absent.contains("lwkcpus"), "{absent}");
    }
}
