// SPDX-License-Identifier: GPL-2.0
//! Unit tests of the partition table.

use super::*;
use crate::logic::error::{Errno, EBUSY, EEXIST, EINVAL, ENODEV, ENOENT, ENOSPC};
use std::string::ToString;
use std::vec::Vec;

const NO_SERVICE: CpuSet = CpuSet::EMPTY;

fn cpu(n: u32) -> CpuId {
    CpuId::new(n).expect("a CPU number of the test")
}

fn set(text: &str) -> CpuSet {
    text.parse().expect("a CPU list of the test")
}

fn id(n: u32) -> PartitionId {
    PartitionId::new(n).expect("a partition number of the test")
}

fn job(n: u32) -> JobId {
    JobId::new(n).expect("a job number of the test")
}

/// Partition 1 `main` with CPUs 1-4 served by CPU 0, partition 2 `side` with CPUs 8-9.
fn table() -> Table {
    let mut table = Table::new();
    assert_eq!(table.create(b"main", &set("1-4"), &set("0"), 5), Ok(id(1)));
    assert_eq!(
        table.create(b"side", &set("8-9"), &NO_SERVICE, 0),
        Ok(id(2))
    );
    table
}

/// Runs an operation that must fail and leave the table as it was; returns text and errno.
fn refused<T: core::fmt::Debug>(
    table: &mut Table,
    operation: impl FnOnce(&mut Table) -> Result<T, TableError>,
) -> (std::string::String, i32) {
    let before = table.clone();
    let error = operation(table).expect_err("an operation that must fail");
    assert!(*table == before, "changed by a failed operation: {error}");
    (error.to_string(), error.errno())
}

#[test]
fn sizes_fit_a_static() {
    assert!(core::mem::size_of::<Table>() < 16 * 1024);
    assert!(core::mem::size_of::<TableError>() <= 32);
}

#[test]
fn partitions_are_walked_in_order() {
    let mut table = table();
    let view = table.next_partition(0).expect("partition 1");
    let expected = PartitionView {
        id: id(1),
        name: b"main",
        flags: 5,
        nr_cpus: 4,
        nr_free: 4,
        nr_jobs: 0,
    };
    assert_eq!(view, expected);
    assert_eq!(table.next_partition(1), Some(expected));
    assert_eq!(table.next_partition(2).map(|view| view.id), Some(id(2)));
    assert_eq!(table.next_partition(3), None);
    assert_eq!(table.next_partition(u32::MAX), None);
    assert_eq!(table.delete(id(1)), Ok(()));
    assert_eq!(table.next_partition(1).map(|view| view.id), Some(id(2)));
}

#[test]
fn roles_of_cpus() {
    let mut table = table();
    assert_eq!(
        (table.owner(cpu(1)), table.serves(cpu(1))),
        (Some(id(1)), None)
    );
    assert_eq!(
        (table.owner(cpu(0)), table.serves(cpu(0))),
        (None, Some(id(1)))
    );
    assert_eq!((table.owner(cpu(5)), table.serves(cpu(5))), (None, None));
    assert_eq!(
        (table.cpus_of(id(1)), table.service_of(id(1))),
        (set("1-4"), set("0"))
    );
    assert_eq!(
        (table.cpus_of(id(3)), table.service_of(id(300))),
        (NO_SERVICE, NO_SERVICE)
    );
    assert_eq!(table.free_of(id(u32::MAX)), NO_SERVICE);
    assert_eq!(table.delete(id(1)), Ok(()));
    assert_eq!((table.owner(cpu(1)), table.serves(cpu(0))), (None, None));
    assert_eq!(table.create(b"again", &set("0"), &set("1"), 0), Ok(id(1)));
}

#[test]
fn create_refuses_bad_names() {
    let mut table = table();
    for name in ["", "1", "-a", ".a", "a b", "a/b", "a\0", "\u{e9}"] {
        let (text, errno) = refused(&mut table, |t| {
            t.create(name.as_bytes(), &set("5"), &NO_SERVICE, 0)
        });
        assert!(text.contains("is not a letter followed by"), "{text}");
        assert_eq!(errno, EINVAL);
    }
    let long = [b'a'; NAME_LEN];
    let (text, errno) = refused(&mut table, |t| t.create(&long, &set("5"), &NO_SERVICE, 0));
    assert_eq!(
        text,
        "the partition name 'aaaaaaaaaaaaaaaaaaaaaa...' is longer than 31 bytes"
    );
    assert_eq!(errno, EINVAL);
    let fits = &long[1..];
    assert_eq!(table.create(fits, &set("5"), &NO_SERVICE, 0), Ok(id(3)));
    assert_eq!(table.next_partition(3).map(|view| view.name), Some(fits));
    let taken = refused(&mut table, |t| t.create(b"side", &set("6"), &NO_SERVICE, 0));
    assert_eq!(taken, ("partition 2 has this name".into(), EEXIST));
}

