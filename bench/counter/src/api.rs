// SPDX-License-Identifier: GPL-2.0
//! QEMU's plugin interface, declared from its documentation: the versions 1 (QEMU 7.2) to 7 (QEMU 11).
//!
//! The functions are looked up in the running QEMU and not linked: a QEMU that lacks one gives an error message, and
//! the tests need no QEMU.
//!
//! No version number suits every QEMU: 7.2 takes 1 at most, 9.0 takes 2 at least. So ours is set when the library is
//! loaded, before QEMU reads it, by the functions that this QEMU has. What differs among the versions for us:
//!
//! - from 3 on `qemu_plugin_insn_data` copies the bytes, before it gave a pointer to them;
//! - from 7 on callbacks get a user pointer in place of the plugin's number;
//! - QEMU 10.0 made the vCPU's number a constant of the translated block where vCPUs share a thread of the host, which
//!   is wrong for all but the translating one. It has version 4 like QEMU 9.2, which is taken for as bad.

use std::ffi::{c_char, c_int, c_void, CStr};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::sync::OnceLock;

use crate::block::{Block, Marker};
use crate::code::{Code, Switch};
use crate::gate::Gate;
use crate::plugin::{self, Numbers};

/// The newest version whose declarations these are.
const NEWEST: c_int = 7;
/// The first version of which some QEMU tells wrong vCPUs.
const WRONG_NUMBERS: c_int = 4;
/// `QEMU_PLUGIN_CB_NO_REGS`: callbacks look at no registers.
const NO_REGS: c_int = 0;
/// `QEMU_PLUGIN_MEM_RW`: callbacks at loads and at stores.
const LOADS_AND_STORES: c_int = 3;
/// Longest instruction of x86.
pub(crate) const MAX_INSTRUCTION: usize = 15;

/// The version of the interface that this library wants, an `int` for QEMU.
#[no_mangle]
pub(crate) static qemu_plugin_version: AtomicI32 = AtomicI32::new(1);

#[used]
#[link_section = ".init_array"]
static ON_LOAD: extern "C" fn() = on_load;

/// Functions that came with a version, newest first.
const SIGNS: [(&CStr, c_int); 4] = [
    (c"qemu_plugin_set_pc", 6),
    (c"qemu_plugin_write_memory_vaddr", 5),
    (c"qemu_plugin_read_memory_vaddr", 4),
    (c"qemu_plugin_scoreboard_new", 2),
];

extern "C" fn on_load() {
    let newest = SIGNS.iter().find(|(name, _)| !lookup(name).is_null());
    if let Some(&(_, version)) = newest {
        // ORDERING: QEMU reads it on this thread after the library is loaded.
        qemu_plugin_version.store(version, Relaxed);
    }
}

/// `qemu_info_t`, the part that all versions have.
#[repr(C)]
pub(crate) struct Info {
    target_name: *const c_char,
    version_min: c_int,
    version_cur: c_int,
    system_emulation: bool,
    smp_vcpus: c_int,
    max_vcpus: c_int,
}

/// `struct qemu_plugin_tb`.
enum Tb {}
/// `struct qemu_plugin_insn`.
enum Insn {}

type OnExec = extern "C" fn(u32, *mut c_void);
type OnMemory = extern "C" fn(u32, u32, u64, *mut c_void);
/// The arguments are (id, block) before version 7 and (block, user pointer) since.
type OnTranslation = extern "C" fn(*mut c_void, *mut c_void);
/// The arguments are (id, vCPU) before version 7 and (vCPU, user pointer) since.
type OnStart = extern "C" fn();
/// The arguments are (id, user pointer) before version 7 and (user pointer) since.
type OnExit = extern "C" fn();
type RegisterTranslation = unsafe extern "C" fn(u64, OnTranslation, *mut c_void);
type RegisterStart = unsafe extern "C" fn(u64, OnStart, *mut c_void);
type RegisterExit = unsafe extern "C" fn(u64, OnExit, *mut c_void);
type RegisterTb = unsafe extern "C" fn(*mut Tb, OnExec, c_int, *mut c_void);
type RegisterInsn = unsafe extern "C" fn(*mut Insn, OnExec, c_int, *mut c_void);
type RegisterMemory = unsafe extern "C" fn(*mut Insn, OnMemory, c_int, c_int, *mut c_void);
type NrInsns = unsafe extern "C" fn(*const Tb) -> usize;
type GetInsn = unsafe extern "C" fn(*const Tb, usize) -> *mut Insn;
type Vaddr = unsafe extern "C" fn(*const Insn) -> u64;
type Size = unsafe extern "C" fn(*const Insn) -> usize;
type DataPointer = unsafe extern "C" fn(*const Insn) -> *const u8;
type DataCopy = unsafe extern "C" fn(*const Insn, *mut u8, usize) -> usize;

