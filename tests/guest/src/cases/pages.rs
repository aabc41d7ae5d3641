// SPDX-License-Identifier: GPL-2.0
//! Memory of jobs, on four CPUs and two nodes: a partition of CPUs 2 and 3 with 128 MiB of each node.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{ensure, Context, Result};
use lwk_logic::uapi::{MemGet, MEM_BLOCK_BYTES};

use super::partition::done;
use crate::harness::Case;
use crate::init;
use crate::inside::features;
use crate::job::{self, yod_inside, Finished};
use crate::memory::{create, of_node, pools, settled};
use crate::partition::delete_all;

const M: u64 = 1 << 20;

/// Makes a case with the partition.
const fn case(name: &'static str, what: &'static str, run: fn() -> Result<()>) -> Case {
    Case::new(name, what, run).around(make, end).limit_s(60)
}

/// The suite.
pub(super) const CASES: &[Case] = &[
    case(
        "large",
        "what a job maps is there at once, in huge pages of its pools, and zero",
        large,
    ),
    case(
        "zeroed",
        "a job finds zeroes where another left data",
        zeroed,
    ),
    case(
        "zeroed-ahead",
        "what a job used is zeroed while nobody wants it",
        zeroed_ahead,
    ),
    case(
        "promises",
        "jobs get what they ask for, or their part by CPUs, or are refused",
        promises,
    ),
    case(
        "spill",
        "a job that needs more than it was promised gets memory of Linux, which is counted",
        spill,
    ),
    case(
        "sparse",
        "what is mapped without a reservation is backed by huge pages as it is touched",
        sparse,
    ),
    case(
        "heap",
        "the heap grows in huge pages without faults, and shrinks",
        heap,
    ),
    case(
        "stack",
        "stacks of threads are in huge pages where they are touched",
        stack,
    ),
    case(
        "policies",
        "size, time and node of pages are as yod's options say",
        policies,
    ),
    case(
        "partition-policy",
        "what yod's options do not say is as lwkctl policy said of the partition",
        partition_policy,
    ),
    case(
        "strict",
        "in strict mode a mapping fails that is too large, and nothing comes from Linux",
        strict,
    ),
    case(
        "unneeded",
        "MADV_DONTNEED frees memory, or leaves it where yod says so",
        unneeded,
    ),
    case(
        "meminfo",
        "meminfo of the machine and of nodes tells of the pools",
        meminfo,
    ),
    case("none", "yod -M none leaves all memory to Linux", none),
    case("memcg", "memory of a job counts in its cgroup", || {
        let root = "/sys/fs/cgroup/cgroup.subtree_control";
        std::fs::write(root, "+memory").context(root)?;
        let group = "/sys/fs/cgroup/work";
        std::fs::create_dir(group).context(group)?;
        let result = feature("memcg");
        job::eventually(Duration::from_secs(5), "an empty cgroup", || {
            Ok(std::fs::remove_dir(group).is_ok())
        })?;
        result
    }),
    case(
        "fork",
        "parent and child have copies of their own, which come from the pools",
        fork,
    ),
    case(
        "split",
        "huge pages can be split by munmap, mprotect, mremap and madvise",
        split,
    ),
    case("pagemap", "pagemap shows huge pages in one piece", || {
        feature("pagemap")
    }),
    case(
        "foreign-access",
        "/proc/PID/mem, process_vm_readv and ptrace read and write a job's memory",
        || feature("foreign-access"),
    ),
    case(
        "pinned",
        "a long-term pin leaves pages where they are, also over a fork",
        || feature("pinned"),
    ),
    case("direct", "O_DIRECT reads into it", || feature("direct")),
    case("userfault", "userfaultfd provides its pages", || {
        feature("userfault")
    }),
    case(
        "barrier",
        "a write barrier of mprotect and SIGSEGV works page by page",
        || feature("barrier"),
    ),
    case("mincore", "mincore tells of pages that are there", || {
        feature("mincore")
    }),
    case(
        "nodes",
        "move_pages shows nodes and moves nothing; mbind and interleaving are followed",
        || feature("nodes"),
    ),
    case(
        "exec",
        "a program that executes another gives its memory back, and the other gets the job's",
        || {
            let got = good(&["-M", "64M"], &["exec", "32", "40"])?;
            ensure!(value(&got, "huge")? == 40 << 10, "{got:?}");
            ensure!(value(&got, "spilled")? == 0, "{got:?}");
            Ok(())
        },
    ),
    case("vdso", "the vDSO is there and tells the time", || {
        feature("vdso")
    }),
    case(
        "grows-down",
        "MAP_GROWSDOWN grows to where it is touched",
        || feature("grows-down"),
    ),
    case("memfd", "a memfd takes and gives its contents", || {
        feature("memfd")
    }),
    case("core", "a core dump has its contents", || feature("core")),
    case("soft-dirty", "soft-dirty bits tell of writes", || {
        feature("soft-dirty")
    }),
    case("pkey", "a protection key keeps writes out", || {
        feature("pkey")
    }),
    case(
        "mlock",
        "mlock succeeds, up to the reservation also beyond the limit",
        || {
            feature("mlock")?;
            good(&["-M", "all"], &["mlock", "beyond-limit"]).map(drop)
        },
    ),
    case(
        "outlives",
        "a page that a pipe holds comes home after its job",
        outlives,
    ),
    case(
        "kills",
        "a thousand jobs of random sizes, killed at random moments, leave nothing behind",
        kills,
    )
    .limit_s(300),
];

