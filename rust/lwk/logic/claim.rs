// SPDX-License-Identifier: GPL-2.0
//! Which pageblocks of a node to claim from Linux at run time.
//!
//! A claim asks Linux to move away what is in a range, which may fail, costs time, and disturbs who uses it. So the
//! plan names one range after the other, best first, until enough was got: whole groups of 1 GiB, the cheapest first,
//! as long as one is wanted; then the longest runs of the group that fits best, so that other groups stay whole.

use super::frames::BLOCKS_PER_GROUP;
use core::ops::Range;

/// The cost of a block that cannot be claimed: Linux cannot move what is in it, or the LWK has it.
pub const NEVER: u16 = u16::MAX;

/// A claim that goes on.
///
/// Costs are pages to move, one entry for each block of the span of the pool, from its first group on; 0 is free.
#[derive(Debug)]
pub struct Claim<'a> {
    costs: &'a mut [u16],
    wanted: u64,
    got: u64,
}

impl<'a> Claim<'a> {
    /// Begins a claim of so many blocks.
    pub fn new(costs: &'a mut [u16], wanted: u64) -> Self {
        Self {
            costs,
            wanted,
            got: 0,
        }
    }

    /// Returns how many blocks were got.
    pub const fn got(&self) -> u64 {
        self.got
    }

    /// Returns the blocks to try next, all in one group; none if there is enough, or nothing left to try. Each is
    /// named once, unless [`failed`](Self::failed) returns it.
    pub fn next_range(&mut self) -> Option<Range<usize>> {
        let missing = self.wanted.checked_sub(self.got).filter(|nr| *nr > 0)?;
        let missing = usize::try_from(missing).unwrap_or(usize::MAX);
        let range = if missing >= usize::from(BLOCKS_PER_GROUP) {
            self.whole_group().or_else(|| self.best_run(missing))
        } else {
            self.best_run(missing)
        }?;
        // CAST: A group has 512 blocks.
        self.got += range.len() as u64;
        self.costs.get_mut(range.clone())?.fill(NEVER);
        Some(range)
    }

    /// Notes that a range was not got. Its parts, down to single blocks, may be tried by the caller, who then reports
    /// those that were.
    pub fn failed(&mut self, range: &Range<usize>) {
        self.got = self.got.saturating_sub(range.len() as u64);
    }

    /// Notes that a part of a range that failed was got after all.
    pub fn got_part(&mut self, nr_blocks: u64) {
        self.got = self.got.saturating_add(nr_blocks);
    }

    /// Finds the cheapest group that can be claimed in one piece.
    fn whole_group(&self) -> Option<Range<usize>> {
        let size = usize::from(BLOCKS_PER_GROUP);
        let groups = self.costs.chunks_exact(size).enumerate();
        let whole = groups.filter(|(_, group)| !group.contains(&NEVER));
        let cost = |group: &[u16]| group.iter().map(|cost| u64::from(*cost)).sum::<u64>();
        let (nr, _) = whole.min_by_key(|(_, group)| cost(group))?;
        Some(nr * size..(nr + 1) * size)
    }

    /// Finds a run of at most so many blocks in the group that has just enough, or else the most.
    fn best_run(&self, most: usize) -> Option<Range<usize>> {
        let size = usize::from(BLOCKS_PER_GROUP);
        let count = |group: &[u16]| group.iter().filter(|cost| **cost != NEVER).count();
        let groups = self.costs.chunks(size).enumerate();
        let counted = groups.map(|(nr, group)| (nr, group, count(group)));
        let some = counted.filter(|(_, _, count)| *count > 0);
        let fit = |count: usize| {
            if count >= most {
                (0, count)
            } else {
                (1, size - count)
            }
        };
        let (nr, group, _) = some.min_by_key(|(_, _, count)| fit(*count))?;
        let run = longest_run(group)?;
        let run = cheapest_part(group, run, most);
        Some(nr * size + run.start..nr * size + run.end)
    }
}

/// Finds the longest run of blocks that can be claimed.
fn longest_run(group: &[u16]) -> Option<Range<usize>> {
    let (mut best, mut start) = (0..0, 0);
    for (nr, cost) in group.iter().enumerate() {
        if *cost == NEVER {
            start = nr + 1;
        } else if nr + 1 - start > best.len() {
            best = start..nr + 1;
        }
    }
    (!best.is_empty()).then_some(best)
}

/// Finds the cheapest part of a run with at most so many blocks.
fn cheapest_part(group: &[u16], run: Range<usize>, most: usize) -> Range<usize> {
    let len = run.len().min(most);
    let cost = |start: usize| {
        let part = group.get(start..start + len).unwrap_or(&[]);
        part.iter().map(|cost| u64::from(*cost)).sum::<u64>()
    };
    let starts = run.start..=run.end - len;
    let start = starts.min_by_key(|start| cost(*start)).unwrap_or(run.start);
    start..start + len
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{vec, vec::Vec};

    fn ranges(costs: &mut [u16], wanted: u64) -> Vec<Range<usize>> {
        let mut claim = Claim::new(costs, wanted);
        let mut found = Vec::new();
        while let Some(range) = claim.next_range() {
            found.push(range);
        }
        found
    }

    #[test]
    fn whole_groups_come_first_and_cheap_ones_before_dear_ones() {
        let mut costs = vec![1; 3 * 512];
        if let Some(cost) = costs.get_mut(5) {
            *cost = NEVER;
        }
        if let Some(group) = costs.get_mut(512..1024) {
            group.fill(9);
        }
        assert_eq!(
            ranges(&mut costs, 1100),
            [1024..1536, 512..1024, 6..82],
            "the rest comes from the group that is in part"
        );
    }

    #[test]
    fn rest_comes_from_the_group_that_fits_best() {
        let mut costs = vec![0; 1024];
        if let Some(part) = costs.get_mut(512..1000) {
            part.fill(NEVER);
        }
        assert_eq!(ranges(&mut costs, 20), vec![1000..1020]);
        assert_eq!(ranges(&mut costs, 8), vec![0..8]);
    }

    #[test]
    fn failures_are_made_up_for() {
        let mut costs = vec![0, 0, NEVER, 0];
        let mut claim = Claim::new(&mut costs, 2);
        let first = claim.next_range().expect("a range");
        assert_eq!(first, 0..2);
        claim.failed(&first);
        claim.got_part(1);
        assert_eq!((claim.next_range(), claim.got()), (Some(3..4), 2));
        assert_eq!(claim.next_range(), None);
    }

    #[test]
    fn nothing_is_got_where_nothing_is() {
        assert!(ranges(&mut [], 5).is_empty());
        assert!(ranges(&mut [NEVER; 600], 600).is_empty());
        assert!(ranges(&mut [0; 600], 0).is_empty());
    }
}
