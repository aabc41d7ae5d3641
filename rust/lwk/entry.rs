// SPDX-License-Identifier: GPL-2.0
//! Every door through which C calls in: converts the arguments and calls, nothing more.
//!
//! `c/rust.h` and `c/lwk.h` declare the doors; bindgen reads them, and [`check!`] makes a difference a build error.

use crate::{
    device, job,
    logic::{cpuset::CpuId, disturbance::Waited, entry::Mark, rank::End},
    noise::{self, Sleep},
    partition, sched,
    sys::{
        bindings,
        file::{self, File},
        job::Job,
        noise::entry as seen,
        rq::LockedRq,
        task::Task,
    },
};
use core::{mem::size_of, ptr};
use kernel::{
    ffi::{c_char, c_int, c_long, c_uint, c_ulong},
    str::CStr,
};

/// Has the compiler compare a door with its declaration in C.
macro_rules! check {
    ($($door:ident),* $(,)?) => {
        const _: () = {
            $( let _ = if true { bindings::$door } else { $door }; )*
        };
    };
}

mod calls;
mod mem;

check!(
    lwk_rs_enqueue,
    lwk_rs_dequeue,
    lwk_rs_yield,
    lwk_rs_pick,
    lwk_rs_put_prev,
    lwk_rs_set_next,
    lwk_rs_select,
    lwk_rs_preempts,
    lwk_rs_is_behind,
    lwk_rs_outranks,
    lwk_rs_turn,
    lwk_rs_look,
    lwk_rs_tell_waited,
    lwk_rs_doze,
    lwk_rs_is_stranded,
    lwk_rs_push_to,
    lwk_rs_pull_from,
    lwk_rs_pull_task,
    lwk_rs_tick,
    lwk_rs_guest_waits,
    lwk_rs_set_load,
    lwk_rs_fork,
    lwk_rs_exit,
    lwk_rs_free_task,
    lwk_rs_irqs_meanwhile,
    lwk_rs_user_enter,
    lwk_rs_thread_sleeps,
    lwk_rs_job_get,
    lwk_rs_job_put,
    lwk_rs_boot_line,
    lwk_rs_boot_memory,
    lwk_rs_init,
    lwk_rs_boot_partition,
);

/// # Safety
///
/// `rq` is live and its lock held for the call.
unsafe fn locked<'a>(rq: *mut bindings::rq) -> LockedRq<'a> {
    // SAFETY: By the contract of this function.
    unsafe { LockedRq::from_raw(rq) }
}

/// # Safety
///
/// `task` lives for the call.
unsafe fn task<'a>(task: *mut bindings::task_struct) -> Task<'a> {
    // SAFETY: By the contract of this function.
    unsafe { Task::from_raw(task) }
}

/// A task becomes runnable.
///
/// # Safety
///
/// As `sched_class::enqueue_task`: `rq` locked, `p` live and on no queue.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_enqueue(
    rq: *mut bindings::rq,
    p: *mut bindings::task_struct,
    head: bool,
) {
    // SAFETY: By the contract of this function.
    let (mut rq, p) = unsafe { (locked(rq), task(p)) };
    sched::enqueue(&mut rq, &p, end(head));
}

fn end(head: bool) -> End {
    if head {
        End::Head
    } else {
        End::Tail
    }
}

/// A task is no longer runnable here.
///
/// # Safety
///
/// As `sched_class::dequeue_task`: `rq` locked, `p` live and on this queue.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_dequeue(
    rq: *mut bindings::rq,
    p: *mut bindings::task_struct,
) {
    // SAFETY: By the contract of this function.
    let (mut rq, p) = unsafe { (locked(rq), task(p)) };
    sched::dequeue(&mut rq, &p);
}

/// The running task lets others go first.
///
/// # Safety
///
/// As `sched_class::yield_task`: `rq` locked, `p` its running task, on this queue.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_yield(rq: *mut bindings::rq, p: *mut bindings::task_struct) {
    // SAFETY: By the contract of this function.
    let (mut rq, p) = unsafe { (locked(rq), task(p)) };
    sched::requeue(&mut rq, &p);
}

/// The task to run, or null.
///
/// # Safety
///
/// As `sched_class::pick_task`: `rq` locked.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_pick(rq: *mut bindings::rq) -> *mut bindings::task_struct {
    // SAFETY: By the contract of this function.
    let mut rq = unsafe { locked(rq) };
    sched::pick(&mut rq).map_or(ptr::null_mut(), |task| task.as_raw())
}

