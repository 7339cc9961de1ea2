//! What this node is in its group at the moment: the one that proposes, one that sends its
//! operations to the leader, or neither.
//!
//! **Invariant:** a node leads or follows in a term only after it has applied an entry of this
//! term. Before that it cannot know what became of the operations of older terms, and predictions
//! of zxids would be wrong.

use std::time::Duration;

use innkeeper_runtime::Runtime;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::{RaftMetrics, RaftServerMetrics};
use openraft::type_config::TypeConfigExt;
use openraft::{Instant as _, ServerState};

use crate::engine::RaftOf;
use crate::types::{LogId, NodeId, TypeConfig};

/// A node's standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No leader is known, or the first entry of its term is not applied here yet.
    Waits,
    /// This node is the established leader.
    Leads {
        /// Its term.
        term: u64,
        /// No other node votes, so openraft never refuses a write for a lapsed lease.
        alone: bool,
    },
    /// Another node leads.
    Follows {
        /// The leader's term.
        term: u64,
        /// The leader.
        leader: NodeId,
    },
}

impl Standing {
    /// The term that this node leads.
    pub(crate) fn leads(self) -> Option<u64> {
        match self {
            Standing::Leads { term, .. } => Some(term),
            Standing::Waits | Standing::Follows { .. } => None,
        }
    }

    /// The standing of a node that has applied the log up to `applied`.
    pub(crate) fn of<R: Runtime>(raft: &RaftOf<R>, applied: Option<LogId>) -> Self {
        let metrics = raft.server_metrics();
        let metrics = metrics.borrow_watched();
        judge(&metrics, applied)
    }

    /// The term in which this node leads, if it is established and a quorum has acknowledged that
    /// it leads within the lease. A node alone needs no acknowledgement.
    ///
    /// Within the lease no other leader is elected by silence. One that is elected past it, because
    /// this process was found dead or hands over, is followed by this node's next look at its vote.
    pub(crate) fn leads_under_lease<R: Runtime>(
        raft: &RaftOf<R>,
        applied: Option<LogId>,
        lease: Duration,
    ) -> Option<u64> {
        let Self::Leads { term, alone } = Self::of(raft, applied) else {
            return None;
        };
        if alone {
            return Some(term);
        }
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let acknowledged = metrics.last_quorum_acked.as_ref()?;
        (acknowledged.elapsed() < lease).then_some(term)
    }
}

/// Has this leader got an acknowledgement of a node that is not older than `within`?
pub(crate) fn hears<R: Runtime>(
    metrics: &RaftMetrics<TypeConfig<R>>,
    node: NodeId,
    within: Duration,
) -> bool {
    let heard = metrics
        .heartbeat
        .as_ref()
        .and_then(|heard| heard.get(&node));
    let now = TypeConfig::<R>::now();
    heard
        .copied()
        .flatten()
        .is_some_and(|at| now.saturating_duration_since(*at) <= within)
}

fn judge<R: Runtime>(
    metrics: &RaftServerMetrics<TypeConfig<R>>,
    applied: Option<LogId>,
) -> Standing {
    let vote = &metrics.vote;
    let term = vote.leader_id.term;
    let applied_term = applied.map(|id| **id.committed_leader_id());
    if !vote.committed || applied_term != Some(term) {
        return Standing::Waits;
    }
    let leader = vote.leader_id.voted_for;
    if leader != metrics.id {
        return Standing::Follows { term, leader };
    }
    if metrics.state != ServerState::Leader {
        return Standing::Waits;
    }
    let voters = metrics.membership_config.membership().voter_ids().count();
    Standing::Leads {
        term,
        alone: voters == 1,
    }
}
