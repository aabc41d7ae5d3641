// SPDX-License-Identifier: GPL-2.0
//! What other processes do to those of jobs: policies, CPUs, signals, tracing, cgroups, looks into their memory.

use std::fs;
use std::io::Read;
use std::os::fd::AsFd;

use nix::sys::ptrace;
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag};
use nix::unistd::Pid;

use super::worker::{Operation, Worker, ROLES, SIGNALS};
use crate::cpus::{self, Cpus};
use crate::sys::fuzz;
use crate::{proc, sys};

/// What only root does.
pub(super) const OPERATIONS: &[Operation] = &[
    Operation::new("policy", 12, set_policy),
    Operation::new("deadline", 2, set_deadline),
    Operation::new("affinity", 8, set_affinity),
    Operation::new("kill", 8, send_signal),
    Operation::new("ptrace", 5, trace),
    Operation::new("look", 5, look),
    Operation::new("cookie", 2, share_cookie),
    Operation::new("cgroup", 8, change_cgroup),
    Operation::new("cpuset", 3, move_to_cpuset),
    Operation::new("clone-into", 2, clone_into_cpuset),
    Operation::new("migrate", 2, migrate_pages),
];

/// The cgroup below which all others are made.
pub(super) const CGROUPS: &str = "/sys/fs/cgroup/fuzz";

impl Worker<'_> {
    /// A process of somebody's prey: of any worker's for root, of its own for a user.
    fn victim(&mut self) -> Option<i32> {
        let is_root = ROLES.get(self.index).is_some_and(|role| role.uid == 0);
        let worker = if is_root {
            self.random.below(ROLES.len() as u64) as usize
        } else {
            self.index
        };
        let prey: Vec<i32> = self.board.prey(worker).into_iter().flatten().collect();
        (!prey.is_empty()).then(|| self.random.pick(&prey))
    }

    /// One of its threads, or of those of its children.
    fn victim_thread(&mut self) -> Option<i32> {
        let mut pid = self.victim()?;
        if self.random.one_in(4) {
            let children =
                fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            let children: Vec<i32> = children
                .split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect();
            if !children.is_empty() {
                pid = self.random.pick(&children);
            }
        }
        let threads: Vec<i32> = proc::threads(pid).iter().map(|thread| thread.pid).collect();
        (!threads.is_empty()).then(|| self.random.pick(&threads))
    }
}

/// Changes policies of a thread there and back, as whoever lends it a priority does.
pub(super) fn set_policy(worker: &mut Worker<'_>) {
    let Some(tid) = worker.victim_thread() else {
        return;
    };
    for _ in 0..1 + worker.random.below(8) {
        let policy = worker.random.pick(&[0, 0, 0, 1, 1, 2, 3, 5]);
        let (nice, priority) = (
            worker.random.below(20) as i32,
            worker.random.below(12) as u32,
        );
        let flags = worker.random.pick(&[0, 0, 0, 1]);
        // What is refused is one more case.
        let _ = fuzz::set_policy(tid, policy, nice, priority, flags);
        if worker.random.one_in(2) {
            super::nap(worker.random.below(300));
        }
        let _ = fuzz::set_policy(tid, 0, 0, 0, 0);
    }
}

/// Asks for a policy that threads of jobs cannot have, also where Linux does no sums.
pub(super) fn set_deadline(worker: &mut Worker<'_>) {
    const LIMIT: &str = "/proc/sys/kernel/sched_rt_runtime_us";
    let Some(tid) = worker.victim_thread() else {
        return;
    };
    let is_open = worker.random.one_in(2);
    if is_open {
        let _ = fs::write(LIMIT, "-1");
    }
    let _ = fuzz::set_policy(tid, 6, 0, 0, 0);
    let _ = fuzz::set_policy(tid, 0, 0, 0, 0);
    if is_open {
        let _ = fs::write(LIMIT, "950000");
    }
}

pub(super) fn set_affinity(worker: &mut Worker<'_>) {
    let Some(tid) = worker.victim_thread() else {
        return;
    };
    let mask = worker.random.any() & worker.random.pick(&[0x3f, 0x0f, 0x30]);
    let cpus: Cpus = (0..6).filter(|cpu| mask >> cpu & 1 == 1).collect();
    // What is refused is one more case.
    let _ = cpus::set_affinity(tid, &cpus);
}

pub(super) fn send_signal(worker: &mut Worker<'_>) {
    let Some(pid) = worker.victim() else { return };
    let number = worker.random.pick(SIGNALS);
    if let Ok(signal) = Signal::try_from(number) {
        let _ = kill(Pid::from_raw(pid), signal);
        if signal == Signal::SIGSTOP && !worker.random.one_in(3) {
            super::nap(worker.random.below(2_000));
            let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
        }
    }
}

