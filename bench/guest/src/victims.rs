// SPDX-License-Identifier: GPL-2.0
//! The programs that compute on a CPU of each place while the noise suite disturbs.

use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{bail, ensure, Context, Result};
use bench_record::Site;

use crate::measure::Mode;
use crate::sites;
use crate::spec::{Calls, Memory};
use crate::sys::shared::{Shared, Word};

/// How long they compute before anything is measured: what starting them left to be done is done by then.
const SETTLE: Duration = Duration::from_millis(300);

/// How often they are asked for a sign of life.
const PATIENCE: u32 = 2000;

/// The CPU on which a program computes: the last of its place.
///
/// The emulator gives a CPU less time if the one before it computes too, so there is an idle one in between.
pub(crate) fn cpu_of(site: &Site) -> Result<u32> {
    site.cpus.last().copied().context("a place without a CPU")
}

/// One for each place, killed at the end of this value.
#[derive(Debug)]
pub(crate) struct Victims(Vec<Child>);

impl Victims {
    /// Starts them and waits until all compute.
    pub(crate) fn start(
        sites: &[Site],
        yod: &str,
        program: &Path,
        shared: &Shared,
        mode: Mode,
    ) -> Result<Self> {
        let mut victims = Self(Vec::new());
        for (number, site) in sites.iter().enumerate() {
            let cpu = cpu_of(site)?;
            let alone = Site {
                cpus: vec![cpu],
                ..site.clone()
            };
            shared
                .word(Word::Progress(number))
                .store(0, Ordering::Relaxed);
            let mut command = sites::command(&alone, yod, Memory::Share, Calls::Default, program);
            command.args([
                "inside",
                "victim",
                &cpu.to_string(),
                &shared.number().to_string(),
            ]);
            command.args([&number.to_string(), mode.name()]);
            let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
            victims
                .0
                .push(child.with_context(|| format!("{command:?}"))?);
        }
        for (number, site) in sites.iter().enumerate() {
            victims.wait_for(number, shared, site)?;
        }
        std::thread::sleep(SETTLE);
        Ok(victims)
    }

    /// Waits for the first quantum of one of them.
    fn wait_for(&mut self, number: usize, shared: &Shared, site: &Site) -> Result<()> {
        for _ in 0..PATIENCE {
            if shared.word(Word::Progress(number)).load(Ordering::Relaxed) > 0 {
                return Ok(());
            }
            if let Some(status) = self.0.get_mut(number).context("no victim")?.try_wait()? {
                bail!("the program on {} ended with {status}", site.place.label());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("the program on {} computes nothing", site.place.label())
    }

    /// Checks that none has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        for child in &mut self.0 {
            let status = child.try_wait().context("wait")?;
            ensure!(
                status.is_none(),
                "a computing program ended with {status:?}"
            );
        }
        Ok(())
    }
}

impl Drop for Victims {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
