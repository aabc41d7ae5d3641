// SPDX-License-Identifier: GPL-2.0
//! A BPF program that may sleep, without a library: it reads eight bytes of the process that has it run.

use core::ffi::{c_long, c_uint};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;

const PROG_LOAD: c_uint = 5;
const PROG_TEST_RUN: c_uint = 10;
const PROG_TYPE_SYSCALL: u32 = 31;
const SLEEPABLE: u32 = 1 << 4;
const COPY_FROM_USER: i32 = 148;

/// One instruction.
#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

const fn op(code: u8, registers: u8, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers,
        offset: 0,
        immediate,
    }
}

/// `bpf_copy_from_user(stack - 8, 8, address)`, whose result is the program's.
fn program(address: u64) -> [Instruction; 7] {
    [
        // r1 = r10 - 8
        op(0xbf, 0xa1, 0),
        op(0x07, 0x01, -8),
        // r2 = 8
        op(0xb7, 0x02, 8),
        // r3 = address, in two halves
        op(0x18, 0x03, address as u32 as i32),
        op(0x00, 0x00, (address >> 32) as u32 as i32),
        op(0x85, 0x00, COPY_FROM_USER),
        op(0x95, 0x00, 0),
    ]
}

/// What `bpf(2)` takes for loading, as far as it is used.
#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

/// What it takes for running.
#[repr(C)]
#[derive(Default)]
struct Run {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
}

fn bpf<T>(command: c_uint, attributes: &mut T) -> nix::Result<c_long> {
    // SAFETY: The kernel reads and writes as many bytes as there are; what they point to lives through the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            core::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    Errno::result(result)
}

/// The program for one address.
pub(crate) struct Reader(OwnedFd);

impl Reader {
    /// Loads it.
    pub(crate) fn load(address: usize) -> Result<Reader> {
        let code = program(address as u64);
        let mut attributes = Load {
            prog_type: PROG_TYPE_SYSCALL,
            insn_cnt: code.len() as u32,
            insns: code.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
            prog_flags: SLEEPABLE,
            ..Default::default()
        };
        let fd = bpf(PROG_LOAD, &mut attributes).context("BPF_PROG_LOAD")?;
        // SAFETY: A new descriptor that nobody else has.
        Ok(Reader(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd)?) }))
    }

    /// Has the calling thread run it; what the helper gave.
    pub(crate) fn run(&self) -> Result<i32> {
        let mut attributes = Run {
            prog_fd: u32::try_from(self.0.as_raw_fd())?,
            ..Default::default()
        };
        bpf(PROG_TEST_RUN, &mut attributes).context("BPF_PROG_TEST_RUN")?;
        Ok(attributes.retval.cast_signed())
    }
}
