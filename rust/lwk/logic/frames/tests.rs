// SPDX-License-Identifier: GPL-2.0
//! Unit tests of the frames of a pool; random sequences against a model are in `tests/host`.

use super::*;
use crate::logic::error::{Errno, ENOMEM};
use std::{vec, vec::Vec};

/// The first frame of the tests' span, not 0, so that offsets count.
const BASE: u64 = 3 * FRAMES_PER_GROUP;

/// Memory for the tables.
struct Memory {
    span: Span,
    summaries: Vec<Summary>,
    groups: Vec<Group>,
    blocks: Vec<Block>,
    accounts: Vec<Account>,
}

impl Memory {
    fn new(nr_groups: u64) -> Self {
        let span = Span::covering(pfn(0), pfn(nr_groups * FRAMES_PER_GROUP));
        let len = |nr: u32| usize::try_from(nr).expect("a length");
        Self {
            span,
            summaries: vec![Summary::EMPTY; len(span.nr_summaries())],
            groups: vec![Group::EMPTY; len(span.nr_groups())],
            blocks: vec![Block::ABSENT; len(span.nr_blocks())],
            accounts: vec![Account::UNUSED; 2],
        }
    }

    /// Returns a pool with blocks 0 to `nr_blocks - 1`.
    fn pool(&mut self, nr_blocks: u64) -> Pool<'_> {
        let tables = Tables {
            summaries: &mut self.summaries,
            groups: &mut self.groups,
            blocks: &mut self.blocks,
            accounts: &mut self.accounts,
        };
        let mut pool = Pool::new(self.span, tables).expect("tables that are long enough");
        for nr in 0..nr_blocks {
            pool.add(block(nr), Content::Dirty).expect("a new block");
        }
        pool.check().expect("a sound pool");
        pool
    }
}

fn pfn(offset: u64) -> Pfn {
    Pfn::new(BASE + offset)
}

fn block(nr: u64) -> Pfn {
    pfn(nr * u64::from(FRAMES_PER_BLOCK))
}

fn grant(first: Pfn, size: PageSize, content: Content) -> Grant {
    Grant {
        first,
        size,
        content,
    }
}

/// Zeroes so many blocks.
fn zero(pool: &mut Pool<'_>, nr_blocks: usize) {
    for _ in 0..nr_blocks {
        let first = pool.begin_zeroing().expect("a dirty block");
        pool.end_zeroing(first, Content::Zeroed)
            .expect("the block just taken");
    }
}

#[test]
fn small_pages_share_a_block_and_make_it_whole_again() {
    let mut memory = Memory::new(1);
    let mut pool = memory.pool(2);
    let start = pool.stats();
    let id = pool.open(1).expect("an account");
    let pages: Vec<Pfn> = (0..512)
        .map(|_| pool.allocate(id, PageSize::Small).expect("a frame").first)
        .collect();
    assert_eq!(pages.first(), Some(&block(0)));
    assert_eq!(
        pool.allocate(id, PageSize::Small),
        Err(PoolError::Exhausted)
    );
    assert_eq!(
        pool.allocate(id, PageSize::Large),
        Err(PoolError::Exhausted)
    );
    assert_eq!((pool.stats().small, pool.stats().broken), (512, 1));
    for (nr, page) in pages.iter().rev().enumerate() {
        let freed = pool.free(*page, 0).expect("a frame in use");
        assert_eq!(
            (freed.owner, freed.nr_blocks),
            (Some(id), u64::from(nr == 511))
        );
        pool.check().expect("a sound pool");
    }
    pool.close(id).expect("the account");
    assert_eq!(pool.stats(), start);
}

#[test]
fn zeroed_memory_goes_first_and_comes_back_dirty() {
    let mut memory = Memory::new(1);
    let mut pool = memory.pool(3);
    let id = pool.open(3).expect("an account");
    zero(&mut pool, 1);
    let first = pool.allocate(id, PageSize::Large);
    assert_eq!(first, Ok(grant(block(0), PageSize::Large, Content::Zeroed)));
    let second = pool.allocate(id, PageSize::Large);
    assert_eq!(second, Ok(grant(block(1), PageSize::Large, Content::Dirty)));
    pool.free(block(0), 9).expect("a block in use");
    let again = pool.allocate(id, PageSize::Small);
    assert_eq!(again, Ok(grant(block(0), PageSize::Small, Content::Dirty)));
}

