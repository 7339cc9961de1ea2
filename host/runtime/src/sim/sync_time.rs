//! How long the syncs of a simulated disk take, and those that are not over yet.

use std::collections::VecDeque;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

use super::clock::world_now;
use super::link::Tail;
use crate::Instant;

/// How long a sync takes. By default it takes no time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncTime {
    /// The least time.
    pub least: Duration,
    /// The time is greater by a random part of this.
    pub jitter: Duration,
    /// Some syncs stall; `None` is without stalls.
    pub stalls: Option<Tail>,
}

impl SyncTime {
    /// How long the next sync takes.
    pub(super) fn draw(&self, random: &mut ChaCha8Rng) -> Duration {
        if *self == SyncTime::default() {
            return Duration::ZERO;
        }
        let jitter_nanos = u64::try_from(self.jitter.as_nanos()).unwrap_or(u64::MAX);
        let jitter = Duration::from_nanos(random.next_u64() % jitter_nanos.max(1));
        let stalls = self.stalls.as_ref();
        self.least + jitter + stalls.map_or(Duration::ZERO, |tail| tail.draw(random))
    }
}

/// What a sync makes durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Synced {
    File(u64),
    Folder(String),
}

/// A sync that has returned and is not over.
#[derive(Debug, Clone)]
pub(super) struct Running {
    pub(super) until: Instant,
    /// Its number among all syncs of the disk. Changes with a lower one came before it.
    pub(super) number: u64,
    pub(super) what: Synced,
}

/// The syncs of a disk that are not over, one after another, as one device does them.
#[derive(Debug, Clone, Default)]
pub(super) struct SyncQueue {
    running: VecDeque<Running>,
    /// The newest time that the disk has seen. Outside of a world its clock stands.
    seen: Instant,
    busy_until: Instant,
}

impl SyncQueue {
    /// Takes out the next sync that is over by now.
    pub(super) fn next_over(&mut self) -> Option<Running> {
        if let Some(now) = world_now() {
            if now < self.seen {
                // The disk is in another world, whose time has just begun.
                self.busy_until = now;
                for running in &mut self.running {
                    running.until = now;
                }
            }
            self.seen = now;
        }
        let first = self.running.front()?;
        let is_over = first.until <= self.seen;
        is_over.then(|| self.running.pop_front()).flatten()
    }

    /// Takes out the next sync as if it were over.
    pub(super) fn next(&mut self) -> Option<Running> {
        self.running.pop_front()
    }

    /// Begins a sync that takes so long. Returns false if it takes no time and nothing runs before
    /// it.
    pub(super) fn begin(&mut self, number: u64, what: &Synced, takes: Duration) -> bool {
        self.busy_until = self.busy_until.max(self.seen) + takes;
        if self.running.is_empty() && self.busy_until <= self.seen {
            return false;
        }
        self.running.push_back(Running {
            until: self.busy_until,
            number,
            what: what.clone(),
        });
        true
    }

    /// When everything that runs now is over.
    pub(super) fn all_over(&self) -> Option<Instant> {
        self.running.back().map(|running| running.until)
    }

    /// The power fails: returns the number of the sync that was under way, if one was.
    pub(super) fn cut(&mut self) -> Option<u64> {
        let first = self.running.front().map(|running| running.number);
        *self = Self::default();
        first
    }
}
