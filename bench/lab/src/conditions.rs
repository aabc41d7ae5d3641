// SPDX-License-Identifier: GPL-2.0
//! What the figures depend on besides the programs: the kernel, its configuration, the compilers and the emulator.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{ensure, Context, Result};
use bench_record::report::Report;

/// Beginning of the names of conditions that are boot lines; the machine's name follows.
pub(crate) const BOOT_LINE: &str = "boot line ";

/// Reads what holds for all machines.
pub(crate) fn read(config: &Path, qemu: &Path, rustc: &Path) -> Result<BTreeMap<String, String>> {
    let name = || config.display().to_string();
    let text = std::fs::read_to_string(config).with_context(name)?;
    let compiler = |option| {
        let value = option_text(&text, option).unwrap_or("unknown");
        value.to_owned()
    };
    let lines = [
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
        ("QEMU", version(qemu)?),
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
        let name = format!("tuning {} on {machine}", site.place.name());
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
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let rustc = Path::new(&rustc);
        let found = read(&config, rustc, rustc).unwrap();
        assert_eq!(found["C compiler of the kernel"], "clang 19");
        assert_eq!(found["Rust compiler of the kernel"], "unknown");
        assert_eq!(found["kernel configuration, SHA-256"].len(), 64);
        assert!(found["Rust compiler of the programs"].starts_with("rustc "));
        assert!(read(&folder.path().join("none"), rustc, rustc).is_err());
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
