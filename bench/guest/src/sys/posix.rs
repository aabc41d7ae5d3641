// SPDX-License-Identifier: GPL-2.0
//! Thread services that only the C library offers.

use core::cell::UnsafeCell;

use anyhow::{ensure, Context, Result};
use nix::errno::Errno;
use nix::libc;

/// A POSIX semaphore.
pub(crate) struct Semaphore(Box<UnsafeCell<libc::sem_t>>);

// SAFETY: The functions of a semaphore may be called by several threads at once.
unsafe impl Sync for Semaphore {}

impl Semaphore {
    /// Makes one with this value for the threads of this process.
    pub(crate) fn new(value: u32) -> Result<Self> {
        // SAFETY: All zeros is a valid sem_t, which sem_init overwrites.
        let semaphore = Self(Box::new(UnsafeCell::new(unsafe { core::mem::zeroed() })));
        // SAFETY: The pointer is to a sem_t that lives as long as `semaphore` and does not move.
        Errno::result(unsafe { libc::sem_init(semaphore.0.get(), 0, value) })
            .context("sem_init")?;
        Ok(semaphore)
    }

    /// Adds one.
    pub(crate) fn post(&self) -> Result<()> {
        // SAFETY: `new` initialised it.
        Errno::result(unsafe { libc::sem_post(self.0.get()) }).context("sem_post")?;
        Ok(())
    }

    /// Takes one, waiting for it.
    pub(crate) fn wait(&self) -> Result<()> {
        // SAFETY: `new` initialised it.
        Errno::result(unsafe { libc::sem_wait(self.0.get()) }).context("sem_wait")?;
        Ok(())
    }
}

impl Drop for Semaphore {
    fn drop(&mut self) {
        // SAFETY: `new` initialised it and nobody can wait on it any more: that would take a borrow.
        unsafe { libc::sem_destroy(self.0.get()) };
    }
}

/// A key for values of each thread.
pub(crate) struct Key(libc::pthread_key_t);

impl Key {
    /// Makes a key.
    pub(crate) fn new() -> Result<Self> {
        let mut key = 0;
        // SAFETY: `key` is a valid place for the result, and there is no destructor.
        let result = unsafe { libc::pthread_key_create(&mut key, None) };
        ensure!(
            result == 0,
            "pthread_key_create: {}",
            Errno::from_raw(result)
        );
        Ok(Self(key))
    }

    /// Sets this thread's value.
    pub(crate) fn set(&self, value: usize) -> Result<()> {
        // SAFETY: The key exists; the value is never used as a pointer.
        let result =
            unsafe { libc::pthread_setspecific(self.0, core::ptr::without_provenance(value)) };
        ensure!(
            result == 0,
            "pthread_setspecific: {}",
            Errno::from_raw(result)
        );
        Ok(())
    }

    /// Returns this thread's value, 0 if it has none.
    pub(crate) fn get(&self) -> usize {
        // SAFETY: The key exists.
        unsafe { libc::pthread_getspecific(self.0) }.addr()
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: The key exists and cannot be used any more.
        unsafe { libc::pthread_key_delete(self.0) };
    }
}

/// Asks for the actions of a signal, which changes none.
pub(crate) fn sigaction_query() -> Result<()> {
    // SAFETY: All zeros is a valid sigaction, which the call overwrites.
    let mut old: libc::sigaction = unsafe { core::mem::zeroed() };
    // SAFETY: `old` is a valid place for the result; no new action is given.
    let result = unsafe { libc::sigaction(libc::SIGUSR1, core::ptr::null(), &mut old) };
    Errno::result(result).context("sigaction")?;
    Ok(())
}

/// The time by a system call, without the short cut through the vDSO.
pub(crate) fn clock_gettime_syscall() -> Result<i64> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for the result.
    let result = unsafe {
        libc::syscall(
            libc::SYS_clock_gettime,
            libc::CLOCK_MONOTONIC,
            &raw mut time,
        )
    };
    Errno::result(result).context("clock_gettime")?;
    Ok(time.tv_sec)
}