/// Bad memory, which stays bad until the machine is booted again.
pub(super) const POISON: &[Case] = &[
    Case::new(
        "poison",
        "a bad page costs its user that page and the pool 2 MiB, and nobody else anything",
        poison,
    )
    .limit_s(60),
    Case::new(
        "soft-offline",
        "a page of hugetlbfs of a job that is taken out of service is given to nobody again",
        super::offline::soft,
    )
    .around(|| Ok(()), delete_all)
    .limit_s(60),
];

fn poison() -> Result<()> {
    make()?;
    let id = job::partitions()?.first().context("no partition")?.id;
    let retired = || -> Result<u64> { Ok(pools(id)?.iter().map(|pool| pool.retired).sum()) };
    let unreserved = || -> Result<u64> { Ok(pools(id)?.iter().map(|pool| pool.unreserved).sum()) };
    let got = good(&["-M", "64M"], &["poison"])?;
    job::eventually(Duration::from_secs(10), "the bad block to retire", || {
        Ok(retired()? == MEM_BLOCK_BYTES && unreserved()? == 254 * M)
    })
    .with_context(|| format!("{:?}", pools(id)))?;
    // One that nobody has.
    features::poison_frame(value(&got, "frame")?)?;
    job::eventually(
        Duration::from_secs(10),
        "a free bad block to retire",
        || Ok(retired()? == 2 * MEM_BLOCK_BYTES && unreserved()? == 252 * M),
    )
    .with_context(|| format!("{:?}", pools(id)))?;
    let got = good(&["-M", "all"], &["map", "200"])?;
    ensure!(value(&got, "spilled")? == 0, "{got:?}");
    delete_all()?;
    let left: u64 = pools(0)?.iter().map(|pool| pool.total).sum();
    ensure!(left == 2 * MEM_BLOCK_BYTES, "{:?}", pools(0));
    // Others can have memory of the rest.
    let wish = [of_node(0, 64 * M), of_node(1, 64 * M)];
    done(create("more", &[2, 3], &wish)?.0?)?;
    let got = good(&["-M", "all"], &["map", "100"])?;
    ensure!(value(&got, "spilled")? == 0, "{got:?}");
    delete_all()
}

/// Makes the partition, which takes long, unless another case left it.
fn make() -> Result<()> {
    if job::partitions()?.is_empty() {
        let wish = [of_node(0, 128 * M), of_node(1, 128 * M)];
        done(create("work", &[2, 3], &wish)?.0?)?;
        settled()?;
    }
    whole()
}

/// Leaves it to the next case if it is as good as new.
fn end() -> Result<()> {
    let result = whole();
    if result.is_err() {
        delete_all()?;
        settled()?;
    }
    result
}

/// Waits until the pools have all of their memory, promised to nobody.
fn whole() -> Result<()> {
    let id = job::partitions()?.first().context("no partition")?.id;
    let is_whole = || {
        let pools = pools(id)?;
        Ok(pools.iter().all(|pool| {
            pool.free == pool.total && pool.unreserved == pool.share && pool.total == 128 * M
        }))
    };
    job::eventually(
        Duration::from_secs(10),
        "all memory back in the pools",
        is_whole,
    )
    .with_context(|| format!("{:?}", pools(id)))
}

pub(super) fn run(options: &[&str], program: &[&str]) -> Result<Finished> {
    job::run(&mut yod_inside(options, program))
}

