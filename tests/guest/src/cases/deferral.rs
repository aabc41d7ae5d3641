// SPDX-License-Identifier: GPL-2.0
//! What Linux does elsewhere does not interrupt a computing LWK CPU, which makes up for it when it next uses the kernel.

use std::cell::Cell;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use lwk_logic::uapi::{CpuGet, EntryKind};

use super::noise::{entry, Spinner};
use crate::harness::Case;
use crate::sys::{attach_filter, FreshPages};
use crate::{job, proc};

/// The suite.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "static-key",
        "switching a static key on and off does not enter a computing CPU",
        static_key,
    )
    .limit_s(60),
    Case::new("tracepoint", "nor does switching a tracepoint", tracepoint).limit_s(60),
    Case::new("tracer", "nor does switching the function tracer", tracer).limit_s(120),
    Case::new("kprobe", "nor does a probe of a kernel function", kprobe).limit_s(60),
    Case::new(
        "unmapped",
        "nor does code of the kernel that comes and goes, unless a large page is split; it forgets the addresses later",
        unmapped,
    )
    .limit_s(60),
    Case::new(
        "off-line",
        "nor does another CPU that goes off line and comes back",
        off_line,
    )
    .limit_s(60),
    Case::new(
        "collapse",
        "nor does a collapse of another process's pages into a large one",
        collapse,
    )
    .limit_s(60),
    Case::new(
        "caches",
        "nor does emptying what it has cached: slabs, statistics, committed memory, the vmemmap of large pages",
        caches,
    )
    .limit_s(60),
    Case::new(
        "trace-buffers",
        "nor does enlarging the trace buffers of all CPUs, as the first use of a trace event does",
        trace_buffers,
    )
    .limit_s(60),
    Case::new(
        "drained",
        "its pages on the way to the LRU lists get there without it",
        drained,
    )
    .limit_s(60),
    Case::new(
        "counted",
        "what it counts of memory gets to the sums without it, and when it is idle",
        counted,
    ),
    Case::new(
        "emptied",
        "a job that uses the kernel while its caches are emptied all the time gets on",
        emptied,
    )
    .limit_s(120),
    Case::new(
        "patched",
        "a job that uses the kernel while its code is patched all the time gets on and catches up",
        patched,
    )
    .limit_s(120),
    Case::new(
        "stopped",
        "a job that uses the kernel while CPUs go off line all the time gets on",
        stopped,
    )
    .limit_s(120),
];

const TRACING: &str = "/sys/kernel/tracing";
const SCHEDSTATS: &str = "/proc/sys/kernel/sched_schedstats";

fn write(path: &str, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("{text:?} to {path}"))
}

fn switch(path: &str) -> Result<()> {
    write(path, "1")?;
    write(path, "0")
}

fn all_entries(cpu: &CpuGet) -> u64 {
    EntryKind::ALL.iter().map(|kind| entry(cpu, *kind)).sum()
}

/// Does `disturb` three times while CPU 3 computes, and expects nothing to enter it.
fn leaves_alone(disturb: impl Fn() -> Result<()>) -> Result<()> {
    leaves_alone_but(|| Ok(0), disturb)
}

/// The same, but as often as `excused` says that it may have been entered since the last time.
fn leaves_alone_but(
    excused: impl Fn() -> Result<u64>,
    disturb: impl Fn() -> Result<()>,
) -> Result<()> {
    // What is set up only once is not what the case is about.
    disturb()?;
    let spinner = Spinner::start()?;
    let before_excused = excused()?;
    let before = job::cpu(3)?;
    for _ in 0..3 {
        disturb()?;
    }
    // Whatever was sent has come by now.
    std::thread::sleep(Duration::from_millis(100));
    let after = job::cpu(3)?;
    let excused = excused()? - before_excused;
    ensure!(
        all_entries(&after) - all_entries(&before) <= excused
            && (excused > 0 || after.irqs == before.irqs),
        "excused {excused}, before {before:?}, after {after:?}"
    );
    spinner.end()
}

/// How often all CPUs were told at once that a large page was split: one of the direct map, which Linux counts, and with it
/// perhaps one of vmalloc() that has the same memory, which it does not.
fn splits() -> Result<u64> {
    let text = fs::read_to_string("/proc/vmstat").context("/proc/vmstat")?;
    let lines = text
        .lines()
        .filter(|line| line.starts_with("direct_map_level") && line.contains("_splits "));
    lines
        .filter_map(|line| line.split_once(' '))
        .map(|(_, count)| Ok(2 * count.parse::<u64>().context("splits")?))
        .sum()
}

fn static_key() -> Result<()> {
    leaves_alone(|| switch(SCHEDSTATS))
}

fn tracepoint() -> Result<()> {
    leaves_alone(|| switch(&format!("{TRACING}/events/sched/sched_switch/enable")))
}

fn tracer() -> Result<()> {
    leaves_alone(|| {
        // The whole kernel would take minutes of the emulator.
        write(&format!("{TRACING}/set_ftrace_filter"), "do_sys_open*")?;
        write(&format!("{TRACING}/current_tracer"), "function")?;
        write(&format!("{TRACING}/current_tracer"), "nop")
    })
}

fn kprobe() -> Result<()> {
    leaves_alone(|| {
        write(
            &format!("{TRACING}/kprobe_events"),
            "p:lwktest do_sys_openat2",
        )?;
        switch(&format!("{TRACING}/events/kprobes/lwktest/enable"))?;
        // Opening it for writing afresh removes the probe.
        write(&format!("{TRACING}/kprobe_events"), "\n")
    })
}

