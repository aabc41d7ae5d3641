// SPDX-License-Identifier: GPL-2.0
//! The table says where calls are carried out, whoever sets it: `yod`, a partition, or somebody while the job runs.

use std::process::Command;

use anyhow::{ensure, Context, Result};
use lwk_logic::uapi;
use nix::libc::{self, c_long};
use serde_json::Value;

use super::places::{check_call, Seen};
use super::{is_linux, is_lwk, partition, NO_BATCH};
use crate::calls::{self, Whose};
use crate::job::{self, Beating};
use crate::trace::{Trace, CALLS};

/// What `calls-once` does, in order.
const ONCE: [c_long; 5] = [
    libc::SYS_getppid,
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_write,
    libc::SYS_sched_yield,
];

/// Runs `calls-once` with options and expects these of its calls to move and the others to stay.
fn once(options: &[&str], moved: &[c_long]) -> Result<()> {
    let trace = Trace::start(&CALLS)?;
    let options: Vec<&str> = NO_BATCH.iter().chain(options).copied().collect();
    job::run(&mut job::yod_inside(&options, &["calls-once"]))?.success()?;
    let calls = Seen::new(&trace.stop()?)?.calls();
    let made: Vec<c_long> = calls.iter().map(|call| call.nr).collect();
    ensure!(
        made.get(1..) == Some(&ONCE),
        "the program made calls {made:?}"
    );
    for call in &calls {
        check_call(call, moved.contains(&call.nr)).with_context(|| format!("{options:?}"))?;
    }
    Ok(())
}

/// The places of a table that `yod` sets.
pub(super) fn overrides() -> Result<()> {
    let files = [libc::SYS_openat, libc::SYS_close, libc::SYS_write];
    once(&[], &files)?;
    once(&["--syscalls", "local=all"], &[])?;
    let all = [&ONCE[..], &[libc::SYS_getpgid]].concat();
    // The mark that ends the program's part moves, too, and is not looked at.
    once(&["--syscalls", "move=all"], &all)?;
    once(&["--syscalls", "local=%file"], &files[1..])?;
    once(
        &["--syscalls", "local=%desc,%file,move=getppid"],
        &[libc::SYS_getppid],
    )?;
    once(&["--syscalls", "move=getppid,local=all"], &[])?;
    once(
        &["--syscalls", "local=all,move=write,sched_yield"],
        &[libc::SYS_write, libc::SYS_sched_yield],
    )?;
    let text = "move=sched_yield,native=sched_yield,local=openat";
    once(&["--syscalls", text], &[libc::SYS_close, libc::SYS_write])
}

/// The table of a partition, of jobs that do not say otherwise.
pub(super) fn partition_default() -> Result<()> {
    let files = [libc::SYS_openat, libc::SYS_close, libc::SYS_write];
    let name = partition()?.name;
    job::lwkctl(&["policy", &name, "--syscalls", "move=getppid"])?;
    let table = calls::get(Whose::Partition(partition()?.id))?;
    ensure!(
        calls::contains(&table.moved, libc::SYS_getppid),
        "{table:?}"
    );
    once(&[], &[&files[..], &[libc::SYS_getppid]].concat())?;
    once(&["--syscalls", "local=getppid"], &files)?;
    job::lwkctl(&["policy", &name, "--syscalls", "local=all"])?;
    once(&[], &[])?;
    once(&["--syscalls", "move=write"], &[libc::SYS_write])?;
    let text = job::lwkctl(&["policy", &name])?;
    ensure!(text.contains("syscalls"), "{text}");
    job::lwkctl(&[
        "policy",
        &name,
        "--syscall-batch",
        "1ms",
        "--exclusive-wait",
        "--idle",
        "poll",
    ])?;
    let table = calls::get(Whose::Partition(partition()?.id))?;
    ensure!(table.batch_ns == 1_000_000, "{table:?}");
    let options = uapi::CALLS_EXCLUSIVE | uapi::CALLS_POLL;
    ensure!(table.options == options, "{table:?}");
    Ok(())
}

/// Puts the table of the partition back to what it was at boot.
pub(super) fn partition_restored() -> Result<()> {
    let id = partition()?.id;
    match std::fs::read(SAVED) {
        Ok(bytes) => {
            let words: Vec<u64> = bytes
                .chunks_exact(8)
                .filter_map(|word| Some(u64::from_ne_bytes(word.try_into().ok()?)))
                .collect();
            let mut table = uapi::CallTable::default();
            let (moved, rest) = words.split_at_checked(8).context("a short file")?;
            let (native, rest) = rest.split_at_checked(8).context("a short file")?;
            table.moved.copy_from_slice(moved);
            table.native.copy_from_slice(native);
            table.batch_ns = u32::try_from(*rest.first().context("a short file")?)?;
            calls::set(Whose::Partition(id), &table)
        }
        Err(error) => Err(error).context(SAVED),
    }
}

const SAVED: &str = "/tmp/calls-table";

