// SPDX-License-Identifier: GPL-2.0
//! The frames of a pool against memory itself: who holds each frame, and whether it holds zeroes.

mod model;

use lwk_logic::logic::frames::{
    Account, AccountId, Block, Content, Grant, Group, PageSize, Pfn, Pool, PoolError, Retirement,
    Span, Stats, Summary, Tables, BLOCKS_PER_GROUP, FRAMES_PER_BLOCK, FRAMES_PER_GROUP,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use model::{number, Model};

/// The first frame of the span.
const BASE: u64 = 5 * FRAMES_PER_GROUP;

/// Groups of the span.
const NR_GROUPS: usize = 3;

/// Accounts that there can be.
const NR_ACCOUNTS: usize = 4;

const BLOCK: usize = FRAMES_PER_BLOCK as usize;
const GROUP: usize = BLOCKS_PER_GROUP as usize;
const NR_BLOCKS: usize = NR_GROUPS * GROUP;

/// One operation; numbers are places among what there is.
#[derive(Debug, Clone)]
enum Op {
    Add {
        first: Index,
        len: usize,
        zeroed: bool,
    },
    AddHeld {
        account: Index,
        block: Index,
    },
    Withdraw {
        block: Index,
    },
    WithdrawSpare,
    Open {
        nr_blocks: u64,
    },
    Resize {
        account: Index,
        nr_blocks: u64,
    },
    Close {
        account: Index,
    },
    Allocate {
        account: Index,
        size: PageSize,
        is_most: bool,
        times: usize,
    },
    Free {
        grant: Index,
        order: u32,
        piece: Index,
    },
    FreeAnything {
        frame: Index,
        order: u32,
    },
    Retire {
        frame: Index,
    },
    RetireHeld {
        grant: Index,
        place: Index,
    },
    RetireLast {
        place: Index,
    },
    RetireZeroing,
    BeginZeroing {
        times: usize,
    },
    EndZeroing {
        is_done: bool,
    },
}

fn size() -> impl Strategy<Value = PageSize> {
    prop_oneof![
        5 => Just(PageSize::Small),
        5 => Just(PageSize::Large),
        3 => Just(PageSize::Giant),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let index = any::<Index>;
    prop_oneof![
        2 => (index(), 1..600_usize, any::<bool>())
            .prop_map(|(first, len, zeroed)| Op::Add { first, len, zeroed }),
        1 => (index(), index()).prop_map(|(account, block)| Op::AddHeld { account, block }),
        1 => index().prop_map(|block| Op::Withdraw { block }),
        1 => Just(Op::WithdrawSpare),
        2 => (0..1100_u64).prop_map(|nr_blocks| Op::Open { nr_blocks }),
        1 => (index(), 0..1100_u64)
            .prop_map(|(account, nr_blocks)| Op::Resize { account, nr_blocks }),
        1 => index().prop_map(|account| Op::Close { account }),
        8 => (index(), size(), any::<bool>(), 1..20_usize).prop_map(
            |(account, size, is_most, times)| Op::Allocate { account, size, is_most, times }
        ),
        6 => (index(), 0..19_u32, index())
            .prop_map(|(grant, order, piece)| Op::Free { grant, order, piece }),
        1 => (index(), 0..20_u32).prop_map(|(frame, order)| Op::FreeAnything { frame, order }),
        1 => index().prop_map(|frame| Op::Retire { frame }),
        1 => (index(), index()).prop_map(|(grant, place)| Op::RetireHeld { grant, place }),
        1 => index().prop_map(|place| Op::RetireLast { place }),
        1 => Just(Op::RetireZeroing),
        2 => (1..600_usize).prop_map(|times| Op::BeginZeroing { times }),
        2 => any::<bool>().prop_map(|is_done| Op::EndZeroing { is_done }),
    ]
}

fn pfn(frame: usize) -> Pfn {
    Pfn::new(BASE + frame as u64)
}

fn frame(pfn: Pfn) -> usize {
    usize::try_from(pfn.get() - BASE).expect("a frame of the span")
}

/// The pool, the model, and the identifiers that the pool gave out.
struct Both<'a> {
    pool: Pool<'a>,
    model: Model,
    ids: Vec<Option<AccountId>>,
}

impl Both<'_> {
    /// Chooses an account that was opened once, if any.
    fn account(&self, index: &Index) -> Option<(usize, AccountId)> {
        let known: Vec<_> = (0..NR_ACCOUNTS)
            .filter_map(|nr| Some((nr, self.ids[nr]?)))
            .collect();
        (!known.is_empty()).then(|| *index.get(&known))
    }

    fn step(&mut self, op: &Op) -> Result<(), TestCaseError> {
        match op {
            Op::Add { first, len, zeroed } => {
                let first = first.index(NR_BLOCKS);
                for block in first..(first + len).min(NR_BLOCKS) {
                    self.add(block, *zeroed)?;
                }
            }
            Op::AddHeld { account, block } => self.add_held(account, block.index(NR_BLOCKS))?,
            Op::Withdraw { block } => self.withdraw(block.index(NR_BLOCKS))?,
            Op::WithdrawSpare => {
                let spare = self.pool.spare_block();
                let any = (0..NR_BLOCKS).any(|block| self.model.is_free(block));
                prop_assert_eq!(spare.is_some(), any && self.model.unreserved() > 0);
                if let Some(first) = spare {
                    prop_assert!(self.model.is_free(frame(first) / BLOCK));
                    self.withdraw(frame(first) / BLOCK)?;
                }
            }
            Op::Open { nr_blocks } => self.open(*nr_blocks)?,
            Op::Resize { account, nr_blocks } => {
                let Some((nr, id)) = self.account(account) else {
                    return Ok(());
                };
                let expected = matches!(self.model.accounts[nr], Some(reserved)
                    if *nr_blocks >= self.model.used(nr)
                        && nr_blocks.saturating_sub(reserved) <= self.model.unreserved());
                prop_assert_eq!(self.pool.resize(id, *nr_blocks).is_ok(), expected);
                if expected {
                    self.model.accounts[nr] = Some(*nr_blocks);
                }
            }
            Op::Close { account } => {
                let Some((nr, id)) = self.account(account) else {
                    return Ok(());
                };
                let is_open = self.model.accounts[nr].is_some();
                prop_assert_eq!(self.pool.close(id).is_ok(), is_open);
                if is_open {
                    self.model.close(nr);
                }
            }
            Op::Allocate {
                account,
                size,
                is_most,
                times,
            } => {
                for _ in 0..*times {
                    self.allocate(account, *size, *is_most)?;
                }
            }
            Op::Free {
                grant,
                order,
                piece,
            } => {
                if self.model.grants.is_empty() {
                    return Ok(());
                }
                let nr = grant.index(self.model.grants.len());
                let (first, whole) = self.model.grants.swap_remove(nr);
                let order = if *order > 9 { whole } else { whole.min(*order) };
                let first = first + (piece.index(1 << (whole - order)) << order);
                self.free(first, order)?;
                // Again, and what it was a part of: more than is held.
                self.free(first, order)?;
                let larger = order + 1;
                self.free(first >> larger << larger, larger)?;
            }
            Op::FreeAnything { frame, order } => {
                self.free(frame.index(NR_BLOCKS * BLOCK), *order)?;
            }
            Op::Retire { frame } => self.retire(frame.index(NR_BLOCKS * BLOCK))?,
            Op::RetireHeld { grant, place } => {
                if let Some(index) = self.model.grants.len().checked_sub(1) {
                    let (first, order) = self.model.grants[grant.index(index + 1)];
                    self.retire(first + place.index(1 << order))?;
                }
            }
            Op::RetireLast { place } => {
                if let Some((first, order)) = self.model.grants.last().copied() {
                    self.retire(first + place.index(1 << order))?;
                }
            }
            Op::RetireZeroing => {
                if let Some(block) = self.model.zeroing.first().copied() {
                    self.retire(block * BLOCK)?;
                }
            }
            Op::BeginZeroing { times } => self.zero(*times)?,
            Op::EndZeroing { is_done } => {
                let Some(block) = self.model.zeroing.pop_first() else {
                    return Ok(());
                };
                let content = if *is_done {
                    Content::Zeroed
                } else {
                    Content::Dirty
                };
                if *is_done {
                    self.model.dirty[block * BLOCK..(block + 1) * BLOCK].fill(false);
                }
                prop_assert_eq!(self.pool.end_zeroing(pfn(block * BLOCK), content), Ok(()));
            }
        }
        Ok(())
    }

    fn add(&mut self, block: usize, zeroed: bool) -> Result<(), TestCaseError> {
        let content = if zeroed {
            Content::Zeroed
        } else {
            Content::Dirty
        };
        let found = self.pool.add(pfn(block * BLOCK), content);
        prop_assert_eq!(found.is_ok(), !self.model.present[block]);
        if found.is_ok() {
            self.model.present[block] = true;
            self.model.damaged[block] = false;
            self.model.dirty[block * BLOCK..(block + 1) * BLOCK].fill(!zeroed);
        }
        Ok(())
    }

    fn add_held(&mut self, account: &Index, block: usize) -> Result<(), TestCaseError> {
        let Some((nr, id)) = self.account(account) else {
            return Ok(());
        };
        let model = &mut self.model;
        let found = self.pool.add_held(pfn(block * BLOCK), id);
        let Some(reserved) = model.accounts[nr] else {
            prop_assert!(found.is_err());
            return Ok(());
        };
        prop_assert_eq!(found.is_ok(), !model.present[block]);
        if found.is_ok() {
            model.accounts[nr] = Some(reserved + 1);
            model.present[block] = true;
            model.damaged[block] = false;
            model.whole.insert(block);
            model.hold(block * BLOCK..(block + 1) * BLOCK, number(nr));
            model.dirty[block * BLOCK..(block + 1) * BLOCK].fill(true);
            model.grants.push((block * BLOCK, 9));
        }
        Ok(())
    }

    fn withdraw(&mut self, block: usize) -> Result<(), TestCaseError> {
        let model = &mut self.model;
        let expected = model.is_retired(block) || model.is_free(block) && model.unreserved() > 0;
        prop_assert_eq!(self.pool.withdraw(pfn(block * BLOCK)).is_ok(), expected);
        if expected {
            model.present[block] = false;
        }
        Ok(())
    }

    fn open(&mut self, nr_blocks: u64) -> Result<(), TestCaseError> {
        let slot = self.model.accounts.iter().position(Option::is_none);
        let is_room = nr_blocks <= self.model.unreserved();
        match self.pool.open(nr_blocks) {
            Ok(id) => {
                prop_assert!(is_room);
                let nr = usize::from(id.get());
                prop_assert_eq!(self.model.accounts[nr], None);
                self.model.accounts[nr] = Some(nr_blocks);
                self.ids[nr] = Some(id);
            }
            Err(PoolError::TooManyAccounts) => prop_assert!(slot.is_none()),
            Err(error) => prop_assert!(!is_room, "{}", error),
        }
        Ok(())
    }

    fn allocate(
        &mut self,
        account: &Index,
        size: PageSize,
        is_most: bool,
    ) -> Result<(), TestCaseError> {
        let Some((nr, id)) = self.account(account) else {
            return Ok(());
        };
        let sizes = PageSize::DESCENDING
            .into_iter()
            .filter(|other| *other <= size);
        let expected = sizes
            .filter(|other| is_most || *other == size)
            .find(|other| self.model.can_take(nr, *other));
        let found = if is_most {
            self.pool.allocate_at_most(id, size)
        } else {
            self.pool.allocate(id, size)
        };
        if found == Err(PoolError::Zeroing) {
            prop_assert!(!self.model.zeroing.is_empty());
            return Ok(());
        }
        prop_assert_eq!(found.ok().map(|grant| grant.size), expected);
        found.map_or(Ok(()), |grant| self.check_grant(nr, &grant))
    }

    /// Checks that nobody has what was handed out, and that it is as it was said to be; then uses it.
    fn check_grant(&mut self, account: usize, grant: &Grant) -> Result<(), TestCaseError> {
        let (first, order) = (frame(grant.first), grant.size.order());
        let range = first..first + (1 << order);
        prop_assert!(first.is_multiple_of(1 << order));
        prop_assert!(self.model.holder[range.clone()]
            .iter()
            .all(|holder| *holder == 0));
        for block in first / BLOCK..range.end.div_ceil(BLOCK) {
            let is_own = self.model.owner(block) == Some(number(account));
            prop_assert!(self.model.present[block] && !self.model.damaged[block]);
            prop_assert!(!self.model.zeroing.contains(&block));
            prop_assert!(self.model.is_free(block) || order == 0 && is_own);
            if order > 0 {
                self.model.whole.insert(block);
            }
        }
        if order == 18 {
            self.model.giants.insert(first / (GROUP * BLOCK));
        }
        if grant.content == Content::Zeroed {
            prop_assert!(!self.model.dirty[range.clone()].contains(&true));
        }
        self.model.hold(range.clone(), number(account));
        self.model.dirty[range].fill(true);
        self.model.grants.push((first, order));
        Ok(())
    }

    fn free(&mut self, first: usize, order: u32) -> Result<(), TestCaseError> {
        let payer = self.model.payer(first / BLOCK);
        prop_assert_eq!(self.pool.payer(pfn(first)).map(|id| id.get() + 1), payer);
        let is_known = first
            .checked_add(1 << order)
            .is_some_and(|end| end <= NR_BLOCKS * BLOCK);
        let blocks = || (first / BLOCK..(first + (1 << order)).div_ceil(BLOCK)).take(GROUP);
        let nr_free = |model: &Model| {
            blocks()
                .filter(|block| *block < NR_BLOCKS && model.is_free(*block))
                .count()
        };
        let before = nr_free(&self.model);
        let expected = is_known && self.model.free(first, order);
        let found = self.pool.free(pfn(first), order);
        prop_assert_eq!(found.is_ok(), expected, "{:?}", found);
        if let Ok(freed) = found {
            prop_assert_eq!(freed.owner.map(|id| id.get() + 1), payer);
            prop_assert_eq!(freed.nr_blocks as usize, nr_free(&self.model) - before);
        }
        Ok(())
    }

    fn retire(&mut self, at: usize) -> Result<(), TestCaseError> {
        let block = at / BLOCK;
        let found = self.pool.retire(pfn(at));
        if !self.model.present[block] {
            prop_assert_eq!(found, Err(PoolError::Foreign(pfn(at))));
            return Ok(());
        }
        if self.model.held(block) > 0 {
            self.model.giants.remove(&(block / GROUP));
            self.model.whole.remove(&block);
        }
        self.model.damaged[block] = true;
        self.model.hold(at..at + 1, 0);
        let expected = if self.model.is_retired(block) {
            Retirement::Done
        } else {
            Retirement::OnceFree
        };
        prop_assert_eq!(found, Ok(expected));
        Ok(())
    }

    fn zero(&mut self, times: usize) -> Result<(), TestCaseError> {
        for _ in 0..times {
            let Some(first) = self.pool.begin_zeroing() else {
                let stats = self.pool.stats();
                prop_assert_eq!(stats.free - stats.zeroing, stats.zeroed);
                return Ok(());
            };
            let block = frame(first) / BLOCK;
            prop_assert!(self.model.is_free(block));
            self.model.zeroing.insert(block);
        }
        // All but the last are done at once, so that some are zeroed and few are in hand.
        while self.model.zeroing.len() > 1 {
            let Some(block) = self.model.zeroing.pop_last() else {
                break;
            };
            self.model.dirty[block * BLOCK..(block + 1) * BLOCK].fill(false);
            prop_assert_eq!(
                self.pool.end_zeroing(pfn(block * BLOCK), Content::Zeroed),
                Ok(())
            );
        }
        Ok(())
    }

    /// Compares all that can be asked.
    fn compare(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.pool.check(), Ok(()));
        let found = self.pool.stats();
        let expected = Stats {
            zeroed: found.zeroed,
            ..self.model.stats()
        };
        prop_assert_eq!(found, expected);
        prop_assert!(found.zeroed <= found.free - found.zeroing && found.fragmentation() <= 1000);
        prop_assert_eq!(self.pool.nr_unreserved(), self.model.unreserved());
        for nr in 0..NR_ACCOUNTS {
            let view = self.ids[nr].and_then(|id| self.pool.account(id));
            let view = view.map(|view| (view.reserved, view.used));
            let expected = self.model.accounts[nr].map(|reserved| (reserved, self.model.used(nr)));
            prop_assert_eq!(view, expected);
        }
        prop_assert_eq!(self.pool.nr_orphans(), self.model.orphans());
        prop_assert_eq!(self.pool.counts().free, self.pool.nr_free());
        let retired: Vec<_> = self
            .pool
            .retired()
            .map(|first| frame(first) / BLOCK)
            .collect();
        let expected: Vec<_> = (0..NR_BLOCKS)
            .filter(|block| self.model.is_retired(*block))
            .collect();
        prop_assert_eq!(retired, expected);
        for block in 0..NR_BLOCKS {
            let is_there = self.model.present[block] && !self.model.zeroing.contains(&block);
            for at in [0, 1, 300, BLOCK - 1].map(|place| block * BLOCK + place) {
                let expected = is_there && self.model.holder[at] == 0;
                prop_assert_eq!(self.pool.is_free(pfn(at)), expected, "frame {}", at);
            }
        }
        let promised = found.reserved + found.retired;
        prop_assert_eq!(self.pool.nr_lost(), promised.saturating_sub(found.total));
        Ok(())
    }
}

