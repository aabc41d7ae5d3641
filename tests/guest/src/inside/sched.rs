// SPDX-License-Identifier: GPL-2.0
//! Programs with real-time policies, limits, boosts and cookies.

use std::hint::black_box;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use nix::libc;
use nix::sys::resource::{setrlimit, Resource};
use nix::sys::signal::Signal;
use rustix::thread::sched_getcpu;
use rustix::time::{clock_gettime, ClockId};

use super::load::{compute, spin};
use super::number;
use crate::cpus::{self, Cpus};
use crate::sys::bpf::Reader;
use crate::sys::map::Mapping;
use crate::sys::mutex::SharedMutex;
use crate::sys::sched::{cookie, policy, set_policy, turn, Cookie, Policy};
use crate::sys::signal::{note_signal, noted, Interrupted};

fn policy_of(word: &str, priority: i32) -> Result<Policy> {
    Ok(match word {
        "other" => Policy::Other,
        "fifo" => Policy::Fifo(priority),
        "rr" => Policy::RoundRobin(priority),
        _ => bail!("no policy {word:?}"),
    })
}

/// Computes for ever with a policy; says first where.
pub(super) fn spin_as(args: &[&str]) -> Result<()> {
    let word = args.first().context("which policy?")?;
    set_policy(0, policy_of(word, 1)?).context("policy")?;
    spin(&[])
}

/// As `spin-as`, by names that need no argument.
pub(super) fn spin_fifo(_: &[&str]) -> Result<()> {
    spin_as(&["fifo"])
}

/// So many threads, the first of which got its policy before it made the others, meet so often in a barrier at which they
/// spin, beside as many usual threads that compute all the time.
pub(super) fn meet(args: &[&str]) -> Result<()> {
    let (nr, rounds, hogs) = (number(args, 0)?, number(args, 1)?, number(args, 2)?);
    let (arrived, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let seen: Vec<AtomicU64> = (0..nr).map(|_| AtomicU64::new(0)).collect();
    std::thread::scope(|scope| -> Result<()> {
        for _ in 0..hogs {
            // ORDERING: Relaxed everywhere: the words carry no other data.
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    black_box(compute(1_000));
                }
            });
        }
        set_policy(0, Policy::Fifo(1)).context("SCHED_FIFO")?;
        let (arrived, seen) = (&arrived, &seen);
        let work = move |me: usize| {
            for round in 1..=rounds {
                arrived.fetch_add(1, Ordering::Relaxed);
                while arrived.load(Ordering::Relaxed) < round * nr {
                    black_box(compute(100));
                }
                if let Some(cpus) = seen.get(me) {
                    cpus.fetch_or(1 << sched_getcpu(), Ordering::Relaxed);
                }
            }
        };
        let others: Vec<_> = (1..nr).map(|me| scope.spawn(move || work(me))).collect();
        work(0);
        for other in others {
            other.join().map_err(|_| anyhow::anyhow!("a panic"))?;
        }
        stop.store(true, Ordering::Relaxed);
        Ok(())
    })?;
    let cpus = seen
        .iter()
        .fold(0, |all, one| all | one.load(Ordering::Relaxed));
    println!("cpus {cpus:#b}");
    Ok(())
}

