// SPDX-License-Identifier: GPL-2.0
//! The fuzzer: processes of two users and of root that draw operations from a seed, side by side, while this one watches.
//!
//! ```text
//! run ──▶ round: workers start ──▶ each: step, step, ... ──▶ time is up: all are killed ──▶ all must be as before
//!           ▲                        │ start, disturb and kill prey                                   │
//!           └────────────────────────┴──── they go on with the step after the last one ◀──────────────┘
//! ```
//!
//! [`worker`] draws and does, [`request`] makes up requests to the device, [`prey`] are the programs in jobs, [`meddler`]
//! and [`admin`] what is done to them and to the machine, [`board`] is what all of them share.
//!
//! | word of the boot line | meaning |
//! |---|---|
//! | `lwktest.seed=N` | where all chance comes from; 1 if missing |
//! | `lwktest.seconds=N` | how long; 20 if missing |
//! | `lwktest.ops=M`, `lwktest.ops=A-M` | only the steps from A on and before M of each worker, then the end |
//! | `lwktest.workers=0,2` | only these; the table of roles has their order |
//! | `lwktest.only=`, `lwktest.without=` | names of operations, with commas; the word may be there several times |
//! | `lwktest.trace=1` | a line of the kernel log for each step |

mod admin;
mod board;
mod meddler;
mod prey;
mod request;
mod worker;

use std::fs;
use std::os::unix::fs::{chown, PermissionsExt};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use lwk_logic::uapi;
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::Pid;

use board::Board;
pub(crate) use prey::main as prey;
use worker::{operation_name, work, GROUP, ROLES};

use crate::cpus::Cpus;
use crate::snapshot::{self, Snapshot};
use crate::{cpus, init, job, ktap, memory, partition, proc, sys};

/// How long workers run before all are killed and everything is looked at.
const ROUND: Duration = Duration::from_secs(15);
/// How long a step may take on the production kernel, and how long the end of all processes.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the kernel log must not have, whatever else the runner finds there.
const COMPLAINTS: &[&str] = &[
    "WARNING: ",
    "BUG: ",
    "BUG at",
    "Oops",
    "KASAN",
    "UBSAN",
    "blocked for more than",
    "soft lockup",
];

/// What the boot line asks for.
pub(crate) struct Plan {
    seed: u64,
    time: Duration,
    /// The first step, and the one after the last.
    begin: u64,
    end: u64,
    workers: Vec<usize>,
    only: Vec<String>,
    without: Vec<String>,
    is_traced: bool,
}

impl Plan {
    fn read() -> Result<Plan> {
        let words = init::boot_words()?;
        let word = |name: &str| words.get(&format!("lwktest.{name}")).map(String::as_str);
        let number = |name: &str, default: u64| {
            word(name).map_or(Ok(default), |text| {
                text.parse()
                    .with_context(|| format!("lwktest.{name}={text}"))
            })
        };
        // The machine leaves some out, and who starts it perhaps others.
        let line = fs::read_to_string("/proc/cmdline").context("/proc/cmdline")?;
        let list = |name: &str| -> Vec<String> {
            let start = format!("lwktest.{name}=");
            let lists = line
                .split_whitespace()
                .filter_map(|word| word.strip_prefix(&start));
            lists
                .flat_map(|list| list.split(',').map(str::to_owned))
                .collect()
        };
        let ops = word("ops").unwrap_or_default();
        let (begin, end) = ops.split_once('-').unwrap_or(("", ops));
        let step = |text: &str, default| {
            if text.is_empty() {
                Ok(default)
            } else {
                text.parse::<u64>()
            }
        };
        let workers: Vec<usize> = match word("workers") {
            Some(text) => cpus::parse(text)?.into_iter().collect(),
            None => (0..ROLES.len()).collect(),
        };
        ensure!(
            workers.iter().all(|worker| *worker < ROLES.len()),
            "lwktest.workers= has {workers:?}"
        );
        Ok(Plan {
            seed: number("seed", 1)?,
            time: Duration::from_secs(number("seconds", 20)?),
            begin: step(begin, 0).context("lwktest.ops")?,
            end: step(end, u64::MAX).context("lwktest.ops")?,
            workers,
            only: list("only"),
            without: list("without"),
            is_traced: number("trace", 0)? != 0,
        })
    }

    /// Whether an operation is to be among what is done.
    fn wants(&self, operation: &str) -> bool {
        let is_in = |list: &[String]| list.iter().any(|name| name == operation);
        (self.only.is_empty() || is_in(&self.only)) && !is_in(&self.without)
    }
}

