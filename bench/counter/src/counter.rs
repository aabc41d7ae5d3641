// SPDX-License-Identifier: GPL-2.0
//! The counter: vCPUs, windows and the file that they end up in.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bench_record::counts::{Counts, Window};
use thiserror::Error;

use crate::block::{Block, Marker};
use crate::code::{Code, Switch};
use crate::gate::Gate;
use crate::options::{Attribution, Options};
use crate::stacks::Threads;
use crate::symbols::{Symbols, SymbolsError};
use crate::vcpu::Vcpu;
use crate::windows::{Step, Windows};

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Counter {
    vcpus: Box<[Vcpu]>,
    symbols: Symbols,
    out: PathBuf,
    result: Mutex<Result>,
    attribution: Attribution,
    /// The kernel's code, kept for good: QEMU may run a block for as long as it runs at all.
    code: Mutex<HashSet<&'static Code>>,
    threads: Mutex<Threads>,
}

#[derive(Debug, Default)]
struct Result {
    state: Windows,
    windows: Vec<Window>,
}

/// Why the counter cannot start or end.
#[derive(Debug, Error)]
pub(crate) enum CounterError {
    /// Of the symbols.
    #[error(transparent)]
    Symbols(#[from] SymbolsError),
    /// The file cannot be written.
    #[error("out={0}: {1}")]
    Write(PathBuf, io::Error),
}

impl Counter {
    /// A counter for so many vCPUs; an old result is removed, so that it never passes for this run's.
    pub(crate) fn new(
        options: &Options,
        nr_vcpus: usize,
    ) -> std::result::Result<Self, CounterError> {
        let symbols = match &options.map {
            Some(map) => Symbols::read(map)?,
            None => Symbols::default(),
        };
        let out = &options.out;
        prepare(out).map_err(|error| CounterError::Write(out.clone(), error))?;
        Ok(Self {
            vcpus: (0..nr_vcpus).map(|_| Vcpu::default()).collect(),
            symbols,
            out: out.clone(),
            result: Mutex::default(),
            attribution: options.attribution,
            code: Mutex::default(),
            threads: Mutex::default(),
        })
    }

    /// What call stacks need to know of a block, if it is the kernel's and they are asked for.
    ///
    /// `last` is the last of `nr` instructions from `start` to `end`.
    pub(crate) fn code(&self, start: u64, nr: u64, end: u64, last: &[u8]) -> Option<&'static Code> {
        if self.attribution == Attribution::None || !Block::new(start, nr).is_kernel() {
            return None;
        }
        let code = Code::new(start, nr, end, last, &self.symbols);
        let mut all = self.code.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(code) = all.get(&code) {
            return Some(code);
        }
        let code: &'static Code = Box::leak(Box::new(code));
        all.insert(code);
        Some(code)
    }

    /// What an instruction does to the stack of the kernel's thread, if call stacks are asked for.
    pub(crate) fn switch(&self, address: u64, instruction: &[u8]) -> Option<Switch> {
        let switch = Switch::of(instruction)?;
        let is_wanted = self.attribution == Attribution::Stacks && self.symbols.is_switch(address);
        is_wanted.then_some(switch)
    }

    /// Counts a block that a vCPU is about to run.
    #[inline]
    pub(crate) fn run(&self, vcpu: u32, block: Block) {
        // CAST: Every number of a vCPU fits; one that was not announced is not counted.
        if let Some(vcpu) = self.vcpus.get(vcpu as usize) {
            vcpu.run(block);
        }
    }

    /// Counts a block of the kernel that a vCPU is about to run, also by call stack.
    pub(crate) fn run_code(&self, vcpu: u32, code: &'static Code) {
        // CAST: As in `run`.
        if let Some(vcpu) = self.vcpus.get(vcpu as usize) {
            vcpu.run_code(code);
        }
    }

    /// A vCPU is about to execute an instruction on the way to user mode.
    pub(crate) fn pass(&self, vcpu: u32, gate: Gate) {
        // CAST: As in `run`.
        if let Some(vcpu) = self.vcpus.get(vcpu as usize) {
            vcpu.pass(gate);
        }
    }

    /// A vCPU exchanges threads; `thread` is where the stack pointer is kept.
    pub(crate) fn switch_thread(&self, vcpu: u32, switch: Switch, thread: u64) {
        // CAST: As in `run`.
        let Some(vcpu) = self.vcpus.get(vcpu as usize) else {
            return;
        };
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        match switch {
            Switch::From => vcpu.stacks().save(thread, &mut threads),
            Switch::To => vcpu.stacks().restore(thread, &mut threads),
        }
    }

