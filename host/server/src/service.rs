//! The service: what every part of a running node shares.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use innkeeper_auth::{Auth, Tls, TlsError};
pub use innkeeper_raft::Standing;
use innkeeper_raft::{Proposals, Replica, Unavailable};
use innkeeper_runtime::{Instant, Runtime, Select2, Signal, ThreadRole, select2};
use innkeeper_tree::{Digest, Operation, Reader, Ticket};
use parking_lot::RwLock;

use crate::addresses::Addresses;
use crate::authorization::{AccessDecider, Authorization};
use crate::clients::Clients;
use crate::delivery::fanout::Fanout;
use crate::delivery::outbox::Close;
use crate::delivery::pending_proposals::{PendingProposals, ProposeError, Settled};
use crate::expiry::Expiry;
use crate::local_sessions::LocalSessions;
use crate::quorum::{Held, Quorum};
use crate::replicated::Replicated;
use crate::reports::{Answer, NoMessage, Question};
use crate::settings::{LARGE_ANSWERS, QUORUM_LOST_ELECTIONS, STOP_TIMEOUT_MS, ServerSettings};
use crate::stats::Stats;
use crate::throttle::answers::LargeAnswers;
use crate::throttle::connections::ConnectionThrottle;
use crate::throttle::requests::Outstanding;
use crate::throttle::turns::Turns;

/// ZooKeeper's service of one node, as all parts of the node see it.
/// - A part proposes with [`Service::propose`], by an operation that carries a ticket. The answer
///   comes when the operation was applied here and a view shows it.
/// - It reads with [`Service::reader`], after [`Service::read_index`] where the view must not be
///   stale.
/// - It hears of changed bindings as the listener of [`Service::fanout`].
/// - It ends when [`Service::stopping`] is raised.
pub struct Service<R: Runtime> {
    /// Clock, sockets, threads.
    pub runtime: R,
    /// The node's settings.
    pub settings: ServerSettings,
    /// Views of the state.
    pub reader: Reader,
    /// The way into the log.
    pub proposals: Proposals,
    /// The node's own proposals whose answers are waited for.
    pub pending_proposals: Arc<PendingProposals>,
    /// Delivers what is applied to the connections, and to the tasks that wait.
    pub fanout: Arc<Fanout>,
    /// The check that requests must pass besides the ACLs.
    pub authorization: Authorization,
    /// Whether the node's group has a quorum.
    pub quorum: Arc<Quorum>,
    /// Raised when the node begins to stop.
    pub stopping: Signal,
    /// When the service was made; the uptime counts from then.
    pub started: Instant,
    pub(crate) replica: RwLock<Option<Arc<Replica<R>>>>,
    pub(crate) expiry: Arc<Expiry>,
    pub(crate) clients: Arc<Clients>,
    pub(crate) local_sessions: LocalSessions,
    /// Authentication: schemes, users, certificates.
    pub(crate) auth: Auth,
    /// TLS, where a port takes it.
    pub(crate) tls: Option<Arc<Tls>>,
    /// Where the node is reached, with the ports that were picked.
    pub bound: Addresses,
    /// The node's counters.
    pub stats: Arc<Stats>,
    pub(crate) outstanding: Arc<Outstanding>,
    /// The room that large answers share.
    pub(crate) answers: Arc<LargeAnswers>,
    /// The line of the connections that have much work.
    pub(crate) turns: Turns,
    pub(crate) connection_throttle: ConnectionThrottle,
}

/// What a service is made of; the rest it makes itself.
pub struct ServiceParts<R: Runtime> {
    /// Clock, sockets, threads.
    pub runtime: R,
    /// The node's settings.
    pub settings: ServerSettings,
    /// Authentication: schemes, users, certificates.
    pub auth: Auth,
    /// TLS, where a port takes it.
    pub tls: Option<Arc<Tls>>,
    /// Where the node is reached.
    pub addresses: Addresses,
    /// The state, opened.
    pub replicated: Replicated<R>,
    /// Decides by asking the active authorizers.
    pub decider: Arc<dyn AccessDecider>,
    /// Raised when the node begins to stop.
    pub stopping: Signal,
}

