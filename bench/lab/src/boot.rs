// SPDX-License-Identifier: GPL-2.0
//! One machine under QEMU in the recipe that repeats bit for bit: one host thread for all vCPUs, a clock that counts
//! instructions, a fixed seed and date. The host's load changes how long it takes and nothing else.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{anyhow, Context, Result};
use bench_record::counts::Counts;
use bench_record::report::Report;
use guest_runner::console;
use guest_runner::process::{self, End};

use crate::join::{self, Joined};
use crate::machines::{Machine, Root};
use crate::progress::{Line, Progress};
use crate::store;

/// How often the console of a running machine is read.
const GLANCE: Duration = Duration::from_secs(1);

/// What is booted, and with what.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    /// The kernel.
    pub(crate) kernel: PathBuf,
    /// Its System.map.
    pub(crate) map: PathBuf,
    /// Its configuration.
    pub(crate) config: PathBuf,
    /// The hash of what it was made of.
    pub(crate) sources: PathBuf,
    /// The guest program.
    pub(crate) init: PathBuf,
    /// The tools.
    pub(crate) lwkctl: PathBuf,
    /// The launcher.
    pub(crate) yod: PathBuf,
    /// A static busybox.
    pub(crate) busybox: PathBuf,
    /// An archive with real programs.
    pub(crate) programs: PathBuf,
    /// The emulator.
    pub(crate) qemu: PathBuf,
    /// The plugin that counts.
    pub(crate) counter: PathBuf,
    /// The compiler of the guest program, for its version.
    pub(crate) rustc: PathBuf,
}

/// A boot of a machine.
#[derive(Debug, Clone)]
pub(crate) struct Boot {
    /// The machine.
    pub(crate) machine: Machine,
    /// What its files are called.
    pub(crate) name: String,
    /// The benchmarks that run; none for all.
    pub(crate) benches: Vec<String>,
    /// Which phase of the clock.
    pub(crate) phase: usize,
    /// How finely it counts.
    pub(crate) grain: Grain,
}

/// How finely the counter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grain {
    /// By vCPU.
    Totals,
    /// By function and call stack, too, which takes longer.
    Stacks,
}

/// What one machine left.
pub(crate) struct Left {
    pub(crate) report: Report,
    pub(crate) joined: Joined,
    pub(crate) complaints: Vec<String>,
}

/// A boot line cannot be longer (COMMAND_LINE_SIZE of x86).
const MAX_BOOT_LINE: usize = 2047;

impl Boot {
    /// All of a machine.
    pub(crate) fn all_of(machine: Machine, phase: usize) -> Self {
        Self {
            machine,
            name: machine.name.to_owned(),
            benches: Vec::new(),
            phase,
            grain: Grain::Totals,
        }
    }

    /// A file of this boot.
    fn path(&self, out: &Path, kind: &str) -> PathBuf {
        out.join(format!("{}.{kind}", self.name))
    }

    /// The command line.
    pub(crate) fn command(&self, files: &Files, out: &Path) -> Command {
        let file = |kind| self.path(out, kind).display().to_string();
        let machine = &self.machine;
        let mut command = Command::new(&files.qemu);
        command.args(["-accel", "tcg,thread=single", "-cpu", "max"]);
        command.args(["-icount", "shift=0,sleep=off", "-seed", "1"]);
        command.args(["-rtc", "base=2020-01-01,clock=vm"]);
        command.args(["-no-reboot", "-nodefaults", "-no-user-config"]);
        command.args(["-display", "none", "-monitor", "none"]);
        process::add_topology(
            &mut command,
            machine.cpus,
            1,
            machine.nodes,
            machine.memory_mib,
        );
        // The guest has it count time, for points at which QEMU may go on to another CPU.
        command.args(["-device", "i6300esb"]);
        command.args(["-serial", &format!("file:{}", file("console"))]);
        // With an eventfd QEMU's main loop does the port's work whenever the host lets it, and no two runs are equal.
        command.args(["-device", "virtio-serial-pci,ioeventfd=off", "-chardev"]);
        command.arg(format!("file,id=lab,path={}", file("report.json")));
        command.args(["-device", "virtserialport,chardev=lab,name=lab"]);
        let stacks = match self.grain {
            Grain::Totals => "off",
            Grain::Stacks => "on",
        };
        command.arg("-plugin").arg(format!(
            "{},out={},map={},stacks={stacks}",
            files.counter.display(),
            file("counts.json"),
            files.map.display()
        ));
        command.arg("-kernel").arg(&files.kernel);
        command.arg("-initrd").arg(initrd(out, machine.root));
        command.args(["-append", &machine.boot_line(&self.benches, self.phase)]);
        command
    }

    /// Runs the machine to its end and reads what it left.
    pub(crate) fn run(&self, files: &Files, out: &Path, progress: &Progress) -> Result<Left> {
        let line = self.machine.boot_line(&self.benches, self.phase);
        anyhow::ensure!(
            line.len() <= MAX_BOOT_LINE,
            "a boot line of {} letters: the kernel takes {MAX_BOOT_LINE}",
            line.len()
        );
        let [log, report, counts] =
            ["console", "report.json", "counts.json"].map(|kind| self.path(out, kind));
        remove(&[&log, &report, &counts])?;
        let mut command = self.command(files, out);
        let text = process::command_text(&command) + "\n";
        store::write(&self.path(out, "command"), &text)?;
        let suites = self.machine.suites.join(", ");
        let what = format!("{} CPUs: {suites}", self.machine.cpus);
        let mut line = progress.begin(&self.name, &what);
        let mut looked = Instant::now();
        let limit = Duration::from_secs(self.machine.limit_s);
        let end = process::run(&mut command, limit, || look(&log, &mut looked, &mut line));
        let seconds = line.end().as_secs();
        let end = end?;
        progress.say(&format!("# {}: {end}, {seconds} s", self.name));
        let text = read_lossy(&log);
        let complaints: Vec<_> = console::scan(&text)
            .iter()
            .map(ToString::to_string)
            .collect();
        let left = match end {
            End::PoweredOff => self.read(&report, &counts),
            _ => Err(anyhow!("it did not power off: {end}")),
        };
        let (report, joined) = left.with_context(|| {
            let tail = console::tail(&text, 15);
            format!(
                "{}\n{tail}the log is {}",
                complaints.join("\n"),
                log.display()
            )
        })?;
        Ok(Left {
            report,
            joined,
            complaints,
        })
    }

