// SPDX-License-Identifier: GPL-2.0
//! What the parts of the measuring lab tell each other.
//!
//! ```text
//! guest program ──marker instructions──▶ counter (plugin of the emulator) ──[`counts::Counts`]──┐
//!       └──────────[`report::Report`]───────────────────────────────────────────────────────────┴──▶ lab ──▶ results
//! ```
//!
//! The guest opens and closes windows by [`marker`] instructions; the counter knows them only by their order, the
//! report names them in the same order, and the lab joins the two.
#![forbid(unsafe_code)]

pub mod counts;
pub mod marker;
pub mod place;
pub mod report;
pub mod results;

pub use place::{Place, Site};
