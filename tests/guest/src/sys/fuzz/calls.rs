// SPDX-License-Identifier: GPL-2.0
//! System calls of any sense on a region of memory and a few files that are there for nothing else.

use core::ffi::{c_int, c_long, c_void};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use nix::libc;
use nix::sys::signal::{sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal};
use rustix::mm::{mmap_anonymous, MapFlags, ProtFlags};

use crate::random::Random;
use crate::sys::PAGE;

/// Bytes of the region.
const REGION: usize = 32 << 20;
/// Bytes behind it for what calls read and write: times, masks, vectors.
const SCRATCH: usize = 16 * PAGE;

/// What an argument of a call is.
#[derive(Clone, Copy)]
enum Arg {
    /// This number.
    Is(i64),
    /// One of these numbers.
    One(&'static [i64]),
    /// All of these bits that chance wants.
    Bits(i64),
    /// Below this.
    Below(u64),
    /// The beginning of a page of the region.
    Page,
    /// A byte of the region that is aligned for a futex.
    Word,
    /// What is left of the region from the last address on, at most so many pages.
    Len(u64),
    /// One of the files.
    File,
    /// A short time, or none.
    Time,
    /// A few CPUs or nodes.
    Mask,
    /// Zeroes to read, or room to write to.
    Scratch,
    /// A structure for `poll(2)` of one of the files.
    Poll,
}

use Arg::{Below, Bits, File, Is, Len, Mask, One, Page, Poll, Scratch, Time, Word};

const NO: Arg = Is(0);
const SIZES: Arg = One(&[0, 1, 7, 4095, 4096, 4097, 65536]);
const PROT: Arg = One(&[0, 1, 3, 3, 3, 3, 5]);
const ADVICE: Arg = One(&[
    0, 1, 2, 3, 4, 4, 8, 8, 10, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 25,
]);
/// `MAP_FIXED` with private or shared, with and without `NORESERVE`, `POPULATE`, `LOCKED`, `STACK`, `HUGETLB`, of a file
/// where `ANONYMOUS` is missing.
const MAP: Arg = One(&[
    0x32, 0x32, 0x32, 0x4032, 0x8032, 0x2032, 0x2_0032, 0x4_0032, 0x31, 0x31, 0x4031, 0x4_0031,
    0x12, 0x11, 0x8012,
]);
const FUTEX: Arg = One(&[0, 128, 129, 1, 131, 132, 133, 134, 135, 136, 137, 138, 141]);

/// A call and its arguments.
type Call = (c_long, [Arg; 6]);

/// Calls about memory.
const MEMORY: &[Call] = &[
    (
        libc::SYS_mmap,
        [
            Page,
            Len(2048),
            PROT,
            MAP,
            File,
            One(&[0, 0, 4096, 1 << 21]),
        ],
    ),
    (
        libc::SYS_mmap,
        [Page, Len(2048), Is(3), Is(0x32), Is(-1), NO],
    ),
    (libc::SYS_munmap, [Page, Len(1024), NO, NO, NO, NO]),
    (libc::SYS_mprotect, [Page, Len(1024), PROT, NO, NO, NO]),
    (libc::SYS_madvise, [Page, Len(1024), ADVICE, NO, NO, NO]),
    (
        libc::SYS_madvise,
        [Page, Len(1024), One(&[4, 8, 22, 23]), NO, NO, NO],
    ),
    (libc::SYS_mlock, [Page, Len(256), NO, NO, NO, NO]),
    (
        libc::SYS_mlock2,
        [Page, Len(512), One(&[0, 1, 2]), NO, NO, NO],
    ),
    (libc::SYS_munlock, [Page, Len(1024), NO, NO, NO, NO]),
    (
        libc::SYS_mlockall,
        [One(&[1, 2, 3, 4, 5, 7]), NO, NO, NO, NO, NO],
    ),
    (libc::SYS_munlockall, [NO, NO, NO, NO, NO, NO]),
    (
        libc::SYS_mremap,
        [Page, Len(512), One(&[4096, 8192, 1 << 21]), Is(3), Page, NO],
    ),
    (
        libc::SYS_msync,
        [Page, Len(512), One(&[1, 2, 4, 6]), NO, NO, NO],
    ),
    (libc::SYS_mincore, [Page, Len(512), Scratch, NO, NO, NO]),
    (
        libc::SYS_mbind,
        [Page, Len(512), Below(6), Mask, Is(64), One(&[0, 1, 2, 3])],
    ),
    (
        libc::SYS_set_mempolicy,
        [Below(6), Mask, Is(64), NO, NO, NO],
    ),
    (libc::SYS_migrate_pages, [NO, Is(64), Mask, Mask, NO, NO]),
    (
        libc::SYS_pkey_mprotect,
        [Page, Len(512), PROT, Is(-1), NO, NO],
    ),
    (libc::SYS_prctl, [Is(41), Below(2), NO, NO, NO, NO]),
];

/// Calls about threads, time and CPUs.
const THREADS: &[Call] = &[
    (libc::SYS_sched_yield, [NO, NO, NO, NO, NO, NO]),
    (libc::SYS_getcpu, [Scratch, NO, NO, NO, NO, NO]),
    (libc::SYS_getppid, [NO, NO, NO, NO, NO, NO]),
    (libc::SYS_nanosleep, [Time, NO, NO, NO, NO, NO]),
    (
        libc::SYS_clock_nanosleep,
        [One(&[0, 1, 7]), NO, Time, NO, NO, NO],
    ),
    (libc::SYS_futex, [Word, FUTEX, Below(3), Time, Word, NO]),
    (
        libc::SYS_futex,
        [Word, One(&[0, 128, 134, 6]), NO, Time, Word, NO],
    ),
    (libc::SYS_sched_setaffinity, [NO, Is(8), Mask, NO, NO, NO]),
    (
        libc::SYS_sched_getaffinity,
        [NO, Is(128), Scratch, NO, NO, NO],
    ),
    (
        libc::SYS_sched_setscheduler,
        [NO, One(&[0, 3, 5]), Scratch, NO, NO, NO],
    ),
    (
        libc::SYS_sched_rr_get_interval,
        [NO, Scratch, NO, NO, NO, NO],
    ),
    (libc::SYS_setpriority, [NO, NO, Below(20), NO, NO, NO]),
    (
        libc::SYS_membarrier,
        [One(&[0, 2, 4, 8, 16, 32, 64]), NO, NO, NO, NO, NO],
    ),
    (libc::SYS_prctl, [Is(29), Below(100_000), NO, NO, NO, NO]),
    (libc::SYS_setitimer, [Below(3), Time, NO, NO, NO, NO]),
    (libc::SYS_times, [Scratch, NO, NO, NO, NO, NO]),
    (
        libc::SYS_getrusage,
        [One(&[0, -1, 1]), Scratch, NO, NO, NO, NO],
    ),
    (
        libc::SYS_ioprio_set,
        [Is(1), NO, Below(1 << 14), NO, NO, NO],
    ),
    (
        libc::SYS_unshare,
        [One(&[0x200, 0x400, 0x600, 0x40000]), NO, NO, NO, NO, NO],
    ),
];

/// Calls about files; none of them waits longer than a moment.
const FILES: &[Call] = &[
    (libc::SYS_read, [File, Page, SIZES, NO, NO, NO]),
    (libc::SYS_write, [File, Page, SIZES, NO, NO, NO]),
    (
        libc::SYS_pread64,
        [File, Page, SIZES, Below(1 << 20), NO, NO],
    ),
    (
        libc::SYS_pwrite64,
        [File, Page, SIZES, Below(1 << 20), NO, NO],
    ),
    (libc::SYS_ftruncate, [File, Below(4 << 20), NO, NO, NO, NO]),
    (
        libc::SYS_fallocate,
        [File, One(&[0, 1, 3]), Below(1 << 20), SIZES, NO, NO],
    ),
    (libc::SYS_fadvise64, [File, NO, NO, Below(6), NO, NO]),
    (libc::SYS_fsync, [File, NO, NO, NO, NO, NO]),
    (
        libc::SYS_lseek,
        [File, Below(1 << 20), Below(3), NO, NO, NO],
    ),
    (libc::SYS_sendfile, [File, File, NO, SIZES, NO, NO]),
    (libc::SYS_splice, [File, NO, File, NO, SIZES, Bits(15)]),
    (libc::SYS_tee, [File, File, SIZES, Bits(3), NO, NO]),
    (libc::SYS_poll, [Poll, Is(1), Below(5), NO, NO, NO]),
    (libc::SYS_ppoll, [Poll, Is(1), Time, NO, NO, NO]),
    (
        libc::SYS_fcntl,
        [File, Is(1031), One(&[4096, 65536, 1 << 20]), NO, NO, NO],
    ),
    (libc::SYS_fstat, [File, Scratch, NO, NO, NO, NO]),
    (libc::SYS_eventfd2, [NO, Is(0x800), NO, NO, NO, NO]),
    (
        libc::SYS_io_uring_setup,
        [One(&[1, 4, 8]), Scratch, NO, NO, NO, NO],
    ),
    (libc::SYS_memfd_create, [Scratch, Bits(1), NO, NO, NO, NO]),
];

/// What a random call is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum About {
    Memory,
    Threads,
    Files,
}

