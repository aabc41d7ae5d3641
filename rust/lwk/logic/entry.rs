// SPDX-License-Identifier: GPL-2.0
//! Why a CPU in user mode was interrupted, told from counters that the kernel keeps anyway.
//!
//! The doors of the kernel do not say which of them was taken, so the caller takes a [`Mark`] when it comes in and one
//! when it goes: a counter that moved names the cause. System calls are told apart before.

use crate::uapi::EntryKind;

/// What one CPU had counted at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mark {
    /// Interrupts of any kind, NMIs included.
    pub irqs: u64,
    /// Page faults.
    pub faults: u64,
}

/// Names the cause of one entry; `before` was taken as it began, `now` at its end.
///
/// A fault comes first because it may be interrupted before it ends; an interrupt cannot fault on user memory.
pub fn classify(before: &Mark, now: &Mark) -> EntryKind {
    if now.faults != before.faults {
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

    fn kind(irqs: u64, faults: u64) -> EntryKind {
        classify(&BEFORE, &Mark { irqs, faults })
    }

    #[test]
    fn fault_wins_over_interrupts_taken_meanwhile() {
        assert_eq!(kind(7, 4), EntryKind::Fault);
        assert_eq!(kind(9, 4), EntryKind::Fault);
    }

    #[test]
    fn interrupt_or_exception_by_the_interrupt_count() {
        assert_eq!(kind(8, 3), EntryKind::Interrupt);
        assert_eq!(kind(7, 3), EntryKind::Exception);
    }

    #[test]
    fn counters_may_wrap() {
        let before = Mark {
            irqs: u64::MAX,
            faults: 0,
        };
        let now = Mark { irqs: 0, faults: 0 };
        assert_eq!(classify(&before, &now), EntryKind::Interrupt);
    }
}
