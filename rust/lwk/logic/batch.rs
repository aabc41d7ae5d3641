// SPDX-License-Identifier: GPL-2.0
//! Whether a thread stays on the CPU of Linux after a moved call, as the next one is likely to follow soon.
//!
//! Going home and coming back costs more than the few instructions that a program runs between two calls of a burst.
//! Each thread learns by a counter, as branch predictors do: calls that followed within the window count up, those that
//! did not count down faster. A stay ends with the window, or after [`MAX_WINDOWS`] of them together, so that a thread
//! that computes is at home nearly all of the time.

/// How many windows a thread stays in a row at most.
pub const MAX_WINDOWS: u64 = 20;

/// From this confidence on it stays.
const STAYS_FROM: u8 = 2;
/// The highest confidence.
const HIGHEST: u8 = 3;

/// What a thread has learned; all zeroes at first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Batch {
    /// How likely it is that a moved call follows soon.
    confidence: u8,
    /// When the batch began, or 0.
    since_ns: u64,
}

impl Batch {
    /// What `bits` of [`to_bits`](Self::to_bits) were made of.
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            // CAST: the lowest two bits.
            confidence: (bits & 3) as u8,
            since_ns: bits & !3,
        }
    }

    /// All of it in one word; the beginning loses its last two bits.
    pub const fn to_bits(self) -> u64 {
        // CAST: wider.
        self.since_ns & !3 | self.confidence as u64
    }

    /// A moved call came `gap_ns` after the end of the one before.
    pub fn moved_call(&mut self, gap_ns: u64, window_ns: u32) {
        if gap_ns <= u64::from(window_ns) {
            self.confidence = (self.confidence + 1).min(HIGHEST);
        } else {
            self.miss();
        }
    }

    /// Another call came, or none within the window: it would have been better to go home.
    pub fn miss(&mut self) {
        self.confidence = self.confidence.saturating_sub(2);
        self.since_ns = 0;
    }

    /// A moved call ends: whether the thread stays.
    pub fn stays(&mut self, now_ns: u64, window_ns: u32) -> bool {
        if window_ns == 0 || self.confidence < STAYS_FROM {
            self.since_ns = 0;
            return false;
        }
        if self.since_ns == 0 {
            self.since_ns = now_ns & !3;
        }
        if now_ns.saturating_sub(self.since_ns) > MAX_WINDOWS * u64::from(window_ns) {
            self.since_ns = 0;
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW_NS: u32 = 50_000;

    fn learned(gaps_ns: &[u64]) -> Batch {
        let mut batch = Batch::default();
        for &gap_ns in gaps_ns {
            batch.moved_call(gap_ns, WINDOW_NS);
        }
        batch
    }

    #[test]
    fn a_thread_stays_after_calls_that_followed_soon() {
        assert!(!learned(&[]).stays(1000, WINDOW_NS));
        assert!(!learned(&[10]).stays(1000, WINDOW_NS));
        assert!(learned(&[10, 50_000]).stays(1000, WINDOW_NS));
        assert!(!learned(&[50_001, 60_000, 70_000]).stays(1000, WINDOW_NS));
    }

    #[test]
    fn one_miss_is_enough_to_go_home() {
        let mut batch = learned(&[1, 1, 1, 1]);
        assert!(batch.stays(1000, WINDOW_NS));
        batch.miss();
        assert!(!batch.stays(2000, WINDOW_NS));
        batch.moved_call(1, WINDOW_NS);
        assert!(batch.stays(3000, WINDOW_NS));
    }

    #[test]
    fn no_window_is_no_stay() {
        assert!(!learned(&[0, 0, 0]).stays(1, 0));
    }

    #[test]
    fn a_burst_that_does_not_end_is_cut() {
        let mut batch = learned(&[1, 1, 1]);
        let (mut now_ns, mut stays) = (1_000_000, 0);
        while batch.stays(now_ns, WINDOW_NS) {
            now_ns += 10_000;
            batch.moved_call(10, WINDOW_NS);
            stays += 1;
        }
        assert_eq!(stays, MAX_WINDOWS * u64::from(WINDOW_NS) / 10_000 + 1);
        // And begins anew.
        assert!(batch.stays(now_ns, WINDOW_NS));
    }

    #[test]
    fn a_word_holds_it() {
        let mut batch = learned(&[1, 1]);
        batch.stays(123_456, WINDOW_NS);
        assert_eq!(Batch::from_bits(batch.to_bits()), batch);
        assert_eq!(Batch::from_bits(0), Batch::default());
    }
}
