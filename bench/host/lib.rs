// SPDX-License-Identifier: GPL-2.0
//! Host benchmarks of the policy code; see `benches/`.
