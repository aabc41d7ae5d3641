// SPDX-License-Identifier: GPL-2.0
//! The programs: real binaries of Debian, how each is started, and how its result is judged.
//!
//! Every program is judged twice: its own output must be right (a known number, a solved system, data that unpack to
//! what was packed), and it must be the same in every place after [`App::result`] took out what tells the time.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{bail, ensure, Context, Result};
use serde::{Deserialize, Serialize};

use crate::hpcc;

/// How much a program has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// As little as loads every file and library that it needs.
    Small,
    /// Some seconds on an emulated CPU.
    Full,
}

/// A program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum App {
    /// HPC Challenge over MPI.
    Hpcc,
    /// NumPy over the OpenMP BLAS.
    Blas,
    /// xz with its pool of threads.
    Xz,
    /// Python with threads and forked processes.
    Python,
    /// Racket with futures and places.
    Racket,
}

/// The name under which the packed data lie in the directory of `xz`.
const XZ_INPUT: &str = "input";

/// How many CPUs each program is told to use.
pub(crate) const CPUS: u32 = 2;

impl App {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Hpcc, Self::Blas, Self::Xz, Self::Python, Self::Racket];

    /// Its name in tables and on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hpcc => "hpcc",
            Self::Blas => "blas",
            Self::Xz => "xz",
            Self::Python => "python",
            Self::Racket => "racket",
        }
    }

    /// What it is, in a few words.
    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Hpcc => "HPC Challenge, 2 MPI ranks",
            Self::Blas => "NumPy over OpenBLAS, 2 OpenMP threads",
            Self::Xz => "xz -T2, a pool of 2 pthreads",
            Self::Python => "Python, 2 threads and 2 forked processes",
            Self::Racket => "Racket, 2 futures and 2 places",
        }
    }

    /// The package whose version is worth a line in the report.
    pub(crate) const fn package(self) -> &'static str {
        match self {
            Self::Hpcc => "hpcc",
            Self::Blas => "libopenblas0-openmp",
            Self::Xz => "xz-utils",
            Self::Python => "python3",
            Self::Racket => "racket",
        }
    }

    /// Makes what all its runs share.
    ///
    /// # Errors
    ///
    /// A file cannot be written, or the Racket compiler fails.
    pub(crate) fn prepare(self, dir: &Path) -> Result<()> {
        match self {
            Self::Hpcc => {}
            Self::Blas => fs::write(dir.join("blas.py"), include_str!("../../apps/blas.py"))?,
            Self::Xz => {
                fs::write(dir.join(XZ_INPUT), text(8 << 20))?;
                fs::write(dir.join("small"), text(64 << 10))?;
            }
            Self::Python => fs::write(dir.join("python.py"), include_str!("../../apps/python.py"))?,
            Self::Racket => {
                fs::write(
                    dir.join("racket.rkt"),
                    include_str!("../../apps/racket.rkt"),
                )?;
                // Else each start would compile it again, which takes longer than running it.
                let mut raco = Command::new("raco");
                let output = raco
                    .args(["make", "racket.rkt"])
                    .env("HOME", dir)
                    .current_dir(dir)
                    .output();
                let output = output.context("cannot start raco")?;
                ensure!(
                    output.status.success(),
                    "raco make: {}",
                    String::from_utf8_lossy(&output.stderr).trim()
                );
            }
        }
        Ok(())
    }

    /// Makes what one run needs in its own directory.
    pub(crate) fn stage(self, size: Size, run_dir: &Path) -> Result<()> {
        if self == Self::Hpcc {
            let order = if size == Size::Full { "300" } else { "100" };
            let input = include_str!("../../apps/hpccinf.txt").replace("@N@", order);
            fs::write(run_dir.join("hpccinf.txt"), input)?;
        }
        Ok(())
    }

    /// Its command, run in a directory below the one of [`App::prepare`].
    pub(crate) fn argv(self, size: Size) -> Vec<String> {
        let full = size == Size::Full;
        let line = match self {
            Self::Hpcc => "mpirun --allow-run-as-root --oversubscribe --bind-to none -np 2 hpcc",
            Self::Blas if full => "/usr/bin/python3 -I ../blas.py 300 8",
            Self::Blas => "/usr/bin/python3 -I ../blas.py 40 1",
            Self::Xz if full => "xz -T2 -3 --block-size=512KiB --stdout ../input",
            Self::Xz => "xz -T2 -3 --block-size=32KiB --stdout ../small",
            Self::Python if full => "/usr/bin/python3 -I ../python.py 100000 60",
            Self::Python => "/usr/bin/python3 -I ../python.py 1000 1",
            Self::Racket if full => "racket ../racket.rkt 200 500 50000",
            Self::Racket => "racket ../racket.rkt 10 10 1000",
        };
        line.split(' ').map(str::to_owned).collect()
    }

    /// Its environment.
    pub(crate) fn env(self, run_dir: &Path) -> Vec<(&'static str, String)> {
        let dir = run_dir.display().to_string();
        let threads = if self == Self::Hpcc { 1 } else { CPUS };
        let mut env = vec![
            (
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            ),
            ("LANG", "C.UTF-8".to_owned()),
            ("HOME", dir.clone()),
            ("TMPDIR", dir.clone()),
            ("OMP_NUM_THREADS", threads.to_string()),
        ];
        if self == Self::Hpcc {
            // One machine without ssh and without network cards: no remote launch, shared memory only. The prefixes
            // and the two names of the shared-memory transport serve Open MPI 4 and 5.
            env.extend([
                ("OMPI_MCA_plm", "isolated".to_owned()),
                ("PRTE_MCA_plm_ssh_agent", "/bin/false".to_owned()),
                ("OMPI_MCA_btl", "self,vader".to_owned()),
                ("OMPI_MCA_pml", "ob1".to_owned()),
                ("OMPI_MCA_btl_vader_backing_directory", dir.clone()),
                ("OMPI_MCA_btl_sm_backing_directory", dir),
            ]);
        }
        env
    }

    /// Judges one run by its files and returns the output without what tells the time.
    ///
    /// # Errors
    ///
    /// The output is missing or wrong.
    pub(crate) fn result(self, size: Size, run_dir: &Path) -> Result<Vec<u8>> {
        let stdout = fs::read(run_dir.join("stdout")).context("stdout")?;
        match self {
            Self::Hpcc => {
                let path = run_dir.join("hpccoutf.txt");
                let text = fs::read_to_string(&path).context("hpccoutf.txt")?;
                return Ok(hpcc::result(&text)?.into_bytes());
            }
            Self::Xz => check_packed(size, run_dir)?,
            Self::Blas => expect_lines(&stdout, &["product ", "solution "])?,
            // Counts of primes: pi(1000) = 168, pi(50000) = 5133, pi(100000) = 9592.
            Self::Python if size == Size::Full => {
                expect_lines(&stdout, &["primes below 100000 9592", "chains "])?
            }
            Self::Python => expect_lines(&stdout, &["primes below 1000 168", "chains "])?,
            Self::Racket if size == Size::Full => {
                expect_lines(&stdout, &["mandelbrot ", "primes below 50000 5133"])?
            }
            Self::Racket => expect_lines(&stdout, &["mandelbrot ", "primes below 1000 168"])?,
        }
        Ok(stdout)
    }
}

