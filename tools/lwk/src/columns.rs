// SPDX-License-Identifier: GPL-2.0
//! Plain columns of text, for people and for other programs, and durations in them.

use std::fmt::Write;

/// How a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Two spaces between columns and none at the end of a line; titles first.
pub fn columns(titles: &[(String, Align)], rows: &[Vec<String>]) -> String {
    let header: Vec<String> = titles.iter().map(|(name, _)| name.clone()).collect();
    let lines = || std::iter::once(&header).chain(rows);
    let width = |column: usize| {
        let cells = lines().filter_map(|cells| cells.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let mut text = String::new();
    for cells in lines() {
        let mut line = String::new();
        for ((cell, width), (_, align)) in cells.iter().zip(&widths).zip(titles) {
            // Writing to a string cannot fail.
            let _ = match align {
                Align::Left => write!(line, "{cell:<width$}  "),
                Align::Right => write!(line, "{cell:>width$}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A text of somebody else's, such as the name that a program gave itself, without what would speak to the terminal that
/// it is shown on.
pub fn plain(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

/// Nanoseconds in the largest unit that leaves a whole number before the point, empty for zero.
pub fn duration(ns: u64) -> String {
    let (unit_ns, unit) = match ns {
        0 => return String::new(),
        1..1_000 => return format!("{ns}ns"),
        1_000..1_000_000 => (1_000, "us"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    // One decimal, cut rather than rounded, so that 999.96 us does not print as 1000.0 us.
    format!("{}.{}{unit}", ns / unit_ns, ns % unit_ns * 10 / unit_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_that_fits() {
        let told = [0, 999, 1_000, 999_999, 12_340_000, 61_000_000_000].map(duration);
        assert_eq!(told, ["", "999ns", "1.0us", "999.9us", "12.3ms", "61.0s"]);
    }
}
