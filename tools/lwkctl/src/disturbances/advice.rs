// SPDX-License-Identifier: GPL-2.0
//! What helps against a disturbance: the first rule of a table that fits.

use lwk::Disturbance;
use lwk_logic::uapi::IrqSource;

/// Whose doing a disturbance must be for a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Anyone,
    /// A thread of the disturbed process.
    Itself,
}

/// One rule. Each field that is not "any" must fit.
#[derive(Debug)]
struct Rule {
    /// The interrupt, or any.
    cause: Option<IrqSource>,
    /// Beginnings of function names, one of which must fit; none for any function.
    functions: &'static [&'static str],
    by: By,
    advice: &'static str,
}

const fn function(functions: &'static [&'static str], advice: &'static str) -> Rule {
    Rule {
        cause: None,
        functions,
        by: By::Anyone,
        advice,
    }
}

const fn cause(cause: IrqSource, advice: &'static str) -> Rule {
    Rule {
        cause: Some(cause),
        functions: &[],
        by: By::Anyone,
        advice,
    }
}

/// Against kernel threads, by their names or by the work function that a kworker ran.
const GUESTS: &[Rule] = &[
    function(
        &["refresh_vm_stats", "vmstat_update"],
        "somebody reads /proc/sys/vm/stat_refresh, or statistics were left behind by system calls of the job: stop the \
         reader; raise vm.stat_interval",
    ),
    function(
        &["lru_add_drain_per_cpu", "drain_local_pages", "flush_cpu_slab"],
        "memory caches of all CPUs are emptied, for compaction, memory hotplug, CMA or huge pages: reserve huge pages \
         before the job starts, and do not run compaction or memory hotplug meanwhile",
    ),
    function(
        &["wq_barrier_func"],
        "somebody had work done on every CPU and waited for it: a read of /proc/sys/vm/stat_refresh, a change of \
         vm.overcommit_memory, draining of memory caches, or a driver; stop whoever did that at this time",
    ),
    function(
        &["migration/", "cpu_stop"],
        "a stopper ran: somebody changed the CPUs of a task of the job, or took a CPU off or on line: leave that until \
         the job has ended",
    ),
    function(
        &["ksoftirqd/"],
        "soft interrupts were left over: look in /proc/softirqs which, and move the device or timer that raises them",
    ),
    function(
        &["kworker/"],
        "work was queued for this very CPU: stop what queues it (the function says what it is), or keep its workqueue \
         off by its cpumask in /sys/devices/virtual/workqueue",
    ),
    function(&[""], "a kernel thread bound to this CPU had work to do: stop what wakes it"),
];

