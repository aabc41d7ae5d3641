// SPDX-License-Identifier: GPL-2.0
//! A mapping of memory, and what programs do to one.

use core::ffi::{c_int, c_void};
use core::ptr;
use std::os::fd::AsFd;
use std::sync::atomic::AtomicU64;

use anyhow::{Context, Result};
use rustix::mm::{
    madvise, mmap, mmap_anonymous, mprotect, mremap, munmap, Advice, MapFlags, MprotectFlags,
    MremapFlags, ProtFlags,
};

/// A mapping of whole pages that is readable and writable when it is made.
pub(crate) struct Mapping {
    at: *mut c_void,
    len: usize,
}

impl Mapping {
    /// Maps `len` bytes.
    pub(crate) fn new(len: usize) -> Result<Self> {
        Self::with(len, MapFlags::PRIVATE)
    }

    /// The same without a reservation: memory is taken as it is touched.
    pub(crate) fn sparse(len: usize) -> Result<Self> {
        Self::with(len, MapFlags::PRIVATE | MapFlags::NORESERVE)
    }

    /// The same in pages of hugetlbfs, with flags that say of which size and whether children share them.
    pub(crate) fn hugetlb(len: usize, flags: MapFlags) -> Result<Self> {
        Self::with(len, flags | MapFlags::HUGETLB).context("MAP_HUGETLB")
    }

    /// The same, shared with children.
    pub(crate) fn shared(len: usize) -> Result<Self> {
        Self::with(len, MapFlags::SHARED)
    }

    /// The same without a reservation.
    pub(crate) fn shared_sparse(len: usize) -> Result<Self> {
        Self::with(len, MapFlags::SHARED | MapFlags::NORESERVE)
    }

    /// The same where Linux chooses, to grow down when what is below is touched.
    pub(crate) fn growing_down(len: usize) -> Result<Self> {
        Self::with(len, MapFlags::PRIVATE | MapFlags::GROWSDOWN)
    }

    /// Writes to the first byte of the `nr` pages below, each in turn, which become part of it.
    pub(crate) fn grow_down(&mut self, nr: usize) {
        for _ in 0..nr {
            self.at = self.at.wrapping_byte_sub(super::PAGE);
            self.len += super::PAGE;
            // SAFETY: The mapping grows down, so that this is its memory, or the access ends the process.
            unsafe { self.at.cast::<u8>().write_volatile(1) };
        }
    }

