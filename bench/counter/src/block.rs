// SPDX-License-Identifier: GPL-2.0
//! What is known of a run of guest instructions when it is translated, and the markers in it.

use bench_record::marker;

/// Addresses from here on are the kernel's.
const UPPER_HALF: u64 = 1 << 63;
/// How many bits of an address count: the others repeat the topmost of them.
const ADDRESS_BITS: u32 = 48;
const ADDRESS_MASK: u64 = (1 << ADDRESS_BITS) - 1;

/// The start of a run of guest instructions and their number, in one word that QEMU carries for us.
///
/// The topmost bit is that of the address, which tells kernel from user mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Block(u64);

impl Block {
    /// A run of `nr` instructions from `start`; QEMU ends a block after 512 at the latest.
    pub(crate) const fn new(start: u64, nr: u64) -> Self {
        let nr = nr & ((1 << (63 - ADDRESS_BITS)) - 1);
        Self((start & (UPPER_HALF | ADDRESS_MASK)) | (nr << ADDRESS_BITS))
    }

    /// What [`Self::word`] told.
    pub(crate) const fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// The word for QEMU.
    pub(crate) const fn word(self) -> u64 {
        self.0
    }

    /// Whether it runs in kernel mode.
    pub(crate) const fn is_kernel(self) -> bool {
        self.0 & UPPER_HALF != 0
    }

    /// How many instructions.
    pub(crate) const fn nr(self) -> u64 {
        (self.0 & !UPPER_HALF) >> ADDRESS_BITS
    }

    /// Address of the first.
    pub(crate) const fn start(self) -> u64 {
        let low = self.0 & ADDRESS_MASK;
        if self.is_kernel() {
            low | !ADDRESS_MASK
        } else {
            low
        }
    }
}

/// A marker instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker {
    /// Opens a window.
    Open,
    /// Stores it.
    Close,
    /// Throws it away.
    Cancel,
}

impl Marker {
    const ALL: [(Self, [u8; 7]); 3] = [
        (Self::Open, marker::OPEN),
        (Self::Close, marker::CLOSE),
        (Self::Cancel, marker::CANCEL),
    ];

    /// The marker that an instruction is.
    pub(crate) fn recognise(instruction: &[u8]) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|(_, bytes)| bytes == instruction)
            .map(|(marker, _)| marker)
    }

    /// The word for QEMU.
    pub(crate) const fn word(self) -> u64 {
        match self {
            Self::Open => 0,
            Self::Close => 1,
            Self::Cancel => 2,
        }
    }

    /// What [`Self::word`] told.
    pub(crate) fn from_word(word: u64) -> Option<Self> {
        let mut all = Self::ALL.into_iter().map(|(marker, _)| marker);
        all.find(|marker| marker.word() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_both_halves_of_the_addresses() {
        for (start, nr, kernel) in [
            (0, 1, false),
            (0x7fff_ffff_ffff, 512, false),
            (0xffff_8000_0000_0000, 1, true),
            (0xffff_ffff_81a0_0040, 512, true),
            (u64::MAX, 3, true),
        ] {
            let block = Block::from_word(Block::new(start, nr).word());
            assert_eq!(block.start(), start);
            assert_eq!(block.nr(), nr);
            assert_eq!(block.is_kernel(), kernel);
        }
    }

    #[test]
    fn recognises_the_markers_and_nothing_like_them() {
        for (marker, bytes) in Marker::ALL {
            assert_eq!(Marker::recognise(&bytes), Some(marker));
            assert_eq!(Marker::from_word(marker.word()), Some(marker));
            assert_eq!(Marker::recognise(&bytes[..6]), None);
        }
        // What assemblers pad with.
        let padding = [0x0f, 0x1f, 0x80, 0, 0, 0, 0];
        assert_eq!(Marker::recognise(&padding), None);
    }
}
