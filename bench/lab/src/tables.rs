// SPDX-License-Identifier: GPL-2.0
//! Tables of figures: the three places side by side.

use std::collections::{BTreeMap, BTreeSet};

use bench_record::report::Key;
use bench_record::results::{Figures, Kind, Row, Times};
use bench_record::Place;
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

use crate::bars::{self, Judged, Verdict};
use crate::compare::why_text;

/// The rows of one measurement, by place.
pub(crate) type ByPlace<'a> = BTreeMap<Place, &'a Row>;

/// Groups the rows of a suite by machine and key.
pub(crate) fn group<'a>(rows: &'a [Row], suite: &str) -> BTreeMap<(&'a str, &'a Key), ByPlace<'a>> {
    let mut groups: BTreeMap<_, ByPlace<'a>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.key.suite == suite) {
        let id = (row.machine.as_str(), &row.key);
        groups.entry(id).or_default().insert(row.place, row);
    }
    groups
}

/// Names of the suites, in the order of the alphabet.
pub(crate) fn suites(rows: &[Row]) -> BTreeSet<&str> {
    rows.iter().map(|row| row.key.suite.as_str()).collect()
}

/// What a benchmark is called in a table: with its machine if the suite ran on several.
pub(crate) fn name(machine: &str, key: &Key, has_several: bool) -> String {
    let mut text = key.bench.clone();
    for part in [key.variant.as_str(), if has_several { machine } else { "" }] {
        if !part.is_empty() {
            text.push_str(&format!(", {part}"));
        }
    }
    text
}

/// Whether the groups are of more than one machine.
pub(crate) fn has_several(groups: &BTreeMap<(&str, &Key), ByPlace<'_>>) -> bool {
    let machines: BTreeSet<_> = groups.keys().map(|(machine, _)| machine).collect();
    machines.len() > 1
}

/// A count for each operation, with a fraction only where it says something.
pub(crate) fn each(count: u64, iterations: u64) -> String {
    let hundredths = (u128::from(count) * 100).div_ceil(u128::from(iterations.max(1)));
    match hundredths {
        10_000.. => (hundredths / 100).to_string(),
        _ => bars::text(hundredths),
    }
}

