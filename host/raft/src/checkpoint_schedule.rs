//! The schedule of checkpoints, and of the removal of old segments.
//!
//! 1. A checkpoint is due when `checkpoint_entries` or a sixteenth of `lag_bytes` were applied
//!    since the last capture, or when `checkpoint_interval` has passed.
//! 2. The schedule asks openraft for a snapshot. The state machine answers with a capture, the
//!    checkpointer makes it durable, and openraft gets the id of the last entry in it.
//! 3. Then the segments below this entry that the retention does not keep are purged, except what
//!    a node needs to which a snapshot goes (`peer/holds.rs`), up to a bound in bytes.

use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::{Runtime, Select2, Select3, Signal, select2, select3};
use openraft::async_runtime::watch::WatchReceiver;

use crate::engine::RaftOf;
use crate::error::Failure;
use crate::log::Log;
use crate::peer::Peers;
use crate::state::{Checkpointer, StateShared};
use crate::types::LogId;

/// The time after which the schedule asks again for a checkpoint.
pub(crate) const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How long a purge waits until openraft knows the checkpoint; then it waits for the next one.
const KNOWN: Duration = Duration::from_secs(10);

/// The task that makes checkpoints and removes old segments.
pub(crate) struct Schedule<R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) raft: RaftOf<R>,
    pub(crate) log: Log<R>,
    pub(crate) state: Arc<StateShared>,
    pub(crate) checkpointer: Checkpointer,
    pub(crate) stop: Signal,
    pub(crate) failure: Failure,
    pub(crate) interval: Duration,
    pub(crate) peers: Peers<R>,
}

impl<R: Runtime> Schedule<R> {
    pub(crate) async fn run(self) {
        let mut ticks = self.runtime.interval(self.interval);
        loop {
            let due = self.state.due.notified();
            match select3(self.stop.wait(), due, ticks.tick()).await {
                Select3::First(()) => return,
                Select3::Second(()) | Select3::Third(_) => {}
            }
            ticks.reset();
            if let Select2::First(()) = select2(self.stop.wait(), self.checkpoint()).await {
                return;
            }
            if self.failure.get().is_some() {
                return;
            }
        }
    }

    /// Makes a checkpoint of the present state, and purges the segments that it covers.
    async fn checkpoint(&self) {
        let target = self.state.applied();
        while self.checkpointer.durable.get() < target {
            if self.raft.trigger().snapshot().await.is_err() {
                return;
            }
            let before = self.checkpointer.durable.get();
            let done = self.checkpointer.durable.wait_for(|at| *at != before);
            let again = self.runtime.sleep(ASK_AGAIN);
            match select3(self.failure.failed(), done, again).await {
                Select3::First(_) => return,
                Select3::Second(_) | Select3::Third(()) => {}
            }
        }
        let Some(durable) = self.checkpointer.durable.get() else {
            return;
        };
        let Some(upto) = self.log.purge_point(durable.index) else {
            return;
        };
        // openraft purges only entries that it knows to be in a snapshot. It knows this one when
        // the builder has returned.
        let wait = self.raft.wait(Some(KNOWN));
        let known = wait.metrics(
            |metrics| metrics.snapshot >= Some::<LogId>(durable),
            "the checkpoint is known",
        );
        if known.await.is_err() {
            return;
        }
        let upto = self.held(upto, durable.index);
        if self.raft.trigger().purge_log(upto).await.is_err() {
            tracing::debug!("nothing was purged: openraft has stopped");
        }
    }

    /// How much of a purge the targets of this node's snapshots allow.
    fn held(&self, upto: u64, covered: u64) -> u64 {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let matched = metrics.replication.as_ref().map(|targets| {
            let index = |id: &Option<LogId>| id.map(|id| id.index);
            let targets = targets.iter();
            targets.map(|(target, id)| (*target, index(id))).collect()
        });
        let inner = self.peers.inner();
        let too_far = self
            .log
            .bytes_before_end(covered, inner.settings.hold_bytes);
        inner
            .holds
            .limit(upto, matched.as_ref(), too_far, inner.runtime.now())
    }
}
