// SPDX-License-Identifier: GPL-2.0
//! Who owns which CPU: partitions take CPUs from Linux, jobs take CPUs from one partition.
//!
//! ```text
//! CPU of Linux --create--> free CPU of a partition --reserve--> CPU of a job
//!              <--delete--                         <--release--
//! ```
//!
//! The table stores for each CPU what it is and for each partition only its name and flags; sets and counts come from
//! a scan over the CPUs. Every operation checks first and then changes, so that an error leaves the table as it was.
//! The caller holds one lock around the table; nothing here is on a hot path. CPUs change owner slowly and without that
//! lock: meanwhile the table says of them that they move, and no job gets them.

mod error;
mod id;
mod record;
#[cfg(test)]
mod tests;

pub use error::TableError;
pub use id::{JobId, PartitionId};

use super::cpuset::{CpuId, CpuSet};
use super::error::Excerpt;
use crate::uapi::{MAX_CPUS, MAX_PARTITIONS, NAME_LEN};
use record::{Record, Slot, NONE, NO_CPU};

/// Which CPUs a job wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Want<'a> {
    /// All that are free in one partition, at least one.
    All,
    /// So many, the lowest that are free.
    Count(u32),
    /// Exactly these.
    Exact(&'a CpuSet),
}

/// What is known of one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionView<'a> {
    /// Its number.
    pub id: PartitionId,
    /// Its name, without NUL.
    pub name: &'a [u8],
    /// Its flags, as given at its creation.
    pub flags: u32,
    /// How many LWK CPUs it has.
    pub nr_cpus: u32,
    /// How many of them no job holds.
    pub nr_free: u32,
    /// How many jobs it runs.
    pub nr_jobs: u32,
}

/// What is known of one job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JobView {
    /// Its number.
    pub id: JobId,
    /// The partition that it runs in.
    pub partition: PartitionId,
    /// How many CPUs it holds.
    pub nr_cpus: u32,
}

/// All partitions and jobs; about 15 KiB, so keep it in a static.
#[derive(Clone, PartialEq, Eq)]
pub struct Table {
    records: [Record; MAX_CPUS],
    /// Partition `n` is at `n - 1`.
    slots: [Slot; MAX_PARTITIONS],
    /// The number to try first for the next job.
    next_job: JobId,
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

impl Table {
    /// Returns the table where Linux has every CPU; for the initial value of a static, because it is too large for a
    /// kernel stack.
    pub const fn new() -> Self {
        Self {
            records: [Record::LINUX; MAX_CPUS],
            slots: [Slot::FREE; MAX_PARTITIONS],
            next_job: JobId(1),
        }
    }

    /// Makes a partition of CPUs that Linux has, served by CPUs that stay with Linux.
    ///
    /// # Errors
    ///
    /// The name is bad or taken, a CPU has another role already, or there are [`MAX_PARTITIONS`].
    pub fn create(
        &mut self,
        name: &[u8],
        cpus: &CpuSet,
        service: &CpuSet,
        flags: u32,
    ) -> Result<PartitionId, TableError> {
        check_name(name)?;
        if let Some(taken) = self.partitions().find(|view| view.name == name) {
            return Err(TableError::NameTaken(taken.id));
        }
        if cpus.is_empty() {
            return Err(TableError::EmptyPartition);
        }
        if let Some(cpu) = cpus.intersection(service).first() {
            return Err(TableError::BothRoles(cpu));
        }
        self.check_unused(cpus)?;
        self.check_unused(service)?;
        let (id, slot) = (1..)
            .map(PartitionId)
            .zip(&mut self.slots)
            .find(|(_, slot)| slot.name().is_empty())
            .ok_or(TableError::TooManyPartitions)?;
        *slot = Slot {
            flags,
            ..Slot::FREE
        };
        for (to, from) in slot.name.iter_mut().zip(name) {
            *to = *from;
            slot.name_len += 1;
        }
        let tag = id.tag();
        // INVARIANT: `check_unused` found both roles free, and the sets are disjoint.
        self.update(cpus, |record| record.partition = tag);
        self.update(service, |record| record.serves = tag);
        Ok(id)
    }

    /// Gives the CPUs of a partition back to Linux.
    ///
    /// # Errors
    ///
    /// There is no such partition, or it runs jobs.
    pub fn delete(&mut self, id: PartitionId) -> Result<(), TableError> {
        self.check_deletable(id)?;
        self.clear(id);
        Ok(())
    }

