// SPDX-License-Identifier: GPL-2.0
//! Whatever policy the threads of a job have: they are spread, they take turns by their priorities, and nobody is starved
//! by one that never gives way, neither the rest of its job nor the kernel threads of its CPU nor who wants to end it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{anyhow, bail, ensure, Context, Result};
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::Pid;

use super::LWK;
use crate::harness::Case;
use crate::job::{self, Beating, Finished};
use crate::sys::sched::{cookie, policy, set_policy, Cookie, Policy};
use crate::{init, partition, proc};

/// The suite.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "barrier",
        "threads made by a SCHED_FIFO thread have a CPU each and meet in a barrier at which they spin",
        || meet("0"),
    ),
    Case::new(
        "barrier-beside-others",
        "so they have where usual threads compute on all CPUs",
        || meet("2"),
    ),
    Case::new(
        "share",
        "a usual thread gets a share of the CPU of a SCHED_FIFO thread that never sleeps",
        || beside(&["30", "fifo", "1", "other", "0"]).map(drop),
    )
    .limit_s(60),
    Case::new(
        "share-round-robin",
        "and of that of a SCHED_RR thread",
        || beside(&["30", "rr", "1", "other", "0"]).map(drop),
    )
    .limit_s(60),
    Case::new(
        "round-robin",
        "two SCHED_RR threads of one priority take turns",
        round_robin,
    )
    .limit_s(60),
    Case::new(
        "watchdog",
        "who waits for more than a second is told with who has the CPU, and gets it",
        watchdog,
    )
    .limit_s(60),
    Case::new("turns", "sched_rr_get_interval(2) tells the turns", turns),
    Case::new(
        "guests",
        "work for the CPU of a SCHED_FIFO thread that never sleeps gets done",
        guests,
    )
    .around(|| Ok(()), small_buffers),
    Case::new(
        "safety-net",
        "signals, a debugger, the freezer and SIGKILL reach threads of all policies that never sleep",
        safety_net,
    )
    .limit_s(60),
    Case::new(
        "limit",
        "RLIMIT_RTTIME brings SIGXCPU, and SIGKILL, to a thread alone on its CPU",
        limit,
    )
    .limit_s(90),
    Case::new(
        "no-limit",
        "without that limit no timer disturbs a SCHED_FIFO thread, however long it computes",
        no_limit,
    )
    .limit_s(60),
    Case::new(
        "flips",
        "a thread that makes moved calls gets on while its policy changes all the time",
        flips,
    )
    .limit_s(120),
    Case::new(
        "boosts",
        "so does one to which waiters lend their priorities all the time",
        boosts,
    )
    .limit_s(120),
    Case::new(
        "deadline",
        "SCHED_DEADLINE is refused to threads of a job whatever the limits are",
        deadline,
    )
    .around(|| Ok(()), usual_limits),
    Case::new(
        "fair-server",
        "the fair server of an LWK CPU cannot be set",
        fair_server,
    ),
    Case::new(
        "bpf",
        "a BPF program that may sleep stays on its CPU where it reads a page of a file",
        bpf,
    ),
    Case::new(
        "delete-at-once",
        "a partition goes as soon as its job ends, again and again",
        delete_at_once,
    )
    .limit_s(120),
];

/// The suite of a machine with one CPU of Linux.
pub(super) const LONE: &[Case] = &[Case::new(
    "deadline",
    "SCHED_DEADLINE is refused to a thread that is away on the only CPU of Linux",
    deadline_away,
)
.around(|| Ok(()), usual_limits)];

/// The suite of a machine with two hardware threads in each core, of which the LWK has one.
pub(super) const SMT: &[Case] = &[
    Case::new(
        "topology",
        "the machine is what the suite is about",
        topology,
    ),
    Case::new(
        "cookie",
        "a job cannot stop that of another user on the other half of its core by core scheduling",
        cookies,
    ),
    Case::new(
        "cookie-from-outside",
        "nor can anybody else give its threads a cookie, or bring one in",
        cookies_from_outside,
    ),
];

