// SPDX-License-Identifier: GPL-2.0
//! Users and administrators at once who do anything that they may, and much that they may not.

use crate::fuzz;
use crate::harness::Case;

/// The suite.
pub(super) const CASES: &[Case] = &[Case::new(
    "anything",
    "whatever users and administrators do at once, the machine goes on and everything comes back",
    fuzz::run,
)
.around(fuzz::set_up, fuzz::clean_up)
// What `lwktest.seconds=` says counts; this is for hours of it.
.limit_s(40_000)];
