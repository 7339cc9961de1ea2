//! What a schedule has really done.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::fault::Seconds;
use super::kind::FaultKind;

/// What was done in the run of a [`Schedule`](super::Schedule), and when. It is shown one line for
/// each fault that began or ended and for each server that ended or started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    pub(super) lines: Vec<(Duration, String)>,
    pub(super) effects: BTreeMap<FaultKind, u64>,
    pub(super) surprises: u64,
    pub(super) restarts: u64,
}

impl Record {
    /// How often a kind of fault took effect. A kill of a host that is dead does not, nor a failing
    /// sync that nobody asked for.
    pub fn count(&self, kind: FaultKind) -> u64 {
        self.effects.get(&kind).copied().unwrap_or(0)
    }

    /// How often a server's process ended without being killed.
    pub fn ended_by_itself(&self) -> u64 {
        self.surprises
    }

    /// How often a server was started again.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Adds the counts of another run to these, and forgets when what was done.
    pub fn add(&mut self, other: &Record) {
        self.lines.clear();
        for (kind, count) in &other.effects {
            *self.effects.entry(*kind).or_default() += count;
        }
        self.surprises += other.surprises;
        self.restarts += other.restarts;
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, what) in &self.lines {
            writeln!(f, "{}: {what}", Seconds(*at))?;
        }
        Ok(())
    }
}
