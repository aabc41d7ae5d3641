// SPDX-License-Identifier: GPL-2.0
//! What runs next on an LWK CPU: turns among tasks that share it, and the guests' due.
//!
//! Guests are the tasks of Linux that are bound to the CPU (per-CPU kernel threads). They run when no LWK task wants
//! the CPU; if one always does, they get short turns, because somebody on a Linux CPU may wait for them
//! (`flush_work()`), and with him the machine. The first turn comes at once: to wait would need the tick, and so
//! interrupt the LWK task more often. The next comes before the deadline is over.
//!
//! LWK tasks of one rank take turns. One with a real-time priority leaves those without a share of the CPU, as the fair
//! server of Linux sees to it there: the first of them is lifted above it for a turn, now and then.

use super::rank::Rank;

/// A guest waits no longer than this for its turn.
pub const GUEST_DEADLINE_NS: u64 = 10_000_000;

/// How long guests run before LWK tasks take over again.
pub const GUEST_TURN_NS: u64 = 1_000_000;

/// How long one of several LWK tasks runs before the next takes over. A task alone on its CPU is never interrupted.
pub const TASK_TURN_NS: u64 = 10_000_000;

/// How long those without a real-time priority wait for a turn behind one that has one: they get a twentieth of the CPU,
/// which is what Linux gives them (50 ms of each second).
pub const LIFT_AFTER_NS: u64 = 19 * TASK_TURN_NS;

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
    /// The rank of the running task.
    pub rank: Rank,
    /// When its turn ends.
    pub turn_end_ns: u64,
    /// The rank of the first of the LWK tasks that wait, if any do.
    pub next: Option<Rank>,
    /// How long the first of those without a real-time priority has waited behind one that has one, if any does.
    pub shared_waited_ns: Option<u64>,
    /// When the turn of one that was lifted ended last.
    pub lifted_end_ns: u64,
}

/// What is to happen now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The running task goes on.
    Continue,
    /// It goes behind the others of its rank.
    NextTask,
    /// Guests run first for [`GUEST_TURN_NS`].
    GuestTurn,
    /// The first task without a real-time priority is lifted.
    Lift,
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
        let is_over = self.now_ns >= self.turn_end_ns;
        let waits_for_this = |next| next == self.rank || self.rank == Rank::LIFTED;
        if is_over && self.next.is_some_and(waits_for_this) {
            return (Action::NextTask, since_ns);
        }
        if self.is_share_due() {
            return (Action::Lift, since_ns);
        }
        (Action::Continue, since_ns)
    }

    fn is_share_due(&self) -> bool {
        let Some(waited_ns) = self.shared_waited_ns.filter(|_| self.rank.is_real_time()) else {
            return false;
        };
        waited_ns.min(self.now_ns.saturating_sub(self.lifted_end_ns)) >= LIFT_AFTER_NS
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
            rank: Rank::SHARED,
            turn_end_ns: 0,
            next: None,
            shared_waited_ns: None,
            lifted_end_ns: 0,
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
            next: Some(Rank::SHARED),
            turn_end_ns: 500,
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
            next: Some(Rank::SHARED),
            nr_guests: 1,
            guest_since_ns: 1,
            ..tick(GUEST_DEADLINE_NS)
        };
        assert_eq!(both.decide(), (Action::GuestTurn, 0));
    }

    #[test]
    fn a_real_time_task_keeps_the_cpu_from_lower_ones_whose_turn_is_not_theirs() {
        let fifo = Tick {
            rank: Rank::of(50),
            next: Some(Rank::of(60)),
            ..tick(1 << 40)
        };
        assert_eq!(fifo.decide(), (Action::Continue, 0));
        // One of its own rank takes turns with it as far as its policy has turns that end.
        let equal = Tick {
            next: Some(fifo.rank),
            ..fifo
        };
        assert_eq!(equal.decide(), (Action::NextTask, 0));
        let endless = Tick {
            turn_end_ns: u64::MAX,
            ..equal
        };
        assert_eq!(endless.decide(), (Action::Continue, 0));
    }

    #[test]
    fn guests_get_their_turn_whatever_the_rank() {
        for rank in [Rank::LIFTED, Rank::of(0), Rank::of(98), Rank::SHARED] {
            let waited = Tick {
                rank,
                turn_end_ns: u64::MAX,
                nr_guests: 1,
                guest_since_ns: 1,
                ..tick(GUEST_DEADLINE_NS)
            };
            assert_eq!(waited.decide(), (Action::GuestTurn, 0));
        }
    }

    /// One that never sleeps beside tasks without a real-time priority, tick by tick; what these got of a second.
    fn shared_part(tick_ns: u64, nr_shared: usize) -> u64 {
        let fifo = Rank::of(50);
        let (mut since, mut lifted_end_ns) = (std::vec![1_u64; nr_shared], 0);
        let mut lifted: Option<u64> = None;
        let (mut now_ns, mut got_ns, end_ns) = (1, 0, 20_000_000_000);
        while now_ns < end_ns {
            now_ns += tick_ns;
            got_ns += if lifted.is_some() { tick_ns } else { 0 };
            let seen = Tick {
                tick_ns,
                rank: if lifted.is_some() { Rank::LIFTED } else { fifo },
                turn_end_ns: lifted.unwrap_or(u64::MAX),
                next: Some(if lifted.is_some() { fifo } else { Rank::SHARED }),
                shared_waited_ns: since
                    .first()
                    .map(|since_ns| now_ns - since_ns)
                    .filter(|_| lifted.is_none()),
                lifted_end_ns,
                ..tick(now_ns)
            };
            match seen.decide().0 {
                Action::Lift => {
                    since.remove(0);
                    lifted = Some(now_ns + TASK_TURN_NS);
                }
                Action::NextTask => {
                    since.push(now_ns);
                    (lifted, lifted_end_ns) = (None, now_ns);
                }
                _ => {}
            }
        }
        got_ns / 20
    }

    #[test]
    fn tasks_without_a_real_time_priority_get_a_twentieth_together() {
        for tick_ns in [1_000_000, TICK_NS, 10_000_000] {
            for nr_shared in [1, 2, 10] {
                let part_ns = shared_part(tick_ns, nr_shared);
                assert!(
                    (40_000_000..=70_000_000).contains(&part_ns),
                    "{tick_ns} {nr_shared} {part_ns}"
                );
            }
        }
    }
}
