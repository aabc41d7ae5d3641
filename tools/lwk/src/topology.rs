// SPDX-License-Identifier: GPL-2.0
//! Cores, packages and NUMA nodes as sysfs tells them below some root directory.
//!
//! Only CPUs on line are in it: the kernel tells nothing of the others, and they cannot be taken.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use lwk_logic::logic::cpuset::{CpuId, CpuSet};

/// A core: hardware threads that go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Core {
    /// Its threads that are on line, at least one.
    pub threads: CpuSet,
    /// The NUMA node of its first thread.
    pub node: u32,
    /// Its package (socket); -1 where the machine does not say.
    pub package: i64,
    /// Its number within the package.
    pub number: i64,
}

/// The CPUs of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Topology {
    /// The cores in the order of their first threads.
    pub cores: Vec<Core>,
    /// The CPUs on line.
    pub online: CpuSet,
    /// The CPUs that `nohz_full=` or `isolcpus=` has; the LWK's own are in it too.
    pub isolated: CpuSet,
}

/// The machine cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// A file has something unexpected in it.
    #[error("cannot understand {}: {text:?}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What it says.
        text: String,
    },
}

impl Topology {
    /// Reads the machine whose `/sys` is below `sysroot`.
    ///
    /// # Errors
    ///
    /// If the list of CPUs on line is missing, or a file has something unexpected in it.
    pub fn read(sysroot: &Path) -> Result<Self, TopologyError> {
        let cpu_dir = sysroot.join("sys/devices/system/cpu");
        let online_path = cpu_dir.join("online");
        let missing = || TopologyError::Read {
            path: online_path.clone(),
            error: ErrorKind::NotFound.into(),
        };
        let online = list(&online_path)?.ok_or_else(missing)?;
        let nodes = nodes(&sysroot.join("sys/devices/system/node"))?;
        let mut cores = Vec::new();
        let mut seen = CpuSet::EMPTY;
        for cpu in &online {
            if seen.contains(cpu) {
                continue;
            }
            let dir = cpu_dir.join(format!("cpu{cpu}/topology"));
            let siblings = match list(&dir.join("core_cpus_list"))? {
                Some(siblings) => siblings,
                None => list(&dir.join("thread_siblings_list"))?.unwrap_or_default(),
            };
            let threads = siblings.intersection(&online).difference(&seen);
            let threads = threads.union(&CpuSet::single(cpu));
            seen = seen.union(&threads);
            let node = nodes.iter().find(|(_, cpus)| cpus.contains(cpu));
            cores.push(Core {
                threads,
                node: node.map_or(0, |(node, _)| *node),
                package: number(&dir.join("physical_package_id"))?.unwrap_or(-1),
                number: number(&dir.join("core_id"))?.unwrap_or(i64::from(cpu.get())),
            });
        }
        let isolated = list(&cpu_dir.join("isolated"))?.unwrap_or_default();
        let nohz_full = list(&cpu_dir.join("nohz_full"))?.unwrap_or_default();
        Ok(Self {
            cores,
            online,
            isolated: isolated.union(&nohz_full),
        })
    }

    /// The core that a CPU is a thread of.
    pub fn core_of(&self, cpu: CpuId) -> Option<&Core> {
        self.cores.iter().find(|core| core.threads.contains(cpu))
    }

    /// The nodes that have CPUs on line, lowest first.
    pub fn nodes(&self) -> Vec<u32> {
        let mut nodes: Vec<u32> = self.cores.iter().map(|core| core.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}

/// The CPUs of each node; empty on a machine without NUMA.
fn nodes(dir: &Path) -> Result<Vec<(u32, CpuSet)>, TopologyError> {
    let online = list(&dir.join("online"))?.unwrap_or_default();
    let cpus = |node: CpuId| {
        let cpus = list(&dir.join(format!("node{node}/cpulist")))?.unwrap_or_default();
        Ok((node.get(), cpus))
    };
    // Node numbers have the text form of CPU numbers and the same limit.
    online.iter().map(cpus).collect()
}

/// The text of a file without the newline at its end, or none if there is no such file.
fn text(path: &Path) -> Result<Option<String>, TopologyError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TopologyError::Read {
            path: path.to_owned(),
            error,
        }),
    }
}

/// The CPU list in a file; `(null)` is what the kernel prints for a mask that was never made.
fn list(path: &Path) -> Result<Option<CpuSet>, TopologyError> {
    let Some(text) = text(path)? else {
        return Ok(None);
    };
    if text == "(null)" {
        return Ok(None);
    }
    let path = path.to_owned();
    match text.parse() {
        Ok(set) => Ok(Some(set)),
        Err(_) => Err(TopologyError::Parse { path, text }),
    }
}

/// The number in a file.
fn number(path: &Path) -> Result<Option<i64>, TopologyError> {
    let Some(text) = text(path)? else {
        return Ok(None);
    };
    let path = path.to_owned();
    match text.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(TopologyError::Parse { path, text }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("it must succeed");
        std::fs::write(path, text).expect("it must succeed");
    }

    #[test]
    fn threads_off_line_are_not_in_it() {
        let root = tempfile::tempdir().expect("it must succeed");
        let root = root.path();
        write(root, "sys/devices/system/cpu/online", "0-2\n");
        write(root, "sys/devices/system/cpu/nohz_full", "(null)\n");
        write(root, "sys/devices/system/cpu/isolated", "\n");
        for (cpu, siblings) in [(0, "0,2"), (1, "1,3"), (2, "0,2")] {
            let dir = format!("sys/devices/system/cpu/cpu{cpu}/topology");
            write(root, &format!("{dir}/core_cpus_list"), siblings);
        }
        let topology = Topology::read(root).expect("it must succeed");
        let cores: Vec<String> = topology
            .cores
            .iter()
            .map(|core| core.threads.to_string())
            .collect();
        assert_eq!(cores, ["0,2", "1"]);
        assert_eq!(topology.nodes(), [0]);
        assert!(topology.isolated.is_empty());
    }

    #[test]
    fn a_tree_without_cpus_is_an_error_that_names_the_file() {
        let root = tempfile::tempdir().expect("it must succeed");
        let error = Topology::read(root.path())
            .expect_err("it must fail")
            .to_string();
        assert!(error.contains("sys/devices/system/cpu/online"), "{error}");
        write(root.path(), "sys/devices/system/cpu/online", "many\n");
        let error = Topology::read(root.path())
            .expect_err("it must fail")
            .to_string();
        assert!(error.ends_with(": \"many\""), "{error}");
    }

    #[test]
    fn this_machine_can_be_read() {
        let topology = Topology::read(Path::new("/")).expect("it must succeed");
        let threads = topology
            .cores
            .iter()
            .fold(CpuSet::EMPTY, |all, core| all.union(&core.threads));
        assert_eq!(threads, topology.online);
    }
}
