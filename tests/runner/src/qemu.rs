// SPDX-License-Identifier: GPL-2.0
//! Runs one machine under QEMU's TCG from start to power-off.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::boots::Boot;

/// What every guest boots with. The lockup watchdogs stay on: they find bugs, and keeping them off LWK CPUs is the
/// kernel's work. TCG has no invariant TSC, which `tsc=reliable` stands in for. A panic resets the machine at once,
/// which `-no-reboot` makes the end.
const APPEND: &str = "console=ttyS0 panic=-1 tsc=reliable";

/// How a machine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// QEMU ended by itself with success: the guest powered off or reset.
    PoweredOff,
    /// QEMU failed.
    Failed(i32),
    /// It was killed because its time was up.
    TimedOut(Duration),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::PoweredOff => f.write_str("powered off"),
            End::Failed(code) => write!(f, "QEMU ended with {code}"),
            End::TimedOut(limit) => write!(f, "killed after {} s", limit.as_secs()),
        }
    }
}

/// A machine to run.
pub(crate) struct Machine<'a> {
    pub(crate) qemu: &'a Path,
    pub(crate) kernel: &'a Path,
    pub(crate) initramfs: &'a Path,
    pub(crate) boot: &'a Boot,
    pub(crate) case: Option<&'a str>,
    pub(crate) append: &'a str,
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
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-no-reboot",
            "-nodefaults",
            "-no-user-config",
        ]);
        command.args(["-display", "none", "-monitor", "none"]);
        command.args([
            "-smp",
            &format!(
                "{},sockets={},cores={},threads=1",
                boot.cpus,
                boot.nodes,
                boot.cpus / boot.nodes
            ),
            "-m",
            &format!("{}M", boot.memory_mib),
        ]);
        if boot.nodes > 1 {
            let (memory, cpus) = (boot.memory_mib / boot.nodes, boot.cpus / boot.nodes);
            for node in 0..boot.nodes {
                let (first, last) = (node * cpus, (node + 1) * cpus - 1);
                command.args([
                    "-object",
                    &format!("memory-backend-ram,id=m{node},size={memory}M"),
                ]);
                command.args([
                    "-numa",
                    &format!("node,nodeid={node},cpus={first}-{last},memdev=m{node}"),
                ]);
            }
        }
        command.args(["-serial", &format!("file:{}", self.console.display())]);
        command.args(["-device", "virtio-serial-pci", "-chardev"]);
        command.arg(format!("file,id=ktap,path={}", self.report.display()));
        command.args(["-device", "virtserialport,chardev=ktap,name=ktap"]);
        command
            .arg("-kernel")
            .arg(self.kernel)
            .arg("-initrd")
            .arg(self.initramfs);
        command.args(["-append", &self.append()]);
        command
    }

    fn append(&self) -> String {
        let case = self
            .case
            .map(|case| format!("lwktest.case={case}"))
            .unwrap_or_default();
        let words = [
            APPEND,
            self.boot.append,
            self.append,
            &format!("lwktest.suite={}", self.boot.suite),
            &case,
            &format!("lwktest.factor={}", self.factor),
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
        let child = self.command().stdin(Stdio::null()).spawn();
        let mut guard = Guard(child.with_context(|| format!("starting {}", self.qemu.display()))?);
        let begun = Instant::now();
        loop {
            if let Some(status) = guard.0.try_wait().context("waiting for QEMU")? {
                return Ok(if status.success() {
                    End::PoweredOff
                } else {
                    End::Failed(status.code().unwrap_or(-1))
                });
            }
            if begun.elapsed() > limit {
                return Ok(End::TimedOut(limit));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Kills QEMU when the runner gives up, however it does.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // Both fail only if it has ended and was waited for.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The command as one can paste it into a shell.
pub(crate) fn command_text(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        let arg = arg.to_string_lossy();
        let is_plain = arg
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_=.,:/+".contains(&b));
        text += &if is_plain {
            format!(" {arg}")
        } else {
            format!(" '{}'", arg.replace('\'', r"'\''"))
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_text_quotes_what_a_shell_would_split() {
        let mut command = Command::new("qemu");
        command.args(["-append", "a b='c'", "-m", "1G"]);
        assert_eq!(
            command_text(&command),
            r"qemu -append 'a b='\''c'\''' -m 1G"
        );
    }

    #[test]
    fn nodes_share_cpus_and_memory() {
        let boot = crate::boots::BOOTS
            .iter()
            .find(|b| b.nodes == 2)
            .expect("a boot with two nodes");
        let path = Path::new("x");
        let (console, report) = (path.to_owned(), path.to_owned());
        let machine = Machine {
            qemu: path,
            kernel: path,
            initramfs: path,
            boot,
            case: None,
            append: "",
            factor: 1,
            console,
            report,
        };
        let text = command_text(&machine.command());
        assert!(
            text.contains("nodeid=0,cpus=0-1,memdev=m0")
                && text.contains("nodeid=1,cpus=2-3,memdev=m1"),
            "{text}"
        );
        assert!(text.contains("size=1024M"), "{text}");
        // Linux warns of CPUs that share a cache across nodes.
        assert!(text.contains("-smp 4,sockets=2,cores=2"), "{text}");
    }
}