#[test]
fn frames_of_a_zeroed_block_stay_zeroed_until_used() {
    let mut memory = Memory::new(1);
    let mut pool = memory.pool(1);
    let id = pool.open(1).expect("an account");
    zero(&mut pool, 1);
    let take = |pool: &mut Pool<'_>| pool.allocate(id, PageSize::Small).expect("a frame");
    assert_eq!(take(&mut pool).content, Content::Zeroed);
    pool.free(pfn(0), 0).expect("a frame in use");
    // The only frame in use: its block is one piece again, and dirty.
    assert_eq!(take(&mut pool).content, Content::Dirty);
}

#[test]
fn groups_in_use_are_used_up_before_others_are_broken() {
    let mut memory = Memory::new(2);
    let mut pool = memory.pool(1024);
    let id = pool.open(1024).expect("an account");
    assert_eq!(pool.stats().free_groups, 2);
    for nr in 0..512 {
        let got = pool.allocate(id, PageSize::Large).expect("a block");
        assert_eq!(got.first, block(nr));
    }
    assert_eq!(pool.stats().free_groups, 1);
    let giant = pool.allocate(id, PageSize::Giant);
    assert_eq!(
        giant,
        Ok(grant(block(512), PageSize::Giant, Content::Dirty))
    );
    pool.free(block(512), 18).expect("a group in use");
    pool.free(block(3), 9).expect("a block in use");
    let got = pool.allocate(id, PageSize::Large).expect("a block");
    assert_eq!(got.first, block(3));
}

#[test]
fn giant_pages_come_from_whole_groups_wholly_zeroed_ones_first() {
    let mut memory = Memory::new(3);
    let mut pool = memory.pool(1535);
    let id = pool.open(1535).expect("an account");
    // The last group lacks a block, and is in part.
    zero(&mut pool, 511 + 512);
    let giant = pool.allocate(id, PageSize::Giant);
    assert_eq!(giant, Ok(grant(block(0), PageSize::Giant, Content::Zeroed)));
    let giant = pool.allocate(id, PageSize::Giant);
    assert_eq!(
        giant,
        Ok(grant(block(512), PageSize::Giant, Content::Dirty))
    );
    assert_eq!(
        pool.allocate(id, PageSize::Giant),
        Err(PoolError::Exhausted)
    );
    pool.free(block(512), 18).expect("a group in use");
    pool.allocate(id, PageSize::Large).expect("a block");
    pool.check().expect("a sound pool");
    assert_eq!(
        pool.allocate_at_most(id, PageSize::Giant)
            .map(|got| got.size),
        Ok(PageSize::Giant)
    );
    assert_eq!(
        pool.allocate_at_most(id, PageSize::Giant)
            .map(|got| got.size),
        Ok(PageSize::Large)
    );
}

#[test]
fn whole_groups_are_spared_for_accounts_that_say_so() {
    let mut memory = Memory::new(2);
    let mut pool = memory.pool(0);
    for nr in 0..512 {
        pool.add(block(nr), Content::Zeroed).expect("a new block");
    }
    for nr in 512..600 {
        pool.add(block(nr), Content::Dirty).expect("a new block");
    }
    let id = pool.open(600).expect("an account");
    let hasty = pool.open(0).expect("an account");
    pool.spare_groups(id).expect("the account");
    let got = pool.allocate(id, PageSize::Large);
    assert_eq!(got, Ok(grant(block(512), PageSize::Large, Content::Dirty)));
    pool.resize(id, 599).expect("less");
    pool.resize(hasty, 1).expect("more");
    let got = pool.allocate(hasty, PageSize::Large);
    assert_eq!(got, Ok(grant(block(0), PageSize::Large, Content::Zeroed)));
    assert_eq!(
        pool.spare_groups(AccountId(7)),
        Err(PoolError::NoSuchAccount)
    );
}

#[test]
fn a_group_is_whole_while_one_of_its_blocks_is_zeroed() {
    let mut memory = Memory::new(2);
    let mut pool = memory.pool(0);
    for nr in 0..600 {
        pool.add(block(nr), Content::Dirty).expect("a new block");
    }
    let id = pool.open(600).expect("an account");
    let before: Vec<_> = (0..89).filter_map(|_| pool.begin_zeroing()).collect();
    assert_eq!(
        (before[0], before[87], before[88]),
        (block(512), block(599), block(0))
    );
    pool.end_zeroing(block(599), Content::Zeroed)
        .expect("it is aside");
    let got = pool.allocate(id, PageSize::Large);
    assert_eq!(got, Ok(grant(block(599), PageSize::Large, Content::Zeroed)));
    pool.check().expect("a sound pool");
    assert_eq!(pool.allocate(id, PageSize::Giant), Err(PoolError::Zeroing));
    pool.end_zeroing(block(0), Content::Zeroed)
        .expect("it is aside");
    pool.allocate(id, PageSize::Giant).expect("a group");
}

