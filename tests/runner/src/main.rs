// SPDX-License-Identifier: GPL-2.0
//! Boots the guest tests in QEMU and judges them.
//!
//! [`boots`] is the table of machines, [`guest_runner::initramfs`] packs what they boot from, [`qemu`] describes one of
//! them, [`ktap`] reads its report and [`guest_runner::console`] searches its kernel log for complaints. A case passes only if the guest said so
//! and the kernel had nothing to complain about; whatever is missing is a failure.
#![forbid(unsafe_code)]

mod boots;
mod ktap;
mod qemu;
mod replay;
mod tally;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{anyhow, bail, ensure, Context, Result};
use clap::Parser;

use guest_runner::{console, initramfs, process, races};

use boots::{Boot, Threads, BOOTS};
use tally::Tally;

/// More CPUs than that the debug kernel takes half an hour to bring up; named machines are booted all the same.
const DEBUG_MAX_CPUS: u32 = 8;

/// How much slower the debug kernel is than the production one.
const DEBUG_FACTOR: u32 = 6;

/// How much slower the kernel that looks for data races is.
const RACE_FACTOR: u32 = 4;

/// Added last to the boot line of that kernel: a race of Linux itself must not end the run.
const RACE_APPEND: &str = "panic_on_warn=0";

/// How often a machine is booted that the emulator breaks; the last time it is judged like any other.
const ATTEMPTS: u32 = 3;

/// Runs the guest tests: boots machines under QEMU without KVM, reads their reports, searches their kernel logs.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The kernel to boot
    #[arg(long, value_name = "PATH", default_value = "build/bzImage")]
    kernel: PathBuf,
    /// The static guest-tests program, which becomes /init
    #[arg(long, value_name = "PATH")]
    init: PathBuf,
    /// The static lwkctl
    #[arg(long, value_name = "PATH", default_value = "build/bin/lwkctl")]
    lwkctl: PathBuf,
    /// The static yod
    #[arg(long, value_name = "PATH", default_value = "build/bin/yod")]
    yod: PathBuf,
    /// A static busybox
    #[arg(long, value_name = "PATH", default_value = "/bin/busybox")]
    busybox: PathBuf,
    /// The QEMU to run
    #[arg(long, value_name = "PROGRAM", default_value = "qemu-system-x86_64")]
    qemu: PathBuf,
    /// Only this boot or suite; may be given several times
    #[arg(long, value_name = "NAME")]
    suite: Vec<String>,
    /// Only cases whose name contains this
    #[arg(long, value_name = "TEXT")]
    case: Option<String>,
    /// Words to add to every kernel command line
    #[arg(long, value_name = "WORDS", default_value = "")]
    append: String,
    /// The kernel is the debug build: allow it six times as long
    #[arg(long)]
    debug: bool,
    /// The kernel looks for data races: fail on those of the lightweight kernel, count those of Linux alone, and allow it
    /// four times as long
    #[arg(long, conflicts_with = "debug")]
    race: bool,
    /// Begin no machine later than this after the start; those that are left count as skipped
    #[arg(long, value_name = "MINUTES")]
    begin_within: Option<u64>,
    /// Where console logs, reports and the initramfs go
    #[arg(long, value_name = "DIR", default_value = "build/test-logs")]
    log_dir: PathBuf,
    /// Print the QEMU command lines and run nothing
    #[arg(long)]
    dry_run: bool,
    /// List boots and cases and run nothing
    #[arg(long)]
    list: bool,
}

/// The names of the cases of each suite, in order.
type Cases = BTreeMap<String, Vec<(String, String)>>;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("guest-runner: {error:#}");
            println!("0 passed, 1 failed");
            ExitCode::FAILURE
        }
    }
}

