// SPDX-License-Identifier: GPL-2.0
//! stop_machine() with one Linux CPU and two of the LWK, all of which make calls to each other meanwhile.
//!
//! What Linux does is modelled as far as it waits: a call with an interrupt, for whose end the caller spins with
//! preemption off; one that nobody waits for, but that must have ended before its sender's next; and the states of
//! multi_cpu_stop(). A CPU that spins takes no step, so that spinning for ever is a state from which the end cannot be
//! reached.

use super::Space;

const CPUS: usize = 3;
/// Takes part always, and is where the function runs if no CPU is named.
const LINUX: usize = 0;
const LWK: [usize; 2] = [1, 2];

/// How the left-out CPUs are held.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// By the last CPU that takes part, all or none, if no call is on its way to them.
    AllOrNone,
    /// The same, whatever is on its way.
    WhateverIsOnItsWay,
    /// Each by itself: those in the kernel take part in the next round, the others stay held meanwhile.
    EachByItself,
    /// From the start.
    FromTheStart,
    /// As the first, and let go by the caller, which first must get its CPU back.
    ToTheEnd,
}

/// What the caller wants, and what else may happen.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Scene {
    rule: Rule,
    /// The caller names this CPU; the function is done there.
    named: usize,
    /// NMIs wait at the door, too.
    nmis_wait: bool,
    /// LINUX panics somewhere in the middle and has the others take an NMI.
    panics: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd)]
