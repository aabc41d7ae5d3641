// SPDX-License-Identifier: GPL-2.0
//! How names and documentation of the Rust source are spelled in C and in Markdown.

use anyhow::{bail, Context, Result};
use lwk_logic::uapi::{Struct, OPS, STRUCTS};

use crate::consts;

/// The enums of the ABI.
pub(crate) const ENUMS: &[&str] = &["EntryKind", "IrqSource", "RanKind", "Refusal"];

/// `JobCreate` as `job_create`.
pub(crate) fn snake(camel: &str) -> String {
    let mut snake = String::new();
    for c in camel.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// `JobCreate` as `JOB_CREATE`.
pub(crate) fn upper(camel: &str) -> String {
    snake(camel).to_ascii_uppercase()
}

/// The type of a field.
pub(crate) struct Type {
    /// Its element, `u8`, `u32` or `u64`.
    pub(crate) element: &'static str,
    /// How many, if it is an array, as Rust spells the number.
    pub(crate) length: Option<&'static str>,
}

impl Type {
    /// Reads `u32` or `[u8; NAME_LEN]`.
    pub(crate) fn parse(text: &'static str) -> Result<Self> {
        let (element, length) = match text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            Some(array) => {
                let (element, length) = array
                    .split_once(';')
                    .with_context(|| format!("no length in {text}"))?;
                (element.trim(), Some(length.trim()))
            }
            None => (text, None),
        };
        let ty = Self { element, length };
        ty.element_size()?;
        Ok(ty)
    }

    /// Bytes of one element, which is also its alignment.
    pub(crate) fn element_size(&self) -> Result<usize> {
        Ok(match self.element {
            "u8" => 1,
            "u16" => 2,
            "u32" => 4,
            "u64" => 8,
            other => bail!("the ABI has no type {other}"),
        })
    }

    /// How many elements.
    fn count(&self) -> Result<usize> {
        let Some(length) = self.length else {
            return Ok(1);
        };
        if let Ok(number) = length.parse() {
            return Ok(number);
        }
        let all = consts::all()?;
        let value = all.iter().find(|constant| constant.name == length);
        let value = value.with_context(|| format!("no constant {length}"))?;
        value
            .value
            .parse()
            .with_context(|| format!("{length} is no number"))
    }

    /// The length as C spells it.
    pub(crate) fn c_length(&self) -> Option<String> {
        self.length.map(|length| match length.parse::<usize>() {
            Ok(number) => number.to_string(),
            Err(_) => format!("LWK_{length}"),
        })
    }
}

/// The offset of each field, by the rule that C and `repr(C)` share; fails if they do not add up to the size.
pub(crate) fn offsets(item: &Struct) -> Result<Vec<usize>> {
    let mut offsets = Vec::new();
    let (mut end, mut align) = (0_usize, 1);
    for field in item.fields {
        let ty = Type::parse(field.ty)?;
        let size = ty.element_size()?;
        if !end.is_multiple_of(size) {
            bail!("{}.{} leaves a hole before it", item.name, field.name);
        }
        offsets.push(end);
        end += size * ty.count()?;
        align = align.max(size);
    }
    if end != item.size || !end.is_multiple_of(align) {
        bail!(
            "the fields of {} end at {end}, it has {} bytes",
            item.name,
            item.size
        );
    }
    Ok(offsets)
}

/// What a name in backquotes stands for in C, or none for a plain word such as the name of a field.
fn c_name(word: &str) -> Option<String> {
    let (head, tail) = word
        .split_once("::")
        .map_or((word, None), |(head, tail)| (head, Some(tail)));
    if STRUCTS.iter().any(|item| item.name == head) {
        let name = format!("struct lwk_{}", snake(head));
        return Some(tail.map_or_else(|| name.clone(), |field| format!("{field} of {name}")));
    }
    if ENUMS.contains(&head) {
        return Some(format!("enum lwk_{}", snake(head)));
    }
    let is_const = consts::SOURCE.contains(&format!("\npub const {word}:"));
    let is_prefix = word.strip_suffix('*').is_some_and(|stem| {
        stem.ends_with('_') && consts::SOURCE.contains(&format!("\npub const {stem}"))
    });
    (is_const || is_prefix).then(|| format!("LWK_{word}"))
}

/// Documentation with each quoted name replaced by what `spell` makes of its C name, or of itself.
fn rewrite(doc: &str, spell: impl Fn(Result<&str, &str>) -> String) -> String {
    let doc = doc.replace("[`", "`").replace("`]", "`");
    let parts = doc.split('`').enumerate().map(|(nr, part)| {
        if nr % 2 == 0 {
            return part.to_owned();
        }
        match c_name(part) {
            Some(name) => spell(Ok(&name)),
            None => spell(Err(part)),
        }
    });
    parts.collect()
}

/// Documentation for a C comment.
pub(crate) fn c_doc(doc: &str) -> String {
    rewrite(doc, |name| match name {
        Ok(name) | Err(name) => name.to_owned(),
    })
}

/// Documentation for the ABI page.
pub(crate) fn page_doc(doc: &str) -> String {
    rewrite(doc, |name| match name {
        Ok(name) | Err(name) => format!("`{name}`"),
    })
}

/// The lines of a table's documentation as one text.
pub(crate) fn join(doc: &[&str]) -> String {
    doc.iter()
        .map(|line| line.trim())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The structure of an ioctl bears its name.
pub(crate) fn op_of(item: &Struct) -> Option<&'static lwk_logic::uapi::Op> {
    OPS.iter().find(|op| op.name == item.name)
}
