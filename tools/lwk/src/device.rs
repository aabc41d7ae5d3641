// SPDX-License-Identifier: GPL-2.0
//! The open device and its typed calls.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use lwk_logic::logic::mempolicy::Policy;
use lwk_logic::logic::memspec::{Amount, JobAmount};
use lwk_logic::uapi;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::calls::CallPolicy;
use crate::control::{Control, NewPartition, Resize};
use crate::counts::ThreadCalls;
use crate::disturbance::{Disturbance, Disturbances};
use crate::error::{Error, Named};
use crate::memory::Shares;
use crate::model::{text, Cpu, Info, Job, Partition};
use crate::plan::{Cpus, Memory, State, Want};
use crate::pool::{Pool, Survey};
use crate::raw::{self, NotChanged};
use crate::refusal::{Asked, ChangeError};

/// Whose system calls are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Those of the jobs of the partition with this id that do not say so themselves.
    Partition(u32),
    /// Those of the job with this id.
    Job(u32),
}

/// `/dev/lwk`, open and of the ABI version that this library speaks.
///
/// The descriptor closes on exec: a reservation made through it then lives as long as the job's tasks.
#[derive(Debug)]
pub struct Device {
    fd: OwnedFd,
    info: Info,
}

impl Device {
    /// Opens the device and compares ABI versions.
    ///
    /// # Errors
    ///
    /// If it is missing, may not be opened, is another device, or speaks another version.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let device = Self::open_any_version(path)?;
        let kernel = device.info.abi_version;
        if kernel != uapi::ABI_VERSION {
            return Err(Error::AbiMismatch {
                tool: uapi::ABI_VERSION,
                kernel,
            });
        }
        Ok(device)
    }

    /// Opens the device only to tell which ABI version it speaks.
    ///
    /// # Errors
    ///
    /// If it is missing, may not be opened, or is another device.
    pub fn abi_version(path: &Path) -> Result<u32, Error> {
        Ok(Self::open_any_version(path)?.info.abi_version)
    }

    fn open_any_version(path: &Path) -> Result<Self, Error> {
        let fd = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Error::from_open(path, errno))?;
        let info = raw::info(fd.as_fd()).map_err(|errno| Error::from_info(path, errno))?;
        let info = Info {
            abi_version: info.abi_version,
            nr_cpu_ids: info.nr_cpu_ids,
            armed: info.armed != 0,
        };
        Ok(Self { fd, info })
    }

    /// What the kernel offers, as read when the device was opened.
    pub const fn info(&self) -> &Info {
        &self.info
    }

    /// Reads all partitions in the order of their ids.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn partitions(&self) -> Result<Vec<Partition>, Error> {
        self.walk("read the partitions", |fd, id| {
            let (raw, cpus, service) = raw::partition_get(fd, id)?;
            let memory = shares(fd, raw.id)?;
            let policy = raw::partition_policy(fd, raw.id, None)?;
            let calls = raw::call_table(fd, Target::Partition(raw.id), None)?;
            let partition = Partition::new(&raw, &cpus, &service, memory, policy, calls);
            Ok((raw.id, partition))
        })
    }

    /// Reads all jobs in the order of their ids.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn jobs(&self) -> Result<Vec<Job>, Error> {
        self.walk("read the jobs", |fd, id| {
            let (raw, cpus) = raw::job_get(fd, id)?;
            Ok((raw.id, Job::new(&raw, &cpus)))
        })
    }

    /// Reads one CPU; `None` if there can be no such CPU.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn cpu(&self, cpu: u32) -> Result<Option<Cpu>, Error> {
        match raw::cpu_get(self.fd.as_fd(), cpu) {
            Ok(raw) => Ok(Some(Cpu::new(&raw))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::refused("read a CPU", errno)),
        }
    }

    /// Reads all CPUs.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn cpus(&self) -> Result<Vec<Cpu>, Error> {
        (0..self.info.nr_cpu_ids)
            .filter_map(|cpu| self.cpu(cpu).transpose())
            .collect()
    }

    /// Reads the disturbances of a CPU from number `next` on, all that there are; none for a CPU of Linux.
    ///
    /// # Errors
    ///
    /// If there can be no such CPU, or the kernel refuses.
    pub fn disturbances(&self, cpu: u32, next: u64) -> Result<Disturbances, Error> {
        let mut all = Disturbances {
            next,
            ..Disturbances::default()
        };
        loop {
            let (raw, records) = raw::noise_read(self.fd.as_fd(), cpu, all.next)
                .map_err(|errno| Error::refused("read the log of disturbances", errno))?;
            let told = records.iter().map(|record| Disturbance::new(cpu, record));
            all.records.extend(told);
            (all.next, all.lost) = (raw.next.max(all.next), all.lost + raw.lost);
            // Less than there was room for, so that was all; a CPU that is disturbed all the time has no end.
            if records.len() < uapi::NOISE_RECORDS || all.records.len() > 2 * uapi::NOISE_RECORDS {
                return Ok(all);
            }
        }
    }

    /// Reads the memory of all nodes, `partition`'s among it; `survey` also asks what Linux could give.
    ///
    /// # Errors
    ///
    /// If there is no such partition, or the kernel refuses.
    pub fn memory(&self, partition: Option<u32>, survey: Survey) -> Result<Vec<Pool>, Error> {
        let flags = match survey {
            Survey::Yes => uapi::MEM_SURVEY,
            Survey::No => 0,
        };
        let mut pools = Vec::new();
        let mut next = 0;
        loop {
            match raw::mem_get(self.fd.as_fd(), next, partition.unwrap_or(0), flags) {
                Ok(raw) => {
                    next = raw.node.saturating_add(1);
                    pools.push(Pool::new(&raw, survey));
                }
                Err(Errno::NOENT) => return Ok(pools),
                Err(errno) => return Err(Error::refused("read the memory", errno)),
            }
        }
    }

    /// Reads how the memory of a partition's jobs is backed where they do not say so themselves.
    ///
    /// # Errors
    ///
    /// If there is no such partition, or the kernel refuses.
    pub fn policy(&self, partition: u32) -> Result<Policy, Error> {
        raw::partition_policy(self.fd.as_fd(), partition, None)
            .map_err(|errno| Error::refused("read the policy", errno))
    }

    /// Reads where the system calls of a job are carried out, or those of a partition's jobs that do not say so.
    ///
    /// # Errors
    ///
    /// If there is no such job or partition, or the kernel refuses.
    pub fn calls(&self, target: Target) -> Result<CallPolicy, Error> {
        raw::call_table(self.fd.as_fd(), target, None).map_err(|errno| match (errno, target) {
            (Errno::PERM, Target::Job(job)) => Error::NotShown { job },
            _ => Error::refused("read where system calls are carried out", errno),
        })
    }

    /// Sets where the system calls of a job are carried out, or those of a partition's jobs that do not say so.
    ///
    /// # Errors
    ///
    /// If there is no such job or partition, or the kernel refuses.
    pub fn set_calls(&self, target: Target, calls: &CallPolicy) -> Result<(), Error> {
        let set = raw::call_table(self.fd.as_fd(), target, Some(calls)).map(drop);
        set.map_err(|errno| match errno {
            Errno::PERM => Error::NotYours { target },
            errno => Error::refused("set where system calls are carried out", errno),
        })
    }

    /// Reads how often a job made which system call: first the sum of all threads, then each that lives.
    ///
    /// # Errors
    ///
    /// If there is no such job, or the kernel refuses.
    pub fn call_counts(&self, job: u32) -> Result<Vec<ThreadCalls>, Error> {
        let refused = |errno| match errno {
            Errno::PERM => Error::NotShown { job },
            errno => Error::refused("read the counts of system calls", errno),
        };
        let read = |tid| {
            let (raw, records) = raw::calls_read(self.fd.as_fd(), job, tid)?;
            Ok(ThreadCalls {
                tid: raw.tid,
                comm: text(&raw.comm),
                records,
                lost: raw.lost,
            })
        };
        let mut all = vec![read(0).map_err(refused)?];
        let mut next = Some(1);
        while let Some(tid) = next {
            match read(tid) {
                Ok(thread) => {
                    next = thread.tid.max(tid).checked_add(1);
                    all.push(thread);
                }
                Err(Errno::NOENT) => break,
                Err(errno) => return Err(refused(errno)),
            }
        }
        Ok(all)
    }

    /// The job of this number.
    ///
    /// # Errors
    ///
    /// If there is none, or the kernel refuses.
    pub fn job(&self, asked: u32) -> Result<Job, Error> {
        let jobs = self.jobs()?;
        let job = jobs.iter().find(|job| job.id == asked).cloned();
        job.ok_or_else(|| Error::no_job(asked, &jobs))
    }

    /// Reads partitions and jobs.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn state(&self) -> Result<State, Error> {
        Ok(State {
            partitions: self.partitions()?,
            jobs: self.jobs()?,
        })
    }

    /// The id of the partition of that name or number.
    ///
    /// # Errors
    ///
    /// If there is none, or the kernel refuses.
    pub fn partition_id(&self, asked: &str) -> Result<u32, Error> {
        let state = State {
            partitions: self.partitions()?,
            jobs: Vec::new(),
        };
        Ok(state.find(asked)?.id)
    }

    /// Reserves CPUs and returns the job's id; one device reserves one job.
    ///
    /// # Errors
    ///
    /// If the kernel refuses; the error then tells why, as far as partitions and jobs explain it.
    pub fn job_create(&self, want: &Want) -> Result<u32, Error> {
        let (nr_cpus, set) = match &want.cpus {
            Cpus::AllFree => (0, None),
            Cpus::Count(count) => (count.get(), None),
            Cpus::Exactly(set) => (0, Some(set.as_ref())),
        };
        let (mut partition, bytes) = self.memory_wish(want)?;
        let mut policy = None;
        if !want.policies.is_empty() {
            if partition == 0 {
                partition = self.state()?.plan(want)?.partition.id;
            }
            policy = Some(want.policies.over(&self.policy(partition)?)?);
        }
        raw::job_create(
            self.fd.as_fd(),
            partition,
            nr_cpus,
            set,
            bytes,
            policy.as_ref(),
        )
        .map_err(|errno| match errno {
            Errno::NOMEM => self.explain_memory(partition, bytes),
            errno => self.explain(want, errno),
        })
    }

    /// The partition to ask, or 0, and the memory to ask it for as it crosses the ABI.
    fn memory_wish(&self, want: &Want) -> Result<(u32, u64), Error> {
        let asked = want.partition.unwrap_or(0);
        let amount = match want.memory {
            Memory::InProportion => return Ok((asked, 0)),
            Memory::Nothing => return Ok((asked, uapi::MEM_NONE)),
            Memory::Amount(JobAmount::Amount(Amount::All)) => return Ok((asked, uapi::MEM_ALL)),
            Memory::Amount(JobAmount::Amount(Amount::Bytes(bytes))) => return Ok((asked, bytes)),
            Memory::Amount(fraction) => fraction,
        };
        // A part of what there is in the partition that would be taken from.
        let partition = self.state()?.plan(want)?.partition.id;
        let pools = self.memory(Some(partition), Survey::No)?;
        let total: u64 = pools.iter().map(|pool| pool.share).sum();
        let blocks = amount.blocks(total / uapi::MEM_BLOCK_BYTES, uapi::MEM_BLOCK_BYTES);
        Ok((partition, blocks.saturating_mul(uapi::MEM_BLOCK_BYTES)))
    }

    /// Says how much memory there is, where that is too little.
    fn explain_memory(&self, partition: u32, asked: u64) -> Error {
        let of = Some(partition).filter(|id| *id != 0);
        let first = || self.partitions().ok()?.first().map(|first| first.id);
        let pools = self
            .memory(of.or_else(first), Survey::No)
            .unwrap_or_default();
        Error::NoMemory {
            asked,
            free: pools.iter().map(|pool| pool.unreserved).sum(),
            total: pools.iter().map(|pool| pool.share).sum(),
        }
    }

    /// Moves the calling thread, which must be the only one of its process, into a job of this device.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn job_enter(&self, job: u32) -> Result<(), Error> {
        raw::job_enter(self.fd.as_fd(), job).map_err(|errno| match errno {
            Errno::PERM => Error::HasDeadline,
            errno => Error::refused("enter the job", errno),
        })
    }

    /// Says why the kernel refused a reservation.
    ///
    /// What the kernel saw may have changed since; when the state now permits the wish, only the errno is known.
    fn explain(&self, want: &Want, errno: Errno) -> Error {
        let told = match errno {
            Errno::BUSY
            | Errno::NODEV
            | Errno::NOENT
            | Errno::INVAL
            | Errno::NXIO
            | Errno::NOSPC => self.state().and_then(|state| state.plan(want).map(drop)),
            _ => Ok(()),
        };
        told.err()
            .unwrap_or_else(|| Error::refused("reserve CPUs", errno))
    }

    /// Collects what `get` finds from id 1 on until it says `ENOENT`.
    fn walk<T>(
        &self,
        asked: &'static str,
        get: impl Fn(BorrowedFd<'_>, u32) -> Result<(u32, T), Errno>,
    ) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        let mut next = Some(1);
        while let Some(id) = next {
            match get(self.fd.as_fd(), id) {
                Ok((found, item)) => {
                    all.push(item);
                    next = found.max(id).checked_add(1);
                }
                Err(Errno::NOENT) => break,
                Err(errno) => return Err(Error::refused(asked, errno)),
            }
        }
        Ok(all)
    }
}

