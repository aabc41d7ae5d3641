// SPDX-License-Identifier: GPL-2.0
//! Rings of `io_uring(7)`, as little of them as a test needs.

use core::ffi::{c_int, c_void};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{ensure, Context, Result};
use nix::errno::Errno;
use nix::libc;

const ENTRIES: u32 = 8;

/// Operations.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation {
    /// None.
    Nothing = 0,
    /// A read at an offset.
    Read = 22,
}

/// Where it is carried out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum When {
    /// At once if it can be.
    Usually = 0,
    /// By a thread of the kernel (`IOSQE_ASYNC`).
    Elsewhere = 1 << 4,
}

#[repr(C)]
#[derive(Default)]
struct Params {
    sq_entries: u32,
    cq_entries: u32,
    rest: [u32; 8],
    // head, tail, ring_mask, ring_entries, flags, dropped, array, reserved, address.
    sq: [u32; 10],
    // head, tail, ring_mask, ring_entries, overflow, cqes, flags, reserved, address.
    cq: [u32; 10],
}

#[repr(C)]
#[derive(Default, Clone, Copy)]
struct Entry {
    opcode: u8,
    flags: u8,
    ioprio: u16,
    fd: i32,
    offset: u64,
    address: u64,
    len: u32,
    rw_flags: u32,
    user_data: u64,
    rest: [u64; 3],
}

/// A ring with both of its queues in one mapping.
pub(crate) struct Ring {
    fd: OwnedFd,
    queues: *mut u8,
    entries: *mut Entry,
    params: Params,
}

impl Ring {
    /// Makes it.
    pub(crate) fn new() -> Result<Ring> {
        const { assert!(size_of::<Params>() == 120 && size_of::<Entry>() == 64) }
        let mut params = Params::default();
        // SAFETY: The structure has the 120 bytes of `struct io_uring_params`.
        let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, ENTRIES, &raw mut params) };
        let fd = c_int::try_from(Errno::result(fd).context("io_uring_setup")?)?;
        // SAFETY: The call just made it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let map = |len: usize, offset: i64| -> Result<*mut c_void> {
            // SAFETY: A null address cannot replace a mapping in use.
            let at = unsafe {
                libc::mmap(
                    core::ptr::null_mut(),
                    len,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_SHARED | libc::MAP_POPULATE,
                    fd.as_raw_fd(),
                    offset,
                )
            };
            ensure!(at != libc::MAP_FAILED, "mmap: {}", Errno::last());
            Ok(at)
        };
        // Completions have 16 bytes each.
        let len = params.cq[5] + 16 * params.cq_entries;
        let queues = map(usize::try_from(len)?, 0)?.cast();
        let entries = map(64 * usize::try_from(ENTRIES)?, 0x1000_0000)?.cast();
        Ok(Ring {
            fd,
            queues,
            entries,
            params,
        })
    }

    /// A word of the queues.
    fn word(&self, offset: u32) -> &AtomicU32 {
        // CAST: wider.
        let at = self.queues.wrapping_add(offset as usize).cast();
        // SAFETY: Offsets that the kernel gave are within the mapping, and aligned for what is there.
        unsafe { AtomicU32::from_ptr(at) }
    }

    /// Has one operation carried out and returns its result.
    pub(crate) fn run(
        &self,
        operation: Operation,
        when: When,
        file: &impl AsFd,
        buffer: &mut [u8],
    ) -> Result<i32> {
        let entry = Entry {
            // CAST: small numbers.
            opcode: operation as u8,
            flags: when as u8,
            fd: file.as_fd().as_raw_fd(),
            address: buffer.as_mut_ptr() as u64,
            len: u32::try_from(buffer.len())?,
            user_data: 7,
            ..Entry::default()
        };
        // SAFETY: The first entry is ours, as nothing is submitted.
        unsafe { self.entries.write(entry) };
        let [_, tail, mask, .., array, _, _, _] = self.params.sq;
        // ORDERING: Release to the kernel, which reads the tail with Acquire; the ring has one user on this side.
        let at = self.word(tail).load(Ordering::Relaxed);
        let slot = at & self.word(mask).load(Ordering::Relaxed);
        self.word(array + 4 * slot).store(0, Ordering::Relaxed);
        self.word(tail).store(at.wrapping_add(1), Ordering::Release);
        const IORING_ENTER_GETEVENTS: c_int = 1;
        // SAFETY: The buffer lives until the operation is over, for which the call waits.
        let result = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.fd.as_raw_fd(),
                1,
                1,
                IORING_ENTER_GETEVENTS,
                core::ptr::null::<c_void>(),
                0,
            )
        };
        ensure!(
            Errno::result(result).context("io_uring_enter")? == 1,
            "not submitted"
        );
        let [head, tail, mask, _, _, completions, ..] = self.params.cq;
        let at = self.word(head).load(Ordering::Relaxed);
        // ORDERING: Acquire: the completion was written before.
        ensure!(
            self.word(tail).load(Ordering::Acquire) == at.wrapping_add(1),
            "not completed"
        );
        let slot = at & self.word(mask).load(Ordering::Relaxed);
        let (data, result) = (completions + 16 * slot, completions + 16 * slot + 8);
        ensure!(self.word(data).load(Ordering::Relaxed) == 7, "another one");
        let result = self.word(result).load(Ordering::Relaxed).cast_signed();
        // ORDERING: Release: the kernel may write another completion there.
        self.word(head).store(at.wrapping_add(1), Ordering::Release);
        Ok(result)
    }
}