#[test]
fn create_refuses_cpus_with_a_role() {
    let mut table = table();
    let mut create = |cpus: &str, service: &str| {
        refused(&mut table, |t| {
            t.create(b"new", &set(cpus), &set(service), 0)
        })
    };
    assert_eq!(
        create("", "5"),
        ("a partition needs at least one CPU".into(), EINVAL)
    );
    assert_eq!(
        create("5-6", "6"),
        (
            "CPU 6 cannot be both LWK CPU and service CPU".into(),
            EINVAL
        )
    );
    assert_eq!(
        create("4-6", ""),
        ("CPU 4 belongs to partition 1".into(), EBUSY)
    );
    assert_eq!(create("0", ""), ("CPU 0 serves partition 1".into(), EBUSY));
    assert_eq!(
        create("5", "9"),
        ("CPU 9 belongs to partition 2".into(), EBUSY)
    );
    assert_eq!(create("5", "0"), ("CPU 0 serves partition 1".into(), EBUSY));
}

#[test]
fn create_ends_at_the_limit() {
    let mut table = Table::new();
    let cpus: Vec<CpuId> = set("0-1023").iter().take(MAX_PARTITIONS + 1).collect();
    for (n, cpu) in cpus.iter().take(MAX_PARTITIONS).enumerate() {
        let name = std::format!("p{n}");
        table
            .create(name.as_bytes(), &CpuSet::single(*cpu), &NO_SERVICE, 0)
            .expect("room");
    }
    let last = CpuSet::single(cpus[MAX_PARTITIONS]);
    let found = refused(&mut table, |t| t.create(b"more", &last, &NO_SERVICE, 0));
    assert_eq!(found, ("there are 64 partitions already".into(), ENOSPC));
    assert_eq!(table.delete(id(7)), Ok(()));
    assert_eq!(table.create(b"more", &last, &NO_SERVICE, 0), Ok(id(7)));
    assert_eq!(table.nr_partitions(), 64);
}

#[test]
fn delete_needs_an_existing_partition_without_jobs() {
    let mut table = table();
    for n in [3, 64, 65, 256, 257, u32::MAX] {
        let found = refused(&mut table, |t| t.delete(id(n)));
        assert_eq!(found, (std::format!("there is no partition {n}"), ENODEV));
    }
    table
        .reserve(Some(id(1)), Want::Count(1))
        .expect("a free CPU");
    let found = refused(&mut table, |t| t.delete(id(1)));
    assert_eq!(found, ("partition 1 still runs jobs: 1".into(), EBUSY));
    assert_eq!(table.release(job(1)), Ok(set("1")));
    assert_eq!(table.delete(id(1)), Ok(()));
}

#[test]
fn jobs_take_the_lowest_free_cpus_of_the_first_partition_that_can() {
    let mut table = table();
    assert_eq!(
        table.reserve(None, Want::Count(3)),
        Ok((job(1), id(1), set("1-3")))
    );
    assert_eq!(
        table.reserve(None, Want::Count(2)),
        Ok((job(2), id(2), set("8-9")))
    );
    assert_eq!(
        table.reserve(None, Want::All),
        Ok((job(3), id(1), set("4")))
    );
    assert_eq!(
        (table.nr_jobs(), table.job_of(cpu(3)), table.job_of(cpu(4))),
        (3, Some(job(1)), Some(job(3)))
    );
    assert_eq!((table.job_of(cpu(0)), table.job_of(cpu(5))), (None, None));
    assert_eq!(table.release(job(1)), Ok(set("1-3")));
    assert_eq!(
        table.reserve(None, Want::Exact(&set("2"))),
        Ok((job(4), id(1), set("2")))
    );
    assert_eq!(
        table.reserve(Some(id(1)), Want::All),
        Ok((job(5), id(1), set("1,3")))
    );
    assert_eq!(table.cpus_of_job(job(5)), set("1,3"));
    assert_eq!(table.cpus_of_job(job(1)), CpuSet::EMPTY);
}