/// Against all else.
const RULES: &[Rule] = &[
    Rule {
        cause: None,
        functions: &["flush_tlb_func"],
        by: By::Itself,
        advice: "another thread of the job unmaps or protects memory or gives it back: keep memory instead (reuse \
                 buffers; with glibc mallopt M_TRIM_THRESHOLD and M_MMAP_THRESHOLD), or do it before the threads start",
    },
    function(
        &["flush_tlb_func"],
        "the kernel took pages of the job away or moved them: lock them with mlockall(2), and turn off NUMA balancing, \
         compaction, KSM and swap; lwkctl doctor tells which are on",
    ),
    function(
        &["do_flush_tlb_all", "do_kernel_range_flush", "__cpa_flush_tlb"],
        "mappings of the kernel changed in a way that cannot wait (memory types, page tables): load drivers and modules \
         before the job starts",
    ),
    function(
        &["do_sync_core"],
        "code of the kernel was patched while this CPU was in the kernel: switch tracing, probes and static keys before \
         the job starts",
    ),
    function(
        &["tlb_remove_table", "collapse_"],
        "pages were collapsed into large ones: stop khugepaged (echo never > \
         /sys/kernel/mm/transparent_hugepage/khugepaged/defrag) or use huge pages from the start",
    ),
    function(
        &["ipi_mb", "ipi_sync_core", "ipi_rseq", "ipi_sync_rq_state"],
        "the job calls membarrier(2), perhaps in a run-time library: let it use ordinary barriers, or call it less",
    ),
    function(
        &["remote_function", "event_function", "__perf_event", "perf_", "x86_pmu", "intel_pmu", "amd_pmu"],
        "perf or a profiler counts on this CPU: end it, or leave LWK CPUs out with perf -C",
    ),
    function(
        &["rcu_exp_", "rcu_barrier"],
        "somebody waits for an expedited RCU grace period: echo 1 > /sys/kernel/rcu_normal, or boot with \
         rcupdate.rcu_normal=1",
    ),
    function(
        &["nohz_full_kick_func"],
        "the kernel wanted the tick on this CPU: CPU-time timers (RLIMIT_CPU, ITIMER_PROF, timer_create on a CPU clock) \
         and perf do that: do without them",
    ),
    function(
        &["flush_ldt", "enable_lam", "cr4_update_pce", "refresh_ldt"],
        "a thread of the job changed a setting of its process that all its CPUs must learn: do it before the threads start",
    ),
    function(
        &["invalidate_bh_lru", "flush_bh"],
        "a block device was unmounted, resized or closed: leave that until the job has ended",
    ),
    function(
        &["mtrr_", "mce_", "resctrl", "rdt_", "update_cpu_closid", "microcode"],
        "an administrator changed a setting of all CPUs: leave that until the job has ended",
    ),
    function(
        &["watchdog_timer_fn"],
        "the lockup watchdog runs here: boot with nowatchdog",
    ),
    function(
        &["tick_nohz_handler", "tick_sched_timer", "tick_handle_periodic"],
        "the tick: more than one thread or a kernel thread wanted this CPU, or a CPU-time timer, perf or RCU needed it: \
         give each thread a CPU of its own; lwkctl show --noise counts kernel threads",
    ),
    function(
        &["hrtimer_wakeup", "posix_timer_fn", "it_real_fn", "timerfd_tmrproc", "alarmtimer_fired"],
        "a timer that the job itself set: sleep, alarm, timer or time limit; use none, or let a thread on a service CPU \
         do the timing",
    ),
    function(&["lwk_guest_timer"], "a kernel thread's turn on this CPU ended: see which one was named before"),
    cause(
        IrqSource::Device,
        "a device's interrupt was steered here: write other CPUs to /proc/irq/NUMBER/smp_affinity_list, and keep \
         irqbalance off LWK CPUs; lwkctl doctor tells of both",
    ),
    cause(
        IrqSource::Timer,
        "a timer was set on this CPU, by the job or on its way through the kernel: trace timer:hrtimer_start to see by whom",
    ),
    cause(
        IrqSource::Tlb,
        "address translations of the job changed: see munmap, mprotect and madvise of its threads, and lwkctl doctor for \
         what moves pages",
    ),
    cause(
        IrqSource::Pmi,
        "a performance counter overflowed: end the profiler, or leave LWK CPUs out with perf -C",
    ),
    cause(
        IrqSource::Nmi,
        "a profiler, the hard-lockup watchdog (boot with nowatchdog) or a request for a backtrace",
    ),
    cause(
        IrqSource::IrqWork,
        "the kernel left itself work on this CPU, mostly for perf, tracing or printing: end what traces this CPU",
    ),
    cause(IrqSource::Mce, "a hardware error: see the kernel log"),
    cause(IrqSource::Thermal, "the processor got too hot: see to its cooling or lower its frequency"),
    cause(IrqSource::Threshold, "the machine reports corrected errors: see the kernel log for what is failing"),
    cause(
        IrqSource::Call,
        "another CPU had a function called here; trace csd:csd_queue_cpu to see from where",
    ),
];

const SIGNAL: &str =
    "somebody sent the thread a signal: trace signal:signal_generate to see who; a timer of its own may be it";
const WAKE_UP: &str =
    "another CPU made a task runnable here: give each thread a CPU of its own; trace sched:sched_waking to see who";
const WAITED: &str =
    "it kept the CPU for longer than a second while another thread or a kernel thread waited for it: give each thread a \
     CPU of its own, and do without a real-time policy or let it sleep now and then";
const UNKNOWN: &str =
    "not known; the tracepoint lwk:lwk_noise, with others beside it, shows the surroundings";

