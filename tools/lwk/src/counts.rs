// SPDX-License-Identifier: GPL-2.0
//! How often which system call was made, and how long it took: for a thread or for all of a job.

use std::cmp::Reverse;

use lwk_logic::logic::locality::{name, suggestion, Place, Table};
use lwk_logic::uapi::CallRecord;

use crate::columns::{columns, duration, Align};

/// The calls of a thread.
#[derive(Debug, Clone, Default)]
pub struct ThreadCalls {
    /// Its number in the caller's pid namespace, or 0 for the sum of all, also of those that ended.
    pub tid: u32,
    /// Command name; empty for the sum.
    pub comm: String,
    /// By number of the call.
    pub records: Vec<CallRecord>,
    /// Calls that were not counted for want of room.
    pub lost: u64,
}

/// A call with what follows of its counts.
#[derive(Debug, Clone, Copy)]
pub struct CallRow {
    /// The counts.
    pub record: CallRecord,
    /// Where it is carried out now.
    pub place: Place,
    /// Where it would be better.
    pub suggestion: Option<Place>,
}

/// The columns of [`CallRow::cells`].
pub const CALL_COLUMNS: [(&str, Align); 12] = [
    ("CALL", Align::Left),
    ("PLACE", Align::Left),
    ("COUNT", Align::Right),
    ("LOCAL", Align::Right),
    ("MOVED", Align::Right),
    ("STAYED", Align::Right),
    ("NATIVE", Align::Right),
    ("TRAVEL", Align::Right),
    ("LINUX", Align::Right),
    ("HERE", Align::Right),
    ("LONGEST", Align::Right),
    ("SUGGESTION", Align::Left),
];

impl CallRow {
    /// Its name, or its number if it has none.
    pub fn name(&self) -> String {
        let call = self.record.call;
        name(call).map_or_else(|| call.to_string(), str::to_owned)
    }

    /// How often it was made.
    pub const fn count(&self) -> u64 {
        let CallRecord {
            local,
            moved,
            native,
            ..
        } = self.record;
        local.saturating_add(moved).saturating_add(native)
    }

    /// The mean of its way there and back.
    pub fn travel_ns(&self) -> u64 {
        mean(self.record.travel_ns, self.record.moved)
    }

    /// The mean of what it took on a CPU of Linux.
    pub fn linux_ns(&self) -> u64 {
        mean(self.record.linux_ns, self.record.moved)
    }

    /// The mean of what it took where it was made, as far as that was measured.
    pub fn here_ns(&self) -> u64 {
        mean(self.record.local_ns, self.record.timed)
    }

    /// It as a row of a table; what is zero is a dash.
    pub fn cells(&self) -> [String; CALL_COLUMNS.len()] {
        let count = |value: u64| {
            let some = (value != 0).then(|| value.to_string());
            some.unwrap_or_else(|| "-".to_owned())
        };
        let time = |ns: u64| {
            let some = (ns != 0).then(|| duration(ns));
            some.unwrap_or_else(|| "-".to_owned())
        };
        let record = &self.record;
        [
            self.name(),
            self.place.name().to_owned(),
            self.count().to_string(),
            count(record.local),
            count(record.moved),
            count(record.stayed),
            count(record.native),
            time(self.travel_ns()),
            time(self.linux_ns()),
            time(self.here_ns()),
            time(record.longest_ns),
            self.suggestion.map_or("-", Place::name).to_owned(),
        ]
    }
}

/// A mean, 0 of nothing.
fn mean(sum: u64, count: u64) -> u64 {
    sum.checked_div(count).unwrap_or(0)
}

impl ThreadCalls {
    /// The calls that were made, the most frequent first.
    pub fn rows(&self, table: &Table) -> Vec<CallRow> {
        let row = |record: &CallRecord| CallRow {
            record: *record,
            place: table.place(record.call),
            suggestion: suggestion(record, table),
        };
        let mut rows: Vec<_> = self.records.iter().map(row).collect();
        rows.retain(|row| row.count() != 0);
        rows.sort_by_key(|row| (Reverse(row.count()), row.record.call));
        rows
    }

