// SPDX-License-Identifier: GPL-2.0
//! Which place would suit a call better, by how it was made so far.

use super::{Place, Table, NATIVE};
use crate::uapi::CallRecord;

/// A call that was made less often than this is not worth a change.
const OFTEN: u64 = 1000;

/// A call that takes this long waits for something, most likely a device.
const LONG_NS: u64 = 100_000;

/// A moved call is better off at home if its way takes so many times as long as it itself.
const MUCH: u64 = 4;

/// Returns a better place for a call than it has in this table.
pub fn suggestion(record: &CallRecord, table: &Table) -> Option<Place> {
    match table.place(record.call) {
        Place::Move => is_mostly_travel(record).then_some(Place::Local),
        Place::Local if NATIVE.contains(record.call) => {
            (record.local >= OFTEN).then_some(Place::Native)
        }
        // Calls that stay by default may wait, but for threads and clocks.
        Place::Local if Table::DEFAULT.place(record.call) == Place::Move => {
            // If the longest was a moved one, `local_ns` need not be as much.
            let waits = record.longest_ns >= LONG_NS && record.local_ns >= record.longest_ns;
            waits.then_some(Place::Move)
        }
        Place::Local | Place::Native => None,
    }
}

/// Says whether a moved call takes little time where it goes, always, and much to get there.
fn is_mostly_travel(record: &CallRecord) -> bool {
    let travel_ns = record.travel_ns.checked_div(record.moved).unwrap_or(0);
    let is_short = record.linux_ns.saturating_mul(MUCH) < record.travel_ns;
    let never_waits = record.longest_ns < LONG_NS.saturating_add(travel_ns);
    record.moved >= OFTEN && is_short && never_waits
}
