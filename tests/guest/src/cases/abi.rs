// SPDX-License-Identifier: GPL-2.0
//! Bad arguments: each gives the error that the ABI promises and changes nothing.

use anyhow::{ensure, Context, Result};
use lwk_logic::uapi;
use rustix::io::Errno;

use crate::harness::Case;
use crate::job;
use crate::sys::lwk::{self, size_of_abi, IoResult, BAD_ADDRESSES};

/// The suite.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "size-small",
        "a size below version 1's is EINVAL",
        size_small,
    ),
    Case::new(
        "size-large",
        "a larger size is fine if its tail is zero, else E2BIG",
        size_large,
    ),
    Case::new("flags", "an unknown flag is EINVAL", flags),
    Case::new(
        "reserved",
        "a reserved field that is not zero is EINVAL",
        reserved,
    ),
    Case::new("unknown-op", "an unknown request is ENOTTY", unknown_op),
    Case::new(
        "bad-pointer",
        "an argument outside of user memory is EFAULT",
        bad_pointer,
    ),
    Case::new(
        "bad-cpu-pointer",
        "a CPU set outside of user memory is EFAULT",
        bad_cpu_pointer,
    ),
    Case::new(
        "cpu-sets",
        "CPU sets that make no sense are refused",
        cpu_sets,
    ),
    Case::new("counts", "a count of CPUs is honoured or refused", counts),
    Case::new(
        "walks",
        "walks end with ENOENT, from any starting point",
        walks,
    ),
    Case::new(
        "policies",
        "memory policies that make no sense are refused and change nothing",
        policies,
    ),
    Case::new("node", "the device node is there and a misc device", node),
];

fn create_with(change: impl FnOnce(&mut uapi::JobCreate)) -> IoResult<()> {
    let mut arg = uapi::JobCreate {
        size: size_of_abi::<uapi::JobCreate>(),
        nr_cpus: 1,
        ..Default::default()
    };
    change(&mut arg);
    let device = lwk::open().map_err(|_| Errno::NOENT)?;
    lwk::job_create(&device, &mut arg, &[])
}

fn expect(what: &str, result: IoResult<()>, wanted: Errno) -> Result<()> {
    ensure!(
        result == Err(wanted),
        "{what}: wanted {wanted:?}, got {result:?}"
    );
    job::check_idle().with_context(|| format!("after {what}"))
}

fn size_small() -> Result<()> {
    let device = lwk::open()?;
    for size in [0, 4, size_of_abi::<uapi::Info>() - 1] {
        let mut arg = uapi::Info {
            size,
            ..Default::default()
        };
        expect(
            &format!("Info of {size} bytes"),
            lwk::info(&device, &mut arg, &[]),
            Errno::INVAL,
        )?;
    }
    for size in [0, 8, size_of_abi::<uapi::JobCreate>() - 1] {
        expect(
            &format!("JobCreate of {size} bytes"),
            create_with(|arg| arg.size = size),
            Errno::INVAL,
        )?;
    }
    let mut enter = uapi::JobEnter {
        size: 8,
        job: 1,
        ..Default::default()
    };
    expect(
        "JobEnter of 8 bytes",
        lwk::job_enter(&device, &mut enter, &[]),
        Errno::INVAL,
    )?;
    let mut cpu = uapi::CpuGet {
        size: 16,
        ..Default::default()
    };
    expect(
        "CpuGet of 16 bytes",
        lwk::cpu_get(&device, &mut cpu),
        Errno::INVAL,
    )
}

