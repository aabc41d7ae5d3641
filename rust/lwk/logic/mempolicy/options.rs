// SPDX-License-Identifier: GPL-2.0
//! The options of yod that set policies, as mOS users write them.
//!
//! ```text
//! --maxpage      scope:4k|2m|1g { "/" ... }
//! --pagefault    scope:nofault|onefault { "/" ... }
//! --mempolicy    scope:normal|interleave|bind|preferred [ ":" nodes ] { "/" ... }
//! --aligned-mmap size [ ":" size ]
//! --heap-step    size
//! scope = "dbss" | "heap" | "anon_private" | "tstack" | "stack" | "all"      nodes = node { "," node }
//! ```

use super::{Placement, Policy, Populate, Region, RegionPolicy};
use crate::logic::error::{Errno, Excerpt, EINVAL};
use crate::logic::frames::{PageSize, BLOCK_BYTES, FRAME_BYTES};
use crate::logic::memspec::{Amount, JobAmount, MemError};
use crate::logic::node::{NodeId, NodeSet};
use core::fmt;

/// Why an option is refused; the policy is as before then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OptionError {
    /// A setting has no colon after its scope.
    NoScope(Excerpt),
    /// There is no such scope.
    Scope(Excerpt),
    /// There is no such value.
    Value(Excerpt),
    /// It is no list of nodes, or a list where none belongs or is missing.
    Nodes(Excerpt),
    /// A size is wrong.
    Size(MemError),
    /// An alignment is not a power of two.
    Alignment(Excerpt),
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoScope(text) => write!(f, "{text} is not of the form scope:value"),
            Self::Scope(text) => {
                write!(f, "{text} is not a scope (all")?;
                for region in Region::ALL {
                    write!(f, ", {}", region.name())?;
                }
                f.write_str(")")
            }
            Self::Value(text) => write!(f, "{text} is not a value of this option"),
            Self::Nodes(text) => write!(f, "{text} is not the list of nodes that belongs here"),
            Self::Size(error) => error.fmt(f),
            Self::Alignment(text) => write!(
                f,
                "the alignment {text} is not a power of two and at least 4K"
            ),
        }
    }
}

impl Errno for OptionError {
    fn errno(&self) -> i32 {
        match self {
            Self::Size(error) => error.errno(),
            _ => EINVAL,
        }
    }
}

impl Policy {
    /// Sets the largest pages: `--maxpage`.
    ///
    /// # Errors
    ///
    /// See [`OptionError`].
    pub fn set_max_pages(&mut self, text: &[u8]) -> Result<(), OptionError> {
        self.set(text, |policy, value| {
            let sizes = PageSize::DESCENDING;
            let is_named = |size: &&PageSize| value.eq_ignore_ascii_case(size.name().as_bytes());
            let size = sizes.iter().find(is_named);
            policy.max_page = *size.ok_or(OptionError::Value(Excerpt::new(value)))?;
            Ok(())
        })
    }

    /// Sets when memory is taken: `--pagefault`.
    ///
    /// # Errors
    ///
    /// See [`OptionError`].
    pub fn set_populate(&mut self, text: &[u8]) -> Result<(), OptionError> {
        self.set(text, |policy, value| {
            let times = [Populate::AtMap, Populate::AtTouch];
            let found = times.iter().find(|time| value == time.name().as_bytes());
            policy.populate = *found.ok_or(OptionError::Value(Excerpt::new(value)))?;
            Ok(())
        })
    }

