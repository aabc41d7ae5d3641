// SPDX-License-Identifier: GPL-2.0
//! Tells people what came of the runs: a table, the same as Markdown and JSON, and the picture of [`crate::chart`].

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::process::Command;

use anyhow::{Context, Result};
use comfy_table::presets;
use serde::Serialize;

use crate::chart;
use crate::cli::ReportOptions;
use crate::record::{Place, Record, Run};
use crate::tables::{lwk_table, programs_table, ratio};

/// Names of the files in the report's directory.
const MARKDOWN: &str = "showcase.md";
const JSON: &str = "showcase.json";
const PICTURE: &str = "showcase.svg";

/// The JSON: the record, what only this side knows, and the ratios.
#[derive(Debug, Serialize)]
struct Report<'a> {
    /// The program that emulates or virtualises, if there is one.
    qemu: Option<&'a str>,
    /// The command that makes the report.
    made_by: &'a str,
    /// Whether every program had the right result everywhere.
    all_correct: bool,
    /// Wall time relative to the first place; comparable within one record only.
    wall_ratios: Vec<Ratio>,
    #[serde(flatten)]
    record: &'a Record,
}

/// One ratio.
#[derive(Debug, Serialize)]
struct Ratio {
    program: &'static str,
    place: Place,
    ratio: f64,
}

/// Prints and writes everything; returns whether every program had the right result everywhere.
pub(crate) fn run(options: &ReportOptions, out: &mut impl Write) -> Result<bool> {
    let path = &options.input;
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let record = Record::parse(&text).with_context(|| path.display().to_string())?;
    let qemu = qemu_version(&record);
    let made_by = options
        .made_by
        .clone()
        .unwrap_or_else(|| record.conditions.command.join(" "));
    let all_correct = record.runs.iter().all(Run::is_correct);

    let dir = &options.out_dir;
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let save = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    let report = Report {
        qemu: qemu.as_deref(),
        made_by: &made_by,
        all_correct,
        wall_ratios: ratios(&record),
        record: &record,
    };
    save(JSON, &(serde_json::to_string_pretty(&report)? + "\n"))?;
    save(MARKDOWN, &markdown(&record, qemu.as_deref(), &made_by))?;
    let conditions = &record.conditions;
    save(
        PICTURE,
        &chart::draw(
            &record,
            &format!(
                "{}; kernel {}; logarithmic scale",
                conditions.machine.mark(),
                conditions.kernel
            ),
        )?,
    )?;

    writeln!(
        out,
        "{}",
        programs_table(&record).load_style(presets::ASCII_FULL_CONDENSED)
    )?;
    if let Some(mut table) = lwk_table(&record) {
        writeln!(
            out,
            "\nAll kernel entries of the LWK CPUs, as the LWK counted them:"
        )?;
        writeln!(out, "{}", table.load_style(presets::ASCII_FULL_CONDENSED))?;
    }
    let verdict = if all_correct {
        "All results are right."
    } else {
        "Some results are WRONG."
    };
    writeln!(
        out,
        "\n{verdict} Report: {}, {MARKDOWN}, {JSON}, {PICTURE}",
        dir.display()
    )?;
    Ok(all_correct)
}

/// Asks the QEMU of this machine, where the guest's programs came from too.
fn qemu_version(record: &Record) -> Option<String> {
    if record.conditions.machine == crate::conditions::Machine::Real {
        return None;
    }
    let output = Command::new("qemu-system-x86_64")
        .arg("--version")
        .output()
        .ok()?;
    String::from_utf8(output.stdout)
        .ok()?
        .lines()
        .next()
        .map(str::to_owned)
}

/// Returns all ratios.
fn ratios(record: &Record) -> Vec<Ratio> {
    let ratio = |run: &Run| {
        Some(Ratio {
            program: run.program.name(),
            place: run.place,
            ratio: ratio(record, run)?,
        })
    };
    record.runs.iter().filter_map(ratio).collect()
}

/// What the columns mean, with the limits of each count.
const LEGEND: &str = "\
- *result*: exit status 0, the program's own check passed, and the output equals that of the first place.
- *wall ratio*: wall time, launcher included, over that on the first place, from one run each; not a measure of speed.
- *ticks*: timer interrupts (`LOC`) on the CPUs of the place while the program ran.
- *switches*, *faults*: context switches and page faults of all processes of the program, launcher included.
- *other kernel entries by interrupt*: rows of `/proc/interrupts` on the CPUs of the place: `RES` and `CAL` requests
  from other CPUs (to run a task, to shoot down TLBs, to call a function), `IWI` deferred work, `irq` devices. Among
  them are the wake-ups that end the program's own waiting for files. Linux does not count system calls; the programs
  make the same ones everywhere.
