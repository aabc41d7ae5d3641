// SPDX-License-Identifier: GPL-2.0
//! Copies of other machines' files, some of them damaged.

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use lwk::{auto, Topology};
use lwk_logic::logic::cpuset::CpuSet;
use lwkctl::doctor::{Diagnosis, Facts};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::check_line;
use crate::driver::{damaged, fuzz};
use crate::lists::list;

/// A machine with two nodes, as the tests of lwkctl have it.
fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/lwkctl/tests/machines/two-nodes")
}

/// All files below a folder with what is in them.
fn files(folder: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, found);
        } else {
            let contents = fs::read(&path).expect("a file");
            found.push((path, contents));
        }
    }
}

/// Puts a file somewhere below `root`.
fn put(root: &Path, path: &Path, contents: &[u8]) {
    let path = root.join(path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).expect("a folder");
    }
    fs::write(path, contents).expect("a file");
}

/// What becomes of a file.
#[derive(Debug, Clone)]
enum Fate {
    /// Other contents.
    Says(Vec<u8>),
    /// It is gone.
    Gone,
    /// There is a folder in its place.
    Folder,
}

fn fate() -> impl Strategy<Value = Fate> {
    let text = prop_oneof![
        3 => list(),
        2 => "[0-9]{1,20}",
        1 => "lwkcpus=[0-9,.:-]{0,20} nohz_full=[a-z0-9,-]{0,12} isolcpus=[a-z0-9,_-]{0,12}",
        1 => "[ -~\n]{0,60}",
        1 => Just("(null)".to_owned()),
    ];
    prop_oneof![8 => damaged(text).prop_map(Fate::Says), 1 => Just(Fate::Gone), 1 => Just(Fate::Folder)]
}

#[test]
fn machines() {
    let example = example();
    let mut all = Vec::new();
    files(&example, &mut all);
    let all: Vec<(PathBuf, Vec<u8>)> = all
        .into_iter()
        .map(|(path, contents)| {
            (
                path.strip_prefix(&example).expect("below it").to_owned(),
                contents,
            )
        })
        .collect();
    let root = tempfile::tempdir().expect("a folder");
    let root = root.path();
    all.iter()
        .for_each(|(path, contents)| put(root, path, contents));
    fuzz("machines", vec((any::<Index>(), fate()), 1..5), |changes| {
        let changed: Vec<_> = changes
            .iter()
            .map(|(index, fate)| (index.get(&all), fate))
            .collect();
        for ((path, _), fate) in &changed {
            let full = root.join(path);
            let _ = fs::remove_file(&full);
            match fate {
                Fate::Says(contents) => {
                    let _ = fs::remove_dir(&full);
                    put(root, path, contents);
                }
                Fate::Gone => {}
                Fate::Folder => drop(fs::create_dir(&full)),
            }
        }
        let checked = check(root);
        for ((path, contents), _) in &changed {
            let _ = fs::remove_dir(root.join(path));
            put(root, path, contents);
        }
        checked
    });
}

/// Does with a machine what the tools do.
fn check(root: &Path) -> Result<(), TestCaseError> {
    match Topology::read(root) {
        Ok(topology) => {
            let threads = topology
                .cores
                .iter()
                .fold(CpuSet::EMPTY, |all, core| all.union(&core.threads));
            prop_assert_eq!(threads, topology.online);
            for share in [
                auto::Share::All,
                auto::Share::Count(NonZeroU32::MIN),
                auto::Share::Percent(50),
            ] {
                match auto::propose(&topology, &CpuSet::EMPTY, None, share) {
                    Ok(proposal) => prop_assert!(proposal.cpus.is_subset(&topology.online)),
                    Err(error) => check_line(&error.to_string())?,
                }
            }
        }
        Err(error) => check_line(&error.to_string())?,
    }
    match Facts::read(root, None) {
        Ok(facts) => {
            let text = Diagnosis::new(&facts).text();
            // What files say must not speak to the terminal.
            prop_assert!(
                text.chars().all(|c| c == '\n' || !c.is_control()),
                "{:?}",
                text
            );
        }
        Err(error) => check_line(&format!("{error:#}"))?,
    }
    Ok(())
}
