// SPDX-License-Identifier: GPL-2.0
//! `lwkctl apply`: from any partitions to any others in steps that work, and back if one does not.

use host_tests::cpu;
use lwk::{
    CallPolicy, Control, Error, Forecast, Machine, Named, NewPartition, Partition, Resize, State,
};
use lwk_logic::logic::cpuset::CpuSet;
use lwk_logic::logic::mempolicy::Policy;
use lwkctl::change::plan;
use lwkctl::config;
use lwkctl::transaction::execute;
use proptest::prelude::*;

const NR_CPUS: u32 = 12;

/// One of three policies.
fn policy(number: u32) -> Policy {
    let mut policy = Policy::DEFAULT;
    policy.heap_step = 4096 << (number % 3 * 9);
    policy
}

/// One of two.
fn calls(number: u32) -> CallPolicy {
    CallPolicy {
        poll: number % 2 == 1,
        ..CallPolicy::DEFAULT
    }
}

/// Partitions with names a to e on few CPUs, so that they often want what another has.
fn any_partitions() -> impl Strategy<Value = Vec<NewPartition>> {
    // For each CPU: the partition that has it, and whether it serves.
    let roles = prop::collection::vec(
        prop::option::weighted(0.7, (0..5_u8, prop::bool::weighted(0.2))),
        NR_CPUS as usize,
    );
    roles.prop_map(|roles| {
        let of = |number: u8, serves: bool| -> CpuSet {
            let is_it = |role: &Option<(u8, bool)>| *role == Some((number, serves));
            let cpus = roles.iter().zip(0..).filter(|(role, _)| is_it(role));
            cpus.map(|(_, number)| cpu(number)).collect()
        };
        let new = |number: u8| NewPartition {
            name: char::from(b'a' + number)
                .to_string()
                .parse()
                .expect("a good name"),
            cpus: of(number, false),
            service: of(number, true),
            memory: None,
            policy: policy(of(number, false).len()),
            calls: calls(of(number, true).len()),
        };
        (0..5).map(new).filter(|new| !new.cpus.is_empty()).collect()
    })
}

/// A machine that refuses one call.
struct Faulty {
    inner: Forecast,
    calls_left: Option<usize>,
}

impl Faulty {
    fn call(&mut self) -> Result<(), Error> {
        match &mut self.calls_left {
            Some(0) => {
                self.calls_left = None;
                Err(Error::NoPartition)
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Control for Faulty {
    fn nr_cpus(&self) -> u32 {
        NR_CPUS
    }
    fn state(&self) -> Result<State, Error> {
        self.inner.state()
    }
    fn create(&mut self, new: &NewPartition) -> Result<u32, Error> {
        self.call()?;
        self.inner.create(new)
    }
    fn resize(&mut self, partition: &Named, change: &Resize) -> Result<(), Error> {
        self.call()?;
        self.inner.resize(partition, change)
    }
    fn set_policy(&mut self, partition: u32, policy: &Policy) -> Result<(), Error> {
        self.call()?;
        self.inner.set_policy(partition, policy)
    }
    fn set_partition_calls(&mut self, partition: u32, calls: &CallPolicy) -> Result<(), Error> {
        self.call()?;
        self.inner.set_partition_calls(partition, calls)
    }
    fn delete(&mut self, partition: &Named) -> Result<(), Error> {
        self.call()?;
        self.inner.delete(partition)
    }
}

fn state(partitions: &[NewPartition]) -> State {
    let partition = |(new, id): (&NewPartition, u32)| Partition {
        id,
        name: new.name.to_string(),
        boot: false,
        cpus: new.cpus,
        service: new.service,
        memory: lwk::Shares::default(),
        policy: new.policy,
        calls: new.calls,
    };
    State {
        partitions: partitions.iter().zip(1..).map(partition).collect(),
        jobs: Vec::new(),
    }
}

fn machine(partitions: &[NewPartition], calls_left: Option<usize>) -> Faulty {
    let machine = Machine {
        armed: true,
        nr_cpus: NR_CPUS,
        topology: None,
    };
    Faulty {
        inner: Forecast::new(machine, state(partitions)),
        calls_left,
    }
}

/// Who has what, without ids.
fn owners(control: &dyn Control) -> Vec<String> {
    let state = control.state().expect("it cannot fail");
    let told = |p: &Partition| {
        let (step, polls) = (p.policy.heap_step, p.calls.poll);
        format!("{}:{}:{}:{step}:{polls}", p.name, p.cpus, p.service)
    };
    let mut all: Vec<String> = state.partitions.iter().map(told).collect();
    all.sort();
    all
}

proptest! {
    #[test]
    fn the_steps_of_a_plan_lead_to_the_goal(from in any_partitions(), to in any_partitions()) {
        let steps = plan(&state(&from), &to).expect("nothing of the boot line is in the way").steps;
        let mut control = machine(&from, None);
        let nr_steps = steps.len();
        let outcome = execute(&mut control, steps);
        prop_assert!(outcome.failure().is_none(), "{:?}", outcome);
        prop_assert_eq!(owners(&control), owners(&machine(&to, None)));
        let again = plan(&control.state().expect("it cannot fail"), &to).expect("a plan");
        prop_assert_eq!(again.steps, vec![], "nothing is left to do");
        prop_assert!(nr_steps <= 3 * (from.len() + to.len()));
    }

    #[test]
    fn a_failure_anywhere_leads_back(from in any_partitions(), to in any_partitions(), at in 0..12_usize) {
        let steps = plan(&state(&from), &to).expect("nothing of the boot line is in the way").steps;
        let mut control = machine(&from, Some(at));
        let nr_steps = steps.len();
        let outcome = execute(&mut control, steps);
        if at < nr_steps {
            prop_assert!(outcome.failure().is_some() && !outcome.has_leftovers());
            prop_assert_eq!(owners(&control), owners(&machine(&from, None)));
        } else {
            prop_assert!(outcome.failure().is_none());
        }
    }

    #[test]
    fn what_is_saved_is_read_back(partitions in any_partitions()) {
        let text = config::text(&state(&partitions)).expect("it can be written");
        let read = config::parse(&text, NR_CPUS).map_err(|error| error.to_string());
        prop_assert_eq!(read, Ok(partitions));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(version = [12]\n)?(\\[\\[partition\\]\\]\n(name|cpus|service|mem) = \"?[a-z0-9,:-]{0,4}\"?\n){0,3}") {
        if let Err(error) = config::parse(&text, NR_CPUS) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
