// SPDX-License-Identifier: GPL-2.0
//! Signals, tracers, stops, new affinities, new tables and SIGKILL at random moments, thousands of times, over threads
//! that make calls of all kinds: each thread gets on, and nothing is left.

use std::fs::File;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use lwk_logic::uapi::CallTable;
use nix::sys::ptrace;
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::Pid;

use super::scaled;
use crate::calls::{self, Whose};
use crate::cases::LWK;
use crate::cpus::{self, Cpus};
use crate::harness::Case;
use crate::inside::prey::{counters, PREY};
use crate::random::Random;
use crate::sys::map::Mapping;
use crate::sys::signal::send_to;
use crate::sys::PAGE;
use crate::{init, job, proc};

/// The suite. Each case has 2,500 events, on the debug kernel 250; `lwktest.storm=` on the boot line sets another number.
pub(in crate::cases) const CASES: &[Case] = &[
    Case::new("plain", "without batches and exclusive waits", || {
        storm(&["--syscall-batch", "no", "--exclusive-wait=no"], 1)
    })
    .limit_s(LIMIT_S),
    Case::new("batch", "with batches", || {
        storm(&["--syscall-batch", "1ms", "--exclusive-wait=no"], 2)
    })
    .limit_s(LIMIT_S),
    Case::new("exclusive", "with exclusive waits", || {
        storm(&["--syscall-batch", "no", "--exclusive-wait"], 3)
    })
    .limit_s(LIMIT_S),
    Case::new("both", "with both, and CPUs that poll", || {
        let both = ["--syscall-batch", "1ms", "--exclusive-wait"];
        storm(&[&both[..], &["--idle", "poll"]].concat(), 4)
    })
    .limit_s(LIMIT_S),
];

/// How long a case may take, in seconds on a production kernel.
const LIMIT_S: u32 = 240;

const FILE: &str = "/tmp/calls-prey";

/// The job and its counters.
struct Prey<'a> {
    options: &'a [&'a str],
    child: Child,
    memory: Mapping,
    tables: Vec<CallTable>,
}

