// SPDX-License-Identifier: GPL-2.0
//! The one lock for what changes rarely: partitions, reservations, hotplug of LWK CPUs.

use super::bindings;
use core::{
    cell::UnsafeCell,
    ops::{Deref, DerefMut},
};

/// A static value behind the control lock (`lwk_mutex` of `c/init.c`).
///
/// All such values share the lock, so there must be only one: a second one would dead-lock with the first.
pub(crate) struct Control<T> {
    value: UnsafeCell<T>,
}

// SAFETY: The value is reached only through `Held`, of which at most one exists, as the lock is exclusive.
unsafe impl<T: Send> Sync for Control<T> {}

impl<T> Control<T> {
    /// Wraps `value`; evaluated at build time, as the value may be larger than a kernel stack.
    pub(crate) const fn new(value: T) -> Self {
        Self {
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the lock; may sleep.
    pub(crate) fn lock(&self) -> Held<'_, T> {
        // SAFETY: The mutex is static; all callers are in process context, as the entry doors say.
        unsafe { bindings::lwk_c_lock() };
        Held { control: self }
    }
}

/// The control lock, held.
pub(crate) struct Held<'a, T> {
    control: &'a Control<T>,
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The lock is held for as long as `self` lives.
        unsafe { &*self.control.value.get() }
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: The lock is held and exclusive for as long as `self` lives, and `self` is borrowed mutably.
        unsafe { &mut *self.control.value.get() }
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        // SAFETY: `self` stands for the lock taken in `Control::lock`.
        unsafe { bindings::lwk_c_unlock() };
    }
}
