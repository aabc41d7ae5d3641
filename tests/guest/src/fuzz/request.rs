// SPDX-License-Identifier: GPL-2.0
//! Requests to `/dev/lwk`, made up from the tables of the ABI: every ioctl, every field, with good values, values at an
//! edge and values without sense.
//!
//! The build fails if the tables have something that nobody told this file of: a type, or a pointer and what it points to.

use std::os::fd::BorrowedFd;

use lwk_logic::logic::locality::{CallSet, Table};
use lwk_logic::uapi::{self, Field, Op, Struct, OPS, STRUCTS};

use crate::random::Random;
use crate::sys::fuzz::{Arena, Place};

/// What a field that ends in `_ptr` points to.
#[derive(Clone, Copy)]
enum Target {
    /// A CPU set of so many bits as the field `nr_bits` says.
    Cpus,
    /// An array of this structure.
    Array(&'static str),
}

const POINTERS: &[(&str, Target)] = &[
    ("cpus_ptr", Target::Cpus),
    ("service_ptr", Target::Cpus),
    ("add_ptr", Target::Cpus),
    ("remove_ptr", Target::Cpus),
    ("mem_ptr", Target::Array("MemShare")),
    ("regions_ptr", Target::Array("MemRegion")),
    ("records_ptr", Target::Array("")),
];

const NAMED_LENGTHS: &[(&str, usize)] = &[
    ("NAME_LEN", uapi::NAME_LEN),
    ("COMM_LEN", uapi::COMM_LEN),
    ("ENTRY_SLOTS", uapi::ENTRY_SLOTS),
    ("IRQ_SLOTS", uapi::IRQ_SLOTS),
    ("SYMBOL_LEN", uapi::SYMBOL_LEN),
    ("IRQ_NAME_LEN", uapi::IRQ_NAME_LEN),
];

const fn is_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// The piece of `text` from `from` to before `to`.
const fn piece(text: &str, from: usize, to: usize) -> &[u8] {
    text.as_bytes().split_at(to).0.split_at(from).1
}

/// Bytes of an element and how many elements a type has.
const fn shape(ty: &str) -> (usize, usize) {
    let len = ty.len();
    if is_same(ty.as_bytes(), b"u32") {
        return (4, 1);
    } else if is_same(ty.as_bytes(), b"u64") {
        return (8, 1);
    }
    // "[u64; LEN]"
    let mut semicolon = 0;
    while semicolon < len && ty.as_bytes()[semicolon] != b';' {
        semicolon += 1;
    }
    assert!(semicolon < len, "a type that the fuzzer does not know");
    let (element, nr) = (piece(ty, 1, semicolon), piece(ty, semicolon + 2, len - 1));
    let size = match element {
        b"u8" => 1,
        b"u32" => 4,
        b"u64" => 8,
        _ => panic!("a type that the fuzzer does not know"),
    };
    let mut at = 0;
    while at < NAMED_LENGTHS.len() {
        if is_same(NAMED_LENGTHS[at].0.as_bytes(), nr) {
            return (size, NAMED_LENGTHS[at].1);
        }
        at += 1;
    }
    let (mut count, mut at) = (0, 0);
    while at < nr.len() {
        assert!(
            nr[at].is_ascii_digit(),
            "a length that the fuzzer does not know"
        );
        count = count * 10 + (nr[at] - b'0') as usize;
        at += 1;
    }
    (size, count)
}

const fn is_pointer(name: &str) -> bool {
    name.len() > 4 && is_same(piece(name, name.len() - 4, name.len()), b"_ptr")
}

const fn is_known_pointer(name: &str) -> bool {
    let mut at = 0;
    while at < POINTERS.len() {
        if is_same(POINTERS[at].0.as_bytes(), name.as_bytes()) {
            return true;
        }
        at += 1;
    }
    false
}

/// Checks that the fields of each structure make up all of it, that what each pointer points to is known, and that each
/// request has its structure.
const fn check() {
    let mut at = 0;
    while at < STRUCTS.len() {
        let (mut field, mut sum) = (0, 0);
        while field < STRUCTS[at].fields.len() {
            let Field { name, ty, .. } = STRUCTS[at].fields[field];
            let (size, nr) = shape(ty);
            sum += size * nr;
            assert!(
                !is_pointer(name) || is_known_pointer(name),
                "a pointer that the fuzzer does not know"
            );
            field += 1;
        }
        assert!(
            sum == STRUCTS[at].size,
            "fields that the fuzzer does not know"
        );
        at += 1;
    }
    let mut op = 0;
    while op < OPS.len() {
        let mut at = 0;
        while !is_same(OPS[op].name.as_bytes(), STRUCTS[at].name.as_bytes()) {
            // Ends with an error of the compiler behind the last one.
            at += 1;
        }
        op += 1;
    }
}

const _: () = check();

/// Numbers that mean something on this machine at the moment.
#[derive(Debug, Default, Clone)]
pub(crate) struct Known {
    /// Partitions and jobs.
    pub(crate) ids: Vec<u32>,
    /// Threads.
    pub(crate) tids: Vec<u32>,
    /// CPUs of partitions, as a set.
    pub(crate) cpus: u64,
}

/// How likely a field is to have a value without sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sense {
    /// All have a good one.
    All,
    /// One of so many has none.
    Most(u64),
    /// None has.
    None,
}

