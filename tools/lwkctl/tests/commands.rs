// SPDX-License-Identifier: GPL-2.0
//! The commands that change partitions, on a machine in memory that can be made to refuse.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use clap::Parser;
use lwk::{Control, Error, Forecast, Job, JobMemory, Machine, Named, NewPartition, Resize, State};
use lwk_logic::logic::cpuset::CpuSet;
use lwk_logic::logic::mempolicy::Policy;
use lwkctl::cli::{Command, Options};
use lwkctl::commands::Target;
use lwkctl::Answer;
use serde_json::{json, Value};

fn set(list: &str) -> CpuSet {
    list.parse().expect("a list of the test")
}

/// A machine in memory that several may look at.
#[derive(Clone)]
struct Shared {
    machine: Rc<RefCell<Forecast>>,
    /// Changes left until one is refused.
    fuse: Rc<RefCell<Option<usize>>>,
    /// A partition that somebody else makes before the next creation.
    rival: Rc<RefCell<Option<NewPartition>>>,
}

impl Shared {
    /// 16 CPUs; "boot" is of the boot line with 2-3 served by 0, "work" has 4-7.
    fn new() -> Self {
        let partition = |id, name: &str, cpus, service| lwk::Partition {
            id,
            name: name.to_owned(),
            boot: id == 1,
            cpus: set(cpus),
            service: set(service),
            memory: lwk::Shares::default(),
            policy: Policy::DEFAULT,
            calls: lwk::CallPolicy::DEFAULT,
        };
        Self::with(State {
            partitions: vec![
                partition(1, "boot", "2-3", "0"),
                partition(2, "work", "4-7", ""),
            ],
            jobs: Vec::new(),
        })
    }

    fn with(state: State) -> Self {
        let machine = Machine {
            armed: true,
            nr_cpus: 16,
            topology: None,
        };
        Self {
            machine: Rc::new(RefCell::new(Forecast::new(machine, state))),
            fuse: Rc::new(RefCell::new(None)),
            rival: Rc::new(RefCell::new(None)),
        }
    }

    fn run(&self, line: &str) -> Answer {
        let options = Options::parse_from(format!("lwkctl {line}").split(' '));
        let mut target = Target::new(Box::new(self.clone()), None);
        let answer = match &options.command {
            Command::Create(asked) => target.create(asked),
            Command::Resize(asked) => target.resize(asked),
            Command::Delete(asked) => target.delete(asked),
            Command::Apply(asked) => target.apply(asked),
            other => panic!("not a change: {other:?}"),
        };
        answer.unwrap_or_else(|error| Answer::new(String::new(), Some(error)))
    }

    /// Applies a file of these partitions.
    fn apply(&self, partitions: &str, options: &str) -> Answer {
        let dir = tempfile::tempdir().expect("it must succeed");
        let path: PathBuf = dir.path().join("partitions.toml");
        let mut text = "version = 1\n".to_owned();
        for partition in partitions.split_whitespace() {
            let fields: Vec<&str> = partition.split(':').collect();
            text += &format!(
                "[[partition]]\nname = \"{}\"\ncpus = \"{}\"\nservice = \"{}\"\n",
                fields[0], fields[1], fields[2]
            );
        }
        std::fs::write(&path, text).expect("it must succeed");
        self.run(&format!("apply {}{options}", path.display()))
    }

    fn owners(&self) -> Vec<String> {
        let state = self.state().expect("it must succeed");
        let told = |p: &lwk::Partition| format!("{}:{}:{}", p.name, p.cpus, p.service);
        let mut all: Vec<String> = state.partitions.iter().map(told).collect();
        all.sort();
        all
    }

    fn spark(&self) -> Result<(), Error> {
        let mut fuse = self.fuse.borrow_mut();
        match fuse.as_mut() {
            Some(0) => Err(Error::NoPartition),
            Some(left) => {
                *left -= 1;
                // Only one change is refused.
                Ok(())
            }
            None => Ok(()),
        }
        .inspect_err(|_| *fuse = None)
    }
}

