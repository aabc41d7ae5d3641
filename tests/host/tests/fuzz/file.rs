// SPDX-License-Identifier: GPL-2.0
//! The file of partitions, and the list of users.

use lwk::{Control, Forecast, Machine, NewPartition, State};
use lwkctl::config;
use lwkctl::users::Users;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::check_line;
use crate::driver::{damaged, fuzz};
use crate::lists::list;
use crate::memory::{size, wish};
use crate::options::{calls, settings};

const NR_CPUS: u32 = 64;

/// A value of the file: mostly a text.
fn value(good: impl Strategy<Value = String> + 'static) -> BoxedStrategy<String> {
    prop_oneof![
        12 => good.prop_map(|text| format!("{text:?}")),
        1 => proptest::sample::select(&["1", "true", "[]", "{}", "\"\"", "1979-05-27", "''", "\"\\u0000\""][..])
            .prop_map(str::to_owned),
    ]
    .boxed()
}

/// A field with a value.
fn field() -> impl Strategy<Value = String> {
    let switch = || {
        proptest::sample::select(&["true", "false"][..])
            .prop_map(str::to_owned)
            .boxed()
    };
    let fields: Vec<(&str, BoxedStrategy<String>)> = vec![
        ("service", value(list())),
        ("mem", value(wish())),
        ("maxpage", value(settings())),
        ("pagefault", value(settings())),
        ("mempolicy", value(settings())),
        ("aligned_mmap", value(size())),
        ("heap_step", value(size())),
        ("strict", switch()),
        ("keep_unneeded", switch()),
        ("syscalls", value(calls())),
        ("exclusive_wait", switch()),
        ("syscall_batch", value(Just("20us".to_owned()))),
        ("idle", value(Just("poll".to_owned()))),
        ("speed", value(Just("fast".to_owned()))),
    ];
    let fields = fields.into_iter().map(|(name, value)| {
        value
            .prop_map(move |value| format!("{name} = {value}\n"))
            .boxed()
    });
    proptest::strategy::Union::new(fields.collect::<Vec<_>>())
}

/// A file.
fn text() -> impl Strategy<Value = String> {
    let name = prop_oneof![6 => "[a-c]", 1 => "[ -~]{0,40}"];
    let cpus = prop_oneof![6 => (0..60_u32, 0..4_u32).prop_map(|(first, len)| format!("{first}-{}", first + len)), 1 => list()];
    let partition =
        (value(name), value(cpus), vec(field(), 0..4)).prop_map(|(name, cpus, fields)| {
            format!(
                "[[partition]]\nname = {name}\ncpus = {cpus}\n{}",
                fields.concat()
            )
        });
    let version = prop_oneof![12 => Just("1"), 1 => Just("2"), 1 => Just("-1"), 1 => Just("\"1\"")];
    (version, vec(partition, 0..3))
        .prop_map(|(version, partitions)| format!("version = {version}\n{}", partitions.concat()))
}

/// What a machine with these partitions would save.
fn saved(wanted: &[NewPartition]) -> Option<String> {
    let machine = Machine {
        armed: true,
        nr_cpus: NR_CPUS,
        topology: None,
    };
    let mut forecast = Forecast::new(machine, State::default());
    for new in wanted {
        forecast.create(new).ok()?;
    }
    let state = forecast.state().ok()?;
    config::text(&state).ok()
}

#[test]
fn files_of_partitions() {
    let users = "([a-z]{1,8}:x:[0-9]{1,12}:0:::\n){0,3}";
    fuzz(
        "files_of_partitions",
        (damaged(text()), damaged(users)),
        |(text, users)| {
            let text = String::from_utf8_lossy(&text);
            match config::parse(&text, NR_CPUS) {
                Ok(wanted) => {
                    if let Some(saved) = saved(&wanted) {
                        let again = config::parse(&saved, NR_CPUS);
                        prop_assert!(again.is_ok(), "{:?} of\n{}", again.err(), saved);
                        prop_assert_eq!(again.unwrap_or_default().len(), wanted.len());
                        // Saved once more it is the same to the letter.
                        let second = config::parse(&saved, NR_CPUS)
                            .ok()
                            .and_then(|wanted| saved_again(&wanted));
                        prop_assert_eq!(second, Some(saved));
                    }
                }
                Err(error) => {
                    let text = error.to_string();
                    prop_assert!(text.len() > 10, "{}", text);
                    // What TOML says shows the place in several lines; a text from the file must not speak to the terminal.
                    let is_plain = |c: char| c == '\n' || c == '\t' || !c.is_control();
                    prop_assert!(text.chars().all(is_plain), "{:?}", text);
                    if !matches!(error, config::ConfigError::Syntax(_)) {
                        check_line(&text)?;
                    }
                }
            }
            let users = Users::parse(&String::from_utf8_lossy(&users));
            prop_assert!(!users.name(u32::MAX).is_empty());
            Ok(())
        },
    );
}

fn saved_again(wanted: &[NewPartition]) -> Option<String> {
    saved(wanted)
}
