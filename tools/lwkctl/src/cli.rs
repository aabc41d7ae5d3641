// SPDX-License-Identifier: GPL-2.0
//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand};
use lwk::auto::Share;
use lwk::{Calls, CpuList, MemoryWish, PartitionName, Policies, Whether};
use lwk_logic::logic::locality::Place;

use crate::syscalls::list;

/// Shows and changes what the lightweight kernel owns.
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
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Show partitions, jobs and CPUs
    ///
    /// Prints three tables: the partitions with their CPUs, the jobs with theirs, and every CPU with its owner. Text
    /// is drawn in boxes on a terminal and in plain columns elsewhere.
    Show(Show),
    /// Tell what disturbed LWK CPUs, who did it, and how to stop it
    ///
    /// Each LWK CPU keeps a log of the last 512 times that it had to enter the kernel although the thread that it ran
    /// had not asked for it; system calls and faults of the thread itself are not in it. Prints a table by cause and
    /// kernel function, a histogram of the durations, and the culprits with advice.
    #[command(after_long_help = NOISE)]
    Noise(Noise),
    /// Show the memory of partitions, node by node
    ///
    /// What each pool has, what of it is free and in how many pieces, what is in use in pages of which size, and what
    /// partitions have of it.
    Mem(Mem),
    /// Tell which system calls a job makes, and set where they are carried out
    ///
    /// Prints a table of the calls, the most frequent first: how often each was made, where and how long, and where it
    /// would be better. Options that set something change the running job before.
    #[command(after_long_help = SYSCALLS)]
    Syscalls(Syscalls),
    /// Show or set how memory backs the jobs of a partition, and where their system calls go
    ///
    /// With options it sets what they say, else it only shows. It is for jobs that are started from then on, but for
    /// what the command line of yod says.
    Policy(PartitionPolicy),
    /// List the names of the partitions
    List {
        /// Print JSON; its field "schema" changes when the meaning of a field does
        #[arg(long)]
        json: bool,
    },
    /// Take CPUs and memory from Linux and make a partition of them
    ///
    /// The machine must have been booted with lwkcpus= on its boot line, with nothing after it if need be. If the
    /// kernel refuses, nothing has changed, and the message says which CPU is in the way, or how much memory there is.
    Create(Create),
    /// Add CPUs or memory to a partition, or give some of it back to Linux
    ///
    /// Jobs keep what they have: only CPUs that no job holds, and memory that no job was promised, can be removed. All
    /// of it is one change: it is done as a whole or not at all.
    Resize(Resize),
    /// Give all CPUs and all memory of a partition back to Linux
    ///
    /// The partition must not run jobs.
    Delete(Delete),
    /// Make the machine have the partitions that a file describes
    ///
    /// Deletes, resizes and creates partitions until those of the file are there, and prints what it does. Partitions
    /// of the boot line that the file does not name stay. If a step fails, those before it are taken back.
    #[command(after_long_help = EXAMPLE_FILE)]
    Apply(Apply),
    /// Write the partitions there are as a file for `apply`
    Save {
        /// The file, replaced if it exists; standard output if it is missing or -
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Print JSON in place of TOML
        #[arg(long, conflicts_with = "file")]
        json: bool,
    },
    /// Check how well the machine is set up for partitions without noise
    ///
    /// For each finding: what was found, why it matters, what to change. CPUs of the LWK are those of its partitions,
    /// or those of lwkcpus= where the device cannot be asked.
    #[command(
        after_long_help = "Exit status: 0 if all is well, 1 if there is a finding, 2 if the check failed."
    )]
    Doctor {
        /// Print JSON; its field "schema" changes when the meaning of a field does
        #[arg(long)]
        json: bool,
        /// Check the machine whose /proc, /sys and /etc are in this directory
        #[arg(long, value_name = "DIR", default_value = "/")]
        sysroot: PathBuf,
    },
    /// Print the versions of this tool and of the kernel's ABI
    Version,
}

