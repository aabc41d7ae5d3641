// SPDX-License-Identifier: GPL-2.0
//! The file that says which partitions there shall be, in TOML.
//!
//! ```toml
//! version = 1
//!
//! [[partition]]
//! name = "solver"
//! cpus = "2-7"
//! service = "0"      # may be missing
//! mem = "0:16G,1:8G" # may be missing: none
//! syscalls = "local=read" # this, exclusive_wait, syscall_batch and idle: as of a new partition if missing
//! maxpage = "heap:4k" # this and the other options of yod for memory policies: as of a new partition if missing
//! ```

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use lwk::{
    CallPolicy, Calls, CpuList, Idle, MemoryWish, NewPartition, PartitionName, Policies, State,
    Whether,
};
use lwk_logic::logic::cpuset::{CpuId, CpuSet};
use lwk_logic::logic::mempolicy::Policy;
use serde::{Deserialize, Serialize};

/// The version of the file that this tool reads and writes.
pub const VERSION: u32 = 1;

/// What stands at the beginning of a saved file.
const HEADER: &str = "\
# Partitions of the LWK; `lwkctl apply FILE` makes the machine have them, `lwkctl save FILE` writes those it has.
";

/// The file as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default, rename = "partition", skip_serializing_if = "Vec::is_empty")]
    partitions: Vec<Entry>,
}

/// A partition as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    cpus: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    service: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mem: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    maxpage: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pagefault: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mempolicy: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aligned_mmap: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    heap_step: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    strict: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    keep_unneeded: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    syscalls: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    exclusive_wait: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    syscall_batch: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idle: Option<String>,
}

/// Whether a switch is off; serde hands it over like this.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_false(switch: &bool) -> bool {
    !*switch
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// It cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// It is no TOML, or has other fields.
    #[error("the file is not as expected: {0}")]
    Syntax(String),
    /// It is of another version.
    #[error("the file is of version {0}, this tool reads version {VERSION}; use the lwkctl that wrote it")]
    Version(u32),
    /// A field of a partition is bad.
    #[error("partition {name:?}, {field}: {problem}")]
    Field {
        /// The partition.
        name: String,
        /// The field.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// Two partitions have one name.
    #[error("two partitions are called {0}; give each its own name")]
    SameName(PartitionName),
    /// A CPU is named twice.
    #[error(
        "CPU {cpu} is named twice, in {first} and in {second}; a CPU has one role in one partition"
    )]
    SameCpu {
        /// The CPU.
        cpu: CpuId,
        /// Where first.
        first: PartitionName,
        /// Where again.
        second: PartitionName,
    },
}

/// Reads a file; `-` is standard input.
///
/// # Errors
///
/// If it cannot be read or is not as it should be.
pub fn read(path: &Path, nr_cpus: u32) -> Result<Vec<NewPartition>, ConfigError> {
    let text = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    let path = path.to_owned();
    parse(
        &text.map_err(|error| ConfigError::Read { path, error })?,
        nr_cpus,
    )
}

/// Parses the text of a file for a machine with so many CPUs.
///
/// # Errors
///
/// If it is not as it should be.
pub fn parse(text: &str, nr_cpus: u32) -> Result<Vec<NewPartition>, ConfigError> {
    let syntax = |error: toml::de::Error| ConfigError::Syntax(plain(&error.to_string()));
    // The version first: another one may have other fields.
    let table: toml::Table = text.parse().map_err(syntax)?;
    if let Some(version) = table.get("version").and_then(toml::Value::as_integer) {
        if version != i64::from(VERSION) {
            return Err(ConfigError::Version(u32::try_from(version).unwrap_or(0)));
        }
    }
    let file: File = toml::from_str(text).map_err(syntax)?;
    let mut wanted: Vec<NewPartition> = Vec::new();
    for entry in &file.partitions {
        let new = entry.resolve(nr_cpus)?;
        check_apart(&new, &wanted)?;
        wanted.push(new);
    }
    Ok(wanted)
}

/// What is wrong with the text of a file, which it quotes in some lines.
fn plain(text: &str) -> String {
    let lines: Vec<String> = text.trim_end().lines().map(lwk::plain).collect();
    lines.join("\n")
}

