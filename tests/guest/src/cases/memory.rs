// SPDX-License-Identifier: GPL-2.0
//! Memory that comes from Linux and goes back, on four CPUs and two nodes booted with an empty `lwkcpus=`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{anyhow, ensure, Context, Result};
use lwk_logic::uapi::{Refusal, MEM_ALL, MEM_ANY_NODE, MEM_BLOCK_BYTES, MEM_SURVEY};
use rustix::io::Errno;

use super::pages::value;
use super::partition::{done, fail, FAIL};
use crate::harness::{Case, Skip};
use crate::init;
use crate::job::{self, yod_inside};
use crate::memory::{blocks, create, linux, of_node, pool, pools, resize, settled, watermarks};
use crate::partition::{delete, delete_all, Refused};
use crate::proc;
use crate::snapshot;
use crate::sys::map::Mapping;

/// The suite.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "one-node",
        "a partition gets memory of the node that it names, and Linux has so much less",
        one_node,
    )
    .around(none, delete_all)
    .limit_s(60),
    Case::new(
        "two-nodes",
        "amounts of two nodes, and of all together, come from where they should",
        two_nodes,
    )
    .around(none, delete_all)
    .limit_s(60),
    Case::new(
        "restored",
        "after its end Linux has all memory as before: totals, pageblocks, watermarks",
        restored,
    )
    .around(none, delete_all)
    .limit_s(60),
    Case::new(
        "resized",
        "a partition's memory grows and shrinks, with and without CPUs",
        resized,
    )
    .around(none, delete_all)
    .limit_s(60),
    Case::new(
        "in-use",
        "memory that programs use is taken all the same, and they keep their data",
        in_use,
    )
    .around(none, delete_all)
    .limit_s(120),
    Case::new(
        "refused",
        "what cannot be given is refused, with what was found, and nothing changes",
        refused,
    )
    .around(none, delete_all)
    .limit_s(60),
    Case::new(
        "rollback",
        "an error at whatever step of a claim leaves everything as it was",
        rollback,
    )
    .around(none, delete_all)
    .limit_s(300),
    Case::new(
        "isolation",
        "Linux cannot take blocks of a pool for itself: CMA, huge pages and off-lining leave them alone",
        isolation,
    )
    .around(none, delete_all)
    .limit_s(120),
    Case::new(
        "beyond-linux",
        "a job maps, and forks with, more than Linux has left, and only such a job",
        beyond_linux,
    )
    .around(none, delete_all)
    .limit_s(120),
    Case::new(
        "cycles",
        "partitions with memory come, change and go under load and leave nothing behind",
        cycles,
    )
    .around(none, delete_all)
    .limit_s(600),
];

/// `lwkmem=0:64M,32M` with a partition whose CPUs are of node 1.
pub(super) const BOOT: &[Case] = &[Case::new(
    "boot",
    "the partition of the boot line has the memory that lwkmem= asks for, until it ends",
    from_boot,
)];

/// A value that the kernel must refuse; `lwktest.expect=` has words of the reason, joined by `_`.
pub(super) const BOOT_BAD: &[Case] = &[Case::new(
    "boot-bad",
    "a bad value leaves the partition without memory and one line that says why",
    bad_boot,
)];

const M: u64 = 1 << 20;

fn none() -> Result<()> {
    Ok(())
}

fn from_boot() -> Result<()> {
    let partition = job::partitions()?;
    let partition = partition.first().context("no partition")?;
    ensure!(
        blocks(partition.id)? == [32, 16],
        "{:?}",
        blocks(partition.id)?
    );
    let lines = proc::lwk_log()?;
    let told = lines.iter().any(|line| line.contains("memory 0:64M,32M"));
    ensure!(told, "{lines:?}");
    done(delete(partition.id)?)?;
    settled()?;
    ensure!(linux()?.lwk_blocks == 0, "{:?}", linux()?);
    Ok(())
}

