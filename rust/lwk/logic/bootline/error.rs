// SPDX-License-Identifier: GPL-2.0
//! Why `lwkcpus=` gives no partition.

use crate::logic::cpulist::ListError;
use crate::logic::cpuset::CpuId;
use crate::logic::error::{Errno, Excerpt, EINVAL, ENODEV, EPERM};
use core::fmt;

/// Why there is no boot partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BootError {
    /// A list of CPUs is wrong.
    List(ListError),
    /// There is nothing before, between or after colons.
    EmptyGroup {
        /// Which group, the first being 1.
        position: u32,
    },
    /// A group has a stride, or a colon was meant as one.
    Stride(Excerpt),
    /// A group has more than one dot.
    Dots(Excerpt),
    /// A group has a dot with no service CPU before it.
    NoService(Excerpt),
    /// A group of LWK CPUs has several service CPUs.
    ManyService(Excerpt),
    /// Two groups have this LWK CPU.
    Twice(CpuId),
    /// A CPU cannot serve the LWK and belong to it.
    LwkAndService(CpuId),
    /// There are only service CPUs.
    NoLwkCpu,
    /// The machine lacks a CPU.
    NoSuchCpu {
        /// The CPU.
        cpu: u32,
        /// How many CPUs the machine has.
        nr_cpus: u32,
        /// The highest of them.
        last: u32,
    },
    /// Linux would have no CPU.
    NoLinuxCpu,
    /// The CPU that the machine booted on would leave Linux.
    BootCpu(CpuId),
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(ListError::Beyond { cpu, nr_cpus }) => {
                no_such_cpu(f, *cpu, *nr_cpus, nr_cpus.saturating_sub(1))
            }
            Self::List(error) => error.fmt(f),
            Self::EmptyGroup { position } => write!(f, "group {position} is empty"),
            Self::Stride(text) => {
                write!(f, "{text} has a stride, which ':' between groups rules out")
            }
            Self::Dots(text) => write!(f, "the group {text} has more than one dot"),
            Self::NoService(text) => {
                write!(f, "the group {text} has no service CPU before its dot")
            }
            Self::ManyService(text) => write!(f, "the group {text} has more than one service CPU"),
            Self::Twice(cpu) => write!(f, "CPU {cpu} is an LWK CPU in two groups"),
            Self::LwkAndService(cpu) => {
                write!(f, "CPU {cpu} cannot be both LWK CPU and service CPU")
            }
            Self::NoLwkCpu => f.write_str("there is no LWK CPU, only service CPUs"),
            Self::NoSuchCpu { cpu, nr_cpus, last } => no_such_cpu(f, *cpu, *nr_cpus, *last),
            Self::NoLinuxCpu => f.write_str("no CPU would remain for Linux"),
            Self::BootCpu(cpu) => write!(
                f,
                "CPU {cpu} keeps the time for Linux and cannot be an LWK CPU"
            ),
        }
    }
}

/// Says that the machine lacks a CPU, and which ones it has.
fn no_such_cpu(f: &mut fmt::Formatter<'_>, cpu: u32, nr_cpus: u32, last: u32) -> fmt::Result {
    write!(f, "CPU {cpu} does not exist (this machine has ")?;
    if nr_cpus == last + 1 {
        write!(f, "0-{last})")
    } else {
        write!(f, "{nr_cpus} CPUs up to {last})")
    }
}

impl Errno for BootError {
    fn errno(&self) -> i32 {
        match self {
            Self::List(ListError::Beyond { .. }) | Self::NoSuchCpu { .. } => ENODEV,
            Self::List(error) => error.errno(),
            Self::NoLinuxCpu | Self::BootCpu(_) => EPERM,
            Self::EmptyGroup { .. }
            | Self::Stride(_)
            | Self::Dots(_)
            | Self::NoService(_)
            | Self::ManyService(_)
            | Self::Twice(_)
            | Self::LwkAndService(_)
            | Self::NoLwkCpu => EINVAL,
        }
    }
}
