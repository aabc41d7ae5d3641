// SPDX-License-Identifier: GPL-2.0
//! The memory pool of a NUMA node.

use lwk_logic::uapi::MemGet;

/// Whether to ask what Linux could give, which takes a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survey {
    /// Ask.
    Yes,
    /// Do not.
    No,
}

/// What Linux could give; amounts in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Claimable {
    /// At once.
    pub free: u64,
    /// With what has to be moved first.
    pub movable: u64,
    /// The largest piece of that.
    pub longest: u64,
    /// How much it can do without.
    pub spare: u64,
}

/// What a pool has; amounts in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pool {
    /// The node.
    pub node: u32,
    /// All that it has.
    pub total: u64,
    /// What nobody uses.
    pub free: u64,
    /// What of that holds zeroes.
    pub zeroed: u64,
    /// In use in pages of 1 GiB.
    pub giant: u64,
    /// In use in pages of 2 MiB.
    pub large: u64,
    /// In use in pages of 4 KiB.
    pub small: u64,
    /// Blocks of 2 MiB that are in use in pages of 4 KiB.
    pub broken: u64,
    /// Out of service.
    pub retired: u64,
    /// Whole free pieces of 1 GiB.
    pub free_giant: u64,
    /// How many pieces the free memory is in.
    pub free_pieces: u64,
    /// The largest of them.
    pub longest: u64,
    /// What the partition that was asked for is to have.
    pub share: u64,
    /// What of that no job was promised.
    pub unreserved: u64,
    /// Memory of no partition that somebody still uses.
    pub leaving: u64,
    /// What Linux could give, if that was asked.
    pub claimable: Option<Claimable>,
}

impl Pool {
    /// Translates what the kernel wrote.
    pub(crate) fn new(raw: &MemGet, survey: Survey) -> Self {
        Self {
            node: raw.node,
            total: raw.total,
            free: raw.free,
            zeroed: raw.zeroed,
            giant: raw.giant,
            large: raw.large,
            small: raw.small,
            broken: raw.broken,
            retired: raw.retired,
            free_giant: raw.free_giant,
            free_pieces: raw.free_pieces,
            longest: raw.longest,
            share: raw.share,
            unreserved: raw.unreserved,
            leaving: raw.leaving,
            claimable: (survey == Survey::Yes).then_some(Claimable {
                free: raw.linux_free,
                movable: raw.linux_movable,
                longest: raw.linux_longest,
                spare: raw.linux_spare,
            }),
        }
    }
}
