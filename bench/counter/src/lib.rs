// SPDX-License-Identifier: GPL-2.0
//! Counts instructions and kernel entries by vCPU inside QEMU, a plugin for its code translator (TCG).
//!
//! ```text
//! api      QEMU's C interface; the only unsafe code
//! plugin   what the plugin does at QEMU's calls
//! counter  vCPUs and windows together; writes the result
//! windows  which window is open
//! vcpu     the counters of one vCPU
//! gate     instructions that lead back to user mode
//! block    what is known of a block of guest code when it is translated
//! stacks   call stacks, from the ends of blocks (code), kept as a tree of paths (tree)
//! symbols  System.map
//! options  the plugin's arguments
//! ```
//!
//! By hand:
//!
//! ```text
//! qemu-system-x86_64 -accel tcg,thread=single -icount shift=0,sleep=off -seed 1 -rtc base=2020-01-01,clock=vm ... \
//!     -append '... nokaslr' -plugin libbench_counter.so,out=counts.json,map=System.map
//! ```
//!
//! | argument | meaning |
//! |---|---|
//! | `out=FILE` | where [`bench_record::counts::Counts`] goes as JSON when QEMU ends; an old file is removed at start |
//! | `map=FILE` | the kernel's System.map; without it causes are addresses |
//! | `stacks=on` | count the kernel's instructions also by function and by call stack; needs `map` |
//! | `exact=on` | call back for each instruction and not for each block |
//!
//! What is counted:
//!
//! - Only what runs between the markers of [`bench_record::marker`], which any vCPU may execute.
//! - Kernel mode is a block that starts in the upper half of the addresses, user mode one in the lower half.
//! - An entry is the first kernel block after a user block of the same vCPU; its cause is the symbol of that block.
//! - A stay lasts from an entry to the return to user mode. One under way when the window opens gives instructions but
//!   neither an entry nor a stay. One under way when it closes counts with its length so far. So the histogram of
//!   stays always adds up to the entries.
//! - A `rep` string instruction counts once for each repetition, as QEMU executes it.
//! - A block that an exception or an access to a device cuts short counts as a whole and its rest again, unless
//!   `exact=on`: about 0.1 % of the kernel's instructions, and of a user program what a page fault leaves of the block.
//!   An instruction that faults counts at each of its starts either way.
//!
//! Each figure repeats bit for bit with `thread=single` and `-icount`; with other settings the counting is still
//! sound, but a window opens and closes on other vCPUs only to within a block. From QEMU 10.0 on vCPUs that share a
//! thread cannot be told apart, so that several of them with `thread=single` are an error in the result.
//!
//! `exact=on` costs QEMU about 40 % more time in kernel code, `stacks=on` doubles it there; plain counting costs 5 %.
//! Stacks are many (thousands in a window of a tick on each CPU), so ask for them where they are looked at.
//!
//! Neither the marker's order nor a file that cannot be written ends QEMU: the first is told in
//! [`bench_record::counts::Counts::errors`], after the second there is no file. Both are told on the standard error.
#![deny(unsafe_code)]
#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "a test that panics fails, as it should")
)]

#[expect(unsafe_code, reason = "QEMU's interface is in C")]
mod api;
mod block;
mod code;
mod counter;
mod gate;
mod options;
mod plugin;
mod stacks;
mod symbols;
mod tree;
mod vcpu;
mod windows;
