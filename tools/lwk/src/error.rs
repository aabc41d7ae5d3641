// SPDX-License-Identifier: GPL-2.0
//! The one error type: each message says what was asked, what was found and what to do.

use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use lwk_logic::logic::cpuset::CpuSet;
use rustix::io::Errno;
use thiserror::Error as ThisError;

use crate::device::Target;
use crate::memory::Amount;
use crate::model::{Job, Partition};
use crate::refusal::ChangeError;

/// Why a call of the device failed.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// An option for memory makes no sense.
    #[error(transparent)]
    Policy(#[from] crate::policies::PolicyError),
    /// There is no device node.
    #[error("cannot open {}: there is no such device; boot a kernel built with CONFIG_LWK=y", path.display())]
    NoDevice {
        /// The path that was tried.
        path: PathBuf,
    },
    /// The node's mode keeps the caller out.
    #[error(
        "cannot open {}: permission denied; run as root, or have the administrator grant you read and write access",
        path.display()
    )]
    NoPermission {
        /// The path that was tried.
        path: PathBuf,
    },
    /// The node could not be opened for another reason.
    #[error("cannot open {}: {errno}; {}", path.display(), remedy(*errno))]
    Open {
        /// The path that was tried.
        path: PathBuf,
        /// What the kernel said.
        errno: Errno,
    },
    /// The file is not the LWK's device.
    #[error(
        "{} is not the device of an LWK: it does not answer the ioctl Info ({errno}); \
         name another with --device, or boot a kernel with an LWK",
        path.display()
    )]
    NotLwk {
        /// The path that was tried.
        path: PathBuf,
        /// What the kernel said.
        errno: Errno,
    },
    /// Kernel and tool speak different versions of the ABI.
    #[error(
        "the kernel speaks version {kernel} of the LWK ABI and this tool version {tool}; \
         use the tools that were built with the running kernel"
    )]
    AbiMismatch {
        /// The tool's version.
        tool: u32,
        /// The kernel's version.
        kernel: u32,
    },
    /// The job asked for does not exist.
    #[error("there is no job {asked}; {hint}see lwkctl show")]
    NoSuchJob {
        /// Its number as asked.
        asked: u32,
        /// What may help, with a semicolon and a blank after it.
        hint: String,
    },
    /// Only some may say where system calls are carried out.
    #[error(
        "cannot set where the system calls of {} are carried out: {}",
        Whom(target),
        Allowed(target)
    )]
    NotYours {
        /// Whose.
        target: Target,
    },
    /// Only some may see what the threads of a job do.
    #[error(
        "cannot read the system calls of job {job}, which is another user's: it takes the user id that created the job, \
         or CAP_PERFMON"
    )]
    NotShown {
        /// The job.
        job: u32,
    },
    /// A table of system calls makes no sense.
    #[error(transparent)]
    Calls(#[from] crate::calls::CallsError),
    /// No partition exists.
    #[error(
        "there is no partition; make one with lwkctl create, for example: lwkctl create --auto"
    )]
    NoPartition,
    /// The partition asked for does not exist.
    #[error("there is no partition {asked}; there is {}", Join(existing))]
    NoSuchPartition {
        /// Its name or id as asked.
        asked: String,
        /// The partitions that exist, as id and name.
        existing: Vec<Named>,
    },
    /// CPUs asked for belong to no partition that may serve the request.
    #[error(
        "cannot reserve {}: {} not in {}; there are {}",
        CpusText(asked),
        IsAre(outside),
        Whose(offers),
        Join(offers)
    )]
    NotInPartition {
        /// The CPUs asked for.
        asked: Box<CpuSet>,
        /// Those in no partition.
        outside: Box<CpuSet>,
        /// What the partitions have.
        offers: Vec<Offer>,
    },
    /// CPUs asked for belong to several partitions.
    #[error(
        "cannot reserve {}: a job runs in one partition; ask for CPUs of only one: {}",
        CpusText(asked),
        Join(offers)
    )]
    SpansPartitions {
        /// The CPUs asked for.
        asked: Box<CpuSet>,
        /// What the partitions have.
        offers: Vec<Offer>,
    },
    /// Other jobs hold CPUs asked for.
    #[error("cannot reserve {}: {}; {}", CpusText(asked), Join(held), WaitOr(free))]
    Busy {
        /// The CPUs asked for.
        asked: Box<CpuSet>,
        /// Who holds which of them.
        held: Vec<Held>,
        /// The CPUs of that partition that nobody holds.
        free: Box<CpuSet>,
    },
    /// More CPUs were asked for than a partition has free.
    #[error(
        "cannot reserve {asked} CPUs of one partition: at most {} free, {}; ask for fewer or wait for a job to end",
        best.cpus.len(), best
    )]
    TooFew {
        /// How many were asked for.
        asked: NonZeroU32,
        /// The free CPUs of the partition that has most.
        best: Box<Offer>,
    },
    /// All CPUs are held.
    #[error("no LWK CPU is free: {}; wait until a job ends", Join(held))]
    NoneFree {
        /// Who holds which.
        held: Vec<Held>,
    },
    /// There is less memory than a job asks for.
    #[error(
        "cannot reserve {}: {} of the partition's {} are free; ask for less, or give it memory with lwkctl resize --mem",
        Amount::Bytes(*asked), Amount::Bytes(*free), Amount::Bytes(*total)
    )]
    NoMemory {
        /// Bytes that were asked for.
        asked: u64,
        /// Bytes that no job was promised.
        free: u64,
        /// Bytes that the partition has.
        total: u64,
    },
    /// The caller has a policy that no thread of a job may have.
    #[error(
        "cannot enter the job with SCHED_DEADLINE, whose bandwidth is of Linux' CPUs, nor with a cookie of core scheduling; \
         start it with another policy, for example: chrt --other 0 yod COMMAND, and without PR_SCHED_CORE"
    )]
    HasDeadline,
    /// The kernel refused, and the state of partitions and jobs does not explain it.
    #[error("the kernel refused to {asked}: {errno}; {}", remedy(*errno))]
    Refused {
        /// What was asked.
        asked: &'static str,
        /// What the kernel said.
        errno: Errno,
    },
    /// A change of partitions was refused.
    #[error(transparent)]
    Change(#[from] Box<ChangeError>),
}