    /// Maps a file of `len` bytes, shared.
    pub(crate) fn of_file(file: impl AsFd, len: usize) -> Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: A null address hint with no MAP_FIXED cannot replace a mapping in use.
        let at = unsafe { mmap(ptr::null_mut(), len, access, MapFlags::SHARED, file, 0) };
        Ok(Self {
            at: at.context("mmap")?,
            len,
        })
    }

    /// Attaches a System V segment of `len` bytes.
    pub(crate) fn of_segment(id: c_int, len: usize) -> Result<Self> {
        // SAFETY: A null address lets the kernel choose one, which replaces no mapping in use.
        let at = unsafe { nix::libc::shmat(id, ptr::null(), 0) };
        if at.addr() == usize::MAX {
            return Err(std::io::Error::last_os_error()).context("shmat");
        }
        Ok(Self { at, len })
    }

    /// It as counters that other threads and processes may have, too.
    pub(crate) fn counters(&self) -> &[AtomicU64] {
        // SAFETY: The mapping is ours, readable, writable and aligned; who shares it changes it as counters only.
        unsafe { core::slice::from_raw_parts(self.at.cast(), self.len / 8) }
    }

    /// Detaches a System V segment.
    pub(crate) fn detach(mut self) -> Result<()> {
        self.len = 0;
        // SAFETY: The mapping is ours, nothing borrows from it, and with no length it is not unmapped again.
        if unsafe { nix::libc::shmdt(self.at) } != 0 {
            return Err(std::io::Error::last_os_error()).context("shmdt");
        }
        Ok(())
    }

    fn with(len: usize, flags: MapFlags) -> Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: A null address hint with no MAP_FIXED cannot replace a mapping in use.
        let at = unsafe { mmap_anonymous(ptr::null_mut(), len, access, flags) }.context("mmap")?;
        Ok(Self { at, len })
    }

    /// A pointer to what is there.
    pub(super) fn pointer<T>(&self) -> *mut T {
        self.at.cast()
    }

    /// Where it begins.
    pub(crate) fn address(&self) -> usize {
        self.at.addr()
    }

    /// What is in it.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: The mapping is ours, readable, and nobody writes to it while `self` is borrowed.
        unsafe { core::slice::from_raw_parts(self.at.cast(), self.len) }
    }

    /// The same to write to; ends the process while it is read-only.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: As above, and nobody else has it while `self` is borrowed.
        unsafe { core::slice::from_raw_parts_mut(self.at.cast(), self.len) }
    }

    /// Cuts it in two; a part that is dropped is unmapped.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        assert!(at.is_multiple_of(super::PAGE) && at <= self.len);
        let rest = Self {
            at: self.at.wrapping_byte_add(at),
            len: self.len - at,
        };
        self.len = at;
        rest
    }

    /// Makes it read-only, or writable again.
    pub(crate) fn protect(&mut self, writable: bool) -> Result<()> {
        let mut access = MprotectFlags::READ;
        access.set(MprotectFlags::WRITE, writable);
        // SAFETY: The mapping is ours and not borrowed.
        unsafe { mprotect(self.at, self.len, access) }.context("mprotect")
    }

    /// Gives the kernel advice that may change what is in it.
    pub(crate) fn advise(&mut self, advice: Advice) -> Result<()> {
        // SAFETY: The mapping is ours and not borrowed.
        unsafe { madvise(self.at, self.len, advice) }.with_context(|| format!("{advice:?}"))
    }

    /// Makes it larger, wherever there is room.
    pub(crate) fn grow(&mut self, len: usize) -> Result<()> {
        // SAFETY: The mapping is ours and not borrowed, so that it may move.
        let at = unsafe { mremap(self.at, self.len, len, MremapFlags::MAYMOVE) };
        (self.at, self.len) = (at.context("mremap")?, len);
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.len == 0 {
            return;
        }
        // SAFETY: The mapping is ours and nothing borrows from it.
        if let Err(error) = unsafe { munmap(self.at, self.len) } {
            eprintln!("munmap: {error}");
        }
    }
}

/// Moves the end of the heap and returns where it was, as `sbrk(3)` does. Nobody else may use the heap meanwhile.
pub(crate) fn move_break(by: isize) -> Result<usize> {
    // SAFETY: The caller takes back only what it added, and the C library notices that the break moved.
    let before = unsafe { nix::libc::sbrk(by) };
    if before.addr() == usize::MAX {
        return Err(std::io::Error::last_os_error()).context("sbrk");
    }
    Ok(before.addr())
}

/// What is in the heap from `at` on, which [`move_break`] added.
pub(crate) fn heap(at: usize, len: usize) -> &'static mut [u8] {
    // SAFETY: The caller added this piece and has it once.
    unsafe { core::slice::from_raw_parts_mut(ptr::with_exposed_provenance_mut(at), len) }
}

/// Puts the pages of `bytes` themselves, not a copy, into a pipe.
pub(crate) fn splice_out(pipe: std::os::fd::BorrowedFd<'_>, bytes: &[u8]) -> Result<usize> {
    use std::os::fd::AsRawFd;
    let piece = nix::libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: The kernel reads one descriptor of a piece, whose memory it only refers to.
    let sent = unsafe { nix::libc::vmsplice(pipe.as_raw_fd(), &raw const piece, 1, 0) };
    usize::try_from(sent)
        .map_err(|_| anyhow::Error::from(std::io::Error::last_os_error()).context("vmsplice"))
}
