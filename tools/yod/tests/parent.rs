// SPDX-License-Identifier: GPL-2.0
//! yod as a parent: how a program ends is how yod ends, and what it is sent arrives.
//!
//! Without the harness of tests, which has threads: a process that forks must not.

use nix::sys::signal::{kill, raise, SigSet, Signal};
use nix::unistd::{getpid, getppid};
use yod::parent::{split, End, Role};

/// Runs a program, which returns its exit status, as a child; returns how it ended.
fn end_of(program: impl FnOnce() -> u8) -> End {
    let mask = SigSet::thread_get_mask().expect("a mask");
    match split().expect("a process") {
        Role::Parent(parent) => {
            let end = parent.wait();
            // yod ends here; this goes on.
            mask.thread_set_mask().expect("a mask");
            end
        }
        Role::Child => std::process::exit(program().into()),
    }
}

/// The program of a test must not come back from a signal.
const SURVIVED: u8 = 99;

/// Dies of a signal.
fn die(cause: Signal) -> u8 {
    raise(cause).expect("a signal");
    SURVIVED
}

fn main() {
    assert_eq!(end_of(|| 0), End::Exited(0));
    assert_eq!(end_of(|| 42), End::Exited(42));
    for cause in [
        Signal::SIGKILL,
        Signal::SIGTERM,
        Signal::SIGUSR1,
        Signal::SIGABRT,
    ] {
        assert_eq!(end_of(|| die(cause)), End::Killed(cause));
        // One more process in between, which ends as its program did.
        let nested = end_of(|| end_of(|| die(cause)).follow());
        assert_eq!(nested, End::Killed(cause));
    }
    assert_eq!(end_of(|| end_of(|| 7).follow()), End::Exited(7));
    signals_are_passed_on();
    the_child_has_the_signals_of_yod();
    println!("test parent ... ok");
}

/// What the terminal sends to both only ends the program; what is sent to yod is passed on.
fn signals_are_passed_on() {
    for cause in [Signal::SIGTERM, Signal::SIGHUP] {
        let end = end_of(|| {
            kill(getppid(), Signal::SIGINT).expect("a signal");
            kill(getppid(), Signal::SIGQUIT).expect("a signal");
            kill(getppid(), cause).expect("a signal");
            // Until it comes back.
            nix::unistd::pause();
            SURVIVED
        });
        assert_eq!(end, End::Killed(cause));
    }
}

/// Nothing is blocked that was not before, and no signal waits.
fn the_child_has_the_signals_of_yod() {
    let before = SigSet::thread_get_mask().expect("a mask");
    let end = end_of(|| u8::from(SigSet::thread_get_mask() != Ok(before) || getpid() == getppid()));
    assert_eq!(end, End::Exited(0));
}
