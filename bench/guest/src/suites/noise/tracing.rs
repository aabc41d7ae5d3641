// SPDX-License-Identifier: GPL-2.0
//! Tracing, BPF and performance counters.

use std::fs;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use perf_event::events::Software;
use perf_event::{Builder, Counter};

use crate::kernel::{self, Restored};
use crate::measure::Meter;
use crate::sites;
use crate::sys::disturb;

/// The folder of the kernel's tracer.
const TRACING: &str = "/sys/kernel/tracing";

pub(super) fn tracepoint(meter: &mut Meter) -> Result<()> {
    let switch = Restored::remember(&format!("{TRACING}/events/sched/sched_switch/enable"))?;
    meter.disturb(|_| {
        switch.set("1")?;
        switch.set("0")
    })
}

pub(super) fn functions(meter: &mut Meter) -> Result<()> {
    let tracer = Restored::remember(&format!("{TRACING}/current_tracer"))?;
    // What it traces is of no interest and fills buffers.
    let buffers = Restored::remember(&format!("{TRACING}/tracing_on"))?;
    buffers.set("0")?;
    meter.disturb(|number| {
        // Once is long enough.
        if number == 0 {
            return Ok(());
        }
        tracer.set("function")?;
        tracer.set("nop")
    })
}

pub(super) fn kprobe(meter: &mut Meter) -> Result<()> {
    let list = format!("{TRACING}/kprobe_events");
    kernel::need(&list)?;
    let append = |text: &str| -> Result<()> {
        let file = fs::File::options().append(true).open(&list);
        let written =
            file.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
        written.with_context(|| format!("writing {text:?} to {list}"))
    };
    meter.disturb(|_| {
        append("p:noise do_sys_openat2")?;
        let switch = format!("{TRACING}/events/kprobes/noise/enable");
        kernel::write(&switch, "1")?;
        kernel::write(&switch, "0")?;
        append("-:noise")
    })
}

pub(super) fn bpf_prog(meter: &mut Meter) -> Result<()> {
    meter.disturb(|_| disturb::bpf_prog_load().map(drop))
}

pub(super) fn bpf_map(meter: &mut Meter) -> Result<()> {
    meter.disturb(|_| disturb::bpf_map_create().map(drop))
}

/// Counts context switches on a CPU; the emulated processor has no counters of its own.
fn count(cpu: u32) -> Result<()> {
    let mut counter = counter(cpu, None)?;
    counter.enable()?;
    std::thread::sleep(Duration::from_millis(1));
    counter.read()?;
    Ok(counter.disable()?)
}

fn counter(cpu: u32, period_ns: Option<u64>) -> Result<Counter> {
    let event = match period_ns {
        Some(_) => Software::CPU_CLOCK,
        None => Software::CONTEXT_SWITCHES,
    };
    let mut builder = Builder::new()
        .kind(event)
        .any_pid()
        .one_cpu(usize::try_from(cpu)?);
    builder.include_kernel();
    if let Some(period) = period_ns {
        builder.sample_period(period);
    }
    builder
        .build()
        .with_context(|| format!("perf_event_open for CPU {cpu}"))
}

/// Samples CPUs every millisecond for a while.
fn sample(cpus: &[u32]) -> Result<()> {
    let counters: Result<Vec<_>> = cpus
        .iter()
        .map(|cpu| counter(*cpu, Some(1_000_000)))
        .collect();
    let mut counters = counters?;
    for counter in &mut counters {
        counter.enable()?;
    }
    std::thread::sleep(Duration::from_millis(10));
    for counter in &mut counters {
        counter.disable()?;
        ensure!(counter.read()? > 0, "a clock that stands still");
    }
    Ok(())
}

pub(super) fn perf_count(meter: &mut Meter) -> Result<()> {
    let spare = meter.spare()?;
    meter.disturb(|_| count(spare))
}

pub(super) fn perf_count_all(meter: &mut Meter) -> Result<()> {
    let all = sites::numbers(&sites::online()?);
    meter.disturb(|_| all.iter().try_for_each(|cpu| count(*cpu)))
}

pub(super) fn perf_sample(meter: &mut Meter) -> Result<()> {
    let spare = meter.spare()?;
    meter.disturb(|_| sample(&[spare]))
}

pub(super) fn perf_sample_all(meter: &mut Meter) -> Result<()> {
    let all = sites::numbers(&sites::online()?);
    meter.disturb(|_| sample(&all))
}
