// SPDX-License-Identifier: GPL-2.0
//! Boots machines under QEMU in the recipe that repeats bit for bit, and makes results of what they leave.
//!
//! The recipe: one host thread for all vCPUs, a clock that counts instructions, a fixed seed and date. The host's load
//! changes how long it takes and nothing else.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure, Context, Result};
use bench_record::counts::Counts;
use bench_record::report::Report;
use bench_record::results::{Kind, Results, SCHEMA};
use guest_runner::process::{self, End};
use guest_runner::{console, initramfs};

use crate::attribution::Attribution;
use crate::join::{self, Joined};
use crate::machines::{Machine, Root};
use crate::progress::{Line, Progress};
use crate::tally::Tally;
use crate::{conditions, store};

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

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// With what.
    pub(crate) files: &'a Files,
    /// Which machines.
    pub(crate) machines: &'a [Machine],
    /// Where logs and results go.
    pub(crate) out: &'a Path,
    /// How many machines run at once.
    pub(crate) jobs: usize,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The results.
    pub(crate) results: Results,
    /// Where the instructions went.
    pub(crate) attributions: Vec<Attribution>,
}

/// What one machine left.
struct Left {
    report: Report,
    joined: Joined,
    complaints: Vec<String>,
}

/// The command line of one machine.
pub(crate) fn command(plan: &Plan<'_>, machine: &Machine) -> Command {
    let files = plan.files;
    let file = |kind| paths(plan.out, machine, kind).display().to_string();
    let mut command = Command::new(&files.qemu);
    command.args(["-accel", "tcg,thread=single", "-cpu", "max"]);
    command.args(["-icount", "shift=0,sleep=off", "-seed", "1"]);
    command.args(["-rtc", "base=2020-01-01,clock=vm"]);
    command.args(["-no-reboot", "-nodefaults", "-no-user-config"]);
    command.args(["-display", "none", "-monitor", "none"]);
    process::add_topology(
        &mut command,
        machine.cpus,
        machine.nodes,
        machine.memory_mib,
    );
    command.args(["-serial", &format!("file:{}", file("console"))]);
    command.args(["-device", "virtio-serial-pci", "-chardev"]);
    command.arg(format!("file,id=lab,path={}", file("report.json")));
    command.args(["-device", "virtserialport,chardev=lab,name=lab"]);
    command.arg("-plugin").arg(format!(
        "{},out={},map={}",
        files.counter.display(),
        file("counts.json"),
        files.map.display()
    ));
    command.arg("-kernel").arg(&files.kernel);
    command.arg("-initrd").arg(initrd(plan.out, machine.root));
    command.args(["-append", &machine.boot_line()]);
    command
}

/// A file of one machine.
fn paths(out: &Path, machine: &Machine, kind: &str) -> PathBuf {
    out.join(format!("{}.{kind}", machine.name))
}

/// The root file system of a kind of machine.
fn initrd(out: &Path, root: Root) -> PathBuf {
    out.join(match root {
        Root::Tools => "tools.cpio",
        Root::Programs => "programs.cpio",
    })
}

/// Runs all machines and joins what they left; what went wrong with one of them is told to the tally.
pub(crate) fn run(plan: &Plan<'_>, tally: &mut Tally) -> Result<Outcome> {
    let (name, files) = (plan.out.display(), plan.files);
    std::fs::create_dir_all(plan.out).with_context(|| format!("cannot make {name}"))?;
    ensure!(
        files.kernel.is_file(),
        "{} is not there; make kernel",
        files.kernel.display()
    );
    pack(plan)?;
    let mut outcome = Outcome {
        results: Results {
            schema: SCHEMA,
            kind: Kind::Counted,
            conditions: conditions::read(&files.config, &files.qemu, &files.rustc)?,
            rows: Vec::new(),
        },
        attributions: Vec::new(),
    };
    for (machine, left) in plan.machines.iter().zip(boot_all(plan)) {
        match left {
            Ok(left) => take(&mut outcome, machine, left, tally)?,
            Err(error) => tally.fail(machine.name, &format!("{error:#}")),
        }
    }
    store::sort(&mut outcome.results.rows)?;
    Ok(outcome)
}

/// Adds what one machine left to the results.
fn take(outcome: &mut Outcome, machine: &Machine, mut left: Left, tally: &mut Tally) -> Result<()> {
    if left.complaints.is_empty() {
        tally.pass();
    }
    for complaint in &left.complaints {
        tally.fail(&format!("{}: kernel log", machine.name), complaint);
    }
    for row in &left.joined.rows {
        match join::failure(row) {
            Some(reason) => tally.fail(&store::row_text(row), reason),
            None => tally.pass(),
        }
    }
    conditions::add(&mut outcome.results.conditions, machine.name, &left.report)?;
    outcome.results.rows.append(&mut left.joined.rows);
    outcome.attributions.append(&mut left.joined.attributions);
    Ok(())
}