    /// Reads the report and the counts of a machine that ended.
    fn read(&self, report: &Path, counts: &Path) -> Result<(Report, Joined)> {
        let text =
            |path: &Path| std::fs::read_to_string(path).with_context(|| path.display().to_string());
        let report: Report = serde_json::from_str(&text(report)?).context("the guest's report")?;
        let counts: Counts = serde_json::from_str(&text(counts)?).context("the counts")?;
        let joined = join::join(self.machine.name, &report, &counts)?;
        Ok((report, joined))
    }
}

/// The root file system of a kind of machine.
pub(crate) fn initrd(out: &Path, root: Root) -> PathBuf {
    out.join(match root {
        Root::Tools => "tools.cpio",
        Root::Programs => "programs.cpio",
    })
}

/// Removes files of an earlier run, which must never pass for this one's.
fn remove(files: &[&Path]) -> Result<()> {
    for file in files {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| file.display().to_string());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Shows the last line of the console, now and then: the guest program names its benchmarks there.
fn look(log: &Path, looked: &mut Instant, line: &mut Line) {
    if looked.elapsed() < GLANCE {
        return;
    }
    *looked = Instant::now();
    let text = last_bytes(log, 4096).unwrap_or_default();
    let mut lines = text.lines().rev().map(str::trim);
    line.show(lines.find(|line| !line.is_empty()));
}

/// The end of a file that grows.
fn last_bytes(path: &Path, nr: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(nr)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads a log; one that QEMU never made is empty.
fn read_lossy(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machines::MACHINES;
    use crate::sample;

    /// Files that do not exist, except for a fake emulator that does `script`.
    fn fake(folder: &Path, script: &str) -> Files {
        let path = |name: &str| folder.join(name);
        let qemu = path("qemu");
        std::fs::write(&qemu, format!("#!/bin/sh\n{script}\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&qemu, mode).unwrap();
        std::fs::write(path("config"), "").unwrap();
        std::fs::write(path("sources"), "").unwrap();
        Files {
            kernel: path("kernel"),
            map: path("map"),
            config: path("config"),
            sources: path("sources"),
            init: path("init"),
            lwkctl: path("lwkctl"),
            yod: path("yod"),
            busybox: path("busybox"),
            programs: path("programs"),
            rustc: qemu.clone(),
            qemu,
            counter: path("counter"),
        }
    }

    /// Boots the first machine with a fake emulator; `FILE.` in the script stands for the machine's files.
    fn boot_fake(script: &str) -> Result<Left> {
        let folder = tempfile::tempdir().unwrap();
        let machine = &MACHINES[0];
        let base = folder.path().join(format!("{}.", machine.name));
        let json = [
            serde_json::to_string(&sample::report()).unwrap(),
            serde_json::to_string(&sample::counts()).unwrap(),
        ];
        for (name, text) in ["report", "counts"].iter().zip(&json) {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let script = script.replace("FILE.", &base.display().to_string());
        let script = format!("cd {}\n{script}", folder.path().display());
        let files = fake(folder.path(), &script);
        Boot::all_of(*machine, 0).run(&files, folder.path(), &Progress::new())
    }

    const WRITE: &str = "cp report FILE.report.json; cp counts FILE.counts.json";

    #[test]
    fn what_a_machine_left_is_joined() {
        let left = boot_fake(&format!("echo fine >FILE.console; {WRITE}")).unwrap();
        assert!(left.complaints.is_empty());
        assert_eq!(left.joined.rows.len(), 5);
    }

    #[test]
    fn complaints_of_the_kernel_are_kept() {
        let left = boot_fake(&format!("echo 'BUG: x' >FILE.console; {WRITE}")).unwrap();
        assert_eq!(left.complaints.len(), 1);
    }

    #[test]
    fn machines_that_fail_or_leave_nothing_are_errors() {
        let error = |script: &str| match boot_fake(script) {
            Ok(_) => panic!("{script} went well"),
            Err(error) => format!("{error:#}"),
        };
        assert!(error("echo last words >FILE.console; exit 3").contains("last words"));
        assert!(error("exit 3").contains("QEMU ended with 3"));
        assert!(error("true").contains("report.json"));
        assert!(error("cp report FILE.report.json").contains("counts.json"));
    }

    #[test]
    fn command_line_is_the_deterministic_recipe() {
        let folder = tempfile::tempdir().unwrap();
        let files = fake(folder.path(), "");
        let boot = Boot::all_of(MACHINES[0], 0);
        let text = process::command_text(&boot.command(&files, Path::new("out")));
        for words in [
            "-accel tcg,thread=single",
            "-icount shift=0,sleep=off -seed 1",
            "-rtc base=2020-01-01,clock=vm",
            "virtio-serial-pci,ioeventfd=off",
            "-device i6300esb",
            "name=lab",
            "/counter,out=out/noise.counts.json,map=",
            "/map,stacks=off",
        ] {
            assert!(text.contains(words), "{words} in {text}");
        }
    }
}
