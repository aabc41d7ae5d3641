// SPDX-License-Identifier: GPL-2.0
//! Numbers and sets of logical CPUs: [`CpuId`] is always in range, [`CpuSet`] has a fixed size.
//!
//! The text form is in the neighbour `cpulist`.

use super::cpulist::{self, ListError};
use crate::uapi::MAX_CPUS;
use core::{fmt, str::FromStr};

/// Bits of one word, as in the bitmaps of the ABI.
const WORD_BITS: usize = 64;

/// Words of one set.
const NR_WORDS: usize = MAX_CPUS / WORD_BITS;

const _: () = assert!(MAX_CPUS % WORD_BITS == 0 && MAX_CPUS <= 1 << 15);

/// A logical CPU, as Linux numbers it.
///
/// # Invariants
///
/// The number is below [`MAX_CPUS`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash)]
pub struct CpuId(u32);

impl CpuId {
    /// Returns CPU `number`, or none if it is not below [`MAX_CPUS`].
    pub const fn new(number: u32) -> Option<Self> {
        // CAST: `MAX_CPUS` fits in 32 bits, see above.
        if number < MAX_CPUS as u32 {
            // INVARIANT: Just tested.
            Some(Self(number))
        } else {
            None
        }
    }

    /// Returns its number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Returns its number for arrays of [`MAX_CPUS`] elements.
    pub const fn index(self) -> usize {
        // CAST: `usize` has at least 32 bits on every machine with an LWK.
        self.0 as usize
    }

    /// Returns the CPU with this array index, which the caller took from an array of [`MAX_CPUS`] elements.
    pub(super) fn from_index(index: usize) -> Option<Self> {
        u32::try_from(index).ok().and_then(Self::new)
    }

    /// Returns its word and its bit in a set.
    const fn place(self) -> (usize, u64) {
        (self.index() / WORD_BITS, 1 << (self.index() % WORD_BITS))
    }
}

impl fmt::Display for CpuId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A set of logical CPUs; prints and parses as a cpulist such as `0-3,5`.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuSet {
    words: [u64; NR_WORDS],
}

impl CpuSet {
    /// The set without a CPU.
    pub const EMPTY: Self = Self {
        words: [0; NR_WORDS],
    };

    /// Returns the set of this one CPU.
    pub fn single(cpu: CpuId) -> Self {
        Self::range(cpu, cpu)
    }

    /// Returns all CPUs from `first` to `last`, both included; none if `last` is below `first`.
    pub fn range(first: CpuId, last: CpuId) -> Self {
        let mut set = Self::EMPTY;
        for cpu in (first.0..=last.0).filter_map(CpuId::new) {
            set.insert(cpu);
        }
        set
    }

    /// Takes a bitmap of the ABI, of any length.
    ///
    /// # Errors
    ///
    /// A bit at [`MAX_CPUS`] or above is set.
    pub fn from_words(words: &[u64]) -> Result<Self, ListError> {
        let mut set = Self::EMPTY;
        for (to, from) in set.words.iter_mut().zip(words) {
            *to = *from;
        }
        let mut tail = words.iter().enumerate().skip(NR_WORDS);
        match tail.find(|(_, word)| **word != 0) {
            None => Ok(set),
            Some((index, word)) => {
                // CAST: a count of zero bits is at most 64.
                let bit = index
                    .saturating_mul(WORD_BITS)
                    .saturating_add(word.trailing_zeros() as usize);
                Err(ListError::Beyond {
                    cpu: u32::try_from(bit).unwrap_or(u32::MAX),
                    nr_cpus: cpulist::LIMIT,
                })
            }
        }
    }

    /// Parses a cpulist; see [`cpulist::parse`].
    ///
    /// # Errors
    ///
    /// The text is no list, or names a CPU that is not below `nr_cpus`.
    pub fn parse(text: &[u8], nr_cpus: u32) -> Result<Self, ListError> {
        cpulist::parse(text, nr_cpus)
    }

    /// Adds a CPU and says whether it was missing.
    pub fn insert(&mut self, cpu: CpuId) -> bool {
        let (index, bit) = cpu.place();
        self.words.get_mut(index).is_some_and(|word| {
            let is_new = *word & bit == 0;
            *word |= bit;
            is_new
        })
    }

