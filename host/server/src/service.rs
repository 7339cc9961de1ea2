//! What every part of a running node shares.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use innkeeper_raft::{Proposals, Replica, Unavailable};
use innkeeper_runtime::{Instant, Runtime, Signal};
use innkeeper_tree::{Operation, Reader, Ticket};
use parking_lot::RwLock;

use crate::addresses::Addresses;
use crate::auth::Auth;
use crate::authorization::Authorization;
use crate::clients::Clients;
use crate::delivery::fanout::Fanout;
use crate::delivery::pending_proposals::{PendingProposals, ProposeError, Settled};
use crate::expiry::Expiry;
use crate::local_sessions::LocalSessions;
use crate::quorum::Quorum;
use crate::settings::{NodeSettings, STOP_TIMEOUT_MS};
use crate::stats::Stats;
use crate::throttle::answers::LargeAnswers;
use crate::throttle::connections::ConnectionThrottle;
use crate::throttle::requests::Outstanding;
use crate::tls::Tls;

/// The running node, as its parts see it: connections, guests, admin.
///
/// How a part of the node proposes: [`Service::propose`] with an operation that carries a ticket;
/// the answer comes when the operation was applied here and a view shows it. How it reads:
/// [`Service::reader`]; after [`Service::read_index`] where it must not be stale. How it hears of
/// bindings: a listener installed in [`Service::fanout`]. How it takes part in decisions: a decider
/// installed in [`Service::authorization`]. It ends when [`Service::stopping`] is raised.
pub struct Service<R: Runtime> {
    /// Clock, sockets, threads.
    pub runtime: R,
    /// What the node was told at its start.
    pub settings: NodeSettings,
    /// Views of the state.
    pub reader: Reader,
    /// The way into the log.
    pub proposals: Proposals,
    /// Who waits for this node's own proposals.
    pub pending_proposals: Arc<PendingProposals>,
    /// From apply to whoever waits.
    pub fanout: Arc<Fanout>,
    /// What requests must pass besides ACLs.
    pub authorization: Authorization,
    /// Whether the node's group can decide anything.
    pub quorum: Quorum,
    /// Raised when the node begins to stop.
    pub stopping: Signal,
    /// When the node was ready.
    pub started: Instant,
    pub(crate) replica: RwLock<Option<Arc<Replica<R>>>>,
    pub(crate) expiry: Arc<Expiry>,
    pub(crate) clients: Arc<Clients>,
    pub(crate) local_sessions: LocalSessions,
    /// Who may be whom.
    pub(crate) auth: Auth,
    /// TLS, where a port takes it.
    pub(crate) tls: Option<Tls>,
    /// Where the node is reached, with the ports that were picked.
    pub bound: Addresses,
    /// What is counted on the way.
    pub stats: Arc<Stats>,
    pub(crate) outstanding: Arc<Outstanding>,
    /// What large answers take together.
    pub(crate) answers: Arc<LargeAnswers>,
    pub(crate) connection_throttle: ConnectionThrottle,
}

impl<R: Runtime> Service<R> {
    /// Proposes what `operation` makes of a fresh ticket, and waits until it was applied here.
    pub async fn propose(
        &self,
        operation: impl FnOnce(Ticket) -> Operation,
    ) -> Result<Settled, ProposeError> {
        self.pending_proposals
            .propose(&self.runtime, &self.proposals, operation)
            .await
    }

    /// The replica: modules, status. An error once the node has stopped. Let go of it soon: the
    /// node's stop waits for it.
    pub fn replica(&self) -> Result<Arc<Replica<R>>, Unavailable> {
        let replica = self.replica.read().clone();
        replica.ok_or_else(|| Unavailable::Stopped("the node has been stopped".to_owned()))
    }

    /// Returns when everything that was committed before the call is applied and published here.
    pub async fn read_index(&self) -> Result<(), Unavailable> {
        self.replica()?.read_index().await
    }

    /// Shuts the replica down, once nobody uses it any more.
    pub(crate) async fn close_replica(&self) {
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

    /// Requests of all connections that are parsed and not answered.
    pub fn outstanding_requests(&self) -> usize {
        self.outstanding.total()
    }

    /// Sessions that only this node knows.
    pub fn local_sessions(&self) -> usize {
        self.local_sessions.len()
    }

    /// Where the admin socket is.
    pub fn admin_path(&self) -> PathBuf {
        self.settings.data.join(ADMIN_SOCKET)
    }
}

impl<R: Runtime> std::fmt::Debug for Service<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

/// The admin socket's name in the data folder.
pub const ADMIN_SOCKET: &str = "admin.sock";
