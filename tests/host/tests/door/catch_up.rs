// SPDX-License-Identifier: GPL-2.0
//! One CPU that comes from user mode, NMIs at any moment, and one sender that has it forget an address.
//!
//! The sender leaves the work, then looks where the CPU is; it uses the address for something else once it knows that the
//! CPU will not use it any more. Whether the CPU interrupts, flushes and clears in the right order is what is modelled:
//! neither the way into the kernel nor an NMI may get to its body with the old translation once the sender is done.

use super::Space;

/// What the model leaves out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// An NMI that finds the CPU in the kernel thinks that it has caught up.
    NmiTrustsTheKernel,
    /// The bit goes before the flush.
    ClearsFirst,
    /// The sender looks before it leaves the work.
    LooksFirst,
}

/// The steps of who comes in; an NMI skips the first if the kernel was noted already.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Step {
    Note,
    Read,
    Work,
    Finish,
    Body,
}

/// Who comes in, how far it is, and whether it has found work.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Way {
    step: Step,
    found: bool,
}

impl Way {
    const OUTSIDE: Way = Way {
        step: Step::Note,
        found: false,
    };

    fn at(step: Step) -> Way {
        Way { step, found: false }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct State {
    /// The CPU itself, and an NMI in which it is, with whether it was the NMI that noted "in the kernel".
    cpu: Way,
    nmi: Option<(Way, bool)>,
    /// Has noted that it is in the kernel.
    noted: bool,
    /// Work was left for it.
    bit: bool,
    /// Has the old translation.
    stale: bool,
    /// An interrupt is on its way, for which the sender waits.
    interrupt: bool,
    /// Steps of the sender; 3 is done.
    sender: u8,
    /// What the sender saw when it looked.
    saw_user: bool,
    /// NMIs that may still come.
    nmis: u8,
    /// The old translation was used after the sender was done.
    misused: bool,
}

fn advance(state: &State, way: Way, flaw: Flaw) -> State {
    let mut next = state.clone();
    let mut way = way;
    match way.step {
        Step::Note => {
            next.noted = true;
            way.step = Step::Read;
        }
        Step::Read => {
            way.found = state.bit;
            way.step = if state.bit { Step::Work } else { Step::Body };
            if flaw == Flaw::ClearsFirst {
                next.bit = false;
            }
        }
        Step::Work => {
            next.stale = false;
            way.step = Step::Finish;
        }
        Step::Finish => {
            next.bit = false;
            way.step = Step::Body;
        }
        Step::Body => next.misused |= state.stale && state.sender == 3,
    }
    match &mut next.nmi {
        Some((nmi, _)) => *nmi = way,
        None => next.cpu = way,
    }
    next
}

fn next(state: &State, flaw: Flaw) -> Vec<State> {
    let mut all = Vec::new();
    // The CPU, or the NMI in which it is.
    match state.nmi {
        Some((way, noted)) => {
            all.push(advance(state, way, flaw));
            if way.step == Step::Body {
                let mut left = state.clone();
                left.nmi = None;
                left.noted &= !noted;
                all.push(left);
            }
        }
        None => {
            all.push(advance(state, state.cpu, flaw));
            if state.cpu.step == Step::Body {
                let mut out = state.clone();
                out.cpu = Way::OUTSIDE;
                out.noted = false;
                all.push(out);
                if state.interrupt {
                    let mut served = state.clone();
                    served.interrupt = false;
                    served.stale = false;
                    all.push(served);
                }
            }
            if state.nmis > 0 {
                let mut came = state.clone();
                came.nmis -= 1;
                let first = match (state.noted, flaw) {
                    (false, _) => Step::Note,
                    (true, Flaw::NmiTrustsTheKernel) => Step::Body,
                    (true, _) => Step::Read,
                };
                came.nmi = Some((Way::at(first), !state.noted));
                all.push(came);
            }
        }
    }
    // The sender.
    let mut sent = state.clone();
    let (leave, look) = if flaw == Flaw::LooksFirst {
        (1, 0)
    } else {
        (0, 1)
    };
    match state.sender {
        step if step == leave => {
            sent.bit = true;
            sent.sender += 1;
        }
        step if step == look => {
            sent.saw_user = !state.noted;
            sent.sender += 1;
        }
        2 if state.saw_user => sent.sender = 3,
        // It sends the interrupt once, and is done when that was served.
        2 if !state.interrupt => {
            sent.interrupt = true;
            sent.sender = 4;
        }
        4 if !state.interrupt => sent.sender = 3,
        _ => return all,
    }
    all.push(sent);
    all
}

fn misuse(flaw: Flaw) -> Option<State> {
    let first = State {
        cpu: Way::OUTSIDE,
        nmi: None,
        noted: false,
        bit: false,
        stale: true,
        interrupt: false,
        sender: 0,
        saw_user: false,
        nmis: 2,
        misused: false,
    };
    let space = Space::explore(first, |state| next(state, flaw));
    assert!(space.states.len() > 100, "{} states", space.states.len());
    assert!(
        space.stuck(|state| state.sender == 3).is_empty(),
        "the sender waits for ever"
    );
    space.find(|state| state.misused).cloned()
}

#[test]
fn nobody_in_the_kernel_uses_what_was_to_be_forgotten() {
    assert_eq!(misuse(Flaw::None), None);
}

#[test]
fn an_nmi_before_the_cpu_has_caught_up_must_do_it() {
    assert!(misuse(Flaw::NmiTrustsTheKernel).is_some());
}

#[test]
fn the_bit_must_stay_until_the_work_is_done() {
    assert!(misuse(Flaw::ClearsFirst).is_some());
}

#[test]
fn a_sender_must_leave_the_work_before_it_looks() {
    assert!(misuse(Flaw::LooksFirst).is_some());
}
