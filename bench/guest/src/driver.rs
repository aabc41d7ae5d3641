// SPDX-License-Identifier: GPL-2.0
//! Runs the benchmarks one by one and makes the report.
//!
//! Windows have no names in the counter, only an order, so the driver knows after each program whether it closed its
//! window: the shared page says so even if the program died. A window that was open is thrown away, one that was
//! closed stays in the report, without subjects if the benchmark failed.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{bail, ensure, Context, Result};
use bench_record::report::{self, Key, Missing, Report, Subject, Why, Window};
use bench_record::results::Kind;
use bench_record::{Place, Site};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::system::uname;

use crate::inside::{Order, Outcome};
use crate::measure::{Measured, Mode};
use crate::spec::{Bench, Run, Suite};
use crate::suites::{self, scaling};
use crate::sys::marker;
use crate::sys::shared::{Shared, Word};
use crate::victims::{self, Victims};
use crate::{apps, kernel, sites};

/// How long a benchmark may take before it counts as hung, in the time of the machine.
const LIMIT: Duration = Duration::from_secs(60);

/// What to run and how.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Suites by name; none for all.
    pub(crate) suites: Vec<String>,
    /// Benchmarks by name; none for all.
    pub(crate) benches: Vec<String>,
    /// Whether to run the quick subset only.
    pub(crate) is_quick: bool,
    /// What measures.
    pub(crate) mode: Mode,
    /// The places.
    pub(crate) sites: Vec<Site>,
    /// The launcher of LWK programs.
    pub(crate) yod: String,
}

impl Settings {
    fn wants_suite(&self, suite: &Suite) -> bool {
        // Scaling is for machines of many sizes, so it is only run by name.
        if self.suites.is_empty() {
            suite.name != scaling::NAME
        } else {
            self.suites.iter().any(|name| name == suite.name)
        }
    }

    /// Whether real programs are to run; they need much time and an archive of their own, so only by name.
    fn wants_apps(&self) -> bool {
        self.suites.iter().any(|name| name == apps::NAME)
    }

    fn wants(&self, bench: &Bench) -> bool {
        let is_named =
            self.benches.is_empty() || self.benches.iter().any(|name| name == bench.name);
        is_named && (bench.quick || !self.is_quick)
    }

    /// Checks that the names exist.
    pub(crate) fn check(&self) -> Result<()> {
        for name in &self.suites {
            let known = suites::ALL.iter().map(|suite| suite.name);
            let known: Vec<_> = known.chain([apps::NAME]).collect();
            ensure!(
                known.contains(&name.as_str()),
                "no suite is called {name:?}; there are {}",
                known.join(", ")
            );
        }
        for name in &self.benches {
            let mut known = suites::ALL.iter().flat_map(|suite| suite.benches);
            ensure!(
                known.any(|bench| bench.name == name) || apps::is_known(name),
                "no benchmark is called {name:?}; `list` prints them"
            );
        }
        Ok(())
    }
}

/// Runs benchmarks.
pub(crate) struct Driver {
    settings: Settings,
    program: PathBuf,
    shared: Shared,
    home: Vec<u32>,
    size: String,
    victims: Option<Victims>,
    report: Report,
}

impl Driver {
    /// Makes everything ready.
    pub(crate) fn new(settings: Settings) -> Result<Self> {
        settings.check()?;
        let used: Vec<u32> = settings
            .sites
            .iter()
            .flat_map(|site| site.cpus.clone())
            .collect();
        let rest = sites::allowed()?.difference(&sites::set(&used));
        // Without a CPU to spare the driver shares those of the places; it sleeps in windows.
        let home = if rest.is_empty() {
            sites::numbers(&sites::allowed()?)
        } else {
            sites::numbers(&rest)
        };
        sites::confine(&home)?;
        let report = Report {
            schema: report::SCHEMA,
            kind: match settings.mode {
                Mode::Counted => Kind::Counted,
                Mode::Timed => Kind::Timed,
            },
            kernel: uname().release().to_string_lossy().into_owned(),
            boot_line: kernel::read("/proc/cmdline")?,
            sites: settings.sites.clone(),
            windows: Vec::new(),
            missing: Vec::new(),
        };
        Ok(Self {
            program: std::env::current_exe().context("the path of this program")?,
            shared: Shared::create()?,
            home,
            size: scaling::size()?,
            victims: None,
            report,
            settings,
        })
    }