impl Entry {
    /// The partition that it describes.
    fn resolve(&self, nr_cpus: u32) -> Result<NewPartition, ConfigError> {
        let wrong = |field: &'static str, problem: String| ConfigError::Field {
            name: self.name.clone(),
            field,
            problem,
        };
        let name: PartitionName = self
            .name
            .parse()
            .map_err(|error: lwk::NameError| wrong("name", error.to_string()))?;
        let set = |field, text: &str| {
            let list = text
                .parse::<CpuList>()
                .and_then(|list| list.resolve(nr_cpus));
            list.map_err(|error| wrong(field, error.to_string()))
        };
        let memory = self.mem.as_ref().map(|mem| mem.parse::<MemoryWish>());
        let memory = memory.transpose();
        let memory = memory.map_err(|error| wrong("mem", error.to_string()))?;
        let cpus = set("cpus", &self.cpus)?;
        if cpus.is_empty() {
            return Err(wrong(
                "cpus",
                "a partition needs at least one CPU".to_owned(),
            ));
        }
        let policy = self.policies().over(&Policy::DEFAULT);
        let policy = policy.map_err(|error| wrong(error.option, error.error.to_string()))?;
        let calls = self.calls(wrong)?.over(&CallPolicy::DEFAULT);
        let calls = calls.map_err(|error| wrong("syscalls", error.0.to_string()))?;
        Ok(NewPartition {
            calls,
            cpus,
            service: set("service", &self.service)?,
            memory,
            name,
            policy,
        })
    }

    /// What it says of the policy.
    fn policies(&self) -> Policies {
        let switch = |is_on: bool| is_on.then_some(Whether::Yes);
        Policies {
            maxpage: self.maxpage.clone(),
            pagefault: self.pagefault.clone(),
            mempolicy: self.mempolicy.clone(),
            aligned_mmap: self.aligned_mmap.clone(),
            heap_step: self.heap_step.clone(),
            strict: switch(self.strict),
            keep_unneeded: switch(self.keep_unneeded),
        }
    }

    /// What it says of system calls.
    fn calls(
        &self,
        wrong: impl Fn(&'static str, String) -> ConfigError,
    ) -> Result<Calls, ConfigError> {
        let batch = self.syscall_batch.as_ref().map(|text| text.parse());
        let idle = self.idle.as_ref().map(|text| Idle::from_str(text, false));
        Ok(Calls {
            syscalls: self.syscalls.clone(),
            exclusive_wait: self.exclusive_wait.then_some(Whether::Yes),
            syscall_batch: batch
                .transpose()
                .map_err(|error| wrong("syscall_batch", error))?,
            idle: idle
                .transpose()
                .map_err(|_| wrong("idle", "it is halt or poll".to_owned()))?,
        })
    }
}

/// Checks that a partition has its own name and CPUs.
fn check_apart(new: &NewPartition, others: &[NewPartition]) -> Result<(), ConfigError> {
    if others.iter().any(|other| other.name == new.name) {
        return Err(ConfigError::SameName(new.name.clone()));
    }
    let same = |cpu, other: &NewPartition| ConfigError::SameCpu {
        cpu,
        first: other.name.clone(),
        second: new.name.clone(),
    };
    if let Some(cpu) = new.cpus.intersection(&new.service).first() {
        return Err(same(cpu, new));
    }
    let all = |of: &NewPartition| -> CpuSet { of.cpus.union(&of.service) };
    for other in others {
        if let Some(cpu) = all(new).intersection(&all(other)).first() {
            return Err(same(cpu, other));
        }
    }
    Ok(())
}

