// SPDX-License-Identifier: GPL-2.0
//! Reads KTAP version 1 as the guest writes it, and holds it against the cases that should have run.

use std::fmt;

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The guest said ok.
    Passed,
    /// The guest said not ok, or nothing.
    Failed(String),
    /// The guest could not run it here.
    Skipped(String),
}

/// A report as it was written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    is_ktap: bool,
    plan: Option<usize>,
    results: Vec<Outcome>,
    strange: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    number: usize,
    name: String,
    verdict: Verdict,
}

/// A report held against what was expected.
#[derive(Debug)]
pub(crate) struct Judged {
    /// Every expected case with its verdict.
    pub(crate) cases: Vec<(String, Verdict)>,
    /// What is wrong with the report itself.
    pub(crate) problems: Vec<String>,
}

/// Reads a report.
pub(crate) fn parse(text: &str) -> Report {
    let mut report = Report::default();
    let mut notes = Vec::new();
    for line in text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
    {
        if line == "KTAP version 1" && !report.is_ktap {
            report.is_ktap = true;
        } else if let Some(note) = line.strip_prefix('#') {
            notes.push(note.trim_start().to_owned());
        } else if let Some(plan) = line.strip_prefix("1..").and_then(|n| n.parse().ok()) {
            report.plan = report.plan.or(Some(plan));
        } else if let Some(outcome) = result_line(line, &notes) {
            report.results.push(outcome);
            notes.clear();
        } else {
            report.strange.push(line.to_owned());
        }
    }
    report
}

/// `ok 1 name`, `ok 1 name # SKIP why` or `not ok 1 name`.
fn result_line(line: &str, notes: &[String]) -> Option<Outcome> {
    let (is_ok, rest) = match line.strip_prefix("not ok ") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok ")?),
    };
    let (number, rest) = rest.split_once(' ')?;
    let (name, directive) = rest.split_once('#').unwrap_or((rest, ""));
    let skipped = directive.trim_start().strip_prefix("SKIP");
    let verdict = match (is_ok, skipped) {
        (false, _) => Verdict::Failed(notes.join("\n")),
        (true, Some(why)) => Verdict::Skipped(why.trim().to_owned()),
        (true, None) => Verdict::Passed,
    };
    Some(Outcome {
        number: number.parse().ok()?,
        name: name.trim().to_owned(),
        verdict,
    })
}

/// Holds a report against the names of the cases that should have run, in order.
pub(crate) fn judge(report: &Report, expected: &[&str]) -> Judged {
    let mut problems = Vec::new();
    if !report.is_ktap {
        problems
            .push("the guest wrote no KTAP: it did not boot, or its init did not start".to_owned());
    }
    match report.plan {
        None if report.is_ktap => problems.push("the report has no plan".to_owned()),
        Some(plan) if plan != expected.len() => {
            problems.push(format!(
                "the guest planned {plan} cases, {} are known",
                expected.len()
            ));
        }
        _ => {}
    }
    problems.extend(
        report
            .strange
            .iter()
            .map(|line| format!("a line that is no KTAP: {line:?}")),
    );
    for (index, outcome) in report.results.iter().enumerate() {
        if outcome.number != index + 1 || expected.get(index) != Some(&outcome.name.as_str()) {
            problems.push(format!(
                "result {} is number {} ({})",
                index + 1,
                outcome.number,
                outcome.name
            ));
        }
    }
    let verdict = |name: &str| {
        let mut found = report.results.iter().filter(|outcome| outcome.name == name);
        match (found.next(), found.next()) {
            (Some(outcome), None) => outcome.verdict.clone(),
            (Some(_), Some(_)) => Verdict::Failed("it has more than one result".to_owned()),
            (None, _) => Verdict::Failed("it has no result".to_owned()),
        }
    };
    let cases = expected
        .iter()
        .map(|&name| (name.to_owned(), verdict(name)))
        .collect();
    Judged { cases, problems }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Passed => f.write_str("ok"),
            Verdict::Failed(_) => f.write_str("not ok"),
            Verdict::Skipped(why) => write!(f, "skipped: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "KTAP version 1\n1..3\n# one: says hello\nok 1 one\n# b\n# because\nnot ok 2 two\n\
                        ok 3 three # SKIP no such CPU\n";

    #[test]
    fn whole_report_is_read() {
        let judged = judge(&parse(GOOD), &["one", "two", "three"]);
        assert!(judged.problems.is_empty(), "{:?}", judged.problems);
        let verdicts: Vec<_> = judged
            .cases
            .into_iter()
            .map(|(_, verdict)| verdict)
            .collect();
        let failed = Verdict::Failed("b\nbecause".to_owned());
        assert_eq!(
            verdicts,
            [
                Verdict::Passed,
                failed,
                Verdict::Skipped("no such CPU".to_owned())
            ]
        );
    }

    #[test]
    fn empty_report_fails_every_case() {
        let judged = judge(&parse(""), &["one"]);
        assert_eq!(judged.problems.len(), 1);
        assert!(matches!(judged.cases[0].1, Verdict::Failed(_)));
    }

    #[test]
    fn cut_report_fails_the_rest() {
        let cut = "KTAP version 1\n1..2\nok 1 one\n";
        let judged = judge(&parse(cut), &["one", "two"]);
        assert_eq!(judged.cases[0].1, Verdict::Passed);
        assert!(matches!(judged.cases[1].1, Verdict::Failed(_)));
    }

    #[test]
    fn wrong_plans_orders_and_lines_are_problems() {
        for text in [
            "KTAP version 1\n1..1\nok 1 one\nok 2 two\n",
            "KTAP version 1\nok 1 one\nok 2 two\n",
            "KTAP version 1\n1..2\nok 1 two\nok 2 one\n",
            "KTAP version 1\n1..2\nok 1 one\nok 1 two\n",
            "KTAP version 1\n1..2\nok 1 one\nok 2 two\nok 3 three\n",
            "KTAP version 1\n1..2\nok 1 one\ngarbage\nok 2 two\n",
            "1..2\nok 1 one\nok 2 two\n",
        ] {
            assert!(
                !judge(&parse(text), &["one", "two"]).problems.is_empty(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_case_with_two_results_fails() {
        let twice = "KTAP version 1\n1..1\nnot ok 1 one\nok 2 one\n";
        assert!(matches!(
            judge(&parse(twice), &["one"]).cases[0].1,
            Verdict::Failed(_)
        ));
    }
}
