// SPDX-License-Identifier: GPL-2.0
//! A scheduler of sched_ext without a callback: tasks run first in, first out from one queue. It is registered by the
//! system call itself, for which its structure is found in the kernel's type information (`btf.rst`).

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{ensure, Context, Result};
use nix::errno::Errno;
use nix::libc;

const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const MAP_DELETE_ELEM: libc::c_int = 3;
const BTF_LOAD: libc::c_int = 18;
const MAP_TYPE_STRUCT_OPS: u32 = 26;

const KIND_STRUCT: u32 = 4;

/// The fields of `union bpf_attr` that `BPF_MAP_CREATE` of such a map needs.
#[repr(C)]
#[derive(Default)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    unused: [u32; 8],
    btf_fd: u32,
    unused_too: [u32; 2],
    btf_vmlinux_value_type_id: u32,
}

/// Those that loading type information needs.
#[repr(C)]
struct BtfLoad {
    btf: u64,
    log: u64,
    size: u64,
}

/// Those that changes of an element need.
#[repr(C)]
struct MapElem {
    map_fd: u64,
    key: u64,
    value: u64,
    flags: u64,
}

/// A structure of the kernel.
struct Type {
    id: u32,
    size: usize,
    /// Names of members with their offsets in bytes.
    members: Vec<(String, usize)>,
}

fn word(data: &[u8], offset: usize) -> Result<u32> {
    let bytes = data
        .get(offset..offset + 4)
        .context("the type information ends early")?;
    Ok(u32::from_ne_bytes(bytes.try_into()?))
}

/// Finds a structure in the kernel's type information.
fn find(data: &[u8], wanted: &str) -> Result<Type> {
    let base = word(data, 4)? as usize;
    let types = base + word(data, 8)? as usize;
    let end = types + word(data, 12)? as usize;
    let strings = base + word(data, 16)? as usize;
    let name = |offset: u32| -> Result<&str> {
        let rest = data.get(strings + offset as usize..).context("a name")?;
        let len = rest.iter().position(|byte| *byte == 0).context("a name")?;
        Ok(std::str::from_utf8(rest.get(..len).unwrap_or_default())?)
    };
    let (mut at, mut id) = (types, 1);
    while at < end {
        let info = word(data, at + 4)?;
        let (kind, count) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        let details = at + 12;
        if kind == KIND_STRUCT && name(word(data, at)?)? == wanted {
            let member = |index: usize| {
                let member = details + 12 * index;
                let bits = word(data, member + 8)? & 0xff_ffff;
                Ok((name(word(data, member)?)?.to_owned(), bits as usize / 8))
            };
            return Ok(Type {
                id,
                size: word(data, at + 8)? as usize,
                members: (0..count).map(member).collect::<Result<_>>()?,
            });
        }
        at = details
            + match kind {
                1 | 14 | 17 => 4,
                3 => 12,
                4 | 5 | 15 | 19 => 12 * count,
                6 | 13 => 8 * count,
                _ => 0,
            };
        id += 1;
    }
    anyhow::bail!("the kernel has no structure {wanted}")
}

impl Type {
    fn offset(&self, member: &str) -> Result<usize> {
        let found = self.members.iter().find(|(name, _)| name == member);
        Ok(found.with_context(|| format!("no member {member}"))?.1)
    }
}

fn bpf<T>(command: libc::c_int, attr: &T) -> Result<i32> {
    // SAFETY: The kernel reads the structure, and what the numbers in it point to lives through the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attr, size_of::<T>()) };
    Ok(i32::try_from(
        Errno::result(result).with_context(|| format!("bpf({command})"))?,
    )?)
}

/// Loads the type information of a program that has one type, `int`: the map must belong to some program's.
fn load_types() -> Result<OwnedFd> {
    const STRINGS: &[u8] = b"\0int\0";
    // Version and magic; lengths and offsets of header, types and strings; name, kind, size and encoding of the type.
    let words: [u32; 10] = [0x1_eb9f, 24, 0, 16, 16, 5, 1, 1 << 24, 4, 1 << 24 | 32];
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes.extend(STRINGS);
    let load = BtfLoad {
        // CAST: Pointers travel as `u64`.
        btf: bytes.as_ptr() as u64,
        log: 0,
        size: bytes.len() as u64,
    };
    let fd = bpf(BTF_LOAD, &load)?;
    // SAFETY: The call made a descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The scheduler, which schedules as long as this lives and the kernel does not end it.
pub(crate) struct Scheduler(OwnedFd);

impl Scheduler {
    /// Registers it.
    pub(crate) fn start() -> Result<Scheduler> {
        let path = "/sys/kernel/btf/vmlinux";
        let types = fs::read(path).context(path)?;
        let value = find(&types, "bpf_struct_ops_sched_ext_ops")?;
        let name = value.offset("data")? + find(&types, "sched_ext_ops")?.offset("name")?;
        let own = load_types()?;
        let create = MapCreate {
            btf_fd: u32::try_from(own.as_raw_fd())?,
            map_type: MAP_TYPE_STRUCT_OPS,
            key_size: 4,
            value_size: u32::try_from(value.size)?,
            max_entries: 1,
            btf_vmlinux_value_type_id: value.id,
            ..MapCreate::default()
        };
        let fd = bpf(MAP_CREATE, &create)?;
        // SAFETY: The call made a descriptor that nobody else has.
        let map = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut bytes = vec![0_u8; value.size];
        for (to, from) in bytes.iter_mut().skip(name).zip(b"lwktest") {
            *to = *from;
        }
        let scheduler = Scheduler(map);
        scheduler.change(MAP_UPDATE_ELEM, bytes.as_ptr() as u64)?;
        ensure!(is_on()?, "registered, but not enabled");
        Ok(scheduler)
    }

    fn change(&self, command: libc::c_int, value: u64) -> Result<()> {
        let key = 0_u32;
        let elem = MapElem {
            // CAST: Not negative; pointers travel as `u64`.
            map_fd: self.0.as_raw_fd() as u64,
            key: &raw const key as u64,
            value,
            flags: 0,
        };
        bpf(command, &elem)?;
        Ok(())
    }

    /// Ends it.
    pub(crate) fn stop(self) -> Result<()> {
        self.change(MAP_DELETE_ELEM, 0)
    }
}

/// Whether a scheduler of sched_ext schedules.
pub(crate) fn is_on() -> Result<bool> {
    let path = "/sys/kernel/sched_ext/state";
    Ok(fs::read_to_string(path).context(path)?.trim() == "enabled")
}
