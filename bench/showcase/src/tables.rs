// SPDX-License-Identifier: GPL-2.0
//! The tables of the report: what ran where at what cost, and what the LWK counted.

use comfy_table::{CellAlignment, Table};

use crate::record::{Counts, Record, Run};

/// Returns wall time over that of the same program in the first place.
pub(crate) fn ratio(record: &Record, run: &Run) -> Option<f64> {
    let first = record.run(run.program, record.sites.first()?.place)?;
    let seconds = |run: &Run| std::time::Duration::from_nanos(run.wall_ns).as_secs_f64();
    (first.wall_ns > 0 && first.is_correct() && run.is_correct())
        .then(|| seconds(run) / seconds(first))
}

/// Prints counts, largest first.
fn causes(counts: &Counts, without: &str) -> String {
    let mut counts: Vec<_> = counts
        .iter()
        .filter(|(cause, _)| *cause != without)
        .collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let words: Vec<String> = counts
        .iter()
        .map(|(cause, count)| format!("{cause} {count}"))
        .collect();
    if words.is_empty() {
        "0".to_owned()
    } else {
        words.join(", ")
    }
}

/// Makes a table with numbers to the right.
fn table(header: &[&str], numbers: std::ops::Range<usize>) -> Table {
    let mut table = Table::new();
    table.set_header(header);
    for index in numbers {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The main table: a line for each program in each place.
pub(crate) fn programs_table(record: &Record) -> Table {
    let wall = format!("wall ratio ({})", record.conditions.machine.mark());
    let header = [
        "program",
        "where",
        "result",
        &wall,
        "ticks",
        "switches",
        "faults",
        "other kernel entries by interrupt",
    ];
    let mut table = table(&header, 3..7);
    for run in &record.runs {
        let result = if run.is_correct() {
            "correct".to_owned()
        } else {
            format!(
                "WRONG: {}, {}",
                run.exit,
                run.wrong.as_deref().unwrap_or("result is right")
            )
        };
        table.add_row([
            run.program.name().to_owned(),
            run.place.label().to_owned(),
            result,
            ratio(record, run).map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
            run.ticks().to_string(),
            run.switches.to_string(),
            run.faults.to_string(),
            causes(&run.interrupts, "LOC"),
        ]);
    }
    table
}

/// What the LWK counted, if programs ran there.
pub(crate) fn lwk_table(record: &Record) -> Option<Table> {
    let header = [
        "program",
        "entries from user mode",
        "interrupts",
        "switches",
        "faults",
        "kernel thread runs",
    ];
    let mut table = table(&header, 3..6);
    for run in &record.runs {
        if let Some(lwk) = &run.lwk {
            table.add_row([
                run.program.name().to_owned(),
                causes(&lwk.entries, ""),
                causes(&lwk.irqs, ""),
                lwk.switches.to_string(),
                lwk.faults.to_string(),
                lwk.guest_runs.to_string(),
            ]);
        }
    }
    (table.row_count() > 0).then_some(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::record;

    #[test]
    fn ratio_of_a_wrong_result_is_not_told() {
        let record = record();
        assert_eq!(ratio(&record, &record.runs[2]), Some(0.9));
        assert_eq!(ratio(&record, &record.runs[5]), None);
    }
}
