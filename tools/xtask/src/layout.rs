// SPDX-License-Identifier: GPL-2.0
//! A C file that compiles only if the header has the layout and the codes of the Rust source.

use std::fmt::Write;

use anyhow::Result;
use lwk_logic::uapi::{OPS, STRUCTS};

use crate::gen::NOTE;
use crate::names::{offsets, snake, upper};

/// The whole file.
pub(crate) fn text() -> Result<String> {
    let mut text = format!(
        "// SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note\n/* {NOTE} */\n\
         #include <stddef.h>\n\n#include \"lwk.h\"\n"
    );
    for item in STRUCTS {
        let tag = snake(item.name);
        writeln!(
            text,
            "\n_Static_assert(sizeof(struct lwk_{tag}) == {}, \"size of lwk_{tag}\");",
            item.size
        )?;
        for (field, offset) in item.fields.iter().zip(offsets(item)?) {
            writeln!(
                text,
                "_Static_assert(offsetof(struct lwk_{tag}, {0}) == {offset}, \"lwk_{tag}.{0}\");",
                field.name
            )?;
        }
    }
    text.push('\n');
    for op in OPS {
        let name = upper(op.name);
        writeln!(
            text,
            "_Static_assert(LWK_IOC_{name} == {:#x}u, \"LWK_IOC_{name}\");",
            op.code
        )?;
    }
    Ok(text)
}