/// Notes the table of the partition.
pub(super) fn partition_saved() -> Result<()> {
    let table = calls::get(Whose::Partition(partition()?.id))?;
    ensure!(table.options == 0, "{table:?}");
    let words = table.moved.iter().chain(&table.native);
    let words = words.copied().chain([table.batch_ns.into()]);
    let bytes: Vec<u8> = words.flat_map(u64::to_ne_bytes).collect();
    std::fs::write(SAVED, bytes).context(SAVED)
}

/// The CPUs on which a running job's calls of this number were carried out in some moments from now.
fn where_carried_out(job: &Beating, nr: c_long) -> Result<Vec<usize>> {
    let trace = Trace::start(&CALLS)?;
    let tids = crate::proc::threads(job.pid());
    let enough = |cpus: &[usize]| cpus.len() >= 4 * tids.len();
    std::thread::sleep(std::time::Duration::from_millis(500));
    let calls = trace
        .stop()?
        .calls(|tid| tids.iter().any(|stat| stat.pid == tid));
    let calls = calls.iter().filter(|call| call.nr == nr);
    let cpus: Vec<usize> = calls
        .filter_map(|call| call.left.map(|(cpu, _)| cpu))
        .collect();
    ensure!(enough(&cpus), "only {} calls {nr}", cpus.len());
    Ok(cpus)
}

/// The table of a job that runs.
pub(super) fn live_change() -> Result<()> {
    let command = job::yod_inside(&NO_BATCH, &["calls-again"]);
    let job = Beating::start_command(command)?;
    let id = job::jobs()?.first().context("no job")?.id.to_string();
    let expect = |moves: bool, nr: c_long| -> Result<()> {
        let cpus = where_carried_out(&job, nr)?;
        let is_right = |cpu: &usize| if moves { is_linux(*cpu) } else { is_lwk(*cpu) };
        ensure!(
            cpus.iter().all(is_right),
            "call {nr}, move {moves}: {cpus:?}"
        );
        Ok(())
    };
    expect(false, libc::SYS_getppid)?;
    for _ in 0..3 {
        job::lwkctl(&["syscalls", &id, "--move", "getppid"])?;
        expect(true, libc::SYS_getppid)?;
        job::lwkctl(&["syscalls", &id, "--local", "getppid,write"])?;
        expect(false, libc::SYS_getppid)?;
        expect(false, libc::SYS_write)?;
        job::lwkctl(&["syscalls", &id, "--move", "%desc"])?;
        expect(true, libc::SYS_write)?;
        // Nothing is looked at any more, and then again.
        job::lwkctl(&["syscalls", &id, "--local", "all"])?;
        expect(false, libc::SYS_write)?;
    }
    job::lwkctl(&["syscalls", &id, "--native", "sched_yield"])?;
    let table = calls::get(Whose::Job(id.parse()?))?;
    ensure!(table.moved == [0; 8], "{table:?}");
    ensure!(
        calls::contains(&table.native, libc::SYS_sched_yield),
        "{table:?}"
    );
    job.kill()
}

/// What makes no sense is refused, with what was meant, and changes nothing.
pub(super) fn refusals() -> Result<()> {
    for (options, word) in [
        (["--syscalls", "move=opennat"], "openat"),
        (["--syscalls", "local=%files"], "%file"),
        (["--syscalls", "getppid"], "getppid"),
        (["--syscalls", "there=getppid"], "there"),
        (["--syscalls", "native=write"], "write"),
        (["--syscalls", "move=rt_sigreturn"], "rt_sigreturn"),
        (["--syscalls", "move="], "missing"),
        (["--syscall-batch", "2ms"], "1ms"),
        (["--syscall-batch", "50"], "50"),
        (["--idle", "nap"], "nap"),
    ] {
        let refused = job::run(&mut job::yod_inside(&options, &["calls-once"]))?;
        ensure!(refused.code != Some(0), "{options:?}: {refused:?}");
        ensure!(refused.stderr.contains(word), "{options:?}: {refused:?}");
        job::check_idle().with_context(|| format!("{options:?}"))?;
    }
    let job = Beating::start(&[])?;
    let id = job::jobs()?.first().context("no job")?.id;
    let before = calls::get(Whose::Job(id))?;
    let number = id.to_string();
    for (arguments, word) in [
        (["syscalls", &number, "--move", "opennat"], "openat"),
        (["syscalls", &number, "--native", "write"], "write"),
        (["syscalls", &number, "--local", "%fil"], "%file"),
        (["syscalls", "999", "--local", "all"], "999"),
    ] {
        let refused = job::run(Command::new("/bin/lwkctl").args(arguments))?;
        ensure!(refused.code != Some(0), "{arguments:?}: {refused:?}");
        ensure!(refused.stderr.contains(word), "{arguments:?}: {refused:?}");
        let after = calls::get(Whose::Job(id))?;
        let text = |table: &uapi::CallTable| format!("{table:?}");
        ensure!(
            text(&before) == text(&after),
            "{arguments:?}: {before:?} became {after:?}"
        );
    }
    job.kill()
}

/// What `lwkctl show --json` and `lwkctl syscalls --json` print.
pub(super) fn json(arguments: &[&str]) -> Result<Value> {
    let text = job::lwkctl(arguments)?;
    serde_json::from_str(&text).with_context(|| text.clone())
}
