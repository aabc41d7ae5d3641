// SPDX-License-Identifier: GPL-2.0
//! `/proc/interrupts`, and what was added to it on some CPUs between two readings.

use std::collections::BTreeMap;

use anyhow::{bail, ensure, Context, Result};
use lwk_logic::logic::cpuset::{CpuId, CpuSet};

use crate::record::Counts;

/// Rows that count no entry of their own: TLB shootdowns are function calls too and are counted there, machine-check
/// polls run from a timer, and the retries are read errors of the APIC.
const NOT_ENTRIES: [&str; 3] = ["TLB", "MCP", "RTR"];

/// One reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interrupts {
    /// The columns, which are the CPUs on line.
    cpus: Vec<CpuId>,
    /// Counts of each row, one for each column.
    rows: BTreeMap<String, Vec<u64>>,
}

impl Interrupts {
    /// Reads `/proc/interrupts`.
    pub(crate) fn read() -> Result<Self> {
        const PATH: &str = "/proc/interrupts";
        let text = std::fs::read_to_string(PATH).context(PATH)?;
        Self::parse(&text).context(PATH)
    }

    /// Parses its text.
    ///
    /// # Errors
    ///
    /// The header is missing, a row has no name, or has some but not all of its counts.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines();
        let header = lines.next().unwrap_or_default();
        let cpus = header
            .split_whitespace()
            .map(column)
            .collect::<Result<Vec<_>>>()?;
        ensure!(!cpus.is_empty(), "the header names no CPU");
        let mut rows = BTreeMap::new();
        for line in lines.filter(|line| !line.trim().is_empty()) {
            let (name, rest) = line
                .split_once(':')
                .with_context(|| format!("row {line:?} has no name"))?;
            let words: Vec<&str> = rest.split_whitespace().collect();
            let counts: Vec<u64> = words
                .iter()
                .take(cpus.len())
                .map_while(|word| word.parse().ok())
                .collect();
            // ERR and MIS have one count for the whole machine.
            if counts.len() == 1 && words.len() == 1 && cpus.len() > 1 {
                continue;
            }
            ensure!(
                counts.len() == cpus.len(),
                "row {line:?} has not {} counts",
                cpus.len()
            );
            rows.insert(cause(name.trim(), &words[counts.len()..]), counts);
        }
        Ok(Self { cpus, rows })
    }

    /// Returns what came on these CPUs since `before`, by cause and without zeros.
    ///
    /// # Errors
    ///
    /// One of the CPUs is off line, or a count went backwards, which it does if a CPU was off line in between.
    pub(crate) fn since(&self, before: &Self, cpus: &CpuSet) -> Result<Counts> {
        let mut counts = Counts::new();
        for (cause, row) in self
            .rows
            .iter()
            .filter(|(cause, _)| !NOT_ENTRIES.contains(&cause.as_str()))
        {
            let mut sum = 0;
            for cpu in cpus {
                let now = self.count(row, cpu)?;
                let then = before
                    .rows
                    .get(cause)
                    .map_or(Ok(0), |row| before.count(row, cpu))?;
                match now.checked_sub(then) {
                    Some(added) => sum += added,
                    None => bail!("{cause} of CPU {cpu} went from {then} to {now}"),
                }
            }
            if sum > 0 {
                counts.insert(cause.clone(), sum);
            }
        }
        Ok(counts)
    }

    /// Returns the count of a row for one CPU.
    fn count(&self, row: &[u64], cpu: CpuId) -> Result<u64> {
        let index = self.cpus.iter().position(|column| *column == cpu);
        index
            .and_then(|index| row.get(index))
            .copied()
            .with_context(|| format!("CPU {cpu} is off line"))
    }
}

/// Reads a word of the header such as `CPU3`.
fn column(word: &str) -> Result<CpuId> {
    let number = word
        .strip_prefix("CPU")
        .and_then(|number| number.parse().ok());
    number
        .and_then(CpuId::new)
        .with_context(|| format!("{word:?} in the header is no CPU"))
}