fn bad_boot() -> Result<()> {
    let words = init::boot_words()?;
    let expected = words.get("lwktest.expect").context("lwktest.expect=")?;
    let expected = expected.replace('_', " ");
    let lines = proc::lwk_log()?;
    let about = lines.iter().filter(|line| line.contains("lwkmem"));
    let about: Vec<_> = about.collect();
    ensure!(
        about.len() == 1 && about.iter().all(|line| line.contains(&expected)),
        "no {expected:?} in {lines:?}"
    );
    ensure!(linux()?.lwk_blocks == 0, "{:?}", linux()?);
    let is_one = job::partitions()?.len() == usize::from(words.contains_key("lwktest.partition"));
    ensure!(is_one, "{:?}", job::partitions()?);
    Ok(())
}

/// How Linux guards against mappings that are too large.
const OVERCOMMIT: &str = "/proc/sys/vm/overcommit_memory";

fn beyond_linux() -> Result<()> {
    // The checkers of the debug kernel have taken a part of the machine.
    let pool_mib = if init::factor()? > 1 { 640 } else { 900 };
    let (change, _) = create("large", &[2, 3], &[of_node(MEM_ANY_NODE, pool_mib * M)])?;
    done(change?)?;
    let mib = (linux()?.total["machine"] >> 10) + 48;
    let (mapped, touched) = (mib.to_string(), (pool_mib - 20).to_string());
    let program = |what| ["beyond-linux", &mapped, &touched, what];
    let inside = |amount, what| yod_inside(&["-M", amount], &program(what));
    let got = job::run(&mut inside("all", "fork"))?;
    got.expect_code(0)?;
    ensure!(value(&got, "linux")? < mib, "{got:?}");
    ensure!(value(&got, "spilled")? < 16 * M, "{got:?}");
    // Whom nobody promised so much has it refused, as ever.
    for (amount, what) in [("16M", "fork"), ("none", "fork")] {
        let refused = job::run(&mut inside(amount, what))?;
        refused.expect_code(1)?;
        ensure!(refused.stderr.contains("Cannot allocate"), "{refused:?}");
    }
    fs::write(OVERCOMMIT, "2").context(OVERCOMMIT)?;
    let result = while_nothing_is_lent(
        inside("all", "hold"),
        Command::new("/init").arg("inside").args(program("fork")),
    );
    fs::write(OVERCOMMIT, "0").context(OVERCOMMIT)?;
    result
}

/// A job holds all of a pool where nobody may map more than there is; another process gets what is of Linux, not more.
fn while_nothing_is_lent(mut holder: Command, other: &mut Command) -> Result<()> {
    let mut holder = holder
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("yod")?;
    let out = BufReader::new(holder.stdout.take().context("no pipe")?);
    let lines: Vec<String> = out.lines().take(2).collect::<std::io::Result<_>>()?;
    ensure!(
        lines.get(1).is_some_and(|line| line == "mapped 1"),
        "{lines:?}"
    );
    Mapping::new(16 << 20).context("16 MiB beside the job")?;
    job::run(other)?.expect_code(1)?;
    holder.kill().context("kill")?;
    holder.wait().context("wait").map(drop)
}

fn one_node() -> Result<()> {
    let before = linux()?;
    let (made, _) = create("work", &[3], &[of_node(1, 64 * M)])?;
    let id = done(made?)?;
    ensure!(blocks(id)? == [0, 32], "{:?}", blocks(id)?);
    let after = linux()?;
    ensure!(after.lwk_blocks == 32, "{after:?}");
    ensure!(
        after.other_blocks + 32 == before.other_blocks,
        "{before:?}, {after:?}"
    );
    for (place, less) in [("machine", 64 << 10), ("node 0", 0), ("node 1", 64 << 10)] {
        ensure!(
            before.total[place] - after.total[place] == less,
            "{place}: {before:?}, {after:?}"
        );
    }
    settled()?;
    let pool = pool(1, id, MEM_SURVEY)?.context("LWK_MEM_GET")?;
    let whole = [pool.total, pool.free, pool.share, pool.unreserved];
    ensure!(whole == [64 * M; 4], "{pool:?}");
    ensure!(
        pool.linux_movable >= pool.linux_free && pool.linux_free > 0,
        "{pool:?}"
    );
    done(delete(id)?)
}

