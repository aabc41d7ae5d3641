// SPDX-License-Identifier: GPL-2.0
//! What the tools share: typed calls of `/dev/lwk`, what they return, and errors that say what to do.
//!
//! [`Device`] is the open device; [`State`] is what it said about partitions and jobs, and plans reservations
//! without touching anything; [`Error`] is the one error type. Only the module `raw` has unsafe code.
#![deny(unsafe_code)]

mod device;
mod error;
mod model;
mod plan;
mod raw;

pub use device::Device;
pub use error::{Error, Held, Offer};
pub use model::{Cpu, Guests, Info, Job, Noise, Partition};
pub use plan::{Cpus, Plan, State, Want};

/// The version of a tool with that of the ABI it speaks, for `--version`.
#[macro_export]
macro_rules! version_text {
    () => {
        concat!(env!("CARGO_PKG_VERSION"), " (ABI 1)")
    };
}

const _: () = assert!(
    lwk_logic::uapi::ABI_VERSION == 1,
    "version_text! names another ABI"
);
