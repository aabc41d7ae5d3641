// SPDX-License-Identifier: GPL-2.0
//! Calls of System V IPC and POSIX message queues.

use anyhow::Result;

use super::Between;
use crate::sys::calls;
use crate::sys::ipc::{through_posix_queue, Queue, Semaphore};
use crate::sys::map::Mapping;

const TEXT: [u8; 16] = *b"0123456789abcdef";

/// All of them.
pub(super) fn ipc(_: &[&str]) -> Result<()> {
    let mut marked = Between::begin();
    let segment = calls::make_segment(1 << 16)?;
    let mut memory = Mapping::of_segment(segment, 1 << 16)?;
    memory.bytes_mut().fill(5);
    marked.say(memory.bytes()[4096]);
    memory.detach()?;
    calls::remove_segment(segment)?;
    let queue = Queue::new()?;
    queue.send(TEXT)?;
    marked.say(queue.receive()?);
    drop(queue);
    let semaphore = Semaphore::new()?;
    semaphore.add(3)?;
    semaphore.add(-2)?;
    marked.say(semaphore.value()?);
    drop(semaphore);
    marked.say(through_posix_queue(c"/calls", TEXT)?);
    marked.end();
    Ok(())
}