#[test]
fn a_group_with_retired_frames_comes_back_as_one() {
    let mut memory = Memory::new(1);
    let mut pool = memory.pool(512);
    let id = pool.open(512).expect("an account");
    pool.allocate(id, PageSize::Giant).expect("a group");
    let bad = Pfn::new(block(7).get() + 3);
    assert_eq!(pool.retire(bad), Ok(Retirement::OnceFree));
    let freed = pool.free(block(0), 18).expect("all of the group");
    assert_eq!((freed.owner, freed.nr_blocks), (Some(id), 511));
    assert_eq!((pool.stats().free, pool.stats().retired), (511, 1));
    pool.check().expect("a sound pool");
    assert_eq!(pool.free(block(0), 18), Err(PoolError::NotTaken(block(0))));
}

#[test]
fn pages_may_come_back_in_pieces() {
    let mut memory = Memory::new(1);
    let mut pool = memory.pool(512);
    let start = pool.stats();
    let id = pool.open(512).expect("an account");
    pool.allocate(id, PageSize::Giant).expect("a group");
    pool.free(block(7), 9).expect("a block of a group");
    assert_eq!((pool.stats().giant, pool.stats().whole), (0, 511));
    pool.free(block(8), 4).expect("a piece of a block");
    assert_eq!((pool.stats().broken, pool.stats().small), (1, 496));
    pool.check().expect("a sound pool");
    assert_eq!(pool.free(block(0), 18), Err(PoolError::NotTaken(block(0))));
    assert_eq!(pool.free(block(8), 9), Err(PoolError::NotTaken(block(8))));
    assert_eq!(pool.free(block(8), 0), Err(PoolError::NotTaken(block(8))));
    // What is left of the block serves its owner.
    let got = pool.allocate(id, PageSize::Small).expect("a frame");
    assert_eq!(got.first, block(8));
    pool.free(block(8), 9).expect_err("it is not wholly in use");
    for place in (0..512).filter(|place| !(1..16).contains(place)) {
        let page = Pfn::new(block(8).get() + place);
        pool.free(page, 0).expect("a frame in use");
    }
    for nr in (0..512).filter(|nr| !matches!(nr, 7 | 8)) {
        pool.free(block(nr), 9).expect("a block in use");
    }
    pool.close(id).expect("the account");
    assert_eq!(pool.stats(), start);
}

#[test]
fn wrong_frees_are_refused() {
    let mut memory = Memory::new(1);
    let mut pool = memory.pool(2);
    let free = |pool: &mut Pool<'_>, pfn: Pfn, order| pool.free(pfn, order).expect_err("wrong");
    assert_eq!(free(&mut pool, pfn(0), 0), PoolError::NotTaken(pfn(0)));
    assert_eq!(free(&mut pool, pfn(1), 1), PoolError::Misaligned(pfn(1)));
    assert_eq!(free(&mut pool, pfn(0), 10), PoolError::Misaligned(pfn(0)));
    assert_eq!(free(&mut pool, pfn(0), 64), PoolError::Misaligned(pfn(0)));
    assert_eq!(free(&mut pool, pfn(0), 18), PoolError::NotTaken(pfn(0)));
    assert_eq!(free(&mut pool, block(2), 0), PoolError::Foreign(block(2)));
    assert_eq!(
        free(&mut pool, Pfn::new(0), 0),
        PoolError::Foreign(Pfn::new(0))
    );
}

#[test]
fn jobs_get_what_they_were_promised() {
    let mut memory = Memory::new(1);
    let mut pool = memory.pool(10);
    let one = pool.open(6).expect("an account");
    assert_eq!(pool.open(5), Err(PoolError::Reserved { unreserved: 4 }));
    let two = pool.open(4).expect("an account");
    assert_eq!(pool.open(0), Err(PoolError::TooManyAccounts));
    for _ in 0..6 {
        pool.allocate(one, PageSize::Large)
            .expect("a promised block");
    }
    assert_eq!(
        pool.allocate(one, PageSize::Small),
        Err(PoolError::Exhausted)
    );
    assert_eq!(PoolError::Exhausted.errno(), ENOMEM);
    for _ in 0..4 {
        pool.allocate(two, PageSize::Small)
            .expect("a promised frame");
    }
    assert_eq!(pool.stats().broken, 1);
    assert_eq!(
        pool.resize(one, 5),
        Err(PoolError::AccountInUse { used: 6 })
    );
    assert_eq!(
        pool.resize(two, 5),
        Err(PoolError::Reserved { unreserved: 0 })
    );
    pool.resize(two, 1).expect("fewer");
    pool.resize(one, 9).expect("more");
    pool.check().expect("a sound pool");
}

