// SPDX-License-Identifier: GPL-2.0
//! Tables: boxes on a terminal, aligned columns elsewhere.

use comfy_table::presets::ASCII_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table as Boxed};
pub use lwk::Align;

/// How a table looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// With lines, as wide as the terminal at most.
    Boxed,
    /// Two spaces between columns and none at the end of a line, for other programs.
    Plain,
}

/// A table of text.
#[derive(Debug, Clone, Default)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns and no rows.
    pub fn new(columns: impl IntoIterator<Item = (impl Into<String>, Align)>) -> Self {
        let columns = columns
            .into_iter()
            .map(|(name, align)| (name.into(), align))
            .collect();
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row, a cell for each column; an empty cell becomes a dash, so that columns can be counted.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter().map(|cell| {
            if cell.is_empty() {
                "-".to_owned()
            } else {
                cell
            }
        });
        self.rows.push(cells.collect());
    }

    /// The table as text that ends with a newline.
    pub fn text(&self, style: Style) -> String {
        match style {
            Style::Boxed => self.boxed(),
            Style::Plain => lwk::columns(&self.columns, &self.rows),
        }
    }

    fn boxed(&self) -> String {
        let mut table = Boxed::new();
        // ASCII, because consoles and serial lines often have nothing else.
        table
            .load_style(ASCII_FULL_CONDENSED)
            .set_content_arrangement(ContentArrangement::Dynamic);
        table
            .set_header(self.columns.iter().map(|(name, _)| name))
            .add_rows(&self.rows);
        for (column, (_, align)) in table.column_iter_mut().zip(&self.columns) {
            column.set_cell_alignment(match align {
                Align::Left => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            });
        }
        format!("{table}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_columns_line_up_and_no_line_ends_in_blanks() {
        let mut table = Table::new([("ID", Align::Right), ("NAME", Align::Left)]);
        table.row(["1".to_owned(), "boot".to_owned()]);
        table.row(["10".to_owned(), String::new()]);
        assert_eq!(table.text(Style::Plain), "ID  NAME\n 1  boot\n10  -\n");
    }
}
