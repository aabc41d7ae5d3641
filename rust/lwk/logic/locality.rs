// SPDX-License-Identifier: GPL-2.0
//! Where the system calls of a job are carried out: a table with a place for each call.
//!
//! ```text
//! local   on the CPU that it is made on, by Linux        move   on a CPU of Linux, where the thread goes for it
//! native  on the CPU that it is made on, by the LWK
//! ```

mod calls;
mod group;
mod nearest;
mod parse;
mod set;
mod suggest;
#[cfg(test)]
mod tests;

pub use group::Group;
pub use parse::{listed, CallError, EVERY};
pub use set::CallSet;
pub use suggest::suggestion;

use calls::{Call, CALLS, CALL_LINES};

/// Where a call is carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// On the CPU that it is made on, by Linux.
    Local,
    /// On a CPU of Linux, where the thread goes for it.
    Move,
    /// On the CPU that it is made on, by the LWK.
    Native,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Local, Self::Move, Self::Native];

    /// Returns its name on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Move => "move",
            Self::Native => "native",
        }
    }
}

/// How long, in nanoseconds, a thread stays on a CPU of Linux by default in case that another moved call follows.
pub const BATCH_NS: u32 = 50_000;

/// The calls that the LWK can carry out itself.
pub const NATIVE: CallSet = placed(Place::Native);

/// The calls that cannot be moved: they are the end of something that began where they are made.
const FIXED: [&str; 3] = ["rt_sigreturn", "restart_syscall", "uretprobe"];

/// Where each call is carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Table {
    /// The calls that are moved.
    pub moved: CallSet,
    /// The calls that the LWK carries out itself; none of them is moved.
    pub native: CallSet,
}

impl Table {
    /// What a job gets that asks for nothing else.
    pub const DEFAULT: Self = Self {
        moved: placed(Place::Move),
        native: NATIVE,
    };

    /// Every call where it is made, by Linux.
    pub const ALL_LOCAL: Self = Self {
        moved: CallSet::EMPTY,
        native: CallSet::EMPTY,
    };

    /// Makes a table of the sets that cross the ABI; none if a call is in both, or in one where it cannot be.
    pub fn new(moved: CallSet, native: CallSet) -> Option<Self> {
        let is_good = moved.intersection(native).is_empty()
            && moved.intersection(fixed()).is_empty()
            && native.without(NATIVE).is_empty();
        is_good.then_some(Self { moved, native })
    }

    /// Returns where a call is carried out.
    #[inline]
    pub fn place(&self, nr: u32) -> Place {
        if self.moved.contains(nr) {
            Place::Move
        } else if self.native.contains(nr) {
            Place::Native
        } else {
            Place::Local
        }
    }

    /// Puts calls at a place, but for those that cannot be there.
    fn put(&mut self, place: Place, calls: CallSet) {
        let able = calls.intersection(able(place));
        self.moved = self.moved.without(able);
        self.native = self.native.without(able);
        match place {
            Place::Local => (),
            Place::Move => self.moved = self.moved.union(able),
            Place::Native => self.native = self.native.union(able),
        }
    }
}

/// Returns the name of a call.
pub fn name(nr: u32) -> Option<&'static str> {
    let call = CALLS.iter().find(|call| call.nr == nr);
    call.map(|call| call.name)
}

/// Returns the number of the call of this name.
pub fn number(name: &[u8]) -> Option<u32> {
    let call = CALLS.iter().find(|call| call.name.as_bytes() == name);
    call.map(|call| call.nr)
}

/// Returns the calls of a group.
pub fn members(group: Group) -> CallSet {
    let calls = CALLS.iter().filter(|call| call.groups.contains(group));
    calls.map(|call| call.nr).collect()
}

/// Returns the calls that can be at a place; numbers without a call can only be local.
pub fn able(place: Place) -> CallSet {
    match place {
        Place::Local => CallSet::FULL,
        Place::Move => {
            let known: CallSet = CALLS.iter().map(|call| call.nr).collect();
            known.without(fixed())
        }
        Place::Native => NATIVE,
    }
}

/// Returns the calls that cannot be moved.
fn fixed() -> CallSet {
    FIXED
        .iter()
        .filter_map(|name| number(name.as_bytes()))
        .collect()
}

/// Returns the calls whose default is this place.
const fn placed(place: Place) -> CallSet {
    CallSet::from_words([
        word(CALL_LINES, place, 0),
        word(CALL_LINES, place, 1),
        word(CALL_LINES, place, 2),
        word(CALL_LINES, place, 3),
        word(CALL_LINES, place, 4),
        word(CALL_LINES, place, 5),
        word(CALL_LINES, place, 6),
        word(CALL_LINES, place, 7),
    ])
}

/// Returns one word of the set of the calls whose default is this place.
const fn word(mut calls: &[Call], place: Place, index: u32) -> u64 {
    let mut word = 0;
    // Neither iterators nor `==` of enums can be used at compile time.
    while let [call, rest @ ..] = calls {
        let is_meant = call.place as u8 == place as u8;
        if is_meant && call.nr / u64::BITS == index {
            word |= 1 << (call.nr % u64::BITS);
        }
        calls = rest;
    }
    word
}