/// How to stop disturbances like this one.
pub fn advice(record: &Disturbance) -> &'static str {
    if record.has_waited {
        return WAITED;
    }
    if let Some(guest) = &record.guest {
        let found = GUESTS.iter().find(|rule| {
            rule.functions.iter().any(|name| {
                guest.work.starts_with(name) && !name.is_empty() || guest.comm.starts_with(name)
            })
        });
        return found.map_or(UNKNOWN, |rule| rule.advice);
    }
    if record.cause == IrqSource::Reschedule {
        return if record.has_signal { SIGNAL } else { WAKE_UP };
    }
    let fits = |rule: &&Rule| {
        rule.cause.is_none_or(|cause| cause == record.cause)
            && (rule.functions.is_empty()
                || rule
                    .functions
                    .iter()
                    .any(|name| record.symbol.starts_with(name)))
            && (rule.by == By::Anyone || record.is_own())
    };
    RULES.iter().find(fits).map_or(UNKNOWN, |rule| rule.advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lwk::{GuestRun, Process, Sender};
    use lwk_logic::uapi::RanKind;

    fn record(cause: IrqSource, symbol: &str) -> Disturbance {
        Disturbance {
            cpu: 3,
            seq: 0,
            time_ns: 1,
            duration_ns: 1,
            cause,
            sources: vec![cause],
            nr_irqs: 1,
            is_late: false,
            has_signal: false,
            has_resched: false,
            has_task_work: false,
            has_waited: false,
            ran: RanKind::Unknown,
            symbol: symbol.to_owned(),
            nr_calls: 0,
            irq: None,
            sender: None,
            victim: Some(Process { tid: 5, pid: 5 }),
            guest: None,
        }
    }

    #[test]
    fn a_flush_by_the_job_itself_has_other_advice_than_one_by_the_kernel() {
        let mut told = record(IrqSource::Tlb, "flush_tlb_func");
        assert!(advice(&told).contains("mlockall"));
        told.sender = Some(Sender {
            cpu: 2,
            process: Process { tid: 6, pid: 5 },
            comm: "app".to_owned(),
        });
        assert!(advice(&told).contains("another thread of the job"));
    }

    #[test]
    fn who_keeps_the_cpu_from_others_is_told_so_whoever_waits() {
        let mut told = record(IrqSource::Reschedule, "");
        told.guest = Some(GuestRun {
            tid: 9,
            comm: "kworker/3:1".to_owned(),
            work: String::new(),
            ns: 0,
        });
        assert!(!advice(&told).contains("longer than a second"));
        told.has_waited = true;
        assert!(advice(&told).contains("longer than a second"));
    }

    #[test]
    fn the_work_of_a_kworker_tells_more_than_its_name() {
        let mut told = record(IrqSource::Reschedule, "");
        let guest = |comm: &str, work: &str| {
            Some(GuestRun {
                tid: 9,
                comm: comm.to_owned(),
                work: work.to_owned(),
                ns: 1,
            })
        };
        told.guest = guest("kworker/3:1", "refresh_vm_stats");
        assert!(advice(&told).contains("stat_refresh"));
        told.guest = guest("kworker/3:1", "some_driver_work");
        assert!(advice(&told).contains("cpumask"));
        told.guest = guest("migration/3", "");
        assert!(advice(&told).contains("stopper"));
        told.guest = guest("odd/3", "");
        assert!(advice(&told).contains("a kernel thread bound"));
    }

    #[test]
    fn every_cause_has_advice_or_says_that_it_is_not_known() {
        for source in IrqSource::ALL {
            let is_known = advice(&record(*source, "")) != UNKNOWN;
            let is_rare = [
                IrqSource::Spurious,
                IrqSource::McePoll,
                IrqSource::Platform,
                IrqSource::Other,
            ];
            assert_eq!(is_known, !is_rare.contains(source), "{source:?}");
        }
    }

    #[test]
    fn a_signal_is_no_wake_up() {
        let mut told = record(IrqSource::Reschedule, "");
        assert_eq!(advice(&told), WAKE_UP);
        told.has_signal = true;
        assert_eq!(advice(&told), SIGNAL);
    }
}
