// SPDX-License-Identifier: GPL-2.0
//! What the policy code costs on this machine: `make bench-host`.
//!
//! In instructions where the processor's counters may be used, else in time. Costs that the kernel pays for each CPU
//! are measured on machines of several sizes: they may grow with the CPUs and not faster.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::Measurement;
use criterion::{BenchmarkId, Criterion};
use host_bench::Instructions;
use lwk_logic::logic::{
    bootline::BootSpec,
    cpulist,
    cpuset::{CpuId, CpuSet},
    entry::{classify, Mark},
    partition::{Table, Want},
    pick::Tick,
    place::{busiest, place},
    rank::Rank,
    refused::Refused,
};

/// The sizes of machine.
const SIZES: [u32; 3] = [8, 64, 512];

fn cpu(number: u32) -> CpuId {
    CpuId::new(number).expect("a number below the limit")
}

fn cpus(nr: u32) -> CpuSet {
    (0..nr).map(cpu).collect()
}

/// Every second CPU, which has the longest list.
fn striped(nr: u32) -> CpuSet {
    (0..nr).step_by(2).map(cpu).collect()
}

fn placement<M: Measurement>(c: &mut Criterion<M>) {
    let mut group = c.benchmark_group("place");
    for nr in SIZES {
        let (allowed, prev) = (cpus(nr), cpu(nr / 2));
        let mut bench = |name, load: fn(CpuId) -> u32| {
            group.bench_function(BenchmarkId::new(name, nr), |b| {
                b.iter(|| place(black_box(&allowed), black_box(prev), load));
            });
        };
        bench("prev_idle", |_| 0);
        bench("next_idle", |cpu| u32::from(cpu.get() % 2 == 0));
        bench("all_busy", |_| 1);
        group.bench_function(BenchmarkId::new("busiest", nr), |b| {
            b.iter(|| busiest(black_box(&allowed), black_box(prev), |cpu| cpu.get() % 3));
        });
    }
    group.finish();
}

fn sets<M: Measurement>(c: &mut Criterion<M>) {
    let mut group = c.benchmark_group("cpuset");
    for nr in SIZES {
        let (all, some) = (cpus(nr), striped(nr));
        let mut bench = |name, op: fn(&CpuSet, &CpuSet) -> u32| {
            group.bench_function(BenchmarkId::new(name, nr), |b| {
                b.iter(|| op(black_box(&all), black_box(&some)));
            });
        };
        bench("union", |a, b| a.union(b).first().map_or(0, CpuId::get));
        bench("intersection", |a, b| {
            a.intersection(b).first().map_or(0, CpuId::get)
        });
        bench("difference", |a, b| {
            a.difference(b).first().map_or(0, CpuId::get)
        });
        bench("is_subset", |a, b| u32::from(b.is_subset(a)));
        bench("intersects", |a, b| u32::from(a.intersects(b)));
        bench("len", |_, b| b.len());
        bench("iterate", |_, b| b.iter().map(CpuId::get).sum());
        bench("insert_remove", |_, b| {
            let mut set = *b;
            let cpu = CpuId::new(1).expect("a number below the limit");
            u32::from(set.insert(cpu)) + u32::from(set.remove(cpu))
        });
    }
    group.finish();
}

fn lists<M: Measurement>(c: &mut Criterion<M>) {
    let mut group = c.benchmark_group("cpulist");
    for nr in SIZES {
        for (name, set) in [("range", cpus(nr)), ("striped", striped(nr))] {
            let text = set.to_string();
            group.bench_function(BenchmarkId::new(format!("parse_{name}"), nr), |b| {
                b.iter(|| cpulist::parse(black_box(text.as_bytes()), nr));
            });
            let mut out = String::with_capacity(text.len());
            group.bench_function(BenchmarkId::new(format!("print_{name}"), nr), |b| {
                b.iter(|| {
                    out.clear();
                    write!(out, "{}", black_box(&set)).expect("room for the list");
                    out.len()
                });
            });
        }
    }
    group.bench_function("parse_grouped", |b| {
        b.iter(|| cpulist::parse(black_box(b"0-31,64-95:2/4,127"), 512));
    });
    group.bench_function("refuse", |b| {
        b.iter(|| cpulist::parse(black_box(b"0-31,64-63"), 512));
    });
    group.finish();
}

