// SPDX-License-Identifier: GPL-2.0
//! What `yod` promises: the program runs on the reserved CPUs and nowhere else, and ends as it would without.

use std::os::fd::{AsFd, BorrowedFd};
use std::process::Command;

use anyhow::{ensure, Context, Result};

use super::LWK;
use crate::cpus::{self, Cpus};
use crate::harness::Case;
use crate::job::{self, Beating};
use crate::{proc, sys};

/// The suite.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "placed",
        "a job without options runs on the partition's CPUs and sees exactly them",
        placed,
    ),
    Case::new(
        "placed-list",
        "yod -c gives exactly the CPUs of the list",
        placed_list,
    ),
    Case::new(
        "exit-status",
        "the program's exit status is yod's",
        exit_status,
    ),
    Case::new(
        "signal-status",
        "a signal that ends the program ends yod the same way",
        signal_status,
    ),
    Case::new(
        "launch-errors",
        "a missing program gives 127, one that cannot run 126, a bad request 125",
        launch_errors,
    ),
    Case::new("output", "standard input and output pass through", output),
    Case::new(
        "threads",
        "eight threads run on two CPUs and on no other",
        threads,
    )
    .limit_s(60),
    Case::new(
        "script",
        "a shell script with pipelines and background jobs stays on the job's CPUs",
        script,
    ),
    Case::new(
        "children",
        "200 children at once all run on the job's CPUs and end",
        children,
    )
    .limit_s(90),
    Case::new(
        "affinity",
        "a job may narrow its affinity, but not leave its CPUs",
        affinity,
    ),
    Case::new(
        "foreign-affinity",
        "a foreign process cannot choose an LWK CPU",
        foreign_affinity,
    ),
    Case::new(
        "foreign-load",
        "foreign processes never run on an LWK CPU, however busy Linux is",
        foreign_load,
    ),
    Case::new(
        "crowd",
        "eight spinning threads on two CPUs all get on",
        crowd,
    )
    .limit_s(90),
    Case::new(
        "crowd-one-cpu",
        "four spinning threads on one CPU all get on",
        crowd_one_cpu,
    )
    .limit_s(90),
    Case::new(
        "yield",
        "two threads on one CPU take turns by sched_yield",
        yielding,
    )
    .limit_s(60),
    Case::new(
        "waiting",
        "a CPU that falls idle takes a thread that waits on another CPU of the job",
        waiting,
    ),
    Case::new(
        "nested",
        "yod inside a job is refused and the job goes on",
        nested,
    ),
    Case::new("shown", "lwkctl show --json tells of a running job", shown),
];

fn list(text: &str) -> Result<Cpus> {
    cpus::parse(text)
}

fn check_where(options: &[&str], wanted: &[usize]) -> Result<()> {
    let wanted: Cpus = wanted.iter().copied().collect();
    let told = job::run(&mut job::yod_inside(options, &["where"]))?;
    told.expect_code(0)?;
    ensure!(wanted.is_superset(&list(told.value("cpu")?)?), "{told:?}");
    ensure!(list(told.value("affinity")?)? == wanted, "{told:?}");
    ensure!(list(told.value("status")?)? == wanted, "{told:?}");
    Ok(())
}

fn placed() -> Result<()> {
    check_where(&[], &LWK)
}

fn placed_list() -> Result<()> {
    check_where(&["-c", "2"], &[2])?;
    check_where(&["-c", "3"], &[3])?;
    check_where(&["-c", "2-3"], &LWK)?;
    check_where(&["-c", "2,3"], &LWK)
}

fn exit_status() -> Result<()> {
    for code in [0, 1, 7, 255] {
        let script = format!("exit {code}");
        job::run(&mut job::yod(&["sh", "-c", &script]))?.expect_code(code)?;
    }
    Ok(())
}

fn signal_status() -> Result<()> {
    for (name, number) in [("KILL", 9), ("TERM", 15), ("SEGV", 11)] {
        let script = format!("kill -{name} $$");
        let ended = job::run(&mut job::yod(&["sh", "-c", &script]))?;
        ensure!(
            ended.signal == Some(number),
            "wanted signal {number}: {ended:?}"
        );
    }
    Ok(())
}

fn launch_errors() -> Result<()> {
    job::run(&mut job::yod(&["no-such-program"]))?.expect_code(127)?;
    job::run(&mut job::yod(&["/tmp/not/there"]))?.expect_code(127)?;
    std::fs::write("/tmp/plain", "no program\n").context("/tmp/plain")?;
    job::run(&mut job::yod(&["/tmp/plain"]))?.expect_code(126)?;
    job::check_idle().context("after programs that could not start")?;
    // CPU 1 belongs to Linux and CPU 9 to nobody.
    for cpus in ["1", "1-2", "9", "0"] {
        let refused = job::run(&mut job::yod(&["-c", cpus, "true"]))?;
        refused.expect_code(125)?;
        ensure!(
            !refused.stderr.is_empty(),
            "no word about why CPU {cpus} was refused"
        );
    }
    for words in ["", "3-2", "x", "2,,3"] {
        let refused = job::run(&mut job::yod(&["-c", words, "true"]))?;
        ensure!(
            refused.code.is_some_and(|code| code != 0),
            "-c {words:?}: {refused:?}"
        );
    }
    Ok(())
}

