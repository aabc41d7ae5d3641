// SPDX-License-Identifier: GPL-2.0
//! Which CPU a woken or new thread gets, and where a CPU that has none left takes one.

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

/// The CPU of `job` other than `own` where most threads are, if there one has to wait; the nearest above `own`,
/// cyclically, among equals, so that CPUs that fall idle together do not all turn to the same one.
pub fn busiest(job: &CpuSet, own: CpuId, load: impl Fn(CpuId) -> u32) -> Option<CpuId> {
    let above = job.iter().filter(|cpu| *cpu > own);
    let below = job.iter().take_while(|cpu| *cpu < own);
    let mut best: Option<(u32, CpuId)> = None;
    for cpu in above.chain(below) {
        let found = load(cpu);
        if found > best.map_or(1, |(most, _)| most) {
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

    /// The busiest of CPUs 0, 1, ... with these loads but `own`.
    fn busiest_of(loads: &[u32], own: u32) -> Option<u32> {
        let job = (0u32..).zip(loads).map(|(n, _)| cpu(n)).collect();
        let load = |cpu: CpuId| loads.get(cpu.index()).copied().expect("a CPU of the job");
        busiest(&job, cpu(own), load).map(CpuId::get)
    }

    #[test]
    fn nobody_waits_where_each_has_a_cpu() {
        assert_eq!(busiest_of(&[1, 0, 1, 1], 1), None);
        assert_eq!(busiest_of(&[0], 0), None);
    }

    #[test]
    fn most_waiting_come_first_and_the_next_above_among_equals() {
        assert_eq!(busiest_of(&[2, 0, 3, 2], 1), Some(2));
        assert_eq!(busiest_of(&[2, 0, 2, 2], 1), Some(2));
        assert_eq!(busiest_of(&[2, 1, 1, 0], 3), Some(0));
    }

    #[test]
    fn own_queue_is_never_the_answer() {
        assert_eq!(busiest_of(&[1, 5, 1], 1), None);
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
