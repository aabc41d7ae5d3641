// SPDX-License-Identifier: GPL-2.0
//! One machine of the tests under QEMU's TCG.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use guest_runner::process::{self, End};

use crate::boots::{Boot, Threads, Tsc};
use crate::replay;

/// What every guest boots with. The lockup watchdogs stay on: they find bugs, and keeping them off LWK CPUs is the
/// kernel's work. A warning is a panic, as it is on machines that others depend on; a panic resets the machine at once,
/// which `-no-reboot` makes the end.
const APPEND: &str = "console=ttyS0 panic=-1 panic_on_warn=1";

/// TCG has no invariant TSC, which this stands in for.
const TRUSTED: &str = "tsc=reliable";

/// A machine to run.
pub(crate) struct Machine<'a> {
    pub(crate) qemu: &'a Path,
    pub(crate) kernel: &'a Path,
    pub(crate) initramfs: &'a Path,
    pub(crate) boot: &'a Boot,
    pub(crate) case: Option<&'a str>,
    pub(crate) append: &'a str,
    /// What stands at the end of the boot line and overrides what stands before.
    pub(crate) last: &'a str,
    pub(crate) factor: u32,
    pub(crate) console: PathBuf,
    pub(crate) report: PathBuf,
}

impl Machine<'_> {
    /// The whole command line, which can be run by hand.
    pub(crate) fn command(&self) -> Command {
        let boot = self.boot;
        let mut command = Command::new(self.qemu);
        command.args([
            "-accel",
            match boot.threads {
                Threads::Multi => "tcg,thread=multi",
                Threads::Single => "tcg,thread=single",
            },
            "-cpu",
            "max",
            "-no-reboot",
            "-nodefaults",
            "-no-user-config",
        ]);
        command.args(["-display", "none", "-monitor", "none"]);
        process::add_topology(
            &mut command,
            boot.cpus,
            boot.threads_a_core,
            boot.nodes,
            boot.memory_mib,
        );
        command.args(["-serial", &format!("file:{}", self.console.display())]);
        command.args(["-device", "virtio-serial-pci", "-chardev"]);
        command.arg(format!("file,id=ktap,path={}", self.report.display()));
        command.args(["-device", "virtserialport,chardev=ktap,name=ktap"]);
        if boot.disk_mib > 0 {
            let disk = self.disk();
            let file = format!(
                "file={},format=raw,if=none,id=disk,cache=unsafe",
                disk.display()
            );
            command.args(["-drive", &file, "-device", "virtio-blk-pci,drive=disk"]);
        }
        // A driver that spreads its interrupts anew whenever a CPU comes on line.
        command.args(["-device", "virtio-net-pci"]);
        command
            .arg("-kernel")
            .arg(self.kernel)
            .arg("-initrd")
            .arg(self.initramfs);
        command.args(["-append", &self.append()]);
        command
    }

    /// Where the disk is, if there is one.
    fn disk(&self) -> PathBuf {
        self.console.with_extension("disk")
    }

    /// Runs it with a new disk, if it has one.
    fn run_with_disk(&self, limit: Duration) -> Result<End> {
        let disk = self.disk();
        let text = || disk.display().to_string();
        let file = File::create(&disk).with_context(text)?;
        file.set_len(u64::from(self.boot.disk_mib) << 20)
            .with_context(text)?;
        let end = process::run(&mut self.command(), limit, || {});
        std::fs::remove_file(&disk).with_context(text)?;
        end
    }

    fn append(&self) -> String {
        let case = self
            .case
            .map(|case| format!("lwktest.case={case}"))
            .unwrap_or_default();
        let words = [
            APPEND,
            match self.boot.tsc {
                Tsc::Trusted => TRUSTED,
                Tsc::Watched => "",
            },
            self.boot.append,
            self.append,
            &format!("lwktest.suite={}", self.boot.suite),
            &case,
            &format!("lwktest.factor={}", self.factor),
            self.last,
        ];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        words.join(" ")
    }

    /// Runs it to its end or for as long as it may take.
    pub(crate) fn run(&self) -> Result<End> {
        for old in [&self.console, &self.report] {
            // A report of an earlier run must never pass for this one's.
            match std::fs::remove_file(old) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| old.display().to_string());
                }
                _ => {}
            }
        }
        let limit = Duration::from_secs(u64::from(self.boot.limit_s)) * self.factor;
        let limit = limit + replay::asked_time(&self.append());
        if self.boot.disk_mib > 0 {
            return self.run_with_disk(limit);
        }
        process::run(&mut self.command(), limit, || {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guest_runner::process::command_text;

    fn text_of(boot: &Boot) -> String {
        let path = Path::new("x");
        let (console, report) = (path.to_owned(), path.to_owned());
        let machine = Machine {
            qemu: path,
            kernel: path,
            initramfs: path,
            boot,
            case: None,
            append: "",
            last: "",
            factor: 1,
            console,
            report,
        };
        command_text(&machine.command())
    }

    #[test]
    fn no_machine_outlives_a_warning() {
        for boot in crate::boots::BOOTS {
            let text = text_of(boot);
            assert!(text.contains(" panic=-1 panic_on_warn=1 "), "{text}");
            assert!(text.contains(" -no-reboot "), "{text}");
            assert!(!boot.append.contains("panic"), "{}", boot.name);
        }
    }

    #[test]
    fn nodes_share_cpus_and_memory() {
        let boot = crate::boots::BOOTS
            .iter()
            .find(|b| b.nodes == 2)
            .expect("a boot with two nodes");
        let text = text_of(boot);
        assert!(
            text.contains("nodeid=0,cpus=0-1,memdev=m0")
                && text.contains("nodeid=1,cpus=2-3,memdev=m1"),
            "{text}"
        );
        assert!(text.contains("size=1024M"), "{text}");
        // Linux warns of CPUs that share a cache across nodes.
        assert!(
            text.contains("-smp 4,sockets=2,cores=2,threads=1"),
            "{text}"
        );
    }
}
