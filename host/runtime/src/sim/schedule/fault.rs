//! One fault of a schedule.

use std::fmt;
use std::time::Duration;

use super::kind::FaultKind;
use crate::sim::faults::CutAt;
use crate::sim::link::LinkSettings;
use crate::sim::net::ClosedPorts;
use crate::sim::sync_time::SyncTime;

/// One fault of a [`Schedule`](super::Schedule): what happens to whom, when, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    pub(super) kind: FaultKind,
    pub(super) at: Duration,
    pub(super) lasts: Duration,
    pub(super) effect: Effect,
    /// What happens to whom, in words.
    pub(super) what: String,
}

/// What a fault does. Hosts are numbered by the order in which they joined the cast.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Effect {
    Kill(usize),
    PowerCut(usize),
    Stop(usize),
    JumpClock {
        server: usize,
        by_ms: i64,
    },
    /// Nothing gets from the first host of each pair to the second one.
    Cut(Vec<(usize, usize)>),
    Reset(usize, usize),
    ClosePorts {
        server: usize,
        how: ClosedPorts,
    },
    /// Both directions between two hosts.
    Link(usize, usize, LinkSettings),
    Syncs(usize, SyncTime),
    Full {
        server: usize,
        spare_bytes: u64,
    },
    FailSync {
        server: usize,
        nth: u64,
    },
    CutAtSync {
        server: usize,
        nth: u64,
        at: CutAt,
    },
    FlipBits {
        server: usize,
        one_in: u64,
    },
}

impl Fault {
    /// Its kind.
    pub fn kind(&self) -> FaultKind {
        self.kind
    }

    /// When it begins, counted from the begin of the schedule.
    pub fn at(&self) -> Duration {
        self.at
    }

    /// How long it lasts.
    pub fn lasts(&self) -> Duration {
        self.lasts
    }

    /// What happens to whom, and for how long.
    pub(super) fn words(&self) -> String {
        match self.kind {
            FaultKind::Reset => self.what.clone(),
            _ => format!("{} for {}", self.what, Seconds(self.lasts)),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", Seconds(self.at), self.words())
    }
}

/// A time in seconds, to the millisecond.
pub(super) struct Seconds(pub(super) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.0.as_secs_f64())
    }
}
