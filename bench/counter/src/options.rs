// SPDX-License-Identifier: GPL-2.0
//! The plugin's arguments: `name=value`, as QEMU splits them.

use std::path::PathBuf;

use thiserror::Error;

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// Where the counts go.
    pub(crate) out: PathBuf,
    /// System.map of the guest's kernel.
    pub(crate) map: Option<PathBuf>,
    /// How finely it counts.
    pub(crate) grain: Grain,
    /// Whether it also counts by function and call stack.
    pub(crate) attribution: Attribution,
}

/// What the kernel's instructions are attributed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attribution {
    /// vCPUs.
    None,
    /// vCPUs, functions and call stacks.
    Stacks,
}

/// What QEMU calls the counter for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grain {
    /// Each block.
    Block,
    /// Each instruction.
    Instruction,
}

/// Why an argument is refused.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum OptionsError {
    /// Not of the form.
    #[error("argument `{0}` is not name=value")]
    Form(String),
    /// Not a name.
    #[error("argument `{0}` is unknown: out, map, stacks and exact are known")]
    Unknown(String),
    /// Neither on nor off.
    #[error("{name}={value}: on or off is meant")]
    Switch {
        /// The argument's name.
        name: String,
        /// What was given.
        value: String,
    },
    /// No file to write.
    #[error("out=FILE is missing")]
    NoOut,
    /// No names for call stacks.
    #[error("stacks=on needs map=FILE")]
    NoMap,
}

impl Options {
    /// Reads the arguments; the last of the same name counts.
    pub(crate) fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, OptionsError> {
        let (mut out, mut map) = (None, None);
        let (mut grain, mut attribution) = (Grain::Block, Attribution::None);
        for word in words {
            let Some((name, value)) = word.split_once('=') else {
                return Err(OptionsError::Form(word.to_owned()));
            };
            match name {
                "out" => out = Some(PathBuf::from(value)),
                "map" => map = Some(PathBuf::from(value)),
                "exact" => {
                    grain = match is_on(name, value)? {
                        true => Grain::Instruction,
                        false => Grain::Block,
                    }
                }
                "stacks" => {
                    attribution = match is_on(name, value)? {
                        true => Attribution::Stacks,
                        false => Attribution::None,
                    }
                }
                _ => return Err(OptionsError::Unknown(word.to_owned())),
            }
        }
        let out = out.ok_or(OptionsError::NoOut)?;
        if attribution == Attribution::Stacks && map.is_none() {
            return Err(OptionsError::NoMap);
        }
        Ok(Self {
            out,
            map,
            grain,
            attribution,
        })
    }
}

fn is_on(name: &str, value: &str) -> Result<bool, OptionsError> {
    match value {
        "on" | "yes" | "true" => Ok(true),
        "off" | "no" | "false" => Ok(false),
        _ => Err(OptionsError::Switch {
            name: name.to_owned(),
            value: value.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_all_arguments() {
        let words = ["out=/tmp/a=b", "map=System.map", "exact=on", "stacks=yes"];
        let want = Options {
            out: "/tmp/a=b".into(),
            map: Some("System.map".into()),
            grain: Grain::Instruction,
            attribution: Attribution::Stacks,
        };
        assert_eq!(Options::parse(words.into_iter()), Ok(want));
    }

    #[test]
    fn counts_blocks_without_a_map_by_default() {
        let options = Options::parse(["out=x"].into_iter()).unwrap();
        assert_eq!((options.map, options.grain), (None, Grain::Block));
        assert_eq!(options.attribution, Attribution::None);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let refused = |words: &[&str]| Options::parse(words.iter().copied()).unwrap_err();
        assert_eq!(refused(&[]), OptionsError::NoOut);
        assert_eq!(refused(&["out"]), OptionsError::Form("out".into()));
        assert_eq!(refused(&["out=x", "stacks=on"]), OptionsError::NoMap);
        let unknown = OptionsError::Unknown("speed=1".into());
        assert_eq!(refused(&["out=x", "speed=1"]), unknown);
        let switch = refused(&["out=x", "exact=2"]).to_string();
        assert_eq!(switch, "exact=2: on or off is meant");
    }
}