/// Checks that the output has exactly the lines that start so.
fn expect_lines(stdout: &[u8], starts: &[&str]) -> Result<()> {
    let text = std::str::from_utf8(stdout).context("output is not text")?;
    let lines: Vec<&str> = text.lines().collect();
    ensure!(
        lines.len() == starts.len(),
        "{} lines where {} belong: {text:?}",
        lines.len(),
        starts.len()
    );
    for (line, start) in lines.iter().zip(starts) {
        // A whole line is given where the number is known, the start alone where only the places are compared.
        let right = if start.ends_with(' ') {
            line.len() > start.len() && line.starts_with(start)
        } else {
            line == start
        };
        ensure!(right, "line {line:?} where {start:?} belongs");
    }
    Ok(())
}

/// Checks that the packed output unpacks to the input.
fn check_packed(size: Size, run_dir: &Path) -> Result<()> {
    let input = if size == Size::Full {
        "../input"
    } else {
        "../small"
    };
    let output = Command::new("xz")
        .args(["-dc", "--format=xz", "stdout"])
        .current_dir(run_dir)
        .output();
    let output = output.context("cannot start xz")?;
    if !output.status.success() {
        bail!("xz -dc: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    ensure!(
        output.stdout == fs::read(run_dir.join(input))?,
        "unpacks to something else"
    );
    Ok(())
}

/// Makes text that packs about as well as a log: numbered lines of words in an order that repeats only by chance.
fn text(bytes: usize) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "the", "kernel", "of", "quiet", "cores", "runs", "jobs", "without", "noise", "and",
        "ticks", "never", "come", "back", "to", "them",
    ];
    // Marsaglia's xorshift64: small, and the same everywhere.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut text = Vec::with_capacity(bytes + 128);
    let mut line = 0_u32;
    while text.len() < bytes {
        text.extend_from_slice(format!("{line:08}").as_bytes());
        for _ in 0..8 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let index = usize::try_from(state >> 60).unwrap_or_default();
            text.push(b' ');
            text.extend_from_slice(WORDS.get(index).copied().unwrap_or_default().as_bytes());
        }
        text.push(b'\n');
        line += 1;
    }
    text.truncate(bytes);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_missing_and_extra_lines_are_found() {
        let starts = ["mandelbrot ", "primes below 1000 168"];
        expect_lines(b"mandelbrot 5\nprimes below 1000 168\n", &starts).unwrap();
        for wrong in [
            &b"mandelbrot 5\nprimes below 1000 169\n"[..],
            b"mandelbrot 5\nprimes below 1000 1680\n",
            b"mandelbrot \nprimes below 1000 168\n",
            b"mandelbrot 5\n",
            b"mandelbrot 5\nprimes below 1000 168\nwarning\n",
            b"",
            b"\xff",
        ] {
            assert!(expect_lines(wrong, &starts).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn packed_data_must_unpack_to_the_input() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = dir.path().join("run");
        fs::create_dir(&run_dir).unwrap();
        fs::write(dir.path().join("small"), text(1000)).unwrap();
        let pack = |data: Vec<u8>| {
            fs::write(run_dir.join("data"), data).unwrap();
            let packed = Command::new("xz")
                .args(["-c", "data"])
                .current_dir(&run_dir)
                .output()
                .unwrap();
            fs::write(run_dir.join("stdout"), packed.stdout).unwrap();
            App::Xz.result(Size::Small, &run_dir)
        };
        assert!(pack(text(1000)).is_ok());
        assert!(pack(text(999)).is_err());
        fs::write(run_dir.join("stdout"), "no xz file").unwrap();
        assert!(App::Xz.result(Size::Small, &run_dir).is_err());
    }

    #[test]
    fn text_is_the_same_every_time() {
        let start = "00000000 back jobs without quiet of ";
        assert!(text(4096).starts_with(start.as_bytes()));
        assert_eq!(text(4096), text(4096));
    }
}
