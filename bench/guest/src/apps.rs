// SPDX-License-Identifier: GPL-2.0
//! Real programs, each started in each place by the launcher that a user would take: taskset or yod.
//!
//! What runs is up to a manifest that lies beside the programs (`bench/programs/apps.json`): command, environment, how
//! much work that is, and what must be in the output, which [`output`] judges. A window holds one program from the
//! launcher's start to its end.

mod output;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use bench_record::report::{Key, Missing, Report, Subject, Usage, Why, Window};
use bench_record::{Place, Site};
use nix::sys::resource::{getrusage, UsageWho};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::process::{kill_process_group, pidfd_open, Pid, PidfdFlags, Signal};
use serde::Deserialize;

use crate::measure::Mode;
use crate::sites;
use crate::sys::marker;

/// The suite's name.
pub(crate) const NAME: &str = "apps";

/// Where the archive of `scripts/bench-rootfs` has the manifest.
const MANIFEST: &str = "/apps/apps.json";

/// Where each program runs; the same for all, so that paths and environments are of the same length everywhere.
const WORK: &str = "/tmp/apps";

/// How long a program may take, in the time of the machine.
const LIMIT: Duration = Duration::from_secs(40);

/// How long everything rests before a program starts, for what the last one left to be done.
const REST: Duration = Duration::from_millis(50);

/// What the archive says of its programs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// The environment of all programs.
    env: BTreeMap<String, String>,
    /// The programs in the order in which they run.
    apps: Vec<App>,
}

/// One program.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct App {
    /// Kebab-case, as in [`Key::bench`].
    name: String,
    /// One sentence.
    about: String,
    /// The command.
    argv: Vec<String>,
    /// How many CPUs it wants.
    threads: usize,
    /// What its work is counted in.
    unit: String,
    /// How much of that it does, which its output must confirm if it tells.
    units: u64,
    /// More environment.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Files beside the manifest that must be in its working directory.
    #[serde(default)]
    files: Vec<String>,
    /// What it must have put out.
    expected: output::Expected,
}

/// What is needed to run programs.
pub(crate) struct Setting<'a> {
    /// The places.
    pub(crate) sites: &'a [Site],
    /// The launcher of LWK programs.
    pub(crate) yod: &'a str,
    /// What measures.
    pub(crate) mode: Mode,
    /// Programs by name; none for all.
    pub(crate) names: &'a [String],
}

/// A program that ran to its end.
struct Done {
    status: ExitStatus,
    usage: Usage,
    wall: Duration,
}

/// Runs all programs in all places and adds to the report what came of them.
pub(crate) fn run(setting: &Setting<'_>, report: &mut Report) {
    let missing = |why| Missing {
        key: key("all"),
        place: None,
        why,
    };
    if !Path::new(MANIFEST).exists() {
        let why = Why::NotHere(format!("there is no {MANIFEST}"));
        report.missing.push(missing(why));
        return;
    }
    let manifest = match read_manifest().and_then(|manifest| prepare().map(|()| manifest)) {
        Ok(manifest) => manifest,
        Err(error) => {
            let why = Why::Failed(format!("{error:#}"));
            report.missing.push(missing(why));
            return;
        }
    };
    for app in &manifest.apps {
        if setting.names.is_empty() || setting.names.contains(&app.name) {
            eprintln!("{NAME} {}", app.name);
            everywhere(setting, &manifest, app, report);
        }
    }
}

/// The programs of the manifest with their sentences; nothing where there is none.
pub(crate) fn list() -> Result<String> {
    let mut text = format!("{NAME}: Real programs, by the manifest {MANIFEST}.\n");
    if Path::new(MANIFEST).exists() {
        for app in read_manifest()?.apps {
            let (name, about) = (&app.name, &app.about);
            text += &format!("  {name:<28} {about} Does {} {}.\n", app.units, app.unit);
        }
    }
    Ok(text)
}

/// Whether the manifest has a program of that name.
pub(crate) fn is_known(name: &str) -> bool {
    read_manifest().is_ok_and(|manifest| manifest.apps.iter().any(|app| app.name == name))
}

fn key(name: &str) -> Key {
    Key {
        suite: NAME.to_owned(),
        bench: name.to_owned(),
        variant: String::new(),
    }
}

