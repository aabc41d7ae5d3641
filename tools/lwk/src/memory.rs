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
}
