// SPDX-License-Identifier: GPL-2.0
//! The machines: one per boot line that the tests need.

/// On how many threads of the host the vCPUs run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// Each on one of its own: they race as on hardware.
    Multi,
    /// All on one, in turns. For suites that patch the kernel all the time: QEMU before 8.0 may translate code while
    /// another vCPU patches it, and keep the stale translation.
    Single,
}

/// Whether the kernel checks the TSC against another clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tsc {
    /// It trusts it, as on hardware with an invariant one.
    Trusted,
    /// It checks it twice a second, from one CPU after the other.
    Watched,
}

/// A machine and the suite that runs on it.
pub(crate) struct Boot {
    /// Unique; names the logs.
    pub(crate) name: &'static str,
    /// The guest's suite.
    pub(crate) suite: &'static str,
    /// Virtual CPUs, spread evenly over the nodes.
    pub(crate) cpus: u32,
    /// Hardware threads of each core.
    pub(crate) threads_a_core: u32,
    /// NUMA nodes; the memory is spread evenly over them.
    pub(crate) nodes: u32,
    /// Memory in MiB.
    pub(crate) memory_mib: u32,
    /// MiB of a disk, `/dev/vda`; 0 for none.
    pub(crate) disk_mib: u32,
    /// How the vCPUs are emulated.
    pub(crate) threads: Threads,
    /// What the kernel thinks of its clock.
    pub(crate) tsc: Tsc,
    /// What to add to the kernel command line.
    pub(crate) append: &'static str,
    /// How long the production kernel may take from start to power-off.
    pub(crate) limit_s: u32,
}

/// Four CPUs of which the LWK has two: what most suites run on.
const USUAL: Boot = Boot {
    name: "",
    suite: "",
    cpus: 4,
    threads_a_core: 1,
    nodes: 1,
    memory_mib: 2048,
    disk_mib: 0,
    threads: Threads::Multi,
    tsc: Tsc::Trusted,
    append: "lwkcpus=0.2-3",
    limit_s: 300,
};

/// Both other CPUs serve those of the LWK.
const SERVED: &str = "lwkcpus=0.2-3:1.";

/// A small machine for the boot line alone.
const SMALL: Boot = Boot {
    cpus: 2,
    memory_mib: 1024,
    limit_s: 90,
    ..USUAL
};

/// What the fuzzer runs on; `lwktest.seconds=` adds to the limit.
const FUZZ: Boot = Boot {
    cpus: 6,
    nodes: 2,
    memory_mib: 3072,
    limit_s: 200,
    ..USUAL
};

