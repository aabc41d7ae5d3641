// SPDX-License-Identifier: GPL-2.0
//! Chance that can be had again.

/// A xorshift generator with a fixed seed, so that a failing round can be had again.
#[derive(Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The generator of one of many steps: the same for the same numbers, and unlike that of any other step.
    pub(crate) fn of(seed: u64, numbers: &[u64]) -> Random {
        let mixed = numbers
            .iter()
            .fold(mix(seed), |sum, number| mix(sum ^ mix(*number)));
        // The generator never leaves 0.
        Random(mixed.max(1))
    }

    /// Any number.
    pub(crate) fn any(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // As it comes, neighbouring numbers have much in common.
        mix(self.0)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// Whether one of so many cases is at hand.
    pub(crate) fn one_in(&mut self, cases: u64) -> bool {
        self.below(cases) == 0
    }

    /// One of several, of which there must be one.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let index = self.below(from.len() as u64);
        from[usize::try_from(index).unwrap_or(0)]
    }
}

/// Spreads each bit over all (`splitmix64`).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}
