// SPDX-License-Identifier: GPL-2.0
//! Host benchmarks of the policy code; see `benches/`. Here is what they measure with.
#![forbid(unsafe_code)]

use std::cell::RefCell;

use criterion::measurement::{Measurement, ValueFormatter};
use criterion::Throughput;
use perf_event::events::Hardware;
use perf_event::{Builder, Counter};

/// Measures in instructions of this thread in user mode, as the processor counts them: the host's load does not move
/// the figures as it moves times.
#[derive(Debug)]
pub struct Instructions {
    counter: RefCell<Counter>,
}

impl Instructions {
    /// Opens the processor's counter.
    ///
    /// # Errors
    ///
    /// If the machine has none or the user may not use it (`/proc/sys/kernel/perf_event_paranoid`).
    pub fn open() -> std::io::Result<Self> {
        let mut counter = Builder::new().kind(Hardware::INSTRUCTIONS).build()?;
        counter.enable()?;
        // Some virtual machines open the counter and never count.
        let first = counter.read()?;
        if counter.read()? <= first {
            return Err(std::io::Error::other(
                "the counter of instructions stands still",
            ));
        }
        Ok(Self {
            counter: RefCell::new(counter),
        })
    }

    /// The count so far.
    fn read(&self) -> u64 {
        // It was read before, and a read of an open counter has no reason to fail later.
        self.counter.borrow_mut().read().unwrap_or(0)
    }
}

impl Measurement for Instructions {
    type Intermediate = u64;
    type Value = u64;

    fn start(&self) -> u64 {
        self.read()
    }

    fn end(&self, start: u64) -> u64 {
        self.read().saturating_sub(start)
    }

    fn add(&self, one: &u64, other: &u64) -> u64 {
        one + other
    }

    fn zero(&self) -> u64 {
        0
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "statistics need the first digits only"
    )]
    fn to_f64(&self, value: &u64) -> f64 {
        // CAST: see above.
        *value as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &Unit
    }
}

/// Prints instructions as they are.
struct Unit;

impl ValueFormatter for Unit {
    fn scale_values(&self, _: f64, _: &mut [f64]) -> &'static str {
        "instructions"
    }

    fn scale_throughputs(
        &self,
        _: f64,
        throughput: &Throughput,
        values: &mut [f64],
    ) -> &'static str {
        #[expect(
            clippy::cast_precision_loss,
            reason = "people read the first digits only"
        )]
        if let Throughput::Elements(count) = throughput {
            // CAST: see above.
            values.iter_mut().for_each(|value| *value /= *count as f64);
            return "instructions/element";
        }
        "instructions"
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "instructions"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_work_is_more_instructions_where_there_is_a_counter() {
        // The fallback is part of the contract, so its absence is no failure.
        let Ok(instructions) = Instructions::open() else {
            return;
        };
        let count = |rounds: u64| {
            let start = instructions.start();
            std::hint::black_box((0..rounds).fold(0, |sum, n| std::hint::black_box(sum ^ n)));
            instructions.end(start)
        };
        assert!(count(100_000) > count(1000));
    }

    #[test]
    fn throughput_is_for_each_element() {
        let mut values = [100.0];
        let unit = Unit.scale_throughputs(100.0, &Throughput::Elements(50), &mut values);
        assert_eq!(
            (values[0].round().to_string().as_str(), unit),
            ("2", "instructions/element")
        );
    }
}
