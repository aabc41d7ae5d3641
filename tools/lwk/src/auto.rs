// SPDX-License-Identifier: GPL-2.0
//! Which CPUs a new partition should have, when the user does not say.
//!
//! The rules: whole cores only; the first core of the first package and the core of CPU 0 stay with Linux; in each node
//! that gives CPUs, a CPU of Linux serves the partition; the nodes give as evenly as they can, the highest cores first.
//! Pure: what the machine has comes in as a [`Topology`], who uses what as a set.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use lwk_logic::logic::cpuset::{CpuId, CpuSet};

use crate::topology::{Core, Topology};

/// How many CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// All that the rules permit.
    All,
    /// Exactly so many.
    Count(NonZeroU32),
    /// At most this part of the CPUs on line, in percent from 1 to 100.
    Percent(u32),
}

/// A text is no share of the CPUs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no share of the CPUs: it takes a number, a percentage such as 50%, or \"all\"")]
pub struct ShareError(String);

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, ShareError> {
        let wrong = || ShareError(text.to_owned());
        if text == "all" {
            return Ok(Self::All);
        }
        let digits = text.strip_suffix('%').unwrap_or(text);
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let number: NonZeroU32 = digits.parse().map_err(|_| wrong())?;
        match (text.ends_with('%'), number.get()) {
            (false, _) => Ok(Self::Count(number)),
            (true, percent @ 1..=100) => Ok(Self::Percent(percent)),
            (true, _) => Err(wrong()),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// CPUs for a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Proposal {
    /// The LWK CPUs.
    pub cpus: CpuSet,
    /// The CPUs of Linux that serve them.
    pub service: CpuSet,
}

/// No CPUs can be proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AutoError {
    /// The rules permit none.
    #[error(
        "cannot choose CPUs: no whole core is unused besides those that Linux keeps (the first core, and one for \
         service in each node); name CPUs with --cpus, or delete a partition"
    )]
    None,
    /// The rules permit fewer than asked.
    #[error(
        "cannot choose {asked} CPUs: at most {most} are unused besides those that Linux keeps (the first core, and one \
         for service in each node); ask for fewer, or name them with --cpus"
    )]
    TooFew {
        /// How many were asked for.
        asked: u32,
        /// How many there are.
        most: u32,
    },
    /// Whole cores do not add up to what was asked.
    #[error(
        "cannot choose {asked} CPUs in whole cores; ask for {}",
        Either(*below, *above)
    )]
    NotWhole {
        /// How many were asked for.
        asked: u32,
        /// The number below that can be had, or 0.
        below: u32,
        /// The number above that can be had, or 0.
        above: u32,
    },
}

/// One or two numbers, where 0 is none.
struct Either(u32, u32);

impl fmt::Display for Either {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (one, 0) | (0, one) => write!(f, "{one}"),
            (below, above) => write!(f, "{below} or {above}"),
        }
    }
}

/// Chooses CPUs that are not in `used`; `service` are the service CPUs if the user named them.
///
/// # Errors
///
/// If the rules permit none, or not so many.
pub fn propose(
    topology: &Topology,
    used: &CpuSet,
    service: Option<&CpuSet>,
    share: Share,
) -> Result<Proposal, AutoError> {
    let mut nodes = offers(topology, used, service);
    let most: u32 = nodes
        .iter()
        .flat_map(|node| &node.cores)
        .map(CpuSet::len)
        .sum();
    let (asked, is_exact) = match share {
        _ if most == 0 => return Err(AutoError::None),
        Share::All => (most, true),
        Share::Count(count) => (count.get(), true),
        Share::Percent(percent) => ((topology.online.len() * percent / 100).min(most), false),
    };
    if asked > most {
        return Err(AutoError::TooFew { asked, most });
    }
    let smallest = nodes
        .iter()
        .flat_map(|node| &node.cores)
        .map(CpuSet::len)
        .min();
    let taken = take(&mut nodes, asked);
    if taken < asked && is_exact || taken == 0 {
        // One more of the cores that are left; none is as small as what is missing.
        let next = nodes
            .iter()
            .flat_map(|node| &node.cores)
            .map(CpuSet::len)
            .min();
        let above = next.map_or(0, |len| taken + len);
        let (asked, below) = (asked.max(1), taken);
        return Err(match share {
            Share::Percent(_) => AutoError::NotWhole {
                asked,
                below: 0,
                above: smallest.unwrap_or(0),
            },
            _ => AutoError::NotWhole {
                asked,
                below,
                above,
            },
        });
    }
    let mut proposal = Proposal {
        cpus: CpuSet::EMPTY,
        service: service.copied().unwrap_or_default(),
    };
    for node in nodes.iter().filter(|node| !node.taken.is_empty()) {
        proposal.cpus = proposal.cpus.union(&node.taken);
        proposal.service.extend(node.service);
    }
    Ok(proposal)
}