#[test]
fn jobs_are_walked_in_order_of_their_numbers() {
    let mut table = table();
    for cpus in ["4", "8-9", "1,3"] {
        table
            .reserve(None, Want::Exact(&set(cpus)))
            .expect("free CPUs");
    }
    let view = |n, partition, nr_cpus| {
        Some(JobView {
            id: job(n),
            partition: id(partition),
            nr_cpus,
        })
    };
    assert_eq!(table.next_job(0), view(1, 1, 1));
    assert_eq!(table.next_job(2), view(2, 2, 2));
    table.release(job(2)).expect("job 2");
    assert_eq!(table.next_job(2), view(3, 1, 2));
    assert_eq!(table.next_job(4), None);
    assert_eq!(
        table
            .next_partition(1)
            .map(|v| (v.nr_cpus, v.nr_free, v.nr_jobs)),
        Some((4, 1, 2))
    );
}

#[test]
fn reserve_refuses_and_says_why() {
    let mut table = table();
    table
        .reserve(None, Want::Exact(&set("2")))
        .expect("a free CPU");
    let mut reserve = |from: u32, want: Want<'_>| {
        refused(&mut table, |t| t.reserve(PartitionId::new(from), want))
    };
    assert_eq!(
        reserve(3, Want::All),
        ("there is no partition 3".into(), ENODEV)
    );
    assert_eq!(
        reserve(0, Want::Count(0)),
        ("a job needs at least one CPU".into(), EINVAL)
    );
    assert_eq!(
        reserve(1, Want::Exact(&NO_SERVICE)),
        ("the set of CPUs for the job is empty".into(), EINVAL)
    );
    assert_eq!(
        reserve(0, Want::Exact(&set("0"))),
        ("CPU 0 is in no partition".into(), ENODEV)
    );
    assert_eq!(
        reserve(0, Want::Exact(&set("4-5"))),
        ("CPU 5 is in no partition".into(), ENODEV)
    );
    assert_eq!(
        reserve(0, Want::Exact(&set("4,8"))),
        ("CPU 8 is in partition 2, not in 1".into(), EINVAL)
    );
    assert_eq!(
        reserve(2, Want::Exact(&set("4"))),
        ("CPU 4 is in partition 1, not in 2".into(), EINVAL)
    );
    assert_eq!(
        reserve(0, Want::Exact(&set("1-3"))),
        ("job 1 holds CPU 2".into(), EBUSY)
    );
    assert_eq!(
        reserve(0, Want::Count(5)),
        ("CPUs wanted: 5, in a partition at most: 4".into(), EINVAL)
    );
    assert_eq!(
        reserve(2, Want::Count(3)),
        ("CPUs wanted: 3, in a partition at most: 2".into(), EINVAL)
    );
    assert_eq!(
        reserve(0, Want::Count(4)),
        (
            "CPUs wanted: 4, free in a partition at most: 3".into(),
            EBUSY
        )
    );
    assert_eq!(reserve(0, Want::Count(u32::MAX)).1, EINVAL);
}

#[test]
fn reserve_without_a_free_cpu_or_a_partition() {
    let mut table = table();
    assert!(table.reserve(None, Want::All).is_ok() && table.reserve(None, Want::All).is_ok());
    let found = refused(&mut table, |t| t.reserve(None, Want::All));
    assert_eq!(
        found,
        (
            "CPUs wanted: 1, free in a partition at most: 0".into(),
            EBUSY
        )
    );
    let found = refused(&mut Table::new(), |t| t.reserve(None, Want::All));
    assert_eq!(found, ("there is no partition".into(), ENODEV));
}

#[test]
fn release_works_once() {
    let mut table = table();
    table.reserve(None, Want::All).expect("free CPUs");
    assert_eq!(table.release(job(1)), Ok(set("1-4")));
    assert_eq!(
        refused(&mut table, |t| t.release(job(1))),
        ("there is no job 1".into(), ENOENT)
    );
}

#[test]
fn release_leaves_no_trace_but_the_number() {
    let mut table = table();
    let before = table.clone();
    table
        .reserve(None, Want::Exact(&set("2,4")))
        .expect("free CPUs");
    assert!(table.release(job(1)).is_ok() && table != before);
    table.next_job = job(1);
    assert!(table == before);
    assert!(table.delete(id(1)).is_ok() && table.delete(id(2)).is_ok());
    assert!(table == Table::new());
}

