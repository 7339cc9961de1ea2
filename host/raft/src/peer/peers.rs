//! This node's connections to its peers: how they are made, and what is known of each peer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use innkeeper_runtime::{Latest, Runtime, Signal};
use innkeeper_tree::group::GroupInfo;
use innkeeper_tree::{Reader, Zxid};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::address::PeerAddress;
use super::calls::Caller;
use super::channel::Channel;
use super::complaints::Complaints;
use super::hello::{self, HELLO_BYTES_MAX, HelloError, Own, PeerInfo};
use super::holds::Holds;
use super::identity::{Identity, Incarnation, Secret};
use super::link::{Counted, Link};
use super::message::{self, kind};
use super::reach::{Missing, Reach};
use super::wire::Protection;
use crate::status::Unanswered;
use crate::types::{LogId, NodeId};

/// A machine that refuses a connection does so within this time.
const AT_ONCE: Duration = Duration::from_millis(200);

/// How this node talks to its peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerSettings {
    /// How long making a connection may take, with the name's resolution, the protection and the
    /// hello. An accepted connection has the same time for its hello.
    pub dial_timeout: Duration,
    /// A connection on which answers are awaited ends when nothing has come for this long.
    pub silence_timeout: Duration,
    /// The pause after the first dial that failed. It doubles up to `backoff_max`, until the peer
    /// answers something.
    pub backoff_min: Duration,
    /// The longest pause between two dials.
    pub backoff_max: Duration,
    /// How many calls to one peer may wait for an answer. Further ones are refused at once.
    pub calls_max: usize,
    /// How many appends to one peer may wait for an answer. Further ones are read from the log
    /// when there is room.
    pub appends_max: usize,
    /// How many bytes of appends to one peer may wait for an answer. One append may go beyond it.
    pub append_bytes_max: usize,
    /// The longest body of a frame with entries, in bytes. It has room for the longest command.
    pub body_bytes_max: usize,
    /// How many accepted connections may be in their hello. Further ones are closed.
    pub hellos_max: usize,
    /// The transfer of a snapshot or a module ends, on both sides, when nothing of it has moved for
    /// this long. A snapshot then begins anew.
    pub stall_timeout: Duration,
    /// A peer that this node has dialed in vain for so long is unreached, and a leader that is
    /// unreached hands over.
    pub unreached_after: Duration,
    /// A leader keeps the entries after a snapshot for the node to which it goes. It stops keeping
    /// them when nothing has moved there for this long.
    pub hold_timeout: Duration,
    /// It also stops when it keeps more than so many bytes of the log. The transfer then ends, and
    /// begins anew with a newer snapshot. The leader looks when it makes a checkpoint, so the log
    /// may exceed it by what is written between two.
    pub hold_bytes: u64,
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self {
            dial_timeout: Duration::from_secs(1),
            silence_timeout: Duration::from_secs(2),
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_millis(500),
            calls_max: 1024,
            appends_max: 64,
            append_bytes_max: 16 << 20,
            body_bytes_max: 1 << 30,
            hellos_max: 64,
            stall_timeout: Duration::from_secs(10),
            unreached_after: Duration::from_secs(1),
            hold_timeout: Duration::from_secs(60),
            hold_bytes: 4 << 30,
        }
    }
}

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
    complaints: Mutex<Complaints>,
    /// This node's state, once it is known.
    state: OnceLock<Reader>,
}

/// What is known of one peer.
#[derive(Default)]
struct Known {
    address: Option<PeerAddress>,
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

