// SPDX-License-Identifier: GPL-2.0
//! Where the kernel instructions of a row went: by function and by call stack.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use bench_record::report::Key;
use bench_record::Place;
use serde::{Deserialize, Serialize};

/// Name of the file beside the results.
pub(crate) const FILE: &str = "attribution.json";

/// What the kernel instructions of one row were spent on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attribution {
    /// The machine of the row.
    pub(crate) machine: String,
    /// What was measured.
    pub(crate) key: Key,
    /// Where.
    pub(crate) place: Place,
    /// Instructions by function.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) functions: BTreeMap<String, u64>,
    /// Instructions by call stack, outermost function first, separated by semicolons.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) stacks: BTreeMap<String, u64>,
}

impl Attribution {
    /// Returns instructions by function.
    fn by_function(&self) -> BTreeMap<String, u64> {
        if !self.functions.is_empty() {
            return self.functions.clone();
        }
        let mut sum: BTreeMap<String, u64> = BTreeMap::new();
        for (stack, count) in &self.stacks {
            let leaf = stack.rsplit(';').next().unwrap_or(stack);
            *sum.entry(leaf.to_owned()).or_default() += count;
        }
        sum
    }

    /// Returns instructions of one of `nr` operations by function.
    pub(crate) fn each(&self, nr: u64) -> BTreeMap<String, u64> {
        let mut functions = self.by_function();
        functions.values_mut().for_each(|count| *count /= nr.max(1));
        functions
    }

    /// Returns the functions that took most, largest first, and the sum over all.
    fn top(&self, nr: usize) -> (Vec<(String, u64)>, u64) {
        let functions = self.by_function();
        let sum = functions.values().sum();
        let mut sorted: Vec<_> = functions.into_iter().collect();
        // Stable, so that equal counts stay in the order of their names.
        sorted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        sorted.truncate(nr);
        (sorted, sum)
    }

    /// Prints the functions that took most with their shares.
    pub(crate) fn top_text(&self, nr: usize) -> String {
        let (top, sum) = self.top(nr);
        let words: Vec<String> = top
            .iter()
            .map(|(name, count)| format!("{name} {} %", (count * 100 + sum / 2) / sum.max(1)))
            .collect();
        words.join(", ")
    }
}

/// Writes all of them beside the results.
pub(crate) fn write(folder: &Path, all: &[Attribution]) -> Result<()> {
    let mut text = String::from("[");
    for (index, one) in all.iter().enumerate() {
        text.push_str(if index == 0 { "\n" } else { ",\n" });
        text.push_str(&serde_json::to_string(one)?);
    }
    text.push_str("\n]\n");
    crate::store::write(&folder.join(FILE), &text)
}

/// Reads them; none if nobody counted by function.
pub(crate) fn read(folder: &Path) -> Result<Vec<Attribution>> {
    let path = folder.join(FILE);
    let name = || path.display().to_string();
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).with_context(name),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn top_functions_come_from_the_ends_of_stacks() {
        let one = sample::attribution();
        let (top, sum) = one.top(2);
        let want = [("clear_page_erms", 700), ("handle_mm_fault", 250)];
        assert_eq!(top, want.map(|(name, count)| (name.to_owned(), count)));
        assert_eq!(one.each(7)["clear_page_erms"], 100);
        assert_eq!(sum, 1000);
        assert_eq!(one.top_text(1), "clear_page_erms 70 %");
    }

    #[test]
    fn functions_that_were_counted_go_before_stacks() {
        let mut one = sample::attribution();
        one.functions.insert("f".to_owned(), 3);
        assert_eq!(one.top(9), (vec![("f".to_owned(), 3)], 3));
    }

    #[test]
    fn file_comes_back_and_a_missing_one_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).unwrap().is_empty());
        let all = vec![sample::attribution(), sample::attribution()];
        write(folder.path(), &all).unwrap();
        assert_eq!(read(folder.path()).unwrap(), all);
    }
}
