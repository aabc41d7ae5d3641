// SPDX-License-Identifier: GPL-2.0
//! How much memory of which NUMA node a partition is to have.
//!
//! ```text
//! wish   = amount { "," amount }
//! amount = [ node ":" ] ( size | "all" )       without a node: from all nodes together
//! size   = digits [ "K" | "M" | "G" | "T" ]    powers of 1024, either case; without a suffix bytes
//! ```

use std::fmt;
use std::str::FromStr;

use lwk_logic::uapi::MEM_BLOCK_BYTES;

/// Nodes that a kernel can have (`MAX_NUMNODES` with the largest `CONFIG_NODES_SHIFT`).
const MAX_NODES: u32 = 1024;

/// Memory comes in pages.
const PAGE_BYTES: u64 = 4096;

/// The suffixes, the largest first.
const UNITS: [(char, u32); 4] = [('T', 40), ('G', 30), ('M', 20), ('K', 10)];

/// How much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// All that there is.
    All,
    /// So many bytes, a multiple of the page size.
    Bytes(u64),
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Bytes(bytes) = self else {
            return f.write_str("all");
        };
        let unit = UNITS
            .iter()
            .find(|(_, shift)| *bytes > 0 && bytes % (1 << shift) == 0);
        match unit {
            Some((suffix, shift)) => write!(f, "{}{suffix}", bytes >> shift),
            None => write!(f, "{bytes}"),
        }
    }
}

/// Amounts by node.
///
/// # Invariants
///
/// At least one, no node twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryWish(Vec<(Option<u32>, Amount)>);

impl MemoryWish {
    /// These amounts, of which no two are for the same; none if there are none.
    fn of(amounts: Vec<(Option<u32>, Amount)>) -> Option<Self> {
        // INVARIANT: There is one.
        (!amounts.is_empty()).then_some(Self(amounts))
    }

    /// The amounts as given; the node is missing where all nodes together are meant.
    pub fn amounts(&self) -> &[(Option<u32>, Amount)] {
        &self.0
    }
}

/// A text is no wish for memory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// Nothing stands before, between or after commas.
    #[error("an element of the memory list is empty")]
    Empty,
    /// The part before the colon is no node.
    #[error("{0:?} is no NUMA node (0-{max})", max = MAX_NODES - 1)]
    Node(String),
    /// The size is not one.
    #[error("{0:?} is no size: it takes a number with K, M, G or T after it, or \"all\"")]
    Size(String),
    /// The size does not fit in 64 bits.
    #[error("the size {0:?} is too large")]
    TooLarge(String),
    /// The size is no whole number of pages, or 0.
    #[error("the size {0:?} is not one or more pages of 4K")]
    NotPages(String),
    /// Two amounts are for the same.
    #[error("there are two amounts for {}", .0.map_or_else(|| "all nodes together".to_owned(), |node| format!("node {node}")))]
    Twice(Option<u32>),
}

impl FromStr for Amount {
    type Err = MemoryError;

    fn from_str(text: &str) -> Result<Self, MemoryError> {
        if text.eq_ignore_ascii_case("all") {
            return Ok(Self::All);
        }
        let suffix = text.chars().next_back().map(|c| c.to_ascii_uppercase());
        let unit = UNITS.iter().find(|(unit, _)| Some(*unit) == suffix);
        let (digits, shift) = match unit {
            // The suffix is one byte long.
            Some((_, shift)) => (text.get(..text.len() - 1).unwrap_or_default(), *shift),
            None => (text, 0),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(MemoryError::Size(text.to_owned()));
        }
        // Only digits are left, so that a failure is an overflow.
        let bytes = digits
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(1 << shift));
        match bytes {
            None => Err(MemoryError::TooLarge(text.to_owned())),
            Some(bytes) if bytes == 0 || bytes % PAGE_BYTES != 0 => {
                Err(MemoryError::NotPages(text.to_owned()))
            }
            Some(bytes) => Ok(Self::Bytes(bytes)),
        }
    }
}

impl FromStr for MemoryWish {
    type Err = MemoryError;

    fn from_str(text: &str) -> Result<Self, MemoryError> {
        Self::parse(text, str::parse)
    }
}

impl MemoryWish {
    /// Parses what a partition is to have from here on, where `0` gives all memory of a node back.
    ///
    /// # Errors
    ///
    /// If it is no wish.
    pub fn parse_target(text: &str) -> Result<Self, MemoryError> {
        Self::parse(text, |size| match size {
            "0" => Ok(Amount::Bytes(0)),
            _ => size.parse(),
        })
    }

