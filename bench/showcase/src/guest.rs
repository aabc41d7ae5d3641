// SPDX-License-Identifier: GPL-2.0
//! Runs every program in every place and writes what came of it.
//!
//! The order is program by program, so that the places of one program are compared under the same conditions. An
//! unmeasured small run comes first: it brings files into the page cache, which else only the first place would pay for.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{bail, ensure, Context, Result};
use bench_places::tune;
use lwk_logic::logic::cpuset::{CpuId, CpuSet};
use rustix::thread::{sched_getaffinity, sched_setaffinity};

use crate::apps::{App, Size};
use crate::cli::GuestOptions;
use crate::conditions::{self, Conditions};
use crate::interrupts::Interrupts;
use crate::launch::{self, Job};
use crate::noise::Noise;
use crate::record::{Place, Record, Run, Site, SCHEMA};

/// How long one run may take before it counts as hung; the slowest takes some 30 s on emulated CPUs.
const LIMIT: Duration = Duration::from_secs(180);

/// How many bytes of a failed program's standard error are shown.
const TAIL: usize = 2000;

/// Everything that the runs share.
struct Session<'a> {
    options: &'a GuestOptions,
    size: Size,
    /// The first right output of each program, to which the other places are compared.
    references: BTreeMap<App, Vec<u8>>,
}

/// Does all of it; returns whether every program exited with 0 and the right result everywhere.
pub(crate) fn run(options: &GuestOptions, out: &mut impl Write) -> Result<bool> {
    let sites = prepare_places(options, out)?;
    let mut record = Record {
        schema: SCHEMA,
        conditions: Conditions::read(&options.programs)?,
        sites,
        runs: Vec::new(),
    };
    let size = if options.quick {
        Size::Small
    } else {
        Size::Full
    };
    let mut session = Session {
        options,
        size,
        references: BTreeMap::new(),
    };
    let total = options.programs.len() * options.places.len();
    for &program in &options.programs {
        session.warm_up(program, out)?;
        for &place in &options.places {
            write!(
                out,
                "[{}/{total}] {} on {} ... ",
                record.runs.len() + 1,
                program.name(),
                place.label()
            )?;
            out.flush()?;
            let run = session.measure(program, place)?;
            let verdict = if run.is_correct() { "ok" } else { "FAILED" };
            writeln!(
                out,
                "{verdict} {:.1} s",
                Duration::from_nanos(run.wall_ns).as_secs_f64()
            )?;
            if !run.is_correct() {
                session.explain(&run, out)?;
            }
            record.runs.push(run);
        }
    }
    let text = serde_json::to_string_pretty(&record)? + "\n";
    fs::write(&options.out, text)
        .with_context(|| format!("cannot write {}", options.out.display()))?;
    Ok(record.runs.iter().all(Run::is_correct))
}

/// Checks the CPUs, quietens the tuned ones and leaves them all.
fn prepare_places(options: &GuestOptions, out: &mut impl Write) -> Result<Vec<Site>> {
    let mut busy = CpuSet::EMPTY;
    for &place in &options.places {
        let cpus = options.cpus(place)?;
        ensure!(
            !cpus.intersects(&busy),
            "CPUs {cpus} for {} overlap with those of another place",
            place.label()
        );
        busy = busy.union(&cpus);
    }
    let boot_line = fs::read_to_string("/proc/cmdline").context("/proc/cmdline")?;
    let online: CpuSet = fs::read_to_string("/sys/devices/system/cpu/online")?
        .trim()
        .parse()
        .map_err(list_error)?;
    let mut sites = Vec::new();
    for &place in &options.places {
        let cpus = options.cpus(place)?;
        let mut tuning = Vec::new();
        if place == Place::Tuned {
            let lwk = options.cpus(Place::Lwk).unwrap_or_default();
            let others = online.difference(&cpus).difference(&lwk);
            if tune::is_allowed(&boot_line) && !others.is_empty() {
                tuning = tune::quieten(Path::new("/"), &cpus, &others);
            } else {
                tuning.push("nothing: this machine was not booted for it (no lwkcpus=)".to_owned());
            }
        }
        writeln!(out, "{}: CPUs {cpus}", place.label())?;
        for step in &tuning {
            writeln!(out, "  {step}")?;
        }
        sites.push(Site {
            place,
            cpus: cpus.to_string(),
            tuning,
        });
    }
    step_aside(&busy)?;
    Ok(sites)
}

/// Moves this process off the CPUs of the places, if any other is left.
fn step_aside(busy: &CpuSet) -> Result<()> {
    let mut cpus = sched_getaffinity(None).context("sched_getaffinity")?;
    let before = cpus;
    for cpu in busy {
        cpus.unset(cpu.index());
    }
    if cpus.count() > 0 && cpus != before {
        sched_setaffinity(None, &cpus).context("sched_setaffinity")?;
    }
    Ok(())
}