/// Names a row: architectural ones by their three letters, devices by number and driver.
fn cause(name: &str, description: &[&str]) -> String {
    if name.parse::<u32>().is_err() {
        return name.to_owned();
    }
    // `IO-APIC 4-edge ttyS0`: controller, line and trigger, then the drivers, if any.
    match description.get(2..) {
        Some(drivers) if !drivers.is_empty() => format!("irq {name} {}", drivers.join(" ")),
        _ => format!("irq {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Captured on an emulated machine with four CPUs, shortened; CPU 2 was off line.
    const BEFORE: &str = "            CPU0       CPU1       CPU3       
   4:        297          0          0   IO-APIC    4-edge      ttyS0
  24:          0          0         12   PCI-MSIX-0000:00:02.0   0-edge      virtio0-config, virtio1
  25:          0          0          0   PCI-MSIX-0000:00:02.0   1-edge    
 NMI:          0          0          0   Non-maskable interrupts
 LOC:       4000       3000       2000   Local timer interrupts
 CAL:        800        700        600   Function call interrupts
 TLB:         80         70         60   TLB shootdowns
 ERR:          0
 MIS:          0
 PIN:          0          0          0   Posted-interrupt notification event
";

    fn set(list: &str) -> CpuSet {
        list.parse().unwrap()
    }

    #[test]
    fn since_sums_the_chosen_cpus_by_cause() {
        let after = BEFORE
            .replace("4000       3000       2000", "4100       3010       2001")
            .replace("800        700        600 ", "800        705        607 ")
            .replace(" 80         70         60 ", " 80         75         67 ")
            .replace(" 12   PCI", " 15   PCI");
        let (before, after) = (
            Interrupts::parse(BEFORE).unwrap(),
            Interrupts::parse(&after).unwrap(),
        );
        let counts = after.since(&before, &set("1,3")).unwrap();
        let want = [
            ("CAL", 12),
            ("LOC", 11),
            ("irq 24 virtio0-config, virtio1", 3),
        ];
        assert_eq!(
            counts,
            want.map(|(cause, count)| (cause.to_owned(), count)).into()
        );
        assert_eq!(
            after.since(&before, &set("0")).unwrap(),
            [("LOC".to_owned(), 100)].into()
        );
    }

    #[test]
    fn off_line_cpu_and_shrinking_count_are_errors() {
        let before = Interrupts::parse(BEFORE).unwrap();
        let error = before.since(&before, &set("1-2")).unwrap_err();
        assert_eq!(error.to_string(), "CPU 2 is off line");
        let after = Interrupts::parse(&BEFORE.replace("3000", "2999")).unwrap();
        let error = after.since(&before, &set("1")).unwrap_err();
        assert_eq!(error.to_string(), "LOC of CPU 1 went from 3000 to 2999");
    }

    #[test]
    fn row_that_appears_later_counts_from_zero() {
        let without: String = BEFORE
            .lines()
            .filter(|line| !line.contains("24:"))
            .map(|line| format!("{line}\n"))
            .collect();
        let (before, after) = (
            Interrupts::parse(&without).unwrap(),
            Interrupts::parse(BEFORE).unwrap(),
        );
        assert_eq!(
            after
                .since(&before, &set("3"))
                .unwrap()
                .values()
                .sum::<u64>(),
            12
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "CPU0 CPUx\n",
            "CPU0 CPU1\nLOC 1 2\n",
            "CPU0 CPU1\nLOC: 1 x\n",
            "CPU0 CPU1\nLOC: 1 Local\n",
        ] {
            assert!(Interrupts::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn machine_with_one_cpu_keeps_its_rows() {
        let one = Interrupts::parse("CPU0\nLOC: 7 Local timer interrupts\nERR: 0\n").unwrap();
        assert_eq!(one.rows.len(), 2);
    }
}