#[test]
fn memory_of_a_job_that_is_gone_comes_home_later() {
    let mut memory = Memory::new(1);
    let mut pool = memory.pool(4);
    let id = pool.open(3).expect("an account");
    let pinned = pool.allocate(id, PageSize::Large).expect("a block").first;
    pool.close(id).expect("the account");
    assert_eq!(pool.close(id), Err(PoolError::NoSuchAccount));
    assert_eq!(
        pool.allocate(id, PageSize::Small),
        Err(PoolError::NoSuchAccount)
    );
    assert_eq!((pool.account(id), pool.nr_orphans()), (None, 1));
    assert_eq!(pool.nr_unreserved(), 3);
    // Its number is another job's, which does not pay for what the first one left.
    assert_eq!(pool.open(1), Ok(id));
    assert_eq!(pool.payer(pinned), None);
    let own = pool.allocate(id, PageSize::Large).expect("a block").first;
    assert_eq!(pool.payer(own), Some(id));
    let freed = pool.free(pinned, 9).expect("a block in use");
    assert_eq!((freed.owner, freed.nr_blocks), (None, 1));
    let view = pool.account(id).expect("an account");
    assert_eq!((view.used, pool.nr_orphans()), (1, 0));
    assert_eq!(pool.nr_unreserved(), 3);
    pool.check().expect("a sound pool");
}

#[test]
fn any_number_of_jobs_may_leave_memory_in_use() {
    let mut memory = Memory::new(1);
    let mut pool = memory.pool(512);
    let mut left = Vec::new();
    // The tables have room for two accounts.
    for _ in 0..500 {
        let id = pool.open(1).expect("an account");
        left.push(pool.allocate(id, PageSize::Small).expect("a frame").first);
        pool.close(id).expect("the account");
    }
    assert_eq!((pool.nr_orphans(), pool.nr_unreserved()), (500, 12));
    pool.check().expect("a sound pool");
    for first in left {
        pool.free(first, 0).expect("a frame in use");
    }
    assert_eq!((pool.nr_orphans(), pool.nr_unreserved()), (0, 512));
    pool.check().expect("a sound pool");
}

#[test]
fn what_anybody_may_ask_takes_no_look_at_the_blocks() {
    let mut memory = Memory::new(2);
    let mut pool = memory.pool(700);
    let id = pool.open(9).expect("an account");
    for _ in 0..9 {
        pool.allocate(id, PageSize::Large).expect("a block");
    }
    pool.begin_zeroing().expect("a dirty block");
    let before = (pool.nr_blocks(), pool.nr_free());
    assert_eq!(before, (700, 691));
    // With tables that lie the answers stay the same, as they come from the counts alone.
    pool.tables.blocks.fill(Block::ABSENT);
    pool.tables.groups.fill(Group::EMPTY);
    pool.tables.summaries.fill(Summary::EMPTY);
    assert_eq!((pool.nr_blocks(), pool.nr_free()), before);
    let counts = pool.counts();
    assert_eq!((counts.total, counts.free, counts.whole), (700, 691, 9));
    assert_eq!((counts.free_runs, counts.longest_run), (0, 0));
}

#[test]
fn poisoned_blocks_retire_when_nobody_uses_them() {
    let mut memory = Memory::new(1);
    let mut pool = memory.pool(4);
    let id = pool.open(3).expect("an account");
    let page = pool.allocate(id, PageSize::Large).expect("a block").first;
    assert_eq!(pool.retire(block(3)), Ok(Retirement::Done));
    assert_eq!(pool.retire(pfn(5)), Ok(Retirement::OnceFree));
    pool.check().expect("a sound pool");
    // Linux gives it back in one piece, the poisoned frame included.
    let freed = pool.free(page, 9).expect("a damaged block");
    assert_eq!((freed.owner, freed.nr_blocks), (Some(id), 0));
    assert_eq!(pool.retired().collect::<Vec<_>>(), [block(0), block(3)]);
    assert_eq!(pool.free(page, 9), Err(PoolError::NotTaken(page)));
    assert_eq!(pool.retire(page), Ok(Retirement::Done));
    let small = pool.allocate(id, PageSize::Small).expect("a frame").first;
    assert_eq!(pool.retire(small), Ok(Retirement::Done));
    assert_eq!((pool.stats().retired, pool.stats().free), (3, 1));
    assert_eq!((pool.nr_blocks(), pool.nr_usable()), (4, 1));
    assert_eq!(
        pool.retire(Pfn::new(1)),
        Err(PoolError::Foreign(Pfn::new(1)))
    );
    pool.withdraw(block(3)).expect("a retired block");
    assert!(!pool.has(block(3)) && pool.has(block(0)));
    pool.check().expect("a sound pool");
}