/// Sleeps some microseconds.
fn nap(us: u64) {
    std::thread::sleep(Duration::from_micros(us));
}

/// Lets users open the device, and the watcher run whatever others do.
pub(crate) fn set_up() -> Result<()> {
    // Prey may touch what is not there: that is its business.
    fs::write("/proc/sys/debug/exception-trace", "0").context("exception-trace")?;
    chown(uapi::DEVICE_PATH, Some(0), Some(GROUP)).context("the group of the device")?;
    fs::set_permissions("/tmp", fs::Permissions::from_mode(0o1777)).context("/tmp")?;
    // Without the controllers some operations are refused.
    let _ = fs::create_dir(meddler::CGROUPS);
    for folder in ["/sys/fs/cgroup", meddler::CGROUPS] {
        for controller in ["cpu", "cpuset", "memory", "pids"] {
            let _ = fs::write(
                format!("{folder}/cgroup.subtree_control"),
                format!("+{controller}"),
            );
        }
    }
    Ok(())
}

/// Puts back what others would find in their way.
pub(crate) fn clean_up() -> Result<()> {
    let _ = fs::write("/proc/sys/debug/exception-trace", "1");
    Ok(())
}

/// Runs rounds until the time is up, or all steps are done.
pub(crate) fn run() -> Result<()> {
    let plan = Plan::read()?;
    let board = Board::new()?;
    // The highest priority of all, so that a hang of the others is told.
    sys::sched::set_policy(0, sys::sched::Policy::Fifo(90)).context("SCHED_FIFO")?;
    let names: Vec<&str> = plan
        .workers
        .iter()
        .filter_map(|worker| Some(ROLES.get(*worker)?.name))
        .collect();
    ktap::kernel_log(&format!(
        "fuzz seed {} for {} s, workers {}",
        plan.seed,
        plan.time.as_secs(),
        names.join(" ")
    ));
    for worker in 0..ROLES.len() {
        board.set_step(worker, plan.begin);
    }
    let is_armed = job::partitions()?.is_empty();
    let before = snapshot::take()?;
    let begun = Instant::now();
    let mut rounds = 0;
    while begun.elapsed() < plan.time
        && plan
            .workers
            .iter()
            .any(|worker| board.step(*worker) < plan.end)
    {
        let time = ROUND.min(plan.time.saturating_sub(begun.elapsed()));
        if is_armed {
            make_partition()?;
        }
        let result =
            round(&plan, &board, time).and_then(|()| settled(&plan, is_armed.then_some(&before)));
        if let Err(error) = result {
            bail!("{error:#}\n{}", told(&plan, &board));
        }
        rounds += 1;
    }
    ktap::kernel_log(&format!(
        "fuzz done: {rounds} rounds, {}",
        steps(&plan, &board)
    ));
    ktap::kernel_log(&format!(
        "fuzz requests carried out of all: {}",
        board.requests()
    ));
    Ok(())
}

/// Enters jobs that the kernel takes back, as it cannot tell their ids, and expects that whoever gets in is in a job.
pub(crate) fn enter_jobs_taken_back() -> Result<()> {
    let board = Board::new()?;
    for seed in 0..12 {
        let child = sys::spawn(|| prey::guessed(seed, &board, 0))?;
        let status = waitpid(child, None).context("waitpid")?;
        ensure!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
        if let Some(line) = board.complaint(0) {
            bail!(
                "round {seed}: a process is in a job that does not exist (line {line} of prey.rs)"
            );
        }
    }
    Ok(())
}

/// Makes a partition that users find at the beginning.
fn make_partition() -> Result<()> {
    let (made, shares) =
        memory::create("fuzz", &[3, 4, 5], &[memory::of_node(u32::MAX, 128 << 20)])?;
    made?
        .map_err(|refused| anyhow::anyhow!("no partition to begin with: {refused:?} {shares:?}"))?;
    Ok(())
}

/// At which step each worker is.
fn steps(plan: &Plan, board: &Board) -> String {
    let at = |worker: &usize| {
        Some(format!(
            "{} {}",
            ROLES.get(*worker)?.name,
            board.step(*worker)
        ))
    };
    plan.workers
        .iter()
        .filter_map(at)
        .collect::<Vec<_>>()
        .join(", ")
}

/// What each worker did last.
fn told(plan: &Plan, board: &Board) -> String {
    let mut text = format!("seed {}, at {}", plan.seed, steps(plan, board));
    for worker in &plan.workers {
        text += &format!("\n{}:", ROLES.get(*worker).map_or("?", |role| role.name));
        for (step, operation) in board.last(*worker) {
            text += &format!(" {step} {},", operation_name(*worker, operation));
        }
    }
    text
}

