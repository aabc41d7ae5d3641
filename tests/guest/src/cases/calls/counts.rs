// SPDX-License-Identifier: GPL-2.0
//! What is counted of system calls is exactly what was made.

use anyhow::{ensure, Context, Result};
use lwk_logic::uapi::CallRecord;
use nix::libc;
use serde_json::Value;

use super::table::json;
use super::{Stepping, NO_BATCH};
use crate::calls::{self, Counted};
use crate::job;

/// Calls of each kind in a burst of `calls-counted`: `getppid`, `write`, `sched_yield`.
const BURST: [u64; 3] = [100, 50, 30];

struct Run {
    program: Stepping,
    job: u32,
    tid: u32,
}

impl Run {
    fn start(options: &[&str]) -> Result<Run> {
        let options = [&["-c", "2-3"], options].concat();
        let counts = BURST.map(|count| count.to_string());
        let mut arguments = vec!["calls-counted"];
        arguments.extend(counts.iter().map(String::as_str));
        let mut program = Stepping::start(job::yod_inside(&options, &arguments))?;
        let tid = program.expect("tid")?;
        let job = job::jobs()?.first().context("no job")?.id;
        Ok(Run { program, job, tid })
    }

    fn thread(&self, tid: u32) -> Result<Option<Counted>> {
        Ok(calls::threads(self.job)?
            .into_iter()
            .find(|counted| counted.tid == tid))
    }
}

/// What is new of a call since an earlier reading.
fn new(before: &Counted, after: &Counted, nr: libc::c_long) -> CallRecord {
    let (old, new) = (before.of(nr), after.of(nr));
    CallRecord {
        local: new.local - old.local,
        moved: new.moved - old.moved,
        stayed: new.stayed - old.stayed,
        native: new.native - old.native,
        travel_ns: new.travel_ns - old.travel_ns,
        linux_ns: new.linux_ns - old.linux_ns,
        local_ns: new.local_ns - old.local_ns,
        ..new
    }
}

/// Expects the calls of so many bursts, and `lines` calls of `write` more.
fn check_burst(before: &Counted, after: &Counted, bursts: u64, lines: u64) -> Result<()> {
    let [local, moved, native] = BURST.map(|count| count * bursts);
    let text = || format!("{before:?}\nbecame {after:?}");
    ensure!(after.lost == 0, "{}", text());
    let getppid = new(before, after, libc::SYS_getppid);
    ensure!(getppid.local == local, "{getppid:?} of {}", text());
    ensure!(getppid.moved + getppid.native == 0, "{getppid:?}");
    let write = new(before, after, libc::SYS_write);
    ensure!(write.moved == moved + lines, "{write:?} of {}", text());
    ensure!(write.local + write.native == 0, "{write:?}");
    let times = [write.travel_ns, write.linux_ns, write.longest_ns];
    ensure!(times.iter().all(|time| *time > 0), "{write:?}");
    let mean = (write.travel_ns + write.linux_ns) / write.moved;
    ensure!(write.longest_ns >= mean, "{write:?}");
    let yields = new(before, after, libc::SYS_sched_yield);
    ensure!(yields.native + yields.local == native, "{yields:?}");
    // Linux has to where somebody waits, which a kernel thread may do for a moment.
    ensure!(yields.native > native / 2, "{yields:?}");
    ensure!(yields.moved == 0, "{yields:?}");
    Ok(())
}

/// One thread, then two, then one again; sum and threads.
pub(super) fn exact() -> Result<()> {
    let mut run = Run::start(&NO_BATCH)?;
    let (sum, own) = (calls::sum(run.job)?, run.thread(run.tid)?);
    let own = own.context("no thread made a call")?;
    run.program.go()?;
    run.program.expect("burst")?;
    let (sum_one, own_one) = (calls::sum(run.job)?, run.thread(run.tid)?);
    let own_one = own_one.context("no thread made a call")?;
    ensure!(
        own_one.comm == "guest-tests" || own_one.comm == "init",
        "{own_one:?}"
    );
    check_burst(&sum, &sum_one, 1, 1).context("the sum")?;
    check_burst(&own, &own_one, 1, 1).context("the thread")?;
    let stayed = new(&own, &own_one, libc::SYS_write).stayed;
    ensure!(stayed == 0, "{stayed} calls without leave to stay");
    run.program.go()?;
    let other = run.program.expect("other")?;
    run.program.expect("burst")?;
    let sum_two = calls::sum(run.job)?;
    let other_two = run.thread(other)?.context("the other thread")?;
    // Two lines were written, one by each.
    check_burst(&sum_one, &sum_two, 1, 2).context("the sum of two")?;
    let nothing = Counted {
        tid: 0,
        comm: String::new(),
        lost: 0,
        records: Vec::new(),
    };
    check_burst(&nothing, &other_two, 1, 1).context("the other thread")?;
    let found: Vec<u32> = calls::threads(run.job)?.iter().map(|c| c.tid).collect();
    ensure!(found == [run.tid, other], "{found:?}");
    told_alike(run.job)?;
    run.program.go()?;
    run.program.expect("ended")?;
    ensure!(run.thread(other)?.is_none(), "the other thread is told of");
    let sum_end = calls::sum(run.job)?;
    check_burst(&sum, &sum_end, 2, 4).context("the sum after the end of one")?;
    told_alike(run.job)?;
    run.program.go()?;
    run.program.finish()
}