fn two_nodes() -> Result<()> {
    // CPUs 2 and 3 are of node 1.
    let (made, _) = create("work", &[3], &[of_node(0, 10 * M), of_node(1, 21 * M)])?;
    let id = done(made?)?;
    ensure!(blocks(id)? == [5, 11], "{:?}", blocks(id)?);
    done(delete(id)?)?;
    let (made, _) = create("near", &[3], &[of_node(MEM_ANY_NODE, 40 * M)])?;
    let near = done(made?)?;
    ensure!(blocks(near)? == [0, 20], "{:?}", blocks(near)?);
    let (made, _) = create("both", &[1, 2], &[of_node(MEM_ANY_NODE, 40 * M)])?;
    let both = done(made?)?;
    ensure!(blocks(both)? == [10, 10], "{:?}", blocks(both)?);
    ensure!(linux()?.lwk_blocks == 40, "{:?}", linux()?);
    done(delete(near)?)?;
    ensure!(blocks(both)? == [10, 10], "{:?}", blocks(both)?);
    done(delete(both)?)
}

fn restored() -> Result<()> {
    let come_and_go = || -> Result<()> {
        let before = linux()?;
        let wish = [of_node(0, 128 * M), of_node(1, 128 * M)];
        let id = done(create("work", &[2, 3], &wish)?.0?)?;
        ensure!(linux()? != before, "a partition changed nothing");
        done(delete(id)?)?;
        settled()
    };
    let before = (linux()?, snapshot::take()?);
    come_and_go()?;
    let marks = watermarks()?;
    come_and_go()?;
    let after = watermarks()?;
    ensure!(after == marks, "{marks:?} became {after:?}");
    ensure!(linux()? == before.0, "{:?} became {:?}", before.0, linux()?);
    snapshot::compare(&before.1, &snapshot::take()?)?;
    for pool in pools(0)? {
        ensure!(pool.total == 0, "{pool:?}");
    }
    Ok(())
}

fn resized() -> Result<()> {
    let id = done(create("work", &[3], &[])?.0?)?;
    ensure!(blocks(id)? == [0, 0], "{:?}", blocks(id)?);
    done(resize(id, &[], &[], &[of_node(0, 20 * M)])?.0?)?;
    ensure!(blocks(id)? == [10, 0], "{:?}", blocks(id)?);
    // Node 0 keeps what it has, as nobody names it.
    done(resize(id, &[2], &[], &[of_node(1, 6 * M)])?.0?)?;
    ensure!(blocks(id)? == [10, 3], "{:?}", blocks(id)?);
    done(resize(id, &[], &[2], &[of_node(0, 4 * M), of_node(1, 8 * M)])?.0?)?;
    ensure!(blocks(id)? == [2, 4], "{:?}", blocks(id)?);
    done(resize(id, &[], &[], &[of_node(MEM_ANY_NODE, 6 * M)])?.0?)?;
    ensure!(blocks(id)? == [0, 3], "{:?}", blocks(id)?);
    done(resize(id, &[], &[], &[of_node(1, 0)])?.0?)?;
    ensure!(blocks(id)? == [0, 0], "{:?}", blocks(id)?);
    settled()?;
    ensure!(linux()?.lwk_blocks == 0, "{:?}", linux()?);
    done(delete(id)?)
}

