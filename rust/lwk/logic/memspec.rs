// SPDX-License-Identifier: GPL-2.0
//! How much memory: the boot parameter `lwkmem=` and what a job asks for with `yod -M`.
//!
//! ```text
//! lwkmem  = amount { "," amount }
//! amount  = [ node ":" ] ( size | "all" )          without a node: from all nodes together
//! size    = digits [ "K" | "M" | "G" | "T" ]       powers of 1024, either case; without a suffix bytes
//! job     = size | "all" | fraction
//! fraction = [ digits ] "." digits | digits "/" digits      of what the partition has, above 0 and at most 1
//! ```

use super::cpulist;
use super::error::{Errno, Excerpt, EINVAL, EOVERFLOW};
use super::frames::FRAME_BYTES;
use super::node::{NodeId, MAX_NODES};
use core::fmt;

/// How much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Amount {
    /// All that there is.
    All,
    /// So many bytes, whole pages and not 0.
    Bytes(u64),
}

/// Why a text does not say how much memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemError {
    /// There is nothing before, between or after commas.
    Empty {
        /// Which element, the first being 1.
        position: u32,
    },
    /// The part before the colon is no node.
    Node(Excerpt),
    /// It is no size.
    Size(Excerpt),
    /// It does not fit in 64 bits.
    TooLarge(Excerpt),
    /// It is not one or more whole pages.
    NotPages(Excerpt),
    /// A fraction is 0 or above 1.
    Fraction(Excerpt),
    /// Two amounts are for the same node, or for all nodes together.
    Twice(Option<NodeId>),
}

impl fmt::Display for MemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { position } => write!(f, "element {position} of the memory list is empty"),
            Self::Node(text) => write!(f, "{text} is not a NUMA node (0-{})", MAX_NODES - 1),
            Self::Size(text) => write!(
                f,
                "{text} is not a size: a number with K, M, G or T after it, or 'all'"
            ),
            Self::TooLarge(text) => write!(f, "the size {text} is too large"),
            Self::NotPages(text) => write!(f, "the size {text} is not one or more pages of 4K"),
            Self::Fraction(text) => write!(f, "the fraction {text} is not above 0 and at most 1"),
            Self::Twice(Some(node)) => write!(f, "there are two amounts for node {node}"),
            Self::Twice(None) => f.write_str("there are two amounts for all nodes together"),
        }
    }
}

impl Errno for MemError {
    fn errno(&self) -> i32 {
        match self {
            Self::TooLarge(_) => EOVERFLOW,
            _ => EINVAL,
        }
    }
}

/// What `lwkmem=` asks for; about 1 KiB, so keep it in a static and fill it in place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemSpec {
    nodes: [Option<Amount>; MAX_NODES as usize],
    anywhere: Option<Amount>,
}

impl MemSpec {
    /// Asks for nothing.
    pub const EMPTY: Self = Self {
        nodes: [None; MAX_NODES as usize],
        anywhere: None,
    };

    /// Replaces it by what the text asks for; a blank text asks for nothing.
    ///
    /// # Errors
    ///
    /// See [`MemError`]; it asks for nothing then.
    pub fn parse_into(&mut self, text: &[u8]) -> Result<(), MemError> {
        self.clear();
        let result = self.add_all(cpulist::trim(text));
        if result.is_err() {
            self.clear();
        }
        result
    }

    /// Adds an amount, which may be 0 bytes here, for a node or for all together.
    ///
    /// # Errors
    ///
    /// There is one already.
    pub fn add(&mut self, node: Option<NodeId>, amount: Amount) -> Result<(), MemError> {
        let slot = match node {
            Some(node) => self.nodes.get_mut(usize::from(node.get())),
            None => Some(&mut self.anywhere),
        };
        if slot.and_then(|slot| slot.replace(amount)).is_some() {
            return Err(MemError::Twice(node));
        }
        Ok(())
    }

    /// Returns what is asked of a node.
    pub fn amount(&self, node: NodeId) -> Option<Amount> {
        self.nodes.get(usize::from(node.get())).copied().flatten()
    }

