// SPDX-License-Identifier: GPL-2.0
//! The command line, and what each command does.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure, Context, Result};
use bench_record::report::Report;
use bench_record::results::{Kind, Results, SCHEMA};
use clap::{Args, Parser, Subcommand};
use guest_runner::process;

use crate::bars::{self, Verdict};
use crate::boot::{Boot, Files};
use crate::compare::{compare, merge};
use crate::machines::{Machine, Subset, MACHINES};
use crate::phases::settle;
use crate::session::{self, Plan};
use crate::tally::Tally;
use crate::{attribution, conditions, join, plain, report, store};

/// Name of the results in their folder.
const RESULTS: &str = "results.json";

/// Boots the benchmarks in QEMU, joins counts and names, compares, draws.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Boot the machines and write results
    Run(Run),
    /// Compare results with the baseline; fails if anything got worse
    Compare(Compare),
    /// Make results the baseline
    Accept(Accept),
    /// Write tables and pictures
    Report(ReportArgs),
    /// Make results of the report that bench-guest wrote on a real machine
    Timed(Timed),
    /// Run a machine twice and fail unless both leave the same bytes
    SelfTest(SelfTest),
    /// Compare what calls of Linux cost on our kernel and on one without our patches
    Plain(Plain),
}

/// What a machine is made of.
#[derive(Debug, Args)]
struct Parts {
    /// The kernel
    #[arg(long, value_name = "PATH", default_value = "build/bzImage")]
    kernel: PathBuf,
    /// Its System.map
    #[arg(long, value_name = "PATH", default_value = "build/kernel/System.map")]
    map: PathBuf,
    /// Its configuration
    #[arg(long, value_name = "PATH", default_value = "build/.config")]
    config: PathBuf,
    /// The hash of what it was made of
    #[arg(long, value_name = "PATH", default_value = "build/kernel/sources")]
    sources: PathBuf,
    /// The static bench-guest, which becomes /init
    #[arg(long, value_name = "PATH")]
    init: PathBuf,
    /// The plugin that counts
    #[arg(long, value_name = "PATH")]
    counter: PathBuf,
    /// The static lwkctl
    #[arg(long, value_name = "PATH", default_value = "build/bin/lwkctl")]
    lwkctl: PathBuf,
    /// The static yod
    #[arg(long, value_name = "PATH", default_value = "build/bin/yod")]
    yod: PathBuf,
    /// A static busybox
    #[arg(long, value_name = "PATH", default_value = "/bin/busybox")]
    busybox: PathBuf,
    /// An archive with real programs, for machines that run them
    #[arg(long, value_name = "PATH", default_value = "build/bench-rootfs.cpio")]
    programs: PathBuf,
    /// The QEMU to run
    #[arg(long, value_name = "PROGRAM", default_value = "qemu-system-x86_64")]
    qemu: PathBuf,
    /// The compiler of the guest program, which is named in the report
    #[arg(long, value_name = "PROGRAM", default_value = "rustc")]
    rustc: PathBuf,
    /// Where logs and results go
    #[arg(long, value_name = "DIR", default_value = "build/bench")]
    out: PathBuf,
    /// How many machines run at once; each takes one host CPU
    #[arg(long, value_name = "N", default_value_t = 2)]
    jobs: usize,
}

#[derive(Debug, Args)]
struct Run {
    #[command(flatten)]
    parts: Parts,
    /// Only this suite or machine; may be given several times
    #[arg(long, value_name = "NAME")]
    suite: Vec<String>,
    /// Compare with this baseline at the end
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Shift the clock against the programs: results of several phases make a baseline
    #[arg(long, value_name = "N", default_value_t = 0)]
    phase: usize,
    /// Do not boot once more to learn which functions the rows that miss bars spend their instructions on
    #[arg(long)]
    no_stacks: bool,
    /// Print the QEMU command lines and run nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct Compared {
    /// The results
    #[arg(
        long = "in",
        value_name = "FILE",
        default_value = "build/bench/results.json"
    )]
    input: PathBuf,
    /// The baseline
    #[arg(long, value_name = "FILE", default_value = "bench/baseline.json")]
    baseline: PathBuf,
}

#[derive(Debug, Args)]
struct Accept {
    #[command(flatten)]
    files: Compared,
    /// Results of another phase of the clock; may be given several times
    #[arg(long, value_name = "FILE")]
    phase: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct Compare {
    #[command(flatten)]
    files: Compared,
    /// Only the rows of this machine; may be given several times
    #[arg(long, value_name = "NAME")]
    machine: Vec<String>,
}

#[derive(Debug, Args)]
struct ReportArgs {
    /// The results
    #[arg(
        long = "in",
        value_name = "FILE",
        default_value = "build/bench/results.json"
    )]
    input: PathBuf,
    /// Where the report and its pictures go
    #[arg(long, value_name = "DIR", default_value = "build/bench")]
    out: PathBuf,
    /// The page of the documentation to write, too
    #[arg(long, value_name = "FILE")]
    doc: Option<PathBuf>,
    /// The command that the report names
    #[arg(long, value_name = "COMMAND", default_value = "make bench")]
    made_by: String,
}

