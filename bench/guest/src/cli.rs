// SPDX-License-Identifier: GPL-2.0
//! The command line on a normal machine.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use bench_record::report::{Report, Why};
use bench_record::results::Kind;
use bench_record::Place;
use clap::{Parser, Subcommand};
use lwk_logic::logic::cpuset::CpuSet;

use crate::driver::{Driver, Settings};
use crate::measure::Mode;
use crate::{apps, kernel, sites, suites, timed};

/// Measures what threads, system calls, memory, processes and disturbances cost on Linux CPUs, on CPUs that were
/// quietened with what Linux offers, and on LWK CPUs.
#[derive(Debug, Parser)]
#[command(name = "bench-guest", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    action: Action,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Action {
    /// Print all benchmarks
    List,
    /// Run benchmarks and print the report as JSON
    Run(RunOptions),
}

/// Options of `run`.
#[derive(Debug, clap::Args)]
struct RunOptions {
    /// Run these suites only
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    suite: Vec<String>,
    /// Run these benchmarks only
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    bench: Vec<String>,
    /// Take times with the time-stamp counter; without it, the program only opens and closes the windows of the
    /// emulator's counter
    #[arg(long)]
    timed: bool,
    /// Run the quick subset only
    #[arg(long)]
    quick: bool,
    /// Stock Linux CPUs; without any list, the first two that this program may use
    #[arg(long, value_name = "LIST", value_parser = cpu_list)]
    linux: Option<Box<CpuSet>>,
    /// Quietened Linux CPUs
    #[arg(long, value_name = "LIST", value_parser = cpu_list)]
    tuned: Option<Box<CpuSet>>,
    /// LWK CPUs
    #[arg(long, value_name = "LIST", value_parser = cpu_list)]
    lwk: Option<Box<CpuSet>>,
    /// The launcher of LWK programs
    #[arg(long, value_name = "PATH", default_value = "yod")]
    yod: String,
}

/// Reads a CPU list.
fn cpu_list(text: &str) -> Result<Box<CpuSet>> {
    sites::parse(text).map(Box::new)
}

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    let result = match Cli::parse().action {
        Action::List => list().map(|()| true),
        Action::Run(options) => run(&options),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench-guest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints every benchmark with its sentence.
fn list() -> Result<()> {
    let mut out = std::io::stdout().lock();
    for suite in suites::ALL {
        writeln!(out, "{}: {}", suite.name, suite.about)?;
        for bench in suite.benches {
            let quick = if bench.quick { " (quick)" } else { "" };
            let name = [bench.name, bench.variant].join(" ");
            writeln!(out, "  {:<28} {}{quick}", name.trim_end(), bench.about)?;
        }
        for row in suite.not_built {
            let name = [row.bench, row.variant].join(" ");
            writeln!(out, "  {:<28} Not built yet.", name.trim_end())?;
        }
    }
    write!(out, "{}", apps::list()?)?;
    Ok(())
}

/// Runs and prints; returns whether nothing failed.
fn run(options: &RunOptions) -> Result<bool> {
    let boot_line = kernel::read("/proc/cmdline")?;
    let mut lists = Vec::new();
    for (place, list) in [
        (Place::Linux, &options.linux),
        (Place::Tuned, &options.tuned),
        (Place::Lwk, &options.lwk),
    ] {
        lists.extend(list.as_deref().map(|list| (place, *list)));
    }
    if lists.is_empty() {
        let first_two: Vec<u32> = sites::numbers(&sites::allowed()?)
            .into_iter()
            .take(2)
            .collect();
        lists.push((Place::Linux, sites::set(&first_two)));
    }
    let settings = Settings {
        suites: options.suite.clone(),
        benches: options.bench.clone(),
        is_quick: options.quick,
        mode: if options.timed {
            Mode::Timed
        } else {
            Mode::Counted
        },
        sites: sites::sites(&lists, &boot_line)?,
        yod: options.yod.clone(),
    };
    let report = Driver::new(settings)?.run();
    print(&report)?;
    let mut whys = report.missing.iter().map(|missing| &missing.why);
    Ok(!whys.any(|why| matches!(why, Why::Failed(_))))
}

/// Prints the report to standard output and a summary to standard error.
fn print(report: &Report) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, report).context("report")?;
    writeln!(out)?;
    match report.kind {
        Kind::Timed => eprintln!(
            "Times of this machine by its time-stamp counter:\n\n{}",
            timed::table(report)
        ),
        Kind::Counted => eprintln!(
            "{} windows for the emulator's counter, which has their figures; --timed takes times instead",
            report.windows.len()
        ),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn lists_and_names_are_read() {
        let words = "bench-guest run --suite thread,syscall --lwk 5-6 --timed";
        let cli = Cli::parse_from(words.split(' '));
        let Action::Run(options) = cli.action else {
            panic!("{cli:?}");
        };
        assert_eq!(options.suite, ["thread", "syscall"]);
        assert_eq!(sites::numbers(&options.lwk.unwrap()), [5, 6]);
        assert!(options.timed && !options.quick && options.tuned.is_none());
    }
}
