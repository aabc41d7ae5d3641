// SPDX-License-Identifier: GPL-2.0
//! Processes and memory of others.

use std::time::Duration;

use anyhow::{ensure, Context, Result};
use rustix::fs::{ftruncate, memfd_create, MemfdFlags};
use rustix::mm::Advice;

use crate::kernel::{self, Restored};
use crate::measure::Meter;
use crate::suites::process::own_program;
use crate::sys::disturb;
use crate::sys::memory::{Access, Pages, Region, LARGE, PAGE};
use crate::sys::process::{exec, forked};

/// Bytes of a mapping of several pages.
const SOME: usize = 16 * PAGE;

/// The folder of transparent large pages.
const THP: &str = "/sys/kernel/mm/transparent_hugepage";

pub(super) fn fork_exit(meter: &mut Meter) -> Result<()> {
    meter.disturb(|_| forked(|| 0)?.finish())
}

pub(super) fn fork_exec(meter: &mut Meter) -> Result<()> {
    let program = own_program()?;
    meter.disturb(|_| forked(|| exec(&program, &["true"]))?.finish())
}

pub(super) fn thread_storm(meter: &mut Meter) -> Result<()> {
    meter.disturb(|number| {
        let builder = std::thread::Builder::new().stack_size(64 << 10);
        let got = builder.spawn(move || number)?.join();
        ensure!(
            got.is_ok_and(|got| got == number),
            "a thread's result got lost"
        );
        Ok(())
    })
}

pub(super) fn mmap_churn(meter: &mut Meter) -> Result<()> {
    meter.disturb(|_| {
        let mut region = Region::advised(SOME, Pages::Small)?;
        region.touch(PAGE);
        region.unmap()
    })
}

pub(super) fn mprotect(meter: &mut Meter) -> Result<()> {
    let mut region = Region::advised(SOME, Pages::Small)?;
    meter.disturb(|_| {
        region.touch(PAGE);
        region.protect_part(0, SOME, Access::ReadOnly)?;
        region.protect_part(0, SOME, Access::ReadWrite)
    })
}

pub(super) fn dontneed(meter: &mut Meter) -> Result<()> {
    let mut region = Region::advised(SOME, Pages::Small)?;
    meter.disturb(|_| {
        region.touch(PAGE);
        region.advise(Advice::LinuxDontNeed)
    })
}

pub(super) fn mlock(meter: &mut Meter) -> Result<()> {
    let mut region = Region::advised(SOME, Pages::Small)?;
    meter.disturb(|_| region.lock_and_unlock())
}

pub(super) fn thp_collapse(meter: &mut Meter) -> Result<()> {
    kernel::need(THP)?;
    meter.disturb(|_| {
        let mut region = small_pages(2 * LARGE)?;
        disturb::collapse(&mut region)
    })
}

/// Touched small pages that may become large ones.
fn small_pages(len: usize) -> Result<Region> {
    let mut region = Region::advised(len + LARGE, Pages::Small)?;
    region.touch(PAGE);
    region.advise(Advice::LinuxHugepage)?;
    Ok(region)
}

pub(super) fn khugepaged(meter: &mut Meter) -> Result<()> {
    let file = |name: &str| Restored::remember(&format!("{THP}/khugepaged/{name}"));
    let (scan, alloc, pages) = (
        file("scan_sleep_millisecs")?,
        file("alloc_sleep_millisecs")?,
        file("pages_to_scan")?,
    );
    meter.disturb(|_| {
        let region = small_pages(4 * LARGE)?;
        pages.set("100000")?;
        alloc.set("1")?;
        // Written last: it wakes khugepaged.
        scan.set("1")?;
        eventually("khugepaged collapses nothing", || huge_pages_of(&region))?;
        scan.reset()
    })
}

/// Whether a region has large pages.
fn huge_pages_of(region: &Region) -> Result<bool> {
    let text = kernel::read("/proc/self/smaps")?;
    let start = format!("{:x}-", region.addr());
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&start));
    let huge = lines.find_map(|line| line.strip_prefix("AnonHugePages:"));
    let huge = huge.context("/proc/self/smaps: no AnonHugePages")?;
    Ok(huge.trim() != "0 kB")
}

