//! The connections of this node and what each has asked: the four-letter words, the admin commands
//! and the metrics report it.
//!
//! 1. [`Clients::enter`] admits a connection, or refuses it.
//! 2. While it has no session, its few frames are counted one by one. After that, each wake-up of
//!    its task makes one [`TurnStats`], which [`ConnectionGuard::add`] adds to the connection's own
//!    counters, which no other task writes, and to a shard of the sums.
//! 3. [`Clients::all`] shows all connections; their counters are read while they change.

mod turn_stats;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering};

use hashbrown::HashMap;
use innkeeper_proto::OpCode;
use innkeeper_runtime::Instant;
use innkeeper_tree::SessionId;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::stats::Stats;
use turn_stats::{Answered, is_update};
pub(crate) use turn_stats::{Replied, TurnStats, letters};

/// A client's last cxid and last zxid before its first request, as in ZooKeeper.
const NONE: i64 = -1;

/// The counters of one connection.
#[derive(Debug)]
pub(crate) struct Client {
    number: u64,
    /// The address of the client.
    pub(crate) peer: Option<SocketAddr>,
    /// When it was accepted, on the wall clock, in milliseconds since 1970.
    pub(crate) established_ms: u64,
    /// Whether it speaks TLS.
    secure: AtomicU32,
    /// The session that it serves; 0 while it serves none.
    session: AtomicU64,
    timeout_ms: AtomicU32,
    /// Requests that are parsed and not answered.
    pub(crate) pending: AtomicU64,
    /// Frames received.
    pub(crate) received: AtomicU64,
    /// Frames sent.
    pub(crate) sent: AtomicU64,
    last_op: AtomicI32,
    last_cxid: AtomicI64,
    last_zxid: AtomicI64,
    /// When its last answer was sent, in milliseconds since the node's start.
    last_answer_ms: AtomicU64,
    last_latency_us: AtomicU64,
    min_latency_us: AtomicU64,
    max_latency_us: AtomicU64,
    latency_sum_us: AtomicU64,
    answered: AtomicU64,
}

/// What is known of a connection at one moment; times in ZooKeeper's milliseconds.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// The client's address, if the socket knows it.
    pub peer: Option<SocketAddr>,
    /// Whether it speaks TLS.
    pub secure: bool,
    /// Requests that are parsed and not answered.
    pub pending: u64,
    /// Frames and four-letter words that came.
    pub received: u64,
    /// Replies, events and answers to four-letter words that were sent.
    pub sent: u64,
    /// `None` for a connection that has no session, like one that asks a four-letter word.
    pub session: Option<SessionId>,
    /// The session's timeout, in milliseconds.
    pub timeout_ms: u32,
    /// When it was accepted, in milliseconds since 1970.
    pub established_ms: u64,
    /// The operation of the last request, by ZooKeeper's name for it.
    pub last_op: &'static str,
    /// The last request's xid; -1 if there was none.
    pub last_cxid: i64,
    /// The last zxid that was sent to the client; -1 if there was none.
    pub last_zxid: i64,
    /// When the last request was answered, in milliseconds since 1970.
    pub last_answer_ms: u64,
    /// How long the last request took, in milliseconds.
    pub last_latency_ms: u64,
    /// The shortest time that a request took, in milliseconds.
    pub min_latency_ms: u64,
    /// The average time that a request took, in milliseconds.
    pub avg_latency_ms: u64,
    /// The longest time that a request took, in milliseconds.
    pub max_latency_ms: u64,
}

impl Client {
    fn new(number: u64, peer: Option<SocketAddr>, established_ms: u64) -> Self {
        let client = Self {
            number,
            peer,
            established_ms,
            secure: AtomicU32::new(0),
            session: AtomicU64::new(0),
            timeout_ms: AtomicU32::new(0),
            pending: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            last_op: AtomicI32::new(0),
            last_cxid: AtomicI64::new(NONE),
            last_zxid: AtomicI64::new(NONE),
            last_answer_ms: AtomicU64::new(0),
            last_latency_us: AtomicU64::new(0),
            min_latency_us: AtomicU64::new(u64::MAX),
            max_latency_us: AtomicU64::new(0),
            latency_sum_us: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        };
        client.reset();
        client
    }

