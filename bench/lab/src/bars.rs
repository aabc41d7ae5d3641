// SPDX-License-Identifier: GPL-2.0
//! Judges results by the bars of `docs/design.md`: each is met, missed by some distance, or not built.
//!
//! [`table`] has the bars; this file has the rules that they are made of.

mod table;

use bench_record::results::{Figures, Row};
use bench_record::Place;

use crate::store::row_text;
pub(crate) use table::BARS;

/// A promise.
pub(crate) struct Bar {
    /// Kebab-case, for people to talk about it.
    pub(crate) name: &'static str,
    /// The words of the design document.
    pub(crate) promise: &'static str,
    /// The rows that it reads.
    pub(crate) rows: Select,
    /// Some rows may do worse.
    pub(crate) exceptions: &'static [Exception],
    /// What must hold for each of them.
    pub(crate) rule: Rule,
}

/// Picks rows of one suite.
#[derive(Clone, Copy)]
pub(crate) struct Select {
    /// The suite.
    pub(crate) suite: &'static str,
    /// The benchmarks; a star at the end stands for any rest.
    pub(crate) benches: &'static [&'static str],
    /// Benchmarks that are meant by the stars and not by the bar.
    pub(crate) except: &'static [&'static str],
    /// The variants, in the same way.
    pub(crate) variants: &'static [&'static str],
    /// Variants that are not meant.
    pub(crate) except_variants: &'static [&'static str],
}

/// A row of which something keeps it from the bar.
pub(crate) struct Exception {
    /// The benchmark.
    pub(crate) bench: &'static str,
    /// How much is allowed.
    pub(crate) max: u64,
    /// What asks for it.
    pub(crate) why: &'static str,
}

/// A figure of a row.
#[derive(Clone, Copy)]
pub(crate) struct Measure {
    /// What it counts.
    pub(crate) name: &'static str,
    /// The count.
    pub(crate) of: fn(&Figures) -> Option<u64>,
    /// Whether the bar is about one operation or the whole window.
    pub(crate) per: Per,
}

/// What a figure is of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Per {
    /// All of the window.
    Window,
    /// One iteration.
    Operation,
}

/// What must hold for the row on the LWK.
#[derive(Clone, Copy)]
pub(crate) enum Rule {
    /// The figure is no more than this.
    AtMost(Measure, u64),
    /// The figure is no more than that of the same row on tuned Linux CPUs and this.
    NotAboveTuned(Measure, u64),
    /// The figure is less than that of the same row on tuned Linux CPUs.
    BelowTuned(Measure),
    /// The figure is less than that of another benchmark in some place.
    Below(Measure, Other),
    /// The figure is at most so many hundredths of that of another benchmark in some place.
    Hundredths(Measure, u64, Other),
    /// The figure for each CPU is no more than in the same benchmark on a smaller machine, whatever the variants.
    NoGrowth(Measure, Growth),
}

/// The row that a figure is compared with.
#[derive(Clone, Copy)]
pub(crate) struct Other {
    /// The benchmark in the same suite.
    pub(crate) bench: &'static str,
    /// Its variant.
    pub(crate) variant: &'static str,
    /// Where.
    pub(crate) place: Place,
}

/// The two sizes of a machine that are compared.
#[derive(Clone, Copy)]
pub(crate) struct Growth {
    /// The small one and how many CPUs its LWK has.
    pub(crate) small: (&'static str, u64),
    /// The large one and how many CPUs its LWK has.
    pub(crate) large: (&'static str, u64),
}

/// How a bar is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// It holds for every row.
    Met,
    /// It does not hold for some.
    Missed,
    /// It holds as far as was measured, and some of it is not built yet.
    NotBuilt,
    /// These results have none of its rows.
    NotRun,
}

impl Verdict {
    /// The word for tables.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::NotBuilt => "not built",
            Self::NotRun => "not run",
        }
    }
}

/// A bar and how it is doing.
pub(crate) struct Judged<'a> {
    /// The bar.
    pub(crate) bar: &'static Bar,
    /// How it is doing.
    pub(crate) verdict: Verdict,
    /// By how much, in the worst row.
    pub(crate) distance: String,
    /// The rows that miss it, worst first, with the figure and what was allowed, in hundredths.
    pub(crate) misses: Vec<Miss<'a>>,
}

