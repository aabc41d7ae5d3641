// SPDX-License-Identifier: GPL-2.0
//! The LWK's counters, as `lwkctl show --noise --json` prints them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{ensure, Context, Result};
use lwk_logic::logic::cpuset::{CpuId, CpuSet};
use serde::Deserialize;

use crate::record::{Counts, LwkCounts};

/// Version of that output.
const SCHEMA: u32 = 1;

/// One reading: the counters of each LWK CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Noise(BTreeMap<u32, Counters>);

/// The output, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Report {
    schema: u32,
    cpus: Vec<Cpu>,
}

/// One CPU of it; only those of the LWK have counters.
#[derive(Debug, Deserialize)]
struct Cpu {
    cpu: u32,
    noise: Option<Counters>,
}

/// Counters of one CPU.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Counters {
    entries: Counts,
    irqs: Counts,
    guests: Guests,
    switches: u64,
    faults: u64,
}

/// Kernel threads that ran in place of a job.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Guests {
    runs: u64,
}

impl Noise {
    /// Asks lwkctl.
    pub(crate) fn read(lwkctl: &Path) -> Result<Self> {
        let output = Command::new(lwkctl)
            .args(["show", "--noise", "--json"])
            .output();
        let output = output.with_context(|| format!("cannot start {}", lwkctl.display()))?;
        ensure!(
            output.status.success(),
            "lwkctl show: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Self::parse(std::str::from_utf8(&output.stdout)?).context("lwkctl show --noise --json")
    }

    /// Parses what it printed.
    fn parse(text: &str) -> Result<Self> {
        let report: Report = serde_json::from_str(text)?;
        ensure!(
            report.schema == SCHEMA,
            "schema {} where this program wants {SCHEMA}",
            report.schema
        );
        Ok(Self(
            report
                .cpus
                .into_iter()
                .filter_map(|cpu| Some((cpu.cpu, cpu.noise?)))
                .collect(),
        ))
    }

    /// Returns what was counted on these CPUs since `before`; causes without a count stay out.
    ///
    /// # Errors
    ///
    /// A CPU is not the LWK's, or a counter went backwards.
    pub(crate) fn since(&self, before: &Self, cpus: &CpuSet) -> Result<LwkCounts> {
        let mut counts = LwkCounts::default();
        for cpu in cpus {
            let (now, then) = (self.cpu(cpu)?, before.cpu(cpu)?);
            let added = |now: u64, then: u64| {
                now.checked_sub(then)
                    .with_context(|| format!("a counter of CPU {cpu} went from {then} to {now}"))
            };
            for (sum, now, then) in [
                (&mut counts.entries, &now.entries, &then.entries),
                (&mut counts.irqs, &now.irqs, &then.irqs),
            ] {
                for (cause, count) in now {
                    match added(*count, then.get(cause).copied().unwrap_or(0))? {
                        0 => {}
                        count => *sum.entry(cause.clone()).or_default() += count,
                    }
                }
            }
            counts.switches += added(now.switches, then.switches)?;
            counts.faults += added(now.faults, then.faults)?;
            counts.guest_runs += added(now.guests.runs, then.guests.runs)?;
        }
        Ok(counts)
    }

    /// Returns the counters of a CPU.
    fn cpu(&self, cpu: CpuId) -> Result<&Counters> {
        self.0
            .get(&cpu.get())
            .with_context(|| format!("CPU {cpu} is not one of the LWK's"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What lwkctl prints for one Linux and two LWK CPUs, with these counts for the first of those.
    fn output(syscalls: u64, timer: u64, runs: u64) -> Noise {
        let quiet = r#"{"entries": {"syscall": 5}, "irqs": {"LOC": 1}, "switches": 2, "faults": 3,
            "guests": {"runs": 0, "total_ns": 0, "last": null}}"#;
        let text = format!(
            r#"{{"schema": 1, "abi_version": 1, "armed": true, "partitions": [], "jobs": [], "cpus": [
            {{"cpu": 0, "node": 0, "online": true, "owner": "service", "nr_running": 0}},
            {{"cpu": 5, "owner": "lwk", "noise": {{"entries": {{"syscall": {syscalls}, "fault": 9}},
                "irqs": {{"LOC": {timer}, "CAL": 0}}, "switches": {syscalls}, "faults": 9,
                "guests": {{"runs": {runs}, "total_ns": 10, "last": "kworker/5:0"}}}}}},
            {{"cpu": 6, "owner": "lwk", "noise": {quiet}}}]}}"#
        );
        Noise::parse(&text).unwrap()
    }

    #[test]
    fn since_keeps_what_was_added() {
        let cpus = "5-6".parse().unwrap();
        let counts = output(110, 7, 2).since(&output(100, 7, 1), &cpus).unwrap();
        let want = LwkCounts {
            entries: [("syscall".to_owned(), 10)].into(),
            irqs: Counts::new(),
            switches: 10,
            faults: 0,
            guest_runs: 1,
        };
        assert_eq!(counts, want);
    }

    #[test]
    fn linux_cpus_and_shrinking_counters_are_errors() {
        let reading = output(100, 7, 1);
        assert!(reading
            .since(&reading, &"0".parse().unwrap())
            .unwrap_err()
            .to_string()
            .contains("CPU 0 is not"));
        assert!(reading
            .since(&output(100, 8, 1), &"5".parse().unwrap())
            .is_err());
    }

    #[test]
    fn other_schema_is_refused() {
        let error = Noise::parse(r#"{"schema": 2, "cpus": []}"#).unwrap_err();
        assert_eq!(error.to_string(), "schema 2 where this program wants 1");
        assert!(Noise::parse("lwkctl: no device").is_err());
    }
}
