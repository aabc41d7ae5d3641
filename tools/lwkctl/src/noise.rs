// SPDX-License-Identifier: GPL-2.0
//! What disturbed LWK CPUs, as text: only CPUs and causes that have a count.

use lwk::duration;
use lwk_logic::logic::cpuset::{CpuId, CpuSet};
use lwk_logic::uapi::{EntryKind, IrqSource};

use crate::report::{NoiseReport, Owner, Report};
use crate::show::printable;
use crate::table::{Align::Left, Align::Right, Style, Table};

/// One column: its title and its cell, empty where the count is zero.
struct Column {
    title: String,
    is_text: bool,
    cells: Vec<String>,
}

/// A table of the disturbed CPUs, then a line about the others.
pub fn text(report: &Report, style: Style) -> String {
    let all: Vec<(u32, &NoiseReport)> = report
        .cpus
        .iter()
        .filter_map(|cpu| Some((cpu.cpu, cpu.noise.as_ref()?)))
        .collect();
    let others: CpuSet = report
        .cpus
        .iter()
        .filter(|cpu| cpu.owner == Owner::Lwk && cpu.noise.is_none())
        .filter_map(|cpu| CpuId::new(cpu.cpu))
        .collect();
    let others = match others {
        CpuSet::EMPTY => String::new(),
        cpus => format!(
            "LWK CPUs {cpus} are not told of: jobs of other users have them, see CAP_PERFMON.\n"
        ),
    };
    if all.is_empty() && others.is_empty() {
        return "No LWK CPUs.\n".to_owned();
    }
    let columns = columns(&all);
    let is_quiet = |row: usize| {
        columns
            .iter()
            .all(|column| column.cells.get(row).is_none_or(String::is_empty))
    };
    let mut quiet = CpuSet::EMPTY;
    let titles = columns.iter().map(|column| {
        (
            column.title.clone(),
            if column.is_text { Left } else { Right },
        )
    });
    let mut table = Table::new(std::iter::once(("CPU".to_owned(), Right)).chain(titles));
    for (row, (cpu, _)) in all.iter().enumerate() {
        if is_quiet(row) {
            quiet.extend(CpuId::new(*cpu));
        } else {
            let cells = columns
                .iter()
                .filter_map(|column| column.cells.get(row).cloned());
            table.row(std::iter::once(cpu.to_string()).chain(cells));
        }
    }
    let mut text = if columns.is_empty() {
        String::new()
    } else {
        table.text(style)
    };
    if !quiet.is_empty() {
        text += &format!(
            "Nothing was counted on LWK CPUs {quiet} since they joined their partition.\n"
        );
    }
    text + &others
}

/// The columns that have a count in some row.
fn columns(all: &[(u32, &NoiseReport)]) -> Vec<Column> {
    let count = |title: String, of: &dyn Fn(&NoiseReport) -> u64| Column {
        title,
        is_text: false,
        cells: all.iter().map(|(_, noise)| nonzero(of(noise))).collect(),
    };
    let mut columns = Vec::new();
    for name in EntryKind::ALL.iter().map(|kind| kind.name()) {
        columns.push(count(format!("ENTRY:{name}"), &|noise| {
            slot(noise.entries.get(name))
        }));
    }
    for name in IrqSource::ALL.iter().map(|source| source.name()) {
        columns.push(count(format!("IRQ:{name}"), &|noise| {
            slot(noise.irqs.get(name))
        }));
    }
    columns.push(count("SWITCHES".to_owned(), &|noise| noise.switches));
    columns.push(count("FAULTS".to_owned(), &|noise| noise.faults));
    columns.push(count("CAUGHT-UP".to_owned(), &|noise| noise.caught_up));
    columns.push(count("GUESTS".to_owned(), &|noise| noise.guests.runs));
    let cells =
        |cell: &dyn Fn(&NoiseReport) -> String| all.iter().map(|(_, noise)| cell(noise)).collect();
    columns.push(Column {
        title: "GUEST TIME".to_owned(),
        is_text: false,
        cells: cells(&|noise| duration(noise.guests.total_ns)),
    });
    columns.push(Column {
        title: "LAST GUEST".to_owned(),
        is_text: true,
        cells: cells(&|noise| {
            noise
                .guests
                .last
                .as_deref()
                .map(printable)
                .unwrap_or_default()
        }),
    });
    columns.retain(|column| column.cells.iter().any(|cell| !cell.is_empty()));
    columns
}

/// A counter, zero where the map lacks it.
fn slot(value: Option<&u64>) -> u64 {
    value.copied().unwrap_or(0)
}

/// A count, empty for zero.
fn nonzero(value: u64) -> String {
    if value == 0 {
        return String::new();
    }
    value.to_string()
}