#[derive(Debug, Args)]
struct Timed {
    /// The guest program's report
    #[arg(long = "in", value_name = "FILE")]
    input: PathBuf,
    /// Where results and the report go
    #[arg(long, value_name = "DIR", default_value = "build/bench-timed")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct SelfTest {
    #[command(flatten)]
    parts: Parts,
    /// The machine
    #[arg(long, value_name = "NAME", default_value = "quick")]
    machine: String,
    /// Compare with this baseline, too
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Skip what this QEMU cannot count, and the baseline if it was made by other compilers, QEMU or kernel
    #[arg(long)]
    lenient: bool,
}

#[derive(Debug, Args)]
struct Plain {
    #[command(flatten)]
    parts: Parts,
    /// The kernel without our patches
    #[arg(long, value_name = "PATH", default_value = "build/plain/bzImage")]
    plain_kernel: PathBuf,
    /// Its System.map
    #[arg(
        long,
        value_name = "PATH",
        default_value = "build/kernel-plain/System.map"
    )]
    plain_map: PathBuf,
    /// The page of the documentation to write
    #[arg(long, value_name = "FILE")]
    doc: PathBuf,
}

/// Does what the command line asks for; returns whether all is well.
pub(crate) fn run(cli: &Cli) -> Result<bool> {
    match &cli.command {
        Command::Run(args) => run_machines(args),
        Command::Compare(args) => compare_files(args),
        Command::Accept(args) => accept(args),
        Command::Report(args) => write_report(args),
        Command::Timed(args) => timed(args),
        Command::SelfTest(args) => self_test(args),
        Command::Plain(args) => compare_plain(args),
    }
}

impl Parts {
    /// The files.
    fn files(&self) -> Files {
        Files {
            kernel: self.kernel.clone(),
            map: self.map.clone(),
            config: self.config.clone(),
            sources: self.sources.clone(),
            init: self.init.clone(),
            lwkctl: self.lwkctl.clone(),
            yod: self.yod.clone(),
            busybox: self.busybox.clone(),
            programs: self.programs.clone(),
            qemu: self.qemu.clone(),
            counter: self.counter.clone(),
            rustc: self.rustc.clone(),
        }
    }
}

/// The machines that were asked for.
fn select(names: &[String]) -> Result<Vec<Machine>> {
    let has =
        |machine: &Machine, name: &str| machine.name == name || machine.suites.contains(&name);
    for name in names {
        let known = MACHINES.iter().any(|machine| has(machine, name));
        ensure!(known, "no machine or suite is called {name:?}");
    }
    let is_wanted = |machine: &&Machine| {
        // A suite means all of it; the quick machine must be asked for by its name.
        names.is_empty()
            || names.iter().any(|name| {
                machine.name == name || (has(machine, name) && machine.subset == Subset::Full)
            })
    };
    Ok(MACHINES.iter().filter(is_wanted).copied().collect())
}

fn run_machines(args: &Run) -> Result<bool> {
    let machines = select(&args.suite)?;
    let plan = Plan {
        files: &args.parts.files(),
        machines: &machines,
        out: &args.parts.out,
        phase: args.phase,
        jobs: args.parts.jobs,
    };
    if args.dry_run {
        for machine in &machines {
            let command = Boot::all_of(*machine, args.phase).command(plan.files, plan.out);
            println!("{}", process::command_text(&command));
        }
        return Ok(true);
    }
    conditions::can_count(&args.parts.qemu)?;
    let mut tally = Tally::default();
    let mut results = session::run(&plan, &mut tally)?;
    store::write(&plan.out.join(RESULTS), &store::to_text(&results)?)?;
    if !args.no_stacks {
        let rows = report::worth_a_look(&results);
        let all = session::attribute(&plan, &rows, &mut tally)?;
        attribution::write(plan.out, &all)?;
    }
    if let Some(baseline) = &args.check {
        let base = read_baseline(baseline)?;
        settle(&plan, &base, &mut results, &mut tally)?;
        compare_all(&base, &results, |name| plan.has(name), &mut tally)?;
    }
    Ok(tally.finish())
}

fn read_baseline(path: &Path) -> Result<Results> {
    ensure!(
        path.is_file(),
        "{} is not there: make bench, then scripts/bench accept",
        path.display()
    );
    store::read(path)
}