pub(super) fn value(finished: &Finished, key: &str) -> Result<u64> {
    let text = finished.value(key)?;
    text.parse().with_context(|| format!("{key} {text:?}"))
}

/// Runs a program that must succeed.
pub(super) fn good(options: &[&str], program: &[&str]) -> Result<Finished> {
    let finished = run(options, program)?;
    finished.expect_code(0)?;
    Ok(finished)
}

fn large() -> Result<()> {
    let got = good(&["-M", "96M"], &["map", "64"])?;
    ensure!(value(&got, "faults")? == 0, "{got:?}");
    ensure!(value(&got, "huge")? == 64 << 10, "{got:?}");
    ensure!(value(&got, "resident")? == 64 << 10, "{got:?}");
    ensure!(value(&got, "promised")? == 96 * M, "{got:?}");
    ensure!(value(&got, "used")? >= 64 * M, "{got:?}");
    ensure!(value(&got, "spilled")? == 0, "{got:?}");
    let flags = got.value("flags")?;
    ensure!(flags.split(' ').any(|flag| flag == "lw"), "{got:?}");
    Ok(())
}

fn zeroed() -> Result<()> {
    for _ in 0..3 {
        let got = good(&["-M", "all"], &["map", "200"])?;
        ensure!(value(&got, "spilled")? == 0, "{got:?}");
    }
    Ok(())
}

fn zeroed_ahead() -> Result<()> {
    let is_zeroed = |pools: &[MemGet]| pools.iter().all(|pool| pool.zeroed == pool.total);
    let wait = || {
        let look = || Ok(is_zeroed(&pools(0)?));
        job::eventually(Duration::from_secs(20), "zeroing ahead", look)
            .with_context(|| format!("{:?}", pools(0)))
    };
    wait()?;
    let holder = job::Beating::start(&["-M", "all"])?;
    ensure!(!is_zeroed(&pools(0)?), "the job took nothing");
    holder.kill()?;
    good(&["-M", "all"], &["map", "200"])?;
    wait()?;
    // Single frames of a zeroed block, and what is mapped where single ones are wanted.
    good(
        &["-M", "all", "--maxpage", "anon_private:4k"],
        &["map", "64"],
    )?;
    wait()
}

fn promises() -> Result<()> {
    let half = good(&["-C", "1"], &["map", "16"])?;
    ensure!(value(&half, "promised")? == 128 * M, "{half:?}");
    let all = good(&[], &["map", "16"])?;
    ensure!(value(&all, "promised")? == 256 * M, "{all:?}");
    let quarter = good(&["-M", "1/4"], &["map", "16"])?;
    ensure!(value(&quarter, "promised")? == 64 * M, "{quarter:?}");
    let odd = good(&["-M", "5M"], &["map", "1"])?;
    ensure!(value(&odd, "promised")? == 3 * MEM_BLOCK_BYTES, "{odd:?}");
    let refused = run(&["-M", "1G"], &["map", "1"])?;
    refused.expect_code(125)?;
    ensure!(refused.stderr.contains("cannot reserve 1G"), "{refused:?}");
    ensure!(refused.stderr.contains("256M"), "{refused:?}");
    let first = job::Beating::start(&["-C", "1", "-M", "200M"])?;
    let second = run(&["-M", "100M"], &["map", "1"])?;
    second.expect_code(125)?;
    ensure!(second.stderr.contains("56M of"), "{second:?}");
    let second = good(&["-M", "all"], &["map", "16"])?;
    ensure!(value(&second, "promised")? == 56 * M, "{second:?}");
    first.kill()
}

fn spill() -> Result<()> {
    let got = good(&["-M", "8M"], &["map", "32"])?;
    ensure!(value(&got, "promised")? == 8 * M, "{got:?}");
    ensure!(value(&got, "used")? == 8 * M, "{got:?}");
    let spilled = value(&got, "spilled")?;
    ensure!((24 * M..40 * M).contains(&spilled), "{got:?}");
    Ok(())
}

fn sparse() -> Result<()> {
    // Much more than there is.
    let got = good(&["-M", "64M"], &["sparse", "4096"])?;
    ensure!(value(&got, "resident-at-map")? == 0, "{got:?}");
    ensure!(value(&got, "huge")? == 4 << 10, "{got:?}");
    ensure!(value(&got, "spilled")? == 0, "{got:?}");
    Ok(())
}