/// Prints a table as Markdown.
pub(crate) fn markdown(header: &[&str], nr_words: usize, lines: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    table.add_rows(lines);
    for column in table.column_iter_mut().skip(nr_words) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// A cell of counts: the figure or why there is none.
fn cell(row: Option<&&Row>, print: impl Fn(&Figures) -> String) -> String {
    match row.map(|row| &row.figures) {
        None => String::new(),
        Some(Ok(figures)) => print(figures),
        Some(Err(bench_record::report::Why::NotBuilt)) => "not built".to_owned(),
        Some(Err(bench_record::report::Why::NotHere(_))) => "not here".to_owned(),
        Some(Err(bench_record::report::Why::Failed(_))) => "FAILED".to_owned(),
    }
}

/// The table of a suite.
pub(crate) fn suite(rows: &[Row], suite: &str, kind: Kind) -> String {
    match kind {
        Kind::Counted => counted(rows, suite),
        Kind::Timed => timed(rows, suite),
    }
}

/// Counts for each operation.
fn counted(rows: &[Row], suite: &str) -> String {
    let groups = group(rows, suite);
    let several = has_several(&groups);
    let header = [
        "benchmark",
        "operations",
        "kernel instr. each: Linux",
        "tuned",
        "LWK",
        "entries each: Linux",
        "tuned",
        "LWK",
        "longest stay: Linux",
        "tuned",
        "LWK",
        "user instr. each: LWK",
    ];
    let mut lines = Vec::new();
    for ((machine, key), places) in &groups {
        let iterations = places
            .values()
            .find_map(|row| Some(row.figures.as_ref().ok()?.iterations));
        let mut line = vec![
            name(machine, key, several),
            iterations.map_or_else(String::new, |nr| nr.to_string()),
        ];
        let prints: [fn(&Figures) -> String; 3] = [
            |figures| each(figures.kernel, figures.iterations),
            |figures| each(figures.entries, figures.iterations),
            |figures| figures.longest.to_string(),
        ];
        for print in prints {
            line.extend(Place::ALL.map(|place| cell(places.get(&place), print)));
        }
        let user = |figures: &Figures| each(figures.user, figures.iterations);
        line.push(cell(places.get(&Place::Lwk), user));
        lines.push(line);
    }
    markdown(&header, 1, &lines)
}

/// Times of single operations.
fn timed(rows: &[Row], suite: &str) -> String {
    let groups = group(rows, suite);
    let several = has_several(&groups);
    let header = [
        "benchmark",
        "place",
        "times",
        "min ns",
        "median ns",
        "p99.9 ns",
        "max ns",
        "spread ns",
        "user instr. each",
        "kernel instr. each",
    ];
    let mut lines = Vec::new();
    for ((machine, key), places) in &groups {
        for (place, row) in places {
            let mut line = vec![name(machine, key, several), place.label().to_owned()];
            let times = row.figures.as_ref().ok().and_then(|figures| figures.times);
            let print = |of: fn(&Times) -> u64| match &times {
                Some(times) => of(times).to_string(),
                None => cell(Some(row), |_| "-".to_owned()),
            };
            line.extend([
                print(|t| t.nr),
                print(|t| t.min_ns),
                print(|t| t.median_ns),
                print(|t| t.p999_ns),
                print(|t| t.max_ns),
                print(|t| t.spread_ns),
            ]);
            // A machine or user without the processor's counters has none.
            let instructions: [fn(&Figures) -> u64; 2] = [|f| f.user, |f| f.kernel];
            line.extend(instructions.map(|of| {
                cell(Some(row), |figures| match of(figures) {
                    0 => "-".to_owned(),
                    count => each(count, figures.iterations),
                })
            }));
            lines.push(line);
        }
    }
    markdown(&header, 2, &lines)
}

/// The table of bars.
pub(crate) fn bars_table(judged: &[Judged<'_>]) -> String {
    let line = |judged: &Judged<'_>| {
        let verdict = match judged.verdict {
            Verdict::Missed => "🔴 **missed**".to_owned(),
            other => other.word().to_owned(),
        };
        vec![
            judged.bar.name.to_owned(),
            judged.bar.promise.to_owned(),
            verdict,
            judged.distance.clone(),
        ]
    };
    let lines: Vec<_> = judged.iter().map(line).collect();
    markdown(&["bar", "promise", "verdict", "distance"], 4, &lines)
}

/// What has no figures, and why: a line for each reason and benchmark.
pub(crate) fn missing(rows: &[Row]) -> Vec<String> {
    let mut reasons: BTreeMap<(String, String), Vec<&str>> = BTreeMap::new();
    for row in rows {
        if let Err(why) = &row.figures {
            let id = (crate::store::key_text(&row.key), why_text(why));
            reasons.entry(id).or_default().push(row.place.label());
        }
    }
    let line = |((name, why), places): (&(String, String), &Vec<&str>)| match places.len() {
        0..3 => format!("{name} on {}: {why}", places.join(" and ")),
        _ => format!("{name}: {why}"),
    };
    reasons.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn places_stand_side_by_side() {
        let rows = sample::results().rows;
        let tables = suites(&rows)
            .into_iter()
            .map(|name| suite(&rows, name, Kind::Counted));
        insta::assert_snapshot!(tables.collect::<Vec<_>>().join("\n\n"));
    }

    #[test]
    fn times_have_all_their_figures() {
        let mut report = sample::report();
        for window in &mut report.windows {
            window.times_ns = (1..=1000).collect();
            window.subjects.truncate(1);
        }
        report.windows[0].instructions = Some((400, 7));
        let rows = crate::join::timed(&report).unwrap();
        let tables = suites(&rows)
            .into_iter()
            .map(|name| suite(&rows, name, Kind::Timed));
        insta::assert_snapshot!(tables.collect::<Vec<_>>().join("\n\n"));
    }

    #[test]
    fn small_figures_have_fractions() {
        assert_eq!(each(1, 3), "0.34");
        assert_eq!(each(1000, 1000), "1");
        assert_eq!(each(123_456, 1000), "123");
    }

    #[test]
    fn what_is_missing_is_told_with_its_reason() {
        let lines = missing(&sample::results().rows);
        assert_eq!(lines, ["syscall/getppid-moved on LWK CPUs: not built"]);
    }
}
