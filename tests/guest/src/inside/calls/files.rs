// SPDX-License-Identifier: GPL-2.0
//! Calls on files by name and on open files.

use std::fs::{self, File, OpenOptions};
use std::io::{IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{symlink, FileExt, MetadataExt, PermissionsExt};

use anyhow::{Context, Result};
use rustix::event::{epoll, eventfd, EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::fs::{
    accessat, fallocate, fcntl_getfl, memfd_create, sendfile, setxattr, statfs, utimensat, Access,
    AtFlags, FallocateFlags, MemfdFlags, Timestamps, XattrFlags, CWD,
};
use rustix::io::{dup, ioctl_fionread};
use rustix::pipe::{pipe_with, splice, PipeFlags, SpliceFlags};
use rustix::time::{
    timerfd_create, timerfd_gettime, timerfd_settime, Itimerspec, TimerfdClockId, TimerfdFlags,
    TimerfdTimerFlags,
};

use super::Between;

const FOLDER: &str = "/tmp/calls";

/// Names.
pub(super) fn names(_: &[&str]) -> Result<()> {
    // What an earlier run left.
    drop(fs::remove_dir_all(FOLDER));
    let mut marked = Between::begin();
    fs::create_dir(FOLDER).context("mkdir")?;
    std::env::set_current_dir(FOLDER).context("chdir")?;
    marked.say(std::env::current_dir().context("getcwd")?);
    fs::write("a", "hello").context("write")?;
    fs::rename("a", "b").context("rename")?;
    fs::hard_link("b", "c").context("link")?;
    symlink("c", "d").context("symlink")?;
    marked.say(fs::read_link("d").context("readlink")?);
    let data = fs::metadata("d").context("statx")?;
    marked.say((data.len(), data.nlink(), data.mode()));
    fs::set_permissions("b", fs::Permissions::from_mode(0o400)).context("chmod")?;
    marked.say(fs::metadata("c").context("statx")?.mode());
    marked.say(accessat(CWD, "nobody", Access::EXISTS, AtFlags::empty()).is_err());
    setxattr("b", "user.test", b"value", XattrFlags::CREATE).context("setxattr")?;
    let mut value = [0; 16];
    let len = rustix::fs::getxattr("b", "user.test", &mut value[..]).context("getxattr")?;
    marked.say(String::from_utf8_lossy(&value[..len]).into_owned());
    marked.say(statfs("b").context("statfs")?.f_type);
    let time = Timespec {
        tv_sec: 1_000_000,
        tv_nsec: 7,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, "b", &times, AtFlags::empty()).context("utimensat")?;
    let data = fs::symlink_metadata("b").context("statx")?;
    marked.say((data.mtime(), data.mtime_nsec()));
    // Errors pass through.
    for path in ["no/such", "b/c", "d/"] {
        marked.say((path, File::open(path).err()));
    }
    let long = "x".repeat(300);
    marked.say(fs::create_dir(long).err());
    let mut found: Vec<_> = fs::read_dir(".")
        .context("getdents")?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<std::io::Result<_>>()
        .context("getdents")?;
    found.sort();
    marked.say(found);
    for name in ["b", "c", "d"] {
        fs::remove_file(name).context("unlink")?;
    }
    std::env::set_current_dir("/").context("chdir")?;
    fs::remove_dir(FOLDER).context("rmdir")?;
    marked.end();
    Ok(())
}

/// Reading and writing in all ways, at all places.
fn transfer(marked: &mut Between) -> Result<File> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open("/tmp/calls-file")
        .context("open")?;
    file.write_all(b"0123456789").context("write")?;
    file.write_all_at(b"abc", 20).context("pwrite")?;
    let written = file.write_vectored(&[IoSlice::new(b"xy"), IoSlice::new(b"z")]);
    marked.say(written.context("writev")?);
    marked.say(file.seek(SeekFrom::Start(1)).context("lseek")?);
    let (mut one, mut two) = ([0; 4], [0; 8]);
    let pieces = &mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
    marked.say(file.read_vectored(pieces).context("readv")?);
    marked.say((one, two));
    marked.say(file.read_at(&mut two, 20).context("pread")?);
    marked.say(two);
    marked.say(file.read(&mut two).context("read")?);
    file.set_len(4096).context("ftruncate")?;
    marked.say(rustix::fs::fstat(&file).context("fstat")?.st_size);
    file.sync_all().context("fsync")?;
    fallocate(&file, FallocateFlags::empty(), 0, 8192).context("fallocate")?;
    marked.say(file.metadata().context("statx")?.len());
    marked.say(fcntl_getfl(&file).context("fcntl")?);
    let copy = memfd_create("copy", MemfdFlags::CLOEXEC).context("memfd_create")?;
    let mut from = 0;
    marked.say(sendfile(&copy, &file, Some(&mut from), 16).context("sendfile")?);
    let mut to = 16;
    // The other file is on a file system of its own.
    let copied = rustix::fs::copy_file_range(&copy, Some(&mut 4), &copy, Some(&mut to), 8);
    marked.say(copied.context("copy_file_range")?);
    let copy = File::from(copy);
    let mut all = Vec::new();
    (&copy).rewind().context("lseek")?;
    (&copy).read_to_end(&mut all).context("read")?;
    marked.say(all);
    Ok(file)
}

/// Waiting for open files.
fn wait(marked: &mut Between) -> Result<()> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).context("pipe2")?;
    let zero = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let ready = |marked: &mut Between| -> Result<()> {
        let mut files = [PollFd::new(&reader, PollFlags::IN)];
        marked.say(rustix::event::poll(&mut files, Some(&zero)).context("poll")?);
        Ok(())
    };
    ready(marked)?;
    rustix::io::write(&writer, b"four").context("write")?;
    ready(marked)?;
    marked.say(ioctl_fionread(&reader).context("ioctl")?);
    let set = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll_create1")?;
    let data = epoll::EventData::new_u64(9);
    epoll::add(&set, &reader, data, epoll::EventFlags::IN).context("epoll_ctl")?;
    let mut events = Vec::with_capacity(4);
    let found = epoll::wait(&set, rustix::buffer::spare_capacity(&mut events), None);
    marked.say(found.context("epoll_wait")?);
    marked.say(
        events
            .iter()
            .map(|event| event.data.u64())
            .collect::<Vec<_>>(),
    );
    let (other, sink) = pipe_with(PipeFlags::CLOEXEC).context("pipe2")?;
    let spliced = splice(&reader, None, &sink, None, 3, SpliceFlags::empty());
    marked.say(spliced.context("splice")?);
    let mut bytes = [0; 8];
    marked.say(rustix::io::read(&other, &mut bytes).context("read")?);
    marked.say(bytes);
    let counter = eventfd(5, EventfdFlags::NONBLOCK).context("eventfd2")?;
    marked.say(rustix::io::read(&counter, &mut bytes).context("read")?);
    marked.say(u64::from_ne_bytes(bytes));
    marked.say(rustix::io::read(&counter, &mut bytes));
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC);
    let timer = timer.context("timerfd_create")?;
    let soon = Itimerspec {
        it_interval: zero,
        it_value: Timespec {
            tv_sec: 0,
            tv_nsec: 2_000_000,
        },
    };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &soon).context("timerfd_settime")?;
    // It waits there until the timer is over.
    marked.say(rustix::io::read(&timer, &mut bytes).context("read")?);
    marked.say(u64::from_ne_bytes(bytes));
    marked.say(timerfd_gettime(&timer).context("timerfd_gettime")?);
    Ok(())
}

/// Open files.
pub(super) fn descriptors(_: &[&str]) -> Result<()> {
    let mut marked = Between::begin();
    let file = transfer(&mut marked)?;
    let copy = dup(&file).context("dup")?;
    drop(copy);
    wait(&mut marked)?;
    drop(file);
    // Errors pass through: nowhere to read to, nothing to write to.
    let zero = File::open("/dev/zero").context("open")?;
    marked.say(crate::sys::io::read_to_nowhere(&zero));
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).context("pipe2")?;
    drop(reader);
    marked.say(rustix::io::write(&writer, b"x"));
    let folder = File::open("/").context("open")?;
    marked.say((&folder).read(&mut [0; 1]).err());
    marked.end();
    fs::remove_file("/tmp/calls-file").context("unlink")
}
