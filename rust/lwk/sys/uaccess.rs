// SPDX-License-Identifier: GPL-2.0
//! Memory of the caller of an ioctl.

use crate::{
    logic::cpuset::CpuSet,
    uapi::{
        CallRecord, CallTable, CallsRead, CpuGet, Info, JobCreate, JobEnter, JobGet, MemGet,
        MemRegion, MemShare, NoiseRead, NoiseRecord, PartitionCreate, PartitionDelete,
        PartitionGet, PartitionPolicy, PartitionResize, MAX_CPUS, NR_MEM_REGIONS,
    },
};
use kernel::{
    error::{code, Result},
    types::{AsBytes, FromBytes},
    uaccess::UserSlice,
};

/// A structure of the ABI.
pub(crate) trait Args: Copy + Default {
    /// Reads one from the caller's memory at `address`.
    ///
    /// # Errors
    ///
    /// `EFAULT` if that is not readable, `EINVAL` if the caller's structure is smaller than ours, `E2BIG` if it is
    /// larger and asks for something that we do not know (`copy_struct_from_user()`).
    fn read(address: usize) -> Result<Self>;

    /// Writes it back.
    ///
    /// # Errors
    ///
    /// `EFAULT` if that is not writable.
    fn write(&self, address: usize) -> Result;
}

/// Carries a structure of the ABI through `UserSlice`, whose traits are not ours to implement for it otherwise.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Plain<T>(T);

macro_rules! args {
    ($($name:ty),* $(,)?) => { $(
        // SAFETY: Integers and arrays of them: every bit pattern is valid.
        unsafe impl FromBytes for Plain<$name> {}
        // SAFETY: The ABI has explicit padding only, so that all bytes are initialised.
        unsafe impl AsBytes for Plain<$name> {}

        impl Args for $name {
            fn read(address: usize) -> Result<Self> {
                let ours = core::mem::size_of::<Self>();
                let size: u32 = UserSlice::new(address, 4).reader().read()?;
                // CAST: usize has 64 bits.
                let theirs = size as usize;
                if theirs < ours {
                    return Err(code::EINVAL);
                }
                // Bounds the walk over the tail, as the kernel does for other such structures.
                if theirs > kernel::page::PAGE_SIZE {
                    return Err(code::E2BIG);
                }
                let mut reader = UserSlice::new(address, theirs).reader();
                let mut args: Plain<Self> = reader.read()?;
                // The one that was judged, whatever another thread made of it since.
                args.0.size = size;
                while !reader.is_empty() {
                    if reader.read::<u8>()? != 0 {
                        return Err(code::E2BIG);
                    }
                }
                Ok(args.0)
            }

            fn write(&self, address: usize) -> Result {
                UserSlice::new(address, core::mem::size_of::<Self>()).writer().write(&Plain(*self))
            }
        }
    )* };
}

args!(
    Info,
    PartitionGet,
    PartitionCreate,
    PartitionResize,
    PartitionDelete,
    JobCreate,
    JobEnter,
    JobGet,
    CpuGet,
    NoiseRead,
    MemGet,
    PartitionPolicy,
    CallTable,
    CallsRead,
);

// SAFETY: The ABI has explicit padding only, so that all bytes are initialised.
unsafe impl AsBytes for Plain<NoiseRecord> {}
// SAFETY: As above.
unsafe impl AsBytes for Plain<CallRecord> {}

// SAFETY: Integers: every bit pattern is valid.
unsafe impl FromBytes for Plain<MemShare> {}
// SAFETY: The ABI has explicit padding only, so that all bytes are initialised.
unsafe impl AsBytes for Plain<MemShare> {}

// SAFETY: Integers: every bit pattern is valid.
unsafe impl FromBytes for Plain<MemRegion> {}
// SAFETY: The ABI has explicit padding only, so that all bytes are initialised.
unsafe impl AsBytes for Plain<MemRegion> {}

/// Reads the policies of all regions.
///
/// # Errors
///
/// `EFAULT` if the memory is not readable.
pub(crate) fn read_regions(address: u64) -> Result<[MemRegion; NR_MEM_REGIONS]> {
    let mut regions = [MemRegion::default(); NR_MEM_REGIONS];
    let len = core::mem::size_of_val(&regions);
    let mut reader = UserSlice::new(address.try_into()?, len).reader();
    for region in &mut regions {
        let Plain(read) = reader.read()?;
        *region = read;
    }
    Ok(regions)
}

