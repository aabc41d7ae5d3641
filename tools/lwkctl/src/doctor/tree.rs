// SPDX-License-Identifier: GPL-2.0
//! Files of a machine below some directory; one that cannot be read is not there.

use std::path::{Path, PathBuf};

use lwk_logic::logic::cpuset::CpuSet;

/// The root of a machine's files.
#[derive(Debug, Clone)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// The files below `root`.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Where a file is; `path` has no slash first.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The text of a file without blanks at its ends.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let bytes = std::fs::read(self.path(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// The number in a file.
    pub(crate) fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// The CPU list in a file.
    pub(crate) fn list(&self, path: &str) -> Option<CpuSet> {
        self.text(path)?.parse().ok()
    }

    /// The names in a directory, sorted; those that are numbers by number.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path(path)) else {
            return Vec::new();
        };
        let names = entries.flatten().map(|entry| entry.file_name());
        let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
        names.sort_by_key(|name| (name.parse::<u64>().unwrap_or(u64::MAX), name.clone()));
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_numbers_are_sorted_as_such() {
        let dir = tempfile::tempdir().expect("it must succeed");
        for name in ["10", "9", "default"] {
            std::fs::write(dir.path().join(name), "x\n").expect("it must succeed");
        }
        let tree = Tree::new(dir.path());
        assert_eq!(tree.names("."), ["9", "10", "default"]);
        assert_eq!(tree.text("9").as_deref(), Some("x"));
        assert_eq!(tree.number("9"), None);
        assert_eq!(tree.text("none"), None);
    }
}
