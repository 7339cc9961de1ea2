//! `limits.calls_per_second` and `limits.bytes_per_second`: what comes above them waits.

use std::time::Duration;

use innkeeper_runtime::Instant;

/// Invocations per second of one binding: a bucket that holds a tenth of a second's worth.
#[derive(Default)]
pub(super) struct Rate {
    /// When the bucket would be full again.
    full_at: Option<Instant>,
}

impl Rate {
    /// Takes one invocation out of the bucket, or says how long to wait for one.
    pub(super) fn take(&mut self, now: Instant, per_second: u64) -> Option<Duration> {
        let each = Duration::from_nanos(1_000_000_000 / per_second.max(1));
        let depth = Duration::from_millis(100).max(each);
        let full_at = self.full_at.filter(|full_at| *full_at > now).unwrap_or(now) + each;
        if full_at > now + depth {
            return Some(full_at.since(now + depth));
        }
        self.full_at = Some(full_at);
        None
    }
}

/// What a recipe may write ahead of its rate, in time: a small transaction is not waited for,
/// because no clock is fine enough.
const AHEAD: Duration = Duration::from_millis(100);

/// Bytes per second that one recipe proposes. Whatever one transaction takes, it passes; the next
/// reaction waits until it is paid for.
#[derive(Default)]
pub(super) struct ByteRate {
    /// When all that was proposed is paid for.
    paid_at: Option<Instant>,
}

impl ByteRate {
    /// How long to wait before the next reaction, if at all.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        let due = self.paid_at.filter(|paid_at| *paid_at > now + AHEAD)?;
        Some(due.since(now + AHEAD))
    }

    /// Notes what a transaction takes.
    pub(super) fn spend(&mut self, now: Instant, bytes: usize, per_second: u64) {
        let nanos = bytes as u128 * 1_000_000_000 / u128::from(per_second.max(1));
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let from = self.paid_at.filter(|paid_at| *paid_at > now).unwrap_or(now);
        self.paid_at = Some(from + cost);
    }
}

#[cfg(test)]
mod tests {
    use innkeeper_runtime::{Runtime, Sim};

    use super::*;

    #[test]
    fn a_tenth_of_a_second_may_come_at_once_and_the_rest_at_the_rate() {
        Sim::run(1, async |runtime| {
            let mut rate = Rate::default();
            let began = runtime.now();
            for _ in 0..200 {
                while let Some(wait) = rate.take(runtime.now(), 100) {
                    runtime.sleep(wait).await;
                }
            }
            let took = runtime.now() - began;
            assert!(took >= Duration::from_millis(1_900), "{took:?}");
            assert!(took < Duration::from_millis(2_100), "{took:?}");
        });
    }

    #[test]
    fn a_large_transaction_passes_and_is_waited_for_afterwards() {
        Sim::run(2, async |runtime| {
            const MIB: usize = 1 << 20;
            let mut rate = ByteRate::default();
            let began = runtime.now();
            // 8 MiB at 4 MiB a second, six times.
            for _ in 0..6 {
                if let Some(wait) = rate.wait(runtime.now()) {
                    runtime.sleep(wait).await;
                }
                assert_eq!(rate.wait(runtime.now()), None);
                rate.spend(runtime.now(), 8 * MIB, 4 * MIB as u64);
            }
            let took = runtime.now() - began;
            assert_eq!(took, Duration::from_millis(9_900));
        });
    }

    #[test]
    fn small_transactions_below_the_rate_wait_for_nothing() {
        Sim::run(3, async |runtime| {
            let mut rate = ByteRate::default();
            for _ in 0..10_000 {
                assert_eq!(rate.wait(runtime.now()), None);
                rate.spend(runtime.now(), 400, 4 << 20);
                runtime.sleep(Duration::from_micros(100)).await;
            }
        });
    }
}