fn heap() -> Result<()> {
    let got = good(&["-M", "64M"], &["heap"])?;
    // One for each step at most.
    ensure!(value(&got, "faults")? <= 2, "{got:?}");
    ensure!(value(&got, "huge")? >= 4 << 10, "{got:?}");
    ensure!(value(&got, "huge-again")? >= 4 << 10, "{got:?}");
    ensure!(value(&got, "spilled")? == 0, "{got:?}");
    good(&["-M", "64M", "--heap-step", "4K"], &["heap"])?;
    good(&["-M", "2M"], &["heap"])?;
    good(&["-M", "none"], &["heap"])?;
    Ok(())
}

fn stack() -> Result<()> {
    let got = good(&["-M", "64M"], &["stack"])?;
    ensure!(value(&got, "huge")? >= 4 << 10, "{got:?}");
    ensure!(got.value("flags")?.contains("ls"), "{got:?}");
    let got = good(&["-M", "64M", "--maxpage", "tstack:4k"], &["stack"])?;
    ensure!(value(&got, "huge")? == 0, "{got:?}");
    Ok(())
}

fn policies() -> Result<()> {
    let with = |option: &str, setting: &str| {
        let setting = format!("anon_private:{setting}");
        good(&["-M", "64M", option, &setting], &["map", "16"])
    };
    let small = with("--maxpage", "4k")?;
    ensure!(value(&small, "huge-at-end")? == 0, "{small:?}");
    ensure!(
        value(&small, "resident")? == 16 << 10 && value(&small, "faults")? == 0,
        "{small:?}"
    );
    let later = with("--pagefault", "onefault")?;
    ensure!(value(&later, "resident")? == 0, "{later:?}");
    ensure!(value(&later, "huge-at-end")? == 16 << 10, "{later:?}");
    // CPUs 2 and 3 are of node 1; a page of 2 MiB has 512.
    for (setting, on_0, on_1) in [
        ("normal", 0, 8),
        ("bind:0", 8, 0),
        ("preferred:0", 8, 0),
        ("interleave", 4, 4),
        ("interleave:1", 0, 8),
    ] {
        let got = with("--mempolicy", setting)?;
        let nodes = [value(&got, "on-node-0")?, value(&got, "on-node-1")?];
        ensure!(nodes == [on_0 * 512, on_1 * 512], "{setting}: {got:?}");
        ensure!(value(&got, "spilled")? == 0, "{setting}: {got:?}");
    }
    Ok(())
}

fn partition_policy() -> Result<()> {
    let set = |options: &[&str]| job::lwkctl(&[&["policy", "work"], options].concat());
    let map = |options: &[&str]| good(&[&["-M", "64M"], options].concat(), &["map", "16"]);
    set(&[
        "--maxpage",
        "all:4k",
        "--pagefault",
        "anon_private:onefault",
    ])?;
    let told = set(&["--strict"])?;
    ensure!(told.contains("strict") && told.contains("4k"), "{told}");
    let got = map(&[])?;
    ensure!(value(&got, "huge-at-end")? == 0, "{got:?}");
    ensure!(value(&got, "resident")? == 0, "{got:?}");
    let refused = run(&["-M", "8M"], &["map", "16"])?;
    ensure!(refused.stderr.contains("os error 12"), "{refused:?}");
    // What is said for one job is for that job, and no more than what is said.
    let got = map(&["--maxpage", "anon_private:2m"])?;
    ensure!(value(&got, "huge-at-end")? == 16 << 10, "{got:?}");
    ensure!(value(&got, "resident")? == 0, "{got:?}");
    let got = good(&["-M", "8M", "--strict=no"], &["map", "16"])?;
    ensure!(value(&got, "spilled")? >= 8 * M, "{got:?}");
    let file = "/tmp/partitions.toml";
    job::lwkctl(&["save", file])?;
    set(&["--reset"])?;
    let got = map(&[])?;
    ensure!(value(&got, "huge")? == 16 << 10, "{got:?}");
    let told = job::lwkctl(&["apply", file])?;
    ensure!(
        told.starts_with("done: set the policy of partition work"),
        "{told}"
    );
    let got = map(&[])?;
    ensure!(value(&got, "huge-at-end")? == 0, "{got:?}");
    set(&["--reset"]).map(drop)
}

fn strict() -> Result<()> {
    let refused = run(&["-M", "16M", "--strict"], &["map", "32"])?;
    refused.expect_code(1)?;
    ensure!(refused.stderr.contains("os error 12"), "{refused:?}");
    let got = good(&["-M", "32M", "--strict"], &["map", "16"])?;
    ensure!(value(&got, "spilled")? == 0, "{got:?}");
    // What is not reserved may be larger.
    good(&["-M", "32M", "--strict"], &["sparse", "4096"])?;
    Ok(())
}

