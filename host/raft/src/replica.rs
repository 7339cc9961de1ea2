//! One node's replica of the state.
//!
//! Opening:
//!
//! 1. The data folder is locked. A thread that may block reads the log, cuts a torn tail off and
//!    syncs the rest; then it reads `state.redb` and `modules.redb`.
//! 2. openraft starts on its own thread. It applies the log up to the committed index in the log.
//!    In an empty folder the node becomes a group of one.
//! 3. The node wins the election and applies the rest of the log. Then [`Replica::open`] returns.
//!
//! Closing: new proposals are refused, those in flight are applied, a checkpoint is written,
//! openraft and the log are closed, and the lock is released.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use innkeeper_runtime::{
    Disk, Instant, LatestReader, Runtime, Select2, ThreadRole, select2, select3,
};
use innkeeper_tree::{Digest, Reader};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftMetrics;
use openraft::{Instant as _, ServerState};

use crate::Delivery;
use crate::checkpoint_schedule::ASK_AGAIN;
use crate::error::{Failure, FetchError, OpenError, Unavailable};
use crate::histogram::RaftStats;
use crate::membership::{hand_over, transfer};
use crate::modules::ModuleStore;
use crate::peer::{Group, fetch};
use crate::proposals::Proposals;
use crate::settings::Settings;
use crate::standing::Standing;
use crate::startup::{Started, open_stores, start};
use crate::status::{PeerProgress, RaftMembers, RaftRole, Status};
use crate::types::{NodeId, TypeConfig};

/// How long closing waits until the state's file is closed.
const LET_GO: Duration = Duration::from_secs(10);

/// A node's replica: its log, state and proposals.
///
/// [`Replica::shutdown`] closes it in order. Dropping it closes it without a checkpoint, so the
/// next start reads more of the log.
pub struct Replica<R: Runtime> {
    parts: Option<Parts<R>>,
}

struct Parts<R: Runtime> {
    runtime: R,
    disk: R::Disk,
    lock: <R::Disk as Disk>::Lock,
    started: Started<R>,
}

impl<R: Runtime> fmt::Debug for Replica<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica").finish_non_exhaustive()
    }
}

impl<R: Runtime> Replica<R> {
    /// Opens the replica in the data folder `disk`; the steps are in this module's description.
    pub async fn open(
        runtime: R,
        disk: R::Disk,
        settings: Settings,
        delivery: Arc<dyn Delivery>,
    ) -> Result<Self, OpenError> {
        Self::open_as(runtime, disk, settings, None, delivery).await
    }

    /// Opens the replica as a member of a group. It returns before the group has a leader.
    pub async fn open_in_group(
        runtime: R,
        disk: R::Disk,
        settings: Settings,
        group: Group<R>,
        delivery: Arc<dyn Delivery>,
    ) -> Result<Self, OpenError> {
        let me = settings.node_id;
        if !group.voters.contains_key(&me) && !group.learners.contains_key(&me) {
            return Err(OpenError::Settings(format!(
                "node {me} is not in its own list of members"
            )));
        }
        if group
            .voters
            .keys()
            .any(|node| group.learners.contains_key(node))
        {
            return Err(OpenError::Settings(
                "a node stands in the list of members as a voter and as a learner".to_owned(),
            ));
        }
        Self::open_as(runtime, disk, settings, Some(group), delivery).await
    }

    async fn open_as(
        runtime: R,
        disk: R::Disk,
        settings: Settings,
        group: Option<Group<R>>,
        delivery: Arc<dyn Delivery>,
    ) -> Result<Self, OpenError> {
        settings.check().map_err(OpenError::Settings)?;
        let settings = Arc::new(settings);
        let lock = disk.lock().map_err(|error| match error.kind() {
            std::io::ErrorKind::ResourceBusy => OpenError::Locked(error.to_string()),
            _ => OpenError::Folder(error),
        })?;
        let failure = Failure::new();
        let stored = open_stores(
            runtime.clone(),
            disk.clone(),
            settings.clone(),
            group.is_some(),
            failure.clone(),
            delivery.clone(),
        );
        let stored = runtime.spawn(ThreadRole::Checkpoint, stored).await;
        let stored = stored.map_err(|panic| OpenError::Stopped(panic.to_string()))??;

        // openraft's static functions work on its own thread only.
        let parts = start(runtime.clone(), settings, failure, stored, group, delivery);
        let started = runtime.spawn(ThreadRole::Raft, parts).await;
        let started = started.map_err(|panic| OpenError::Stopped(panic.to_string()))??;
        Ok(Self {
            parts: Some(Parts {
                runtime,
                disk,
                lock,
                started,
            }),
        })
    }

