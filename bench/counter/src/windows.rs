// SPDX-License-Identifier: GPL-2.0
//! Which window is open, and what markers in a wrong order mean.
//!
//! ```text
//!            OPEN                 CLOSE: stored
//! closed ───────────▶ open ────────────────────▶ closed
//!   │ CLOSE:           │ OPEN: an error,   CANCEL: thrown away ─▶ closed
//!   ▼ an error         ▼ the window begins anew
//! ```
//!
//! Who cancels need not know whether a program died in its window or before.

use crate::block::Marker;

/// What a marker makes the counter do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// All vCPUs begin to count.
    Begin,
    /// What they counted is a window.
    Store,
    /// Nothing.
    Ignore,
}

/// The state of windows.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    is_open: bool,
    nr_stored: usize,
    errors: Vec<String>,
}

impl Windows {
    /// Takes a marker of a vCPU.
    pub(crate) fn step(&mut self, marker: Marker, vcpu: u32) -> Step {
        let was_open = self.is_open;
        self.is_open = marker == Marker::Open;
        match (marker, was_open) {
            (Marker::Open, true) => {
                self.error(format!("vCPU {vcpu} opened it again while it was open"));
                Step::Begin
            }
            (Marker::Open, false) => Step::Begin,
            (Marker::Close, true) => {
                self.nr_stored += 1;
                Step::Store
            }
            (Marker::Close, false) => {
                self.error(format!("vCPU {vcpu} closed it without opening it"));
                Step::Ignore
            }
            (Marker::Cancel, _) => Step::Ignore,
        }
    }

    /// Takes note of what makes all windows worthless.
    pub(crate) fn spoil(&mut self, why: &str) {
        self.errors.push(why.to_owned());
    }

    /// The end of the run: every error in it.
    pub(crate) fn end(&mut self) -> Vec<String> {
        if std::mem::take(&mut self.is_open) {
            self.error("still open at the end".to_owned());
        }
        std::mem::take(&mut self.errors)
    }

    fn error(&mut self, what: String) {
        // A guest that does it in a loop must not fill the host's memory.
        if self.errors.len() < 100 {
            self.errors
                .push(format!("window {}: {what}", self.nr_stored));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Marker::{Cancel, Close, Open};

    fn steps(markers: &[Marker]) -> (Vec<Step>, Vec<String>) {
        let mut windows = Windows::default();
        let steps = markers.iter().map(|&marker| windows.step(marker, 1));
        (steps.collect(), windows.end())
    }

    #[test]
    fn stores_what_was_opened_and_closed() {
        let (steps, errors) = steps(&[Open, Close, Open, Cancel, Open, Close]);
        let want = [
            Step::Begin,
            Step::Store,
            Step::Begin,
            Step::Ignore,
            Step::Begin,
            Step::Store,
        ];
        assert_eq!(steps, want);
        assert!(errors.is_empty());
    }

    #[test]
    fn tells_of_markers_in_a_wrong_order() {
        let (got, errors) = steps(&[Close, Open, Open, Close, Cancel]);
        let want = [
            Step::Ignore,
            Step::Begin,
            Step::Begin,
            Step::Store,
            Step::Ignore,
        ];
        assert_eq!(got, want);
        let want = [
            "window 0: vCPU 1 closed it without opening it",
            "window 0: vCPU 1 opened it again while it was open",
        ];
        assert_eq!(errors, want);
        assert_eq!(steps(&[Open]).1, ["window 0: still open at the end"]);
    }
}
