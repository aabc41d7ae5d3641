// SPDX-License-Identifier: GPL-2.0
//! Files and communication of others.

use std::fs::{self, File};
use std::io::{Read, Write};

use anyhow::{ensure, Context, Result};
use nix::mqueue::{mq_close, mq_open, mq_receive, mq_send, mq_unlink, MQ_OFlag, MqAttr};
use nix::sys::stat::Mode;
use rustix::event::{eventfd as make_eventfd, poll, EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::io;
use rustix::mount::{mount as mount_it, unmount, MountFlags, UnmountFlags};

use crate::kernel;
use crate::measure::Meter;
use crate::sys::disturb;

pub(super) fn file_io(meter: &mut Meter) -> Result<()> {
    let path = format!("/dev/shm/noise-{}", std::process::id());
    let data = vec![7; 64 << 10];
    meter.disturb(|_| {
        fs::write(&path, &data)?;
        let got = fs::read(&path)?;
        ensure!(
            got == data,
            "{} bytes of {} came back",
            got.len(),
            data.len()
        );
        Ok(fs::remove_file(&path)?)
    })
}

pub(super) fn random(meter: &mut Meter) -> Result<()> {
    let mut source = File::open("/dev/urandom").context("/dev/urandom")?;
    let mut buffer = [0; 4096];
    meter.disturb(|_| Ok(source.read_exact(&mut buffer)?))
}

pub(super) fn pipe(meter: &mut Meter) -> Result<()> {
    let (reader, writer) = rustix::pipe::pipe().context("pipe")?;
    let mut buffer = [0; 512];
    meter.disturb(|_| {
        let written = io::write(&writer, &[1; 512])?;
        let got = io::read(&reader, &mut buffer)?;
        ensure!(
            written == 512 && got == 512,
            "{got} of {written} bytes came"
        );
        Ok(())
    })
}

pub(super) fn eventfd(meter: &mut Meter) -> Result<()> {
    let event = make_eventfd(0, EventfdFlags::empty()).context("eventfd")?;
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut value = [0; 8];
    meter.disturb(|_| {
        io::write(&event, &1_u64.to_ne_bytes())?;
        let ready = poll(&mut [PollFd::new(&event, PollFlags::IN)], Some(&now))?;
        ensure!(ready == 1, "the event did not come");
        io::read(&event, &mut value)?;
        Ok(())
    })
}

pub(super) fn proc_read(meter: &mut Meter) -> Result<()> {
    meter.disturb(|_| {
        for path in [
            "/proc/stat",
            "/proc/interrupts",
            "/proc/vmstat",
            "/proc/meminfo",
            "/proc/schedstat",
        ] {
            kernel::read(path)?;
        }
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if name.parse::<u32>().is_ok() {
                // Any process may end before it is read.
                let _ = fs::read(format!("/proc/{name}/stat"));
                let _ = fs::read(format!("/proc/{name}/status"));
                let _ = fs::read(format!("/proc/{name}/maps"));
            }
        }
        Ok(())
    })
}

pub(super) fn mount(meter: &mut Meter) -> Result<()> {
    const WHERE: &str = "/tmp/noise-mount";
    fs::create_dir_all(WHERE).context(WHERE)?;
    meter.disturb(|_| {
        mount_it("none", WHERE, "tmpfs", MountFlags::empty(), None)?;
        fs::write(format!("{WHERE}/file"), "x")?;
        Ok(unmount(WHERE, UnmountFlags::empty())?)
    })
}

pub(super) fn io_uring(meter: &mut Meter) -> Result<()> {
    meter.disturb(|_| disturb::io_uring())
}

pub(super) fn sysv_shm(meter: &mut Meter) -> Result<()> {
    meter.disturb(|_| disturb::sysv_shared_memory())
}

pub(super) fn sysv_sem(meter: &mut Meter) -> Result<()> {
    meter.disturb(|_| disturb::sysv_semaphore())
}

pub(super) fn mqueue(meter: &mut Meter) -> Result<()> {
    let name = c"/noise";
    let attr = MqAttr::new(0, 4, 64, 0);
    let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_RDWR;
    meter.disturb(|_| {
        let queue = mq_open(name, flags, Mode::S_IRUSR | Mode::S_IWUSR, Some(&attr))?;
        mq_send(&queue, b"hello", 1)?;
        let (mut buffer, mut priority) = ([0; 64], 0);
        let got = mq_receive(&queue, &mut buffer, &mut priority)?;
        ensure!(
            got == 5 && priority == 1,
            "{got} bytes of priority {priority}"
        );
        mq_close(queue)?;
        Ok(mq_unlink(name)?)
    })
}

pub(super) fn add_key(meter: &mut Meter) -> Result<()> {
    meter.disturb(disturb::add_key)
}

pub(super) fn kmsg(meter: &mut Meter) -> Result<()> {
    let mut log = File::options()
        .write(true)
        .open("/dev/kmsg")
        .context("/dev/kmsg")?;
    // Of a level that does not go to the console, which is a slow device.
    meter.disturb(|number| Ok(log.write_all(format!("<7>bench-guest: {number}\n").as_bytes())?))
}