    fn parts(&self) -> &Parts<R> {
        match &self.parts {
            Some(parts) => parts,
            // Only `shutdown` and `drop` take them, and both consume the replica.
            None => unreachable!("a closed replica cannot be reached"),
        }
    }

    /// The way into the log: operations are submitted there.
    pub fn proposals(&self) -> Proposals {
        self.parts().started.proposals.clone()
    }

    /// Returns after this node has applied and published everything that was committed before the
    /// call; a quorum confirms what that is. Calls at the same time share one confirmation.
    pub async fn read_index(&self) -> Result<(), Unavailable> {
        self.parts().started.read_index.confirm().await
    }

    /// What this node is in its group at the moment.
    pub fn standing(&self) -> Standing {
        let started = &self.parts().started;
        Standing::of(&started.raft, started.state.applied())
    }

    /// Tells when the [`standing`](Self::standing) has changed, some time after it did.
    pub fn standings(&self) -> LatestReader<Standing> {
        self.parts().started.standing.reader()
    }

    /// The term in which this node leads, if it is established and a quorum has acknowledged within
    /// the [lease](Settings::lease) that it leads.
    pub fn leads_under_lease(&self) -> Option<u64> {
        let started = &self.parts().started;
        let lease = started.settings.lease();
        Standing::leads_under_lease(&started.raft, started.state.applied(), lease)
    }

    /// When this node last heard from the leader of a term before this one; `None` if it has heard
    /// from none since it started. A leader does not hear from itself.
    pub fn heard_before(&self, term: u64) -> Option<Instant> {
        self.parts().started.heard_leader.before(term)
    }

    /// Asks the server of another node ([`Delivery::asked`]) and returns its answer. A question and
    /// its answer take at most 1 MiB. Waits up to
    /// [`silence_timeout`](crate::peer::PeerSettings::silence_timeout). The error is a sentence;
    /// then it is not known whether the other server has got the question.
    pub async fn ask(&self, node: NodeId, question: Bytes) -> Result<Bytes, String> {
        self.parts().started.peers.ask_server(node, question).await
    }

    /// Hands the leadership over to a voter, and returns when it leads. Writes wait meanwhile. This
    /// node must lead. If nobody takes over within two election timeouts, this node stands for
    /// election itself. The error is a sentence.
    pub async fn transfer_leadership(&self, to: NodeId) -> Result<(), String> {
        let Parts {
            runtime, started, ..
        } = self.parts();
        let (handle, raft) = (runtime.clone(), started.raft.clone());
        let election = started.settings.election;
        let handing = async move { transfer(&handle, &raft, election, to).await };
        let handed = runtime.spawn(ThreadRole::Raft, handing).await;
        handed.unwrap_or_else(|panic| Err(panic.to_string()))
    }

    /// If this node leads, hands the leadership over to the voter in contact that lacks least of the
    /// log, and returns the new leader when it is established; `None` if there is nothing to hand
    /// over. It takes two election timeouts at most. The error is a sentence.
    pub async fn hand_over(&self) -> Result<Option<NodeId>, String> {
        let Parts {
            runtime, started, ..
        } = self.parts();
        let (handle, raft) = (runtime.clone(), started.raft.clone());
        let election = started.settings.election;
        let handing = async move { hand_over(&handle, &raft, election).await };
        let handed = runtime.spawn(ThreadRole::Raft, handing).await;
        let leader = handed.unwrap_or_else(|panic| Err(panic.to_string()))?;
        if leader.is_some() {
            let mut standings = self.standings();
            let follows = async {
                while !matches!(self.standing(), Standing::Follows { .. }) {
                    standings.changed().await;
                }
            };
            select2(follows, runtime.sleep(election)).await;
        }
        Ok(leader)
    }

    /// The reader of the state, which gives out views. It stays valid when a snapshot of another
    /// node replaces the state: its next view is one of the new state.
    pub fn reader(&self) -> Reader {
        self.parts().started.state.reader()
    }

    /// The statistics of the log and the checkpoints since the process started.
    pub fn stats(&self) -> Arc<RaftStats> {
        self.parts().started.log.stats()
    }

    /// The modules stored on this node.
    pub fn modules(&self) -> ModuleStore<R> {
        self.parts().started.modules.clone()
    }

