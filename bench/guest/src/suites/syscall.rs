// SPDX-License-Identifier: GPL-2.0
//! System calls, one by one: the entry alone, and those that programs use most.
//!
//! [`files`] has the calls on descriptors, [`others`] the rest. Each call is measured where it is made (`local`), on
//! LWK CPUs also moved to a CPU of Linux, and those that stay also in a job that moves others.

mod files;
mod others;

use anyhow::{ensure, Result};
use rustix::process::{getppid, Pid};

use super::EMPTY;
use crate::measure::Meter;
use crate::spec::{Bench, Suite};

/// Defines the suite from lines `"name" => function, iterations, "sentence";`, first those of calls that jobs move unless
/// they say otherwise, then those of several calls that stay, then of one that stays.
macro_rules! calls {
    (
        moved { $($name:literal => $run:path, $iterations:literal, $about:literal $(, $quick:ident)?;)* }
        several { $($many:literal => $many_run:path, $times:literal, $them:literal;)* }
        stay { $($own:literal => $own_run:path, $nr:literal, $what:literal $(, $quickly:ident)?;)* }
    ) => {
        /// The suite.
        pub(super) const SUITE: Suite = Suite {
            name: "syscall",
            about: "system calls: what one costs where it is made, and moved to another CPU",
            benches: &[
                EMPTY,
                $(Bench::inside($name, $about, $iterations, $run).local()$(.$quick())?,)*
                $(Bench::inside($many, $them, $times, $many_run).local(),)*
                $(Bench::inside($own, $what, $nr, $own_run).local()$(.$quickly())?,)*
                $(Bench::inside($own, $what, $nr, $own_run).in_moving_job()$(.$quickly())?,)*
                $(Bench::inside($name, $about, $iterations, $run).moved()$(.$quick())?,)*
                $(Bench::inside($many, $them, $times, $many_run).moved(),)*
                $(Bench::inside($own, $what, $nr, $own_run).moved()$(.$quickly())?,)*
            ],
            not_built: &[],
        };
    };
}

calls! { moved {
    "read" => files::read, 500, "Reads 64 bytes from /dev/zero.", quick;
    "write" => files::write, 500, "Writes 64 bytes to /dev/null.";
    "pread" => files::pread, 500, "Reads 64 bytes at an offset of a file in memory.";
    "pwrite" => files::pwrite, 500, "Writes 64 bytes at an offset of a file in memory.";
    "writev" => files::writev, 500, "Writes two pieces to /dev/null.";
    "open" => files::open, 200, "Opens /dev/null.", quick;
    "close" => files::close, 200, "Closes a descriptor of /dev/null.";
    "stat" => files::stat, 500, "Asks for the attributes of a path.";
    "fstat" => files::fstat, 500, "Asks for the attributes of a descriptor.";
    "access" => files::access, 500, "Asks whether a path may be read.";
    "lseek" => files::lseek, 500, "Moves the offset of a file in memory.";
    "fcntl" => files::fcntl, 500, "Asks for the flags of a descriptor.";
    "ioctl" => files::ioctl, 500, "Asks how many bytes a pipe holds.";
    "dup" => files::dup, 200, "Duplicates a descriptor.";
    "pipe" => files::pipe, 100, "Makes a pipe.";
    "getdents" => files::getdents, 200, "Lists a directory of two files.";
    "readlink" => files::readlink, 200, "Reads the link /proc/self/exe.";
    "poll" => files::poll, 500, "Asks whether a pipe is readable, without waiting.";
    "epoll-wait" => files::epoll_wait, 500, "Asks a set of one pipe for events, without waiting.";
    "socket-send" => files::send, 200, "Sends 64 bytes through a pair of sockets and receives them: two calls.";
} several {
    "brk" => others::brk, 200, "Asks for the break, moves it up a page and back: three calls.";
    "mprotect" => others::mprotect, 500, "Takes away and gives back the right to write to a page: two calls.";
} stay {
    "entry" => entry, 1000, "Asks for the parent: the way in and back.", quick;
    "mmap" => others::mmap, 200, "Maps a page.", quick;
    "munmap" => others::munmap, 200, "Unmaps a page that nobody touched.";
    "madvise" => others::madvise, 500, "Gives back a page that nobody touched.";
    "futex" => others::futex, 500, "Wakes nobody.", quick;
    "clock-gettime" => others::clock_gettime, 500, "Reads the clock by a system call.", quick;
    "getpid" => others::getpid, 500, "Asks for the process id.";
    "gettid" => others::gettid, 500, "Asks for the thread id.";
    "sched-yield" => others::sched_yield, 500, "Yields where no other thread wants the CPU.";
    "getaffinity" => others::getaffinity, 500, "Asks for the CPUs of this thread.";
    "nanosleep" => others::nanosleep, 100, "Sleeps for a microsecond.";
    "rt-sigprocmask" => others::sigprocmask, 500, "Asks for the blocked signals.";
    "rt-sigaction" => others::sigaction, 500, "Asks for the action of a signal.";
    "kill" => others::kill, 200, "Sends an ignored signal to itself.";
    "uname" => others::uname, 500, "Asks for the name of the kernel.";
    "getrusage" => others::getrusage, 500, "Asks for the usage of this process.";
} }

fn entry(meter: &mut Meter) -> Result<()> {
    let parent = getppid().map(Pid::as_raw_pid);
    meter.measure(|_| {
        ensure!(getppid().map(Pid::as_raw_pid) == parent, "another parent");
        Ok(())
    })
}