fn inside(options: &[&str], program: &[&str]) -> Result<Finished> {
    job::run(&mut job::yod_inside(options, program))
}

fn meet(hogs: &str) -> Result<()> {
    let told = inside(&["-c", "2-3"], &["meet", "2", "200", hogs])?;
    told.expect_code(0)?;
    ensure!(told.value("cpus")? == "0b1100", "{told:?}");
    Ok(())
}

/// Two threads on CPU 3 get on; the arguments are those of the program.
fn beside(args: &[&str]) -> Result<Vec<String>> {
    let before = proc::lwk_log()?.len();
    inside(&["-c", "3"], &[&["beside", "3"], args].concat())?.expect_code(0)?;
    Ok(proc::lwk_log()?.split_off(before))
}

fn round_robin() -> Result<()> {
    let log = beside(&["30", "rr", "5", "rr", "5"])?;
    ensure!(log.is_empty(), "{log:?}");
    Ok(())
}

fn watchdog() -> Result<()> {
    let log = beside(&["1", "fifo", "5", "fifo", "5"])?;
    let line = log
        .iter()
        .find(|line| line.starts_with("lwk: CPU 3: ") && line.contains(" waited for "))
        .with_context(|| format!("{log:?}"))?;
    ensure!(line.matches("init (").count() == 2, "{line}");
    let told = job::lwkctl(&["noise", "--cpus", "3", "--json"])?;
    let told: serde_json::Value = serde_json::from_str(&told)?;
    let records = told["records"].as_array().context("records")?;
    let waited = records
        .iter()
        .find(|record| record["waited"] == true)
        .with_context(|| format!("{told}"))?;
    ensure!(waited["guest"]["comm"] == "init", "{waited}");
    ensure!(waited["sender"]["comm"] == "init", "{waited}");
    ensure!(
        waited["duration_ns"].as_u64() > Some(1_000_000_000),
        "{waited}"
    );
    let culprits = told["culprits"].as_array().context("culprits")?;
    ensure!(
        culprits.iter().any(|one| one["ran"] == "init waits"),
        "{culprits:?}"
    );
    Ok(())
}

fn turns() -> Result<()> {
    let told = inside(&[], &["rt-turns"])?;
    told.expect_code(0)?;
    ensure!(told.value("fifo")? == "0", "{told:?}");
    // In whole ticks.
    ensure!(told.value("rr")? == "100", "{told:?}");
    ensure!(
        matches!(told.value("other")?, "8" | "10" | "12"),
        "{told:?}"
    );
    Ok(())
}

/// A job on CPU 3 that computes with a policy until it is killed.
struct Spinner(Child);

impl Spinner {
    fn start(policy: &str) -> Result<Spinner> {
        let mut child = job::yod_inside(&["-c", "3"], &["spin-as", policy])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("yod")?;
        let mut line = [0; 6];
        let out = child.stdout.as_mut().context("no pipe")?;
        out.read_exact(&mut line).context("the first line")?;
        ensure!(&line == b"cpu 3\n", "{line:?}");
        Ok(Spinner(child))
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id().cast_signed())
    }

    fn end(mut self) -> Result<()> {
        self.0.kill().context("kill")?;
        let status = self.0.wait().context("wait")?;
        ensure!(
            std::os::unix::process::ExitStatusExt::signal(&status) == Some(9),
            "{status}"
        );
        Ok(())
    }
}

const BUFFERS: &str = "/sys/kernel/tracing/buffer_size_kb";

fn guests() -> Result<()> {
    for policy in ["fifo", "rr", "other"] {
        let spinner = Spinner::start(policy)?;
        // To shrink the buffer of a CPU is work for that CPU.
        for size in ["2000", "100"] {
            fs::write(BUFFERS, size).context(BUFFERS)?;
        }
        spinner.end()?;
    }
    Ok(())
}

