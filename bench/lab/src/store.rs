// SPDX-License-Identifier: GPL-2.0
//! Results as a file: JSON with one row a line, so that a change of one row is a change of one line.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{ensure, Context, Result};
use bench_record::results::{Results, Row, SCHEMA};
use bench_record::Place;

/// What tells rows apart.
pub(crate) type Id<'a> = (&'a str, &'a bench_record::report::Key, Place);

/// Returns what tells this row from others.
pub(crate) fn id(row: &Row) -> Id<'_> {
    (&row.machine, &row.key, row.place)
}

/// Prints a key as people read it: `noise/fork-storm (2MiB)`.
pub(crate) fn key_text(key: &bench_record::report::Key) -> String {
    if key.variant.is_empty() {
        format!("{}/{}", key.suite, key.bench)
    } else {
        format!("{}/{} ({})", key.suite, key.bench, key.variant)
    }
}

/// Prints which row it is: `micro: noise/fork-storm on LWK CPUs`.
pub(crate) fn row_text(row: &Row) -> String {
    format!(
        "{}: {} on {}",
        row.machine,
        key_text(&row.key),
        row.place.label()
    )
}

/// Sorts rows and refuses two of the same name.
pub(crate) fn sort(rows: &mut [Row]) -> Result<()> {
    rows.sort_by(|a, b| id(a).cmp(&id(b)));
    let mut seen = BTreeSet::new();
    for row in rows.iter() {
        ensure!(seen.insert(id(row)), "{} was measured twice", row_text(row));
    }
    Ok(())
}

/// Prints results.
pub(crate) fn to_text(results: &Results) -> Result<String> {
    let mut text = String::new();
    let kind = serde_json::to_string(&results.kind)?;
    let conditions = serde_json::to_string_pretty(&results.conditions)?.replace('\n', "\n  ");
    write!(
        text,
        "{{\n  \"schema\": {},\n  \"kind\": {kind},\n  \"conditions\": {conditions},\n  \"rows\": [",
        results.schema
    )?;
    for (index, row) in results.rows.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(text, "{comma}\n    {}", serde_json::to_string(row)?)?;
    }
    text.push_str("\n  ]\n}\n");
    Ok(text)
}

/// Reads results.
pub(crate) fn from_text(text: &str) -> Result<Results> {
    let results: Results = serde_json::from_str(text)?;
    ensure!(
        results.schema == SCHEMA,
        "schema {} where this program wants {SCHEMA}",
        results.schema
    );
    Ok(results)
}

/// Reads a file of results.
pub(crate) fn read(path: &Path) -> Result<Results> {
    let name = || path.display().to_string();
    from_text(&std::fs::read_to_string(path).with_context(name)?).with_context(name)
}

/// Writes a file and the folders above it.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    let name = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(name)?;
    }
    std::fs::write(path, text).with_context(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn text_has_a_line_for_each_row_and_comes_back() {
        let results = sample::results();
        let text = to_text(&results).unwrap();
        let lines = text.lines().filter(|line| line.contains("\"place\""));
        assert_eq!(lines.count(), results.rows.len());
        assert_eq!(from_text(&text).unwrap(), results);
    }

    #[test]
    fn another_schema_is_refused() {
        let mut results = sample::results();
        results.schema += 1;
        let error = from_text(&to_text(&results).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "schema 2 where this program wants 1");
    }

    #[test]
    fn two_rows_of_one_name_are_refused() {
        let mut rows = sample::results().rows;
        sort(&mut rows).unwrap();
        rows.push(rows[0].clone());
        let error = sort(&mut rows).unwrap_err().to_string();
        assert!(error.ends_with("was measured twice"), "{error}");
    }
}
