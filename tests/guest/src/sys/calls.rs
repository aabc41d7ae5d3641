// SPDX-License-Identifier: GPL-2.0
//! System calls on memory that no crate wraps, on mappings of ours.

use core::ffi::{c_int, c_void};
use std::io::Error;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{ensure, Context, Result};
use nix::libc;
use nix::sys::signal::{sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal};

use super::map::Mapping;
use super::PAGE;

fn checked(result: libc::c_long, call: &'static str) -> Result<libc::c_long> {
    if result < 0 {
        return Err(Error::last_os_error()).context(call);
    }
    Ok(result)
}

/// The node of each page of a mapping, or a negative error number (`move_pages(2)` that moves nothing).
pub(crate) fn nodes(memory: &Mapping) -> Result<Vec<c_int>> {
    let pages = memory.bytes().chunks(PAGE).map(|page| page.as_ptr());
    let pages: Vec<*const u8> = pages.collect();
    let mut status = vec![0; pages.len()];
    // SAFETY: Both arrays have as many elements as the call is told.
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_pages,
            0,
            pages.len(),
            pages.as_ptr(),
            core::ptr::null::<c_int>(),
            status.as_mut_ptr(),
            0,
        )
    };
    checked(result, "move_pages")?;
    Ok(status)
}

/// What became of each page that was to go to a node.
pub(crate) fn move_to(memory: &Mapping, node: c_int) -> Result<Vec<c_int>> {
    const MPOL_MF_MOVE: c_int = 2;
    let pages = memory.bytes().chunks(PAGE).map(|page| page.as_ptr());
    let pages: Vec<*const u8> = pages.collect();
    let (wanted, mut status) = (vec![node; pages.len()], vec![0; pages.len()]);
    // SAFETY: All arrays have as many elements as the call is told.
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_pages,
            0,
            pages.len(),
            pages.as_ptr(),
            wanted.as_ptr(),
            status.as_mut_ptr(),
            MPOL_MF_MOVE,
        )
    };
    // A positive result says how many stayed.
    checked(result, "move_pages")?;
    Ok(status)
}

/// Sets the memory policy of a mapping.
pub(crate) fn mbind(memory: &mut Mapping, mode: c_int, nodes: u64) -> Result<()> {
    let bytes = memory.bytes_mut();
    // SAFETY: The mask has the bits that the call is told of; the policy changes no contents.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mbind,
            bytes.as_ptr(),
            bytes.len(),
            mode,
            &raw const nodes,
            64,
            0,
        )
    };
    checked(result, "mbind").map(drop)
}

/// Which pages of a mapping are there (`mincore(2)`).
pub(crate) fn resident(memory: &Mapping) -> Result<Vec<bool>> {
    let bytes = memory.bytes();
    let mut found = vec![0_u8; bytes.len() / PAGE];
    // SAFETY: There is a byte for each page.
    let result = unsafe {
        libc::mincore(
            bytes.as_ptr().cast_mut().cast(),
            bytes.len(),
            found.as_mut_ptr(),
        )
    };
    checked(result.into(), "mincore")?;
    Ok(found.iter().map(|byte| byte & 1 == 1).collect())
}

/// Locks a mapping into memory.
pub(crate) fn lock(memory: &Mapping) -> Result<()> {
    let bytes = memory.bytes();
    // SAFETY: Changes no contents.
    let result = unsafe { libc::mlock(bytes.as_ptr().cast(), bytes.len()) };
    checked(result.into(), "mlock").map(drop)
}

/// Makes a System V segment and returns its number.
pub(crate) fn make_segment(len: usize) -> Result<c_int> {
    // SAFETY: Integers only.
    let id = unsafe { libc::shmget(libc::IPC_PRIVATE, len, 0o600) };
    checked(id.into(), "shmget")?;
    Ok(id)
}

/// Removes one, which is gone when nobody is attached any more.
pub(crate) fn remove_segment(id: c_int) -> Result<()> {
    // SAFETY: IPC_RMID takes no buffer.
    let result = unsafe { libc::shmctl(id, libc::IPC_RMID, core::ptr::null_mut()) };
    checked(result.into(), "IPC_RMID").map(drop)
}

/// Registers a mapping as a buffer of a new io_uring, which pins its pages for as long as the descriptor lives.
pub(crate) fn register_buffer(memory: &mut Mapping) -> Result<OwnedFd> {
    const IORING_REGISTER_BUFFERS: c_int = 0;
    // struct io_uring_params; all zero is a good one.
    let mut params = [0_u8; 120];
    // SAFETY: The structure has 120 bytes.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, params.as_mut_ptr()) };
    let ring = checked(ring, "io_uring_setup")?;
    // SAFETY: The call just made it.
    let ring = unsafe { OwnedFd::from_raw_fd(c_int::try_from(ring)?) };
    let bytes = memory.bytes_mut();
    let piece = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: One piece, all of which is ours; the ring does nothing with it unless it is told to.
    let result = unsafe {
        libc::syscall(
            libc::SYS_io_uring_register,
            ring.as_raw_fd(),
            IORING_REGISTER_BUFFERS,
            &raw const piece,
            1,
        )
    };
    checked(result, "io_uring_register")?;
    Ok(ring)
}

