// SPDX-License-Identifier: GPL-2.0
//! Which CPU a woken or new thread gets.

use super::cpuset::{CpuId, CpuSet};

/// Chooses a CPU of `allowed` for a thread that last ran on `prev`; `load` says how many threads a CPU has.
///
/// `prev` if it is idle, because its caches are warm; else the next idle CPU above `prev`, cyclically, so that threads
/// started by one parent spread without searching from CPU 0 each time; else the least loaded, `prev` first among
/// equals. None if `allowed` is empty.
///
/// `load` is asked once for each CPU, because it may change between two calls.
pub fn place(allowed: &CpuSet, prev: CpuId, load: impl Fn(CpuId) -> u32) -> Option<CpuId> {
    let own = allowed.contains(prev).then_some(prev);
    let above = allowed.iter().filter(|cpu| *cpu > prev);
    let below = allowed.iter().take_while(|cpu| *cpu < prev);
    let mut best: Option<(u32, CpuId)> = None;
    for cpu in own.into_iter().chain(above).chain(below) {
        let found = load(cpu);
        if found == 0 {
            return Some(cpu);
        }
        if best.map_or(true, |(least, _)| found < least) {
            best = Some((found, cpu));
        }
    }
    best.map(|(_, cpu)| cpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(n: u32) -> CpuId {
        CpuId::new(n).expect("a CPU number of the test")
    }

    /// Places with `loads` for CPUs 0, 1, ...; CPUs without a load are not allowed.
    fn placed(loads: &[Option<u32>], prev: u32) -> Option<u32> {
        let allowed = (0u32..)
            .zip(loads)
            .filter(|(_, load)| load.is_some())
            .map(|(n, _)| cpu(n))
            .collect();
        let load = |cpu: CpuId| {
            loads
                .get(cpu.index())
                .copied()
                .flatten()
                .expect("an allowed CPU")
        };
        place(&allowed, cpu(prev), load).map(CpuId::get)
    }

    #[test]
    fn nothing_allowed_gives_nothing() {
        assert_eq!(placed(&[], 0), None);
    }

    #[test]
    fn idle_previous_cpu_is_kept() {
        assert_eq!(placed(&[Some(0), Some(0), Some(0)], 1), Some(1));
    }

    #[test]
    fn next_idle_cpu_above_comes_first_then_wraps() {
        assert_eq!(placed(&[Some(0), Some(1), Some(1), Some(0)], 1), Some(3));
        assert_eq!(placed(&[Some(0), Some(1), Some(1), Some(1)], 1), Some(0));
    }

    #[test]
    fn previous_cpu_outside_is_only_a_starting_point() {
        assert_eq!(placed(&[Some(0), None, Some(0)], 1), Some(2));
        assert_eq!(placed(&[Some(0), Some(0)], 900), Some(0));
    }

    #[test]
    fn without_an_idle_cpu_the_least_loaded_wins_and_previous_among_equals() {
        assert_eq!(placed(&[Some(2), Some(2), Some(2)], 1), Some(1));
        assert_eq!(placed(&[Some(1), Some(2), Some(1)], 1), Some(2));
        assert_eq!(placed(&[Some(1), Some(2), Some(3)], 1), Some(0));
    }
}
