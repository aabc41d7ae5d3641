// SPDX-License-Identifier: GPL-2.0
//! The ABI page.

use std::fmt::Write;

use anyhow::Result;
use lwk_logic::uapi::{self, EntryKind, IrqSource, RanKind, Refusal, OPS, STRUCTS};

use crate::consts;
use crate::gen::NOTE;
use crate::header::prefix;
use crate::names::{join, offsets, op_of, page_doc, snake, upper, Type};

/// The whole page.
pub(crate) fn text() -> Result<String> {
    let mut text = format!(
        "<!-- SPDX-License-Identifier: GPL-2.0 -->\n<!-- {NOTE} -->\n# The ABI of `{}`, version {}\n\n\
         Source: `rust/lwk/uapi/lwk_uapi.rs`. C programs include `<linux/lwk.h>`.\n",
        uapi::DEVICE_PATH,
        uapi::ABI_VERSION
    );
    text.push_str(&rules());
    text.push_str("\n## Ioctls\n\n| ioctl | number | request code | argument | what it does |\n|---|---|---|---|---|\n");
    for op in OPS {
        let (name, tag, doc) = (upper(op.name), snake(op.name), page_doc(&join(op.doc)));
        writeln!(
            text,
            "| `LWK_IOC_{name}` | {} | `{:#010x}` | `struct lwk_{tag}` | {doc} |",
            op.nr, op.code
        )?;
    }
    text.push_str("\n## Structures\n");
    for item in STRUCTS {
        let tag = snake(item.name);
        writeln!(
            text,
            "\n### `struct lwk_{tag}`\n\n{}\n",
            page_doc(&join(item.doc))
        )?;
        let used = op_of(item)
            .map(|op| format!(", argument of `LWK_IOC_{}`", upper(op.name)))
            .unwrap_or_default();
        writeln!(
            text,
            "{} bytes{used}.\n\n| offset | type | field | meaning |\n|---|---|---|---|",
            item.size
        )?;
        for (field, offset) in item.fields.iter().zip(offsets(item)?) {
            let ty = Type::parse(field.ty)?;
            let length = ty
                .c_length()
                .map(|length| format!("[{length}]"))
                .unwrap_or_default();
            let doc = page_doc(&join(field.doc));
            writeln!(
                text,
                "| {offset} | `__{}{length}` | `{}` | {doc} |",
                ty.element, field.name
            )?;
        }
    }
    text.push_str("\n## Constants\n\n| name | value | meaning |\n|---|---|---|\n");
    for constant in consts::all()? {
        writeln!(
            text,
            "| `LWK_{}` | `{}` | {} |",
            constant.name,
            constant.value,
            page_doc(&constant.doc)
        )?;
    }
    let kinds = EntryKind::ALL
        .iter()
        .map(|kind| (format!("{kind:?}"), kind.index(), kind.name(), kind.doc()));
    slots(&mut text, "EntryKind", "Kinds of kernel entries", kinds)?;
    let sources = IrqSource::ALL.iter().map(|source| {
        (
            format!("{source:?}"),
            source.index(),
            source.name(),
            source.doc(),
        )
    });
    slots(&mut text, "IrqSource", "Sources of interrupts", sources)?;
    let ran = RanKind::ALL
        .iter()
        .map(|kind| (format!("{kind:?}"), kind.index(), kind.name(), kind.doc()));
    slots(&mut text, "RanKind", "Kinds of functions", ran)?;
    let refusals = Refusal::ALL.iter().map(|refusal| {
        (
            format!("{refusal:?}"),
            refusal.index(),
            refusal.name(),
            refusal.doc(),
        )
    });
    slots(&mut text, "Refusal", "Reasons of refusals", refusals)?;
    Ok(text)
}

/// The rules at the head of the source, which hold for every structure.
fn rules() -> String {
    let head = consts::SOURCE
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(str::trim);
    let head = head.collect::<Vec<_>>().join("\n");
    // The first two paragraphs introduce the source, not the ABI.
    let paragraphs = head.split("\n\n").skip(2);
    paragraphs
        .map(|paragraph| format!("\n{}\n", page_doc(&paragraph.replace('\n', " "))))
        .collect()
}

/// The table of an enum.
fn slots<'a>(
    text: &mut String,
    name: &str,
    title: &str,
    values: impl Iterator<Item = (String, usize, &'a str, &'a [&'a str])>,
) -> Result<()> {
    writeln!(text, "\n## {title}: `enum lwk_{}`\n", snake(name))?;
    text.push_str("| name | slot | printed as | meaning |\n|---|---|---|---|\n");
    for (value, slot, printed, doc) in values {
        let name = format!("{}{}", prefix(name), upper(&value));
        writeln!(
            text,
            "| `{name}` | {slot} | {printed} | {} |",
            page_doc(&join(doc))
        )?;
    }
    Ok(())
}