    /// Sets where memory comes from: `--mempolicy`.
    ///
    /// # Errors
    ///
    /// See [`OptionError`].
    pub fn set_placement(&mut self, text: &[u8]) -> Result<(), OptionError> {
        self.set(text, |policy, value| {
            let (name, list) = match cut(value, b':') {
                Some((name, list)) => (name, Some(list)),
                None => (value, None),
            };
            let placements = Placement::ALL.iter();
            let mut named = placements.filter(|placement| name == placement.name().as_bytes());
            let placement = named.next().ok_or(OptionError::Value(Excerpt::new(name)))?;
            let nodes = match (list, *placement) {
                (None, Placement::Near | Placement::Interleave) => NodeSet::EMPTY,
                (Some(list), Placement::Interleave | Placement::Bind | Placement::Preferred) => {
                    nodes(list).ok_or(OptionError::Nodes(Excerpt::new(list)))?
                }
                _ => return Err(OptionError::Nodes(Excerpt::new(value))),
            };
            policy.placement = *placement;
            policy.nodes = nodes;
            Ok(())
        })
    }

    /// Sets from which size on anonymous mappings are aligned, and how: `--aligned-mmap`.
    ///
    /// # Errors
    ///
    /// See [`OptionError`].
    pub fn set_alignment(&mut self, text: &[u8]) -> Result<(), OptionError> {
        let (from, align) = match cut(text, b':') {
            Some((from, align)) => {
                let bytes = size(align)?;
                if !bytes.is_power_of_two() {
                    return Err(OptionError::Alignment(Excerpt::new(align)));
                }
                (size(from)?, bytes)
            }
            None => (size(text)?, BLOCK_BYTES),
        };
        if let Some(policy) = self.region_mut(Region::AnonPrivate) {
            policy.align_from = from;
            policy.align = align.max(FRAME_BYTES);
        }
        Ok(())
    }

    /// Sets how much the heap takes at once: `--heap-step`.
    ///
    /// # Errors
    ///
    /// See [`OptionError`].
    pub fn set_heap_step(&mut self, text: &[u8]) -> Result<(), OptionError> {
        let mut changed = *self;
        // 0 stands for the default in the ABI.
        match size(text)? {
            bytes if bytes > 0 && changed.set_heap_step_bytes(bytes) => *self = changed,
            _ => return Err(OptionError::Value(Excerpt::new(text))),
        }
        Ok(())
    }

    /// Applies settings, each of one scope, all or none.
    fn set(
        &mut self,
        text: &[u8],
        apply: impl Fn(&mut RegionPolicy, &[u8]) -> Result<(), OptionError>,
    ) -> Result<(), OptionError> {
        let mut changed = *self;
        for setting in text.split(|byte| *byte == b'/') {
            let (scope, value) =
                cut(setting, b':').ok_or(OptionError::NoScope(Excerpt::new(setting)))?;
            let is_meant = |region: &Region| scope == b"all" || scope == region.name().as_bytes();
            if !Region::ALL.iter().any(is_meant) {
                return Err(OptionError::Scope(Excerpt::new(scope)));
            }
            for region in Region::ALL.into_iter().filter(is_meant) {
                if let Some(policy) = changed.region_mut(region) {
                    apply(policy, value)?;
                }
            }
        }
        *self = changed;
        Ok(())
    }
}

/// Cuts a text in two at the first such byte.
fn cut(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = text.iter().position(|byte| *byte == at)?;
    let (left, right) = text.split_at(position);
    Some((left, right.get(1..)?))
}

/// Reads a size in bytes.
fn size(text: &[u8]) -> Result<u64, OptionError> {
    match JobAmount::parse(text).map_err(OptionError::Size)? {
        JobAmount::Amount(Amount::Bytes(bytes)) => Ok(bytes),
        _ => Err(OptionError::Size(MemError::Size(Excerpt::new(text)))),
    }
}

/// Reads a list of nodes.
fn nodes(text: &[u8]) -> Option<NodeSet> {
    let node = |text: &[u8]| {
        let is_number = !text.is_empty() && text.len() < 5 && text.iter().all(u8::is_ascii_digit);
        let digits = text.iter().map(|byte| u16::from(byte.wrapping_sub(b'0')));
        let number = is_number.then(|| digits.fold(0, |value, digit| value * 10 + digit));
        number.and_then(NodeId::new)
    };
    text.split(|byte| *byte == b',').map(node).collect()
}
