// SPDX-License-Identifier: GPL-2.0
//! Boots machines, several at once, and makes results of what they leave.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{anyhow, ensure, Context, Result};
use bench_record::results::{Kind, Results, Row, SCHEMA};
use guest_runner::initramfs;

use crate::attribution::Attribution;
use crate::boot::{initrd, Boot, Files, Grain, Left};
use crate::machines::{Machine, Root};
use crate::progress::Progress;
use crate::tally::Tally;
use crate::{conditions, join, store};

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<'a> {
    /// With what.
    pub(crate) files: &'a Files,
    /// Which machines.
    pub(crate) machines: &'a [Machine],
    /// Where logs and results go.
    pub(crate) out: &'a Path,
    /// Which phase of the clock.
    pub(crate) phase: usize,
    /// How many machines run at once.
    pub(crate) jobs: usize,
}

impl Plan<'_> {
    /// Whether a machine of that name is to be booted.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.machines.iter().any(|machine| machine.name == name)
    }
}

/// Runs all machines and joins what they left; what went wrong with one of them is told to the tally.
pub(crate) fn run(plan: &Plan<'_>, tally: &mut Tally) -> Result<Results> {
    let (name, files) = (plan.out.display(), plan.files);
    std::fs::create_dir_all(plan.out).with_context(|| format!("cannot make {name}"))?;
    ensure!(
        files.kernel.is_file(),
        "{} is not there; make kernel",
        files.kernel.display()
    );
    pack(plan)?;
    let mut results = Results {
        schema: SCHEMA,
        kind: Kind::Counted,
        conditions: conditions::read(&files.config, &files.sources, &files.qemu, &files.rustc)?,
        rows: Vec::new(),
    };
    let boot = |machine: &Machine| Boot::all_of(*machine, plan.phase);
    let boots: Vec<_> = plan.machines.iter().map(boot).collect();
    for (machine, left) in plan.machines.iter().zip(boot_all(plan, &boots)) {
        match left {
            Ok(left) => take(&mut results, machine, left, tally)?,
            Err(error) => tally.fail(machine.name, &format!("{error:#}")),
        }
    }
    store::sort(&mut results.rows)?;
    Ok(results)
}

/// Adds what one machine left to the results.
fn take(results: &mut Results, machine: &Machine, mut left: Left, tally: &mut Tally) -> Result<()> {
    if left.complaints.is_empty() {
        tally.pass();
    }
    for complaint in &left.complaints {
        tally.fail(&format!("{}: kernel log", machine.name), complaint);
    }
    for site in &left.report.sites {
        // What could not be set up would make the figures those of another machine.
        for failed in site.tuning.iter().filter(|text| text.contains("FAILED")) {
            tally.fail(&format!("{}: {}", machine.name, site.place.label()), failed);
        }
    }
    for row in &left.joined.rows {
        match join::failure(row) {
            Some(reason) => tally.fail(&store::row_text(row), reason),
            None => tally.pass(),
        }
    }
    conditions::add(&mut results.conditions, machine.name, &left.report)?;
    results.rows.append(&mut left.joined.rows);
    Ok(())
}

/// Packs the root file systems that are needed.
fn pack(plan: &Plan<'_>) -> Result<()> {
    let files = plan.files;
    let programs = [
        ("init", files.init.as_path()),
        ("bin/lwkctl", &files.lwkctl),
        ("bin/yod", &files.yod),
        ("bin/busybox", &files.busybox),
    ];
    let tools = initrd(plan.out, Root::Tools);
    initramfs::write(&tools, &programs)?;
    if plan
        .machines
        .iter()
        .any(|machine| machine.root == Root::Programs)
    {
        // The kernel unpacks archives one behind the other; each begins at a multiple of four bytes.
        let archive = |path: &Path| std::fs::read(path).with_context(|| path.display().to_string());
        let mut both = archive(&tools)?;
        both.resize(both.len().next_multiple_of(4), 0);
        both.extend(archive(&files.programs).context("run scripts/bench-rootfs first")?);
        let path = initrd(plan.out, Root::Programs);
        std::fs::write(&path, both).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Boots some machines once more to learn where the kernel instructions of these rows went, and of the rows that have
/// the same benchmark in other places.
///
/// The counts of these boots are not those of the results, as fewer benchmarks come before; the functions are the same.
pub(crate) fn attribute(
    plan: &Plan<'_>,
    rows: &[&Row],
    tally: &mut Tally,
) -> Result<Vec<Attribution>> {
    let mut boots = Vec::new();
    for machine in plan.machines {
        let own = rows.iter().filter(|row| row.machine == machine.name);
        let benches: BTreeSet<_> = own.map(|row| row.key.bench.clone()).collect();
        if !benches.is_empty() {
            boots.push(Boot {
                machine: *machine,
                name: format!("{}-stacks", machine.name),
                benches: benches.into_iter().collect(),
                phase: plan.phase,
                grain: Grain::Stacks,
            });
        }
    }
    let mut all = Vec::new();
    for (boot, left) in boots.iter().zip(boot_all(plan, &boots)) {
        match left {
            Ok(left) => all.extend(left.joined.attributions),
            Err(error) => tally.fail(&boot.name, &format!("{error:#}")),
        }
    }
    all.sort_by(|a, b| (&a.machine, &a.key, a.place).cmp(&(&b.machine, &b.key, b.place)));
    Ok(all)
}

/// Boots all machines, several at once; returns what they left in the order of the list.
fn boot_all(plan: &Plan<'_>, boots: &[Boot]) -> Vec<Result<Left>> {
    let (next, progress) = (AtomicUsize::new(0), Progress::new());
    let work = || {
        let mut done = Vec::new();
        loop {
            // ORDERING: Nothing else depends on the number.
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(boot) = boots.get(index) else {
                return done;
            };
            done.push((index, boot.run(plan.files, plan.out, &progress)));
        }
    };
    let mut left: BTreeMap<usize, Result<Left>> = BTreeMap::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..plan.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            // One that panicked leaves its machines without an entry, which is an error below.
            left.extend(worker.join().unwrap_or_default());
        }
    });
    let find = |index| left.remove(&index);
    let all = (0..boots.len()).map(find);
    all.map(|left| left.unwrap_or_else(|| Err(anyhow!("its thread died"))))
        .collect()
}
