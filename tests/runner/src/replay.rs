// SPDX-License-Identifier: GPL-2.0
//! Runs that are made of chance: how long the boot line wants them, and how to have a failed one again.

use std::time::Duration;

/// The time that `lwktest.seconds=` adds to the limit of a machine.
pub(crate) fn asked_time(words: &str) -> Duration {
    let mut seconds = words
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("lwktest.seconds="))
        .filter_map(|text| text.parse().ok());
    Duration::from_secs(seconds.next_back().unwrap_or(0))
}

/// What to type to have a run again whose console log this is, if its guest told of a seed.
pub(crate) fn command(log: &str, boot: &str) -> Option<String> {
    let (_, seed) = log
        .lines()
        .find_map(|line| line.split_once("lwktest: fuzz seed "))?;
    let seed = seed.split_whitespace().next()?;
    // "lwktest: fuzz at admin 12, meddler 34, ..."
    let steps = log
        .lines()
        .rev()
        .find_map(|line| line.split_once("lwktest: fuzz at "));
    let steps = steps.map_or("", |(_, steps)| steps).split(',');
    let last = steps
        .filter_map(|step| step.split_whitespace().last()?.parse::<u64>().ok())
        .max();
    let ops = last.map_or(String::new(), |last| format!(" OPS={}", last + 1));
    Some(format!("make fuzz SEED={seed}{ops} BOOT={boot}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_time_counts() {
        assert_eq!(
            asked_time("a lwktest.seconds=5 lwktest.seconds=7"),
            Duration::from_secs(7)
        );
        assert_eq!(asked_time("lwktest.seconds=x"), Duration::ZERO);
    }

    #[test]
    fn a_failed_run_tells_seed_and_steps() {
        let log = "[ 1.0] lwktest: fuzz seed 9 for 20 s, workers a b\n[ 2.0] lwktest: fuzz at a 4, b 17\n\
                   [ 3.0] lwktest: fuzz at a 12, b 34\nBUG\n";
        assert_eq!(
            command(log, "fuzz").as_deref(),
            Some("make fuzz SEED=9 OPS=35 BOOT=fuzz")
        );
        assert_eq!(command("nothing", "fuzz"), None);
    }
}