fn in_use() -> Result<()> {
    // More than what is left free, so that some of it has to move.
    let mut pages: Vec<Vec<u8>> = (0..200_u8).map(|nr| vec![nr | 1; 1 << 20]).collect();
    let (made, _) = create("work", &[3], &[of_node(0, 300 * M), of_node(1, 300 * M)])?;
    let id = done(made?)?;
    ensure!(blocks(id)? == [150, 150], "{:?}", blocks(id)?);
    for (nr, page) in (0..).zip(&mut pages) {
        let byte: u8 = nr | 1;
        ensure!(
            page.iter().all(|found| *found == byte),
            "piece {nr} changed"
        );
        page.fill(!byte);
    }
    done(delete(id)?)?;
    settled()?;
    ensure!(linux()?.lwk_blocks == 0, "{:?}", linux()?);
    for (nr, page) in (0..).zip(&pages) {
        let byte: u8 = nr | 1;
        ensure!(page.iter().all(|found| *found == !byte), "piece {nr}");
    }
    Ok(())
}

/// Expects a change to be refused for this reason.
fn refuses<T: std::fmt::Debug>(
    what: core::result::Result<T, Refused>,
    errno: Errno,
    refusal: Refusal,
    node: u32,
) -> Result<()> {
    let wanted = Refused {
        errno,
        refusal,
        cpu: node,
    };
    match what {
        Err(refused) if refused == wanted => Ok(()),
        other => Err(anyhow!("wanted {wanted:?}, got {other:?}")),
    }
}

fn refused() -> Result<()> {
    let id = done(create("work", &[3], &[of_node(0, 8 * M)])?.0?)?;
    settled()?;
    let before = (linux()?, snapshot::take()?, job::partitions()?, blocks(id)?);
    let (made, told) = create("a", &[2], &[of_node(0, 2 * M), of_node(1, 1 << 40)])?;
    refuses(made?, Errno::NOMEM, Refusal::NoMemory, 1)?;
    let found = told.get(1).map_or(0, |share| share.found);
    let longest = told.get(1).map_or(0, |share| share.longest);
    ensure!(
        found > 64 * M && found < 1 << 30 && found % MEM_BLOCK_BYTES == 0,
        "{told:?}"
    );
    ensure!((4 * M..1 << 30).contains(&longest), "{told:?}");
    ensure!(
        told.first().is_some_and(|share| share.found == 0),
        "{told:?}"
    );
    let (changed, told) = resize(id, &[], &[], &[of_node(MEM_ANY_NODE, 1 << 40)])?;
    refuses(changed?, Errno::NOMEM, Refusal::NoMemory, MEM_ANY_NODE)?;
    ensure!(
        told.first().is_some_and(|share| share.found > 128 * M),
        "{told:?}"
    );
    let no_node = create("a", &[2], &[of_node(7, 2 * M)])?.0?;
    refuses(no_node, Errno::NODEV, Refusal::NoNode, 7)?;
    let twice = create("a", &[2], &[of_node(1, 2 * M), of_node(1, 4 * M)])?.0?;
    refuses(twice, Errno::INVAL, Refusal::BadAmount, 0)?;
    let nothing = create("a", &[2], &[of_node(1, 0)])?.0?;
    refuses(nothing, Errno::INVAL, Refusal::BadAmount, 0)?;
    // CPUs are in the way, so the memory goes back, too.
    let (made, _) = create("a", &[3], &[of_node(1, 2 * M)])?;
    refuses(made?, Errno::BUSY, Refusal::Taken, 3)?;
    settled()?;
    ensure!(linux()? == before.0, "{:?} became {:?}", before.0, linux()?);
    snapshot::compare(&before.1, &snapshot::take()?)?;
    ensure!(before.2 == job::partitions()?, "{:?}", job::partitions()?);
    ensure!(before.3 == blocks(id)?, "{:?}", blocks(id)?);
    done(delete(id)?)
}

/// -EBUSY and -EINTR as a function returns them.
const BUSY: &str = "0xfffffffffffffff0";
const INTR: &str = "0xfffffffffffffffc";