impl Error {
    /// The error of a failed `open`.
    pub(crate) fn from_open(path: &Path, errno: Errno) -> Self {
        let path = path.to_owned();
        match errno {
            Errno::NOENT | Errno::NXIO | Errno::NODEV => Self::NoDevice { path },
            Errno::ACCESS | Errno::PERM => Self::NoPermission { path },
            _ => Self::Open { path, errno },
        }
    }

    /// The error of a failed first ioctl.
    pub(crate) fn from_info(path: &Path, errno: Errno) -> Self {
        Self::NotLwk {
            path: path.to_owned(),
            errno,
        }
    }

    /// The error of a job that is not among `jobs`.
    pub(crate) fn no_job(asked: u32, jobs: &[Job]) -> Self {
        let created = jobs.iter().find(|job| job.pid == asked);
        let numbers: Vec<String> = jobs.iter().map(|job| job.id.to_string()).collect();
        let hint = match (created, numbers.as_slice()) {
            (Some(job), _) => format!("process {asked} created job {}; ", job.id),
            (None, []) => "no job runs; ".to_owned(),
            (None, [only]) => format!("there is job {only}; "),
            (None, numbers) => format!("there are jobs {}; ", numbers.join(", ")),
        };
        Self::NoSuchJob { asked, hint }
    }

    /// The error that only an errno explains.
    pub(crate) const fn refused(asked: &'static str, errno: Errno) -> Self {
        Self::Refused { asked, errno }
    }
}

/// What to do where only an error number is known.
pub(crate) fn remedy(errno: Errno) -> &'static str {
    match errno {
        Errno::NOMEM => "the kernel is short of memory: end programs, then try again",
        Errno::INTR => "a signal ended the attempt: try again",
        Errno::MFILE | Errno::NFILE => "too many files are open: close some, then try again",
        Errno::AGAIN | Errno::BUSY => "something is in use: see the kernel log (dmesg), then try again",
        Errno::NOSPC => "memory of jobs that are gone is still in use: see lwkctl mem for who uses it",
        Errno::PERM | Errno::ACCESS => "run it as root, for example with sudo",
        Errno::INVAL | Errno::NOTTY => {
            "kernel and tool may not belong together: use the tools that were built with the running kernel"
        }
        _ => "see the kernel log (dmesg) for the reason",
    }
}

/// Whose system calls.
struct Whom<'a>(&'a Target);

impl fmt::Display for Whom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Target::Partition(id) => write!(f, "partition {id}"),
            Target::Job(id) => write!(f, "job {id}"),
        }
    }
}

/// Who may say where they are carried out.
struct Allowed<'a>(&'a Target);

