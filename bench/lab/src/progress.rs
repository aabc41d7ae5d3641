// SPDX-License-Identifier: GPL-2.0
//! Shows how far the machines are: a line each on a terminal, a line for each event elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// How often a plain log hears of a machine.
const PERIOD: Duration = Duration::from_secs(60);

/// All machines.
#[derive(Debug)]
pub(crate) struct Progress {
    bars: Option<MultiProgress>,
}

/// One machine that runs.
#[derive(Debug)]
pub(crate) struct Line {
    name: String,
    bar: Option<ProgressBar>,
    begun: Instant,
    told: Instant,
    doing: String,
}

impl Progress {
    /// Looks at the terminal.
    pub(crate) fn new() -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self {
            bars: is_terminal.then(MultiProgress::new),
        }
    }

    /// Begins a line.
    pub(crate) fn begin(&self, name: &str, what: &str) -> Line {
        self.say(&format!("# {name}: {what}"));
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner());
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} {prefix:<14} {elapsed} {wide_msg}")
            {
                bar.set_style(style);
            }
            bar.set_prefix(name.to_owned());
            bar
        });
        let now = Instant::now();
        Line {
            name: name.to_owned(),
            bar,
            begun: now,
            told: now,
            doing: String::new(),
        }
    }

    /// Prints a line above the lines of machines.
    pub(crate) fn say(&self, text: &str) {
        match &self.bars {
            // Nothing is to be done about a terminal that went away.
            Some(bars) => drop(bars.println(text)),
            None => println!("{text}"),
        }
    }
}

impl Line {
    /// Tells what the machine is doing.
    pub(crate) fn show(&mut self, doing: Option<&str>) {
        if let Some(doing) = doing.filter(|doing| *doing != self.doing) {
            self.doing = doing.to_owned();
        }
        match &self.bar {
            Some(bar) => {
                bar.set_message(self.doing.clone());
                bar.tick();
            }
            None if self.told.elapsed() > PERIOD => {
                self.told = Instant::now();
                println!(
                    "# {}: {} s: {}",
                    self.name,
                    self.begun.elapsed().as_secs(),
                    self.doing
                );
            }
            None => {}
        }
    }

    /// Ends the line; returns how long it lived.
    pub(crate) fn end(self) -> Duration {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        self.begun.elapsed()
    }
}