impl Control for Shared {
    fn nr_cpus(&self) -> u32 {
        self.machine.borrow().nr_cpus()
    }
    fn state(&self) -> Result<State, Error> {
        self.machine.borrow().state()
    }
    fn create(&mut self, new: &NewPartition) -> Result<u32, Error> {
        self.spark()?;
        if let Some(rival) = self.rival.borrow_mut().take() {
            self.machine.borrow_mut().create(&rival)?;
        }
        self.machine.borrow_mut().create(new)
    }
    fn resize(&mut self, partition: &Named, change: &Resize) -> Result<(), Error> {
        self.spark()?;
        self.machine.borrow_mut().resize(partition, change)
    }
    fn set_policy(&mut self, partition: u32, policy: &Policy) -> Result<(), Error> {
        self.spark()?;
        self.machine.borrow_mut().set_policy(partition, policy)
    }
    fn set_partition_calls(
        &mut self,
        partition: u32,
        calls: &lwk::CallPolicy,
    ) -> Result<(), Error> {
        self.spark()?;
        self.machine
            .borrow_mut()
            .set_partition_calls(partition, calls)
    }
    fn delete(&mut self, partition: &Named) -> Result<(), Error> {
        self.spark()?;
        self.machine.borrow_mut().delete(partition)
    }
}

fn text(answer: &Answer) -> &str {
    assert!(answer.error.is_none(), "{:?}", answer.error);
    &answer.text
}

fn error(answer: &Answer) -> String {
    let error = answer.error.as_ref().expect("an error");
    format!("{error:#}")
}

#[test]
fn a_partition_comes_grows_and_goes() {
    let machine = Shared::new();
    let answer = machine.run("create --cpus 8-9 --service 1");
    assert_eq!(
        text(&answer),
        "done: create partition lwk0: CPUs 8-9, served by CPU 1\n"
    );
    let answer = machine.run("resize lwk0 --add 10 --remove 8");
    assert_eq!(
        text(&answer),
        "done: resize partition lwk0: add CPU 10, remove CPU 8\n"
    );
    assert_eq!(machine.owners(), ["boot:2-3:0", "lwk0:9-10:1", "work:4-7:"]);
    assert_eq!(
        text(&machine.run("delete lwk0")),
        "done: delete partition lwk0\n"
    );
    assert_eq!(machine.owners(), ["boot:2-3:0", "work:4-7:"]);
}

#[test]
fn partitions_are_also_found_by_id() {
    let machine = Shared::new();
    assert_eq!(
        text(&machine.run("delete 2")),
        "done: delete partition work\n"
    );
    assert!(error(&machine.run("delete 2")).starts_with("there is no partition 2; there is"));
}

#[test]
fn a_default_name_that_somebody_took_is_chosen_again() {
    let machine = Shared::new();
    *machine.rival.borrow_mut() = Some(NewPartition {
        name: "lwk0".parse().expect("a good name"),
        cpus: set("15"),
        service: CpuSet::EMPTY,
        memory: None,
        policy: Policy::DEFAULT,
        calls: lwk::CallPolicy::DEFAULT,
    });
    let answer = machine.run("create --cpus 8");
    assert_eq!(text(&answer), "done: create partition lwk1: CPU 8\n");
    let error = error(&machine.run("create lwk1 --cpus 9"));
    assert!(
        error.contains("there is a partition of this name"),
        "{error}"
    );
}

#[test]
fn refusals_name_what_is_in_the_way() {
    let machine = Shared::new();
    let answer = machine.run("create rt --cpus 7-8 --json");
    assert_eq!(
        error(&answer),
        "cannot create partition rt of CPUs 7-8: CPU 7 belongs to partition 2 (work); \
         leave CPU 7 out, or remove it there first"
    );
    let told: Value = serde_json::from_str(&answer.text).expect("JSON");
    assert_eq!(told["result"], "failed");
    assert_eq!(told["steps"][0]["status"], "failed");
    assert!(error(&machine.run("resize work --remove 4-7")).contains("no CPU would be left"));
    assert!(error(&machine.run("create --cpus 16")).contains("--cpus 16: CPU 16 is out of range"));
    assert!(error(&machine.run("create --auto")).contains("cannot choose CPUs"));
    assert!(error(&machine.run("resize work --add=")).contains("both lists are empty"));
}