/// Starts the workers, watches them for a while and kills them with all that they started.
fn round(plan: &Plan, board: &Board, time: Duration) -> Result<()> {
    let factor = init::factor()?;
    let mut workers = Vec::new();
    for worker in plan
        .workers
        .iter()
        .copied()
        .filter(|worker| board.step(*worker) < plan.end)
    {
        let pid = sys::spawn(|| {
            let _ = sys::sched::set_policy(0, sys::sched::Policy::Other);
            work(worker, plan, board)
        })?;
        workers.push((worker, pid, board.step(worker), Instant::now()));
    }
    let (begun, mut told) = (Instant::now(), Instant::now());
    let mut log_lines = proc::kernel_log()?.len();
    let mut result = Ok(());
    while begun.elapsed() < time && !workers.is_empty() && result.is_ok() {
        std::thread::sleep(Duration::from_millis(100));
        if told.elapsed() > Duration::from_millis(500) {
            ktap::kernel_log(&format!("fuzz at {}", steps(plan, board)));
            told = Instant::now();
        }
        result = watch(plan, board, &mut workers, PATIENCE * factor)
            .and_then(|()| look_at_log(&mut log_lines));
    }
    let ended = end_all(PATIENCE * factor);
    for worker in 0..ROLES.len() {
        (0..board::MAX_PREY).for_each(|slot| board.forget_prey(worker, slot));
    }
    result.and(ended)
}

/// Takes note of workers that ended, and of those that do not go on.
fn watch(
    plan: &Plan,
    board: &Board,
    workers: &mut Vec<(usize, Pid, u64, Instant)>,
    patience: Duration,
) -> Result<()> {
    // Orphans of their prey end here, too.
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        let Some(pid) = status.pid() else { break };
        let Some(index) = workers.iter().position(|(_, worker, ..)| *worker == pid) else {
            continue;
        };
        let (worker, ..) = workers.swap_remove(index);
        ensure!(
            matches!(status, WaitStatus::Exited(_, 0)) && board.step(worker) >= plan.end,
            "worker {worker} ended with {status:?}"
        );
    }
    for (worker, pid, step, since) in workers {
        if let Some(line) = board.complaint(*worker) {
            bail!("line {line} of prey.rs finds prey of worker {worker} in a wrong job");
        }
        let now = board.step(*worker);
        if now != *step {
            (*step, *since) = (now, Instant::now());
        }
        if since.elapsed() > patience {
            // Who holds what the worker waits for is on some CPU, or waits itself.
            let _ = fs::write("/proc/sysrq-trigger", "w");
            let tasks = proc::describe_user_tasks();
            bail!(
                "worker {worker} ({pid}) is in step {now} for {} s; tasks:\n{tasks}",
                since.elapsed().as_secs()
            );
        }
    }
    Ok(())
}

/// Ends the run at the first complaint of the kernel, so that it is told by whom it was made.
fn look_at_log(seen: &mut usize) -> Result<()> {
    let lines = proc::kernel_log()?;
    // Old lines make room for new ones.
    let new = lines.get((*seen).min(lines.len())..).unwrap_or_default();
    let bad = new
        .iter()
        .filter(|line| !line.contains("sched_tick_remote"))
        .find(|line| COMPLAINTS.iter().any(|complaint| line.contains(complaint)));
    *seen = lines.len();
    bad.map_or(Ok(()), |line| bail!("the kernel says: {line}"))
}

/// Kills everybody but this process and PID 1, and waits for their end.
fn end_all(patience: Duration) -> Result<()> {
    let begun = Instant::now();
    loop {
        let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
        // Frozen ones end only when they thaw.
        for group in fs::read_dir(meddler::CGROUPS)
            .into_iter()
            .flatten()
            .flatten()
        {
            let _ = fs::write(group.path().join("cgroup.freeze"), "0");
        }
        match job::reap_all(Duration::from_millis(500)) {
            Ok(()) => break,
            Err(error) if begun.elapsed() > patience => return Err(error),
            Err(_) => {}
        }
    }
    for group in fs::read_dir(meddler::CGROUPS)
        .into_iter()
        .flatten()
        .flatten()
    {
        // Files are in it, too.
        let _ = fs::remove_dir(group.path());
    }
    Ok(())
}

