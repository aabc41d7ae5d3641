// SPDX-License-Identifier: GPL-2.0
//! The command line.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Parser;
use lwk::{Calls, Memory, Policies};
use lwk_logic::logic::cpuset::CpuSet;
use lwk_logic::logic::memspec::JobAmount;

/// Runs a program on LWK CPUs.
///
/// Reserves CPUs of an LWK partition, then executes COMMAND in place of yod. The program and all its children run
/// on these CPUs; the reservation ends with the last of them. Without -c and -C it takes all free CPUs of the first
/// partition that has any. Programs find their CPUs as always, with sched_getaffinity(2).
#[derive(Debug, Clone, PartialEq, Eq, Default, Parser)]
#[command(name = "yod", version = lwk::version_text!(), max_term_width = 100, after_long_help = AFTER)]
pub struct Options {
    /// Take exactly these CPUs, for example 2-5,8
    #[arg(short, long, value_name = "LIST", conflicts_with = "nr_cpus", value_parser = cpu_list)]
    pub cpus: Option<Box<CpuSet>>,
    /// Take this many CPUs of the kernel's choice
    #[arg(short = 'C', long, value_name = "N")]
    pub nr_cpus: Option<NonZeroU32>,
    /// Take CPUs of this partition, a name or an id
    #[arg(short, long, value_name = "PARTITION")]
    pub partition: Option<String>,
    /// Take this much of the partition's memory: a size (16G), a part of it (0.5, 1/4), all or none
    ///
    /// The rest of the program's memory comes from Linux. By default it is as large a part of the free memory as the
    /// program gets of the free CPUs.
    #[arg(short = 'M', long, value_name = "AMOUNT", value_parser = memory)]
    pub memory: Option<Memory>,
    /// Count system calls, and print on standard error at the program's end how often and how long each was made
    ///
    /// yod then stays as the program's parent: it passes SIGTERM and SIGHUP on, and ends as the program ends.
    #[arg(long)]
    pub syscall_report: bool,
    /// Print what would be reserved and executed, and do neither
    #[arg(long)]
    pub dry_run: bool,
    /// Say on standard error what was reserved
    #[arg(short, long)]
    pub verbose: bool,
    /// The device to use in place of /dev/lwk
    #[arg(long, value_name = "PATH", hide = true)]
    pub device: Option<PathBuf>,
    /// The program to run, with its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
    /// How memory backs it; what they do not say is as the partition says.
    #[command(flatten)]
    pub policies: Policies,
    /// Where its system calls are carried out; what they do not say is as the partition says.
    #[command(flatten)]
    pub calls: Calls,
}

/// What follows the options in the long help and the manual page.
pub const AFTER: &str = "\
Exit status: that of COMMAND; 125 if yod failed, 126 if COMMAND cannot be executed, 127 if it was not found.";

/// Reads a CPU list that is not empty.
///
/// # Errors
///
/// If it is no list, or names no CPU.
pub fn cpu_list(text: &str) -> Result<Box<CpuSet>, String> {
    let set: CpuSet = text.parse().map_err(|error| format!("{error}"))?;
    if set.is_empty() {
        return Err("the list names no CPU".to_owned());
    }
    Ok(Box::new(set))
}

/// Reads how much memory the program is to have.
///
/// # Errors
///
/// If it is no amount.
pub fn memory(text: &str) -> Result<Memory, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(Memory::Nothing);
    }
    let amount = JobAmount::parse(text.as_bytes()).map_err(|error| error.to_string())?;
    Ok(Memory::Amount(amount))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn options_after_the_command_are_its_own() {
        let got =
            Options::parse_from(["yod", "-v", "ls", "-v", "--dry-run", "-c", "x", "--", "-l"]);
        assert!(got.verbose && !got.dry_run && got.cpus.is_none());
        assert_eq!(
            got.command,
            ["ls", "-v", "--dry-run", "-c", "x", "--", "-l"]
        );
    }

    #[test]
    fn an_unknown_option_before_the_command_is_refused() {
        assert!(Options::try_parse_from(["yod", "--bogus", "ls"]).is_err());
        assert!(Options::try_parse_from(["yod", "-x", "ls"]).is_err());
    }

    #[test]
    fn a_double_dash_lets_a_command_start_with_a_dash() {
        assert_eq!(
            Options::parse_from(["yod", "--", "-odd", "-c"]).command,
            ["-odd", "-c"]
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for args in [
            &["yod"][..],
            &["yod", "-c", "", "ls"],
            &["yod", "-c", "5-2", "ls"],
            &["yod", "-c", "99999", "ls"],
            &["yod", "-C", "0", "ls"],
            &["yod", "-C", "-1", "ls"],
            &["yod", "-C", "2", "-c", "2", "ls"],
            &["yod", "-C", "2", "-C", "3", "ls"],
            &["yod", "-M", "0", "ls"],
            &["yod", "-M", "1.5", "ls"],
            &["yod", "-M", "much", "ls"],
            &["yod", "--maxpage", "2m", "ls"],
            &["yod", "--mempolicy", "heap:bind", "ls"],
            &["yod", "--heap-step", "all", "ls"],
            &["yod", "--strict=perhaps", "ls"],
            &["yod", "--syscalls", "read", "ls"],
            &["yod", "--syscalls", "native=read", "ls"],
            &["yod", "--syscall-batch", "2ms", "ls"],
            &["yod", "--idle", "sleep", "ls"],
            &["yod", "--exclusive-wait=perhaps", "ls"],
        ] {
            assert!(Options::try_parse_from(args).is_err(), "{args:?}");
        }
    }
}
