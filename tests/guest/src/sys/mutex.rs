// SPDX-License-Identifier: GPL-2.0
//! A mutex of the C library in memory that processes share, robust and with priority inheritance: the kernel takes part
//! in both.

use core::mem::size_of;

use anyhow::{ensure, Context, Result};
use nix::errno::Errno;
use nix::libc;

use super::map::Mapping;
use super::PAGE;

/// The mutex; never destroyed, as others may hold it.
pub(crate) struct SharedMutex(Mapping);

// SAFETY: The mutex is made for use by any thread of any process, and the mapping lives as long as this.
unsafe impl Sync for SharedMutex {}

/// What came of locking it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locked {
    /// It was free, or its holder gave it back.
    Usually,
    /// Its holder died; what it guards is consistent again.
    AfterDeath,
}

fn check(result: libc::c_int, what: &'static str) -> Result<()> {
    // Threads' calls return their errors.
    if result != 0 {
        return Err(Errno::from_raw(result)).context(what);
    }
    Ok(())
}

impl SharedMutex {
    /// Makes it.
    pub(crate) fn new() -> Result<SharedMutex> {
        ensure!(size_of::<libc::pthread_mutex_t>() <= PAGE, "a large mutex");
        let memory = Mapping::shared(PAGE)?;
        // SAFETY: Attributes of zeros are given their values by the next call.
        let mut attributes: libc::pthread_mutexattr_t = unsafe { core::mem::zeroed() };
        let at = &raw mut attributes;
        // SAFETY: `at` points to attributes of ours, here and below.
        check(unsafe { libc::pthread_mutexattr_init(at) }, "attributes")?;
        // SAFETY: As above.
        let result =
            unsafe { libc::pthread_mutexattr_setpshared(at, libc::PTHREAD_PROCESS_SHARED) };
        check(result, "shared")?;
        // SAFETY: As above.
        let result = unsafe { libc::pthread_mutexattr_setrobust(at, libc::PTHREAD_MUTEX_ROBUST) };
        check(result, "robust")?;
        // SAFETY: As above.
        let result = unsafe { libc::pthread_mutexattr_setprotocol(at, libc::PTHREAD_PRIO_INHERIT) };
        check(result, "priority inheritance")?;
        let mutex = SharedMutex(memory);
        // SAFETY: The memory is large enough, aligned and used by nobody yet.
        check(unsafe { libc::pthread_mutex_init(mutex.at(), at) }, "mutex")?;
        Ok(mutex)
    }

    fn at(&self) -> *mut libc::pthread_mutex_t {
        self.0.pointer()
    }

    /// Locks it, however long that takes.
    pub(crate) fn lock(&self) -> Result<Locked> {
        // SAFETY: It was made in `new`.
        match unsafe { libc::pthread_mutex_lock(self.at()) } {
            libc::EOWNERDEAD => {
                // SAFETY: As above; this thread holds it.
                let result = unsafe { libc::pthread_mutex_consistent(self.at()) };
                check(result, "consistent")?;
                Ok(Locked::AfterDeath)
            }
            result => check(result, "lock").map(|()| Locked::Usually),
        }
    }

    /// Tries to lock it for so long; whether it did.
    pub(crate) fn lock_within(&self, limit: core::time::Duration) -> Result<bool> {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        let ns = now.tv_nsec + i64::from(limit.subsec_nanos());
        let until = libc::timespec {
            tv_sec: now.tv_sec + i64::try_from(limit.as_secs())? + ns / 1_000_000_000,
            tv_nsec: ns % 1_000_000_000,
        };
        // SAFETY: It was made in `new`, and the time lives through the call.
        match unsafe { libc::pthread_mutex_timedlock(self.at(), &raw const until) } {
            libc::ETIMEDOUT => Ok(false),
            result => check(result, "lock").map(|()| true),
        }
    }

    /// Gives it back.
    pub(crate) fn unlock(&self) -> Result<()> {
        // SAFETY: It was made in `new`; if another thread holds it the call says so.
        check(unsafe { libc::pthread_mutex_unlock(self.at()) }, "unlock")
    }
}
