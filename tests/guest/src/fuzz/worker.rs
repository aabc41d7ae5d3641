// SPDX-License-Identifier: GPL-2.0
//! A worker: draws operations from its seed, one step after the other, and tells the board of each.
//!
//! Each step has a generator of its own, so that what it does depends on its number only and not on how the steps before
//! it ended.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use nix::libc;
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::Pid;

use super::board::{Board, MAX_PREY};
use super::request::{Known, Maker};
use super::{admin, meddler, prey, Plan};
use crate::random::Random;
use crate::sys::fuzz::Arena;
use crate::{job, proc, sys};

/// Something that a worker does.
pub(super) struct Operation {
    /// What `lwktest.only=` and `lwktest.without=` call it.
    pub(super) name: &'static str,
    weight: u64,
    run: fn(&mut Worker<'_>),
}

impl Operation {
    pub(super) const fn new(
        name: &'static str,
        weight: u64,
        run: fn(&mut Worker<'_>),
    ) -> Operation {
        Operation { name, weight, run }
    }
}

/// What a worker is for.
pub(super) struct Role {
    /// Its name.
    pub(super) name: &'static str,
    /// Its user.
    pub(super) uid: u32,
    /// What it does.
    pub(super) operations: &'static [&'static [Operation]],
}

/// The group that may open the device.
pub(super) const GROUP: u32 = 900;

/// The workers, by number.
pub(super) const ROLES: &[Role] = &[
    Role {
        name: "admin",
        uid: 0,
        operations: &[COMMON, admin::OPERATIONS],
    },
    Role {
        name: "meddler",
        uid: 0,
        operations: &[COMMON, meddler::OPERATIONS],
    },
    Role {
        name: "alice",
        uid: 901,
        operations: &[COMMON, OWN],
    },
    Role {
        name: "bob",
        uid: 902,
        operations: &[COMMON, OWN],
    },
];

const COMMON: &[Operation] = &[
    Operation::new("request", 30, request),
    Operation::new("reopen", 3, reopen),
    Operation::new("learn", 3, |worker| worker.learn()),
    Operation::new("prey", 10, start_prey),
    Operation::new("yod", 2, start_yod),
    Operation::new("race", 2, start_race),
    Operation::new("guess", 1, start_guess),
    Operation::new("reap", 10, reap),
];

const OWN: &[Operation] = &[
    Operation::new("kill", 6, meddler::send_signal),
    Operation::new("policy", 6, meddler::set_policy),
    Operation::new("affinity", 4, meddler::set_affinity),
    Operation::new("ptrace", 3, meddler::trace),
    Operation::new("look", 3, meddler::look),
    Operation::new("cookie", 1, meddler::share_cookie),
];

/// A worker at work.
pub(super) struct Worker<'a> {
    pub(super) index: usize,
    pub(super) random: Random,
    pub(super) board: &'a Board,
    pub(super) plan: &'a Plan,
    devices: Vec<File>,
    arena: Arena,
    pub(super) known: Known,
}

/// What a worker's process does, and its exit code.
pub(super) fn work(index: usize, plan: &Plan, board: &Board) -> u8 {
    match try_work(index, plan, board) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("worker {index}: {error:#}");
            1
        }
    }
}

fn try_work(index: usize, plan: &Plan, board: &Board) -> Result<()> {
    let role = ROLES.get(index).context("no such worker")?;
    // Only root may write there.
    let mut log = File::options()
        .write(true)
        .open("/dev/kmsg")
        .context("/dev/kmsg")?;
    rustix::process::setpriority_process(None, -10).context("setpriority")?;
    become_user(role.uid)?;
    let all: Vec<(usize, &Operation)> = role
        .operations
        .iter()
        .flat_map(|some| some.iter())
        .enumerate()
        .collect();
    let wanted: Vec<_> = all
        .into_iter()
        .filter(|(_, operation)| plan.wants(operation.name))
        .collect();
    let total: u64 = wanted.iter().map(|(_, operation)| operation.weight).sum();
    anyhow::ensure!(total > 0, "nothing is left to do for {}", role.name);
    let mut worker = Worker {
        index,
        random: Random(1),
        board,
        plan,
        devices: vec![crate::sys::lwk::open()?],
        arena: Arena::new()?,
        known: Known {
            cpus: 0x38,
            ..Known::default()
        },
    };
    for step in board.step(index)..plan.end {
        worker.random = Random::of(plan.seed, &[index as u64, step]);
        let mut at = worker.random.below(total);
        let chosen = wanted.iter().find(|(_, operation)| {
            let is_it = at < operation.weight;
            at = at.saturating_sub(operation.weight);
            is_it
        });
        let (number, operation) = chosen.context("weights")?;
        board.begin(index, step, *number);
        if plan.is_traced {
            // A lost line costs some orientation only.
            let _ = writeln!(
                log,
                "<6>lwktest: fuzz {} {step} {}",
                role.name, operation.name
            );
        }
        (operation.run)(&mut worker);
    }
    board.set_step(index, plan.end);
    Ok(())
}

/// Gives up root for a user of the device's group.
fn become_user(uid: u32) -> Result<()> {
    use nix::sys::resource::{setrlimit, Resource};
    use nix::unistd::{setgid, setgroups, setuid, Gid, Uid};
    if uid == 0 {
        return Ok(());
    }
    // May make threads real-time, as many an installation allows its users.
    setrlimit(Resource::RLIMIT_RTPRIO, 10, 10).context("setrlimit")?;
    setgroups(&[Gid::from_raw(GROUP)]).context("setgroups")?;
    setgid(Gid::from_raw(uid)).context("setgid")?;
    setuid(Uid::from_raw(uid)).context("setuid")
}