/// What a node can give.
struct Offer {
    /// Whole cores, the one to take next at the end.
    cores: Vec<CpuSet>,
    /// The CPU that serves those.
    service: Option<CpuId>,
    /// The CPUs taken.
    taken: CpuSet,
}

/// What the nodes can give, lowest node first.
fn offers(topology: &Topology, used: &CpuSet, service: Option<&CpuSet>) -> Vec<Offer> {
    let busy = used.union(&topology.isolated);
    let for_service = service.copied().unwrap_or_default();
    let is_whole = |core: &&Core| {
        !is_kept(topology, core) && !core.threads.intersects(&busy.union(&for_service))
    };
    let offer = |node: u32| {
        let of_node = || topology.cores.iter().filter(move |core| core.node == node);
        let mut cores: Vec<CpuSet> = of_node()
            .filter(is_whole)
            .map(|core| core.threads)
            .collect();
        let mut serving = None;
        if service.is_none() {
            // A CPU that Linux keeps anyway, else the first core.
            let kept = of_node().filter(|core| !is_whole(core));
            let unused = kept.filter_map(|core| core.threads.difference(&busy).first());
            serving = unused.min();
            if serving.is_none() && !cores.is_empty() {
                serving = cores.remove(0).first();
            }
        }
        // Large cores first, so that small ones are left to make up an exact number; of those the highest.
        cores.sort_by_key(|core| (core.len(), core.first()));
        Offer {
            cores,
            service: serving,
            taken: CpuSet::EMPTY,
        }
    };
    topology.nodes().into_iter().map(offer).collect()
}

/// Whether Linux keeps a core: the first one of the first package, and that of CPU 0, which keeps the time.
fn is_kept(topology: &Topology, core: &Core) -> bool {
    let first = topology
        .cores
        .iter()
        .min_by_key(|core| (core.package, core.number, core.threads.first()));
    first == Some(core) || core.threads.first().is_some_and(|cpu| cpu.get() == 0)
}

