// SPDX-License-Identifier: GPL-2.0
//! Pure policy: no allocation, no globals, no clock, `core` only.
//!
//! ```text
//! error       errno values, quoted text in messages
//! cpuset      CpuId, CpuSet          cpulist    "0-3,5" <-> CpuSet
//! bootline    lwkcpus=               partition  who owns which CPU
//! place       where a thread goes    entry      why a CPU entered the kernel
//! pick        what runs next     refused    why a partition cannot change
//! rank        in which order     patience   who waited for too long
//! disturbance what interrupted   ring       records with one writer and readers that never wait
//! handover    how a CPU changes hands, and where it stays if that fails
//! frames      who has which memory   claim   what to take from Linux
//! memspec     lwkmem=, yod -M          node       NUMA nodes
//! mempolicy   which pages back what      spread  how much of which node
//! counts      who made which call    batch     whether a thread stays away after one
//! service     which CPU of Linux serves a call       locality  which call is carried out where
//! ```
//!
//! The kernel crate and the host crate `lwk-logic` compile these very files, so that every rule here is tested in
//! seconds; a wrong answer may cost speed, never soundness.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

pub mod batch;
pub mod bootline;
pub mod claim;
pub mod counts;
pub mod cpulist;
pub mod cpuset;
pub mod disturbance;
pub mod entry;
pub mod error;
pub mod frames;
pub mod handover;
pub mod locality;
pub mod mempolicy;
pub mod memspec;
pub mod node;
pub mod partition;
pub mod patience;
pub mod pick;
pub mod place;
pub mod rank;
pub mod refused;
pub mod ring;
pub mod service;
pub mod spread;
