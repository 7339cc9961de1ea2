//! What this node knows of itself and of each peer, and what its connections share.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, OnceLock};

use innkeeper_runtime::{Latest, Runtime, Signal};
use innkeeper_tree::Reader;
use innkeeper_tree::group::GroupInfo;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::address::PeerAddress;
use super::calls::Caller;
use super::complaints::Complaints;
use super::hello::Own;
use super::holds::Holds;
use super::identity::{Identity, Incarnation, Secret};
use super::places::Places;
use super::reach::Missing;
use super::settings::PeerSettings;
use super::wire::Protection;
use crate::status::Unanswered;
use crate::types::NodeId;

/// What a node needs to talk to its peers. Clones share it.
pub struct Peers<R: Runtime> {
    inner: Arc<Inner<R>>,
}

pub(crate) struct Inner<R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) settings: PeerSettings,
    pub(super) secret: Secret,
    pub(super) protection: Arc<dyn Protection<R>>,
    /// Ends everything that was started here.
    pub(super) stop: Signal,
    /// What is kept in the log for the targets of snapshots.
    pub(crate) holds: Holds,
    /// The connections that this node dials in vain.
    pub(super) missing: Missing,
    /// The one snapshot that may be sent at a time has it.
    pub(super) sending: Arc<Semaphore>,
    /// The one module that may be fetched at a time has it.
    pub(super) fetching: Semaphore,
    identity: Mutex<Identity>,
    peers: Mutex<BTreeMap<NodeId, Known>>,
    /// The data folders that the group has named.
    named: Mutex<BTreeMap<NodeId, Incarnation>>,
    /// Counts the hellos in which a peer said something new of itself.
    news: Latest<u64>,
    /// What the log says of connections that do not work.
    pub(super) complaints: Mutex<Complaints>,
    /// This node's state, once it is known.
    state: OnceLock<Reader>,
}

/// What is known of one peer.
#[derive(Default)]
struct Known {
    places: Places,
    caller: Option<Caller>,
    /// Counts the hellos from this peer: it is there, so a dial need not wait longer.
    hellos: Option<Latest<u64>>,
    /// Counts the connections with this peer that stand.
    connections: Option<Latest<usize>>,
    /// The one transfer that may go over this node's bulk connection to the peer has it.
    bulk: Option<Arc<Semaphore>>,
    /// The appends to this peer without an answer.
    unanswered: Unanswered,
    /// What it said of itself in its last hello.
    identity: Option<Identity>,
}

impl<R: Runtime> Clone for Peers<R> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

impl<R: Runtime> fmt::Debug for Peers<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peers(of node {})", self.identity().node_id)
    }
}

