// SPDX-License-Identifier: GPL-2.0
//! Private anonymous memory and the program break.

use core::ffi::c_void;

use anyhow::{ensure, Context, Result};
use nix::libc;
use rustix::io::Errno;
use rustix::mm::{
    madvise, mlock, mmap_anonymous, mprotect, mremap, munlock, munmap, Advice, MapFlags,
    MprotectFlags, MremapFlags, ProtFlags,
};

/// Bytes of a small page.
pub(crate) const PAGE: usize = 4096;
/// Bytes of a large page.
pub(crate) const LARGE: usize = 2 << 20;

/// What a mapping is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pages {
    /// Small pages only.
    Small,
    /// Transparent large pages.
    Thp,
    /// Pages of 2 MiB from the reserve of hugetlbfs.
    Hugetlb,
    /// What a pool of the LWK has, there before it is touched.
    Pool,
}

/// A mapping of private anonymous memory that this value owns.
///
/// # Invariants
///
/// `addr` and `len` are a mapping that nothing else uses, and no reference into it exists outside of the methods.
#[derive(Debug)]
pub(crate) struct Region {
    addr: *mut c_void,
    len: usize,
}

// SAFETY: The mapping belongs to the process, not to a thread.
unsafe impl Send for Region {}

impl Region {
    /// Maps `len` bytes that nobody has touched.
    ///
    /// # Errors
    ///
    /// If the kernel refuses, as it does without pages in reserve.
    pub(crate) fn map(len: usize, pages: Pages) -> Result<Self, Errno> {
        let flags = match pages {
            Pages::Hugetlb => MapFlags::PRIVATE | MapFlags::HUGETLB | MapFlags::HUGE_2MB,
            Pages::Small | Pages::Thp | Pages::Pool => MapFlags::PRIVATE,
        };
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: A null hint without MAP_FIXED replaces no mapping.
        let addr = unsafe { mmap_anonymous(core::ptr::null_mut(), len, protection, flags) }?;
        // INVARIANT: The mapping is new.
        Ok(Self { addr, len })
    }

    /// Maps `len` bytes with the advice that makes them be of these pages.
    pub(crate) fn advised(len: usize, pages: Pages) -> Result<Self> {
        let mut region = Self::map(len, pages).with_context(|| format!("mmap of {len} bytes"))?;
        match pages {
            Pages::Small => region.advise(Advice::LinuxNoHugepage)?,
            Pages::Thp => region.advise(Advice::LinuxHugepage)?,
            Pages::Hugetlb | Pages::Pool => {}
        }
        Ok(region)
    }

    /// Its size in bytes.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Where it is.
    pub(crate) fn addr(&self) -> usize {
        self.addr.addr()
    }

    /// Writes a byte.
    ///
    /// # Panics
    ///
    /// If it lies outside.
    #[inline(always)]
    pub(crate) fn write(&mut self, at: usize, value: u8) {
        assert!(at < self.len);
        // SAFETY: It lies within the mapping, by the type invariant nobody else uses that.
        unsafe {
            self.addr
                .cast::<u8>()
                .wrapping_add(at)
                .write_volatile(value)
        };
    }

    /// Reads a byte.
    ///
    /// # Panics
    ///
    /// If it lies outside.
    #[inline(always)]
    pub(crate) fn read(&self, at: usize) -> u8 {
        assert!(at < self.len);
        // SAFETY: It lies within the mapping, which is readable.
        unsafe { self.addr.cast::<u8>().wrapping_add(at).read_volatile() }
    }

    /// Writes a byte to each step of that many bytes.
    #[inline(always)]
    pub(crate) fn touch(&mut self, step: usize) {
        for at in (0..self.len).step_by(step) {
            self.write(at, 1);
        }
    }

    /// Gives advice on all of it.
    pub(crate) fn advise(&mut self, advice: Advice) -> Result<()> {
        self.advise_part(0, self.len, advice)
    }

    /// Gives advice on a part of it.
    pub(crate) fn advise_part(&mut self, at: usize, len: usize, advice: Advice) -> Result<()> {
        let start = self.part(at, len)?;
        // SAFETY: The range is within the mapping, whose contents nobody else relies on.
        unsafe { madvise(start, len, advice) }.with_context(|| format!("madvise {advice:?}"))
    }

    /// Makes a part of it readable, and writable or not.
    pub(crate) fn protect_part(&mut self, at: usize, len: usize, writable: Access) -> Result<()> {
        let start = self.part(at, len)?;
        let flags = match writable {
            Access::ReadOnly => MprotectFlags::READ,
            Access::ReadWrite => MprotectFlags::READ | MprotectFlags::WRITE,
        };
        // SAFETY: The range is within the mapping; a forbidden write ends the process and no more.
        unsafe { mprotect(start, len, flags) }.context("mprotect")
    }

    /// Moves or resizes it.
    pub(crate) fn resize(&mut self, len: usize) -> Result<()> {
        // SAFETY: The mapping is this value's alone, so no pointer to its old place is left.
        let addr = unsafe { mremap(self.addr, self.len, len, MremapFlags::MAYMOVE) };
        // INVARIANT: The old mapping is gone, the new one is as mremap says.
        (self.addr, self.len) = (addr.context("mremap")?, len);
        Ok(())
    }

    /// Locks it into memory and lets go of it again.
    pub(crate) fn lock_and_unlock(&mut self) -> Result<()> {
        // SAFETY: The range is the mapping.
        unsafe { mlock(self.addr, self.len) }.context("mlock")?;
        // SAFETY: The range is the mapping.
        unsafe { munlock(self.addr, self.len) }.context("munlock")
    }

    /// Unmaps it, telling of errors.
    pub(crate) fn unmap(self) -> Result<()> {
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: The mapping is this value's alone, and the value is gone.
        unsafe { munmap(this.addr, this.len) }.context("munmap")
    }

    fn part(&self, at: usize, len: usize) -> Result<*mut c_void> {
        ensure!(
            at.checked_add(len).is_some_and(|end| end <= self.len),
            "{len} bytes at {at} of {}",
            self.len
        );
        Ok(self.addr.wrapping_byte_add(at))
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: The mapping is this value's alone; an error would leave it mapped, which harms nobody.
        let _ = unsafe { munmap(self.addr, self.len) };
    }
}

/// What may be done with memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reading.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// Moves the program break up by `len` bytes and back: three calls, the first asks where it is.
pub(crate) fn brk_up_and_down(len: usize) -> Result<()> {
    let top = grow(len)?;
    shrink(top)
}

/// The same with a byte written to each page in between.
pub(crate) fn brk_up_touch_and_down(len: usize) -> Result<()> {
    let top = grow(len)?;
    for at in (0..len).step_by(PAGE) {
        // SAFETY: The memory is between the old and the new break; the C library, which may use the break too, is
        // not called in between.
        unsafe { core::ptr::with_exposed_provenance_mut::<u8>(top + at).write_volatile(1) };
    }
    shrink(top)
}

/// Returns where the break was.
fn grow(len: usize) -> Result<usize> {
    let top = brk(0);
    let got = brk(top + len);
    ensure!(got == top + len, "brk: no {len} bytes more");
    Ok(top)
}

fn shrink(top: usize) -> Result<()> {
    ensure!(brk(top) == top, "brk: cannot shrink");
    Ok(())
}

/// The raw call, which returns the break.
fn brk(to: usize) -> usize {
    // SAFETY: Callers only move the break up from where the C library has it, and back, with nothing of the library
    // in between.
    let result = unsafe { libc::syscall(libc::SYS_brk, to) };
    result.cast_unsigned() as usize
}
