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
        Bench::disturb(
            "empty",
            "Nothing, for as long as what follows a disturbance is waited for.",
            1,
            empty,
        )
        .quick(),
        Bench::disturb("quiet", "Nothing, for two seconds.", 1, quiet).variant("2s"),
        // Processes and memory.
        Bench::disturb(
            "fork-exit",
            "Forks children that end at once.",
            20,
            memory::fork_exit,
        )
        .quick(),
        Bench::disturb(
            "fork-exec",
            "Executes small programs.",
            8,
            memory::fork_exec,
        ),
        Bench::disturb(
            "thread-storm",
            "Creates and joins threads.",
            30,
            memory::thread_storm,
        ),
        Bench::disturb(
            "mmap-churn",
            "Maps, touches and unmaps 64 KiB.",
            100,
            memory::mmap_churn,
        )
        .quick(),
        Bench::disturb(
            "mprotect",
            "Changes the protection of touched pages.",
            100,
            memory::mprotect,
        ),
        Bench::disturb(
            "dontneed",
            "Touches pages and gives them back.",
            100,
            memory::dontneed,
        ),
        Bench::disturb("mlock", "Locks and unlocks 64 KiB.", 50, memory::mlock),
        Bench::disturb(
            "thp-collapse",
            "Collapses small pages into large ones.",
            2,
            memory::thp_collapse,
        ),
        Bench::disturb(
            "khugepaged",
            "Has khugepaged collapse 8 MiB.",
            1,
            memory::khugepaged,
        ),
        Bench::disturb(
            "thp-switch",
            "Switches transparent large pages on and off.",
            4,
            memory::thp_switch,
        ),
        Bench::disturb(
            "ksm",
            "Has KSM merge and part 64 equal pages.",
            1,
            memory::ksm,
        ),
        Bench::disturb(
            "hugetlb",
            "Takes eight pages of 2 MiB into reserve and gives them back.",
            2,
            memory::hugetlb,
        ),
        Bench::disturb("compact-memory", "Compacts all memory.", 2, memory::compact).quick(),
        Bench::disturb("drop-caches", "Drops all caches.", 2, memory::drop_caches).quick(),
        Bench::disturb(
            "stat-refresh",
            "Folds the counters of all CPUs.",
            3,
            memory::stat_refresh,
        ),
        Bench::disturb(
            "overcommit-switch",
            "Switches the policy of overcommitment.",
            2,
            memory::overcommit,
        ),
        Bench::disturb(
            "memfd",
            "Makes, fills and drops files in memory.",
            30,
            memory::memfd,
        ),
        Bench::disturb(
            "userfaultfd",
            "Makes descriptors for page faults.",
            30,
            memory::userfaultfd,
        ),
        Bench::disturb("coredump", "A child dumps core.", 3, memory::coredump),
        // Files and communication.
        Bench::disturb(
            "file-io",
            "Creates, writes, reads and deletes files in memory.",
            20,
            files::file_io,
        )
        .quick(),
        Bench::disturb("random-read", "Reads random bytes.", 50, files::random),
        Bench::disturb("pipe", "Sends bytes through a pipe.", 200, files::pipe),
        Bench::disturb(
            "eventfd",
            "Signals an eventfd and polls it.",
            200,
            files::eventfd,
        ),
        Bench::disturb(
            "proc-read",
            "Reads statistics of the system and of all processes.",
            5,
            files::proc_read,
        ),
        Bench::disturb(
            "mount",
            "Mounts and unmounts a file system in memory.",
            10,
            files::mount,
        ),
        Bench::disturb(
            "io-uring",
            "Makes and drops rings for asynchronous calls.",
            10,
            files::io_uring,
        ),
        Bench::disturb(
            "sysv-shm",
            "Makes and destroys shared memory of System V.",
            50,
            files::sysv_shm,
        ),
        Bench::disturb(
            "sysv-sem",
            "Makes and destroys semaphores of System V.",
            50,
            files::sysv_sem,
        ),
        Bench::disturb(
            "mqueue",
            "Makes a POSIX message queue, sends, receives, destroys.",
            30,
            files::mqueue,
        ),
        Bench::disturb("add-key", "Adds keys.", 50, files::add_key),
        Bench::disturb("kmsg", "Writes to the kernel's log.", 30, files::kmsg),
        Bench::disturb(
            "unix-socket",
            "Sends bytes through a pair of sockets.",
            200,
            network::unix,
        ),
        Bench::disturb(
            "tcp-loopback",
            "Connects, sends, receives and closes over the loopback.",
            10,
            network::tcp,
        )
        .quick(),
        Bench::disturb(
            "udp-loopback",
            "Sends datagrams over the loopback.",
            100,
            network::udp,
        ),
        Bench::disturb(
            "link-switch",
            "Takes the loopback down and up.",
            4,
            network::link_switch,
        ),
        Bench::disturb(
            "link-add",
            "Adds and deletes a network device.",
            2,
            network::link_add,
        ),
        Bench::disturb(
            "socket-filter",
            "Attaches classic BPF programs to a socket.",
            10,
            network::filter,
        ),
        Bench::disturb(
            "packet-socket",
            "Opens and closes packet sockets.",
            4,
            network::packet,
        ),
        // Scheduling and timers.
        Bench::disturb(
            "timerfd",
            "A timer expires every 200 us.",
            100,
            sched::timerfd,
        )
        .quick(),
        Bench::disturb("itimer", "An interval timer expires.", 50, sched::itimer),
        Bench::disturb("nanosleep", "Sleeps for 100 us.", 50, sched::nanosleep),
        Bench::disturb(
            "setaffinity",
            "A thread moves to another CPU and back.",
            50,
            sched::setaffinity,
        ),
        Bench::disturb(
            "real-time",
            "A real-time process runs on another CPU.",
            10,
            sched::real_time,
        ),
        Bench::disturb(
            "nice",
            "Processes of low and high priority run.",
            10,
            sched::nice,
        ),
        Bench::disturb(
            "signals",
            "Sends signals to another process.",
            100,
            sched::signals,
        ),
        Bench::disturb(
            "ptrace",
            "Traces a process step by step.",
            20,
            sched::ptrace,
        ),
        Bench::disturb(
            "futex-storm",
            "Two threads on two other CPUs wake each other.",
            200,
            sched::futex_storm,
        ),
        Bench::disturb(
            "workqueue-mask",
            "Changes where unbound work may run.",
            2,
            sched::workqueue,
        ),
        Bench::disturb(
            "membarrier",
            "Memory barriers of another process.",
            30,
            sched::membarrier,
        )
        .variant("private"),
        Bench::disturb(
            "membarrier",
            "Memory barriers of all registered processes.",
            10,
            sched::membarrier_global,
        )
        .variant("global-expedited"),
        // Groups.
        Bench::disturb(
            "cgroup-create",
            "Makes and removes a group.",
            10,
            groups::create,
        )
        .quick(),
        Bench::disturb(
            "cgroup-move",
            "Moves a process between groups.",
            20,
            groups::migrate,
        ),
        Bench::disturb(
            "cgroup-cpu-max",
            "Sets and lifts a limit of CPU time.",
            2,
            groups::cpu_max,
        ),
        Bench::disturb(
            "cgroup-reclaim",
            "Reclaims the memory of a group.",
            4,
            groups::reclaim,
        ),
        Bench::disturb(
            "cgroup-oom",
            "A child goes beyond its group's memory and is killed.",
            1,
            groups::oom,
        ),
        Bench::disturb("cpuset", "Changes the CPUs of a group.", 4, groups::cpuset),
        Bench::disturb(
            "cpuset-partition",
            "Makes and dissolves a partition of a cpuset.",
            1,
            groups::partition,
        )
        .quick(),
        Bench::disturb("namespaces", "Makes new namespaces.", 3, groups::namespaces),
        Bench::disturb(
            "seccomp",
            "Installs a filter of system calls.",
            5,
            groups::seccomp,
        ),
        // The administrator.
        Bench::disturb(
            "cpu-hotplug",
            "Takes another CPU off-line and on-line.",
            1,
            admin::hotplug,
        ),
        Bench::disturb(
            "static-key",
            "Patches code by switching scheduler statistics.",
            2,
            admin::schedstats,
        )
        .quick(),
        Bench::disturb(
            "sched-features",
            "Patches code by switching a feature of the scheduler.",
            2,
            admin::sched_features,
        ),
        Bench::disturb(
            "numa-balancing",
            "Switches NUMA balancing.",
            1,
            admin::numa_balancing,
        ),
        Bench::disturb("sysctl", "Writes settings.", 50, admin::sysctl),
        Bench::disturb(
            "rcu-expedited",
            "Hurries grace periods while file systems are unmounted.",
            4,
            admin::rcu_expedited,
        ),
        Bench::disturb(
            "slab-shrink",
            "Shrinks a cache of the slab allocator.",
            2,
            admin::slab_shrink,
        ),
        Bench::disturb(
            "clocksource",
            "Switches the clock source and back.",
            1,
            admin::clocksource,
        ),
        Bench::disturb(
            "irq-affinity",
            "Moves device interrupts.",
            4,
            admin::irq_affinity,
        ),
        Bench::disturb("psi", "Asks to be told of memory pressure.", 3, admin::psi),
        // Tracing.
        Bench::disturb(
            "tracepoint",
            "Switches a tracepoint on and off.",
            1,
            tracing::tracepoint,
        )
        .quick(),
        Bench::disturb(
            "function-tracer",
            "Switches the function tracer on and off.",
            1,
            tracing::functions,
        ),
        Bench::disturb(
            "kprobe",
            "Sets and clears a probe in the kernel.",
            1,
            tracing::kprobe,
        ),
        Bench::disturb(
            "bpf-prog",
            "Loads and drops BPF programs.",
            10,
            tracing::bpf_prog,
        ),
        Bench::disturb("bpf-map", "Makes and drops BPF maps.", 30, tracing::bpf_map),
        Bench::disturb(
            "perf-count",
            "Counts events on another CPU.",
            5,
            tracing::perf_count,
        )
        .variant("other-cpu"),
        Bench::disturb(
            "perf-count",
            "Counts events on all CPUs, these too: a reading is asked of each.",
            1,
            tracing::perf_count_all,
        )
        .variant("all-cpus"),
        Bench::disturb(
            "perf-sample",
            "Samples another CPU.",
            1,
            tracing::perf_sample,
        )
        .variant("other-cpu"),
        Bench::disturb(
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
