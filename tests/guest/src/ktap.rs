// SPDX-License-Identifier: GPL-2.0
//! KTAP version 1 (`Documentation/dev-tools/ktap.rst`) to the virtio port called `ktap`.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// How a case ended.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It did what it should.
    Passed,
    /// It did not, with the reason.
    Failed(String),
    /// It cannot run on this machine, with the reason.
    Skipped(String),
}

/// Where the report goes.
pub(crate) struct Report {
    out: Box<dyn Write>,
    done: usize,
}

impl Report {
    /// Opens the port, or standard output where no host listens (a guest run by hand), and states the plan.
    pub(crate) fn begin(planned: usize) -> Result<Report> {
        let out: Box<dyn Write> = match port() {
            Some(path) => Box::new(
                std::fs::OpenOptions::new()
                    .write(true)
                    .open(&path)
                    .with_context(|| path.display().to_string())?,
            ),
            None => Box::new(std::io::stdout()),
        };
        let mut report = Report { out, done: 0 };
        report.line("KTAP version 1")?;
        report.line(&format!("1..{planned}"))?;
        Ok(report)
    }

    /// Writes one line of explanation for a person.
    pub(crate) fn note(&mut self, text: &str) -> Result<()> {
        self.line(&format!("# {text}"))
    }

    /// Writes the result of the next case.
    pub(crate) fn result(&mut self, name: &str, verdict: &Verdict) -> Result<()> {
        self.done += 1;
        let number = self.done;
        match verdict {
            Verdict::Passed => self.line(&format!("ok {number} {name}")),
            Verdict::Skipped(why) => {
                self.line(&format!("ok {number} {name} # SKIP {}", one_line(why)))
            }
            Verdict::Failed(why) => {
                for line in why.lines() {
                    self.note(line)?;
                }
                self.line(&format!("not ok {number} {name}"))
            }
        }
    }

    /// One write per line, so that what came before a crash is whole.
    fn line(&mut self, text: &str) -> Result<()> {
        self.out
            .write_all(format!("{text}\n").as_bytes())
            .context("writing KTAP")?;
        self.out.flush().context("writing KTAP")
    }
}

fn one_line(text: &str) -> String {
    text.replace('\n', "; ")
}

/// The device node of the port, from the name that QEMU gave it.
fn port() -> Option<PathBuf> {
    for entry in std::fs::read_dir("/sys/class/virtio-ports").ok()?.flatten() {
        let name = std::fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        if name.trim() == "ktap" {
            return Some(PathBuf::from("/dev").join(entry.file_name()));
        }
    }
    None
}

/// Writes to the kernel log, so that its own complaints can be told apart by case.
pub(crate) fn kernel_log(text: &str) {
    if let Ok(mut log) = File::options().write(true).open("/dev/kmsg") {
        // A lost marker costs a reader some orientation, never a result.
        drop(log.write_all(format!("<6>lwktest: {text}\n").as_bytes()));
    }
}
