//! Deletes empty containers, and znodes whose time to live has passed.
//!
//! 1. Every `container_check_interval_ms` the established leader searches a view for such znodes
//!    ([`View::sweepable`](innkeeper_tree::View::sweepable)), and drops the view.
//! 2. It proposes one command for each, a few at a time, so that at most `container_max_per_minute`
//!    are proposed in a minute.
//! 3. Apply deletes the znode if it is unchanged; a znode that was used meanwhile stays. A proposal
//!    that is lost is made again by a later check.
//!
//! Invariant: the znodes that are found and not proposed yet are at most as many as one interval
//! may propose (test: `no_more_are_swept_in_a_minute_than_may_be`).

use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::{Runtime, Select2, select2};
use innkeeper_tree::Operation;

use crate::service::Service;

const MINUTE_MS: u64 = 60_000;

/// How many are proposed at a time if there are many: this makes about ten batches a second.
const BATCHES_PER_MINUTE: u64 = 600;

/// The limits of sweeping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pace {
    /// The most znodes that one check takes.
    per_check: usize,
    /// The most znodes that are proposed at a time.
    per_batch: usize,
    /// Pause after a full batch, in milliseconds.
    pause_ms: u64,
}

impl Pace {
    fn of(max_per_minute: u32, interval_ms: u64) -> Pace {
        // ZooKeeper divides by zero where the setting is zero; here it counts as one, the slowest
        // rate.
        let per_minute = u64::from(max_per_minute.max(1));
        let per_batch = per_minute.div_ceil(BATCHES_PER_MINUTE);
        let per_check = (per_minute.saturating_mul(interval_ms) / MINUTE_MS).max(1);
        Pace {
            per_check: usize::try_from(per_check).unwrap_or(usize::MAX),
            per_batch: per_batch as usize,
            pause_ms: (per_batch * MINUTE_MS).div_ceil(per_minute),
        }
    }
}

/// Runs until the node stops.
pub(crate) async fn run<R: Runtime>(service: Arc<Service<R>>) {
    let settings = &service.settings;
    let interval_ms = settings.container_check_interval_ms.max(1);
    let pace = Pace::of(settings.container_max_per_minute, interval_ms);
    let mut interval = service.runtime.interval(Duration::from_millis(interval_ms));
    loop {
        if let Select2::First(()) = select2(service.stopping.wait(), interval.tick()).await {
            return;
        }
        // What two nodes sweep, apply sweeps once; but it is the leader's work.
        if service.leads().is_none() {
            continue;
        }
        let unused = {
            let view = service.reader.view();
            let now_ms = service.runtime.wall_ms().max(view.time_ms());
            view.sweepable(now_ms, settings.container_max_never_used_ms, pace.per_check)
        };
        if !unused.is_empty() {
            tracing::info!(
                count = unused.len(),
                "unused containers and outlived znodes are swept"
            );
        }
        for batch in unused.chunks(pace.per_batch) {
            let operations = batch.iter().cloned().map(Operation::Sweep).collect();
            service.proposals.submit(operations).await;
            let pause = service.runtime.sleep(Duration::from_millis(pace.pause_ms));
            if let Select2::First(()) = select2(service.stopping.wait(), pause).await {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_swept_in_a_minute_than_may_be() {
        for (per_minute, interval_ms) in [(10_000, 60_000), (1, 60_000), (601, 100), (7, 10)] {
            let pace = Pace::of(per_minute, interval_ms);
            let batches = MINUTE_MS / pace.pause_ms;
            let swept = batches * pace.per_batch as u64;
            assert!(swept <= u64::from(per_minute), "{per_minute}: {pace:?}");
            assert!(swept * 2 >= u64::from(per_minute), "{per_minute}: {pace:?}");
            assert!(pace.per_check as u64 <= u64::from(per_minute), "{pace:?}");
        }
        // However high the rate, a pause is never a busy loop.
        assert_eq!(Pace::of(u32::MAX, 1).pause_ms, 101);
    }
}
