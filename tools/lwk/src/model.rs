// SPDX-License-Identifier: GPL-2.0
//! What the device tells, with names and sets in place of bytes and words.

use lwk_logic::logic::cpuset::CpuSet;
use lwk_logic::logic::mempolicy::Policy;
use lwk_logic::uapi::{self, CpuGet, EntryKind, IrqSource, JobGet, PartitionGet};

use crate::calls::CallPolicy;
use crate::columns::plain;
use crate::memory::Shares;
use crate::raw::Words;

/// What the kernel offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// Version of its ABI.
    pub abi_version: u32,
    /// One more than the highest possible CPU number.
    pub nr_cpu_ids: u32,
    /// Whether the boot line had `lwkcpus=`.
    pub armed: bool,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number, from 1.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Whether `lwkcpus=` made it.
    pub boot: bool,
    /// Its LWK CPUs.
    pub cpus: CpuSet,
    /// Its Linux service CPUs.
    pub service: CpuSet,
    /// Its memory.
    pub memory: Shares,
    /// How that backs jobs that do not say so.
    pub policy: Policy,
    /// Where system calls of jobs that do not say so are carried out.
    pub calls: CallPolicy,
}

impl Partition {
    /// Translates what the kernel wrote.
    pub(crate) fn new(
        raw: &PartitionGet,
        cpus: &Words,
        service: &Words,
        memory: Shares,
        policy: Policy,
        calls: CallPolicy,
    ) -> Self {
        Self {
            id: raw.id,
            name: text(&raw.name),
            boot: raw.flags & uapi::PARTITION_BOOT != 0,
            cpus: set(cpus),
            service: set(service),
            memory,
            policy,
            calls,
        }
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its number, never reused.
    pub id: u32,
    /// The partition it runs in.
    pub partition: u32,
    /// Its live tasks.
    pub nr_tasks: u32,
    /// The process that created it, or 0 if the reader's pid namespace does not show it.
    pub pid: u32,
    /// The user who created it.
    pub uid: u32,
    /// Command name of the last task that entered it.
    pub comm: String,
    /// Its CPUs.
    pub cpus: CpuSet,
    /// Its memory.
    pub memory: JobMemory,
}

/// What memory a job has, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobMemory {
    /// What it was promised.
    pub promised: u64,
    /// What of that it uses, in whole blocks.
    pub used: u64,
    /// What came from Linux instead since it began.
    pub spilled: u64,
}

impl Job {
    /// Translates what the kernel wrote.
    pub(crate) fn new(raw: &JobGet, cpus: &Words) -> Self {
        Self {
            id: raw.id,
            partition: raw.partition,
            nr_tasks: raw.nr_tasks,
            pid: raw.pid,
            uid: raw.uid,
            comm: text(&raw.comm),
            cpus: set(cpus),
            memory: JobMemory {
                promised: raw.mem_promised,
                used: raw.mem_used,
                spilled: raw.mem_spilled,
            },
        }
    }
}

/// A CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpu {
    /// Its number.
    pub cpu: u32,
    /// Its NUMA node.
    pub node: u32,
    /// Whether it is on line.
    pub online: bool,
    /// Whether it serves its partition as a Linux CPU.
    pub service: bool,
    /// Whether its counts are told: those of a CPU that another user's job has are not.
    pub is_told: bool,
    /// The partition that owns it or that it serves.
    pub partition: Option<u32>,
    /// The job that holds it.
    pub job: Option<u32>,
    /// LWK tasks queued or running on it.
    pub nr_running: u32,
    /// Its counters since it joined its partition.
    pub noise: Noise,
}

/// What took an LWK CPU away from its program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Noise {
    /// Entries into the kernel from user mode, one for each [`EntryKind::ALL`].
    pub entries: [u64; EntryKind::ALL.len()],
    /// Interrupts in whatever mode, one for each [`IrqSource::ALL`].
    pub irqs: [u64; IrqSource::ALL.len()],
    /// Context switches of LWK tasks.
    pub switches: u64,
    /// Page faults of LWK tasks.
    pub faults: u64,
    /// Times that the CPU made up on its next way into the kernel for an interrupt that it was spared.
    pub caught_up: u64,
    /// Per-CPU kernel threads that got the CPU while an LWK task wanted it.
    pub guests: Guests,
}

