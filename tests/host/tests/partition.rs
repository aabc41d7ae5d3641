// SPDX-License-Identifier: GPL-2.0
//! The partition table against maps of sets, over random sequences of operations.

use host_tests::{cpu, plain, set, Plain};
use lwk_logic::logic::cpuset::CpuSet;
use lwk_logic::logic::error::{Errno, EBUSY, EEXIST, EINVAL, ENODEV, ENOENT};
use lwk_logic::logic::partition::{JobId, PartitionId, Table, Want};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// CPUs that the operations are about; few, so that they meet.
const NR_CPUS: u32 = 12;

/// Names to choose from, the last ones bad.
const NAMES: [&str; 6] = ["a", "b-1", "Main.2", "c_", "9lives", "no space"];

/// How many of [`NAMES`] are good.
const NR_GOOD_NAMES: usize = 4;

/// Spreads the CPUs over all words of a set.
fn number(position: u32) -> u32 {
    position * 93
}

/// Turns bits into CPUs.
fn chosen(bits: u16) -> Plain {
    (0..NR_CPUS)
        .filter(|position| bits >> position & 1 == 1)
        .map(number)
        .collect()
}

/// Which CPUs a job wants.
#[derive(Debug, Clone)]
enum Ask {
    All,
    Count(u32),
    Exact(u16),
    /// CPUs that are free in some partition, as bits among them: an exact wish that may come true.
    ExactFree(u16),
}

/// One operation; numbers may name what does not exist.
#[derive(Debug, Clone)]
enum Op {
    Create {
        name: usize,
        cpus: u16,
        service: u16,
        flags: u32,
    },
    Delete {
        id: u32,
    },
    Reserve {
        from: u32,
        ask: Ask,
    },
    Release {
        job: u32,
    },
    /// The job that is `nth` among the live ones, if there is one.
    ReleaseLive {
        nth: usize,
    },
}

fn few_cpus() -> impl Strategy<Value = u16> {
    prop_oneof![3 => (any::<u16>(), any::<u16>()).prop_map(|(a, b)| a & b), 1 => any::<u16>(), 1 => Just(0)]
}

fn op() -> impl Strategy<Value = Op> {
    let ask = prop_oneof![
        1 => Just(Ask::All),
        2 => (0..6u32).prop_map(Ask::Count),
        1 => few_cpus().prop_map(Ask::Exact),
        3 => any::<u16>().prop_map(Ask::ExactFree),
    ];
    prop_oneof![
        4 => (0..NAMES.len(), few_cpus(), few_cpus(), any::<u32>())
            .prop_map(|(name, cpus, service, flags)| Op::Create { name, cpus, service: service & !cpus, flags }),
        1 => (0..NAMES.len(), few_cpus(), few_cpus())
            .prop_map(|(name, cpus, service)| Op::Create { name, cpus, service, flags: 0 }),
        2 => (1..5u32).prop_map(|id| Op::Delete { id }),
        6 => (0..4u32, ask).prop_map(|(from, ask)| Op::Reserve { from, ask }),
        1 => (1..20u32).prop_map(|job| Op::Release { job }),
        3 => (0..4usize).prop_map(|nth| Op::ReleaseLive { nth }),
    ]
}

/// One partition of the model.
#[derive(Debug, Clone)]
struct Partition {
    name: &'static str,
    flags: u32,
    cpus: Plain,
    service: Plain,
}

/// The table as maps.
#[derive(Debug, Clone, Default)]
struct Model {
    partitions: BTreeMap<u32, Partition>,
    /// Partition and CPUs of each job.
    jobs: BTreeMap<u32, (u32, Plain)>,
    nr_jobs_ever: u32,
}

impl Model {
    fn owner(&self, cpu: u32) -> Option<u32> {
        self.partitions
            .iter()
            .find(|(_, partition)| partition.cpus.contains(&cpu))
            .map(|(id, _)| *id)
    }

    fn serves(&self, cpu: u32) -> Option<u32> {
        self.partitions
            .iter()
            .find(|(_, partition)| partition.service.contains(&cpu))
            .map(|(id, _)| *id)
    }

    fn job_of(&self, cpu: u32) -> Option<u32> {
        self.jobs
            .iter()
            .find(|(_, (_, cpus))| cpus.contains(&cpu))
            .map(|(job, _)| *job)
    }

    fn free(&self, id: u32) -> Plain {
        let cpus = self
            .partitions
            .get(&id)
            .map(|partition| partition.cpus.clone())
            .unwrap_or_default();
        cpus.into_iter()
            .filter(|cpu| self.job_of(*cpu).is_none())
            .collect()
    }

    fn create(&mut self, new: Partition, is_good_name: bool) -> Result<u32, i32> {
        if !is_good_name {
            return Err(EINVAL);
        }
        if self
            .partitions
            .values()
            .any(|partition| partition.name == new.name)
        {
            return Err(EEXIST);
        }
        if new.cpus.is_empty() || !new.cpus.is_disjoint(&new.service) {
            return Err(EINVAL);
        }
        let has_role = |cpu: &u32| self.owner(*cpu).is_some() || self.serves(*cpu).is_some();
        if new.cpus.iter().chain(&new.service).any(has_role) {
            return Err(EBUSY);
        }
        let id = (1..)
            .find(|id| !self.partitions.contains_key(id))
            .expect("a free number");
        self.partitions.insert(id, new);
        Ok(id)
    }