/// A task stops running.
///
/// # Safety
///
/// As `sched_class::put_prev_task`: `rq` locked, `p` live, `next` live or null.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_put_prev(
    rq: *mut bindings::rq,
    p: *mut bindings::task_struct,
    next: *mut bindings::task_struct,
) {
    // SAFETY: By the contract of this function.
    let (mut rq, p) = unsafe { (locked(rq), task(p)) };
    // SAFETY: As above; tested for null.
    let next = (!next.is_null()).then(|| unsafe { task(next) });
    sched::put_prev(&mut rq, &p, next.as_ref());
}

/// A task starts running, or goes on after a change of its parameters (not `first`).
///
/// # Safety
///
/// As `sched_class::set_next_task`: `rq` locked, `p` live.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_set_next(
    rq: *mut bindings::rq,
    p: *mut bindings::task_struct,
    first: bool,
) {
    // SAFETY: By the contract of this function.
    let (mut rq, p) = unsafe { (locked(rq), task(p)) };
    if first {
        // SAFETY: The current task lives while it runs.
        sched::set_next(&mut rq, &p, || unsafe {
            task(bindings::lwk_c_current_task())
        });
    }
}

/// The CPU for a new or woken task.
///
/// # Safety
///
/// As `sched_class::select_task_rq`: `p` live, its `pi_lock` held.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_select(p: *mut bindings::task_struct, cpu: c_int) -> c_int {
    // SAFETY: By the contract of this function.
    let p = unsafe { task(p) };
    let Some(prev) = u32::try_from(cpu).ok().and_then(CpuId::new) else {
        return cpu;
    };
    // CAST: Below MAX_CPUS.
    sched::select(&p, prev).get() as c_int
}

/// A CPU as C wants it, or -1 for none.
fn or_none(cpu: Option<CpuId>) -> c_int {
    // CAST: Below MAX_CPUS.
    cpu.map_or(-1, |cpu| cpu.get() as c_int)
}

/// An idle CPU for a task that has just been queued behind others, or -1.
///
/// # Safety
///
/// As `sched_class::task_woken`: `rq` locked, `p` live and on this queue.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_push_to(
    rq: *mut bindings::rq,
    p: *mut bindings::task_struct,
) -> c_int {
    // SAFETY: By the contract of this function.
    let (rq, p) = unsafe { (locked(rq), task(p)) };
    or_none(sched::push_to(&rq, &p))
}

/// The CPU from which an idle one may take a task, or -1.
///
/// # Safety
///
/// As `sched_class::balance`: `rq` locked, `prev` live.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_pull_from(
    rq: *mut bindings::rq,
    prev: *mut bindings::task_struct,
) -> c_int {
    // SAFETY: By the contract of this function.
    let (rq, prev) = unsafe { (locked(rq), task(prev)) };
    or_none(sched::pull_from(&rq, &prev))
}

/// The task that `cpu` takes from `from`, or null.
///
/// # Safety
///
/// `from` is locked.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_pull_task(
    from: *mut bindings::rq,
    cpu: c_int,
) -> *mut bindings::task_struct {
    // SAFETY: By the contract of this function.
    let from = unsafe { locked(from) };
    let Some(cpu) = u32::try_from(cpu).ok().and_then(CpuId::new) else {
        return ptr::null_mut();
    };
    sched::pull_task(&from, cpu).map_or(ptr::null_mut(), |task| task.as_raw())
}

/// Whether a task that was just queued runs before the running one; one that goes on with its turn (`head`) also before
/// an equal.
///
/// # Safety
///
/// `rq` locked, `running` its running task, which is in the class, and `p` another that is on this queue.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_preempts(
    rq: *mut bindings::rq,
    running: *mut bindings::task_struct,
    p: *mut bindings::task_struct,
    head: bool,
) -> bool {
    // SAFETY: By the contract of this function.
    let (mut rq, running, p) = unsafe { (locked(rq), task(running), task(p)) };
    sched::preempts(&mut rq, &running, &p, end(head))
}

