// SPDX-License-Identifier: GPL-2.0
//! What the plugin does at the calls of QEMU.

use std::collections::HashSet;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, ThreadId};

use crate::api::{Translation, MAX_INSTRUCTION};
use crate::block::{Block, Marker};
use crate::code::{Code, Switch};
use crate::counter::Counter;
use crate::gate::Gate;
use crate::options::{Grain, Options};

/// One for each QEMU, whose callbacks know no other way to it.
static PLUGIN: OnceLock<Plugin> = OnceLock::new();

struct Plugin {
    counter: Counter,
    grain: Grain,
    numbers: Numbers,
    hosts: Mutex<Hosts>,
}

/// Whether QEMU tells the right number of the vCPU with each block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// It does.
    Right,
    /// It tells that of the vCPU that translated the block, unless each vCPU has its own thread.
    Translator,
}

const WRONG_NUMBERS: &str = "this QEMU (10.0 or later) tells wrong vCPUs with thread=single: \
     use one vCPU or an older QEMU, for example 7.2";

/// The threads of the host that run vCPUs.
#[derive(Debug, Default)]
struct Hosts {
    threads: HashSet<ThreadId>,
    is_shared: bool,
}

impl Hosts {
    /// A vCPU starts on a thread; tells whether it is the first that shares one.
    fn add(&mut self, thread: ThreadId) -> bool {
        let is_new = self.threads.insert(thread);
        !is_new && !std::mem::replace(&mut self.is_shared, true)
    }
}

/// It was loaded.
pub(crate) fn install(words: &[&str], nr_vcpus: usize, numbers: Numbers) -> Result<(), String> {
    let options = Options::parse(words.iter().copied()).map_err(|error| error.to_string())?;
    let plugin = Plugin {
        counter: Counter::new(&options, nr_vcpus).map_err(|error| error.to_string())?,
        grain: options.grain,
        numbers,
        hosts: Mutex::default(),
    };
    let twice = |_| "it is loaded already: one counter for each QEMU".to_owned();
    PLUGIN.set(plugin).map_err(twice)
}

/// A vCPU starts on this thread.
pub(crate) fn starts() {
    let Some(Plugin {
        counter,
        numbers,
        hosts,
        ..
    }) = PLUGIN.get()
    else {
        return;
    };
    let mut hosts = hosts.lock().unwrap_or_else(PoisonError::into_inner);
    if *numbers == Numbers::Translator && hosts.add(thread::current().id()) {
        eprintln!("bench-counter: {WRONG_NUMBERS}");
        counter.spoil(WRONG_NUMBERS);
    }
}

/// A block was translated: asks to be called when it runs.
pub(crate) fn translated(block: &Translation) {
    let Some(Plugin { counter, grain, .. }) = PLUGIN.get() else {
        return;
    };
    let mut buffer = [0; MAX_INSTRUCTION];
    // CAST: A block has at most 512 instructions, one 15 bytes.
    let (nr, mut first) = (block.nr() as u64, None);
    for (n, instruction) in (1..).zip(block.instructions()) {
        let address = instruction.address();
        let start = *first.get_or_insert(address);
        let bytes = instruction.bytes(&mut buffer);
        let end = address.wrapping_add(bytes.len() as u64);
        match grain {
            Grain::Instruction => match counter.code(address, 1, end, bytes) {
                Some(code) => instruction.count_code(code),
                None => instruction.count(Block::new(address, 1)),
            },
            Grain::Block if n == nr => match counter.code(start, nr, end, bytes) {
                Some(code) => block.count_code(code),
                None => block.count(Block::new(start, nr)),
            },
            Grain::Block => {}
        }
        if let Some(marker) = Marker::recognise(bytes) {
            instruction.mark(marker);
        }
        // User code may contain the bytes, not execute them.
        if let Some(gate) = Gate::recognise(bytes).filter(|_| Block::new(start, nr).is_kernel()) {
            instruction.guard(gate);
        }
        if let Some(switch) = counter.switch(address, bytes) {
            instruction.watch(switch);
        }
    }
}

/// A block is about to run.
#[inline]
pub(crate) fn runs(vcpu: u32, block: Block) {
    if let Some(Plugin { counter, .. }) = PLUGIN.get() {
        counter.run(vcpu, block);
    }
}

/// A block of the kernel is about to run.
pub(crate) fn runs_code(vcpu: u32, code: &'static Code) {
    if let Some(Plugin { counter, .. }) = PLUGIN.get() {
        counter.run_code(vcpu, code);
    }
}

/// A marker is about to be executed.
pub(crate) fn marks(vcpu: u32, marker: Marker) {
    if let Some(Plugin { counter, .. }) = PLUGIN.get() {
        counter.mark(vcpu, marker);
    }
}

/// An instruction on the way to user mode is about to be executed.
pub(crate) fn passes(vcpu: u32, gate: Gate) {
    if let Some(Plugin { counter, .. }) = PLUGIN.get() {
        counter.pass(vcpu, gate);
    }
}

/// The kernel keeps or takes up a thread's stack pointer at an address.
pub(crate) fn switches(vcpu: u32, switch: Switch, address: u64) {
    if let Some(Plugin { counter, .. }) = PLUGIN.get() {
        counter.switch_thread(vcpu, switch, address);
    }
}

/// QEMU ends. It takes no error: a file that is not there tells of one.
pub(crate) fn exits() {
    let Some(Plugin { counter, .. }) = PLUGIN.get() else {
        return;
    };
    match counter.finish() {
        Ok(errors) => {
            for error in errors {
                eprintln!("bench-counter: {error}");
            }
        }
        Err(error) => eprintln!("bench-counter: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vcpus_that_share_a_thread_show_once() {
        let other = thread::spawn(|| thread::current().id()).join().unwrap();
        let mut hosts = Hosts::default();
        assert!(!hosts.add(thread::current().id()));
        assert!(!hosts.add(other));
        assert!(hosts.add(other));
        assert!(!hosts.add(other));
    }
}
