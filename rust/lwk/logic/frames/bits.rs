// SPDX-License-Identifier: GPL-2.0
//! Sets of 512: the frames of a block, the blocks of a group.

/// How many there can be.
pub(super) const NR_BITS: u16 = 512;

const BITS: u16 = 64;

/// A set of numbers below 512.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Bits([u64; 8]);

impl Bits {
    /// None.
    pub(super) const EMPTY: Self = Self([0; 8]);

    /// All.
    pub(super) const FULL: Self = Self([u64::MAX; 8]);

    pub(super) fn contains(&self, bit: u16) -> bool {
        let word = self.0.get(usize::from(bit / BITS));
        word.is_some_and(|word| word >> (bit % BITS) & 1 == 1)
    }

    pub(super) fn insert(&mut self, bit: u16) {
        self.insert_run(bit, 1);
    }

    pub(super) fn remove(&mut self, bit: u16) {
        self.remove_run(bit, 1);
    }

    /// Adds `len` numbers from `first` on; `len` is a power of two and `first` a multiple of it.
    pub(super) fn insert_run(&mut self, first: u16, len: u16) {
        for (word, mask) in self.words(first, len) {
            *word |= mask;
        }
    }

    /// Removes a run as of [`insert_run`](Self::insert_run).
    pub(super) fn remove_run(&mut self, first: u16, len: u16) {
        for (word, mask) in self.words(first, len) {
            *word &= !mask;
        }
    }

    /// Counts the numbers of a run as of [`insert_run`](Self::insert_run) that are in the set.
    pub(super) fn count_run(&self, first: u16, len: u16) -> u16 {
        let mut copy = *self;
        // CAST: There are 512 bits.
        copy.words(first, len)
            .map(|(word, mask)| (*word & mask).count_ones() as u16)
            .sum()
    }

    pub(super) fn first(&self) -> Option<u16> {
        let (nr, word) = (0..).zip(&self.0).find(|(_, word)| **word != 0)?;
        // CAST: A word has 64 bits.
        Some(nr * BITS + word.trailing_zeros() as u16)
    }

    pub(super) fn len(&self) -> u16 {
        self.count_run(0, NR_BITS)
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }

    pub(super) fn is_full(&self) -> bool {
        *self == Self::FULL
    }

    /// Returns what is in this set and not in the other.
    pub(super) fn minus(&self, other: &Self) -> Self {
        let mut result = *self;
        for (word, out) in result.0.iter_mut().zip(other.0) {
            *word &= !out;
        }
        result
    }

    /// Goes through the words of a run, each with the bits that belong to it.
    fn words(&mut self, first: u16, len: u16) -> impl Iterator<Item = (&mut u64, u64)> {
        let (start, nr_words) = (usize::from(first / BITS), usize::from(len.div_ceil(BITS)));
        let mask = if len >= BITS {
            u64::MAX
        } else {
            ((1 << len) - 1) << (first % BITS)
        };
        let words = self.0.iter_mut().skip(start).take(nr_words);
        words.map(move |word| (word, mask))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_all_lengths() {
        for order in 0..10 {
            let len: u16 = 1 << order;
            for first in (0..NR_BITS).step_by(usize::from(len)) {
                let mut bits = Bits::EMPTY;
                bits.insert_run(first, len);
                assert_eq!((bits.len(), bits.first()), (len, Some(first)));
                assert!(bits.contains(first) && bits.contains(first + len - 1));
                assert!(!bits.contains(first + len), "{first} {len}");
                assert_eq!(bits.count_run(first, len), len);
                let mut rest = Bits::FULL;
                rest.remove_run(first, len);
                assert_eq!(rest, Bits::FULL.minus(&bits));
                assert_eq!(rest.len(), NR_BITS - len);
                bits.remove_run(first, len);
                assert!(bits.is_empty() && bits.first().is_none());
            }
        }
        assert!(Bits::FULL.is_full() && !Bits::FULL.contains(512));
    }
}
