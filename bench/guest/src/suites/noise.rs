// SPDX-License-Identifier: GPL-2.0
//! Noise on computing CPUs, in the tradition of FWQ and selfish-detour.
//!
//! A program computes on the last CPU of each place, all at once and without a system call, while another CPU
//! disturbs; whatever enters the kernel on their CPUs is noise. In a timed run the programs take the time of each
//! quantum of work. The programs prove that they computed: the count of quanta that each keeps in shared memory must
//! have grown in the window. [`sibling`] has the disturbances by a thread of the same process.

mod admin;
mod files;
mod groups;
mod memory;
mod network;
mod sched;
mod sibling;
mod tracing;

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{bail, Context, Result};

use crate::measure::{Meter, Mode};
use crate::sites;
use crate::spec::{Bench, Run, Suite};
use crate::sys::clock;
use crate::sys::shared::{Shared, Victim};

/// Steps of a quantum of work, a few microseconds on a real machine.
const QUANTUM: u64 = 20_000;

/// A disturbance by another process.
const fn by(
    name: &'static str,
    about: &'static str,
    iterations: u64,
    run: fn(&mut Meter) -> Result<()>,
) -> Bench {
    let mut bench = Bench::inside(name, about, iterations, run);
    bench.run = Run::Disturb(run);
    bench
}

/// A disturbance by a thread of the same process.
const fn sibling(
    name: &'static str,
    about: &'static str,
    iterations: u64,
    run: fn(&mut Meter) -> Result<()>,
) -> Bench {
    let mut bench = Bench::inside(name, about, iterations, run).variant("same-process");
    bench.run = Run::Sibling(run);
    bench
}

