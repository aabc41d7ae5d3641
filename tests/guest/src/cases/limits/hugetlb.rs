// SPDX-License-Identifier: GPL-2.0
//! What jobs have of hugetlbfs, which keeps the pages of all in common lists.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Stdio};

use anyhow::{ensure, Context, Result};
use rustix::mm::MapFlags;

use super::M;
use crate::job::{self, yod_inside};
use crate::sys::map::Mapping;

/// A job that reserves 8 MiB of hugetlbfs, in pages of 2 MiB.
struct Reserving {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Reserving {
    /// Starts it; `then` says what it does when it is told to go on.
    fn start(then: &str) -> Result<Self> {
        let options = [
            "-C",
            "1",
            "-M",
            "32M",
            "--pagefault",
            "anon_private:onefault",
        ];
        let mut child = yod_inside(&options, &["reserve", "8", then])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("yod")?;
        let out = BufReader::new(child.stdout.take().context("no pipe")?);
        let mut it = Self { child, out };
        it.expect("reserved 1")?;
        Ok(it)
    }

    fn expect(&mut self, wanted: &str) -> Result<()> {
        let mut line = String::new();
        self.out.read_line(&mut line).context("the job")?;
        ensure!(line.trim() == wanted, "{line:?}");
        Ok(())
    }

    fn tell(&mut self) -> Result<()> {
        let input = self.child.stdin.as_mut().context("no pipe")?;
        input.write_all(&[1]).context("the job")
    }

    /// Has it do what it was started for.
    fn go_on(&mut self) -> Result<()> {
        self.tell()?;
        self.expect("done 1")
    }

    /// Bytes in use of what it was promised.
    fn used(&self) -> Result<u64> {
        let jobs = job::jobs()?;
        let job = jobs.iter().find(|job| job.pid == self.child.id());
        Ok(job.context("no job")?.used)
    }

    fn end(mut self) -> Result<()> {
        self.tell()?;
        let status = self.child.wait().context("wait")?;
        ensure!(status.success(), "{status}");
        Ok(())
    }

    fn kill(mut self) -> Result<()> {
        self.child.kill().context("kill")?;
        self.child.wait().context("wait").map(drop)
    }
}

pub(super) fn own() -> Result<()> {
    let mut first = Reserving::start("use")?;
    let mut second = Reserving::start("use")?;
    first.go_on()?;
    first.end()?;
    // Its memory is home, and the other job has what it reserved.
    ensure!(second.used()? >= 8 * M, "{} of 8 MiB", second.used()?);
    second.go_on()?;
    ensure!(second.used()? >= 8 * M, "{} of 8 MiB", second.used()?);
    second.end()
}

pub(super) fn unreserve() -> Result<()> {
    // One lets go of it as it exits, without an address space, the other while it goes on.
    let exits = Reserving::start("use")?;
    let mut drops = Reserving::start("drop")?;
    exits.kill()?;
    ensure!(drops.used()? >= 8 * M, "{} of 8 MiB", drops.used()?);
    let mut last = Reserving::start("use")?;
    drops.go_on()?;
    ensure!(drops.used()? < 8 * M, "{} after 8 MiB", drops.used()?);
    ensure!(last.used()? >= 8 * M, "{} of 8 MiB", last.used()?);
    drops.end()?;
    last.go_on()?;
    ensure!(last.used()? >= 8 * M, "{} of 8 MiB", last.used()?);
    last.end()
}

pub(super) fn overcommit() -> Result<()> {
    let path = "/proc/sys/vm/nr_overcommit_hugepages";
    let usual = fs::read_to_string(path).context(path)?;
    fs::write(path, "4").context(path)?;
    let result = beside_job();
    fs::write(path, usual).context(path)?;
    result
}

fn beside_job() -> Result<()> {
    let map = |nr: u64| {
        let len = usize::try_from(nr * 2 * M)?;
        Mapping::hugetlb(len, MapFlags::SHARED | MapFlags::HUGE_2MB)
    };
    let mut job = Reserving::start("use")?;
    job.go_on()?;
    let mut all = map(4)?;
    all.bytes_mut().fill(1);
    ensure!(map(1).is_err(), "more than the limit");
    job.end()?;
    ensure!(map(1).is_err(), "more than the limit without the job");
    drop(all);
    map(4).map(drop)
}
