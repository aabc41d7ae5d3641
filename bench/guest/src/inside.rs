// SPDX-License-Identifier: GPL-2.0
//! The program that a benchmark runs in: one process for each benchmark and place.
//!
//! It is started as `bench-guest inside SUITE BENCH VARIANT PLACE CPUS PLACE_CPUS PAGE MODE YOD VICTIMS`, on LWK CPUs through `yod`, and
//! says on its standard output what came of it.

use std::process::ExitCode;

use anyhow::{Context, Result};
use bench_record::Place;
use serde::{Deserialize, Serialize};

use crate::measure::{Measured, Meter, Mode, NotHere, Outside};
use crate::spec::{self, Run};
use crate::suites::noise;
use crate::sys::shared::Shared;
use crate::{sites, spec::Bench};

/// What came of a benchmark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// It ran and its result was right.
    Done(Measured),
    /// The machine or kernel cannot do it.
    NotHere(String),
    /// It went wrong.
    Failed(String),
}

/// The arguments, typed.
pub(crate) struct Order<'a> {
    pub(crate) suite: &'a str,
    pub(crate) bench: &'a str,
    pub(crate) variant: &'a str,
    pub(crate) place: Place,
    /// Those that this program runs on.
    pub(crate) cpus: String,
    /// Those of the place.
    pub(crate) place_cpus: String,
    /// Number of the descriptor of the shared page.
    pub(crate) page: i32,
    pub(crate) mode: Mode,
    pub(crate) yod: &'a str,
    /// How many programs compute on other CPUs.
    pub(crate) victims: usize,
}

impl Order<'_> {
    /// The words for the command line.
    pub(crate) fn words(&self) -> Vec<String> {
        let (page, victims) = (self.page.to_string(), self.victims.to_string());
        [
            "inside",
            self.suite,
            self.bench,
            self.variant,
            self.place.name(),
            &self.cpus,
            &self.place_cpus,
            &page,
            self.mode.name(),
            self.yod,
            &victims,
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// Reads them back.
    fn parse<'a>(args: &[&'a str]) -> Result<Order<'a>> {
        let &[suite, bench, variant, place, cpus, place_cpus, page, mode, yod, victims] = args
        else {
            anyhow::bail!("ten words are wanted after inside: {args:?}");
        };
        let place = Place::ALL.into_iter().find(|known| known.name() == place);
        Ok(Order {
            suite,
            bench,
            variant,
            place: place.context("no such place")?,
            cpus: cpus.to_owned(),
            place_cpus: place_cpus.to_owned(),
            page: page.parse().context("number of the shared page")?,
            mode: Mode::from_name(mode).context("no such mode")?,
            yod,
            victims: victims.parse().context("number of victims")?,
        })
    }
}

/// Runs the benchmark of the arguments.
pub(crate) fn main(args: &[&str]) -> ExitCode {
    let outcome = match args {
        // The victim of a disturbance has nothing to say: it computes until it is killed.
        ["victim", cpu, page, number, mode] => match noise::victim(cpu, page, number, mode) {
            Ok(never) => match never {},
            Err(error) => Outcome::Failed(format!("{error:#}")),
        },
        _ => match run(args) {
            Ok(measured) => Outcome::Done(measured),
            Err(error) => outcome(&error),
        },
    };
    match serde_json::to_string(&outcome) {
        Ok(text) => println!("{text}"),
        Err(error) => eprintln!("bench-guest inside: {error}"),
    }
    ExitCode::SUCCESS
}

/// Tells what cannot be done here from what went wrong.
fn outcome(error: &anyhow::Error) -> Outcome {
    match error.downcast_ref::<NotHere>() {
        Some(NotHere(reason)) => Outcome::NotHere(reason.clone()),
        None => Outcome::Failed(format!("{error:#}")),
    }
}

fn run(args: &[&str]) -> Result<Measured> {
    let order = Order::parse(args)?;
    let bench = spec::find(order.suite, order.bench, order.variant).context("no such benchmark")?;
    let shared = Shared::inherit(order.page)?;
    sites::confine(&sites::numbers(&sites::parse(&order.cpus)?))?;
    let cpus = sites::numbers(&sites::parse(&order.place_cpus)?);
    let outside = Outside {
        yod: order.yod.to_owned(),
        cpus: order.place_cpus.clone(),
        home: sites::numbers(&sites::parse(&order.cpus)?),
        victims: order.victims,
    };
    let mut meter = Meter::new(
        order.place,
        cpus,
        bench.iterations,
        order.mode,
        shared,
        outside,
    );
    do_it(bench, &mut meter)?;
    meter.finish()
}

fn do_it(bench: &Bench, meter: &mut Meter) -> Result<()> {
    match bench.run {
        Run::Inside(work) | Run::Outside(work) | Run::Disturb(work) | Run::Sibling(work) => {
            work(meter)
        }
    }
}
