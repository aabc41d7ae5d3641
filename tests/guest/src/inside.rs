// SPDX-License-Identifier: GPL-2.0
//! The programs that the tests run as jobs. They are ordinary programs: none of them knows about the LWK.
//!
//! Results go to standard output as lines of `key value`.

mod calls;
pub(crate) mod features;
mod limits;
mod load;
mod pages;
mod promises;
mod sched;
mod shared;
mod threads;
mod users;

pub(crate) use calls::work as prey;

use std::process::ExitCode;

use anyhow::{bail, ensure, Context, Result};
use rustix::thread::sched_getcpu;

use crate::cpus;

type Program = fn(&[&str]) -> Result<()>;

const PROGRAMS: &[(&str, Program)] = &[
    ("where", where_am_i),
    ("user-tries", users::tries),
    ("user-reads", users::reads),
    ("hog", users::hog),
    ("user-maps", users::maps),
    ("busy", users::busy),
    ("soft-offline", users::soft_offline),
    ("affinity", affinity),
    ("beat", load::beat),
    ("spin", load::spin),
    ("spin-registered", load::spin_registered),
    ("spin-twice", threads::spin_twice),
    ("unmap", threads::unmap),
    ("storm", load::storm),
    ("children", load::children),
    ("into-cgroup", load::into_cgroup),
    ("syscalls", load::syscalls),
    ("touch", load::touch),
    ("turns", load::turns),
    ("timers", load::timers),
    ("enter", load::enter),
    ("map", pages::map),
    ("pagemap", features::pagemap),
    ("foreign-access", features::foreign_access),
    ("pinned", features::pinned),
    ("direct", features::direct),
    ("userfault", features::userfault),
    ("barrier", features::barrier),
    ("mincore", features::mincore),
    ("nodes", features::nodes),
    ("memfd", features::memfd),
    ("core", features::core),
    ("soft-dirty", features::soft_dirty),
    ("pkey", features::pkey),
    ("mlock", features::mlock),
    ("poison", features::poison),
    ("poison-giant", features::poison_giant),
    ("hugetlb", shared::hugetlb),
    ("shared", shared::shared),
    ("leave-segment", shared::leave_segment),
    ("main-stack", shared::main_stack),
    ("sparse", pages::sparse),
    ("heap", pages::heap),
    ("stack", pages::stack),
    ("unneeded", pages::unneeded),
    ("cow", pages::cow),
    ("split", pages::split),
    ("leave", pages::leave),
    ("exec", pages::exec),
    ("memcg", pages::memcg),
    ("locked-new", limits::locked_new),
    ("lock-beyond", limits::lock_beyond),
    ("badness", limits::badness),
    ("memcg-oom", limits::memcg_oom),
    ("leave-jobs", limits::leave_jobs),
    ("enter-shared", limits::enter_shared),
    ("heap-file", limits::heap_file),
    ("heap-exact", limits::heap_exact),
    ("file-end", limits::file_end),
    ("become", limits::become_other),
    ("reserve", limits::reserve),
    ("map-file", limits::map_file),
    ("beyond-linux", promises::beyond_linux),
    ("move-pages", promises::move_pages),
    ("punch", promises::punch),
    ("full-stack", promises::full_stack),
    ("vdso", pages::vdso),
    ("grows-down", pages::grows_down),
    ("churn", pages::churn),
    ("threads", threads::placed),
    ("crowd", threads::crowd),
    ("yield", threads::yielding),
    ("waiting", threads::waiting),
    ("pingpong", threads::pingpong),
    ("fuzz-prey", crate::fuzz::prey),
    ("orphan-thread", threads::orphan),
    ("two-threaded-enter", threads::enter),
    ("spin-as", sched::spin_as),
    ("spin-fifo", sched::spin_fifo),
    ("meet", sched::meet),
    ("beside", sched::beside),
    ("rt-limit", sched::limit),
    ("rt-turns", sched::turns),
    ("beat-beside", sched::beat_beside),
    ("boosts", sched::boosts),
    ("read-by-bpf", sched::read_by_bpf),
    ("spin-with-cookie", sched::spin_with_cookie),
    ("with-cookie", sched::with_cookie),
    ("deadline", sched::deadline),
];

/// Runs the program called `name`.
pub(crate) fn main(name: &str, args: &[&str]) -> ExitCode {
    let mut programs = PROGRAMS.iter().chain(calls::PROGRAMS);
    let result = match programs.find(|(known, _)| *known == name) {
        Some((_, program)) => program(args),
        None => Err(anyhow::anyhow!("no program is called {name:?}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("inside {name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The argument at `index` as a number.
fn number(args: &[&str], index: usize) -> Result<usize> {
    let text = args
        .get(index)
        .with_context(|| format!("argument {index} is missing"))?;
    text.parse().with_context(|| format!("argument {text:?}"))
}

/// Prints where this process runs and where it may run.
fn where_am_i(_: &[&str]) -> Result<()> {
    let list = |set: cpus::Cpus| {
        set.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",")
    };
    println!("cpu {}", sched_getcpu());
    println!("affinity {}", list(cpus::affinity(0)?));
    println!(
        "status {}",
        crate::proc::status_field("/proc/self/status", "Cpus_allowed_list")?
    );
    println!(
        "scheduler {}",
        crate::proc::status_field("/proc/self/sched", "policy").unwrap_or_default()
    );
    println!("pid {}", std::process::id());
    Ok(())
}

/// Moves itself to each CPU of the first list in turn, then expects `EINVAL` for each set of the others.
fn affinity(args: &[&str]) -> Result<()> {
    let (own, foreign) = args.split_first().context("which CPUs?")?;
    let own = cpus::parse(own)?;
    for &cpu in &own {
        let only = cpus::Cpus::from([cpu]);
        cpus::set_affinity(0, &only).with_context(|| format!("CPU {cpu}"))?;
        ensure!(
            cpus::affinity(0)? == only,
            "asked for CPU {cpu}, got {:?}",
            cpus::affinity(0)?
        );
        for _ in 0..100 {
            ensure!(
                sched_getcpu() == cpu,
                "asked for CPU {cpu}, runs on {}",
                sched_getcpu()
            );
        }
    }
    cpus::set_affinity(0, &own).context("back to all CPUs of the job")?;
    for list in foreign {
        match cpus::set_affinity(0, &cpus::parse(list)?) {
            Err(rustix::io::Errno::INVAL) => {}
            other => bail!("CPUs {list} outside of the job gave {other:?}"),
        }
        ensure!(
            cpus::affinity(0)? == own,
            "a refused call changed the affinity to {:?}",
            cpus::affinity(0)?
        );
        ensure!(
            own.contains(&sched_getcpu()),
            "runs on CPU {}",
            sched_getcpu()
        );
    }
    Ok(())
}
