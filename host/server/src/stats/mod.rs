//! The counters and summaries that the parts of a node record as they work.

mod namespaces;
mod traffic;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use innkeeper_auth::Refused;
use innkeeper_proto::EventType;
use innkeeper_raft::histogram::Summary;

pub use namespaces::top;
pub(crate) use namespaces::{Namespace, Namespaces};
use traffic::Traffic;
pub use traffic::{Latency, Totals};

/// A count of events.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds that many events.
    pub fn add(&self, times: u64) {
        self.0.fetch_add(times, Ordering::Relaxed);
    }

    /// The number of events so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// What the parts of a node record. Numbers that the state itself can give (znodes, watches,
/// sessions) are not recorded; they are asked for when metrics are rendered.
///
/// Invariant: recording takes no lock that another recording could hold for long, and a request
/// allocates no memory for it.
#[derive(Default)]
pub struct Stats {
    pub(crate) traffic: Traffic,
    pub(crate) namespaces: Namespaces,
    /// Connect requests.
    pub connection_requests: Counter,
    /// Connections that were refused: too many of one address, or of all addresses.
    pub connections_rejected: Counter,
    /// Connections that ended because the client had gone.
    pub connections_dropped: Counter,
    /// Clients that reattached to a session.
    pub connections_revalidated: Counter,
    /// Connections closed because no first frame came.
    pub sessionless_expired: Counter,
    /// Frames refused for their length.
    pub large_requests_rejected: Counter,
    /// Credentials that were wrong.
    pub auth_failed: Counter,
    /// Wrong names or passwords over HTTP.
    pub http_attempts_wrong: Counter,
    /// Requests over HTTP whose password was not checked, because too many wrong ones had come from
    /// their address.
    pub http_attempts_deferred: Counter,
    /// Connections of HTTP and of the admin socket that were closed before they were answered, to
    /// make room for others.
    pub http_evicted: Arc<Counter>,
    /// TLS handshakes that failed.
    pub tls_handshakes_failed: Counter,
    /// TLS connections turned away because too many handshakes were under way.
    pub tls_handshakes_exceeded: Counter,
    /// Connections that had to wait because of the limit on outstanding requests.
    pub throttle_waits: Counter,
    /// Connections closed because a request had waited for longer than its session's timeout.
    pub stale_requests: Counter,
    /// Requests answered with ThrottledOp.
    pub throttled_ops: Counter,
    /// Sessions that expired.
    pub sessions_expired: Counter,
    /// Compiling processes that were started.
    pub modules_compiled: Counter,
    /// Modules loaded from what was compiled before.
    pub modules_loaded: Counter,
    /// Reactions of recipes that this node began.
    pub reactions: Counter,
    /// Commands applied.
    pub commits: Counter,
    /// Snapshots of other nodes that have taken the place of this node's state.
    pub installs: Counter,
    /// Connections that were closed because such a snapshot holds changes of which they heard nothing.
    pub connections_replaced: Counter,
    /// Watchers of each znode created while it was watched.
    pub watchers_of_created: Summary,
    /// Watchers of each znode that was deleted.
    pub watchers_of_deleted: Summary,
    /// Watchers of each znode whose data changed.
    pub watchers_of_changed: Summary,
    /// Watchers of each znode whose children changed.
    pub watchers_of_children: Summary,
    /// How long opening the log and the state took at the start, in microseconds.
    pub opening_us: Summary,
    /// Entries that were applied from the log at the start.
    pub replayed: Summary,
    /// ZooKeeper's trace mask. It has no effect here; it is kept so that `gtmk` shows what `stmk`
    /// set.
    pub(crate) trace_mask: TraceMask,
}

/// A number that `stmk` sets and `gtmk` shows.
#[derive(Debug)]
pub(crate) struct TraceMask(AtomicI64);

impl Default for TraceMask {
    /// ZooKeeper's: client requests, server packets, sessions, warnings.
    fn default() -> Self {
        Self(AtomicI64::new(0o462))
    }
}

impl TraceMask {
    pub(crate) fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, mask: i64) {
        self.0.store(mask, Ordering::Relaxed);
    }
}

impl Stats {
    /// Resets what `srst` resets: everything counted, but not the present state.
    pub(crate) fn reset(&self) {
        self.traffic.reset();
        self.namespaces.reset();
        for counter in [
            &self.connection_requests,
            &self.connections_rejected,
            &self.connections_dropped,
            &self.connections_revalidated,
            &self.sessionless_expired,
            &self.large_requests_rejected,
            &self.tls_handshakes_failed,
            &self.tls_handshakes_exceeded,
            &self.throttle_waits,
            &self.throttled_ops,
            &self.stale_requests,
            &self.sessions_expired,
            &self.commits,
        ] {
            counter.reset();
        }
        for summary in [
            &self.watchers_of_created,
            &self.watchers_of_deleted,
            &self.watchers_of_changed,
            &self.watchers_of_children,
            &self.opening_us,
            &self.replayed,
        ] {
            summary.reset();
        }
    }

    /// An event went to that many watchers.
    pub(crate) fn fired(&self, event: EventType, watchers: usize) {
        let summary = match event {
            EventType::NodeCreated => &self.watchers_of_created,
            EventType::NodeDeleted => &self.watchers_of_deleted,
            EventType::NodeDataChanged => &self.watchers_of_changed,
            EventType::NodeChildrenChanged => &self.watchers_of_children,
            _ => return,
        };
        summary.add(watchers as u64);
    }

    /// Counts a TLS connection that was refused or failed.
    pub(crate) fn refused(&self, why: &Refused) {
        match why {
            Refused::Handshake(_) => self.tls_handshakes_failed.add(1),
            Refused::TooMany => self.tls_handshakes_exceeded.add(1),
            Refused::Distrusted(_) => self.auth_failed.add(1),
            Refused::Silent(_) => self.sessionless_expired.add(1),
            Refused::Left => self.connections_dropped.add(1),
        }
    }
}

impl std::fmt::Debug for Stats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stats").finish_non_exhaustive()
    }
}