/// Arguments of `show`.
#[derive(Debug, Clone, Args)]
pub struct Show {
    /// Show only this partition, by name or id
    pub name: Option<String>,
    /// Print JSON; its field "schema" changes when the meaning of a field does
    #[arg(long)]
    pub json: bool,
    /// Show what took LWK CPUs away from their programs
    ///
    /// For each LWK CPU since it joined its partition: entries into the kernel by kind, interrupts by source,
    /// kernel threads that ran in place of a job, context switches and page faults. Text leaves out what is zero
    /// everywhere, JSON does not.
    #[arg(long)]
    pub noise: bool,
}

/// Arguments of `noise`.
#[derive(Debug, Clone, Args)]
pub struct Noise {
    /// Only the CPUs of this partition, by name or id
    pub name: Option<String>,
    /// Only these LWK CPUs
    #[arg(short, long, value_name = "LIST")]
    pub cpus: Option<CpuList>,
    /// Go on, and tell every so many seconds what is new
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = seconds)]
    pub watch: Option<Duration>,
    /// Only what was in the last so many seconds
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    pub since: Option<Duration>,
    /// Print JSON; its field "schema" changes when the meaning of a field does. With --watch one object a line
    #[arg(long)]
    pub json: bool,
}

/// A time in seconds, such as 2 or 0.5.
fn seconds(text: &str) -> Result<Duration, String> {
    let time = text
        .parse()
        .ok()
        .and_then(|s| Duration::try_from_secs_f64(s).ok());
    time.filter(|time| !time.is_zero())
        .ok_or_else(|| "a number of seconds is needed, such as 2 or 0.5".to_owned())
}

/// Arguments of `mem`.
#[derive(Debug, Clone, Copy, Args)]
pub struct Mem {
    /// Also look what Linux could give, which takes a while; needs CAP_SYS_ADMIN
    #[arg(short, long)]
    pub survey: bool,
    /// Print JSON; its field "schema" changes when the meaning of a field does
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `syscalls`.
#[derive(Debug, Clone, Args)]
pub struct Syscalls {
    /// The job, by its id as `lwkctl show` prints it
    #[arg(value_name = "JOB", value_parser = job)]
    pub job: u32,
    /// Carry these calls out on a CPU of Linux
    ///
    /// Where --move, --local and --native overlap, the list that names fewer calls wins.
    #[arg(long = "move", value_name = "LIST", conflicts_with = "syscalls", value_parser = |text: &str| list(text, Place::Move))]
    pub moved: Option<String>,
    /// Carry these calls out by Linux on the CPU of the thread
    #[arg(long, value_name = "LIST", conflicts_with = "syscalls", value_parser = |text: &str| list(text, Place::Local))]
    pub local: Option<String>,
    /// Carry these calls out by the LWK itself
    #[arg(long, value_name = "LIST", conflicts_with = "syscalls", value_parser = |text: &str| list(text, Place::Native))]
    pub native: Option<String>,
    /// Measure the time of all calls, not only of moved ones
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes", hide_possible_values = true)]
    pub timed: Option<Whether>,
    /// Also tell of each thread
    #[arg(short, long)]
    pub threads: bool,
    /// Go on, and tell every so many seconds what is new
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = seconds)]
    pub watch: Option<Duration>,
    /// Print JSON; its field "schema" changes when the meaning of a field does. With --watch one object a line
    #[arg(long)]
    pub json: bool,
    /// What to set.
    #[command(flatten)]
    pub calls: Calls,
}

/// The id of a job.
fn job(text: &str) -> Result<u32, String> {
    let job = text.parse().ok().filter(|job| *job != 0);
    job.ok_or_else(|| "a job is named by its id, a number that lwkctl show prints".to_owned())
}

