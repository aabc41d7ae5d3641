// SPDX-License-Identifier: GPL-2.0
//! Carries out steps; when one fails, those before it are taken back, last first.
//!
//! ```text
//! planned --done--> done --a later step failed--> undone, or not undone
//!         --refused--> failed                     the rest: not reached
//! ```

use lwk::{Control, Named, NewPartition, Partition, PartitionName, State};

use crate::change::Step;

/// What became of a step.
#[derive(Debug)]
pub enum Status {
    /// Not tried, as this is a dry run or an earlier step failed.
    Planned,
    /// Done.
    Done,
    /// Refused; nothing changed.
    Failed(lwk::Error),
    /// Done and taken back.
    Undone,
    /// Done, and taking it back was refused.
    NotUndone(lwk::Error),
}

impl Status {
    /// The word for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Done => "done",
            Self::Failed(_) => "failed",
            Self::Undone => "undone",
            Self::NotUndone(_) => "not undone",
        }
    }

    /// Why it was refused.
    pub const fn error(&self) -> Option<&lwk::Error> {
        match self {
            Self::Failed(error) | Self::NotUndone(error) => Some(error),
            _ => None,
        }
    }
}

/// A step and what became of it.
#[derive(Debug)]
pub struct Record {
    /// The step.
    pub step: Step,
    /// What became of it.
    pub status: Status,
}

/// Steps and what became of them.
#[derive(Debug, Default)]
pub struct Outcome {
    /// In the order of the steps.
    pub records: Vec<Record>,
}

impl Outcome {
    /// Steps that nobody has tried.
    pub fn planned(steps: Vec<Step>) -> Self {
        let record = |step| Record {
            step,
            status: Status::Planned,
        };
        Self {
            records: steps.into_iter().map(record).collect(),
        }
    }

    /// Why the step that failed did, if one did.
    pub fn failure(&self) -> Option<&lwk::Error> {
        self.records.iter().find_map(|record| match &record.status {
            Status::Failed(error) => Some(error),
            _ => None,
        })
    }

    /// Makes it that of a rehearsal: what was done and taken back was never tried.
    pub fn forget_undone(&mut self) {
        for record in &mut self.records {
            if !matches!(record.status, Status::Failed(_)) {
                record.status = Status::Planned;
            }
        }
    }

    /// Whether the machine is not as it was, although a step failed.
    pub fn has_leftovers(&self) -> bool {
        let is_left = |record: &Record| matches!(record.status, Status::NotUndone(_));
        self.records.iter().any(is_left)
    }
}

/// Carries out steps in their order, all or, as far as the machine permits, none.
pub fn execute(control: &mut dyn Control, steps: Vec<Step>) -> Outcome {
    let mut outcome = Outcome::planned(steps);
    let mut undo: Vec<(usize, Step)> = Vec::new();
    for (index, record) in outcome.records.iter_mut().enumerate() {
        match carry_out(control, &record.step) {
            Ok(inverse) => {
                record.status = Status::Done;
                undo.push((index, inverse));
            }
            Err(error) => {
                record.status = Status::Failed(error);
                break;
            }
        }
    }
    if outcome.failure().is_none() {
        return outcome;
    }
    for (index, inverse) in undo.into_iter().rev() {
        let status = match carry_out(control, &inverse) {
            Ok(_) => Status::Undone,
            Err(error) => Status::NotUndone(error),
        };
        if let Some(record) = outcome.records.get_mut(index) {
            record.status = status;
        }
    }
    outcome
}

/// Carries out one step and returns the one that takes it back.
fn carry_out(control: &mut dyn Control, step: &Step) -> Result<Step, lwk::Error> {
    match step {
        Step::Create(new) => {
            control.create(new)?;
            Ok(Step::Delete(new.name.to_string()))
        }
        Step::Resize(name, change) => {
            let state = control.state()?;
            let partition = find(&state, name)?;
            let inverse = change.inverse(partition);
            control.resize(&Named::new(partition), change)?;
            Ok(Step::Resize(name.clone(), inverse))
        }
        Step::Policy(name, policy) => {
            let state = control.state()?;
            let partition = find(&state, name)?;
            control.set_policy(partition.id, policy)?;
            Ok(Step::Policy(name.clone(), partition.policy))
        }
        Step::Calls(name, calls) => {
            let state = control.state()?;
            let partition = find(&state, name)?;
            control.set_partition_calls(partition.id, calls)?;
            Ok(Step::Calls(name.clone(), partition.calls))
        }
        Step::Delete(name) => {
            let state = control.state()?;
            let partition = find(&state, name)?;
            let named = Named::new(partition);
            let inverse = remake(partition);
            control.delete(&named)?;
            // A name that only the kernel takes cannot be given again; that is told when it is tried.
            Ok(inverse.map_or_else(|| step.clone(), |new| Step::Create(Box::new(new))))
        }
    }
}

/// The partition of exactly this name.
fn find<'a>(state: &'a State, name: &str) -> Result<&'a Partition, lwk::Error> {
    let found = state
        .partitions
        .iter()
        .find(|partition| partition.name == name);
    found.map_or_else(|| state.find(name), Ok)
}