/// Looks up to 50 times, which is a number of times and not a length of time so that runs are equal.
fn eventually(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    for _ in 0..50 {
        if is_so()? {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(4));
    }
    anyhow::bail!("{what}")
}

pub(super) fn thp_switch(meter: &mut Meter) -> Result<()> {
    let enabled = Restored::remember(&format!("{THP}/enabled"))?;
    meter.disturb(|_| {
        enabled.set("always")?;
        enabled.set("never")
    })
}

pub(super) fn ksm(meter: &mut Meter) -> Result<()> {
    const KSM: &str = "/sys/kernel/mm/ksm";
    let file = |name: &str| Restored::remember(&format!("{KSM}/{name}"));
    let (run, pages, sleep) = (
        file("run")?,
        file("pages_to_scan")?,
        file("sleep_millisecs")?,
    );
    pages.set("1000")?;
    sleep.set("1")?;
    let mut region = Region::advised(64 * PAGE, Pages::Small)?;
    region.touch(PAGE);
    region.advise(Advice::LinuxMergeable)?;
    meter.disturb(|_| {
        run.set("1")?;
        eventually("KSM merges nothing", || {
            Ok(kernel::read(&format!("{KSM}/pages_sharing"))? != "0")
        })?;
        // Parts what was merged, and stops.
        run.set("2")?;
        run.set("0")
    })
}

pub(super) fn hugetlb(meter: &mut Meter) -> Result<()> {
    let reserve = Restored::remember("/proc/sys/vm/nr_hugepages")?;
    meter.disturb(|_| {
        reserve.set("8")?;
        reserve.reset()
    })
}

pub(super) fn compact(meter: &mut Meter) -> Result<()> {
    meter.disturb(|_| kernel::set("/proc/sys/vm/compact_memory", "1"))
}

pub(super) fn drop_caches(meter: &mut Meter) -> Result<()> {
    meter.disturb(|_| kernel::set("/proc/sys/vm/drop_caches", "3"))
}

pub(super) fn stat_refresh(meter: &mut Meter) -> Result<()> {
    meter.disturb(|_| kernel::set("/proc/sys/vm/stat_refresh", "1"))
}

pub(super) fn overcommit(meter: &mut Meter) -> Result<()> {
    let policy = Restored::remember("/proc/sys/vm/overcommit_memory")?;
    meter.disturb(|_| {
        policy.set("2")?;
        policy.reset()
    })
}

pub(super) fn memfd(meter: &mut Meter) -> Result<()> {
    meter.disturb(|_| {
        let file = memfd_create("noise", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, 1 << 20)?;
        let written = rustix::io::write(&file, &[1; SOME])?;
        ensure!(written == SOME, "wrote {written} bytes");
        Ok(())
    })
}

pub(super) fn userfaultfd(meter: &mut Meter) -> Result<()> {
    meter.disturb(|_| disturb::userfaultfd())
}

pub(super) fn coredump(meter: &mut Meter) -> Result<()> {
    use nix::sys::wait::{waitpid, WaitStatus};
    let pattern = Restored::remember("/proc/sys/kernel/core_pattern")?;
    pattern.set("/dev/shm/core")?;
    nix::sys::resource::setrlimit(
        nix::sys::resource::Resource::RLIMIT_CORE,
        nix::sys::resource::RLIM_INFINITY,
        nix::sys::resource::RLIM_INFINITY,
    )
    .context("setrlimit")?;
    let measured = meter.disturb(|_| {
        let child = forked(|| {
            let died = nix::sys::signal::raise(nix::sys::signal::Signal::SIGQUIT);
            i32::from(died.is_err())
        })?;
        let status = waitpid(child.pid(), None).context("waitpid")?;
        ensure!(
            matches!(status, WaitStatus::Signaled(_, _, true)),
            "no core: {status:?}"
        );
        Ok(())
    });
    for entry in std::fs::read_dir("/dev/shm").context("/dev/shm")?.flatten() {
        if entry.file_name().to_string_lossy().starts_with("core") {
            // The next run has another file system.
            let _ = std::fs::remove_file(entry.path());
        }
    }
    measured
}
