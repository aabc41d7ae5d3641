// SPDX-License-Identifier: GPL-2.0
//! How memory backs the jobs of a partition and where their system calls are carried out, as text and as JSON.

use anyhow::Result;
use lwk::{Amount, CallPolicy, Control, Device, Target};
use lwk_logic::logic::mempolicy::{Policy, Region, WhenFull, WhenUnneeded};
use serde::Serialize;

use crate::cli::PartitionPolicy;
use crate::report::SCHEMA;
use crate::syscalls::CallsReport;
use crate::table::{Align::Left, Align::Right, Style, Table};

/// The policy of a partition; amounts in bytes.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyReport {
    /// Version of the JSON.
    pub schema: u32,
    /// The partition as it was asked for.
    pub partition: String,
    /// Whether a mapping fails that the reserved memory does not suffice for.
    pub strict: bool,
    /// Whether `MADV_DONTNEED` does nothing.
    pub keep_unneeded: bool,
    /// How much the heap takes at once.
    pub heap_step: u64,
    /// The regions of an address space.
    pub regions: Vec<RegionReport>,
    /// Where system calls are carried out.
    pub syscalls: CallsReport,
    /// The same in words.
    #[serde(skip)]
    calls: CallPolicy,
}

/// A region; values as options of yod have them.
#[derive(Debug, Clone, Serialize)]
pub struct RegionReport {
    /// Its name.
    pub region: &'static str,
    /// The largest page.
    pub maxpage: &'static str,
    /// When memory is taken.
    pub pagefault: &'static str,
    /// Which nodes come first.
    pub mempolicy: &'static str,
    /// The nodes that this is about; all if it is empty.
    pub nodes: Vec<u16>,
    /// From which length on mappings are aligned.
    pub align_from: u64,
    /// And how.
    pub align: u64,
}

/// Sets what is to be set, and shows what is.
///
/// # Errors
///
/// If there is no such partition, or the kernel refuses.
pub fn answer(device: &mut Device, asked: &PartitionPolicy, style: Style) -> Result<String> {
    let id = device.partition_id(&asked.name)?;
    if asked.reset || !asked.policies.is_empty() {
        let base = if asked.reset {
            Policy::DEFAULT
        } else {
            device.policy(id)?
        };
        device.set_policy(id, &asked.policies.over(&base)?)?;
    }
    let target = Target::Partition(id);
    if asked.reset || !asked.calls.is_empty() {
        let base = if asked.reset {
            CallPolicy::DEFAULT
        } else {
            device.calls(target)?
        };
        device.set_calls(target, &asked.calls.over(&base)?)?;
    }
    let report = PolicyReport::new(&asked.name, &device.policy(id)?, &device.calls(target)?);
    if asked.json {
        return Ok(serde_json::to_string_pretty(&report)? + "\n");
    }
    Ok(report.text(style))
}

impl PolicyReport {
    /// Puts it together.
    pub fn new(partition: &str, policy: &Policy, calls: &CallPolicy) -> Self {
        let region = |region: &Region| {
            let of = policy.region(*region);
            RegionReport {
                region: region.name(),
                maxpage: of.max_page.name(),
                pagefault: of.populate.name(),
                mempolicy: of.placement.name(),
                nodes: of.nodes.iter().map(|node| node.get()).collect(),
                align_from: of.align_from,
                align: of.align,
            }
        };
        Self {
            schema: SCHEMA,
            partition: partition.to_owned(),
            strict: policy.when_full == WhenFull::Fail,
            keep_unneeded: policy.when_unneeded == WhenUnneeded::Keep,
            heap_step: policy.heap_step,
            regions: Region::ALL.iter().map(region).collect(),
            syscalls: CallsReport::new(calls),
            calls: *calls,
        }
    }

    /// It as a table, and a line each.
    pub fn text(&self, style: Style) -> String {
        let mut table = Table::new([
            ("REGION", Left),
            ("MAXPAGE", Right),
            ("PAGEFAULT", Left),
            ("MEMPOLICY", Left),
            ("ALIGNED", Right),
        ]);
        for region in &self.regions {
            let nodes: Vec<_> = region.nodes.iter().map(u16::to_string).collect();
            let colon = if nodes.is_empty() { "" } else { ":" };
            table.row([
                region.region.to_owned(),
                region.maxpage.to_owned(),
                region.pagefault.to_owned(),
                format!("{}{colon}{}", region.mempolicy, nodes.join(",")),
                format!("{}:{}", size(region.align_from), size(region.align)),
            ]);
        }
        let mut text = table.text(style);
        text += &format!("\nheap step {}", size(self.heap_step));
        text += if self.strict {
            ", strict: no memory of Linux where that of the job does not suffice"
        } else {
            ", memory of Linux where that of the job does not suffice"
        };
        if self.keep_unneeded {
            text += ", MADV_DONTNEED does nothing";
        }
        text + &format!("\n{}\n", self.calls)
    }
}

/// An amount as on command lines.
fn size(bytes: u64) -> String {
    Amount::Bytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        let mut policy = Policy::DEFAULT;
        let set = [
            policy.set_max_pages(b"heap:4k"),
            policy.set_placement(b"dbss:bind:0,2"),
            policy.set_alignment(b"16M:1G"),
        ];
        assert!(set.iter().all(Result::is_ok), "{set:?}");
        policy.when_unneeded = WhenUnneeded::Keep;
        policy
    }

    #[test]
    fn the_table_has_the_words_of_the_options() {
        assert_eq!(
            PolicyReport::new("rt", &policy(), &CallPolicy::DEFAULT).text(Style::Plain),
            "REGION        MAXPAGE  PAGEFAULT  MEMPOLICY  ALIGNED\n\
             dbss               2m  nofault    bind:0,2     2M:2M\n\
             heap               4k  nofault    normal       2M:2M\n\
             anon_private       2m  nofault    normal      16M:1G\n\
             tstack             2m  onefault   normal       2M:2M\n\
             stack              2m  onefault   normal       2M:2M\n\n\
             heap step 2M, memory of Linux where that of the job does not suffice, MADV_DONTNEED does nothing\n\
             syscalls as of a new partition; batch 50us, shared wait, idle CPUs halt\n"
        );
    }

    #[test]
    fn json_has_bytes() {
        let mut calls = CallPolicy::DEFAULT;
        calls.table.assign(b"local=all,move=read").expect("good");
        let report = PolicyReport::new("rt", &policy(), &calls);
        let json = serde_json::to_value(report).expect("JSON");
        assert_eq!(json["syscalls"]["move"], serde_json::json!(["read"]));
        assert_eq!(json["syscalls"]["changes"], "local=all,move=read");
        assert_eq!(json["syscalls"]["batch_ns"], 50_000);
        assert_eq!(json["heap_step"], 2 << 20);
        assert_eq!(json["regions"][0]["nodes"][1], 2);
        assert_eq!(json["keep_unneeded"], true);
        assert_eq!(json["strict"], false);
    }
}
