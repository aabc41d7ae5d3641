// SPDX-License-Identifier: GPL-2.0
//! The cpulist text form of a CPU set, as `bitmap_parselist` of Linux reads it and `%*pbl` prints it.
//!
//! ```text
//! list    = [ element { "," element } ]            blanks around an element are skipped
//! element = number | range [ ":" used "/" group ]
//! range   = number "-" number | "all"              "all" in any case
//! number  = digits | "N"                           "N" is the last CPU
//! ```
//!
//! `0-7:2/4` takes the first 2 of every 4 CPUs, that is 0, 1, 4 and 5. Stricter than Linux: empty elements, blanks in
//! place of commas and a stride that uses nothing are refused, because they are slips more often than wishes.

use super::cpuset::{CpuId, CpuSet};
use super::error::{Errno, Excerpt, EINVAL, EOVERFLOW, ERANGE};
use crate::uapi::MAX_CPUS;
use core::fmt;

/// [`MAX_CPUS`] in the type of CPU numbers.
// CAST: `cpuset` asserts that it fits.
pub const LIMIT: u32 = MAX_CPUS as u32;

/// Why a text is no list of CPUs here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListError {
    /// There is nothing before, between or after commas.
    EmptyElement {
        /// Which element, the first being 1.
        position: u32,
    },
    /// An element is neither a CPU nor a range.
    Garbage(Excerpt),
    /// A number does not fit in 32 bits.
    TooLarge(Excerpt),
    /// A range ends below its start.
    Reversed {
        /// Its start.
        first: u32,
        /// Its end.
        last: u32,
    },
    /// A stride uses no CPU of a group or more than the group has.
    BadStride {
        /// CPUs used of each group.
        used: u32,
        /// CPUs of each group.
        group: u32,
    },
    /// A CPU number is too high.
    Beyond {
        /// The CPU.
        cpu: u32,
        /// The lowest number that is too high.
        nr_cpus: u32,
    },
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyElement { position } => {
                write!(f, "element {position} of the CPU list is empty")
            }
            Self::Garbage(text) => write!(f, "{text} is not a CPU or a range of CPUs"),
            Self::TooLarge(text) => write!(f, "the number in {text} is too large"),
            Self::Reversed { first, last } => {
                write!(f, "the CPU range {first}-{last} runs backwards")
            }
            Self::BadStride { used, group } => {
                write!(
                    f,
                    "the stride {used}/{group} must use at least 1 and at most all CPUs of a group"
                )
            }
            Self::Beyond { cpu, nr_cpus } => {
                write!(
                    f,
                    "CPU {cpu} is out of range (0-{})",
                    nr_cpus.saturating_sub(1)
                )
            }
        }
    }
}

impl Errno for ListError {
    fn errno(&self) -> i32 {
        match self {
            Self::EmptyElement { .. }
            | Self::Garbage(_)
            | Self::Reversed { .. }
            | Self::BadStride { .. } => EINVAL,
            Self::TooLarge(_) => EOVERFLOW,
            Self::Beyond { .. } => ERANGE,
        }
    }
}

/// Parses a list for a machine with CPUs 0 to `nr_cpus - 1`; a blank text is the empty set.
///
/// `nr_cpus` counts as 1 if it is 0 and as [`MAX_CPUS`] if it is higher.
///
/// # Errors
///
/// See [`ListError`].
pub fn parse(text: &[u8], nr_cpus: u32) -> Result<CpuSet, ListError> {
    let mut set = CpuSet::EMPTY;
    add(&mut set, text, nr_cpus)?;
    Ok(set)
}

/// Adds the CPUs of a list to a set, as [`parse`]; some may have been added when there is an error.
pub(super) fn add(set: &mut CpuSet, text: &[u8], nr_cpus: u32) -> Result<(), ListError> {
    let nr_cpus = nr_cpus.clamp(1, LIMIT);
    if trim(text).is_empty() {
        return Ok(());
    }
    for (position, element) in (1..).zip(text.split(|byte| *byte == b',')) {
        let element = trim(element);
        if element.is_empty() {
            return Err(ListError::EmptyElement { position });
        }
        Region::parse(element, nr_cpus)?.insert_into(set);
    }
    Ok(())
}

