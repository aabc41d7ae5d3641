// SPDX-License-Identifier: GPL-2.0
//! What a reservation would take, from partitions and jobs alone.
//!
//! The same function plans a dry run and explains a refusal, so that both say the same.

use std::fmt;
use std::num::NonZeroU32;

use lwk_logic::logic::cpuset::CpuSet;
use lwk_logic::logic::memspec::JobAmount;

use crate::error::{CpusText, Error, Held, Named, Offer};
use crate::model::{Job, Partition};
use crate::policies::Policies;

/// Which CPUs a job wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cpus {
    /// All that are free.
    AllFree,
    /// So many of the kernel's choice.
    Count(NonZeroU32),
    /// Exactly these.
    Exactly(Box<CpuSet>),
}

/// How much memory a job wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Memory {
    /// As large a part of what is free as it gets of the free CPUs.
    #[default]
    InProportion,
    /// None.
    Nothing,
    /// So much.
    Amount(JobAmount),
}

/// A wish for CPUs and memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// The id of the partition to take from, or the first that can serve.
    pub partition: Option<u32>,
    /// Which CPUs.
    pub cpus: Cpus,
    /// How much memory.
    pub memory: Memory,
    /// How it backs the program; the partition says the rest.
    pub policies: Policies,
}

/// Partitions and jobs as they were when read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// All partitions.
    pub partitions: Vec<Partition>,
    /// All jobs.
    pub jobs: Vec<Job>,
}

/// What a reservation would take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How many CPUs.
    pub nr_cpus: u32,
    /// The CPUs that they come from: exactly these when there are `nr_cpus` of them.
    pub from: CpuSet,
    /// The partition.
    pub partition: Named,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nr_cpus < self.from.len() {
            write!(f, "{} of the free ", self.nr_cpus)?;
        }
        write!(f, "{} of {}", CpusText(&self.from), self.partition)
    }
}

impl State {
    /// The CPUs of `partition` that no job holds.
    pub fn free(&self, partition: &Partition) -> CpuSet {
        self.jobs
            .iter()
            .fold(partition.cpus, |free, job| free.difference(&job.cpus))
    }