/// Takes cores of at most `asked` CPUs, always from the node that gave least, and returns how many CPUs they have.
fn take(nodes: &mut [Offer], asked: u32) -> u32 {
    let mut taken = 0;
    loop {
        let fits = |core: &CpuSet| core.len() <= asked - taken;
        let least = nodes
            .iter_mut()
            .filter_map(|node| node.cores.iter().rposition(fits).map(|index| (node, index)))
            .min_by_key(|(node, _)| node.taken.len());
        let Some((node, index)) = least else {
            return taken;
        };
        let core = node.cores.remove(index);
        node.taken = node.taken.union(&core);
        taken += core.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(list: &str) -> CpuSet {
        list.parse().expect("a list of the test")
    }

    /// A machine from its cores: threads and node.
    fn machine(cores: &[(&str, u32)]) -> Topology {
        let core = |(number, (threads, node)): (usize, &(&str, u32))| Core {
            threads: set(threads),
            node: *node,
            package: i64::from(*node),
            number: i64::try_from(number).expect("small"),
        };
        let cores: Vec<Core> = cores.iter().enumerate().map(core).collect();
        let online = cores
            .iter()
            .fold(CpuSet::EMPTY, |all, core| all.union(&core.threads));
        Topology {
            cores,
            online,
            isolated: CpuSet::EMPTY,
        }
    }

    fn told(topology: &Topology, used: &str, share: &str) -> String {
        let share = share.parse().expect("a share of the test");
        match propose(topology, &set(used), None, share) {
            Ok(Proposal { cpus, service }) => format!("{cpus} by {service}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn shares_are_numbers_percentages_or_all() {
        for good in ["all", "1", "64", "1%", "100%"] {
            assert_eq!(
                good.parse::<Share>().map(|share| share.to_string()),
                Ok(good.to_owned())
            );
        }
        for bad in ["", "0", "-1", "+1", "0%", "101%", "%", "1.5", "half", "5%%"] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
    }

    #[test]
    fn one_socket_keeps_its_first_core() {
        let four = machine(&[("0", 0), ("1", 0), ("2", 0), ("3", 0)]);
        assert_eq!(told(&four, "", "all"), "1-3 by 0");
        assert_eq!(told(&four, "", "2"), "2-3 by 0");
        assert_eq!(told(&four, "", "50%"), "2-3 by 0");
        assert!(told(&four, "", "4").starts_with("cannot choose 4 CPUs: at most 3"));
        assert!(told(&machine(&[("0", 0)]), "", "all").starts_with("cannot choose CPUs"));
    }

    #[test]
    fn hardware_threads_go_together() {
        let near = machine(&[("0-1", 0), ("2-3", 0), ("4-5", 0), ("6-7", 0)]);
        assert_eq!(told(&near, "", "4"), "4-7 by 0");
        assert_eq!(
            told(&near, "", "3"),
            "cannot choose 3 CPUs in whole cores; ask for 2 or 4"
        );
        assert_eq!(
            told(&near, "", "1"),
            "cannot choose 1 CPUs in whole cores; ask for 2"
        );
        assert_eq!(told(&near, "", "45%"), "6-7 by 0");
        assert_eq!(
            told(&near, "", "12%"),
            "cannot choose 1 CPUs in whole cores; ask for 2"
        );
        let far = machine(&[("0,4", 0), ("1,5", 0), ("2,6", 0), ("3,7", 0)]);
        assert_eq!(told(&far, "", "all"), "1-3,5-7 by 0");
    }

    #[test]
    fn nodes_give_evenly_and_keep_a_service_cpu() {
        let two = machine(&[
            ("0", 0),
            ("1", 0),
            ("2", 0),
            ("3", 0),
            ("4", 1),
            ("5", 1),
            ("6", 1),
            ("7", 1),
        ]);
        assert_eq!(told(&two, "", "all"), "1-3,5-7 by 0,4");
        assert_eq!(told(&two, "", "4"), "2-3,6-7 by 0,4");
        assert_eq!(told(&two, "", "1"), "3 by 0");
        let uneven = machine(&[("0", 0), ("1", 0), ("2", 1), ("3", 1), ("4", 1), ("5", 1)]);
        assert_eq!(told(&uneven, "", "4"), "1,3-5 by 0,2");
        assert_eq!(told(&uneven, "", "2"), "1,5 by 0,2");
    }

    #[test]
    fn a_node_with_one_core_only_gives_none() {
        let one = machine(&[("0", 0), ("1", 0), ("2", 1)]);
        assert_eq!(told(&one, "", "all"), "1 by 0");
    }

    #[test]
    fn a_second_partition_gets_another_service_cpu() {
        let near = machine(&[("0-1", 0), ("2-3", 0), ("4-5", 0), ("6-7", 0)]);
        assert_eq!(told(&near, "0,6-7", "2"), "4-5 by 1");
        assert_eq!(told(&near, "0-1,6-7", "all"), "4-5 by 2");
    }

    #[test]
    fn isolated_cpus_are_nobodys() {
        let mut four = machine(&[("0", 0), ("1", 0), ("2", 0), ("3", 0)]);
        four.isolated = set("3");
        assert_eq!(told(&four, "", "all"), "1-2 by 0");
    }

    #[test]
    fn service_cpus_that_the_user_named_stay_with_linux() {
        let near = machine(&[("0-1", 0), ("2-3", 0), ("4-5", 0), ("6-7", 0)]);
        let service = set("6");
        let proposal = propose(&near, &CpuSet::EMPTY, Some(&service), Share::All);
        let wanted = Proposal {
            cpus: set("2-5"),
            service,
        };
        assert_eq!(proposal, Ok(wanted));
    }

    #[test]
    fn cores_of_two_sizes_make_up_odd_numbers() {
        let hybrid = machine(&[("0-1", 0), ("2-3", 0), ("4-5", 0), ("6", 0), ("7", 0)]);
        assert_eq!(told(&hybrid, "", "3"), "4-5,7 by 0");
        assert_eq!(told(&hybrid, "", "all"), "2-7 by 0");
    }
}