/// Whether another task than the running one is first in the queue.
///
/// # Safety
///
/// `rq` locked, `p` its running task.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_is_behind(
    rq: *mut bindings::rq,
    p: *mut bindings::task_struct,
) -> bool {
    // SAFETY: By the contract of this function.
    let (rq, p) = unsafe { (locked(rq), task(p)) };
    sched::is_behind(&rq, &p)
}

/// Whether a task would run at once in a queue that is not empty.
///
/// # Safety
///
/// `to` and the run queue of `p` are locked.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_outranks(
    to: *mut bindings::rq,
    p: *mut bindings::task_struct,
) -> bool {
    // SAFETY: By the contract of this function.
    let (to, p) = unsafe { (locked(to), task(p)) };
    sched::outranks(&to, &p)
}

/// How long a task may keep the CPU from its equals, in nanoseconds; 0 for ever.
///
/// # Safety
///
/// `p` is live and the lock of its run queue held.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_turn(p: *mut bindings::task_struct) -> u64 {
    // SAFETY: By the contract of this function.
    sched::turn_ns(&unsafe { task(p) }).unwrap_or(0)
}

const _: () = assert!(size_of::<bindings::lwk_waited>() == size_of::<Waited>());

/// Looks whether somebody has waited behind `curr` for too long, and says who.
///
/// # Safety
///
/// `rq` locked, `curr` its running task, `waited` may be written.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_look(
    rq: *mut bindings::rq,
    curr: *mut bindings::task_struct,
    waited: *mut bindings::lwk_waited,
) -> bool {
    // SAFETY: By the contract of this function.
    let (mut rq, curr) = unsafe { (locked(rq), task(curr)) };
    let Some(told) = sched::look(&mut rq, &curr) else {
        return false;
    };
    // SAFETY: By the contract; the layouts are the same, whose sizes are compared above.
    unsafe { waited.cast::<Waited>().write(told) };
    true
}

/// Has an idle CPU doze that has waited for its tasks since the last look; says whether it is to hear of that.
///
/// # Safety
///
/// `rq` locked.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_doze(rq: *mut bindings::rq) -> bool {
    // SAFETY: By the contract of this function.
    sched::doze(&mut unsafe { locked(rq) })
}

/// Whether `p`, which is away, waits for too long on the CPU of Linux of `rq`.
///
/// # Safety
///
/// `rq` locked, `p` queued there.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_is_stranded(
    rq: *mut bindings::rq,
    p: *mut bindings::task_struct,
) -> bool {
    // SAFETY: By the contract of this function.
    let (rq, p) = unsafe { (locked(rq), task(p)) };
    sched::is_stranded(&rq, &p)
}

/// The CPU tells its log what [`lwk_rs_look`] found.
///
/// # Safety
///
/// On the CPU of `rq`, which is locked.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_tell_waited(rq: *mut bindings::rq) {
    // SAFETY: By the contract of this function.
    sched::tell_waited(&mut unsafe { locked(rq) });
}

/// The tick; true if another task is to run.
///
/// # Safety
///
/// As `sched_class::task_tick`, on the CPU of `rq`: `rq` locked, `p` its running task.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_tick(
    rq: *mut bindings::rq,
    p: *mut bindings::task_struct,
) -> bool {
    // SAFETY: By the contract of this function.
    let (mut rq, p) = unsafe { (locked(rq), task(p)) };
    sched::tick(&mut rq, &p)
}

/// A guest has become runnable behind a task of the LWK; true if it is to run at once.
///
/// # Safety
///
/// `rq` locked, and its running task one of the class.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_guest_waits(rq: *mut bindings::rq) -> bool {
    // SAFETY: By the contract of this function.
    let mut rq = unsafe { locked(rq) };
    sched::guest_waits(&mut rq)
}

/// A CPU is kept free for a task, or not any more.
///
/// # Safety
///
/// `rq` is locked.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_set_load(rq: *mut bindings::rq) {
    // SAFETY: By the contract of this function.
    sched::note_load(&unsafe { locked(rq) });
}

/// A copy of a job's task exists.
///
/// # Safety
///
/// `p` is new, a copy of the calling task, which is in a job.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_fork(p: *mut bindings::task_struct) {
    // SAFETY: By the contract of this function.
    job::fork(&unsafe { task(p) });
}

/// A task leaves its job.
///
/// # Safety
///
/// Process context; `p` is the calling task or one that never ran.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_exit(p: *mut bindings::task_struct) {
    // SAFETY: By the contract of this function.
    job::exit(&unsafe { task(p) });
}

