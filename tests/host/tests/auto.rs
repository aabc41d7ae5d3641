// SPDX-License-Identifier: GPL-2.0
//! `--auto` on made-up machines: the rules hold whatever the machine looks like.

use host_tests::cpu;
use host_tests::machine::{Numbering, Plan};
use lwk::auto::{propose, AutoError, Proposal, Share};
use lwk::Topology;
use lwk_logic::logic::cpuset::CpuSet;
use proptest::prelude::*;
use proptest::sample::select;

fn set(list: &str) -> CpuSet {
    list.parse().expect("a list of the test")
}

fn read(plan: &Plan) -> Topology {
    Topology::read(plan.build().path()).expect("a machine that can be read")
}

fn told(plan: &Plan, share: &str) -> String {
    let share = share.parse().expect("a share of the test");
    match propose(&read(plan), &CpuSet::EMPTY, None, share) {
        Ok(Proposal { cpus, service }) => format!("{cpus} by {service}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn machines_of_many_shapes_are_read_and_shared_out() {
    use Numbering::{Far, Near};
    let cases: [(&[u32], u32, Numbering, &str, &str); 12] = [
        (&[4], 1, Near, "all", "1-3 by 0"),
        (&[4], 1, Near, "2", "2-3 by 0"),
        (&[4], 2, Near, "all", "2-7 by 0"),
        (&[4], 2, Far, "all", "1-3,5-7 by 0"),
        (&[4], 2, Far, "50%", "2-3,6-7 by 0"),
        (&[2, 2], 2, Near, "all", "2-3,6-7 by 0,4"),
        (&[2, 2], 2, Far, "all", "1,3,5,7 by 0,2"),
        (&[4, 4], 1, Near, "4", "2-3,6-7 by 0,4"),
        (&[2, 6], 1, Near, "4", "1,5-7 by 0,2"),
        (
            &[4, 4, 4, 4],
            1,
            Near,
            "8",
            "2-3,6-7,10-11,14-15 by 0,4,8,12",
        ),
        (&[16, 16], 4, Near, "50%", "32-63,96-127 by 0,64"),
        (&[1], 2, Near, "all", "cannot choose CPUs"),
    ];
    for (cores, threads, numbering, share, wanted) in cases {
        let told = told(&Plan::new(cores, threads, numbering), share);
        assert!(
            told.starts_with(wanted),
            "{cores:?}x{threads} {numbering:?} {share}: {told}"
        );
    }
}

#[test]
fn threads_off_line_make_smaller_cores() {
    let mut plan = Plan::new(&[4], 2, Numbering::Near);
    plan.offline = set("3,7");
    assert_eq!(told(&plan, "all"), "2,4-6 by 0");
    assert_eq!(told(&plan, "3"), "4-6 by 0");
    plan.offline = set("0");
    assert_eq!(
        told(&plan, "all"),
        "2-7 by 1",
        "the first core stays with its other thread"
    );
}

/// Machines with up to four nodes, of which some CPUs are off line and some in use.
fn any_machine() -> impl Strategy<Value = (Plan, CpuSet)> {
    let cores = prop::collection::vec(1..6_u32, 1..5);
    let numbering = select(vec![Numbering::Near, Numbering::Far]);
    (cores, 1..4_u32, numbering).prop_flat_map(|(cores, threads, numbering)| {
        let plan = Plan::new(&cores, threads, numbering);
        let some = move |most: u32| {
            let nr_cpus = plan.nr_cpus();
            let numbers = prop::collection::btree_set(1..nr_cpus.max(2), 0..=most as usize);
            numbers.prop_map(move |numbers| -> CpuSet {
                numbers
                    .into_iter()
                    .filter(|n| *n < nr_cpus)
                    .map(cpu)
                    .collect()
            })
        };
        let plan = Plan::new(&cores, threads, numbering);
        (some(3), some(6)).prop_map(move |(offline, used)| {
            let mut plan = plan.clone();
            plan.offline = offline;
            (plan, used)
        })
    })
}

/// Shares of every kind.
fn any_share() -> impl Strategy<Value = Share> {
    prop_oneof![
        Just(Share::All),
        (1..40_u32).prop_filter_map("zero", |n| Some(Share::Count(n.try_into().ok()?))),
        (1..=100_u32).prop_map(Share::Percent),
    ]
}

proptest! {
    #[test]
    fn a_proposal_keeps_the_rules((plan, used) in any_machine(), share in any_share()) {
        let topology = plan.topology();
        let Ok(Proposal { cpus, service }) = propose(&topology, &used, None, share) else {
            return Ok(());
        };
        prop_assert!(!cpus.is_empty());
        prop_assert!(cpus.is_subset(&topology.online) && service.is_subset(&topology.online));
        prop_assert!(!cpus.intersects(&used) && !service.intersects(&used) && !cpus.intersects(&service));
        prop_assert!(!cpus.contains(cpu(0)), "CPU 0 stays");
        prop_assert!(!cpus.intersects(&plan.core(0)), "the first core stays");
        for core in &topology.cores {
            let taken = core.threads.intersection(&cpus);
            prop_assert!(taken.is_empty() || taken == core.threads, "core {} is split", core.threads);
        }
        for node in topology.nodes() {
            let of = |set: &CpuSet| {
                let cores = topology.cores.iter().filter(|core| core.node == node);
                cores.map(|core| core.threads.intersection(set).len()).sum::<u32>()
            };
            prop_assert_eq!(of(&service) > 0, of(&cpus) > 0, "service where there are LWK CPUs, and only there");
            prop_assert!(of(&service) <= 1);
        }
        match share {
            Share::All => {}
            Share::Count(count) => prop_assert_eq!(cpus.len(), count.get()),
            Share::Percent(percent) => prop_assert!(cpus.len() * 100 <= topology.online.len() * percent),
        }
    }

    #[test]
    fn whatever_is_offered_can_be_had((plan, used) in any_machine(), count in 1..40_u32) {
        let topology = plan.topology();
        let ask = |n: u32| {
            let count = n.try_into().expect("not zero");
            propose(&topology, &used, None, Share::Count(count))
        };
        match ask(count) {
            Err(AutoError::TooFew { most, .. }) => {
                prop_assert!(most < count);
                let all = propose(&topology, &used, None, Share::All);
                prop_assert_eq!(all.map(|all| all.cpus.len()), Ok(most));
            }
            Err(AutoError::NotWhole { below, .. }) if below > 0 => {
                prop_assert_eq!(ask(below).map(|had| had.cpus.len()), Ok(below));
            }
            _ => {}
        }
    }

    #[test]
    fn equal_nodes_give_equally(cores in 2..8_u32, nr_nodes in 2..5_usize, threads in 1..3_u32, each in 1..7_u32) {
        let plan = Plan::new(&vec![cores; nr_nodes], threads, Numbering::Near);
        prop_assume!(each < cores);
        let nr = each * threads * u32::try_from(nr_nodes).expect("few");
        let share = Share::Count(nr.try_into().expect("not zero"));
        let proposal = propose(&plan.topology(), &CpuSet::EMPTY, None, share).expect("enough cores");
        for node in 0..u32::try_from(nr_nodes).expect("few") {
            let own = (0..plan.cores.iter().sum()).filter(|core| plan.node(*core) == node);
            let taken: u32 = own.map(|core| plan.core(core).intersection(&proposal.cpus).len()).sum();
            prop_assert_eq!(taken, each * threads);
        }
    }
}

proptest! {
    // Files take their time.
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn the_files_of_a_machine_tell_its_topology((plan, _) in any_machine()) {
        prop_assert_eq!(read(&plan), plan.topology());
    }
}
