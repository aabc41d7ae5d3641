// SPDX-License-Identifier: GPL-2.0
//! What several checks need: the boot line, the cores, and which CPUs the LWK has.

use std::path::Path;

use anyhow::{Context, Result};
use lwk::{Device, Topology};
use lwk_logic::logic::bootline::BootSpec;
use lwk_logic::logic::cpuset::CpuSet;
use lwk_logic::uapi::MAX_CPUS;

use super::tree::Tree;

/// What the device of the machine itself said.
#[derive(Debug)]
pub struct DeviceFacts {
    /// The LWK CPUs and the service CPUs of each partition with its name, or why it could not be asked.
    pub partitions: Result<Vec<(String, CpuSet, CpuSet)>, lwk::Error>,
}

impl DeviceFacts {
    /// Asks the device.
    pub fn ask(path: &Path) -> Self {
        let partitions = Device::open(path).and_then(|device| device.partitions());
        let facts = |p: lwk::Partition| (p.name, p.cpus, p.service);
        Self {
            partitions: partitions.map(|all| all.into_iter().map(facts).collect()),
        }
    }
}

/// What several checks need.
#[derive(Debug)]
pub struct Facts {
    /// The files.
    pub tree: Tree,
    /// Words of the boot line.
    pub words: Vec<String>,
    /// The cores.
    pub topology: Topology,
    /// The CPUs of the LWK.
    pub lwk: CpuSet,
    /// What the device said, on the machine itself.
    pub device: Option<DeviceFacts>,
}

impl Facts {
    /// Reads a machine.
    ///
    /// # Errors
    ///
    /// If it has no boot line or no CPUs.
    pub fn read(sysroot: &Path, device: Option<DeviceFacts>) -> Result<Self> {
        let tree = Tree::new(sysroot);
        let line = tree
            .text("proc/cmdline")
            .with_context(|| format!("cannot read {}", tree.path("proc/cmdline").display()))?;
        let mut facts = Self {
            words: line.split_ascii_whitespace().map(str::to_owned).collect(),
            topology: Topology::read(sysroot)?,
            tree,
            lwk: CpuSet::EMPTY,
            device,
        };
        facts.lwk = match &facts.device {
            Some(DeviceFacts {
                partitions: Ok(all),
            }) => all
                .iter()
                .fold(CpuSet::EMPTY, |cpus, (_, lwk, _)| cpus.union(lwk)),
            _ => facts
                .boot_spec()
                .and_then(Result::ok)
                .map_or(CpuSet::EMPTY, |spec| *spec.cpus()),
        };
        Ok(facts)
    }

    /// The value of the last boot parameter `name=value`.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let value = |word: &'_ String| word.strip_prefix(name)?.strip_prefix('=').map(str::len);
        let (word, len) = self
            .words
            .iter()
            .rev()
            .find_map(|word| Some((word, value(word)?)))?;
        word.get(word.len() - len..)
    }

    /// Whether the boot line has this word.
    pub(crate) fn has_word(&self, wanted: &str) -> bool {
        self.words.iter().any(|word| word == wanted)
    }

    /// What `lwkcpus=` asks for, or why that is nothing.
    pub(crate) fn boot_spec(&self) -> Option<Result<Box<BootSpec>, String>> {
        let text = self.parameter("lwkcpus")?;
        let mut spec = Box::new(BootSpec::EMPTY);
        // CAST: `MAX_CPUS` is far smaller than `u32::MAX`.
        let parsed = spec.parse_into(text.as_bytes(), MAX_CPUS as u32);
        Some(parsed.map(|()| spec).map_err(|error| error.to_string()))
    }
}