/// Prints a list that [`parse`] reads back: ranges from two CPUs on, no strides.
pub(super) fn print(set: &CpuSet, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut cpus = set.iter().peekable();
    let mut separator = "";
    while let Some(first) = cpus.next() {
        let mut last = first;
        while let Some(next) = cpus.next_if(|next| next.get() == last.get() + 1) {
            last = next;
        }
        write!(f, "{separator}{first}")?;
        if last != first {
            write!(f, "-{last}")?;
        }
        separator = ",";
    }
    Ok(())
}

/// Cuts blanks off both ends.
pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text {
        if !first.is_ascii_whitespace() {
            break;
        }
        text = rest;
    }
    while let [rest @ .., last] = text {
        if !last.is_ascii_whitespace() {
            break;
        }
        text = rest;
    }
    text
}

/// One element of a list: of each `group` CPUs from `first` to `last` the first `used`.
struct Region {
    first: u32,
    last: u32,
    used: u32,
    group: u32,
}

impl Region {
    /// Parses and checks an element.
    fn parse(element: &[u8], nr_cpus: u32) -> Result<Self, ListError> {
        let region = Self::scan(element, nr_cpus - 1)?;
        let Self {
            first,
            last,
            used,
            group,
        } = region;
        if first > last {
            return Err(ListError::Reversed { first, last });
        }
        if used == 0 || used > group {
            return Err(ListError::BadStride { used, group });
        }
        if last >= nr_cpus {
            // The first number is the one to name in `8-9` where 8 does not exist either.
            let cpu = first.max(nr_cpus);
            return Err(ListError::Beyond { cpu, nr_cpus });
        }
        Ok(region)
    }

    /// Reads the numbers of an element.
    fn scan(element: &[u8], last_cpu: u32) -> Result<Self, ListError> {
        let mut text = Scanner {
            element,
            rest: element,
            last_cpu,
        };
        let (first, last, is_range) = if text.skip_all() {
            (0, last_cpu, true)
        } else {
            let first = text.number()?;
            if text.skip(b'-') {
                (first, text.number()?, true)
            } else {
                (first, first, false)
            }
        };
        let (used, group) = if is_range && text.skip(b':') {
            let used = text.number()?;
            if !text.skip(b'/') {
                return Err(text.garbage());
            }
            (used, text.number()?)
        } else {
            (1, 1)
        };
        if text.rest.is_empty() {
            Ok(Self {
                first,
                last,
                used,
                group,
            })
        } else {
            Err(text.garbage())
        }
    }

    /// Adds its CPUs to a set.
    fn insert_into(&self, set: &mut CpuSet) {
        let used =
            (self.first..=self.last).filter(|cpu| (cpu - self.first) % self.group < self.used);
        set.extend(used.filter_map(CpuId::new));
    }
}

/// Reads one element from left to right.
struct Scanner<'a> {
    element: &'a [u8],
    rest: &'a [u8],
    last_cpu: u32,
}