    fn meet(&self, identity: &Identity) {
        let is_new = self.known(identity.node_id, |known| {
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

    /// Sets where a peer is reached. Connections that stand are kept.
    pub fn set_address(&self, node: NodeId, address: PeerAddress) {
        self.known(node, |known| known.address = Some(address));
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

    /// The hello on a connection with a peer is over.
    pub(super) fn stands(&self, link: &mut Link, node: NodeId) {
        let counted = Counted::new(self.connections(node));
        link.greeted(self.inner.settings.body_bytes_max, counted);
    }

    /// Does the peer's machine refuse a connection at once? Then no process listens there.
    pub(super) async fn is_refused(&self, node: NodeId) -> bool {
        let inner = &self.inner;
        let Some(address) = self.known(node, |known| known.address.clone()) else {
            return false;
        };
        let refused = async {
            let found = inner.runtime.resolve(&address.host).await;
            let found = found.unwrap_or_default();
            for ip in &found {
                let to = SocketAddr::new(*ip, address.port);
                match inner.runtime.connect_tcp(to).await.map_err(|e| e.kind()) {
                    Err(ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset) => {}
                    Ok(_) | Err(_) => return false,
                }
            }
            !found.is_empty()
        };
        let refused = inner.runtime.timeout(AT_ONCE, refused).await;
        refused.unwrap_or(false)
    }

    /// Asks the leader for the last entry that must be applied before a read that begins now. The
    /// error is a sentence.
    pub(crate) async fn read_index(&self, leader: NodeId) -> Result<LogId, String> {
        let answer = self.ask(leader, kind::READ_INDEX, Bytes::new()).await?;
        message::read_index(&answer).map_err(|error| error.to_string())
    }

    /// Asks a peer for the rolling hash of its state at a zxid; `None` if the peer does not have it.
    /// The error is a sentence.
    pub(crate) async fn hash_at(&self, node: NodeId, zxid: Zxid) -> Result<Option<u64>, String> {
        let body = message::bytes(|out| message::put_zxid(out, zxid));
        let answer = self.ask(node, kind::HASH, body).await?;
        message::hash(&answer).map_err(|error| error.to_string())
    }

    /// The peers that this node has dialed in vain for
    /// [`unreached_after`](PeerSettings::unreached_after).
    pub(crate) fn unreached(&self) -> BTreeSet<NodeId> {
        let inner = &self.inner;
        let limit = inner.settings.unreached_after;
        inner.missing.unreached(limit, inner.runtime.now())
    }

    /// Asks a peer which nodes it does not reach. The error is a sentence.
    pub(crate) async fn reach_of(&self, node: NodeId) -> Result<Reach, String> {
        let answer = self.ask(node, kind::REACH, Bytes::new()).await?;
        Reach::read(&answer).map_err(|error| error.to_string())
    }

    /// Asks the server of a peer. The error is a sentence.
    pub(crate) async fn ask_server(&self, node: NodeId, question: Bytes) -> Result<Bytes, String> {
        self.ask(node, kind::SERVER, question).await
    }

    /// Makes a call to a peer and waits for its answer, up to `silence_timeout`. The error is a
    /// sentence.
    async fn ask(&self, node: NodeId, kind: u8, body: Bytes) -> Result<Bytes, String> {
        let inner = &self.inner;
        let caller = self.caller(node);
        let asked = caller.call(kind, body);
        let limit = inner.settings.silence_timeout;
        let answer = inner.runtime.timeout(limit, asked).await;
        let answer = answer.map_err(|_| format!("node {node} does not answer"))?;
        answer.map_err(|error| error.to_string())
    }

    /// Makes a connection for one channel. The error is a sentence; it has been logged unless it is
    /// known.
    pub(super) async fn dial(
        &self,
        node: NodeId,
        channel: Channel,
    ) -> Result<(Link, PeerInfo), String> {
        let inner = &self.inner;
        let dialing = inner
            .runtime
            .timeout(inner.settings.dial_timeout, self.dialed(node, channel));
        let dialed = match dialing.await {
            Ok(dialed) => dialed,
            Err(_) => Err(format!(
                "no connection within {} ms",
                inner.settings.dial_timeout.as_millis()
            )),
        };
        if let Err(what) = &dialed {
            self.complain(node, channel, what);
        }
        dialed
    }

    async fn dialed(&self, node: NodeId, channel: Channel) -> Result<(Link, PeerInfo), String> {
        let inner = &self.inner;
        let address = self.known(node, |known| known.address.clone());
        let address = address.ok_or_else(|| format!("the address of node {node} is not known"))?;
        let at = |error: &dyn fmt::Display| format!("node {node} at {address}: {error}");
        let found = inner.runtime.resolve(&address.host).await;
        let mut last = String::new();
        for ip in found.map_err(|error| at(&error))? {
            let to = SocketAddr::new(ip, address.port);
            let stream = match inner.runtime.connect_tcp(to).await {
                Ok(stream) => stream,
                Err(error) => {
                    last = at(&error);
                    continue;
                }
            };
            let wire = inner.protection.dialed(stream, &address.host).await;
            let mut wire = wire.map_err(|error| at(&error))?;
            let binding = std::mem::take(&mut wire.binding);
            let mut link = Link::new(wire, HELLO_BYTES_MAX);
            let identity = self.identity();
            let own = self.own(&identity);
            let said = hello::dial(&inner.runtime, &mut link, &binding, &own, node, channel);
            let info = said.await.map_err(|error| at(&error))?;
            self.meet(&info.identity);
            if channel.carries_state() {
                self.trust(node)?;
            }
            self.stands(&mut link, node);
            return Ok((link, info));
        }
        Err(last)
    }

    /// Logs a complaint about a connection that this node dials, unless it is known.
    pub(super) fn complain(&self, node: NodeId, channel: Channel, what: &str) {
        let now = self.inner.runtime.now();
        let mut complaints = self.inner.complaints.lock();
        if complaints.complain(node, channel, what, now) {
            tracing::warn!("the {channel} connection to node {node}: {what}");
        }
    }

    /// The peer has answered something on a connection. Returns false if this must be said again,
    /// because the log is to hear of it and it is too early.
    pub(super) fn works(&self, node: NodeId, channel: Channel) -> bool {
        let now = self.inner.runtime.now();
        let is_news = self.inner.complaints.lock().works(node, channel, now);
        if is_news == Some(true) {
            tracing::info!("the {channel} connection to node {node} works again");
        }
        is_news.is_some()
    }

    /// Logs why an accepted connection did not get through its hello, unless it is known.
    pub(super) fn refused(&self, from: Option<SocketAddr>, error: &HelloError) {
        let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let ip = from.unwrap_or(nowhere).ip();
        let now = self.inner.runtime.now();
        let mut complaints = self.inner.complaints.lock();
        if complaints.refuse(ip, &error.to_string(), now) {
            let from = from.map_or_else(|| "a peer".to_owned(), |from| from.to_string());
            tracing::warn!("a connection of {from} to the peer port ends: {error}");
        }
    }
}
