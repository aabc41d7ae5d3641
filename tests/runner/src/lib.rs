// SPDX-License-Identifier: GPL-2.0
//! What everybody needs who boots a guest of our own: [`initramfs`] packs what it boots from, [`process`] runs the
//! emulator, [`console`] searches its kernel log for complaints and [`races`] for data races.
#![forbid(unsafe_code)]

pub mod console;
pub mod initramfs;
pub mod process;
pub mod races;