    fn parse(
        text: &str,
        amount: impl Fn(&str) -> Result<Amount, MemoryError>,
    ) -> Result<Self, MemoryError> {
        let mut amounts: Vec<(Option<u32>, Amount)> = Vec::new();
        for element in text.split(',').map(str::trim) {
            let (node, size) = match element.split_once(':') {
                Some((node, size)) => (Some(self::node(node)?), size),
                None => (None, element),
            };
            if element.is_empty() {
                return Err(MemoryError::Empty);
            }
            if amounts.iter().any(|(other, _)| *other == node) {
                return Err(MemoryError::Twice(node));
            }
            amounts.push((node, amount(size)?));
        }
        // INVARIANT: `split` gives at least one element, and each node was looked for.
        Ok(Self(amounts))
    }
}

/// What a partition has of each node that there is, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shares(Vec<(u32, u64)>);

impl Shares {
    /// Collects them by node.
    pub fn new(shares: impl IntoIterator<Item = (u32, u64)>) -> Self {
        let mut shares: Vec<_> = shares.into_iter().collect();
        shares.sort_unstable();
        Self(shares)
    }

    fn of(&self, node: u32) -> u64 {
        let mut found = self.0.iter().filter(|(other, _)| *other == node);
        found.next().map_or(0, |(_, bytes)| *bytes)
    }

    /// The wish of a new partition that is to have the same; none if it has nothing.
    pub fn wish(&self) -> Option<MemoryWish> {
        let some = self.0.iter().filter(|(_, bytes)| *bytes > 0);
        let amounts = some.map(|(node, bytes)| (Some(*node), Amount::Bytes(*bytes)));
        MemoryWish::of(amounts.collect())
    }

    /// The change that takes `change` back.
    pub fn restore(&self, change: &MemoryWish) -> MemoryWish {
        let named = change.amounts().iter().filter_map(|(node, _)| *node);
        let mut nodes: Vec<u32> = self.0.iter().map(|(node, _)| *node).chain(named).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let amounts = nodes.into_iter();
        // INVARIANT: No node twice. Where there is no node at all, all together have nothing.
        let amounts = amounts.map(|node| (Some(node), Amount::Bytes(self.of(node))));
        MemoryWish::of(amounts.collect()).unwrap_or(MemoryWish(vec![(None, Amount::Bytes(0))]))
    }

    /// What they are after a change, as far as that can be known.
    #[must_use]
    pub fn after(&self, change: &MemoryWish) -> Self {
        let mut shares = self.0.clone();
        for (node, amount) in change.amounts() {
            if let (Some(node), Amount::Bytes(bytes)) = (node, amount) {
                shares.retain(|(other, _)| other != node);
                shares.push((*node, blocks(*bytes)));
            }
        }
        Self::new(shares)
    }

    /// What has to change for a partition to have what is wanted and nothing else: first what gives memory back, then
    /// what takes some.
    pub fn changes(&self, wanted: Option<&MemoryWish>) -> [Option<MemoryWish>; 2] {
        let (mut less, mut more) = (Vec::new(), Vec::new());
        let mut add = |node: Option<u32>, has: u64, amount: Amount| match amount {
            Amount::Bytes(bytes) if blocks(bytes) == has => {}
            Amount::Bytes(bytes) if blocks(bytes) < has => less.push((node, amount)),
            _ => more.push((node, amount)),
        };
        let amounts = wanted.map_or(&[][..], MemoryWish::amounts);
        let is_named = |node: u32| amounts.iter().any(|(other, _)| *other == Some(node));
        let others = || self.0.iter().filter(|(node, _)| !is_named(*node));
        for (node, amount) in amounts {
            let has = match node {
                Some(node) => self.of(*node),
                None => others().map(|(_, bytes)| bytes).sum(),
            };
            add(*node, has, *amount);
        }
        if !amounts.iter().any(|(node, _)| node.is_none()) {
            for (node, bytes) in others() {
                add(Some(*node), *bytes, Amount::Bytes(0));
            }
        }
        [less, more].map(MemoryWish::of)
    }
}

/// An amount in whole blocks.
fn blocks(bytes: u64) -> u64 {
    bytes
        .div_ceil(MEM_BLOCK_BYTES)
        .saturating_mul(MEM_BLOCK_BYTES)
}

