// SPDX-License-Identifier: GPL-2.0
//! Pure policy: no allocation, no globals, no clock, `core` only.
