// SPDX-License-Identifier: GPL-2.0
//! The locks of what changes rarely: one is held for moments, the other as long as a change of partitions takes.
//!
//! Nobody has to wait for either to leave it something to do: it goes to the [backlog](Guarded::has_backlog), and whoever
//! holds the lock, or else whoever left it, [works it off](Guarded::work_off).

use super::bindings;
use core::{
    cell::UnsafeCell,
    ops::{Deref, DerefMut},
    sync::atomic::{fence, Ordering::SeqCst},
};
use kernel::error::{to_result, Result};

/// A mutex of `c/init.c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Lock {
    /// Who has which CPU and which memory, for moments.
    State = bindings::LWK_LOCK_STATE,
    /// Changes of partitions, which may take minutes. Taken first.
    Change = bindings::LWK_LOCK_CHANGE,
}

/// What one of the locks guards; one static value for each lock, as two would dead-lock with each other.
pub(crate) trait Guarded: Send {
    /// Its lock.
    const LOCK: Lock;

    /// Whether somebody left something to do; looked at with and without the lock.
    fn has_backlog() -> bool;

    /// Does all of it; then the backlog is empty, unless somebody has left more since.
    fn work_off(&mut self);
}

/// A static value behind its lock.
pub(crate) struct Control<T> {
    value: UnsafeCell<T>,
}

// SAFETY: The value is reached only through `Held`, of which at most one exists, as the lock is exclusive.
unsafe impl<T: Send> Sync for Control<T> {}

impl<T: Guarded> Control<T> {
    /// Wraps `value`; evaluated at build time, as the value may be larger than a kernel stack.
    pub(crate) const fn new(value: T) -> Self {
        Self {
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the lock; may sleep. For those who cannot be told that they are killed.
    pub(crate) fn lock(&self) -> Held<'_, T> {
        // SAFETY: The mutex is static; all callers are in process context, as the entry doors say.
        unsafe { bindings::lwk_c_lock(T::LOCK as u32) };
        self.held()
    }

    /// Takes the lock; may sleep.
    ///
    /// # Errors
    ///
    /// `EINTR` if the caller is killed.
    pub(crate) fn lock_killable(&self) -> Result<Held<'_, T>> {
        // SAFETY: As above.
        to_result(unsafe { bindings::lwk_c_lock_killable(T::LOCK as u32) })?;
        Ok(self.held())
    }

    /// The lock was taken: what was left comes first, so that nobody ever sees it undone.
    fn held(&self) -> Held<'_, T> {
        let mut held = Held { control: self };
        if T::has_backlog() {
            held.work_off();
        }
        held
    }

    /// Sees to it that the backlog, to which the caller has added, is worked off; does not wait for the lock.
    pub(crate) fn nudge(&self) {
        loop {
            // ORDERING: SeqCst: whoever adds to the backlog finds the lock free after this, or its holder finds the
            // backlog after the same fence, when the lock is free.
            fence(SeqCst);
            if !T::has_backlog() {
                return;
            }
            // SAFETY: As above.
            if !unsafe { bindings::lwk_c_try_lock(T::LOCK as u32) } {
                return;
            }
            let mut held = core::mem::ManuallyDrop::new(Held { control: self });
            held.work_off();
            // SAFETY: Taken above. Not by dropping `held`, which would come here again.
            unsafe { bindings::lwk_c_unlock(T::LOCK as u32) };
        }
    }
}

/// A lock, held.
pub(crate) struct Held<'a, T: Guarded> {
    control: &'a Control<T>,
}

impl<T: Guarded> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The lock is held for as long as `self` lives.
        unsafe { &*self.control.value.get() }
    }
}

impl<T: Guarded> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: The lock is held and exclusive for as long as `self` lives, and `self` is borrowed mutably.
        unsafe { &mut *self.control.value.get() }
    }
}

impl<T: Guarded> Drop for Held<'_, T> {
    fn drop(&mut self) {
        // SAFETY: `self` stands for the lock taken in `Control`.
        unsafe { bindings::lwk_c_unlock(T::LOCK as u32) };
        self.control.nudge();
    }
}
