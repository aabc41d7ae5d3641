// SPDX-License-Identifier: GPL-2.0
//! Counts instructions and kernel entries inside QEMU.