impl Prey<'_> {
    fn start<'a>(options: &'a [&'a str]) -> Result<Prey<'a>> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(FILE)
            .context(FILE)?;
        file.set_len(PAGE as u64).context(FILE)?;
        let memory = Mapping::of_file(&file, PAGE)?;
        let mut prey = Prey {
            options,
            child: spawn(options)?,
            memory,
            tables: Vec::new(),
        };
        prey.gets_on()?;
        let usual = calls::get(Whose::Job(prey.job()?))?;
        let (mut most, mut none) = (usual, usual);
        (none.moved, none.native) = ([0; 8], [0; 8]);
        // The LWK's own calls, too.
        most.moved[0] |= usual.native[0];
        most.moved[1] |= 1 << (nix::libc::SYS_getppid - 64);
        most.native = [0; 8];
        prey.tables = vec![usual, usual, most, none];
        Ok(prey)
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    fn job(&self) -> Result<u32> {
        Ok(job::jobs()?.first().context("no job")?.id)
    }

    /// The number of one of its threads.
    fn any(&self, random: &mut Random) -> Result<Pid> {
        let threads = proc::threads(self.pid().as_raw());
        let at = random.below(threads.len().max(1) as u64);
        let chosen = threads.get(usize::try_from(at)?);
        Ok(Pid::from_raw(chosen.context("no thread")?.pid))
    }

    /// Waits until each thread has done more.
    fn gets_on(&self) -> Result<()> {
        let limit = scaled(Duration::from_secs(20))?;
        let (before, begun) = (counters(&self.memory), Instant::now());
        loop {
            let now = counters(&self.memory);
            let waiting: Vec<usize> = (0..PREY).filter(|at| now[*at] == before[*at]).collect();
            if waiting.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > limit {
                let tasks = proc::describe_user_tasks();
                bail!("threads {waiting:?} do nothing, counters {now:?}:\n{tasks}");
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    fn restart(&mut self) -> Result<()> {
        self.end()?;
        self.child = spawn(self.options)?;
        self.gets_on().context("after a new start")
    }

    fn end(&mut self) -> Result<()> {
        self.child.kill().context("kill")?;
        self.child.wait().context("wait")?;
        job::check_idle().context("right after it was reaped")
    }
}

fn spawn(options: &[&str]) -> Result<Child> {
    let mut command = job::yod_inside(options, &["calls-prey", FILE]);
    command.stdin(Stdio::null());
    command.spawn().context("yod")
}

/// Waits for the next stop of a thread; signals on their way are for it.
fn stops(tid: Pid) -> Result<WaitStatus> {
    let status = waitpid(tid, Some(WaitPidFlag::__WALL)).context("wait")?;
    ensure!(
        !matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..)),
        "{status:?}"
    );
    Ok(status)
}

/// The signal that a stopped thread is about to get.
fn on_its_way(status: WaitStatus) -> Option<Signal> {
    match status {
        WaitStatus::Stopped(_, signal) if signal != Signal::SIGTRAP => Some(signal),
        _ => None,
    }
}

/// Attaches, lets it make some calls, and lets it go.
fn trace(tid: Pid, random: &mut Random) -> Result<()> {
    ptrace::seize(tid, ptrace::Options::PTRACE_O_TRACESYSGOOD).context("PTRACE_SEIZE")?;
    ptrace::interrupt(tid).context("PTRACE_INTERRUPT")?;
    let mut signal = on_its_way(stops(tid)?);
    for _ in 0..random.below(4) {
        let registers = ptrace::getregs(tid).context("PTRACE_GETREGS")?;
        ptrace::setregs(tid, registers).context("PTRACE_SETREGS")?;
        ptrace::syscall(tid, signal.take()).context("PTRACE_SYSCALL")?;
        // One that waits for another thread would not stop by itself.
        ptrace::interrupt(tid).context("PTRACE_INTERRUPT")?;
        signal = on_its_way(stops(tid)?);
    }
    ptrace::detach(tid, signal).context("PTRACE_DETACH")
}

/// Signals one after the other to any of its threads; returns how many.
fn signal(prey: &Prey<'_>, random: &mut Random) -> Result<u64> {
    let count = 1 + random.below(40);
    let threads = proc::threads(prey.pid().as_raw());
    for _ in 0..count {
        let signal = [Signal::SIGUSR1, Signal::SIGUSR2][usize::try_from(random.below(2))?];
        let at = usize::try_from(random.below(threads.len() as u64))?;
        let tid = Pid::from_raw(threads.get(at).context("no thread")?.pid);
        send_to(prey.pid(), tid, signal).context("tgkill")?;
        std::thread::sleep(Duration::from_micros(random.below(200)));
    }
    Ok(count)
}

/// Something that happens to it; returns how many events that were.
fn act(prey: &mut Prey<'_>, random: &mut Random) -> Result<u64> {
    let pid = prey.pid();
    match random.below(100) {
        0..45 => return signal(prey, random),
        45..50 => kill(pid, Signal::SIGUSR1).context("kill"),
        50..75 => trace(prey.any(random)?, random),
        75..83 => {
            kill(pid, Signal::SIGSTOP).context("SIGSTOP")?;
            std::thread::sleep(Duration::from_micros(random.below(1000)));
            kill(pid, Signal::SIGCONT).context("SIGCONT")
        }
        83..91 => {
            let wanted = [&LWK[..1], &LWK[1..], &LWK][usize::try_from(random.below(3))?];
            let wanted: Cpus = wanted.iter().copied().collect();
            cpus::set_affinity(prey.any(random)?.as_raw(), &wanted).context("sched_setaffinity")
        }
        91..96 => {
            let at = usize::try_from(random.below(prey.tables.len() as u64))?;
            let table = prey.tables.get(at).context("a table")?;
            calls::set(Whose::Job(prey.job()?), table)
        }
        _ => prey.restart(),
    }?;
    Ok(1)
}

/// How many events of each kind of job, if the boot line does not say.
const EVENTS: u64 = 2_500;
const EVENTS_ON_DEBUG_KERNEL: u64 = 250;

fn storm(options: &[&str], seed: u64) -> Result<()> {
    let words = init::boot_words()?;
    let wanted: u64 = match words.get("lwktest.storm") {
        Some(text) => text.parse().context("lwktest.storm")?,
        None if init::factor()? > 1 => EVENTS_ON_DEBUG_KERNEL,
        None => EVENTS,
    };
    let mut random = Random(0x5eed_0000_0000_0000 + seed);
    let mut prey = Prey::start(options)?;
    let (mut events, mut rounds) = (0, 0);
    while events < wanted {
        events += act(&mut prey, &mut random).with_context(|| format!("after {events} events"))?;
        std::thread::sleep(Duration::from_micros(random.below(400)));
        rounds += 1;
        if rounds % 64 == 0 {
            prey.gets_on()
                .with_context(|| format!("after {events} events"))?;
        }
    }
    prey.gets_on().context("at the end")?;
    println!("{events} events, {:?}", counters(&prey.memory));
    prey.end()
}
