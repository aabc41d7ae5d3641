// SPDX-License-Identifier: GPL-2.0
//! Made-up machines: the files of `/sys` that tell of CPUs, cores and nodes, in a directory.

use std::fs;
use std::path::Path;

use lwk::{Core, Topology};
use lwk_logic::logic::cpuset::CpuSet;
use tempfile::TempDir;

/// How hardware threads of a core are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// The threads of a core follow each other.
    Near,
    /// First the first threads of all cores, then the second ones.
    Far,
}

/// A machine to be made up.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many cores each node has; a node is a package.
    pub cores: Vec<u32>,
    /// Threads of each core.
    pub threads: u32,
    /// How they are numbered.
    pub numbering: Numbering,
    /// CPUs off line.
    pub offline: CpuSet,
}

impl Plan {
    /// A machine with all CPUs on line.
    pub fn new(cores: &[u32], threads: u32, numbering: Numbering) -> Self {
        Self {
            cores: cores.to_vec(),
            threads,
            numbering,
            offline: CpuSet::EMPTY,
        }
    }

    /// How many CPUs it has.
    pub fn nr_cpus(&self) -> u32 {
        self.cores.iter().sum::<u32>() * self.threads
    }

    /// The CPUs of a core, all cores counted through.
    pub fn core(&self, core: u32) -> CpuSet {
        let nr_cores: u32 = self.cores.iter().sum();
        let thread = |thread| match self.numbering {
            Numbering::Near => core * self.threads + thread,
            Numbering::Far => core + nr_cores * thread,
        };
        (0..self.threads).map(|n| crate::cpu(thread(n))).collect()
    }

    /// The node of a core.
    pub fn node(&self, core: u32) -> u32 {
        let mut end = 0;
        let ends = self.cores.iter().map(|cores| {
            end += cores;
            end
        });
        ends.zip(0..)
            .find(|(end, _)| core < *end)
            .map_or(0, |(_, node)| node)
    }

    /// Its CPUs on line.
    pub fn online(&self) -> CpuSet {
        let all: CpuSet = (0..self.nr_cpus()).map(crate::cpu).collect();
        all.difference(&self.offline)
    }

    /// What reading its files should tell.
    pub fn topology(&self) -> Topology {
        let online = self.online();
        let core = |number: u32| Core {
            threads: self.core(number).intersection(&online),
            node: self.node(number),
            package: i64::from(self.node(number)),
            number: i64::from(number),
        };
        let cores = (0..self.cores.iter().sum()).map(core);
        let mut cores: Vec<Core> = cores.filter(|core| !core.threads.is_empty()).collect();
        cores.sort_by_key(|core| core.threads.first());
        Topology {
            cores,
            online,
            isolated: CpuSet::EMPTY,
        }
    }

    /// Writes its files into a new directory.
    ///
    /// # Panics
    ///
    /// They cannot be written.
    pub fn build(&self) -> TempDir {
        let dir = tempfile::tempdir().expect("no temporary directory");
        let root = dir.path().join("sys/devices/system");
        let online = self.online();
        write(&root, "cpu/online", &online.to_string());
        write(&root, "cpu/isolated", "");
        write(&root, "cpu/nohz_full", "(null)");
        let mut nodes = vec![CpuSet::EMPTY; self.cores.len()];
        for core in 0..self.cores.iter().sum() {
            let (threads, node) = (self.core(core).intersection(&online), self.node(core));
            if let Some(cpus) = usize::try_from(node)
                .ok()
                .and_then(|node| nodes.get_mut(node))
            {
                *cpus = cpus.union(&threads);
            }
            for cpu in &threads {
                let topology = format!("cpu/cpu{cpu}/topology");
                write(
                    &root,
                    &format!("{topology}/core_cpus_list"),
                    &threads.to_string(),
                );
                write(
                    &root,
                    &format!("{topology}/physical_package_id"),
                    &node.to_string(),
                );
                write(&root, &format!("{topology}/core_id"), &core.to_string());
            }
        }
        let last = nodes.len() - 1;
        write(&root, "node/online", &format!("0-{last}"));
        for (node, cpus) in nodes.iter().enumerate() {
            write(
                &root,
                &format!("node/node{node}/cpulist"),
                &cpus.to_string(),
            );
        }
        dir
    }
}

/// Writes a file and the directories above it.
fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    let dir = path.parent().expect("a file is in a directory");
    fs::create_dir_all(dir).expect("cannot make a directory");
    fs::write(path, format!("{text}\n")).expect("cannot write a file");
}