";

/// The Markdown file.
fn markdown(record: &Record, qemu: Option<&str>, made_by: &str) -> String {
    let conditions = &record.conditions;
    let mut text = String::from("# Real programs on Linux CPUs, tuned Linux CPUs and LWK CPUs\n\n");
    let programs = programs_table(record)
        .load_style(presets::ASCII_MARKDOWN)
        .to_string();
    let _ = writeln!(
        text,
        "{programs}\n\n{LEGEND}\n![What disturbs the programs]({PICTURE})\n"
    );
    if let Some(mut table) = lwk_table(record) {
        let table = table.load_style(presets::ASCII_MARKDOWN).to_string();
        let _ = writeln!(
            text,
            "## All kernel entries of the LWK CPUs, as the LWK counted them\n\n{table}\n"
        );
    }
    text.push_str("## Conditions\n\n");
    let mut item = |name: &str, value: &str| {
        let _ = writeln!(text, "- {name}: {value}");
    };
    item(
        "machine",
        &format!("{}, {}", conditions.machine.mark(), conditions.processor),
    );
    item("emulator", qemu.unwrap_or("none"));
    item(
        "CPUs, memory",
        &format!("{}, {} MiB", conditions.cpus, conditions.memory_kib / 1024),
    );
    item("kernel", &conditions.kernel);
    item(
        "SHA-256 of its configuration",
        conditions
            .config_sha256
            .as_deref()
            .unwrap_or("not told by the kernel"),
    );
    item("boot line", &format!("`{}`", conditions.boot_line));
    item("system", &conditions.system);
    let packages: Vec<String> = conditions
        .packages
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    item("packages", &packages.join(", "));
    for site in &record.sites {
        let tuning = if site.tuning.is_empty() {
            String::new()
        } else {
            format!("; {}", site.tuning.join("; "))
        };
        item(site.place.label(), &format!("CPUs {}{tuning}", site.cpus));
    }
    item("made by", &format!("`{made_by}`"));
    text.push_str("\n## Programs\n\n");
    for program in record.programs() {
        let commands = record.runs.iter().filter(|run| run.program == program);
        let commands: Vec<String> = commands
            .map(|run| format!("`{}`", run.command.join(" ")))
            .collect();
        let _ = writeln!(
            text,
            "- {}: {}: {}",
            program.name(),
            program.what(),
            commands.join(", ")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SCHEMA;
    use crate::sample::record as sample;

    #[test]
    fn markdown_tells_all() {
        insta::assert_snapshot!(markdown(
            &sample(),
            Some("QEMU emulator version 7.2"),
            "make run"
        ));
    }

    #[test]
    fn report_is_written_and_tells_whether_all_went_well() {
        let dir = tempfile::tempdir().unwrap();
        let write = |record: &Record| {
            let input = dir.path().join("in.json");
            fs::write(&input, serde_json::to_string(record).unwrap()).unwrap();
            let options = ReportOptions {
                input,
                out_dir: dir.path().join("out"),
                made_by: None,
            };
            let mut out = Vec::new();
            (
                run(&options, &mut out).unwrap(),
                String::from_utf8(out).unwrap(),
            )
        };
        let mut record = sample();
        let (all_correct, text) = write(&record);
        assert!(!all_correct && text.contains("Some results are WRONG."));
        record.runs.pop();
        let (all_correct, text) = write(&record);
        assert!(all_correct && text.contains("All results are right."));
        let json: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(dir.path().join("out").join(JSON)).unwrap())
                .unwrap();
        assert_eq!(json["wall_ratios"][2]["ratio"], 0.9);
        assert_eq!(json["runs"][0]["interrupts"]["LOC"], 4210);
        for name in [MARKDOWN, PICTURE] {
            assert!(
                fs::metadata(dir.path().join("out").join(name))
                    .unwrap()
                    .len()
                    > 1000,
                "{name}"
            );
        }
    }

    #[test]
    fn files_of_other_versions_and_empty_ones_are_refused() {
        let mut record = sample();
        record.schema = 2;
        let parse = |record: &Record| Record::parse(&serde_json::to_string(record).unwrap());
        assert_eq!(
            parse(&record).unwrap_err().to_string(),
            "schema 2 where this program wants 1"
        );
        record.schema = SCHEMA;
        assert_eq!(parse(&record).unwrap(), record);
        record.runs.clear();
        assert!(parse(&record).is_err());
        assert!(Record::parse("{}").is_err());
    }
}