/// The number of a node.
fn node(text: &str) -> Result<u32, MemoryError> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let node = is_number.then(|| text.parse().ok()).flatten();
    node.filter(|node| *node < MAX_NODES)
        .ok_or_else(|| MemoryError::Node(text.to_owned()))
}

impl fmt::Display for MemoryWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nr, (node, amount)) in self.0.iter().enumerate() {
            let comma = if nr == 0 { "" } else { "," };
            match node {
                Some(node) => write!(f, "{comma}{node}:{amount}")?,
                None => write!(f, "{comma}{amount}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        match text.parse::<MemoryWish>() {
            Ok(wish) => wish.to_string(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn sizes_print_in_the_largest_unit() {
        assert_eq!(told("4096"), "4K");
        assert_eq!(told("2048m"), "2G");
        assert_eq!(told("0:1024G, 1:all,512M"), "0:1T,1:all,512M");
        assert_eq!(told("ALL"), "all");
        assert_eq!(
            told("1025K"),
            "error: the size \"1025K\" is not one or more pages of 4K"
        );
    }

    #[test]
    fn nothing_is_an_amount_only_where_it_gives_memory_back() {
        let target = MemoryWish::parse_target("0:0,1:2M").expect("a good target");
        assert_eq!(target.to_string(), "0:0,1:2M");
        assert!(MemoryWish::parse_target("0:0K").is_err());
        assert!("0:0".parse::<MemoryWish>().is_err());
    }

    #[test]
    fn slips_are_refused() {
        assert_eq!(told(""), "error: an element of the memory list is empty");
        assert_eq!(told("1G,"), told(""));
        assert_eq!(told("x:1G"), "error: \"x\" is no NUMA node (0-1023)");
        assert_eq!(told("1024:1G"), "error: \"1024\" is no NUMA node (0-1023)");
        assert_eq!(
            told("1:"),
            "error: \"\" is no size: it takes a number with K, M, G or T after it, or \"all\""
        );
        assert_eq!(
            told("0:1G,0:all"),
            "error: there are two amounts for node 0"
        );
        assert_eq!(
            told("1G,2G"),
            "error: there are two amounts for all nodes together"
        );
        assert!(told("0").contains("pages"));
        for text in ["G", "-1G", "+1G", "1.5G", "1GB", "1 G", "ä", "1ä"] {
            assert!(told(text).contains("is no size"), "{text}");
        }
        for text in ["18446744073709551616", "16777216T"] {
            assert!(told(text).contains("too large"), "{text}");
        }
    }

    fn changes(shares: &[(u32, u64)], wanted: &str) -> [String; 2] {
        const M: u64 = 1 << 20;
        let shares = Shares::new(shares.iter().map(|(node, mib)| (*node, mib * M)));
        let wanted = (!wanted.is_empty()).then(|| wanted.parse().expect("a wish of the test"));
        let told = |wish: Option<MemoryWish>| wish.map(|wish| wish.to_string());
        let changes = shares.changes(wanted.as_ref());
        changes.map(|wish| told(wish).unwrap_or_default())
    }

    #[test]
    fn only_what_differs_is_changed_and_less_comes_first() {
        let has = [(0, 64), (1, 32), (2, 0)];
        assert_eq!(changes(&has, "0:64M,1:31M"), ["", ""], "whole blocks");
        assert_eq!(changes(&has, "0:32M,1:64M"), ["0:32M", "1:64M"]);
        assert_eq!(
            changes(&has, "0:64M"),
            ["1:0", ""],
            "what is not named goes"
        );
        assert_eq!(changes(&has, ""), ["0:0,1:0", ""]);
        assert_eq!(changes(&has, "96M"), ["", ""]);
        assert_eq!(changes(&has, "1:32M,10M"), ["10M", ""]);
        assert_eq!(changes(&has, "2:all,96M"), ["", "2:all"]);
        assert_eq!(changes(&[], "8M"), ["", "8M"]);
        assert_eq!(changes(&[], ""), ["", ""]);
    }

    #[test]
    fn a_change_can_be_taken_back() {
        let shares = Shares::new([(1, 0), (0, 4 << 20)]);
        let change: MemoryWish = "1:2M,3:4M,8M".parse().expect("a wish of the test");
        assert_eq!(shares.restore(&change).to_string(), "0:4M,1:0,3:0");
        assert_eq!(shares.wish().expect("it has some").to_string(), "0:4M");
        let after = shares.after(&change);
        assert_eq!(
            after,
            Shares::new([(0, 4 << 20), (1, 2 << 20), (3, 4 << 20)])
        );
    }
}
