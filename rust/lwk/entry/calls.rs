// SPDX-License-Identifier: GPL-2.0
//! The doors of the syscall locality layer.

use super::{or_none, task};
use crate::{
    sys::{bindings, job::Job, regs::Regs},
    syscall,
};
use kernel::ffi::{c_int, c_long};

check!(
    lwk_rs_select_away,
    lwk_rs_syscall,
    lwk_rs_exit_to_user,
    lwk_rs_file_fault,
    lwk_rs_watches,
);

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