/// The suite.
pub(super) const SUITE: Suite = Suite {
    name: "noise",
    about: "what reaches a computing CPU while something goes on elsewhere",
    benches: &[
        by(
            "empty",
            "Nothing, for as long as what follows a disturbance is waited for.",
            1,
            empty,
        )
        .quick(),
        by("quiet", "Nothing, for two seconds.", 1, quiet).variant("2s"),
        // Processes and memory.
        by(
            "fork-exit",
            "Forks children that end at once.",
            20,
            memory::fork_exit,
        )
        .quick(),
        by(
            "fork-exec",
            "Executes small programs.",
            8,
            memory::fork_exec,
        ),
        by(
            "thread-storm",
            "Creates and joins threads.",
            30,
            memory::thread_storm,
        ),
        by(
            "mmap-churn",
            "Maps, touches and unmaps 64 KiB.",
            100,
            memory::mmap_churn,
        )
        .quick(),
        by(
            "mprotect",
            "Changes the protection of touched pages.",
            100,
            memory::mprotect,
        ),
        by(
            "dontneed",
            "Touches pages and gives them back.",
            100,
            memory::dontneed,
        ),
        by("mlock", "Locks and unlocks 64 KiB.", 50, memory::mlock),
        by(
            "thp-collapse",
            "Collapses small pages into large ones.",
            2,
            memory::thp_collapse,
        ),
        by(
            "khugepaged",
            "Has khugepaged collapse 8 MiB.",
            1,
            memory::khugepaged,
        ),
        by(
            "thp-switch",
            "Switches transparent large pages on and off.",
            4,
            memory::thp_switch,
        ),
        by(
            "ksm",
            "Has KSM merge and part 64 equal pages.",
            1,
            memory::ksm,
        ),
        by(
            "hugetlb",
            "Takes eight pages of 2 MiB into reserve and gives them back.",
            2,
            memory::hugetlb,
        ),
        by("compact-memory", "Compacts all memory.", 2, memory::compact).quick(),
        by("drop-caches", "Drops all caches.", 2, memory::drop_caches).quick(),
        by(
            "stat-refresh",
            "Folds the counters of all CPUs.",
            3,
            memory::stat_refresh,
        ),
        by(
            "overcommit-switch",
            "Switches the policy of overcommitment.",
            2,
            memory::overcommit,
        ),
        by(
            "memfd",
            "Makes, fills and drops files in memory.",
            30,
            memory::memfd,
        ),
        by(
            "userfaultfd",
            "Makes descriptors for page faults.",
            30,
            memory::userfaultfd,
        ),
        by("coredump", "A child dumps core.", 3, memory::coredump),
        // Files and communication.
        by(
            "file-io",
            "Creates, writes, reads and deletes files in memory.",
            20,
            files::file_io,
        )
        .quick(),
        by("random-read", "Reads random bytes.", 50, files::random),
        by("pipe", "Sends bytes through a pipe.", 200, files::pipe),
        by(
            "eventfd",
            "Signals an eventfd and polls it.",
            200,
            files::eventfd,
        ),
        by(
            "proc-read",
            "Reads statistics of the system and of all processes.",
            5,
            files::proc_read,
        ),
        by(
            "mount",
            "Mounts and unmounts a file system in memory.",
            10,
            files::mount,
        ),
        by(
            "io-uring",
            "Makes and drops rings for asynchronous calls.",
            10,
            files::io_uring,
        ),
        by(
            "sysv-shm",
            "Makes and destroys shared memory of System V.",
            50,
            files::sysv_shm,
        ),
        by(
            "sysv-sem",
            "Makes and destroys semaphores of System V.",
            50,
            files::sysv_sem,
        ),
        by(
            "mqueue",
            "Makes a POSIX message queue, sends, receives, destroys.",
            30,
            files::mqueue,
        ),
        by("add-key", "Adds keys.", 50, files::add_key),
        by("kmsg", "Writes to the kernel's log.", 30, files::kmsg),
        by(
            "unix-socket",
            "Sends bytes through a pair of sockets.",
            200,
            network::unix,
        ),
        by(
            "tcp-loopback",
            "Connects, sends, receives and closes over the loopback.",
            10,
            network::tcp,
        )
        .quick(),
        by(
            "udp-loopback",
            "Sends datagrams over the loopback.",
            100,
            network::udp,
        ),
        by(
            "link-switch",
            "Takes the loopback down and up.",
            4,
            network::link_switch,
        ),
        by(
            "link-add",
            "Adds and deletes a network device.",
            2,
            network::link_add,
        ),
        by(
            "socket-filter",
            "Attaches classic BPF programs to a socket.",
            10,
            network::filter,
        ),
        by(
            "packet-socket",
            "Opens and closes packet sockets.",
            4,
            network::packet,
        ),
        // Scheduling and timers.
        by(
            "timerfd",
            "A timer expires every 200 us.",
            100,
            sched::timerfd,
        )
        .quick(),
        by("itimer", "An interval timer expires.", 50, sched::itimer),
        by("nanosleep", "Sleeps for 100 us.", 50, sched::nanosleep),
        by(
            "setaffinity",
            "A thread moves to another CPU and back.",
            50,
            sched::setaffinity,
        ),
        by(
            "real-time",
            "A real-time process runs on another CPU.",
            10,
            sched::real_time,
        ),
        by(
            "nice",
            "Processes of low and high priority run.",
            10,
            sched::nice,
        ),
        by(
            "signals",
            "Sends signals to another process.",
            100,
            sched::signals,
        ),
        by(
            "ptrace",
            "Traces a process step by step.",
            20,
            sched::ptrace,
        ),
        by(
            "futex-storm",
            "Two threads on two other CPUs wake each other.",
            200,
            sched::futex_storm,
        ),
        by(
            "workqueue-mask",
            "Changes where unbound work may run.",
            2,
            sched::workqueue,
        ),
        by(
            "membarrier",
            "Memory barriers of another process.",
            30,
            sched::membarrier,
        )
        .variant("private"),
        by(
            "membarrier",
            "Memory barriers of all registered processes.",
            10,
            sched::membarrier_global,
        )
        .variant("global-expedited"),
        // Groups.
        by(
            "cgroup-create",
            "Makes and removes a group.",
            10,
            groups::create,
        )
        .quick(),
        by(
            "cgroup-move",
            "Moves a process between groups.",
            20,
            groups::migrate,
        ),
        by(
            "cgroup-cpu-max",
            "Sets and lifts a limit of CPU time.",
            2,
            groups::cpu_max,
        ),
        by(
            "cgroup-reclaim",
            "Reclaims the memory of a group.",
            4,
            groups::reclaim,
        ),
        by(
            "cgroup-oom",
            "A child goes beyond its group's memory and is killed.",
            1,
            groups::oom,
        ),
        by("cpuset", "Changes the CPUs of a group.", 4, groups::cpuset),
        by(
            "cpuset-partition",
            "Makes and dissolves a partition of a cpuset.",
            1,
            groups::partition,
        )
        .quick(),
        by("namespaces", "Makes new namespaces.", 3, groups::namespaces),
        by(
            "seccomp",
            "Installs a filter of system calls.",
            5,
            groups::seccomp,
        ),
        // The administrator.
        by(
            "cpu-hotplug",
            "Takes another CPU off-line and on-line.",
            1,
            admin::hotplug,
        ),
        by(
            "static-key",
            "Patches code by switching scheduler statistics.",
            2,
            admin::schedstats,
        )
        .quick(),
        by(
            "sched-features",
            "Patches code by switching a feature of the scheduler.",
            2,
            admin::sched_features,
        ),
        by(
            "numa-balancing",
            "Switches NUMA balancing.",
            1,
            admin::numa_balancing,
        ),
        by("sysctl", "Writes settings.", 50, admin::sysctl),
        by(
            "rcu-expedited",
            "Hurries grace periods while file systems are unmounted.",
            4,
            admin::rcu_expedited,
        ),
        by(
            "slab-shrink",
            "Shrinks a cache of the slab allocator.",
            2,
            admin::slab_shrink,
        ),
        by(
            "clocksource",
            "Switches the clock source and back.",
            1,
            admin::clocksource,
        ),
        by(
            "irq-affinity",
            "Moves device interrupts.",
            4,
            admin::irq_affinity,
        ),
        by("psi", "Asks to be told of memory pressure.", 3, admin::psi),
        // Tracing.
        by(
            "tracepoint",
            "Switches a tracepoint on and off.",
            1,
            tracing::tracepoint,
        )
        .quick(),
        by(
            "function-tracer",
            "Switches the function tracer on and off.",
            1,
            tracing::functions,
        ),
        by(
            "kprobe",
            "Sets and clears a probe in the kernel.",
            1,
            tracing::kprobe,
        ),
        by(
            "bpf-prog",
            "Loads and drops BPF programs.",
            10,
            tracing::bpf_prog,
        ),
        by("bpf-map", "Makes and drops BPF maps.", 30, tracing::bpf_map),
        by(
            "perf-count",
            "Counts events on another CPU.",
            5,
            tracing::perf_count,
        )
        .variant("other-cpu"),
        by(
            "perf-count",
            "Counts events on all CPUs, these too: a reading is asked of each.",
            1,
            tracing::perf_count_all,
        )
        .variant("all-cpus"),
        by(
            "perf-sample",
            "Samples another CPU.",
            1,
            tracing::perf_sample,
        )
        .variant("other-cpu"),
        by(
            "perf-sample",
            "Samples all CPUs, these too: each gets a timer.",
            1,
            tracing::perf_sample_all,
        )
        .variant("all-cpus"),
        // Threads of the same process.
        sibling("empty", "Nothing, by a sibling thread.", 1, sibling::empty),
        sibling(
            "munmap",
            "A sibling thread unmaps touched pages.",
            20,
            sibling::munmap,
        )
        .quick(),
        sibling(
            "mprotect",
            "A sibling thread changes protections.",
            20,
            sibling::mprotect,
        ),
        sibling(
            "dontneed",
            "A sibling thread gives back touched pages.",
            20,
            sibling::dontneed,
        ),
        sibling("fork", "A sibling thread forks.", 5, sibling::fork),
        sibling(
            "membarrier",
            "A sibling thread asks for memory barriers.",
            20,
            sibling::membarrier,
        ),
        sibling(
            "create-join",
            "A sibling thread creates and joins threads.",
            20,
            sibling::create_join,
        ),
    ],
    not_built: &[],
};

