// SPDX-License-Identifier: GPL-2.0
//! How the policy's private errors leave it: one errno each, and one line of text that quotes what was wrong.

use core::fmt::{self, Write};

/// Operation not permitted.
pub const EPERM: i32 = 1;
/// No such entry.
pub const ENOENT: i32 = 2;
/// Argument list too long, here: structure larger than the kernel knows.
pub const E2BIG: i32 = 7;
/// Out of memory.
pub const ENOMEM: i32 = 12;
/// Bad address.
pub const EFAULT: i32 = 14;
/// Device or resource busy.
pub const EBUSY: i32 = 16;
/// Exists already.
pub const EEXIST: i32 = 17;
/// No such device.
pub const ENODEV: i32 = 19;
/// Invalid argument.
pub const EINVAL: i32 = 22;
/// Not a request of this device.
pub const ENOTTY: i32 = 25;
/// No space left.
pub const ENOSPC: i32 = 28;
/// Result too large.
pub const ERANGE: i32 = 34;
/// Value too large for its type.
pub const EOVERFLOW: i32 = 75;
/// Operation not supported.
pub const EOPNOTSUPP: i32 = 95;

/// An error that has an errno, positive as in `errno.h`.
pub trait Errno {
    /// Returns the errno.
    fn errno(&self) -> i32;
}

/// How many bytes of a text an [`Excerpt`] keeps.
const EXCERPT_LEN: usize = 22;

/// The beginning of a text that was refused, kept by value because an error outlives the text it is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Excerpt {
    bytes: [u8; EXCERPT_LEN],
    len: u8,
    is_cut: bool,
}

impl Excerpt {
    /// Keeps the beginning of `text`.
    pub fn new(text: &[u8]) -> Self {
        let mut excerpt = Self {
            bytes: [0; EXCERPT_LEN],
            len: 0,
            is_cut: text.len() > EXCERPT_LEN,
        };
        for (to, from) in excerpt.bytes.iter_mut().zip(text) {
            *to = *from;
            excerpt.len += 1;
        }
        excerpt
    }
}

/// Quotes the text, with `?` for what must not reach a terminal or the kernel log.
impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('\'')?;
        for &byte in self.bytes.iter().take(usize::from(self.len)) {
            let is_plain = byte == b' ' || byte.is_ascii_graphic();
            f.write_char(if is_plain { char::from(byte) } else { '?' })?;
        }
        f.write_str(if self.is_cut { "...'" } else { "'" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn excerpt_quotes_cuts_and_hides_control_bytes() {
        assert_eq!(format!("{}", Excerpt::new(b"0-x")), "'0-x'");
        assert_eq!(format!("{}", Excerpt::new(b"")), "''");
        assert_eq!(format!("{}", Excerpt::new(b"a\x1b[0m\xff")), "'a?[0m?'");
        let long = [b'9'; EXCERPT_LEN + 1];
        let (whole, _) = long.split_at(EXCERPT_LEN);
        assert_eq!(format!("{}", Excerpt::new(whole)).len(), EXCERPT_LEN + 2);
        assert!(format!("{}", Excerpt::new(&long)).ends_with("9...'"));
    }
}