impl<R: Runtime> std::fmt::Debug for ServiceParts<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceParts").finish_non_exhaustive()
    }
}

impl<R: Runtime> Service<R> {
    /// Makes the service. It serves no client until [`accept`](crate::connections::accept) is
    /// called.
    pub fn new(parts: ServiceParts<R>) -> Self {
        let ServiceParts {
            runtime,
            settings,
            auth,
            tls,
            addresses,
            replicated,
            decider,
            stopping,
        } = parts;
        let now = runtime.now();
        Self {
            bound: addresses,
            reader: replicated.reader,
            proposals: replicated.proposals,
            replica: RwLock::new(Some(Arc::new(replicated.replica))),
            pending_proposals: replicated.pending_proposals,
            fanout: replicated.fanout,
            authorization: Authorization::new(decider),
            stopping,
            started: now,
            expiry: replicated.expiry,
            auth,
            tls,
            quorum: replicated.quorum,
            local_sessions: LocalSessions::default(),
            clients: Arc::new(Clients::new(
                settings.max_client_connections,
                settings.max_connections,
                now,
                replicated.stats.clone(),
            )),
            stats: replicated.stats,
            outstanding: Arc::new(Outstanding::new(
                settings.outstanding_limit(match &settings.group {
                    Some(group) if group.voters.contains_key(&group.id) => group.voters.len(),
                    _ => 0,
                }),
                settings.large_request_threshold_bytes,
                settings.large_request_max_bytes,
            )),
            turns: Turns::new(runtime.threads(ThreadRole::Client)),
            answers: Arc::new(LargeAnswers::new(
                LARGE_ANSWERS * settings.longest_answer_bytes(),
            )),
            connection_throttle: ConnectionThrottle::new(settings.connection_throttle, now),
            runtime,
            settings,
        }
    }

