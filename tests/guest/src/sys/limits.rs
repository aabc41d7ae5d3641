// SPDX-License-Identifier: GPL-2.0
//! What the tests of limits need beyond mappings of their own: one in place of another, pages that move between two, swap
//! space, a process that shares the memory of its parent.

use core::ffi::{c_int, c_void, CStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use anyhow::{ensure, Context, Result};
use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;

use super::map::Mapping;

/// Maps a file, shared, in place of what is at `at`: a piece of the heap that the caller got from `move_break()`, or what
/// lies behind its end.
pub(crate) fn map_over(at: usize, len: usize, file: impl AsFd) -> Result<()> {
    let fd = file.as_fd().as_raw_fd();
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_FIXED;
    let wanted: *mut c_void = core::ptr::with_exposed_provenance_mut(at);
    // SAFETY: The caller has what is there, and nobody borrows it.
    let found = unsafe { libc::mmap(wanted, len, access, flags, fd, 0) };
    ensure!(found == wanted, "mmap: {}", std::io::Error::last_os_error());
    Ok(())
}

/// Swaps to a device, or no longer.
pub(crate) fn swap(device: &CStr, on: bool) -> Result<()> {
    let result = if on {
        // SAFETY: The kernel reads the name.
        unsafe { libc::swapon(device.as_ptr(), 0) }
    } else {
        // SAFETY: As above.
        unsafe { libc::swapoff(device.as_ptr()) }
    };
    Errno::result(result).context("swap").map(drop)
}

extern "C" fn wait_for_byte(fd: *mut c_void) -> c_int {
    let mut byte = 0_u8;
    let fd = c_int::try_from(fd.addr()).unwrap_or(-1);
    // SAFETY: Reads at most one byte into one; no memory of the parent's but this stack is touched.
    let got = unsafe { libc::read(fd, (&raw mut byte).cast(), 1) };
    c_int::from(got < 0)
}

/// Starts a process that has this one's memory without being a thread of it, and ends when `gate` has a byte or is closed.
pub(crate) fn sharer(gate: BorrowedFd<'_>) -> Result<Pid> {
    const ROOM: usize = 64 << 10;
    // Never freed: the child's stack.
    let stack = Box::leak(vec![0_u8; ROOM].into_boxed_slice());
    let top = stack.as_mut_ptr().wrapping_add(ROOM);
    let fd: *mut c_void = core::ptr::without_provenance_mut(usize::try_from(gate.as_raw_fd())?);
    // SAFETY: The child runs on a stack of its own, which is aligned, and only reads from a descriptor.
    let pid = unsafe {
        libc::clone(
            wait_for_byte,
            top.cast(),
            libc::CLONE_VM | libc::SIGCHLD,
            fd,
        )
    };
    Errno::result(pid).context("clone").map(Pid::from_raw)
}

/// A descriptor of `userfaultfd(2)`.
pub(crate) struct Userfault(OwnedFd);

impl Userfault {
    pub(crate) fn new() -> Result<Self> {
        const UFFD_USER_MODE_ONLY: c_int = 1;
        const UFFDIO_API: u64 = 0xc018_aa3f;
        // SAFETY: One integer.
        let fd =
            unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | UFFD_USER_MODE_ONLY) };
        let fd = c_int::try_from(Errno::result(fd).context("userfaultfd")?)?;
        // SAFETY: The call just made it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut api = [0xaa_u64, 0, 0];
        // SAFETY: `struct uffdio_api` has three words.
        let result = unsafe { libc::ioctl(fd.as_raw_fd(), UFFDIO_API, api.as_mut_ptr()) };
        Errno::result(result).context("UFFDIO_API")?;
        Ok(Self(fd))
    }

    /// Has pages of a mapping that are missing be provided.
    pub(crate) fn register(&self, memory: &Mapping) -> Result<()> {
        const UFFDIO_REGISTER: u64 = 0xc020_aa00;
        const MODE_MISSING: u64 = 1;
        let (at, len) = (memory.address() as u64, memory.bytes().len() as u64);
        let mut register = [at, len, MODE_MISSING, 0];
        // SAFETY: `struct uffdio_register` has four words; the range is ours.
        let result =
            unsafe { libc::ioctl(self.0.as_raw_fd(), UFFDIO_REGISTER, register.as_mut_ptr()) };
        Errno::result(result).context("UFFDIO_REGISTER").map(drop)
    }

    /// Moves the first `len` bytes of a mapping, page by page, to where a registered one has none yet; says how many came.
    pub(crate) fn move_into(&self, to: &Mapping, from: &Mapping, len: usize) -> Result<i64, Errno> {
        const UFFDIO_MOVE: u64 = 0xc028_aa05;
        assert!(len <= to.bytes().len() && len <= from.bytes().len());
        let mut arg = [to.address() as u64, from.address() as u64, len as u64, 0, 0];
        // SAFETY: `struct uffdio_move` has five words; both ranges are mappings that nobody borrows.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), UFFDIO_MOVE, arg.as_mut_ptr()) };
        Errno::result(result)?;
        Ok(arg[4].cast_signed())
    }
}