fn small_buffers() -> Result<()> {
    fs::write(BUFFERS, "8").context(BUFFERS)
}

fn safety_net() -> Result<()> {
    for policy in ["fifo", "rr", "other"] {
        let spinner = Spinner::start(policy)?;
        let pid = spinner.pid();
        net(pid).with_context(|| format!("policy {policy}"))?;
        spinner.end()?;
        job::check_idle()?;
    }
    Ok(())
}

/// Stops it, traces it, freezes it; each time it has to go on.
fn net(pid: Pid) -> Result<()> {
    let runs =
        || -> Result<bool> { Ok(proc::threads(pid.as_raw()).iter().any(|t| t.state == 'R')) };
    kill(pid, Signal::SIGSTOP).context("SIGSTOP")?;
    let status = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).context("waitpid")?;
    ensure!(
        status == WaitStatus::Stopped(pid, Signal::SIGSTOP),
        "{status:?}"
    );
    kill(pid, Signal::SIGCONT).context("SIGCONT")?;
    job::eventually(Duration::from_secs(10), "it runs after a stop", runs)?;

    ptrace::attach(pid).context("PTRACE_ATTACH")?;
    let status = waitpid(pid, None).context("waitpid")?;
    ensure!(
        status == WaitStatus::Stopped(pid, Signal::SIGSTOP),
        "{status:?}"
    );
    let registers = ptrace::getregs(pid).context("PTRACE_GETREGS")?;
    ensure!(registers.rip != 0, "no registers");
    ptrace::detach(pid, None).context("PTRACE_DETACH")?;
    job::eventually(Duration::from_secs(10), "it runs after a trace", runs)?;

    let group = Path::make()?;
    fs::write(group.file("cgroup.procs"), pid.to_string()).context("cgroup.procs")?;
    fs::write(group.file("cgroup.freeze"), "1").context("cgroup.freeze")?;
    let frozen = || -> Result<bool> {
        Ok(fs::read_to_string(group.file("cgroup.events"))
            .context("cgroup.events")?
            .contains("frozen 1"))
    };
    job::eventually(Duration::from_secs(10), "it is frozen", frozen)?;
    fs::write(group.file("cgroup.freeze"), "0").context("cgroup.freeze")?;
    job::eventually(Duration::from_secs(10), "it runs after a freeze", runs)?;
    fs::write(format!("{ROOT}/cgroup.procs"), pid.to_string()).context("cgroup.procs")
}

const ROOT: &str = "/sys/fs/cgroup";

/// A control group, removed when dropped.
struct Path(String);

impl Path {
    fn make() -> Result<Path> {
        let path = format!("{ROOT}/lwktest-sched");
        fs::create_dir(&path).context(path.clone())?;
        Ok(Path(path))
    }

    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.0)
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            eprintln!("{}: {error}", self.0);
        }
    }
}

fn limit() -> Result<()> {
    for late in [&[][..], &["late"]] {
        let program = [&["rt-limit", "200", "60000", "15000"], late].concat();
        let told = inside(&["-c", "3"], &program)?;
        told.expect_code(0)?;
        ensure!(told.value("signals")? != "0", "{late:?}: {told:?}");
        // It may be late, but not early.
        ensure!(told.value("ms")?.parse::<u32>()? >= 190, "{told:?}");
    }
    let told = inside(&["-c", "3"], &["rt-limit", "200", "1200", "15000"])?;
    ensure!(told.signal == Some(9), "no SIGKILL: {told:?}");
    Ok(())
}

fn no_limit() -> Result<()> {
    let spinner = Spinner::start("fifo")?;
    // What starting a program leaves behind.
    std::thread::sleep(Duration::from_secs(3));
    let read = || proc::interrupts(3)?.get("LOC").copied().context("no LOC");
    let before = read()?;
    std::thread::sleep(Duration::from_secs(6));
    let after = read()?;
    ensure!(after == before, "{} timer interrupts", after - before);
    spinner.end()
}

