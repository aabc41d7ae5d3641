// SPDX-License-Identifier: GPL-2.0
//! The places of this machine and how a program gets there.

use std::path::Path;
use std::process::Command;

use anyhow::{ensure, Context, Result};
use bench_places::tune;
use bench_record::{Place, Site};
use lwk_logic::logic::cpuset::{CpuId, CpuSet};
use rustix::thread::{sched_getaffinity, sched_setaffinity};

use crate::spec::{Calls, Memory};

/// Reads a CPU list.
pub(crate) fn parse(list: &str) -> Result<CpuSet> {
    list.parse()
        .map_err(|error| anyhow::anyhow!("CPU list {list:?}: {error}"))
}

/// The numbers of a set.
pub(crate) fn numbers(set: &CpuSet) -> Vec<u32> {
    set.iter().map(CpuId::get).collect()
}

/// The set of these numbers.
pub(crate) fn set(cpus: &[u32]) -> CpuSet {
    let mut set = CpuSet::EMPTY;
    for cpu in cpus.iter().filter_map(|cpu| CpuId::new(*cpu)) {
        set.insert(cpu);
    }
    set
}

/// All CPUs that are on-line.
pub(crate) fn online() -> Result<CpuSet> {
    parse(&crate::kernel::read("/sys/devices/system/cpu/online")?)
}

/// The CPUs that this process may use.
pub(crate) fn allowed() -> Result<CpuSet> {
    let mask = sched_getaffinity(None).context("sched_getaffinity")?;
    let cpus = (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| mask.is_set(*cpu));
    let cpus: Result<Vec<u32>, _> = cpus.map(u32::try_from).collect();
    Ok(set(&cpus?))
}

/// Confines the calling thread.
pub(crate) fn confine(cpus: &[u32]) -> Result<()> {
    let mut mask = rustix::thread::CpuSet::new();
    for cpu in cpus {
        mask.set(*cpu as usize);
    }
    sched_setaffinity(None, &mask).with_context(|| format!("running on CPUs {cpus:?}"))
}

/// Makes the sites of three lists and quietens the tuned one, if this machine was booted for that.
///
/// # Errors
///
/// If two places share a CPU, or a CPU is off-line.
pub(crate) fn sites(lists: &[(Place, CpuSet)], boot_line: &str) -> Result<Vec<Site>> {
    let online = online()?;
    let mut taken = CpuSet::EMPTY;
    for (place, cpus) in lists {
        ensure!(
            cpus.is_subset(&online),
            "{}: of {cpus} only {} are on-line",
            place.label(),
            cpus.intersection(&online)
        );
        ensure!(
            !cpus.intersects(&taken),
            "{} and another place share CPUs {}",
            place.label(),
            cpus.intersection(&taken)
        );
        taken = taken.union(cpus);
    }
    let sites = lists.iter().filter(|(_, cpus)| !cpus.is_empty());
    let sites = sites.map(|(place, cpus)| Site {
        place: *place,
        cpus: numbers(cpus),
        tuning: match place {
            Place::Tuned if tune::is_allowed(boot_line) => {
                tune::quieten(Path::new("/"), cpus, &online.difference(&quiet_cpus(lists)))
            }
            Place::Tuned => vec!["nothing: the machine was not booted for it".to_owned()],
            Place::Linux | Place::Lwk => Vec::new(),
        },
    });
    Ok(sites.collect())
}

/// The CPUs that no device may interrupt.
fn quiet_cpus(lists: &[(Place, CpuSet)]) -> CpuSet {
    let quiet = lists.iter().filter(|(place, _)| *place != Place::Linux);
    quiet.fold(CpuSet::EMPTY, |all, (_, cpus)| all.union(cpus))
}

/// The command that runs `program` in a place; on Linux CPUs the program must confine itself.
pub(crate) fn command(
    site: &Site,
    yod: &str,
    memory: Memory,
    calls: Calls,
    program: &Path,
) -> Command {
    match site.place {
        Place::Linux | Place::Tuned => Command::new(program),
        Place::Lwk => {
            let mut command = Command::new(yod);
            command.args(["-c", &set(&site.cpus).to_string()]);
            if memory == Memory::None {
                command.args(["-M", "none"]);
            }
            match calls {
                Calls::Default => {}
                Calls::Local => drop(command.args(["--syscalls", "local=all"])),
                Calls::Moved => {
                    command.args(["--syscalls", "move=all", "--syscall-batch", "no"]);
                }
            }
            command.arg(program);
            command
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sharing_and_missing_cpus_are_refused() {
        let first = CpuSet::single(online().unwrap().first().unwrap());
        let shared = [(Place::Linux, first), (Place::Tuned, first)];
        let error = sites(&shared, "").unwrap_err().to_string();
        assert!(error.contains("share CPUs"), "{error}");
        let missing = [(Place::Lwk, parse("1000").unwrap())];
        let error = sites(&missing, "").unwrap_err().to_string();
        assert!(error.contains("on-line"), "{error}");
    }

    #[test]
    fn only_lwk_programs_are_launched_by_yod() {
        let site = |place| Site {
            place,
            cpus: vec![5, 6],
            tuning: Vec::new(),
        };
        let words = |place, memory| -> Vec<String> {
            let command = command(
                &site(place),
                "/bin/yod",
                memory,
                Calls::Default,
                Path::new("/init"),
            );
            let args = command
                .get_args()
                .map(|arg| arg.to_string_lossy().into_owned());
            let program = command.get_program().to_string_lossy().into_owned();
            std::iter::once(program).chain(args).collect()
        };
        let with_memory = words(Place::Lwk, Memory::Share);
        assert_eq!(with_memory, ["/bin/yod", "-c", "5-6", "/init"]);
        let without = words(Place::Lwk, Memory::None);
        assert_eq!(without, ["/bin/yod", "-c", "5-6", "-M", "none", "/init"]);
        assert_eq!(words(Place::Tuned, Memory::Share), ["/init"]);
    }
}