fn read_manifest() -> Result<Manifest> {
    let text = fs::read_to_string(MANIFEST).context(MANIFEST)?;
    serde_json::from_str(&text).context(MANIFEST)
}

/// Gives Open MPI what a bare initramfs lacks: a loopback interface, over which its parts talk, and a host name.
fn prepare() -> Result<()> {
    const FLAGS: &str = "/sys/class/net/lo/flags";
    const HOST_NAME: &str = "/proc/sys/kernel/hostname";
    let flags = fs::read_to_string(FLAGS).context(FLAGS)?;
    let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).context(FLAGS)?;
    if flags & 1 == 0 {
        let mut ip = Command::new(output::BUSYBOX);
        let status = ip.args(["ip", "link", "set", "lo", "up"]).status();
        let status = status.context(output::BUSYBOX)?;
        ensure!(status.success(), "ip link set lo up: {status}");
    }
    let name = fs::read_to_string(HOST_NAME).context(HOST_NAME)?;
    if name.trim() == "(none)" {
        fs::write(HOST_NAME, "lab").context(HOST_NAME)?;
    }
    Ok(())
}

/// Runs a program in each place; its output must be the same in all.
fn everywhere(setting: &Setting<'_>, manifest: &Manifest, app: &App, report: &mut Report) {
    let mut first: Option<(Place, Vec<String>)> = None;
    for site in setting.sites {
        let mut window = Window {
            key: key(&app.name),
            iterations: app.units,
            subjects: Vec::new(),
            times_ns: Vec::new(),
            instructions: None,
        };
        let mut missing = |why: Why| {
            eprintln!("  {}: {why:?}", site.place.label());
            report.missing.push(Missing {
                key: key(&app.name),
                place: Some(site.place),
                why,
            });
        };
        if site.cpus.len() < app.threads {
            missing(Why::NotHere(format!("it takes {} CPUs", app.threads)));
            continue;
        }
        let done = match start(setting, manifest, app, site) {
            Ok(done) => done,
            Err(error) => {
                missing(Why::Failed(format!("{error:#}")));
                continue;
            }
        };
        match judge(app, site.place, &done, &mut first) {
            Ok(()) => {
                window.subjects.push(Subject {
                    place: site.place,
                    cpus: site.cpus.clone(),
                    usage: Some(done.usage),
                });
                if setting.mode == Mode::Timed {
                    let wall = u64::try_from(done.wall.as_nanos()).unwrap_or(u64::MAX);
                    window.times_ns.push(wall);
                }
            }
            Err(error) => missing(Why::Failed(format!("{error:#}"))),
        }
        // Without a subject it only keeps the number that the counter gave it.
        report.windows.push(window);
    }
}

/// Checks status and output, also against those of the first place.
fn judge(
    app: &App,
    place: Place,
    done: &Done,
    first: &mut Option<(Place, Vec<String>)>,
) -> Result<()> {
    let dir = Path::new(WORK);
    ensure!(
        done.status.success(),
        "it ended with {} and said {:?}",
        done.status,
        output::last_words(dir)
    );
    let kept = app.expected.check(dir)?;
    match first {
        Some((other, texts)) => ensure!(
            *texts == kept,
            "it said {kept:?} and on {} {texts:?}",
            other.label()
        ),
        None => *first = Some((place, kept)),
    }
    Ok(())
}

/// Runs a program in one place.
///
/// # Errors
///
/// It could not be started or ended; then there was no window.
fn start(setting: &Setting<'_>, manifest: &Manifest, app: &App, site: &Site) -> Result<Done> {
    let dir = Path::new(WORK);
    if dir.exists() {
        fs::remove_dir_all(dir).context(WORK)?;
    }
    fs::create_dir_all(dir).context(WORK)?;
    for name in &app.files {
        let from = Path::new(MANIFEST).with_file_name(name);
        fs::copy(&from, dir.join(name)).with_context(|| from.display().to_string())?;
    }
    let create = |name| File::create(dir.join(name)).context(WORK);
    let mut command = launcher(setting, site);
    command
        .args(&app.argv)
        .current_dir(dir)
        .env_clear()
        .envs(&manifest.env)
        .envs(&app.env)
        .envs([("HOME", WORK), ("TMPDIR", WORK)])
        .stdin(Stdio::null())
        .stdout(create(output::STDOUT)?)
        .stderr(create(output::STDERR)?)
        // A group of its own, so that all of it can be stopped.
        .process_group(0);
    std::thread::sleep(REST);
    measure(setting.mode, &mut command)
}