/// What a partition has of all nodes.
fn shares(fd: BorrowedFd<'_>, partition: u32) -> Result<Shares, Errno> {
    let (mut found, mut next) = (Vec::new(), 0);
    loop {
        match raw::mem_get(fd, next, partition, 0) {
            Ok(raw) => {
                found.push((raw.node, raw.share));
                next = raw.node.saturating_add(1);
            }
            Err(Errno::NOENT) => return Ok(Shares::new(found)),
            Err(errno) => return Err(errno),
        }
    }
}

impl Device {
    /// Sets the policies of a partition that has just been made, as far as they are not those of any new one.
    fn set_new(&mut self, id: u32, new: &NewPartition) -> Result<(), Error> {
        if new.policy != Policy::DEFAULT {
            self.set_policy(id, &new.policy)?;
        }
        if new.calls != CallPolicy::DEFAULT {
            self.set_partition_calls(id, &new.calls)?;
        }
        Ok(())
    }

    /// Says why the kernel refused a change; who has a CPU is as of now.
    fn not_changed(&self, asked: Asked, error: NotChanged) -> Error {
        let state = self.state().unwrap_or_default();
        Box::new(ChangeError::kernel(asked, error, &state)).into()
    }
}

impl Control for Device {
    fn nr_cpus(&self) -> u32 {
        self.info.nr_cpu_ids
    }

