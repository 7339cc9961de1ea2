//! The replicated state that a service is built on: the replica, and the delivery of what it
//! applies.

use std::sync::Arc;

use innkeeper_raft::peer::Group;
use innkeeper_raft::{ModuleStore, OpenError, Proposals, Replica, Settings, Standing};
use innkeeper_runtime::{LatestReader, Runtime};
use innkeeper_tree::Reader;

use crate::delivery::fanout::Fanout;
use crate::delivery::pending_proposals::PendingProposals;
use crate::expiry::Expiry;
use crate::quorum::Quorum;
use crate::settings::ServerSettings;
use crate::stats::Stats;

/// An opened replica with its delivery, before any client is served. Guests are built on it, then
/// the service takes it over.
///
/// Invariant: every session of the state has its full timeout from here on, since clients could not
/// reach the node while it was down.
pub struct Replicated<R: Runtime> {
    /// The way into the log.
    pub proposals: Proposals,
    /// Views of the state.
    pub reader: Reader,
    /// Delivers what is applied to the connections.
    pub fanout: Arc<Fanout>,
    /// The tasks that wait for this node's own proposals.
    pub pending_proposals: Arc<PendingProposals>,
    /// The node's counters.
    pub stats: Arc<Stats>,
    pub(crate) replica: Replica<R>,
    pub(crate) expiry: Arc<Expiry>,
    pub(crate) quorum: Arc<Quorum>,
}

impl<R: Runtime> std::fmt::Debug for Replicated<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replicated").finish_non_exhaustive()
    }
}

impl<R: Runtime> Replicated<R> {
    /// Locks the data folder and recovers what the log holds. Without a group it waits until the
    /// replica leads its group of one; in a group it does not wait for the other members.
    pub async fn open(
        runtime: &R,
        disk: R::Disk,
        settings: &ServerSettings,
        raft: Settings,
        group: Option<Group<R>>,
    ) -> Result<Self, OpenError> {
        let pending_proposals = Arc::new(PendingProposals::default());
        let expiry = Arc::new(Expiry::new(
            (settings.tick_time_ms / 20).clamp(5, 100),
            group.is_some(),
        ));
        let stats = Arc::new(Stats::default());
        let quorum = Arc::new(match &group {
            Some(_) => Quorum::of_member(),
            None => Quorum::alone(),
        });
        let fanout = Arc::new(Fanout::new(
            pending_proposals.clone(),
            expiry.clone(),
            quorum.clone(),
            stats.clone(),
        ));
        let begun = runtime.now();
        let (handle, delivery) = (runtime.clone(), fanout.clone());
        let replica = match group {
            Some(group) => Replica::open_in_group(handle, disk, raft, group, delivery).await?,
            None => Replica::open(handle, disk, raft, delivery).await?,
        };
        let opening = runtime.now() - begun;
        stats.opening_us.add(opening.as_micros() as u64);
        stats.replayed.add(replica.status().replayed);
        let reader = replica.reader();
        let sessions = reader.view().sessions();
        for info in sessions {
            expiry.opened(info.session, info.attachment, info.timeout_ms);
        }
        Ok(Self {
            proposals: replica.proposals(),
            reader,
            fanout,
            pending_proposals,
            stats,
            replica,
            expiry,
            quorum,
        })
    }

    /// Tells what this node is in its group. It does not keep the replica alive.
    pub fn standings(&self) -> LatestReader<Standing> {
        self.replica.standings()
    }

    /// The modules that were pushed.
    pub fn modules(&self) -> ModuleStore<R> {
        self.replica.modules()
    }
}
