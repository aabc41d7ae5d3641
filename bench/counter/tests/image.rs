// SPDX-License-Identifier: GPL-2.0
//! Counts a machine whose every instruction is known: 64 KiB of firmware, assembled here, that go to long mode with the
//! same memory in the lower and the upper half of the addresses and run through windows.
//!
//! It needs `qemu-system-x86_64`, or what the variable `QEMU` names.
#![expect(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use bench_record::counts::{Counts, Vcpu};
use bench_record::marker::{CANCEL, CLOSE, OPEN};

/// Where the firmware lies in the lower half, and in the upper.
const LOW: u32 = 0xffff_0000;
const HIGH: u64 = 0xffff_ff80_ffff_0000;

const PML4: usize = 0x0000;
const PDPT: usize = 0x1000;
const GDT: usize = 0x2000;
const GDT_REGISTER: usize = 0x2040;
const IDT_REGISTER: usize = 0x2050;
const START_16: usize = 0x2800;
const START_32: usize = 0x3000;
const START_64: usize = 0x4000;
const OUTER: usize = 0x5000;
const INNER: usize = 0x5100;
const INT80: usize = 0x5200;
const PAGE_FAULT: usize = 0x5300;
const IDT: usize = 0x6000;
const RESET: usize = 0xfff0;

const MAP: &str = "\
ffffff80ffff5000 T outer
ffffff80ffff5100 T inner
ffffff80ffff5200 T asm_int80_emulation
ffffff80ffff5300 T asm_exc_page_fault
ffffff80ffff5400 D data
";

struct Image(Vec<u8>);

impl Image {
    /// The firmware without what it runs in long mode.
    fn new() -> Self {
        let mut image = Self(vec![0; 0x1_0000]);
        image.tables();
        image.start();
        image.kernel();
        image
    }

    fn put(&mut self, at: usize, bytes: &[u8]) -> usize {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        at + bytes.len()
    }

    fn put_words(&mut self, at: usize, words: &[u64]) {
        for (n, word) in words.iter().enumerate() {
            self.put(at + n * 8, &word.to_le_bytes());
        }
    }

    /// Tables that the CPU has no need to write to: all accessed and dirty bits are set.
    fn tables(&mut self) {
        let pdpt = u64::from(LOW) + PDPT as u64 + 0x23;
        self.put_words(PML4, &[pdpt]);
        self.put_words(PML4 + 511 * 8, &[pdpt]);
        // Pages of 1 GiB: RAM, and what holds the firmware. The second GiB is not there.
        self.put_words(PDPT, &[0xe3, 0, 0, 0xc000_00e3]);
        let code_32 = 0x00cf_9b00_0000_ffff;
        let data_32 = 0x00cf_9300_0000_ffff;
        let code_64 = 0x00af_9b00_0000_ffff;
        self.put_words(GDT, &[0, code_32, data_32, code_64]);
        self.put(GDT_REGISTER, &31_u16.to_le_bytes());
        self.put(GDT_REGISTER + 2, &(LOW + GDT as u32).to_le_bytes());
        self.put(IDT_REGISTER, &0xfff_u16.to_le_bytes());
        self.put_words(IDT_REGISTER + 2, &[u64::from(LOW) + IDT as u64]);
        for (vector, handler) in [(0x0e, PAGE_FAULT), (0x80, INT80)] {
            let to = HIGH + handler as u64;
            let gate = (to & 0xffff) | 0x18 << 16 | 0x8e << 40 | (to >> 16 & 0xffff) << 48;
            self.put_words(IDT + vector * 16, &[gate, to >> 32]);
        }
    }

    /// From the reset vector to long mode.
    fn start(&mut self) {
        // jmp START_16
        let distance = START_16 as i32 - (RESET as i32 + 3);
        let at = self.put(RESET, &[0xe9]);
        self.put(at, &(distance as i16).to_le_bytes());
        let at = self.put(START_16, &[0x2e, 0x66, 0x0f, 0x01, 0x16]); // lgdtl %cs:GDT_REGISTER
        let at = self.put(at, &(GDT_REGISTER as u16).to_le_bytes());
        let at = self.put(at, &[0x66, 0xb8, 0x11, 0, 0, 0, 0x0f, 0x22, 0xc0]); // cr0 = PE
        let at = self.put(at, &[0x66, 0xea]); // ljmpl $8, START_32
        let at = self.put(at, &(LOW + START_32 as u32).to_le_bytes());
        self.put(at, &[8, 0]);
        let mut at = START_32;
        for bytes in [
            &[0x66, 0xb8, 0x10, 0, 0x8e, 0xd8, 0x8e, 0xd0, 0x8e, 0xc0][..], // ds = ss = es = data
            &[0xb8, 0x20, 0, 0, 0, 0x0f, 0x22, 0xe0],                       // cr4 = PAE
            &[0xb8, 0, 0, 0xff, 0xff, 0x0f, 0x22, 0xd8],                    // cr3 = PML4
            &[
                0xb9, 0x80, 0, 0, 0xc0, 0xb8, 0, 1, 0, 0, 0x31, 0xd2, 0x0f, 0x30,
            ], // EFER = LME
            &[0xb8, 0x11, 0, 0, 0x80, 0x0f, 0x22, 0xc0],                    // cr0 = PG + PE
            &[0xea, 0x00, 0x40, 0xff, 0xff, 0x18, 0],                       // ljmp $0x18, START_64
        ] {
            at = self.put(at, bytes);
        }
    }

