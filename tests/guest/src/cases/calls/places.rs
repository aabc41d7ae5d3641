// SPDX-License-Identifier: GPL-2.0
//! By default each call is carried out where calls of its group are, and does what it does on Linux.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{ensure, Context, Result};
use nix::libc::{self, c_long};

use super::super::partition::{fail, FAIL};
use super::{is_linux, is_lwk, loopback_up, NO_BATCH};
use crate::harness::Skip;
use crate::job;
use crate::trace::{Call, Events, Trace, CALLS};

/// What threads and allocators do now and then; all of it stays.
const HOUSEKEEPING: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_futex,
    libc::SYS_getpgid,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_prctl,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sched_getaffinity,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
];

const EVENTS: [&str; 5] = [
    CALLS[0],
    CALLS[1],
    "sched/sched_process_fork",
    "sched/sched_process_exec",
    "sched/sched_process_exit",
];

/// What happened between the marks of a program that ran as a job, and who did it.
pub(super) struct Seen {
    pub(super) events: Events,
    pub(super) tids: BTreeSet<i64>,
}

impl Seen {
    /// Finds it.
    pub(super) fn new(events: &Events) -> Result<Seen> {
        let mut tids = BTreeSet::from([i64::from(events.who_marked(1)?)]);
        let events = events.between(1, 2)?;
        for fork in events.named("sched_process_fork") {
            let number = |key| fork.number(key).with_context(|| format!("{fork:?}"));
            if tids.contains(&number("pid")?) {
                tids.insert(number("child_pid")?);
            }
        }
        Ok(Seen { events, tids })
    }

    /// Its system calls.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.events.calls(|tid| self.tids.contains(&tid.into()))
    }
}

/// Runs a program on Linux and as a job, which must say the same, and returns what the job did.
fn compare(program: &str) -> Result<Seen> {
    let linux = job::run(Command::new("/init").args(["inside", program]))?.success()?;
    let trace = Trace::start(&EVENTS)?;
    let told = job::run(&mut job::yod_inside(&NO_BATCH, &[program]))?.success()?;
    let seen = Seen::new(&trace.stop()?)?;
    ensure!(
        told == linux,
        "as a job it says\n{told}on Linux it says\n{linux}"
    );
    Ok(seen)
}

/// Expects a call to have come into the kernel on an LWK CPU and to have been carried out at its place.
pub(super) fn check_call(call: &Call, moves: bool) -> Result<()> {
    ensure!(
        is_lwk(call.entered_on),
        "entered on a CPU of Linux: {call:?}"
    );
    if let Some((cpu, _)) = call.left {
        let is_right = if moves { is_linux(cpu) } else { is_lwk(cpu) };
        let wanted = if moves { "Linux" } else { "the LWK" };
        ensure!(is_right, "not carried out on a CPU of {wanted}: {call:?}");
    }
    Ok(())
}

fn check(program: &str, moved: &[c_long], stay: &[c_long]) -> Result<()> {
    let calls = compare(program)?.calls();
    for call in &calls {
        // The end of a thread may be behind the second mark.
        let moves = moved.contains(&call.nr) || call.nr == libc::SYS_exit;
        let stays = stay.contains(&call.nr) || HOUSEKEEPING.contains(&call.nr);
        ensure!(moves || stays, "not expected of {program}: {call:?}");
        check_call(call, moves)?;
    }
    for nr in moved.iter().chain(stay) {
        ensure!(
            calls.iter().any(|call| call.nr == *nr),
            "{program} made no call {nr}"
        );
    }
    Ok(())
}

pub(super) fn file() -> Result<()> {
    let moved = [
        libc::SYS_chdir,
        libc::SYS_chmod,
        libc::SYS_close,
        libc::SYS_faccessat,
        libc::SYS_getcwd,
        libc::SYS_getdents64,
        libc::SYS_getxattr,
        libc::SYS_linkat,
        libc::SYS_mkdir,
        libc::SYS_newfstatat,
        libc::SYS_openat,
        libc::SYS_readlink,
        libc::SYS_rename,
        libc::SYS_rmdir,
        libc::SYS_setxattr,
        libc::SYS_statfs,
        libc::SYS_statx,
        libc::SYS_symlink,
        libc::SYS_unlink,
        libc::SYS_utimensat,
        libc::SYS_write,
    ];
    check("calls-file", &moved, &[])
}

pub(super) fn desc() -> Result<()> {
    let moved = [
        libc::SYS_close,
        libc::SYS_copy_file_range,
        libc::SYS_dup,
        libc::SYS_epoll_create1,
        libc::SYS_epoll_ctl,
        libc::SYS_epoll_pwait,
        libc::SYS_eventfd2,
        libc::SYS_fallocate,
        libc::SYS_fcntl,
        libc::SYS_fstat,
        libc::SYS_fsync,
        libc::SYS_ftruncate,
        libc::SYS_ioctl,
        libc::SYS_lseek,
        libc::SYS_memfd_create,
        libc::SYS_openat,
        libc::SYS_pipe2,
        libc::SYS_ppoll,
        libc::SYS_pread64,
        libc::SYS_pwrite64,
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_sendfile,
        libc::SYS_splice,
        libc::SYS_statx,
        libc::SYS_timerfd_create,
        libc::SYS_timerfd_gettime,
        libc::SYS_timerfd_settime,
        libc::SYS_write,
        libc::SYS_writev,
    ];
    check("calls-desc", &moved, &[])
}

