// SPDX-License-Identifier: GPL-2.0
//! Unit tests of the boot parameter.

use super::*;
use crate::logic::error::{Errno, EINVAL, ENODEV, EPERM};
use std::string::{String, ToString};

fn cpu(n: u32) -> CpuId {
    CpuId::new(n).expect("a CPU number of the test")
}

fn spec(text: &str) -> BootSpec {
    let mut spec = BootSpec::EMPTY;
    spec.parse_into(text.as_bytes(), 32)
        .expect("a boot line of the test");
    spec
}

/// Returns the error of a line, after which nothing of it nor of the line before is left.
fn refused(text: &str) -> String {
    let mut spec = spec("1.2-3:5");
    let error = spec
        .parse_into(text.as_bytes(), 16)
        .expect_err("a bad boot line");
    assert!(spec == BootSpec::EMPTY, "{spec}");
    error.to_string()
}

#[test]
fn mos_example() {
    let spec = spec("1.2-7,9:10.11,13,14");
    assert_eq!(spec.cpus().to_string(), "2-7,9,11,13-14");
    assert_eq!(spec.service().to_string(), "1,10");
    assert_eq!(spec.service_of(cpu(9)), Some(cpu(1)));
    assert_eq!(spec.service_of(cpu(14)), Some(cpu(10)));
    assert_eq!(spec.service_of(cpu(8)), None);
    assert_eq!(spec.service_of(cpu(1)), None);
    assert_eq!(spec.to_string(), "1.2-7,9:10.11,13-14");
}

#[test]
fn groups_without_service_and_service_without_group() {
    let spec = spec("20,22.:2-3 : 4:0.5\n");
    assert_eq!(spec.cpus().to_string(), "2-5");
    assert_eq!(spec.service().to_string(), "0,20,22");
    assert_eq!(
        (spec.service_of(cpu(4)), spec.service_of(cpu(5))),
        (None, Some(cpu(0)))
    );
    assert_eq!(spec.to_string(), "0.5:2-4:20,22.");
}

#[test]
fn one_service_cpu_may_serve_two_groups() {
    assert_eq!(spec("1.2:1.3").to_string(), "1.2-3");
    assert_eq!(spec("1.:1.3").to_string(), "1.3");
}

#[test]
fn words_of_cpu_lists_work() {
    assert_eq!(spec("0.1-N").cpus().to_string(), "1-31");
}

#[test]
fn empty_text_asks_for_nothing_and_forgets_the_last() {
    let mut spec = spec("1.2");
    spec.parse_into(b" \n", 8).expect("an empty line");
    assert!(spec == BootSpec::EMPTY && spec.is_empty());
    assert_eq!(spec.to_string(), "");
    assert_eq!(spec.check(&CpuSet::single(cpu(0)), cpu(0)), Ok(()));
}

#[test]
fn grammar_errors_name_the_place() {
    assert_eq!(refused(":"), "group 1 is empty");
    assert_eq!(refused("1:"), "group 2 is empty");
    assert_eq!(refused("1:::2"), "group 2 is empty");
    assert_eq!(
        refused("0-7:2/4"),
        "'2/4' has a stride, which ':' between groups rules out"
    );
    assert_eq!(refused("1.2.3"), "the group '1.2.3' has more than one dot");
    assert_eq!(
        refused(".3"),
        "the group '.3' has no service CPU before its dot"
    );
    assert_eq!(
        refused("."),
        "the group '.' has no service CPU before its dot"
    );
    assert_eq!(
        refused("1,2.3"),
        "the group '1,2.3' has more than one service CPU"
    );
    assert_eq!(refused("1.x"), "'x' is not a CPU or a range of CPUs");
    assert_eq!(refused("1.2,"), "element 2 of the CPU list is empty");
    assert_eq!(refused("auto"), "'auto' is not a CPU or a range of CPUs");
}

#[test]
fn a_cpu_has_one_role() {
    assert_eq!(refused("2-4:4-6"), "CPU 4 is an LWK CPU in two groups");
    assert_eq!(refused("1.2:3.2"), "CPU 2 is an LWK CPU in two groups");
    assert_eq!(
        refused("1.1-2"),
        "CPU 1 cannot be both LWK CPU and service CPU"
    );
    assert_eq!(
        refused("2.3:1.2"),
        "CPU 2 cannot be both LWK CPU and service CPU"
    );
    assert_eq!(refused("7,8."), "there is no LWK CPU, only service CPUs");
}

#[test]
fn machine_must_have_the_cpus_and_keep_one() {
    let eight = CpuSet::range(cpu(0), cpu(7));
    let check = |text: &str, boot: u32| {
        spec(text)
            .check(&eight, cpu(boot))
            .map_err(|e| e.to_string())
    };
    assert_eq!(check("0.1-7", 0), Ok(()));
    let no_nine = "CPU 9 does not exist (this machine has 0-7)";
    assert_eq!(check("0.1-7,9", 0), Err(no_nine.into()));
    assert_eq!(check("9.1-7", 0), Err(no_nine.into()));
    assert_eq!(check("0-7", 0), Err("no CPU would remain for Linux".into()));
    assert_eq!(
        check("1-6", 1),
        Err("CPU 1 keeps the time for Linux and cannot be an LWK CPU".into())
    );
    assert_eq!(
        refused("1.2-16"),
        "CPU 16 does not exist (this machine has 0-15)"
    );
    let mut sparse = eight;
    sparse.remove(cpu(3));
    assert_eq!(
        spec("0.3")
            .check(&sparse, cpu(0))
            .map_err(|e| e.to_string()),
        Err("CPU 3 does not exist (this machine has 7 CPUs up to 7)".into())
    );
}

#[test]
fn errno_follows_the_cause() {
    let errno = |text: &str| {
        let mut spec = BootSpec::EMPTY;
        spec.parse_into(text.as_bytes(), 8).map_err(|e| e.errno())
    };
    assert_eq!(errno("9"), Err(ENODEV));
    assert_eq!(errno("x"), Err(EINVAL));
    assert_eq!(errno("1."), Err(EINVAL));
    assert_eq!(BootError::NoLinuxCpu.errno(), EPERM);
}