    fn delete(&mut self, id: u32) -> Result<(), i32> {
        if !self.partitions.contains_key(&id) {
            return Err(ENODEV);
        }
        if self.jobs.values().any(|(partition, _)| *partition == id) {
            return Err(EBUSY);
        }
        self.partitions.remove(&id);
        Ok(())
    }

    /// Returns the partition and CPUs that a request gets.
    fn find(&self, from: u32, ask: &Ask, exact: &Plain) -> Result<(u32, Plain), i32> {
        if self.partitions.is_empty() || from != 0 && !self.partitions.contains_key(&from) {
            return Err(ENODEV);
        }
        let ids: Vec<u32> = self
            .partitions
            .keys()
            .copied()
            .filter(|id| from == 0 || *id == from)
            .collect();
        let wanted = match ask {
            Ask::Count(0) => return Err(EINVAL),
            Ask::Count(count) => *count as usize,
            Ask::All => 1,
            Ask::Exact(_) | Ask::ExactFree(_) => return self.find_exact(from, exact),
        };
        if let Some(id) = ids
            .iter()
            .copied()
            .find(|id| self.free(*id).len() >= wanted)
        {
            let free = self.free(id);
            let taken = if matches!(ask, Ask::All) {
                free.len()
            } else {
                wanted
            };
            return Ok((id, free.into_iter().take(taken).collect()));
        }
        let is_large_enough = ids
            .iter()
            .any(|id| self.partitions[id].cpus.len() >= wanted);
        Err(if is_large_enough { EBUSY } else { EINVAL })
    }

    fn find_exact(&self, from: u32, exact: &Plain) -> Result<(u32, Plain), i32> {
        let Some(lowest) = exact.first() else {
            return Err(EINVAL);
        };
        let id = if from == 0 {
            self.owner(*lowest).ok_or(ENODEV)?
        } else {
            from
        };
        for cpu in exact {
            match self.owner(*cpu) {
                None => return Err(ENODEV),
                Some(owner) if owner != id => return Err(EINVAL),
                Some(_) => {}
            }
        }
        if exact.iter().any(|cpu| self.job_of(*cpu).is_some()) {
            return Err(EBUSY);
        }
        Ok((id, exact.clone()))
    }

    fn reserve(&mut self, from: u32, ask: &Ask, exact: &Plain) -> Result<(u32, u32, Plain), i32> {
        let (id, cpus) = self.find(from, ask, exact)?;
        self.nr_jobs_ever += 1;
        self.jobs.insert(self.nr_jobs_ever, (id, cpus.clone()));
        Ok((self.nr_jobs_ever, id, cpus))
    }

    fn release(&mut self, job: u32) -> Result<Plain, i32> {
        self.jobs.remove(&job).map(|(_, cpus)| cpus).ok_or(ENOENT)
    }
}

/// Does one operation on both and compares the results; says whether it succeeded.
fn step(table: &mut Table, model: &mut Model, op: &Op) -> Result<bool, TestCaseError> {
    match op {
        Op::Create {
            name,
            cpus,
            service,
            flags,
        } => {
            let (cpus, service) = (chosen(*cpus), chosen(*service));
            let found = table.create(NAMES[*name].as_bytes(), &set(&cpus), &set(&service), *flags);
            let new = Partition {
                name: NAMES[*name],
                flags: *flags,
                cpus,
                service,
            };
            let expected = model.create(new, *name < NR_GOOD_NAMES);
            prop_assert_eq!(
                found.map(PartitionId::get).map_err(|error| error.errno()),
                expected
            );
            Ok(expected.is_ok())
        }
        Op::Delete { id } => {
            let found = table.delete(PartitionId::new(*id).expect("not 0"));
            let expected = model.delete(*id);
            prop_assert_eq!(found.map_err(|error| error.errno()), expected);
            Ok(expected.is_ok())
        }
        Op::Reserve { from, ask } => {
            let exact = match ask {
                Ask::Exact(bits) => chosen(*bits),
                Ask::ExactFree(bits) => {
                    let id = if *from == 0 {
                        1 + u32::from(bits % 3)
                    } else {
                        *from
                    };
                    model
                        .free(id)
                        .into_iter()
                        .filter(|cpu| bits >> (cpu / 93) & 1 == 1)
                        .collect()
                }
                Ask::All | Ask::Count(_) => Plain::new(),
            };
            let exact_set = set(&exact);
            let want = match ask {
                Ask::All => Want::All,
                Ask::Count(count) => Want::Count(*count),
                Ask::Exact(_) | Ask::ExactFree(_) => Want::Exact(&exact_set),
            };
            let found = table.reserve(PartitionId::new(*from), want);
            let expected = model.reserve(*from, ask, &exact);
            let is_ok = expected.is_ok();
            let found = found.map(|(job, id, cpus)| (job.get(), id.get(), plain(&cpus)));
            prop_assert_eq!(found.map_err(|error| error.errno()), expected);
            Ok(is_ok)
        }
        Op::Release { job } => release(table, model, *job),
        Op::ReleaseLive { nth } => match model.jobs.keys().nth(*nth).copied() {
            Some(job) => release(table, model, job),
            None => Ok(false),
        },
    }
}

