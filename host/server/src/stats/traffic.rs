//! The sums over all connections.
//!
//! Connections add to one of a few shards, chosen by the connection's number, so that threads on
//! many cores do not share one cache line. A reader adds the shards up.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use innkeeper_raft::histogram::{Reading, Summary};

/// How many shards there are.
const SHARDS: usize = 8;

/// The size of a response while there was none, as in ZooKeeper.
const NO_SIZE: i64 = -1;

/// The sums of some of the connections.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Shard {
    /// Frames and four-letter words received.
    pub(crate) received: AtomicU64,
    pub(crate) received_bytes: AtomicU64,
    /// Frames and answers to four-letter words sent.
    pub(crate) sent: AtomicU64,
    pub(crate) response_bytes: AtomicU64,
    pub(crate) watch_bytes: AtomicU64,
    /// Latencies of requests that do not go to the log, in microseconds.
    pub(crate) reads_us: Summary,
    /// Latencies of requests that go to the log, in microseconds.
    pub(crate) updates_us: Summary,
    last_response: AtomicI64,
    /// When the last response was sent, in nanoseconds since the node's start: the shard where that
    /// is latest has the last response of all.
    last_response_at_ns: AtomicU64,
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
            last_response_at_ns: AtomicU64::new(0),
            min_response: AtomicI64::new(i64::MAX),
            max_response: AtomicI64::new(NO_SIZE),
        }
    }
}

impl Shard {
    /// Adds responses of these sizes, sent so long after the node's start.
    pub(crate) fn responded(&self, at_ns: u64, last: u64, min: u64, max: u64) {
        self.last_response_at_ns.store(at_ns, Ordering::Relaxed);
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
            &self.last_response_at_ns,
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
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
        }
    }
}

/// The sums over all connections.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Frames and four-letter words that came.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Replies, events and answers to four-letter words that were sent.
    pub sent: u64,
    /// Bytes of replies.
    pub response_bytes: u64,
    /// Bytes of watch events.
    pub watch_bytes: u64,
    /// Times of reads, in microseconds.
    pub reads_us: Reading,
    /// Times of writes, in microseconds.
    pub updates_us: Reading,
    /// Sizes of responses, in bytes; -1 if there was none.
    pub last_response: i64,
    /// The smallest response, in bytes; -1 if there was none.
    pub min_response: i64,
    /// The largest response, in bytes; -1 if there was none.
    pub max_response: i64,
}

impl Totals {
    /// The latencies of all requests, in microseconds.
    pub fn latency_us(&self) -> Latency {
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
pub struct Latency {
    /// The shortest latency; 0 if there was none.
    pub min: u64,
    /// The average latency; 0 if there was none.
    pub average: f64,
    /// The longest latency; 0 if there was none.
    pub max: u64,
}

impl Traffic {
    /// The shard to which the connection of that number adds.
    pub(crate) fn shard(&self, number: u64) -> &Shard {
        &self.shards[(number % SHARDS as u64) as usize]
    }

    /// The sums over all shards.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals {
            min_response: i64::MAX,
            max_response: NO_SIZE,
            last_response: NO_SIZE,
            ..Totals::default()
        };
        let mut newest_ns = 0;
        for shard in &*self.shards {
            let load = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
            totals.received += load(&shard.received);
            totals.received_bytes += load(&shard.received_bytes);
            totals.sent += load(&shard.sent);
            totals.response_bytes += load(&shard.response_bytes);
            totals.watch_bytes += load(&shard.watch_bytes);
            shard.reads_us.read_into(&mut totals.reads_us);
            shard.updates_us.read_into(&mut totals.updates_us);
            let (at_ns, last) = (load(&shard.last_response_at_ns), &shard.last_response);
            if at_ns >= newest_ns && last.load(Ordering::Relaxed) != NO_SIZE {
                newest_ns = at_ns;
                totals.last_response = last.load(Ordering::Relaxed);
            }
            let (min, max) = (&shard.min_response, &shard.max_response);
            totals.min_response = totals.min_response.min(min.load(Ordering::Relaxed));
            totals.max_response = totals.max_response.max(max.load(Ordering::Relaxed));
        }
        if totals.min_response == i64::MAX {
            totals.min_response = NO_SIZE;
        }
        totals
    }

    /// Resets all shards.
    pub(crate) fn reset(&self) {
        for shard in &*self.shards {
            shard.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_response_is_the_latest_of_all_shards() {
        let traffic = Traffic::default();
        assert_eq!(traffic.totals().last_response, NO_SIZE);
        traffic.shard(5).responded(10, 100, 20, 100);
        assert_eq!(traffic.totals().last_response, 100);
        traffic.shard(2).responded(20, 30, 30, 30);
        let totals = traffic.totals();
        let sizes = (
            totals.last_response,
            totals.min_response,
            totals.max_response,
        );
        assert_eq!(sizes, (30, 20, 100));
        traffic.reset();
        assert_eq!(traffic.totals().last_response, NO_SIZE);
    }
}