/// A region of memory that calls map, change and unmap at will, and files that they use.
pub(crate) struct Region {
    at: *mut c_void,
    files: Vec<OwnedFd>,
}

// SAFETY: Its memory is only used by the kernel, by volatile accesses and for numbers that may be torn.
unsafe impl Send for Region {}
// SAFETY: As above.
unsafe impl Sync for Region {}

static REGION_AT: AtomicUsize = AtomicUsize::new(0);

/// Gives a page of the region that is not there memory; ends the process if the fault is anywhere else.
extern "C" fn fill(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: The kernel passes what it knows of the fault.
    let info = unsafe { &*info };
    // SAFETY: A fault has an address.
    let page = unsafe { info.si_addr() }.map_addr(|address| address & !(PAGE - 1));
    // ORDERING: Relaxed: set before there is a handler.
    let start = REGION_AT.load(Ordering::Relaxed);
    if page.addr().wrapping_sub(start) >= REGION || start == 0 {
        // SAFETY: May be called from handlers.
        unsafe { libc::_exit(97) };
    }
    // SAFETY: The page is in the region, where pages are for this; one of hugetlbfs is refused.
    let result = unsafe {
        libc::mmap(
            page,
            PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
            -1,
            0,
        )
    };
    if result == libc::MAP_FAILED {
        // SAFETY: May be called from handlers.
        unsafe { libc::_exit(98) };
    }
}

