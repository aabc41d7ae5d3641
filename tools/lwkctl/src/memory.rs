// SPDX-License-Identifier: GPL-2.0
//! The memory of partitions as text and as JSON.

use lwk::{Amount, Device, Error, Job, Pool, Survey};
use serde::Serialize;

use crate::report::SCHEMA;
use crate::show::printable;
use crate::table::{Align::Left, Align::Right, Style, Table};

/// All pools, and what partitions have of them; amounts in bytes.
#[derive(Debug, Clone, Serialize)]
pub struct MemoryReport {
    /// Version of the JSON.
    pub schema: u32,
    /// The nodes that can have memory for partitions.
    pub nodes: Vec<NodeReport>,
    /// What partitions have.
    pub shares: Vec<ShareReport>,
    /// What jobs have.
    pub jobs: Vec<JobReport>,
}

/// A node.
#[derive(Debug, Clone, Serialize)]
pub struct NodeReport {
    /// Its number.
    pub node: u32,
    /// What its pool has.
    pub total: u64,
    /// What nobody uses.
    pub free: u64,
    /// What of that holds zeroes.
    pub zeroed: u64,
    /// Whole free pieces of 1 GiB.
    pub free_giant: u64,
    /// How many pieces the free memory is in.
    pub free_pieces: u64,
    /// The largest of them.
    pub longest: u64,
    /// How much of the free memory is outside the largest piece, in thousandths.
    pub fragmentation: u64,
    /// In use in pages of 1 GiB.
    pub giant: u64,
    /// In use in pages of 2 MiB.
    pub large: u64,
    /// In use in pages of 4 KiB.
    pub small: u64,
    /// Blocks of 2 MiB that are in use in pages of 4 KiB.
    pub broken: u64,
    /// Out of service.
    pub retired: u64,
    /// Memory of no partition that somebody still uses.
    pub leaving: u64,
    /// What Linux could give at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux_free: Option<u64>,
    /// With what has to be moved first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux_movable: Option<u64>,
    /// The largest piece of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux_longest: Option<u64>,
    /// How much Linux can do without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux_spare: Option<u64>,
}

/// What a partition has of a node.
#[derive(Debug, Clone, Serialize)]
pub struct ShareReport {
    /// The partition's name.
    pub partition: String,
    /// The node.
    pub node: u32,
    /// How much.
    pub bytes: u64,
    /// What of that no job was promised.
    pub unreserved: u64,
}

/// What a job has.
#[derive(Debug, Clone, Serialize)]
pub struct JobReport {
    /// Its number.
    pub job: u32,
    /// The partition's name.
    pub partition: String,
    /// Command name of its first process.
    pub comm: String,
    /// What it was promised.
    pub promised: u64,
    /// What of that it uses, in whole blocks of 2 MiB.
    pub used: u64,
    /// What came from Linux instead since it began.
    pub spilled: u64,
}

impl NodeReport {
    fn new(pool: &Pool) -> Self {
        let linux = pool.claimable;
        let outside = pool.free.saturating_sub(pool.longest);
        Self {
            node: pool.node,
            total: pool.total,
            free: pool.free,
            zeroed: pool.zeroed,
            free_giant: pool.free_giant,
            free_pieces: pool.free_pieces,
            longest: pool.longest,
            fragmentation: (outside >> 12)
                .saturating_mul(1000)
                .checked_div(pool.free >> 12)
                .unwrap_or(0),
            giant: pool.giant,
            large: pool.large,
            small: pool.small,
            broken: pool.broken,
            retired: pool.retired,
            leaving: pool.leaving,
            linux_free: linux.map(|linux| linux.free),
            linux_movable: linux.map(|linux| linux.movable),
            linux_longest: linux.map(|linux| linux.longest),
            linux_spare: linux.map(|linux| linux.spare),
        }
    }
}

impl MemoryReport {
    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// If it refuses.
    pub fn read(device: &Device, survey: Survey) -> Result<Self, Error> {
        let pools = device.memory(None, survey)?;
        let state = device.state()?;
        let name = |id: u32| {
            let partition = state.partitions.iter().find(|partition| partition.id == id);
            partition.map_or_else(|| id.to_string(), |partition| partition.name.clone())
        };
        let job = |job: &Job| JobReport {
            job: job.id,
            partition: name(job.partition),
            comm: job.comm.clone(),
            promised: job.memory.promised,
            used: job.memory.used,
            spilled: job.memory.spilled,
        };
        let mut shares = Vec::new();
        for partition in &state.partitions {
            let of_it = device.memory(Some(partition.id), Survey::No)?;
            let share = |pool: &Pool| ShareReport {
                partition: partition.name.clone(),
                node: pool.node,
                bytes: pool.share,
                unreserved: pool.unreserved,
            };
            shares.extend(of_it.iter().filter(|pool| pool.share > 0).map(share));
        }
        let jobs = state.jobs.iter().map(job).collect();
        Ok(Self::new(&pools, shares, jobs))
    }

    /// Puts it together.
    pub fn new(pools: &[Pool], shares: Vec<ShareReport>, jobs: Vec<JobReport>) -> Self {
        Self {
            schema: SCHEMA,
            nodes: pools.iter().map(NodeReport::new).collect(),
            shares,
            jobs,
        }
    }

