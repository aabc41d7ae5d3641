// SPDX-License-Identifier: GPL-2.0
//! System calls of jobs: where each is carried out, the way there and home again, and what is counted of it.
//!
//! ```text
//!         LWK CPU                                    CPU of Linux
//! user ──▶ enter() ─ local, native ─▶ exit ─▶ user
//!             └─ moved ──▶ go_away() ═══════════▶ the call, its signals and task work
//! user ◀── exit_to_user() ◀═══════ go_home() ◀── exit_to_user() ──▶ stays, in user mode ──▶ enter()
//!                                                     ▲                    │ the window is over: timer
//!                                                     └────────────────────┘
//! ```
//!
//! The thread itself goes (`c/move.c`), so that all of a call is as on Linux. Which calls those are is in
//! `logic/locality.rs`, which CPU serves them in `logic/service.rs`, whether the thread stays in `logic/batch.rs`.
#![forbid(unsafe_code)]

mod native;
mod report;
mod table;

pub(crate) use report::read;
pub(crate) use table::{Calls, Policy};

use crate::{
    logic::{
        batch::Batch,
        counts::{How, Took},
        cpuset::{CpuId, CpuSet},
        locality, place, service,
    },
    noise,
    sys::{
        cpu,
        job::Job,
        regs::Regs,
        task::{self, Task},
        thread::{now_ns, trace_move, Thread, Threads},
    },
    uapi::CALL_FAULT,
};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// How long the place of a thread is kept at home while its call lasts.
const KEEP_NS: u64 = 3_000_000;

// ORDERING: Relaxed everywhere: a thread's own state, that nobody else uses.
fn get(word: &AtomicU64) -> u64 {
    word.load(Relaxed)
}

fn set(word: &AtomicU64, value: u64) {
    word.store(value, Relaxed);
}

/// A CPU as a word, where 0 is none.
fn cpu_of(word: &AtomicU32) -> Option<CpuId> {
    word.load(Relaxed).checked_sub(1).and_then(CpuId::new)
}

/// The calling task, which is in a job, makes a system call. Returns its result if Linux is not to carry it out.
pub(crate) fn enter(task: &Task<'_>, nr: u32, regs: &Regs<'_>) -> Option<i64> {
    let job = task.job()?;
    // Most calls by far are like that, and this is all that they pay.
    if let Some(thread) = task.thread() {
        if job.calls.is_plain(nr) && !task.is_away() {
            thread.counts.count(nr, How::Local);
            return None;
        }
    }
    enter_slowly(task, job, nr, regs)
}

#[inline(never)]
fn enter_slowly(task: &Task<'_>, job: &Job, nr: u32, regs: &Regs<'_>) -> Option<i64> {
    let thread = task.thread().or_else(|| Thread::new(task));
    match job.calls.place(nr) {
        locality::Place::Move => {
            if let Some(thread) = thread {
                set(&thread.ip, regs.ip());
            }
            go_away(task, job, thread, nr);
        }
        locality::Place::Local => local(task, job, thread, nr),
        locality::Place::Native => {
            come_back(task, job, thread);
            let result = native::carry_out(nr, regs);
            let how = result.map_or(How::Local, |_| How::Native);
            if let Some(thread) = thread {
                thread.counts.count(nr, how);
            }
            return result;
        }
    }
    None
}

/// A call that Linux carries out here.
fn local(task: &Task<'_>, job: &Job, thread: Option<&Thread>, nr: u32) {
    come_back(task, job, thread);
    let Some(thread) = thread else { return };
    thread.counts.count(nr, How::Local);
    if job.calls.is_timed() {
        begin(thread, nr);
        task::set_exit_work();
    }
}

/// A thread that stayed away after a moved call is to do something else.
fn come_back(task: &Task<'_>, job: &Job, thread: Option<&Thread>) {
    if !task.is_away() {
        return;
    }
    if let Some(thread) = thread {
        thread.stop_timer();
        learn(thread, Batch::miss);
    }
    go_home(task, job);
}

fn learn(thread: &Thread, what: impl FnOnce(&mut Batch)) {
    let mut batch = Batch::from_bits(get(&thread.batch));
    what(&mut batch);
    set(&thread.batch, batch.to_bits());
}

fn begin(thread: &Thread, nr: u32) -> u64 {
    let now_ns = now_ns();
    thread.call.store(nr + 1, Relaxed);
    set(&thread.began_ns, now_ns);
    now_ns
}

/// Takes the thread to a CPU of Linux, if it is not there already.
fn go_away(task: &Task<'_>, job: &Job, thread: Option<&Thread>, nr: u32) {
    if let Some(thread) = thread {
        let now_ns = begin(thread, nr);
        let batch_ns = job.calls.batch_ns();
        if batch_ns != 0 {
            let gap_ns = now_ns.saturating_sub(get(&thread.user_ns));
            learn(thread, |batch| batch.moved_call(gap_ns, batch_ns));
        }
        if task.is_away() {
            // The timer ends the stay, or as now the time for which the place at home is kept.
            if task.is_place_kept() {
                thread.start_timer(KEEP_NS);
            } else {
                thread.stop_timer();
            }
            task::set_exit_work();
            set(&thread.there_ns, now_ns);
            thread.counts.count(nr, How::Stayed);
            return;
        }
    }
    if task.is_away() {
        return;
    }
    let is_there = travel(task, job, thread, nr);
    let Some(thread) = thread else { return };
    if is_there {
        set(&thread.there_ns, now_ns());
        thread.name(task);
        thread.counts.count(nr, How::Moved);
    } else {
        thread.call.store(0, Relaxed);
        thread.counts.count(nr, How::Local);
    }
}

