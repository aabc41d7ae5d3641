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
//! - from 7 on callbacks get a user pointer in place of the plugin's number.

use std::ffi::{c_char, c_int, c_void, CStr};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::sync::OnceLock;

use crate::block::{Block, Marker};
use crate::counter::Counter;
use crate::options::{Grain, Options};

/// The newest version whose declarations these are.
const NEWEST: c_int = 7;
/// `QEMU_PLUGIN_CB_NO_REGS`: callbacks look at no registers.
const NO_REGS: c_int = 0;
/// Longest instruction of x86.
const MAX_INSTRUCTION: usize = 15;

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
/// The arguments are (id, block) before version 7 and (block, user pointer) since.
type OnTranslation = extern "C" fn(*mut c_void, *mut c_void);
/// The arguments are (id, user pointer) before version 7 and (user pointer) since.
type OnExit = extern "C" fn();
type RegisterTranslation = unsafe extern "C" fn(u64, OnTranslation, *mut c_void);
type RegisterExit = unsafe extern "C" fn(u64, OnExit, *mut c_void);
type RegisterTb = unsafe extern "C" fn(*mut Tb, OnExec, c_int, *mut c_void);
type RegisterInsn = unsafe extern "C" fn(*mut Insn, OnExec, c_int, *mut c_void);
type NrInsns = unsafe extern "C" fn(*const Tb) -> usize;
type GetInsn = unsafe extern "C" fn(*const Tb, usize) -> *mut Insn;
type Vaddr = unsafe extern "C" fn(*const Insn) -> u64;
type Size = unsafe extern "C" fn(*const Insn) -> usize;
type DataPointer = unsafe extern "C" fn(*const Insn) -> *const u8;
type DataCopy = unsafe extern "C" fn(*const Insn, *mut u8, usize) -> usize;

/// The functions of QEMU that we call.
struct Qemu {
    register_translation: RegisterTranslation,
    register_exit: RegisterExit,
    register_tb: RegisterTb,
    register_insn: RegisterInsn,
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

/// What the callbacks work on.
struct Plugin {
    qemu: Qemu,
    counter: Counter,
    grain: Grain,
}

static PLUGIN: OnceLock<Plugin> = OnceLock::new();

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
            register_exit: function!(c"qemu_plugin_register_atexit_cb" as RegisterExit),
            register_tb: function!(c"qemu_plugin_register_vcpu_tb_exec_cb" as RegisterTb),
            register_insn: function!(c"qemu_plugin_register_vcpu_insn_exec_cb" as RegisterInsn),
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
    let options = Options::parse(words.into_iter()).map_err(|error| error.to_string())?;
    let nr_vcpus = usize::try_from(info.max_vcpus).map_err(|error| error.to_string())?;
    let plugin = Plugin {
        qemu: Qemu::find(info.version_cur)?,
        counter: Counter::new(&options, nr_vcpus).map_err(|error| error.to_string())?,
        grain: options.grain,
    };
    if PLUGIN.set(plugin).is_err() {
        return Err("it is loaded already: one counter for each QEMU".to_owned());
    }
    let Some(Plugin { qemu, .. }) = PLUGIN.get() else {
        return Err("it is gone again".to_owned());
    };
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
    unsafe { (qemu.register_exit)(id, on_exit, nothing) };
    Ok(())
}

extern "C" fn on_translation_with_id(_id: *mut c_void, tb: *mut c_void) {
    on_translation(tb, std::ptr::null_mut());
}

/// A block was translated: asks to be called when it runs.
extern "C" fn on_translation(tb: *mut c_void, _user: *mut c_void) {
    let Some(Plugin { qemu, grain, .. }) = PLUGIN.get() else {
        return;
    };
    let tb: *mut Tb = tb.cast();
    // SAFETY: QEMU passes a block that is live during this callback.
    let nr = unsafe { (qemu.nr_insns)(tb) };
    for n in 0..nr {
        // SAFETY: As above, and `n` is below the number of instructions.
        let insn = unsafe { (qemu.get_insn)(tb, n) };
        // SAFETY: The instruction is as live as its block.
        let start = unsafe { (qemu.vaddr)(insn) };
        match grain {
            Grain::Instruction => {
                let word = user_pointer(Block::new(start, 1).word());
                // SAFETY: As above; the user pointer is a number, never followed.
                unsafe { (qemu.register_insn)(insn, on_block, NO_REGS, word) };
            }
            Grain::Block if n == 0 => {
                // CAST: A block has at most 512 instructions.
                let word = user_pointer(Block::new(start, nr as u64).word());
                // SAFETY: As above.
                unsafe { (qemu.register_tb)(tb, on_block, NO_REGS, word) };
            }
            Grain::Block => {}
        }
        let mut bytes = [0; MAX_INSTRUCTION];
        // SAFETY: The instruction is live.
        let bytes = unsafe { qemu.bytes(insn, &mut bytes) };
        if let Some(marker) = Marker::recognise(bytes) {
            let word = user_pointer(marker.word());
            // SAFETY: As above.
            unsafe { (qemu.register_insn)(insn, on_marker, NO_REGS, word) };
        }
    }
}

impl Qemu {
    /// The bytes of an instruction.
    ///
    /// # Safety
    ///
    /// `insn` is live.
    unsafe fn bytes<'a>(
        &self,
        insn: *const Insn,
        buffer: &'a mut [u8; MAX_INSTRUCTION],
    ) -> &'a [u8] {
        // SAFETY: The caller's promise.
        let size = unsafe { (self.size)(insn) }.min(MAX_INSTRUCTION);
        match self.data {
            Data::Copy(copy) => {
                // SAFETY: QEMU writes at most `size` bytes, which the buffer has.
                unsafe { copy(insn, buffer.as_mut_ptr(), size) };
            }
            Data::Pointer(pointer) => {
                // SAFETY: The caller's promise.
                let data = unsafe { pointer(insn) };
                // SAFETY: QEMU points to at least `size` bytes of its own, which the buffer does not overlap.
                unsafe { data.copy_to_nonoverlapping(buffer.as_mut_ptr(), size) };
            }
        }
        &buffer[..size]
    }
}

/// A number for QEMU to carry.
fn user_pointer(word: u64) -> *mut c_void {
    // CAST: The counter is for 64-bit hosts; its words are as wide as a pointer.
    std::ptr::without_provenance_mut(word as usize)
}

extern "C" fn on_block(vcpu: u32, word: *mut c_void) {
    if let Some(plugin) = PLUGIN.get() {
        // CAST: As in `user_pointer`.
        let block = Block::from_word(word.addr() as u64);
        plugin.counter.run(vcpu, block);
    }
}

extern "C" fn on_marker(vcpu: u32, word: *mut c_void) {
    if let Some(plugin) = PLUGIN.get() {
        // CAST: As in `user_pointer`.
        if let Some(marker) = Marker::from_word(word.addr() as u64) {
            plugin.counter.mark(vcpu, marker);
        }
    }
}

extern "C" fn on_exit() {
    let Some(plugin) = PLUGIN.get() else { return };
    // QEMU is ending and takes no error; the file that is not there tells.
    match plugin.counter.finish() {
        Ok(errors) => {
            for error in errors {
                eprintln!("bench-counter: {error}");
            }
        }
        Err(error) => eprintln!("bench-counter: {error}"),
    }
}

// Words of 64 bits travel in pointers.
const _: () = assert!(size_of::<*mut c_void>() == size_of::<u64>());
