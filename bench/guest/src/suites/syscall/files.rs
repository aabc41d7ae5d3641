// SPDX-License-Identifier: GPL-2.0
//! Calls on descriptors and paths.

use std::os::fd::OwnedFd;

use anyhow::{ensure, Context, Result};
use rustix::buffer::spare_capacity;
use rustix::event::{epoll, PollFd, PollFlags, Timespec};
use rustix::fs::{
    memfd_create, Access, AtFlags, FileType, MemfdFlags, Mode, OFlags, RawDir, SeekFrom, CWD,
};
use rustix::io::IoSlice;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::{fs, io, net};

use crate::measure::Meter;

/// Bytes of one transfer.
const SIZE: usize = 64;

/// Bytes of the file in memory.
const FILE: u64 = 4096;

/// No time at all.
const NOW: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

fn device(path: &str) -> Result<OwnedFd> {
    fs::open(path, OFlags::RDWR, Mode::empty()).with_context(|| path.to_owned())
}

/// A file of one page in memory.
fn file() -> Result<OwnedFd> {
    let file = memfd_create("syscall", MemfdFlags::empty()).context("memfd_create")?;
    let written = io::write(&file, &[1; FILE as usize]).context("filling it")?;
    ensure!(written as u64 == FILE, "wrote {written}");
    Ok(file)
}

fn whole(count: usize) -> Result<()> {
    ensure!(count == SIZE, "{count} bytes of {SIZE}");
    Ok(())
}

pub(super) fn read(meter: &mut Meter) -> Result<()> {
    let zero = device("/dev/zero")?;
    let mut buffer = [1; SIZE];
    meter.measure(|_| whole(io::read(&zero, &mut buffer)?))?;
    ensure!(buffer == [0; SIZE], "zeros are not zero");
    Ok(())
}

pub(super) fn write(meter: &mut Meter) -> Result<()> {
    let null = device("/dev/null")?;
    meter.measure(|_| whole(io::write(&null, &[1; SIZE])?))
}

pub(super) fn pread(meter: &mut Meter) -> Result<()> {
    let file = file()?;
    let mut buffer = [0; SIZE];
    meter.measure(|_| whole(io::pread(&file, &mut buffer, 128)?))?;
    ensure!(buffer == [1; SIZE], "read {buffer:?}");
    Ok(())
}

pub(super) fn pwrite(meter: &mut Meter) -> Result<()> {
    let file = file()?;
    meter.measure(|_| whole(io::pwrite(&file, &[2; SIZE], 128)?))
}

pub(super) fn writev(meter: &mut Meter) -> Result<()> {
    let null = device("/dev/null")?;
    let half = [0; SIZE / 2];
    meter.measure(|_| {
        let pieces = [IoSlice::new(&half), IoSlice::new(&half)];
        whole(io::writev(&null, &pieces)?)
    })
}

pub(super) fn open(meter: &mut Meter) -> Result<()> {
    let count = usize::try_from(meter.iterations())?;
    meter.measure_batch(
        || Ok(Vec::with_capacity(count)),
        |files| {
            for _ in 0..count {
                files.push(fs::open("/dev/null", OFlags::RDWR, Mode::empty())?);
            }
            Ok(())
        },
        |files| {
            ensure!(files.len() == count, "{} files", files.len());
            Ok(())
        },
    )
}

pub(super) fn close(meter: &mut Meter) -> Result<()> {
    let count = meter.iterations();
    meter.measure_batch(
        || {
            (0..count)
                .map(|_| device("/dev/null"))
                .collect::<Result<Vec<_>>>()
        },
        |files| {
            files.clear();
            Ok(())
        },
        |_| Ok(()),
    )
}

pub(super) fn stat(meter: &mut Meter) -> Result<()> {
    meter.measure(|_| {
        let stat = fs::stat("/dev/null")?;
        ensure!(
            FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice,
            "/dev/null is no device"
        );
        Ok(())
    })
}

pub(super) fn fstat(meter: &mut Meter) -> Result<()> {
    let file = file()?;
    meter.measure(|_| {
        let size = fs::fstat(&file)?.st_size;
        ensure!(u64::try_from(size) == Ok(FILE), "{size} bytes");
        Ok(())
    })
}

pub(super) fn access(meter: &mut Meter) -> Result<()> {
    meter.measure(|_| {
        Ok(fs::accessat(
            CWD,
            "/dev/null",
            Access::READ_OK,
            AtFlags::empty(),
        )?)
    })
}

