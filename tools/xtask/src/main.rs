// SPDX-License-Identifier: GPL-2.0
//! `cargo xtask gen [--check]`: writes, or compares, every file that is derived from a source of this repository.
//!
//! From the ABI tables: the C header ([`header`]), its layout test ([`layout`]) and the ABI page ([`page`]). From the
//! command lines of the tools: manual pages and shell completions ([`shell`]).
#![forbid(unsafe_code)]

mod consts;
mod gen;
mod header;
mod layout;
mod names;
mod page;
mod shell;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// Tasks of this repository.
#[derive(Debug, Parser)]
#[command(name = "xtask")]
struct Options {
    #[command(subcommand)]
    task: Task,
}

/// What can be done.
#[derive(Debug, Subcommand)]
enum Task {
    /// Write the generated files: C header, layout test, ABI page, manual pages, completions
    Gen {
        /// Write nothing; fail and name the files that differ
        #[arg(long)]
        check: bool,
    },
}

fn main() -> Result<ExitCode> {
    let Options {
        task: Task::Gen { check },
    } = Options::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .context("no repository root")?;
    let files = gen::files()?;
    if !check {
        gen::write(root, &files)?;
        return Ok(ExitCode::SUCCESS);
    }
    let stale = gen::stale(root, &files)?;
    for path in &stale {
        eprintln!(
            "xtask: {} is not what its source gives; run: cargo xtask gen",
            path.display()
        );
    }
    Ok(if stale.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
