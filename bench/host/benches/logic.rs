// SPDX-License-Identifier: GPL-2.0
//! What the policy code costs on this machine: `cargo bench -p host-bench`.
#![forbid(unsafe_code)]
#![allow(
    missing_docs,
    reason = "criterion's macros make items without documentation"
)]

use std::hint::black_box;

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion};
use lwk_logic::logic::{
    cpuset::{CpuId, CpuSet},
    partition::{Table, Want},
    pick::Tick,
    place::place,
};

/// The sizes of machine for which a cost for each CPU should not grow.
const SIZES: [u32; 3] = [8, 64, 512];

fn cpus(nr: u32) -> CpuSet {
    (0..nr).filter_map(CpuId::new).collect()
}

fn placement(c: &mut Criterion) {
    let mut group = c.benchmark_group("place");
    for nr in SIZES {
        let (allowed, prev) = (cpus(nr), CpuId::new(nr / 2).expect("a CPU of the set"));
        group.bench_with_input(BenchmarkId::new("all_busy", nr), &allowed, |b, allowed| {
            b.iter(|| place(black_box(allowed), prev, |_| 1));
        });
        group.bench_with_input(BenchmarkId::new("prev_idle", nr), &allowed, |b, allowed| {
            b.iter(|| place(black_box(allowed), prev, |_| 0));
        });
    }
    group.finish();
}

fn reservation(c: &mut Criterion) {
    let mut group = c.benchmark_group("reserve_release");
    for nr in SIZES {
        let mut table = Box::new(Table::new());
        table
            .create(b"bench", &cpus(nr), &CpuSet::EMPTY, 0)
            .expect("an empty table");
        group.bench_function(BenchmarkId::from_parameter(nr), |b| {
            b.iter(|| {
                let (job, ..) = table.reserve(None, Want::All).expect("free CPUs");
                table.release(job).expect("a job")
            });
        });
    }
    group.finish();
}

fn parsing(c: &mut Criterion) {
    c.bench_function("cpulist_parse", |b| {
        b.iter(|| CpuSet::parse(black_box(b"0-31,64-95:2/4,127"), 512));
    });
}

fn tick(c: &mut Criterion) {
    let seen = Tick {
        now_ns: 1 << 40,
        tick_ns: 4_000_000,
        nr_guests: 1,
        guest_since_ns: 0,
        nr_tasks: 2,
        task_turn_end_ns: 1 << 41,
    };
    c.bench_function("tick_decide", |b| b.iter(|| black_box(seen).decide()));
}

criterion_group!(benches, placement, reservation, parsing, tick);
criterion_main!(benches);