pub(super) fn network() -> Result<()> {
    loopback_up()?;
    let moved = [
        libc::SYS_accept4,
        libc::SYS_bind,
        libc::SYS_close,
        libc::SYS_connect,
        libc::SYS_getpeername,
        libc::SYS_getsockname,
        libc::SYS_getsockopt,
        libc::SYS_listen,
        libc::SYS_recvfrom,
        libc::SYS_sendto,
        libc::SYS_setsockopt,
        libc::SYS_shutdown,
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_unlink,
        libc::SYS_write,
    ];
    check("calls-network", &moved, &[])
}

pub(super) fn ipc() -> Result<()> {
    let moved = [
        libc::SYS_close,
        libc::SYS_mq_open,
        libc::SYS_mq_timedreceive,
        libc::SYS_mq_timedsend,
        libc::SYS_mq_unlink,
        libc::SYS_msgctl,
        libc::SYS_msgget,
        libc::SYS_msgrcv,
        libc::SYS_msgsnd,
        libc::SYS_semctl,
        libc::SYS_semget,
        libc::SYS_semtimedop,
        libc::SYS_shmat,
        libc::SYS_shmctl,
        libc::SYS_shmdt,
        libc::SYS_shmget,
    ];
    check("calls-ipc", &moved, &[])
}

pub(super) fn memory() -> Result<()> {
    let stay = [
        libc::SYS_brk,
        libc::SYS_madvise,
        libc::SYS_mincore,
        libc::SYS_mlock,
        libc::SYS_mmap,
        libc::SYS_mprotect,
        libc::SYS_mremap,
        libc::SYS_munmap,
    ];
    check("calls-memory", &[], &stay)
}

pub(super) fn sched() -> Result<()> {
    let stay = [
        libc::SYS_getcpu,
        libc::SYS_getpriority,
        libc::SYS_sched_getaffinity,
        libc::SYS_sched_getscheduler,
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_yield,
        libc::SYS_setpriority,
    ];
    check("calls-sched", &[], &stay)
}

pub(super) fn futex() -> Result<()> {
    check("calls-futex", &[], &[libc::SYS_futex])
}

pub(super) fn signal() -> Result<()> {
    let stay = [
        libc::SYS_getpid,
        libc::SYS_kill,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_rt_sigsuspend,
        libc::SYS_rt_sigtimedwait,
        libc::SYS_tgkill,
    ];
    check("calls-signal", &[], &stay)
}

pub(super) fn time() -> Result<()> {
    let stay = [
        libc::SYS_alarm,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_rt_sigreturn,
        libc::SYS_timer_create,
        libc::SYS_timer_delete,
        libc::SYS_timer_gettime,
        libc::SYS_timer_settime,
    ];
    check("calls-time", &[], &stay)
}

pub(super) fn identity() -> Result<()> {
    let stay = [
        libc::SYS_getegid,
        libc::SYS_geteuid,
        libc::SYS_getgid,
        libc::SYS_getgroups,
        libc::SYS_getpgid,
        libc::SYS_getpid,
        libc::SYS_getppid,
        libc::SYS_getrusage,
        libc::SYS_getsid,
        libc::SYS_gettid,
        libc::SYS_getuid,
        libc::SYS_prlimit64,
        libc::SYS_sysinfo,
        libc::SYS_umask,
        libc::SYS_uname,
    ];
    check("calls-identity", &[], &stay)
}

pub(super) fn process() -> Result<()> {
    let moved = [libc::SYS_fork, libc::SYS_vfork, libc::SYS_execve];
    let stay = [libc::SYS_wait4];
    let seen = compare("calls-process")?;
    let calls = seen.calls();
    for call in &calls {
        if moved.contains(&call.nr) || stay.contains(&call.nr) {
            check_call(call, moved.contains(&call.nr))?;
        }
    }
    for nr in moved.iter().chain(&stay) {
        ensure!(
            calls.iter().any(|call| call.nr == *nr),
            "no process made call {nr}"
        );
    }
    let of_job = |event: &&crate::trace::Event| seen.tids.contains(&event.tid.into());
    // These calls do not return.
    for (event, at_least) in [("sched_process_exec", 2), ("sched_process_exit", 5)] {
        let found: Vec<_> = seen.events.named(event).filter(of_job).collect();
        ensure!(found.len() >= at_least, "{event}: {found:?}");
        for event in found {
            ensure!(
                is_linux(event.cpu),
                "not carried out on a CPU of Linux: {event:?}"
            );
        }
    }
    // Whoever is new begins on a CPU of the job.
    for tid in &seen.tids {
        let mut events = seen.events.0.iter();
        let first = events.find(|event| i64::from(event.tid) == *tid);
        let first = first.with_context(|| format!("task {tid} did nothing"))?;
        ensure!(is_lwk(first.cpu), "begins on a CPU of Linux: {first:?}");
    }
    Ok(())
}

/// Calls of a thread for whose counts there is no memory.
pub(super) fn no_memory() -> Result<()> {
    if fs::metadata(FAIL).is_err() {
        return Err(Skip("only the debug kernel has CONFIG_FAIL_FUNCTION").into());
    }
    let times = format!("{FAIL}/times");
    // NULL.
    fail("lwk_c_thread_new", 1, "0")?;
    fs::write(&times, "1000000").context("times")?;
    let result = desc();
    let left = fs::read_to_string(&times).context("times")?;
    fs::write(format!("{FAIL}/inject"), "\n").context("ending the injection")?;
    result?;
    let left: u32 = left.trim().parse().context("times")?;
    ensure!(left < 1_000_000, "nothing failed");
    Ok(())
}
