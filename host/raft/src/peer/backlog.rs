//! What a follower has taken from its leader and not yet worked off.
//!
//! **Invariant:** a follower keeps no more in memory than its bounds, however slow its disk and
//! however fast the leader. (tests: `what_is_appended_and_not_synced_is_bounded_on_a_follower`,
//! `what_is_applied_and_in_no_checkpoint_is_bounded_on_a_follower`,
//! `every_operation_is_applied_once_and_in_order_whatever_happens`)

use innkeeper_runtime::Runtime;

use crate::disk_progress::DiskProgress;
use crate::log::Log;
use crate::state::Checkpointer;

/// The bounds on a follower's backlog. Clones are of the same node.
pub(crate) struct Backlog<R: Runtime> {
    pub(crate) log: Log<R>,
    pub(crate) checkpointer: Checkpointer,
}

impl<R: Runtime> Clone for Backlog<R> {
    fn clone(&self) -> Self {
        Self {
            log: self.log.clone(),
            checkpointer: self.checkpointer.clone(),
        }
    }
}

impl<R: Runtime> Backlog<R> {
    /// With so many bytes received and not answered: is there too much that waits for its sync, or
    /// for a checkpoint? Then nothing more is read from the leader. Syncs and checkpoints need
    /// nothing from it, so this ends.
    ///
    /// Applying may need the leader's next entries, so what waits for that alone holds up nothing:
    /// the [tail](crate::log) lets it leave memory.
    pub(super) fn is_full(&self, received: usize) -> bool {
        if cfg!(innkeeper_break = "follower-bounds") {
            // A follower would take whatever its leader sends, and a test must fail.
            return false;
        }
        self.log.is_full(received) || self.checkpointer.lag.is_full(0)
    }

    /// Returns when enough of it was worked off.
    pub(super) async fn has_room(&self, received: usize) {
        loop {
            let progress = DiskProgress::listen(&self.log, &self.checkpointer.durable);
            if !self.is_full(received) {
                return;
            }
            progress.comes().await;
        }
    }
}