impl Region {
    /// Reserves one; there may be one in a process. Faults in it get memory.
    pub(crate) fn new(files: Vec<OwnedFd>) -> Result<Region> {
        let len = REGION + SCRATCH + (1 << 21);
        // SAFETY: A null address hint with no MAP_FIXED cannot replace a mapping in use.
        let at = unsafe {
            mmap_anonymous(
                core::ptr::null_mut(),
                len,
                ProtFlags::empty(),
                MapFlags::PRIVATE,
            )
        };
        // At a boundary of large pages, which calls hit with their first pages then.
        let at = at
            .context("a region")?
            .map_addr(|at| at.next_multiple_of(1 << 21));
        let region = Region { at, files };
        // SAFETY: The scratch area is part of our mapping, which is not used yet.
        let scratch = unsafe {
            libc::mprotect(
                region.scratch(0),
                SCRATCH,
                libc::PROT_READ | libc::PROT_WRITE,
            )
        };
        nix::errno::Errno::result(scratch).context("mprotect")?;
        // ORDERING: Relaxed: the handler comes after it.
        REGION_AT.store(at.addr(), Ordering::Relaxed);
        let action = SigAction::new(
            SigHandler::SigAction(fill),
            SaFlags::SA_NODEFER | SaFlags::SA_SIGINFO,
            SigSet::empty(),
        );
        for signal in [Signal::SIGSEGV, Signal::SIGBUS] {
            // SAFETY: The handler only calls what signal handlers may.
            unsafe { sigaction(signal, &action) }.context("sigaction")?;
        }
        Ok(region)
    }

    fn scratch(&self, offset: usize) -> *mut c_void {
        self.at.wrapping_byte_add(REGION + offset)
    }