    /// Removes a CPU and says whether it was there.
    pub fn remove(&mut self, cpu: CpuId) -> bool {
        let (index, bit) = cpu.place();
        self.words.get_mut(index).is_some_and(|word| {
            let was_there = *word & bit != 0;
            *word &= !bit;
            was_there
        })
    }

    /// Says whether it has this CPU.
    pub fn contains(&self, cpu: CpuId) -> bool {
        let (index, bit) = cpu.place();
        self.words.get(index).is_some_and(|word| word & bit != 0)
    }

    /// Returns how many CPUs it has.
    pub fn len(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Says whether it has no CPU.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Returns the lowest CPU.
    pub fn first(&self) -> Option<CpuId> {
        self.iter().next()
    }

    /// Returns the highest CPU.
    pub fn last(&self) -> Option<CpuId> {
        let (index, word) = self
            .words
            .iter()
            .enumerate()
            .rfind(|(_, word)| **word != 0)?;
        // CAST: a count of zero bits is at most 64.
        CpuId::from_index(index * WORD_BITS + WORD_BITS - 1 - word.leading_zeros() as usize)
    }

    /// Goes through the CPUs, lowest first.
    pub fn iter(&self) -> Iter<'_> {
        Iter {
            words: &self.words,
            index: 0,
            rest: self.words.first().copied().unwrap_or(0),
        }
    }

    /// Returns the CPUs that are in either set.
    pub fn union(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a | b)
    }

    /// Returns the CPUs that are in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a & b)
    }

    /// Returns the CPUs that are in this set but not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a & !b)
    }

    /// Says whether `other` has all the CPUs of this set.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.words
            .iter()
            .zip(&other.words)
            .all(|(a, b)| a & !b == 0)
    }

    /// Says whether some CPU is in both sets.
    pub fn intersects(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).any(|(a, b)| a & b != 0)
    }

    /// Returns it as a bitmap of the ABI.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Combines two sets word by word.
    fn zip(&self, other: &Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        let mut set = *self;
        for (to, from) in set.words.iter_mut().zip(&other.words) {
            *to = combine(*to, *from);
        }
        set
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        cpulist::print(self, f)
    }
}

impl fmt::Debug for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        cpulist::print(self, f)
    }
}

impl FromStr for CpuSet {
    type Err = ListError;

    fn from_str(text: &str) -> Result<Self, ListError> {
        Self::parse(text.as_bytes(), cpulist::LIMIT)
    }
}

impl Extend<CpuId> for CpuSet {
    fn extend<I: IntoIterator<Item = CpuId>>(&mut self, cpus: I) {
        for cpu in cpus {
            self.insert(cpu);
        }
    }
}

impl FromIterator<CpuId> for CpuSet {
    fn from_iter<I: IntoIterator<Item = CpuId>>(cpus: I) -> Self {
        let mut set = Self::EMPTY;
        set.extend(cpus);
        set
    }
}

impl<'a> IntoIterator for &'a CpuSet {
    type Item = CpuId;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The CPUs of a set, lowest first.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    words: &'a [u64; NR_WORDS],
    /// The word that `rest` came from.
    index: usize,
    /// The bits of that word which are still to come.
    rest: u64,
}

