// SPDX-License-Identifier: GPL-2.0
//! Manual pages and shell completions, from the command lines of the tools.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::gen::{Generated, NOTE};

/// The shells that get completions, and what their files are called.
const SHELLS: &[(Shell, &str, &str)] = &[
    (Shell::Bash, "", ".bash"),
    (Shell::Zsh, "_", ""),
    (Shell::Fish, "", ".fish"),
];

/// All pages and completions.
pub(crate) fn files() -> Result<Vec<Generated>> {
    let mut files = Vec::new();
    for command in [
        lwkctl::cli::Options::command(),
        yod::cli::Options::command(),
    ] {
        for (shell, before, after) in SHELLS {
            files.push(completion(command.clone(), *shell, before, after));
        }
        let mut built = command;
        built.build();
        pages(&built, &mut files)?;
    }
    Ok(files)
}

/// The completion of one command for one shell.
fn completion(mut command: Command, shell: Shell, before: &str, after: &str) -> Generated {
    let name = command.get_name().to_owned();
    let mut content = Vec::new();
    clap_complete::generate(shell, &mut command, &name, &mut content);
    let text = String::from_utf8_lossy(&content);
    let note = format!("# SPDX-License-Identifier: GPL-2.0\n# {NOTE}\n");
    // Zsh takes a completion only if its first line says so.
    let text = match text.split_once('\n') {
        Some((first, rest)) if first.starts_with("#compdef") => format!("{first}\n{note}{rest}"),
        _ => format!("{note}{text}"),
    };
    // Generators leave blanks at the end of lines.
    let lines = text.lines().map(|line| format!("{}\n", line.trim_end()));
    Generated::text(
        PathBuf::from("tools/completions").join(format!("{before}{name}{after}")),
        lines.collect(),
    )
}

/// The page of a command and those of its subcommands.
fn pages(command: &Command, files: &mut Vec<Generated>) -> Result<()> {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
        .to_owned();
    let mut content = Vec::new();
    Man::new(command.clone().display_name(&name)).render(&mut content)?;
    let text = String::from_utf8_lossy(&content);
    let text = format!(".\\\" SPDX-License-Identifier: GPL-2.0\n.\\\" {NOTE}\n{text}");
    files.push(Generated::text(
        PathBuf::from("tools/man").join(format!("{name}.1")),
        text,
    ));
    command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set())
        .try_for_each(|sub| pages(sub, files))
}
