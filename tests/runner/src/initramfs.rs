// SPDX-License-Identifier: GPL-2.0
//! The initramfs: a newc archive with `/init`, static programs and the links to busybox.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{ensure, Context, Result};
use cpio::newc::{trailer, Builder};

/// The busybox programs that guests call by name.
const APPLETS: &[&str] = &[
    "cat", "cmp", "cp", "echo", "find", "grep", "head", "ip", "kill", "ls", "md5sum", "mkdir",
    "mke2fs", "mount", "rm", "sed", "seq", "sh", "sleep", "sort", "taskset", "true", "umount",
    "wc",
];

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const SYMLINK: u32 = 0o120_777;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// Writes the archive: each program under its name, which must be linked statically, and the links to `bin/busybox`.
///
/// # Errors
///
/// If a program cannot be read or needs libraries, or the archive cannot be written.
pub fn write(to: &Path, programs: &[(&str, &Path)]) -> Result<()> {
    let file = File::create(to).with_context(|| to.display().to_string())?;
    let mut archive = Archive {
        out: BufWriter::new(file),
        entries: 0,
    };
    for folder in ["bin", "dev", "proc", "sys", "tmp"] {
        archive.add(folder, DIRECTORY, &[])?;
    }
    // The kernel opens it for init before devtmpfs is there: without it init's messages are lost.
    archive.add_device("dev/console", CHARACTER_DEVICE, 5, 1)?;
    for &(name, path) in programs {
        let program = std::fs::read(path).with_context(|| path.display().to_string())?;
        ensure!(
            is_static(&program)?,
            "{} is not linked statically: the guest has no libraries",
            path.display()
        );
        archive.add(name, PROGRAM, &program)?;
    }
    for applet in APPLETS {
        archive.add(&format!("bin/{applet}"), SYMLINK, b"busybox")?;
    }
    let mut out = trailer(archive.out).context("closing the archive")?;
    out.flush().with_context(|| to.display().to_string())
}

struct Archive<W: Write> {
    out: W,
    entries: u32,
}

impl<W: Write> Archive<W> {
    fn add(&mut self, name: &str, mode: u32, data: &[u8]) -> Result<()> {
        self.write(Builder::new(name).mode(mode), data)
            .with_context(|| name.to_owned())
    }

    fn add_device(&mut self, name: &str, mode: u32, major: u32, minor: u32) -> Result<()> {
        self.write(
            Builder::new(name)
                .mode(mode)
                .rdev_major(major)
                .rdev_minor(minor),
            &[],
        )
        .with_context(|| name.to_owned())
    }

    fn write(&mut self, entry: Builder, data: &[u8]) -> Result<()> {
        // Distinct inode numbers keep the kernel from taking two entries for hard links.
        self.entries += 1;
        let mut writer = entry
            .ino(self.entries)
            .nlink(1)
            .write(&mut self.out, u32::try_from(data.len())?);
        writer.write_all(data)?;
        writer.finish()?;
        Ok(())
    }
}

/// Whether an ELF program asks for no interpreter.
fn is_static(program: &[u8]) -> Result<bool> {
    const PT_INTERP: u32 = 3;
    let number = |at: usize, len: usize| -> Result<usize> {
        let bytes = program.get(at..at + len).context("not a whole ELF file")?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |value, &byte| value << 8 | usize::from(byte)))
    };
    ensure!(
        program.starts_with(b"\x7fELF\x02\x01"),
        "not a 64-bit ELF program"
    );
    // Offsets of Elf64_Ehdr: e_phoff, e_phentsize, e_phnum; p_type is the first word of Elf64_Phdr.
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for index in 0..count {
        if number(table + index * size, 4)? == PT_INTERP as usize {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archive_holds_the_console_and_the_links() {
        let mut archive = Archive {
            out: Vec::new(),
            entries: 0,
        };
        archive
            .add_device("dev/console", CHARACTER_DEVICE, 5, 1)
            .expect("device");
        archive.add("bin/sh", SYMLINK, b"busybox").expect("link");
        let bytes = trailer(archive.out).expect("trailer");
        let first = cpio::NewcReader::new(bytes.as_slice()).expect("first entry");
        let entry = first.entry();
        assert_eq!(
            (entry.name(), entry.mode()),
            ("dev/console", CHARACTER_DEVICE)
        );
        assert_eq!((entry.rdev_major(), entry.rdev_minor()), (5, 1));
        let mut second =
            cpio::NewcReader::new(first.finish().expect("skip")).expect("second entry");
        assert_eq!(
            (second.entry().name(), second.entry().mode()),
            ("bin/sh", SYMLINK)
        );
        let mut target = String::new();
        std::io::Read::read_to_string(&mut second, &mut target).expect("target");
        assert_eq!(target, "busybox");
    }

    #[test]
    fn dynamic_programs_and_scripts_are_told_apart() {
        let mut elf = vec![0; 64 + 56];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (elf[32], elf[54], elf[56]) = (64, 56, 1);
        elf[64] = 1;
        assert!(is_static(&elf).expect("an ELF file"));
        elf[64] = 3;
        assert!(!is_static(&elf).expect("an ELF file"));
        elf.truncate(64);
        assert!(is_static(&elf).is_err());
        assert!(is_static(b"#!/bin/sh\n").is_err());
    }
}
