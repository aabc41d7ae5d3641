// SPDX-License-Identifier: GPL-2.0
//! Memory that others share, pages of hugetlbfs, and stacks of first threads, on a machine that booted with
//! `lwkmem=1536M`, of which 1 GiB is in one piece.

use std::fs;
use std::time::Duration;

use anyhow::{ensure, Context, Result};

use super::pages::{good, run, value};
use crate::harness::Case;
use crate::job;
use crate::memory::pools;
use crate::sys::calls;

const M: u64 = 1 << 20;
const G: u64 = 1 << 30;

/// Makes a case after which the pool must be whole.
const fn case(name: &'static str, what: &'static str, run: fn() -> Result<()>) -> Case {
    Case::new(name, what, run).around(whole, whole).limit_s(60)
}

/// The suite.
pub(super) const CASES: &[Case] = &[
    case(
        "shared",
        "shared memory of all kinds is there at once, in huge pages of the pool",
        shared,
    ),
    case(
        "shared-policies",
        "size and time of shared pages are as yod's options say; more than was promised comes from Linux",
        shared_policies,
    ),
    case(
        "segment",
        "a segment that outlives its job keeps its memory until it is removed",
        segment,
    ),
    case(
        "left-behind",
        "six hundred jobs of a user who leaves 2 MiB of each behind do not keep another from starting",
        || super::limits::leave(600, 2048),
    )
    .limit_s(300),
    case(
        "hugetlb",
        "MAP_HUGETLB takes pages of the reservation, and of hugetlbfs where those do not suffice",
        hugetlb,
    ),
    case(
        "giant",
        "pages of 1 GiB come from the pool where a job asks for them, and go home",
        giant,
    ),
    case(
        "main-stack",
        "the stack of a first thread is backed before it begins if yod says so",
        main_stack,
    ),
    case(
        "shared-poison",
        "a bad page of shared memory costs its user that page and the pool 2 MiB",
        || poison(&["poison", "shared"], 1),
    ),
    case(
        "giant-poison",
        "a bad page in one of 1 GiB costs the pool 2 MiB",
        || poison(&["poison-giant"], 2),
    ),
];

/// Waits until the pool has all of its memory, but for what is bad, promised to nobody.
fn whole() -> Result<()> {
    let id = job::partitions()?.first().context("no partition")?.id;
    let is_whole = || {
        let pools = pools(id)?;
        Ok(pools.iter().all(|pool| {
            pool.total == 1536 * M
                && pool.free + pool.retired == pool.total
                && pool.unreserved + pool.retired == pool.share
        }))
    };
    job::eventually(
        Duration::from_secs(20),
        "all memory back in the pool",
        is_whole,
    )
    .with_context(|| format!("{:?}", pools(id)))?;
    for size in ["2048kB", "1048576kB"] {
        for what in ["nr_hugepages", "surplus_hugepages", "resv_hugepages"] {
            let path = format!("/sys/kernel/mm/hugepages/hugepages-{size}/{what}");
            let text = fs::read_to_string(&path).context(path.clone())?;
            ensure!(text.trim() == "0", "{path}: {text}");
        }
    }
    Ok(())
}

fn shared() -> Result<()> {
    for kind in ["anonymous", "memfd", "segment"] {
        let got = good(&["-M", "64M"], &["shared", kind, "32"])?;
        ensure!(value(&got, "faults")? == 0, "{kind}: {got:?}");
        ensure!(value(&got, "resident")? == 32 << 10, "{kind}: {got:?}");
        ensure!(value(&got, "huge")? == 32 << 10, "{kind}: {got:?}");
        ensure!(value(&got, "used")? >= 32 * M, "{kind}: {got:?}");
        ensure!(value(&got, "spilled")? == 0, "{kind}: {got:?}");
        good(&["-M", "none"], &["shared", kind, "8"])?;
    }
    Ok(())
}