fn size_large() -> Result<()> {
    let device = lwk::open()?;
    let larger = size_of_abi::<uapi::Info>() + 16;
    let mut arg = uapi::Info {
        size: larger,
        ..Default::default()
    };
    lwk::info(&device, &mut arg, &[0; 16]).context("Info with 16 zero bytes more")?;
    ensure!(
        arg.abi_version == uapi::ABI_VERSION && arg.nr_partitions == 1,
        "{arg:?}"
    );
    let mut tail = [0; 16];
    for at in [0, 15] {
        tail[at] = 1;
        let mut arg = uapi::Info {
            size: larger,
            ..Default::default()
        };
        expect(
            "Info with a tail",
            lwk::info(&device, &mut arg, &tail),
            Errno::TOOBIG,
        )?;
        tail[at] = 0;
    }
    let mut create = uapi::JobCreate {
        size: size_of_abi::<uapi::JobCreate>() + 8,
        nr_cpus: 1,
        ..Default::default()
    };
    expect(
        "JobCreate with a tail",
        lwk::job_create(&lwk::open()?, &mut create, &[1; 8]),
        Errno::TOOBIG,
    )?;
    expect(
        "JobCreate of 4 GiB",
        create_with(|arg| arg.size = u32::MAX),
        Errno::TOOBIG,
    )?;
    let reserving = lwk::open()?;
    let mut create = uapi::JobCreate {
        size: size_of_abi::<uapi::JobCreate>() + 8,
        nr_cpus: 1,
        ..Default::default()
    };
    lwk::job_create(&reserving, &mut create, &[0; 8])
        .context("JobCreate with 8 zero bytes more")?;
    ensure!(job::jobs()?.len() == 1 && create.job != 0, "{create:?}");
    Ok(())
}

fn flags() -> Result<()> {
    let device = lwk::open()?;
    for flags in [1, 1 << 31, u32::MAX] {
        let mut info = uapi::Info {
            size: size_of_abi::<uapi::Info>(),
            flags,
            ..Default::default()
        };
        expect(
            "Info with flags",
            lwk::info(&device, &mut info, &[]),
            Errno::INVAL,
        )?;
        expect(
            "JobCreate with flags",
            create_with(|arg| arg.flags = flags),
            Errno::INVAL,
        )?;
        let mut enter = uapi::JobEnter {
            size: size_of_abi::<uapi::JobEnter>(),
            flags,
            job: 1,
            ..Default::default()
        };
        expect(
            "JobEnter with flags",
            lwk::job_enter(&device, &mut enter, &[]),
            Errno::INVAL,
        )?;
    }
    Ok(())
}

fn reserved() -> Result<()> {
    let device = lwk::open()?;
    let mut info = uapi::Info {
        size: size_of_abi::<uapi::Info>(),
        reserved: 1,
        ..Default::default()
    };
    expect(
        "Info with reserved",
        lwk::info(&device, &mut info, &[]),
        Errno::INVAL,
    )?;
    expect(
        "JobCreate with flags",
        create_with(|arg| arg.flags = 1 << 31),
        Errno::INVAL,
    )?;
    let mut enter = uapi::JobEnter {
        size: size_of_abi::<uapi::JobEnter>(),
        job: 1,
        reserved: 1,
        ..Default::default()
    };
    expect(
        "JobEnter with reserved",
        lwk::job_enter(&device, &mut enter, &[]),
        Errno::INVAL,
    )
}

fn unknown_op() -> Result<()> {
    let device = lwk::open()?;
    let highest = uapi::OPS.iter().map(|op| op.nr).max().context("no ops")?;
    // The number past the last, another type byte, another direction, the terminal's TCGETS.
    for code in [
        uapi::IOC_INFO + highest + 1,
        uapi::IOC_INFO ^ 0x100,
        uapi::IOC_INFO & !(1 << 31),
        0x5401,
        0,
        u32::MAX,
    ] {
        expect(
            &format!("request {code:#x}"),
            lwk::unknown(&device, code),
            Errno::NOTTY,
        )?;
    }
    Ok(())
}

fn bad_pointer() -> Result<()> {
    let device = lwk::open()?;
    for op in uapi::OPS {
        for (which, address) in BAD_ADDRESSES.iter().enumerate() {
            let what = format!("{} at {address:#x}", op.name);
            expect(
                &what,
                lwk::bad_argument(&device, op.code, which),
                Errno::FAULT,
            )?;
        }
    }
    Ok(())
}

fn bad_cpu_pointer() -> Result<()> {
    for address in BAD_ADDRESSES {
        let result = create_with(|arg| (arg.nr_cpus, arg.cpus_ptr, arg.nr_bits) = (0, address, 64));
        expect(
            &format!("JobCreate with CPUs at {address:#x}"),
            result,
            Errno::FAULT,
        )?;
    }
    expect(
        "PartitionGet with CPUs at a bad address",
        lwk::partition_get_to_nowhere(&lwk::open()?),
        Errno::FAULT,
    )
}