/// The functions of QEMU that we call.
struct Qemu {
    register_translation: RegisterTranslation,
    register_start: RegisterStart,
    register_exit: RegisterExit,
    register_tb: RegisterTb,
    register_insn: RegisterInsn,
    register_memory: RegisterMemory,
    nr_insns: NrInsns,
    get_insn: GetInsn,
    vaddr: Vaddr,
    size: Size,
    data: Data,
}

/// The two forms of `qemu_plugin_insn_data`.
enum Data {
    Pointer(DataPointer),
    Copy(DataCopy),
}

static QEMU: OnceLock<Qemu> = OnceLock::new();

extern "C" {
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

fn lookup(name: &CStr) -> *mut c_void {
    // SAFETY: `name` is a C string; a null library means all that are loaded.
    unsafe { dlsym(std::ptr::null_mut(), name.as_ptr()) }
}

/// Looks up a function of QEMU as a value of a function type.
macro_rules! function {
    ($name:literal as $type:ty) => {{
        let address = lookup($name);
        if address.is_null() {
            return Err(format!("this QEMU has no {}", $name.to_string_lossy()));
        }
        // SAFETY: The address is that of the function whose type, read off QEMU's header, is named beside it.
        unsafe { std::mem::transmute::<*mut c_void, $type>(address) }
    }};
}

impl Qemu {
    /// Looks up the functions in a QEMU of this version of the interface.
    fn find(version: c_int) -> Result<Self, String> {
        let data = if version >= 3 {
            Data::Copy(function!(c"qemu_plugin_insn_data" as DataCopy))
        } else {
            Data::Pointer(function!(c"qemu_plugin_insn_data" as DataPointer))
        };
        Ok(Self {
            register_translation: function!(
                c"qemu_plugin_register_vcpu_tb_trans_cb" as RegisterTranslation
            ),
            register_start: function!(c"qemu_plugin_register_vcpu_init_cb" as RegisterStart),
            register_exit: function!(c"qemu_plugin_register_atexit_cb" as RegisterExit),
            register_tb: function!(c"qemu_plugin_register_vcpu_tb_exec_cb" as RegisterTb),
            register_insn: function!(c"qemu_plugin_register_vcpu_insn_exec_cb" as RegisterInsn),
            register_memory: function!(c"qemu_plugin_register_vcpu_mem_cb" as RegisterMemory),
            nr_insns: function!(c"qemu_plugin_tb_n_insns" as NrInsns),
            get_insn: function!(c"qemu_plugin_tb_get_insn" as GetInsn),
            vaddr: function!(c"qemu_plugin_insn_vaddr" as Vaddr),
            size: function!(c"qemu_plugin_insn_size" as Size),
            data,
        })
    }
}

/// QEMU's call after loading: reads the arguments and asks for the callbacks.
///
/// # Safety
///
/// Only QEMU calls it, with what its interface promises: `info` is live during the call, `argv` has `argc` C strings.
#[no_mangle]
pub(crate) unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    info: *const Info,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    // SAFETY: QEMU's promise.
    let info = unsafe { &*info };
    let words = (0..usize::try_from(argc).unwrap_or(0)).map(|n| {
        // SAFETY: `n` is below `argc`.
        let word = unsafe { argv.add(n) };
        // SAFETY: It lies in the array that QEMU passed.
        let word = unsafe { *word };
        // SAFETY: Each is a C string that lives as long as the plugin.
        unsafe { CStr::from_ptr(word) }
    });
    match install(id, info, words) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("bench-counter: {error}");
            1
        }
    }
}