    /// Resets what `crst` resets.
    fn reset(&self) {
        for figure in [
            &self.received,
            &self.sent,
            &self.last_answer_ms,
            &self.last_latency_us,
            &self.max_latency_us,
            &self.latency_sum_us,
            &self.answered,
        ] {
            figure.store(0, Ordering::Relaxed);
        }
        self.min_latency_us.store(u64::MAX, Ordering::Relaxed);
        self.last_op
            .store(OpCode::Notification.as_i32(), Ordering::Relaxed);
        self.last_cxid.store(NONE, Ordering::Relaxed);
        self.last_zxid.store(NONE, Ordering::Relaxed);
    }

    /// One or more answers were sent.
    fn answered(&self, latency_us: u64, times: u64) {
        self.last_latency_us.store(latency_us, Ordering::Relaxed);
        self.min_latency_us.fetch_min(latency_us, Ordering::Relaxed);
        self.max_latency_us.fetch_max(latency_us, Ordering::Relaxed);
        self.latency_sum_us
            .fetch_add(latency_us * times, Ordering::Relaxed);
        self.answered.fetch_add(times, Ordering::Relaxed);
    }

    /// The connection's counters as they are now.
    pub(crate) fn shown(&self) -> ConnectionInfo {
        let load = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let session = load(&self.session);
        let (answered, sum_us) = (load(&self.answered), load(&self.latency_sum_us));
        let min_us = load(&self.min_latency_us);
        let last_op = OpCode::from_i32(self.last_op.load(Ordering::Relaxed));
        ConnectionInfo {
            peer: self.peer,
            secure: self.secure.load(Ordering::Relaxed) != 0,
            pending: load(&self.pending),
            received: load(&self.received),
            sent: load(&self.sent),
            session: (session != 0).then_some(SessionId(session)),
            timeout_ms: self.timeout_ms.load(Ordering::Relaxed),
            established_ms: self.established_ms,
            last_op: last_op.and_then(letters).unwrap_or("NA"),
            last_cxid: self.last_cxid.load(Ordering::Relaxed),
            last_zxid: self.last_zxid.load(Ordering::Relaxed),
            last_answer_ms: load(&self.last_answer_ms),
            last_latency_ms: load(&self.last_latency_us) / 1000,
            min_latency_ms: if min_us == u64::MAX { 0 } else { min_us / 1000 },
            avg_latency_ms: sum_us / answered.max(1) / 1000,
            max_latency_ms: load(&self.max_latency_us) / 1000,
        }
    }
}

/// Why a connection is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum TooManyConnections {
    /// Its address has as many connections as one address may have.
    #[error("its address has {0} connections already: raise maxClientCnxns, or close some")]
    OfAddress(usize),
    /// All addresses together have as many connections as they may have.
    #[error("there are {0} connections already: raise maxCnxns, or close some")]
    Total(usize),
}

/// All connections of this node.
///
/// Invariants:
/// - One address has at most `max_per_ip` connections, unless that is 0.
///   (test: `an_address_has_so_many_connections_and_no_more`)
/// - All addresses together have at most `max_total` connections, unless that is 0.
///   (test: `all_addresses_together_have_so_many_connections`)
#[derive(Debug)]
pub(crate) struct Clients {
    max_per_ip: usize,
    max_total: usize,
    started: Instant,
    /// The sums.
    pub(crate) stats: Arc<Stats>,
    connected: Mutex<Connected>,
}

#[derive(Debug, Default)]
struct Connected {
    next_number: u64,
    clients: FxHashMap<u64, Arc<Client>>,
    /// Seeded: clients choose their addresses.
    per_ip: HashMap<IpAddr, usize>,
}