    /// What runs in the upper half.
    fn kernel(&mut self) {
        // nop; call INNER; nop; ret
        self.put(OUTER, &[0x90, 0xe8, 0xfa, 0, 0, 0, 0x90, 0xc3]);
        self.put(INNER, &[0x90, 0x90, 0xc3]);
        // swapgs; nop; swapgs; iretq
        self.put(
            INT80,
            &[0x0f, 0x01, 0xf8, 0x90, 0x0f, 0x01, 0xf8, 0x48, 0xcf],
        );
        // add $8,%rsp; addq $2,(%rsp); iretq: goes on behind the faulting instruction of two bytes
        self.put(
            PAGE_FAULT,
            &[0x48, 0x83, 0xc4, 8, 0x48, 0x83, 0x04, 0x24, 2, 0x48, 0xcf],
        );
    }

    /// Appends the program that runs in the lower half, between setting up and switching off.
    fn program(&mut self, parts: &[Vec<u8>]) {
        let mut at = self.put(START_64, &[0xbc, 0, 0x80, 0, 0]); // mov $0x8000,%esp
        at = self.put(at, &[0x0f, 0x01, 0x1d]); // lidt IDT_REGISTER(%rip)
        let distance = IDT_REGISTER as i32 - (at as i32 + 4);
        at = self.put(at, &distance.to_le_bytes());
        for part in parts {
            at = self.put(at, part);
        }
        self.put(at, &[0xe6, 0xf4, 0xeb, 0xfe]); // out %al,$0xf4; jmp .
    }
}

/// A marker with the jump behind it.
fn mark(marker: [u8; 7]) -> Vec<u8> {
    [&marker[..], &[0xeb, 0]].concat()
}

/// mov $`times`,%ecx; 1: dec %ecx; jnz 1b
fn spin(times: u32) -> Vec<u8> {
    [&[0xb9][..], &times.to_le_bytes(), &[0xff, 0xc9, 0x75, 0xfc]].concat()
}

/// mov $`times`,%ebx; movabs $OUTER,%rax; 1: call *%rax; dec %ebx; jnz 1b
fn calls(times: u32) -> Vec<u8> {
    let outer = HIGH + OUTER as u64;
    [
        &[0xbb][..],
        &times.to_le_bytes(),
        &[0x48, 0xb8],
        &outer.to_le_bytes(),
        &[0xff, 0xd0, 0xff, 0xcb, 0x75, 0xfa],
    ]
    .concat()
}

/// mov $0x40000000,%edi; jmp 1f; 1: nop; nop; mov (%rdi),%al; nop; nop
fn fault() -> Vec<u8> {
    vec![
        0xbf, 0, 0, 0, 0x40, 0xeb, 0, 0x90, 0x90, 0x8a, 0x07, 0x90, 0x90,
    ]
}

fn windows() -> Vec<Vec<u8>> {
    let int80 = vec![0xcd, 0x80];
    [
        vec![spin(7), mark(OPEN), spin(1000), mark(CLOSE)],
        vec![spin(7), mark(OPEN), calls(10), mark(CLOSE)],
        vec![mark(OPEN), calls(3), mark(CANCEL), calls(3)],
        vec![mark(OPEN), mark(CLOSE)],
        vec![mark(OPEN), int80.clone(), int80, mark(CLOSE)],
        vec![mark(OPEN), fault(), mark(CLOSE)],
    ]
    .concat()
}

fn library() -> PathBuf {
    // Cargo puts it beside the tests.
    let tests = std::env::current_exe().unwrap();
    let library = tests.with_file_name("libbench_counter.so");
    assert!(library.exists(), "{} is not built", library.display());
    library
}

