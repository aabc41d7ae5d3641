// SPDX-License-Identifier: GPL-2.0
//! Making, changing and ending partitions, with the kernel's reason when it refuses.

use anyhow::{anyhow, Result};
use lwk_logic::uapi::{self, Refusal};
use rustix::io::Errno;

use crate::cpus::to_word;
use crate::sys::lwk::{self, size_of_abi, IoResult};

/// Why a change was refused: error, reason, CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) errno: Errno,
    pub(crate) refusal: Refusal,
    pub(crate) cpu: u32,
}

/// What came of a change.
pub(crate) type Change<T> = Result<core::result::Result<T, Refused>>;

/// Finds the reason of a refusal.
pub(crate) fn change<T>(result: IoResult<()>, value: T, refusal: u32, cpu: u32) -> Change<T> {
    let Err(errno) = result else {
        return Ok(Ok(value));
    };
    let refusal = Refusal::ALL
        .iter()
        .find(|known| known.index() as u32 == refusal)
        .ok_or_else(|| anyhow!("the kernel gave reason {refusal}, which does not exist"))?;
    Ok(Err(Refused {
        errno,
        refusal: *refusal,
        cpu,
    }))
}

/// Makes a partition and returns its id.
pub(crate) fn create(name: &str, cpus: &[usize], service: &[usize]) -> Change<u32> {
    let mut arg = uapi::PartitionCreate {
        size: size_of_abi::<uapi::PartitionCreate>(),
        ..Default::default()
    };
    for (to, from) in arg.name.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    let result = lwk::partition_create(
        &lwk::open()?,
        &mut arg,
        &[to_word(cpus)],
        &[to_word(service)],
    );
    change(result, arg.id, arg.refusal, arg.refused_cpu)
}

/// Adds CPUs to a partition and takes others away.
pub(crate) fn resize(id: u32, add: &[usize], remove: &[usize]) -> Change<()> {
    let mut arg = uapi::PartitionResize {
        size: size_of_abi::<uapi::PartitionResize>(),
        id,
        ..Default::default()
    };
    let result =
        lwk::partition_resize(&lwk::open()?, &mut arg, &[to_word(add)], &[to_word(remove)]);
    change(result, (), arg.refusal, arg.refused_cpu)
}

/// Ends a partition.
pub(crate) fn delete(id: u32) -> Change<()> {
    let mut arg = uapi::PartitionDelete {
        size: size_of_abi::<uapi::PartitionDelete>(),
        id,
        ..Default::default()
    };
    let result = lwk::partition_delete(&lwk::open()?, &mut arg);
    change(result, (), arg.refusal, arg.refused_cpu)
}

/// Ends every partition, after a case that may have left some.
pub(crate) fn delete_all() -> Result<()> {
    for partition in crate::job::partitions()? {
        delete(partition.id)?
            .map_err(|refused| anyhow!("partition {}: {refused:?}", partition.name))?;
    }
    Ok(())
}
