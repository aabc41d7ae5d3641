// SPDX-License-Identifier: GPL-2.0
//! CPU sets as the tests see them: read from text with code of their own, so that the kernel's parser is checked
//! against a second one.

use std::collections::BTreeSet;

use anyhow::{bail, Context, Result};
use rustix::thread::{sched_getaffinity, sched_setaffinity, CpuSet, Pid};

/// A set of logical CPUs.
pub(crate) type Cpus = BTreeSet<usize>;

/// Parses the kernel's list format without strides, for example `0,2-3`.
pub(crate) fn parse(list: &str) -> Result<Cpus> {
    let mut cpus = Cpus::new();
    for part in list.trim().split(',').filter(|p| !p.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first
            .parse()
            .with_context(|| format!("CPU list {list:?}"))?;
        let last: usize = last.parse().with_context(|| format!("CPU list {list:?}"))?;
        if first > last {
            bail!("CPU list {list:?} runs backwards");
        }
        cpus.extend(first..=last);
    }
    Ok(cpus)
}

/// Reads a CPU list from a file of sysfs or procfs.
pub(crate) fn from_file(path: &str) -> Result<Cpus> {
    parse(&std::fs::read_to_string(path).with_context(|| path.to_owned())?)
}

/// The set of the bits that are set in `words`, as `/dev/lwk` passes CPU sets.
pub(crate) fn from_words(words: &[u64]) -> Cpus {
    (0..words.len() * 64)
        .filter(|&cpu| {
            words
                .get(cpu / 64)
                .is_some_and(|w| w >> (cpu % 64) & 1 == 1)
        })
        .collect()
}

/// The bitmap of `cpus` in one word; the test machines have fewer than 64 CPUs.
pub(crate) fn to_word(cpus: &[usize]) -> u64 {
    cpus.iter().fold(0, |word, cpu| word | 1 << cpu)
}

/// Has the kernel queue work on a CPU and wait for it: a change of the size of the CPU's trace buffer
/// (`ring_buffer_resize()`).
pub(crate) fn run_work(cpu: usize) -> Result<()> {
    let path = format!("/sys/kernel/tracing/per_cpu/cpu{cpu}/buffer_size_kb");
    let old = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    // Until the first event is traced it says "7 (expanded: 1408)"; what is set is rounded up to pages.
    let size: u32 = old
        .split_whitespace()
        .next()
        .and_then(|size| size.parse().ok())
        .with_context(|| format!("{path}: {old}"))?;
    let new = if size < 100 { "128" } else { "64" };
    std::fs::write(&path, new).with_context(|| format!("{new} to {path}"))
}

/// The CPUs on which the kernel lets `pid` run (0: the calling thread).
pub(crate) fn affinity(pid: i32) -> Result<Cpus> {
    let set = sched_getaffinity(Pid::from_raw(pid))
        .with_context(|| format!("sched_getaffinity of {pid}"))?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect())
}

/// Asks the kernel to let `pid` run on `cpus` only (0: the calling thread).
pub(crate) fn set_affinity(pid: i32, cpus: &Cpus) -> rustix::io::Result<()> {
    let mut set = CpuSet::new();
    cpus.iter().for_each(|&cpu| set.set(cpu));
    sched_setaffinity(Pid::from_raw(pid), &set)
}
