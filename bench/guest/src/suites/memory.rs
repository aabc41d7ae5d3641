// SPDX-License-Identifier: GPL-2.0
//! Memory: mapping, first touch by page size, unmapping, resizing, protecting.

use anyhow::{ensure, Context, Result};
use rustix::mm::Advice;

use super::EMPTY;
use crate::kernel;
use crate::measure::{Meter, NotHere};
use crate::spec::{Bench, Suite};
use crate::sys::memory::{
    brk_up_and_down, brk_up_touch_and_down, Access, Pages, Region, LARGE, PAGE,
};
use crate::sys::process::forked;

/// Bytes of a mapping of several pages.
const SOME: usize = 16 * PAGE;

const MIB: usize = 1 << 20;

/// The suite.
pub(super) const SUITE: Suite = Suite {
    name: "memory",
    about: "memory: map, first touch, unmap, resize, protect",
    benches: &[
        EMPTY,
        Bench::inside("map", "Maps 64 KiB.", 200, map),
        Bench::inside("map", "Maps 64 KiB of the pool.", 200, map_pool).pool("pool"),
        Bench::inside(
            "unmap",
            "Unmaps 64 KiB of which every page was touched.",
            100,
            unmap,
        ),
        Bench::inside("unmap", "Unmaps 64 KiB of the pool.", 100, unmap_pool).pool("pool"),
        Bench::inside("touch", "Writes to a fresh small page.", 500, touch_small)
            .variant("4KiB")
            .quick(),
        Bench::inside(
            "touch",
            "Reads from a fresh small page: the zero page.",
            500,
            touch_zero,
        )
        .variant("4KiB-read"),
        Bench::inside(
            "touch",
            "Writes to a fresh transparent large page.",
            8,
            touch_thp,
        )
        .variant("2MiB-thp"),
        Bench::inside(
            "touch",
            "Writes to a fresh large page of hugetlbfs.",
            8,
            touch_hugetlb,
        )
        .variant("2MiB-hugetlb"),
        Bench::inside(
            "touch",
            "Writes to a fresh large page of the pool.",
            8,
            touch_pool,
        )
        .pool("2MiB-pool"),
        Bench::inside(
            "touch",
            "Writes to a page that it shares since a fork.",
            100,
            touch_cow,
        )
        .variant("4KiB-cow"),
        Bench::inside(
            "map-touch",
            "Maps 64 MiB and touches all small pages.",
            1,
            map_touch_small,
        )
        .variant("64MiB-4KiB")
        .quick(),
        Bench::inside(
            "map-touch",
            "Maps 64 MiB and touches all transparent large pages.",
            1,
            map_touch_thp,
        )
        .variant("64MiB-thp")
        .quick(),
        Bench::inside(
            "map-touch",
            "Maps 64 MiB and touches all large pages of hugetlbfs.",
            1,
            map_touch_hugetlb,
        )
        .variant("64MiB-hugetlb"),
        Bench::inside(
            "map-touch",
            "Maps 64 MiB of the pool and touches all of it.",
            1,
            map_touch_pool,
        )
        .pool("64MiB-pool")
        .quick(),
        Bench::inside(
            "map-touch",
            "Maps 1 GiB and touches all small pages.",
            1,
            map_touch_gib_small,
        )
        .variant("1GiB-4KiB"),
        Bench::inside(
            "map-touch",
            "Maps 1 GiB and touches all transparent large pages.",
            1,
            map_touch_gib_thp,
        )
        .variant("1GiB-thp"),
        Bench::inside(
            "map-touch",
            "Maps 1 GiB of the pool and touches all of it.",
            1,
            map_touch_gib_pool,
        )
        .pool("1GiB-pool"),
        Bench::inside(
            "dontneed",
            "Touches 16 pages and gives them back.",
            100,
            dontneed,
        ),
        Bench::inside(
            "dontneed",
            "Touches 64 KiB of the pool and gives them back.",
            100,
            dontneed_pool,
        )
        .pool("pool"),
        Bench::inside(
            "brk",
            "Asks for the break, moves it up 64 KiB and back: three calls.",
            200,
            brk,
        ),
        Bench::inside(
            "brk",
            "The same with all of it touched in between.",
            100,
            brk_touch,
        )
        .variant("touch")
        .quick(),
        Bench::inside(
            "brk",
            "Asks for the break, moves it up 64 KiB, touches that, and back, all in the pool.",
            100,
            brk_touch,
        )
        .pool("pool"),
        Bench::inside(
            "mremap",
            "Doubles a touched mapping of 64 KiB and halves it.",
            100,
            mremap,
        ),
        Bench::inside(
            "mremap",
            "Doubles a mapping of 64 KiB of the pool and halves it.",
            100,
            mremap_pool,
        )
        .pool("pool"),
        Bench::inside(
            "mprotect",
            "Takes away and gives back the right to write to 16 touched pages.",
            200,
            mprotect,
        )
        .quick(),
        Bench::inside(
            "mprotect",
            "Takes away and gives back the right to write to 64 KiB of the pool.",
            200,
            mprotect_pool,
        )
        .pool("pool"),
    ],
    not_built: &[],
};

