// SPDX-License-Identifier: GPL-2.0
//! What the tests read from `/proc` and the kernel log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::time::Duration;

use anyhow::{Context, Result};

/// `O_NONBLOCK` of x86-64, with which the kernel log ends instead of waiting for more.
const O_NONBLOCK: i32 = 0o4000;

/// The messages of the kernel log since boot, oldest first.
pub(crate) fn kernel_log() -> Result<Vec<String>> {
    let mut log = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(O_NONBLOCK)
        .open("/dev/kmsg")
        .context("/dev/kmsg")?;
    let mut lines = Vec::new();
    let mut record = [0; 8192];
    loop {
        match log.read(&mut record) {
            Ok(0) => return Ok(lines),
            Ok(len) => {
                let text = String::from_utf8_lossy(record.get(..len).unwrap_or_default());
                // "priority,sequence,time,flags;message", then lines of key=value that begin with a blank.
                let message = text.split_once(';').map_or("", |(_, rest)| rest);
                lines.push(message.lines().next().unwrap_or_default().to_owned());
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(lines),
            // The record was overwritten while we read; the next read goes on behind the gap.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            Err(error) => return Err(error).context("/dev/kmsg"),
        }
    }
}

/// The messages that the LWK wrote.
pub(crate) fn lwk_log() -> Result<Vec<String>> {
    Ok(kernel_log()?
        .into_iter()
        .filter(|line| line.starts_with("lwk: "))
        .collect())
}

/// The value of a `key:` line of a status file, for example of `/proc/self/status`.
pub(crate) fn status_field(path: &str, key: &str) -> Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| path.to_owned())?;
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| *name == key)
        .map(|(_, value)| value.trim().to_owned())
        .with_context(|| format!("no {key} in {path}"))
}

/// Counts of `/proc/interrupts` for one CPU, by the name in front of the colon.
pub(crate) fn interrupts(cpu: usize) -> Result<BTreeMap<String, u64>> {
    let text = std::fs::read_to_string("/proc/interrupts").context("/proc/interrupts")?;
    let heading = text.lines().next().context("/proc/interrupts is empty")?;
    let column = format!("CPU{cpu}");
    let column = heading
        .split_whitespace()
        .position(|word| word == column)
        .context("no such column")?;
    let mut counts = BTreeMap::new();
    for line in text.lines().skip(1) {
        let Some((name, rest)) = line.split_once(':') else {
            continue;
        };
        // ERR and MIS have one number for the machine.
        if let Some(Ok(count)) = rest.split_whitespace().nth(column).map(str::parse) {
            counts.insert(name.trim().to_owned(), count);
        }
    }
    Ok(counts)
}

/// The numbers of the interrupts that a driver uses: the lines of `/proc/interrupts` that begin with one.
pub(crate) fn device_irqs() -> Result<Vec<u32>> {
    Ok(interrupts(0)?
        .keys()
        .filter_map(|name| name.parse().ok())
        .collect())
}

/// One line of `/proc/PID/stat` or `/proc/PID/task/TID/stat`.
#[derive(Debug)]
pub(crate) struct Stat {
    /// Process or thread id.
    pub(crate) pid: i32,
    /// Command name.
    pub(crate) comm: String,
    /// State letter.
    pub(crate) state: char,
    /// Process group.
    pub(crate) pgrp: i32,
    /// Whether it is a kernel thread.
    pub(crate) is_kernel: bool,
    /// The CPU it last ran on.
    pub(crate) cpu: usize,
}

impl Stat {
    fn read(path: &str) -> Option<Stat> {
        const PF_KTHREAD: u64 = 0x0020_0000;
        let text = std::fs::read_to_string(path).ok()?;
        let (pid, rest) = text.split_once(" (")?;
        let (comm, rest) = rest.rsplit_once(") ")?;
        // Field n of proc(5) is word n - 3 here.
        let words: Vec<&str> = rest.split(' ').collect();
        Some(Stat {
            pid: pid.parse().ok()?,
            comm: comm.to_owned(),
            state: words.first()?.chars().next()?,
            pgrp: words.get(2)?.parse().ok()?,
            is_kernel: words.get(6)?.parse::<u64>().ok()? & PF_KTHREAD != 0,
            cpu: words.get(36)?.parse().ok()?,
        })
    }
}

