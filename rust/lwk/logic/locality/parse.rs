// SPDX-License-Identifier: GPL-2.0
//! Tables as command lines say them, as changes to another.
//!
//! ```text
//! changes = place "=" list { "," place "=" list }        list = item { "," item }
//! place   = "local" | "move" | "native"                  item = name of a call | "%" group | "all"
//! ```
//!
//! Changes are made in order, so that a later one wins. A group and `all` leave out what cannot be at a place.

use super::calls::CALLS;
use super::nearest::nearest;
use super::{able, members, name, number, CallSet, Group, Place, Table, NATIVE};
use crate::logic::error::{Errno, Excerpt, EINVAL};
use core::fmt;

/// What stands for every call.
pub const EVERY: &str = "all";

/// Why changes are refused; the table is as before then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallError {
    /// A list or one of its items is empty.
    Empty,
    /// An item comes before any place.
    NoPlace(Excerpt),
    /// There is no such place.
    Place(Excerpt),
    /// There is no such call or group, and this one is like it, if any.
    Unknown(Excerpt, Option<&'static str>),
    /// The LWK cannot carry it out.
    NotNative(Excerpt),
    /// It cannot be moved.
    Fixed(Excerpt),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a name of a system call is missing"),
            Self::NoPlace(text) => write!(
                f,
                "{text} has no place before it: begin with local=, move= or native="
            ),
            Self::Place(text) => {
                write!(
                    f,
                    "{text} is not a place for system calls (local, move, native)"
                )
            }
            Self::Unknown(text, like) => {
                let kind = match like {
                    Some(like) if like.starts_with('%') => "group of system calls",
                    _ => "system call",
                };
                write!(f, "unknown {kind} {text}")?;
                match like {
                    Some(like) => write!(f, "; did you mean '{like}'?"),
                    None => Ok(()),
                }
            }
            Self::NotNative(text) => {
                write!(f, "the LWK cannot carry out {text} itself, only")?;
                for (place, nr) in NATIVE.iter().enumerate() {
                    let comma = if place == 0 { "" } else { "," };
                    write!(f, "{comma} {}", name(nr).unwrap_or_default())?;
                }
                Ok(())
            }
            Self::Fixed(text) => write!(
                f,
                "{text} cannot be moved: it is the end of something that began where it is made"
            ),
        }
    }
}

impl Errno for CallError {
    fn errno(&self) -> i32 {
        EINVAL
    }
}

impl Table {
    /// Changes the table: `--syscalls`.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn assign(&mut self, text: &[u8]) -> Result<(), CallError> {
        let (mut changed, mut place) = (*self, None);
        for token in text.split(|byte| *byte == b',') {
            let mut halves = token.splitn(2, |byte| *byte == b'=');
            let item = match (halves.next(), halves.next()) {
                (Some(word), Some(item)) => {
                    let named = Place::ALL
                        .iter()
                        .find(|place| word == place.name().as_bytes());
                    place = Some(*named.ok_or(CallError::Place(Excerpt::new(word)))?);
                    item
                }
                _ => token,
            };
            changed.set_item(place, item)?;
        }
        *self = changed;
        Ok(())
    }

    /// Puts the calls of a list at a place.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub fn set(&mut self, place: Place, list: &[u8]) -> Result<(), CallError> {
        let mut changed = *self;
        for item in list.split(|byte| *byte == b',') {
            changed.set_item(Some(place), item)?;
        }
        *self = changed;
        Ok(())
    }

    /// Puts one item of a list at a place.
    fn set_item(&mut self, place: Option<Place>, item: &[u8]) -> Result<(), CallError> {
        if item.is_empty() {
            return Err(CallError::Empty);
        }
        let place = place.ok_or(CallError::NoPlace(Excerpt::new(item)))?;
        let calls = calls_of(item)?;
        if calls.intersection(able(place)).is_empty() {
            let text = Excerpt::new(item);
            return Err(match place {
                Place::Native => CallError::NotNative(text),
                Place::Local | Place::Move => CallError::Fixed(text),
            });
        }
        self.put(place, calls);
        Ok(())
    }
}

/// Returns the calls that a list names.
///
/// # Errors
///
/// See [`CallError`].
pub fn listed(list: &[u8]) -> Result<CallSet, CallError> {
    let mut items = list.split(|byte| *byte == b',');
    items.try_fold(CallSet::EMPTY, |all, item| Ok(all.union(calls_of(item)?)))
}

/// Returns the calls that an item stands for.
fn calls_of(item: &[u8]) -> Result<CallSet, CallError> {
    if item.is_empty() {
        return Err(CallError::Empty);
    }
    if item == EVERY.as_bytes() {
        return Ok(CallSet::FULL);
    }
    if let Some(group) = Group::named(item) {
        return Ok(members(group));
    }
    if let Some(nr) = number(item) {
        return Ok([nr].into_iter().collect());
    }
    let names = CALLS.iter().map(|call| call.name);
    let groups = Group::ALL.iter().map(|group| group.name());
    let like = nearest(item, names.chain(groups).chain([EVERY]));
    Err(CallError::Unknown(Excerpt::new(item), like))
}
