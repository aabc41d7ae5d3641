// SPDX-License-Identifier: GPL-2.0
//! The command lines that launchers write a thousand times, read without building a full parser.
//!
//! Building and running the full one costs more instructions than a small program takes in all. Whatever is not
//! plainly `[-c LIST | -C N] [-M AMOUNT] [-p PARTITION] COMMAND...` is left to it, so it alone words errors and help.

use std::ffi::{OsStr, OsString};

use crate::cli::{cpu_list, memory, Options};

/// Reads `args`, the program name first; `None` leaves them to the full parser.
///
/// Whenever it returns options, the full parser would have returned the same.
pub fn parse(args: &[OsString]) -> Option<Options> {
    let mut options = Options::default();
    let mut rest = args.get(1..)?;
    loop {
        match rest {
            [option, value, tail @ ..] if is_option(option) => {
                take(&mut options, option.to_str()?, value.to_str()?)?;
                rest = tail;
            }
            [command, ..] if !is_option(command) => {
                options.command = rest.to_vec();
                return Some(options);
            }
            _ => return None,
        }
    }
}

/// Sets one option; `None` if it is another one, is there twice, contradicts or has a doubtful value.
fn take(options: &mut Options, option: &str, value: &str) -> Option<()> {
    if is_option(OsStr::new(value)) || value.is_empty() {
        return None;
    }
    match option {
        "-c" if options.cpus.is_none() && options.nr_cpus.is_none() => {
            options.cpus = Some(cpu_list(value).ok()?);
        }
        "-C" if options.cpus.is_none() && options.nr_cpus.is_none() => {
            options.nr_cpus = Some(value.parse().ok()?);
        }
        "-M" if options.memory.is_none() => options.memory = Some(memory(value).ok()?),
        "-p" if options.partition.is_none() => options.partition = Some(value.to_owned()),
        _ => return None,
    }
    Some(())
}

/// Whether the full parser might see an option in it.
fn is_option(arg: &OsStr) -> bool {
    arg.as_encoded_bytes().first() == Some(&b'-')
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use proptest::prelude::*;

    use super::*;

    fn os(args: &[&str]) -> Vec<OsString> {
        std::iter::once(&"yod")
            .chain(args)
            .map(OsString::from)
            .collect()
    }

    #[test]
    fn common_lines_are_read_here() {
        for args in [
            &["true"][..],
            &["-c", "2", "true"],
            &["-c", "2-5,8", "-p", "boot", "ls", "-l", "--", "-c"],
            &["-p", "1", "-C", "4", "./a.out"],
            &["-M", "1/2", "-C", "4", "./a.out"],
        ] {
            let args = os(args);
            assert_eq!(
                parse(&args),
                Options::try_parse_from(&args).ok(),
                "{args:?}"
            );
            assert!(parse(&args).is_some(), "{args:?}");
        }
    }

    #[test]
    fn the_rest_is_left_to_the_full_parser() {
        for args in [
            &[][..],
            &["--help"],
            &["-c"],
            &["-c", "2"],
            &["-v", "ls"],
            &["--", "ls"],
            &["-c2", "ls"],
        ] {
            assert_eq!(parse(&os(args)), None, "{args:?}");
        }
    }

    proptest! {
        #[test]
        fn it_never_disagrees_with_the_full_parser(
            args in prop::collection::vec(
                prop::sample::select(vec![
                    "-c", "-C", "-p", "-M", "none", "1.5", "2G", "-v", "--", "-", "", "2", "0", "2-5", "5-2", "x", "+3", " 3", "-1", "ls",
                    "--dry-run", "-c2", "--cpus=3", "--help", "1-3,9", "-cC", "007",
                ]),
                0..7,
            )
        ) {
            let args = os(&args);
            if let Some(options) = parse(&args) {
                prop_assert_eq!(Some(options), Options::try_parse_from(&args).ok());
            }
        }
    }
}
