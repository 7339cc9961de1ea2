//! The sums over all connections.
//!
//! Connections add to one of a few shards, picked by the connection's number, so that workers on
//! many cores do not fight for one cache line; whoever shows figures adds the shards up.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use innkeeper_raft::measure::{Reading, Summary};

/// How many shards there are.
const SHARDS: usize = 8;

/// What a response's size is while there was none, as in ZooKeeper.
const NO_SIZE: i64 = -1;

/// The sums of some of the connections.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Shard {
    /// Frames and words received.
    pub(crate) received: AtomicU64,
    pub(crate) received_bytes: AtomicU64,
    /// Frames and words' answers sent.
    pub(crate) sent: AtomicU64,
    pub(crate) response_bytes: AtomicU64,
    pub(crate) watch_bytes: AtomicU64,
    /// Latencies of requests that need no log, in microseconds.
    pub(crate) reads_us: Summary,
    /// Latencies of those that do.
    pub(crate) updates_us: Summary,
    last_response: AtomicI64,
    min_response: AtomicI64,
    max_response: AtomicI64,
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            received: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
            watch_bytes: AtomicU64::new(0),
            reads_us: Summary::default(),
            updates_us: Summary::default(),
            last_response: AtomicI64::new(NO_SIZE),
            min_response: AtomicI64::new(i64::MAX),
            max_response: AtomicI64::new(NO_SIZE),
        }
    }
}

impl Shard {
    /// Responses of these sizes were sent.
    pub(crate) fn responded(&self, last: u64, min: u64, max: u64) {
        self.last_response.store(last as i64, Ordering::Relaxed);
        self.min_response.fetch_min(min as i64, Ordering::Relaxed);
        self.max_response.fetch_max(max as i64, Ordering::Relaxed);
    }

    fn reset(&self) {
        for sum in [
            &self.received,
            &self.received_bytes,
            &self.sent,
            &self.response_bytes,
            &self.watch_bytes,
        ] {
            sum.store(0, Ordering::Relaxed);
        }
        self.reads_us.reset();
        self.updates_us.reset();
        self.last_response.store(NO_SIZE, Ordering::Relaxed);
        self.min_response.store(i64::MAX, Ordering::Relaxed);
        self.max_response.store(NO_SIZE, Ordering::Relaxed);
    }
}

/// All shards.
#[derive(Debug)]
pub(crate) struct Traffic {
    shards: Box<[Shard]>,
    /// The shard in which a response was last recorded, so that the last size is of the last one.
    newest: AtomicU64,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            newest: AtomicU64::new(0),
        }
    }
}

/// The sums over all connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) received: u64,
    pub(crate) received_bytes: u64,
    pub(crate) sent: u64,
    pub(crate) response_bytes: u64,
    pub(crate) watch_bytes: u64,
    pub(crate) reads_us: Reading,
    pub(crate) updates_us: Reading,
    /// Sizes of responses, in bytes; -1 if there was none.
    pub(crate) last_response: i64,
    pub(crate) min_response: i64,
    pub(crate) max_response: i64,
}

impl Totals {
    /// The latencies of all requests, in microseconds.
    pub(crate) fn latency_us(&self) -> Latency {
        let (reads, updates) = (&self.reads_us, &self.updates_us);
        let count = reads.count + updates.count;
        let least = [reads, updates].into_iter().filter(|part| part.count > 0);
        Latency {
            min: least.map(Reading::min).min().unwrap_or(0),
            average: if count == 0 {
                0.0
            } else {
                (reads.sum + updates.sum) as f64 / count as f64
            },
            max: reads.max().max(updates.max()),
        }
    }
}

/// Latencies, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    pub(crate) min: u64,
    pub(crate) average: f64,
    pub(crate) max: u64,
}

impl Traffic {
    /// Where the connection of that number adds.
    pub(crate) fn shard(&self, number: u64) -> &Shard {
        &self.shards[(number % SHARDS as u64) as usize]
    }

    /// The connection of that number has sent the newest response.
    pub(crate) fn is_newest(&self, number: u64) {
        let shard = number % SHARDS as u64;
        if self.newest.load(Ordering::Relaxed) != shard {
            self.newest.store(shard, Ordering::Relaxed);
        }
    }

    /// The sums.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals {
            min_response: i64::MAX,
            max_response: NO_SIZE,
            ..Totals::default()
        };
        for shard in &*self.shards {
            let load = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
            totals.received += load(&shard.received);
            totals.received_bytes += load(&shard.received_bytes);
            totals.sent += load(&shard.sent);
            totals.response_bytes += load(&shard.response_bytes);
            totals.watch_bytes += load(&shard.watch_bytes);
            shard.reads_us.read_into(&mut totals.reads_us);
            shard.updates_us.read_into(&mut totals.updates_us);
            let (min, max) = (&shard.min_response, &shard.max_response);
            totals.min_response = totals.min_response.min(min.load(Ordering::Relaxed));
            totals.max_response = totals.max_response.max(max.load(Ordering::Relaxed));
        }
        if totals.min_response == i64::MAX {
            totals.min_response = NO_SIZE;
        }
        let newest = self.newest.load(Ordering::Relaxed);
        totals.last_response = self.shard(newest).last_response.load(Ordering::Relaxed);
        totals
    }

    /// Forgets everything.
    pub(crate) fn reset(&self) {
        for shard in &*self.shards {
            shard.reset();
        }
    }
}