    /// It as tables.
    pub fn text(&self, style: Style) -> String {
        let mut text = if self.nodes.iter().all(|node| node.total == 0) {
            "No memory of partitions. Give some with lwkctl create --mem or lwkctl resize --mem.\n"
                .to_owned()
        } else {
            self.pools(style) + "\n" + &self.partitions(style)
        };
        if !self.jobs.is_empty() {
            text += "\n";
            text += &self.jobs(style);
        }
        if self.nodes.iter().any(|node| node.linux_free.is_some()) {
            text += "\n";
            text += &self.linux(style);
        }
        text
    }

    fn pools(&self, style: Style) -> String {
        let names = [
            "NODE", "TOTAL", "FREE", "ZEROED", "PIECES", "LARGEST", "IN 1G", "IN 2M", "IN 4K",
            "RETIRED", "LEAVING",
        ];
        let mut table = Table::new(names.map(|name| (name, Right)));
        for node in self.nodes.iter().filter(|node| node.total > 0) {
            table.row([
                node.node.to_string(),
                size(node.total),
                size(node.free),
                size(node.zeroed),
                node.free_pieces.to_string(),
                size(node.longest),
                size(node.giant),
                size(node.large),
                size(node.small),
                size(node.retired),
                size(node.leaving),
            ]);
        }
        table.text(style)
    }

    fn partitions(&self, style: Style) -> String {
        let mut table = Table::new([
            ("PARTITION", Left),
            ("NODE", Right),
            ("MEMORY", Right),
            ("UNRESERVED", Right),
        ]);
        for share in &self.shares {
            table.row([
                share.partition.clone(),
                share.node.to_string(),
                size(share.bytes),
                size(share.unreserved),
            ]);
        }
        table.text(style)
    }

    fn jobs(&self, style: Style) -> String {
        let mut table = Table::new([
            ("JOB", Right),
            ("PARTITION", Left),
            ("COMMAND", Left),
            ("PROMISED", Right),
            ("USED", Right),
            ("FROM LINUX", Right),
        ]);
        for job in &self.jobs {
            table.row([
                job.job.to_string(),
                job.partition.clone(),
                printable(&job.comm),
                size(job.promised),
                size(job.used),
                size(job.spilled),
            ]);
        }
        table.text(style)
    }

    fn linux(&self, style: Style) -> String {
        let names = ["NODE", "LINUX CAN GIVE", "AT ONCE", "BY MOVING", "LARGEST"];
        let mut table = Table::new(names.map(|name| (name, Right)));
        for node in &self.nodes {
            let free = node.linux_free.unwrap_or(0);
            let movable = node.linux_movable.unwrap_or(0);
            table.row([
                node.node.to_string(),
                size(node.linux_spare.unwrap_or(0).min(movable)),
                size(free),
                size(movable.saturating_sub(free)),
                size(node.linux_longest.unwrap_or(0)),
            ]);
        }
        table.text(style)
    }
}

/// An amount as on command lines.
fn size(bytes: u64) -> String {
    Amount::Bytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lwk::Claimable;

    const M: u64 = 1 << 20;

    fn report() -> MemoryReport {
        let claimable = Some(Claimable {
            free: 500 * M,
            movable: 700 * M,
            longest: 256 * M,
            spare: 600 * M,
        });
        let pool = Pool {
            node: 1,
            total: 1024 * M,
            free: 400 * M,
            free_pieces: 2,
            longest: 300 * M,
            large: 620 * M,
            small: M,
            broken: 4 * M,
            claimable,
            ..Pool::default()
        };
        let share = ShareReport {
            partition: "rt".to_owned(),
            node: 1,
            bytes: 1024 * M,
            unreserved: 24 * M,
        };
        let job = JobReport {
            job: 7,
            partition: "rt".to_owned(),
            comm: "solver".to_owned(),
            promised: 1000 * M,
            used: 624 * M,
            spilled: 0,
        };
        MemoryReport::new(&[pool], vec![share], vec![job])
    }

    #[test]
    fn tables_show_pools_shares_jobs_and_what_linux_has() {
        assert_eq!(
            report().text(Style::Plain),
            "NODE  TOTAL  FREE  ZEROED  PIECES  LARGEST  IN 1G  IN 2M  IN 4K  RETIRED  LEAVING\n   \
             1     1G  400M       0       2     300M      0   620M     1M        0        0\n\n\
             PARTITION  NODE  MEMORY  UNRESERVED\n\
             rt            1      1G         24M\n\n\
             JOB  PARTITION  COMMAND  PROMISED  USED  FROM LINUX\n  \
             7  rt         solver      1000M  624M           0\n\n\
             NODE  LINUX CAN GIVE  AT ONCE  BY MOVING  LARGEST\n   \
             1            600M     500M       200M     256M\n"
        );
    }

    #[test]
    fn json_has_bytes_and_fragmentation_in_thousandths() {
        let json = serde_json::to_value(report()).expect("JSON");
        assert_eq!(json["nodes"][0]["fragmentation"], 250);
        assert_eq!(json["nodes"][0]["linux_spare"], 600 * M);
        assert_eq!(json["shares"][0]["partition"], "rt");
        assert_eq!(json["jobs"][0]["used"], 624 * M);
        let none = MemoryReport::new(&[Pool::default()], Vec::new(), Vec::new());
        assert!(none
            .text(Style::Plain)
            .starts_with("No memory of partitions."));
    }
}