fn install<'a>(id: u64, info: &Info, words: impl Iterator<Item = &'a CStr>) -> Result<(), String> {
    if info.version_min > NEWEST {
        let version = info.version_min;
        return Err(format!(
            "this QEMU wants plugins of version {version}, {NEWEST} is known"
        ));
    }
    if !info.system_emulation {
        return Err("only whole machines can be counted".to_owned());
    }
    let words: Result<Vec<&str>, _> = words.map(CStr::to_str).collect();
    let words = words.map_err(|error| format!("arguments: {error}"))?;
    let nr_vcpus = usize::try_from(info.max_vcpus).map_err(|error| error.to_string())?;
    let found = Qemu::find(info.version_cur)?;
    let qemu = QEMU.get_or_init(|| found);
    let numbers = if info.version_cur >= WRONG_NUMBERS {
        Numbers::Translator
    } else {
        Numbers::Right
    };
    plugin::install(&words, nr_vcpus, numbers)?;
    let on_translation = if info.version_cur >= 7 {
        on_translation
    } else {
        on_translation_with_id
    };
    let nothing = std::ptr::null_mut();
    // SAFETY: `id` is ours and the callback has this version's arguments. A surplus argument, the user pointer of
    // version 7, lies in a register that older versions do not look at.
    unsafe { (qemu.register_translation)(id, on_translation, nothing) };
    // SAFETY: As above; the callback looks at no argument.
    unsafe { (qemu.register_start)(id, on_start, nothing) };
    // SAFETY: As above.
    unsafe { (qemu.register_exit)(id, on_exit, nothing) };
    Ok(())
}

/// A block that is being translated.
pub(crate) struct Translation {
    qemu: &'static Qemu,
    /// Live as long as this is, which never leaves the callback.
    tb: *mut Tb,
}

/// An instruction of it.
pub(crate) struct Instruction<'a> {
    of: &'a Translation,
    /// As live as its block.
    insn: *mut Insn,
}

impl Translation {
    /// How many instructions it has.
    pub(crate) fn nr(&self) -> usize {
        // SAFETY: The block is live.
        unsafe { (self.qemu.nr_insns)(self.tb) }
    }

    /// Its instructions.
    pub(crate) fn instructions(&self) -> impl Iterator<Item = Instruction<'_>> {
        (0..self.nr()).map(|n| {
            // SAFETY: The block is live and `n` is below the number of its instructions.
            let insn = unsafe { (self.qemu.get_insn)(self.tb, n) };
            Instruction { of: self, insn }
        })
    }

    /// Has each run of the block counted.
    pub(crate) fn count(&self, block: Block) {
        // SAFETY: The block is live; the word is a number, never followed.
        unsafe { (self.qemu.register_tb)(self.tb, on_block, NO_REGS, pointer(block.word())) };
    }

    /// Has each run of the block counted by call stack.
    pub(crate) fn count_code(&self, code: &'static Code) {
        // SAFETY: The block is live and the code lives for ever.
        unsafe { (self.qemu.register_tb)(self.tb, on_code, NO_REGS, code_pointer(code)) };
    }
}