static BARRIERS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn open_page(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: The kernel passes what it knows of the fault.
    let info = unsafe { &*info };
    // SAFETY: A fault has an address.
    let page = unsafe { info.si_addr() }.map_addr(|address| address & !(PAGE - 1));
    // SAFETY: The page is one of a mapping that waits for this.
    let result = unsafe { libc::mprotect(page, PAGE, libc::PROT_READ | libc::PROT_WRITE) };
    if result != 0 {
        // SAFETY: May be called from handlers.
        unsafe { libc::_exit(98) };
    }
    // ORDERING: Relaxed: read by the same thread.
    BARRIERS.fetch_add(1, Ordering::Relaxed);
}

/// Has a write to a read-only page open that page, as garbage collectors do, and returns how often that was so far.
pub(crate) fn write_barriers() -> Result<usize> {
    let action = SigAction::new(
        SigHandler::SigAction(open_page),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: The handler only calls what signal handlers may.
    unsafe { sigaction(Signal::SIGSEGV, &action) }.context("sigaction")?;
    // ORDERING: Relaxed, as above.
    Ok(BARRIERS.load(Ordering::Relaxed))
}

/// Gives a mapping a protection key that forbids writing; false if the CPU has none.
pub(crate) fn forbid_writing_by_key(memory: &mut Mapping) -> Result<Option<c_int>> {
    const PKEY_DISABLE_WRITE: c_int = 2;
    // SAFETY: Two integers.
    let key = unsafe { libc::syscall(libc::SYS_pkey_alloc, 0, PKEY_DISABLE_WRITE) };
    if key < 0 {
        return Ok(None);
    }
    let bytes = memory.bytes_mut();
    // SAFETY: The range is ours.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pkey_mprotect,
            bytes.as_mut_ptr(),
            bytes.len(),
            libc::PROT_READ | libc::PROT_WRITE,
            key,
        )
    };
    checked(result, "pkey_mprotect")?;
    Ok(Some(c_int::try_from(key)?))
}

/// A region whose first touches another thread answers (`userfaultfd(2)`), with each byte of a page set to `fill`.
/// Returns when `nr` pages were asked for.
pub(crate) fn answer_faults(
    memory: &Mapping,
    fill: u8,
    nr: usize,
) -> Result<impl FnOnce() -> Result<()>> {
    const UFFD_USER_MODE_ONLY: c_int = 1;
    const UFFDIO_API: u64 = 0xc018_aa3f;
    const UFFDIO_REGISTER: u64 = 0xc020_aa00;
    const UFFDIO_COPY: u64 = 0xc028_aa03;
    const MODE_MISSING: u64 = 1;
    // SAFETY: One integer.
    let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | UFFD_USER_MODE_ONLY) };
    let fd = checked(fd, "userfaultfd")?;
    // SAFETY: The call just made it.
    let fd = unsafe { OwnedFd::from_raw_fd(c_int::try_from(fd)?) };
    let mut api = [0xaa_u64, 0, 0];
    // SAFETY: `struct uffdio_api` has three words.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), UFFDIO_API, api.as_mut_ptr()) };
    checked(result.into(), "UFFDIO_API")?;
    let mut register = [
        memory.address() as u64,
        memory.bytes().len() as u64,
        MODE_MISSING,
        0,
    ];
    // SAFETY: `struct uffdio_register` has four words; the range is ours.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), UFFDIO_REGISTER, register.as_mut_ptr()) };
    checked(result.into(), "UFFDIO_REGISTER")?;
    Ok(move || {
        let page = vec![fill; PAGE];
        for _ in 0..nr {
            let mut message = [0_u8; 32];
            ensure!(
                rustix::io::read(&fd, &mut message)? == 32,
                "a short message"
            );
            let address = u64::from_ne_bytes(message[16..24].try_into()?) & !(PAGE as u64 - 1);
            let mut copy = [address, page.as_ptr() as u64, PAGE as u64, 0, 0];
            // SAFETY: `struct uffdio_copy` has five words; the kernel only fills pages of the registered range that
            // nobody has touched.
            let result = unsafe { libc::ioctl(fd.as_raw_fd(), UFFDIO_COPY, copy.as_mut_ptr()) };
            checked(result.into(), "UFFDIO_COPY")?;
        }
        Ok(())
    })
}
