// SPDX-License-Identifier: GPL-2.0
//! Programs that use files and sockets for long, and programs that others torment.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure, Context, Result};
use nix::sys::signal::Signal;
use rustix::io::{read, write, Errno};
use rustix::pipe::pipe;
use rustix::thread::{futex, sched_yield};

use super::super::load::compute;
use super::super::number;
use super::sockets::connected;
use crate::cpus;
use crate::sys::map::Mapping;
use crate::sys::signal::{note_signal, noted, Interrupted};
use crate::sys::PAGE;

/// Threads of [`io`].
const WORKERS: usize = 4;

/// Four threads read and write files in a folder and sockets of all kinds for so many seconds, after a byte on standard
/// input; another byte ends the program. There is no other thread, so that each may have a CPU to itself.
pub(super) fn io(args: &[&str]) -> Result<()> {
    let folder = (*args.first().context("which folder?")?).to_owned();
    let time = Duration::from_secs(number(args, 1)? as u64);
    let (begin, end) = (Barrier::new(WORKERS), Barrier::new(WORKERS));
    let work = |me: usize| -> Result<u64> {
        let mut worker = Worker::new(&format!("{folder}/{me}"));
        let mut rounds = 0;
        let mut result = go_round(&mut worker, &mut rounds);
        begin.wait();
        if me == 0 {
            step("begun 1")?;
        }
        begin.wait();
        let begun = Instant::now();
        while result.is_ok() && begun.elapsed() < time {
            result = go_round(&mut worker, &mut rounds);
        }
        end.wait();
        if me == 0 {
            step("ended 1")?;
        }
        end.wait();
        result.map(|()| rounds)
    };
    std::thread::scope(|scope| -> Result<()> {
        let work = &work;
        let others: Vec<_> = (1..WORKERS)
            .map(|me| scope.spawn(move || work(me)))
            .collect();
        let mut least = work(0)?;
        for other in others {
            least = least.min(other.join().map_err(|_| anyhow!("a panic"))??);
        }
        println!("least {least}");
        Ok(())
    })
}

/// Says a line and waits for a byte.
fn step(line: &str) -> Result<()> {
    println!("{line}");
    std::io::stdout().flush().context("stdout")?;
    std::io::stdin().read_exact(&mut [0; 1]).context("stdin")
}

/// One round, unless the worker could not be made.
fn go_round(worker: &mut Result<Worker>, rounds: &mut u64) -> Result<()> {
    let worker = worker.as_mut().map_err(|error| anyhow!("{error:#}"))?;
    *rounds += 1;
    worker.round(*rounds)
}

/// What a thread of [`io`] works on.
struct Worker {
    file: File,
    data: Vec<u8>,
    back: Vec<u8>,
    stream: (std::net::TcpStream, std::net::TcpStream),
    packets: (UdpSocket, UdpSocket),
}

impl Worker {
    fn new(path: &str) -> Result<Worker> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .context("open")?;
        let here = (Ipv4Addr::LOCALHOST, 0);
        let packets = [(); 2].map(|()| UdpSocket::bind(here).context("bind"));
        let [one, two] = packets;
        let (one, two) = (one?, two?);
        one.connect(two.local_addr()?).context("connect")?;
        Ok(Worker {
            file,
            data: vec![0; 1 << 16],
            back: vec![0; 1 << 16],
            stream: connected()?,
            packets: (one, two),
        })
    }

    fn round(&mut self, round: u64) -> Result<()> {
        let fill = (round % 251) as u8;
        self.data.fill(fill);
        let at = round % 64 * 65536;
        self.file.write_all_at(&self.data, at).context("write")?;
        if round.is_multiple_of(16) {
            self.file.sync_all().context("fsync")?;
            // So that it is read from the disk again.
            rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed)
                .context("fadvise")?;
        }
        self.file
            .read_exact_at(&mut self.back, at)
            .context("read")?;
        ensure!(self.back == self.data, "the file has something else");
        let piece = self.data.get(..8192).context("a piece")?;
        self.stream.0.write_all(piece).context("send")?;
        let back = self.back.get_mut(..8192).context("a piece")?;
        self.stream.1.read_exact(back).context("recv")?;
        let packet = self.data.get(..1000).context("a packet")?;
        self.packets.0.send(packet).context("send")?;
        let got = self.packets.1.recv(&mut self.back).context("recv")?;
        ensure!(got == 1000, "a packet of {got}");
        Ok(())
    }
}