/// Packs the root file systems that are needed.
fn pack(plan: &Plan<'_>) -> Result<()> {
    let files = plan.files;
    let programs = [
        ("init", files.init.as_path()),
        ("bin/lwkctl", &files.lwkctl),
        ("bin/yod", &files.yod),
        ("bin/busybox", &files.busybox),
    ];
    let tools = initrd(plan.out, Root::Tools);
    initramfs::write(&tools, &programs)?;
    if plan
        .machines
        .iter()
        .any(|machine| machine.root == Root::Programs)
    {
        // The kernel unpacks archives one behind the other; each begins at a multiple of four bytes.
        let archive = |path: &Path| std::fs::read(path).with_context(|| path.display().to_string());
        let mut both = archive(&tools)?;
        both.resize(both.len().next_multiple_of(4), 0);
        both.extend(archive(&files.programs).context("run scripts/bench-rootfs first")?);
        let path = initrd(plan.out, Root::Programs);
        std::fs::write(&path, both).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Boots all machines, several at once; returns what they left in the order of the plan.
fn boot_all(plan: &Plan<'_>) -> Vec<Result<Left>> {
    let (next, progress) = (AtomicUsize::new(0), Progress::new());
    let work = || {
        let mut done = Vec::new();
        // ORDERING: Nothing else depends on the number.
        while let Some(machine) = plan.machines.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((machine.name, boot(plan, machine, &progress)));
        }
        done
    };
    let mut left: BTreeMap<&str, Result<Left>> = BTreeMap::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..plan.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            // One that panicked leaves its machines without an entry, which is an error below.
            left.extend(worker.join().unwrap_or_default());
        }
    });
    let names = plan.machines.iter().map(|machine| machine.name);
    names
        .map(|name| {
            left.remove(name)
                .unwrap_or_else(|| Err(anyhow!("its thread died")))
        })
        .collect()
}

/// Runs one machine to its end and reads what it left.
fn boot(plan: &Plan<'_>, machine: &Machine, progress: &Progress) -> Result<Left> {
    let kinds = ["console", "report.json", "counts.json"];
    let [log, report, counts] = kinds.map(|kind| paths(plan.out, machine, kind));
    for old in [&log, &report, &counts] {
        // What an earlier run left must never pass for this one's.
        match std::fs::remove_file(old) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| old.display().to_string());
            }
            _ => {}
        }
    }
    let mut command = command(plan, machine);
    let command_file = paths(plan.out, machine, "command");
    store::write(&command_file, &(process::command_text(&command) + "\n"))?;
    let suites = machine.suites.join(", ");
    let mut line = progress.begin(machine.name, &format!("{} CPUs: {suites}", machine.cpus));
    let mut looked = Instant::now();
    let limit = Duration::from_secs(machine.limit_s);
    let end = process::run(&mut command, limit, || look(&log, &mut looked, &mut line));
    let seconds = line.end().as_secs();
    let end = end?;
    progress.say(&format!("# {}: {end}, {seconds} s", machine.name));
    let text = read_lossy(&log);
    let complaints: Vec<_> = console::scan(&text)
        .iter()
        .map(ToString::to_string)
        .collect();
    let left = match end {
        End::PoweredOff => read(machine, &report, &counts),
        _ => Err(anyhow!("it did not power off: {end}")),
    };
    let (report, joined) = left.with_context(|| {
        let tail = console::tail(&text, 15);
        format!(
            "{}\n{}the log is {}",
            complaints.join("\n"),
            tail,
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
fn read(machine: &Machine, report: &Path, counts: &Path) -> Result<(Report, Joined)> {
    let text =
        |path: &Path| std::fs::read_to_string(path).with_context(|| path.display().to_string());
    let report: Report = serde_json::from_str(&text(report)?).context("the guest's report")?;
    let counts: Counts = serde_json::from_str(&text(counts)?).context("the counts")?;
    let joined = join::join(machine.name, &report, &counts)?;
    Ok((report, joined))
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
        Files {
            kernel: path("kernel"),
            map: path("map"),
            config: path("config"),
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
        let plan = Plan {
            files: &files,
            machines: &MACHINES[..1],
            out: folder.path(),
            jobs: 1,
        };
        boot(&plan, machine, &Progress::new())
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
        let plan = Plan {
            files: &files,
            machines: &MACHINES[..1],
            out: Path::new("out"),
            jobs: 1,
        };
        let text = process::command_text(&command(&plan, &MACHINES[0]));
        for words in [
            "-accel tcg,thread=single",
            "-icount shift=0,sleep=off -seed 1",
            "-rtc base=2020-01-01,clock=vm",
            "name=lab",
            "/counter,out=out/noise.counts.json,map=",
        ] {
            assert!(text.contains(words), "{words} in {text}");
        }
    }
}