/// Releases a job in both and compares the results; says whether it existed.
fn release(table: &mut Table, model: &mut Model, job: u32) -> Result<bool, TestCaseError> {
    let found = table.release(JobId::new(job).expect("not 0"));
    let expected = model.release(job);
    let is_ok = expected.is_ok();
    prop_assert_eq!(
        found
            .map(|cpus| plain(&cpus))
            .map_err(|error| error.errno()),
        expected
    );
    Ok(is_ok)
}

/// Compares all that can be asked.
fn compare(table: &Table, model: &Model) -> Result<(), TestCaseError> {
    for number in 0..1024 {
        let id = cpu(number);
        prop_assert_eq!(table.owner(id).map(PartitionId::get), model.owner(number));
        prop_assert_eq!(table.serves(id).map(PartitionId::get), model.serves(number));
        prop_assert_eq!(table.job_of(id).map(JobId::get), model.job_of(number));
    }
    let mut from = 0;
    for (number, partition) in &model.partitions {
        let view = table
            .next_partition(from)
            .ok_or_else(|| TestCaseError::fail("a partition is missing"))?;
        let nr_jobs = model.jobs.values().filter(|(id, _)| id == number).count();
        prop_assert_eq!(
            (view.id.get(), view.name),
            (*number, partition.name.as_bytes())
        );
        prop_assert_eq!(
            (view.flags, view.nr_jobs as usize),
            (partition.flags, nr_jobs)
        );
        prop_assert_eq!(view.nr_cpus as usize, partition.cpus.len());
        prop_assert_eq!(view.nr_free as usize, model.free(*number).len());
        prop_assert_eq!(plain(&table.cpus_of(view.id)), partition.cpus.clone());
        prop_assert_eq!(plain(&table.service_of(view.id)), partition.service.clone());
        prop_assert_eq!(plain(&table.free_of(view.id)), model.free(*number));
        from = number + 1;
    }
    prop_assert!(table.next_partition(from).is_none());
    from = 0;
    for (number, (partition, cpus)) in &model.jobs {
        let view = table
            .next_job(from)
            .ok_or_else(|| TestCaseError::fail("a job is missing"))?;
        prop_assert_eq!((view.id.get(), view.partition.get()), (*number, *partition));
        prop_assert_eq!(view.nr_cpus as usize, cpus.len());
        prop_assert_eq!(plain(&table.cpus_of_job(view.id)), cpus.clone());
        from = number + 1;
    }
    prop_assert!(table.next_job(from).is_none());
    prop_assert_eq!(table.nr_jobs() as usize, model.jobs.len());
    prop_assert_eq!(table.nr_partitions() as usize, model.partitions.len());
    Ok(())
}

/// Checks what a CPU can be, asking only the table.
fn check_roles(table: &Table) -> Result<(), TestCaseError> {
    let mut seen = CpuSet::EMPTY;
    let mut from = 0;
    while let Some(view) = table.next_partition(from) {
        let (cpus, service) = (table.cpus_of(view.id), table.service_of(view.id));
        prop_assert!(!cpus.intersects(&service) && !cpus.union(&service).intersects(&seen));
        prop_assert!(!cpus.is_empty());
        seen = seen.union(&cpus).union(&service);
        from = view.id.get() + 1;
    }
    let mut held = CpuSet::EMPTY;
    from = 0;
    while let Some(view) = table.next_job(from) {
        let cpus = table.cpus_of_job(view.id);
        prop_assert!(!cpus.is_empty() && !cpus.intersects(&held));
        prop_assert!(cpus.is_subset(&table.cpus_of(view.partition)));
        held = held.union(&cpus);
        from = view.id.get() + 1;
    }
    Ok(())
}

proptest! {
    #[test]
    fn table_and_model_agree(ops in vec(op(), 1..40)) {
        let (mut table, mut model) = (Table::new(), Model::default());
        for op in &ops {
            let before = table.clone();
            if !step(&mut table, &mut model, op)? {
                prop_assert!(table == before, "a failed operation changed the table: {:?}", op);
            }
            check_roles(&table)?;
        }
        compare(&table, &model)?;
    }

    #[test]
    fn all_can_be_taken_down_again(ops in vec(op(), 1..40)) {
        let (mut table, mut model) = (Table::new(), Model::default());
        for op in &ops {
            step(&mut table, &mut model, op)?;
        }
        while let Some(view) = table.next_job(0) {
            prop_assert!(table.release(view.id).is_ok());
        }
        while let Some(id) = table.next_partition(0).map(|view| view.id) {
            prop_assert_eq!(table.delete(id), Ok(()));
        }
        compare(&table, &Model::default())?;
    }
}
