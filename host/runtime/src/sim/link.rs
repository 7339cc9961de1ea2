//! One direction between two hosts: how long bytes take, and whether they get through.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::Instant;

/// One read in this many gets only a piece of what has arrived.
const SHORT_READ_ONE_IN: u32 = 8;
/// Such a piece has at most this many bytes.
const SHORT_READ_MAX: u32 = 16;

/// How long bytes take from one host to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSettings {
    /// The least time.
    pub delay: Duration,
    /// The time is greater by a random part of this.
    pub jitter: Duration,
    /// How many bytes the link takes in a second, of all connections together; `None` is without
    /// limit.
    pub bytes_per_s: Option<u64>,
    /// Some bytes take much longer; `None` is without such.
    pub tail: Option<Tail>,
}

/// A heavy tail of delays, of pieces on a link or of syncs: half of the late ones are late by at
/// least twice `least`, a quarter by four times, and so on up to `most`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// One in this many is late.
    pub one_in: u32,
    /// It takes at least so much longer.
    pub least: Duration,
    /// It takes at most so much longer.
    pub most: Duration,
}

impl Tail {
    /// How much longer the next piece takes.
    pub(super) fn draw(&self, random: &mut ChaCha8Rng) -> Duration {
        if !random.next_u32().is_multiple_of(self.one_in.max(1)) {
            return Duration::ZERO;
        }
        let mut late = self.least;
        while late < self.most && random.next_u32().is_multiple_of(2) {
            late *= 2;
        }
        late.min(self.most)
    }
}

impl Default for LinkSettings {
    /// A quick network without faults: 50 to 150 microseconds.
    fn default() -> Self {
        Self {
            delay: Duration::from_micros(50),
            jitter: Duration::from_micros(100),
            bytes_per_s: None,
            tail: None,
        }
    }
}

/// The state of one direction between two hosts.
#[derive(Debug)]
pub(super) struct Link {
    settings: LinkSettings,
    random: ChaCha8Rng,
    /// When the last byte that was sent has left the sender.
    busy_until: Instant,
    cut_at: Option<Instant>,
}

impl Link {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            settings: LinkSettings::default(),
            random: ChaCha8Rng::seed_from_u64(seed),
            busy_until: Instant::default(),
            cut_at: None,
        }
    }

    pub(super) fn set(&mut self, settings: LinkSettings) {
        self.settings = settings;
    }

    pub(super) fn settings(&self) -> LinkSettings {
        self.settings.clone()
    }

    /// Since when nothing gets through.
    pub(super) fn cut_at(&self) -> Option<Instant> {
        self.cut_at
    }

    pub(super) fn cut(&mut self, now: Instant) {
        self.cut_at.get_or_insert(now);
    }

    /// Lets bytes through again. Returns false if they got through before.
    pub(super) fn heal(&mut self) -> bool {
        self.cut_at.take().is_some()
    }

    /// When bytes that are sent now arrive, unless the link is cut before.
    pub(super) fn arrival(&mut self, now: Instant, bytes: usize) -> Instant {
        let left = match self.settings.bytes_per_s {
            Some(bytes_per_s) => {
                let nanos = bytes as u128 * 1_000_000_000 / u128::from(bytes_per_s.max(1));
                let sending = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
                self.busy_until = self.busy_until.max(now) + sending;
                self.busy_until
            }
            None => now,
        };
        let jitter_nanos = u64::try_from(self.settings.jitter.as_nanos()).unwrap_or(u64::MAX);
        let jitter = self.random.next_u64() % jitter_nanos.max(1);
        left + self.settings.delay + Duration::from_nanos(jitter) + self.lateness()
    }

    fn lateness(&mut self) -> Duration {
        let tail = self.settings.tail.as_ref();
        tail.map_or(Duration::ZERO, |tail| tail.draw(&mut self.random))
    }

    /// How many bytes the next read of what has come over this link may get.
    pub(super) fn read_limit(&mut self) -> usize {
        if self.random.next_u32().is_multiple_of(SHORT_READ_ONE_IN) {
            (1 + self.random.next_u32() % SHORT_READ_MAX) as usize
        } else {
            usize::MAX
        }
    }
}