fn qemu(folder: &Path, words: &str) -> Counts {
    let path = |name: &str| folder.join(name).display().to_string();
    std::fs::write(path("System.map"), MAP).unwrap();
    let qemu = std::env::var_os("QEMU").unwrap_or_else(|| "qemu-system-x86_64".into());
    let (counts, map) = (path("counts.json"), path("System.map"));
    let output = Command::new(&qemu)
        .args(["-accel", "tcg,thread=single", "-cpu", "max", "-m", "16M"])
        .args([
            "-icount",
            "shift=0,sleep=off",
            "-nodefaults",
            "-no-user-config",
        ])
        .args(["-display", "none", "-bios", &path("image")])
        .args(["-device", "isa-debug-exit,iobase=0xf4"])
        .arg("-plugin")
        .arg(format!(
            "{},out={counts},map={map}{words}",
            library().display()
        ))
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", qemu.display()));
    let errors = String::from_utf8_lossy(&output.stderr);
    // The device for switching off makes an odd number of what is written to it.
    let is_off = output.status.code().is_some_and(|code| code & 1 == 1);
    assert!(is_off, "{}: {errors}", output.status);
    let json = std::fs::read(&counts).unwrap_or_else(|error| panic!("{error}: {errors}"));
    serde_json::from_slice(&json).unwrap()
}

fn count(program: &[Vec<u8>], words: &str) -> Counts {
    let folder = tempfile::tempdir().unwrap();
    let mut image = Image::new();
    image.program(program);
    std::fs::write(folder.path().join("image"), &image.0).unwrap();
    qemu(folder.path(), words)
}

fn map<const N: usize>(pairs: [(&str, u64); N]) -> BTreeMap<String, u64> {
    pairs.map(|(name, nr)| (name.to_owned(), nr)).into()
}

fn want(user: u64, kernel: u64, stays: Vec<u64>, longest: u64, cause: &str) -> Vcpu {
    let entries = stays.iter().sum();
    Vcpu {
        user,
        kernel,
        entries,
        longest,
        stays,
        causes: match entries {
            0 => BTreeMap::new(),
            _ => map([(cause, entries)]),
        },
        functions: BTreeMap::new(),
    }
}

/// What the windows hold, given the user instructions of the one with the fault.
fn wanted(with_fault: u64) -> Vec<Vcpu> {
    vec![
        // The loop with what sets it up; the closing marker and its jump.
        want(2003, 0, vec![], 0, ""),
        want(34, 70, vec![0, 0, 10], 7, "outer"),
        want(2, 0, vec![], 0, ""),
        want(4, 8, vec![0, 0, 2], 4, "asm_int80_emulation"),
        want(with_fault, 3, vec![0, 1], 3, "asm_exc_page_fault"),
    ]
}

fn first_vcpus(counts: Counts) -> Vec<Vcpu> {
    let windows = counts.windows.into_iter();
    windows.flat_map(|window| window.vcpus).collect()
}

#[test]
fn counts_every_instruction_of_a_known_program() {
    let counts = count(&windows(), "");
    assert!(counts.errors.is_empty());
    // Before the fault 2 and the block of 7 that it cuts, after it the rest of 4.
    assert_eq!(first_vcpus(counts), wanted(13));
}

#[test]
fn counting_by_instruction_is_exact_where_a_fault_cuts_a_block() {
    let counts = count(&windows(), ",exact=on");
    assert_eq!(first_vcpus(counts), wanted(9));
}

#[test]
fn attributes_to_functions_and_stacks() {
    for words in [",stacks=on", ",stacks=on,exact=on"] {
        let counts = count(&windows(), words);
        let window = &counts.windows[1];
        let functions = map([("inner", 30), ("outer", 40)]);
        assert_eq!(window.vcpus[0].functions, functions);
        let stacks = map([("0;outer", 40), ("0;outer;inner", 30)]);
        assert_eq!(window.stacks, stacks);
        let stacks = map([("0;asm_int80_emulation", 8)]);
        assert_eq!(counts.windows[3].stacks, stacks);
    }
}

#[test]
fn tells_of_markers_in_a_wrong_order() {
    let counts = count(&[mark(CLOSE), mark(OPEN), mark(OPEN), spin(3)], "");
    assert!(counts.windows.is_empty());
    let want = [
        "window 0: vCPU 0 closed it without opening it",
        "window 0: vCPU 0 opened it again while it was open",
        "window 0: still open at the end",
    ];
    assert_eq!(counts.errors, want);
}