/// The name of an operation by its number in the table of a worker.
pub(super) fn operation_name(worker: usize, number: usize) -> &'static str {
    let role = ROLES.get(worker).map_or(&[][..], |role| role.operations);
    let mut all = role.iter().flat_map(|some| some.iter());
    all.nth(number).map_or("?", |operation| operation.name)
}

fn request(worker: &mut Worker<'_>) {
    let (known, arena) = (&worker.known, &worker.arena);
    let device = worker
        .devices
        .get(worker.random.below(worker.devices.len() as u64) as usize);
    let Some(device) = device else { return };
    let random = &mut worker.random;
    for _ in 0..1 + random.below(12) {
        let mut maker = Maker::new(arena, random, known);
        // The worker stays what it is, and partitions are the business of one of them.
        let is_wanted = |op: &str| match op {
            "JobEnter" => false,
            "PartitionCreate" | "PartitionResize" | "PartitionDelete" => {
                worker.plan.wants("partition")
            }
            _ => true,
        };
        if let Some(made) = maker.request(device.as_fd(), is_wanted) {
            worker.board.count(made);
        }
    }
}

/// Closes and opens the device, so that jobs that only a file holds end.
fn reopen(worker: &mut Worker<'_>) {
    let index = worker.random.below(4) as usize;
    if index < worker.devices.len() {
        worker.devices.swap_remove(index);
    }
    if worker.devices.is_empty() || worker.random.one_in(2) {
        worker.devices.extend(crate::sys::lwk::open().ok());
    }
}

impl Worker<'_> {
    /// Looks which partitions, jobs and threads there are.
    fn learn(&mut self) {
        let mut known = Known::default();
        let partitions = job::partitions().unwrap_or_default();
        for cpu in partitions.iter().flat_map(|partition| &partition.cpus) {
            known.cpus |= 1 << (cpu % 64);
        }
        known.ids.extend(
            job::partitions()
                .unwrap_or_default()
                .iter()
                .map(|partition| partition.id),
        );
        known
            .ids
            .extend(job::jobs().unwrap_or_default().iter().map(|job| job.id));
        let prey = self.board.prey(self.index).into_iter().flatten();
        let threads = prey
            .flat_map(proc::threads)
            .map(|thread| thread.pid.cast_unsigned());
        known.tids.extend(threads);
        self.known = known;
    }

    /// A slot for another child, for which one may have to go.
    fn slot(&mut self) -> usize {
        let prey = self.board.prey(self.index);
        let free = prey.iter().position(Option::is_none);
        free.unwrap_or_else(|| {
            let slot = self.random.below(MAX_PREY as u64) as usize;
            self.end(slot, prey.get(slot).copied().flatten());
            slot
        })
    }

    /// Kills a child and forgets it; who does not end at once is reaped at the end of the round.
    fn end(&self, slot: usize, pid: Option<i32>) {
        if let Some(pid) = pid {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
        }
        self.board.forget_prey(self.index, slot);
    }

    fn start(&mut self, child: impl FnOnce(u64, &Board, usize) -> u8) {
        let (slot, seed) = (self.slot(), self.random.any());
        let (board, index) = (self.board, self.index);
        if let Ok(pid) = sys::spawn(|| child(seed, board, index)) {
            self.board.add_prey(self.index, slot, pid.as_raw());
        }
    }
}

fn start_prey(worker: &mut Worker<'_>) {
    worker.start(prey::hunted);
}

fn start_race(worker: &mut Worker<'_>) {
    worker.start(|seed, _, _| prey::raced(seed));
}

fn start_guess(worker: &mut Worker<'_>) {
    worker.start(prey::guessed);
}

/// Starts a program as users do.
fn start_yod(worker: &mut Worker<'_>) {
    const OPTIONS: &[&[&str]] = &[
        &[],
        &["-C", "1"],
        &["-C", "1", "-M", "8M"],
        &["-C", "2", "-M", "none"],
        &["--strict", "-M", "4M", "-C", "1"],
        &["--syscalls", "local=all", "-C", "1"],
        &["--syscalls", "move=%time,%memory", "--syscall-batch", "1ms"],
        &["--exclusive-wait", "--idle", "poll", "-C", "1"],
        &[
            "--maxpage",
            "all:4k",
            "--pagefault",
            "all:onefault",
            "-C",
            "1",
        ],
        &["--mempolicy", "all:interleave", "--aligned-mmap", "64k:4k"],
        &["--syscall-report", "-C", "1"],
        &["-c", "5"],
    ];
    let slot = worker.slot();
    let mut command = Command::new("/bin/yod");
    command.args(worker.random.pick(OPTIONS));
    command.args([
        "/init",
        "inside",
        "fuzz-prey",
        &worker.random.any().to_string(),
    ]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Ok(child) = command.spawn() {
        worker
            .board
            .add_prey(worker.index, slot, child.id().cast_signed());
    }
}

/// Forgets children that ended, and ends one now and then.
fn reap(worker: &mut Worker<'_>) {
    for (slot, pid) in worker.board.prey(worker.index).into_iter().enumerate() {
        let Some(pid) = pid else { continue };
        match waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(_) => {
                worker.board.forget_prey(worker.index, slot);
            }
            Ok(_) if worker.random.one_in(4) => worker.end(slot, Some(pid)),
            Ok(_) => {}
        }
    }
    super::nap(worker.random.below(5_000));
}

/// Signals that end, stop, continue or disturb a process.
pub(super) const SIGNALS: &[i32] = &[
    libc::SIGKILL,
    libc::SIGTERM,
    libc::SIGSTOP,
    libc::SIGCONT,
    libc::SIGCONT,
    libc::SIGSEGV,
    libc::SIGALRM,
    libc::SIGCHLD,
    libc::SIGURG,
    libc::SIGWINCH,
];