fn unneeded() -> Result<()> {
    let got = good(&["-M", "64M"], &["unneeded"])?;
    ensure!(value(&got, "kept")? == 0, "{got:?}");
    let got = good(&["-M", "64M", "--keep-unneeded"], &["unneeded"])?;
    ensure!(value(&got, "kept")? == 4 * M, "{got:?}");
    Ok(())
}

fn meminfo() -> Result<()> {
    let lines = |path: &str| -> Result<Vec<String>> {
        let text = std::fs::read_to_string(path).with_context(|| path.to_owned())?;
        let ours = text.lines().filter_map(|line| line.split_once("Lwk"));
        let words = ours.map(|(_, rest)| rest.split_whitespace().collect::<Vec<_>>().join(" "));
        Ok(words.collect())
    };
    let all = ["Total: 262144 kB", "Free: 262144 kB"];
    ensure!(
        lines("/proc/meminfo")? == all,
        "{:?}",
        lines("/proc/meminfo")
    );
    for node in 0..2 {
        let path = format!("/sys/devices/system/node/node{node}/meminfo");
        let half = ["Total: 131072 kB", "Free: 131072 kB"];
        ensure!(lines(&path)? == half, "{:?}", lines(&path));
    }
    Ok(())
}

fn none() -> Result<()> {
    let got = good(&["-M", "none"], &["map", "16"])?;
    ensure!(value(&got, "promised")? == 0, "{got:?}");
    let flags = got.value("flags")?;
    ensure!(!flags.split(' ').any(|flag| flag == "lw"), "{got:?}");
    Ok(())
}

fn fork() -> Result<()> {
    let got = good(&["-M", "64M"], &["cow"])?;
    ensure!(value(&got, "spilled")? == 0, "{got:?}");
    // With less than both need the copies come from Linux.
    let got = good(&["-M", "12M"], &["cow"])?;
    ensure!(value(&got, "spilled")? > 0, "{got:?}");
    Ok(())
}

fn split() -> Result<()> {
    let got = good(&["-M", "96M"], &["split"])?;
    ensure!(value(&got, "spilled")? == 0, "{got:?}");
    Ok(())
}

/// Runs a program of `inside/features.rs`, once with its memory and once without.
fn feature(program: &str) -> Result<()> {
    for options in [["-M", "all"], ["-M", "none"]] {
        // What a program says of pages that stay is of a job's memory.
        if options[1] == "all" || !["nodes", "pagemap"].contains(&program) {
            good(&options, &[program])?;
        }
    }
    Ok(())
}

fn outlives() -> Result<()> {
    let id = job::partitions()?.first().context("no partition")?.id;
    let mut child = yod_inside(&["-M", "64M"], &["leave"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("yod")?;
    ensure!(child.wait().context("wait")?.success(), "the job failed");
    job::check_idle()?;
    let held: u64 = pools(id)?.iter().map(|pool| pool.total - pool.free).sum();
    // One page keeps its block.
    ensure!(held == MEM_BLOCK_BYTES, "{held}");
    // Others can have all the rest.
    let got = good(&["-M", "all"], &["map", "16"])?;
    ensure!(value(&got, "promised")? == 254 * M, "{got:?}");
    let mut text = Vec::new();
    let mut out = child.stdout.take().context("no pipe")?;
    out.read_to_end(&mut text).context("the pipe")?;
    ensure!(text == [b'x'; 4096], "{} bytes", text.len());
    drop(out);
    whole()
}

fn kills() -> Result<()> {
    let mut seed = 12345_u64;
    let mut random = |most: u64| {
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (seed >> 33) % most
    };
    for nr in 0..1000 / init::factor()? {
        let (size, most) = (random(200) + 1, random(24) + 1);
        let mut child = yod_inside(
            &["-C", "1", "-M", &format!("{size}M")],
            &["churn", &most.to_string(), &nr.to_string()],
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("yod")?;
        let mut begun = [0; 6];
        let out = child.stdout.as_mut().context("no pipe")?;
        out.read_exact(&mut begun).context("the job ended")?;
        std::thread::sleep(Duration::from_micros(random(40_000)));
        child.kill().context("kill")?;
        child.wait().context("wait")?;
    }
    whole()
}