fn boot_line<M: Measurement>(c: &mut Criterion<M>) {
    let mut group = c.benchmark_group("bootline");
    let possible = cpus(512);
    for (name, text) in [
        ("one_group", "0.1-511"),
        ("eight_groups", "0.8-63:64.72-127:128.136-191:192.200-255:256.264-319:320.328-383:384.392-447:448.456-511"),
        ("refused", "0.8-63:64.72-127,8"),
    ] {
        let mut spec = Box::new(BootSpec::EMPTY);
        group.bench_function(BenchmarkId::new("parse", name), |b| {
            b.iter(|| spec.parse_into(black_box(text.as_bytes()), 512));
        });
        group.bench_function(BenchmarkId::new("check", name), |b| {
            b.iter(|| spec.check(black_box(&possible), cpu(0)));
        });
    }
    group.finish();
}

/// A table with a partition of all CPUs but the first.
fn table(nr: u32) -> Box<Table> {
    let mut table = Box::new(Table::new());
    let lwk = cpus(nr).difference(&CpuSet::single(cpu(0)));
    table
        .create(b"bench", &lwk, &CpuSet::single(cpu(0)), 0)
        .expect("an empty table");
    table
}

fn partitions<M: Measurement>(c: &mut Criterion<M>) {
    let mut group = c.benchmark_group("partition");
    for nr in SIZES {
        let mut own = table(nr);
        group.bench_function(BenchmarkId::new("reserve_release", nr), |b| {
            b.iter(|| {
                let (job, ..) = own.reserve(None, Want::All).expect("free CPUs");
                own.release(job).expect("a job")
            });
        });
        group.bench_function(BenchmarkId::new("reserve_one", nr), |b| {
            b.iter(|| {
                let (job, ..) = own.reserve(None, Want::Count(1)).expect("free CPUs");
                own.release(job).expect("a job")
            });
        });
        let lwk = cpus(nr).difference(&CpuSet::single(cpu(0)));
        let mut empty = Box::new(Table::new());
        group.bench_function(BenchmarkId::new("create_delete", nr), |b| {
            b.iter(|| {
                let id = empty
                    .create(b"bench", black_box(&lwk), &CpuSet::EMPTY, 0)
                    .expect("an empty table");
                empty.delete(id).expect("no job")
            });
        });
        let last = cpu(nr - 1);
        let table = table(nr);
        group.bench_function(BenchmarkId::new("owner", nr), |b| {
            b.iter(|| table.owner(black_box(last)));
        });
        group.bench_function(BenchmarkId::new("next_partition", nr), |b| {
            b.iter(|| table.next_partition(black_box(0)).map(|view| view.id.get()));
        });
    }
    group.finish();
}

fn decisions<M: Measurement>(c: &mut Criterion<M>) {
    let mut group = c.benchmark_group("decide");
    let alone = Tick {
        now_ns: 1 << 40,
        tick_ns: 4_000_000,
        nr_guests: 0,
        guest_since_ns: 0,
        rank: Rank::SHARED,
        turn_end_ns: 1 << 41,
        next: None,
        shared_waited_ns: None,
        lifted_end_ns: 0,
    };
    let shared = Tick {
        nr_guests: 1,
        next: Some(Rank::SHARED),
        ..alone
    };
    for (name, tick) in [("tick_alone", alone), ("tick_shared", shared)] {
        group.bench_function(name, |b| b.iter(|| black_box(tick).decide()));
    }
    let before = Mark { irqs: 7, faults: 3 };
    let now = Mark { irqs: 8, faults: 3 };
    group.bench_function("entry_kind", |b| {
        b.iter(|| classify(black_box(&before), black_box(&now)));
    });
    group.bench_function("refusal", |b| {
        let mut table = table(8);
        b.iter(|| {
            let error = table.reserve(None, Want::Count(9)).err();
            black_box(error.map(Refused::from))
        });
    });
    group.finish();
}

/// Runs everything with what the machine can measure.
fn run<M: Measurement + 'static>(criterion: Criterion<M>) {
    let mut criterion = criterion
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .sample_size(20)
        .configure_from_args();
    placement(&mut criterion);
    sets(&mut criterion);
    lists(&mut criterion);
    boot_line(&mut criterion);
    partitions(&mut criterion);
    decisions(&mut criterion);
    criterion.final_summary();
}

fn main() {
    match Instructions::open() {
        Ok(instructions) => {
            println!("measured in instructions of the processor's counter");
            run(Criterion::default().with_measurement(instructions));
        }
        Err(error) => {
            println!("measured in time, since this machine counts no instructions: {error}");
            run(Criterion::default());
        }
    }
}