/// What reaches every CPU by design and is therefore no disturbance to measure here: `sysrq l` (shows all CPUs).
fn empty(meter: &mut Meter) -> Result<()> {
    meter.disturb(|_| Ok(()))
}

fn quiet(meter: &mut Meter) -> Result<()> {
    meter.disturb(|number| {
        // The warm-up need not be as long.
        if number > 0 {
            std::thread::sleep(Duration::from_secs(2));
        }
        Ok(())
    })
}

/// Computes on a CPU until it is killed; counts the quanta in shared memory.
pub(crate) fn victim(cpu: &str, memory: &str, number: &str, mode: &str) -> Result<Infallible> {
    let shared = Shared::inherit(memory.parse().context("number of the shared memory")?)?;
    let number: usize = number.parse().context("number of the victim")?;
    let mode = Mode::from_name(mode).context("no such mode")?;
    sites::confine(&sites::numbers(&sites::parse(cpu)?))?;
    compute(shared.victim(number), mode, || false);
    bail!("it stopped computing")
}

/// Does quantum after quantum until it is over, and counts or times them.
fn compute(victim: Victim, mode: Mode, is_over: impl Fn() -> bool) {
    let mut count = 0;
    while !is_over() {
        match mode {
            Mode::Counted => {
                quantum();
            }
            Mode::Timed => {
                let begun = clock::ticks();
                quantum();
                let ticks = clock::ticks() - begun;
                victim.time(count).store(ticks, Ordering::Relaxed);
            }
        }
        count += 1;
        // ORDERING: Whoever reads the count also sees the times up to it.
        victim.done().store(count, Ordering::Release);
    }
}

/// A fixed amount of work.
#[inline(never)]
pub(crate) fn quantum() -> u64 {
    (0..QUANTUM).fold(1, |x: u64, step| {
        black_box(x.wrapping_mul(3).wrapping_add(step))
    })
}