/// Arguments of `policy`.
#[derive(Debug, Clone, Args)]
pub struct PartitionPolicy {
    /// The partition, by name or id
    pub name: String,
    /// Set all that the other options do not say to what a new partition has
    #[arg(long)]
    pub reset: bool,
    /// Print JSON; its field "schema" changes when the meaning of a field does
    #[arg(long)]
    pub json: bool,
    /// What to set for memory.
    #[command(flatten)]
    pub policies: Policies,
    /// What to set for system calls.
    #[command(flatten)]
    pub calls: Calls,
}

/// How a change is made and told.
#[derive(Debug, Clone, Copy, Args)]
pub struct Mode {
    /// Change nothing; say what would be done, and what of it the kernel would refuse
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON; its field "schema" changes when the meaning of a field does
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `create`.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["cpus", "auto"]))]
pub struct Create {
    /// The partition's name; the first of lwk0, lwk1 and so on that is not taken if it is missing
    ///
    /// A letter, then letters, digits, '-', '_' and '.', at most 31 in all.
    pub name: Option<PartitionName>,
    /// The LWK CPUs, as a list such as 2-7,10
    #[arg(short, long, value_name = "LIST")]
    pub cpus: Option<CpuList>,
    /// The CPUs of Linux that serve the partition
    #[arg(short, long, value_name = "LIST")]
    pub service: Option<CpuList>,
    /// Memory for the partition, taken from Linux
    ///
    /// Amounts of NUMA nodes, such as 0:4G,1:4G, or of all nodes together, such as 8G; with K, M, G or T, or all. All
    /// nodes together means first those of its CPUs. Rounded up to blocks of 2M.
    #[arg(short, long, value_name = "[NODE:]SIZE,...")]
    pub mem: Option<MemoryWish>,
    /// Choose the CPUs: so many, at most that part of those on line, or all that can be had
    ///
    /// Takes whole cores, leaves the first core of the machine to Linux, keeps in each NUMA node a CPU of Linux that
    /// serves the partition (unless --service names them), and takes as many from each node as it can.
    #[arg(short, long, value_name = "N|PERCENT|all", num_args = 0..=1, default_missing_value = "all")]
    pub auto: Option<Share>,
    /// Plan for the machine whose /sys is in this directory
    #[arg(long, value_name = "DIR", requires = "dry_run")]
    pub sysroot: Option<PathBuf>,
    /// How.
    #[command(flatten)]
    pub mode: Mode,
}

/// Arguments of `resize`.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("which").required(true).multiple(true).args(["add", "remove", "mem"]))]
pub struct Resize {
    /// The partition, by name or id
    pub name: String,
    /// The CPUs to take from Linux
    #[arg(short, long, value_name = "LIST")]
    pub add: Option<CpuList>,
    /// The CPUs to give back
    #[arg(short, long, value_name = "LIST")]
    pub remove: Option<CpuList>,
    /// The memory that it is to have from here on
    ///
    /// As for create; nodes that are not named keep theirs, and 0 gives all of a node back. What jobs were promised
    /// cannot be given back.
    #[arg(short, long, value_name = "[NODE:]SIZE,...", value_parser = MemoryWish::parse_target)]
    pub mem: Option<MemoryWish>,
    /// How.
    #[command(flatten)]
    pub mode: Mode,
}

/// Arguments of `delete`.
#[derive(Debug, Clone, Args)]
pub struct Delete {
    /// The partition, by name or id
    pub name: String,
    /// How.
    #[command(flatten)]
    pub mode: Mode,
}

/// Arguments of `apply`.
#[derive(Debug, Clone, Args)]
pub struct Apply {
    /// The file; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How.
    #[command(flatten)]
    pub mode: Mode,
}

/// What follows the options of `noise`.
const NOISE: &str = "\
Causes have the names of /proc/interrupts. The culprit is what ran on the sending CPU when the interrupt arrived: the
sender itself if it waits for the interrupt to be handled. Numbers of processes are those of the pid namespace that
lwkctl runs in. What disturbed jobs of other users is told to CAP_PERFMON only.
Non-maskable interrupts are found late, by their counter, so that their time and duration are not known.