/// The command in front of the program's own.
fn launcher(setting: &Setting<'_>, site: &Site) -> Command {
    let mut command = match site.place {
        Place::Linux | Place::Tuned => Command::new("/usr/bin/taskset"),
        Place::Lwk => Command::new(setting.yod),
    };
    command.args(["-c", &sites::set(&site.cpus).to_string()]);
    command
}

/// Runs the command in a window of its own.
fn measure(mode: Mode, command: &mut Command) -> Result<Done> {
    let before = usage_of_children()?;
    let begun = Instant::now();
    if mode == Mode::Counted {
        marker::open();
    }
    let spawned = command.spawn();
    let status = match spawned {
        Ok(mut child) => wait(&mut child),
        Err(error) => Err(error).with_context(|| format!("{:?}", command.get_program())),
    };
    if mode == Mode::Counted {
        if status.is_ok() {
            marker::close();
        } else {
            marker::cancel();
        }
    }
    let (status, wall) = (status?, begun.elapsed());
    let after = usage_of_children()?;
    Ok(Done {
        status,
        usage: Usage {
            faults: after.faults.saturating_sub(before.faults),
            switches: after.switches.saturating_sub(before.switches),
        },
        wall,
    })
}

/// Waits for the end of a program; when its time is up, it and its group are killed.
fn wait(child: &mut Child) -> Result<ExitStatus> {
    let pid = Pid::from_child(child);
    let fd = pidfd_open(pid, PidfdFlags::empty()).context("pidfd_open")?;
    let limit = Timespec::try_from(LIMIT)?;
    let ready = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&limit)).context("poll");
    if !matches!(ready, Ok(1..)) {
        // What has ended meanwhile needs no signal.
        let _ = kill_process_group(pid, Signal::KILL);
        child.wait().context("wait")?;
        ready?;
        let said = output::last_words(Path::new(WORK));
        bail!(
            "it did not end within {} s and said {said:?}",
            LIMIT.as_secs()
        );
    }
    child.wait().context("wait")
}

/// Faults and switches of all programs that were waited for, and of theirs.
fn usage_of_children() -> Result<Usage> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("getrusage")?;
    let positive = |number: i64| u64::try_from(number).unwrap_or(0);
    Ok(Usage {
        faults: positive(usage.minor_page_faults()) + positive(usage.major_page_faults()),
        switches: positive(usage.voluntary_context_switches())
            + positive(usage.involuntary_context_switches()),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_manifest_names_each_program_once_and_says_what_it_must_put_out() {
        let text = include_str!("../../programs/apps.json");
        let manifest: Manifest = serde_json::from_str(text).unwrap();
        let mut names = BTreeSet::new();
        assert!(!manifest.apps.is_empty());
        for app in &manifest.apps {
            let is_kebab = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            assert!(app.name.bytes().all(is_kebab), "{}", app.name);
            assert!(names.insert(&app.name), "{}", app.name);
            assert!(app.about.ends_with('.'), "{}", app.name);
            assert!(!app.argv.is_empty() && app.threads > 0, "{}", app.name);
            assert!(app.units > 0 && !app.unit.is_empty(), "{}", app.name);
            assert!(app.expected.is_something(), "{}", app.name);
        }
    }

    #[test]
    fn programs_get_the_launcher_of_their_place() {
        let setting = Setting {
            sites: &[],
            yod: "/bin/yod",
            mode: Mode::Counted,
            names: &[],
        };
        for (place, want) in [
            (Place::Linux, "/usr/bin/taskset"),
            (Place::Tuned, "/usr/bin/taskset"),
            (Place::Lwk, "/bin/yod"),
        ] {
            let site = Site {
                place,
                cpus: vec![5, 6],
                tuning: Vec::new(),
            };
            let command = launcher(&setting, &site);
            assert_eq!(command.get_program(), want);
            assert_eq!(command.get_args().collect::<Vec<_>>(), ["-c", "5-6"]);
        }
    }
}
