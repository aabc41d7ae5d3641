// SPDX-License-Identifier: GPL-2.0
//! Runs QEMU from start to power-off, and the parts of its command line that every machine has.

use std::fmt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// How often a running QEMU is looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// How a machine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// QEMU ended by itself with success: the guest powered off or reset.
    PoweredOff,
    /// QEMU failed.
    Failed(i32),
    /// It was killed because its time was up.
    TimedOut(Duration),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::PoweredOff => f.write_str("powered off"),
            End::Failed(code) => write!(f, "QEMU ended with {code}"),
            End::TimedOut(limit) => write!(f, "killed after {} s", limit.as_secs()),
        }
    }
}

/// Spreads CPUs and memory evenly over the nodes; the hardware threads of a core follow each other.
///
/// Each node is a socket: Linux warns of CPUs that share a cache across nodes.
pub fn add_topology(
    command: &mut Command,
    cpus: u32,
    threads_a_core: u32,
    nodes: u32,
    memory_mib: u32,
) {
    let cores = cpus / nodes / threads_a_core;
    command.args([
        "-smp",
        &format!("{cpus},sockets={nodes},cores={cores},threads={threads_a_core}"),
        "-m",
        &format!("{memory_mib}M"),
    ]);
    if nodes == 1 {
        return;
    }
    let (memory, cpus) = (memory_mib / nodes, cpus / nodes);
    for node in 0..nodes {
        let (first, last) = (node * cpus, (node + 1) * cpus - 1);
        command.args([
            "-object",
            &format!("memory-backend-ram,id=m{node},size={memory}M"),
        ]);
        command.args([
            "-numa",
            &format!("node,nodeid={node},cpus={first}-{last},memdev=m{node}"),
        ]);
    }
}

/// Runs QEMU to its end or for as long as it may take, and calls `glance` now and then.
///
/// # Errors
///
/// If QEMU cannot be started or waited for.
pub fn run(command: &mut Command, limit: Duration, mut glance: impl FnMut()) -> Result<End> {
    let child = command.stdin(Stdio::null()).spawn();
    let program = || command.get_program().to_string_lossy().into_owned();
    let mut guard = Guard(child.with_context(|| format!("starting {}", program()))?);
    let begun = Instant::now();
    loop {
        if let Some(status) = guard.0.try_wait().context("waiting for QEMU")? {
            return Ok(if status.success() {
                End::PoweredOff
            } else {
                End::Failed(status.code().unwrap_or(-1))
            });
        }
        if begun.elapsed() > limit {
            return Ok(End::TimedOut(limit));
        }
        glance();
        std::thread::sleep(GLANCE);
    }
}

/// Kills QEMU when the runner gives up, however it does.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // Both fail only if it has ended and was waited for.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The command as one can paste it into a shell.
pub fn command_text(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        let arg = arg.to_string_lossy();
        let is_plain = arg
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_=.,:/+".contains(&b));
        text += &if is_plain {
            format!(" {arg}")
        } else {
            format!(" '{}'", arg.replace('\'', r"'\''"))
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_text_quotes_what_a_shell_would_split() {
        let mut command = Command::new("qemu");
        command.args(["-append", "a b='c'", "-m", "1G"]);
        assert_eq!(
            command_text(&command),
            r"qemu -append 'a b='\''c'\''' -m 1G"
        );
    }

    #[test]
    fn ends_are_told_apart() {
        let end = |script: &str, limit| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            run(&mut command, limit, || {}).expect("a shell")
        };
        let minute = Duration::from_secs(60);
        assert_eq!(end("exit 0", minute), End::PoweredOff);
        assert_eq!(end("exit 3", minute), End::Failed(3));
        let short = Duration::from_millis(100);
        assert_eq!(end("exec sleep 1000", short), End::TimedOut(short));
    }
}