/// The way to a CPU of Linux; false if the thread remains where it is.
#[inline(always)]
fn travel(task: &Task<'_>, job: &Job, thread: Option<&Thread>, nr: u32) -> bool {
    let Some(from) = task.cpu() else { return false };
    let last = thread.and_then(|thread| cpu_of(&thread.service));
    let Some(to) = choose(job, from, last) else {
        return false;
    };
    let mut place = job.calls.place_at_home();
    // It is the timer of the thread that ends it.
    place.is_kept &= thread.is_some();
    trace_move(nr + 1, from, to);
    if !task::move_to(to, place) {
        return false;
    }
    if let Some(thread) = thread {
        thread.service.store(to.get() + 1, Relaxed);
        if place.is_kept {
            thread.start_timer(KEEP_NS);
        }
    }
    true
}

/// The CPU of Linux that serves a call of the LWK CPU `home`.
#[inline(always)]
fn choose(job: &Job, home: CpuId, last: Option<CpuId>) -> Option<CpuId> {
    // As `service::choose()` says, here without a call.
    if let Some(cpu) = last.filter(|cpu| job.calls.service.contains(*cpu)) {
        if cpu::service_load(cpu) == Some(0) {
            return Some(cpu);
        }
    }
    let distance = |cpu| cpu::distance(home, cpu);
    let among = |cpus: &CpuSet| service::choose(cpus, home, last, cpu::service_load, distance);
    // Those of the partition may be off line, or none was named.
    among(&job.calls.service).or_else(|| among(&cpu::active()))
}

/// The CPU of Linux for a thread that is away, and wakes up there or has to leave its CPU. Linux checks the answer.
pub(crate) fn select_away(task: &Task<'_>) -> Option<CpuId> {
    let (job, home) = (task.job()?, task.home()?);
    choose(job, home, task.cpu())
}

/// Takes the thread home, or to another CPU of its job if there it would have to wait. It may have to be called again.
fn go_home(task: &Task<'_>, job: &Job) {
    let (Some(from), Some(home)) = (task.cpu(), task.home()) else {
        return;
    };
    let allowed = job.cpus().intersection(&task.wanted_cpus());
    let to = if task.is_place_kept() && allowed.contains(home) {
        Some(home)
    } else {
        place::place(&allowed, home, noise::load)
    };
    let to = to.unwrap_or(home);
    trace_move(0, from, to);
    if !task::move_to(to, task::Place::default()) {
        task::set_exit_work();
    }
}

/// The calling task is about to return to user mode at `ip`, and has work of the LWK to do.
pub(crate) fn exit_to_user(task: &Task<'_>, ip: u64) {
    let Some(job) = task.job() else { return };
    let Some(thread) = task.thread() else {
        if task.is_away() {
            go_home(task, job);
        }
        return;
    };
    let call = thread.call.swap(0, Relaxed).checked_sub(1);
    let now_ns = now_ns();
    if !task.is_away() {
        if let Some(call) = call {
            let took_ns = now_ns.saturating_sub(get(&thread.began_ns));
            thread.counts.took(call, Took::Here(took_ns));
        }
        return;
    }
    let there_ns = get(&thread.there_ns);
    let way_ns = there_ns.saturating_sub(get(&thread.began_ns));
    let linux_ns = now_ns.saturating_sub(there_ns);
    if let Some(call) = call {
        if may_stay(job, thread, now_ns, ip) {
            set(&thread.user_ns, now_ns);
            thread.start_timer(job.calls.batch_ns().into());
            let travel_ns = way_ns;
            let took = Took::Away {
                travel_ns,
                linux_ns,
            };
            return thread.counts.took(call, took);
        }
    } else {
        // The window is over, and no call came.
        learn(thread, Batch::miss);
    }
    thread.stop_timer();
    go_home(task, job);
    let home_ns = crate::sys::thread::now_ns();
    set(&thread.user_ns, home_ns);
    if let Some(call) = call {
        let travel_ns = way_ns + home_ns.saturating_sub(now_ns);
        let took = Took::Away {
            travel_ns,
            linux_ns,
        };
        thread.counts.took(call, took);
    }
}

/// Whether the thread stays on the CPU of Linux in case that another call follows. Not if a signal handler runs first.
fn may_stay(job: &Job, thread: &Thread, now_ns: u64, ip: u64) -> bool {
    if job.calls.batch_ns() == 0 || get(&thread.ip) != ip || !task::is_alone() {
        return false;
    }
    let mut stays = false;
    learn(thread, |batch| {
        stays = batch.stays(now_ns, job.calls.batch_ns());
    });
    stays
}

/// The calling task touched a page of a file, for which it has to wait.
pub(crate) fn file_fault(task: &Task<'_>) {
    let Some(job) = task.job() else { return };
    if task.is_away() || job.calls.place(CALL_FAULT) != locality::Place::Move {
        return;
    }
    let thread = task.thread();
    let is_there = travel(task, job, thread, CALL_FAULT);
    let Some(thread) = thread.filter(|_| is_there) else {
        return;
    };
    thread.counts.count(CALL_FAULT, How::Moved);
    if thread.call.load(Relaxed) == 0 {
        begin(thread, CALL_FAULT);
        set(&thread.there_ns, get(&thread.began_ns));
        set(&thread.ip, 0);
    }
}

/// The calling task exits, or one that never ran does not come to be.
pub(crate) fn exit(task: &Task<'_>) {
    if task.is_away() {
        task.release_place();
    }
    if let (Some(job), Some(thread)) = (task.job(), task.thread()) {
        Threads::lock(job).end(thread);
    }
}
