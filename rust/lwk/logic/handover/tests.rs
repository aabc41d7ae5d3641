// SPDX-License-Identifier: GPL-2.0
//! Every pattern of failures, against a model of what Linux does with a CPU.

use super::*;

/// A CPU as Linux sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cpu {
    is_online: bool,
    is_active: bool,
    is_isolated: bool,
    is_quiet: bool,
    has_no_irqs: bool,
    hand: Hand,
}

/// One of Linux.
const LINUX: Cpu = Cpu {
    is_online: true,
    is_active: true,
    is_isolated: false,
    is_quiet: false,
    has_no_irqs: false,
    hand: Hand::Linux,
};

/// One of the LWK.
const LWK: Cpu = Cpu {
    is_online: true,
    is_active: false,
    is_isolated: true,
    is_quiet: true,
    has_no_irqs: true,
    hand: Hand::Lwk,
};

/// How a step that takes a CPU on or off line fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// Before the CPU is made inactive, or after it was to be made active.
    Early,
    /// After that, so that Linux goes back over it.
    Late,
}

/// Fails at the calls whose bits are set.
struct Model {
    cpu: Cpu,
    failing: u32,
    nr_calls: u32,
    failure: Failure,
    nr_failed: u32,
}

impl Model {
    fn new(cpu: Cpu, failing: u32, failure: Failure) -> Self {
        Self {
            cpu,
            failing,
            nr_calls: 0,
            failure,
            nr_failed: 0,
        }
    }

    fn set(&mut self, hand: Option<Hand>) {
        self.cpu.hand = hand.unwrap_or(self.cpu.hand);
        self.check();
    }

    fn check(&self) {
        let cpu = &self.cpu;
        assert!(
            !(cpu.hand.is_owned() && cpu.is_active),
            "owned and active: {cpu:?}"
        );
        assert!(
            !(cpu.is_isolated && cpu.is_active),
            "isolated and active: {cpu:?}"
        );
    }

    /// What `sched_cpu_activate()` and `sched_cpu_deactivate()` do.
    fn hotplug(&mut self, is_up: bool, fails: bool) {
        if !is_up {
            assert!(!self.cpu.hand.is_pinned(), "taken down: {:?}", self.cpu);
        }
        assert_ne!(self.cpu.is_online, is_up);
        self.cpu.is_active = match (is_up, fails) {
            (true, false) => !self.cpu.hand.is_inactive(),
            (false, true) if self.failure == Failure::Early => self.cpu.is_active,
            (false, true) => !self.cpu.hand.is_inactive(),
            (true, true) | (false, false) => false,
        };
        self.cpu.is_online = is_up != fails;
        self.check();
    }

    fn carry_out(&mut self, step: Step, to: Side, fails: bool) {
        let is_lwk = to == Side::Lwk;
        match step {
            Step::Down => return self.hotplug(!is_lwk, fails),
            Step::Up => return self.hotplug(is_lwk, fails),
            _ if fails => {}
            Step::Quiet => self.cpu.is_quiet = is_lwk,
            Step::NoIrqs => self.cpu.has_no_irqs = is_lwk,
            Step::Isolated => {
                assert!(!self.cpu.is_online, "{:?}", self.cpu);
                self.cpu.is_isolated = is_lwk;
            }
            Step::Owned => assert!(!self.cpu.is_online, "{:?}", self.cpu),
        }
        self.check();
    }
}

impl Porter for Model {
    type Error = ();

    fn step(&mut self, _: CpuId, step: Step, to: Side) -> Result<(), ()> {
        self.set(Hand::before(step, to));
        // What cannot fail does not.
        let can_fail = !matches!(step, Step::Isolated | Step::Owned);
        let fails = can_fail && self.failing >> self.nr_calls & 1 == 1;
        self.nr_calls += u32::from(can_fail);
        self.nr_failed += u32::from(fails);
        self.carry_out(step, to, fails);
        if fails {
            self.set(Hand::after_failure(step, to));
            return Err(());
        }
        self.set(Hand::after(step, to));
        Ok(())
    }

    fn failed(&mut self, _: CpuId, _: Step, _: Side, (): ()) {}
}

fn cpu() -> CpuId {
    CpuId::new(3).expect("a CPU")
}

/// Moves a CPU and brings it home if that fails, for each pattern of failures.
fn for_each_pattern(start: Cpu, home: Side, to: Side, check: impl Fn(&Model, Result<(), Side>)) {
    for failure in [Failure::Early, Failure::Late] {
        for failing in 0..1 << 12 {
            let mut model = Model::new(start, failing, failure);
            let mut place = home.place();
            let result = go(&mut model, cpu(), &mut place, to)
                .map_err(|_| go_home(&mut model, cpu(), &mut place, home));
            assert!(model.nr_calls <= 12, "{} calls", model.nr_calls);
            if result.is_ok() {
                assert_eq!(place, to.place());
            }
            check(&model, result);
        }
    }
}

#[test]
fn a_failure_leaves_the_cpu_with_linux_as_it_was() {
    for_each_pattern(
        LINUX,
        Side::Linux,
        Side::Lwk,
        |model, result| match result {
            Ok(()) => assert_eq!(model.cpu, LWK),
            Err(_) if model.nr_failed == 1 => {
                assert_eq!((result, model.cpu), (Err(Side::Linux), LINUX))
            }
            Err(side) => settled(model, side),
        },
    );
}

#[test]
fn a_failure_leaves_the_cpu_with_the_lwk_as_it_was() {
    for_each_pattern(LWK, Side::Lwk, Side::Linux, |model, result| match result {
        Ok(()) => assert_eq!(model.cpu, LINUX),
        Err(_) if model.nr_failed == 1 => assert_eq!((result, model.cpu), (Err(Side::Lwk), LWK)),
        Err(side) => settled(model, side),
    });
}

/// The failure of another CPU brings one home that has arrived already.
#[test]
fn who_has_arrived_goes_home_too() {
    for failing in 0..1 << 12 {
        for (start, home) in [(LWK, Side::Linux), (LINUX, Side::Lwk)] {
            let away = match home {
                Side::Linux => Side::Lwk,
                Side::Lwk => Side::Linux,
            };
            let mut model = Model::new(start, failing, Failure::Late);
            let side = go_home(&mut model, cpu(), &mut away.place(), home);
            if model.nr_failed == 0 {
                assert_eq!(side, home);
            }
            settled(&model, side);
        }
    }
}

/// Whatever failed, the CPU is wholly of one side; only comforts may be missing.
fn settled(model: &Model, side: Side) {
    let cpu = &model.cpu;
    match side {
        Side::Lwk => assert!(
            cpu.hand == Hand::Lwk && cpu.is_online && !cpu.is_active && cpu.is_isolated,
            "{cpu:?}"
        ),
        Side::Linux => assert!(
            cpu.hand == Hand::Linux && cpu.is_active == cpu.is_online && !cpu.is_isolated,
            "{cpu:?}"
        ),
    }
}

#[test]
fn only_a_settled_cpu_of_the_lwk_is_pinned() {
    let hands = [Hand::Linux, Hand::Arrives, Hand::Lwk, Hand::Leaves];
    let flags = hands.map(|hand| (hand.is_owned(), hand.is_inactive(), hand.is_pinned()));
    assert_eq!(
        flags,
        [
            (false, false, false),
            (true, true, false),
            (true, true, true),
            (false, true, false)
        ]
    );
}
