// SPDX-License-Identifier: GPL-2.0
//! What the figures depend on besides the programs: the kernel, its configuration, the compilers and the emulator.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{ensure, Context, Result};
use bench_record::report::Report;

/// Beginning of the names of conditions that are boot lines; the machine's name follows.
const BOOT_LINE: &str = "boot line ";

/// Beginning of the names of conditions that say what a guest set up; the place and the machine's name follow.
const TUNING: &str = "tuning ";

/// The condition that names the emulator.
const QEMU: &str = "QEMU";

/// The condition that names what the kernel was made of; `scripts/figures` looks for these words.
const SOURCES: &str = "kernel sources, SHA-256";

/// From here on QEMU takes the vCPU that a block of code was first translated for as the one that runs it.
const CONFUSED_SINCE: u32 = 10;

/// Whether the emulator can count several vCPUs in turns.
///
/// # Errors
///
/// If it cannot, or does not run.
pub(crate) fn can_count(qemu: &Path) -> Result<()> {
    let text = version(qemu)?;
    let number = text.split("version ").nth(1).unwrap_or_default();
    let major = number.split('.').next().unwrap_or_default();
    let major: u32 = major.parse().with_context(|| text.clone())?;
    ensure!(
        major < CONFUSED_SINCE,
        "{text} tells its plugins the wrong virtual CPU; 7.2 to 9.2 count rightly (--qemu PROGRAM)"
    );
    Ok(())
}

/// The machine that a condition is of, if it is not of all.
pub(crate) fn machine(name: &str) -> Option<&str> {
    let of_place = || name.strip_prefix(TUNING)?.rsplit_once(" on ");
    name.strip_prefix(BOOT_LINE)
        .or_else(|| of_place().map(|(_, machine)| machine))
}

/// Conditions of two results that differ, apart from what was set up in the guests and from the kernel's sources, which
/// are what is compared: whatever they are, the counts may differ for them.
pub(crate) fn differing(
    base: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut lines = Vec::new();
    let is_common = |name: &str| machine(name).is_none() && name != SOURCES;
    for (name, value) in now.iter().filter(|(name, _)| is_common(name)) {
        let old = base.get(name).map_or("nothing", String::as_str);
        if old != value {
            lines.push(format!("{name}: {value} (baseline: {old})"));
        }
    }
    lines
}

/// Reads what holds for all machines.
pub(crate) fn read(
    config: &Path,
    sources: &Path,
    qemu: &Path,
    rustc: &Path,
) -> Result<BTreeMap<String, String>> {
    let name = || config.display().to_string();
    let text = std::fs::read_to_string(config).with_context(name)?;
    let compiler = |option| {
        let value = option_text(&text, option).unwrap_or("unknown");
        value.to_owned()
    };
    let made_of = std::fs::read_to_string(sources).with_context(|| {
        let name = sources.display();
        format!("{name}, which the build of the kernel leaves: make kernel")
    })?;
    let lines = [
        (SOURCES, made_of.trim().to_owned()),
        ("kernel configuration, SHA-256", digest(config)?),
        (
            "C compiler of the kernel",
            compiler("CONFIG_CC_VERSION_TEXT"),
        ),
        (
            "Rust compiler of the kernel",
            compiler("CONFIG_RUSTC_VERSION_TEXT"),
        ),
        ("Rust compiler of the programs", version(rustc)?),
        (QEMU, version(qemu)?),
    ];
    Ok(lines.map(|(name, value)| (name.to_owned(), value)).into())
}

/// Adds what a guest said of itself.
///
/// # Errors
///
/// If two guests had different kernels.
pub(crate) fn add(
    conditions: &mut BTreeMap<String, String>,
    machine: &str,
    report: &Report,
) -> Result<()> {
    let known = conditions.insert("kernel".to_owned(), report.kernel.clone());
    ensure!(
        known.as_ref().is_none_or(|known| *known == report.kernel),
        "{machine} ran kernel {} where others ran {}",
        report.kernel,
        known.unwrap_or_default()
    );
    conditions.insert(format!("{BOOT_LINE}{machine}"), report.boot_line.clone());
    for site in report.sites.iter().filter(|site| !site.tuning.is_empty()) {
        let name = format!("{TUNING}{} on {machine}", site.place.name());
        conditions.insert(name, site.tuning.join("; "));
    }
    Ok(())
}

