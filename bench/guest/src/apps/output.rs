// SPDX-License-Identifier: GPL-2.0
//! Judges what a program has put out.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{ensure, Context, Result};
use serde::Deserialize;

/// Where a program's standard output goes in its directory.
pub(crate) const STDOUT: &str = "stdout";

/// Where its standard error output goes.
pub(crate) const STDERR: &str = "stderr";

/// A busybox with `sha256sum` and `ip`, which the archive of programs brings.
pub(crate) const BUSYBOX: &str = "/usr/bin/busybox";

/// What a program must have put out.
///
/// Lines are compared with patterns after each run of blanks became one. In a pattern `*` stands for any text, such as
/// a time, and `{}` for a text that must be the same in every place.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    /// The file with the output; standard output by default.
    #[serde(default = "stdout")]
    output: String,
    /// Lines that must be there in this order.
    #[serde(default)]
    lines: Vec<String>,
    /// Whether there may be other lines between them.
    #[serde(default)]
    others: Others,
    /// Text that must not be there.
    #[serde(default)]
    never: Vec<String>,
    /// Digest of the whole.
    #[serde(default)]
    sha256: Option<String>,
}

/// What may be between the lines that must be there.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Others {
    /// Nothing.
    #[default]
    Refused,
    /// Anything.
    Allowed,
}

fn stdout() -> String {
    STDOUT.to_owned()
}

impl Expected {
    /// Whether it expects anything at all.
    #[cfg(test)]
    pub(crate) fn is_something(&self) -> bool {
        !self.lines.is_empty() || self.sha256.is_some()
    }

    /// Checks what lies in the program's directory; returns the texts that must be the same in every place.
    ///
    /// # Errors
    ///
    /// The output is missing or wrong.
    pub(crate) fn check(&self, dir: &Path) -> Result<Vec<String>> {
        let path = dir.join(&self.output);
        if let Some(want) = &self.sha256 {
            let got = digest(&path)?;
            ensure!(got == *want, "its output has the digest {got}");
        }
        if self.lines.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        let text = String::from_utf8_lossy(&bytes);
        for word in &self.never {
            ensure!(!text.contains(word), "it said {word:?}");
        }
        self.find(&text)
    }

    fn find(&self, text: &str) -> Result<Vec<String>> {
        let mut patterns = self.lines.iter().peekable();
        let mut kept = Vec::new();
        for line in text.lines() {
            let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
            let found = patterns.peek().and_then(|pattern| matches(pattern, &line));
            match found {
                Some(found) => {
                    kept.extend(found.into_iter().map(str::to_owned));
                    patterns.next();
                }
                None => ensure!(
                    self.others == Others::Allowed || line.is_empty(),
                    "it said {line:?} where {:?} belongs",
                    patterns.peek()
                ),
            }
        }
        let left: Vec<_> = patterns.collect();
        ensure!(left.is_empty(), "it did not say {left:?}");
        Ok(kept)
    }
}

/// The last line that a program wrote to its standard error output.
pub(crate) fn last_words(dir: &Path) -> String {
    let text = fs::read(dir.join(STDERR)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().rfind(|line| !line.trim().is_empty());
    last.unwrap_or("nothing").to_owned()
}

fn digest(path: &Path) -> Result<String> {
    let mut command = Command::new(BUSYBOX);
    let done = command.arg("sha256sum").arg(path).output();
    let done = done.context(BUSYBOX)?;
    let text = String::from_utf8_lossy(&done.stdout);
    let digest = text.split_whitespace().next();
    Ok(digest.context("sha256sum said nothing")?.to_owned())
}

/// Whether a line has the form of a pattern; the texts in place of `{}`.
fn matches<'a>(pattern: &str, line: &'a str) -> Option<Vec<&'a str>> {
    let wild = [pattern.find('*'), pattern.find("{}")];
    let Some(at) = wild.into_iter().flatten().min() else {
        return (pattern == line).then(Vec::new);
    };
    let (literal, rest) = pattern.split_at_checked(at)?;
    let tail = line.strip_prefix(literal)?;
    let (is_kept, rest) = match rest.strip_prefix("{}") {
        Some(rest) => (true, rest),
        None => (false, rest.strip_prefix('*')?),
    };
    (0..=tail.len()).find_map(|end| {
        let (text, tail) = tail.split_at_checked(end)?;
        let mut found = matches(rest, tail)?;
        if is_kept {
            found.insert(0, text);
        }
        Some(found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(lines: &[&str], others: Others) -> Expected {
        Expected {
            output: stdout(),
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            others,
            ..Expected::default()
        }
    }

    #[test]
    fn patterns_skip_and_keep() {
        assert_eq!(matches("events: 20", "events: 20"), Some(vec![]));
        assert_eq!(matches("events: 20", "events: 200"), None);
        assert_eq!(
            matches("[*] fork 10 *", "[17] fork 10 0.5 1.2"),
            Some(vec![])
        );
        assert_eq!(matches("[*] fork 10 *", "[17] fork 100 0.5"), None);
        assert_eq!(matches("a={} b={}!*", "a=1 b=é! c"), Some(vec!["1", "é"]));
    }

    #[test]
    fn order_gaps_and_ends_matter() {
        let text = "one   1\n\ntwo 2\nthree 3\n";
        let strict = |lines: &[&str]| expected(lines, Others::Refused).find(text);
        let loose = |lines: &[&str]| expected(lines, Others::Allowed).find(text);
        assert_eq!(strict(&["one {}", "two 2", "three *"]).unwrap(), ["1"]);
        assert!(strict(&["one *", "three *"]).is_err());
        assert!(strict(&["one *", "two *", "three *", "four *"]).is_err());
        assert_eq!(loose(&["one *", "three {}"]).unwrap(), ["3"]);
        assert!(loose(&["three *", "one *"]).is_err());
        assert!(loose(&["four *"]).is_err());
    }

    #[test]
    fn forbidden_words_and_missing_files_are_found() {
        let dir = std::env::temp_dir().join(format!("apps-output-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let mut expected = expected(&["done"], Others::Allowed);
        assert!(expected.check(&dir).is_err());
        fs::write(dir.join(STDOUT), "a test FAILED\ndone\n").unwrap();
        assert!(expected.check(&dir).is_ok());
        expected.never.push("FAILED".to_owned());
        assert!(expected.check(&dir).is_err());
        fs::write(dir.join(STDERR), "first\nlast\n\n").unwrap();
        assert_eq!(last_words(&dir), "last");
        fs::remove_dir_all(&dir).unwrap();
    }
}