    /// Runs all that is wanted.
    pub(crate) fn run(mut self) -> Report {
        for suite in suites::ALL {
            if !self.settings.wants_suite(suite) {
                continue;
            }
            for bench in suite.benches {
                if self.settings.wants(bench) {
                    eprintln!("{} {} {}", suite.name, bench.name, bench.variant);
                    match bench.run {
                        Run::Disturb(_) => self.disturb(suite, bench),
                        Run::Inside(_) | Run::Outside(_) | Run::Sibling(_) => {
                            self.victims = None;
                            self.everywhere(suite, bench);
                        }
                    }
                }
            }
            self.victims = None;
            if self.settings.benches.is_empty() && !self.settings.is_quick {
                self.not_built(suite);
            }
        }
        if self.settings.wants_apps() {
            let setting = apps::Setting {
                sites: &self.settings.sites,
                yod: &self.settings.yod,
                mode: self.settings.mode,
                names: &self.settings.benches,
            };
            apps::run(&setting, &mut self.report);
        }
        self.report
    }

    /// Runs a benchmark in each of its places.
    fn everywhere(&mut self, suite: &Suite, bench: &Bench) {
        for site in self.settings.sites.clone() {
            if bench.places.contains(&site.place) {
                self.once(suite, bench, &site);
            }
        }
    }

    /// The benchmark's name in the report.
    fn key(&self, suite: &Suite, bench: &Bench) -> Key {
        let mut key = bench.key(suite.name);
        if suite.name == scaling::NAME {
            key.variant.clone_from(&self.size);
        }
        key
    }

    /// Runs a benchmark in one place and writes down what came of it.
    fn once(&mut self, suite: &Suite, bench: &Bench, site: &Site) {
        let key = self.key(suite, bench);
        let (did_close, outcome) = self.attempt(suite, bench, site);
        match outcome {
            Ok(mut measured) => {
                let times = match bench.run {
                    Run::Sibling(_) => measured.quanta_ns.pop(),
                    _ => None,
                };
                let subject = Subject {
                    place: site.place,
                    cpus: self.counted_cpus(bench, site),
                    usage: matches!(bench.run, Run::Inside(_)).then_some(measured.usage),
                };
                self.report.windows.push(Window {
                    key,
                    iterations: measured.iterations,
                    subjects: vec![subject],
                    times_ns: times.unwrap_or(measured.times_ns),
                    instructions: measured.instructions,
                });
            }
            Err(why) => self.failed(key, bench, did_close, Some(site.place), why),
        }
    }

    /// Runs a disturbance while programs compute in all places.
    fn disturb(&mut self, suite: &Suite, bench: &Bench) {
        let key = self.key(suite, bench);
        let linux = self
            .settings
            .sites
            .iter()
            .find(|site| site.place == Place::Linux);
        let Some(linux) = linux.or(self.settings.sites.first()).cloned() else {
            return;
        };
        if let Err(error) = self.start_victims() {
            return self.failed(key, bench, false, None, Why::Failed(format!("{error:#}")));
        }
        let (did_close, outcome) = self.attempt(suite, bench, &linux);
        // One that ended would be missing in the next windows too.
        if self
            .victims
            .as_mut()
            .is_none_or(|victims| victims.check().is_err())
        {
            self.victims = None;
        }
        let measured = match outcome {
            Ok(measured) => measured,
            Err(why) => return self.failed(key, bench, did_close, None, why),
        };
        let subjects: Vec<_> = self
            .settings
            .sites
            .iter()
            .map(|site| Subject {
                place: site.place,
                cpus: self.counted_cpus(bench, site),
                usage: None,
            })
            .collect();
        let window = |subjects, times_ns| Window {
            key: key.clone(),
            iterations: measured.iterations,
            subjects,
            times_ns,
            instructions: None,
        };
        match self.settings.mode {
            Mode::Counted => {
                let window = window(subjects, Vec::new());
                self.report.windows.push(window);
            }
            Mode::Timed => {
                let windows = subjects.into_iter().zip(&measured.quanta_ns);
                let windows = windows.map(|(subject, times)| window(vec![subject], times.clone()));
                self.report.windows.extend(windows);
            }
        }
    }

    fn start_victims(&mut self) -> Result<()> {
        if self.victims.is_none() {
            let Settings {
                sites, yod, mode, ..
            } = &self.settings;
            let victims = Victims::start(sites, yod, &self.program, &self.shared, *mode);
            self.victims = Some(victims?);
        }
        Ok(())
    }

