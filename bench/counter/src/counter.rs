// SPDX-License-Identifier: GPL-2.0
//! The counter: vCPUs, windows and the file that they end up in.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bench_record::counts::{Counts, Window};
use thiserror::Error;

use crate::block::{Block, Marker};
use crate::options::Options;
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
        })
    }

    /// Counts a block that a vCPU is about to run.
    #[inline]
    pub(crate) fn run(&self, vcpu: u32, block: Block) {
        // CAST: Every number of a vCPU fits; one that was not announced is not counted.
        if let Some(vcpu) = self.vcpus.get(vcpu as usize) {
            vcpu.run(block);
        }
    }

    /// A vCPU executes a marker.
    pub(crate) fn mark(&self, vcpu: u32, marker: Marker) {
        let mut result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        match result.state.step(marker, vcpu) {
            Step::Begin => self.vcpus.iter().for_each(Vcpu::open),
            Step::Store => {
                let vcpus = self.vcpus.iter().map(|vcpu| vcpu.close(&self.symbols));
                result.windows.push(Window {
                    vcpus: vcpus.collect(),
                    stacks: BTreeMap::new(),
                });
            }
            Step::Ignore => {}
        }
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
        };
        let error = Counter::new(&options, 1).unwrap_err().to_string();
        assert!(error.starts_with("out=") && error.contains("No such file"));
    }
}
