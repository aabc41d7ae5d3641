// SPDX-License-Identifier: GPL-2.0
//! Files of the kernel: reading, writing, trying.

use std::fs;
use std::io::Write;

use anyhow::{Context, Result};

/// Reads a file without the white space at its end.
pub(crate) fn read(path: &str) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| path.to_owned())?;
    Ok(text.trim_end().to_owned())
}

/// Writes to a file that exists, in one call.
pub(crate) fn write(path: &str, value: &str) -> Result<()> {
    let file = fs::OpenOptions::new().write(true).open(path);
    let written = file.and_then(|mut file| file.write_all(value.as_bytes()));
    written.with_context(|| format!("writing {value:?} to {path}"))
}

/// The value of a word `key=value` of the boot line.
pub(crate) fn boot_word<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split_whitespace()
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_words_are_whole_words() {
        let line = "quiet lab.lwk=5-6 xlab.lwk=7 lab.lwkx=8";
        assert_eq!(boot_word(line, "lab.lwk"), Some("5-6"));
        assert_eq!(boot_word(line, "lab.tuned"), None);
        assert_eq!(boot_word(line, "quiet"), None);
    }
}