/// `JobCreate` with the set that `words` hold.
fn create_set(words: &[u64], nr_bits: u32) -> IoResult<()> {
    // CAST: pointers travel as `u64` in the ABI.
    create_with(|arg| {
        (arg.nr_cpus, arg.cpus_ptr, arg.nr_bits) = (0, words.as_ptr() as u64, nr_bits)
    })
}

fn cpu_sets() -> Result<()> {
    let refused = |what: &str, words: &[u64], nr_bits| -> Result<()> {
        let result = create_set(words, nr_bits);
        ensure!(result.is_err(), "{what} made a job");
        ensure!(
            result != Err(Errno::FAULT) && result != Err(Errno::NOTTY),
            "{what}: {result:?}"
        );
        job::check_idle().with_context(|| format!("after {what}"))
    };
    refused("an empty set", &[0], 64)?;
    refused("a Linux CPU", &[1 << 1], 64)?;
    refused("the service CPU", &[1], 64)?;
    refused("a Linux CPU among LWK CPUs", &[0b1110], 64)?;
    refused("CPU 4, which the machine lacks", &[0b1_0100], 64)?;
    refused("CPU 63, which the machine lacks", &[1 << 63 | 0b100], 64)?;
    refused(
        "CPU 1023",
        &[0b100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 << 63],
        1024,
    )?;
    refused(
        "CPU 1024",
        &[0b100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        1088,
    )?;
    refused("a set of no bits", &[0b100], 0)?;
    refused("a set of 63 bits", &[0b100], 63)?;
    let words = [0b100_u64];
    // CAST: pointers travel as `u64` in the ABI.
    let both = create_with(|arg| {
        (arg.nr_cpus, arg.cpus_ptr, arg.nr_bits) = (1, words.as_ptr() as u64, 64)
    });
    expect("both a set and a count", both, Errno::INVAL)?;
    let wide = [0b100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    ensure!(
        create_set(&wide, 1024).is_ok(),
        "a set of 1024 bits was refused: {:?}",
        create_set(&wide, 1024)
    );
    job::check_idle()
}

fn counts() -> Result<()> {
    for wanted in [3, 5, u32::MAX] {
        let result = create_with(|arg| arg.nr_cpus = wanted);
        ensure!(result.is_err(), "{wanted} CPUs of 2");
        job::check_idle()?;
    }
    for (wanted, given) in [(1, 1), (2, 2), (0, 2)] {
        let device = lwk::open()?;
        let mut arg = uapi::JobCreate {
            size: size_of_abi::<uapi::JobCreate>(),
            nr_cpus: wanted,
            ..Default::default()
        };
        lwk::job_create(&device, &mut arg, &[]).with_context(|| format!("{wanted} CPUs"))?;
        let jobs = job::jobs()?;
        ensure!(
            jobs.len() == 1
                && jobs
                    .iter()
                    .all(|j| j.cpus.len() == given && j.id == arg.job),
            "{jobs:?}"
        );
    }
    for partition in [2, u32::MAX] {
        let result = create_with(|arg| arg.partition = partition);
        ensure!(result.is_err(), "a job in partition {partition}");
    }
    create_with(|arg| arg.partition = 1).context("a job in partition 1")
}

fn walks() -> Result<()> {
    let device = lwk::open()?;
    for id in [2, 64, u32::MAX] {
        let mut arg = uapi::PartitionGet {
            size: size_of_abi::<uapi::PartitionGet>(),
            id,
            ..Default::default()
        };
        expect(
            "partitions past the last",
            lwk::partition_get(&device, &mut arg, &mut [], &mut []),
            Errno::NOENT,
        )?;
        let mut arg = uapi::JobGet {
            size: size_of_abi::<uapi::JobGet>(),
            id: u32::MAX,
            ..Default::default()
        };
        expect(
            "jobs past the last",
            lwk::job_get(&device, &mut arg, &mut []),
            Errno::NOENT,
        )?;
    }
    for cpu in [4, 1023, 1024, u32::MAX] {
        let mut arg = uapi::CpuGet {
            size: size_of_abi::<uapi::CpuGet>(),
            cpu,
            ..Default::default()
        };
        expect(
            &format!("CPU {cpu}"),
            lwk::cpu_get(&device, &mut arg),
            Errno::NOENT,
        )?;
    }
    let mut arg = uapi::PartitionGet {
        size: size_of_abi::<uapi::PartitionGet>(),
        id: 0,
        ..Default::default()
    };
    lwk::partition_get(&device, &mut arg, &mut [], &mut [])
        .context("partition 0 or later, without its CPUs")?;
    ensure!(arg.id == 1 && arg.nr_cpus == 2, "{arg:?}");
    Ok(())
}

fn node() -> Result<()> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let data = std::fs::metadata(uapi::DEVICE_PATH).context(uapi::DEVICE_PATH)?;
    ensure!(
        data.file_type().is_char_device() && rustix::fs::major(data.rdev()) == 10,
        "{data:?}"
    );
    let misc = std::fs::read_to_string("/proc/misc").context("/proc/misc")?;
    ensure!(
        misc.lines()
            .any(|line| line.split_whitespace().nth(1) == Some("lwk")),
        "{misc}"
    );
    Ok(())
}

type PolicyRead = (
    uapi::PartitionPolicy,
    [uapi::MemRegion; uapi::NR_MEM_REGIONS],
);

/// Reads the policy of a partition after `change`.
fn policy_with(
    change: impl FnOnce(&mut uapi::PartitionPolicy, &mut uapi::MemRegion),
) -> IoResult<PolicyRead> {
    let mut regions = [uapi::MemRegion {
        align: 4096,
        ..Default::default()
    }; uapi::NR_MEM_REGIONS];
    let mut arg = uapi::PartitionPolicy {
        size: size_of_abi::<uapi::PartitionPolicy>(),
        id: 1,
        nr_regions: 5,
        ..Default::default()
    };
    change(&mut arg, &mut regions[3]);
    let device = lwk::open().map_err(|_| Errno::NOENT)?;
    lwk::partition_policy(&device, &mut arg, &mut regions).map(|()| {
        arg.regions_ptr = 0;
        (arg, regions)
    })
}

fn policies() -> Result<()> {
    expect(
        "flags without regions",
        create_with(|arg| arg.mem_flags = uapi::MEM_STRICT),
        Errno::INVAL,
    )?;
    expect(
        "a step of the heap without regions",
        create_with(|arg| arg.heap_step = 4096),
        Errno::INVAL,
    )?;
    expect(
        "no regions at an address",
        create_with(|arg| arg.regions_ptr = 4096),
        Errno::INVAL,
    )?;
    let before = policy_with(|_, _| ()).context("reading the policy")?;
    ensure!(before.0.mem_flags == 0, "{before:?}");
    type Bad = fn(&mut uapi::PartitionPolicy, &mut uapi::MemRegion);
    let bad: [(&str, Bad, Errno); 11] = [
        ("no such partition", |arg, _| arg.id = 99, Errno::NOENT),
        ("no partition", |arg, _| arg.id = 0, Errno::NOENT),
        ("too few regions", |arg, _| arg.nr_regions = 4, Errno::INVAL),
        ("another flag", |arg, _| arg.flags = 2, Errno::INVAL),
        ("a reserved field", |arg, _| arg.reserved = 1, Errno::INVAL),
        ("memory flags", |arg, _| arg.mem_flags = 8, Errno::INVAL),
        ("the heap's step", |arg, _| arg.heap_step = 1, Errno::INVAL),
        ("an order", |_, region| region.order = 4, Errno::INVAL),
        (
            "a placement",
            |_, region| region.placement = 9,
            Errno::INVAL,
        ),
        ("an alignment", |_, region| region.align = 3, Errno::INVAL),
        (
            "an address",
            |arg, _| arg.regions_ptr = BAD_ADDRESSES[0],
            Errno::FAULT,
        ),
    ];
    for (what, spoil, wanted) in bad {
        let result = policy_with(|arg, region| {
            arg.flags = uapi::POLICY_SET;
            spoil(arg, region);
        });
        expect(what, result.map(drop), wanted)?;
        let after = policy_with(|_, _| ()).context("reading the policy")?;
        let text = |read: &PolicyRead| format!("{read:?}");
        ensure!(
            text(&after) == text(&before),
            "{what}: {before:?} became {after:?}"
        );
    }
    Ok(())
}
