//! What this node's disk works off while somebody waits for room.
//!
//! Who waits for room listens first, then looks once whether there is room, and then waits. The
//! disk's threads make room at any moment, and none of it may be missed: perhaps nothing else ever
//! ends the wait. (test: `what_the_disk_works_off_before_the_wait_begins_ends_it`)

use innkeeper_runtime::{Latest, Runtime, select2};
use tokio::sync::futures::Notified;

use crate::log::Log;
use crate::types::LogId;

/// Listens to the log and the checkpoints of a node, from its making on.
pub(crate) struct DiskProgress<'a> {
    settles: Notified<'a>,
    durable: &'a Latest<Option<LogId>>,
    seen: Option<LogId>,
}

impl<'a> DiskProgress<'a> {
    /// Listens from now on. `durable` is the last entry in `state.redb`.
    pub(crate) fn listen<R: Runtime>(log: &'a Log<R>, durable: &'a Latest<Option<LogId>>) -> Self {
        Self {
            settles: log.settles(),
            seen: durable.get(),
            durable,
        }
    }

    /// Waits until more entries are applied or synced, or in a checkpoint, than when the listening
    /// began.
    pub(crate) async fn comes(self) {
        let checkpoint = self.durable.wait_for(|now| *now != self.seen);
        select2(self.settles, checkpoint).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt;
    use innkeeper_runtime::Sim;
    use openraft::EntryPayload;
    use openraft::storage::RaftLogStorageExt;

    use super::*;
    use crate::settings::Settings;
    use crate::types::{Entry, log_id};

    /// In a simulation no other thread's step comes between two steps of a task that does not wait.
    /// So this takes the steps one by one.
    #[test]
    fn what_the_disk_works_off_before_the_wait_begins_ends_it() {
        Sim::run(1, async |runtime| {
            let disk = runtime.disk("/data".as_ref()).expect("a disk");
            let settings = Arc::new(Settings::default());
            let log = Log::open(runtime, &disk, settings).expect("it opens");
            let durable = Latest::new(None);
            let is_over = |progress: DiskProgress<'_>| progress.comes().now_or_never().is_some();
            assert!(!is_over(DiskProgress::listen(&log, &durable)));

            let mut appending = log.clone();
            let progress = DiskProgress::listen(&log, &durable);
            let entry = Entry {
                log_id: log_id(1, 0),
                payload: EntryPayload::Blank,
            };
            appending.blocking_append([entry]).await.expect("a sync");
            assert!(is_over(progress), "it is synced");

            let progress = DiskProgress::listen(&log, &durable);
            log.applied(0);
            assert!(is_over(progress), "it is applied");

            let progress = DiskProgress::listen(&log, &durable);
            durable.set(Some(log_id(1, 0)));
            assert!(is_over(progress), "it is in a checkpoint");

            let late = DiskProgress::listen(&log, &durable);
            assert!(!is_over(late), "what was before is over");
            log.close().await;
        });
    }
}