fn shared_policies() -> Result<()> {
    let with = |options: &[&str], kind| good(options, &["shared", kind, "16"]);
    for kind in ["anonymous", "memfd", "segment"] {
        // Single pages are of Linux.
        let small = with(&["-M", "64M", "--maxpage", "anon_private:4k"], kind)?;
        ensure!(value(&small, "huge-at-end")? == 0, "{kind}: {small:?}");
        ensure!(value(&small, "faults")? == 0, "{kind}: {small:?}");
        ensure!(value(&small, "spilled")? >= 16 * M, "{kind}: {small:?}");
        let later = with(&["-M", "64M", "--pagefault", "anon_private:onefault"], kind)?;
        ensure!(value(&later, "resident")? == 0, "{kind}: {later:?}");
        ensure!(
            value(&later, "huge-at-end")? == 16 << 10,
            "{kind}: {later:?}"
        );
        ensure!(value(&later, "spilled")? == 0, "{kind}: {later:?}");
        let more = with(&["-M", "8M"], kind)?;
        ensure!(value(&more, "used")? == 8 * M, "{kind}: {more:?}");
        ensure!(value(&more, "spilled")? >= 8 * M, "{kind}: {more:?}");
    }
    Ok(())
}

fn segment() -> Result<()> {
    let got = good(&["-M", "64M"], &["leave-segment", "16"])?;
    let id = value(&got, "id")?;
    job::check_idle()?;
    let held: u64 = pools(0)?.iter().map(|pool| pool.total - pool.free).sum();
    ensure!(held == 16 * M, "{held} after {got:?}");
    let got = good(&["-M", "all"], &["map", "16"])?;
    ensure!(value(&got, "promised")? == 1520 * M, "{got:?}");
    calls::remove_segment(i32::try_from(id)?)
}

fn hugetlb() -> Result<()> {
    let got = good(&["-M", "64M"], &["hugetlb", "32", "2m", "private"])?;
    ensure!(value(&got, "huge")? == 32 << 10, "{got:?}");
    ensure!(value(&got, "used")? >= 32 * M, "{got:?}");
    let got = good(&["-M", "64M"], &["hugetlb", "32", "2m", "shared"])?;
    ensure!(value(&got, "hugetlb")? == 32 << 10, "{got:?}");
    ensure!(value(&got, "used")? >= 32 * M, "{got:?}");
    // There are no pages in the reserve of hugetlbfs.
    for options in [["-M", "16M"], ["-M", "none"]] {
        for kind in ["private", "shared"] {
            let refused = run(&options, &["hugetlb", "32", "2m", kind])?;
            ensure!(refused.stderr.contains("MAP_HUGETLB"), "{refused:?}");
        }
    }
    Ok(())
}

fn giant() -> Result<()> {
    // Others may have used part of the group, and it is zeroed again.
    let is_there = || Ok(pools(0)?.iter().any(|pool| pool.free_giant >= G));
    job::eventually(Duration::from_secs(5), "1 GiB in one piece", is_there)
        .with_context(|| format!("{:?}", pools(0)))?;
    for kind in ["private", "shared"] {
        let map = |amount| {
            run(
                &["-M", amount, "--maxpage", "anon_private:1g"],
                &["hugetlb", "1024", "1g", kind],
            )
        };
        let got = map("all")?;
        got.expect_code(0)?;
        ensure!(value(&got, "page")? == 1 << 20, "{got:?}");
        ensure!(value(&got, "faults")? == 0, "{got:?}");
        ensure!(value(&got, "used")? >= G, "{got:?}");
        let refused = map("1000M")?;
        ensure!(refused.stderr.contains("MAP_HUGETLB"), "{refused:?}");
        whole()?;
    }
    Ok(())
}

fn main_stack() -> Result<()> {
    let got = good(
        &["-M", "64M", "--pagefault", "stack:nofault"],
        &["main-stack"],
    )?;
    ensure!(value(&got, "faults")? == 0, "{got:?}");
    ensure!(value(&got, "spilled")? < M, "{got:?}");
    let got = good(&["-M", "64M"], &["main-stack"])?;
    ensure!(value(&got, "faults")? > 0, "{got:?}");
    Ok(())
}

/// Runs a program that has a page go bad, after which so many blocks are bad altogether.
fn poison(program: &[&str], nr_bad: u64) -> Result<()> {
    good(&["-M", "all", "--maxpage", "anon_private:1g"], program)?;
    whole()?;
    let retired: u64 = pools(0)?.iter().map(|pool| pool.retired).sum();
    ensure!(retired == nr_bad * 2 * M, "{:?}", pools(0));
    Ok(())
}
