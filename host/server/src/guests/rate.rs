//! `limits.calls_per_second`: what comes above it waits.

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
}
