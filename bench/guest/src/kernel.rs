// SPDX-License-Identifier: GPL-2.0
//! Files of the kernel: reading, writing, trying.

use std::fs;
use std::io::Write;

use anyhow::{Context, Result};

use crate::measure::NotHere;

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

/// Writes to a file that the kernel may lack.
///
/// # Errors
///
/// [`NotHere`] if it does.
pub(crate) fn set(path: &str, value: &str) -> Result<()> {
    need(path)?;
    write(path, value)
}

/// Checks that the kernel has a file.
///
/// # Errors
///
/// [`NotHere`] if it does not.
pub(crate) fn need(path: &str) -> Result<()> {
    if std::path::Path::new(path).exists() {
        return Ok(());
    }
    Err(NotHere(format!("this kernel has no {path}")).into())
}

/// A file that gets its contents back.
pub(crate) struct Restored {
    path: String,
    old: String,
}

impl Restored {
    /// Remembers a file.
    pub(crate) fn remember(path: &str) -> Result<Self> {
        need(path)?;
        let text = read(path)?;
        // Files that offer a choice have the current one in brackets.
        let chosen = text
            .split_once('[')
            .and_then(|(_, rest)| rest.split_once(']'));
        let old = chosen
            .map_or(text.as_str(), |(chosen, _)| chosen)
            .to_owned();
        Ok(Self {
            path: path.to_owned(),
            old,
        })
    }

    /// Writes a value to it.
    pub(crate) fn set(&self, value: &str) -> Result<()> {
        write(&self.path, value)
    }

    /// Writes what was there.
    pub(crate) fn reset(&self) -> Result<()> {
        write(&self.path, &self.old)
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        if let Err(error) = self.reset() {
            eprintln!("bench-guest: {error:#}");
        }
    }
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