impl Session<'_> {
    /// Makes what all runs of a program share, and runs it once so that its files are in memory.
    fn warm_up(&self, program: App, out: &mut impl Write) -> Result<()> {
        writeln!(out, "{}: {}", program.name(), program.what())?;
        let dir = self.dir(program);
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        program.prepare(&dir)?;
        let place = self.options.places.first().copied().context("no place")?;
        let run_dir = self.run_dir(program)?;
        program.stage(Size::Small, &run_dir)?;
        // How it ends does not matter: the measured runs tell.
        self.launch(
            &self.command(program, place, Size::Small)?,
            program,
            &run_dir,
        )?;
        Ok(())
    }

    /// Runs a program in a place and judges it.
    fn measure(&mut self, program: App, place: Place) -> Result<Run> {
        let cpus = self.options.cpus(place)?;
        let run_dir = self.run_dir(program)?;
        program.stage(self.size, &run_dir)?;
        let command = self.command(program, place, self.size)?;
        // The tool itself enters the kernel, but on the CPU that this process keeps to.
        let noise = || {
            (place == Place::Lwk)
                .then(|| Noise::read(&self.options.lwkctl))
                .transpose()
        };
        let (noise_before, before) = (noise()?, Interrupts::read()?);
        let outcome = self.launch(&command, program, &run_dir)?;
        let (after, noise_after) = (Interrupts::read()?, noise()?);
        let lwk = match (noise_before, noise_after) {
            (Some(before), Some(after)) => Some(after.since(&before, &cpus)?),
            _ => None,
        };
        let (wrong, digest) = self.judge(program, &run_dir);
        Ok(Run {
            program,
            place,
            command,
            exit: outcome.exit,
            wrong,
            digest,
            wall_ns: u64::try_from(outcome.wall.as_nanos())?,
            interrupts: after.since(&before, &cpus)?,
            lwk,
            switches: outcome.switches,
            faults: outcome.faults,
        })
    }

    /// Says what is wrong with the result, if anything, and its digest.
    fn judge(&mut self, program: App, run_dir: &Path) -> (Option<String>, Option<String>) {
        let result = match program.result(self.size, run_dir) {
            Ok(result) => result,
            Err(error) => return (Some(format!("{error:#}")), None),
        };
        let path = run_dir.join("result");
        let digest = fs::write(&path, &result)
            .map_err(Into::into)
            .and_then(|()| conditions::digest(&path));
        let reference = self
            .references
            .entry(program)
            .or_insert_with(|| result.clone());
        let wrong = (*reference != result).then(|| {
            format!(
                "differs from the first place: {}",
                difference(reference, &result)
            )
        });
        match digest {
            Ok(digest) => (wrong, Some(digest)),
            Err(error) => (Some(wrong.unwrap_or_else(|| format!("{error:#}"))), None),
        }
    }

    /// Returns the command with the launcher of the place.
    fn command(&self, program: App, place: Place, size: Size) -> Result<Vec<String>> {
        let cpus = self.options.cpus(place)?.to_string();
        let launcher = match place {
            Place::Linux | Place::Tuned => "taskset".to_owned(),
            Place::Lwk => self.options.yod.display().to_string(),
        };
        Ok([launcher, "-c".to_owned(), cpus]
            .into_iter()
            .chain(program.argv(size))
            .collect())
    }

    /// Starts a command and waits for its end.
    fn launch(&self, argv: &[String], program: App, run_dir: &Path) -> Result<launch::Outcome> {
        launch::run(&Job {
            argv,
            dir: run_dir,
            env: &program.env(run_dir),
            limit: LIMIT,
        })
    }

    /// Tells why a run failed and what it said.
    fn explain(&self, run: &Run, out: &mut impl Write) -> Result<()> {
        writeln!(
            out,
            "    {}: {}",
            run.exit,
            run.wrong.as_deref().unwrap_or("the result is right")
        )?;
        let stderr = fs::read(self.dir(run.program).join("run/stderr")).unwrap_or_default();
        let tail = stderr
            .get(stderr.len().saturating_sub(TAIL)..)
            .unwrap_or_default();
        for line in String::from_utf8_lossy(tail).lines() {
            writeln!(out, "    | {line}")?;
        }
        Ok(())
    }

    /// Returns the directory of a program.
    fn dir(&self, program: App) -> PathBuf {
        self.options.work_dir.join(program.name())
    }

    /// Makes an empty directory for one run.
    fn run_dir(&self, program: App) -> Result<PathBuf> {
        let dir = self.dir(program).join("run");
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("cannot empty {}", dir.display()))?;
        }
        fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(dir)
    }
}

/// Shows the first line that differs.
fn difference(want: &[u8], got: &[u8]) -> String {
    let (Ok(want), Ok(got)) = (std::str::from_utf8(want), std::str::from_utf8(got)) else {
        return format!("{} and {} bytes", want.len(), got.len());
    };
    let mut pairs = want.lines().zip(got.lines());
    match pairs.find(|(want, got)| want != got) {
        Some((want, got)) => format!("{got:?} where {want:?} was"),
        None => format!(
            "{} lines where {} were",
            got.lines().count(),
            want.lines().count()
        ),
    }
}

/// Makes an error of a list that is none; the crate below has no `std` error type.
fn list_error(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("not a list of CPUs: {error}")
}

/// Parses a list of CPUs from the command line.
pub(crate) fn parse_cpus(text: &str) -> Result<CpuSet> {
    let cpus: CpuSet = text.parse().map_err(list_error)?;
    if cpus.iter().next().map(CpuId::get).is_none() {
        bail!("the list is empty");
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_difference_is_shown() {
        assert_eq!(difference(b"a\nb\n", b"a\nc\n"), r#""c" where "b" was"#);
        assert_eq!(difference(b"a\nb\n", b"a\n"), "1 lines where 2 were");
        assert_eq!(difference(b"\xff", b"\xfe\xff"), "1 and 2 bytes");
    }
}
