// SPDX-License-Identifier: GPL-2.0
//! The device node and what its open files hold.

use super::{bindings, job::Job, job::JobRef};
use core::{cell::UnsafeCell, ffi::CStr, mem::MaybeUninit, ptr};
use kernel::{
    error::{to_result, Result},
    sync::Arc,
};

/// The handlers of `/dev/lwk`, doors in `entry.rs`.
pub(crate) struct Handlers {
    /// `ioctl(2)`.
    pub(crate) ioctl: unsafe extern "C" fn(
        *mut bindings::file,
        kernel::ffi::c_uint,
        kernel::ffi::c_ulong,
    ) -> kernel::ffi::c_long,
    /// The last `close(2)`.
    pub(crate) release:
        unsafe extern "C" fn(*mut bindings::inode, *mut bindings::file) -> kernel::ffi::c_int,
}

/// A static that C may write.
#[repr(transparent)]
struct ForC<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: Written once at boot before C learns of it; afterwards only C uses it, under its own locks.
unsafe impl<T> Sync for ForC<T> {}

static FOPS: ForC<bindings::file_operations> = ForC(UnsafeCell::new(MaybeUninit::zeroed()));
static DEVICE: ForC<bindings::miscdevice> = ForC(UnsafeCell::new(MaybeUninit::zeroed()));

const NAME: &CStr = c"lwk";
/// Root and the group of the device; nobody else.
const MODE: u16 = 0o660;
/// `MISC_DYNAMIC_MINOR` of `linux/miscdevice.h`.
const DYNAMIC_MINOR: i32 = 255;

/// Makes the device node appear; once, at boot.
///
/// # Errors
///
/// What `misc_register()` says.
pub(crate) fn register(handlers: &Handlers) -> Result {
    let fops: *mut bindings::file_operations = FOPS.0.get().cast();
    let device: *mut bindings::miscdevice = DEVICE.0.get().cast();
    // SAFETY: All-zero is valid for both, nobody else uses them yet, and they live for ever.
    unsafe {
        (*fops).unlocked_ioctl = Some(handlers.ioctl);
        // The ABI has one layout for 32-bit and 64-bit programs.
        (*fops).compat_ioctl = Some(handlers.ioctl);
        (*fops).release = Some(handlers.release);
        (*device).minor = DYNAMIC_MINOR;
        (*device).name = NAME.as_ptr().cast();
        (*device).fops = fops;
        (*device).mode = MODE;
    }
    // SAFETY: The device is complete and static.
    to_result(unsafe { bindings::misc_register(device) })
}

/// One open file of the device.
///
/// # Invariants
///
/// `raw` points to a live file of ours; its `private_data` is null, our device (as `misc_open()` leaves it) or came from `Arc::<Job>::into_raw` and holds a
/// reference, and is used only under the lock of the state or by the last `close(2)`.
pub(crate) struct File {
    raw: *mut bindings::file,
}

impl File {
    /// Wraps a file.
    ///
    /// # Safety
    ///
    /// `raw` must point to a file of ours that lives as long as the result, and the caller must hold the lock of the state
    /// or be the last `close(2)` whenever it uses the result.
    pub(crate) unsafe fn from_raw(raw: *mut bindings::file) -> Self {
        // INVARIANT: `private_data` starts as `misc_open()` leaves it.
        Self { raw }
    }

    fn slot(&self) -> *mut *const Job {
        // SAFETY: By the type invariant.
        unsafe { ptr::addr_of_mut!((*self.raw).private_data) }.cast()
    }

    /// The job that this file reserved.
    pub(crate) fn job(&self) -> Option<JobRef> {
        // SAFETY: By the type invariant.
        let raw = unsafe { *self.slot() };
        if raw.is_null() || ptr::eq(raw.cast(), DEVICE.0.get()) {
            return None;
        }
        // SAFETY: By the type invariant the file has a reference, which stays with it.
        let job = unsafe { core::mem::ManuallyDrop::new(Arc::from_raw(raw)) };
        Some(JobRef::clone(&job))
    }

    /// Ties a job to this file, which has none.
    pub(crate) fn set_job(&self, job: JobRef) {
        // SAFETY: By the type invariant.
        unsafe { *self.slot() = Arc::into_raw(job) };
    }

    /// Takes the job from this file.
    pub(crate) fn take_job(&self) -> Option<JobRef> {
        let job = self.job()?;
        // SAFETY: `job()` found a pointer with a reference of the file's own, which ends here.
        unsafe { drop(Arc::from_raw(ptr::replace(self.slot(), ptr::null()))) };
        Some(job)
    }
}