impl Iterator for Iter<'_> {
    type Item = CpuId;

    fn next(&mut self) -> Option<CpuId> {
        while self.rest == 0 {
            self.rest = *self.words.get(self.index + 1)?;
            self.index += 1;
        }
        // CAST: a count of zero bits is at most 64.
        let bit = self.rest.trailing_zeros() as usize;
        self.rest &= self.rest - 1;
        CpuId::from_index(self.index * WORD_BITS + bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, vec::Vec};

    fn cpu(n: u32) -> CpuId {
        CpuId::new(n).expect("a CPU number of the test")
    }

    fn set(cpus: &[u32]) -> CpuSet {
        cpus.iter().map(|n| cpu(*n)).collect()
    }

    #[test]
    fn cpu_numbers_end_below_the_limit() {
        assert_eq!(CpuId::new(0).map(CpuId::get), Some(0));
        assert_eq!(CpuId::new(1023).map(CpuId::index), Some(1023));
        assert_eq!(CpuId::new(1024), None);
        assert_eq!(CpuId::new(u32::MAX), None);
        assert_eq!(format!("{:>3}|{:?}", cpu(7), cpu(7)), "  7|CpuId(7)");
    }

    #[test]
    fn insert_and_remove_say_what_they_changed() {
        let mut s = CpuSet::EMPTY;
        assert!(s.insert(cpu(63)) && !s.insert(cpu(63)) && s.insert(cpu(64)));
        assert_eq!(s, set(&[63, 64]));
        assert!(s.remove(cpu(63)) && !s.remove(cpu(63)) && !s.contains(cpu(63)));
        assert_eq!(
            (s.len(), s.first(), s.last()),
            (1, Some(cpu(64)), Some(cpu(64)))
        );
    }

    #[test]
    fn iteration_crosses_words_and_ends() {
        let all = [0, 1, 63, 64, 127, 512, 1023];
        let s = set(&all);
        assert_eq!(s.iter().map(CpuId::get).collect::<Vec<_>>(), all);
        let mut iter = s.iter();
        assert_eq!(iter.by_ref().count(), 7);
        assert_eq!(iter.next(), None);
        assert_eq!(CpuSet::EMPTY.iter().next(), None);
        assert_eq!((CpuSet::EMPTY.first(), CpuSet::EMPTY.last()), (None, None));
        assert_eq!((s.first(), s.last()), (Some(cpu(0)), Some(cpu(1023))));
    }

    #[test]
    fn algebra_of_sets() {
        let (a, b) = (set(&[1, 2, 70]), set(&[2, 3, 700]));
        assert_eq!(a.union(&b), set(&[1, 2, 3, 70, 700]));
        assert_eq!(a.intersection(&b), set(&[2]));
        assert_eq!(a.difference(&b), set(&[1, 70]));
        assert!(a.intersects(&b) && !a.intersects(&set(&[3])));
        assert!(set(&[1, 70]).is_subset(&a) && !a.is_subset(&set(&[1, 70])));
        assert!(CpuSet::EMPTY.is_subset(&a) && !CpuSet::EMPTY.intersects(&a));
    }

    #[test]
    fn ranges_include_both_ends_and_reversed_ones_are_empty() {
        assert_eq!(CpuSet::range(cpu(62), cpu(65)), set(&[62, 63, 64, 65]));
        assert_eq!(CpuSet::range(cpu(0), cpu(1023)).len(), 1024);
        assert_eq!(CpuSet::range(cpu(2), cpu(1)), CpuSet::EMPTY);
        assert_eq!(CpuSet::single(cpu(1023)), set(&[1023]));
    }

    #[test]
    fn bitmaps_of_any_length_are_taken_if_no_bit_is_too_high() {
        assert_eq!(CpuSet::from_words(&[]), Ok(CpuSet::EMPTY));
        assert_eq!(CpuSet::from_words(&[1 << 63, 1]), Ok(set(&[63, 64])));
        let mut words = [0; NR_WORDS + 2];
        words[NR_WORDS - 1] = 1 << 63;
        assert_eq!(CpuSet::from_words(&words), Ok(set(&[1023])));
        words[NR_WORDS + 1] = 1 << 5;
        let error = ListError::Beyond {
            cpu: 1024 + 64 + 5,
            nr_cpus: 1024,
        };
        assert_eq!(CpuSet::from_words(&words), Err(error));
        words[NR_WORDS] = 1;
        let error = ListError::Beyond {
            cpu: 1024,
            nr_cpus: 1024,
        };
        assert_eq!(CpuSet::from_words(&words), Err(error));
        assert_eq!(set(&[64]).words()[..2], [0, 1]);
    }

    #[test]
    fn text_form_is_the_kernels() {
        assert_eq!(format!("{} {0:?}", set(&[0, 1, 2, 3, 5])), "0-3,5 0-3,5");
        assert_eq!("0-3,5".parse(), Ok(set(&[0, 1, 2, 3, 5])));
        assert_eq!("1023".parse(), Ok(set(&[1023])));
        assert_eq!(
            "1024".parse::<CpuSet>(),
            Err(ListError::Beyond {
                cpu: 1024,
                nr_cpus: 1024
            })
        );
    }
}
