// SPDX-License-Identifier: GPL-2.0
//! Every door through which C calls in: converts the arguments and calls, nothing more.
//!
//! `c/rust.h` and `c/lwk.h` declare the doors; bindgen reads them, and [`check!`] makes a difference a build error.

use crate::{
    device, job,
    logic::{
        cpuset::CpuId,
        entry::Mark,
        frames::{Content, Pfn, FRAMES_PER_BLOCK},
        mempolicy::Region,
        node::{NodeId, NodeSet},
    },
    mem,
    noise::{self, Sleep},
    partition, sched,
    sys::{
        bindings,
        file::{self, File},
        job::Job,
        noise::entry as seen,
        regs::Regs,
        rq::{End, LockedRq},
        task::Task,
    },
    syscall,
};
use core::ptr;
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

check!(
    lwk_rs_enqueue,
    lwk_rs_dequeue,
    lwk_rs_yield,
    lwk_rs_pick,
    lwk_rs_put_prev,
    lwk_rs_set_next,
    lwk_rs_select,
    lwk_rs_push_to,
    lwk_rs_pull_from,
    lwk_rs_pull_task,
    lwk_rs_tick,
    lwk_rs_guest_waits,
    lwk_rs_set_load,
    lwk_rs_select_away,
    lwk_rs_syscall,
    lwk_rs_exit_to_user,
    lwk_rs_file_fault,
    lwk_rs_watches,
    lwk_rs_fork,
    lwk_rs_exit,
    lwk_rs_free_task,
    lwk_rs_irqs_meanwhile,
    lwk_rs_user_enter,
    lwk_rs_thread_sleeps,
    lwk_rs_allocate,
    lwk_rs_spilled,
    lwk_rs_populates,
    lwk_rs_has_large,
    lwk_rs_aligns,
    lwk_rs_is_large,
    lwk_rs_permits,
    lwk_rs_keeps,
    lwk_rs_heap_step,
    lwk_rs_used_pages,
    lwk_rs_promised_pages,
    lwk_rs_pool_pages,
    lwk_rs_job_has_memory,
    lwk_rs_job_get,
    lwk_rs_job_put,
    lwk_rs_free,
    lwk_rs_zero_block,
    lwk_rs_retire,
    lwk_rs_settle,
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
    sched::enqueue(&mut rq, &p, if head { End::Head } else { End::Tail });
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

/// The CPU of Linux for a task that is away; its own if there is no better one.
///
/// # Safety
///
/// As `sched_class::select_task_rq`: `p` live, its `pi_lock` held.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_select_away(p: *mut bindings::task_struct) -> c_int {
    // SAFETY: By the contract of this function.
    let p = unsafe { task(p) };
    or_none(syscall::select_away(&p).or_else(|| p.cpu()))
}

/// The calling task makes a system call: the number of the one that Linux is to carry out, or -1 if it was carried out.
///
/// # Safety
///
/// `p` is the calling task, in process context with nothing held, and `regs` are its registers in user mode.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_syscall(
    p: *mut bindings::task_struct,
    nr: c_long,
    regs: *mut bindings::pt_regs,
) -> c_long {
    // SAFETY: By the contract of this function; nobody else uses the registers meanwhile.
    let (p, mut regs) = unsafe { (task(p), Regs::from_raw(regs)) };
    let Ok(call) = u32::try_from(nr) else {
        return nr;
    };
    let Some(result) = syscall::enter(&p, call, &regs) else {
        return nr;
    };
    regs.set_result(result);
    -1
}

/// The calling task is about to return to user mode, with work to do.
///
/// # Safety
///
/// As for [`lwk_rs_syscall`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_exit_to_user(p: *mut bindings::task_struct, ip: u64) {
    // SAFETY: By the contract of this function.
    syscall::exit_to_user(&unsafe { task(p) }, ip);
}

/// The calling task is about to wait for a page of a file.
///
/// # Safety
///
/// `p` is the calling task, in process context with nothing held that keeps it from sleeping.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_file_fault(p: *mut bindings::task_struct) {
    // SAFETY: By the contract of this function.
    syscall::file_fault(&unsafe { task(p) });
}

/// Whether tasks of a job look at each of their calls.
///
/// # Safety
///
/// `job` is one that somebody holds a reference to meanwhile.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_watches(job: *mut bindings::lwk_job) -> bool {
    // SAFETY: By the contract of this function.
    unsafe { Job::from_raw(job) }.calls.is_watching()
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

/// A page of 2^`order` frames for a job: the first frame, with `LWK_PAGE_ZEROED` if all hold zeroes, or 0 if there is
/// none.
///
/// # Safety
///
/// `job` is one that somebody holds a reference to meanwhile.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_allocate(
    job: *mut bindings::lwk_job,
    region: u32,
    order: u32,
    address: u64,
    nid: u32,
    nodes: u64,
    chosen: bool,
) -> u64 {
    // SAFETY: By the contract of this function.
    let job = unsafe { Job::from_raw(job) };
    let Some(near) = u16::try_from(nid).ok().and_then(NodeId::new) else {
        return 0;
    };
    let place = mem::Place {
        region: Region::new(region),
        address,
        near,
        allowed: NodeSet::from_bits(nodes),
        is_chosen: chosen,
    };
    let page = job.memory.allocate(order, &place);
    page.map_or(0, |page| match page.content {
        Content::Zeroed => page.first.get() | bindings::LWK_PAGE_ZEROED,
        Content::Dirty => page.first.get(),
    })
}