    /// Says whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.anywhere.is_none() && self.amounts().next().is_none()
    }

    /// Goes through the nodes that something is asked of.
    pub fn amounts(&self) -> impl Iterator<Item = (NodeId, Amount)> + '_ {
        let nodes = (0..MAX_NODES).filter_map(NodeId::new).zip(&self.nodes);
        nodes.filter_map(|(node, amount)| Some((node, (*amount)?)))
    }

    /// Returns what is asked of all nodes together.
    pub fn anywhere(&self) -> Option<Amount> {
        self.anywhere
    }

    fn clear(&mut self) {
        self.nodes.fill(None);
        self.anywhere = None;
    }

    fn add_all(&mut self, text: &[u8]) -> Result<(), MemError> {
        if text.is_empty() {
            return Ok(());
        }
        for (position, element) in (1..).zip(text.split(|byte| *byte == b',')) {
            let element = cpulist::trim(element);
            if element.is_empty() {
                return Err(MemError::Empty { position });
            }
            let (node, size) = match element.iter().position(|byte| *byte == b':') {
                Some(colon) => {
                    let (node, size) = element.split_at(colon);
                    (Some(parse_node(node)?), size.get(1..).unwrap_or(&[]))
                }
                None => (None, element),
            };
            self.add(node, parse_amount(size)?)?;
        }
        Ok(())
    }
}

/// Prints it in the grammar of the boot line, the nodes first.
impl fmt::Display for MemSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (node, amount) in self.amounts() {
            write!(f, "{separator}{node}:{amount}")?;
            separator = ",";
        }
        match self.anywhere {
            Some(amount) => write!(f, "{separator}{amount}"),
            None => Ok(()),
        }
    }
}

/// The suffixes of sizes, the largest first.
const UNITS: [(u8, u32); 4] = [(b'T', 40), (b'G', 30), (b'M', 20), (b'K', 10)];

/// Prints it in the largest unit that leaves no rest.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Bytes(bytes) = self else {
            return f.write_str("all");
        };
        let unit = UNITS.iter().find(|(_, shift)| bytes % (1 << shift) == 0);
        match unit {
            Some((suffix, shift)) => write!(f, "{}{}", bytes >> shift, char::from(*suffix)),
            None => write!(f, "{bytes}"),
        }
    }
}

/// What a job asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JobAmount {
    /// An amount.
    Amount(Amount),
    /// A share of what the partition has, free or not.
    Fraction {
        /// How many parts, not 0 and not more than there are.
        parts: u64,
        /// Of how many.
        of: u64,
    },
}

impl JobAmount {
    /// Parses the argument of `-M`.
    ///
    /// # Errors
    ///
    /// See [`MemError`].
    pub fn parse(text: &[u8]) -> Result<Self, MemError> {
        let text = cpulist::trim(text);
        let cut = |at: u8| {
            let position = text.iter().position(|byte| *byte == at)?;
            let (left, right) = text.split_at(position);
            Some((left, right.get(1..).unwrap_or(&[])))
        };
        let (parts, of) = if let Some((whole, part)) = cut(b'.') {
            let (scale, shift) = decimal(part).ok_or(MemError::Size(Excerpt::new(text)))?;
            let whole = if whole.is_empty() {
                Some(0)
            } else {
                digits(whole)
            };
            let whole = whole.and_then(|whole| whole.checked_mul(shift));
            (
                whole.and_then(|whole| whole.checked_add(scale)),
                Some(shift),
            )
        } else if let Some((parts, of)) = cut(b'/') {
            (digits(parts), digits(of))
        } else {
            return parse_amount(text).map(Self::Amount);
        };
        let (Some(parts), Some(of)) = (parts, of) else {
            return Err(MemError::Size(Excerpt::new(text)));
        };
        if parts == 0 || parts > of {
            return Err(MemError::Fraction(Excerpt::new(text)));
        }
        Ok(Self::Fraction { parts, of })
    }

    /// Returns how many blocks of `unit` bytes it is where the partition has `total` of them: a size is rounded up,
    /// a fraction down, but to one at least.
    pub fn blocks(self, total: u64, unit: u64) -> u64 {
        match self {
            Self::Amount(Amount::All) => total,
            Self::Amount(Amount::Bytes(bytes)) => bytes.div_ceil(unit.max(1)),
            Self::Fraction { parts, of } => {
                let share = u128::from(total) * u128::from(parts) / u128::from(of.max(1));
                u64::try_from(share).unwrap_or(total).max(1)
            }
        }
    }
}