fn compare_files(args: &Compare) -> Result<bool> {
    let now = store::read(&args.files.input)?;
    let base = read_baseline(&args.files.baseline)?;
    let mut tally = Tally::default();
    let is_wanted = |name: &str| args.machine.is_empty() || args.machine.iter().any(|m| m == name);
    compare_all(&base, &now, is_wanted, &mut tally)?;
    Ok(tally.finish())
}

/// Compares rows and bars with the baseline and tells what changed.
fn compare_all(
    base: &Results,
    now: &Results,
    is_wanted: impl Fn(&str) -> bool,
    tally: &mut Tally,
) -> Result<()> {
    let found = compare(base, now, &is_wanted)?;
    for condition in &found.conditions {
        println!("# other conditions: {condition}");
    }
    for name in &found.new {
        println!("# new: {name}");
    }
    for (name, how) in &found.improvements {
        println!("# better: {name}: {how}");
    }
    for (name, how) in &found.regressions {
        tally.fail(name, how);
    }
    let worse: BTreeSet<_> = found.regressions.iter().map(|(name, _)| name).collect();
    tally.pass_all(found.nr_rows - worse.len());
    tell_changed_bars(base, now, &worse, tally);
    Ok(())
}

/// Tells of bars that are missed: one that was met is a failure if a row of it got worse, and else was close to it.
fn tell_changed_bars(base: &Results, now: &Results, worse: &BTreeSet<&String>, tally: &mut Tally) {
    for (old, new) in bars::judge(&base.rows).iter().zip(bars::judge(&now.rows)) {
        let name = new.bar.name;
        let mut rows = new.misses.iter().map(|miss| store::row_text(miss.row));
        match (old.verdict, new.verdict) {
            (Verdict::Met, Verdict::Missed) if rows.any(|row| worse.contains(&row)) => {
                tally.fail(&format!("bar {name}"), &new.distance);
            }
            (_, Verdict::Missed) => println!("# bar {name} is missed: {}", new.distance),
            _ => tally.pass(),
        }
    }
}

fn accept(args: &Accept) -> Result<bool> {
    let mut results = store::read(&args.files.input)?;
    let phases: Result<Vec<_>> = args.phase.iter().map(|path| store::read(path)).collect();
    merge(&mut results, &phases?)?;
    ensure!(results.kind == Kind::Counted, "times are no baseline");
    let failed = results.rows.iter().find(|row| join::failure(row).is_some());
    if let Some(row) = failed {
        bail!("{} failed: that is no baseline", store::row_text(row));
    }
    store::write(&args.files.baseline, &store::to_text(&results)?)?;
    let spread = results.rows.iter().filter(|row| row.spread.is_some());
    println!(
        "{}: {} rows, of which {} depend on the phase",
        args.files.baseline.display(),
        results.rows.len(),
        spread.count()
    );
    Ok(true)
}

fn write_report(args: &ReportArgs) -> Result<bool> {
    let results = store::read(&args.input)?;
    let folder = args.input.parent().unwrap_or(Path::new("."));
    let attributions = attribution::read(folder)?;
    let doc = args.doc.as_deref();
    report::write(&results, &attributions, &args.out, doc, &args.made_by)?;
    let is_met = results.kind == Kind::Timed || tell_bars(&results);
    println!("report: {}", args.out.join(report::MARKDOWN).display());
    Ok(is_met)
}

/// Prints every bar; returns whether none is missed.
fn tell_bars(results: &Results) -> bool {
    let (red, plain) = match std::io::stdout().is_terminal() {
        true => ("\x1b[1;31m", "\x1b[0m"),
        false => ("", ""),
    };
    let judged = bars::judge(&results.rows);
    for judged in &judged {
        let (name, word) = (judged.bar.name, judged.verdict.word());
        match judged.verdict {
            Verdict::Missed => println!("{red}bar {name}: MISSED: {}{plain}", judged.distance),
            _ => println!("bar {name}: {word}: {}", judged.distance),
        }
    }
    judged
        .iter()
        .all(|judged| judged.verdict != Verdict::Missed)
}

fn timed(args: &Timed) -> Result<bool> {
    let name = || args.input.display().to_string();
    let text = std::fs::read_to_string(&args.input).with_context(name)?;
    let guest: Report = serde_json::from_str(&text).with_context(name)?;
    ensure!(guest.kind == Kind::Timed, "{}: these are no times", name());
    let mut rows = join::timed(&guest)?;
    store::sort(&mut rows)?;
    let conditions = [
        ("kernel", &guest.kernel),
        ("boot line real", &guest.boot_line),
    ];
    let results = Results {
        schema: SCHEMA,
        kind: Kind::Timed,
        conditions: conditions
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .into(),
        rows,
    };
    store::write(&args.out.join(RESULTS), &store::to_text(&results)?)?;
    report::write(&results, &[], &args.out, None, "bench-guest")?;
    println!("report: {}", args.out.join(report::MARKDOWN).display());
    Ok(true)
}