Example: lwkctl noise rt --watch";

/// What follows the options of `syscalls`.
const SYSCALLS: &str = "\
Columns: where the call is carried out now; how often it was made, and how often of that by Linux
where it was made, on a CPU of Linux, there as the thread had stayed after the call before, and by
the LWK; the means of the way there and back, of the time there, and of the time of local calls
(with --timed); the longest with its way. The call file_fault is a fault on a page of a
file that had to be read.

Example: lwkctl syscalls 3 --local lseek,read --watch";

/// What follows the options of `apply`.
const EXAMPLE_FILE: &str = "\
The file is TOML; `lwkctl save` writes one:

  version = 1

  [[partition]]
  name = \"solver\"
  cpus = \"2-7\"
  service = \"0\"

Without service no CPU serves the partition, without mem it has no memory. Policies of memory and
of system calls are options of yod, as maxpage = \"heap:4k\", aligned_mmap = \"16M\", strict = true,
syscalls = \"local=read,write\", exclusive_wait = true, syscall_batch = \"no\" or idle = \"poll\".
/etc/lwk/partitions.toml is applied at boot if the unit lwkctl.service is enabled.";

/// What follows the options in the long help and the manual page.
pub const AFTER: &str = "\
Exit status: 0 if all went well, 1 if it failed at run time, 2 if the command line is wrong. `doctor` has its own.

Changing partitions needs CAP_SYS_ADMIN, looking at them read access to /dev/lwk.";

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
        assert!(Options::try_parse_from(["lwkctl", "show", "a", "b"]).is_err());
    }

    fn parses(line: &str) -> bool {
        Options::try_parse_from(format!("lwkctl {line}").split(' ')).is_ok()
    }

    #[test]
    fn a_change_says_which_cpus() {
        for good in [
            "create --cpus 2-3",
            "create rt -c 2-3 -s 0,1 --dry-run --json",
            "create --auto",
            "create rt --auto 50%",
            "create --auto all --service 0",
            "resize rt --add 2",
            "resize rt --remove 2 --add 3",
            "resize rt --mem 0:0,1:2G",
            "mem --survey --json",
            "policy rt",
            "policy rt --maxpage heap:4k --strict=no --json",
            "policy rt --reset",
            "policy rt --syscalls local=read --exclusive-wait=no --idle poll",
            "syscalls 3",
            "syscalls 3 --move %file --local read,write --native all --timed --threads --json",
            "syscalls 3 --syscalls local=all,move=%network --watch",
            "syscalls 3 -t -w 0.5 --syscall-batch 100us --exclusive-wait",
            "delete rt",
            "noise",
            "noise rt --cpus 2-3 --since 0.5 --json",
            "noise --watch",
            "noise rt -w 1",
            "apply -",
            "save",
        ] {
            assert!(parses(good), "{good}");
        }
        for bad in [
            "create",
            "create rt",
            "create --cpus 2 --auto",
            "create --cpus 3-2",
            "create --cpus 2 --mem 1X",
            "create a/b --cpus 2",
            "create --auto 0",
            "create --auto --sysroot /x",
            "resize rt",
            "resize --add 2",
            "policy",
            "policy rt --maxpage 4k",
            "policy rt --syscall-batch 2ms",
            "syscalls",
            "syscalls 0",
            "syscalls sh",
            "syscalls 3 --native read",
            "syscalls 3 --move rt_sigreturn",
            "syscalls 3 --local read --syscalls local=read",
            "syscalls 3 --local",
            "delete",
            "noise a b",
            "noise --watch 0",
            "noise --since -1",
            "noise --since x",
            "noise --cpus 3-2",
            "apply",
        ] {
            assert!(!parses(bad), "{bad}");
        }
    }
}
