// SPDX-License-Identifier: GPL-2.0
//! Reads and writes that no safe wrapper allows.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::libc;

use super::lwk::BAD_ADDRESSES;

/// Reads to where no memory is and returns the error.
pub(crate) fn read_to_nowhere(file: &impl AsFd) -> nix::Result<usize> {
    // CAST: x86-64 only; the addresses have 64 bits.
    let at = core::ptr::without_provenance_mut(BAD_ADDRESSES[0] as usize);
    // SAFETY: No mapping exists there, so the kernel can write nothing of ours.
    let result = unsafe { libc::read(file.as_fd().as_raw_fd(), at, 1) };
    Errno::result(result).map(isize::unsigned_abs)
}
