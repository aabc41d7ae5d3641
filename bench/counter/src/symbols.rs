// SPDX-License-Identifier: GPL-2.0
//! The kernel's symbols, from System.map of a kernel booted with `nokaslr`.

use std::path::Path;
use std::{fs, io};

use thiserror::Error;

use crate::code::Door;

/// The first vector of `irq_entries_start`; those below are the CPU's exceptions.
const FIRST_EXTERNAL_VECTOR: u64 = 32;
/// How many entries lie from `irq_entries_start` to the end of `spurious_entries_start`.
const NR_EXTERNAL_VECTORS: u64 = 256 - FIRST_EXTERNAL_VECTOR;
/// Beginnings of the names of what the CPU enters by itself.
const DOORS: [&str; 3] = ["asm_exc_", "asm_sysvec_", "asm_int80"];

/// A function by its number, or what is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Function(u32);

impl Function {
    /// Outside of all functions of the map: modules, generated code.
    pub(crate) const UNKNOWN: Self = Self(u32::MAX);
}

/// Names by address.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    /// Sorted by address, one for each.
    all: Vec<Symbol>,
    vectors: Option<Vectors>,
}

#[derive(Debug)]
struct Symbol {
    address: u64,
    /// Nothing where data begins.
    function: Option<String>,
}

/// The table of equally long interrupt entries.
#[derive(Debug)]
struct Vectors {
    start: u64,
    end: u64,
    /// Bytes of an entry.
    size: u64,
}

/// Why there are no symbols.
#[derive(Debug, Error)]
pub(crate) enum SymbolsError {
    /// The file cannot be read.
    #[error("map={0}: {1}")]
    Read(String, io::Error),
    /// It has another form.
    #[error("map={0}: line {1} is not `address type name`")]
    Form(String, usize),
    /// It names no function.
    #[error("map={0}: there is no function in the upper half of the addresses")]
    Empty(String),
}

impl Symbols {
    /// Reads a System.map.
    pub(crate) fn read(path: &Path) -> Result<Self, SymbolsError> {
        let name = path.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, &name),
            Err(error) => Err(SymbolsError::Read(name, error)),
        }
    }

    pub(crate) fn parse(text: &str, file: &str) -> Result<Self, SymbolsError> {
        let mut lines = Vec::new();
        for (n, line) in text.lines().enumerate() {
            let bad = || SymbolsError::Form(file.to_owned(), n + 1);
            lines.push(Line::parse(line).ok_or_else(bad)?);
        }
        // Offsets into per-CPU data and constants are no addresses.
        lines.retain(|line| line.address >> 63 == 1 && !matches!(line.kind, 'A' | 'a'));
        lines.sort_by_key(|line| (line.address, line.rank(), line.name));
        lines.dedup_by_key(|line| line.address);
        if !lines.iter().any(Line::is_function) {
            return Err(SymbolsError::Empty(file.to_owned()));
        }
        let all = lines.iter().map(|line| Symbol {
            address: line.address,
            function: line.is_function().then(|| line.name.to_owned()),
        });
        let mut symbols = Self {
            all: all.collect(),
            vectors: None,
        };
        symbols.vectors = symbols.find_vectors();
        Ok(symbols)
    }

    /// The function that an address lies in.
    pub(crate) fn function(&self, address: u64) -> Function {
        // Modules lie above the last symbol, which is data.
        match self.place(address) {
            // CAST: A map has not four thousand million lines.
            Some((n, symbol)) if symbol.function.is_some() => Function(n as u32),
            _ => Function::UNKNOWN,
        }
    }

    /// The name of a function.
    pub(crate) fn name(&self, function: Function) -> &str {
        // CAST: As in `function`.
        let symbol = self.all.get(function.0 as usize);
        let name = symbol.and_then(|symbol| symbol.function.as_deref());
        name.unwrap_or("[unknown]")
    }

    /// What an entry at an address means: a vector of the interrupt table, a function, or the bare address.
    pub(crate) fn cause(&self, address: u64) -> String {
        let vectors = self.vectors.as_ref();
        if let Some(vector) = vectors.and_then(|vectors| vectors.vector(address)) {
            return format!("vector {vector}");
        }
        match self.function(address) {
            Function::UNKNOWN => format!("{address:#x}"),
            function => self.name(function).to_owned(),
        }
    }

    /// Whether an address is one that the CPU enters by itself, or the start of new threads.
    pub(crate) fn door(&self, address: u64) -> Door {
        let vectors = self.vectors.as_ref();
        if vectors.is_some_and(|vectors| vectors.vector(address).is_some()) {
            return Door::Interrupt;
        }
        let symbol = self.place(address).map(|(_, symbol)| symbol);
        let symbol = symbol.filter(|symbol| symbol.address == address);
        match symbol.and_then(|symbol| symbol.function.as_deref()) {
            Some("ret_from_fork_asm" | "ret_from_fork") => Door::Thread,
            Some(name) if DOORS.iter().any(|door| name.starts_with(door)) => Door::Interrupt,
            _ => Door::None,
        }
    }

    /// Whether an address lies in the code that exchanges two threads' stacks.
    pub(crate) fn is_switch(&self, address: u64) -> bool {
        self.name(self.function(address)) == "__switch_to_asm"
    }

    /// The last symbol that is not behind an address.
    fn place(&self, address: u64) -> Option<(usize, &Symbol)> {
        let after = self.all.partition_point(|symbol| symbol.address <= address);
        let n = after.checked_sub(1)?;
        Some((n, self.all.get(n)?))
    }

    fn find_vectors(&self) -> Option<Vectors> {
        let place = |name: &str| {
            let mut all = self.all.iter();
            all.position(|symbol| symbol.function.as_deref() == Some(name))
        };
        let start = self.all.get(place("irq_entries_start")?)?.address;
        let end = self.all.get(place("spurious_entries_start")? + 1)?.address;
        // Entries are 8 bytes long, 16 with landing pads (IBT); what follows them is aligned to no more than that.
        let size = (end.checked_sub(start)? / NR_EXTERNAL_VECTORS) & !7;
        (size > 0).then_some(Vectors { start, end, size })
    }
}

