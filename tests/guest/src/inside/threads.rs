// SPDX-License-Identifier: GPL-2.0
//! Programs with several threads.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};

use anyhow::{anyhow, ensure, Context, Result};
use lwk_logic::uapi;
use rustix::thread::{sched_getcpu, sched_yield};

use super::load::{compute, spin};
use super::number;
use crate::cpus::{self, Cpus};
use crate::sys::lwk::{self, size_of_abi};
use crate::sys::FreshPages;

/// Runs that many threads and prints all CPUs they ever ran on: first they all compute until the last has begun, then
/// each computes and sleeps in turns.
pub(super) fn placed(args: &[&str]) -> Result<()> {
    let count = number(args, 0)?;
    let begun = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..count)
        .map(|_| {
            let begun = Arc::clone(&begun);
            std::thread::spawn(move || {
                let mut seen = BTreeSet::new();
                // ORDERING: the counter is all that the threads share.
                begun.fetch_add(1, Ordering::Relaxed);
                while begun.load(Ordering::Relaxed) < count {
                    seen.insert(sched_getcpu());
                    std::hint::black_box(compute(1_000));
                }
                for _ in 0..50 {
                    seen.insert(sched_getcpu());
                    std::hint::black_box(compute(20_000));
                    std::thread::sleep(std::time::Duration::from_micros(200));
                }
                (seen, cpus::affinity(0))
            })
        })
        .collect();
    let (mut seen, mut allowed) = (BTreeSet::new(), BTreeSet::new());
    for thread in threads {
        let (cpus, affinity) = thread.join().map_err(|_| anyhow!("a thread panicked"))?;
        seen.extend(cpus);
        allowed.extend(affinity?);
    }
    let list = |set: BTreeSet<usize>| {
        set.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",")
    };
    println!("cpus {}", list(seen));
    println!("affinity {}", list(allowed));
    Ok(())
}

/// Runs more spinning threads than there are CPUs, none of which ever sleeps or yields, until each of them has done
/// its share; a scheduler that lets one keep its CPU never gets there.
pub(super) fn crowd(args: &[&str]) -> Result<()> {
    let (count, share) = (number(args, 0)?, number(args, 1)? as u64);
    let done: Arc<Vec<AtomicU64>> = Arc::new((0..count).map(|_| AtomicU64::new(0)).collect());
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..count)
        .map(|me| {
            let (done, stop) = (Arc::clone(&done), Arc::clone(&stop));
            std::thread::spawn(move || {
                // ORDERING: the counters carry no other data; joining the threads orders what is read at the end.
                while !stop.load(Ordering::Relaxed) {
                    std::hint::black_box(compute(10_000));
                    if done
                        .get(me)
                        .map_or(0, |mine| mine.fetch_add(1, Ordering::Relaxed))
                        < share
                    {
                        continue;
                    }
                    // ORDERING: as above.
                    if done
                        .iter()
                        .all(|other| other.load(Ordering::Relaxed) >= share)
                    {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| anyhow!("a thread panicked"))?;
    }
    // ORDERING: every thread was joined.
    println!(
        "least {}",
        done.iter()
            .map(|n| n.load(Ordering::Relaxed))
            .min()
            .unwrap_or(0)
    );
    Ok(())
}

/// Two threads on one CPU pass a token by `sched_yield` alone: each spins until it is its turn.
pub(super) fn yielding(args: &[&str]) -> Result<()> {
    let (cpu, rounds) = (number(args, 0)?, number(args, 1)? as u64);
    cpus::set_affinity(0, &Cpus::from([cpu])).context("sched_setaffinity")?;
    let turn = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..2)
        .map(|me| {
            let turn = Arc::clone(&turn);
            std::thread::spawn(move || {
                let mut yields = 0_u64;
                for round in 0..rounds {
                    // ORDERING: the token itself is all that the threads share.
                    while turn.load(Ordering::Relaxed) != round * 2 + me {
                        sched_yield();
                        yields += 1;
                    }
                    turn.fetch_add(1, Ordering::Relaxed);
                }
                yields
            })
        })
        .collect();
    let mut yields = 0;
    for thread in threads {
        yields += thread.join().map_err(|_| anyhow!("a thread panicked"))?;
    }
    println!("yields {yields}");
    Ok(())
}

/// Two computing threads share the first CPU, though they may use the second one too, which falls idle; prints where
/// they run from then on.
pub(super) fn waiting(args: &[&str]) -> Result<()> {
    let (shared, other) = (number(args, 0)?, number(args, 1)?);
    cpus::set_affinity(0, &Cpus::from([other])).context("sched_setaffinity")?;
    let tids = Arc::new(Mutex::new(Vec::new()));
    let (is_idle, stop) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (tids, is_idle, stop) =
                (Arc::clone(&tids), Arc::clone(&is_idle), Arc::clone(&stop));
            std::thread::spawn(move || -> Result<Cpus> {
                cpus::set_affinity(0, &Cpus::from([shared])).context("sched_setaffinity")?;
                tids.lock()
                    .map_err(|_| anyhow!("poisoned"))?
                    .push(rustix::thread::gettid());
                let mut seen = Cpus::new();
                // ORDERING: the flags carry no data.
                while !stop.load(Ordering::Relaxed) {
                    std::hint::black_box(compute(1_000));
                    if is_idle.load(Ordering::Relaxed) {
                        seen.insert(sched_getcpu());
                    }
                }
                Ok(seen)
            })
        })
        .collect();
    let both = || tids.lock().map(|tids| tids.len() == 2);
    while !both().map_err(|_| anyhow!("poisoned"))? {
        std::hint::black_box(compute(1_000));
    }
    for tid in tids.lock().map_err(|_| anyhow!("poisoned"))?.iter() {
        cpus::set_affinity(tid.as_raw_nonzero().get(), &Cpus::from([shared, other]))
            .context("sched_setaffinity of a thread")?;
    }
    // ORDERING: as above.
    is_idle.store(true, Ordering::Relaxed);
    std::thread::sleep(std::time::Duration::from_secs(1));
    stop.store(true, Ordering::Relaxed);
    let mut seen = Cpus::new();
    for thread in threads {
        seen.extend(thread.join().map_err(|_| anyhow!("a thread panicked"))??);
    }
    let seen: Vec<_> = seen.iter().map(ToString::to_string).collect();
    println!("cpus {}", seen.join(","));
    Ok(())
}

