// SPDX-License-Identifier: GPL-2.0
//! Accounts: what jobs were promised and what they use, in blocks.
//!
//! ```text
//! unused --open--> open --close--> unused        if all its memory is back
//!                       --close--> closed --last block freed--> unused
//! ```
//!
//! Linux may refer to memory of a job that is gone (RDMA, a pipe, a child that left the job). Such an account stays,
//! closed, so that each frame still finds its own way home, and its number is not given to another job meanwhile.

use super::table::{Standing, NO_BLOCK};
use super::{Account, Pool, PoolError};

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
    /// Whether its job is gone.
    pub is_closed: bool,
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
            reserved: nr_blocks,
            ..Account::UNUSED
        };
        self.nr_reserved += nr_blocks;
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
        Ok(())
    }

    /// Ends an account: what it did not use is nobody's from here on, the rest when it is freed.
    ///
    /// # Errors
    ///
    /// There is no such account.
    pub fn close(&mut self, id: AccountId) -> Result<(), PoolError> {
        let account = self.open_account(id)?;
        let before = core::mem::replace(&mut account.reserved, account.used);
        let used = account.used;
        if used == 0 {
            *account = Account::UNUSED;
        } else {
            account.standing = Standing::Closed;
        }
        self.nr_reserved = self.nr_reserved - before + used;
        Ok(())
    }

    /// Returns what is known of an account.
    pub fn account(&self, id: AccountId) -> Option<AccountView> {
        let account = self.tables.accounts.get(usize::from(id.0))?;
        (account.standing != Standing::Unused).then_some(AccountView {
            reserved: account.reserved,
            used: account.used,
            is_closed: account.standing == Standing::Closed,
        })
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

    /// Notes that blocks of an account are back.
    pub(super) fn uncharge(&mut self, id: AccountId, nr_blocks: u64) {
        let Some(account) = self.account_mut(id) else {
            return;
        };
        account.used -= nr_blocks;
        if account.standing == Standing::Closed {
            account.reserved -= nr_blocks;
            if account.used == 0 {
                *account = Account::UNUSED;
            }
            self.nr_reserved -= nr_blocks;
        }
    }

    /// Puts a block first among those of its owner that have an unused frame.
    pub(super) fn link(&mut self, nr: u32) {
        let Some(owner) = self.block(nr).map(|block| block.owner) else {
            return;
        };
        let Some(account) = self.account_mut(owner) else {
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
        } else if let Some(account) = self.account_mut(owner) {
            account.spare = next;
        }
    }
}