/// Every process, kernel threads included.
pub(crate) fn processes() -> Vec<Stat> {
    numbers_in("/proc")
        .iter()
        .filter_map(|pid| Stat::read(&format!("/proc/{pid}/stat")))
        .collect()
}

/// Every thread of one process.
pub(crate) fn threads(pid: i32) -> Vec<Stat> {
    let folder = format!("/proc/{pid}/task");
    numbers_in(&folder)
        .iter()
        .filter_map(|tid| Stat::read(&format!("{folder}/{tid}/stat")))
        .collect()
}

/// The entries of a folder that are numbers; a folder that is gone has none.
fn numbers_in(folder: &str) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// State and kernel stack of every user thread but those of PID 1, for the report of a hang.
pub(crate) fn describe_user_tasks() -> String {
    let mut text = String::new();
    for process in processes().iter().filter(|p| !p.is_kernel && p.pid != 1) {
        for thread in threads(process.pid) {
            let stack =
                std::fs::read_to_string(format!("/proc/{}/task/{}/stack", process.pid, thread.pid));
            text += &format!("{thread:?}\n");
            stack
                .unwrap_or_default()
                .lines()
                .take(12)
                .for_each(|line| text += &format!("  {line}\n"));
        }
    }
    text
}

/// Time since boot.
pub(crate) fn uptime() -> Result<Duration> {
    let text = std::fs::read_to_string("/proc/uptime")?;
    let seconds = text
        .split_whitespace()
        .next()
        .context("/proc/uptime is empty")?;
    Ok(Duration::from_secs_f64(seconds.parse()?))
}

/// Whether a function is part of this kernel.
pub(crate) fn kernel_has(function: &str) -> Result<bool> {
    let symbols = std::fs::read_to_string("/proc/kallsyms").context("/proc/kallsyms")?;
    Ok(symbols
        .lines()
        .any(|line| line.split(' ').nth(2) == Some(function)))
}

/// Reads the `index`th 64-bit word of a file of the kernel, or nothing behind its end.
fn word(file: &File, index: u64) -> Result<Option<u64>> {
    let mut word = [0; 8];
    let len = file.read_at(&mut word, index * 8).context("a word")?;
    Ok((len == word.len()).then(|| u64::from_ne_bytes(word)))
}

/// How many anonymous pages of a process are not on the lists of the page reclaim (`pagemap.rst`).
pub(crate) fn pages_off_lru(pid: u32) -> Result<usize> {
    const PAGE: u64 = 4096;
    const PRESENT: u64 = 1 << 63;
    const FRAME: u64 = (1 << 55) - 1;
    const LRU: u64 = 1 << 5;
    const ANON: u64 = 1 << 12;
    let open = |path: String| File::open(&path).context(path);
    let pagemap = open(format!("/proc/{pid}/pagemap"))?;
    let flags = open("/proc/kpageflags".to_owned())?;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).context("maps")?;
    let mut count = 0;
    for line in maps.lines().filter(|line| !line.ends_with("[vsyscall]")) {
        let range = line
            .split(' ')
            .next()
            .and_then(|range| range.split_once('-'));
        let (start, end) = range.with_context(|| line.to_owned())?;
        let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16));
        for page in start.context("start")? / PAGE..end.context("end")? / PAGE {
            let entry = word(&pagemap, page)?.unwrap_or_default();
            if entry & PRESENT != 0 {
                let flags = word(&flags, entry & FRAME)?.unwrap_or_default();
                count += usize::from(flags & (ANON | LRU) == ANON);
            }
        }
    }
    Ok(count)
}
