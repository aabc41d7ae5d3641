// SPDX-License-Identifier: GPL-2.0
//! What runs next on an LWK CPU: turns among tasks that share it, and the guests' due.
//!
//! Guests are the tasks of Linux that are bound to the CPU (per-CPU kernel threads). They run when no LWK task wants
//! the CPU; if one always does, they get short turns, because somebody on a Linux CPU may wait for them
//! (`flush_work()`), and with him the machine. The first turn comes at once: to wait would need the tick, and so
//! interrupt the LWK task more often. The next comes before the deadline is over.

/// A guest waits no longer than this for its turn.
pub const GUEST_DEADLINE_NS: u64 = 10_000_000;

/// How long guests run before LWK tasks take over again.
pub const GUEST_TURN_NS: u64 = 1_000_000;

/// How long one of several LWK tasks runs before the next takes over. A task alone on its CPU is never interrupted.
pub const TASK_TURN_NS: u64 = 10_000_000;

/// What the tick finds.
#[derive(Debug, Clone, Copy)]
pub struct Tick {
    /// Clock of the run queue.
    pub now_ns: u64,
    /// Length of a tick: nobody looks again before that.
    pub tick_ns: u64,
    /// Guests that could run.
    pub nr_guests: u32,
    /// Since when guests are known to wait, or 0.
    pub guest_since_ns: u64,
    /// LWK tasks that could run, the running one included.
    pub nr_tasks: u32,
    /// When the running task's turn ends.
    pub task_turn_end_ns: u64,
}

/// What is to happen now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The running task goes on.
    Continue,
    /// It goes behind the others.
    NextTask,
    /// Guests run first for [`GUEST_TURN_NS`].
    GuestTurn,
}

impl Tick {
    /// Decides, and says since when guests wait from here on (0 for none).
    pub fn decide(&self) -> (Action, u64) {
        let since_ns = match (self.nr_guests, self.guest_since_ns) {
            (0, _) => 0,
            // It may have come right after the last tick.
            (_, 0) => self.now_ns.saturating_sub(self.tick_ns).max(1),
            (_, since_ns) => since_ns,
        };
        let next_look_ns = self.now_ns.saturating_add(self.tick_ns);
        if since_ns != 0 && next_look_ns.saturating_sub(since_ns) >= GUEST_DEADLINE_NS {
            return (Action::GuestTurn, 0);
        }
        if self.nr_tasks > 1 && self.now_ns >= self.task_turn_end_ns {
            return (Action::NextTask, since_ns);
        }
        (Action::Continue, since_ns)
    }
}

/// Whether a guest that comes now gets its turn at once, where the last turn was to end so long ago. A flood of guests
/// gets no more of the CPU than if all waited.
pub const fn is_turn_due(since_turn_ns: i64) -> bool {
    // CAST: Both are far below the limit.
    since_turn_ns >= (GUEST_DEADLINE_NS - GUEST_TURN_NS) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK_NS: u64 = 4_000_000;

    fn tick(now_ns: u64) -> Tick {
        Tick {
            now_ns,
            tick_ns: TICK_NS,
            nr_guests: 0,
            guest_since_ns: 0,
            nr_tasks: 1,
            task_turn_end_ns: 0,
        }
    }

    #[test]
    fn the_first_guest_comes_at_once_and_the_next_waits() {
        let distance_ns = 9_000_000;
        assert!(is_turn_due(distance_ns));
        assert!(is_turn_due(i64::MAX));
        assert!(!is_turn_due(distance_ns - 1));
        // The turn is not over, or its guest was quick.
        assert!(!is_turn_due(-1_000_000));
    }

    #[test]
    fn a_lone_task_goes_on() {
        assert_eq!(tick(1 << 40).decide(), (Action::Continue, 0));
    }

    #[test]
    fn a_second_task_gets_its_turn_when_the_first_is_over() {
        let shared = Tick {
            nr_tasks: 2,
            task_turn_end_ns: 500,
            ..tick(499)
        };
        assert_eq!(shared.decide(), (Action::Continue, 0));
        assert_eq!(
            Tick {
                now_ns: 500,
                ..shared
            }
            .decide(),
            (Action::NextTask, 0)
        );
    }

    #[test]
    fn a_guest_never_waits_longer_than_the_deadline() {
        for tick_ns in [1_000_000, TICK_NS, 10_000_000] {
            for offset_ns in [1, tick_ns / 2, tick_ns] {
                let arrival_ns = 1_000_000_000;
                let (mut now_ns, mut since_ns) = (arrival_ns + offset_ns, 0);
                loop {
                    let seen = Tick {
                        tick_ns,
                        nr_guests: 1,
                        guest_since_ns: since_ns,
                        ..tick(now_ns)
                    };
                    let (action, next) = seen.decide();
                    if action == Action::GuestTurn {
                        break;
                    }
                    (since_ns, now_ns) = (next, now_ns + tick_ns);
                }
                assert!(
                    now_ns - arrival_ns <= GUEST_DEADLINE_NS.max(tick_ns),
                    "{tick_ns} {offset_ns}"
                );
            }
        }
    }

    #[test]
    fn waiting_ends_with_the_last_guest() {
        assert_eq!(
            Tick {
                guest_since_ns: 5,
                ..tick(100)
            }
            .decide(),
            (Action::Continue, 0)
        );
    }

    #[test]
    fn guests_come_before_the_next_task() {
        let both = Tick {
            nr_tasks: 2,
            nr_guests: 1,
            guest_since_ns: 1,
            ..tick(GUEST_DEADLINE_NS)
        };
        assert_eq!(both.decide(), (Action::GuestTurn, 0));
    }
}
