// SPDX-License-Identifier: GPL-2.0
//! The boot parameter `lwkcpus=`, in the grammar that mOS users know.
//!
//! ```text
//! lwkcpus = [ group { ":" group } ]          empty: CPUs can be taken later, none is taken now
//! group   = list                             LWK CPUs without a service CPU
//!         | cpu "." list                     LWK CPUs and the Linux CPU that serves them
//!         | list "."                         further service CPUs, for nobody in particular
//! ```
//!
//! `1.2-7,9:10.11,13,14` gives CPUs 2-7 and 9 to the LWK with CPU 1 to serve them, and 11, 13 and 14 with CPU 10.
//! Lists are those of `cpulist`; their strides cannot be written here, because the colon ends a group.

mod error;
#[cfg(test)]
mod tests;

pub use error::BootError;

use super::cpulist;
use super::cpuset::{CpuId, CpuSet};
use super::error::Excerpt;
use crate::uapi::MAX_CPUS;
use core::fmt;

/// In [`BootSpec::served_by`]: no CPU.
const NOBODY: u16 = u16::MAX;

/// What `lwkcpus=` asks for; about 2 KiB, so keep it in a static and fill it in place.
///
/// # Invariants
///
/// `cpus` and `service` are disjoint; `served_by` names CPUs of `service`, and only for CPUs of `cpus`; `service` is
/// empty if `cpus` is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BootSpec {
    cpus: CpuSet,
    service: CpuSet,
    served_by: [u16; MAX_CPUS],
}

impl BootSpec {
    /// Asks for nothing.
    pub const EMPTY: Self = Self {
        cpus: CpuSet::EMPTY,
        service: CpuSet::EMPTY,
        served_by: [NOBODY; MAX_CPUS],
    };

    /// Replaces it by what the text asks for; `nr_cpus` is one more than the highest CPU number of the machine.
    ///
    /// # Errors
    ///
    /// See [`BootError`]; it asks for nothing then.
    pub fn parse_into(&mut self, text: &[u8], nr_cpus: u32) -> Result<(), BootError> {
        self.clear();
        let result = self.add_groups(cpulist::trim(text), nr_cpus);
        if result.is_err() {
            self.clear();
        }
        result
    }

    /// Checks it against the machine: `possible` CPUs, and the one it booted on, which keeps the time.
    ///
    /// # Errors
    ///
    /// A CPU does not exist, none would remain for Linux, or the boot CPU would go.
    pub fn check(&self, possible: &CpuSet, boot_cpu: CpuId) -> Result<(), BootError> {
        if self.is_empty() {
            return Ok(());
        }
        let missing = |wanted: &CpuSet| wanted.difference(possible).first();
        if let Some(cpu) = missing(&self.cpus).or_else(|| missing(&self.service)) {
            return Err(BootError::NoSuchCpu {
                cpu: cpu.get(),
                nr_cpus: possible.len(),
                last: possible.last().map_or(0, CpuId::get),
            });
        }
        if possible.is_subset(&self.cpus) {
            return Err(BootError::NoLinuxCpu);
        }
        if self.cpus.contains(boot_cpu) {
            return Err(BootError::BootCpu(boot_cpu));
        }
        Ok(())
    }

    /// Says whether it asks for no partition.
    pub fn is_empty(&self) -> bool {
        self.cpus.is_empty()
    }

    /// Returns all LWK CPUs.
    pub fn cpus(&self) -> &CpuSet {
        &self.cpus
    }

    /// Returns all service CPUs.
    pub fn service(&self) -> &CpuSet {
        &self.service
    }

    /// Returns the service CPU of an LWK CPU.
    pub fn service_of(&self, cpu: CpuId) -> Option<CpuId> {
        let number = self.served_by.get(cpu.index()).copied()?;
        CpuId::new(u32::from(number))
    }

    /// Asks for nothing any more, without a copy of it on the stack.
    fn clear(&mut self) {
        self.cpus = CpuSet::EMPTY;
        self.service = CpuSet::EMPTY;
        self.served_by.fill(NOBODY);
    }

    /// Adds all groups of a text and checks the rules between them.
    fn add_groups(&mut self, text: &[u8], nr_cpus: u32) -> Result<(), BootError> {
        if text.is_empty() {
            return Ok(());
        }
        for (position, group) in (1..).zip(text.split(|byte| *byte == b':')) {
            let group = cpulist::trim(group);
            if group.is_empty() {
                return Err(BootError::EmptyGroup { position });
            }
            self.add_group(group, nr_cpus)?;
        }
        if let Some(cpu) = self.cpus.iter().find(|cpu| self.service.contains(*cpu)) {
            return Err(BootError::LwkAndService(cpu));
        }
        if self.cpus.is_empty() {
            return Err(BootError::NoLwkCpu);
        }
        Ok(())
    }

    /// Adds one group.
    fn add_group(&mut self, text: &[u8], nr_cpus: u32) -> Result<(), BootError> {
        if text.contains(&b'/') {
            return Err(BootError::Stride(Excerpt::new(text)));
        }
        let mut parts = text.split(|byte| *byte == b'.');
        let (left, right) = match (parts.next(), parts.next(), parts.next()) {
            (Some(left), Some(right), None) => (Some(left), right),
            (Some(only), None, None) => (None, only),
            _ => return Err(BootError::Dots(Excerpt::new(text))),
        };
        let mut cpus = CpuSet::EMPTY;
        let mut service = CpuSet::EMPTY;
        cpulist::add(&mut cpus, right, nr_cpus).map_err(BootError::List)?;
        if let Some(left) = left {
            cpulist::add(&mut service, left, nr_cpus).map_err(BootError::List)?;
            if service.is_empty() {
                return Err(BootError::NoService(Excerpt::new(text)));
            }
            if service.len() > 1 && !cpus.is_empty() {
                return Err(BootError::ManyService(Excerpt::new(text)));
            }
        }
        let served_by = service
            .first()
            .and_then(|cpu| u16::try_from(cpu.get()).ok());
        for cpu in &cpus {
            if !self.cpus.insert(cpu) {
                return Err(BootError::Twice(cpu));
            }
            if let Some(entry) = self.served_by.get_mut(cpu.index()) {
                *entry = served_by.unwrap_or(NOBODY);
            }
        }
        self.service.extend(service.iter());
        Ok(())
    }

    /// Returns the LWK CPUs that this service CPU serves, or those without one.
    fn served(&self, service: Option<CpuId>) -> CpuSet {
        self.cpus
            .iter()
            .filter(|cpu| self.service_of(*cpu) == service)
            .collect()
    }
}

/// Prints it in the grammar of the boot line: served groups, LWK CPUs without service, service CPUs without LWK CPUs.
impl fmt::Display for BootSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut idle = CpuSet::EMPTY;
        for service in &self.service {
            let served = self.served(Some(service));
            if served.is_empty() {
                idle.insert(service);
            } else {
                write!(f, "{separator}{service}.{served}")?;
                separator = ":";
            }
        }
        let bare = self.served(None);
        if !bare.is_empty() {
            write!(f, "{separator}{bare}")?;
            separator = ":";
        }
        if !idle.is_empty() {
            write!(f, "{separator}{idle}.")?;
        }
        Ok(())
    }
}