impl Instruction<'_> {
    /// Its address.
    pub(crate) fn address(&self) -> u64 {
        // SAFETY: The instruction is live.
        unsafe { (self.of.qemu.vaddr)(self.insn) }
    }

    /// Its bytes.
    pub(crate) fn bytes<'a>(&self, buffer: &'a mut [u8; MAX_INSTRUCTION]) -> &'a [u8] {
        // SAFETY: The instruction is live.
        let size = unsafe { (self.of.qemu.size)(self.insn) }.min(MAX_INSTRUCTION);
        match self.of.qemu.data {
            Data::Copy(copy) => {
                // SAFETY: QEMU writes at most `size` bytes, which the buffer has.
                unsafe { copy(self.insn, buffer.as_mut_ptr(), size) };
            }
            Data::Pointer(data) => {
                // SAFETY: The instruction is live.
                let data = unsafe { data(self.insn) };
                // SAFETY: QEMU points to at least `size` bytes of its own, which the buffer does not overlap.
                unsafe { data.copy_to_nonoverlapping(buffer.as_mut_ptr(), size) };
            }
        }
        &buffer[..size]
    }

    /// Has each start of the instruction counted.
    pub(crate) fn count(&self, block: Block) {
        self.on_exec(on_block, pointer(block.word()));
    }

    /// Has each start of the instruction counted by call stack.
    pub(crate) fn count_code(&self, code: &'static Code) {
        self.on_exec(on_code, code_pointer(code));
    }

    /// Has the marker seen whenever it is executed.
    pub(crate) fn mark(&self, marker: Marker) {
        self.on_exec(on_marker, pointer(marker.word()));
    }

    /// Has the gate seen whenever it is executed.
    pub(crate) fn guard(&self, gate: Gate) {
        self.on_exec(on_gate, pointer(gate.word()));
    }

    /// Has the address seen where it keeps a stack pointer.
    pub(crate) fn watch(&self, switch: Switch) {
        let (insn, word) = (self.insn, pointer(switch.word()));
        let register = self.of.qemu.register_memory;
        // SAFETY: The instruction is live; the word is a number, never followed.
        unsafe { register(insn, on_memory, NO_REGS, LOADS_AND_STORES, word) };
    }

    fn on_exec(&self, callback: OnExec, word: *mut c_void) {
        // SAFETY: The instruction is live and the callback knows what the word is.
        unsafe { (self.of.qemu.register_insn)(self.insn, callback, NO_REGS, word) };
    }
}

/// A number for QEMU to carry.
fn pointer(word: u64) -> *mut c_void {
    // CAST: The counter is for 64-bit hosts; its words are as wide as a pointer.
    std::ptr::without_provenance_mut(word as usize)
}

/// The number that it carried.
fn word(pointer: *mut c_void) -> u64 {
    // CAST: As in `pointer`.
    pointer.addr() as u64
}

// Words of 64 bits travel in pointers.
const _: () = assert!(size_of::<*mut c_void>() == size_of::<u64>());

fn code_pointer(code: &'static Code) -> *mut c_void {
    std::ptr::from_ref(code).cast_mut().cast()
}

extern "C" fn on_start() {
    plugin::starts();
}

extern "C" fn on_translation_with_id(_id: *mut c_void, tb: *mut c_void) {
    on_translation(tb, std::ptr::null_mut());
}

extern "C" fn on_translation(tb: *mut c_void, _user: *mut c_void) {
    if let Some(qemu) = QEMU.get() {
        let tb = tb.cast();
        plugin::translated(&Translation { qemu, tb });
    }
}

extern "C" fn on_block(vcpu: u32, pointer: *mut c_void) {
    plugin::runs(vcpu, Block::from_word(word(pointer)));
}

extern "C" fn on_code(vcpu: u32, pointer: *mut c_void) {
    let code: *const Code = pointer.cast_const().cast();
    // SAFETY: `code_pointer` made it from a reference that lives for ever, and it is registered with no other.
    plugin::runs_code(vcpu, unsafe { &*code });
}

extern "C" fn on_marker(vcpu: u32, pointer: *mut c_void) {
    if let Some(marker) = Marker::from_word(word(pointer)) {
        plugin::marks(vcpu, marker);
    }
}

extern "C" fn on_gate(vcpu: u32, pointer: *mut c_void) {
    if let Some(gate) = Gate::from_word(word(pointer)) {
        plugin::passes(vcpu, gate);
    }
}

extern "C" fn on_memory(vcpu: u32, _info: u32, address: u64, pointer: *mut c_void) {
    if let Some(switch) = Switch::from_word(word(pointer)) {
        plugin::switches(vcpu, switch, address);
    }
}

extern "C" fn on_exit() {
    plugin::exits();
}