    /// Makes this node store a module of at most `bytes_max` bytes. If it is not here, another node
    /// gives it. One module is fetched at a time; further callers wait.
    pub async fn fetch_module(&self, digest: Digest, bytes_max: usize) -> Result<(), FetchError> {
        let started = &self.parts().started;
        let own = started.settings.node_id;
        let nodes: Vec<_> = {
            let metrics = started.raft.server_metrics();
            let metrics = metrics.borrow_watched();
            let members = metrics.membership_config.membership().nodes();
            let members = members.map(|(node, _)| *node);
            members.filter(|node| *node != own).collect()
        };
        fetch(&started.peers, &started.modules, &nodes, digest, bytes_max).await
    }

    /// Whether these nodes are a quorum of the voters, as this node knows them. While the membership
    /// changes, they must be one of the old voters and of the new ones.
    pub fn is_quorum(&self, nodes: &BTreeSet<NodeId>) -> bool {
        let metrics = self.parts().started.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let voters = metrics.membership_config.membership().get_joint_config();
        let mut voters = voters.iter();
        voters.all(|voters| voters.intersection(nodes).count() > voters.len() / 2)
    }

    /// Waits until the node has failed for good and returns a sentence with the reason.
    /// Acknowledged writes are safe, and no further write is acknowledged. The process should end.
    pub fn failed(&self) -> impl Future<Output = String> + Send + 'static + use<R> {
        let failure = self.parts().started.failure.clone();
        async move { failure.failed().await }
    }

    /// On the leader, how far each other member has come; nothing elsewhere. It is asked on a task of
    /// the node itself, since its clock tells the ages.
    pub fn progress(&self) -> BTreeMap<u64, PeerProgress> {
        let metrics = self.parts().started.raft.metrics();
        peers_of(&metrics.borrow_watched())
    }

    /// The node's role, log and checkpoints at this moment.
    pub fn status(&self) -> Status {
        let parts = self.parts();
        let started = &parts.started;
        let metrics = started.raft.metrics();
        let metrics = metrics.borrow_watched();
        let failure = started.failure.get();
        let applied = started.state.applied();
        let role = match metrics.state {
            _ if failure.is_some() || metrics.running_state.is_err() => RaftRole::Stopped,
            ServerState::Leader => RaftRole::Leader,
            ServerState::Follower => RaftRole::Follower,
            ServerState::Candidate => RaftRole::Candidate,
            ServerState::Learner => RaftRole::Learner,
            ServerState::Shutdown => RaftRole::Stopped,
        };
        Status {
            node_id: started.settings.node_id,
            role,
            leader: metrics.current_leader,
            term: metrics.current_term,
            last_log: metrics.last_log_index,
            committed: metrics.local_committed.map(|id| id.index),
            members: {
                let membership = metrics.membership_config.membership();
                RaftMembers {
                    voters: membership.voter_ids().collect(),
                    learners: membership.learner_ids().collect(),
                    changes: membership.get_joint_config().len() > 1,
                }
            },
            applied: applied.map(|id| id.index),
            applied_term: applied.map(|id| **id.committed_leader_id()),
            checkpoint: started.checkpointer.durable.get().map(|id| id.index),
            lag_bytes: started.checkpointer.lag.bytes(),
            unanswered: started.peers.unanswered(),
            unreached: started.peers.unreached(),
            read_indexes: started.read_index.pending(),
            replayed: started.replayed,
            longest_poll: parts.runtime.raft_polls().longest(),
            syncs: parts.disk.sync_count(),
            log: started.log.status(),
            failure,
        }
    }

    /// Closes the replica in order; the steps are in this module's description.
    pub async fn shutdown(mut self) {
        if let Some(parts) = self.parts.take() {
            let runtime = parts.runtime.clone();
            let closed = runtime.spawn(ThreadRole::Raft, parts.close(true));
            if let Err(error) = closed.await {
                tracing::error!("closing the replica failed: {error}");
            }
        }
    }
}

/// How far the other members have come, as a leader's metrics say.
fn peers_of<R: Runtime>(metrics: &RaftMetrics<TypeConfig<R>>) -> BTreeMap<u64, PeerProgress> {
    let all = metrics.replication.iter().flatten();
    let others = all.filter(|(node, _)| **node != metrics.id);
    let last = metrics.last_log_index.map_or(0, |index| index + 1);
    others
        .map(|(node, matched)| {
            let has = matched.map_or(0, |id| id.index + 1);
            let heard = metrics.heartbeat.as_ref().and_then(|all| *all.get(node)?);
            let progress = PeerProgress {
                has,
                lacks: last.saturating_sub(has),
                heard: heard.map(|at| at.elapsed()),
            };
            (*node, progress)
        })
        .collect()
}

impl<R: Runtime> Drop for Replica<R> {
    fn drop(&mut self) {
        if let Some(parts) = self.parts.take() {
            let runtime = parts.runtime.clone();
            runtime.spawn(ThreadRole::Raft, parts.close(false)).detach();
        }
    }
}

