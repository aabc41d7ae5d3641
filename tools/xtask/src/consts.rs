// SPDX-License-Identifier: GPL-2.0
//! The constants of the ABI: values from the compiled module, documentation from its source text.

use anyhow::{ensure, Context, Result};
use lwk_logic::uapi;

/// The source that the ABI module is compiled from.
pub(crate) const SOURCE: &str = include_str!("../../../rust/lwk/uapi/lwk_uapi.rs");

/// Tables and codes that have a section of their own and are no constants for C.
const TABLES: &[&str] = &["STRUCTS", "OPS"];

/// A constant.
pub(crate) struct Const {
    /// Its name in Rust.
    pub(crate) name: &'static str,
    /// Its value as C spells it.
    pub(crate) value: String,
    /// Its documentation, Rust's markup included.
    pub(crate) doc: String,
}

macro_rules! values {
    ($($name:ident as $format:literal,)*) => {
        &[$((stringify!($name), || format!($format, uapi::$name))),*]
    };
}

/// A name and how to print its value.
type Value = (&'static str, fn() -> String);

/// Every constant, in the order of the source.
const VALUES: &[Value] = values! {
    ABI_VERSION as "{}",
    DEVICE_PATH as "\"{}\"",
    IOC_MAGIC as "{:#x}",
    MAX_CPUS as "{}",
    MAX_PARTITIONS as "{}",
    NAME_LEN as "{}",
    COMM_LEN as "{}",
    ENTRY_SLOTS as "{}",
    IRQ_SLOTS as "{}",
    SYMBOL_LEN as "{}",
    IRQ_NAME_LEN as "{}",
    NOISE_RECORDS as "{}",
    NOISE_UNKNOWN as "{:#x}",
    NOISE_LATE as "{:#x}",
    NOISE_SIGNAL as "{:#x}",
    NOISE_RESCHED as "{:#x}",
    NOISE_TASK_WORK as "{:#x}",
    NOISE_WAITED as "{:#x}",
    PARTITION_BOOT as "{:#x}",
    MAX_MEM_NODES as "{}",
    MEM_ANY_NODE as "{:#x}",
    MEM_ALL as "{:#x}",
    MEM_NONE as "{:#x}",
    POLICY_SET as "{:#x}",
    MEM_STRICT as "{:#x}",
    MEM_KEEP_UNNEEDED as "{:#x}",
    NR_MEM_REGIONS as "{}",
    MEM_AT_TOUCH as "{:#x}",
    MEM_NEAR as "{}",
    MEM_INTERLEAVE as "{}",
    MEM_BIND as "{}",
    MEM_PREFERRED as "{}",
    MEM_BLOCK_BYTES as "{}",
    MEM_SURVEY as "{:#x}",
    MEM_CHECK as "{:#x}",
    MAX_CALLS as "{}",
    CALL_FAULT as "{}",
    CALLS_SET as "{:#x}",
    CALLS_EXCLUSIVE as "{:#x}",
    CALLS_TIMED as "{:#x}",
    CALLS_POLL as "{:#x}",
    MAX_BATCH_NS as "{}",
    CPU_SERVICE as "{:#x}",
    CPU_ONLINE as "{:#x}",
    CPU_UNTOLD as "{:#x}",
};

/// All constants; fails if the source has one that is not listed here.
pub(crate) fn all() -> Result<Vec<Const>> {
    for name in declared() {
        let is_known = TABLES.contains(&name) || VALUES.iter().any(|(known, _)| *known == name);
        ensure!(
            is_known,
            "lwk_uapi.rs has the constant {name}; add it to VALUES in xtask/src/consts.rs"
        );
    }
    VALUES
        .iter()
        .map(|(name, value)| {
            Ok(Const {
                name,
                value: value(),
                doc: doc(name)?,
            })
        })
        .collect()
}

/// The constants that the source declares outside its macros, where they stand at the start of a line.
fn declared() -> impl Iterator<Item = &'static str> {
    SOURCE
        .lines()
        .filter_map(|line| line.strip_prefix("pub const "))
        .filter_map(|rest| Some(rest.split_once(':')?.0))
}

/// The documentation above a constant.
fn doc(name: &str) -> Result<String> {
    let head = format!("pub const {name}:");
    let lines: Vec<&str> = SOURCE.lines().collect();
    let at = lines
        .iter()
        .position(|line| line.starts_with(&head))
        .with_context(|| format!("no {name} in the ABI"))?;
    let mut doc: Vec<&str> = lines
        .iter()
        .take(at)
        .rev()
        .map_while(|line| line.strip_prefix("///"))
        .map(str::trim)
        .collect();
    doc.reverse();
    Ok(doc.join(" "))
}
