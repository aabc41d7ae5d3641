// SPDX-License-Identifier: GPL-2.0
//! What must not cost more for each CPU on a larger machine.
//!
//! The lab boots machines of several sizes and runs this suite on each; the variant names the size.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use anyhow::{ensure, Context, Result};
use bench_record::Place;
use rustix::thread::sched_getcpu;

use super::launch::finish;
use super::partition::Control;
use super::process::own_program;
use super::EMPTY;
use crate::measure::Meter;
use crate::spec::{Bench, Suite};
use crate::{kernel, sites};

/// The partition of the boot line.
const BOOT: &str = "boot";

/// The suite's name.
pub(crate) const NAME: &str = "scaling";

/// The suite.
pub(super) const SUITE: Suite = Suite {
    name: NAME,
    about: "costs for each CPU on machines of several sizes; only runs if named",
    benches: &[
        EMPTY,
        Bench::outside(
            "launch",
            "Launches a small program on all CPUs of the place.",
            5,
            launch,
        ),
        Bench::outside(
            "partition",
            "Deletes the partition of all LWK CPUs and makes it anew.",
            1,
            partition,
        )
        .only(&[Place::Lwk]),
        Bench::inside(
            "threads",
            "Creates and joins a thread for each CPU of the place.",
            1,
            threads,
        ),
        Bench::inside(
            "barrier",
            "All CPUs of the place meet at a barrier.",
            10,
            barrier,
        ),
    ],
    not_built: &[],
};

/// The size of this machine as a variant, for example `64cpus-4nodes`.
pub(crate) fn size() -> Result<String> {
    let nodes = sites::parse(&kernel::read("/sys/devices/system/node/online")?)?;
    Ok(format!(
        "{}cpus-{}nodes",
        sites::online()?.len(),
        nodes.len()
    ))
}

fn launch(meter: &mut Meter) -> Result<()> {
    let program = own_program()?;
    let outside = meter.outside().clone();
    let is_lwk = meter.place() == Place::Lwk;
    meter.measure(|_| {
        let mut command = std::process::Command::new(if is_lwk {
            outside.yod.as_ref()
        } else {
            program.as_os_str()
        });
        if is_lwk {
            command.args(["-c", &outside.cpus]).arg(&program);
        }
        finish(command.arg("true"))
    })
}

fn partition(meter: &mut Meter) -> Result<()> {
    let control = Control::new(meter)?;
    let cpus = meter.outside().cpus.clone();
    meter.measure_batch(
        || Ok(()),
        |()| {
            control.delete(BOOT)?;
            control.create(BOOT, &cpus)
        },
        |()| Ok(()),
    )
}

/// One thread for each CPU, all at once; on LWK CPUs each must have been alone on its CPU.
fn threads(meter: &mut Meter) -> Result<()> {
    let count = meter.cpus().len();
    let is_lwk = meter.place() == Place::Lwk;
    meter.measure_batch(
        || Ok(()),
        |()| {
            // Nobody sleeps before all have come, so no CPU becomes free for a second thread.
            let nr_here = Arc::new(AtomicUsize::new(0));
            let meet = move |nr_here: &AtomicUsize| {
                // ORDERING: Nothing but the number is told.
                nr_here.fetch_add(1, Ordering::Relaxed);
                while nr_here.load(Ordering::Relaxed) < count {
                    std::hint::spin_loop();
                }
                sched_getcpu()
            };
            let start = |_| {
                let nr_here = Arc::clone(&nr_here);
                let builder = std::thread::Builder::new().stack_size(64 << 10);
                builder.spawn(move || meet(&nr_here))
            };
            // The first thread is this one.
            let others: Result<Vec<_>, _> = (1..count).map(start).collect();
            let others = others.context("creating a thread")?;
            let mut cpus = vec![meet(&nr_here)];
            for other in others {
                cpus.push(
                    other
                        .join()
                        .map_err(|_| anyhow::anyhow!("a thread panicked"))?,
                );
            }
            cpus.sort_unstable();
            cpus.dedup();
            ensure!(
                !is_lwk || cpus.len() == count,
                "{count} threads ran on {} CPUs",
                cpus.len()
            );
            Ok(())
        },
        |()| Ok(()),
    )
}

fn barrier(meter: &mut Meter) -> Result<()> {
    let meetings = meter.warm_up() + meter.iterations();
    let cpus = meter.cpus().to_vec();
    let barrier = Barrier::new(cpus.len());
    let (first, rest) = cpus.split_first().context("the place has no CPU")?;
    std::thread::scope(|scope| {
        for cpu in rest {
            let barrier = &barrier;
            scope.spawn(move || {
                if let Err(error) = sites::confine(&[*cpu]) {
                    // It takes part all the same, else the others would wait for ever.
                    eprintln!("bench-guest: {error:#}");
                }
                for _ in 0..meetings {
                    barrier.wait();
                }
            });
        }
        sites::confine(&[*first])?;
        meter.measure(|_| {
            barrier.wait();
            Ok(())
        })
    })
}