fn self_test(args: &SelfTest) -> Result<bool> {
    let named = MACHINES.iter().find(|machine| machine.name == args.machine);
    let machine = *named.with_context(|| format!("no machine is called {:?}", args.machine))?;
    let files = args.parts.files();
    let mut tally = Tally::default();
    if let Err(error) = conditions::can_count(&files.qemu) {
        ensure!(args.lenient, error);
        tally.skip(&args.machine, &format!("{error:#}"));
        return Ok(tally.finish());
    }
    let folders = ["first", "second"].map(|name| args.parts.out.join(name));
    // Side by side and each in its own folder, so that neither can pass for the other.
    let runs = std::thread::scope(|scope| {
        let runs = folders
            .each_ref()
            .map(|out| scope.spawn(|| run_alone(machine, &files, out)));
        runs.map(|run| run.join().unwrap_or_else(|_| bail!("its thread died")))
    });
    for run in runs {
        tally.add(run?);
    }
    let read = |folder: &PathBuf| std::fs::read_to_string(folder.join(RESULTS));
    let [first, second] = [read(&folders[0])?, read(&folders[1])?];
    match difference(&first, &second) {
        None => tally.pass(),
        Some(line) => tally.fail("results of two runs", &line),
    }
    if let Some(baseline) = &args.check {
        let mut now = store::read(&folders[0].join(RESULTS))?;
        let base = read_baseline(baseline)?;
        let differing = conditions::differing(&base.conditions, &now.conditions);
        if args.lenient && !differing.is_empty() {
            tally.skip("baseline", &differing.join("; "));
        } else {
            let machines = [machine];
            let plan = alone(&machines, &files, &args.parts.out);
            settle(&plan, &base, &mut now, &mut tally)?;
            compare_all(&base, &now, |name| plan.has(name), &mut tally)?;
        }
    }
    Ok(tally.finish())
}

fn compare_plain(args: &Plain) -> Result<bool> {
    conditions::can_count(&args.parts.qemu)?;
    let ours = args.parts.files();
    let linux = Files {
        kernel: args.plain_kernel.clone(),
        map: args.plain_map.clone(),
        ..ours.clone()
    };
    let mut tally = Tally::default();
    let page = plain::run(&linux, &ours, &args.parts.out, &mut tally)?;
    store::write(&args.doc, &page)?;
    println!("report: {}", args.doc.display());
    Ok(tally.finish())
}

/// Runs one machine and leaves its results in a folder.
fn run_alone(machine: Machine, files: &Files, out: &Path) -> Result<Tally> {
    let machines = [machine];
    let mut tally = Tally::default();
    let results = session::run(&alone(&machines, files, out), &mut tally)?;
    store::write(&out.join(RESULTS), &store::to_text(&results)?)?;
    Ok(tally)
}

/// One machine after the other.
const fn alone<'a>(machines: &'a [Machine], files: &'a Files, out: &'a Path) -> Plan<'a> {
    Plan {
        files,
        machines,
        out,
        phase: 0,
        jobs: 1,
    }
}

/// The first line in which two texts differ.
fn difference(first: &str, second: &str) -> Option<String> {
    if first == second {
        return None;
    }
    let mut lines = first.lines().zip(second.lines());
    let text = match lines.find(|(a, b)| a != b) {
        Some((a, b)) => format!("\n  {a}\n  {b}"),
        None => "one is longer".to_owned(),
    };
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn suites_select_their_machines_and_not_the_quick_one() {
        let names = |names: &[&str]| {
            let words: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let machines = select(&words).unwrap();
            machines
                .iter()
                .map(|machine| machine.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&["thread"]), ["micro"]);
        assert_eq!(names(&["quick"]), ["quick"]);
        assert_eq!(names(&[]).len(), MACHINES.len());
        assert!(select(&["unknown".to_owned()]).is_err());
    }

    #[test]
    fn a_bar_that_was_met_must_stay_met() {
        let base = sample::results();
        let mut now = base.clone();
        let row = now
            .rows
            .iter_mut()
            .find(|row| row.key.suite == "noise" && row.place == bench_record::Place::Lwk);
        row.unwrap().figures.as_mut().unwrap().entries = 1;
        let mut tally = Tally::default();
        compare_all(&base, &now, |_| true, &mut tally).unwrap();
        // The row and the bar.
        assert_eq!(tally.nr_failed(), 2);
    }

    #[test]
    fn differences_name_the_line() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(
            difference("a\nb\n", "a\nc\n"),
            Some("\n  b\n  c".to_owned())
        );
        assert_eq!(
            difference("a\n", "a\nb\n"),
            Some("one is longer".to_owned())
        );
    }
}