fn output() -> Result<()> {
    let mut pipeline = Command::new("/bin/sh");
    pipeline.args([
        "-c",
        "echo from outside | yod sh -c 'read line; echo got $line; echo oops >&2' 2>/tmp/err",
    ]);
    let told = job::run(&mut pipeline)?.success()?;
    ensure!(told == "got from outside\n", "{told:?}");
    let errors = std::fs::read_to_string("/tmp/err").context("/tmp/err")?;
    ensure!(errors == "oops\n", "{errors:?}");
    Ok(())
}

fn threads() -> Result<()> {
    let told = job::run(&mut job::yod_inside(&[], &["threads", "8"]))?;
    told.expect_code(0)?;
    ensure!(list(told.value("cpus")?)? == Cpus::from(LWK), "{told:?}");
    ensure!(
        list(told.value("affinity")?)? == Cpus::from(LWK),
        "{told:?}"
    );
    let told = job::run(&mut job::yod_inside(&["-c", "3"], &["threads", "8"]))?;
    told.expect_code(0)?;
    ensure!(list(told.value("cpus")?)? == Cpus::from([3]), "{told:?}");
    Ok(())
}

fn script() -> Result<()> {
    const SCRIPT: &str = "#!/bin/sh\n\
        where() { /init inside where | grep -E '^(cpu|affinity) '; }\n\
        where\n(where; (where))\nwhere | cat | sort | cat\nwhere & where & wait\n\
        seq 200 | sed 's/1/one/' | wc -l\nfor i in 1 2 3 4 5; do /init inside where | head -n 2 & done; wait\n";
    std::fs::write("/tmp/script", SCRIPT).context("/tmp/script")?;
    let told = job::run(job::yod(&["sh", "/tmp/script"]).env("PATH", "/bin"))?.success()?;
    let seen = |key: &str| told.lines().filter(|line| line.starts_with(key)).count();
    ensure!(
        told.lines().any(|line| line.trim() == "200")
            && seen("cpu ") == 11
            && seen("affinity ") == 11,
        "{told}"
    );
    for line in told.lines() {
        match line.split_once(' ') {
            Some(("cpu", cpu)) => ensure!(Cpus::from(LWK).is_superset(&list(cpu)?), "{told}"),
            Some(("affinity", cpus)) => ensure!(list(cpus)? == Cpus::from(LWK), "{told}"),
            _ => {}
        }
    }
    Ok(())
}

fn children() -> Result<()> {
    let told = job::run(&mut job::yod_inside(&[], &["children", "200"]))?;
    told.expect_code(0)?;
    ensure!(list(told.value("cpus")?)? == Cpus::from(LWK), "{told:?}");
    Ok(())
}

fn affinity() -> Result<()> {
    // The kernel intersects a mask with what is allowed, so only sets without a CPU of the job are refused.
    job::run(&mut job::yod_inside(
        &[],
        &["affinity", "2-3", "0", "1", "0-1"],
    ))?
    .success()?;
    job::run(&mut job::yod_inside(
        &["-c", "3"],
        &["affinity", "3", "0", "2", "0-2"],
    ))?
    .success()?;
    let mut busy = Beating::start(&["-c", "2"])?;
    ensure!(
        cpus::affinity(busy.pid())? == Cpus::from([2]),
        "{:?}",
        cpus::affinity(busy.pid())?
    );
    let moved = cpus::set_affinity(busy.pid(), &Cpus::from([1]));
    ensure!(
        moved == Err(rustix::io::Errno::INVAL),
        "moving a job's task to CPU 1 from outside: {moved:?}"
    );
    busy.beats(3)?;
    busy.kill()
}

fn foreign_affinity() -> Result<()> {
    let before = cpus::affinity(0)?;
    ensure!(before == Cpus::from([0, 1]), "{before:?}");
    for wanted in [Cpus::from([2]), Cpus::from([3]), Cpus::from(LWK)] {
        let result = cpus::set_affinity(0, &wanted);
        ensure!(
            result == Err(rustix::io::Errno::INVAL),
            "{wanted:?}: {result:?}"
        );
        ensure!(
            cpus::affinity(0)? == before,
            "a refused call changed the affinity to {:?}",
            cpus::affinity(0)?
        );
    }
    cpus::set_affinity(0, &Cpus::from([1, 2, 3])).context("a set with one Linux CPU")?;
    for _ in 0..200 {
        let cpu = rustix::thread::sched_getcpu();
        ensure!(cpu == 1, "asked for CPUs 1-3 and runs on CPU {cpu}");
        rustix::thread::sched_yield();
    }
    Ok(())
}