pub(super) fn lseek(meter: &mut Meter) -> Result<()> {
    let file = file()?;
    meter.measure(|number| {
        let wanted = number % FILE;
        let got = fs::seek(&file, SeekFrom::Start(wanted))?;
        ensure!(got == wanted, "at {got} of {wanted}");
        Ok(())
    })
}

pub(super) fn fcntl(meter: &mut Meter) -> Result<()> {
    let null = device("/dev/null")?;
    meter.measure(|_| {
        ensure!(
            fs::fcntl_getfl(&null)?.contains(OFlags::RDWR),
            "not writable"
        );
        Ok(())
    })
}

pub(super) fn ioctl(meter: &mut Meter) -> Result<()> {
    let (reader, writer) = rustix::pipe::pipe().context("pipe")?;
    whole(io::write(&writer, &[0; SIZE])?)?;
    meter.measure(|_| whole(usize::try_from(io::ioctl_fionread(&reader)?)?))
}

pub(super) fn dup(meter: &mut Meter) -> Result<()> {
    let null = device("/dev/null")?;
    let count = usize::try_from(meter.iterations())?;
    meter.measure_batch(
        || Ok(Vec::with_capacity(count)),
        |files| {
            for _ in 0..count {
                files.push(io::dup(&null)?);
            }
            Ok(())
        },
        |_| Ok(()),
    )
}

pub(super) fn pipe(meter: &mut Meter) -> Result<()> {
    let count = usize::try_from(meter.iterations())?;
    meter.measure_batch(
        || Ok(Vec::with_capacity(count)),
        |pipes| {
            for _ in 0..count {
                pipes.push(rustix::pipe::pipe()?);
            }
            Ok(())
        },
        |_| Ok(()),
    )
}

pub(super) fn getdents(meter: &mut Meter) -> Result<()> {
    let path = format!("/dev/shm/getdents-{}", std::process::id());
    std::fs::create_dir(&path).with_context(|| path.clone())?;
    for name in ["a", "b"] {
        std::fs::write(format!("{path}/{name}"), "").with_context(|| path.clone())?;
    }
    let folder = fs::open(
        path.as_str(),
        OFlags::RDONLY | OFlags::DIRECTORY,
        Mode::empty(),
    )?;
    let mut buffer = Vec::with_capacity(4096);
    let measured = meter.measure(|_| {
        fs::seek(&folder, SeekFrom::Start(0))?;
        let mut entries = RawDir::new(&folder, buffer.spare_capacity_mut());
        let mut count = 0;
        while let Some(entry) = entries.next() {
            entry?;
            count += 1;
        }
        ensure!(count == 4, "{count} entries");
        Ok(())
    });
    std::fs::remove_dir_all(&path).with_context(|| path.clone())?;
    measured
}

pub(super) fn readlink(meter: &mut Meter) -> Result<()> {
    let mut buffer = Vec::with_capacity(4096);
    meter.measure(|_| {
        buffer.clear();
        fs::readlinkat_raw(CWD, "/proc/self/exe", spare_capacity(&mut buffer))?;
        ensure!(buffer.starts_with(b"/"), "no path");
        Ok(())
    })
}

pub(super) fn poll(meter: &mut Meter) -> Result<()> {
    let (reader, _writer) = rustix::pipe::pipe().context("pipe")?;
    meter.measure(|_| {
        let ready = rustix::event::poll(&mut [PollFd::new(&reader, PollFlags::IN)], Some(&NOW))?;
        ensure!(ready == 0, "an empty pipe is readable");
        Ok(())
    })
}

pub(super) fn epoll_wait(meter: &mut Meter) -> Result<()> {
    let (reader, writer) = rustix::pipe::pipe().context("pipe")?;
    whole(io::write(&writer, &[0; SIZE])?)?;
    let set = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll_create")?;
    epoll::add(
        &set,
        &reader,
        epoll::EventData::new_u64(7),
        epoll::EventFlags::IN,
    )
    .context("epoll_ctl")?;
    let mut events = Vec::with_capacity(4);
    meter.measure(|_| {
        events.clear();
        let ready = epoll::wait(&set, spare_capacity(&mut events), Some(&NOW))?;
        ensure!(ready == 1, "{ready} events");
        Ok(())
    })
}

pub(super) fn send(meter: &mut Meter) -> Result<()> {
    let (one, other) = net::socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::empty(),
        None,
    )
    .context("socketpair")?;
    let mut buffer = [0; SIZE];
    meter.measure(|_| {
        whole(net::send(&one, &[3; SIZE], SendFlags::empty())?)?;
        whole(net::recv(&other, &mut buffer[..], RecvFlags::empty())?.1)
    })?;
    ensure!(buffer == [3; SIZE], "received {buffer:?}");
    Ok(())
}