/// Stops a thread, has it go on in one way or another, and lets it go or not.
pub(super) fn trace(worker: &mut Worker<'_>) {
    let Some(tid) = worker.victim_thread() else {
        return;
    };
    let tid = Pid::from_raw(tid);
    let is_seized = worker.random.one_in(2);
    let begun = if is_seized {
        ptrace::seize(tid, ptrace::Options::PTRACE_O_TRACESYSGOOD)
    } else {
        ptrace::attach(tid)
    };
    if begun.is_err() {
        return;
    }
    for _ in 0..worker.random.below(6) {
        if is_seized {
            let _ = ptrace::interrupt(tid);
        }
        for _ in 0..20 {
            super::nap(200);
            let flags = WaitPidFlag::WNOHANG | WaitPidFlag::__WALL;
            if waitpid(tid, Some(flags)).map_or(true, |status| status.pid().is_some()) {
                break;
            }
        }
        let _ = match worker.random.below(5) {
            0 => ptrace::cont(tid, None),
            1 => ptrace::syscall(tid, None),
            2 => ptrace::step(tid, None),
            3 => ptrace::getregs(tid).and_then(|registers| ptrace::setregs(tid, registers)),
            _ => kill(tid, Signal::SIGUSR1),
        };
    }
    match worker.random.below(4) {
        0 => {
            let _ = kill(tid, Signal::SIGKILL);
        }
        _ => {
            // Only a stopped thread can be let go.
            let _ = kill(tid, Signal::SIGSTOP);
            super::nap(500);
            let _ = waitpid(tid, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL));
            let _ = ptrace::detach(tid, Signal::SIGCONT);
            let _ = kill(tid, Signal::SIGCONT);
        }
    }
}

/// Reads what the kernel tells of a process, and what is in its memory.
pub(super) fn look(worker: &mut Worker<'_>) {
    const FILES: &[&str] = &[
        "stat",
        "status",
        "maps",
        "smaps_rollup",
        "sched",
        "stack",
        "wchan",
        "numa_maps",
        "syscall",
        "cgroup",
        "mem",
        "pagemap",
        "clear_refs",
        "oom_score",
        "task",
    ];
    let Some(pid) = worker.victim() else { return };
    let file = worker.random.pick(FILES);
    let path = format!("/proc/{pid}/{file}");
    if file == "clear_refs" {
        let _ = fs::write(path, worker.random.pick(&["1", "3", "4"]));
    } else if let Ok(mut opened) = fs::File::open(path) {
        let mut buffer = vec![0; 16384];
        while matches!(opened.read(&mut buffer), Ok(1..)) && !worker.random.one_in(4) {}
    }
}

pub(super) fn share_cookie(worker: &mut Worker<'_>) {
    let Some(pid) = worker.victim() else { return };
    fuzz::core_cookie(worker.random.below(4), pid, worker.random.below(3));
}

/// Moves a process to a cgroup, and changes that.
fn change_cgroup(worker: &mut Worker<'_>) {
    const SETTINGS: &[(&str, &str)] = &[
        ("cpu.max", "10000 100000"),
        ("cpu.max", "max"),
        ("cpu.weight", "1"),
        ("cpu.idle", "1"),
        ("cpu.idle", "0"),
        ("cgroup.freeze", "1"),
        ("cgroup.freeze", "0"),
        ("cgroup.freeze", "0"),
        ("memory.high", "8M"),
        ("memory.high", "max"),
        ("memory.reclaim", "4M"),
        ("pids.max", "20"),
        ("cgroup.kill", "1"),
    ];
    let group = format!("{CGROUPS}/group{}", worker.random.below(3));
    let _ = fs::create_dir(&group);
    for _ in 0..3 {
        let (file, value) = worker.random.pick(SETTINGS);
        let _ = fs::write(format!("{group}/{file}"), value);
    }
    if let Some(pid) = worker.victim() {
        let _ = fs::write(format!("{group}/cgroup.procs"), pid.to_string());
    }
    if worker.random.one_in(4) {
        let _ = fs::write(format!("{group}/cgroup.freeze"), "0");
        let _ = fs::remove_dir(&group);
    }
}

/// Moves a process to a cgroup with CPUs of its own.
fn move_to_cpuset(worker: &mut Worker<'_>) {
    let group = cpuset(worker);
    if let Some(pid) = worker.victim() {
        let _ = fs::write(format!("{group}/cgroup.procs"), pid.to_string());
    }
}

/// Makes a cgroup with CPUs.
fn cpuset(worker: &mut Worker<'_>) -> String {
    let group = format!("{CGROUPS}/set{}", worker.random.below(2));
    let _ = fs::create_dir(&group);
    let cpus = worker.random.pick(&["0-1", "0", "1-3", "0-5", "4-5", ""]);
    let _ = fs::write(format!("{group}/cpuset.cpus"), cpus);
    group
}

/// Makes a process in such a cgroup right away.
fn clone_into_cpuset(worker: &mut Worker<'_>) {
    let group = cpuset(worker);
    if let Ok(opened) = fs::File::open(group) {
        let _ = sys::fuzz::clone_into(opened.as_fd());
    }
}

fn migrate_pages(worker: &mut Worker<'_>) {
    let Some(pid) = worker.victim() else { return };
    fuzz::migrate(
        pid,
        worker.random.pick(&[1, 2]),
        worker.random.pick(&[1, 2]),
    );
}