/// Writes them.
///
/// # Errors
///
/// `EFAULT` if the memory is not writable.
pub(crate) fn write_regions(regions: &[MemRegion; NR_MEM_REGIONS], address: u64) -> Result {
    let len = core::mem::size_of_val(regions);
    let mut writer = UserSlice::new(address.try_into()?, len).writer();
    regions
        .iter()
        .try_for_each(|region| writer.write(&Plain(*region)))
}

/// An array of amounts of memory in the caller's memory.
pub(crate) struct Shares {
    address: usize,
    len: u32,
}

impl Shares {
    /// One of `len` elements.
    pub(crate) fn new(address: u64, len: u32) -> Result<Self> {
        let address = address.try_into()?;
        Ok(Self { address, len })
    }

    /// How many elements it has.
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    fn at(&self, index: u32) -> UserSlice {
        let size = core::mem::size_of::<MemShare>();
        // CAST: usize has 64 bits.
        UserSlice::new(self.address.wrapping_add(index as usize * size), size)
    }

    /// Reads an element.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the memory is not readable.
    pub(crate) fn get(&self, index: u32) -> Result<MemShare> {
        let share: Plain<MemShare> = self.at(index).reader().read()?;
        Ok(share.0)
    }

    /// Writes an element.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the memory is not writable.
    pub(crate) fn put(&self, index: u32, share: &MemShare) -> Result {
        self.at(index).writer().write(&Plain(*share))
    }
}

/// An array of records in the caller's memory, which fills from its beginning.
pub(crate) struct Records {
    address: usize,
    room: u32,
}

impl Records {
    /// One of `room` records.
    pub(crate) fn new(address: u64, room: u32) -> Result<Self> {
        let address = address.try_into()?;
        Ok(Self { address, room })
    }

    /// Whether there is no room left.
    pub(crate) fn is_full(&self) -> bool {
        self.room == 0
    }

    /// Writes the next record.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the memory is not writable.
    pub(crate) fn push<T: Copy>(&mut self, record: &T) -> Result
    where
        Plain<T>: AsBytes,
    {
        let size = core::mem::size_of::<T>();
        UserSlice::new(self.address, size)
            .writer()
            .write(&Plain(*record))?;
        self.address = self.address.wrapping_add(size);
        self.room = self.room.saturating_sub(1);
        Ok(())
    }
}

/// Reads a `struct timespec`; none if it is not readable or no duration.
pub(crate) fn read_duration_ns(address: u64) -> Option<u64> {
    let mut reader = UserSlice::new(address.try_into().ok()?, 16).reader();
    let (s, ns): (i64, i64) = (reader.read().ok()?, reader.read().ok()?);
    let ns = u64::try_from(ns).ok().filter(|ns| *ns < 1_000_000_000)?;
    u64::try_from(s)
        .ok()?
        .checked_mul(1_000_000_000)?
        .checked_add(ns)
}

/// Words of a CPU set of `nr_bits` bits.
fn nr_words(nr_bits: u32) -> Result<usize> {
    // CAST: usize has 64 bits.
    let bits = nr_bits as usize;
    // A larger set than any kernel has is a mistake, not a request.
    if bits == 0 || bits % 64 != 0 || bits > 8 * MAX_CPUS {
        return Err(code::EINVAL);
    }
    Ok(bits / 64)
}

/// Reads a CPU set.
///
/// # Errors
///
/// `EFAULT`, or `EINVAL` for a bad length or a CPU that no kernel of this ABI could have.
pub(crate) fn read_cpus(address: u64, nr_bits: u32) -> Result<CpuSet> {
    let mut words = [0; MAX_CPUS / 64];
    let nr = nr_words(nr_bits)?;
    let mut reader = UserSlice::new(address.try_into()?, nr * 8).reader();
    for index in 0..nr {
        let word = reader.read()?;
        match words.get_mut(index) {
            Some(slot) => *slot = word,
            None if word != 0 => return Err(code::EINVAL),
            None => {}
        }
    }
    CpuSet::from_words(&words).map_err(|_| code::EINVAL)
}

/// Writes a CPU set, if the caller wants it (`address` is not 0).
///
/// # Errors
///
/// `EFAULT`, or `EINVAL` if the length is bad or too small for the highest CPU.
pub(crate) fn write_cpus(cpus: &CpuSet, address: u64, nr_bits: u32) -> Result {
    if address == 0 {
        return Ok(());
    }
    let nr = nr_words(nr_bits)?;
    if cpus.last().is_some_and(|cpu| cpu.get() >= nr_bits) {
        return Err(code::EINVAL);
    }
    let mut writer = UserSlice::new(address.try_into()?, nr * 8).writer();
    for index in 0..nr {
        writer.write(&cpus.words().get(index).copied().unwrap_or(0))?;
    }
    Ok(())
}