impl<R: Runtime> Parts<R> {
    async fn close(self, with_checkpoint: bool) {
        let Self {
            runtime,
            lock,
            started,
            ..
        } = self;
        started.proposals.close();
        started.closing.raise();
        if let Err(error) = started.proposer.await {
            tracing::error!("the proposer's task failed while the node stopped: {error}");
        }
        if with_checkpoint {
            let durable = &started.checkpointer.durable;
            // Not what is applied from here on: a follower applies what the others write.
            let target = started.state.applied();
            while started.failure.get().is_none()
                && started
                    .raft
                    .metrics()
                    .borrow_watched()
                    .running_state
                    .is_ok()
                && durable.get() < target
            {
                if started.raft.trigger().snapshot().await.is_err() {
                    break;
                }
                let done = durable.wait_for(|at| *at >= target);
                let again = runtime.sleep(ASK_AGAIN);
                select3(done, started.failure.failed(), again).await;
            }
        }
        started.peers.close();
        started.stop.raise();
        if let Some(keeper) = started.keeper
            && let Err(error) = keeper.await
        {
            tracing::error!("the task of the membership failed while the node stopped: {error}");
        }
        if let Err(error) = started.schedule.await {
            tracing::error!("the task of the checkpoints failed while the node stopped: {error}");
        }
        if let Err(error) = started.raft.shutdown().await {
            tracing::error!("openraft failed while the node stopped: {error}");
        }
        started.log.close().await;
        // The lock is released last, after the state machine has closed its file, so that no other
        // process opens the folder while this one still writes.
        let state = Arc::downgrade(&started.state);
        drop((
            started.raft,
            started.state,
            started.read_index,
            started.proposals,
        ));
        let ended = started.checkpointer.ended();
        drop(started.checkpointer);
        let gone = async {
            ended.wait().await;
            while state.strong_count() > 0 {
                runtime.sleep(Duration::from_millis(1)).await;
            }
        };
        let limit = runtime.sleep(LET_GO);
        if let Select2::Second(()) = select2(gone, limit).await {
            tracing::warn!("the state's file is still in use after the replica was closed");
        }
        drop((started.log, started.modules));
        drop(lock);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use innkeeper_runtime::Sim;
    use innkeeper_tree::{Applied, Operation, View};

    use super::*;
    use crate::error::Refusal;
    use crate::peer::{PeerAddress, PeerSettings, Secret, Unprotected};

    struct Published;

    impl Delivery for Published {
        fn deliver(&self, _batch: Vec<Applied>, publish: &mut dyn FnMut()) {
            publish();
        }

        fn installed(&self, _before: &View, _after: &View, publish: &mut dyn FnMut()) {
            publish();
        }

        fn refused(&self, _operation: Operation, _refusal: Refusal) {}
    }

    #[test]
    fn a_node_fails_if_openraft_ends_by_itself() {
        Sim::run(1, async |runtime| {
            let disk = runtime.disk("/data".as_ref()).expect("a disk");
            let replica =
                Replica::open(runtime, disk, Settings::default(), Arc::new(Published)).await;
            let replica = replica.expect("it opens");
            let ended = replica.parts().started.raft.shutdown().await;
            ended.expect("openraft ends");
            let sentence = replica.failed().await;
            assert!(
                sentence.starts_with("replication has stopped: "),
                "{sentence}"
            );
        });
    }

    /// openraft's metrics have ended by then, and waiting for them takes no time.
    #[test]
    fn the_task_of_the_membership_ends_with_openraft() {
        Sim::run(1, async |runtime| {
            let disk = runtime.disk("/data".as_ref()).expect("a disk");
            let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 2888);
            let own = PeerAddress {
                host: address.ip().to_string(),
                port: address.port(),
            };
            let group = Group {
                voters: BTreeMap::from([(1, own)]),
                learners: BTreeMap::new(),
                ports: BTreeMap::new(),
                listener: runtime.listen_tcp(address).await.expect("a port"),
                secret: Secret::new(""),
                protection: Arc::new(Unprotected),
                settings: PeerSettings::default(),
            };
            let (settings, delivery) = (Settings::default(), Arc::new(Published));
            let replica = Replica::open_in_group(runtime, disk, settings, group, delivery).await;
            let mut replica = replica.expect("it opens");
            let started = &mut replica.parts.as_mut().expect("it is open").started;
            let keeper = started.keeper.take().expect("a member has one");
            let ended = started.raft.shutdown().await;
            ended.expect("openraft ends");
            keeper.await.expect("the task ends");
        });
    }
}