    /// Notes where CPUs are that could not be moved back to whose they were: those of `kept` are the partition's, those
    /// of `lost`, which no job holds, are Linux'. A partition that has no CPU then is no more.
    pub fn correct(&mut self, id: PartitionId, kept: &CpuSet, lost: &CpuSet) {
        if self.view(id).is_none() {
            return;
        }
        let tag = id.tag();
        // INVARIANT: Those to keep had no role before the change; no job holds one of those that are lost.
        self.update(kept, |record| record.partition = tag);
        self.update(lost, |record| *record = Record::LINUX);
        if self.cpus_of(id).is_empty() {
            self.clear(id);
        }
    }

    /// Makes a partition that exists be none.
    fn clear(&mut self, id: PartitionId) {
        let tag = id.tag();
        for record in self
            .records
            .iter_mut()
            .filter(|record| record.partition == tag || record.serves == tag)
        {
            *record = Record::LINUX;
        }
        if let Some(slot) = self.slots.get_mut(usize::from(tag) - 1) {
            *slot = Slot::FREE;
        }
    }

    /// Checks that a partition may end.
    ///
    /// # Errors
    ///
    /// There is no such partition, or it runs jobs.
    pub fn check_deletable(&self, id: PartitionId) -> Result<(), TableError> {
        match self
            .view(id)
            .ok_or(TableError::NoSuchPartition(id))?
            .nr_jobs
        {
            0 => Ok(()),
            nr_jobs => Err(TableError::HasJobs { id, nr_jobs }),
        }
    }

    /// Adds CPUs of Linux to a partition and gives free ones of its CPUs back.
    ///
    /// # Errors
    ///
    /// There is no such partition, it would be left without a CPU, a CPU to add has another role, or a CPU to remove
    /// is not the partition's or is held by a job.
    pub fn resize(
        &mut self,
        id: PartitionId,
        add: &CpuSet,
        remove: &CpuSet,
    ) -> Result<(), TableError> {
        if self.view(id).is_none() {
            return Err(TableError::NoSuchPartition(id));
        }
        if let Some(cpu) = add.intersection(remove).first() {
            return Err(TableError::BothRoles(cpu));
        }
        self.check_unused(add)?;
        if !remove.is_empty() {
            self.check_exact(Some(id), remove)?;
        }
        if self.cpus_of(id).union(add).difference(remove).is_empty() {
            return Err(TableError::EmptyPartition);
        }
        let tag = id.tag();
        // INVARIANT: The CPUs to add had no role, and no job holds one of those to remove.
        self.update(add, |record| record.partition = tag);
        self.update(remove, |record| *record = Record::LINUX);
        Ok(())
    }

    /// Keeps free CPUs of partitions from jobs, as they are not where the table says before [`arrive`](Self::arrive).
    pub fn depart(&mut self, cpus: &CpuSet) {
        // INVARIANT: Both are tested.
        self.update(cpus, |record| record.is_moving = record.is_free());
    }

    /// Lets jobs have these CPUs.
    pub fn arrive(&mut self, cpus: &CpuSet) {
        self.update(cpus, |record| record.is_moving = false);
    }

    /// Reserves CPUs of one partition for a new job; without `from` of the first partition that can serve it.
    ///
    /// # Errors
    ///
    /// No partition has these CPUs or so many, or they are not free.
    pub fn reserve(
        &mut self,
        from: Option<PartitionId>,
        want: Want<'_>,
    ) -> Result<(JobId, PartitionId, CpuSet), TableError> {
        if let Some(id) = from.filter(|id| self.view(*id).is_none()) {
            return Err(TableError::NoSuchPartition(id));
        }
        if self.nr_partitions() == 0 {
            return Err(TableError::NoPartition);
        }
        let (id, cpus) = match want {
            Want::Exact(cpus) => {
                let id = self.check_exact(from, cpus)?;
                if let Some(cpu) = cpus.difference(&self.free_of(id)).first() {
                    return Err(TableError::NotLwk(cpu));
                }
                (id, *cpus)
            }
            Want::Count(0) => return Err(TableError::NoCpuWanted),
            Want::Count(count) => self.find_count(from, count)?,
            Want::All => self
                .find_count(from, 1)
                .map(|(id, _)| (id, self.free_of(id)))?,
        };
        let job = self.unused_job();
        self.next_job = job.next();
        self.assign(job, &cpus);
        Ok((job, id, cpus))
    }

