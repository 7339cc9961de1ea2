//! The answers that operators get about the service: copies, so that the service's own tables stay
//! private.
//!
//! **Invariant:** no client waits for an operator's question. An answer is copied under a lock that
//! is held for a bounded part of the table, or while counted references are copied; it is rendered
//! afterwards, elsewhere. (test: `the_lock_is_free_between_the_runs_of_a_report`)

mod group;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use innkeeper_auth::Auth;
use innkeeper_raft::histogram::Reading;
use innkeeper_runtime::Runtime;
use innkeeper_tree::SessionId;
use innkeeper_tree::group::Role;

pub use self::group::{FailOver, GroupReport, Late, MemberLag, MemberReport};
pub use crate::clients::ConnectionInfo;
use crate::quorum::Held;
use crate::service::{Service, Standing};
use crate::stats::Totals;

/// The clients that the node serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Serves {
    /// All clients.
    All,
    /// There is no quorum: clients that agreed to be read-only.
    Readers,
    /// Nobody: there is no quorum and no read-only mode, or there is a quorum, and the node has not
    /// caught up with it or waits for the module of an active authorizer.
    Nobody,
}

/// What the node is in its ensemble, in ZooKeeper's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// It is alone.
    Standalone,
    /// It is the established leader.
    Leader,
    /// It votes and does not lead.
    Follower,
    /// It does not vote.
    Observer,
    /// It has no quorum.
    ReadOnly,
}

impl Mode {
    /// The word for it in `srvr`, `mntr` and the commands.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Standalone => "standalone",
            Mode::Leader => "leader",
            Mode::Follower => "follower",
            Mode::Observer => "observer",
            Mode::ReadOnly => "read-only",
        }
    }
}

/// The counters of the requests for paths that begin with one name.
#[derive(Debug)]
pub struct NamespaceStats {
    /// The first name of the paths.
    pub name: Arc<str>,
    /// Writes that a hard quota refused.
    pub quota_exceeded: u64,
    /// Bytes of each read; `None` if there was none since the start.
    pub reads: Option<Reading>,
    /// Bytes of each write; `None` if there was none since the start.
    pub writes: Option<Reading>,
}

impl<R: Runtime> Service<R> {
    /// The clients that the node serves now.
    pub fn serves(&self) -> Serves {
        match self.quorum.moment().0 {
            Held::Held if self.quorum.is_ready() => Serves::All,
            Held::Held => Serves::Nobody,
            Held::Lost if self.settings.read_only_mode => Serves::Readers,
            Held::Lost => Serves::Nobody,
        }
    }

    /// What the node is in its ensemble now. While it has lost its leader for a moment, it follows.
    pub fn mode(&self) -> Mode {
        if self.quorum.state() == Held::Lost {
            return Mode::ReadOnly;
        }
        let Some(group) = &self.settings.group else {
            return Mode::Standalone;
        };
        let view = self.reader.view();
        // The configuration in the state counts, as soon as there is one.
        let member = view
            .group()
            .and_then(|founded| founded.members.get(&group.id));
        let observes = match member {
            Some(member) => member.role == Role::Learner,
            None => group.observers.contains_key(&group.id),
        };
        match self.standing() {
            Standing::Leads { .. } => Mode::Leader,
            Standing::Follows { .. } | Standing::Waits if observes => Mode::Observer,
            Standing::Follows { .. } | Standing::Waits => Mode::Follower,
        }
    }

    /// All connections, in the order in which they came. Each one's counters are read when its turn
    /// comes.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionInfo> + Send + use<R> {
        let clients = self.clients.all().into_iter();
        clients.map(|client| client.shown())
    }

    /// How many connections there are.
    pub fn connection_count(&self) -> usize {
        self.clients.len()
    }

    /// Requests of all connections that are parsed and not answered.
    pub fn pending_requests(&self) -> u64 {
        self.clients.pending()
    }

    /// How many connections without TLS come from other machines and from this one. ZooKeeper
    /// counts them where clients could have used it; where no port takes TLS, both are zero.
    pub fn connections_without_tls(&self) -> (usize, usize) {
        match self.tls {
            Some(_) => self.clients.without_tls(),
            None => (0, 0),
        }
    }

    /// Resets the counters of all connections (`crst`).
    pub fn reset_connections(&self) {
        self.clients.reset_all();
    }

    /// How many sessions there are, local ones included.
    pub fn session_count(&self) -> usize {
        self.expiry.len()
    }

    /// All sessions, and in how many milliseconds each expires if nothing is heard of it until
    /// then.
    pub fn sessions_due(&self) -> Vec<(SessionId, u64)> {
        self.expiry.due()
    }

    /// The sums over all connections since the start or the last [`reset_stats`](Self::reset_stats).
    pub fn totals(&self) -> Totals {
        self.stats.traffic.totals()
    }

    /// What was counted by the first name of the path, in byte order of the names.
    pub fn namespaces(&self) -> Vec<NamespaceStats> {
        let all = self.stats.namespaces.all().into_iter();
        all.map(|(name, namespace)| NamespaceStats {
            name,
            quota_exceeded: namespace.quota_exceeded.get(),
            reads: (namespace.was_read.load(Ordering::Relaxed)).then(|| namespace.reads.read()),
            writes: (namespace.was_written.load(Ordering::Relaxed))
                .then(|| namespace.writes.read()),
        })
        .collect()
    }

    /// ZooKeeper's trace mask (`gtmk`).
    pub fn trace_mask(&self) -> i64 {
        self.stats.trace_mask.get()
    }

    /// Sets ZooKeeper's trace mask (`stmk`). It has no effect here.
    pub fn set_trace_mask(&self, mask: i64) {
        self.stats.trace_mask.set(mask);
    }

    /// Resets all counters and summaries (`srst`), but not the present state.
    pub fn reset_stats(&self) {
        self.stats.reset();
        if let Ok(replica) = self.replica() {
            replica.stats().reset();
        }
    }

    /// The chance that a connect request is dropped by the connection throttle, from 0 to 1.
    pub fn connection_drop_chance(&self) -> f64 {
        self.connection_throttle.drop_chance()
    }

    /// TLS handshakes under way.
    pub fn tls_handshakes(&self) -> usize {
        self.tls.as_ref().map_or(0, |tls| tls.handshakes())
    }

    /// When the first of the node's own certificates ends, in seconds since 1970; `None` if no
    /// port takes TLS.
    pub fn certificate_ends_s(&self) -> Option<i64> {
        self.tls.as_ref().map(|tls| tls.validity().until_s)
    }

    /// The authentication of this node: schemes, users and certificates.
    pub fn auth(&self) -> &Auth {
        &self.auth
    }
}
