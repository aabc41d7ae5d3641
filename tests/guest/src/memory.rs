// SPDX-License-Identifier: GPL-2.0
//! Memory of partitions, and what Linux says of its own.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use lwk_logic::uapi::{self, MemGet, MemShare, MEM_BLOCK_BYTES};
use rustix::io::Errno;

use crate::cpus::to_word;
use crate::job;
use crate::partition::{change, Change};
use crate::sys::lwk::{self, size_of_abi, IoResult};

/// An amount of a node.
pub(crate) fn of_node(node: u32, bytes: u64) -> MemShare {
    MemShare {
        node,
        bytes,
        ..MemShare::default()
    }
}

/// What came of a change, and the amounts as the kernel left them.
pub(crate) type Told<T> = (Change<T>, Vec<MemShare>);

/// Makes a partition with memory and returns its id.
pub(crate) fn create(name: &str, cpus: &[usize], memory: &[MemShare]) -> Result<Told<u32>> {
    let mut arg = uapi::PartitionCreate {
        size: size_of_abi::<uapi::PartitionCreate>(),
        ..Default::default()
    };
    for (to, from) in arg.name.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    let mut memory = memory.to_vec();
    let cpus = [to_word(cpus)];
    let result =
        lwk::partition_create_with(&lwk::open()?, &mut arg, &cpus, &[to_word(&[])], &mut memory);
    Ok((change(result, arg.id, arg.refusal, arg.refused_cpu), memory))
}

/// Changes the memory and the CPUs of a partition.
pub(crate) fn resize(
    id: u32,
    add: &[usize],
    remove: &[usize],
    memory: &[MemShare],
) -> Result<Told<()>> {
    let mut arg = uapi::PartitionResize {
        size: size_of_abi::<uapi::PartitionResize>(),
        id,
        ..Default::default()
    };
    let mut memory = memory.to_vec();
    let (add, remove) = ([to_word(add)], [to_word(remove)]);
    let result = lwk::partition_resize_with(&lwk::open()?, &mut arg, &add, &remove, &mut memory);
    Ok((change(result, (), arg.refusal, arg.refused_cpu), memory))
}

/// Reads the pool of the first node from `node` on.
pub(crate) fn pool(node: u32, partition: u32, flags: u32) -> Result<IoResult<MemGet>> {
    let mut arg = MemGet {
        size: size_of_abi::<MemGet>(),
        node,
        partition,
        flags,
        ..Default::default()
    };
    Ok(lwk::mem_get(&lwk::open()?, &mut arg).map(|()| arg))
}

/// Reads the pools of all nodes, and has the kernel check them.
pub(crate) fn pools(partition: u32) -> Result<Vec<MemGet>> {
    let mut found = Vec::new();
    let mut node = 0;
    loop {
        match pool(node, partition, uapi::MEM_CHECK)? {
            Err(Errno::NOENT) => return Ok(found),
            result => {
                let pool = result.context("LWK_MEM_GET")?;
                ensure!(pool.node >= node, "asked for {node}, got {}", pool.node);
                node = pool.node + 1;
                found.push(pool);
            }
        }
    }
}

/// What a partition has of each node, in blocks.
pub(crate) fn blocks(partition: u32) -> Result<Vec<u64>> {
    let pools = pools(partition)?;
    Ok(pools
        .iter()
        .map(|pool| pool.share / MEM_BLOCK_BYTES)
        .collect())
}

/// What Linux says of its memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Linux {
    /// `MemTotal` of the machine and of each node, in KiB.
    pub(crate) total: BTreeMap<String, u64>,
    /// Pageblocks of the LWK by node and zone.
    pub(crate) lwk_blocks: u64,
    /// All pageblocks that are not.
    pub(crate) other_blocks: u64,
    /// Managed pages of each zone.
    pub(crate) zones: Vec<String>,
}

/// Lines of each zone that begin with one of these words.
fn zones(wanted: &[&str]) -> Result<Vec<String>> {
    let text = fs::read_to_string("/proc/zoneinfo").context("zoneinfo")?;
    let lines = text.lines().map(str::trim);
    Ok(lines
        .filter(|line| line.starts_with("Node") || wanted.iter().any(|word| line.starts_with(word)))
        .map(str::to_owned)
        .collect())
}

/// The watermarks. They depend a little on those before, so compare them only after the same sequence of changes.
pub(crate) fn watermarks() -> Result<Vec<String>> {
    zones(&["min ", "low ", "high "])
}

/// Reads it.
pub(crate) fn linux() -> Result<Linux> {
    let mut total = BTreeMap::new();
    let machine = fs::read_to_string("/proc/meminfo").context("meminfo")?;
    total.insert("machine".to_owned(), amount(&machine, "MemTotal:")?);
    for node in 0..8 {
        let path = format!("/sys/devices/system/node/node{node}/meminfo");
        if let Ok(text) = fs::read_to_string(path) {
            total.insert(format!("node {node}"), amount(&text, "MemTotal:")?);
        }
    }
    let (mut lwk_blocks, mut other_blocks) = (0, 0);
    let text = fs::read_to_string("/proc/pagetypeinfo").context("pagetypeinfo")?;
    // "Number of blocks type  Unmovable  Movable ...", then a line for each zone.
    let mut names: Vec<&str> = Vec::new();
    for line in text.lines() {
        if let Some(types) = line.strip_prefix("Number of blocks type") {
            names = types.split_whitespace().collect();
        } else if !names.is_empty() && line.starts_with("Node") {
            let (_, counts) = line.split_once("zone").context("a line of a zone")?;
            let counts = counts.split_whitespace().skip(1);
            for (name, count) in names.iter().zip(counts) {
                let count: u64 = count.parse().context("a count")?;
                if *name == "LWK" {
                    lwk_blocks += count;
                } else {
                    other_blocks += count;
                }
            }
        } else {
            names.clear();
        }
    }
    ensure!(other_blocks > 0, "no pageblocks in {text}");
    Ok(Linux {
        total,
        lwk_blocks,
        other_blocks,
        zones: zones(&["managed "])?,
    })
}

/// The number after a name, in KiB.
fn amount(text: &str, name: &str) -> Result<u64> {
    let rest = text
        .split_once(name)
        .with_context(|| format!("no {name}"))?;
    let number = rest.1.split_whitespace().next();
    number.context("a number")?.parse().context("a number")
}

/// Waits until the pools have nothing but what partitions are to have: a page may be looked at for a moment.
pub(crate) fn settled() -> Result<()> {
    job::eventually(
        Duration::from_secs(10),
        "memory on its way to Linux",
        || Ok(pools(0)?.iter().all(|pool| pool.leaving == 0)),
    )
}