/// Counts a connection as connected until it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionGuard {
    clients: Arc<Clients>,
    /// The connection's counters.
    pub(crate) client: Arc<Client>,
}

impl Clients {
    /// No connections yet.
    pub(crate) fn new(
        max_per_ip: usize,
        max_total: usize,
        started: Instant,
        stats: Arc<Stats>,
    ) -> Self {
        Self {
            max_per_ip,
            max_total,
            started,
            stats,
            connected: Mutex::default(),
        }
    }

    /// Admits a connection, unless its address, or all addresses together, have as many as they
    /// may.
    pub(crate) fn enter(
        self: &Arc<Self>,
        peer: Option<SocketAddr>,
        wall_ms: u64,
    ) -> Result<ConnectionGuard, TooManyConnections> {
        let mut connected = self.connected.lock();
        if self.max_total != 0 && connected.clients.len() >= self.max_total {
            self.stats.connections_rejected.add(1);
            return Err(TooManyConnections::Total(self.max_total));
        }
        if let Some(peer) = peer {
            let count = connected.per_ip.entry(peer.ip()).or_default();
            if self.max_per_ip != 0 && *count >= self.max_per_ip {
                self.stats.connections_rejected.add(1);
                return Err(TooManyConnections::OfAddress(self.max_per_ip));
            }
            *count += 1;
        }
        let number = connected.next_number;
        connected.next_number += 1;
        let client = Arc::new(Client::new(number, peer, wall_ms));
        connected.clients.insert(number, client.clone());
        Ok(ConnectionGuard {
            clients: self.clone(),
            client,
        })
    }

    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.connected.lock().clients.len()
    }

    /// All connections, in the order in which they came.
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        let mut all: Vec<_> = self.connected.lock().clients.values().cloned().collect();
        all.sort_by_key(|client| client.number);
        all
    }

    /// Requests that are parsed and not answered, of all connections together.
    pub(crate) fn pending(&self) -> u64 {
        let connected = self.connected.lock();
        let pending = |client: &Arc<Client>| client.pending.load(Ordering::Relaxed);
        connected.clients.values().map(pending).sum()
    }

    /// How many clients without TLS connect from other machines and from this one, as far as their
    /// addresses show.
    pub(crate) fn without_tls(&self) -> (usize, usize) {
        let connected = self.connected.lock();
        let plain = connected.clients.values();
        let plain = plain.filter(|client| client.secure.load(Ordering::Relaxed) == 0);
        let is_remote = |client: &&Arc<Client>| {
            let peer = client.peer.map(|peer| peer.ip());
            peer.is_some_and(|ip| !ip.to_canonical().is_loopback())
        };
        let remote = plain.clone().filter(is_remote).count();
        (remote, plain.count() - remote)
    }

    /// Resets the counters of all connections.
    pub(crate) fn reset_all(&self) {
        for client in self.all() {
            client.reset();
        }
    }
}

impl ConnectionGuard {
    /// Notes that the connection speaks TLS.
    pub(crate) fn is_secure(&self) {
        self.client.secure.store(1, Ordering::Relaxed);
    }

