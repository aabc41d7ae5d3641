// SPDX-License-Identifier: GPL-2.0
//! Frame numbers, page sizes, and the span of frames that a pool's tables are for.

use core::fmt;

/// Frames (of 4 KiB) in a block of 2 MiB.
pub const FRAMES_PER_BLOCK: u16 = 512;

/// Blocks in a group of 1 GiB.
pub const BLOCKS_PER_GROUP: u16 = 512;

/// Frames in a group.
pub const FRAMES_PER_GROUP: u64 = FRAMES_PER_BLOCK as u64 * BLOCKS_PER_GROUP as u64;

/// Bytes of a frame.
pub const FRAME_BYTES: u64 = 4096;

/// Bytes of a block.
pub const BLOCK_BYTES: u64 = FRAME_BYTES * FRAMES_PER_BLOCK as u64;

/// The number of a frame of 4 KiB, as Linux counts them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Pfn(u64);

impl Pfn {
    /// Returns frame `number`.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns its number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Says whether a page of so many frames, a power of two, may begin here.
    pub const fn is_aligned(self, nr_frames: u64) -> bool {
        self.0 & (nr_frames - 1) == 0
    }
}

impl fmt::Display for Pfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// The sizes in which memory is handed out, those of x86-64 page tables.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PageSize {
    /// 4 KiB.
    Small,
    /// 2 MiB.
    Large,
    /// 1 GiB.
    Giant,
}

impl PageSize {
    /// All of them, the largest first: the order in which they are tried.
    pub const DESCENDING: [Self; 3] = [Self::Giant, Self::Large, Self::Small];

    /// Returns the allocation order of Linux.
    pub const fn order(self) -> u32 {
        match self {
            Self::Small => 0,
            Self::Large => 9,
            Self::Giant => 18,
        }
    }

    /// Returns the size of an allocation order, if it is one of the three.
    pub const fn from_order(order: u32) -> Option<Self> {
        match order {
            0 => Some(Self::Small),
            9 => Some(Self::Large),
            18 => Some(Self::Giant),
            _ => None,
        }
    }

    /// Returns how many frames it has.
    pub const fn nr_frames(self) -> u64 {
        1 << self.order()
    }

    /// Returns how many bytes it has.
    pub const fn bytes(self) -> u64 {
        FRAME_BYTES << self.order()
    }

    /// Returns the next smaller size.
    pub const fn smaller(self) -> Option<Self> {
        match self {
            Self::Small => None,
            Self::Large => Some(Self::Small),
            Self::Giant => Some(Self::Large),
        }
    }

    /// Returns its name, as on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Small => "4k",
            Self::Large => "2m",
            Self::Giant => "1g",
        }
    }
}

/// The frames that a pool may come to have, in whole groups: those of one NUMA node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    first: u64,
    nr_groups: u32,
}

impl Span {
    /// Returns the smallest span with all frames from `first` up to and without `end`.
    ///
    /// A span has at most as many groups as let its blocks be counted in 32 bits, 8 PiB.
    pub const fn covering(first: Pfn, end: Pfn) -> Self {
        let first = first.0 / FRAMES_PER_GROUP;
        let end = end.0.div_ceil(FRAMES_PER_GROUP);
        let nr_groups = end.saturating_sub(first);
        const MOST: u64 = (u32::MAX / BLOCKS_PER_GROUP as u32) as u64;
        Self {
            first,
            // CAST: It is below the limit.
            nr_groups: (if nr_groups < MOST { nr_groups } else { MOST }) as u32,
        }
    }

    /// Returns the first frame.
    pub const fn first(self) -> Pfn {
        Pfn(self.first * FRAMES_PER_GROUP)
    }

    /// Returns how many groups there are, which is how long the table of groups must be.
    pub const fn nr_groups(self) -> u32 {
        self.nr_groups
    }

    /// Returns how many blocks there are, which is how long the table of blocks must be.
    pub const fn nr_blocks(self) -> u32 {
        self.nr_groups * BLOCKS_PER_GROUP as u32
    }

    /// Returns how long the table of summaries must be.
    pub const fn nr_summaries(self) -> u32 {
        self.nr_groups.div_ceil(u64::BITS)
    }

    /// Returns the block that a frame is in, and its place there.
    pub(super) fn locate(self, pfn: Pfn) -> Option<(u32, u16)> {
        let offset = pfn.0.checked_sub(self.first().0)?;
        let block = u32::try_from(offset / u64::from(FRAMES_PER_BLOCK)).ok()?;
        let place = u16::try_from(offset % u64::from(FRAMES_PER_BLOCK)).ok()?;
        (block < self.nr_blocks()).then_some((block, place))
    }

    /// Returns a frame of a block.
    pub(super) fn frame(self, block: u32, place: u16) -> Pfn {
        let before = u64::from(block) * u64::from(FRAMES_PER_BLOCK);
        Pfn(self.first().0 + before + u64::from(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn span_is_rounded_to_groups() {
        let span = Span::covering(Pfn::new(0x40001), Pfn::new(0xc0001));
        assert_eq!(
            (span.first(), span.nr_groups()),
            (Pfn::new(0x40000), 3),
            "{span:?}"
        );
        assert_eq!((span.nr_blocks(), span.nr_summaries()), (1536, 1));
        assert_eq!(span.locate(Pfn::new(0x3ffff)), None);
        assert_eq!(span.locate(Pfn::new(0x40203)), Some((1, 3)));
        assert_eq!(span.locate(Pfn::new(0x40000 + 0xbffff)), Some((1535, 511)));
        assert_eq!(span.locate(Pfn::new(0x40000 + 0xc0000)), None);
        assert_eq!(span.frame(1, 3), Pfn::new(0x40203));
        assert_eq!(Span::covering(Pfn::new(9), Pfn::new(9)).nr_groups(), 1);
        assert_eq!(Span::covering(Pfn::new(0), Pfn::new(0)).nr_blocks(), 0);
    }

    #[test]
    fn sizes_are_those_of_the_page_tables() {
        for size in PageSize::DESCENDING {
            assert_eq!(PageSize::from_order(size.order()), Some(size));
            assert_eq!(size.bytes(), size.nr_frames() * FRAME_BYTES);
        }
        assert_eq!(PageSize::Large.bytes(), BLOCK_BYTES);
        assert_eq!(PageSize::Giant.nr_frames(), FRAMES_PER_GROUP);
        assert_eq!(PageSize::from_order(4), None);
    }
}
