// SPDX-License-Identifier: GPL-2.0
//! A made-up record for the tests of table and picture.

use crate::apps::App;
use crate::conditions::{Conditions, Machine};
use crate::record::{Counts, Exit, LwkCounts, Place, Record, Run, Site, SCHEMA};

/// Makes counts.
fn counts<const N: usize>(pairs: [(&str, u64); N]) -> Counts {
    pairs.map(|(cause, count)| (cause.to_owned(), count)).into()
}

/// Makes a run with a right result.
fn sample_run(program: App, place: Place, wall_ms: u64, interrupts: Counts) -> Run {
    let launcher = if place == Place::Lwk {
        "yod"
    } else {
        "taskset"
    };
    let lwk = (place == Place::Lwk).then(|| LwkCounts {
        entries: counts([("syscall", 2000), ("fault", 300)]),
        irqs: counts([("RES", 5)]),
        switches: 40,
        faults: 310,
        guest_runs: 1,
    });
    Run {
        program,
        place,
        command: [launcher, "-c", "1-2", program.name()]
            .map(str::to_owned)
            .into(),
        exit: Exit::Status(0),
        wrong: None,
        digest: Some("d".repeat(64)),
        wall_ns: wall_ms * 1_000_000,
        interrupts,
        lwk,
        switches: 42,
        faults: 4321,
    }
}

/// A made-up record of two programs, one of which goes wrong on LWK CPUs.
pub(crate) fn record() -> Record {
    let site = |place, cpus: &str, tuning: &[&str]| Site {
        place,
        cpus: cpus.to_owned(),
        tuning: tuning.iter().map(|&step| step.to_owned()).collect(),
    };
    let mut runs = Vec::new();
    for program in [App::Hpcc, App::Xz] {
        runs.push(sample_run(
            program,
            Place::Linux,
            2000,
            counts([("LOC", 4210), ("CAL", 12), ("RES", 99)]),
        ));
        runs.push(sample_run(
            program,
            Place::Tuned,
            1900,
            counts([("LOC", 20), ("irq 24 virtio0", 1)]),
        ));
        runs.push(sample_run(program, Place::Lwk, 1800, Counts::new()));
    }
    if let Some(run) = runs.last_mut() {
        (run.exit, run.wrong) = (Exit::Signal(11), Some("stdout: no such file".to_owned()));
    }
    Record {
        schema: SCHEMA,
        conditions: Conditions {
            machine: Machine::Emulated,
            processor: "QEMU TCG CPU version 2.5+".to_owned(),
            cpus: "0-6".to_owned(),
            memory_kib: 3 << 20,
            kernel: "6.12.0 #1 SMP".to_owned(),
            config_sha256: None,
            boot_line: "lwkcpus=0.5-6".to_owned(),
            system: "Debian".to_owned(),
            packages: [("hpcc".to_owned(), "1.5.0-3".to_owned())].into(),
            command: ["showcase", "guest"].map(str::to_owned).into(),
        },
        sites: vec![
            site(Place::Linux, "1-2", &[]),
            site(Place::Tuned, "3-4", &["fair server of CPU 3 off"]),
            site(Place::Lwk, "5-6", &[]),
        ],
        runs,
    }
}
