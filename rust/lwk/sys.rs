// SPDX-License-Identifier: GPL-2.0
//! Safe wrappers over Linux. With `entry` the only place for `unsafe`; no policy in here.
//!
//! ```text
//! rq, task   run queues and tasks       job        what a task's job pointer points to
//! cpu        hotplug, masks, counters   control    the one lock for what changes rarely
//! file       the device and its files   uaccess    memory of the caller
//! noise      what an interrupt is about page       pageblocks that come and go
//! pool       the pools of frames      thread     what a task has for its system calls
//! regs       registers in user mode
//! ```

pub(crate) mod control;
pub(crate) mod cpu;
pub(crate) mod file;
pub(crate) mod job;
pub(crate) mod noise;
pub(crate) mod page;
pub(crate) mod pool;
pub(crate) mod regs;
pub(crate) mod rq;
pub(crate) mod task;
pub(crate) mod thread;
pub(crate) mod uaccess;

/// What bindgen made of `bindings.h`.
#[allow(
    clippy::all,
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unnecessary_transmutes,
    improper_ctypes,
    clippy::undocumented_unsafe_blocks,
    reason = "generated code"
)]
pub(crate) mod bindings {
    type __kernel_size_t = usize;
    type __kernel_ssize_t = isize;
    type __kernel_ptrdiff_t = isize;
    include!(env!("LWK_BINDINGS"));
}
