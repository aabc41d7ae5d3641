// SPDX-License-Identifier: GPL-2.0
//! Runs a target with one seed after the other until its time is up.

use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// How many targets there are, which share the time.
const TARGETS: u32 = 9;
/// Inputs of a seed.
const CASES: u32 = 100;
/// How long a target runs if nobody says so.
const USUAL: Duration = Duration::from_millis(700);

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

/// The generator of a seed.
fn generator(seed: u64) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

/// Runs `check` on what `strategy` makes up.
///
/// # Panics
///
/// It fails, or panics itself; with the seed to have it again and the smallest input that still does it.
pub(crate) fn fuzz<S>(
    target: &str,
    strategy: S,
    check: impl Fn(S::Value) -> Result<(), TestCaseError>,
) where
    S: Strategy,
    S::Value: Debug,
{
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        max_shrink_time: 20_000,
        ..Config::default()
    };
    let fixed = number("FUZZ_SEED");
    let time =
        number("FUZZ_SECONDS").map_or(USUAL, |seconds| Duration::from_secs(seconds) / TARGETS);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    // CAST: any seed will do.
    let mut seed = fixed.unwrap_or(now.as_micros() as u64);
    let (begun, mut inputs) = (Instant::now(), 0_u64);
    loop {
        let mut runner = TestRunner::new_with_rng(config.clone(), generator(seed));
        if let Err(error) = runner.run(&strategy, &check) {
            panic!(
                "{target}: {error}\nto have it again: FUZZ_SEED={seed} cargo test -p host-tests --test fuzz {target}"
            );
        }
        inputs += u64::from(CASES);
        if fixed.is_some() || begun.elapsed() >= time {
            break;
        }
        seed = seed.wrapping_add(1);
    }
    println!("{target}: {inputs} inputs, the last seed is {seed}");
}

/// Damage to a text.
#[derive(Debug, Clone)]
enum Damage {
    Change(Index, u8),
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
    Cut(Index),
}

impl Damage {
    fn apply(&self, text: &mut Vec<u8>) {
        let at = |index: &Index| index.index(text.len() + 1);
        match self {
            Self::Change(index, byte) => {
                let at = at(index);
                if let Some(old) = text.get_mut(at) {
                    *old = *byte;
                }
            }
            Self::Flip(index, bit) => {
                let at = at(index);
                if let Some(old) = text.get_mut(at) {
                    *old ^= 1 << (bit % 8);
                }
            }
            Self::Insert(index, bytes) => {
                let at = at(index);
                text.splice(at..at, bytes.iter().copied());
            }
            Self::Remove(index, len) => {
                let at = at(index);
                text.drain(at..(at + len).min(text.len()));
            }
            Self::Repeat(index, len) => {
                let at = at(index);
                let piece = text[at..(at + len).min(text.len())].to_vec();
                text.splice(at..at, piece);
            }
            Self::Cut(index) => text.truncate(at(index)),
        }
    }
}

/// Bytes that mean something to some parser, and those that break careless ones.
fn token() -> impl Strategy<Value = Vec<u8>> {
    const TOKENS: &[&[u8]] = &[
        b",",
        b":",
        b"-",
        b"/",
        b".",
        b"=",
        b"\"",
        b"\n",
        b"[",
        b"]",
        b"{",
        b"#",
        b" ",
        b"\t",
        b"\0",
        b"\xff",
        b"\xc3",
        b"0",
        b"00000000000000000001",
        b"18446744073709551615",
        b"18446744073709551616",
        b"4294967296",
        b"1024",
        b"-1",
        b"N",
        b"all",
        b"none",
        b"K",
        b"T",
        b"%",
        b"'",
        b"\\u0000",
        b"true",
        b"1e9",
        b"\x1b[31m",
        "\u{2028}".as_bytes(),
    ];
    proptest::sample::select(TOKENS).prop_map(<[u8]>::to_vec)
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Change(at, byte)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        4 => (any::<Index>(), token()).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        2 => (any::<Index>(), 1..9_usize).prop_map(|(at, len)| Damage::Remove(at, len)),
        1 => (any::<Index>(), 1..30_usize).prop_map(|(at, len)| Damage::Repeat(at, len)),
        1 => any::<Index>().prop_map(Damage::Cut),
    ]
}

/// A good text, damaged a few times or not at all.
pub(crate) fn damaged(good: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<u8>> {
    let damages = prop_oneof![1 => Just(Vec::new()), 3 => vec(damage(), 1..5)];
    (good, damages).prop_map(|(good, damages)| {
        let mut text = good.into_bytes();
        damages.iter().for_each(|damage| damage.apply(&mut text));
        text
    })
}
