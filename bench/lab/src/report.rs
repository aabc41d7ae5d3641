// SPDX-License-Identifier: GPL-2.0
//! Writes the report: Markdown, pictures, flame graphs and the page of the documentation.

use std::path::Path;

use anyhow::Result;
use bench_record::results::{Results, Row};
use bench_record::Place;

use crate::attribution::Attribution;
use crate::bars;
use crate::page::{find, Page, Picture, NR_ROWS};
use crate::{chart, flame, store, tables};

/// Name of the report in its folder.
pub(crate) const MARKDOWN: &str = "report.md";

/// Writes everything into a folder, and the page without pictures to `doc`.
pub(crate) fn write(
    results: &Results,
    attributions: &[Attribution],
    folder: &Path,
    doc: Option<&Path>,
    made_by: &str,
) -> Result<()> {
    let mut pictures = charts(results, folder)?;
    pictures.extend(flames(results, attributions, folder)?);
    let page = |pictures| Page {
        results,
        attributions,
        made_by,
        pictures,
    };
    store::write(&folder.join(MARKDOWN), &page(&pictures).markdown())?;
    if let Some(doc) = doc {
        store::write(doc, &page(&[]).markdown())?;
    }
    Ok(())
}

/// Draws the figures of every suite.
fn charts(results: &Results, folder: &Path) -> Result<Vec<Picture>> {
    let condition = |name: &str| {
        results
            .conditions
            .get(name)
            .map_or("unknown", String::as_str)
    };
    let note = match results.kind {
        bench_record::results::Kind::Counted => format!(
            "counted in one deterministic emulated run, no times; kernel {}; {}; logarithmic scale",
            condition("kernel"),
            condition("QEMU")
        ),
        bench_record::results::Kind::Timed => format!(
            "times of a real machine; kernel {}; logarithmic scale",
            condition("kernel")
        ),
    };
    let mut pictures = Vec::new();
    for suite in tables::suites(&results.rows) {
        for &shown in chart::shown(results.kind) {
            let Some(svg) = chart::draw(&results.rows, suite, shown, &note)? else {
                continue;
            };
            let file = format!("{suite}-{}.svg", shown.name);
            store::write(&folder.join(&file), &svg)?;
            pictures.push(Picture {
                suite: suite.to_owned(),
                title: format!("{suite}: {}", shown.name),
                file,
            });
        }
    }
    Ok(pictures)
}

/// The rows that miss a bar most and those that these are compared with, and the dearest row of each suite: it is worth
/// knowing where their instructions go.
pub(crate) fn worth_a_look(results: &Results) -> Vec<&Row> {
    let mut rows = Vec::new();
    for judged in bars::judge(&results.rows) {
        for miss in judged.misses.iter().take(NR_ROWS) {
            rows.push(miss.row);
            rows.extend(judged.bar.compared(miss.row, &results.rows));
        }
    }
    for suite in tables::suites(&results.rows) {
        rows.extend(dearest(&results.rows, suite));
    }
    rows
}

/// Draws where the instructions of the rows went that are worth it, on LWK CPUs.
fn flames(results: &Results, attributions: &[Attribution], folder: &Path) -> Result<Vec<Picture>> {
    let rows = worth_a_look(results);
    let mut pictures: Vec<Picture> = Vec::new();
    for row in rows.into_iter().filter(|row| row.place == Place::Lwk) {
        let Some(attribution) = find(attributions, row) else {
            continue;
        };
        // Functions alone make a flame of one row.
        let stacks = match attribution.stacks.is_empty() {
            true => &attribution.functions,
            false => &attribution.stacks,
        };
        let title = store::row_text(row);
        let key = &row.key;
        let words = ["flame", &key.suite, &key.bench, &key.variant];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let picture = Picture {
            suite: key.suite.clone(),
            file: words.join("-") + ".svg",
            title: format!("Kernel functions of {title}"),
        };
        if !pictures.contains(&picture) {
            store::write(&folder.join(&picture.file), &flame::draw(&title, stacks))?;
            pictures.push(picture);
        }
    }
    Ok(pictures)
}

/// The row of a suite with most kernel instructions for each operation on LWK CPUs.
fn dearest<'a>(rows: &'a [Row], suite: &str) -> Option<&'a Row> {
    let rows = rows
        .iter()
        .filter(|row| row.key.suite == suite && row.place == Place::Lwk);
    let cost = |row: &Row| {
        let figures = row.figures.as_ref().ok()?;
        (figures.kernel > 0).then(|| figures.kernel / figures.iterations.max(1))
    };
    rows.filter(|row| cost(row).is_some())
        .max_by_key(|row| cost(row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn every_file_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let results = sample::results();
        let mut attribution = sample::attribution();
        attribution.key = results
            .rows
            .iter()
            .find(|row| row.key.suite == "syscall")
            .unwrap()
            .key
            .clone();
        let doc = folder.path().join("docs/performance.md");
        write(
            &results,
            &[attribution],
            folder.path(),
            Some(&doc),
            "make bench",
        )
        .unwrap();
        let text = std::fs::read_to_string(folder.path().join(MARKDOWN)).unwrap();
        for file in [
            "noise-entries.svg",
            "noise-kernel.svg",
            "flame-syscall-getppid.svg",
        ] {
            assert!(
                folder.path().join(file).is_file() && text.contains(file),
                "{file}"
            );
        }
        let page = std::fs::read_to_string(doc).unwrap();
        assert!(page.starts_with("<!-- Generated by `make bench`") && !page.contains(".svg"));
    }
}