/// Two threads on one CPU with these policies and priorities; the first computes until the second got so far, then the
/// other way round.
pub(super) fn beside(args: &[&str]) -> Result<()> {
    let (cpu, share) = (number(args, 0)?, number(args, 1)? as u64);
    let word = |at: usize| args.get(at).copied().context("which policy?");
    let policies = [
        policy_of(word(2)?, i32::try_from(number(args, 3)?)?)?,
        policy_of(word(4)?, i32::try_from(number(args, 5)?)?)?,
    ];
    cpus::set_affinity(0, &Cpus::from([cpu])).context("sched_setaffinity")?;
    let done: [AtomicU64; 2] = Default::default();
    let begun = AtomicUsize::new(0);
    let work = |me: usize| -> Result<()> {
        begun.fetch_add(1, Ordering::Relaxed);
        while begun.load(Ordering::Relaxed) < 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        set_policy(0, policies[me]).context("policy")?;
        // The other one may need more of this one's work than this one of the other's.
        while done.iter().any(|one| one.load(Ordering::Relaxed) < share) {
            black_box(compute(1_000));
            done[me].fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    std::thread::scope(|scope| -> Result<()> {
        let other = scope.spawn(|| work(1));
        work(0)?;
        other.join().map_err(|_| anyhow::anyhow!("a panic"))?
    })?;
    println!("done {}", done[0].load(Ordering::Relaxed));
    Ok(())
}

/// Computes with SCHED_FIFO and a limit of so many milliseconds (soft, hard) until the signal came or so much time of the
/// CPU went by; with a fourth word the limit is set last.
pub(super) fn limit(args: &[&str]) -> Result<()> {
    let ms = |at| number(args, at).map(|ms| ms as u64);
    let (soft, hard, most) = (ms(0)?, ms(1)?, ms(2)?);
    note_signal(Signal::SIGXCPU, Interrupted::Fails)?;
    let is_late = args.get(3).is_some();
    if is_late {
        set_policy(0, Policy::Fifo(1)).context("SCHED_FIFO")?;
    }
    setrlimit(Resource::RLIMIT_RTTIME, soft * 1000, hard * 1000).context("RLIMIT_RTTIME")?;
    if !is_late {
        set_policy(0, Policy::Fifo(1)).context("SCHED_FIFO")?;
    }
    let used = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    };
    let begun = used();
    // Beyond the hard limit there is no end but SIGKILL.
    while (noted().0 == 0 || hard <= most) && used() - begun < i64::try_from(most)? {
        black_box(compute(10_000));
    }
    println!("signals {}", noted().0);
    println!("ms {}", used() - begun);
    Ok(())
}

/// The turns of the policies.
pub(super) fn turns(_: &[&str]) -> Result<()> {
    for (name, one) in [
        ("other", Policy::Other),
        ("fifo", Policy::Fifo(5)),
        ("rr", Policy::RoundRobin(5)),
    ] {
        set_policy(0, one).context(name)?;
        println!(
            "{name} {}",
            turn(0).context("sched_rr_get_interval")?.as_millis()
        );
    }
    Ok(())
}

/// Makes moved calls all the time, a byte for each, beside a thread with SCHED_FIFO on the same CPU that computes and
/// sleeps in turns.
pub(super) fn beat_beside(_: &[&str]) -> Result<()> {
    std::thread::spawn(|| -> Result<()> {
        set_policy(0, Policy::Fifo(50)).context("SCHED_FIFO")?;
        loop {
            std::thread::sleep(Duration::from_micros(200));
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_micros(100) {
                black_box(compute(100));
            }
        }
    });
    let mut out = std::io::stdout();
    loop {
        out.write_all(b".").context("writing a beat")?;
        out.flush().context("writing a beat")?;
    }
}

/// Holds a lock with priority inheritance over moved calls while threads with real-time priorities, so often in all, wait
/// for it and give up or get it.
pub(super) fn boosts(args: &[&str]) -> Result<()> {
    let rounds = number(args, 0)? as u64;
    let mutex = SharedMutex::new()?;
    let (stop, waits, got) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let mut calls = 0_u64;
    std::thread::scope(|scope| -> Result<()> {
        let waiters: Vec<_> = [5, 50]
            .map(|priority| {
                let (mutex, stop, waits, got) = (&mutex, &stop, &waits, &got);
                scope.spawn(move || -> Result<()> {
                    set_policy(0, Policy::Fifo(priority)).context("SCHED_FIFO")?;
                    while !stop.load(Ordering::Relaxed) {
                        if mutex.lock_within(Duration::from_micros(300))? {
                            got.fetch_add(1, Ordering::Relaxed);
                            mutex.unlock()?;
                        }
                        waits.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(Duration::from_micros(100));
                    }
                    Ok(())
                })
            })
            .into();
        let mut null = std::fs::File::create("/dev/null").context("open")?;
        let result = (|| -> Result<()> {
            while waits.load(Ordering::Relaxed) < rounds {
                mutex.lock()?;
                for _ in 0..20 {
                    null.write_all(b"x").context("write")?;
                    calls += 1;
                }
                mutex.unlock()?;
            }
            Ok(())
        })();
        stop.store(true, Ordering::Relaxed);
        for waiter in waiters {
            waiter.join().map_err(|_| anyhow::anyhow!("a panic"))??;
        }
        result
    })?;
    ensure!(policy(0) == Ok(0), "the policy changed");
    println!("calls {calls}");
    println!("got {}", got.load(Ordering::Relaxed));
    Ok(())
}

/// Has a BPF program that may sleep read a page of a file that nobody has read yet, so often.
pub(super) fn read_by_bpf(args: &[&str]) -> Result<()> {
    let (path, pages) = (args.first().context("which file?")?, number(args, 1)?);
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .with_context(|| (*path).to_owned())?;
    // Far from each other, so that one is not read with the one before.
    const APART: usize = 1 << 20;
    let memory = Mapping::of_file(&file, pages * APART)?;
    for page in 0..pages {
        let program = Reader::load(memory.address() + page * APART)?;
        let cpu = sched_getcpu();
        let result = program.run()?;
        ensure!(result == 0, "bpf_copy_from_user gave {result}");
        ensure!(
            cpu == sched_getcpu(),
            "from CPU {cpu} to {}",
            sched_getcpu()
        );
    }
    println!("pages {pages}");
    Ok(())
}

/// Wants a cookie of core scheduling, says what came of it, and computes for ever.
pub(super) fn spin_with_cookie(_: &[&str]) -> Result<()> {
    println!("cookie {:?}", cookie(Cookie::Create));
    std::io::stdout().flush().context("stdout")?;
    loop {
        black_box(compute(1_000_000));
    }
}

/// Becomes another program after it got a cookie.
pub(super) fn with_cookie(args: &[&str]) -> Result<()> {
    cookie(Cookie::Create).context("PR_SCHED_CORE_CREATE")?;
    let words: Vec<std::ffi::CString> = args
        .iter()
        .map(|word| std::ffi::CString::new(*word))
        .collect::<Result<_, _>>()?;
    match nix::unistd::execv(words.first().context("which program?")?, &words).context("execve")? {}
}

/// Tries to become a deadline task.
pub(super) fn deadline(_: &[&str]) -> Result<()> {
    let result = set_policy(0, Policy::Deadline(1_000_000, 10_000_000));
    println!("deadline {result:?}");
    ensure!(policy(0) == Ok(libc::SCHED_OTHER), "{:?}", policy(0));
    Ok(())
}
