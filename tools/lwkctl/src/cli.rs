// SPDX-License-Identifier: GPL-2.0
//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Shows what the lightweight kernel owns and runs.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "lwkctl",
    version = lwk::version_text!(),
    max_term_width = 100,
    disable_help_subcommand = true,
    after_long_help = AFTER
)]
pub struct Options {
    /// The device to use in place of /dev/lwk
    #[arg(long, value_name = "PATH", hide = true, global = true)]
    pub device: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What lwkctl can do.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Command {
    /// Show partitions, jobs and CPUs
    ///
    /// Prints three tables: the partitions with their CPUs, the jobs with theirs, and every CPU with its owner. Text
    /// is drawn in boxes on a terminal and in plain columns elsewhere.
    Show {
        /// Print JSON; its field "schema" changes when the meaning of a field does
        #[arg(long)]
        json: bool,
        /// Show what took LWK CPUs away from their programs
        ///
        /// For each LWK CPU since it joined its partition: entries into the kernel by kind, interrupts by source,
        /// kernel threads that ran in place of a job, context switches and page faults. Text leaves out what is zero
        /// everywhere, JSON does not.
        #[arg(long)]
        noise: bool,
    },
    /// List the names of the partitions
    List,
    /// Print the versions of this tool and of the kernel's ABI
    Version,
}

/// What follows the options in the long help and the manual page.
pub const AFTER: &str = "\
Exit status: 0 if all went well, 1 if it failed at run time, 2 if the command line is wrong.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn the_device_may_stand_before_or_after_the_command() {
        for args in [
            ["lwkctl", "--device", "/x", "list"],
            ["lwkctl", "list", "--device", "/x"],
        ] {
            assert_eq!(
                Options::parse_from(args).device.as_deref(),
                Some("/x".as_ref())
            );
        }
    }

    #[test]
    fn a_command_is_required() {
        assert!(Options::try_parse_from(["lwkctl"]).is_err());
        assert!(Options::try_parse_from(["lwkctl", "show", "extra"]).is_err());
    }
}
