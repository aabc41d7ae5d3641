// SPDX-License-Identifier: GPL-2.0
//! Which word a mistyped one was meant to be.

/// Longer words are not looked at; no name of a system call is.
const LONGEST: usize = 32;

/// How many slips a mistyped word has at most.
const MAX_SLIPS: u8 = 2;

/// One row of the table of distances, with a column more than a word has letters.
type Row = [u8; LONGEST + 1];

/// Returns the word that `text` is nearest to, the first if there are several; none if it is like none of them.
pub(super) fn nearest(
    text: &[u8],
    words: impl Iterator<Item = &'static str>,
) -> Option<&'static str> {
    // Of a short word a slip changes so much that anything would be like it.
    let most = match text.len() {
        0..=2 => return None,
        3 => 1,
        _ => MAX_SLIPS,
    };
    let slips = words.filter_map(|word| Some((distance(text, word.as_bytes())?, word)));
    let near = slips.filter(|(slips, _)| *slips <= most);
    near.min_by_key(|(slips, _)| *slips).map(|(_, word)| word)
}

/// Returns how many letters one must add, drop, replace or swap with their neighbour to get from one word to the other
/// (optimal string alignment); none if a word is too long.
fn distance(left: &[u8], right: &[u8]) -> Option<u8> {
    if left.len() > LONGEST || right.len() > LONGEST {
        return None;
    }
    let at = |row: &Row, column: usize| row.get(column).copied().unwrap_or(u8::MAX);
    let mut above: Row = [0; LONGEST + 1];
    for (cell, column) in above.iter_mut().zip(0..) {
        *cell = column;
    }
    let (mut two_above, mut last_letter) = (above, None);
    for (row, &letter) in (1..).zip(left) {
        let mut current: Row = [row; LONGEST + 1];
        let (mut beside, mut last_other) = (row, None);
        for (column, &other) in (1..).zip(right) {
            let replaced = at(&above, column - 1).saturating_add(u8::from(letter != other));
            let added = at(&above, column).min(beside).saturating_add(1);
            let mut best = replaced.min(added);
            let is_swap = last_other == Some(letter) && last_letter == Some(other);
            if let (true, Some(before)) = (is_swap, column.checked_sub(2)) {
                best = best.min(at(&two_above, before).saturating_add(1));
            }
            if let Some(cell) = current.get_mut(column) {
                *cell = best;
            }
            (beside, last_other) = (best, Some(other));
        }
        (two_above, above, last_letter) = (above, current, Some(letter));
    }
    Some(at(&above, right.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_slips() {
        let pairs = [
            ("read", "read", 0),
            ("raed", "read", 1),
            ("red", "read", 1),
            ("reead", "read", 1),
            ("rest", "read", 2),
            ("", "read", 4),
            ("read", "", 4),
        ];
        for (left, right, slips) in pairs {
            assert_eq!(
                distance(left.as_bytes(), right.as_bytes()),
                Some(slips),
                "{left}"
            );
        }
        assert_eq!(distance(&[b'a'; LONGEST], &[b'b'; LONGEST]), Some(32));
        assert_eq!(distance(&[b'a'; LONGEST + 1], b"a"), None);
    }

    #[test]
    fn what_is_like_nothing_has_no_nearest() {
        let words = || ["read", "readv", "brk"].into_iter();
        assert_eq!(nearest(b"raed", words()), Some("read"));
        assert_eq!(nearest(b"readc", words()), Some("read"));
        assert_eq!(nearest(b"bkr", words()), Some("brk"));
        assert_eq!(nearest(b"bxx", words()), None);
        assert_eq!(nearest(b"br", words()), None);
        assert_eq!(nearest(b"nanosleep", words()), None);
    }
}
