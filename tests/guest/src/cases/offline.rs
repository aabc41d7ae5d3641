// SPDX-License-Identifier: GPL-2.0
//! Memory of jobs that Linux takes out of service before it goes bad.

use std::time::Duration;

use anyhow::{ensure, Context, Result};
use lwk_logic::uapi::MEM_BLOCK_BYTES;

use super::pages::{good, value};
use super::partition::done;
use crate::job;
use crate::memory::{create, of_node, pools};
use crate::partition::delete_all;

const M: u64 = 1 << 20;

/// A page of hugetlbfs of a job is soft off-lined.
pub(super) fn soft() -> Result<()> {
    let wish = [of_node(0, 64 * M), of_node(1, 64 * M)];
    let id = done(create("soft", &[2, 3], &wish)?.0?)?;
    let sum = |of: fn(&lwk_logic::uapi::MemGet) -> u64| -> Result<u64> {
        Ok(pools(id)?.iter().map(of).sum())
    };
    let limit = Duration::from_secs(10);
    // Another case may have left bad blocks, which stay for ever.
    job::eventually(limit, "all that was promised", || {
        Ok(sum(|pool| pool.unreserved)? == 128 * M)
    })?;
    let retired = sum(|pool| pool.retired)?;
    let total = sum(|pool| pool.total)?;
    let got = good(&["-M", "64M"], &["soft-offline"])?;
    ensure!(value(&got, "used")? >= 2 * M, "{got:?}");
    job::eventually(limit, "the block to retire", || {
        Ok(sum(|pool| pool.retired)? == retired + MEM_BLOCK_BYTES)
    })
    .with_context(|| format!("{:?}", pools(id)))?;
    // All others go round, again and again.
    for _ in 0..3 {
        let got = good(&["-M", "all"], &["map", "120"])?;
        ensure!(value(&got, "spilled")? == 0, "{got:?}");
    }
    job::eventually(limit, "all others to be free", || {
        Ok(sum(|pool| pool.free)? == total - retired - MEM_BLOCK_BYTES)
    })
    .with_context(|| format!("{:?}", pools(id)))?;
    delete_all()
}
