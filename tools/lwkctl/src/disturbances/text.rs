// SPDX-License-Identifier: GPL-2.0
//! The summary as text: causes, a histogram, culprits with advice.

use lwk::duration;

use crate::disturbances::summary::Summary;
use crate::table::{Align::Left, Align::Right, Style, Table};

/// Columns of the longest bar.
const BAR: u64 = 40;

/// All of it, or one sentence if there was nothing.
pub fn text(summary: &Summary, style: Style) -> String {
    if summary.cpus.is_empty() {
        return "No LWK CPUs.\n".to_owned();
    }
    let mut text = if summary.records.is_empty() {
        format!("Nothing disturbed LWK CPUs {}.\n", summary.cpus)
    } else {
        format!(
            "{}\n{}\n{}",
            causes(summary, style),
            histogram(summary),
            culprits(summary, style)
        )
    };
    if summary.lost != 0 {
        text += &format!(
            "{} older disturbances were overwritten before they were read.\n",
            summary.lost
        );
    }
    text
}

/// A text with names that others chose, safe for terminals; its columns are not for programs, so blanks stay.
fn printable(text: &str) -> String {
    let safe = |c: char| if c.is_control() { '?' } else { c };
    text.chars().map(safe).collect()
}

/// A duration; there is none for an NMI.
fn time(ns: u64) -> String {
    if ns == 0 {
        return "-".to_owned();
    }
    duration(ns)
}

fn causes(summary: &Summary, style: Style) -> String {
    let mut table = Table::new([
        ("CAUSE", Left),
        ("WHAT RAN", Left),
        ("COUNT", Right),
        ("TOTAL", Right),
        ("MAX", Right),
        ("MEDIAN", Right),
    ]);
    for cause in &summary.causes {
        let figures = &cause.figures;
        table.row([
            cause.cause.to_owned(),
            printable(&cause.ran),
            figures.count.to_string(),
            time(figures.total_ns),
            time(figures.max_ns),
            time(figures.median_ns),
        ]);
    }
    table.text(style)
}

fn histogram(summary: &Summary) -> String {
    let most = summary
        .histogram
        .iter()
        .map(|bucket| bucket.count)
        .max()
        .unwrap_or(1);
    let line = |bucket: &crate::disturbances::summary::Bucket| {
        let width = (bucket.count * BAR).div_ceil(most.max(1));
        let bar: String = (0..width).map(|_| '#').collect();
        let line = format!(
            "{:>8} to {:>8} {:>6}  {bar}",
            duration(bucket.from_ns),
            duration(bucket.to_ns),
            bucket.count
        );
        line.trim_end().to_owned() + "\n"
    };
    summary.histogram.iter().map(line).collect()
}

fn culprits(summary: &Summary, style: Style) -> String {
    let mut table = Table::new([
        ("CULPRIT", Left),
        ("PID", Right),
        ("CPU", Right),
        ("COUNT", Right),
        ("TOTAL", Right),
        ("WHAT RAN", Left),
    ]);
    let number = |number: Option<u32>| number.map(|n| n.to_string()).unwrap_or_default();
    let mut advice: Vec<(&str, Vec<String>)> = Vec::new();
    for culprit in &summary.culprits {
        let mut who = printable(&culprit.who);
        let ran = printable(&culprit.ran);
        // A device and its interrupt are the same.
        let both = if who == ran {
            who.clone()
        } else {
            format!("{who}, {ran}")
        };
        match advice.iter_mut().find(|(text, _)| *text == culprit.advice) {
            Some((_, whom)) if whom.contains(&both) => {}
            Some((_, whom)) => whom.push(both),
            None => advice.push((culprit.advice, vec![both])),
        }
        if culprit.own {
            who += " (the job itself)";
        }
        table.row([
            who,
            number(culprit.pid),
            number(culprit.cpu),
            culprit.count.to_string(),
            time(culprit.total_ns),
            ran,
        ]);
    }
    let mut text = table.text(style) + "\n";
    for (what, whom) in advice {
        text += &format!("{}:\n{}", whom.join("; "), wrapped(what));
    }
    text
}

/// Indented lines that end before column 100.
fn wrapped(words: &str) -> String {
    const INDENT: &str = "   ";
    let (mut text, mut line) = (String::new(), INDENT.to_owned());
    for word in words.split_whitespace() {
        if line.len() > INDENT.len() && line.len() + 1 + word.len() > 99 {
            text += &line;
            text.push('\n');
            line = INDENT.to_owned();
        }
        line.push(' ');
        line += word;
    }
    text + &line + "\n"
}
