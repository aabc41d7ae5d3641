// SPDX-License-Identifier: GPL-2.0
//! Who has waited for an LWK CPU for too long: the last safety net, for what the turns of `pick` do not reach.
//!
//! A CPU of Linux looks at each LWK CPU once a second, so that nobody there is interrupted for it.

/// How long somebody may wait before it is told and room is made.
pub const PATIENCE_NS: u64 = 1_000_000_000;

/// By how much longer a thread may wait for each other one on its CPU, as all have their turns.
const EACH_NS: u64 = 20_000_000;

/// Whether a thread that waits for so long behind so many others waits for too long.
pub fn is_too_long(waited_ns: u64, nr_others: u32) -> bool {
    let turns_ns = EACH_NS.saturating_mul(u64::from(nr_others));
    waited_ns > PATIENCE_NS.saturating_add(turns_ns)
}

/// A guest as it is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Guest {
    /// Its number; 0 for none.
    pub tid: u32,
    /// How long it has run in its life.
    pub ran_ns: u64,
}

/// A guest that waited at the last look, and since when nothing changed about that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Suspect {
    /// How it was seen.
    pub guest: Guest,
    /// When it was first seen so.
    pub since_ns: u64,
}

impl Suspect {
    /// Looks again: `seen` is the suspect if it still waits, else another guest that does, if any. Returns how long the
    /// suspect has waited for at least, if that is too long; the next such answer comes that much later again.
    pub fn look(&mut self, seen: Guest, now_ns: u64) -> Option<u64> {
        if seen != self.guest || seen.tid == 0 {
            *self = Self {
                guest: seen,
                since_ns: now_ns,
            };
            return None;
        }
        let waited_ns = now_ns.saturating_sub(self.since_ns);
        if !is_too_long(waited_ns, 0) {
            return None;
        }
        self.since_ns = now_ns;
        Some(waited_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn many_threads_on_one_cpu_wait_longer_and_that_is_right() {
        assert!(!is_too_long(SECOND, 0));
        assert!(is_too_long(SECOND + 1, 0));
        assert!(!is_too_long(2 * SECOND, 100));
        assert!(is_too_long(4 * SECOND, 100));
    }

    #[test]
    fn a_guest_that_stands_still_is_found_once_a_second() {
        let guest = Guest { tid: 7, ran_ns: 5 };
        let mut suspect = Suspect::default();
        let mut found = 0;
        for look in 0..10 {
            let now_ns = 1 + look * (SECOND + 1);
            if let Some(waited_ns) = suspect.look(guest, now_ns) {
                assert!(waited_ns > SECOND);
                found += 1;
            }
        }
        assert_eq!(found, 9);
    }

    #[test]
    fn one_that_runs_or_another_one_begins_anew() {
        let mut suspect = Suspect::default();
        for look in 0..10 {
            let runs = Guest {
                tid: 7,
                ran_ns: look,
            };
            assert_eq!(suspect.look(runs, look * 3 * SECOND), None);
        }
        assert_eq!(suspect.look(Guest { tid: 8, ran_ns: 9 }, 99 * SECOND), None);
        assert_eq!(suspect.look(Guest::default(), 101 * SECOND), None);
        assert_eq!(suspect.look(Guest::default(), 103 * SECOND), None);
    }
}
