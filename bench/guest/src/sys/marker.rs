// SPDX-License-Identifier: GPL-2.0
//! The marker instructions of [`bench_record::marker`].

use core::arch::asm;

use bench_record::marker;

/// Emits a marker; the jump behind it ends the emulator's block, so that a window holds whole blocks only.
macro_rules! marker {
    ($doc:literal, $name:ident, $bytes:expr) => {
        #[doc = $doc]
        #[inline(always)]
        pub(crate) fn $name() {
            // SAFETY: A long no-operation and a jump to the next instruction change no register and no memory.
            unsafe {
                asm!(
                    ".byte {}, {}, {}, {}, {}, {}, {}",
                    "jmp 2f",
                    "2:",
                    const $bytes[0],
                    const $bytes[1],
                    const $bytes[2],
                    const $bytes[3],
                    const $bytes[4],
                    const $bytes[5],
                    const $bytes[6],
                    options(nostack, preserves_flags)
                );
            }
        }
    };
}

marker!("Opens a window.", open, marker::OPEN);
marker!("Closes the window.", close, marker::CLOSE);
marker!(
    "Throws the open window away, if there is one.",
    cancel,
    marker::CANCEL
);