/// Runs of Linux tasks on an LWK CPU.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Guests {
    /// How often.
    pub runs: u64,
    /// For how many nanoseconds in all.
    pub total_ns: u64,
    /// Command name of the last one; empty if there was none.
    pub last: String,
}

impl Cpu {
    /// Whether a partition runs LWK tasks on it.
    pub const fn is_lwk(&self) -> bool {
        self.partition.is_some() && !self.service
    }

    /// Translates what the kernel wrote.
    pub(crate) fn new(raw: &CpuGet) -> Self {
        Self {
            cpu: raw.cpu,
            node: raw.node,
            online: raw.flags & uapi::CPU_ONLINE != 0,
            service: raw.flags & uapi::CPU_SERVICE != 0,
            is_told: raw.flags & uapi::CPU_UNTOLD == 0,
            partition: (raw.partition != 0).then_some(raw.partition),
            job: (raw.job != 0).then_some(raw.job),
            nr_running: raw.nr_running,
            noise: Noise {
                entries: std::array::from_fn(|slot| raw.entries[slot]),
                irqs: std::array::from_fn(|slot| raw.irqs[slot]),
                switches: raw.switches,
                faults: raw.faults,
                caught_up: raw.caught_up,
                guests: Guests {
                    runs: raw.guest_runs,
                    total_ns: raw.guest_ns,
                    last: text(&raw.guest_comm),
                },
            },
        }
    }
}

/// The text before the first NUL; the kernel's names are bytes of any encoding, many of them of anybody's choice.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    plain(&String::from_utf8_lossy(&bytes[..end]))
}

/// The set that the kernel wrote.
fn set(words: &Words) -> CpuSet {
    // A set of `Words` has no bit at `MAX_CPUS` or above, which is the only error there is.
    CpuSet::from_words(words).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::WORDS;

    #[test]
    fn names_end_at_the_first_nul_or_at_the_end() {
        assert_eq!(text(b"boot\0junk"), "boot");
        assert_eq!(text(b"full"), "full");
        assert_eq!(text(b"\0"), "");
        assert_eq!(text(b"a\xff\0"), "a\u{fffd}");
    }

    #[test]
    fn names_do_not_speak_to_the_terminal() {
        assert_eq!(text(b"\x1b[2Ja\nb\0"), "\u{fffd}[2Ja\u{fffd}b");
    }

    #[test]
    fn a_partition_keeps_both_sets_apart() {
        let (mut cpus, mut service) = ([0; WORDS], [0; WORDS]);
        cpus[1] = 1;
        service[0] = 2;
        let raw = PartitionGet {
            id: 3,
            flags: uapi::PARTITION_BOOT,
            ..PartitionGet::default()
        };
        let (policy, calls) = (Policy::DEFAULT, CallPolicy::DEFAULT);
        let got = Partition::new(&raw, &cpus, &service, Shares::default(), policy, calls);
        assert_eq!(
            (
                got.cpus.to_string().as_str(),
                got.service.to_string().as_str()
            ),
            ("64", "1")
        );
        assert!(got.boot);
    }

    #[test]
    fn a_service_cpu_is_no_lwk_cpu_and_zero_means_nobody() {
        let raw = CpuGet {
            flags: uapi::CPU_SERVICE,
            partition: 1,
            ..CpuGet::default()
        };
        let cpu = Cpu::new(&raw);
        assert!(!cpu.is_lwk() && !cpu.online);
        assert_eq!((cpu.partition, cpu.job), (Some(1), None));
        assert!(Cpu::new(&CpuGet { flags: 0, ..raw }).is_lwk());
    }

    #[test]
    fn counters_land_in_their_slots() {
        let mut raw = CpuGet::default();
        raw.entries[EntryKind::Interrupt.index()] = 5;
        raw.irqs[IrqSource::Tlb.index()] = 7;
        raw.guest_comm[..2].copy_from_slice(b"kw");
        let noise = Cpu::new(&raw).noise;
        assert_eq!(noise.entries, [0, 0, 5, 0]);
        assert_eq!(noise.irqs[7], 7);
        assert_eq!(noise.guests.last, "kw");
    }
}