/// The text of a file for the partitions that there are.
///
/// # Errors
///
/// If it cannot be written as TOML.
pub fn text(state: &State) -> Result<String, toml::ser::Error> {
    let entry = |partition: &lwk::Partition| {
        let told = Policies::of(&partition.policy);
        let calls = Calls::of(&partition.calls);
        Entry {
            name: partition.name.clone(),
            cpus: partition.cpus.to_string(),
            service: partition.service.to_string(),
            mem: partition.memory.wish().map(|wish| wish.to_string()),
            maxpage: told.maxpage,
            pagefault: told.pagefault,
            mempolicy: told.mempolicy,
            aligned_mmap: told.aligned_mmap,
            heap_step: told.heap_step,
            strict: told.strict.is_some(),
            keep_unneeded: told.keep_unneeded.is_some(),
            syscalls: calls.syscalls,
            exclusive_wait: calls.exclusive_wait.is_some(),
            syscall_batch: calls.syscall_batch.map(|batch| batch.to_string()),
            idle: calls.idle.map(|idle| idle.name().to_owned()),
        }
    };
    let file = File {
        version: VERSION,
        partitions: state.partitions.iter().map(entry).collect(),
    };
    Ok(format!("{HEADER}{}", toml::to_string(&file)?))
}

/// Writes a file so that there is the old or the new text at any time.
///
/// # Errors
///
/// If it cannot be written.
pub fn write(path: &Path, text: &str) -> Result<(), ConfigError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = PathBuf::from(name);
    let failed = |error| ConfigError::Write {
        path: path.to_owned(),
        error,
    };
    // A file of that name that is there already is somebody else's, and stays.
    let mut file = std::fs::File::create_new(&new).map_err(failed)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&new, path));
    written.map_err(|error| {
        // What is left of the new file helps nobody; that it is gone already is no error.
        let _ = std::fs::remove_file(&new);
        failed(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        match parse(text, 16) {
            Ok(wanted) => wanted
                .iter()
                .map(|new| format!("{}:{}:{} ", new.name, new.cpus, new.service))
                .collect(),
            Err(error) => error.to_string(),
        }
    }

    fn with(fields: &str) -> String {
        told(&format!(
            "version = 1\n[[partition]]\nname = \"a\"\n{fields}"
        ))
    }

    #[test]
    fn partitions_are_read_in_their_order() {
        let text = "version = 1\n[[partition]]\nname = \"b\"\ncpus = \"2-3\"\nservice = \"0\"\n\
                    [[partition]]\nname = \"a\"\ncpus = \"8-N\"\n";
        assert_eq!(told(text), "b:2-3:0 a:8-15: ");
        assert_eq!(told("version = 1"), "");
    }

    /// The file that is written of a machine with this partition.
    fn saved(new: &NewPartition) -> String {
        let machine = lwk::Machine {
            armed: true,
            nr_cpus: 16,
            topology: None,
        };
        let mut forecast = lwk::Forecast::new(machine, State::default());
        lwk::Control::create(&mut forecast, new).expect("nothing is in the way");
        let state = lwk::Control::state(&forecast).expect("it cannot fail");
        text(&state).expect("TOML")
    }

    #[test]
    fn memory_is_read_and_written() {
        let text =
            "version = 1\n[[partition]]\nname = \"a\"\ncpus = \"2\"\nmem = \"0:1024M,1:2M\"\n";
        let wanted = parse(text, 16).expect("a good file");
        let wish = wanted[0].memory.as_ref().expect("it has memory");
        assert_eq!(wish.to_string(), "0:1G,1:2M");
        assert!(saved(&wanted[0]).contains("mem = \"0:1G,1:2M\""));
    }

    #[test]
    fn policies_are_read_and_written() {
        let text = "version = 1\n[[partition]]\nname = \"a\"\ncpus = \"2\"\nmaxpage = \"heap:4k\"\nstrict = true\n";
        let wanted = parse(text, 16).expect("a good file");
        let policies = Policies::of(&wanted[0].policy).to_string();
        assert_eq!(policies, "--maxpage=heap:4k --strict=yes");
        assert_eq!(parse(&saved(&wanted[0]), 16).expect("a good file"), wanted);
    }

    #[test]
    fn system_calls_are_read_and_written() {
        let text = "version = 1\n[[partition]]\nname = \"a\"\ncpus = \"2\"\nsyscalls = \"local=all,move=%network\"\n\
                    exclusive_wait = true\nsyscall_batch = \"no\"\nidle = \"poll\"\n";
        let wanted = parse(text, 16).expect("a good file");
        assert_eq!(
            Calls::of(&wanted[0].calls).to_string(),
            "--syscalls=local=all,move=%network --exclusive-wait=yes --syscall-batch=no --idle=poll"
        );
        assert_eq!(parse(&saved(&wanted[0]), 16).expect("a good file"), wanted);
        assert_eq!(
            with("cpus = \"2\"\nsyscalls = \"local=raed\""),
            "partition \"a\", syscalls: unknown system call 'raed'; did you mean 'read'?"
        );
        assert_eq!(
            with("cpus = \"2\"\nsyscall_batch = \"1s\""),
            "partition \"a\", syscall_batch: a time is a whole number with ns, us or ms after it, or \"no\""
        );
        assert_eq!(
            with("cpus = \"2\"\nidle = \"sleep\""),
            "partition \"a\", idle: it is halt or poll"
        );
    }

    #[test]
    fn bad_fields_are_named() {
        assert_eq!(
            with("cpus = \"16\""),
            "partition \"a\", cpus: CPU 16 is out of range (0-15)"
        );
        assert_eq!(
            with("cpus = \"\""),
            "partition \"a\", cpus: a partition needs at least one CPU"
        );
        assert!(with("cpus = \"2\"\nservice = \"x\"").starts_with("partition \"a\", service: 'x'"));
        assert!(with("cpus = \"2\"\nmem = \"1X\"")
            .starts_with("partition \"a\", mem: \"1X\" is no size"));
        assert_eq!(
            with("cpus = \"2\"\nmaxpage = \"heap:3m\""),
            "partition \"a\", maxpage: '3m' is not a value of this option"
        );
        assert!(with("cpus = \"2\"\nspeed = 1").contains("unknown field `speed`"));
        assert!(with("cpus = [2]").contains("invalid type"));
        assert!(told("version = 1\n[[partition]]\ncpus = \"1\"").contains("missing field `name`"));
        assert!(told("[[partition]]").contains("missing field"));
        assert!(told("version = 2\nnews = 1").contains("is of version 2"));
    }

    #[test]
    fn names_and_cpus_stand_once() {
        let two = |second: &str| {
            with(&format!(
                "cpus = \"2-3\"\nservice = \"0\"\n[[partition]]\n{second}"
            ))
        };
        assert!(two("name = \"a\"\ncpus = \"4\"").starts_with("two partitions are called a"));
        assert!(
            two("name = \"b\"\ncpus = \"3-4\"").starts_with("CPU 3 is named twice, in a and in b")
        );
        assert!(
            two("name = \"b\"\ncpus = \"4\"\nservice = \"0\"").starts_with("CPU 0 is named twice")
        );
        assert!(with("cpus = \"2\"\nservice = \"2\"")
            .starts_with("CPU 2 is named twice, in a and in a"));
    }

    #[test]
    fn a_file_is_replaced_at_once_and_nothing_is_left_behind() {
        let dir = tempfile::tempdir().expect("it must succeed");
        let path = dir.path().join("partitions.toml");
        write(&path, "one").expect("it must succeed");
        write(&path, "two").expect("it must succeed");
        assert_eq!(
            std::fs::read_to_string(&path).expect("it must succeed"),
            "two"
        );
        let nowhere = dir.path().join("no/such/file");
        assert!(matches!(
            write(&nowhere, ""),
            Err(ConfigError::Write { .. })
        ));
        assert!(write(dir.path(), "x").is_err(), "a directory is no file");
        let left = std::fs::read_dir(dir.path())
            .expect("it must succeed")
            .count();
        assert_eq!(left, 1);
    }

    #[test]
    fn a_file_in_the_way_of_the_new_one_stays() {
        let dir = tempfile::tempdir().expect("it must succeed");
        let path = dir.path().join("partitions.toml");
        let name = format!("partitions.toml.{}.new", std::process::id());
        let other = dir.path().join(name);
        std::fs::write(&other, "another's").expect("it must succeed");
        let refused = write(&path, "one");
        assert!(matches!(refused, Err(ConfigError::Write { .. })));
        let text = std::fs::read_to_string(&other).expect("it is there");
        assert_eq!(text, "another's");
        assert!(!path.exists());
    }
}
