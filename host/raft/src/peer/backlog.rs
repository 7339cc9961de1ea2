//! What a follower has taken from its leader and not yet worked off.
//!
//! **Invariant:** a follower keeps no more in memory than its bounds, however slow its disk and
//! however fast the leader. (tests: `what_is_appended_and_not_synced_is_bounded_on_a_follower`,
//! `what_is_applied_and_in_no_checkpoint_is_bounded_on_a_follower`)

use innkeeper_runtime::{Runtime, select2};
use openraft::async_runtime::watch::WatchReceiver;

use crate::engine::RaftOf;
use crate::log::Log;
use crate::state::Checkpointer;

/// The bounds on a follower's backlog. Clones are of the same node.
pub(crate) struct Backlog<R: Runtime> {
    pub(crate) raft: RaftOf<R>,
    pub(crate) log: Log<R>,
    pub(crate) checkpointer: Checkpointer,
}

impl<R: Runtime> Clone for Backlog<R> {
    fn clone(&self) -> Self {
        Self {
            raft: self.raft.clone(),
            log: self.log.clone(),
            checkpointer: self.checkpointer.clone(),
        }
    }
}

impl<R: Runtime> Backlog<R> {
    /// With so many bytes received and not answered: is there too much that waits for its sync, for
    /// being applied, or for a checkpoint? Then nothing more is read from the leader.
    ///
    /// Syncs and checkpoints need nothing from the leader. When nothing is left to do but to wait for
    /// it, its entries are read. (test:
    /// `a_follower_full_of_uncommitted_entries_takes_those_of_the_next_leader`)
    ///
    /// Of entries of an older leader openraft applies those alone that the new leader has confirmed,
    /// even if this node was told of a commit beyond them. So what it will apply by itself is asked
    /// of openraft, and not of the committed index in the log.
    pub(super) fn is_full(&self, received: usize) -> bool {
        let metrics = self.raft.metrics();
        let confirmed = metrics.borrow_watched().local_committed;
        let may_be_applied = confirmed.map(|id| id.index);
        self.log.is_full(received, may_be_applied) || self.checkpointer.lag.is_full(0)
    }

    /// Returns when enough of it was worked off.
    pub(super) async fn has_room(&self, received: usize) {
        let durable = &self.checkpointer.durable;
        loop {
            let settles = self.log.settles();
            let seen = durable.get();
            if !self.is_full(received) {
                return;
            }
            select2(settles, durable.wait_for(|at| *at != seen)).await;
        }
    }
}
