// SPDX-License-Identifier: GPL-2.0
//! The counters of one vCPU.
//!
//! Only the thread that runs the vCPU writes the counters, so plain loads and stores of atomics do; the thread that
//! opens or closes a window reads them and keeps the difference.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicU8, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bench_record::counts;

use crate::block::Block;
use crate::code::Code;
use crate::gate::Gate;
use crate::stacks::{From, Stacks};
use crate::symbols::Symbols;

/// One vCPU, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Vcpu {
    /// Instructions in user mode since power-on.
    user: AtomicU64,
    /// Instructions in kernel mode since power-on.
    kernel: AtomicU64,
    /// Whether the last block was the kernel's.
    in_kernel: AtomicBool,
    /// The `%gs` base in place, of [`gs`].
    gs: AtomicU8,
    /// Kernel instructions up to the last return from an interrupt.
    returned_at: AtomicU64,
    /// What happens at changes of mode only.
    window: Mutex<Window>,
    /// Call stacks, if asked for.
    stacks: Mutex<Stacks>,
}

/// Whose `%gs` base is in place.
mod gs {
    /// Not known: the vCPU was in no user mode yet.
    pub(super) const UNKNOWN: u8 = 0;
    pub(super) const USER: u8 = 1;
    pub(super) const KERNEL: u8 = 2;
}

/// What a window holds of a vCPU.
#[derive(Debug, Default)]
struct Window {
    /// Counters when it opened.
    user_before: u64,
    kernel_before: u64,
    /// Kernel instructions when the present stay began, if it began in the window.
    stay_since: Option<u64>,
    stays: Stays,
    /// Entries by address.
    causes: BTreeMap<u64, u64>,
}

impl Vcpu {
    /// Counts a block that is about to run; tells where the vCPU was before it.
    #[inline]
    pub(crate) fn run(&self, block: Block) -> From {
        // ORDERING: No data hangs on the counters; see the head of the file.
        if block.is_kernel() {
            let before = self.kernel.load(Relaxed);
            let from = if self.in_kernel.load(Relaxed) {
                From::Kernel
            } else {
                self.in_kernel.store(true, Relaxed);
                self.window().enter(before, block.start());
                From::User
            };
            self.kernel.store(before + block.nr(), Relaxed);
            from
        } else {
            let from = if self.in_kernel.load(Relaxed) {
                let now = self.kernel.load(Relaxed);
                self.leave(now);
                // The kernel also starts in the lower half, where it gets by jumps.
                let is_return = self.returned_at.load(Relaxed) == now;
                let gs = if is_return { gs::USER } else { gs::UNKNOWN };
                self.gs.store(gs, Relaxed);
                From::Kernel
            } else {
                From::User
            };
            let before = self.user.load(Relaxed);
            self.user.store(before + block.nr(), Relaxed);
            from
        }
    }

    /// Takes note of an instruction on the way to user mode that is about to be executed.
    pub(crate) fn pass(&self, gate: Gate) {
        // ORDERING: As in `run`.
        let now = self.kernel.load(Relaxed);
        match (gate, self.gs.load(Relaxed)) {
            (Gate::SwapGs, gs::USER) => self.gs.store(gs::KERNEL, Relaxed),
            (Gate::SwapGs, gs::KERNEL) => self.gs.store(gs::USER, Relaxed),
            (Gate::InterruptReturn, gs::USER) => self.leave(now),
            (Gate::SystemReturn, _) => {
                self.gs.store(gs::USER, Relaxed);
                self.leave(now);
            }
            (Gate::InterruptReturn, _) => self.returned_at.store(now, Relaxed),
            (Gate::SwapGs, _) => {}
        }
    }

    /// Leaves the kernel.
    fn leave(&self, now: u64) {
        // ORDERING: As in `run`.
        if self.in_kernel.swap(false, Relaxed) {
            self.window().leave(now);
        }
    }

    /// Counts a block of the kernel that is about to run, also by call stack.
    pub(crate) fn run_code(&self, code: &'static Code) {
        let from = self.run(code.block);
        self.stacks().run(code, from);
    }

    /// Begins a window.
    pub(crate) fn open(&self) {
        self.stacks().clear();
        // ORDERING: As in `run`.
        *self.window() = Window {
            user_before: self.user.load(Relaxed),
            kernel_before: self.kernel.load(Relaxed),
            ..Window::default()
        };
    }

    /// Ends a window and tells what was in it.
    pub(crate) fn close(&self, symbols: &Symbols) -> counts::Vcpu {
        // ORDERING: As in `run`.
        let (user, kernel) = (self.user.load(Relaxed), self.kernel.load(Relaxed));
        let mut window = std::mem::take(&mut *self.window());
        window.leave(kernel);
        let mut causes = BTreeMap::new();
        for (address, nr) in window.causes {
            *causes.entry(symbols.cause(address)).or_default() += nr;
        }
        counts::Vcpu {
            user: user - window.user_before,
            kernel: kernel - window.kernel_before,
            entries: window.stays.nr(),
            longest: window.stays.longest,
            stays: window.stays.histogram,
            causes,
            functions: self.stacks().functions(symbols),
        }
    }

    /// Its call stacks.
    pub(crate) fn stacks(&self) -> MutexGuard<'_, Stacks> {
        self.stacks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        // Nothing in here panics half-way, so a poisoned lock guards sound data.
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    fn enter(&mut self, now: u64, address: u64) {
        self.stay_since = Some(now);
        *self.causes.entry(address).or_default() += 1;
    }

    fn leave(&mut self, now: u64) {
        if let Some(since) = self.stay_since.take() {
            self.stays.add(now - since);
        }
    }
}