/// Takes pages of 2 MiB into the reserve of hugetlbfs, and gives them back at its end.
struct Reserve;

impl Reserve {
    const COUNT: &str = "/proc/sys/vm/nr_hugepages";

    fn take(pages: usize) -> Result<Self> {
        let cannot = |why: String| NotHere(format!("no pages of 2 MiB in reserve: {why}"));
        kernel::write(Self::COUNT, &pages.to_string())
            .map_err(|error| cannot(format!("{error:#}")))?;
        let reserve = Self;
        let got: usize = kernel::read(Self::COUNT)?.parse().context(Self::COUNT)?;
        ensure!(got >= pages, cannot(format!("{got} of {pages} found")));
        Ok(reserve)
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        // Nobody else uses the reserve on a machine that is measured.
        if let Err(error) = kernel::write(Self::COUNT, "0") {
            eprintln!("bench-guest: {error:#}");
        }
    }
}

fn map(meter: &mut Meter) -> Result<()> {
    map_of(meter, Pages::Small)
}

fn map_pool(meter: &mut Meter) -> Result<()> {
    map_of(meter, Pages::Pool)
}

fn map_of(meter: &mut Meter, pages: Pages) -> Result<()> {
    let count = usize::try_from(meter.iterations())?;
    meter.measure_batch(
        || Ok(Vec::with_capacity(count)),
        |regions| {
            for _ in 0..count {
                regions.push(Region::map(SOME, pages)?);
            }
            Ok(())
        },
        |_| Ok(()),
    )
}

fn unmap(meter: &mut Meter) -> Result<()> {
    unmap_of(meter, Pages::Small)
}

fn unmap_pool(meter: &mut Meter) -> Result<()> {
    unmap_of(meter, Pages::Pool)
}

fn unmap_of(meter: &mut Meter, pages: Pages) -> Result<()> {
    let count = meter.iterations();
    meter.measure_batch(
        || {
            let touched = (0..count).map(|_| {
                let mut region = Region::advised(SOME, pages)?;
                region.touch(PAGE);
                Ok(region)
            });
            touched.collect::<Result<Vec<_>>>()
        },
        |regions| regions.drain(..).try_for_each(Region::unmap),
        |_| Ok(()),
    )
}

/// Touches one page after the other.
fn touch(meter: &mut Meter, pages: Pages, size: usize) -> Result<()> {
    let count = usize::try_from(meter.warm_up() + meter.iterations())?;
    // Large pages lie at multiples of their size.
    let mut region = Region::advised((count + 1) * size, pages)?;
    let first = region.addr().next_multiple_of(size) - region.addr();
    meter.measure(|number| {
        region.write(first + usize::try_from(number)? * size, 1);
        Ok(())
    })
}

fn touch_small(meter: &mut Meter) -> Result<()> {
    touch(meter, Pages::Small, PAGE)
}

fn touch_thp(meter: &mut Meter) -> Result<()> {
    touch(meter, Pages::Thp, LARGE)
}

fn touch_hugetlb(meter: &mut Meter) -> Result<()> {
    let _reserve = Reserve::take(usize::try_from(meter.warm_up() + meter.iterations())? + 1)?;
    touch(meter, Pages::Hugetlb, LARGE)
}

fn touch_pool(meter: &mut Meter) -> Result<()> {
    touch(meter, Pages::Pool, LARGE)
}

fn touch_zero(meter: &mut Meter) -> Result<()> {
    let count = usize::try_from(meter.warm_up() + meter.iterations())?;
    let region = Region::advised(count * PAGE, Pages::Small)?;
    meter.measure(|number| {
        let byte = region.read(usize::try_from(number)? * PAGE);
        ensure!(byte == 0, "a fresh page holds {byte}");
        Ok(())
    })
}

fn touch_cow(meter: &mut Meter) -> Result<()> {
    let count = usize::try_from(meter.warm_up() + meter.iterations())?;
    let mut region = Region::advised(count * PAGE, Pages::Small)?;
    region.touch(PAGE);
    let (reader, writer) = rustix::pipe::pipe().context("pipe")?;
    let child = forked(|| {
        // The end of the parent's side of the pipe is the sign to go.
        nix::unistd::close(std::os::fd::AsRawFd::as_raw_fd(&writer)).ok();
        let got = rustix::io::read(&reader, &mut [0; 1]);
        i32::from(got != Ok(0) || region.read(0) != 1)
    })?;
    let measured = meter.measure(|number| {
        region.write(usize::try_from(number)? * PAGE, 2);
        Ok(())
    });
    drop(writer);
    child.finish()?;
    measured
}

