//! Histograms: counts and times without locks, for statistics that are shown to people.
//!
//! 1. The code that does the work adds its numbers to a [`Summary`]: a few relaxed atomic
//!    additions.
//! 2. The code that shows statistics takes a [`Reading`], a copy, for averages and quantiles.
//!
//! A reading is not exact at one moment: an addition at the same time may be in the count and not
//! yet in the sum. For statistics this is good enough.

use std::sync::atomic::{AtomicU64, Ordering};

use innkeeper_tree::Zxid;

/// Buckets for each power of two. Sixteen bound the error of a quantile to one part in 32.
const STEPS: u64 = 16;

/// Values from 2 to the power of this on share the last bucket; in microseconds that is half a
/// year.
const LIMIT_BITS: u32 = 44;

/// The number of buckets: one for each value below [`STEPS`], then [`STEPS`] for each power of two.
const BUCKETS: usize = (STEPS as usize) * (LIMIT_BITS as usize - 3);

/// A histogram: the count of values, their sum, extremes and distribution.
///
/// Invariants:
/// - Adding takes no lock and allocates nothing.
/// - A quantile is off by at most one part in 32 of its value. (test: `quantiles_are_close`)
#[derive(Debug)]
pub struct Summary {
    count: AtomicU64,
    sum: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
    buckets: Box<[AtomicU64]>,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Summary {
    /// Adds a value.
    pub fn add(&self, value: u64) {
        self.add_many(value, 1);
    }

    /// Adds a value that occurred so many times.
    pub fn add_many(&self, value: u64, times: u64) {
        if times == 0 {
            return;
        }
        self.count.fetch_add(times, Ordering::Relaxed);
        self.sum
            .fetch_add(value.saturating_mul(times), Ordering::Relaxed);
        self.min.fetch_min(value, Ordering::Relaxed);
        self.max.fetch_max(value, Ordering::Relaxed);
        self.buckets[bucket_of(value)].fetch_add(times, Ordering::Relaxed);
    }

    /// Forgets all values.
    pub fn reset(&self) {
        self.count.store(0, Ordering::Relaxed);
        self.sum.store(0, Ordering::Relaxed);
        self.min.store(u64::MAX, Ordering::Relaxed);
        self.max.store(0, Ordering::Relaxed);
        for bucket in &*self.buckets {
            bucket.store(0, Ordering::Relaxed);
        }
    }

    /// A copy of the present values.
    pub fn read(&self) -> Reading {
        let mut reading = Reading::default();
        self.read_into(&mut reading);
        reading
    }

    /// Adds the present values to a reading of other summaries.
    pub fn read_into(&self, reading: &mut Reading) {
        reading.count += self.count.load(Ordering::Relaxed);
        reading.sum += self.sum.load(Ordering::Relaxed);
        reading.min = reading.min.min(self.min.load(Ordering::Relaxed));
        reading.max = reading.max.max(self.max.load(Ordering::Relaxed));
        reading.buckets.resize(BUCKETS, 0);
        for (sum, bucket) in reading.buckets.iter_mut().zip(&*self.buckets) {
            *sum += bucket.load(Ordering::Relaxed);
        }
    }
}

/// A copy of one or more summaries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The number of values.
    pub count: u64,
    /// The sum of the values.
    pub sum: u64,
    min: u64,
    max: u64,
    buckets: Vec<u64>,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            count: 0,
            sum: 0,
            min: u64::MAX,
            max: 0,
            buckets: Vec::new(),
        }
    }
}

impl Reading {
    /// The least value; 0 if there is none.
    pub fn min(&self) -> u64 {
        if self.count == 0 { 0 } else { self.min }
    }

    /// The greatest value; 0 if there is none.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The average; 0 if there is no value.
    pub fn average(&self) -> f64 {
        if self.count == 0 {
            0.0
        } else {
            self.sum as f64 / self.count as f64
        }
    }

    /// The value that this share of all values (0 to 1) does not exceed; `None` if there is none.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let total: u64 = self.buckets.iter().sum();
        if total == 0 {
            return None;
        }
        let rank = ((share * total as f64).ceil() as u64).clamp(1, total);
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(middle_of(bucket).clamp(self.min() as f64, self.max as f64))
    }
}

fn bucket_of(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let value = value.min((1 << LIMIT_BITS) - 1);
    let power = value.ilog2();
    let step = (value >> (power - 4)) & (STEPS - 1);
    (u64::from(power - 3) * STEPS + step) as usize
}

fn middle_of(bucket: usize) -> f64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket as f64;
    }
    let power = (bucket / STEPS) + 3;
    let width = 1u64 << (power - 4);
    let begin = (STEPS + bucket % STEPS) * width;
    begin as f64 + (width - 1) as f64 / 2.0
}

