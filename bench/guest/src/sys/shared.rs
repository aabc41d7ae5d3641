// SPDX-License-Identifier: GPL-2.0
//! Memory that this program shares with those it starts.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::AtomicU64;

use anyhow::{ensure, Context, Result};
use rustix::fs::{ftruncate, memfd_create, MemfdFlags};
use rustix::mm::{mmap, MapFlags, ProtFlags};

/// How many computing programs there may be.
const VICTIMS: usize = 3;

/// How many quanta of work each of them remembers the times of.
pub(crate) const QUANTA: usize = 4096;

/// Words before the times: a page.
const HEAD: usize = 512;

/// How many numbers are shared.
const WORDS: usize = HEAD + VICTIMS * QUANTA;

/// What each number is; processes of one window use different ones, cache line by cache line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// How many windows were closed.
    Closed,
    /// How many quanta of work the computing program of this number has done.
    Progress(usize),
    /// How many ticks a quantum of that program took; the newest overwrite the oldest.
    Quantum(usize, u64),
}

impl Word {
    const fn index(self) -> usize {
        match self {
            Self::Closed => 0,
            // A cache line holds eight words.
            Self::Progress(number) => 8 + number * 8,
            // CAST: The remainder is less than QUANTA.
            Self::Quantum(number, count) => {
                HEAD + number * QUANTA + (count % QUANTA as u64) as usize
            }
        }
    }
}

/// The shared memory.
#[derive(Debug)]
pub(crate) struct Shared {
    words: &'static [AtomicU64; WORDS],
    file: OwnedFd,
}

impl Shared {
    /// Makes one of zeros; programs started later inherit it.
    pub(crate) fn create() -> Result<Self> {
        let file = memfd_create("bench-guest", MemfdFlags::empty()).context("memfd_create")?;
        ftruncate(&file, (WORDS * 8) as u64).context("ftruncate")?;
        Self::map(file)
    }

    /// Takes the one with the number of [`Self::number`], inherited.
    pub(crate) fn inherit(number: i32) -> Result<Self> {
        let path = format!("/proc/self/fd/{number}");
        let file = File::options().read(true).write(true).open(&path);
        let file = file.with_context(|| format!("the shared memory {path}"))?;
        ensure!(
            file.metadata()?.len() == (WORDS * 8) as u64,
            "{path} is not the shared memory"
        );
        Self::map(file.into())
    }

    fn map(file: OwnedFd) -> Result<Self> {
        // SAFETY: A null hint without MAP_FIXED replaces no mapping.
        let addr = unsafe {
            mmap(
                core::ptr::null_mut(),
                WORDS * 8,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                file.as_fd(),
                0,
            )
        };
        let addr = addr.context("mmap of the shared memory")?;
        // SAFETY: The mapping has this size and alignment, is never unmapped, its file is never truncated, and all
        // processes only use it through atomics.
        let words = unsafe { &*addr.cast::<[AtomicU64; WORDS]>() };
        Ok(Self { words, file })
    }

    /// The descriptor's number for [`Self::inherit`].
    pub(crate) fn number(&self) -> i32 {
        self.file.as_raw_fd()
    }

    /// The words of a computing program.
    pub(crate) fn victim(&self, number: usize) -> Victim {
        Victim {
            words: self.words,
            number,
        }
    }

    /// One of the numbers.
    ///
    /// # Panics
    ///
    /// If there are more computing programs than there is room for.
    pub(crate) fn word(&self, word: Word) -> &'static AtomicU64 {
        &self.words[word.index()]
    }
}

/// The words of one computing program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Victim {
    words: &'static [AtomicU64; WORDS],
    number: usize,
}

impl Victim {
    /// How many quanta it has done.
    pub(crate) fn done(&self) -> &'static AtomicU64 {
        &self.words[Word::Progress(self.number).index()]
    }

    /// Where the time of the quantum of this number goes.
    pub(crate) fn time(&self, count: u64) -> &'static AtomicU64 {
        &self.words[Word::Quantum(self.number, count).index()]
    }
}
