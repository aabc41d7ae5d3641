// SPDX-License-Identifier: GPL-2.0
//! Why a CPU came from user mode into the kernel, told from counters that the kernel keeps anyway.
//!
//! The doors of the kernel do not say which of them was taken, so the caller keeps a [`Mark`] from the last return to
//! user mode and compares: a counter that moved names the cause.

use crate::uapi::EntryKind;

/// What one CPU had counted at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mark {
    /// Interrupts of any kind, NMIs included.
    pub irqs: u64,
    /// Page faults.
    pub faults: u64,
}

/// Names the cause of one entry; `before` was taken at the last return to user mode, `now` at the end of this entry.
///
/// A system call comes first and a fault second because both may be interrupted before they end; an interrupt cannot
/// fault on user memory.
pub fn classify(before: &Mark, syscall: bool, now: &Mark) -> EntryKind {
    if syscall {
        EntryKind::Syscall
    } else if now.faults != before.faults {
        EntryKind::Fault
    } else if now.irqs != before.irqs {
        EntryKind::Interrupt
    } else {
        EntryKind::Exception
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Mark = Mark { irqs: 7, faults: 3 };

    fn kind(syscall: bool, irqs: u64, faults: u64) -> EntryKind {
        classify(&BEFORE, syscall, &Mark { irqs, faults })
    }

    #[test]
    fn syscall_wins_whatever_was_counted() {
        assert_eq!(kind(true, 7, 3), EntryKind::Syscall);
        assert_eq!(kind(true, 8, 4), EntryKind::Syscall);
    }

    #[test]
    fn fault_wins_over_interrupts_taken_meanwhile() {
        assert_eq!(kind(false, 7, 4), EntryKind::Fault);
        assert_eq!(kind(false, 9, 4), EntryKind::Fault);
    }

    #[test]
    fn interrupt_or_exception_by_the_interrupt_count() {
        assert_eq!(kind(false, 8, 3), EntryKind::Interrupt);
        assert_eq!(kind(false, 7, 3), EntryKind::Exception);
    }

    #[test]
    fn counters_may_wrap() {
        let before = Mark {
            irqs: u64::MAX,
            faults: 0,
        };
        let now = Mark { irqs: 0, faults: 0 };
        assert_eq!(classify(&before, false, &now), EntryKind::Interrupt);
    }
}
