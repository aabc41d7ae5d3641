// SPDX-License-Identifier: GPL-2.0
//! Disturbances by a thread of the same process, on another CPU of the place.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use rustix::mm::Advice;
use rustix::thread::{membarrier as barrier, MembarrierCommand};

use crate::measure::{Meter, NotHere};
use crate::sites;
use crate::sys::memory::{Access, Pages, Region, PAGE};
use crate::sys::process::forked;

/// Bytes of a mapping of several pages.
const SOME: usize = 16 * PAGE;

/// Has a thread compute on the last CPU while `op` disturbs it from the first.
fn beside(meter: &mut Meter, op: impl FnMut(u64) -> Result<()>) -> Result<()> {
    let (own, victims) = (meter.first()?, meter.last()?);
    ensure!(own != victims, NotHere("it takes two CPUs".to_owned()));
    let (words, mode) = (meter.victims(), meter.mode());
    let words = *words.first().context("no words for the victim")?;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let victim = scope.spawn(|| {
            let confined = sites::confine(&[victims]);
            super::compute(words, mode, || is_over.load(Ordering::Relaxed));
            confined
        });
        let disturbed = sites::confine(&[own]).and_then(|()| {
            while words.done().load(Ordering::Relaxed) == 0 && !victim.is_finished() {
                std::thread::sleep(Duration::from_millis(1));
            }
            meter.disturb(op)
        });
        is_over.store(true, Ordering::Relaxed);
        let victim = victim.join();
        disturbed?;
        victim.unwrap_or_else(|_| Err(anyhow::anyhow!("the victim panicked")))
    })
}

pub(super) fn empty(meter: &mut Meter) -> Result<()> {
    beside(meter, |_| Ok(()))
}

pub(super) fn munmap(meter: &mut Meter) -> Result<()> {
    beside(meter, |_| {
        let mut region = Region::advised(SOME, Pages::Small)?;
        region.touch(PAGE);
        region.unmap()
    })
}

pub(super) fn mprotect(meter: &mut Meter) -> Result<()> {
    let mut region = Region::advised(SOME, Pages::Small)?;
    beside(meter, |_| {
        region.touch(PAGE);
        region.protect_part(0, SOME, Access::ReadOnly)?;
        region.protect_part(0, SOME, Access::ReadWrite)
    })
}

pub(super) fn dontneed(meter: &mut Meter) -> Result<()> {
    let mut region = Region::advised(SOME, Pages::Small)?;
    beside(meter, |_| {
        region.touch(PAGE);
        region.advise(Advice::LinuxDontNeed)
    })
}

pub(super) fn fork(meter: &mut Meter) -> Result<()> {
    beside(meter, |_| forked(|| 0)?.finish())
}

pub(super) fn membarrier(meter: &mut Meter) -> Result<()> {
    barrier(MembarrierCommand::RegisterPrivateExpedited)?;
    beside(meter, |_| Ok(barrier(MembarrierCommand::PrivateExpedited)?))
}

pub(super) fn create_join(meter: &mut Meter) -> Result<()> {
    beside(meter, |number| {
        let builder = std::thread::Builder::new().stack_size(64 << 10);
        let got = builder.spawn(move || number)?.join();
        ensure!(
            got.is_ok_and(|got| got == number),
            "a thread's result got lost"
        );
        Ok(())
    })
}
