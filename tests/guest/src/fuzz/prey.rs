// SPDX-License-Identifier: GPL-2.0
//! Programs that do what programs do, in a job if they get one, until they end or somebody ends them.
//!
//! What they do follows from a seed alone; how it ends is nobody's business but the kernel's.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use anyhow::{Context, Result};
use lwk_logic::uapi;
use nix::sys::signal::Signal;
use nix::sys::wait::{waitpid, WaitPidFlag};

use super::board::Board;
use super::request::{Known, Maker};
use crate::random::Random;
use crate::sys::fuzz::calls::{About, Region};
use crate::sys::fuzz::{self, Arena, Place};
use crate::sys::lwk::{self, size_of_abi};
use crate::sys::map::Mapping;
use crate::{cpus, sys};

/// A line of the source where something was found wrong.
type Wrong = u32;

/// Makes sure that signals of timers end nobody, and that nobody takes the memory of all.
fn settle() -> Result<()> {
    use nix::sys::resource::{setrlimit, Resource};
    const MIB: u64 = 1 << 20;
    fuzz::set_name(c"prey");
    for ignored in [
        Signal::SIGALRM,
        Signal::SIGVTALRM,
        Signal::SIGPROF,
        Signal::SIGPIPE,
        Signal::SIGXCPU,
    ] {
        sys::fuzz::ignore(ignored).context("signal")?;
    }
    // Behind whoever disturbs it.
    rustix::process::setpriority_process(None, 10)?;
    setrlimit(Resource::RLIMIT_AS, 512 * MIB, 512 * MIB)?;
    setrlimit(Resource::RLIMIT_NOFILE, 64, 64)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    Ok(())
}

/// What a worker's child does: gets itself a job, mostly, and lives.
pub(super) fn hunted(seed: u64, board: &Board, worker: usize) -> u8 {
    let mut random = Random::of(seed, &[1]);
    if settle().is_err() {
        return 1;
    }
    if !random.one_in(6) {
        if let Err(line) = enter(&mut random) {
            board.complain(worker, line);
        }
    }
    if random.one_in(3) {
        // As a program of its own; comes back only if that cannot be run.
        let _ = again(random.any()).exec();
    }
    u8::from(live(random.any()).is_err())
}

/// The command that lives as a program of its own.
pub(super) fn again(seed: u64) -> Command {
    let mut command = Command::new("/init");
    command.args(["inside", "fuzz-prey", &seed.to_string()]);
    command
}

/// The program that [`again`] runs.
pub(crate) fn main(args: &[&str]) -> Result<()> {
    let seed = args
        .first()
        .context("which seed?")?
        .parse()
        .context("a seed")?;
    settle()?;
    live(seed)
}

/// Reserves some CPUs and enters the job, and checks that it is in the job that it was told of.
fn enter(random: &mut Random) -> Result<(), Wrong> {
    let Ok(device) = lwk::open() else {
        return Ok(());
    };
    let words = [1_u64 << (2 + random.below(4))];
    let mut create = uapi::JobCreate {
        size: size_of_abi::<uapi::JobCreate>(),
        nr_cpus: random.pick(&[1, 1, 1, 2, 0]),
        mem_bytes: random.pick(&[0, uapi::MEM_NONE, 2 << 20, 8 << 20, 32 << 20, uapi::MEM_ALL]),
        ..Default::default()
    };
    if random.one_in(4) {
        // CAST: pointers travel as `u64` in the ABI.
        (create.cpus_ptr, create.nr_bits, create.nr_cpus) = (words.as_ptr() as u64, 64, 0);
    }
    if lwk::job_create(&device, &mut create, &[]).is_err() {
        return Ok(());
    }
    join(&device, create.job).map(drop)
}