    /// A frame or a four-letter word came before there was a session.
    pub(crate) fn greeted(&self, bytes: usize) {
        let shard = self.clients.stats.traffic.shard(self.client.number);
        self.client.received.fetch_add(1, Ordering::Relaxed);
        shard.received.fetch_add(1, Ordering::Relaxed);
        let bytes = bytes as u64;
        shard.received_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// An answer was sent before there was a session.
    pub(crate) fn returned_greeting(&self, bytes: usize) {
        let shard = self.clients.stats.traffic.shard(self.client.number);
        self.client.sent.fetch_add(1, Ordering::Relaxed);
        shard.sent.fetch_add(1, Ordering::Relaxed);
        shard
            .response_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Notes that the connection serves a session from now on, and how long its connect request
    /// took.
    pub(crate) fn serves(
        &self,
        session: SessionId,
        timeout_ms: u32,
        zxid: i64,
        asked: Instant,
        now: Instant,
    ) {
        let client = &self.client;
        client.session.store(session.0, Ordering::Relaxed);
        client.timeout_ms.store(timeout_ms, Ordering::Relaxed);
        let latency_us = (now - asked).as_micros() as u64;
        let shard = self.clients.stats.traffic.shard(client.number);
        shard.updates_us.add(latency_us);
        client.answered(latency_us, 1);
        self.note_last(OpCode::CreateSession, 0, zxid, now);
    }

    fn note_last(&self, op: OpCode, xid: i32, zxid: i64, now: Instant) {
        let client = &self.client;
        let since_start = (now - self.clients.started).as_millis() as u64;
        client.last_answer_ms.store(since_start, Ordering::Relaxed);
        client.last_op.store(op.as_i32(), Ordering::Relaxed);
        client.last_zxid.store(zxid, Ordering::Relaxed);
        // Pings and the like do not replace the client's last real operation.
        if xid >= 0 {
            client.last_cxid.store(i64::from(xid), Ordering::Relaxed);
        }
    }

    /// Adds what a wake-up did, and empties its record. `pending` requests are not answered yet.
    pub(crate) fn add(&self, turn: &mut TurnStats, pending: usize, last_zxid: i64, now: Instant) {
        let client = &self.client;
        client.pending.store(pending as u64, Ordering::Relaxed);
        let stats = &*self.clients.stats;
        let shard = stats.traffic.shard(client.number);
        if turn.received != 0 {
            client.received.fetch_add(turn.received, Ordering::Relaxed);
            shard.received.fetch_add(turn.received, Ordering::Relaxed);
            let bytes = turn.received_bytes;
            shard.received_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        let sent = turn.answered.len() as u64 + turn.events;
        if sent != 0 {
            client.sent.fetch_add(sent, Ordering::Relaxed);
            shard.sent.fetch_add(sent, Ordering::Relaxed);
        }
        if turn.event_bytes != 0 {
            let bytes = turn.event_bytes;
            shard.watch_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        let sizes = turn.answered.iter().map(Answered::reply_bytes);
        if let (Some(last), Some(min), Some(max)) = (
            sizes.clone().next_back(),
            sizes.clone().min(),
            sizes.clone().max(),
        ) {
            let at_ns = (now - self.clients.started).as_nanos() as u64;
            shard.responded(at_ns, last, min, max);
            let bytes = sizes.sum();
            shard.response_bytes.fetch_add(bytes, Ordering::Relaxed);
            turn.add_names(&stats.namespaces);
        }
        self.add_latencies(turn, last_zxid, now);
        turn.clear();
    }

    fn add_latencies(&self, turn: &TurnStats, last_zxid: i64, now: Instant) {
        let shard = self.clients.stats.traffic.shard(self.client.number);
        let key = |answered: &Answered| (answered.received, is_update(answered.op));
        // Credentials do not count as requests, as in ZooKeeper.
        let mut runs = turn
            .answered
            .iter()
            .filter(|answered| letters(answered.op).is_some())
            .peekable();
        while let Some(first) = runs.next() {
            let (received, is_update) = key(first);
            let (mut last, mut times) = (first, 1);
            while let Some(next) = runs.next_if(|next| key(next) == (received, is_update)) {
                (last, times) = (next, times + 1);
            }
            let latency_us = (now - received).as_micros() as u64;
            if is_update {
                shard.updates_us.add_many(latency_us, times);
            } else {
                shard.reads_us.add_many(latency_us, times);
            }
            self.client.answered(latency_us, times);
            self.note_last(last.op, last.xid, last_zxid, now);
        }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let mut connected = self.clients.connected.lock();
        connected.clients.remove(&self.client.number);
        if let Some(peer) = self.client.peer
            && let Some(count) = connected.per_ip.get_mut(&peer.ip())
        {
            *count -= 1;
            if *count == 0 {
                connected.per_ip.remove(&peer.ip());
            }
        }
    }
}