fn foreign_load() -> Result<()> {
    let mut busy = Beating::start(&["-c", "2"])?;
    let everywhere: Cpus = (0..4).collect();
    let (stop, stopper) = rustix::pipe::pipe().context("pipe")?;
    let mut foreign = Vec::new();
    for _ in 0..6 {
        let everywhere = everywhere.clone();
        let stop = stop.try_clone().context("dup")?;
        foreign.push(sys::spawn(move || foreign_main(&everywhere, stop.as_fd()))?);
    }
    for _ in 0..5 {
        let processes = proc::processes();
        let ours = |p: &&proc::Stat| foreign.iter().any(|f| f.as_raw() == p.pid);
        let found: Vec<_> = processes.iter().filter(ours).collect();
        ensure!(found.len() == foreign.len(), "{found:?}");
        for process in found {
            ensure!(!LWK.contains(&process.cpu), "{process:?} is on an LWK CPU");
        }
    }
    rustix::io::write(&stopper, &[0]).context("the pipe")?;
    for pid in foreign {
        let status = nix::sys::wait::waitpid(pid, None).context("waitpid")?;
        ensure!(
            status == nix::sys::wait::WaitStatus::Exited(pid, 0),
            "a foreign process saw an LWK CPU: {status:?}"
        );
    }
    busy.beats(3)?;
    busy.kill()
}

/// Computes until something is in the pipe, with the widest affinity it can get; fails if it ever finds itself on an
/// LWK CPU.
fn foreign_main(everywhere: &Cpus, stop: BorrowedFd<'_>) -> u8 {
    // A refusal is as good as a narrowed set: what counts is where it runs.
    let _ = cpus::set_affinity(0, everywhere);
    while !matches!(rustix::io::ioctl_fionread(stop), Ok(1..)) {
        std::hint::black_box((0..1000_u64).sum::<u64>());
        if LWK.contains(&rustix::thread::sched_getcpu()) {
            return 1;
        }
    }
    0
}

fn crowd() -> Result<()> {
    job::run(&mut job::yod_inside(&[], &["crowd", "8", "50"]))?
        .success()
        .map(drop)
}

fn crowd_one_cpu() -> Result<()> {
    job::run(&mut job::yod_inside(&["-c", "3"], &["crowd", "4", "50"]))?
        .success()
        .map(drop)
}

fn yielding() -> Result<()> {
    let told = job::run(&mut job::yod_inside(&["-c", "3"], &["yield", "3", "500"]))?;
    told.expect_code(0)?;
    // Each of the 500 turns of the second thread needs the first to give way, and the other way round.
    ensure!(
        told.value("yields")?.parse::<u64>()? >= 900,
        "the token moved without yields: {told:?}"
    );
    Ok(())
}

fn waiting() -> Result<()> {
    let told = job::run(&mut job::yod_inside(&[], &["waiting", "2", "3"]))?;
    told.expect_code(0)?;
    ensure!(told.value("cpus")? == "2,3", "{told:?}");
    Ok(())
}

fn nested() -> Result<()> {
    let told = job::run(&mut job::yod(&[
        "-c",
        "2",
        "sh",
        "-c",
        "yod true; echo inner $?; /init inside where",
    ]))?;
    told.expect_code(0)?;
    ensure!(
        told.value("inner")? == "125" && told.value("affinity")? == "2",
        "{told:?}"
    );
    let told = job::run(&mut job::yod_inside(&["-c", "2"], &["enter"]))?;
    told.expect_code(0)?;
    let refused = |text: &str| text == format!("Err({:?})", rustix::io::Errno::BUSY);
    ensure!(
        refused(told.value("create")?) || refused(told.value("enter")?),
        "{told:?}"
    );
    Ok(())
}

fn shown() -> Result<()> {
    // Its calls stay, so that it is there whenever somebody looks.
    let busy = Beating::start(&["-c", "3", "--syscalls", "local=all"])?;
    let jobs = job::jobs()?;
    ensure!(jobs.len() == 1, "{jobs:?}");
    let device = jobs.first().context("no job")?;
    ensure!(
        device.cpus == Cpus::from([3]) && device.nr_tasks == 1,
        "{device:?}"
    );
    ensure!(
        i32::try_from(device.pid)? == busy.pid(),
        "{device:?}, yod is {}",
        busy.pid()
    );
    let cpu = job::cpu(3)?;
    ensure!(cpu.job == device.id && cpu.nr_running == 1, "{cpu:?}");
    let text = job::lwkctl(&["show", "--json"])?;
    let value: serde_json::Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let shown = &value["jobs"][0];
    ensure!(
        shown["id"] == device.id && shown["pid"] == device.pid,
        "{text}"
    );
    ensure!(
        shown["cpus"] == serde_json::json!([3]) && shown["nr_tasks"] == 1,
        "{text}"
    );
    ensure!(shown["comm"] == device.comm.as_str(), "{text} / {device:?}");
    busy.kill()
}