/// A row that misses a bar.
pub(crate) struct Miss<'a> {
    /// The row.
    pub(crate) row: &'a Row,
    /// Its figure.
    pub(crate) figure: Hundredths,
    /// What was allowed.
    pub(crate) limit: Hundredths,
}

/// A figure in hundredths, which whole counts for each operation need.
pub(crate) type Hundredths = u128;

/// Prints a figure in hundredths, without a fraction that is none.
pub(crate) fn text(figure: Hundredths) -> String {
    match (figure / 100, figure % 100) {
        (whole, 0) => whole.to_string(),
        (whole, part) => format!("{whole}.{part:02}"),
    }
}

/// Judges every bar.
pub(crate) fn judge(rows: &[Row]) -> Vec<Judged<'_>> {
    BARS.iter().map(|bar| bar.judge(rows)).collect()
}

/// What a rule says about one row.
enum Outcome {
    /// It holds: figure and limit.
    Holds(Hundredths, Hundredths),
    /// It does not.
    Fails(Hundredths, Hundredths),
    /// The row that it is compared with has no figures, or this one has none of the sort.
    Open,
}

impl Bar {
    /// Judges it by all rows.
    pub(crate) fn judge<'a>(&'static self, rows: &'a [Row]) -> Judged<'a> {
        let (mut held, mut open, mut misses) = (0_usize, 0_usize, Vec::new());
        let mut closest: Option<(&Row, Hundredths, Hundredths)> = None;
        for row in rows.iter().filter(|row| self.reads(row)) {
            let Ok(figures) = &row.figures else {
                open += 1;
                continue;
            };
            match self.outcome(row, figures, rows) {
                Outcome::Open => open += 1,
                Outcome::Fails(figure, limit) => misses.push(Miss { row, figure, limit }),
                Outcome::Holds(figure, limit) => {
                    held += 1;
                    let room = |figure, limit: Hundredths| limit.saturating_sub(figure);
                    if closest.is_none_or(|(_, f, l)| room(figure, limit) < room(f, l)) {
                        closest = Some((row, figure, limit));
                    }
                }
            }
        }
        misses.sort_by_key(|miss| std::cmp::Reverse(miss.figure - miss.limit));
        let verdict = match (misses.len(), open, held) {
            (1.., _, _) => Verdict::Missed,
            (0, 1.., _) => Verdict::NotBuilt,
            (0, 0, 1..) => Verdict::Met,
            (0, 0, 0) => Verdict::NotRun,
        };
        let distance = self.distance(&misses, closest, (held, open));
        Judged {
            bar: self,
            verdict,
            distance,
            misses,
        }
    }