/// Every machine, in the order in which they run.
pub(crate) const BOOTS: &[Boot] = &[
    Boot {
        name: "boot-good",
        suite: "boot-good",
        limit_s: 120,
        ..USUAL
    },
    Boot {
        name: "boot-off",
        suite: "boot-off",
        append: "",
        ..SMALL
    },
    Boot {
        name: "boot-armed",
        suite: "boot-armed",
        append: "lwkcpus=",
        ..SMALL
    },
    Boot {
        name: "boot-cpu",
        suite: "boot-bad",
        append: "lwkcpus=0 lwktest.expect=keeps_the_time",
        ..SMALL
    },
    Boot {
        name: "boot-no-cpu",
        suite: "boot-bad",
        append: "lwkcpus=9 lwktest.expect=CPU_9",
        ..SMALL
    },
    Boot {
        name: "boot-syntax",
        suite: "boot-bad",
        append: "lwkcpus=1,, lwktest.expect=empty",
        ..SMALL
    },
    Boot {
        name: "boot-own-service",
        suite: "boot-bad",
        append: "lwkcpus=1.1 lwktest.expect=cannot_be_both",
        ..SMALL
    },
    Boot {
        name: "job",
        suite: "job",
        nodes: 2,
        limit_s: 400,
        ..USUAL
    },
    Boot {
        name: "lifetime",
        suite: "lifetime",
        ..USUAL
    },
    Boot {
        name: "abi",
        suite: "abi",
        ..USUAL
    },
    Boot {
        name: "sanity",
        suite: "sanity",
        ..USUAL
    },
    Boot {
        name: "sched",
        suite: "sched",
        disk_mib: 64,
        limit_s: 600,
        ..USUAL
    },
    Boot {
        name: "lone",
        suite: "lone",
        append: "lwkcpus=0.1",
        ..SMALL
    },
    Boot {
        name: "smt",
        suite: "smt",
        threads_a_core: 2,
        limit_s: 120,
        ..USUAL
    },
    Boot {
        name: "hotplug",
        suite: "hotplug",
        ..USUAL
    },
    Boot {
        name: "noise",
        suite: "noise",
        ..USUAL
    },
    Boot {
        name: "watched",
        suite: "watched",
        tsc: Tsc::Watched,
        limit_s: 120,
        ..USUAL
    },
    Boot {
        name: "noise-log",
        suite: "noise-log",
        append: "lwkcpus=0.3",
        ..USUAL
    },
    Boot {
        name: "deferral",
        suite: "deferral",
        threads: Threads::Single,
        ..USUAL
    },
    Boot {
        name: "partition",
        suite: "partition",
        threads: Threads::Single,
        append: "lwkcpus=",
        limit_s: 1000,
        ..USUAL
    },
    Boot {
        name: "wide",
        suite: "wide",
        cpus: 64,
        nodes: 4,
        memory_mib: 4096,
        append: "lwkcpus=",
        limit_s: 400,
        ..USUAL
    },
    Boot {
        name: "memory",
        suite: "memory",
        nodes: 2,
        threads: Threads::Single,
        append: "lwkcpus=",
        limit_s: 900,
        ..USUAL
    },
    Boot {
        name: "pages",
        suite: "pages",
        nodes: 2,
        threads: Threads::Single,
        append: "lwkcpus=",
        limit_s: 600,
        ..USUAL
    },
    Boot {
        name: "shared",
        suite: "shared",
        // As Linux uses some of most GiB by then, one that it does not use must be among several.
        memory_mib: 10240,
        append: "lwkcpus=0.2-3 lwkmem=1536M",
        ..USUAL
    },
    Boot {
        name: "limits",
        suite: "limits",
        disk_mib: 128,
        append: "lwkcpus=0.2-3 lwkmem=256M",
        ..USUAL
    },
    Boot {
        name: "poison",
        suite: "poison",
        nodes: 2,
        threads: Threads::Single,
        append: "lwkcpus=",
        limit_s: 120,
        ..USUAL
    },
    Boot {
        name: "memory-boot",
        suite: "memory-boot",
        nodes: 2,
        append: "lwkcpus=0.2-3 lwkmem=0:64M,32M",
        limit_s: 120,
        ..USUAL
    },
    Boot {
        name: "memory-boot-syntax",
        suite: "memory-boot-bad",
        append: "lwkcpus=0.1 lwkmem=1X lwktest.expect=is_not_a_size lwktest.partition=1",
        ..SMALL
    },
    Boot {
        name: "memory-boot-too-much",
        suite: "memory-boot-bad",
        append: "lwkcpus=0.1 lwkmem=1T lwktest.expect=asked_for_1T lwktest.partition=1",
        ..SMALL
    },
    Boot {
        name: "memory-boot-alone",
        suite: "memory-boot-bad",
        append: "lwkcpus= lwkmem=64M lwktest.expect=no_partition_can_have_it",
        ..SMALL
    },
    Boot {
        name: "calls",
        suite: "calls",
        append: SERVED,
        limit_s: 400,
        ..USUAL
    },
    Boot {
        name: "calls-tasks",
        suite: "calls-tasks",
        append: SERVED,
        limit_s: 500,
        ..USUAL
    },
    Boot {
        name: "calls-cpus",
        suite: "calls-cpus",
        disk_mib: 64,
        // Otherwise an idle CPU polls in disguise: the emulator carries out MWAIT as a pause.
        append: "lwkcpus=0.2-3:1. idle=halt",
        ..USUAL
    },
    Boot {
        name: "calls-quiet",
        suite: "calls-quiet",
        cpus: 8,
        disk_mib: 64,
        append: "lwkcpus=0.4-7:1-3.",
        ..USUAL
    },
    Boot {
        name: "calls-storm",
        suite: "calls-storm",
        append: SERVED,
        limit_s: 400,
        ..USUAL
    },
    Boot {
        name: "kill",
        suite: "kill",
        limit_s: 400,
        ..USUAL
    },
    Boot {
        name: "users",
        suite: "users",
        append: "lwkcpus=0.2-3 lwkmem=512M",
        ..USUAL
    },
    Boot {
        name: "fuzz-armed",
        suite: "fuzz",
        threads: Threads::Single,
        append: "lwkcpus= printk.devkmsg=on",
        ..FUZZ
    },
    Boot {
        name: "fuzz-racing",
        suite: "fuzz",
        // What is left out has the kernel change its text.
        append: "lwkcpus=0.3-5 lwkmem=128M printk.devkmsg=on lwktest.without=partition,patching",
        ..FUZZ
    },
];

#[cfg(test)]
mod tests {
    use super::BOOTS;
    use std::collections::BTreeSet;

    #[test]
    fn machines_with_two_nodes_and_with_two_threads_a_core_are_among_them() {
        assert!(BOOTS.iter().any(|boot| boot.nodes == 2));
        assert!(BOOTS.iter().any(|boot| boot.threads_a_core == 2));
    }

    #[test]
    fn names_are_unique_and_cpus_fill_nodes() {
        let names: BTreeSet<_> = BOOTS.iter().map(|boot| boot.name).collect();
        assert_eq!(names.len(), BOOTS.len());
        for boot in BOOTS {
            let cores = boot.nodes * boot.threads_a_core;
            assert_eq!(boot.cpus % cores, 0, "{}", boot.name);
            assert_eq!(boot.memory_mib % boot.nodes, 0, "{}", boot.name);
        }
    }
}