    /// The partition of that name, else the one of that number.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn find(&self, asked: &str) -> Result<&Partition, Error> {
        if self.partitions.is_empty() {
            return Err(Error::NoPartition);
        }
        let id = asked.parse::<u32>().ok();
        let by_name = self
            .partitions
            .iter()
            .find(|partition| partition.name == asked);
        by_name
            .or_else(|| {
                self.partitions
                    .iter()
                    .find(|partition| Some(partition.id) == id)
            })
            .ok_or_else(|| self.no_such(asked.to_owned()))
    }

    /// What `job` holds.
    pub fn reserved(&self, job: u32) -> Option<Plan> {
        let job = self.jobs.iter().find(|found| found.id == job)?;
        let partition = self
            .partitions
            .iter()
            .find(|partition| partition.id == job.partition)?;
        Some(Plan {
            nr_cpus: job.cpus.len(),
            from: job.cpus,
            partition: Named::new(partition),
        })
    }

    /// What a reservation would take if it were made in this state.
    ///
    /// # Errors
    ///
    /// If it could not be made; the error says why.
    pub fn plan(&self, want: &Want) -> Result<Plan, Error> {
        if self.partitions.is_empty() {
            return Err(Error::NoPartition);
        }
        let serves = |partition: &&Partition| want.partition.is_none_or(|id| id == partition.id);
        let candidates: Vec<&Partition> = self.partitions.iter().filter(serves).collect();
        if candidates.is_empty() {
            return Err(self.no_such(want.partition.unwrap_or_default().to_string()));
        }
        match &want.cpus {
            Cpus::Exactly(asked) => self.plan_exactly(asked, &candidates),
            Cpus::Count(count) => self.plan_count(*count, &candidates),
            Cpus::AllFree => {
                let found = candidates
                    .iter()
                    .find(|partition| !self.free(partition).is_empty());
                let partition = found.ok_or_else(|| self.none_free(&candidates))?;
                let from = self.free(partition);
                Ok(Plan {
                    nr_cpus: from.len(),
                    from,
                    partition: Named::new(partition),
                })
            }
        }
    }

    fn plan_exactly(&self, asked: &CpuSet, candidates: &[&Partition]) -> Result<Plan, Error> {
        let home = candidates
            .iter()
            .find(|partition| asked.is_subset(&partition.cpus));
        let Some(partition) = home else {
            let outside = candidates.iter().fold(*asked, |outside, partition| {
                outside.difference(&partition.cpus)
            });
            let offers = candidates
                .iter()
                .map(|partition| Offer::new(partition, partition.cpus));
            let (asked, offers) = (Box::new(*asked), offers.collect());
            return Err(if outside.is_empty() {
                Error::SpansPartitions { asked, offers }
            } else {
                Error::NotInPartition {
                    asked,
                    outside: Box::new(outside),
                    offers,
                }
            });
        };
        let held = self.held(asked);
        if held.is_empty() {
            return Ok(Plan {
                nr_cpus: asked.len(),
                from: *asked,
                partition: Named::new(partition),
            });
        }
        Err(Error::Busy {
            asked: Box::new(*asked),
            held,
            free: Box::new(self.free(partition)),
        })
    }

    fn plan_count(&self, count: NonZeroU32, candidates: &[&Partition]) -> Result<Plan, Error> {
        let nr_cpus = count.get();
        let fits = candidates
            .iter()
            .find(|partition| self.free(partition).len() >= nr_cpus);
        if let Some(partition) = fits {
            let from = self.free(partition);
            return Ok(Plan {
                nr_cpus,
                from,
                partition: Named::new(partition),
            });
        }
        let best = candidates
            .iter()
            .rev()
            .max_by_key(|partition| self.free(partition).len());
        match best.map(|partition| Offer::new(partition, self.free(partition))) {
            Some(best) if !best.cpus.is_empty() => Err(Error::TooFew {
                asked: count,
                best: Box::new(best),
            }),
            _ => Err(self.none_free(candidates)),
        }
    }

    /// Who holds which of `cpus`.
    fn held(&self, cpus: &CpuSet) -> Vec<Held> {
        let parts = self
            .jobs
            .iter()
            .map(|job| (job, cpus.intersection(&job.cpus)));
        parts
            .filter(|(_, cpus)| !cpus.is_empty())
            .map(|(job, cpus)| Held::new(job, cpus))
            .collect()
    }

    fn none_free(&self, candidates: &[&Partition]) -> Error {
        let held = candidates
            .iter()
            .flat_map(|partition| self.held(&partition.cpus))
            .collect();
        Error::NoneFree { held }
    }

    fn no_such(&self, asked: String) -> Error {
        Error::NoSuchPartition {
            asked,
            existing: self.partitions.iter().map(Named::new).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::JobMemory;
    use lwk_logic::logic::mempolicy::Policy;

    fn set(list: &str) -> CpuSet {
        list.parse().expect("a list of the test")
    }

    fn partition(id: u32, name: &str, cpus: &str) -> Partition {
        Partition {
            id,
            name: name.to_owned(),
            boot: id == 1,
            cpus: set(cpus),
            service: CpuSet::EMPTY,
            memory: crate::Shares::default(),
            policy: Policy::DEFAULT,
            calls: crate::CallPolicy::DEFAULT,
        }
    }

    fn job(id: u32, partition: u32, cpus: &str) -> Job {
        let comm = format!("app{id}");
        Job {
            id,
            partition,
            nr_tasks: 1,
            pid: 100 * id,
            uid: 0,
            comm,
            cpus: set(cpus),
            memory: JobMemory::default(),
        }
    }

    /// Partition 1 has 2-7 with 2-3 held, partition 2 has 8-9 with all held.
    fn busy() -> State {
        State {
            partitions: vec![partition(1, "boot", "2-7"), partition(2, "rest", "8-9")],
            jobs: vec![job(5, 1, "2-3"), job(6, 2, "8-9")],
        }
    }

    fn exactly(list: &str) -> Want {
        Want {
            partition: None,
            cpus: Cpus::Exactly(Box::new(set(list))),
            memory: Memory::default(),
            policies: Policies::default(),
        }
    }

    fn count(nr_cpus: u32, partition: Option<u32>) -> Want {
        Want {
            partition,
            cpus: Cpus::Count(NonZeroU32::new(nr_cpus).expect("not zero")),
            memory: Memory::default(),
            policies: Policies::default(),
        }
    }

    fn all(partition: Option<u32>) -> Want {
        Want {
            partition,
            cpus: Cpus::AllFree,
            memory: Memory::default(),
            policies: Policies::default(),
        }
    }

    fn told(state: &State, want: &Want) -> String {
        match state.plan(want) {
            Ok(plan) => plan.to_string(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn plans_name_cpus_and_partition() {
        assert_eq!(
            told(&busy(), &exactly("4,6")),
            "CPUs 4,6 of partition 1 (boot)"
        );
        assert_eq!(told(&busy(), &exactly("7")), "CPU 7 of partition 1 (boot)");
        assert_eq!(told(&busy(), &all(None)), "CPUs 4-7 of partition 1 (boot)");
        assert_eq!(
            told(&busy(), &count(2, None)),
            "2 of the free CPUs 4-7 of partition 1 (boot)"
        );
        assert_eq!(
            told(&busy(), &count(4, Some(1))),
            "CPUs 4-7 of partition 1 (boot)"
        );
    }

    #[test]
    fn a_reservation_is_told_like_a_plan() {
        let told = busy().reserved(6).expect("job 6 exists").to_string();
        assert_eq!(told, "CPUs 8-9 of partition 2 (rest)");
        assert_eq!(busy().reserved(7), None);
    }

    #[test]
    fn without_a_partition_the_command_that_makes_one_is_named() {
        let error = told(&State::default(), &all(None));
        assert!(error.contains("lwkctl create"), "{error}");
        assert_eq!(
            State::default()
                .find("boot")
                .expect_err("it must fail")
                .to_string(),
            error[7..]
        );
    }

    #[test]
    fn held_cpus_are_named_with_their_holders() {
        assert_eq!(
            told(&busy(), &exactly("3-4")),
            "error: cannot reserve CPUs 3-4: CPU 3 is held by job 5 (pid 500, app5); wait, or ask for free CPUs 4-7"
        );
        assert_eq!(
            told(&busy(), &exactly("8")),
            "error: cannot reserve CPU 8: CPU 8 is held by job 6 (pid 600, app6); \
             wait until they are free, no other CPU of the partition is"
        );
        assert_eq!(
            told(&busy(), &all(Some(2))),
            "error: no LWK CPU is free: CPUs 8-9 are held by job 6 (pid 600, app6); wait until a job ends"
        );
        assert_eq!(
            told(&busy(), &count(1, Some(2))),
            told(&busy(), &all(Some(2)))
        );
    }

    #[test]
    fn a_holder_from_another_pid_namespace_has_no_pid() {
        let mut state = busy();
        state.jobs[0].pid = 0;
        assert!(told(&state, &exactly("2")).contains("held by job 5 (app5)"));
    }

    #[test]
    fn cpus_of_linux_are_named_with_what_can_be_had() {
        assert_eq!(
            told(&busy(), &exactly("0-4")),
            "error: cannot reserve CPUs 0-4: CPUs 0-1 are not in any partition; \
             there are CPUs 2-7 of partition 1 (boot), CPUs 8-9 of partition 2 (rest)"
        );
        let want = Want {
            partition: Some(2),
            ..exactly("4")
        };
        assert_eq!(
            told(&busy(), &want),
            "error: cannot reserve CPU 4: CPU 4 is not in partition 2 (rest); there are CPUs 8-9 of partition 2 (rest)"
        );
    }

    #[test]
    fn a_job_cannot_span_partitions() {
        let error = told(&busy(), &exactly("7-8"));
        assert!(
            error.starts_with("error: cannot reserve CPUs 7-8: a job runs in one partition"),
            "{error}"
        );
    }

    #[test]
    fn too_many_cpus_are_told_how_many_there_are() {
        assert_eq!(
            told(&busy(), &count(5, None)),
            "error: cannot reserve 5 CPUs of one partition: at most 4 free, CPUs 4-7 of partition 1 (boot); \
             ask for fewer or wait for a job to end"
        );
    }

    #[test]
    fn partitions_are_found_by_name_before_number() {
        let mut state = busy();
        state.partitions[1].name = "1".to_owned();
        assert_eq!(state.find("1").map(|found| found.id).expect("found"), 2);
        assert_eq!(state.find("boot").map(|found| found.id).expect("found"), 1);
        assert_eq!(state.find("2").map(|found| found.id).expect("found"), 2);
        let error = state.find("nope").expect_err("it must fail").to_string();
        assert_eq!(
            error,
            "there is no partition nope; there is partition 1 (boot), partition 2 (1)"
        );
        assert!(matches!(
            state.plan(&all(Some(9))),
            Err(Error::NoSuchPartition { .. })
        ));
    }
}
