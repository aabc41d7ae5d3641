// SPDX-License-Identifier: GPL-2.0
//! The instructions that open and close a window.
//!
//! Both are `nopl disp32(%rax)`, which no compiler emits with these displacements and which does nothing on a real
//! machine. The `jmp` behind them ends the emulator's block, so that a window holds whole blocks only.

/// Opens a window: all counters start from zero.
pub const OPEN: [u8; 7] = [0x0f, 0x1f, 0x80, b'L', b'W', b'K', 0x01];

/// Closes the window: what was counted is its result.
pub const CLOSE: [u8; 7] = [0x0f, 0x1f, 0x80, b'L', b'W', b'K', 0x02];

/// Throws the open window away, if there is one: its number goes to the next.
pub const CANCEL: [u8; 7] = [0x0f, 0x1f, 0x80, b'L', b'W', b'K', 0x03];
