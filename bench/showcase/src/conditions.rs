// SPDX-License-Identifier: GPL-2.0
//! Under which conditions the figures came about.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{ensure, Context, Result};
use serde::{Deserialize, Serialize};

use crate::apps::App;

/// What carries out the instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Machine {
    /// QEMU translates them.
    Emulated,
    /// A hypervisor hands them to the processor.
    Virtual,
    /// The processor, with nothing in between that shows.
    Real,
}

impl Machine {
    /// Recognises it from `/proc/cpuinfo`; QEMU names its translated processors after itself.
    fn recognise(cpuinfo: &str) -> Self {
        let has_flag = |flag| {
            line(cpuinfo, "flags").is_some_and(|flags| flags.split(' ').any(|word| word == flag))
        };
        if line(cpuinfo, "model name").is_some_and(|model| model.contains("QEMU TCG")) {
            Self::Emulated
        } else if has_flag("hypervisor") {
            Self::Virtual
        } else {
            Self::Real
        }
    }

    /// The word that marks each time.
    pub(crate) const fn mark(self) -> &'static str {
        match self {
            Self::Emulated => "emulated",
            Self::Virtual => "virtual machine",
            Self::Real => "real machine",
        }
    }
}

/// The machine, the kernel and the packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Conditions {
    /// What carries out the instructions.
    pub(crate) machine: Machine,
    /// The processor's name.
    pub(crate) processor: String,
    /// CPUs on line, as a list.
    pub(crate) cpus: String,
    /// Memory in KiB.
    pub(crate) memory_kib: u64,
    /// Release and version of the kernel.
    pub(crate) kernel: String,
    /// SHA-256 of its configuration, if it tells.
    pub(crate) config_sha256: Option<String>,
    /// The boot line.
    pub(crate) boot_line: String,
    /// The distribution.
    pub(crate) system: String,
    /// Versions of the programs' packages.
    pub(crate) packages: BTreeMap<String, String>,
    /// The command that made the file.
    pub(crate) command: Vec<String>,
}

impl Conditions {
    /// Reads them from the running system.
    pub(crate) fn read(programs: &[App]) -> Result<Self> {
        let cpuinfo = text("/proc/cpuinfo")?;
        let meminfo = text("/proc/meminfo")?;
        let memory =
            line(&meminfo, "MemTotal").and_then(|value| value.strip_suffix(" kB")?.parse().ok());
        let release = text("/proc/sys/kernel/osrelease")?;
        let version = text("/proc/sys/kernel/version")?;
        Ok(Self {
            machine: Machine::recognise(&cpuinfo),
            processor: line(&cpuinfo, "model name").unwrap_or("unknown").to_owned(),
            cpus: text("/sys/devices/system/cpu/online")?,
            memory_kib: memory.context("no MemTotal in /proc/meminfo")?,
            kernel: format!("{release} {version}"),
            config_sha256: config_digest(),
            boot_line: text("/proc/cmdline")?,
            system: system(&text("/etc/os-release").unwrap_or_default()),
            packages: packages(programs),
            command: std::env::args().collect(),
        })
    }
}

/// Returns the SHA-256 of a file.
pub(crate) fn digest(path: &Path) -> Result<String> {
    let output = Command::new("sha256sum")
        .arg("--")
        .arg(path)
        .output()
        .context("cannot start sha256sum")?;
    ensure!(
        output.status.success(),
        "sha256sum: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    digest_of(&output.stdout).context("sha256sum prints no digest")
}

/// Reads the digest that `sha256sum` printed.
fn digest_of(output: &[u8]) -> Option<String> {
    let word = std::str::from_utf8(output)
        .ok()?
        .split_whitespace()
        .next()?;
    // A name with special characters puts a backslash before the digest.
    let word = word.trim_start_matches('\\');
    (word.len() == 64).then(|| word.to_owned())
}

/// Returns the SHA-256 of the kernel's configuration as text, so that it equals that of the `.config` it came from.
fn config_digest() -> Option<String> {
    let mut unpack = Command::new("zcat")
        .arg("/proc/config.gz")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let output = Command::new("sha256sum")
        .stdin(unpack.stdout.take()?)
        .output();
    let whole = unpack.wait().is_ok_and(|status| status.success());
    output
        .ok()
        .filter(|_| whole)
        .and_then(|output| digest_of(&output.stdout))
}

/// Reads a file without the end of its last line.
fn text(path: &str) -> Result<String> {
    Ok(fs::read_to_string(path)
        .context(path.to_owned())?
        .trim_end()
        .to_owned())
}

/// Returns the value of the first line `key : value`.
fn line<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim())
}

/// Returns the distribution's name for people.
fn system(os_release: &str) -> String {
    let mut pairs = os_release.lines().filter_map(|line| line.split_once('='));
    let name = pairs
        .find(|(key, _)| *key == "PRETTY_NAME")
        .map(|(_, value)| value.trim_matches('"'));
    name.unwrap_or("unknown").to_owned()
}

/// Asks the package database; where there is none, the report says nothing about versions.
fn packages(programs: &[App]) -> BTreeMap<String, String> {
    let mut query = Command::new("dpkg-query");
    query
        .args(["-W", "-f", "${Package} ${Version}\n"])
        .args(programs.iter().map(|program| program.package()));
    let output = query
        .output()
        .map(|output| output.stdout)
        .unwrap_or_default();
    let pairs = String::from_utf8_lossy(&output);
    pairs
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, version)| (name.into(), version.into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_is_recognised_by_its_cpuinfo() {
        let emulated =
            "processor\t: 0\nmodel name\t: QEMU TCG CPU version 2.5+\nflags\t\t: fpu hypervisor\n";
        let virtual_machine = "model name\t: Intel(R) Xeon(R)\nflags\t\t: fpu hypervisor lahf_lm\n";
        let real = "model name\t: Intel(R) Xeon(R)\nflags\t\t: fpu lahf_lm\n";
        assert_eq!(Machine::recognise(emulated), Machine::Emulated);
        assert_eq!(Machine::recognise(virtual_machine), Machine::Virtual);
        assert_eq!(Machine::recognise(real), Machine::Real);
    }

    #[test]
    fn digest_is_that_of_the_contents() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty\nfile");
        fs::write(&path, "").unwrap();
        assert_eq!(
            digest(&path).unwrap(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert!(digest(&dir.path().join("missing")).is_err());
    }

    #[test]
    fn running_system_tells_its_conditions() {
        let conditions = Conditions::read(&[App::Xz]).unwrap();
        assert!(
            conditions.memory_kib > 0
                && !conditions.kernel.is_empty()
                && !conditions.cpus.is_empty()
        );
    }
}