    /// Ends a job and returns the CPUs that became free.
    ///
    /// # Errors
    ///
    /// There is no such job.
    pub fn release(&mut self, job: JobId) -> Result<CpuSet, TableError> {
        let cpus = self.cpus_of_job(job);
        if cpus.is_empty() {
            return Err(TableError::NoSuchJob(job));
        }
        self.update(&cpus, |record| {
            record.head = NO_CPU;
            record.job = 0;
        });
        Ok(cpus)
    }

    /// Returns the partition that owns a CPU.
    pub fn owner(&self, cpu: CpuId) -> Option<PartitionId> {
        PartitionId::new(u32::from(self.record(cpu)?.partition))
    }

    /// Returns the partition that a CPU of Linux serves.
    pub fn serves(&self, cpu: CpuId) -> Option<PartitionId> {
        PartitionId::new(u32::from(self.record(cpu)?.serves))
    }

    /// Returns the job that holds a CPU.
    pub fn job_of(&self, cpu: CpuId) -> Option<JobId> {
        let head = self.records.get(usize::from(self.record(cpu)?.head))?;
        JobId::new(head.job)
    }

    /// Returns the CPUs that a job holds, none if there is no such job.
    pub fn cpus_of_job(&self, job: JobId) -> CpuSet {
        let head = self.heads().find(|(_, record)| record.job == job.0);
        head.map_or(CpuSet::EMPTY, |(cpu, _)| {
            self.cpus_where(|record| u32::from(record.head) == cpu.get())
        })
    }

    /// Returns the LWK CPUs of a partition, none if there is no such partition.
    pub fn cpus_of(&self, id: PartitionId) -> CpuSet {
        let tag = id.tag();
        self.cpus_where(|record| tag != NONE && record.partition == tag)
    }

    /// Returns the service CPUs of a partition, none if there is no such partition.
    pub fn service_of(&self, id: PartitionId) -> CpuSet {
        let tag = id.tag();
        self.cpus_where(|record| tag != NONE && record.serves == tag)
    }

    /// Returns the CPUs of a partition that a job could get.
    pub fn free_of(&self, id: PartitionId) -> CpuSet {
        let tag = id.tag();
        self.cpus_where(|record| record.partition == tag && record.is_free())
    }

    /// Returns the partition with the smallest number that is not below `from`.
    pub fn next_partition(&self, from: u32) -> Option<PartitionView<'_>> {
        let skipped = usize::try_from(from.saturating_sub(1)).ok()?;
        let mut ids = (1..).map(PartitionId).take(MAX_PARTITIONS).skip(skipped);
        ids.find_map(|id| self.view(id))
    }

    /// Returns the job with the smallest number that is not below `from`.
    pub fn next_job(&self, from: u32) -> Option<JobView> {
        let later = self.heads().filter(|(_, record)| record.job >= from);
        let (cpu, record) = later.min_by_key(|(_, record)| record.job)?;
        let of_job = |other: &&Record| u32::from(other.head) == cpu.get();
        Some(JobView {
            id: JobId::new(record.job)?,
            partition: PartitionId::new(u32::from(record.partition))?,
            nr_cpus: count(self.records.iter().filter(of_job)),
        })
    }

    /// Returns how many partitions there are.
    pub fn nr_partitions(&self) -> u32 {
        count(self.slots.iter().filter(|slot| !slot.name().is_empty()))
    }

    /// Returns how many jobs there are.
    pub fn nr_jobs(&self) -> u32 {
        count(self.heads())
    }