impl Scanner<'_> {
    /// Skips this byte if it comes next and says whether it did.
    fn skip(&mut self, byte: u8) -> bool {
        match self.rest {
            [next, rest @ ..] if *next == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Skips the word `all` if it comes next and says whether it did.
    fn skip_all(&mut self) -> bool {
        match self.rest {
            [b'a' | b'A', b'l' | b'L', b'l' | b'L', rest @ ..] => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Reads a number.
    fn number(&mut self) -> Result<u32, ListError> {
        if self.skip(b'N') {
            return Ok(self.last_cpu);
        }
        let mut value: Option<u32> = None;
        while let [digit @ b'0'..=b'9', rest @ ..] = self.rest {
            let grown = value
                .unwrap_or(0)
                .checked_mul(10)
                .and_then(|tens| tens.checked_add(u32::from(digit - b'0')));
            if grown.is_none() {
                return Err(ListError::TooLarge(Excerpt::new(self.element)));
            }
            value = grown;
            self.rest = rest;
        }
        value.ok_or_else(|| self.garbage())
    }

    /// Returns the error about the whole element.
    fn garbage(&self) -> ListError {
        ListError::Garbage(Excerpt::new(self.element))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, string::String, string::ToString, vec::Vec};

    fn parsed(text: &str, nr_cpus: u32) -> Result<String, String> {
        parse(text.as_bytes(), nr_cpus)
            .map(|set| set.to_string())
            .map_err(|error| error.to_string())
    }

    fn cpus(text: &str) -> Vec<u32> {
        let set = parse(text.as_bytes(), 64).expect("a list of the test");
        set.iter().map(CpuId::get).collect()
    }

    #[test]
    fn lists_ranges_and_blanks() {
        assert_eq!(cpus(""), []);
        assert_eq!(cpus(" \n"), []);
        assert_eq!(cpus("5"), [5]);
        assert_eq!(cpus("0-3,5\n"), [0, 1, 2, 3, 5]);
        assert_eq!(cpus(" 3 , 1-2,3,007 "), [1, 2, 3, 7]);
        assert_eq!(cpus("63,0-0"), [0, 63]);
    }

    #[test]
    fn words_for_all_and_last() {
        assert_eq!(parsed("all", 8).as_deref(), Ok("0-7"));
        assert_eq!(parsed("aLL,1", 4).as_deref(), Ok("0-3"));
        assert_eq!(parsed("N,2-N", 8).as_deref(), Ok("2-7"));
        assert_eq!(parsed("all:1/2", 8).as_deref(), Ok("0,2,4,6"));
        assert_eq!(parsed("N", 0).as_deref(), Ok("0"));
        assert_eq!(parsed("N", u32::MAX).as_deref(), Ok("1023"));
    }

    #[test]
    fn strides_take_the_first_of_each_group() {
        assert_eq!(cpus("0-7:2/4"), [0, 1, 4, 5]);
        // The example of `struct region` in lib/bitmap-str.c.
        assert_eq!(
            cpus("9-38:4/10"),
            [9, 10, 11, 12, 19, 20, 21, 22, 29, 30, 31, 32]
        );
        assert_eq!(cpus("1-3:3/3"), [1, 2, 3]);
        assert_eq!(cpus("1-3:1/4000000000"), [1]);
    }

    #[test]
    fn refusals_quote_what_was_wrong() {
        for text in [
            "x", "1-", "-1", "1--2", "1-2-3", "+1", "1 2", "0x3", "n", "al", "allx", "all-3",
            "1:1/2",
        ] {
            assert_eq!(
                parsed(text, 8),
                Err(format!("'{text}' is not a CPU or a range of CPUs"))
            );
        }
        for text in [
            "0-7:",
            "0-7:1",
            "0-7:1/",
            "0-7:/2",
            "0-7:1/2x",
            "0-7:1/2/3",
            "1.2",
        ] {
            assert_eq!(
                parsed(text, 8),
                Err(format!("'{text}' is not a CPU or a range of CPUs"))
            );
        }
        for (text, position) in [(",", 1), ("1,", 2), (",1", 1), ("1,,2", 2), ("1, ,2", 2)] {
            assert_eq!(
                parsed(text, 8),
                Err(format!("element {position} of the CPU list is empty"))
            );
        }
    }

    #[test]
    fn bounds_are_checked_and_named() {
        let out = |cpu: u32| Err(format!("CPU {cpu} is out of range (0-7)"));
        assert_eq!(parsed("8", 8), out(8));
        assert_eq!(parsed("0-8", 8), out(8));
        assert_eq!(parsed("9-12", 8), out(9));
        assert_eq!(parsed("0,4294967295", 8), out(u32::MAX));
        assert_eq!(parsed("0-1023", 5000).as_deref(), Ok("0-1023"));
        assert_eq!(
            parsed("1024", 5000),
            Err("CPU 1024 is out of range (0-1023)".into())
        );
        assert_eq!(
            parsed("1,4294967296", 8),
            Err("the number in '4294967296' is too large".into())
        );
        assert_eq!(
            parsed("7-3", 8),
            Err("the CPU range 7-3 runs backwards".into())
        );
        assert_eq!(
            parsed("N-3", 8),
            Err("the CPU range 7-3 runs backwards".into())
        );
    }

    #[test]
    fn strides_that_use_nothing_or_too_much_are_refused() {
        for stride in ["0/2", "3/2", "0/0", "1/0"] {
            let found = parsed(&format!("0-7:{stride}"), 8).expect_err("a bad stride");
            assert!(
                found.starts_with(&format!("the stride {stride} must")),
                "{found}"
            );
        }
    }

    #[test]
    fn errno_is_that_of_bitmap_parselist() {
        let errno = |text: &str| parse(text.as_bytes(), 8).map_err(|error| error.errno());
        for text in ["x", ",", "3-1", "0-3:3/2"] {
            assert_eq!(errno(text), Err(EINVAL));
        }
        assert_eq!(errno("8"), Err(ERANGE));
        assert_eq!(errno("4294967296"), Err(EOVERFLOW));
    }
}