impl fmt::Display for Allowed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Target::Partition(_) => "it takes CAP_SYS_ADMIN",
            Target::Job(_) => "it takes the user id that created the job, or CAP_SYS_ADMIN",
        })
    }
}

/// CPUs that a job holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub cpus: CpuSet,
    /// The job.
    pub job: u32,
    /// The process that created it, or 0.
    pub pid: u32,
    /// What it runs.
    pub comm: String,
}

impl Held {
    /// `cpus`, as held by `job`.
    pub(crate) fn new(job: &Job, cpus: CpuSet) -> Self {
        Self {
            cpus,
            job: job.id,
            pid: job.pid,
            comm: job.comm.clone(),
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} held by job {} (", IsAre(&self.cpus), self.job)?;
        if self.pid != 0 {
            write!(f, "pid {}, ", self.pid)?;
        }
        write!(f, "{})", self.comm)
    }
}

/// A partition's id and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
}

impl Named {
    /// The id and name of `partition`.
    pub fn new(partition: &Partition) -> Self {
        Self {
            id: partition.id,
            name: partition.name.clone(),
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {} ({})", self.id, self.name)
    }
}

/// CPUs of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Which.
    pub cpus: CpuSet,
    /// Whose.
    pub partition: Named,
}

impl Offer {
    /// `cpus` of `partition`.
    pub(crate) fn new(partition: &Partition, cpus: CpuSet) -> Self {
        Self {
            cpus,
            partition: Named::new(partition),
        }
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.cpus.is_empty() {
            return write!(f, "none in {}", self.partition);
        }
        write!(f, "{} of {}", CpusText(&self.cpus), self.partition)
    }
}

/// `CPU 2` or `CPUs 2-5`.
#[derive(Debug, Clone, Copy)]
pub struct CpusText<'a>(pub &'a CpuSet);

impl fmt::Display for CpusText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}",
            if self.0.len() == 1 { "CPU" } else { "CPUs" },
            self.0
        )
    }
}

/// `CPU 2 is` or `CPUs 2-5 are`.
struct IsAre<'a>(&'a CpuSet);

impl fmt::Display for IsAre<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}",
            CpusText(self.0),
            if self.0.len() == 1 { "is" } else { "are" }
        )
    }
}

/// The partition that lacks the CPUs, or any of them when all were looked at.
struct Whose<'a>(&'a [Offer]);

impl fmt::Display for Whose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [only] => only.partition.fmt(f),
            _ => f.write_str("any partition"),
        }
    }
}

/// What to do when CPUs are held.
struct WaitOr<'a>(&'a CpuSet);

impl fmt::Display for WaitOr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("wait until they are free, no other CPU of the partition is");
        }
        write!(f, "wait, or ask for free {}", CpusText(self.0))
    }
}

/// Items with commas between them.
struct Join<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Join<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nr, item) in self.0.iter().enumerate() {
            write!(f, "{}{item}", if nr == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::JobMemory;

    fn job(id: u32, pid: u32) -> Job {
        Job {
            id,
            partition: 1,
            nr_tasks: 1,
            pid,
            uid: 0,
            comm: "app".to_owned(),
            cpus: CpuSet::EMPTY,
            memory: JobMemory::default(),
        }
    }

    #[test]
    fn a_job_that_is_not_there_is_told_with_those_that_are() {
        let told = |asked, jobs: &[Job]| Error::no_job(asked, jobs).to_string();
        assert_eq!(
            told(9, &[]),
            "there is no job 9; no job runs; see lwkctl show"
        );
        let jobs = [job(3, 812), job(4, 0)];
        assert_eq!(
            told(9, &jobs[..1]),
            "there is no job 9; there is job 3; see lwkctl show"
        );
        assert_eq!(
            told(9, &jobs),
            "there is no job 9; there are jobs 3, 4; see lwkctl show"
        );
        assert_eq!(
            told(812, &jobs),
            "there is no job 812; process 812 created job 3; see lwkctl show"
        );
    }

    #[test]
    fn it_is_told_who_may_set_tables() {
        let told = |target| Error::NotYours { target }.to_string();
        assert_eq!(
            told(Target::Job(3)),
            "cannot set where the system calls of job 3 are carried out: it takes the user id that created the job, \
             or CAP_SYS_ADMIN"
        );
        assert_eq!(
            told(Target::Partition(1)),
            "cannot set where the system calls of partition 1 are carried out: it takes CAP_SYS_ADMIN"
        );
    }
}