/// Threads of [`prey`], each with a counter of what it did.
pub(crate) const PREY: usize = 8;

/// Repeats a call that a signal interrupted.
fn again<T>(mut call: impl FnMut() -> core::result::Result<T, Errno>) -> Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result.context("a call"),
        }
    }
}

/// Threads that make calls of all kinds for ever and count what they did in a file that others map, too.
pub(super) fn prey(args: &[&str]) -> Result<()> {
    let path = args.first().context("which file?")?;
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.with_context(|| (*path).to_owned())?;
    let memory = Mapping::of_file(&file, PAGE)?;
    let counters = memory.counters();
    note_signal(Signal::SIGUSR1, Interrupted::Restarts)?;
    note_signal(Signal::SIGUSR2, Interrupted::Fails)?;
    let (there, back) = (pipe().context("pipe")?, pipe().context("pipe")?);
    let word = AtomicU32::new(0);
    // ORDERING: Relaxed: the counters carry no data.
    let count = |me: usize| counters[me].fetch_add(1, Ordering::Relaxed);
    std::thread::scope(|scope| -> Result<()> {
        let mut threads: Vec<std::thread::ScopedJoinHandle<'_, Result<()>>> = Vec::new();
        let (count, word, there, back) = (&count, &word, &there, &back);
        threads.push(scope.spawn(move || loop {
            let (null, zero) = (File::create("/dev/null"), File::open("/dev/zero"));
            let (null, zero) = (null.context("open")?, zero.context("open")?);
            for _ in 0..20 {
                again(|| write(&null, b"x"))?;
                again(|| read(&zero, &mut [0; 64]))?;
                count(0);
            }
        }));
        threads.push(scope.spawn(move || {
            let zero = File::open("/dev/zero").context("open")?;
            let mut large = vec![1; 1 << 18];
            loop {
                again(|| read(&zero, &mut large[..]))?;
                count(1);
            }
        }));
        for (me, from, to) in [(2, &there.0, &back.1), (3, &back.0, &there.1)] {
            threads.push(scope.spawn(move || loop {
                if me == 3 {
                    again(|| write(to, b"x"))?;
                }
                ensure!(again(|| read(from, &mut [0; 1]))? == 1, "the pipe's end");
                if me == 2 {
                    again(|| write(to, b"x"))?;
                }
                count(me);
            }));
        }
        for me in [4, 5] {
            threads.push(scope.spawn(move || loop {
                // ORDERING: the word is all that the two share.
                let seen = word.load(Ordering::Relaxed);
                if seen as usize % 2 == me - 4 {
                    word.fetch_add(1, Ordering::Relaxed);
                    let _ = futex::wake(word, futex::Flags::PRIVATE, 1);
                    count(me);
                } else {
                    // Whatever ends it, the word is looked at again.
                    let _ = futex::wait(word, futex::Flags::PRIVATE, seen, None);
                }
            }));
        }
        threads.push(scope.spawn(move || loop {
            sched_yield();
            ensure!(!cpus::affinity(0)?.is_empty(), "no CPU");
            count(6);
        }));
        threads.push(scope.spawn(move || loop {
            let _ = rustix::process::getppid();
            drop(Mapping::new(16 * PAGE)?);
            std::hint::black_box(compute(500));
            std::thread::sleep(Duration::from_micros(50));
            count(7);
            // Nobody may find a handler that did not run.
            counters[PREY].store(noted().0 as u64, Ordering::Relaxed);
        }));
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a panic"))??;
        }
        Ok(())
    })
}

/// The counters of [`prey`] as others see them.
pub(crate) fn counters(memory: &Mapping) -> [u64; PREY + 1] {
    let counters: &[AtomicU64] = memory.counters();
    // ORDERING: as above.
    std::array::from_fn(|at| counters[at].load(Ordering::Relaxed))
}