#[test]
fn blocks_being_zeroed_are_nobodys() {
    let mut memory = Memory::new(1);
    let mut pool = memory.pool(1);
    let id = pool.open(1).expect("an account");
    let first = pool.begin_zeroing().expect("a dirty block");
    assert_eq!(pool.begin_zeroing(), None);
    assert_eq!(pool.allocate(id, PageSize::Small), Err(PoolError::Zeroing));
    assert_eq!(pool.withdraw(first), Err(PoolError::InUse(first)));
    assert_eq!(pool.free(first, 9), Err(PoolError::NotTaken(first)));
    assert_eq!((pool.stats().free, pool.stats().zeroing), (1, 1));
    pool.end_zeroing(first, Content::Dirty).expect("given up");
    assert_eq!(
        pool.end_zeroing(first, Content::Zeroed),
        Err(PoolError::NotZeroing(first))
    );
    pool.begin_zeroing().expect("a dirty block");
    assert_eq!(pool.retire(first), Ok(Retirement::OnceFree));
    pool.end_zeroing(first, Content::Zeroed)
        .expect("a damaged block");
    assert_eq!((pool.stats().retired, pool.stats().zeroed), (1, 0));
    pool.check().expect("a sound pool");
}

#[test]
fn blocks_come_and_go() {
    let mut memory = Memory::new(2);
    let mut pool = memory.pool(514);
    assert_eq!(
        pool.add(block(0), Content::Dirty),
        Err(PoolError::Present(block(0)))
    );
    assert_eq!(
        pool.add(pfn(1), Content::Dirty),
        Err(PoolError::Misaligned(pfn(1)))
    );
    assert_eq!(
        pool.withdraw(block(600)),
        Err(PoolError::Foreign(block(600)))
    );
    let id = pool.open(513).expect("an account");
    // The whole group is spared.
    assert_eq!(pool.spare_block(), Some(block(512)));
    pool.withdraw(block(512)).expect("a spare block");
    assert_eq!(pool.spare_block(), None);
    assert_eq!(
        pool.withdraw(block(513)),
        Err(PoolError::Reserved { unreserved: 0 })
    );
    pool.close(id).expect("the account");
    while let Some(first) = pool.spare_block() {
        pool.withdraw(first).expect("a spare block");
    }
    assert_eq!(pool.stats(), Stats::default());
    pool.check().expect("a sound pool");
}

#[test]
fn claimed_blocks_come_home_like_others() {
    let mut memory = Memory::new(1);
    let mut pool = memory.pool(2);
    let id = pool.open(0).expect("an account");
    pool.add_held(block(5), id).expect("a new block");
    assert_eq!(
        pool.add_held(block(5), id),
        Err(PoolError::Present(block(5)))
    );
    pool.close(id).expect("the account");
    assert_eq!((pool.nr_unreserved(), pool.stats().free), (2, 2));
    assert_eq!(pool.add_held(block(6), id), Err(PoolError::NoSuchAccount));
    for place in 0..512 {
        pool.free(Pfn::new(block(5).get() + place), 0)
            .expect("a frame that came home");
        pool.check().expect("a sound pool");
    }
    assert_eq!((pool.account(id), pool.stats().free), (None, 3));
}

#[test]
fn fragmentation_is_what_is_outside_the_longest_run() {
    let mut memory = Memory::new(2);
    let mut pool = memory.pool(600);
    assert_eq!(
        (pool.stats().longest_run, pool.stats().fragmentation()),
        (600, 0)
    );
    pool.withdraw(block(150)).expect("a free block");
    let stats = pool.stats();
    assert_eq!((stats.free_runs, stats.longest_run), (2, 449));
    assert_eq!(stats.fragmentation(), 250);
    assert_eq!(Stats::default().fragmentation(), 0);
}

#[test]
fn tables_must_be_long_enough() {
    let mut memory = Memory::new(2);
    memory.groups.pop();
    let tables = Tables {
        summaries: &mut memory.summaries,
        groups: &mut memory.groups,
        blocks: &mut memory.blocks,
        accounts: &mut memory.accounts,
    };
    assert!(Pool::new(memory.span, tables).is_err());
}