    fn state(&self) -> Result<State, Error> {
        Self::state(self)
    }

    fn create(&mut self, new: &NewPartition) -> Result<u32, Error> {
        let memory = new.memory.as_ref();
        let (name, cpus, service) = (&new.name.bytes(), &new.cpus, &new.service);
        let id = raw::partition_create(self.fd.as_fd(), name, cpus, service, memory)
            .map_err(|error| self.not_changed(Asked::Create(Box::new(new.clone())), error))?;
        self.set_new(id, new).inspect_err(|_| {
            // Nobody knows it yet, so that it runs no job; what counts is why it is not as it should be.
            let _ = raw::partition_delete(self.fd.as_fd(), id);
        })?;
        Ok(id)
    }

    fn set_policy(&mut self, partition: u32, policy: &Policy) -> Result<(), Error> {
        raw::partition_policy(self.fd.as_fd(), partition, Some(policy))
            .map(drop)
            .map_err(|errno| Error::refused("set the policy", errno))
    }

    fn set_partition_calls(&mut self, partition: u32, calls: &CallPolicy) -> Result<(), Error> {
        self.set_calls(Target::Partition(partition), calls)
    }

    fn resize(&mut self, partition: &Named, change: &Resize) -> Result<(), Error> {
        let asked = || Asked::Resize(partition.clone(), Box::new(change.clone()));
        let (add, remove, memory) = (&change.add, &change.remove, change.memory.as_ref());
        raw::partition_resize(self.fd.as_fd(), partition.id, add, remove, memory)
            .map_err(|error| self.not_changed(asked(), error))
    }

    fn delete(&mut self, partition: &Named) -> Result<(), Error> {
        raw::partition_delete(self.fd.as_fd(), partition.id)
            .map_err(|error| self.not_changed(Asked::Delete(partition.clone()), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_device_is_not_taken_for_ours() {
        let error = Device::open(Path::new("/dev/null")).expect_err("it must fail");
        assert!(matches!(error, Error::NotLwk { .. }), "{error}");
        assert!(error.to_string().contains("/dev/null"));
    }

    #[test]
    fn a_missing_device_names_the_option_to_build_with() {
        let dir = tempfile::tempdir().expect("it must succeed");
        let error = Device::open(&dir.path().join("lwk")).expect_err("it must fail");
        assert!(matches!(error, Error::NoDevice { .. }), "{error}");
        assert!(error.to_string().contains("CONFIG_LWK"));
    }

    #[test]
    fn a_directory_is_an_open_error() {
        let error = Device::open(Path::new("/")).expect_err("it must fail");
        assert!(matches!(error, Error::Open { .. }), "{error}");
    }
}