/// How many changes: `lwktest.flips=` on the boot line, else some, as each takes a while.
fn rounds() -> Result<u32> {
    let words = init::boot_words()?;
    words
        .get("lwktest.flips")
        .map_or(Ok(300), |text| text.parse())
        .context("lwktest.flips")
}

fn flips() -> Result<()> {
    for program in ["beat", "beat-beside"] {
        let mut job = Beating::start_command(job::yod_inside(&["-c", "3"], &[program]))?;
        let pid = job.pid();
        for round in 0..rounds()? {
            for one in [Policy::Fifo(1), Policy::Other] {
                set_policy(pid, one).with_context(|| format!("round {round}"))?;
            }
            if round % 20 == 19 {
                job.drain()?;
                job.beats(2)
                    .with_context(|| format!("{program}, round {round}"))?;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        job.kill()?;
        job::check_idle()?;
    }
    Ok(())
}

fn boosts() -> Result<()> {
    let told = inside(&["-c", "2-3"], &["boosts", &rounds()?.to_string()])?;
    told.expect_code(0)?;
    ensure!(told.value("calls")?.parse::<u64>()? > 20, "{told:?}");
    Ok(())
}

const RT_RUNTIME: &str = "/proc/sys/kernel/sched_rt_runtime_us";

fn usual_limits() -> Result<()> {
    fs::write(RT_RUNTIME, "950000").context(RT_RUNTIME)
}

const DEADLINE: Policy = Policy::Deadline(1_000_000, 10_000_000);

fn deadline() -> Result<()> {
    for runtime in ["950000", "-1"] {
        fs::write(RT_RUNTIME, runtime).context(RT_RUNTIME)?;
        let told = inside(&["-c", "3"], &["deadline"])?;
        told.expect_code(0)?;
        ensure!(
            told.value("deadline")? == "Err(EPERM)",
            "{runtime}: {told:?}"
        );
        let spinner = Spinner::start("other")?;
        let result = set_policy(spinner.pid().as_raw(), DEADLINE);
        ensure!(result == Err(Errno::EPERM), "{runtime}: {result:?}");
        spinner.end()?;
    }
    is_told("asked for SCHED_DEADLINE")
}

/// Whether the kernel log says why something was refused.
fn is_told(what: &str) -> Result<()> {
    let log = proc::kernel_log()?;
    let is_there = log.iter().any(|line| line.contains(what));
    ensure!(is_there, "the kernel log does not say: {what}");
    Ok(())
}

fn deadline_away() -> Result<()> {
    for runtime in ["950000", "-1"] {
        fs::write(RT_RUNTIME, runtime).context(RT_RUNTIME)?;
        // It waits in read(2), a moved call, for what nobody writes.
        let mut child = job::yod_inside(&[], &["calls-blocked"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("yod")?;
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().context("no pipe")?)
            .read_line(&mut line)
            .context("the first line")?;
        let pid = child.id().cast_signed();
        let sleeps = || {
            let stats = proc::threads(pid);
            Ok(stats.iter().all(|stat| stat.state == 'S' && stat.cpu == 0))
        };
        job::eventually(Duration::from_secs(10), "it waits on CPU 0", sleeps)?;
        let result = set_policy(pid, DEADLINE);
        ensure!(result == Err(Errno::EPERM), "{runtime}: {result:?}");
        ensure!(policy(pid) == Ok(0), "{:?}", policy(pid));
        drop(child.stdin.take());
        let status = child.wait().context("wait")?;
        ensure!(status.success(), "{status}");
    }
    Ok(())
}

const SERVERS: &str = "/sys/kernel/debug/sched/fair_server";

fn fair_server() -> Result<()> {
    let read = |path: &str| fs::read_to_string(path).context(path.to_owned());
    for file in ["cpu3/runtime", "cpu3/period"] {
        let path = format!("{SERVERS}/{file}");
        let before = read(&path)?;
        for value in ["0", "1", "50000000", "1000000000", "2000000000"] {
            // A value that is refused for itself is no news.
            let error = match fs::write(&path, value) {
                Ok(()) => bail!("{value} was written to {file}"),
                Err(error) => error.raw_os_error(),
            };
            ensure!(
                error == Some(Errno::EBUSY as i32) || error == Some(Errno::EINVAL as i32),
                "{value} to {file}: {error:?}"
            );
            ensure!(value != "0" || file != "cpu3/runtime" || error == Some(Errno::EBUSY as i32));
        }
        ensure!(read(&path)? == before, "{file} changed");
    }
    is_told("asked for a fair server for a CPU of a partition")
}

fn bpf() -> Result<()> {
    let path = "/proc/sys/vm/drop_caches";
    rustix::fs::sync();
    fs::write(path, "3").context(path)?;
    let options = ["-c", "3", "--syscalls", "local=bpf"];
    let told = inside(&options, &["read-by-bpf", "/dev/vda", "8"])?;
    told.expect_code(0)?;
    ensure!(told.value("pages")? == "8", "{told:?}");
    again()
}

/// Ends the partition, which waits for all that is pinned to its CPUs, and makes it anew.
fn again() -> Result<()> {
    let old = job::partitions()?;
    let old = old.first().context("no partition")?;
    let refused = |refused| anyhow!("{refused:?}");
    partition::delete(old.id)?.map_err(refused)?;
    partition::create(&old.name, &LWK, &[0])?.map_err(refused)?;
    Ok(())
}

fn delete_at_once() -> Result<()> {
    for _ in 0..8 {
        inside(&[], &["threads", "4"])?.expect_code(0)?;
        again()?;
    }
    Ok(())
}

fn topology() -> Result<()> {
    let path = "/sys/devices/system/cpu/cpu3/topology/thread_siblings_list";
    let siblings = fs::read_to_string(path).context(path)?;
    ensure!(siblings.trim() == "2-3", "{siblings:?}");
    Ok(())
}

/// `yod` by a user of the group that may use the LWK.
fn by(uid: u32, options: &[&str], program: &[&str]) -> Command {
    let mut command = job::yod_inside(options, program);
    command.gid(0).uid(uid);
    command
}

fn cookies() -> Result<()> {
    let mut victim = Beating::start_command(by(1001, &["-c", "2"], &["beat"]))?;
    let mut other = by(1002, &["-c", "3"], &["spin-with-cookie"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("yod")?;
    let mut line = String::new();
    BufReader::new(other.stdout.as_mut().context("no pipe")?)
        .read_line(&mut line)
        .context("the first line")?;
    victim.drain()?;
    // Both compute, whatever came of it.
    victim.beats(10)?;
    ensure!(line == "cookie Err(EPERM)\n", "{line:?}");
    other.kill().context("kill")?;
    other.wait().context("wait")?;
    victim.kill()
}

fn cookies_from_outside() -> Result<()> {
    let spinner = Spinner::start("other")?;
    let pid = spinner.pid().as_raw();
    // Ours, that it could get.
    cookie(Cookie::Create).context("a cookie for ourselves")?;
    ensure!(cookie(Cookie::ShareTo(pid)) == Err(Errno::EPERM), "given");
    ensure!(cookie(Cookie::ShareFrom(pid)) == Err(Errno::EPERM), "taken");
    spinner.end()?;
    // From here on our children have one, too.
    let told = inside(&["-c", "3"], &["where"])?;
    ensure!(told.code == Some(125), "{told:?}");
    ensure!(told.stderr.contains("core scheduling"), "{told:?}");
    is_told("asked for a cookie of core scheduling")?;
    job::check_idle()
}