/// Runs what was asked for and returns whether all of it is well.
fn run(args: &Args) -> Result<bool> {
    let cases = known_cases(&args.init)?;
    check_tables(&cases)?;
    let selected = select(args, &cases)?;
    if args.list {
        for (boot, cases) in &selected {
            for (name, description) in cases {
                println!("{:<18} {name:<22} {description}", boot.name);
            }
        }
        return Ok(true);
    }
    let initramfs = args.log_dir.join("initramfs.cpio");
    if args.dry_run {
        for (boot, _) in &selected {
            println!(
                "{}",
                process::command_text(&machine(args, boot, &initramfs).command())
            );
        }
        return Ok(true);
    }
    std::fs::create_dir_all(&args.log_dir).with_context(|| args.log_dir.display().to_string())?;
    ensure!(
        args.kernel.is_file(),
        "{} is not there; make kernel",
        args.kernel.display()
    );
    let programs = [
        ("init", args.init.as_path()),
        ("bin/lwkctl", &args.lwkctl),
        ("bin/yod", &args.yod),
        ("bin/busybox", &args.busybox),
    ];
    initramfs::write(&initramfs, &programs)?;
    let tally = Mutex::new(Tally::default());
    let start = Instant::now();
    let is_late = || {
        let minutes = start.elapsed().as_secs() / 60;
        args.begin_within.is_some_and(|limit| minutes >= limit)
    };
    let lane = |threads: Threads| -> Result<()> {
        for (boot, cases) in selected.iter().filter(|(boot, _)| boot.threads == threads) {
            if is_late() {
                let mut tally = tally.lock().map_err(|_| anyhow!("a thread panicked"))?;
                tally.leave_out(boot.name, "no time is left");
            } else {
                run_boot(args, boot, cases, &initramfs, &tally)?;
            }
        }
        Ok(())
    };
    // What runs on one thread of the host leaves the others to the rest.
    std::thread::scope(|scope| {
        let single = scope.spawn(|| lane(Threads::Single));
        let multi = lane(Threads::Multi);
        let single = single.join().map_err(|_| anyhow!("a thread panicked"))?;
        multi.and(single)
    })?;
    let tally = tally
        .into_inner()
        .map_err(|_| anyhow!("a thread panicked"))?;
    Ok(tally.finish())
}

/// Asks the guest program which cases it has; it answers on the host too.
fn known_cases(init: &Path) -> Result<Cases> {
    let output = Command::new(init)
        .arg("--list")
        .output()
        .with_context(|| format!("{} --list", init.display()))?;
    ensure!(
        output.status.success(),
        "{} --list: {}",
        init.display(),
        output.status
    );
    let mut cases = Cases::new();
    for line in String::from_utf8(output.stdout).context("--list")?.lines() {
        let mut words = line.splitn(3, '\t');
        let (Some(suite), Some(name), Some(text)) = (words.next(), words.next(), words.next())
        else {
            bail!("cannot read {line:?} of --list");
        };
        cases
            .entry(suite.to_owned())
            .or_default()
            .push((name.to_owned(), text.to_owned()));
    }
    Ok(cases)
}

/// Checks that every suite has a machine and every machine a suite, so that none is silently left out.
fn check_tables(cases: &Cases) -> Result<()> {
    for boot in BOOTS {
        ensure!(
            cases.contains_key(boot.suite),
            "boot {} runs suite {}, which does not exist",
            boot.name,
            boot.suite
        );
    }
    for suite in cases.keys() {
        ensure!(
            BOOTS.iter().any(|boot| boot.suite == suite),
            "no boot runs suite {suite}"
        );
    }
    Ok(())
}

type Selected<'a> = Vec<(&'a Boot, Vec<(String, String)>)>;

fn select<'a>(args: &Args, cases: &Cases) -> Result<Selected<'a>> {
    for name in &args.suite {
        ensure!(
            BOOTS.iter().any(|b| b.name == name || b.suite == name),
            "no boot or suite is called {name:?}"
        );
    }
    let is_wanted = |name: &str| {
        args.case
            .as_ref()
            .is_none_or(|filter| name.contains(filter.as_str()))
    };
    let mut selected = Selected::new();
    for boot in BOOTS
        .iter()
        .filter(|b| args.suite.is_empty() || args.suite.iter().any(|s| s == b.name || s == b.suite))
    {
        if args.debug && args.suite.is_empty() && boot.cpus > DEBUG_MAX_CPUS {
            println!(
                "# left out on the debug kernel: {}, {} CPUs",
                boot.name, boot.cpus
            );
            continue;
        }
        let is_told = |(other, _): &(&Boot, _)| other.suite == boot.suite;
        if args.debug && args.suite.is_empty() && selected.iter().any(is_told) {
            println!(
                "# left out on the debug kernel: {}, suite {} runs on another machine",
                boot.name, boot.suite
            );
            continue;
        }
        let all = cases.get(boot.suite).context("checked above")?;
        let wanted: Vec<_> = all
            .iter()
            .filter(|(name, _)| is_wanted(name))
            .cloned()
            .collect();
        if !wanted.is_empty() {
            selected.push((boot, wanted));
        }
    }
    ensure!(!selected.is_empty(), "no case matches");
    // The longest first, so that none of them runs alone at the end.
    selected.sort_by_key(|(boot, _)| std::cmp::Reverse(boot.limit_s));
    Ok(selected)
}

