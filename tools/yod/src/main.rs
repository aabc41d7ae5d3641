// SPDX-License-Identifier: GPL-2.0
//! Starts yod without the start-up of the standard library.
//!
//! That start-up ignores SIGPIPE, reopens closed standard descriptors and installs a signal stack; the first two
//! would reach the program that yod becomes, and all cost instructions at each launch.
#![no_main]
#![deny(unsafe_code)]

use std::ffi::{c_char, c_int};

/// The C entry point; the standard library takes the arguments from the loader.
#[expect(
    unsafe_code,
    reason = "the linker must find the entry point by its name"
)]
#[no_mangle]
pub extern "C" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    c_int::from(yod::run())
}