#[test]
fn job_numbers_wrap_around_live_ones() {
    let mut table = table();
    table.reserve(None, Want::Count(1)).expect("a free CPU");
    table.next_job = job(u32::MAX);
    assert_eq!(
        table.reserve(None, Want::Count(1)).map(|(job, ..)| job),
        Ok(job(u32::MAX))
    );
    assert_eq!(
        table.reserve(None, Want::Count(1)).map(|(job, ..)| job),
        Ok(job(2))
    );
    assert_eq!(table.next_job(3).map(|view| view.id), Some(job(u32::MAX)));
}

#[test]
fn resize_adds_and_removes_at_once() {
    let mut table = table();
    table
        .resize(id(1), &set("10-11"), &set("1,3"))
        .expect("a resize");
    assert_eq!(table.cpus_of(id(1)), set("2,4,10-11"));
    assert_eq!(table.owner(cpu(1)), None);
    assert_eq!(table.service_of(id(1)), set("0"));
    table
        .resize(id(1), &set("1,3"), &set("10-11"))
        .expect("the reverse");
    assert!(table == self::table());
}

#[test]
fn resize_checks_before_it_changes() {
    let mut table = table();
    let (held, _, _) = table
        .reserve(Some(id(1)), Want::Exact(&set("2")))
        .expect("a job");
    let none = &CpuSet::EMPTY;
    for (add, remove, errno) in [
        ("8", "", EBUSY),
        ("0", "", EBUSY),
        ("10", "10", EINVAL),
        ("", "2", EBUSY),
        ("", "8", EINVAL),
        ("", "20", ENODEV),
        ("10", "1-2", EBUSY),
    ] {
        let (add, remove) = (set(add), set(remove));
        let (_, found) = refused(&mut table, |table| table.resize(id(1), &add, &remove));
        assert_eq!(found, errno, "{add} {remove}");
    }
    let (_, errno) = refused(&mut table, |table| table.resize(id(9), none, none));
    assert_eq!(errno, ENODEV);
    table.release(held).expect("the job");
    let all = set("1-4");
    let (_, errno) = refused(&mut table, |table| table.resize(id(1), none, &all));
    assert_eq!(errno, EINVAL);
}

#[test]
fn cpus_on_their_way_are_for_no_job() {
    let mut table = table();
    let (held, _, _) = table
        .reserve(Some(id(1)), Want::Exact(&set("2")))
        .expect("a job");
    table.depart(&set("1-3"));
    let view = table.next_partition(1).expect("partition 1");
    assert_eq!((view.nr_cpus, view.nr_free), (4, 1));
    let (_, errno) = refused(&mut table, |table| {
        table.reserve(None, Want::Exact(&set("3")))
    });
    assert_eq!(errno, ENODEV);
    let (_, errno) = refused(&mut table, |table| {
        table.reserve(Some(id(1)), Want::Count(2))
    });
    assert_eq!(errno, EBUSY);
    let (_, _, got) = table
        .reserve(Some(id(1)), Want::All)
        .expect("the one that stays");
    assert_eq!(got, set("4"));
    // The job that was there keeps its CPU, which is free when it ends.
    table.release(held).expect("the job");
    table.arrive(&set("1-3"));
    let (_, _, got) = table
        .reserve(Some(id(1)), Want::All)
        .expect("those that arrived");
    assert_eq!(got, set("1-3"));
}

#[test]
fn cpus_on_their_way_can_go_back() {
    let mut table = table();
    table
        .resize(id(1), &set("10"), &set("4"))
        .expect("a resize");
    table.depart(&set("10"));
    table.resize(id(1), &set("4"), &set("10")).expect("undone");
    assert!(table == self::table());
    table.depart(&set("8-9"));
    table.delete(id(2)).expect("a partition without jobs");
    let again = table.create(b"more", &set("8-9"), &NO_SERVICE, 0);
    assert_eq!(again, Ok(id(2)));
    assert_eq!(table.free_of(id(2)), set("8-9"));
}

#[test]
fn cpus_that_could_not_be_moved_back_are_put_down_where_they_are() {
    let mut table = table();
    table.correct(id(1), &set("6"), &set("2-3"));
    assert_eq!(table.cpus_of(id(1)), set("1,4,6"));
    assert_eq!(table.owner(cpu(2)), None);
    // A partition without a CPU is no more, and its service CPU is free.
    table.correct(id(1), &NO_SERVICE, &set("1,4,6"));
    assert_eq!(table.nr_partitions(), 1);
    assert_eq!(table.serves(cpu(0)), None);
    let before = table.clone();
    table.correct(id(1), &set("1"), &NO_SERVICE);
    assert!(table == before, "a partition that is not there was changed");
}