fn unmapped() -> Result<()> {
    let before = job::cpu(3)?;
    leaves_alone_but(splits, || {
        let (socket, _) = UnixDatagram::pair().context("socketpair")?;
        // Its pages become read-only, and go when the socket is closed.
        attach_filter(&socket)
    })?;
    let caught_up = job::cpu(3)?.caught_up;
    ensure!(caught_up > before.caught_up, "nothing was left to be done");
    Ok(())
}

fn off_line() -> Result<()> {
    leaves_alone(|| {
        let path = "/sys/devices/system/cpu/cpu1/online";
        write(path, "0")?;
        write(path, "1")
    })
}

fn collapse() -> Result<()> {
    let khugepaged = "/sys/kernel/mm/transparent_hugepage/khugepaged";
    write(&format!("{khugepaged}/scan_sleep_millisecs"), "1")?;
    let collapsed = || -> Result<u64> {
        let path = format!("{khugepaged}/pages_collapsed");
        let text = fs::read_to_string(&path).context(path)?;
        text.trim().parse().context("pages_collapsed")
    };
    leaves_alone(|| {
        let before = collapsed()?;
        let mut pages = FreshPages::map(2048)?;
        pages.touch();
        pages.allow_large()?;
        while collapsed()? == before {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    })
}

/// What empties the caches of all CPUs, one after the other.
fn empty_caches() -> Result<()> {
    write("/proc/sys/vm/stat_refresh", "1")?;
    write("/proc/sys/vm/overcommit_memory", "2")?;
    write("/proc/sys/vm/overcommit_memory", "0")?;
    write("/proc/sys/vm/drop_caches", "1")?;
    // KASAN interrupts all CPUs for each.
    if proc::kernel_has("kasan_quarantine_remove_cache")? {
        return Ok(());
    }
    for cache in ["vm_area_struct", "filp", "task_struct"] {
        write(&format!("/sys/kernel/slab/{cache}/shrink"), "1")?;
    }
    Ok(())
}

fn caches() -> Result<()> {
    leaves_alone(|| {
        empty_caches()?;
        write("/proc/sys/vm/nr_hugepages", "4")?;
        write("/proc/sys/vm/nr_hugepages", "0")
    })
}

fn trace_buffers() -> Result<()> {
    let size_kb = Cell::new(1000);
    leaves_alone(|| {
        size_kb.set(size_kb.get() + 100);
        write(
            &format!("{TRACING}/buffer_size_kb"),
            &size_kb.get().to_string(),
        )
    })
}

fn drained() -> Result<()> {
    let spinner = Spinner::start()?;
    let before = job::cpu(3)?;
    let waiting = proc::pages_off_lru(spinner.pid())?;
    ensure!(waiting > 0, "all pages are on the lists already");
    // Calls lru_add_drain_all().
    write("/proc/sys/vm/drop_caches", "1")?;
    let waiting = proc::pages_off_lru(spinner.pid())?;
    ensure!(waiting == 0, "{waiting} pages are still on their way");
    let after = job::cpu(3)?;
    ensure!(
        all_entries(&after) == all_entries(&before),
        "before {before:?}, after {after:?}"
    );
    spinner.end()
}

/// By how much the sums of `/proc/vmstat` differ from what all CPUs count together.
fn uncounted() -> Result<u64> {
    let counts = || -> Result<Vec<i64>> {
        let text = fs::read_to_string("/proc/vmstat").context("/proc/vmstat")?;
        let lines = text.lines().filter(|line| line.starts_with("nr_"));
        lines
            .filter_map(|line| line.split_once(' '))
            .map(|(_, count)| count.parse().context("a count"))
            .collect()
    };
    let told = counts()?;
    write("/proc/sys/vm/stat_refresh", "1")?;
    let exact = counts()?;
    Ok(told.iter().zip(&exact).map(|(a, b)| a.abs_diff(*b)).sum())
}

fn counted() -> Result<()> {
    // Linux adds up once a second.
    let settle = || std::thread::sleep(Duration::from_secs(3));
    let spinner = Spinner::start()?;
    let before = job::cpu(3)?;
    settle();
    let computing = uncounted()?;
    let after = job::cpu(3)?;
    ensure!(
        all_entries(&after) == all_entries(&before),
        "before {before:?}, after {after:?}"
    );
    spinner.end()?;
    settle();
    let idle = uncounted()?;
    println!("not in the sums: {computing} pages while it computes, {idle} after that");
    // Others go on counting, a few pages at a time.
    ensure!(
        computing < 40 && idle < 40,
        "{computing} while it computes, {idle} after that"
    );
    Ok(())
}

fn emptied() -> Result<()> {
    storm(empty_caches).map(drop)
}

/// Runs a job that makes 100,000 system calls on CPU 3 while `disturb` goes on, and returns how much CPU 3 caught up.
fn storm(disturb: impl Fn() -> Result<()>) -> Result<u64> {
    let before = job::cpu(3)?;
    let mut child = job::yod_inside(&["-c", "3"], &["turns", "100000"])
        .spawn()
        .context("yod")?;
    let status = loop {
        if let Some(status) = child.try_wait().context("wait")? {
            break status;
        }
        disturb()?;
    };
    ensure!(status.success(), "the job ended with {status}");
    Ok(job::cpu(3)?.caught_up - before.caught_up)
}

fn patched() -> Result<()> {
    let caught_up = storm(|| switch(SCHEDSTATS))?;
    ensure!(caught_up > 0, "nothing was caught up");
    Ok(())
}

fn stopped() -> Result<()> {
    storm(|| {
        let path = "/sys/devices/system/cpu/cpu1/online";
        write(path, "0")?;
        write(path, "1")
    })
    .map(drop)
}
