// SPDX-License-Identifier: GPL-2.0
//! Runs the recorded command lines of `tests/cmd`.

#[test]
fn recorded_command_lines() {
    trycmd::TestCases::new()
        .env("COLUMNS", "100")
        .case("tests/cmd/*.trycmd");
}
