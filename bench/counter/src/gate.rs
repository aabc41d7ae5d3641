// SPDX-License-Identifier: GPL-2.0
//! The kernel's instructions that lead back to user mode.
//!
//! An interrupt may hit so early after a return to user mode that no block of user code runs in between. The return
//! itself tells then. One instruction, `iretq`, returns both to user mode and to the kernel; what tells these apart is
//! which `%gs` base is in place: the kernel exchanges it with the user's by `swapgs` once at an entry from user mode
//! and once before the return to it.

/// An instruction on the way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// `swapgs`.
    SwapGs,
    /// `iretq`: to user mode if the user's `%gs` base is in place.
    InterruptReturn,
    /// `sysret` or `sysexit`: to user mode.
    SystemReturn,
}

impl Gate {
    /// The gate that an instruction is.
    pub(crate) fn recognise(instruction: &[u8]) -> Option<Self> {
        match *instruction {
            [0x0f, 0x01, 0xf8] => Some(Self::SwapGs),
            [0xcf] | [0x48, 0xcf] => Some(Self::InterruptReturn),
            [0x0f, 0x07 | 0x35] | [0x48, 0x0f, 0x07 | 0x35] => Some(Self::SystemReturn),
            _ => None,
        }
    }

    /// The word for QEMU.
    pub(crate) const fn word(self) -> u64 {
        match self {
            Self::SwapGs => 0,
            Self::InterruptReturn => 1,
            Self::SystemReturn => 2,
        }
    }

    /// What [`Self::word`] told.
    pub(crate) const fn from_word(word: u64) -> Option<Self> {
        match word {
            0 => Some(Self::SwapGs),
            1 => Some(Self::InterruptReturn),
            2 => Some(Self::SystemReturn),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_the_ways_out() {
        for (bytes, gate) in [
            (&[0x0f, 0x01, 0xf8][..], Some(Gate::SwapGs)),
            (&[0x48, 0xcf], Some(Gate::InterruptReturn)),
            (&[0x48, 0x0f, 0x07], Some(Gate::SystemReturn)),
            (&[0x0f, 0x35], Some(Gate::SystemReturn)),
            // rdtscp and ret.
            (&[0x0f, 0x01, 0xf9], None),
            (&[0xc3], None),
        ] {
            assert_eq!(Gate::recognise(bytes), gate, "{bytes:x?}");
        }
        for gate in [Gate::SwapGs, Gate::InterruptReturn, Gate::SystemReturn] {
            assert_eq!(Gate::from_word(gate.word()), Some(gate));
        }
    }
}
