// SPDX-License-Identifier: GPL-2.0
//! Call stacks of the kernel, rebuilt from the calls and returns at the ends of blocks.
//!
//! The stacks are a guess that mends itself; the innermost function is never guessed, it is that of the address which
//! runs. What is done where calls and returns do not pair:
//!
//! - An entry from user mode and a new thread begin with an empty stack.
//! - An interrupt in the kernel goes on top of what it interrupts, its return takes off all down to it. Whether the
//!   block before it ran to its end shows after the return: one that was cut short is then resumed inside.
//! - A return to an address that no frame waits for is a jump, for example that of a retpoline; one to the address of
//!   a frame further out drops those in between.
//! - The thread switch, seen by the addresses where it keeps stack pointers, exchanges the stacks.

use std::collections::{BTreeMap, HashMap};

use crate::code::{Code, Door, Exit};
use crate::symbols::{Function, Symbols};
use crate::tree::{Path, Tree};

/// A stack that grows beyond it has lost its returns and begins anew.
const MAX_DEPTH: usize = 256;

/// The call stack of what runs on a vCPU, and what was counted.
#[derive(Debug)]
pub(crate) struct Stacks {
    frames: Vec<Frame>,
    /// Where the last block was.
    here: Path,
    /// The last block of the kernel, if control may have gone on from it.
    before: Option<&'static Code>,
    tree: Tree,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    /// The functions down to the one that called or was interrupted.
    path: Path,
    wait: Wait,
}

/// What ends the call above a frame.
#[derive(Debug, Clone, Copy)]
enum Wait {
    /// A return to this address.
    Return(u64),
    /// A return from an interrupt; the block before it.
    Interrupt(Option<&'static Code>),
}

/// The stacks of the threads that do not run, by where their stack pointers are kept.
#[derive(Debug, Default)]
pub(crate) struct Threads(HashMap<u64, Vec<(Function, Wait)>>);

impl Default for Stacks {
    fn default() -> Self {
        Self {
            frames: Vec::new(),
            here: Path::EMPTY,
            before: None,
            tree: Tree::default(),
        }
    }
}

/// How the kernel came to a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// From user mode.
    User,
    /// From another of the kernel's.
    Kernel,
}

impl Stacks {
    /// Counts a block that is about to run.
    pub(crate) fn run(&mut self, code: &'static Code, from: From) {
        match (from, code.door) {
            (From::User, _) | (_, Door::Thread) => self.frames.clear(),
            (From::Kernel, Door::Interrupt) => self.interrupt(),
            (From::Kernel, Door::None) => self.follow(code.block.start()),
        }
        let parent = self.frames.last().map_or(Path::EMPTY, |frame| frame.path);
        self.here = self.tree.child(parent, code.function);
        self.tree.add(self.here, code.block.nr());
        self.before = Some(code);
    }

    /// The thread on this vCPU stops; it is known by `key` from now on.
    pub(crate) fn save(&mut self, key: u64, threads: &mut Threads) {
        let frames = self.frames.drain(..).filter_map(|frame| {
            let function = self.tree.function(frame.path)?;
            Some((function, frame.wait))
        });
        threads.0.insert(key, frames.collect());
    }

    /// The thread known by `key` goes on.
    pub(crate) fn restore(&mut self, key: u64, threads: &mut Threads) {
        self.frames.clear();
        let mut path = Path::EMPTY;
        for (function, wait) in threads.0.remove(&key).unwrap_or_default() {
            path = self.tree.child(path, function);
            self.frames.push(Frame { path, wait });
        }
    }

    /// A window begins.
    pub(crate) fn clear(&mut self) {
        self.tree.clear();
    }

    /// Instructions of the window by function.
    pub(crate) fn functions(&self, symbols: &Symbols) -> BTreeMap<String, u64> {
        self.tree.functions(symbols)
    }

    /// Instructions of the window by call stack, written behind `root`.
    pub(crate) fn folded(&self, root: &str, symbols: &Symbols) -> BTreeMap<String, u64> {
        self.tree.folded(root, symbols)
    }