/// Enters a job of a file and returns whether that worked.
fn join(device: &File, id: u32) -> Result<bool, Wrong> {
    let mut enter = uapi::JobEnter {
        size: size_of_abi::<uapi::JobEnter>(),
        job: id,
        ..Default::default()
    };
    if lwk::job_enter(device, &mut enter, &[]).is_err() {
        return Ok(false);
    }
    let mut get = uapi::JobGet {
        size: size_of_abi::<uapi::JobGet>(),
        id,
        ..Default::default()
    };
    let mut words = [0; 16];
    // It exists as long as we are in it, and we may run on its CPUs only.
    let found = lwk::job_get(device, &mut get, &mut words);
    if found.is_err() || get.id != id || get.nr_tasks == 0 {
        return Err(line!());
    }
    let own = cpus::from_words(&words);
    match cpus::affinity(0) {
        Ok(may) if !may.is_subset(&own) => Err(line!()),
        _ => Ok(true),
    }
}

/// Two processes with one file: the one makes jobs that it cannot be told of, the other enters what it guesses.
pub(super) fn guessed(seed: u64, board: &Board, worker: usize) -> u8 {
    let mut random = Random::of(seed, &[2]);
    let (Ok(()), Ok(device), Ok(arena)) = (settle(), lwk::open(), Arena::new()) else {
        return 1;
    };
    let mut create = uapi::JobCreate {
        size: size_of_abi::<uapi::JobCreate>(),
        mem_bytes: uapi::MEM_NONE,
        nr_cpus: 1,
        ..Default::default()
    };
    let Some(first) = lwk::open().ok().and_then(|other| {
        lwk::job_create(&other, &mut create, &[]).ok()?;
        Some(create.job)
    }) else {
        return 0;
    };
    let Ok(told) = Mapping::shared(sys::PAGE) else {
        return 1;
    };
    let Some(next) = told.counters().first() else {
        return 1;
    };
    // ORDERING: Relaxed here and below: a wrong guess is only one more case.
    next.store(1, Ordering::Relaxed);
    let guess = || loop {
        let made = next.load(Ordering::Relaxed);
        if made == 0 {
            return 0;
        }
        match join(
            &device,
            first.saturating_add(u32::try_from(made).unwrap_or(0)),
        ) {
            // It is in a job now, so that another has to go on.
            Ok(true) => return 0,
            Ok(false) => {}
            Err(line) => {
                board.complain(worker, line);
                return 0;
            }
        }
    };
    let Ok(guesser) = sys::spawn(|| {
        while next.load(Ordering::Relaxed) != 0 {
            let Ok(child) = sys::spawn(guess) else {
                return 1;
            };
            let _ = waitpid(child, None);
        }
        0
    }) else {
        return 1;
    };
    for made in 1..2000 {
        next.store(made, Ordering::Relaxed);
        make_silently(&device, &arena, &create, &mut random);
    }
    next.store(0, Ordering::Relaxed);
    // It ends by itself, or with all others.
    let _ = waitpid(guesser, None);
    0
}

/// Asks for a job where its id cannot be written to, so that the kernel takes it back.
fn make_silently(device: &File, arena: &Arena, like: &uapi::JobCreate, random: &mut Random) {
    let words = [
        (core::mem::offset_of!(uapi::JobCreate, size), like.size),
        (
            core::mem::offset_of!(uapi::JobCreate, nr_cpus),
            like.nr_cpus,
        ),
    ];
    let mut bytes = vec![0; size_of::<uapi::JobCreate>()];
    for (at, word) in words {
        if let Some(field) = bytes.get_mut(at..at + 4) {
            field.copy_from_slice(&word.to_ne_bytes());
        }
    }
    let argument = arena.put(0, Place::ReadOnly, &bytes, random);
    // That it fails is what is wanted.
    let _ = arena.ioctl(device.as_fd(), uapi::IOC_JOB_CREATE, argument);
}

/// Threads with one file, whose memory comes and goes.
pub(super) fn raced(seed: u64) -> u8 {
    let (Ok(()), Ok(device)) = (settle(), lwk::open()) else {
        return 1;
    };
    let device = Arc::new(device);
    let threads = (0..3).filter_map(|number| {
        let arena = Arc::new(Arena::new().ok()?);
        let (device, other) = (Arc::clone(&device), Arc::clone(&arena));
        let mut random = Random::of(seed, &[3, number]);
        let flapper = std::thread::spawn(move || {
            while Arc::strong_count(&other) > 1 {
                other.flap(false);
                std::thread::yield_now();
                other.flap(true);
                std::thread::yield_now();
            }
        });
        let thread = std::thread::spawn(move || {
            let known = Known {
                cpus: 0x38,
                ..Known::default()
            };
            for _ in 0..60 {
                let mut maker = Maker::new(&arena, &mut random, &known);
                let _ = maker.request(device.as_fd(), |_| true);
            }
        });
        Some([flapper, thread])
    });
    let threads: Vec<_> = threads.flatten().collect();
    threads.into_iter().for_each(|thread| drop(thread.join()));
    0
}