    /// Tells how far the worst row is from the bar, and how many rows that says something about.
    fn distance(
        &self,
        misses: &[Miss<'_>],
        closest: Option<(&Row, Hundredths, Hundredths)>,
        (held, open): (usize, usize),
    ) -> String {
        let measure = self.rule.measure();
        let unit = match measure.per {
            Per::Window => measure.name.to_owned(),
            Per::Operation => format!("{} for each operation", measure.name),
        };
        let all = held + open + misses.len();
        let rest = match open {
            0 => String::new(),
            _ => format!("; {open} of {all} rows have no figures"),
        };
        if let Some(worst) = misses.first() {
            let (figure, limit) = (text(worst.figure), text(worst.limit));
            let (over, row) = (text(worst.figure - worst.limit), row_text(worst.row));
            return format!(
                "{} of {all} rows over it; worst: {row}, {figure} {unit} where {limit} are allowed, {over} too many{rest}",
                misses.len()
            );
        }
        match closest {
            Some((row, figure, limit)) => format!(
                "{held} of {all} rows within it; closest: {}, {} {unit} of {} allowed{rest}",
                row_text(row),
                text(figure),
                text(limit)
            ),
            None => rest.trim_start_matches("; ").to_owned(),
        }
    }

    /// Whether it judges this row.
    fn reads(&self, row: &Row) -> bool {
        let is_of_size = match self.rule {
            Rule::NoGrowth(_, growth) => row.machine == growth.large.0,
            _ => true,
        };
        row.place == Place::Lwk && is_of_size && self.rows.has(row)
    }

    /// Finds the row that the rule compares a row with, if it does.
    pub(crate) fn compared<'a>(&self, row: &Row, rows: &'a [Row]) -> Option<&'a Row> {
        let key = &row.key;
        let tuned = (Place::Tuned, key.bench.as_str(), Some(key.variant.as_str()));
        let (place, bench, variant) = match self.rule {
            Rule::AtMost(..) => return None,
            Rule::NotAboveTuned(..) | Rule::BelowTuned(_) => tuned,
            Rule::Below(_, with) | Rule::Hundredths(_, _, with) => {
                (with.place, with.bench, Some(with.variant))
            }
            Rule::NoGrowth(..) => (row.place, key.bench.as_str(), None),
        };
        let machine = match self.rule {
            Rule::NoGrowth(_, growth) => growth.small.0,
            _ => &row.machine,
        };
        rows.iter().find(|other| {
            other.place == place
                && other.machine == machine
                && other.key.suite == key.suite
                && other.key.bench == bench
                && variant.is_none_or(|variant| other.key.variant == variant)
        })
    }

    /// Applies the rule to one row.
    fn outcome(&self, row: &Row, figures: &Figures, rows: &[Row]) -> Outcome {
        let measure = self.rule.measure();
        let Some(figure) = measure.value(figures) else {
            return Outcome::Open;
        };
        let with = self.compared(row, rows);
        let with = with.and_then(|row| measure.value(row.figures.as_ref().ok()?));
        let limit = match self.rule {
            Rule::AtMost(_, max) => Some(Hundredths::from(self.allowed(row, max)) * 100),
            Rule::NotAboveTuned(_, more) => with.map(|with| with + Hundredths::from(more) * 100),
            Rule::BelowTuned(_) | Rule::Below(..) => with.map(|with| with.saturating_sub(1)),
            Rule::Hundredths(_, hundredths, _) => {
                with.map(|with| with * Hundredths::from(hundredths) / 100)
            }
            Rule::NoGrowth(_, Growth { small, large }) => {
                with.map(|with| with * Hundredths::from(large.1) / Hundredths::from(small.1))
            }
        };
        match limit {
            None => Outcome::Open,
            Some(limit) if figure > limit => Outcome::Fails(figure, limit),
            Some(limit) => Outcome::Holds(figure, limit),
        }
    }

    /// What a row may have at most, where the hardware may ask for more.
    fn allowed(&self, row: &Row, max: u64) -> u64 {
        let mut exceptions = self.exceptions.iter();
        exceptions
            .find(|exception| exception.bench == row.key.bench)
            .map_or(max, |exception| exception.max)
    }
}

impl Select {
    /// Whether it picks this row.
    fn has(&self, row: &Row) -> bool {
        let key = &row.key;
        let has = |names: &[&str], name: &str| names.iter().any(|wanted| matches(wanted, name));
        key.suite == self.suite
            && has(self.benches, &key.bench)
            && !has(self.except, &key.bench)
            && has(self.variants, &key.variant)
            && !has(self.except_variants, &key.variant)
    }
}

/// Whether a name is the wanted one, or begins like it if that ends in a star.
fn matches(wanted: &str, name: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == wanted,
    }
}

impl Rule {
    /// The figure that it is about.
    const fn measure(&self) -> Measure {
        match *self {
            Self::AtMost(measure, _)
            | Self::NotAboveTuned(measure, _)
            | Self::BelowTuned(measure)
            | Self::Below(measure, _)
            | Self::Hundredths(measure, ..)
            | Self::NoGrowth(measure, _) => measure,
        }
    }
}

impl Measure {
    /// Its value, rounded up to a hundredth.
    fn value(&self, figures: &Figures) -> Option<Hundredths> {
        let count = Hundredths::from((self.of)(figures)?) * 100;
        match self.per {
            Per::Window => Some(count),
            Per::Operation => Some(count.div_ceil(Hundredths::from(figures.iterations.max(1)))),
        }
    }
}

#[cfg(test)]
mod tests;
