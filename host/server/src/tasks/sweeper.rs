//! Sweeping containers and znodes that have outlived their time to live.
//!
//! 1. Every `container_check_interval_ms` the leader looks through a view for what nobody uses
//!    any more ([`View::sweepable`](innkeeper_tree::View::sweepable)), and lets the view go.
//! 2. It proposes one command for each, a few at a time, so that no more than
//!    `container_max_per_minute` are proposed in a minute.
//! 3. Apply deletes what is still as it was seen; what was used meanwhile stays. A proposal
//!    that is lost is made again by a later check.
//!
//! Invariant: what is found and not proposed yet is at most what one interval may propose
//! (test: `no_more_are_swept_in_a_minute_than_may_be`).

use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::{Runtime, Select2, select2};
use innkeeper_tree::Operation;

use crate::service::Service;

const MINUTE_MS: u64 = 60_000;

/// How many are proposed at a time, where many are to be: about ten batches a second.
const BATCHES_PER_MINUTE: u64 = 600;

/// How fast sweeping may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pace {
    /// Found in one check at most.
    per_check: usize,
    /// Proposed at a time at most.
    per_batch: usize,
    /// Pause after a full batch, in milliseconds.
    pause_ms: u64,
}

impl Pace {
    fn of(max_per_minute: u32, interval_ms: u64) -> Pace {
        // Zero would be a division by zero in ZooKeeper; the slowest that makes sense is one.
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
        // As fast as asked, however fast: a pause is never a busy loop.
        assert_eq!(Pace::of(u32::MAX, 1).pause_ms, 101);
    }
}