/// Files of many kinds, none of which makes its reader wait.
fn files() -> Result<Vec<OwnedFd>> {
    use rustix::pipe::{pipe_with, PipeFlags};
    let pipe = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).context("pipe")?;
    let mut files = vec![pipe.0, pipe.1];
    for path in ["/dev/zero", "/proc/self/stat", "/init", "/dev/null"] {
        files.push(File::open(path).context(path)?.into());
    }
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    files.push(rustix::fs::memfd_create("fuzz", flags).context("memfd")?);
    Ok(files)
}

/// Does things for a while.
fn live(seed: u64) -> Result<()> {
    let mut random = Random::of(seed, &[4]);
    let mut known = Known {
        cpus: 0x38,
        ..Known::default()
    };
    known.ids.extend((0..4).map(|_| random.below(20) as u32));
    known.tids.push(std::process::id());
    if random.one_in(3) {
        fuzz::breathe(random.pick(&[4096, 1 << 16, 3 << 20]));
    }
    let region = Arc::new(Region::new(files()?)?);
    let threads: Vec<_> = (0..random.below(3))
        .map(|number| {
            let (region, mut random) = (Arc::clone(&region), Random::of(seed, &[5, number]));
            std::thread::spawn(move || {
                for _ in 0..random.below(400) {
                    step(&region, &mut random);
                }
                if random.one_in(4) {
                    sys::exit_thread();
                }
            })
        })
        .collect();
    let (device, arena) = (lwk::open()?, Arena::new()?);
    for _ in 0..random.below(300) {
        step(&region, &mut random);
        match random.below(120) {
            0..=3 => {
                let (arena, known) = (&arena, &known);
                let random = &mut random;
                let mut maker = Maker::new(arena, random, known);
                let _ = maker.request(device.as_fd(), |op| op != "PartitionCreate");
            }
            4 => drop(again(random.any()).exec()),
            5 => {
                let _ = sys::process::vfork(c"/bin/true", &[], None);
            }
            6 => std::process::exit(3),
            7 => std::process::abort(),
            8 => {
                let _ = nix::sys::signal::kill(nix::unistd::getpid(), Signal::SIGKILL);
            }
            9 => {
                let region = Arc::clone(&region);
                let mut random = random.clone();
                let _ = std::thread::Builder::new().spawn(move || step(&region, &mut random));
            }
            _ => {}
        }
    }
    if random.one_in(2) {
        threads.into_iter().for_each(|thread| drop(thread.join()));
    }
    Ok(())
}

/// One thing that any thread may do.
fn step(region: &Region, random: &mut Random) {
    match random.below(40) {
        0..=13 => region.call(About::Memory, random),
        14..=19 => region.touch(random),
        20..=26 => region.call(About::Threads, random),
        27..=33 => region.call(About::Files, random),
        34 => {
            std::hint::black_box((0..random.below(200_000)).fold(1_u64, |x, i| {
                std::hint::black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(i))
            }));
        }
        35 => {
            let mut random = random.clone();
            let child = sys::process::fork(|| {
                for _ in 0..random.below(12) {
                    region.touch(&mut random);
                    region.call(About::Memory, &mut random);
                }
                0
            });
            let _ = child;
        }
        36 => fuzz::core_cookie(random.below(4), 0, random.below(3)),
        37 => {
            let (policy, priority) = (random.pick(&[0, 0, 3, 5, 1, 2]), random.below(4) as u32);
            let _ = fuzz::set_policy(0, policy, 0, priority, 0);
        }
        _ => {
            while waitpid(None, Some(WaitPidFlag::WNOHANG))
                .is_ok_and(|status| status.pid().is_some())
            {}
        }
    }
}
