// SPDX-License-Identifier: GPL-2.0
//! The C header, C90 with kernel-doc comments.

use std::fmt::Write;

use anyhow::Result;
use lwk_logic::uapi::{EntryKind, IrqSource, RanKind, Refusal, Struct, OPS, STRUCTS};

use crate::consts;
use crate::gen::NOTE;
use crate::names::{c_doc, join, offsets, snake, upper, Type};

/// Columns of a comment line.
const WIDTH: usize = 80;

/// The whole header.
pub(crate) fn text() -> Result<String> {
    let mut text = format!(
        "/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */\n/* {NOTE} */\n\
         #ifndef _UAPI_LINUX_LWK_H\n#define _UAPI_LINUX_LWK_H\n\n\
         #include <linux/ioctl.h>\n#include <linux/types.h>\n"
    );
    for constant in consts::all()? {
        write!(text, "\n{}", plain_comment("", &c_doc(&constant.doc)))?;
        writeln!(text, "#define LWK_{} {}", constant.name, constant.value)?;
    }
    let kinds = EntryKind::ALL
        .iter()
        .map(|kind| (format!("{kind:?}"), kind.index(), join(kind.doc())));
    enumeration(
        &mut text,
        "EntryKind",
        "How a CPU got from user mode into the kernel.",
        kinds,
    )?;
    let sources = IrqSource::ALL
        .iter()
        .map(|source| (format!("{source:?}"), source.index(), join(source.doc())));
    enumeration(
        &mut text,
        "IrqSource",
        "Where an interrupt came from.",
        sources,
    )?;
    let ran = RanKind::ALL
        .iter()
        .map(|kind| (format!("{kind:?}"), kind.index(), join(kind.doc())));
    enumeration(
        &mut text,
        "RanKind",
        "What kind of function ran in an interrupt.",
        ran,
    )?;
    let refusals = Refusal::ALL
        .iter()
        .map(|refusal| (format!("{refusal:?}"), refusal.index(), join(refusal.doc())));
    enumeration(
        &mut text,
        "Refusal",
        "Why a partition could not be made, changed or ended.",
        refusals,
    )?;
    for item in STRUCTS {
        structure(&mut text, item)?;
    }
    for op in OPS {
        write!(text, "\n{}", plain_comment("", &c_doc(&join(op.doc))))?;
        let (name, argument) = (upper(op.name), snake(op.name));
        writeln!(
            text,
            "#define LWK_IOC_{name} _IOWR(LWK_IOC_MAGIC, {}, struct lwk_{argument})",
            op.nr
        )?;
    }
    text.push_str("\n#endif /* _UAPI_LINUX_LWK_H */\n");
    Ok(text)
}

/// An enum; its values carry the name of the enum's first word, as in `LWK_ENTRY_FAULT`.
fn enumeration(
    text: &mut String,
    name: &str,
    doc: &str,
    values: impl Iterator<Item = (String, usize, String)>,
) -> Result<()> {
    let tag = snake(name);
    let prefix = prefix(name);
    let values: Vec<_> = values.collect();
    write!(
        text,
        "\n/**\n{}",
        wrap(" * ", " *   ", &format!("enum lwk_{tag} - {}", c_doc(doc)))
    )?;
    for (value, _, doc) in &values {
        text.push_str(&wrap(
            " * ",
            " *   ",
            &format!("@{prefix}{}: {}", upper(value), c_doc(doc)),
        ));
    }
    writeln!(text, " */\nenum lwk_{tag} {{")?;
    // C90 has no comma after the last value.
    let lines: Vec<_> = values
        .iter()
        .map(|(value, slot, _)| format!("\t{prefix}{} = {slot}", upper(value)))
        .collect();
    write!(text, "{}\n}};\n", lines.join(",\n"))?;
    Ok(())
}

/// What the values of an enum start with in C.
pub(crate) fn prefix(name: &str) -> String {
    let snake = snake(name);
    let first = snake.split('_').next().unwrap_or_default();
    format!("LWK_{}_", first.to_ascii_uppercase())
}

/// A structure.
fn structure(text: &mut String, item: &Struct) -> Result<()> {
    offsets(item)?;
    let tag = snake(item.name);
    let doc = c_doc(&join(item.doc));
    let (short, long) = doc
        .split_once(". ")
        .unwrap_or((doc.trim_end_matches('.'), ""));
    write!(
        text,
        "\n/**\n{}",
        wrap(" * ", " *   ", &format!("struct lwk_{tag} - {short}."))
    )?;
    for field in item.fields {
        let line = format!("@{}: {}", field.name, c_doc(&join(field.doc)));
        text.push_str(&wrap(" * ", " *   ", &line));
    }
    if !long.is_empty() {
        text.push_str(" *\n");
        text.push_str(&wrap(" * ", " * ", long));
    }
    writeln!(text, " */\nstruct lwk_{tag} {{")?;
    for field in item.fields {
        let ty = Type::parse(field.ty)?;
        let length = ty
            .c_length()
            .map(|length| format!("[{length}]"))
            .unwrap_or_default();
        writeln!(text, "\t__{} {}{length};", ty.element, field.name)?;
    }
    text.push_str("};\n");
    Ok(())
}

/// An ordinary comment, on one line if it fits.
fn plain_comment(indent: &str, doc: &str) -> String {
    let line = format!("{indent}/* {doc} */");
    if line.len() <= WIDTH {
        return line + "\n";
    }
    let prefix = format!("{indent} * ");
    format!("{indent}/*\n{}{indent} */\n", wrap(&prefix, &prefix, doc))
}

/// Lines of at most [`WIDTH`] columns.
fn wrap(first: &str, others: &str, words: &str) -> String {
    let mut text = String::new();
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in words.split_whitespace() {
        if !is_empty && line.len() + 1 + word.len() > WIDTH {
            text.push_str(line.trim_end());
            text.push('\n');
            line = others.to_owned();
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    text + line.trim_end() + "\n"
}
