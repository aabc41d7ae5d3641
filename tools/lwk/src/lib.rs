// SPDX-License-Identifier: GPL-2.0
//! What the tools share: typed calls of `/dev/lwk`, what they return, and errors that say what to do.
//!
//! [`Device`] is the open device; [`State`] is what it said about partitions and jobs, and plans reservations
//! without touching anything; [`Control`] is what changes partitions, with [`Forecast`] as the machine of dry runs;
//! [`Topology`] and [`auto`] choose CPUs; [`Policies`] and [`Calls`] are options that several tools have, for memory and
//! for system calls, and [`ThreadCalls`] what was counted of those; [`Error`] is the one error type. Only the module `raw` has unsafe code.
#![deny(unsafe_code)]

pub mod auto;
mod calls;
mod columns;
mod control;
mod counts;
mod device;
mod disturbance;
mod error;
mod forecast;
mod list;
mod memory;
mod model;
mod plan;
mod policies;
mod pool;
mod raw;
mod refusal;
mod topology;

pub use calls::{changes_to, Batch, CallPolicy, Calls, CallsError, Idle};
pub use columns::{columns, duration, plain, Align};
pub use control::{Control, NameError, NewPartition, PartitionName, Resize};
pub use counts::{suggested, CallRow, ThreadCalls, CALL_COLUMNS, NOTHING};
pub use device::{Device, Target};
pub use disturbance::{Disturbance, Disturbances, GuestRun, Process, Sender};
pub use error::{CpusText, Error, Held, Named, Offer};
pub use forecast::{Forecast, Machine};
pub use list::{CpuList, CpuListError};
pub use memory::{Amount, MemoryError, MemoryWish, Shares};
pub use model::{Cpu, Guests, Info, Job, JobMemory, Noise, Partition};
pub use plan::{Cpus, Memory, Plan, State, Want};
pub use policies::{Policies, PolicyError, Whether};
pub use pool::{Claimable, Pool, Survey};
pub use refusal::{Asked, ChangeError, Found};
pub use topology::{Core, Topology, TopologyError};

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
