// SPDX-License-Identifier: GPL-2.0
//! Partitions, jobs and CPUs as text.

use lwk_logic::logic::cpuset::CpuSet;

use crate::report::Report;
use crate::table::{Align::Left, Align::Right, Style, Table};

/// The three tables; one that would be empty is a sentence.
pub fn text(report: &Report, style: Style) -> String {
    format!(
        "{}\n{}\n{}",
        partitions(report, style),
        jobs(report, style),
        cpus(report, style)
    )
}

fn partitions(report: &Report, style: Style) -> String {
    if report.partitions.is_empty() {
        return if report.armed {
            "No partitions. Make one with lwkctl create, for example: lwkctl create --auto\n"
        } else {
            "No partitions, and none can be made: boot with lwkcpus= on the boot line.\n"
        }
        .to_owned();
    }
    let mut table = Table::new([
        ("PARTITION", Right),
        ("NAME", Left),
        ("ORIGIN", Left),
        ("LWK CPUS", Left),
        ("SERVICE CPUS", Left),
        ("FREE", Left),
    ]);
    for partition in &report.partitions {
        table.row([
            partition.id.to_string(),
            partition.name.clone(),
            if partition.boot { "boot" } else { "lwkctl" }.to_owned(),
            list(&partition.cpus),
            list(&partition.service_cpus),
            list(&partition.free_cpus),
        ]);
    }
    table.text(style)
}

fn jobs(report: &Report, style: Style) -> String {
    if report.jobs.is_empty() {
        return "No jobs.\n".to_owned();
    }
    let mut table = Table::new([
        ("JOB", Right),
        ("PARTITION", Left),
        ("PID", Right),
        ("USER", Left),
        ("COMMAND", Left),
        ("TASKS", Right),
        ("CPUS", Left),
    ]);
    for job in &report.jobs {
        table.row([
            job.id.to_string(),
            report.partition_name(job.partition),
            number(job.pid),
            job.user.clone(),
            printable(&job.comm),
            job.nr_tasks.to_string(),
            list(&job.cpus),
        ]);
    }
    table.text(style)
}

fn cpus(report: &Report, style: Style) -> String {
    let mut table = Table::new([
        ("CPU", Right),
        ("NODE", Right),
        ("STATE", Left),
        ("OWNER", Left),
        ("PARTITION", Left),
        ("JOB", Right),
        ("RUNNING", Right),
    ]);
    for cpu in &report.cpus {
        table.row([
            cpu.cpu.to_string(),
            cpu.node.to_string(),
            if cpu.online { "online" } else { "offline" }.to_owned(),
            cpu.owner.name().to_owned(),
            cpu.partition
                .map(|id| report.partition_name(id))
                .unwrap_or_default(),
            number(cpu.job),
            cpu.partition
                .map(|_| cpu.nr_running.to_string())
                .unwrap_or_default(),
        ]);
    }
    table.text(style)
}

/// A set as a list, empty for the empty set.
fn list(set: &CpuSet) -> String {
    if set.is_empty() {
        return String::new();
    }
    set.to_string()
}

/// A number that may be missing.
fn number(value: Option<u32>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// A name that a user chose, safe for terminals and columns.
pub(crate) fn printable(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_control() || c.is_whitespace() {
                '?'
            } else {
                c
            }
        })
        .collect()
}