/// The value of a text option of a kernel configuration.
fn option_text<'a>(config: &'a str, option: &str) -> Option<&'a str> {
    let values = config.lines().filter_map(|line| line.split_once('='));
    let mut values = values.filter(|(name, _)| *name == option);
    values.next().map(|(_, value)| value.trim_matches('"'))
}

/// The first line that a program says of its version.
fn version(program: &Path) -> Result<String> {
    let name = || format!("{} --version", program.display());
    let output = Command::new(program).arg("--version").output();
    let output = output.with_context(name)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().with_context(name)?;
    Ok(line.to_owned())
}

/// The SHA-256 of a file.
fn digest(path: &Path) -> Result<String> {
    let output = Command::new("sha256sum").arg(path).output();
    let output = output.context("sha256sum")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let digest = text.split_whitespace().next().unwrap_or_default();
    ensure!(
        output.status.success() && digest.len() == 64,
        "sha256sum {}: {}",
        path.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(digest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn configuration_tells_digest_and_compilers() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config");
        std::fs::write(
            &config,
            "CONFIG_CC_VERSION_TEXT=\"clang 19\"\n# CONFIG_X is not set\n",
        )
        .unwrap();
        let sources = folder.path().join("sources");
        std::fs::write(&sources, "0123\n").unwrap();
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let rustc = Path::new(&rustc);
        let found = read(&config, &sources, rustc, rustc).unwrap();
        assert_eq!(found[SOURCES], "0123");
        assert_eq!(found["C compiler of the kernel"], "clang 19");
        assert_eq!(found["Rust compiler of the kernel"], "unknown");
        assert_eq!(found["kernel configuration, SHA-256"].len(), 64);
        assert!(found["Rust compiler of the programs"].starts_with("rustc "));
        let none = folder.path().join("none");
        assert!(read(&none, &sources, rustc, rustc).is_err());
        assert!(read(&config, &none, rustc, rustc).is_err());
    }

    #[test]
    fn differences_in_the_tools_are_told_and_those_in_what_is_compared_are_not() {
        let base = [("QEMU", "7.2"), ("boot line quick", "a"), (SOURCES, "k")];
        let now = [("QEMU", "8.0"), ("boot line quick", "b"), (SOURCES, "l")];
        let [base, now] =
            [base, now].map(|all| all.map(|(name, text)| (name.to_owned(), text.to_owned())));
        let (base, now) = (base.into(), now.into());
        assert_eq!(differing(&base, &now), ["QEMU: 8.0 (baseline: 7.2)"]);
        assert!(differing(&base, &base).is_empty());
    }

    #[test]
    fn qemus_that_confuse_vcpus_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        for (version, is_good) in [
            ("7.2.22 (Debian)", true),
            ("9.2.0", true),
            ("10.0.2", false),
        ] {
            let qemu = folder.path().join(version.split('.').next().unwrap());
            let text = format!("#!/bin/sh\necho 'QEMU emulator version {version}'\n");
            std::fs::write(&qemu, text).unwrap();
            std::fs::set_permissions(&qemu, PermissionsExt::from_mode(0o755)).unwrap();
            assert_eq!(can_count(&qemu).is_ok(), is_good, "{version}");
        }
    }

    #[test]
    fn guests_of_one_run_must_have_one_kernel() {
        let mut conditions = BTreeMap::new();
        let mut report = sample::report();
        add(&mut conditions, "micro", &report).unwrap();
        add(&mut conditions, "noise", &report).unwrap();
        assert_eq!(conditions["boot line noise"], "lwkcpus=0.5-6");
        report.kernel.push('x');
        assert!(add(&mut conditions, "quick", &report).is_err());
    }
}