    /// What is new since it was read before; the longest only if it is longer than all before.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let new = |record: &CallRecord| {
            let old = before.records.iter().find(|old| old.call == record.call);
            let old = old.copied().unwrap_or_default();
            CallRecord {
                local: record.local.saturating_sub(old.local),
                moved: record.moved.saturating_sub(old.moved),
                stayed: record.stayed.saturating_sub(old.stayed),
                native: record.native.saturating_sub(old.native),
                travel_ns: record.travel_ns.saturating_sub(old.travel_ns),
                linux_ns: record.linux_ns.saturating_sub(old.linux_ns),
                timed: record.timed.saturating_sub(old.timed),
                local_ns: record.local_ns.saturating_sub(old.local_ns),
                longest_ns: if record.longest_ns > old.longest_ns {
                    record.longest_ns
                } else {
                    0
                },
                ..*record
            }
        };
        Self {
            tid: self.tid,
            comm: self.comm.clone(),
            records: self.records.iter().map(new).collect(),
            lost: self.lost.saturating_sub(before.lost),
        }
    }

    /// A table in plain columns, or a sentence if nothing was counted.
    pub fn text(&self, table: &Table) -> String {
        let rows: Vec<Vec<String>> = self
            .rows(table)
            .iter()
            .map(|row| row.cells().into())
            .collect();
        let titles = CALL_COLUMNS.map(|(title, align)| (title.to_owned(), align));
        let mut text = if rows.is_empty() {
            NOTHING.to_owned()
        } else {
            columns(&titles, &rows)
        };
        text += &self.lost_text();
        text
    }

    /// A sentence about calls that were not counted, if there were any.
    pub fn lost_text(&self) -> String {
        match self.lost {
            0 => String::new(),
            lost => format!("{lost} calls were not counted for want of room.\n"),
        }
    }
}

/// Changes that put calls where they would be better, as `--syscalls` takes them; none if all is well.
pub fn suggested(rows: &[CallRow]) -> Option<String> {
    let at = |place: Place| {
        let meant = rows.iter().filter(|row| row.suggestion == Some(place));
        let names: Vec<String> = meant.map(CallRow::name).collect();
        (!names.is_empty()).then(|| format!("{}={}", place.name(), names.join(",")))
    };
    let changes: Vec<String> = Place::ALL.into_iter().filter_map(at).collect();
    (!changes.is_empty()).then(|| changes.join(","))
}

/// What to say if nothing was counted.
pub const NOTHING: &str = "No system calls were counted.\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn calls() -> ThreadCalls {
        let read = CallRecord {
            call: 0,
            moved: 4000,
            stayed: 3000,
            travel_ns: 4000 * 9_000,
            linux_ns: 4000 * 700,
            longest_ns: 25_000,
            ..CallRecord::default()
        };
        let yields = CallRecord {
            call: 24,
            native: 70_000,
            ..CallRecord::default()
        };
        let odd = CallRecord {
            call: 400,
            local: 1,
            timed: 1,
            local_ns: 300,
            longest_ns: 300,
            ..CallRecord::default()
        };
        let none = CallRecord {
            call: 1,
            ..CallRecord::default()
        };
        ThreadCalls {
            records: vec![read, none, yields, odd],
            lost: 2,
            ..ThreadCalls::default()
        }
    }

    #[test]
    fn the_most_frequent_comes_first() {
        assert_eq!(
            calls().text(&Table::DEFAULT),
            "CALL         PLACE   COUNT  LOCAL  MOVED  STAYED  NATIVE  TRAVEL  LINUX   HERE  LONGEST  SUGGESTION\n\
             sched_yield  native  70000      -      -       -   70000       -      -      -        -  -\n\
             read         move     4000      -   4000    3000       -   9.0us  700ns      -   25.0us  local\n\
             400          local       1      1      -       -       -       -      -  300ns    300ns  -\n\
             2 calls were not counted for want of room.\n"
        );
        assert_eq!(ThreadCalls::default().text(&Table::DEFAULT), NOTHING);
        let told = |table: &Table| suggested(&calls().rows(table));
        assert_eq!(told(&Table::DEFAULT).as_deref(), Some("local=read"));
        assert_eq!(told(&Table::ALL_LOCAL), None);
    }

    #[test]
    fn only_what_is_new_is_told() {
        let before = calls();
        let mut now = calls();
        now.records[0].moved += 3;
        now.records[0].travel_ns += 3 * 8_000;
        now.records[3].local += 1;
        now.records[3].longest_ns = 500;
        now.lost = 5;
        let new = now.since(&before);
        let rows = new.rows(&Table::DEFAULT);
        let told: Vec<_> = rows.iter().map(|row| (row.name(), row.count())).collect();
        assert_eq!(told, [("read".to_owned(), 3), ("400".to_owned(), 1)]);
        assert_eq!((rows[0].travel_ns(), rows[0].record.longest_ns), (8_000, 0));
        assert_eq!((rows[1].record.longest_ns, new.lost), (500, 3));
        let all = now.since(&ThreadCalls::default());
        assert_eq!(all.text(&Table::DEFAULT), now.text(&Table::DEFAULT));
    }
}
