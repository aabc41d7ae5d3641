// SPDX-License-Identifier: GPL-2.0
//! Sets of system calls.

use crate::uapi::MAX_CALLS;

/// Bits of a word.
const WORD_BITS: u32 = u64::BITS;

/// Words of a set.
const WORDS: usize = MAX_CALLS / u64::BITS as usize;

/// A set of system calls by number, as it crosses the ABI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallSet([u64; WORDS]);

impl CallSet {
    /// No call.
    pub const EMPTY: Self = Self([0; WORDS]);

    /// Every number, also of calls that there are not.
    pub const FULL: Self = Self([u64::MAX; WORDS]);

    /// Makes a set of words as the ABI has them.
    pub const fn from_words(words: [u64; WORDS]) -> Self {
        Self(words)
    }

    /// Returns its words.
    pub const fn words(&self) -> [u64; WORDS] {
        self.0
    }

    /// Says whether a call is in the set; never so for numbers past the last one that a set can hold.
    #[inline]
    pub fn contains(&self, nr: u32) -> bool {
        self.0
            .get(word_of(nr))
            .is_some_and(|word| word >> (nr % WORD_BITS) & 1 != 0)
    }

    /// Adds a call; false if a set cannot hold its number.
    pub fn insert(&mut self, nr: u32) -> bool {
        let word = self.0.get_mut(word_of(nr));
        word.map(|word| *word |= 1 << (nr % WORD_BITS)).is_some()
    }

    /// Takes a call out.
    pub fn remove(&mut self, nr: u32) {
        if let Some(word) = self.0.get_mut(word_of(nr)) {
            *word &= !(1 << (nr % WORD_BITS));
        }
    }

    /// Says whether no call is in it.
    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }

    /// Returns how many calls are in it.
    pub fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Returns the calls of either set.
    #[must_use]
    pub fn union(mut self, other: Self) -> Self {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
        self
    }

    /// Returns the calls of both sets.
    #[must_use]
    pub fn intersection(mut self, other: Self) -> Self {
        for (word, same) in self.0.iter_mut().zip(other.0) {
            *word &= same;
        }
        self
    }

    /// Returns the calls of this set that are not in the other.
    #[must_use]
    pub fn without(mut self, other: Self) -> Self {
        for (word, less) in self.0.iter_mut().zip(other.0) {
            *word &= !less;
        }
        self
    }

    /// Iterates over the calls by number.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let bases = (0..).step_by(u64::BITS as usize);
        self.0.iter().zip(bases).flat_map(|(word, base)| {
            let bits = 0..WORD_BITS;
            let set = bits.filter(move |bit| word >> bit & 1 != 0);
            set.map(move |bit| base + bit)
        })
    }
}

impl FromIterator<u32> for CallSet {
    /// Drops numbers that a set cannot hold.
    fn from_iter<I: IntoIterator<Item = u32>>(calls: I) -> Self {
        let mut set = Self::EMPTY;
        for nr in calls {
            set.insert(nr);
        }
        set
    }
}

/// Returns the word that a call is in.
#[inline]
const fn word_of(nr: u32) -> usize {
    // CAST: usize is wider on x86-64.
    (nr / WORD_BITS) as usize
}