    /// Writes to pages here and there, as a program does.
    pub(crate) fn touch(&self, random: &mut Random) {
        let first = random.below((REGION / PAGE) as u64) as usize;
        let (step, nr) = (random.pick(&[1, 1, 3, 64, 512]), random.below(64) as usize);
        for page in (first..REGION / PAGE).step_by(step).take(nr) {
            let byte = self.at.cast::<u8>().wrapping_add(page * PAGE);
            // SAFETY: In the region, where a fault is filled; nobody minds what is there.
            unsafe { byte.write_volatile(1) };
        }
    }

    fn file(&self, random: &mut Random) -> i64 {
        let index = random.below(self.files.len() as u64 + 1) as usize;
        self.files
            .get(index)
            .map_or(-1, |file| file.as_raw_fd().into())
    }

    /// Writes words for the kernel to read, each call to a place of its own, and returns where.
    fn note(&self, slot: usize, words: &[u64]) -> i64 {
        let at = self.scratch(slot * 512).cast::<u64>();
        for (index, word) in words.iter().enumerate() {
            // SAFETY: In the scratch area, aligned; threads may overwrite each other's numbers.
            unsafe { at.wrapping_add(index).write_volatile(*word) };
        }
        at.addr() as i64
    }

    /// Makes a call of any sense.
    pub(crate) fn call(&self, about: About, random: &mut Random) {
        let table = match about {
            About::Memory => MEMORY,
            About::Threads => THREADS,
            About::Files => FILES,
        };
        let (nr, args) = random.pick(table);
        let mut last = 0_usize;
        let mut words = [0_i64; 6];
        for (slot, (word, arg)) in words.iter_mut().zip(args).enumerate() {
            *word = match arg {
                Is(number) => number,
                One(numbers) => random.pick(numbers),
                Bits(mask) => random.any().cast_signed() & mask,
                Below(limit) => random.below(limit).cast_signed(),
                Page => {
                    let pages = (REGION / PAGE) as u64;
                    let step = random.pick(&[1, 1, 1, 512]);
                    last = random.below(pages / step) as usize * step as usize * PAGE;
                    self.at.wrapping_byte_add(last).addr() as i64
                }
                Word => self
                    .at
                    .wrapping_byte_add(random.below(8) as usize * 4)
                    .addr() as i64,
                Len(pages) => {
                    let pages = 1 + if random.one_in(4) {
                        random.below(pages)
                    } else {
                        random.below(16)
                    };
                    let pages = if random.one_in(4) {
                        pages.next_multiple_of(512)
                    } else {
                        pages
                    };
                    (pages as usize * PAGE).min(REGION - last) as i64
                }
                File => self.file(random),
                Time => match random.below(8) {
                    // Calls that wait for ever without a time end by a signal only: see what they are.
                    0 if nr != libc::SYS_futex && nr != libc::SYS_ppoll => 0,
                    _ => self.note(slot, &[0, random.below(2_000_000), 0, random.below(2_000)]),
                },
                Mask => self.note(
                    slot,
                    &[random.any() & random.pick(&[1, 3, 0x30, 0x3f, u64::MAX])],
                ),
                Scratch => self.note(8 + slot, &[0; 16]),
                Poll => self.note(
                    slot,
                    &[self.file(random).cast_unsigned() & 0xffff_ffff | 5 << 32],
                ),
            };
        }
        if nr == libc::SYS_mremap {
            // Its target must be as far from the end as it is long.
            let len = words[2];
            words[4] = words[4].min((self.at.addr() + REGION) as i64 - len);
        }
        let [a, b, c, d, e, f] = words;
        // SAFETY: Every address is in the region or the scratch area, which are there for this, and what the kernel writes
        // by itself is no longer than the scratch area behind it; files are our own.
        unsafe { libc::syscall(nr, a, b, c, d, e, f) };
        if nr == libc::SYS_munmap {
            // Otherwise somebody else's mapping might come here.
            // SAFETY: Replaces what was just unmapped, by nothing.
            unsafe {
                libc::mmap(
                    core::ptr::with_exposed_provenance_mut(a as usize),
                    b as usize,
                    libc::PROT_NONE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE,
                    -1,
                    0,
                )
            };
        }
    }
}