fn machine<'a>(args: &'a Args, boot: &'a Boot, initramfs: &'a Path) -> qemu::Machine<'a> {
    qemu::Machine {
        qemu: &args.qemu,
        kernel: &args.kernel,
        initramfs,
        boot,
        case: args.case.as_deref(),
        append: &args.append,
        last: if args.race { RACE_APPEND } else { "" },
        factor: match (args.debug, args.race) {
            (true, _) => DEBUG_FACTOR,
            (_, true) => RACE_FACTOR,
            _ => 1,
        },
        console: args.log_dir.join(format!("{}.console", boot.name)),
        report: args.log_dir.join(format!("{}.ktap", boot.name)),
    }
}

/// Boots one machine and adds its results to the tally.
fn run_boot(
    args: &Args,
    boot: &Boot,
    cases: &[(String, String)],
    initramfs: &Path,
    tally: &Mutex<Tally>,
) -> Result<()> {
    let machine = machine(args, boot, initramfs);
    println!("# {}: {} CPUs, {}", boot.name, boot.cpus, boot.append);
    println!("# {}", process::command_text(&machine.command()));
    let (end, log) = run_machine(boot, &machine)?;
    // Held to the end, so that the output of two machines does not mix.
    let mut tally = tally.lock().map_err(|_| anyhow!("a thread panicked"))?;
    let names: Vec<&str> = cases.iter().map(|(name, _)| name.as_str()).collect();
    let text = read_lossy(&machine.report)?;
    let report = ktap::judge(&ktap::parse(&text), &names);
    for (name, verdict) in report.cases {
        tally.case(boot.name, &name, &verdict);
    }
    for problem in report.problems {
        tally.failure(boot.name, "report", &problem);
    }
    if let Some(cause) = console::panic_cause(&log) {
        let why = format!("it did not power off, the kernel panicked: {cause}");
        tally.failure(boot.name, "machine", &why);
    } else if end != process::End::PoweredOff {
        tally.failure(
            boot.name,
            "machine",
            &format!("it did not power off: {end}"),
        );
    }
    let log = if args.race {
        judge_races(boot, &log, &mut tally)
    } else {
        log
    };
    for complaint in console::scan(&log) {
        tally.failure(boot.name, "kernel-log", &complaint.to_string());
    }
    if tally.has_failed(boot.name) {
        println!(
            "# the logs are {} and {}",
            machine.console.display(),
            machine.report.display()
        );
        println!("{}", console::tail(&log, 25));
        if let Some(command) = replay::command(&log, boot.name) {
            println!("# to have it again: {command}");
        }
    }
    Ok(())
}

/// Adds the data races of our code to the tally, and returns the log without any.
fn judge_races(boot: &Boot, log: &str, tally: &mut Tally) -> String {
    if !races::is_watched(log) {
        let why = "the kernel does not look for races: make kernel-race";
        tally.failure(boot.name, "races", why);
    }
    let (found, rest) = races::split(log);
    let (ours, of_linux): (Vec<_>, Vec<_>) = found.into_iter().partition(races::Race::is_ours);
    for race in ours {
        tally.failure(boot.name, "race", &race.to_string());
    }
    println!("# {}: {} races of Linux alone", boot.name, of_linux.len());
    for race in of_linux {
        println!("#   {}", race.title());
    }
    rest
}

/// Runs a machine and returns how it ended and its console log; once more if the emulator broke it.
fn run_machine(boot: &Boot, machine: &qemu::Machine<'_>) -> Result<(process::End, String)> {
    let mut attempt = 1;
    loop {
        let begun = Instant::now();
        let end = machine.run()?;
        let seconds = begun.elapsed().as_secs();
        println!("# {}: {end}, {seconds} s", boot.name);
        let log = read_lossy(&machine.console)?;
        let Some(trouble) = console::emulator_trouble(&log).filter(|_| attempt < ATTEMPTS) else {
            return Ok((end, log));
        };
        println!("# {}: booting again: {trouble}", boot.name);
        let kept = machine.console.with_extension(format!("console.{attempt}"));
        std::fs::rename(&machine.console, &kept).with_context(|| kept.display().to_string())?;
        attempt += 1;
    }
}

/// Reads a log; one that QEMU never made is empty, and what an empty log lacks is found by its judges.
fn read_lossy(path: &Path) -> Result<String> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_suite_without_a_machine_is_an_error() {
        let mut cases: Cases = BOOTS.iter().map(|b| (b.suite.to_owned(), vec![])).collect();
        check_tables(&cases).expect("the tables agree");
        cases.insert("forgotten".to_owned(), vec![]);
        assert!(check_tables(&cases).is_err());
    }
}
