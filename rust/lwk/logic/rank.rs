// SPDX-License-Identifier: GPL-2.0
//! The order in which the threads of jobs go on one CPU.
//!
//! All of them are in one class, whatever their policy. Those with a real-time priority, their own or one that is lent
//! to them by who waits for a lock of theirs, go before the others, the higher priority first. A thread that was kept
//! waiting for too long is *lifted* above all of them for one turn.

/// A lower rank goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(u8);

/// Priorities of Linux below this one are real-time ones: `MAX_RT_PRIO`.
const MAX_RT_PRIO: u8 = 100;

impl Rank {
    /// That of a thread that runs before all others for one turn.
    pub const LIFTED: Self = Self(0);

    /// That of all threads without a real-time priority.
    pub const SHARED: Self = Self(MAX_RT_PRIO + 1);

    /// That of a thread with this priority, as Linux numbers them: lower ones are higher.
    pub fn of(prio: i32) -> Self {
        u8::try_from(prio.max(0)).map_or(Self::SHARED, |prio| Self(prio.min(MAX_RT_PRIO) + 1))
    }

    /// From what [`bits`](Self::bits) gave.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The rank as a number.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether it comes from a real-time priority.
    pub fn is_real_time(self) -> bool {
        self > Self::LIFTED && self < Self::SHARED
    }
}

/// Where among its equals a thread enters the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Before them: it goes on with its turn.
    Head,
    /// Behind them.
    Tail,
}

/// Whether a thread that enters the queue goes before one that is there.
pub fn goes_before(own: Rank, end: End, other: Rank) -> bool {
    match end {
        End::Head => own <= other,
        End::Tail => own < other,
    }
}

/// How long a thread may keep the CPU from those of its rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Until it sleeps: `SCHED_FIFO`, and who has a priority lent.
    Endless,
    /// As long as Linux lets a `SCHED_RR` thread.
    RoundRobin,
    /// As long as all others.
    Shared,
}

/// The number of `SCHED_RR`.
const SCHED_RR: u32 = 2;

impl Turn {
    /// The turn of a thread with this policy and priority.
    pub fn of(policy: u32, prio: i32) -> Self {
        match (Rank::of(prio).is_real_time(), policy) {
            (false, _) => Self::Shared,
            (true, SCHED_RR) => Self::RoundRobin,
            (true, _) => Self::Endless,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn higher_priorities_have_lower_ranks_and_all_others_share_one() {
        // SCHED_FIFO 99 is priority 0 of Linux, SCHED_FIFO 1 is 98; 100 to 139 are nice values.
        let ranks = [0, 1, 50, 98, 100].map(Rank::of);
        assert!(ranks.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(Rank::LIFTED < ranks[0] && !Rank::LIFTED.is_real_time());
        assert!((0..100).all(|prio| Rank::of(prio).is_real_time()));
        assert!((100..140).all(|prio| Rank::of(prio) == Rank::SHARED));
        assert!(!Rank::SHARED.is_real_time());
        // A deadline task's, which no thread of a job has.
        assert_eq!(Rank::of(-1), Rank::of(0));
        assert_eq!(Rank::of(i32::MAX), Rank::SHARED);
        assert!((-1..140).all(|prio| Rank::from_bits(Rank::of(prio).bits()) == Rank::of(prio)));
    }

    #[test]
    fn turns_end_for_all_but_fifo_and_lent_priorities() {
        const NORMAL: u32 = 0;
        const FIFO: u32 = 1;
        assert_eq!(Turn::of(FIFO, 50), Turn::Endless);
        assert_eq!(Turn::of(NORMAL, 50), Turn::Endless);
        assert_eq!(Turn::of(SCHED_RR, 50), Turn::RoundRobin);
        assert_eq!(Turn::of(NORMAL, 120), Turn::Shared);
    }

    /// A queue as the kernel keeps it: who enters passes those that it goes before, from the tail on.
    fn enter(queue: &mut Vec<(Rank, u32)>, rank: Rank, end: End, name: u32) {
        let passed = queue
            .iter()
            .rev()
            .take_while(|(other, _)| goes_before(rank, end, *other))
            .count();
        queue.insert(queue.len() - passed, (rank, name));
    }

    #[test]
    fn the_queue_stays_in_order_and_equals_keep_theirs() {
        let mut queue = Vec::new();
        let mut seed = 1_u32;
        for name in 0..2000 {
            seed = seed.wrapping_mul(1_103_515_245).wrapping_add(12345);
            let rank = Rank::of((seed >> 16) as i32 % 6 * 24);
            let end = if seed & 1 << 30 == 0 {
                End::Tail
            } else {
                End::Head
            };
            let same = |queue: &[(Rank, u32)]| -> Vec<u32> {
                let own = queue.iter().filter(|(other, _)| *other == rank);
                own.map(|(_, name)| *name).collect()
            };
            let mut expected = same(&queue);
            match end {
                End::Tail => expected.push(name),
                End::Head => expected.insert(0, name),
            }
            enter(&mut queue, rank, end, name);
            assert!(queue.windows(2).all(|pair| pair[0].0 <= pair[1].0));
            assert_eq!(same(&queue), expected);
        }
    }
}
