// SPDX-License-Identifier: GPL-2.0
//! The host crate over the policy code and the ABI; the kernel compiles the same files through `lwk.rs`.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod logic;
#[path = "uapi/lwk_uapi.rs"]
pub mod uapi;