/// Nobody refers to a task any more.
///
/// # Safety
///
/// The caller holds the last reference to `p`.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_free_task(p: *mut bindings::task_struct) {
    // SAFETY: By the contract of this function.
    drop(unsafe { task(p) }.take_job());
}

/// An LWK CPU came from user mode, and had interrupts before while it was in the kernel.
///
/// # Safety
///
/// Called with interrupts off on CPU `cpu`, whose `entry` it is.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_irqs_meanwhile(cpu: u32, entry: *const bindings::lwk_entry) {
    if let Some(cpu) = CpuId::new(cpu) {
        // SAFETY: By the contract of this function.
        noise::log::irqs_meanwhile(cpu, unsafe { seen(entry) });
    }
}

/// It returns to user mode; true if all interrupts until now are accounted for.
///
/// # Safety
///
/// As for [`lwk_rs_irqs_meanwhile`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_user_enter(
    cpu: u32,
    entry: *const bindings::lwk_entry,
    irqs: u64,
    faults: u64,
) -> bool {
    CpuId::new(cpu).is_some_and(|cpu| {
        // SAFETY: By the contract of this function.
        noise::user_enter(cpu, unsafe { seen(entry) }, Mark { irqs, faults })
    })
}

/// The thread that was interrupted sleeps, or it is stopped (`stops`).
///
/// # Safety
///
/// As for [`lwk_rs_irqs_meanwhile`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_thread_sleeps(
    cpu: u32,
    entry: *const bindings::lwk_entry,
    stops: bool,
    irqs: u64,
    faults: u64,
) {
    let Some(cpu) = CpuId::new(cpu) else { return };
    let sleep = if stops { Sleep::Stops } else { Sleep::Waits };
    // SAFETY: By the contract of this function.
    noise::thread_sleeps(cpu, unsafe { seen(entry) }, sleep, Mark { irqs, faults });
}

/// One more refers to a job.
///
/// # Safety
///
/// `job` is one that the caller holds a reference to.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_job_get(job: *mut bindings::lwk_job) {
    // SAFETY: By the contract of this function.
    unsafe { Job::get(job) };
}

/// One less refers to a job.
///
/// # Safety
///
/// The caller gives up a reference to `job`.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_job_put(job: *mut bindings::lwk_job) {
    // SAFETY: By the contract of this function.
    unsafe { Job::put(job) };
}

/// `lwkmem=` was on the boot line.
///
/// # Safety
///
/// `text` is a C string.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_boot_memory(text: *const c_char) {
    // SAFETY: By the contract of this function.
    partition::note_boot_memory(unsafe { CStr::from_char_ptr(text) });
}

/// `lwkcpus=` was on the boot line.
///
/// # Safety
///
/// `text` is a C string.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_boot_line(text: *const c_char) {
    // SAFETY: By the contract of this function.
    partition::note_boot_line(unsafe { CStr::from_char_ptr(text) });
}

/// Device initcall.
///
/// # Safety
///
/// Called once, in process context.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_init() -> c_int {
    match file::register(&file::Handlers { ioctl, release }) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// Late initcall.
///
/// # Safety
///
/// Called once, in process context, after all CPUs are up.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_boot_partition() {
    partition::make_boot_partition();
}

/// `ioctl(2)` on the device.
///
/// # Safety
///
/// `file` is a live file of ours.
unsafe extern "C" fn ioctl(file: *mut bindings::file, request: c_uint, address: c_ulong) -> c_long {
    // SAFETY: By the contract of this function; `job` takes the lock of the state before it uses the file's slot.
    let file = unsafe { File::from_raw(file) };
    // SAFETY: The current task lives while it runs.
    let current = unsafe { task(bindings::lwk_c_current_task()) };
    // CAST: unsigned long has 64 bits.
    match device::ioctl(&file, &current, request, address as usize) {
        Ok(()) => 0,
        // CAST: c_long is wider than c_int.
        Err(error) => error.to_errno() as c_long,
    }
}

/// The last `close(2)` of a file of the device.
///
/// # Safety
///
/// `file` is a live file of ours that nobody else uses.
unsafe extern "C" fn release(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: By the contract of this function.
    job::release(&unsafe { File::from_raw(file) });
    0
}
