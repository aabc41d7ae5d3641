// SPDX-License-Identifier: GPL-2.0
//! Snapshots of everything that `lwkctl show` prints, from structures as the kernel would fill them.

use lwk::{Cpu, Guests, Job, JobMemory, Noise, Partition, State};
use lwk_logic::logic::cpuset::{CpuId, CpuSet};
use lwk_logic::logic::mempolicy::Policy;
use lwk_logic::uapi::{EntryKind, IrqSource};
use lwkctl::report::{Detail, PartitionsReport, Report};
use lwkctl::table::Style;
use lwkctl::users::Users;
use lwkctl::{noise, show};

fn set(list: &str) -> CpuSet {
    list.parse().expect("a list of the test")
}

/// Eight CPUs: 0 serves partition "boot" of 2-5, "rest" has 6-7 with 7 off line, job 3 holds 2-3.
fn state() -> State {
    let partition = |id, name: &str, cpus, service| Partition {
        id,
        name: name.to_owned(),
        boot: id == 1,
        cpus: set(cpus),
        service,
        memory: lwk::Shares::default(),
        policy: Policy::DEFAULT,
        calls: lwk::CallPolicy::DEFAULT,
    };
    State {
        partitions: vec![
            partition(1, "boot", "2-5", set("0")),
            partition(2, "rest", "6-7", CpuSet::EMPTY),
        ],
        jobs: vec![
            Job {
                id: 3,
                partition: 1,
                nr_tasks: 9,
                pid: 812,
                uid: 1000,
                comm: "hpcc".to_owned(),
                cpus: set("2-3"),
                memory: JobMemory::default(),
            },
            Job {
                id: 4,
                partition: 2,
                nr_tasks: 1,
                pid: 0,
                uid: 5,
                comm: "a b\x1b[2J".to_owned(),
                cpus: set("6"),
                memory: JobMemory::default(),
            },
        ],
    }
}

fn cpus(disturb: impl Fn(u32, &mut Noise)) -> Vec<Cpu> {
    let state = state();
    let cpu = |number: u32| {
        let id = CpuId::new(number).expect("a CPU of the test");
        let partition = state
            .partitions
            .iter()
            .find(|partition| partition.cpus.contains(id) || partition.service.contains(id));
        let mut noise = Noise::default();
        if number >= 2 {
            disturb(number, &mut noise);
        }
        Cpu {
            cpu: number,
            node: number / 4,
            online: number != 7,
            is_told: true,
            service: number == 0,
            partition: partition.map(|partition| partition.id),
            job: state
                .jobs
                .iter()
                .find(|job| job.cpus.contains(id))
                .map(|job| job.id),
            nr_running: u32::from(number == 2),
            noise,
        }
    };
    (0..8).map(cpu).collect()
}

fn disturbed(cpu: u32, noise: &mut Noise) {
    if cpu == 2 {
        noise.entries[EntryKind::Syscall.index()] = 1_234_567;
        noise.entries[EntryKind::Interrupt.index()] = 3;
        noise.irqs[IrqSource::Timer.index()] = 2;
        noise.irqs[IrqSource::Tlb.index()] = 1;
        noise.switches = 40;
        noise.guests = Guests {
            runs: 2,
            total_ns: 1_530_000,
            last: "kworker/2:1".to_owned(),
        };
    }
    if cpu == 3 {
        noise.entries[EntryKind::Fault.index()] = 7;
        noise.faults = 7;
    }
}

fn report(detail: Detail) -> Report {
    let users = Users::parse("ann:x:1000:1000::/:\n");
    Report::new(&state(), &cpus(disturbed), &users, detail)
}

#[test]
fn owners_plain() {
    insta::assert_snapshot!(show::text(&report(Detail::Owners), Style::Plain));
}

#[test]
fn owners_boxed() {
    insta::assert_snapshot!(show::text(&report(Detail::Owners), Style::Boxed));
}

#[test]
fn owners_json() {
    let json = serde_json::to_string_pretty(&report(Detail::Owners)).expect("serializable");
    insta::assert_snapshot!(json);
}

#[test]
fn noise_plain() {
    insta::assert_snapshot!(noise::text(&report(Detail::Noise), Style::Plain));
}

#[test]
fn noise_json() {
    let json = serde_json::to_string_pretty(&report(Detail::Noise)).expect("serializable");
    insta::assert_snapshot!(json);
}

#[test]
fn a_quiet_machine_says_so() {
    let report = Report::new(&state(), &cpus(|_, _| ()), &Users::default(), Detail::Noise);
    let told = noise::text(&report, Style::Plain);
    assert_eq!(
        told,
        "Nothing was counted on LWK CPUs 2-7 since they joined their partition.\n"
    );
}

#[test]
fn a_machine_without_partitions_says_what_to_do() {
    let mut report = Report::new(&State::default(), &[], &Users::default(), Detail::Owners);
    let told = show::text(&report, Style::Plain);
    assert!(
        told.starts_with("No partitions. Make one with lwkctl create"),
        "{told}"
    );
    assert!(told.contains("No jobs."), "{told}");
    report.armed = false;
    let told = show::text(&report, Style::Plain);
    assert!(told.contains("boot with lwkcpus="), "{told}");
    assert_eq!(noise::text(&report, Style::Plain), "No LWK CPUs.\n");
}

#[test]
fn one_partition_alone_has_its_jobs_and_cpus() {
    let mut all = report(Detail::Owners);
    all.retain_partition(1);
    insta::assert_snapshot!(show::text(&all, Style::Plain));
}

#[test]
fn list_json() {
    let list = PartitionsReport::new(&state());
    insta::assert_snapshot!(serde_json::to_string_pretty(&list).expect("serializable"));
}

#[test]
fn saved_file() {
    insta::assert_snapshot!(lwkctl::config::text(&state()).expect("serializable"));
}