fn rollback() -> Result<()> {
    if fs::metadata(FAIL).is_err() {
        return Err(Skip("only the debug kernel has CONFIG_FAIL_FUNCTION").into());
    }
    let id = done(create("work", &[3], &[of_node(0, 8 * M)])?.0?)?;
    settled()?;
    let before = (linux()?, snapshot::take()?, blocks(id)?);
    let wish = [of_node(0, 32 * M), of_node(1, 32 * M)];
    for (function, nth, value) in [
        ("lwk_c_claim", 1, INTR),
        ("lwk_c_claim", 2, INTR),
        // After the memory, the CPUs.
        ("lwk_c_cpu_offline", 1, BUSY),
        ("lwk_c_cpu_online", 1, BUSY),
        ("lwk_c_workqueues_exclude", 1, BUSY),
    ] {
        fail(function, nth, value)?;
        let result = resize(id, &[2], &[], &wish)?.0?;
        fs::write(format!("{FAIL}/inject"), "\n").context("ending the injection")?;
        ensure!(result.is_err(), "{function}, call {nth}: no error");
        settled()?;
        ensure!(
            linux()? == before.0,
            "{function}: {:?} became {:?}",
            before.0,
            linux()?
        );
        snapshot::compare(&before.1, &snapshot::take()?)
            .with_context(|| format!("{function}, call {nth}"))?;
        ensure!(before.2 == blocks(id)?, "{function}: {:?}", blocks(id)?);
    }
    // A range that cannot be had is tried in parts, and others make up for it.
    fail("lwk_c_claim", 1, BUSY)?;
    let result = resize(id, &[], &[], &wish)?.0?;
    fs::write(format!("{FAIL}/inject"), "\n").context("ending the injection")?;
    done(result)?;
    ensure!(blocks(id)? == [16, 16], "{:?}", blocks(id)?);
    done(delete(id)?)
}

fn isolation() -> Result<()> {
    let id = done(create("work", &[3], &[of_node(1, 64 * M)])?.0?)?;
    let huge = "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages";
    fs::write(huge, "100000").context(huge)?;
    ensure!(
        linux()?.lwk_blocks == 32,
        "huge pages took blocks of the LWK"
    );
    fs::write(huge, "0").context(huge)?;
    let mut nr_refused = 0;
    for entry in fs::read_dir("/sys/devices/system/node/node1").context("node1")? {
        let entry = entry.context("node1")?;
        if entry.file_name().to_string_lossy().starts_with("memory") {
            nr_refused += u32::from(fs::write(entry.path().join("state"), "offline").is_err());
        }
    }
    ensure!(
        linux()?.lwk_blocks == 32,
        "off-lining took blocks of the LWK"
    );
    ensure!(nr_refused > 0, "all memory of node 1 went off line");
    for entry in fs::read_dir("/sys/devices/system/node/node1").context("node1")? {
        let entry = entry.context("node1")?;
        if entry.file_name().to_string_lossy().starts_with("memory") {
            // Those that are on line already refuse.
            let _ = fs::write(entry.path().join("state"), "online");
        }
    }
    ensure!(pools(id)?.len() == 2, "{:?}", pools(id)?);
    done(delete(id)?)
}

fn cycles() -> Result<()> {
    let before = linux()?;
    let mut load = std::process::Command::new("/init")
        .args(["inside", "storm"])
        .spawn()
        .context("storm")?;
    for round in 0..12_u64 {
        let amount = of_node((round % 2) as u32, (2 + round * 7) * M);
        let all = of_node(MEM_ANY_NODE, if round == 5 { MEM_ALL } else { 16 * M });
        let (made, _) = create("cycle", &[3], &[amount, all])?;
        let id = done(made?).with_context(|| format!("round {round}"))?;
        done(resize(id, &[], &[], &[of_node(0, 12 * M), of_node(1, 2 * M)])?.0?)
            .with_context(|| format!("round {round}"))?;
        ensure!(blocks(id)? == [6, 1], "round {round}: {:?}", blocks(id)?);
        done(delete(id)?).with_context(|| format!("round {round}"))?;
    }
    load.kill().context("kill")?;
    load.wait().context("wait")?;
    settled()?;
    ensure!(linux()? == before, "{before:?} became {:?}", linux()?);
    Ok(())
}
