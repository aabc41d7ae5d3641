// SPDX-License-Identifier: GPL-2.0
//! What needs `unsafe`: forking, mapping memory, socket filters and the ioctls of `/dev/lwk`, each behind a safe function.

pub(crate) mod bpf;
pub(crate) mod calls;
pub(crate) mod fuzz;
pub(crate) mod io;
pub(crate) mod ipc;
pub(crate) mod limits;
pub(crate) mod lwk;
pub(crate) mod map;
pub(crate) mod mutex;
pub(crate) mod process;
pub(crate) mod ring;
pub(crate) mod rseq;
pub(crate) mod sched;
pub(crate) mod scx;
pub(crate) mod seccomp;
pub(crate) mod signal;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;
use nix::unistd::{fork, ForkResult, Pid};
use rustix::mm::{madvise, mmap_anonymous, munmap, Advice, MapFlags, ProtFlags};

/// Bytes of a small page.
pub(crate) const PAGE: usize = 4096;

/// Runs `child` in a forked process and returns its process id at once.
///
/// # Errors
///
/// If this process has more than one thread (the child could then wait for a lock for ever) or fork fails.
pub(crate) fn spawn(child: impl FnOnce() -> u8) -> Result<Pid> {
    let threads = std::fs::read_dir("/proc/self/task")
        .context("/proc/self/task")?
        .count();
    anyhow::ensure!(threads == 1, "fork from a process with {threads} threads");
    // SAFETY: This process has one thread, checked above, so the child may use locks and the allocator.
    match unsafe { fork() }.context("fork")? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(101);
            std::process::exit(i32::from(code))
        }
    }
}

/// Has the kernel compile a BPF program that accepts everything, and attaches it to a socket.
pub(crate) fn attach_filter(socket: &impl AsFd) -> Result<()> {
    let mut code = [libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: 0xffff,
    }];
    let program = libc::sock_fprog {
        len: 1,
        filter: code.as_mut_ptr(),
    };
    // SAFETY: The kernel reads the program and its instruction, which live through the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of_val(&program) as u32,
        )
    };
    Errno::result(result).context("SO_ATTACH_FILTER")?;
    Ok(())
}

/// A private anonymous mapping of small pages that nobody has touched yet.
pub(crate) struct FreshPages {
    addr: *mut core::ffi::c_void,
    pages: usize,
}

impl FreshPages {
    /// Maps `pages` pages, with transparent huge pages off so that each costs one fault.
    pub(crate) fn map(pages: usize) -> Result<FreshPages> {
        let len = pages * PAGE;
        // SAFETY: A null address hint with no MAP_FIXED cannot replace a mapping in use.
        let addr = unsafe {
            mmap_anonymous(
                core::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        }
        .context("mmap")?;
        let mapping = FreshPages { addr, pages };
        // SAFETY: The range is exactly the mapping made above; the advice changes no contents.
        unsafe { madvise(addr, len, Advice::LinuxNoHugepage) }.context("madvise NOHUGEPAGE")?;
        Ok(mapping)
    }

    /// Lets the kernel replace the pages by large ones.
    pub(crate) fn allow_large(&self) -> Result<()> {
        // SAFETY: The range is exactly the mapping that `self` owns; the advice changes no contents.
        unsafe { madvise(self.addr, self.pages * PAGE, Advice::LinuxHugepage) }
            .context("madvise HUGEPAGE")
    }

    /// Writes one byte to each page.
    pub(crate) fn touch(&mut self) {
        for page in 0..self.pages {
            let byte = self.addr.cast::<u8>().wrapping_add(page * PAGE);
            // SAFETY: `byte` lies within the mapping that `self` owns, which is writable.
            unsafe { byte.write_volatile(1) };
        }
    }
}

impl Drop for FreshPages {
    fn drop(&mut self) {
        // SAFETY: The mapping is ours and nothing borrows from it.
        if let Err(error) = unsafe { munmap(self.addr, self.pages * PAGE) } {
            eprintln!("munmap: {error}");
        }
    }
}

/// Duplicates a descriptor without the close-on-exec flag, so that a program run later inherits it.
pub(crate) fn inheritable(fd: BorrowedFd<'_>) -> Result<std::os::fd::OwnedFd> {
    rustix::io::dup(fd).context("dup")
}

/// Ends the calling thread and leaves the others of its process running.
pub(crate) fn exit_thread() -> ! {
    // SAFETY: The call takes one integer, does not return and frees no memory that others use; this thread's stack
    // stays mapped.
    unsafe { nix::libc::syscall(nix::libc::SYS_exit, 0) };
    unreachable!("exit returned")
}
