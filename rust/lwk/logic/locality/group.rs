// SPDX-License-Identifier: GPL-2.0
//! Groups of system calls that command lines name with a percent sign, as strace does.

/// A group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Group {
    /// Takes the name of a file.
    File = 0,
    /// Takes or makes a descriptor.
    Desc = 1,
    /// Makes, ends, waits for or changes processes and threads.
    Process = 2,
    /// Sockets.
    Network = 3,
    /// Signals.
    Signal = 4,
    /// IPC of System V, message queues.
    Ipc = 5,
    /// Address spaces.
    Memory = 6,
    /// User and group ids, capabilities.
    Creds = 7,
    /// Reads or sets clocks.
    Clock = 8,
    /// Scheduling.
    Sched = 9,
    /// Futexes.
    Futex = 10,
    /// Sleeps and timers.
    Time = 11,
    /// Who one is, what one may and has used.
    Identity = 12,
    /// Waits for descriptors.
    Poll = 13,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::File,
        Self::Desc,
        Self::Process,
        Self::Network,
        Self::Signal,
        Self::Ipc,
        Self::Memory,
        Self::Creds,
        Self::Clock,
        Self::Sched,
        Self::Futex,
        Self::Time,
        Self::Identity,
        Self::Poll,
    ];

    /// Returns its name on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "%file",
            Self::Desc => "%desc",
            Self::Process => "%process",
            Self::Network => "%network",
            Self::Signal => "%signal",
            Self::Ipc => "%ipc",
            Self::Memory => "%memory",
            Self::Creds => "%creds",
            Self::Clock => "%clock",
            Self::Sched => "%sched",
            Self::Futex => "%futex",
            Self::Time => "%time",
            Self::Identity => "%identity",
            Self::Poll => "%poll",
        }
    }

    /// Returns the group of this name.
    pub fn named(name: &[u8]) -> Option<Self> {
        // strace has both.
        let name: &[u8] = match name {
            b"%net" => b"%network",
            other => other,
        };
        let mut all = Self::ALL.into_iter();
        all.find(|group| group.name().as_bytes() == name)
    }
}

/// Some groups.
#[derive(Clone, Copy, Debug)]
pub(super) struct Groups(u16);

impl Groups {
    /// None.
    pub(super) const EMPTY: Self = Self(0);

    /// Returns these and one more.
    pub(super) const fn with(self, group: Group) -> Self {
        // CAST: there are fewer groups than bits.
        Self(self.0 | 1 << group as u32)
    }

    /// Says whether a group is among them.
    pub(super) const fn contains(self, group: Group) -> bool {
        // CAST: as above.
        self.0 & 1 << group as u32 != 0
    }
}