impl Vectors {
    fn vector(&self, address: u64) -> Option<u64> {
        let is_inside = (self.start..self.end).contains(&address);
        is_inside.then(|| FIRST_EXTERNAL_VECTOR + (address - self.start) / self.size)
    }
}

struct Line<'a> {
    address: u64,
    kind: char,
    name: &'a str,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let address = u64::from_str_radix(words.next()?, 16).ok()?;
        let mut kind = words.next()?.chars();
        let (kind, name) = (
            kind.next().filter(|_| kind.next().is_none())?,
            words.next()?,
        );
        words.next().is_none().then_some(Self {
            address,
            kind,
            name,
        })
    }

    fn is_function(&self) -> bool {
        matches!(self.kind, 'T' | 't' | 'W' | 'w')
    }

    /// Of several names of one address the lowest says most: not a bound of a section, global, not of 32-bit system
    /// calls, no underscores.
    fn rank(&self) -> (bool, bool, bool, bool) {
        let bound = ["_start", "_end", "_begin"];
        let is_bound = self.name.starts_with('_')
            && bound.iter().any(|end| self.name.ends_with(end))
            || matches!(
                self.name,
                "_text" | "_stext" | "_etext" | "_sinittext" | "_einittext"
            );
        (
            is_bound,
            self.kind.is_ascii_lowercase(),
            self.name.starts_with("__ia32_"),
            self.name.starts_with("__"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "\
0000000000001000 D cpu_debug_store
ffffffff81000000 T _text
ffffffff81000000 T startup_64
ffffffff81000100 t helper
ffffffff81000200 T ret_from_fork_asm
ffffffff81a00140 T __irqentry_text_start
ffffffff81a00140 T irq_entries_start
ffffffff81a007a0 T spurious_entries_start
ffffffff81a00850 T asm_exc_divide_error
ffffffff81a00870 t common_interrupt_return
ffffffff81a00870 T swapgs_restore_regs_and_return_to_usermode
ffffffff81c00000 D __start_rodata
ffffffff81c00000 T _etext
ffffffff82000000 T _sinittext
ffffffff82000000 t init_once
ffffffff82c16000 B _end
";

    fn symbols() -> Symbols {
        Symbols::parse(MAP, "map").unwrap()
    }

    #[test]
    fn finds_the_function_around_an_address() {
        let symbols = symbols();
        let name = |address| symbols.name(symbols.function(address));
        assert_eq!(name(0xffff_ffff_8100_00ff), "startup_64");
        assert_eq!(name(0xffff_ffff_8100_0100), "helper");
        let exit = "swapgs_restore_regs_and_return_to_usermode";
        assert_eq!(name(0xffff_ffff_81a0_0880), exit);
        assert_eq!(name(0xffff_ffff_8200_0004), "init_once");
    }

    #[test]
    fn knows_no_function_in_data_modules_or_below_the_kernel() {
        let symbols = symbols();
        for address in [
            0x1000,
            0xffff_ffff_80ff_ffff,
            0xffff_ffff_81c0_0010,
            0xffff_ffff_c000_0000,
        ] {
            assert_eq!(symbols.function(address), Function::UNKNOWN, "{address:#x}");
        }
        assert_eq!(symbols.name(Function::UNKNOWN), "[unknown]");
        assert_eq!(symbols.cause(0xffff_ffff_c000_0000), "0xffffffffc0000000");
    }

    #[test]
    fn doors_are_exact_addresses() {
        let symbols = symbols();
        for (address, door) in [
            (0xffff_ffff_81a0_0850, Door::Interrupt),
            (0xffff_ffff_81a0_0851, Door::None),
            (0xffff_ffff_81a0_0148, Door::Interrupt),
            (0xffff_ffff_8100_0200, Door::Thread),
            (0xffff_ffff_8100_0100, Door::None),
        ] {
            assert_eq!(symbols.door(address), door, "{address:#x}");
        }
    }

    #[test]
    fn names_vectors_by_number() {
        let symbols = symbols();
        assert_eq!(symbols.cause(0xffff_ffff_81a0_0140), "vector 32");
        assert_eq!(symbols.cause(0xffff_ffff_81a0_0148), "vector 33");
        assert_eq!(symbols.cause(0xffff_ffff_81a0_0798), "vector 235");
        assert_eq!(symbols.cause(0xffff_ffff_81a0_07a0), "vector 236");
        assert_eq!(symbols.cause(0xffff_ffff_81a0_0850), "asm_exc_divide_error");
    }

    #[test]
    fn refuses_other_files() {
        let error = |text: &str| Symbols::parse(text, "map").unwrap_err().to_string();
        let form = "map=map: line 1 is not `address type name`";
        assert_eq!(error("hello world\n"), form);
        assert_eq!(error("ffffffff81000000 TT two\n"), form);
        let empty = "map=map: there is no function in the upper half of the addresses";
        assert_eq!(error("0000000000001000 D cpu_debug_store\n"), empty);
    }
}
