// SPDX-License-Identifier: GPL-2.0
//! Memory with edges, requests to `/dev/lwk` of any bytes, and system calls of any sense, for the fuzzer.
//!
//! Whatever pointer goes to the kernel lies in memory that was mapped for nothing else, or where no memory can be.

pub(crate) mod calls;

use core::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;
use rustix::mm::{mmap_anonymous, mprotect, munmap, MapFlags, MprotectFlags, ProtFlags};

use super::lwk::BAD_ADDRESSES;
use super::PAGE;
use crate::random::Random;

/// Pages of an area, after which one follows that nobody may touch.
const AREA_PAGES: usize = 4;
/// One area for the argument of a request, the others for what it points to.
const AREAS: usize = 4;
const PAGES: usize = 1 + AREAS * (AREA_PAGES + 1);

/// Where in an area something is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// At its beginning.
    Inside,
    /// At its very end.
    AtEnd,
    /// Half of it behind the end.
    OverEnd,
    /// At an odd address.
    Unaligned,
    /// Where the kernel can read but not write.
    ReadOnly,
    /// Where no memory can be.
    Nowhere,
}

impl Place {
    /// Mostly a good one.
    pub(crate) fn any(random: &mut Random) -> Place {
        match random.below(40) {
            0 => Place::OverEnd,
            1 => Place::ReadOnly,
            2 => Place::Nowhere,
            3 | 4 => Place::Unaligned,
            5..=12 => Place::AtEnd,
            _ => Place::Inside,
        }
    }
}

/// Areas of memory between pages that nobody may touch.
pub(crate) struct Arena {
    at: *mut c_void,
}

// SAFETY: Nobody but the kernel reads or writes its memory.
unsafe impl Send for Arena {}
// SAFETY: As above.
unsafe impl Sync for Arena {}

impl Arena {
    /// Maps one.
    pub(crate) fn new() -> Result<Arena> {
        // SAFETY: A null address hint with no MAP_FIXED cannot replace a mapping in use.
        let at = unsafe {
            mmap_anonymous(
                core::ptr::null_mut(),
                PAGES * PAGE,
                ProtFlags::empty(),
                MapFlags::PRIVATE,
            )
        };
        let arena = Arena {
            at: at.context("mapping an arena")?,
        };
        for area in 0..AREAS {
            arena.protect(area, MprotectFlags::READ | MprotectFlags::WRITE);
        }
        Ok(arena)
    }

    fn area(&self, area: usize) -> *mut c_void {
        let first = 1 + (area % AREAS) * (AREA_PAGES + 1);
        self.at.wrapping_byte_add(first * PAGE)
    }

    fn protect(&self, area: usize, access: MprotectFlags) {
        // SAFETY: The area is part of our mapping, and nothing borrows from it.
        // An error leaves it as it is, which is one more case.
        let _ = unsafe { mprotect(self.area(area), AREA_PAGES * PAGE, access) };
    }

    /// Takes the last pages of all areas but the first away, or gives them back: what another thread does while this one
    /// is in the kernel.
    pub(crate) fn flap(&self, is_there: bool) {
        let access = if is_there {
            MprotectFlags::READ | MprotectFlags::WRITE
        } else {
            MprotectFlags::empty()
        };
        for area in 1..AREAS {
            let last = self.area(area).wrapping_byte_add((AREA_PAGES - 1) * PAGE);
            // SAFETY: As above.
            let _ = unsafe { mprotect(last, PAGE, access) };
        }
    }

