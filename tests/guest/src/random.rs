// SPDX-License-Identifier: GPL-2.0
//! Chance that can be had again.

/// A xorshift generator with a fixed seed, so that a failing round can be had again.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
