// SPDX-License-Identifier: GPL-2.0
//! Fuzzing of everything that reads what people and machines wrote: boot lines, options, the file of partitions, structures
//! of the ABI, files of other machines.
//!
//! Inputs begin as good ones, made by generators that know the grammar, and are then damaged byte by byte. Nothing may
//! panic or overflow, each refusal is one line of text and changes nothing, and what is accepted is printed and read back
//! as the same.
//!
//! Usually each target runs for a moment with a seed of its own each time. `FUZZ_SECONDS=600` is for all targets together;
//! `FUZZ_SEED=N` runs the seed of a failure again, which that printed.

mod driver;
mod file;
mod lists;
mod machine;
mod memory;
mod options;

/// Checks that the text of a refusal is one line that says something.
pub(crate) fn check_line(line: &str) -> Result<(), proptest::test_runner::TestCaseError> {
    let is_good = line.len() > 5 && !line.contains(char::is_control);
    proptest::prop_assert!(is_good, "no line for a person: {:?}", line);
    Ok(())
}