    /// Puts bytes into an area, as far as there is room, and returns the address of the first.
    pub(crate) fn put(&self, area: usize, place: Place, bytes: &[u8], random: &mut Random) -> u64 {
        const ROOM: usize = AREA_PAGES * PAGE;
        let len = bytes.len().min(ROOM);
        let offset = match place {
            Place::Nowhere => return random.pick(&BAD_ADDRESSES),
            Place::Inside | Place::ReadOnly => 0,
            Place::Unaligned => 1.min(ROOM - len),
            Place::AtEnd => ROOM - len,
            Place::OverEnd => ROOM - len / 2,
        };
        let len = len.min(ROOM - offset);
        let at = self.area(area).wrapping_byte_add(offset);
        self.protect(area, MprotectFlags::READ | MprotectFlags::WRITE);
        let piece = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: len,
        };
        let target = libc::iovec {
            iov_base: at,
            iov_len: len,
        };
        let own = nix::unistd::getpid().as_raw();
        // The kernel copies, so that memory that another thread takes away is an error and not the end.
        // SAFETY: Writes to the area only, and reads as many bytes as there are.
        let _ =
            unsafe { libc::process_vm_writev(own, &raw const piece, 1, &raw const target, 1, 0) };
        if place == Place::ReadOnly {
            self.protect(area, MprotectFlags::READ);
        }
        at.addr() as u64
    }

    /// Issues any request with an argument that [`Arena::put`] has put somewhere.
    pub(crate) fn ioctl(
        &self,
        device: BorrowedFd<'_>,
        code: u32,
        argument: u64,
    ) -> nix::Result<c_int> {
        // SAFETY: All that the kernel finds as a pointer is an address of the arena, or one without memory: whoever
        // makes up arguments takes pointers from `put`.
        let result = unsafe { libc::ioctl(device.as_raw_fd(), code.into(), argument) };
        Errno::result(result)
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: The mapping is ours and nothing borrows from it.
        let _ = unsafe { munmap(self.at, PAGES * PAGE) };
    }
}

/// Sets any policy of a thread by `sched_setattr(2)`.
pub(crate) fn set_policy(
    tid: i32,
    policy: u32,
    nice: i32,
    priority: u32,
    flags: u64,
) -> nix::Result<()> {
    const MS: u64 = 1_000_000;
    let mut words = [0_u64; 6];
    words[0] = u64::from(policy) << 32 | 48;
    words[1] = flags;
    words[2] = u64::from(priority) << 32 | u64::from(nice.cast_unsigned());
    if policy == libc::SCHED_DEADLINE.unsigned_abs() {
        (words[3], words[4], words[5]) = (MS, 10 * MS, 10 * MS);
    }
    // SAFETY: The kernel reads as many bytes as the structure says it has.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, tid, words.as_ptr(), 0) };
    Errno::result(result).map(drop)
}

/// Makes threads share a cookie of core scheduling, or takes it from them (`PR_SCHED_CORE`).
pub(crate) fn core_cookie(command: u64, pid: i32, scope: u64) {
    const PR_SCHED_CORE: c_int = 62;
    let mut cookie = 0_u64;
    // SAFETY: The kernel writes one number at most.
    let _ = unsafe {
        libc::prctl(
            PR_SCHED_CORE,
            command,
            i64::from(pid),
            scope,
            &raw mut cookie,
        )
    };
}

/// Ignores a signal.
pub(crate) fn ignore(signal: nix::sys::signal::Signal) -> nix::Result<()> {
    use nix::sys::signal::{signal as set, SigHandler};
    // SAFETY: No handler.
    unsafe { set(signal, SigHandler::SigIgn) }.map(drop)
}

/// Sets the name of the calling thread.
pub(crate) fn set_name(name: &core::ffi::CStr) {
    // SAFETY: The kernel reads a text of at most 16 bytes.
    let _ = unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Makes a process in another cgroup (`CLONE_INTO_CGROUP`), which ends at once.
pub(crate) fn clone_into(cgroup: BorrowedFd<'_>) -> nix::Result<()> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut args = [0_u64; 11];
    args[0] = CLONE_INTO_CGROUP;
    args[4] = libc::SIGCHLD.unsigned_abs().into();
    args[10] = u64::try_from(cgroup.as_raw_fd()).unwrap_or(0);
    // SAFETY: As fork, and the child ends at once.
    let pid = Errno::result(unsafe {
        libc::syscall(libc::SYS_clone3, args.as_ptr(), size_of_val(&args))
    })?;
    if pid == 0 {
        super::process::exit_now(0);
    }
    Ok(())
}

/// Has the pages of a process moved from nodes to others (`migrate_pages(2)`).
pub(crate) fn migrate(pid: i32, from: u64, to: u64) {
    // SAFETY: Each set has as many bits as the call is told of.
    let _ = unsafe {
        libc::syscall(
            libc::SYS_migrate_pages,
            pid,
            64,
            &raw const from,
            &raw const to,
        )
    };
}

/// Moves the end of the heap up and back, and writes to what was added; in a process of one thread only.
pub(crate) fn breathe(bytes: usize) {
    let Ok(at) = super::map::move_break(bytes.cast_signed()) else {
        return;
    };
    super::map::heap(at, bytes)
        .iter_mut()
        .step_by(PAGE)
        .for_each(|byte| *byte = 1);
    // An error leaves a larger heap.
    let _ = super::map::move_break(-bytes.cast_signed());
}