/// Who asks for what is there, and where arguments lie.
pub(crate) struct Maker<'a> {
    pub(crate) arena: &'a Arena,
    pub(crate) random: &'a mut Random,
    pub(crate) known: &'a Known,
    has_cpus: bool,
    is_job: bool,
}

/// Which request it was, by its place in the table, and whether it was carried out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    pub(crate) op: usize,
    pub(crate) is_done: bool,
}

/// A word of a set of calls.
fn word_of(set: CallSet, index: usize) -> u64 {
    set.words().get(index).copied().unwrap_or(0)
}

/// An amount of memory that Linux can do without, or that it surely has not: what is between would leave so little that
/// the OOM killer ends the test.
fn bearable(bytes: u64) -> u64 {
    const MIB: u64 = 1 << 20;
    match bytes {
        uapi::MEM_ALL => 64 * MIB,
        _ if bytes < 65_536 * MIB => bytes.min(64 * MIB),
        _ => bytes,
    }
}

/// The structure called `name`.
fn find(name: &str) -> Option<&'static Struct> {
    STRUCTS.iter().find(|known| known.name == name)
}

impl<'a> Maker<'a> {
    /// Makes requests with arguments in an arena.
    pub(crate) fn new(arena: &'a Arena, random: &'a mut Random, known: &'a Known) -> Self {
        Maker {
            arena,
            random,
            known,
            has_cpus: true,
            is_job: false,
        }
    }

    /// Makes up a request, any but those that `is_wanted` leaves out, and issues it.
    pub(crate) fn request(
        &mut self,
        device: BorrowedFd<'_>,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Option<Made> {
        let all = OPS.iter().copied().enumerate();
        let wanted: Vec<(usize, Op)> = all.filter(|(_, op)| is_wanted(op.name)).collect();
        if wanted.is_empty() {
            return None;
        }
        let (index, op) = self.random.pick(&wanted);
        let sense = match self.random.below(10) {
            0..=3 => Sense::All,
            4..=7 => Sense::Most(6),
            8 => Sense::Most(2),
            _ => Sense::None,
        };
        let bytes = self.structure(find(op.name)?, sense);
        let place = match sense {
            Sense::All => Place::Inside,
            _ => Place::any(self.random),
        };
        let argument = self.arena.put(0, place, &bytes, self.random);
        // Another number would be a request that takes other fields for pointers, unless there is none of that number.
        let code = match self.random.below(40) {
            0 => op.code ^ 0x1_0000 << self.random.below(16),
            1 => op.code & 0xffff | (self.random.any() as u32) << 16,
            2 => op.code | 0x80,
            _ => op.code,
        };
        let is_done = self.arena.ioctl(device, code, argument).is_ok();
        Some(Made { op: index, is_done })
    }