/// Lengths of stays.
#[derive(Debug, Default)]
struct Stays {
    longest: u64,
    /// Number `n` counts those of 2^n to 2^(n+1)-1.
    histogram: Vec<u64>,
}

impl Stays {
    /// Adds one; one of no instructions, which a closing window cuts so, counts as one of one.
    fn add(&mut self, length: u64) {
        self.longest = self.longest.max(length);
        // CAST: A logarithm is at most 63.
        let n = length.max(1).ilog2() as usize;
        if self.histogram.len() <= n {
            self.histogram.resize(n + 1, 0);
        }
        self.histogram[n] += 1;
    }

    fn nr(&self) -> u64 {
        self.histogram.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: u64 = 0xffff_ffff_8100_0000;

    fn run(vcpu: &Vcpu, blocks: &[(u64, u64)]) {
        for &(start, nr) in blocks {
            vcpu.run(Block::new(start, nr));
        }
    }

    fn close(vcpu: &Vcpu) -> counts::Vcpu {
        vcpu.close(&Symbols::default())
    }

    #[test]
    fn counts_modes_entries_and_stays() {
        let vcpu = Vcpu::default();
        run(&vcpu, &[(0x1000, 100)]);
        vcpu.open();
        run(
            &vcpu,
            &[(0x1000, 5), (KERNEL, 3), (KERNEL + 64, 4), (0x2000, 1)],
        );
        run(
            &vcpu,
            &[(KERNEL, 1), (0x2000, 1), (KERNEL + 16, 9), (0x2000, 2)],
        );
        let got = close(&vcpu);
        assert_eq!((got.user, got.kernel, got.entries), (9, 17, 3));
        assert_eq!(got.longest, 9);
        assert_eq!(got.stays, [1, 0, 1, 1]);
        let causes = [("0xffffffff81000000", 2), ("0xffffffff81000010", 1)];
        assert_eq!(
            got.causes,
            causes.map(|(name, nr)| (name.to_owned(), nr)).into()
        );
    }

    #[test]
    fn a_stay_under_way_at_the_opening_is_none() {
        let vcpu = Vcpu::default();
        run(&vcpu, &[(0x1000, 1), (KERNEL, 10)]);
        vcpu.open();
        run(&vcpu, &[(KERNEL, 7), (0x1000, 2)]);
        let got = close(&vcpu);
        assert_eq!(
            (got.user, got.kernel, got.entries, got.longest),
            (2, 7, 0, 0)
        );
        assert!(got.stays.is_empty() && got.causes.is_empty());
    }

    #[test]
    fn a_stay_under_way_at_the_closing_counts_with_its_length_so_far() {
        let vcpu = Vcpu::default();
        vcpu.open();
        run(&vcpu, &[(0x1000, 1), (KERNEL, 6)]);
        let got = close(&vcpu);
        assert_eq!((got.kernel, got.entries, got.longest), (6, 1, 6));
        assert_eq!(got.stays, [0, 0, 1]);
        // It belongs to that window alone.
        vcpu.open();
        run(&vcpu, &[(KERNEL, 6), (0x1000, 1)]);
        assert_eq!(close(&vcpu).entries, 0);
    }

    /// Starts a vCPU in the kernel and brings it to user mode for the first time.
    fn boot() -> Vcpu {
        let vcpu = Vcpu::default();
        run(&vcpu, &[(0x1000, 1), (KERNEL, 4)]);
        vcpu.pass(Gate::SwapGs);
        vcpu.pass(Gate::InterruptReturn);
        run(&vcpu, &[(0x1000, 1)]);
        vcpu
    }

    #[test]
    fn a_return_to_user_mode_ends_a_stay_before_user_code_runs() {
        let vcpu = boot();
        vcpu.open();
        run(&vcpu, &[(KERNEL, 4)]);
        vcpu.pass(Gate::SwapGs);
        // An interrupt in the kernel and its return.
        run(&vcpu, &[(KERNEL + 64, 4)]);
        vcpu.pass(Gate::InterruptReturn);
        run(&vcpu, &[(KERNEL + 8, 2)]);
        vcpu.pass(Gate::SwapGs);
        vcpu.pass(Gate::InterruptReturn);
        run(&vcpu, &[(KERNEL + 64, 3)]);
        vcpu.pass(Gate::SwapGs);
        vcpu.pass(Gate::SwapGs);
        vcpu.pass(Gate::SystemReturn);
        run(&vcpu, &[(KERNEL + 64, 1)]);
        let got = close(&vcpu);
        assert_eq!((got.kernel, got.entries, got.longest), (14, 3, 10));
        assert_eq!(got.stays, [1, 1, 0, 1]);
        assert_eq!(got.causes["0xffffffff81000040"], 2);
    }

    #[test]
    fn a_vcpu_that_never_was_in_user_mode_has_no_entries() {
        let vcpu = Vcpu::default();
        // The start of a further CPU: low addresses, a jump to the kernel, and interrupts while it idles.
        run(&vcpu, &[(0x9_9000, 9), (KERNEL, 4)]);
        vcpu.open();
        for _ in 0..3 {
            run(&vcpu, &[(KERNEL + 64, 3)]);
            vcpu.pass(Gate::InterruptReturn);
            run(&vcpu, &[(KERNEL, 1)]);
        }
        let got = close(&vcpu);
        assert_eq!((got.kernel, got.entries), (12, 0));
    }

    #[test]
    fn stays_fall_into_the_power_of_two_below_them() {
        let mut stays = Stays::default();
        for length in [0, 1, 2, 3, 4, 1023, 1024] {
            stays.add(length);
        }
        assert_eq!(stays.histogram, [2, 2, 1, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!((stays.nr(), stays.longest), (7, 1024));
    }
}