    /// Moves from the end of the last block to the next one's start.
    fn follow(&mut self, start: u64) {
        while let Some(before) = self.before {
            if before.contains(start) {
                // An exception cut it short and it is resumed, or a loop begins again.
                return;
            }
            match before.exit {
                Exit::Call => self.push(Wait::Return(before.end)),
                Exit::Return => self.unwind(start),
                // Serialising code returns to behind itself without an interrupt.
                Exit::InterruptReturn if start != before.end => {
                    if self.end_interrupt() {
                        continue;
                    }
                }
                Exit::InterruptReturn | Exit::Other => {}
            }
            return;
        }
    }

    /// An interrupt comes, perhaps before the return from the last one got to run a block.
    fn interrupt(&mut self) {
        let exit = self.before.map(|before| before.exit);
        if exit == Some(Exit::InterruptReturn) {
            self.end_interrupt();
        }
        self.push(Wait::Interrupt(self.before));
    }

    fn push(&mut self, wait: Wait) {
        if self.frames.len() == MAX_DEPTH {
            self.frames.clear();
        }
        self.frames.push(Frame {
            path: self.here,
            wait,
        });
    }

    /// Takes off the frames down to the one that waits for this address; an interrupt's cannot return past it.
    fn unwind(&mut self, to: u64) {
        for n in (0..self.frames.len()).rev() {
            match self.frames[n].wait {
                Wait::Return(address) if address == to => return self.frames.truncate(n),
                Wait::Return(_) => {}
                Wait::Interrupt(_) => return,
            }
        }
    }

