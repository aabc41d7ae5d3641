// SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note
//! Numbers of the ABI that have names.

macro_rules! uapi_enum {
    (
        $(#[doc = $edoc:literal])*
        enum $enum:ident { $( $(#[doc = $doc:literal])* $var:ident = $val:literal => $name:literal, )* }
    ) => {
        $(#[doc = $edoc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        pub enum $enum {
            $( $(#[doc = $doc])* $var = $val, )*
        }
        impl $enum {
            /// All of them in order.
            pub const ALL: &'static [$enum] = &[$( $enum::$var ),*];
            /// The name that tools print.
            pub const fn name(self) -> &'static str {
                match self { $( $enum::$var => $name, )* }
            }
            /// What it means.
            pub const fn doc(self) -> &'static [&'static str] {
                match self { $( $enum::$var => &[$($doc),*], )* }
            }
            /// The slot that it has in arrays of the ABI.
            pub const fn index(self) -> usize {
                // CAST: the discriminants are slot numbers.
                self as usize
            }
        }
    };
}

uapi_enum! {
    /// Why a partition could not be made, changed or ended.
    enum Refusal {
        /// It was not refused, or for a reason that the error number says.
        None = 0 => "none",
        /// The machine was booted without `lwkcpus=`, so that no CPU can be taken.
        NotArmed = 1 => "not armed",
        /// The name is empty, too long or has other characters than a name may have.
        BadName = 2 => "bad name",
        /// Another partition has this name.
        NameTaken = 3 => "name taken",
        /// There is no such partition.
        NoSuchPartition = 4 => "no such partition",
        /// There are as many partitions as there can be.
        TooMany = 5 => "too many partitions",
        /// The partition would have no CPU.
        Empty = 6 => "empty",
        /// The CPU is asked for in two roles.
        BothRoles = 7 => "both roles",
        /// The CPU is not on line.
        NotOnline = 8 => "not on line",
        /// The CPU keeps the time and must stay with Linux.
        KeepsTime = 9 => "keeps the time",
        /// `nohz_full=` or `isolcpus=` has the CPU.
        IsolatedByBoot = 10 => "isolated by the boot line",
        /// The CPU belongs to a partition already.
        Taken = 11 => "taken",
        /// The CPU serves a partition.
        Serves = 12 => "serves a partition",
        /// The CPU is not one of this partition's.
        NotOwned = 13 => "not in the partition",
        /// A job holds the CPU, or, without a CPU, jobs run in the partition.
        InUse = 14 => "in use",
        /// A hardware thread of the same core would stay on the other side.
        Sibling = 15 => "sibling left behind",
        /// A deadline task needs the CPU.
        DeadlineTask = 16 => "deadline task",
        /// The time-stamp counter is not reliable, so that a CPU cannot do without the tick.
        UnstableClock = 17 => "unstable clock",
        /// Linux refused to take the CPU off line or to bring it back.
        Hotplug = 18 => "hotplug",
        /// There is no such NUMA node, or it has no memory that the LWK could have.
        NoNode = 19 => "no such node",
        /// The node has less memory to give than was asked for.
        NoMemory = 20 => "not enough memory",
        /// Jobs were promised memory that is to go.
        MemoryInUse = 21 => "memory in use",
        /// The amounts contradict each other: a node is named twice, or an amount is 0.
        BadAmount = 22 => "bad amount",
    }
}

uapi_enum! {
    /// How a CPU got from user mode into the kernel.
    enum EntryKind {
        /// A system call.
        Syscall = 0 => "syscall",
        /// A page fault.
        Fault = 1 => "fault",
        /// A hardware interrupt or an interrupt from another CPU.
        Interrupt = 2 => "interrupt",
        /// Any other exception, for example a breakpoint or a division by zero.
        Exception = 3 => "exception",
    }
}

uapi_enum! {
    /// Where an interrupt came from; names are those of `/proc/interrupts`.
    enum IrqSource {
        /// Interrupts of devices.
        Device = 0 => "device",
        /// Local APIC timer: the tick and high-resolution timers.
        Timer = 1 => "LOC",
        /// Spurious interrupts.
        Spurious = 2 => "SPU",
        /// Performance counter overflow.
        Pmi = 3 => "PMI",
        /// Work asked for by `irq_work_queue`.
        IrqWork = 4 => "IWI",
        /// Rescheduling requests of other CPUs.
        Reschedule = 5 => "RES",
        /// Function calls from other CPUs.
        Call = 6 => "CAL",
        /// TLB shootdowns; Linux counts them in `CAL` too, here they are apart.
        Tlb = 7 => "TLB",
        /// Thermal events.
        Thermal = 8 => "TRM",
        /// Machine-check threshold.
        Threshold = 9 => "THR",
        /// Non-maskable interrupts.
        Nmi = 10 => "NMI",
        /// Machine-check exceptions.
        Mce = 11 => "MCE",
        /// Machine-check polls.
        McePoll = 12 => "MCP",
        /// Platform vectors (`x86_platform_ipi`).
        Platform = 13 => "PLT",
        /// Everything else.
        Other = 14 => "other",
    }
}

uapi_enum! {
    /// What kind of function ran in an interrupt.
    enum RanKind {
        /// Nothing is known of it.
        Unknown = 0 => "unknown",
        /// A function that another CPU asked for and waited for (`smp_call_function()`).
        CallWait = 1 => "call",
        /// A function that another CPU asked for without waiting.
        Call = 2 => "call-async",
        /// Work asked for by `irq_work_queue()` or `irq_work_queue_on()`.
        IrqWork = 3 => "irq-work",
        /// The wake-up of a task.
        WakeUp = 4 => "wake-up",
        /// A high-resolution timer.
        Timer = 5 => "timer",
        /// A device's interrupt handler.
        Handler = 6 => "handler",
    }
}