enum Phase {
    Prepare,
    DisableIrq,
    Run,
    Exit,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum At {
    User,
    /// In the kernel for everybody else; goes on as soon as it is not held. Interrupts are off.
    Door,
    Kernel,
    /// Waits with preemption off until that CPU has served its call.
    Calls(usize),
    /// In the stopper thread, which has acknowledged that phase.
    Stopper(Phase),
    /// Has taken the NMI of a panic.
    Halted,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct State {
    at: [At; CPUS],
    /// Calls that wait for each CPU, by sender: 1 if somebody waits for it, 2 if nobody does.
    calls: [[u8; CPUS]; CPUS],
    held: [bool; CPUS],
    /// The stopper of each CPU has work.
    work: [bool; CPUS],
    takes_part: [bool; CPUS],
    /// None before the first round and after the last.
    phase: Option<Phase>,
    acked: u8,
    /// The next CPU that the last one to acknowledge tries to hold, with interrupts off.
    holding: Option<(usize, usize)>,
    /// A round that found somebody in the kernel.
    failed: bool,
    /// All have left the round, of which the caller is still to hear.
    has_ended: bool,
    done_on: [bool; CPUS],
    is_over: bool,
    panicked: bool,
    /// Calls that may still be made.
    budget: u8,
}

impl State {
    fn first() -> State {
        State {
            at: [At::Kernel, At::User, At::User],
            calls: [[0; CPUS]; CPUS],
            held: [false; CPUS],
            work: [false; CPUS],
            takes_part: [false; CPUS],
            phase: None,
            acked: 0,
            holding: None,
            failed: false,
            has_ended: false,
            done_on: [false; CPUS],
            is_over: false,
            panicked: false,
            budget: 3,
        }
    }

    fn has_calls(&self, cpu: usize) -> bool {
        self.calls[cpu] != [0; CPUS]
    }

    /// Has the sender's one entry for calls come back?
    fn entry_is_free(&self, sender: usize) -> bool {
        self.calls.iter().all(|calls| calls[sender] != 2)
    }

    fn in_user(&self, cpu: usize) -> bool {
        self.at[cpu] == At::User
    }

    fn nr_taking_part(&self) -> u8 {
        self.takes_part.iter().map(|part| u8::from(*part)).sum()
    }

    /// A round begins with those that must take part.
    fn begin_round(&mut self) {
        self.phase = Some(Phase::Prepare);
        self.acked = 0;
        self.failed = false;
        self.work = self.takes_part;
    }

    fn begin(&mut self, scene: Scene) {
        for cpu in 0..CPUS {
            let left_out = cpu != LINUX && cpu != scene.named && self.in_user(cpu);
            self.takes_part[cpu] = !left_out;
            self.held[cpu] = left_out && scene.rule == Rule::FromTheStart;
        }
        self.begin_round();
    }

    fn let_go(&mut self) {
        self.held = [false; CPUS];
    }

    /// The last one has acknowledged the phase.
    fn all_acked(&mut self, scene: Scene, by: usize) {
        self.acked = 0;
        self.phase = match self.phase {
            Some(Phase::Prepare) if scene.rule != Rule::FromTheStart => {
                self.holding = Some((by, 0));
                return;
            }
            Some(Phase::Prepare) => Some(Phase::DisableIrq),
            Some(Phase::DisableIrq) => Some(Phase::Run),
            Some(Phase::Run) => {
                if scene.rule != Rule::ToTheEnd {
                    self.let_go();
                }
                Some(Phase::Exit)
            }
            _ => None,
        };
    }

    /// One step of the loop that holds CPUs.
    fn hold(&mut self, scene: Scene, by: usize, cpu: usize) {
        if cpu < CPUS {
            self.holding = Some((by, cpu + 1));
            if self.takes_part[cpu] {
                return;
            }
            let still = self.in_user(cpu) || (self.at[cpu] == At::Door && self.held[cpu]);
            let is_quiet = scene.rule == Rule::WhateverIsOnItsWay || !self.has_calls(cpu);
            self.held[cpu] = true;
            if !still || !is_quiet {
                self.failed = true;
                // Remembered for the next round; in this one it does not count.
                self.done_on[cpu] = true;
                if scene.rule == Rule::EachByItself {
                    self.held[cpu] = false;
                }
            }
            return;
        }
        self.holding = None;
        if self.failed && scene.rule != Rule::EachByItself {
            self.let_go();
        }
        self.phase = Some(if self.failed {
            Phase::Exit
        } else {
            Phase::DisableIrq
        });
    }

    /// The caller, a task of LINUX, goes on.
    fn end(&mut self) {
        self.has_ended = false;
        if self.failed {
            for cpu in 0..CPUS {
                self.takes_part[cpu] |= self.done_on[cpu];
                self.done_on[cpu] = false;
            }
            self.begin_round();
        } else {
            self.let_go();
            self.is_over = true;
        }
    }
}

/// Whether the CPU takes interrupts.
fn takes_interrupts(state: &State, cpu: usize) -> bool {
    if state.holding.is_some_and(|(by, _)| by == cpu) {
        return false;
    }
    match state.at[cpu] {
        At::Kernel | At::Calls(_) => true,
        At::Stopper(phase) => phase == Phase::Prepare,
        At::User | At::Door | At::Halted => false,
    }
}

/// What the CPU can do next.
fn steps(state: &State, scene: Scene, cpu: usize, all: &mut Vec<State>) {
    let mut step = |change: &dyn Fn(&mut State)| {
        let mut next = state.clone();
        change(&mut next);
        all.push(next);
    };
    if takes_interrupts(state, cpu) && state.has_calls(cpu) {
        step(&|next| next.calls[cpu] = [0; CPUS]);
    }
    match state.at[cpu] {
        // For a system call or an interrupt.
        At::User => step(&|next| next.at[cpu] = At::Door),
        At::Door if !state.held[cpu] => step(&|next| next.at[cpu] = At::Kernel),
        At::Kernel => {
            if state.work[cpu] {
                step(&|next| acknowledge(next, scene, cpu));
            } else if LWK.contains(&cpu) && !state.has_calls(cpu) {
                step(&|next| next.at[cpu] = At::User);
            }
            if cpu == LINUX && state.has_ended {
                step(&State::end);
            } else if cpu == LINUX && state.phase.is_none() && !state.is_over {
                step(&|next| next.begin(scene));
            }
            for to in (0..CPUS).filter(|to| *to != cpu) {
                if state.budget > 0 && state.entry_is_free(cpu) {
                    step(&|next| {
                        next.budget -= 1;
                        next.calls[to][cpu] = 1;
                        next.at[cpu] = At::Calls(to);
                    });
                    step(&|next| {
                        next.budget -= 1;
                        next.calls[to][cpu] = 2;
                    });
                }
            }
        }
        At::Calls(to) if state.calls[to][cpu] == 0 => step(&|next| next.at[cpu] = At::Kernel),
        At::Stopper(acked) => match state.holding {
            Some((by, at)) if by == cpu => step(&|next| next.hold(scene, cpu, at)),
            Some(_) => {}
            None if state.phase.is_none_or(|phase| phase > acked) => {
                // The function makes a call that nobody waits for, as taking a CPU off line may: its entry must be free.
                let runs = state.phase == Some(Phase::Run) && cpu == scene.named;
                // Who takes interrupts takes them at once, before it turns them off.
                let is_served = !takes_interrupts(state, cpu) || !state.has_calls(cpu);
                if is_served && (!runs || state.entry_is_free(cpu)) {
                    step(&|next| acknowledge(next, scene, cpu));
                }
            }
            None => {}
        },
        _ => {}
    }
}

/// The stopper thread acknowledges the phase that is on, and leaves after the last.
fn acknowledge(state: &mut State, scene: Scene, cpu: usize) {
    let Some(phase) = state.phase else {
        state.at[cpu] = At::Kernel;
        return;
    };
    state.work[cpu] = false;
    state.at[cpu] = At::Stopper(phase);
    if phase == Phase::Run && cpu == scene.named {
        state.done_on[cpu] = true;
    }
    if phase == Phase::Exit {
        state.at[cpu] = At::Kernel;
    }
    state.acked += 1;
    if state.acked == state.nr_taking_part() {
        let was_exit = phase == Phase::Exit;
        state.all_acked(scene, cpu);
        state.has_ended |= was_exit;
    }
}

fn next(state: &State, scene: Scene) -> Vec<State> {
    let mut all = Vec::new();
    for cpu in 0..CPUS {
        if state.panicked {
            // Nobody does anything any more but take the NMI; who waits at the door can, unless it does so in an NMI.
            let waits_in_nmi = scene.nmis_wait && state.at[cpu] == At::User && state.held[cpu];
            if state.at[cpu] != At::Halted && !waits_in_nmi {
                let mut halted = state.clone();
                halted.at[cpu] = At::Halted;
                all.push(halted);
            }
        } else {
            steps(state, scene, cpu, &mut all);
        }
    }
    if scene.panics && !state.panicked {
        let mut panic = state.clone();
        panic.panicked = true;
        panic.at[LINUX] = At::Halted;
        all.push(panic);
    }
    all
}

fn scene(rule: Rule, named: usize) -> Scene {
    Scene {
        rule,
        named,
        nmis_wait: false,
        panics: false,
    }
}

fn space(scene: Scene) -> Space<State> {
    let space = Space::explore(State::first(), |state| next(state, scene));
    assert!(space.states.len() > 1000, "{} states", space.states.len());
    space
}

/// While the function may run all are stopped, in user mode, or at the door.
fn is_unsafe(state: &State) -> bool {
    let still = |cpu: usize| match state.at[cpu] {
        At::Stopper(_) | At::User => true,
        At::Door => state.held[cpu],
        _ => false,
    };
    state.phase == Some(Phase::Run) && state.holding.is_none() && !(0..CPUS).all(still)
}

/// A state from which the stop does not come to its end, and in which somebody waits for a CPU that is held.
fn stuck(scene: Scene) -> Option<State> {
    let space = space(scene);
    let waits = |state: &State| {
        let held = |to: usize| state.at[to] == At::Door && state.held[to];
        let for_held = |cpu: usize| {
            matches!(state.at[cpu], At::Calls(to) if held(to))
                || (0..CPUS).any(|to| held(to) && state.calls[to][cpu] == 2)
        };
        (0..CPUS).any(for_held)
    };
    let stuck = space.stuck(|state| state.is_over);
    stuck.into_iter().find(|state| waits(state)).cloned()
}

#[test]
fn a_stop_comes_to_its_end_and_nobody_is_in_the_kernel_meanwhile() {
    for named in 0..CPUS {
        let scene = scene(Rule::AllOrNone, named);
        let space = space(scene);
        assert_eq!(space.stuck(|state| state.is_over).first(), None);
        assert_eq!(space.find(is_unsafe), None);
        let forgotten = |state: &State| state.is_over && !state.done_on[named];
        assert_eq!(space.find(forgotten), None);
    }
}

#[test]
fn a_cpu_that_stands_still_from_the_start_keeps_a_caller_waiting_for_ever() {
    assert!(stuck(scene(Rule::FromTheStart, LINUX)).is_some());
}

#[test]
fn a_caller_that_lets_go_itself_may_not_get_its_cpu_for_ever() {
    assert!(stuck(scene(Rule::ToTheEnd, LINUX)).is_some());
}

#[test]
fn holding_some_while_others_take_part_keeps_a_caller_waiting_for_ever() {
    assert!(stuck(scene(Rule::EachByItself, LINUX)).is_some());
}

#[test]
fn a_call_that_is_on_its_way_to_a_held_cpu_keeps_its_sender_waiting_for_ever() {
    assert!(stuck(scene(Rule::WhateverIsOnItsWay, LINUX)).is_some());
}

#[test]
fn every_cpu_takes_the_nmi_of_a_panic() {
    let halted = |state: &State| state.at == [At::Halted; CPUS];
    let mut scene = scene(Rule::AllOrNone, LINUX);
    scene.panics = true;
    let lost = |scene| {
        let space = space(scene);
        let lost = space.stuck(|state| halted(state) || state.is_over);
        lost.first().copied().cloned()
    };
    assert_eq!(lost(scene), None);
    scene.nmis_wait = true;
    assert!(lost(scene).is_some());
}