/// Checks that with everybody gone everything is back.
fn settled(plan: &Plan, before: Option<&Snapshot>) -> Result<()> {
    let factor = init::factor()?;
    job::check_idle().context("with all processes ended")?;
    put_on_line()?;
    // Pages that CPUs hold back for a moment.
    let _ = fs::write("/proc/sys/vm/compact_memory", "1");
    job::eventually(
        Duration::from_secs(20) * factor,
        "memory of jobs that ended",
        || {
            Ok(memory::pools(0)?
                .iter()
                .all(|pool| pool.leaving == 0 && pool.free + pool.retired == pool.total))
        },
    )
    .with_context(|| format!("{:?}", memory::pools(0)))?;
    tables_agree()?;
    if plan.wants("yod") && !job::partitions()?.is_empty() {
        // With what administrators wished for, such as jobs that have to do with their pool, no program may start.
        for partition in job::partitions()? {
            job::lwkctl(&["policy", &partition.name, "--reset"])?;
        }
        let told = job::run(&mut job::yod_inside(&["-C", "1"], &["where"]))?.success();
        told.with_context(|| {
            let partitions = job::lwkctl(&["save"]).unwrap_or_default();
            format!("a job after the round, in one of these partitions:\n{partitions}")
        })?;
    }
    if let Some(before) = before {
        partition::delete_all().context("with all processes ended")?;
        memory::settled()?;
        let after = snapshot::take()?;
        snapshot::compare(before, &after).context("after the last partition")?;
    }
    Ok(())
}

/// Puts CPUs on line that somebody left off, and runs on each of Linux.
fn put_on_line() -> Result<()> {
    let possible = cpus::from_file("/sys/devices/system/cpu/possible")?;
    for cpu in &possible {
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/online");
        // CPU 0 has no such file, and that of an LWK CPU says 1.
        if fs::read_to_string(&path).is_ok_and(|text| text.trim() == "0") {
            fs::write(&path, "1").with_context(|| path.clone())?;
        }
    }
    let online = cpus::from_file("/sys/devices/system/cpu/online")?;
    ensure!(online == possible, "on line are {online:?} of {possible:?}");
    let owned: Cpus = job::partitions()?
        .into_iter()
        .flat_map(|partition| partition.cpus)
        .collect();
    let linux: Vec<usize> = possible.difference(&owned).copied().collect();
    // In a process of its own, so that this one keeps the CPUs that it has.
    let visitor = sys::spawn(|| {
        let is_there = |cpu: usize| {
            cpus::set_affinity(0, &Cpus::from([cpu])).is_ok()
                && rustix::thread::sched_getcpu() == cpu
        };
        let bad = linux.iter().copied().find(|cpu| !is_there(*cpu));
        bad.map_or(0, |cpu| u8::try_from(cpu + 1).unwrap_or(255))
    })?;
    let ended = waitpid(visitor, None).context("waitpid")?;
    ensure!(
        matches!(ended, WaitStatus::Exited(_, 0)),
        "not all of CPUs {linux:?} run what may run there only: {ended:?} (one more than the first that does not)"
    );
    Ok(())
}

/// Checks that what the tools tell agrees with what the device tells.
fn tables_agree() -> Result<()> {
    let partitions = job::partitions()?;
    let listed = job::lwkctl(&["list", "--json"]).context("lwkctl list")?;
    let listed: serde_json::Value = serde_json::from_str(&listed).context("lwkctl list --json")?;
    let told = listed
        .get("partitions")
        .and_then(serde_json::Value::as_array);
    let told = told.with_context(|| format!("no partitions in {listed}"))?;
    ensure!(
        told.len() == partitions.len(),
        "{listed} but {partitions:?}"
    );
    let mut seen = Cpus::new();
    for partition in &partitions {
        ensure!(
            told.iter()
                .any(|entry| entry.get("name").and_then(|name| name.as_str())
                    == Some(&partition.name)),
            "no {} in {listed}",
            partition.name
        );
        ensure!(
            partition.cpus.is_disjoint(&seen),
            "a CPU of two partitions: {partitions:?}"
        );
        seen.extend(&partition.cpus);
        for cpu in &partition.cpus {
            let found = job::cpu(u32::try_from(*cpu)?)?;
            ensure!(found.partition == partition.id, "CPU {cpu}: {found:?}");
        }
    }
    for arguments in [
        &["show", "--json"][..],
        &["mem", "--json"],
        &["noise", "--json"],
    ] {
        let text = job::lwkctl(arguments).with_context(|| format!("lwkctl {arguments:?}"))?;
        let _: serde_json::Value =
            serde_json::from_str(&text).with_context(|| format!("lwkctl {arguments:?}"))?;
    }
    Ok(())
}
