// SPDX-License-Identifier: GPL-2.0
//! Which CPU of Linux serves a call that is moved.

use super::cpuset::{CpuId, CpuSet};

/// Chooses a CPU of `service` for a thread of the LWK CPU `home`, that was served by `last` before.
///
/// `load` says how many tasks a CPU has, or nothing if it takes none; `distance` how far it is from `home`. The last one
/// comes first if it is idle, as its caches are warm and it is found without a search. Else the least loaded, among
/// equals the nearest, and among those the first from a place in the set that depends on `home`, so that the threads of
/// a job do not all turn to the same one. None if no CPU takes tasks.
pub fn choose(
    service: &CpuSet,
    home: CpuId,
    last: Option<CpuId>,
    load: impl Fn(CpuId) -> Option<u32>,
    distance: impl Fn(CpuId) -> u32,
) -> Option<CpuId> {
    if let Some(cpu) = last.filter(|cpu| service.contains(*cpu)) {
        if load(cpu) == Some(0) {
            return Some(cpu);
        }
    }
    let nr = service.len();
    if nr == 0 {
        return None;
    }
    // CAST: usize has 64 bits.
    let start = (home.get() % nr) as usize;
    let mut best: Option<((u32, u32), CpuId)> = None;
    for cpu in service.iter().skip(start).chain(service.iter().take(start)) {
        let Some(found) = load(cpu) else { continue };
        let cost = (found, distance(cpu));
        if best.map_or(true, |(least, _)| cost < least) {
            best = Some((cost, cpu));
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

    /// Chooses among CPUs 0, 1, ... with these loads; the first `near` ones are near.
    fn chosen(loads: &[Option<u32>], near: u32, home: u32, last: Option<u32>) -> Option<u32> {
        let service = (0u32..).zip(loads).map(|(n, _)| cpu(n)).collect();
        choose(
            &service,
            cpu(home),
            last.map(cpu),
            |cpu| loads.get(cpu.index()).copied().flatten(),
            |cpu| if cpu.get() < near { 10 } else { 20 },
        )
        .map(CpuId::get)
    }

    #[test]
    fn the_last_one_comes_first_if_it_is_idle() {
        assert_eq!(chosen(&[Some(0), Some(0)], 2, 8, Some(1)), Some(1));
        assert_eq!(chosen(&[Some(0), Some(1)], 2, 8, Some(1)), Some(0));
        assert_eq!(chosen(&[Some(0), None], 2, 8, Some(1)), Some(0));
        assert_eq!(chosen(&[Some(0)], 2, 8, Some(5)), Some(0));
    }

    #[test]
    fn an_idle_one_far_away_is_better_than_a_near_one_that_is_busy() {
        assert_eq!(chosen(&[Some(1), Some(2), Some(0)], 2, 3, None), Some(2));
        assert_eq!(chosen(&[Some(1), Some(1), Some(1)], 1, 5, None), Some(0));
    }

    #[test]
    fn threads_of_several_cpus_spread_over_idle_ones() {
        let idle = [Some(0); 3];
        let found: std::vec::Vec<_> = (4..7)
            .filter_map(|home| chosen(&idle, 3, home, None))
            .collect();
        assert_eq!(found, [1, 2, 0]);
    }

    #[test]
    fn without_one_that_takes_tasks_there_is_none() {
        assert_eq!(chosen(&[None, None], 2, 4, Some(0)), None);
        assert_eq!(chosen(&[], 2, 4, None), None);
    }
}
