// SPDX-License-Identifier: GPL-2.0
//! Restartable sequences: the kernel writes the CPU of a thread to memory of the thread.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;

/// Which of the C library's own tunables has it leave the area to us.
pub(crate) const LEFT_TO_US: (&str, &str) = ("GLIBC_TUNABLES", "glibc.pthread.rseq=0");

/// `struct rseq`, its first version.
#[repr(C, align(32))]
struct Words {
    cpu_start: AtomicU32,
    cpu: AtomicU32,
    rest: [AtomicU32; 6],
}

/// The area of the calling thread.
pub(crate) struct Area(&'static Words);

impl Area {
    /// Registers it; it stays for as long as the thread lives.
    pub(crate) fn register() -> Result<Area> {
        const SIGNATURE: u32 = 0x5305_3053;
        let words: &'static Words = Box::leak(Box::new(Words {
            cpu_start: AtomicU32::new(0),
            cpu: AtomicU32::new(u32::MAX),
            rest: [const { AtomicU32::new(0) }; 6],
        }));
        // SAFETY: The area is never freed, and holds atomics, as the kernel writes to it at any time.
        let result = unsafe {
            libc::syscall(
                libc::SYS_rseq,
                core::ptr::from_ref(words),
                size_of::<Words>(),
                0,
                SIGNATURE,
            )
        };
        Errno::result(result).context("rseq")?;
        Ok(Area(words))
    }

    /// Both numbers of the CPU as the kernel wrote them last.
    pub(crate) fn cpus(&self) -> [usize; 2] {
        // ORDERING: Relaxed: this thread is interrupted for each write. CAST: CPUs have small numbers.
        [&self.0.cpu_start, &self.0.cpu].map(|cpu| cpu.load(Ordering::Relaxed) as usize)
    }
}