    /// The bytes of a structure, perhaps with more behind it or cut short.
    fn structure(&mut self, of: &Struct, sense: Sense) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Arrays as long as the numbers say, and CPUs by name or by number, more often than not.
        let nr = self.nr(of);
        self.is_job = of.name == "JobCreate";
        self.has_cpus = !self
            .random
            .one_in(if of.name == "JobCreate" { 2 } else { 4 });
        for (index, field) in of.fields.iter().enumerate() {
            let (size, len) = shape(field.ty);
            let is_odd = match sense {
                Sense::All => false,
                Sense::Most(of) => self.random.one_in(of),
                Sense::None => true,
            };
            if len == 1 && is_pointer(field.name) {
                let pointer = self.pointer(field.name, index, nr, is_odd);
                bytes.extend_from_slice(&pointer.to_ne_bytes());
            } else if field.name == "name" || field.name == "comm" {
                bytes.extend(self.name(len, is_odd));
            } else {
                for element in 0..len {
                    let value = if is_odd {
                        self.odd()
                    } else {
                        self.good(of, field.name, nr, element)
                    };
                    let value = match (of.name, field.name) {
                        ("MemShare", "bytes") => bearable(value),
                        _ => value,
                    };
                    bytes.extend_from_slice(value.to_ne_bytes().get(..size).unwrap_or_default());
                }
            }
        }
        self.stretch(of, sense, bytes)
    }

    /// Changes its length and, mostly, what it says of it.
    fn stretch(&mut self, of: &Struct, sense: Sense, mut bytes: Vec<u8>) -> Vec<u8> {
        let told = match sense {
            Sense::All => of.size,
            _ => match self.random.below(12) {
                0 => self.odd() as usize,
                1 => of.size + self.random.pick(&[1, 4, 8, 4096]),
                2 => of.size.saturating_sub(self.random.pick(&[1, 4, 8, 4096])),
                _ => of.size,
            },
        };
        if sense != Sense::All && self.random.one_in(8) {
            let fill = self.random.pick(&[0, 0, 1, 255]);
            bytes.resize(bytes.len() + self.random.pick(&[1, 8, 64, 4096]), fill);
        }
        // CAST: cut as the field is.
        if let Some(size) = bytes.get_mut(..4) {
            if find(of.name)
                .is_some_and(|of| of.fields.first().is_some_and(|field| field.name == "size"))
            {
                size.copy_from_slice(&(told as u32).to_ne_bytes());
            }
        }
        bytes
    }

    /// How many elements the array of a structure has, or bits its CPU sets.
    fn nr(&mut self, of: &Struct) -> u64 {
        match of.name {
            "JobCreate" if self.random.one_in(2) => 0,
            "JobCreate" | "PartitionPolicy" => uapi::NR_MEM_REGIONS as u64,
            "PartitionCreate" | "PartitionResize" => self.random.below(3),
            _ => self.random.pick(&[0, 1, 2, 16, 64, 512]),
        }
    }

    fn pointer(&mut self, name: &str, index: usize, nr: u64, is_odd: bool) -> u64 {
        let target = POINTERS.iter().find(|(known, _)| *known == name);
        let bytes = match target {
            Some((_, Target::Cpus)) => {
                if !is_odd && !self.has_cpus {
                    return 0;
                }
                let word = match self.random.below(6) {
                    0 => self.random.any(),
                    1 => 0,
                    _ => 1 << self.random.below(6) | 1 << self.random.below(6),
                };
                let own = word & self.known.cpus;
                let word = match name {
                    _ if is_odd => word,
                    "cpus_ptr" if self.is_job && own == 0 => self.known.cpus,
                    "cpus_ptr" if self.is_job => own,
                    _ => word & 0x3e,
                };
                let mut bytes = word.to_ne_bytes().to_vec();
                let tail = u8::from(is_odd && self.random.one_in(2));
                bytes.resize(1024, tail);
                bytes
            }
            Some((_, Target::Array(""))) => vec![0; 16384],
            Some((_, Target::Array(of))) => {
                if nr == 0 {
                    return 0;
                }
                let sense = if is_odd { Sense::Most(4) } else { Sense::All };
                let Some(of) = find(of) else { return 0 };
                (0..nr.min(64))
                    .flat_map(|_| self.structure(of, sense))
                    .collect()
            }
            None => Vec::new(),
        };
        let place = if is_odd {
            Place::any(self.random)
        } else {
            Place::Inside
        };
        self.arena.put(1 + index % 3, place, &bytes, self.random)
    }

    fn name(&mut self, len: usize, is_odd: bool) -> Vec<u8> {
        if is_odd {
            let byte = self.random.pick(b"a-/ \0\n\xff");
            return vec![byte; len];
        }
        let mut name = format!("fuzz{}", self.random.below(4)).into_bytes();
        name.resize(len, 0);
        name
    }

    /// A value that a program might mean.
    fn good(&mut self, of: &Struct, field: &str, nr: u64, element: usize) -> u64 {
        const BLOCK: u64 = uapi::MEM_BLOCK_BYTES;
        let random = &mut *self.random;
        let id = match self.known.ids.as_slice() {
            [] => random.below(3),
            ids => random.pick(ids).into(),
        };
        match (of.name, field) {
            ("CallTable", "partition" | "job") if random.one_in(2) => 0,
            ("JobCreate", "partition") if random.one_in(2) => 0,
            (_, "id" | "partition" | "job") => id,
            (_, "nr_bits") => random.pick(&[64, 64, 64, 128, 1024, 8192]),
            ("JobCreate", "nr_cpus") if self.has_cpus => 0,
            ("JobCreate", "nr_cpus") => random.below(3),
            ("JobCreate", "mem_bytes") => {
                random.pick(&[0, uapi::MEM_NONE, BLOCK, 4 * BLOCK, 16 * BLOCK, 5_000_000])
            }
            ("JobCreate", "nr_regions" | "mem_flags" | "heap_step") if nr == 0 => 0,
            (_, "nr" | "nr_mem" | "nr_regions") => nr,
            (_, "mem_flags") => random.below(4),
            (_, "heap_step") => random.pick(&[0, 4096, BLOCK, 8 * BLOCK]),
            ("MemShare", "bytes") => random.pick(&[0, BLOCK, 8 * BLOCK, 32 * BLOCK]),
            ("MemShare", "node") => random.pick(&[0, 1, uapi::MEM_ANY_NODE.into()]),
            ("MemRegion", "order") => random.pick(&[0, 9, 9, 18]),
            ("MemRegion", "placement") => random.below(4),
            ("MemRegion", "nodes") => random.below(4),
            ("MemRegion", "align") => random.pick(&[4096, BLOCK, 1 << 30]),
            ("MemRegion", "align_from") => random.pick(&[0, 4096, BLOCK, u64::MAX]),
            (_, "cpu" | "node") => random.below(8),
            (_, "tid") => match self.known.tids.as_slice() {
                [] => 0,
                tids => random.pick(tids).into(),
            },
            (_, "next") => random.below(600),
            ("CallTable", "moved") => word_of(Table::DEFAULT.moved, element) & random.any(),
            ("CallTable", "native") if random.one_in(2) => 0,
            ("CallTable", "native") => word_of(Table::DEFAULT.native, element),
            ("CallTable", "options") => random.below(8),
            ("CallTable", "batch_ns") => random.pick(&[0, 1, 50_000, 1_000_000]),
            ("CallTable" | "PartitionPolicy" | "MemRegion", "flags") => random.below(2),
            ("MemGet", "flags") if random.one_in(2) => random.below(4),
            _ => 0,
        }
    }

    /// A value at an edge, or any.
    fn odd(&mut self) -> u64 {
        let random = &mut *self.random;
        match random.below(4) {
            0 => random.any(),
            1 => 1 << random.below(64),
            2 => random.pick(&[
                u64::MAX,
                i64::MAX.cast_unsigned(),
                u32::MAX.into(),
                1 << 31,
                0,
            ]),
            _ => random.below(4096),
        }
    }
}
