// SPDX-License-Identifier: GPL-2.0
//! The places that programs are compared in, as far as a running machine can still shape them.
#![forbid(unsafe_code)]

pub mod tune;