/// What makes a deleted partition again.
fn remake(partition: &Partition) -> Option<NewPartition> {
    let name: PartitionName = partition.name.parse().ok()?;
    Some(NewPartition {
        name,
        cpus: partition.cpus,
        service: partition.service,
        memory: partition.memory.wish(),
        policy: partition.policy,
        calls: partition.calls,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lwk::{CallPolicy, Forecast, Machine, Resize};
    use lwk_logic::logic::cpuset::CpuSet;
    use lwk_logic::logic::mempolicy::Policy;

    fn set(list: &str) -> CpuSet {
        list.parse().expect("a list of the test")
    }

    fn new(name: &str, cpus: &str) -> NewPartition {
        NewPartition {
            name: name.parse().expect("a good name"),
            cpus: set(cpus),
            service: CpuSet::EMPTY,
            memory: None,
            policy: Policy::DEFAULT,
            calls: CallPolicy::DEFAULT,
        }
    }

    /// Refuses some calls, counted from 0, for want of permission, and else is a machine in memory.
    struct Faulty {
        inner: Forecast,
        refuse: Vec<usize>,
        calls: usize,
    }

    impl Faulty {
        fn new(refuse: &[usize]) -> Self {
            let machine = Machine {
                armed: true,
                nr_cpus: 16,
                topology: None,
            };
            let mut inner = Forecast::new(machine, State::default());
            for (name, cpus) in [("a", "2-3"), ("b", "4-5")] {
                inner.create(&new(name, cpus)).expect("it must succeed");
            }
            let refuse = refuse.to_vec();
            Self {
                inner,
                refuse,
                calls: 0,
            }
        }

        fn call(&mut self) -> Result<(), lwk::Error> {
            let call = self.calls;
            self.calls += 1;
            if self.refuse.contains(&call) {
                return Err(lwk::Error::NoPartition);
            }
            Ok(())
        }
    }

    impl Control for Faulty {
        fn nr_cpus(&self) -> u32 {
            self.inner.nr_cpus()
        }
        fn state(&self) -> Result<State, lwk::Error> {
            self.inner.state()
        }
        fn create(&mut self, new: &NewPartition) -> Result<u32, lwk::Error> {
            self.call()?;
            self.inner.create(new)
        }
        fn resize(&mut self, partition: &Named, change: &Resize) -> Result<(), lwk::Error> {
            self.call()?;
            self.inner.resize(partition, change)
        }
        fn set_policy(&mut self, partition: u32, policy: &Policy) -> Result<(), lwk::Error> {
            self.call()?;
            self.inner.set_policy(partition, policy)
        }
        fn set_partition_calls(
            &mut self,
            partition: u32,
            calls: &CallPolicy,
        ) -> Result<(), lwk::Error> {
            self.call()?;
            self.inner.set_partition_calls(partition, calls)
        }
        fn delete(&mut self, partition: &Named) -> Result<(), lwk::Error> {
            self.call()?;
            self.inner.delete(partition)
        }
    }

    fn steps() -> Vec<Step> {
        let change = Resize {
            add: set("6"),
            remove: set("4"),
            memory: None,
        };
        vec![
            Step::Delete("a".to_owned()),
            Step::Resize("b".to_owned(), change),
            Step::Create(Box::new(new("c", "2-4"))),
        ]
    }

    fn statuses(outcome: &Outcome) -> Vec<&'static str> {
        outcome
            .records
            .iter()
            .map(|record| record.status.name())
            .collect()
    }

    /// Names and CPUs, without ids, which may differ after a way there and back.
    fn owners(control: &dyn Control) -> Vec<String> {
        let state = control.state().expect("it must succeed");
        let mut all: Vec<String> = state
            .partitions
            .iter()
            .map(|p| format!("{} {}", p.name, p.cpus))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn all_steps_are_done() {
        let mut machine = Faulty::new(&[]);
        let outcome = execute(&mut machine, steps());
        assert_eq!(statuses(&outcome), ["done", "done", "done"]);
        assert_eq!(owners(&machine), ["b 5-6", "c 2-4"]);
    }

    #[test]
    fn a_failure_at_each_step_leaves_the_machine_as_it_was() {
        let expected = [
            ["failed", "planned", "planned"],
            ["undone", "failed", "planned"],
            ["undone", "undone", "failed"],
        ];
        for (call, expected) in expected.iter().enumerate() {
            let mut machine = Faulty::new(&[call]);
            let before = owners(&machine);
            let outcome = execute(&mut machine, steps());
            assert_eq!(statuses(&outcome), expected);
            assert_eq!(owners(&machine), before, "failure at call {call}");
            assert!(outcome.failure().is_some() && !outcome.has_leftovers());
        }
    }

    #[test]
    fn what_cannot_be_taken_back_is_told_and_the_rest_still_is() {
        // Call 2 is the creation, call 3 takes the resize back.
        let mut machine = Faulty::new(&[2, 3]);
        let outcome = execute(&mut machine, steps());
        assert_eq!(statuses(&outcome), ["undone", "not undone", "failed"]);
        assert!(outcome.has_leftovers());
        assert_eq!(owners(&machine), ["a 2-3", "b 5-6"]);
    }

    #[test]
    fn an_unknown_partition_is_a_failure_not_a_panic() {
        let mut machine = Faulty::new(&[]);
        let outcome = execute(&mut machine, vec![Step::Delete("zz".to_owned())]);
        assert_eq!(statuses(&outcome), ["failed"]);
    }
}