    /// A vCPU executes a marker.
    pub(crate) fn mark(&self, vcpu: u32, marker: Marker) {
        let mut result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        match result.state.step(marker, vcpu) {
            Step::Begin => self.vcpus.iter().for_each(Vcpu::open),
            Step::Store => result.windows.push(self.window()),
            Step::Ignore => {}
        }
    }

    fn window(&self) -> Window {
        let mut stacks = BTreeMap::new();
        for (n, vcpu) in self.vcpus.iter().enumerate() {
            stacks.append(&mut vcpu.stacks().folded(&n.to_string(), &self.symbols));
        }
        let vcpus = self.vcpus.iter().map(|vcpu| vcpu.close(&self.symbols));
        Window {
            vcpus: vcpus.collect(),
            stacks,
        }
    }

    /// Takes note of what makes all windows worthless.
    pub(crate) fn spoil(&self, why: &str) {
        let mut result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        result.state.spoil(why);
    }

    /// The end of the run: writes the windows and tells the errors in them.
    pub(crate) fn finish(&self) -> std::result::Result<Vec<String>, CounterError> {
        let mut result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = Counts {
            windows: std::mem::take(&mut result.windows),
            errors: result.state.end(),
        };
        write(&self.out, &counts).map_err(|error| CounterError::Write(self.out.clone(), error))?;
        Ok(counts.errors)
    }
}

fn temporary(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

/// Finds out at the start that the result cannot be written, not at the end of a long run.
fn prepare(out: &Path) -> io::Result<()> {
    File::create(temporary(out))?;
    match std::fs::remove_file(out) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Writes all or nothing.
fn write(out: &Path, counts: &Counts) -> io::Result<()> {
    let temporary = temporary(out);
    let mut file = BufWriter::new(File::create(&temporary)?);
    serde_json::to_writer(&mut file, counts)?;
    file.write_all(b"\n")?;
    file.flush()?;
    std::fs::rename(&temporary, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Grain;

    const KERNEL: u64 = 0xffff_ffff_8100_0000;

    fn counter(out: &Path, nr_vcpus: usize) -> Counter {
        let options = Options {
            out: out.to_owned(),
            map: None,
            grain: Grain::Block,
            attribution: Attribution::None,
        };
        Counter::new(&options, nr_vcpus).unwrap()
    }

    fn read(out: &Path) -> Counts {
        serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap()
    }

    #[test]
    fn a_window_holds_all_vcpus_whoever_opens_and_closes_it() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("counts.json");
        let counter = counter(&out, 2);
        counter.run(0, Block::new(0x1000, 50));
        counter.mark(0, Marker::Open);
        counter.run(0, Block::new(0x1000, 5));
        counter.run(1, Block::new(KERNEL, 7));
        counter.run(2, Block::new(KERNEL, 7));
        counter.mark(1, Marker::Close);
        counter.run(0, Block::new(0x1000, 50));
        assert!(counter.finish().unwrap().is_empty());
        let counts = read(&out);
        let got: Vec<_> = counts.windows[0]
            .vcpus
            .iter()
            .map(|vcpu| (vcpu.user, vcpu.kernel))
            .collect();
        assert_eq!(got, [(5, 0), (0, 7)]);
        assert!(!temporary(&out).exists());
    }

    #[test]
    fn a_cancelled_window_leaves_its_number_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("counts.json");
        let counter = counter(&out, 1);
        for (marker, nr) in [(Marker::Cancel, 3), (Marker::Close, 4)] {
            counter.mark(0, Marker::Open);
            counter.run(0, Block::new(0x1000, nr));
            counter.mark(0, marker);
        }
        counter.mark(0, Marker::Close);
        let errors = counter.finish().unwrap();
        assert_eq!(errors, ["window 1: vCPU 0 closed it without opening it"]);
        let counts = read(&out);
        assert_eq!(counts.windows.len(), 1);
        assert_eq!(counts.windows[0].vcpus[0].user, 4);
        assert_eq!(counts.errors, errors);
    }

    #[test]
    fn an_old_result_goes_and_a_folder_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("counts.json");
        std::fs::write(&out, "old").unwrap();
        drop(counter(&out, 1));
        assert!(!out.exists());
        let options = Options {
            out: folder.path().join("none/counts.json"),
            map: None,
            grain: Grain::Block,
            attribution: Attribution::None,
        };
        let error = Counter::new(&options, 1).unwrap_err().to_string();
        assert!(error.starts_with("out=") && error.contains("No such file"));
    }
}