/// Two threads, each on a CPU of its own, wake each other by futex that many times.
pub(super) fn pingpong(args: &[&str]) -> Result<()> {
    let rounds = number(args, 0)? as u64;
    let homes = [number(args, 1)?, number(args, 2)?];
    let shared = Arc::new((Mutex::new(0_u64), Condvar::new()));
    let start = Arc::new(Barrier::new(2));
    let threads: Vec<_> = (0..2_u64)
        .zip(homes)
        .map(|(me, home)| {
            let (shared, start) = (Arc::clone(&shared), Arc::clone(&start));
            std::thread::spawn(move || -> Result<usize> {
                let moved = cpus::set_affinity(0, &Cpus::from([home])).context("sched_setaffinity");
                // Both wait here even if one could not move, so that neither waits for ever.
                start.wait();
                moved?;
                let (turn, changed) = &*shared;
                for round in 0..rounds {
                    let guard = turn.lock().map_err(|_| anyhow!("poisoned"))?;
                    let mut guard = changed
                        .wait_while(guard, |turn| *turn != round * 2 + me)
                        .map_err(|_| anyhow!("poisoned"))?;
                    *guard += 1;
                    drop(guard);
                    changed.notify_one();
                }
                Ok(sched_getcpu())
            })
        })
        .collect();
    for (thread, home) in threads.into_iter().zip(homes) {
        let cpu = thread.join().map_err(|_| anyhow!("a thread panicked"))??;
        ensure!(cpu == home, "the thread of CPU {home} ended on CPU {cpu}");
    }
    println!(
        "turns {}",
        shared.0.lock().map_err(|_| anyhow!("poisoned"))?
    );
    Ok(())
}

/// Makes a job while it has two threads and prints how entering it ended.
pub(super) fn enter(_: &[&str]) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let other = {
        let stop = Arc::clone(&stop);
        // ORDERING: the flag carries no data.
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                sched_yield()
            }
        })
    };
    let device = lwk::open()?;
    let mut create = uapi::JobCreate {
        size: size_of_abi::<uapi::JobCreate>(),
        ..Default::default()
    };
    lwk::job_create(&device, &mut create, &[]).context("LWK_JOB_CREATE")?;
    let before = cpus::affinity(0)?;
    let mut enter = uapi::JobEnter {
        size: size_of_abi::<uapi::JobEnter>(),
        job: create.job,
        ..Default::default()
    };
    println!("enter {:?}", lwk::job_enter(&device, &mut enter, &[]));
    ensure!(
        cpus::affinity(0)? == before,
        "a refused LWK_JOB_ENTER changed the affinity"
    );
    // ORDERING: as above.
    stop.store(true, Ordering::Relaxed);
    other.join().map_err(|_| anyhow!("a thread panicked"))
}

/// Starts a thread that computes for ever and ends the main thread alone.
pub(super) fn orphan(_: &[&str]) -> Result<()> {
    std::thread::spawn(|| loop {
        std::hint::black_box(compute(1_000_000));
    });
    crate::sys::exit_thread()
}

/// Two threads that compute for ever.
pub(super) fn spin_twice(args: &[&str]) -> Result<()> {
    std::thread::spawn(|| loop {
        std::hint::black_box(compute(1_000_000));
    });
    spin(args)
}

/// Maps, touches and unmaps memory for ever, while another thread computes; writes a byte now and then.
pub(super) fn unmap(_: &[&str]) -> Result<()> {
    std::thread::spawn(|| loop {
        std::hint::black_box(compute(1_000_000));
    });
    let mut out = std::io::stdout();
    loop {
        for _ in 0..5 {
            FreshPages::map(16)?.touch();
        }
        out.write_all(b".").context("writing a beat")?;
        out.flush().context("writing a beat")?;
    }
}
