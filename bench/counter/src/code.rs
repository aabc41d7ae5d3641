// SPDX-License-Identifier: GPL-2.0
//! What call stacks need to know of a run of kernel instructions.

use crate::block::Block;
use crate::symbols::{Function, Symbols};

/// A direct call to an address this close behind it moves the stack and is no call: return-buffer stuffing, retpolines.
const NEAR: u32 = 16;

/// A run of kernel instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Code {
    pub(crate) block: Block,
    /// The address behind it.
    pub(crate) end: u64,
    /// The function that it starts in.
    pub(crate) function: Function,
    /// What its first address tells.
    pub(crate) door: Door,
    /// What its last instruction does.
    pub(crate) exit: Exit,
}

/// Addresses that control reaches otherwise than by jumps, calls and returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Door {
    /// It is reached by these only.
    None,
    /// The CPU enters it at an interrupt or an exception.
    Interrupt,
    /// A new thread begins.
    Thread,
}

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Exit {
    /// By a call, which will return behind it.
    Call,
    /// By a return from a call.
    Return,
    /// By a return from an interrupt.
    InterruptReturn,
    /// By a jump, or it goes on behind it.
    Other,
}

impl Code {
    /// A run of `nr` instructions from `start` on, given its last one.
    pub(crate) fn new(start: u64, nr: u64, end: u64, last: &[u8], symbols: &Symbols) -> Self {
        Self {
            block: Block::new(start, nr),
            end,
            function: symbols.function(start),
            door: symbols.door(start),
            exit: Exit::of(last),
        }
    }

    /// Whether an address lies in it.
    pub(crate) fn contains(&self, address: u64) -> bool {
        (self.block.start()..self.end).contains(&address)
    }
}

impl Exit {
    fn of(instruction: &[u8]) -> Self {
        // Legacy prefixes, then REX.
        let is_prefix =
            |byte: &u8| matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf2 | 0xf3);
        let nr = instruction
            .iter()
            .take_while(|byte| is_prefix(byte))
            .count();
        let rest = match &instruction[nr..] {
            [0x40..=0x4f, rest @ ..] => rest,
            rest => rest,
        };
        match *rest {
            [0xe8, a, b, c, d] if u32::from_le_bytes([a, b, c, d]) >= NEAR => Self::Call,
            // Indirect calls, near and far: /2 and /3.
            [0xff, modrm, ..] if matches!(modrm >> 3 & 7, 2 | 3) => Self::Call,
            [0xc2 | 0xc3 | 0xca | 0xcb, ..] => Self::Return,
            [0xcf, ..] => Self::InterruptReturn,
            _ => Self::Other,
        }
    }
}

/// What an instruction of the kernel's thread switch does to the stack pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switch {
    /// Stores it: the address names the thread that stops.
    From,
    /// Loads it: the address names the thread that goes on.
    To,
}

impl Switch {
    /// Recognises `mov %rsp, N(%reg)` and `mov N(%reg), %rsp`.
    pub(crate) fn of(instruction: &[u8]) -> Option<Self> {
        match *instruction {
            [0x48, direction @ (0x89 | 0x8b), modrm, ..]
                if modrm >> 3 & 7 == 4 && modrm >> 6 != 3 =>
            {
                Some(match direction {
                    0x89 => Self::From,
                    _ => Self::To,
                })
            }
            _ => None,
        }
    }

    /// The word for QEMU.
    pub(crate) const fn word(self) -> u64 {
        match self {
            Self::From => 0,
            Self::To => 1,
        }
    }

    /// What [`Self::word`] told.
    pub(crate) const fn from_word(word: u64) -> Option<Self> {
        match word {
            0 => Some(Self::From),
            1 => Some(Self::To),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_calls_and_returns_from_the_rest() {
        for (instruction, exit) in [
            (&[0xe8, 0xfb, 0xff, 0xff, 0xff][..], Exit::Call),
            (&[0xe8, 0x00, 0x01, 0x00, 0x00], Exit::Call),
            (&[0xff, 0xd0], Exit::Call),
            (&[0x41, 0xff, 0x14, 0x24], Exit::Call),
            (&[0x3e, 0x41, 0xff, 0xd3], Exit::Call),
            (&[0xff, 0x15, 1, 2, 3, 4], Exit::Call),
            (&[0xc3], Exit::Return),
            (&[0xf3, 0xc3], Exit::Return),
            (&[0xc2, 8, 0], Exit::Return),
            (&[0x48, 0xcf], Exit::InterruptReturn),
            // Return-buffer stuffing: call over an int3.
            (&[0xe8, 1, 0, 0, 0], Exit::Other),
            // push, jmp *%rax, jmp, inc.
            (&[0xff, 0xf0], Exit::Other),
            (&[0xff, 0xe0], Exit::Other),
            (&[0xe9, 0xfb, 0xff, 0xff, 0xff], Exit::Other),
            (&[0xff, 0xc0], Exit::Other),
            (&[0x0f, 0x1f, 0x00], Exit::Other),
            (&[], Exit::Other),
        ] {
            assert_eq!(Exit::of(instruction), exit, "{instruction:x?}");
        }
    }

    #[test]
    fn recognises_the_thread_switch() {
        let store = [0x48, 0x89, 0xa7, 0xd8, 0x0d, 0, 0];
        let load = [0x48, 0x8b, 0xa6, 0xd8, 0x0d, 0, 0];
        assert_eq!(Switch::of(&store), Some(Switch::From));
        assert_eq!(Switch::of(&load), Some(Switch::To));
        // mov %rsp,%rbp and mov %rax,8(%rdi).
        assert_eq!(Switch::of(&[0x48, 0x89, 0xe5]), None);
        assert_eq!(Switch::of(&[0x48, 0x89, 0x47, 8]), None);
    }
}