impl<R: Runtime> Peers<R> {
    /// A node without connections.
    pub fn new(
        runtime: R,
        settings: PeerSettings,
        identity: Identity,
        secret: Secret,
        protection: Arc<dyn Protection<R>>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                holds: Holds::new(settings.hold_timeout),
                missing: Missing::default(),
                sending: Arc::new(Semaphore::new(1)),
                fetching: Semaphore::new(1),
                runtime,
                settings,
                secret,
                protection,
                stop: Signal::new(),
                identity: Mutex::new(identity),
                peers: Mutex::new(BTreeMap::new()),
                named: Mutex::new(BTreeMap::new()),
                news: Latest::new(0),
                complaints: Mutex::default(),
                state: OnceLock::new(),
            }),
        }
    }

    /// What this node says of itself.
    pub fn identity(&self) -> Identity {
        self.inner.identity.lock().clone()
    }

    /// What this node brings into a hello.
    pub(super) fn own<'a>(&'a self, identity: &'a Identity) -> Own<'a> {
        let state = self.inner.state.get();
        Own {
            identity,
            secret: &self.inner.secret,
            level: state.map_or(0, |state| state.view().level()),
        }
    }

    /// Takes over whose feature level the peers must support. Called once, when the state is open.
    pub(crate) fn set_state(&self, state: Reader) {
        let _ = self.inner.state.set(state);
    }

    /// Changes what this node says of itself in later hellos.
    pub(crate) fn change_identity(&self, change: impl FnOnce(&mut Identity)) {
        change(&mut self.inner.identity.lock());
    }

    /// Takes over what the group says of itself: its id, the members' addresses and folders.
    pub(crate) fn set_group(&self, group: &GroupInfo) {
        self.change_identity(|identity| identity.cluster = Some(group.cluster));
        let me = self.identity().node_id;
        let mut named = BTreeMap::new();
        for (node, member) in &group.members {
            if let Some(incarnation) = member.incarnation {
                named.insert(*node, incarnation);
            }
            if *node == me {
                continue;
            }
            match member.address.parse() {
                Ok(address) => {
                    self.set_address(*node, address);
                    // A node that is to be taken in must be seen first.
                    self.caller(*node);
                }
                Err(error) => tracing::warn!("the address of node {node}: {error}"),
            }
        }
        *self.inner.named.lock() = named;
    }

    /// What the peers said of themselves in their last hellos.
    pub(crate) fn met(&self) -> BTreeMap<NodeId, Identity> {
        let peers = self.inner.peers.lock();
        let met = peers
            .iter()
            .filter_map(|(node, known)| Some((*node, known.identity.clone()?)));
        met.collect()
    }

    /// Has this peer said that it belongs to a founded group?
    pub(super) fn knows_cluster_of(&self, node: NodeId) -> bool {
        self.known(node, |known| {
            let identity = known.identity.as_ref();
            identity.is_some_and(|identity| identity.cluster.is_some())
        })
    }

    /// Changes when a peer says something new of itself.
    pub(crate) fn news(&self) -> Latest<u64> {
        self.inner.news.clone()
    }

    /// A peer has said this of itself in a hello.
    pub(super) fn meet(&self, identity: &Identity) {
        let is_new = self.known(identity.node_id, |known| {
            known.places.tell(identity.address.clone());
            let old = known.identity.replace(identity.clone());
            old.as_ref() != Some(identity)
        });
        if is_new {
            self.inner.news.update(|count| {
                *count += 1;
                true
            });
        }
    }

    /// Does what a peer has stored and promised count? A node whose folder was emptied has
    /// forgotten both, until the group has named its new folder. The error is a sentence.
    pub(super) fn trust(&self, node: NodeId) -> Result<(), String> {
        let Some(identity) = self.known(node, |known| known.identity.clone()) else {
            return Err(format!("node {node} has not said hello yet"));
        };
        let named = self.inner.named.lock().get(&node).copied();
        if identity.may_vote || named == Some(identity.incarnation) {
            return Ok(());
        }
        Err(format!(
            "the data folder of node {node} was empty, and its group has not taken it in yet"
        ))
    }

    /// Sets where a peer is. Connections that stand are kept.
    pub fn set_address(&self, node: NodeId, address: PeerAddress) {
        self.known(node, |known| known.places.list(address));
    }

    /// Where a peer is reached, if that is known.
    pub(super) fn places(&self, node: NodeId) -> Places {
        self.known(node, |known| known.places.clone())
    }

    /// Ends all connections, those that were dialed and those that were accepted.
    pub fn close(&self) {
        self.inner.stop.raise();
    }

    pub(crate) fn inner(&self) -> &Arc<Inner<R>> {
        &self.inner
    }

    fn known<T>(&self, node: NodeId, change: impl FnOnce(&mut Known) -> T) -> T {
        change(self.inner.peers.lock().entry(node).or_default())
    }

    /// The caller of a peer. It keeps the control connection open from now on.
    pub(super) fn caller(&self, node: NodeId) -> Caller {
        let known = self.known(node, |known| known.caller.clone());
        known.unwrap_or_else(|| {
            let caller = Caller::start(self, node);
            self.known(node, |known| known.caller.get_or_insert(caller).clone())
        })
    }

    /// The right to use this node's bulk connection to a peer. A newer connection would end the
    /// older one, so there is one at a time.
    pub(super) fn bulk(&self, node: NodeId) -> Arc<Semaphore> {
        self.known(node, |known| {
            let bulk = known
                .bulk
                .get_or_insert_with(|| Arc::new(Semaphore::new(1)));
            bulk.clone()
        })
    }

    /// Counts a peer's hellos.
    pub(super) fn hellos(&self, node: NodeId) -> Latest<u64> {
        self.known(node, |known| {
            known.hellos.get_or_insert_with(|| Latest::new(0)).clone()
        })
    }

    /// A peer has dialed and said hello.
    pub(super) fn greeted(&self, identity: &Identity) {
        self.meet(identity);
        self.hellos(identity.node_id).update(|count| {
            *count += 1;
            true
        });
    }

    /// Counts the connections with a peer that stand, those that were dialed and those that were
    /// accepted.
    pub(super) fn connections(&self, node: NodeId) -> Latest<usize> {
        self.known(node, |known| {
            known
                .connections
                .get_or_insert_with(|| Latest::new(0))
                .clone()
        })
    }

    /// Notes which appends to a peer have no answer.
    pub(super) fn set_unanswered(&self, node: NodeId, unanswered: Unanswered) {
        self.known(node, |known| known.unanswered = unanswered);
    }

    /// The appends without an answer, by peer.
    pub(crate) fn unanswered(&self) -> BTreeMap<NodeId, Unanswered> {
        let peers = self.inner.peers.lock();
        let all = peers.iter().map(|(node, known)| (*node, known.unanswered));
        all.filter(|(_, it)| it.requests > 0).collect()
    }

    /// The peers that this node has dialed in vain for
    /// [`unreached_after`](PeerSettings::unreached_after).
    pub(crate) fn unreached(&self) -> BTreeSet<NodeId> {
        let inner = &self.inner;
        let limit = inner.settings.unreached_after;
        inner.missing.unreached(limit, inner.runtime.now())
    }
}
