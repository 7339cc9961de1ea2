//! The kinds of faults that a simulated world has.

use std::fmt;

/// A kind of fault. Its [scope](FaultKind::scope) says what its rate counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// A server's process is killed, and started again when the fault ends.
    Kill,
    /// A server's machine loses power, and starts again when the fault ends.
    PowerCut,
    /// A server's process is stopped, and goes on when the fault ends.
    Stop,
    /// A server is cut off from all other hosts of the cast: what it sends, what it gets, or both.
    Isolate,
    /// A server's wall clock jumps by up to an hour, and jumps back when the fault ends.
    ClockJump,
    /// One direction between two hosts is cut.
    Cut,
    /// Both directions between two hosts are cut.
    Part,
    /// All connections between two hosts break. It happens at once and does not last.
    Reset,
    /// Both directions between two hosts are slow: some 10 to 200 ms, and less than 1 MB/s.
    SlowLink,
    /// Between two hosts some pieces are late by up to seconds.
    HeavyTail,
    /// The cast falls into two groups; nothing gets from one to the other, or only in one
    /// direction. Each group has half of the servers.
    Split,
    /// Each sync of a server's disk takes 20 to 200 ms longer.
    SlowSyncs,
    /// Some syncs of a server's disk stall for up to seconds.
    StallingSyncs,
    /// A server's disk is full: its files may grow by at most 64 KiB.
    FullDisk,
    /// One of a server's next syncs fails, and its changes never become durable. If there are not
    /// so many syncs before the fault ends, none fails.
    FailedSync,
    /// A server's machine loses power at one of its next syncs, just before the sync has its effect
    /// or just after. If there are not so many syncs before the fault ends, nothing happens.
    CutAtSync,
    /// Now and then a bit of what a server reads from its disk is flipped.
    FlippedBits,
    /// A server's ports are closed to all other hosts, while what it dials itself works.
    ClosedPorts,
}

/// What the rate of a kind of fault counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Each server.
    Server,
    /// Each server that has a disk.
    Disk,
    /// Each pair of hosts of which at least one is a server.
    Pair,
    /// The whole cast.
    Cast,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [FaultKind; 18] = [
        Self::Kill,
        Self::PowerCut,
        Self::Stop,
        Self::Isolate,
        Self::ClockJump,
        Self::Cut,
        Self::Part,
        Self::Reset,
        Self::SlowLink,
        Self::HeavyTail,
        Self::Split,
        Self::SlowSyncs,
        Self::StallingSyncs,
        Self::FullDisk,
        Self::FailedSync,
        Self::CutAtSync,
        Self::FlippedBits,
        Self::ClosedPorts,
    ];

    /// What the kind's rate counts for.
    pub fn scope(self) -> Scope {
        match self {
            Self::Kill
            | Self::PowerCut
            | Self::Stop
            | Self::Isolate
            | Self::ClockJump
            | Self::ClosedPorts => Scope::Server,
            Self::Cut | Self::Part | Self::Reset | Self::SlowLink | Self::HeavyTail => Scope::Pair,
            Self::Split => Scope::Cast,
            Self::SlowSyncs
            | Self::StallingSyncs
            | Self::FullDisk
            | Self::FailedSync
            | Self::CutAtSync
            | Self::FlippedBits => Scope::Disk,
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::PowerCut => "power cut",
            Self::Stop => "stop",
            Self::Isolate => "isolation",
            Self::ClockJump => "clock jump",
            Self::Cut => "cut",
            Self::Part => "part",
            Self::Reset => "reset",
            Self::SlowLink => "slow link",
            Self::HeavyTail => "heavy tail",
            Self::Split => "split",
            Self::SlowSyncs => "slow syncs",
            Self::StallingSyncs => "stalling syncs",
            Self::FullDisk => "full disk",
            Self::FailedSync => "failed sync",
            Self::CutAtSync => "power cut at a sync",
            Self::FlippedBits => "flipped bits",
            Self::ClosedPorts => "closed ports",
        })
    }
}