    /// Takes off the frames down to the last interrupt, if there is one, and goes back to before it; tells whether.
    fn end_interrupt(&mut self) -> bool {
        for n in (0..self.frames.len()).rev() {
            if let Frame {
                path,
                wait: Wait::Interrupt(before),
            } = self.frames[n]
            {
                self.frames.truncate(n);
                self.here = path;
                self.before = before;
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "\
ffffffff81000000 T outer
ffffffff81000100 T inner
ffffffff81000200 T leaf
ffffffff81000300 T thunk
ffffffff81000400 T __switch_to_asm
ffffffff81000500 T ret_from_fork_asm
ffffffff81000600 T asm_sysvec_timer
ffffffff81000700 D data
";
    const OUTER: u64 = 0xffff_ffff_8100_0000;
    const INNER: u64 = OUTER + 0x100;
    const LEAF: u64 = OUTER + 0x200;
    const THUNK: u64 = OUTER + 0x300;
    const FORK: u64 = OUTER + 0x500;
    const TIMER: u64 = OUTER + 0x600;
    const CALL: &[u8] = &[0xff, 0xd0];
    const RET: &[u8] = &[0xc3];
    const IRET: &[u8] = &[0x48, 0xcf];
    const JMP: &[u8] = &[0xff, 0xe0];

    struct Guest {
        symbols: Symbols,
        stacks: Stacks,
        from: From,
    }

    impl Guest {
        fn new() -> Self {
            Self {
                symbols: Symbols::parse(MAP, "map").unwrap(),
                stacks: Stacks::default(),
                from: From::User,
            }
        }

        /// Runs a block of ten bytes and one instruction, and tells where that is.
        fn run(&mut self, start: u64, last: &[u8]) -> String {
            let code = Code::new(start, 1, start + 10, last, &self.symbols);
            let from = std::mem::replace(&mut self.from, From::Kernel);
            self.stacks.run(Box::leak(Box::new(code)), from);
            let folded = self.stacks.folded("0", &self.symbols);
            self.stacks.clear();
            assert_eq!(folded.len(), 1);
            folded.into_keys().next().unwrap()
        }
    }

    #[test]
    fn follows_calls_and_returns() {
        let mut guest = Guest::new();
        assert_eq!(guest.run(OUTER, CALL), "0;outer");
        assert_eq!(guest.run(INNER, CALL), "0;outer;inner");
        assert_eq!(guest.run(LEAF, JMP), "0;outer;inner;leaf");
        assert_eq!(guest.run(LEAF + 0x20, RET), "0;outer;inner;leaf");
        assert_eq!(guest.run(INNER + 10, RET), "0;outer;inner");
        assert_eq!(guest.run(OUTER + 10, JMP), "0;outer");
        // A tail call takes the caller's place.
        assert_eq!(guest.run(LEAF, JMP), "0;leaf");
    }

    #[test]
    fn a_return_that_nobody_waits_for_is_a_jump() {
        let mut guest = Guest::new();
        guest.run(OUTER, CALL);
        assert_eq!(guest.run(THUNK, RET), "0;outer;thunk");
        assert_eq!(guest.run(LEAF, RET), "0;outer;leaf");
        assert_eq!(guest.run(OUTER + 10, JMP), "0;outer");
    }

    #[test]
    fn a_return_further_out_drops_what_lies_between() {
        let mut guest = Guest::new();
        guest.run(OUTER, CALL);
        guest.run(INNER, CALL);
        guest.run(LEAF, RET);
        assert_eq!(guest.run(OUTER + 10, JMP), "0;outer");
    }

    #[test]
    fn an_interrupt_goes_on_top_and_comes_off_again() {
        let mut guest = Guest::new();
        guest.run(OUTER, CALL);
        guest.run(INNER, JMP);
        assert_eq!(guest.run(TIMER, CALL), "0;outer;inner;asm_sysvec_timer");
        let deep = "0;outer;inner;asm_sysvec_timer;leaf";
        assert_eq!(guest.run(LEAF, RET), deep);
        guest.run(TIMER + 10, IRET);
        assert_eq!(guest.run(INNER + 0x20, RET), "0;outer;inner");
        assert_eq!(guest.run(OUTER + 10, JMP), "0;outer");
    }

    #[test]
    fn an_interrupt_may_follow_a_call_or_cut_it() {
        // The call was done: after the return the callee runs.
        let mut guest = Guest::new();
        guest.run(OUTER, CALL);
        assert_eq!(guest.run(TIMER, IRET), "0;outer;asm_sysvec_timer");
        assert_eq!(guest.run(INNER, RET), "0;outer;inner");
        assert_eq!(guest.run(OUTER + 10, JMP), "0;outer");
        // It was not: an exception hit before it, and the rest of the block runs again.
        guest.run(OUTER + 0x20, CALL);
        guest.run(TIMER, IRET);
        assert_eq!(guest.run(OUTER + 0x25, CALL), "0;outer");
        assert_eq!(guest.run(LEAF, RET), "0;outer;leaf");
    }

    #[test]
    fn an_interrupt_may_follow_the_return_from_one() {
        let mut guest = Guest::new();
        guest.run(OUTER, JMP);
        guest.run(TIMER, IRET);
        assert_eq!(guest.run(TIMER, IRET), "0;outer;asm_sysvec_timer");
        assert_eq!(guest.run(OUTER + 0x20, JMP), "0;outer");
    }

    #[test]
    fn threads_keep_their_stacks() {
        let (mut guest, mut threads) = (Guest::new(), Threads::default());
        guest.run(OUTER, CALL);
        guest.run(INNER, CALL);
        guest.run(LEAF, JMP);
        // The first thread stops, a new one begins, stops and lets the first go on on another vCPU.
        guest.stacks.save(0x1000, &mut threads);
        guest.stacks.restore(0x2000, &mut threads);
        assert_eq!(guest.run(FORK, CALL), "0;ret_from_fork_asm");
        assert_eq!(guest.run(LEAF, RET), "0;ret_from_fork_asm;leaf");
        guest.stacks.save(0x2000, &mut threads);
        let mut other = Guest::new();
        other.from = From::Kernel;
        other.run(LEAF + 0x20, JMP);
        other.stacks.restore(0x1000, &mut threads);
        assert_eq!(other.run(LEAF + 0x30, RET), "0;outer;inner;leaf");
        assert_eq!(other.run(INNER + 10, RET), "0;outer;inner");
        assert_eq!(other.run(OUTER + 10, JMP), "0;outer");
    }

    #[test]
    fn functions_are_right_where_stacks_are_lost() {
        let mut guest = Guest::new();
        for _ in 0..3 * MAX_DEPTH {
            guest.run(OUTER, CALL);
        }
        let code = Code::new(LEAF, 5, LEAF + 10, RET, &guest.symbols);
        guest.stacks.run(Box::leak(Box::new(code)), From::Kernel);
        let functions = guest.stacks.functions(&guest.symbols);
        assert_eq!(functions, BTreeMap::from([("leaf".to_owned(), 5)]));
    }
}
