// SPDX-License-Identifier: GPL-2.0
//! The verification lines of HPC Challenge, without its timings.

use anyhow::{ensure, Result};

/// Words in the keys of the summary whose values are times or rates.
const TIMINGS: [&str; 9] = [
    "time",
    "Time",
    "flops",
    "GUPs",
    "GBs",
    "Latency",
    "Bandwidth",
    "Wtick",
    "STREAM_",
];

/// Keys of the summary that hold such a word and yet are the same in each run.
const NO_TIMINGS: [&str; 4] = [
    "STREAM_VectorSize",
    "STREAM_Threads",
    "MPIRandomAccess_TimeBound",
    "MPIRandomAccess_LCG_TimeBound",
];

/// How many times `PASSED` and `passed` belong in what is kept: five transposes, four tests of random access, one
/// linear system.
const PASSED: usize = 5 + 4 + 1;

/// The bound on the scaled residuals, as the input file sets it.
const THRESHOLD: f64 = 16.0;

/// Returns the lines of `hpccoutf.txt` that do not tell the time.
///
/// # Errors
///
/// A verification failed or is missing, or the program did not come to its end.
pub(crate) fn result(text: &str) -> Result<String> {
    let (tests, summary) = text
        .split_once("Begin of Summary section.")
        .unwrap_or((text, ""));
    let mut kept = String::new();
    for line in tests
        .lines()
        .filter_map(verification)
        .chain(summary.lines().filter_map(setting))
    {
        kept.push_str(&line);
        kept.push('\n');
    }
    let has = |line: &str| kept.lines().any(|kept| kept == line);
    ensure!(has("Success=1"), "no line \"Success=1\"");
    for line in [
        "MPIRandomAccess_Errors=0",
        "MPIRandomAccess_LCG_Errors=0",
        "PTRANS_residual=0",
        "Scaled residual is small: true",
    ] {
        ensure!(has(line), "no line {line:?}");
    }
    ensure!(
        text.contains("End of HPC Challenge tests."),
        "it did not reach its end"
    );
    ensure!(
        !text.contains("FAILED") && !text.contains("failed)"),
        "a verification failed"
    );
    let passed = kept.matches("PASSED").count() + kept.matches("(passed)").count();
    ensure!(
        passed == PASSED,
        "{passed} verifications passed where {PASSED} belong"
    );
    ensure!(
        tests.matches("Solution Validates").count() > 0,
        "STREAM was not validated"
    );
    Ok(kept)
}

/// Keeps a line of the tests that judges a result, without the columns of rates.
fn verification(line: &str) -> Option<String> {
    let line = line.trim();
    let words: Vec<&str> = line.split_whitespace().collect();
    // Columns: clock M N MB NB P Q TIME CHECK GB/s RESID. The lines of the CPU clock repeat those of the wall clock, but
    // stay out where that clock did not advance during the test.
    if let ["WALL", m, n, mb, nb, p, q, _, check, _, residual] = words.as_slice() {
        return Some(format!(
            "PTRANS {m} {n} {mb} {nb} {p} {q} {check} {residual}"
        ));
    }
    if let Some(residual) = line.strip_prefix("Scaled residual:") {
        // The factors of this test are random by the clock, so only the verdict can be compared.
        let within = residual
            .trim()
            .parse()
            .is_ok_and(|residual: f64| residual < THRESHOLD);
        return Some(format!("Scaled residual is small: {within}"));
    }
    let judges = [
        "Found ",
        "Node(s) with error",
        "max(|x-x0|)",
        "||Ax-b||",
        "Solution Validates",
    ];
    let tells =
        judges.iter().any(|start| line.starts_with(start)) || line.contains("residual checks");
    // The formula of the linear system's residual stands in the output too, before its value.
    (tells && !line.ends_with("* N )")).then(|| line.to_owned())
}

/// Keeps a line of the summary that is no timing.
fn setting(line: &str) -> Option<String> {
    let (key, _) = line.split_once('=')?;
    let timing = TIMINGS.iter().any(|word| key.contains(word)) && !NO_TIMINGS.contains(&key);
    (!timing).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Captured from the program of Debian 12 with two ranks and N = 300.
    const OUTPUT: &str = include_str!("../tests/hpccoutf.txt");

    #[test]
    fn verification_lines_stay_and_timings_go() {
        insta::assert_snapshot!(result(OUTPUT).unwrap());
    }

    #[test]
    fn other_timings_give_the_same_result() {
        let slower = OUTPUT
            .replacen(
                "Scaled residual: 0.0246664",
                "Scaled residual: 0.0183847",
                1,
            )
            .replace("HPL_time=0.", "HPL_time=9.")
            .replace("Real time used = 0", "Real time used = 7");
        assert_ne!(slower, OUTPUT);
        assert_eq!(result(&slower).unwrap(), result(OUTPUT).unwrap());
    }

    #[test]
    fn clock_that_did_not_advance_does_not_matter() {
        let coarse: String = OUTPUT
            .lines()
            .filter(|line| !line.starts_with("CPU  "))
            .collect::<Vec<_>>()
            .join("\n");
        assert!(coarse.len() < OUTPUT.len());
        assert_eq!(result(&coarse).unwrap(), result(OUTPUT).unwrap());
    }

    #[test]
    fn another_residual_gives_another_result() {
        let other = OUTPUT.replacen("HPL_RnormI=", "HPL_RnormI=4", 1);
        assert_ne!(result(&other).unwrap(), result(OUTPUT).unwrap());
    }

    #[test]
    fn failures_and_missing_ends_are_errors() {
        let cut = OUTPUT.split_at(OUTPUT.len() * 2 / 3).0.to_owned();
        let wrong = [
            OUTPUT.replacen("PASSED", "FAILED", 1),
            OUTPUT.replacen("Success=1", "Success=0", 1),
            OUTPUT.replacen("MPIRandomAccess_Errors=0", "MPIRandomAccess_Errors=12", 1),
            OUTPUT.replacen("(passed)", "(failed)", 1),
            OUTPUT.replacen("Scaled residual: 0.", "Scaled residual: 17.", 1),
            OUTPUT.replacen("End of HPC Challenge tests.", "", 1),
            OUTPUT.replace("Solution Validates", "Solution"),
            cut,
            String::new(),
        ];
        for (index, text) in wrong.iter().enumerate() {
            assert!(result(text).is_err(), "case {index}");
        }
    }
}
