// SPDX-License-Identifier: GPL-2.0
//! System V message queues and semaphores, POSIX message queues.

use core::ffi::{c_int, CStr};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;

/// A System V message queue, which goes when this does.
pub(crate) struct Queue(c_int);

#[repr(C)]
struct Message {
    kind: libc::c_long,
    text: [u8; 16],
}

impl Queue {
    /// Makes one.
    pub(crate) fn new() -> Result<Queue> {
        // SAFETY: Integers only.
        let id = unsafe { libc::msgget(libc::IPC_PRIVATE, 0o600) };
        Ok(Queue(Errno::result(id).context("msgget")?))
    }

    /// Sends a message of 16 bytes.
    pub(crate) fn send(&self, text: [u8; 16]) -> Result<()> {
        let message = Message { kind: 1, text };
        // SAFETY: The message has as many bytes behind its kind as the call is told.
        let result = unsafe { libc::msgsnd(self.0, (&raw const message).cast(), 16, 0) };
        Errno::result(result).context("msgsnd").map(drop)
    }

    /// Receives one.
    pub(crate) fn receive(&self) -> Result<[u8; 16]> {
        let mut message = Message {
            kind: 0,
            text: [0; 16],
        };
        // SAFETY: As above.
        let result = unsafe { libc::msgrcv(self.0, (&raw mut message).cast(), 16, 0, 0) };
        Errno::result(result).context("msgrcv")?;
        Ok(message.text)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: IPC_RMID takes no buffer.
        if unsafe { libc::msgctl(self.0, libc::IPC_RMID, core::ptr::null_mut()) } != 0 {
            eprintln!("msgctl: {}", Errno::last());
        }
    }
}

/// A System V semaphore, which goes when this does.
pub(crate) struct Semaphore(c_int);

impl Semaphore {
    /// Makes one that is 0.
    pub(crate) fn new() -> Result<Semaphore> {
        // SAFETY: Integers only.
        let id = unsafe { libc::semget(libc::IPC_PRIVATE, 1, 0o600) };
        Ok(Semaphore(Errno::result(id).context("semget")?))
    }

    /// Adds to it, or waits until so much can be taken from it.
    pub(crate) fn add(&self, amount: i16) -> Result<()> {
        let mut operation = libc::sembuf {
            sem_num: 0,
            sem_op: amount,
            sem_flg: 0,
        };
        // SAFETY: One operation.
        let result = unsafe { libc::semop(self.0, &raw mut operation, 1) };
        Errno::result(result).context("semop").map(drop)
    }

    /// Its value.
    pub(crate) fn value(&self) -> Result<c_int> {
        // SAFETY: GETVAL takes no buffer.
        let value = unsafe { libc::semctl(self.0, 0, libc::GETVAL) };
        Errno::result(value).context("semctl")
    }
}

impl Drop for Semaphore {
    fn drop(&mut self) {
        // SAFETY: IPC_RMID takes no buffer.
        if unsafe { libc::semctl(self.0, 0, libc::IPC_RMID) } != 0 {
            eprintln!("semctl: {}", Errno::last());
        }
    }
}

/// Sends a message through a POSIX queue of its own and returns what came out.
pub(crate) fn through_posix_queue(name: &CStr, text: [u8; 16]) -> Result<[u8; 16]> {
    // SAFETY: An attribute structure of zeros is a valid one.
    let mut attributes: libc::mq_attr = unsafe { core::mem::zeroed() };
    (attributes.mq_maxmsg, attributes.mq_msgsize) = (2, 16);
    let flags = libc::O_CREAT | libc::O_RDWR;
    // SAFETY: Name and attributes live through the call.
    let queue = unsafe { libc::mq_open(name.as_ptr(), flags, 0o600, &raw mut attributes) };
    let queue = Errno::result(queue).context("mq_open")?;
    // SAFETY: The text has as many bytes as the call is told.
    let sent = unsafe { libc::mq_send(queue, text.as_ptr().cast(), text.len(), 0) };
    let mut back = [0; 16];
    // SAFETY: As above.
    let received = unsafe {
        libc::mq_receive(
            queue,
            back.as_mut_ptr().cast(),
            back.len(),
            core::ptr::null_mut(),
        )
    };
    // SAFETY: Nobody else has the descriptor.
    let closed = unsafe { libc::mq_close(queue) };
    // SAFETY: The name lives through the call.
    let unlinked = unsafe { libc::mq_unlink(name.as_ptr()) };
    Errno::result(sent).context("mq_send")?;
    Errno::result(received).context("mq_receive")?;
    Errno::result(closed).context("mq_close")?;
    Errno::result(unlinked).context("mq_unlink")?;
    Ok(back)
}