/// A job got pages of 4 KiB from Linux.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_spilled(job: *mut bindings::lwk_job, pages: u64) {
    // SAFETY: By the contract of this function.
    unsafe { Job::from_raw(job) }.memory.spill(pages);
}

/// Whether a new range of a job is to be backed at once.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_populates(
    job: *mut bindings::lwk_job,
    region: u32,
    bytes: u64,
) -> bool {
    // SAFETY: By the contract of this function.
    let memory = &unsafe { Job::from_raw(job) }.memory;
    memory.populates(Region::new(region), bytes)
}

/// Whether a new mapping should begin where a page of 2 MiB can.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_aligns(
    job: *mut bindings::lwk_job,
    region: u32,
    bytes: u64,
) -> bool {
    // SAFETY: By the contract of this function.
    let memory = &unsafe { Job::from_raw(job) }.memory;
    memory.is_aligned(Region::new(region), bytes)
}

/// Whether a region may have pages of 2 MiB.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_is_large(job: *mut bindings::lwk_job, region: u32) -> bool {
    // SAFETY: By the contract of this function.
    let memory = &unsafe { Job::from_raw(job) }.memory;
    memory.is_large(Region::new(region))
}

/// Whether so much can be had in pages of 2 MiB.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_has_large(
    job: *mut bindings::lwk_job,
    region: u32,
    bytes: u64,
) -> bool {
    // SAFETY: By the contract of this function.
    let memory = &unsafe { Job::from_raw(job) }.memory;
    memory.has_large(Region::new(region), bytes)
}

/// Whether a job may map so much more.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_permits(job: *mut bindings::lwk_job, bytes: u64) -> bool {
    // SAFETY: By the contract of this function.
    let memory = &unsafe { Job::from_raw(job) }.memory;
    memory.permits(bytes)
}

/// Whether `MADV_DONTNEED` does nothing.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_keeps(job: *mut bindings::lwk_job) -> bool {
    // SAFETY: By the contract of this function.
    let memory = &unsafe { Job::from_raw(job) }.memory;
    memory.keeps_unneeded()
}

/// How much the heap takes at once.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_heap_step(job: *mut bindings::lwk_job) -> u64 {
    // SAFETY: By the contract of this function.
    let memory = &unsafe { Job::from_raw(job) }.memory;
    memory.heap_step()
}

/// How many pages of 4 KiB a job has of the pools.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_used_pages(job: *mut bindings::lwk_job) -> u64 {
    // SAFETY: By the contract of this function.
    let memory = &unsafe { Job::from_raw(job) }.memory;
    memory.usage().used * u64::from(FRAMES_PER_BLOCK)
}

/// How many pages of 4 KiB a job was promised.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_promised_pages(job: *mut bindings::lwk_job) -> u64 {
    // SAFETY: By the contract of this function.
    let memory = &unsafe { Job::from_raw(job) }.memory;
    memory.usage().promised * u64::from(FRAMES_PER_BLOCK)
}

/// How many pages of 4 KiB a pool has, or only those that are free.
///
/// # Safety
///
/// None is needed.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_pool_pages(nid: u32, free: bool) -> u64 {
    let node = u16::try_from(nid).ok().and_then(NodeId::new);
    node.map_or(0, |node| mem::pages(node, free))
}

/// Whether a job was promised memory.
///
/// # Safety
///
/// As for [`lwk_rs_allocate`].
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_job_has_memory(job: *mut bindings::lwk_job) -> bool {
    // SAFETY: By the contract of this function.
    !unsafe { Job::from_raw(job) }.memory.is_empty()
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

/// Pages that nobody refers to go back to their pool; returns what is to be done next.
///
/// # Safety
///
/// The pages are of a pageblock of the LWK on node `nid`, and prepared as for the buddy allocator.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_free(nid: u32, pfn: u64, order: u32) -> u32 {
    let Some(node) = u16::try_from(nid).ok().and_then(NodeId::new) else {
        return 0;
    };
    let next = mem::free(node, Pfn::new(pfn), order);
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    flag(next.settle, bindings::LWK_NEXT_SETTLE) | flag(next.zero, bindings::LWK_NEXT_ZERO)
}

/// Zeroes a free block; false if there is nothing to do.
///
/// # Safety
///
/// Process context, no lock held.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_zero_block() -> bool {
    mem::zero_block()
}

/// A page is bad; true if nobody uses it.
///
/// # Safety
///
/// None is needed.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_retire(nid: u32, pfn: u64) -> bool {
    let node = u16::try_from(nid).ok().and_then(NodeId::new);
    node.is_some_and(|node| mem::retire(node, Pfn::new(pfn)))
}

/// Memory that belongs to no partition goes to Linux.
///
/// # Safety
///
/// Process context, no lock held.
#[no_mangle]
pub(crate) unsafe extern "C" fn lwk_rs_settle() {
    mem::settle(&mut partition::STATE.lock().memory);
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
    // SAFETY: By the contract of this function; `job` takes the control lock before it uses the file's slot.
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
