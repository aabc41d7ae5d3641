// SPDX-License-Identifier: GPL-2.0
//! The command line.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use lwk_logic::logic::cpuset::CpuSet;

use crate::apps::App;
use crate::guest::parse_cpus;
use crate::record::Place;

/// Runs real programs on Linux CPUs, tuned Linux CPUs and LWK CPUs and compares what disturbed them.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: Action,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Run the programs on this machine and write a file with the figures.
    Guest(Box<GuestOptions>),
    /// Print the figures of such a file and write them as Markdown, JSON and pictures.
    Report(ReportOptions),
}

/// Options of `guest`.
#[derive(Debug, Args)]
pub(crate) struct GuestOptions {
    /// File for the figures.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Launcher on LWK CPUs.
    #[arg(long, value_name = "PATH", default_value = "yod", value_parser = program)]
    pub(crate) yod: PathBuf,
    /// Reader of the LWK's counters.
    #[arg(long, value_name = "PATH", default_value = "lwkctl")]
    pub(crate) lwkctl: PathBuf,
    /// Stock Linux CPUs.
    #[arg(long, value_name = "LIST", value_parser = parse_cpus)]
    linux: Option<CpuSet>,
    /// Linux CPUs that the boot line and this program quieten.
    #[arg(long, value_name = "LIST", value_parser = parse_cpus)]
    tuned: Option<CpuSet>,
    /// CPUs of an LWK partition.
    #[arg(long, value_name = "LIST", value_parser = parse_cpus)]
    lwk: Option<CpuSet>,
    /// Places to run in, the first being the one that others are compared to.
    #[arg(
        long,
        value_name = "PLACES",
        value_delimiter = ',',
        default_value = "linux,tuned,lwk"
    )]
    pub(crate) places: Vec<Place>,
    /// Programs to run.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "hpcc,blas,xz,python,racket"
    )]
    pub(crate) programs: Vec<App>,
    /// Directory for inputs and outputs.
    #[arg(long, value_name = "DIR", default_value = "/tmp/showcase", value_parser = directory)]
    pub(crate) work_dir: PathBuf,
    /// Give the programs next to nothing to do, to try whether they work.
    #[arg(long)]
    pub(crate) quick: bool,
}

impl GuestOptions {
    /// Returns the CPUs of a place.
    ///
    /// # Errors
    ///
    /// None were given.
    pub(crate) fn cpus(&self, place: Place) -> Result<CpuSet> {
        let cpus = match place {
            Place::Linux => self.linux,
            Place::Tuned => self.tuned,
            Place::Lwk => self.lwk,
        };
        cpus.with_context(|| {
            format!(
                "no CPUs for {}: give --{} LIST",
                place.label(),
                place.name()
            )
        })
    }
}

/// Makes a path absolute, because the programs run elsewhere; a bare name stays one, to be looked up in `PATH`.
fn program(text: &str) -> std::io::Result<PathBuf> {
    if text.contains('/') {
        std::path::absolute(text)
    } else {
        Ok(text.into())
    }
}

/// Makes a path absolute, for the same reason.
fn directory(text: &str) -> std::io::Result<PathBuf> {
    std::path::absolute(text)
}

/// Options of `report`.
#[derive(Debug, Args)]
pub(crate) struct ReportOptions {
    /// File that `guest` wrote.
    #[arg(long = "in", value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// Directory for the report.
    #[arg(long, value_name = "DIR", default_value = "build/report")]
    pub(crate) out_dir: PathBuf,
    /// Command to name as the one that makes this report; else the one in the file.
    #[arg(long, value_name = "TEXT")]
    pub(crate) made_by: Option<String>,
}

impl ValueEnum for Place {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(self.name().into())
    }
}

impl ValueEnum for App {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(self.name().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn places_need_their_cpus() {
        let cli = Cli::parse_from([
            "showcase",
            "guest",
            "--out",
            "x",
            "--linux",
            "1-2",
            "--places",
            "linux,tuned",
        ]);
        let Action::Guest(options) = cli.action else {
            panic!("not guest")
        };
        assert_eq!(options.cpus(Place::Linux).unwrap().to_string(), "1-2");
        let error = options.cpus(Place::Tuned).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no CPUs for tuned Linux CPUs: give --tuned LIST"
        );
    }

    #[test]
    fn paths_become_absolute_and_names_stay() {
        assert_eq!(program("yod").unwrap(), PathBuf::from("yod"));
        assert!(program("./yod").unwrap().is_absolute());
        assert!(directory("work").unwrap().is_absolute());
        assert!(directory("").is_err());
    }

    #[test]
    fn empty_and_reversed_lists_are_refused() {
        for list in ["", "2-1", "x", "1,,2"] {
            let args = ["showcase", "guest", "--out", "x", "--linux", list];
            assert!(Cli::try_parse_from(args).is_err(), "{list:?}");
        }
    }
}