    /// Returns what is known of a partition.
    fn view(&self, id: PartitionId) -> Option<PartitionView<'_>> {
        let slot = self
            .slots
            .get(usize::try_from(id.0).ok()?.checked_sub(1)?)?;
        if slot.name().is_empty() {
            return None;
        }
        let tag = id.tag();
        Some(PartitionView {
            id,
            name: slot.name(),
            flags: slot.flags,
            nr_cpus: count(self.records.iter().filter(|record| record.partition == tag)),
            nr_free: count(
                self.records
                    .iter()
                    .filter(|record| record.partition == tag && record.is_free()),
            ),
            nr_jobs: count(self.heads().filter(|(_, record)| record.partition == tag)),
        })
    }

    /// Goes through the partitions.
    fn partitions(&self) -> impl Iterator<Item = PartitionView<'_>> {
        (1..)
            .map(PartitionId)
            .take(MAX_PARTITIONS)
            .filter_map(|id| self.view(id))
    }

    /// Goes through the lowest CPUs of the jobs.
    fn heads(&self) -> impl Iterator<Item = (CpuId, &Record)> {
        self.all()
            .filter(|(cpu, record)| u32::from(record.head) == cpu.get())
    }

    /// Goes through all CPUs.
    fn all(&self) -> impl Iterator<Item = (CpuId, &Record)> {
        let records = self.records.iter().enumerate();
        records.filter_map(|(index, record)| Some((CpuId::from_index(index)?, record)))
    }

    /// Returns the CPUs whose record is of this kind.
    fn cpus_where(&self, is_wanted: impl Fn(&Record) -> bool) -> CpuSet {
        self.all()
            .filter(|(_, record)| is_wanted(record))
            .map(|(cpu, _)| cpu)
            .collect()
    }

    /// Returns what a CPU is.
    fn record(&self, cpu: CpuId) -> Option<&Record> {
        self.records.get(cpu.index())
    }

    /// Changes the records of some CPUs.
    fn update(&mut self, cpus: &CpuSet, change: impl Fn(&mut Record)) {
        for cpu in cpus {
            if let Some(record) = self.records.get_mut(cpu.index()) {
                change(record);
            }
        }
    }

    /// Checks that CPUs have no role yet.
    fn check_unused(&self, cpus: &CpuSet) -> Result<(), TableError> {
        for cpu in cpus {
            if let Some(id) = self.owner(cpu) {
                return Err(TableError::Owned { cpu, id });
            }
            if let Some(id) = self.serves(cpu) {
                return Err(TableError::Serves { cpu, id });
            }
        }
        Ok(())
    }

    /// Checks that these CPUs are free in one partition, and returns it.
    fn check_exact(
        &self,
        from: Option<PartitionId>,
        cpus: &CpuSet,
    ) -> Result<PartitionId, TableError> {
        let mut found = from;
        for cpu in cpus {
            let id = self.owner(cpu).ok_or(TableError::NotLwk(cpu))?;
            let other = *found.get_or_insert(id);
            if id != other {
                return Err(TableError::OtherPartition { cpu, id, other });
            }
        }
        let id = found
            .filter(|_| !cpus.is_empty())
            .ok_or(TableError::NoCpuInSet)?;
        for cpu in cpus {
            if let Some(job) = self.job_of(cpu) {
                return Err(TableError::CpuBusy { cpu, job });
            }
        }
        Ok(id)
    }

    /// Finds the first partition with so many free CPUs, and the lowest of them.
    fn find_count(
        &self,
        from: Option<PartitionId>,
        count: u32,
    ) -> Result<(PartitionId, CpuSet), TableError> {
        let (mut most, mut most_free) = (0, 0);
        for view in self
            .partitions()
            .filter(|view| from.map_or(true, |id| id == view.id))
        {
            if view.nr_free >= count {
                let lowest = usize::try_from(count).unwrap_or(MAX_CPUS);
                return Ok((view.id, self.free_of(view.id).iter().take(lowest).collect()));
            }
            most = most.max(view.nr_cpus);
            most_free = most_free.max(view.nr_free);
        }
        if count > most {
            Err(TableError::TooManyCpus {
                wanted: count,
                most,
            })
        } else {
            Err(TableError::NotEnoughFree {
                wanted: count,
                free: most_free,
            })
        }
    }

    /// Finds a number for a new job.
    fn unused_job(&self) -> JobId {
        let mut job = self.next_job;
        // Ends, because there are fewer jobs than numbers.
        while self.heads().any(|(_, record)| record.job == job.0) {
            job = job.next();
        }
        job
    }

    /// Gives free CPUs to a job.
    fn assign(&mut self, job: JobId, cpus: &CpuSet) {
        let Some(first) = cpus.first() else { return };
        let head = u16::try_from(first.get()).unwrap_or(NO_CPU);
        // INVARIANT: All of them get the lowest as their head, and only that one gets the number.
        self.update(cpus, |record| record.head = head);
        self.update(&CpuSet::single(first), |record| record.job = job.0);
    }
}

/// Checks a partition name: it becomes a file name, a column of a table and an argument that may also be a number.
fn check_name(name: &[u8]) -> Result<(), TableError> {
    if name.len() >= NAME_LEN {
        return Err(TableError::LongName(Excerpt::new(name)));
    }
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !name.first().is_some_and(u8::is_ascii_alphabetic) || !name.iter().all(is_plain) {
        return Err(TableError::BadName(Excerpt::new(name)));
    }
    Ok(())
}

/// Counts what cannot be more than there are CPUs.
fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    items.fold(0, |sum, _| sum + 1)
}