/// Maps and touches everything at once.
fn map_touch(meter: &mut Meter, len: usize, pages: Pages) -> Result<()> {
    let step = match pages {
        Pages::Small | Pages::Pool => PAGE,
        Pages::Thp | Pages::Hugetlb => LARGE,
    };
    let free = match pages {
        Pages::Pool => "LwkFree",
        Pages::Small | Pages::Thp | Pages::Hugetlb => "MemAvailable",
    };
    let free = meminfo(free)?;
    if free < len + len / 8 {
        let need = NotHere(format!(
            "{} MiB free of {}",
            free / MIB,
            (len + len / 8) / MIB
        ));
        return Err(need.into());
    }
    // The warm-up need not be as long.
    let mut next = LARGE;
    meter.measure_batch(
        || Ok((std::mem::replace(&mut next, len), None)),
        |(len, region): &mut (usize, Option<Region>)| {
            let mut mapped = Region::advised(*len, pages)?;
            mapped.touch(step);
            *region = Some(mapped);
            Ok(())
        },
        |(len, region)| {
            let region = region.context("nothing was mapped")?;
            ensure!(
                region.read(len - step) == 1,
                "the last page lost its contents"
            );
            region.unmap()
        },
    )
}

/// A line of `/proc/meminfo` in bytes.
fn meminfo(name: &str) -> Result<usize> {
    let text = kernel::read("/proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let number = number.with_context(|| format!("/proc/meminfo: no {name}"))?;
    Ok(number.parse::<usize>()? << 10)
}

fn map_touch_small(meter: &mut Meter) -> Result<()> {
    map_touch(meter, 64 * MIB, Pages::Small)
}

fn map_touch_thp(meter: &mut Meter) -> Result<()> {
    map_touch(meter, 64 * MIB, Pages::Thp)
}

fn map_touch_hugetlb(meter: &mut Meter) -> Result<()> {
    let _reserve = Reserve::take(64 * MIB / LARGE)?;
    map_touch(meter, 64 * MIB, Pages::Hugetlb)
}

fn map_touch_pool(meter: &mut Meter) -> Result<()> {
    map_touch(meter, 64 * MIB, Pages::Pool)
}

fn map_touch_gib_pool(meter: &mut Meter) -> Result<()> {
    map_touch(meter, 1024 * MIB, Pages::Pool)
}

fn map_touch_gib_small(meter: &mut Meter) -> Result<()> {
    map_touch(meter, 1024 * MIB, Pages::Small)
}

fn map_touch_gib_thp(meter: &mut Meter) -> Result<()> {
    map_touch(meter, 1024 * MIB, Pages::Thp)
}

fn dontneed(meter: &mut Meter) -> Result<()> {
    dontneed_of(meter, Pages::Small)
}

fn dontneed_pool(meter: &mut Meter) -> Result<()> {
    dontneed_of(meter, Pages::Pool)
}

fn dontneed_of(meter: &mut Meter, pages: Pages) -> Result<()> {
    let mut region = Region::advised(SOME, pages)?;
    meter.measure(|_| {
        region.touch(PAGE);
        region.advise(Advice::LinuxDontNeed)
    })?;
    ensure!(
        region.read(0) == 0,
        "a page that was given back kept its contents"
    );
    Ok(())
}

fn brk(meter: &mut Meter) -> Result<()> {
    meter.measure(|_| brk_up_and_down(SOME))
}

fn brk_touch(meter: &mut Meter) -> Result<()> {
    meter.measure(|_| brk_up_touch_and_down(SOME))
}

fn mremap(meter: &mut Meter) -> Result<()> {
    mremap_of(meter, Pages::Small)
}

fn mremap_pool(meter: &mut Meter) -> Result<()> {
    mremap_of(meter, Pages::Pool)
}

fn mremap_of(meter: &mut Meter, pages: Pages) -> Result<()> {
    let mut region = Region::advised(SOME, pages)?;
    region.touch(PAGE);
    meter.measure(|_| {
        region.resize(2 * SOME)?;
        region.resize(SOME)
    })?;
    ensure!(
        region.len() == SOME && region.read(SOME - PAGE) == 1,
        "contents got lost"
    );
    Ok(())
}

fn mprotect(meter: &mut Meter) -> Result<()> {
    mprotect_of(meter, Pages::Small)
}

fn mprotect_pool(meter: &mut Meter) -> Result<()> {
    mprotect_of(meter, Pages::Pool)
}

fn mprotect_of(meter: &mut Meter, pages: Pages) -> Result<()> {
    let mut region = Region::advised(SOME, pages)?;
    region.touch(PAGE);
    meter.measure(|_| {
        region.protect_part(0, SOME, Access::ReadOnly)?;
        region.protect_part(0, SOME, Access::ReadWrite)
    })
}
