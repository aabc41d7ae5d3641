// SPDX-License-Identifier: GPL-2.0
//! What needs `unsafe`, each behind a safe function.
//!
//! [`marker`] has the instructions that the counter knows, [`shared`] the page that processes share, [`memory`]
//! mappings, [`posix`] what only the C library offers, [`process`] forking, [`disturb`] calls that
//! disturb others.

pub(crate) mod clock;
pub(crate) mod disturb;
pub(crate) mod marker;
pub(crate) mod memory;
pub(crate) mod port;
pub(crate) mod posix;
pub(crate) mod process;
pub(crate) mod shared;