#[test]
fn apply_makes_what_the_file_says() {
    let machine = Shared::new();
    let answer = machine.apply("work:6-9: rt:4-5:1", "");
    assert_eq!(
        text(&answer),
        "done: resize partition work: add CPUs 8-9, remove CPUs 4-5\n\
         done: create partition rt: CPUs 4-5, served by CPU 1\n\
         kept: partition boot of the boot line\n"
    );
    assert_eq!(machine.owners(), ["boot:2-3:0", "rt:4-5:1", "work:6-9:"]);
    let again = machine.apply("work:6-9: rt:4-5:1 boot:2-3:0", "");
    assert_eq!(
        text(&again),
        "unchanged: the machine has these partitions already\n"
    );
}

#[test]
fn a_step_that_fails_takes_the_others_back() {
    for changes in 0..3 {
        for options in ["", " --json"] {
            let machine = Shared::new();
            *machine.fuse.borrow_mut() = Some(changes);
            let before = machine.owners();
            let answer = machine.apply("boot:2:0 rt:3-4:1", options);
            assert_eq!(machine.owners(), before, "after {changes} changes");
            assert!(error(&answer).ends_with("the machine is as it was before"));
            if options.is_empty() {
                continue;
            }
            let told: Value = serde_json::from_str(&answer.text).expect("JSON");
            assert_eq!(told["result"], "failed");
            let statuses: Vec<&Value> = told["steps"]
                .as_array()
                .expect("an array")
                .iter()
                .map(|step| &step["status"])
                .collect();
            let mut wanted = vec!["undone"; changes];
            wanted.push("failed");
            wanted.resize(3, "planned");
            assert_eq!(json!(statuses), json!(wanted));
        }
    }
}

#[test]
fn apply_refuses_before_it_begins_if_a_job_is_in_the_way() {
    let machine = Shared::new();
    let mut state = machine.state().expect("it must succeed");
    state.jobs.push(Job {
        id: 1,
        partition: 2,
        nr_tasks: 1,
        pid: 77,
        uid: 0,
        comm: "app".to_owned(),
        cpus: set("6"),
        memory: JobMemory::default(),
    });
    let machine = Shared::with(state);
    let answer = machine.apply("boot:2:0", "");
    assert_eq!(
        error(&answer),
        "cannot delete partition work: it runs job 1 (pid 77, app); wait until it runs none, or end them\n\
         lwkctl: the machine is as it was before"
    );
    assert_eq!(
        answer.text,
        "failed: delete partition work\nplanned: resize partition boot: remove CPU 3\n"
    );
    assert_eq!(machine.owners(), ["boot:2-3:0", "work:4-7:"]);
}

#[test]
fn apply_names_the_file_and_what_is_wrong_in_it() {
    let machine = Shared::new();
    assert!(error(&machine.run("apply /no/such/file"))
        .starts_with("cannot apply /no/such/file: cannot read"));
    assert!(error(&machine.apply("rt:2:", "")).contains("partition boot of the boot line has it"));
}

#[test]
fn the_unit_file_applies_with_options_that_exist() {
    let unit = include_str!("../systemd/lwkctl.service");
    let commands: Vec<&str> = unit
        .lines()
        .filter_map(|line| {
            line.strip_prefix("ExecStart=")
                .or(line.strip_prefix("ExecReload="))
        })
        .collect();
    assert_eq!(commands.len(), 2, "{unit}");
    for command in commands {
        let options = Options::try_parse_from(command.split(' ')).expect("a command line");
        let Command::Apply(apply) = options.command else {
            panic!("{command}");
        };
        let condition = format!("ConditionPathExists={}", apply.file.display());
        assert!(unit.lines().any(|line| line == condition), "{unit}");
    }
}