/// The statistics of the log and the checkpoints since the process started.
#[derive(Debug, Default)]
pub struct RaftStats {
    /// The time to write and sync one batch of the log, in microseconds.
    pub sync_us: Summary,
    /// The number of entries in a batch.
    pub batch_entries: Summary,
    /// Batches that took longer than [`Settings::slow_sync`](crate::Settings::slow_sync).
    slow_syncs: AtomicU64,
    /// The bytes of a command that this node proposed as the leader.
    pub proposal_bytes: Summary,
    /// The bytes of the last of these commands.
    last_proposal_bytes: AtomicU64,
    /// The time to write one checkpoint, in microseconds.
    pub checkpoint_us: Summary,
    /// When the last checkpoint became durable, on the wall clock, in milliseconds since 1970;
    /// 0 if none has since the process started.
    checkpoint_wall_ms: AtomicU64,
    /// The zxid of the last checkpoint.
    checkpoint_zxid: AtomicU64,
}

impl RaftStats {
    /// Forgets everything but the time of the last checkpoint.
    pub fn reset(&self) {
        self.sync_us.reset();
        self.batch_entries.reset();
        self.proposal_bytes.reset();
        self.checkpoint_us.reset();
    }

    /// How many batches took longer than [`Settings::slow_sync`](crate::Settings::slow_sync).
    pub fn slow_syncs(&self) -> u64 {
        self.slow_syncs.load(Ordering::Relaxed)
    }

    /// The last checkpoint since the process started: its zxid, and when it became durable, on the
    /// wall clock, in milliseconds since 1970. `None` if there was none.
    pub fn last_checkpoint(&self) -> Option<(Zxid, u64)> {
        let wall_ms = self.checkpoint_wall_ms.load(Ordering::Relaxed);
        let zxid = Zxid(self.checkpoint_zxid.load(Ordering::Relaxed));
        (wall_ms != 0).then_some((zxid, wall_ms))
    }

    /// The bytes of the last command that this node proposed as the leader, and of the shortest and
    /// the longest one. `None` if there was none.
    pub fn proposals(&self) -> Option<(u64, u64, u64)> {
        let reading = self.proposal_bytes.read();
        let last = self.last_proposal_bytes.load(Ordering::Relaxed);
        (reading.count > 0).then(|| (last, reading.min(), reading.max()))
    }

    /// A command of so many bytes is proposed.
    pub(crate) fn proposed(&self, bytes: u64) {
        self.last_proposal_bytes.store(bytes, Ordering::Relaxed);
        self.proposal_bytes.add(bytes);
    }

    /// A batch of the log became durable, slowly or not.
    pub(crate) fn synced(&self, took_us: u64, entries: u64, is_slow: bool) {
        self.sync_us.add(took_us);
        if entries != 0 {
            self.batch_entries.add(entries);
        }
        if is_slow {
            self.slow_syncs.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A checkpoint became durable.
    pub(crate) fn checkpointed(&self, took_us: u64, wall_ms: u64, zxid: Zxid) {
        self.checkpoint_us.add(took_us);
        self.checkpoint_zxid.store(zxid.0, Ordering::Relaxed);
        self.checkpoint_wall_ms.store(wall_ms, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_hold_their_middle() {
        let mut last = 0;
        for value in (0..4096).chain((12..50).map(|bits| (1u64 << bits) + 1)) {
            let bucket = bucket_of(value);
            assert!(bucket >= last && bucket < BUCKETS, "{value}");
            last = bucket;
            if value < 1 << LIMIT_BITS {
                assert_eq!(bucket_of(middle_of(bucket) as u64), bucket, "{value}");
            }
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_close() {
        let summary = Summary::default();
        for value in 1..=10_000 {
            summary.add(value);
        }
        let reading = summary.read();
        assert_eq!((reading.count, reading.sum), (10_000, 50_005_000));
        assert_eq!((reading.min(), reading.max()), (1, 10_000));
        for (share, exact) in [
            (0.5, 5000.0),
            (0.95, 9500.0),
            (0.99, 9900.0),
            (1.0, 10_000.0),
        ] {
            let found = reading.quantile(share).unwrap();
            assert!((found - exact).abs() <= exact / 32.0, "{share}: {found}");
        }
        assert_eq!(reading.average(), 5000.5);
    }

    #[test]
    fn nothing_added_is_nothing_read() {
        let summary = Summary::default();
        summary.add_many(7, 0);
        summary.add_many(9, 3);
        summary.reset();
        let reading = summary.read();
        assert_eq!((reading.count, reading.min(), reading.max()), (0, 0, 0));
        assert_eq!(reading.quantile(0.5), None);
        assert_eq!(reading.average(), 0.0);
    }

    #[test]
    fn readings_of_several_summaries_add_up() {
        let (one, other) = (Summary::default(), Summary::default());
        one.add_many(3, 2);
        other.add(100);
        let mut both = one.read();
        other.read_into(&mut both);
        assert_eq!((both.count, both.sum), (3, 106));
        assert_eq!((both.min(), both.max()), (3, 100));
        assert_eq!(both.quantile(0.5), Some(3.0));
    }
}
