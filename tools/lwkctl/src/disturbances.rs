// SPDX-License-Identifier: GPL-2.0
//! `lwkctl noise`: what disturbed LWK CPUs, by whom, and how to stop it.
//!
//! [`follow`] reads the logs of the CPUs, [`summary`] sums them up, which is also the JSON, [`text`] draws it,
//! [`advice`] knows what helps against what.

pub mod advice;
pub mod follow;
pub mod summary;
pub mod text;

use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{bail, Context, Result};
use lwk::{CpusText, Device, State};
use lwk_logic::logic::cpuset::CpuSet;

use crate::cli::Noise;
use crate::disturbances::follow::Follower;
use crate::disturbances::summary::Summary;
use crate::table::Style;

/// Prints what the command line asks for; with `--watch` until somebody ends it.
///
/// # Errors
///
/// If there is no such partition or LWK CPU, the kernel refuses, or output fails.
pub fn run(path: &Path, asked: &Noise, style: Style, out: &mut impl Write) -> Result<()> {
    let device = Device::open(path)?;
    let cpus = choose(
        &device.state()?,
        device.info().nr_cpu_ids,
        asked.name.as_deref(),
        asked.cpus.as_ref(),
    )?;
    let mut follower = Follower::new(cpus);
    let mut since = asked.since.map(|span| follow::now().saturating_sub(span));
    let mut is_first = true;
    loop {
        let (mut records, lost) = follower.read(&device)?;
        if let Some(since) = since.take() {
            records.retain(|record| record.time_ns >= follow::nanoseconds(since));
        }
        let summary = Summary::new(cpus, &records, lost);
        let mut text = match (asked.json, asked.watch) {
            (true, Some(_)) => serde_json::to_string(&summary)? + "\n",
            (true, None) => serde_json::to_string_pretty(&summary)? + "\n",
            (false, _) => text::text(&summary, style),
        };
        if !asked.json && !is_first {
            text.insert(0, '\n');
        }
        is_first = false;
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // A reader that closed the pipe has what it wanted.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            done => done.context("cannot write to standard output")?,
        }
        let Some(pause) = asked.watch else {
            return Ok(());
        };
        std::thread::sleep(pause);
    }
}

/// The LWK CPUs that were asked for.
///
/// # Errors
///
/// If there is no such partition, or a CPU asked for is not one of its LWK CPUs.
pub fn choose(
    state: &State,
    nr_cpus: u32,
    name: Option<&str>,
    list: Option<&lwk::CpuList>,
) -> Result<CpuSet> {
    let (all, whose) = match name {
        Some(name) => {
            let partition = state.find(name)?;
            (partition.cpus, format!("partition {}", partition.name))
        }
        None => {
            let mut all = CpuSet::EMPTY;
            for partition in &state.partitions {
                all = all.union(&partition.cpus);
            }
            (all, "any partition".to_owned())
        }
    };
    let Some(list) = list else { return Ok(all) };
    let cpus = list
        .resolve(nr_cpus)
        .with_context(|| format!("--cpus {list}"))?;
    let outside: CpuSet = cpus.iter().filter(|cpu| !all.contains(*cpu)).collect();
    if !outside.is_empty() {
        bail!(
            "--cpus {list}: {} not of {whose}, and only LWK CPUs have a log; see lwkctl show",
            CpusText(&outside)
        );
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lwk::Partition;
    use lwk::Shares;
    use lwk_logic::logic::mempolicy::Policy;

    fn state() -> State {
        let partition = |id, name: &str, cpus: &str| Partition {
            id,
            name: name.to_owned(),
            boot: false,
            cpus: cpus.parse().expect("a list of the test"),
            service: CpuSet::EMPTY,
            memory: Shares::default(),
            policy: Policy::DEFAULT,
            calls: lwk::CallPolicy::DEFAULT,
        };
        State {
            partitions: vec![partition(1, "one", "2-3"), partition(2, "two", "5")],
            jobs: Vec::new(),
        }
    }

    fn chosen(name: Option<&str>, list: Option<&str>) -> Result<String, String> {
        let list = list.map(|list| list.parse().expect("a list of the test"));
        choose(&state(), 8, name, list.as_ref())
            .map(|cpus| cpus.to_string())
            .map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn only_lwk_cpus_are_chosen() {
        assert_eq!(chosen(None, None).as_deref(), Ok("2-3,5"));
        assert_eq!(chosen(Some("two"), None).as_deref(), Ok("5"));
        assert_eq!(chosen(Some("1"), Some("3")).as_deref(), Ok("3"));
        let error = chosen(Some("two"), Some("3,5")).expect_err("not of it");
        assert!(error.contains("CPU 3 not of partition two"), "{error}");
        assert!(chosen(None, Some("0")).is_err());
        assert!(chosen(None, Some("9")).is_err());
        assert!(chosen(Some("three"), None).is_err());
    }
}
