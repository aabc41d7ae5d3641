// SPDX-License-Identifier: GPL-2.0
//! Scaffold.
fn main() {}