    /// Runs a benchmark's program; returns whether it closed a window, and what came of it.
    fn attempt(&self, suite: &Suite, bench: &Bench, site: &Site) -> (bool, Result<Measured, Why>) {
        let outcome = self.inside(suite, bench, site);
        let did_close = self.shared.word(Word::Closed).swap(0, Ordering::Relaxed) != 0;
        if !did_close {
            // It may have died in the window.
            marker::cancel();
        }
        let outcome = match outcome {
            Ok(Outcome::Done(measured)) => Ok(measured),
            Ok(Outcome::NotHere(reason)) => Err(Why::NotHere(reason)),
            Ok(Outcome::Failed(reason)) => Err(Why::Failed(reason)),
            Err(error) => Err(Why::Failed(format!("{error:#}"))),
        };
        (did_close, outcome)
    }

    /// Writes down that there is no figure; a closed window keeps its number without figures.
    fn failed(&mut self, key: Key, bench: &Bench, did_close: bool, place: Option<Place>, why: Why) {
        eprintln!("  {}: {why:?}", place.map_or("everywhere", Place::label));
        if did_close {
            self.report.windows.push(Window {
                key: key.clone(),
                iterations: bench.iterations,
                subjects: Vec::new(),
                times_ns: Vec::new(),
                instructions: None,
            });
        }
        self.report.missing.push(Missing { key, place, why });
    }

    /// The CPUs whose counts are the benchmark's.
    fn counted_cpus(&self, bench: &Bench, site: &Site) -> Vec<u32> {
        match bench.run {
            Run::Inside(_) => site.cpus.clone(),
            Run::Sibling(_) | Run::Disturb(_) => victims::cpu_of(site).into_iter().collect(),
            Run::Outside(_) => {
                let mut all = self.home.clone();
                all.extend(self.settings.sites.iter().flat_map(|site| &site.cpus));
                all.sort_unstable();
                all.dedup();
                all
            }
        }
    }

    /// Runs a benchmark's program to its end.
    fn inside(&self, suite: &Suite, bench: &Bench, site: &Site) -> Result<Outcome> {
        let home = Site {
            place: Place::Linux,
            cpus: self.home.clone(),
            tuning: Vec::new(),
        };
        let linux = self
            .settings
            .sites
            .iter()
            .find(|site| site.place == Place::Linux);
        let (runs_on, victims) = match bench.run {
            Run::Inside(_) => (site, 0),
            Run::Sibling(_) => (site, 1),
            // What uses a place from the outside runs on stock Linux CPUs.
            Run::Outside(_) => (linux.unwrap_or(&home), 0),
            Run::Disturb(_) => (&home, self.settings.sites.len()),
        };
        let order = Order {
            suite: suite.name,
            bench: bench.name,
            variant: bench.variant,
            place: site.place,
            cpus: sites::set(&runs_on.cpus).to_string(),
            place_cpus: sites::set(&site.cpus).to_string(),
            page: self.shared.number(),
            mode: self.settings.mode,
            yod: &self.settings.yod,
            victims,
        };
        let mut command = sites::command(
            runs_on,
            &self.settings.yod,
            bench.memory,
            bench.calls,
            &self.program,
        );
        command.args(order.words());
        let text = output(&mut command)?;
        serde_json::from_str(&text).with_context(|| format!("it said {text:?}"))
    }

    /// Lists what does not exist yet.
    fn not_built(&mut self, suite: &Suite) {
        for row in suite.not_built {
            let key = Key {
                suite: suite.name.to_owned(),
                bench: row.bench.to_owned(),
                variant: row.variant.to_owned(),
            };
            self.report.missing.push(Missing {
                key,
                place: Some(Place::Lwk),
                why: Why::NotBuilt,
            });
        }
    }
}

/// Runs a program and returns its standard output; it is killed when its time is up.
fn output(command: &mut Command) -> Result<String> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.with_context(|| format!("{command:?}"))?;
    let text = read_all(&mut child);
    if text.is_err() {
        // It may have ended by itself.
        let _ = child.kill();
    }
    let status = child.wait().context("wait")?;
    let text = text?;
    ensure!(status.success(), "it ended with {status} and said {text:?}");
    Ok(text)
}

/// Reads until the other side ends or time is up.
fn read_all(child: &mut Child) -> Result<String> {
    let mut pipe = child.stdout.take().context("no pipe")?;
    let limit = Timespec::try_from(LIMIT)?;
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&limit)).context("poll")? == 0 {
            bail!("it did not end within {} s", LIMIT.as_secs());
        }
        match pipe.read(&mut buffer).context("reading its output")? {
            0 => return String::from_utf8(text).context("its output"),
            count => text.extend(buffer.iter().take(count)),
        }
    }
}