/// Reads a size or `all`.
fn parse_amount(text: &[u8]) -> Result<Amount, MemError> {
    if text.eq_ignore_ascii_case(b"all") {
        return Ok(Amount::All);
    }
    let (number, shift) = match text {
        [number @ .., suffix] => {
            let suffix = suffix.to_ascii_uppercase();
            match UNITS.iter().find(|(unit, _)| *unit == suffix) {
                Some((_, shift)) => (number, *shift),
                None => (text, 0),
            }
        }
        [] => (text, 0),
    };
    if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
        return Err(MemError::Size(Excerpt::new(text)));
    }
    // Only digits are left, so that a failure is an overflow.
    let bytes = digits(number).and_then(|number| number.checked_mul(1 << shift));
    match bytes {
        None => Err(MemError::TooLarge(Excerpt::new(text))),
        Some(bytes) if bytes == 0 || bytes % FRAME_BYTES != 0 => {
            Err(MemError::NotPages(Excerpt::new(text)))
        }
        Some(bytes) => Ok(Amount::Bytes(bytes)),
    }
}

fn parse_node(text: &[u8]) -> Result<NodeId, MemError> {
    let number = digits(text).and_then(|number| u16::try_from(number).ok());
    number
        .and_then(NodeId::new)
        .ok_or(MemError::Node(Excerpt::new(text)))
}

/// Reads a number of digits only; none if there is no digit, something else, or too much.
fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// Reads the digits after a decimal point: their number, and what it is counted in.
fn decimal(text: &[u8]) -> Option<(u64, u64)> {
    let places = u32::try_from(text.len()).ok()?;
    Some((digits(text)?, 10_u64.checked_pow(places)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};

    fn told(text: &str) -> String {
        let mut spec = MemSpec::EMPTY;
        spec.parse_into(b"0:1G").expect("a good line");
        match spec.parse_into(text.as_bytes()) {
            Ok(()) => spec.to_string(),
            Err(error) => {
                assert!(spec.is_empty());
                error.to_string()
            }
        }
    }

    #[test]
    fn amounts_print_in_the_largest_unit() {
        assert_eq!(told("1:2048m, 0:1024G,512M\n"), "0:1T,1:2G,512M");
        assert_eq!(told("0:4096"), "0:4K");
        assert_eq!(told("3:ALL"), "3:all");
        assert_eq!(told(" "), "");
    }

    #[test]
    fn slips_are_named() {
        let no_size = "is not a size: a number with K, M, G or T after it, or 'all'";
        assert_eq!(told("1G,"), "element 2 of the memory list is empty");
        assert_eq!(told("64:1G"), "'64' is not a NUMA node (0-63)");
        assert_eq!(told(":1G"), "'' is not a NUMA node (0-63)");
        assert_eq!(told("0:1.5G"), std::format!("'1.5G' {no_size}"));
        assert_eq!(told("0:"), std::format!("'' {no_size}"));
        assert_eq!(told("0:1:2G"), std::format!("'1:2G' {no_size}"));
        assert_eq!(told("16777216T"), "the size '16777216T' is too large");
        assert_eq!(told("5K"), "the size '5K' is not one or more pages of 4K");
        assert_eq!(told("0"), "the size '0' is not one or more pages of 4K");
        assert_eq!(told("1:4K,1:all"), "there are two amounts for node 1");
        assert_eq!(
            told("4K,4K"),
            "there are two amounts for all nodes together"
        );
    }

    #[test]
    fn jobs_ask_for_sizes_and_shares() {
        let blocks = |text: &str| {
            let amount = JobAmount::parse(text.as_bytes()).map_err(|error| error.to_string())?;
            Ok::<_, String>(amount.blocks(100, 1 << 21))
        };
        assert_eq!(blocks("all"), Ok(100));
        assert_eq!(blocks("4K"), Ok(1));
        assert_eq!(blocks("3M"), Ok(2));
        assert_eq!(blocks("1T"), Ok(1 << 19));
        assert_eq!(blocks(".5"), Ok(50));
        assert_eq!(blocks("0.255"), Ok(25));
        assert_eq!(blocks("1.0"), Ok(100));
        assert_eq!(blocks("1/3"), Ok(33));
        assert_eq!(blocks("1/1000"), Ok(1));
        assert_eq!(blocks("99999999999/99999999999"), Ok(100));
        for text in ["0.0", "1.01", "2/1", "0/5", "1/0"] {
            let found = blocks(text).expect_err("no share");
            assert_eq!(
                found,
                std::format!("the fraction '{text}' is not above 0 and at most 1")
            );
        }
        for text in ["", ".", "1.", "1/", "/2", "1.2.3", "x", "-1", "0.1G"] {
            assert!(blocks(text).is_err(), "{text}");
        }
    }
}