/// Runs a test with an empty pool over tables that hold garbage.
fn with_both(
    test: impl FnOnce(Both<'_>) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let span = Span::covering(pfn(0), pfn(NR_BLOCKS * BLOCK));
    let len = |nr: u32| usize::try_from(nr).expect("a length");
    let mut summaries = vec![Summary::EMPTY; len(span.nr_summaries())];
    let mut groups = vec![Group::EMPTY; len(span.nr_groups())];
    let mut blocks = vec![Block::ABSENT; len(span.nr_blocks())];
    let mut accounts = vec![Account::UNUSED; NR_ACCOUNTS];
    let tables = Tables {
        summaries: &mut summaries,
        groups: &mut groups,
        blocks: &mut blocks,
        accounts: &mut accounts,
    };
    let pool = Pool::new(span, tables).map_err(|error| TestCaseError::fail(error.to_string()))?;
    test(Both {
        pool,
        model: Model::new(),
        ids: vec![None; NR_ACCOUNTS],
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn pool_and_memory_agree(ops in vec(op(), 1..40)) {
        with_both(|mut both| {
            for block in 0..1100 {
                both.add(block, false)?;
            }
            both.open(700)?;
            for op in &ops {
                both.step(op)?;
                both.compare()?;
            }
            Ok(())
        })?;
    }

    #[test]
    fn pool_is_whole_again_when_all_is_freed(ops in vec(op(), 1..40)) {
        with_both(|mut both| {
            for block in 100..NR_BLOCKS {
                both.add(block, true)?;
            }
            for op in &ops {
                both.step(op)?;
            }
            for block in 0..NR_BLOCKS {
                if both.model.held(block) == BLOCK {
                    both.free(block * BLOCK, 9)?;
                }
                for at in block * BLOCK..(block + 1) * BLOCK {
                    if both.model.holder[at] != 0 {
                        both.free(at, 0)?;
                    }
                }
            }
            while !both.model.zeroing.is_empty() {
                both.step(&Op::EndZeroing { is_done: true })?;
            }
            for nr in 0..NR_ACCOUNTS {
                if let (Some(id), Some(_)) = (both.ids[nr], both.model.accounts[nr]) {
                    prop_assert_eq!(both.pool.close(id), Ok(()));
                    both.model.close(nr);
                }
            }
            let stats = both.pool.stats();
            prop_assert_eq!((stats.free + stats.retired, stats.reserved), (stats.total, 0));
            while both.pool.spare_block().is_some() {
                both.step(&Op::WithdrawSpare)?;
            }
            let retired: Vec<_> = both.pool.retired().collect();
            for first in retired {
                prop_assert_eq!(both.pool.withdraw(first), Ok(()));
            }
            prop_assert_eq!(both.pool.stats(), Stats::default());
            prop_assert_eq!(both.pool.check(), Ok(()));
            Ok(())
        })?;
    }
}
