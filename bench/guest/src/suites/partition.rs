// SPDX-License-Identifier: GPL-2.0
//! Partitions that are made and changed while the machine runs: the counts are those of all CPUs together.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use bench_record::Place;

use super::launch::finish;
use super::EMPTY;
use crate::measure::Meter;
use crate::sites;
use crate::spec::{Bench, Suite};

/// The partitions are made of stock Linux CPUs; nobody else has any.
const ONLY_LWK: &[Place] = &[Place::Lwk];

/// Keeps the time, so that it can never be taken.
const TIMEKEEPER: u32 = 0;

const NAME: &str = "bench";

/// The suite.
pub(super) const SUITE: Suite = Suite {
    name: "partition",
    about: "partitions: make, change and delete at run time",
    benches: &[
        EMPTY,
        Bench::outside("create", "Makes a partition of one CPU.", 1, create_1)
            .variant("1cpu")
            .only(ONLY_LWK),
        Bench::outside("create", "Makes a partition of two CPUs.", 1, create_2)
            .variant("2cpus")
            .only(ONLY_LWK),
        Bench::outside("delete", "Deletes a partition of one CPU.", 1, delete_1)
            .variant("1cpu")
            .only(ONLY_LWK),
        Bench::outside("delete", "Deletes a partition of two CPUs.", 1, delete_2)
            .variant("2cpus")
            .only(ONLY_LWK),
        Bench::outside("resize", "Takes a second CPU.", 1, grow)
            .variant("grow")
            .only(ONLY_LWK),
        Bench::outside("resize", "Gives the second CPU back.", 1, shrink)
            .variant("shrink")
            .only(ONLY_LWK),
        Bench::disturb(
            "create-delete",
            "Makes and deletes a partition of a CPU on which nobody computes.",
            1,
            others_disturbed,
        )
        .variant("others-disturbed")
        .quick(),
    ],
    not_built: &[],
};

/// `lwkctl`, and the CPUs that it may take.
pub(super) struct Control {
    lwkctl: PathBuf,
    one: String,
    two: String,
}

impl Control {
    pub(super) fn new(meter: &Meter) -> Result<Self> {
        let outside = meter.outside();
        let last = outside.home.last().context("no CPU to take")?;
        // This program must be elsewhere.
        sites::confine(&[TIMEKEEPER])?;
        Ok(Self {
            // Both tools are installed in one place.
            lwkctl: Path::new(&outside.yod).with_file_name("lwkctl"),
            one: last.to_string(),
            two: sites::set(&outside.home).to_string(),
        })
    }

    pub(super) fn create(&self, name: &str, cpus: &str) -> Result<()> {
        self.run(&["create", name, "--cpus", cpus])
    }

    pub(super) fn delete(&self, name: &str) -> Result<()> {
        self.run(&["delete", name])
    }

    fn run(&self, words: &[&str]) -> Result<()> {
        finish(Command::new(&self.lwkctl).args(words))
    }
}

fn create_1(meter: &mut Meter) -> Result<()> {
    let control = Control::new(meter)?;
    create(meter, &control, &control.one)
}

fn create_2(meter: &mut Meter) -> Result<()> {
    let control = Control::new(meter)?;
    create(meter, &control, &control.two)
}

fn create(meter: &mut Meter, control: &Control, cpus: &str) -> Result<()> {
    meter.measure_batch(
        || Ok(()),
        |()| control.create(NAME, cpus),
        |()| control.delete(NAME),
    )
}

fn delete_1(meter: &mut Meter) -> Result<()> {
    let control = Control::new(meter)?;
    delete(meter, &control, &control.one)
}

fn delete_2(meter: &mut Meter) -> Result<()> {
    let control = Control::new(meter)?;
    delete(meter, &control, &control.two)
}

fn delete(meter: &mut Meter, control: &Control, cpus: &str) -> Result<()> {
    meter.measure_batch(
        || control.create(NAME, cpus),
        |()| control.delete(NAME),
        |()| Ok(()),
    )
}

fn grow(meter: &mut Meter) -> Result<()> {
    let control = Control::new(meter)?;
    let first = meter.outside().home.first().context("no CPU")?.to_string();
    meter.measure_batch(
        || control.create(NAME, &control.one),
        |()| control.run(&["resize", NAME, "--add", &first]),
        |()| control.delete(NAME),
    )
}

fn shrink(meter: &mut Meter) -> Result<()> {
    let control = Control::new(meter)?;
    meter.measure_batch(
        || control.create(NAME, &control.two),
        |()| control.run(&["resize", NAME, "--remove", &control.one]),
        |()| control.delete(NAME),
    )
}

fn others_disturbed(meter: &mut Meter) -> Result<()> {
    let spare = meter.spare()?.to_string();
    let control = Control::new(meter)?;
    meter.disturb(|_| {
        control.create(NAME, &spare)?;
        control.delete(NAME)
    })
}
