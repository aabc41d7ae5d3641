// SPDX-License-Identifier: GPL-2.0
//! Accounts: what jobs were promised and what they use, in blocks.
//!
//! Linux may refer to memory of a job that is gone (RDMA, a pipe, a file in memory). Its blocks then are *orphans* of the
//! pool, counted together, however many jobs left some: their account is closed, and its number is free for another job.
//! An account has a serial beside its number, so that a block knows whether the present one is still its own.

use super::table::{Owner, Standing, NO_BLOCK};
use super::{Account, Pfn, Pool, PoolError};

/// The number of an account of one pool.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AccountId(pub(super) u16);

impl AccountId {
    /// Returns the account of this number, which need not be in use.
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// Returns its number, an index into the table of accounts.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// What is known of an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccountView {
    /// Blocks promised to it.
    pub reserved: u64,
    /// Blocks that it uses, broken ones included.
    pub used: u64,
}

impl Pool<'_> {
    /// Promises blocks to a new account.
    ///
    /// # Errors
    ///
    /// Too few are left, or there are too many accounts.
    pub fn open(&mut self, nr_blocks: u64) -> Result<AccountId, PoolError> {
        let unreserved = self.nr_unreserved();
        if nr_blocks > unreserved {
            return Err(PoolError::Reserved { unreserved });
        }
        let mut accounts = (0..=u16::MAX).zip(self.tables.accounts.iter_mut());
        let (nr, account) = accounts
            .find(|(_, account)| account.standing == Standing::Unused)
            .ok_or(PoolError::TooManyAccounts)?;
        *account = Account {
            standing: Standing::Open,
            serial: account.serial,
            reserved: nr_blocks,
            ..Account::UNUSED
        };
        self.nr_reserved += nr_blocks;
        self.nr_changes += 1;
        Ok(AccountId(nr))
    }

    /// Has an account take blocks of whole groups last, for it or others are to have pages of 1 GiB.
    ///
    /// # Errors
    ///
    /// There is no such account.
    pub fn spare_groups(&mut self, id: AccountId) -> Result<(), PoolError> {
        self.open_account(id)?.spares_groups = true;
        Ok(())
    }

    /// Changes how many blocks an open account is promised.
    ///
    /// # Errors
    ///
    /// Too few are left, or the account uses more than it is to have.
    pub fn resize(&mut self, id: AccountId, nr_blocks: u64) -> Result<(), PoolError> {
        let unreserved = self.nr_unreserved();
        let account = self.open_account(id)?;
        if nr_blocks < account.used {
            return Err(PoolError::AccountInUse { used: account.used });
        }
        if nr_blocks.saturating_sub(account.reserved) > unreserved {
            return Err(PoolError::Reserved { unreserved });
        }
        let before = core::mem::replace(&mut account.reserved, nr_blocks);
        self.nr_reserved = self.nr_reserved - before + nr_blocks;
        self.nr_changes += 1;
        Ok(())
    }

    /// Ends an account: what it did not use is nobody's from here on, the rest when it is freed. Its number may be another's
    /// next.
    ///
    /// # Errors
    ///
    /// There is no such account.
    pub fn close(&mut self, id: AccountId) -> Result<(), PoolError> {
        let account = self.open_account(id)?;
        let (reserved, used) = (account.reserved, account.used);
        // INVARIANT: All blocks that name it have an earlier serial now. 64 bits do not wrap.
        *account = Account {
            serial: account.serial + 1,
            ..Account::UNUSED
        };
        self.nr_orphans += used;
        self.nr_changes += 1;
        self.nr_reserved = self.nr_reserved - reserved + used;
        Ok(())
    }

    /// Returns what is known of an account.
    pub fn account(&self, id: AccountId) -> Option<AccountView> {
        let account = self.tables.accounts.get(usize::from(id.0))?;
        (account.standing != Standing::Unused).then_some(AccountView {
            reserved: account.reserved,
            used: account.used,
        })
    }

    /// Returns how many blocks are in use whose account is closed.
    pub const fn nr_orphans(&self) -> u64 {
        self.nr_orphans
    }

    /// Returns the account that pays for this frame, if it has one that is open.
    pub fn payer(&self, pfn: Pfn) -> Option<AccountId> {
        let (nr, _) = self.span.locate(pfn)?;
        let block = self.block(nr).filter(|block| block.state.is_taken())?;
        self.open_owner(block.owner)
    }

    /// Returns the account of blocks, if it is open yet.
    pub(super) fn open_owner(&self, owner: Owner) -> Option<AccountId> {
        let account = self.tables.accounts.get(usize::from(owner.id.0))?;
        (account.serial == owner.serial).then_some(owner.id)
    }

    /// Returns the account as blocks name it that are taken for it now.
    pub(super) fn owner(&self, id: AccountId) -> Owner {
        let account = self.tables.accounts.get(usize::from(id.0));
        let serial = account.map_or(0, |account| account.serial);
        Owner { id, serial }
    }

    /// Returns the account of blocks, unless they are orphans.
    fn account_of(&mut self, owner: Owner) -> Option<&mut Account> {
        self.account_mut(owner.id)
            .filter(|account| account.serial == owner.serial)
    }

    pub(super) fn account_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        self.tables.accounts.get_mut(usize::from(id.0))
    }

    /// Returns an account that can still take.
    pub(super) fn open_account(&mut self, id: AccountId) -> Result<&mut Account, PoolError> {
        self.account_mut(id)
            .filter(|account| account.standing == Standing::Open)
            .ok_or(PoolError::NoSuchAccount)
    }

    /// Notes that a block is back.
    pub(super) fn uncharge(&mut self, owner: Owner) {
        if let Some(account) = self.account_of(owner) {
            account.used -= 1;
        } else {
            self.nr_orphans -= 1;
            self.nr_reserved -= 1;
        }
    }

    /// Puts a block first among those of its owner that have an unused frame. Nobody takes any of an orphan.
    pub(super) fn link(&mut self, nr: u32) {
        let Some(owner) = self.block(nr).map(|block| block.owner) else {
            return;
        };
        let Some(account) = self.account_of(owner) else {
            return;
        };
        let next = core::mem::replace(&mut account.spare, nr);
        if let Some(block) = self.block_mut(nr) {
            block.prev = NO_BLOCK;
            block.next = next;
        }
        if let Some(block) = self.block_mut(next) {
            block.prev = nr;
        }
    }

    /// Takes a block out of the list that [`link`](Self::link) put it into.
    pub(super) fn unlink(&mut self, nr: u32) {
        let Some(block) = self.block_mut(nr) else {
            return;
        };
        let (prev, next, owner) = (block.prev, block.next, block.owner);
        block.prev = NO_BLOCK;
        block.next = NO_BLOCK;
        if let Some(block) = self.block_mut(next) {
            block.prev = prev;
        }
        if let Some(block) = self.block_mut(prev) {
            block.next = next;
        } else if let Some(account) = self.account_of(owner) {
            account.spare = next;
        }
    }
}