/// What `lwkctl syscalls` tells is what the device tells.
fn told_alike(job: u32) -> Result<()> {
    let told = json(&["syscalls", &job.to_string(), "--threads", "--json"])?;
    check_json(&calls::sum(job)?, &told)?;
    let threads = told["threads"].as_array().context("no threads")?;
    let counted = calls::threads(job)?;
    ensure!(threads.len() == counted.len(), "{counted:?}, {told}");
    for (thread, counted) in threads.iter().zip(&counted) {
        ensure!(
            thread["tid"] == counted.tid && thread["comm"] == counted.comm.as_str(),
            "{counted:?}, {thread}"
        );
        check_json(counted, thread)?;
    }
    Ok(())
}

fn check_json(counted: &Counted, told: &Value) -> Result<()> {
    let rows = told["calls"].as_array().context("no calls")?;
    let made = |record: &&CallRecord| record.local + record.moved + record.native > 0;
    let records: Vec<_> = counted.records.iter().filter(made).collect();
    ensure!(rows.len() == records.len(), "{counted:?}, {told}");
    for record in records {
        let row = rows.iter().find(|row| row["number"] == record.call);
        let row = row.with_context(|| format!("no call {} in {told}", record.call))?;
        for (key, value) in [
            ("local", record.local),
            ("moved", record.moved),
            ("stayed", record.stayed),
            ("native", record.native),
            ("travel_ns", record.travel_ns),
            ("linux_ns", record.linux_ns),
            ("local_ns", record.local_ns),
            ("longest_ns", record.longest_ns),
            ("count", record.local + record.moved + record.native),
        ] {
            ensure!(row[key] == value, "{key}: {record:?}, {row}");
        }
    }
    Ok(())
}

/// Calls that stay are measured if somebody asks for it.
pub(super) fn timed() -> Result<()> {
    let mut run = Run::start(&NO_BATCH)?;
    let untimed = calls::sum(run.job)?;
    ensure!(
        untimed.records.iter().all(|record| record.local_ns == 0),
        "{untimed:?}"
    );
    job::lwkctl(&["syscalls", &run.job.to_string(), "--timed"])?;
    run.program.go()?;
    run.program.expect("burst")?;
    let timed = calls::sum(run.job)?;
    check_burst(&untimed, &timed, 1, 1)?;
    let getppid = timed.of(libc::SYS_getppid);
    ensure!(getppid.local_ns > 0, "{getppid:?}");
    let mean = getppid.local_ns / getppid.local;
    ensure!(getppid.longest_ns >= mean, "{getppid:?}");
    run.program.kill()
}

/// Calls for which a thread was there already are told apart.
pub(super) fn stayed() -> Result<()> {
    let mut run = Run::start(&["--syscall-batch", "1ms"])?;
    let before = calls::sum(run.job)?;
    run.program.go()?;
    run.program.expect("burst")?;
    let after = calls::sum(run.job)?;
    check_burst(&before, &after, 1, 1)?;
    let write = new(&before, &after, libc::SYS_write);
    ensure!(write.stayed > write.moved / 2, "{write:?}");
    run.program.kill()
}

/// A job all of whose calls stay does not pay for counting, unless it is told to.
pub(super) fn uncounted() -> Result<()> {
    let mut run = Run::start(&["--syscalls", "local=all"])?;
    run.program.go()?;
    run.program.expect("burst")?;
    let sum = calls::sum(run.job)?;
    ensure!(sum.records.is_empty(), "{sum:?}");
    job::lwkctl(&["syscalls", &run.job.to_string(), "--timed"])?;
    run.program.go()?;
    run.program.expect("other")?;
    run.program.expect("burst")?;
    let sum = calls::sum(run.job)?;
    let (getppid, write) = (sum.of(libc::SYS_getppid), sum.of(libc::SYS_write));
    ensure!(getppid.local == BURST[0], "{getppid:?}");
    ensure!(write.local >= BURST[1] && write.moved == 0, "{write:?}");
    run.program.kill()
}

/// The report at the end of a program, which otherwise ends as without.
pub(super) fn report() -> Result<()> {
    let told = job::run(&mut job::yod_inside(
        &["--syscall-report", "-c", "2"],
        &["calls-once"],
    ))?;
    told.expect_code(0)?;
    ensure!(told.stdout.is_empty(), "{told:?}");
    for (name, place, count) in [("getppid", "local", "1"), ("sched_yield", "native", "1")] {
        let is_row = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.starts_with(&[name, place, count])
        };
        ensure!(told.stderr.lines().any(is_row), "no {name}: {told:?}");
    }
    ensure!(told.stderr.contains("openat"), "{told:?}");
    let with = |program: &[&str]| {
        let mut command = job::yod(&["--syscall-report"]);
        job::run(command.args(program))
    };
    with(&["/init", "inside", "calls-end", "7"])?.expect_code(7)?;
    with(&["/no/such"])?.expect_code(127)?;
    let killed = with(&["sh", "-c", "kill -TERM $$"])?;
    ensure!(killed.signal == Some(15), "{killed:?}");
    job::check_idle()
}