    /// Reads the key store and the trust store again: handshakes from now on use them. Returns
    /// `false` if no port takes TLS. After an error the old stores stay in use.
    pub async fn read_stores_again(&self) -> Result<bool, TlsError> {
        match &self.tls {
            Some(tls) => tls.read_again(&self.runtime).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// The ACL schemes of which a client can have an identity.
    pub fn schemes(&self) -> &[String] {
        self.auth.schemes()
    }

    /// If this node leads its group, hands the leadership over to another voter, for two election
    /// timeouts at most. A node that ends does so while it still serves its clients: writes wait for a
    /// moment only, and a client that has to go elsewhere finds a leader there.
    /// (test: `a_leader_that_is_asked_to_end_hands_over_before_it_closes_its_connections`)
    pub async fn hand_over(&self) {
        let (Some(_), Ok(replica)) = (&self.settings.group, self.replica()) else {
            return;
        };
        match replica.hand_over().await {
            Ok(Some(leader)) => {
                tracing::info!(event = "handed-over", leader, "node {leader} leads now");
            }
            Ok(None) => {}
            Err(sentence) => tracing::warn!(
                "the leadership was not handed over, so the others elect a leader when this node has ended: \
                 {sentence}"
            ),
        }
    }

    /// Ends the service: no client is accepted any more, connections are closed while their
    /// sessions live on, and tasks that wait for proposals of this node are told. Waits for the
    /// connections for [`STOP_TIMEOUT_MS`] at most.
    pub async fn stop(&self) {
        self.stopping.raise();
        self.fanout.stop();
        let deadline = self.runtime.now() + Duration::from_millis(STOP_TIMEOUT_MS);
        while self.clients.len() > 0 && self.runtime.now() < deadline {
            self.runtime.sleep(Duration::from_millis(5)).await;
        }
        self.pending_proposals.stop();
    }

    /// Proposes the operation that `operation` makes of a fresh ticket, and waits until it was
    /// applied here.
    pub async fn propose(
        &self,
        operation: impl FnOnce(Ticket) -> Operation,
    ) -> Result<Settled, ProposeError> {
        self.pending_proposals
            .propose(&self.runtime, &self.proposals, operation)
            .await
    }

    /// The replica, for modules and status. Returns an error once the node has stopped. Drop it
    /// soon: the node's stop waits for that.
    pub fn replica(&self) -> Result<Arc<Replica<R>>, Unavailable> {
        let replica = self.replica.read().clone();
        replica.ok_or_else(|| Unavailable::Stopped("the node has been stopped".to_owned()))
    }

    /// What this node is in its group at the moment. A node that stops is nothing.
    pub fn standing(&self) -> Standing {
        self.replica()
            .map_or(Standing::Waits, |replica| replica.standing())
    }

    /// The term and the leader of a standing; `None` if it has none.
    pub fn leader_of(&self, standing: Standing) -> Option<(u64, u64)> {
        match standing {
            Standing::Waits => None,
            Standing::Follows { term, leader } => Some((term, leader)),
            Standing::Leads { term, .. } => {
                let me = self.settings.replication().node_id;
                Some((term, me))
            }
        }
    }

    /// The term in which this node leads, if it is established and its quorum acknowledges it. It is
    /// asked on one of the node's own threads: in a simulation each host has its own clock.
    pub fn leads(&self) -> Option<u64> {
        self.replica().ok()?.leads_under_lease()
    }

    /// Returns when everything that was committed before the call is applied and published here.
    pub async fn read_index(&self) -> Result<(), Unavailable> {
        self.replica()?.read_index().await
    }

    /// Asks all other nodes of the group whether they hold what has this digest, ready for use.
    /// Returns those in contact with this node, which leads, that have not said so. A node that
    /// gives no answer counts only if it has reported lately.
    pub async fn who_lacks(&self, digest: Digest) -> Vec<u64> {
        let answers = self.ask_others(&Question::Holds(digest)).await;
        let lost_after = self.settings.election() * QUORUM_LOST_ELECTIONS;
        let ticks = lost_after.as_millis() as u64 / u64::from(self.expiry.tick_ms());
        let lacks = |(node, answer): (u64, Result<Bytes, String>)| {
            let lacks = match answer {
                Ok(answer) => Answer::decode(&answer) != Ok(Answer::Holds(true)),
                Err(_) => {
                    let reporters = &self.fanout.reporters;
                    reporters.has_reported(node, ticks, &self.expiry)
                }
            };
            lacks.then_some(node)
        };
        answers.into_iter().filter_map(lacks).collect()
    }

    /// Whether a node is another member of the group.
    pub fn has_other_member(&self, node: u64) -> bool {
        let Ok(replica) = self.replica() else {
            return false;
        };
        let status = replica.status();
        let members = &status.members;
        let is_member = members.voters.contains(&node) || members.learners.contains(&node);
        is_member && node != status.node_id
    }

    /// Asks another node of the group how far the push of that name is
    /// ([`BindingListener::push`](crate::delivery::binding_listener::BindingListener::push)). It
    /// answers `None` if it does not know the push; an error is a sentence.
    pub async fn ask_for_push(&self, node: u64, id: Digest) -> Result<Option<Bytes>, String> {
        match self.ask_other(node, Question::Push(id)).await? {
            Answer::Push(answer) => Ok(answer),
            _ => Err(NoMessage.to_string()),
        }
    }

    /// Asks all other nodes of the group at once. Nothing if the node stops.
    async fn ask_others(&self, question: &Question) -> Vec<(u64, Result<Bytes, String>)> {
        let Ok(replica) = self.replica() else {
            return Vec::new();
        };
        let status = replica.status();
        let members = status.members.voters.iter().chain(&status.members.learners);
        let others = members.copied().filter(|node| *node != status.node_id);
        let asked = others.map(|node| {
            let answer = replica.ask(node, question.encode());
            async move { (node, answer.await) }
        });
        match select2(self.stopping.wait(), join_all(asked)).await {
            Select2::Second(answers) => answers,
            Select2::First(()) => Vec::new(),
        }
    }

    /// Asks another node of the group. The error is a sentence.
    async fn ask_other(&self, node: u64, question: Question) -> Result<Answer, String> {
        let replica = self.replica().map_err(|error| error.to_string())?;
        let asking = replica.ask(node, question.encode());
        let Select2::Second(answer) = select2(self.stopping.wait(), asking).await else {
            return Err("this node is stopping".to_owned());
        };
        Answer::decode(&answer?).map_err(|error| error.to_string())
    }

    /// Asks the guests' side of another node, which should lead
    /// ([`BindingListener::asked`](crate::delivery::binding_listener::BindingListener::asked)).
    /// The error is a sentence.
    pub async fn ask_guests_of(&self, node: u64, question: Bytes) -> Result<Bytes, String> {
        match self.ask_other(node, Question::OfGuests(question)).await? {
            Answer::OfGuests(Some(answer)) => Ok(answer),
            Answer::OfGuests(None) => Err(format!("node {node} has no quorum")),
            _ => Err(NoMessage.to_string()),
        }
    }

    /// Whether all active authorizers can be asked on this node. While they cannot, no client is
    /// served, and the connections that stand are closed at once.
    pub fn set_authorizers(&self, are_there: bool) {
        self.quorum.set_authorizers(are_there);
        if !are_there {
            self.fanout.close_unless(Close::Quorum, |_| false);
        }
    }

    /// Shuts the replica down, once no part uses it any more.
    pub async fn close_replica(&self) {
        let Some(mut replica) = self.replica.write().take() else {
            return;
        };
        let deadline = self.runtime.now() + Duration::from_millis(STOP_TIMEOUT_MS);
        loop {
            match Arc::try_unwrap(replica) {
                Ok(replica) => return replica.shutdown().await,
                Err(_) if self.runtime.now() >= deadline => {
                    tracing::warn!("a part of the node holds on to the replica: no checkpoint");
                    return;
                }
                Err(shared) => replica = shared,
            }
            self.runtime.sleep(Duration::from_millis(1)).await;
        }
    }

    /// Whether only read-only clients are served.
    pub fn is_read_only(&self) -> bool {
        self.settings.read_only_mode && self.quorum.state() == Held::Lost
    }

    /// Sets the quorum's state, whatever the reports say; with `None` they count again. This is for tests, since a node alone cannot lose its quorum.
    pub fn pin_quorum(&self, pinned: Option<Held>) {
        if self.quorum.pin(pinned) {
            self.quorum_changed();
        }
    }

    /// Ends the sessions of clients that were served without a quorum.
    pub(crate) fn end_read_only(&self) {
        self.fanout.close_read_only(Close::Quorum);
        self.local_sessions.end_read_only(&self.expiry);
    }

    /// Closes every connection, since it was made in another state of the quorum. (test:
    /// `a_node_without_its_quorum_serves_reads_to_those_who_agreed`)
    pub(crate) fn quorum_changed(&self) {
        match self.quorum.state() {
            Held::Lost => tracing::warn!("the quorum is lost: connections are closed"),
            Held::Held => tracing::warn!("the quorum is back: read-only connections are closed"),
        }
        self.fanout.close_all(Close::Quorum);
        self.local_sessions.end_read_only(&self.expiry);
    }

    /// Requests of all connections that are parsed and not answered.
    pub fn outstanding_requests(&self) -> usize {
        self.outstanding.total()
    }

    /// Sessions that only this node knows.
    pub fn local_sessions(&self) -> usize {
        self.local_sessions.len()
    }
}

impl<R: Runtime> std::fmt::Debug for Service<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}
