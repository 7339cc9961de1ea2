//! How long tasks hold the raft thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The longest poll of a task on the raft thread. While it lasts, nothing else runs there: no sign
/// of life is sent or answered, and no entry is appended. Reading it takes no lock.
///
/// A poll counts by the clock. So on a busy machine the wait for a processor is a part of it. In
/// simulation a poll takes no time.
#[derive(Debug, Default)]
pub struct Polls {
    longest_ns: AtomicU64,
}

impl Polls {
    /// The longest poll since the start or the last [`reset`](Polls::reset).
    pub fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest_ns.load(Ordering::Relaxed))
    }

    /// Forgets the polls so far, for a measurement that begins now.
    pub fn reset(&self) {
        self.longest_ns.store(0, Ordering::Relaxed);
    }

    /// Notes a poll.
    pub(crate) fn note(&self, took: Duration) {
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.longest_ns.fetch_max(took_ns, Ordering::Relaxed);
    }
}
