//! What the server is told at its start, and the bounds of every queue that it owns.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use innkeeper_auth::{AuthSettings, Port, Secret, TlsSettings};
use innkeeper_raft::ELECTION_MS;
pub use innkeeper_raft::ELECTION_MS_MIN;
pub use innkeeper_raft::peer::PeerAddress;
use innkeeper_tree::command::COMMAND_BYTES_LEAST;
pub use innkeeper_tree::group::Ports;

/// The version that is announced to clients.
pub const VERSION: &str = concat!("3.9.5-innkeeper-", env!("CARGO_PKG_VERSION"));

/// The longest frame that is taken from a client, in bytes, unless a node is told otherwise.
pub const MAX_FRAME_BYTES: usize = innkeeper_proto::frame::DEFAULT_MAX_LEN;

/// Output of one connection that may wait for its socket, in bytes; above it the connection
/// answers nothing more and reads nothing more until the client has read. One reply or one
/// event may exceed it.
pub const MAX_OUTPUT_BYTES: usize = 256 * 1024;

/// The longest answer that a client gets, in bytes, unless a node is told otherwise.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Above so many bytes an answer is a large one: it waits for room among all large ones. What a
/// Java client takes unless it is told otherwise is none.
pub const LARGE_ANSWER_BYTES: usize = innkeeper_proto::frame::DEFAULT_MAX_LEN;

/// How many of the longest answers all large ones may take together that stand in memory.
pub const LARGE_ANSWERS: usize = 4;

/// Of a large answer a client must take so many bytes between two looks, while others wait for
/// room; else its connection is closed.
pub const STALLED_ANSWER_BYTES: usize = 2 * 1024 * 1024;

/// How far those looks are apart, in milliseconds, at least; they are made at a session's ticks.
pub const STALLED_ANSWER_LOOK_MS: u64 = 2_000;

/// Of so many paths the log tells that an answer is long.
pub const PATHS_TOLD: usize = 1024;

/// The least and the greatest that `--max-answer-mib` takes: the length of a frame is a number
/// of 31 bits.
pub const MAX_ANSWER_MIB_RANGE: std::ops::RangeInclusive<usize> = 1..=1024;

/// What an answer has at most beside what a request brought that made it so long, in bytes.
const ANSWER_ENVELOPE_BYTES: usize = 128;

/// Requests of one connection that are parsed and not yet answered; above it nothing is read.
pub const MAX_PENDING_REQUESTS: usize = 1024;

/// Bytes of one connection's requests that are parsed and not yet answered; above it nothing is
/// read. One request may exceed it.
pub const MAX_PENDING_BYTES: usize = 4 * 1024 * 1024;

/// Writes that one connection proposes in one call.
pub const MAX_SUBMIT: usize = 256;

/// Events of persistent watches that one connection has not taken yet, in bytes and counted with
/// [`EVENT_OVERHEAD_BYTES`] each; beyond it the connection is closed.
pub const MAX_PERSISTENT_EVENTS_BYTES: usize = 8 * 1024 * 1024;

/// What an event that waits costs besides its frame, in bytes.
pub const EVENT_OVERHEAD_BYTES: usize = 128;

/// How many paths of a setWatches are judged under one hold of the fan-out's lock.
pub const SET_WATCHES_CHUNK: usize = 256;

/// How long a connection may take to send its first frame, in milliseconds, unless a node is told
/// otherwise.
pub const HANDSHAKE_TIMEOUT_MS: u64 = 10_000;

/// How long a stopping node waits for its connections to end, in milliseconds.
pub const STOP_TIMEOUT_MS: u64 = 3_000;

/// Requests that all connections together may have outstanding, unless a node is told otherwise.
pub const GLOBAL_OUTSTANDING_LIMIT: usize = 1000;

/// Bytes of all large requests together, unless a node is told otherwise; without a threshold
/// (`largeRequestThreshold`) none is large.
pub const LARGE_REQUEST_MAX_BYTES: usize = 100 * 1024 * 1024;

/// Local sessions that a node keeps without a record in the log: one more gets a record at once.
pub const MAX_LOCAL_SESSIONS: usize = 1_000_000;

/// What counts as a slow write to the log, in milliseconds, unless a node is told otherwise; as in
/// ZooKeeper.
pub const SLOW_SYNC_MS: u64 = 1_000;

/// Room on the data folder's file system below which the log is told, in bytes, unless a node is
/// told otherwise: several times what the log keeps behind a checkpoint, so that there is time to
/// make room.
pub const DISK_LOW_BYTES: u64 = 1 << 30;

/// How often a node looks how much room there is, in milliseconds.
pub const DISK_CHECK_MS: u64 = 30_000;

/// How often the log is told again that there is little room, in milliseconds.
pub const DISK_TOLD_MS: u64 = 3_600_000;

/// The least time between two reports of a node to its leader, in milliseconds.
pub const REPORT_LEAST_MS: u32 = 20;

/// The quorum counts as lost when no report was acknowledged for so many times the silence that
/// starts an election: an election in passing tells nobody that it is lost.
pub const QUORUM_LOST_ELECTIONS: u32 = 2;

/// The ticks within which a member is to catch up with its leader, unless a node is told otherwise:
/// those of ZooKeeper's own sample configuration.
pub const INIT_LIMIT: u32 = 10;

/// The ticks for which a member may lag before it is named, unless a node is told otherwise: those
/// of ZooKeeper's own sample configuration.
pub const SYNC_LIMIT: u32 = 5;

/// The least time between two looks of a leader at the other members, in milliseconds.
pub const LOOK_LEAST_MS: u64 = 20;

/// The greatest time between two such looks, in milliseconds.
pub const LOOK_MOST_MS: u64 = 250;

/// The pause before a node asks again how far it must catch up, in milliseconds.
pub const CATCH_UP_AGAIN_MS: u64 = 20;

/// The longest frame that a node can be told to take, in bytes: it must fit into memory, and into
/// the log, several times.
pub const MAX_JUTE_BUFFER_BYTES: usize = 256 * 1024 * 1024;

/// What a command has at most beside the client's own request, in bytes: who asks, the session's
/// number, the time. So a request within `jute.maxbuffer` always fits into a command.
pub const COMMAND_ENVELOPE_BYTES: usize = 1024 * 1024;

/// The settings of ZooKeeper's service.
#[derive(Clone, PartialEq, Debug)]
pub struct ServerSettings {
    /// The node's number among the servers that its configuration names (`myid`): any that a
    /// Java long takes. `None`: it names none but this one, perhaps.
    pub server_number: Option<i64>,
    /// The data folder.
    pub data: PathBuf,
    /// Where ZooKeeper's clients connect; port 0 picks one.
    pub listen: SocketAddr,
    /// Whether clients may connect without TLS (`clientPort` is set); `secure_listen` is where
    /// they connect otherwise.
    pub plain_clients: bool,
    /// ZooKeeper's tick; session timeouts lie between 2 and 20 of it.
    pub tick_time_ms: u32,
    /// Connections that one IP address may have at a time; 0 is any number.
    pub max_client_connections: usize,
    /// The shortest session timeout that is granted (`minSessionTimeout`); two ticks if not set.
    pub min_session_timeout_ms: Option<u32>,
    /// The longest session timeout that is granted (`maxSessionTimeout`); twenty ticks if not set.
    pub max_session_timeout_ms: Option<u32>,
    /// The longest frame that is taken from a client, in bytes (`jute.maxbuffer`).
    pub jute_max_buffer_bytes: usize,
    /// The longest answer that a client gets, in bytes (`--max-answer-mib`); see
    /// [`ServerSettings::longest_answer_bytes`].
    pub max_answer_bytes: usize,
    /// Connections of all addresses together (`maxCnxns`); 0 is any number.
    pub max_connections: usize,
    /// Requests that all connections together may have outstanding before connections with more
    /// than their share are not read (`globalOutstandingLimit`).
    pub global_outstanding_limit: usize,
    /// Whether TTL modes of create are served (`extendedTypesEnabled`).
    pub extended_types_enabled: bool,
    /// Whether reconfig is served at all (`reconfigEnabled`).
    pub reconfig_enabled: bool,
    /// Whether hard quotas refuse writes (`enforceQuota`).
    pub enforce_quota: bool,
    /// How often empty containers and outlived TTL znodes are looked for, in milliseconds
    /// (`znode.container.checkIntervalMs`).
    pub container_check_interval_ms: u64,
    /// At most how many of them are swept per minute (`znode.container.maxPerMinute`).
    pub container_max_per_minute: u32,
    /// After how long a container that never had a child is swept, in milliseconds; 0 is never
    /// (`znode.container.maxNeverUsedIntervalMs`).
    pub container_max_never_used_ms: u64,
    /// Whether sessions stay out of the log until they write (`localSessionsEnabled`).
    pub local_sessions: bool,
    /// Whether a local session may become one that has ephemerals
    /// (`localSessionsUpgradingEnabled`).
    pub local_sessions_upgrading: bool,
    /// Whether a node without a quorum serves reads (`readonlymode.enabled`).
    pub read_only_mode: bool,
    /// Whether the plain port takes TLS as well (`client.portUnification`).
    pub port_unification: bool,
    /// Where TLS clients connect (`secureClientPort`, `secureClientPortAddress`); port 0 picks
    /// one.
    pub secure_listen: Option<SocketAddr>,
    /// TLS (`ssl.*`), for both ports.
    pub tls: TlsSettings,
    /// Who may be whom (`authProvider.*` and what belongs to it).
    pub auth: AuthSettings,
    /// How long a connection may take to send its first frame, in milliseconds
    /// (`nio.sessionlessCnxnTimeout`).
    pub handshake_timeout_ms: u64,
    /// Above how many bytes a request is a large one (`largeRequestThreshold`); `None` is never.
    pub large_request_threshold_bytes: Option<usize>,
    /// Bytes of all large requests that are outstanding; who exceeds them is closed
    /// (`largeRequestMaxBytes`).
    pub large_request_max_bytes: usize,
    /// How many connect requests a moment may bring (`connection_throttle_*`).
    pub connection_throttle: ConnectionThrottleSettings,
    /// What happens to requests that have waited for long (`request_throttle_*`).
    pub request_throttle: RequestThrottleSettings,
    /// A write to the log that took longer than this to become durable is a slow one, in
    /// milliseconds (`fsync.warningthresholdms`).
    pub slow_sync_ms: u64,
    /// The group whose member the node is; `None`: it serves alone.
    pub group: Option<GroupSettings>,
    /// Below how much room on the data folder's file system the log is told, in bytes
    /// (`--disk-low-mib`); 0 is never.
    pub disk_low_bytes: u64,
}

/// The group whose member a node is.
#[derive(Clone, PartialEq, Debug)]
pub struct GroupSettings {
    /// This node's number, one of those below.
    pub id: u64,
    /// The voters, with the addresses of their peer ports. It is the same on all nodes.
    pub voters: BTreeMap<u64, PeerAddress>,
    /// The observers, with the addresses of their peer ports.
    pub observers: BTreeMap<u64, PeerAddress>,
    /// The members' ports that `/zookeeper/config` shows besides, where they are known.
    pub ports: BTreeMap<u64, Ports>,
    /// Where this node's peer port is opened.
    pub listen: SocketAddr,
    /// The secret that all members know. The empty one protects nothing.
    pub secret: Secret,
    /// The least silence of a leader after which another one is elected, in milliseconds
    /// (`innkeeper.electionMs`).
    pub election_ms: u32,
    /// A member that has not caught up so many ticks after its contact with the leader began is named
    /// in the leader's log and in the status (`initLimit`).
    pub init_limit: u32,
    /// So is a member that lags for so many ticks (`syncLimit`).
    pub sync_limit: u32,
}

impl GroupSettings {
    /// A member that has the number `id` and opens its peer port at `listen`, with the defaults.
    pub fn new(
        id: u64,
        listen: SocketAddr,
        voters: BTreeMap<u64, PeerAddress>,
        observers: BTreeMap<u64, PeerAddress>,
    ) -> Self {
        Self {
            id,
            voters,
            observers,
            ports: BTreeMap::new(),
            listen,
            secret: Secret::default(),
            election_ms: ELECTION_MS,
            init_limit: INIT_LIMIT,
            sync_limit: SYNC_LIMIT,
        }
    }
}

/// ZooKeeper's connection throttle: a bucket of tokens that connect requests are paid from.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ConnectionThrottleSettings {
    /// How many sessions a full bucket pays for (`connection_throttle_tokens`); 0 is no throttle.
    pub tokens: u32,
    /// How often it is filled, in milliseconds (`connection_throttle_fill_time`).
    pub fill_time_ms: u32,
    /// For how many sessions each time (`connection_throttle_fill_count`).
    pub fill_count: u32,
    /// How often the chance of being dropped at random changes, in milliseconds
    /// (`connection_throttle_freeze_time`); `None` drops nobody at random.
    pub freeze_time_ms: Option<u32>,
    /// By how much that chance grows while the bucket is empty
    /// (`connection_throttle_drop_increase`).
    pub drop_increase: f64,
    /// By how much it shrinks while the bucket is full enough
    /// (`connection_throttle_drop_decrease`).
    pub drop_decrease: f64,
    /// What part of the bucket may be missing for it to be full enough
    /// (`connection_throttle_decrease_ratio`).
    pub decrease_ratio: f64,
    /// What the kinds of sessions cost (`connection_throttle_weight_enabled`); `None` is one
    /// token for each.
    pub weights: Option<ConnectionWeights>,
}

/// What sessions cost, in tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionWeights {
    /// A new session (`connection_throttle_global_session_weight`).
    pub session: u32,
    /// A new local session (`connection_throttle_local_session_weight`).
    pub local_session: u32,
    /// A session that the client had (`connection_throttle_renew_session_weight`).
    pub old_session: u32,
}

impl Default for ConnectionThrottleSettings {
    fn default() -> Self {
        Self {
            tokens: 0,
            fill_time_ms: 1,
            fill_count: 1,
            freeze_time_ms: None,
            drop_increase: 0.02,
            drop_decrease: 0.002,
            decrease_ratio: 0.0,
            weights: None,
        }
    }
}

impl Default for ConnectionWeights {
    fn default() -> Self {
        Self {
            session: 3,
            local_session: 1,
            old_session: 2,
        }
    }
}

/// What happens to requests that wait for long before they are served.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RequestThrottleSettings {
    /// Requests of all connections that are in process at a time
    /// (`request_throttle_max_requests`); 0 leaves it to `globalOutstandingLimit`.
    pub max_requests: usize,
    /// Whether the connection of a request older than its session's timeout is closed
    /// (`request_stale_latency_check`, unless `request_throttle_drop_stale` is off); it takes
    /// effect where `max_requests` is set, as in ZooKeeper.
    pub drop_stale: bool,
    /// After how long a wait a request is answered with ThrottledOp instead of being run, in
    /// milliseconds (`throttled_op_wait_time`); 0 is never.
    pub throttled_op_wait_ms: u64,
}

impl ServerSettings {
    /// How this node replicates: by the defaults, but for its number, and for how long a command
    /// may be: 16 MiB, or `jute.maxbuffer` and what a command adds to a request, whichever is more.
    pub fn replication(&self) -> innkeeper_raft::Settings {
        let longest_request = self
            .jute_max_buffer_bytes
            .saturating_add(COMMAND_ENVELOPE_BYTES);
        // Of a negative number the bits: what names a member need not be shown.
        let number = self.server_number.unwrap_or(1).cast_unsigned();
        innkeeper_raft::Settings {
            node_id: self.group.as_ref().map_or(number, |group| group.id),
            election: self.election(),
            slow_sync: Duration::from_millis(self.slow_sync_ms),
            command_bytes_max: longest_request.max(COMMAND_BYTES_LEAST),
            ..innkeeper_raft::Settings::default()
        }
    }

    /// The least silence of a leader after which another one is elected.
    pub fn election(&self) -> Duration {
        let group = self.group.as_ref();
        let default = innkeeper_raft::Settings::default().election;
        group.map_or(default, |group| {
            Duration::from_millis(u64::from(group.election_ms))
        })
    }

    /// The defaults of `innkeeper serve` for a data folder, on ports that the system picks.
    pub fn on_free_ports(data: impl Into<PathBuf>) -> Self {
        Self {
            server_number: None,
            data: data.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            plain_clients: true,
            tick_time_ms: 2000,
            max_client_connections: 60,
            min_session_timeout_ms: None,
            max_session_timeout_ms: None,
            jute_max_buffer_bytes: MAX_FRAME_BYTES,
            max_answer_bytes: MAX_ANSWER_BYTES,
            max_connections: 0,
            global_outstanding_limit: GLOBAL_OUTSTANDING_LIMIT,
            extended_types_enabled: false,
            reconfig_enabled: false,
            enforce_quota: false,
            container_check_interval_ms: 60_000,
            container_max_per_minute: 10_000,
            container_max_never_used_ms: 0,
            local_sessions: false,
            local_sessions_upgrading: false,
            read_only_mode: false,
            port_unification: false,
            secure_listen: None,
            tls: TlsSettings::default(),
            auth: AuthSettings::default(),
            handshake_timeout_ms: HANDSHAKE_TIMEOUT_MS,
            large_request_threshold_bytes: None,
            large_request_max_bytes: LARGE_REQUEST_MAX_BYTES,
            connection_throttle: ConnectionThrottleSettings::default(),
            request_throttle: RequestThrottleSettings::default(),
            slow_sync_ms: SLOW_SYNC_MS,
            group: None,
            disk_low_bytes: DISK_LOW_BYTES,
        }
    }

    /// What the plain port takes.
    pub fn plain_port(&self) -> Port {
        match self.port_unification {
            true => Port::Either {
                first_byte_ms: self.handshake_timeout_ms,
            },
            false => Port::Plain,
        }
    }

    /// Whether one of the ports takes TLS.
    pub fn serves_tls(&self) -> bool {
        self.secure_listen.is_some() || self.port_unification
    }

    /// The number as ZooKeeper shows it: 0 for a server that is alone.
    pub fn server_id(&self) -> i64 {
        self.server_number.unwrap_or(0)
    }

    /// The top byte of the session ids that this node hands out: what of its number fits into it,
    /// and 1 for a server that is alone, as in ZooKeeper.
    pub fn session_prefix(&self) -> u8 {
        self.server_number.unwrap_or(1).to_le_bytes()[0]
    }

    /// The longest answer that a client gets, in bytes: as it was set, but what `jute.maxbuffer`
    /// let in can always be read.
    pub fn longest_answer_bytes(&self) -> usize {
        let written = self.jute_max_buffer_bytes + ANSWER_ENVELOPE_BYTES;
        self.max_answer_bytes.max(written)
    }

    /// How many requests all connections of this node together may have outstanding. `voters` are
    /// those of its group if it votes itself: they share `globalOutstandingLimit` as ZooKeeper's do. A
    /// node alone and an observer have all of it, which is 0 voters here.
    pub fn outstanding_limit(&self, voters: usize) -> usize {
        let share = match voters {
            0..=2 => self.global_outstanding_limit,
            voters => self.global_outstanding_limit / (voters - 1),
        };
        match self.request_throttle.max_requests {
            0 => share,
            max => max.min(share),
        }
    }

    /// The session timeout that a client gets, given what it asked for.
    pub fn negotiate_timeout_ms(&self, asked_ms: i32) -> u32 {
        let (min, max) = self.timeout_range_ms();
        u32::try_from(asked_ms).unwrap_or(0).clamp(min, max)
    }

    /// The shortest and the longest session timeout.
    pub fn timeout_range_ms(&self) -> (u32, u32) {
        let ticks = |count| self.tick_time_ms.saturating_mul(count);
        let min = self.min_session_timeout_ms.unwrap_or(ticks(2));
        let max = self.max_session_timeout_ms.unwrap_or(ticks(20));
        (min, max.max(min))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ZooKeeper's `getGlobalOutstandingLimit` of a leader and of a follower.
    #[test]
    fn the_voters_share_the_limit_on_outstanding_requests_as_zookeepers_do() {
        let mut settings = ServerSettings::on_free_ports("/data");
        settings.global_outstanding_limit = 1000;
        let shares = [0, 1, 2, 3, 5, 7].map(|voters| settings.outstanding_limit(voters));
        assert_eq!(shares, [1000, 1000, 1000, 500, 250, 166]);
        settings.request_throttle.max_requests = 300;
        let shares = [0, 3, 5].map(|voters| settings.outstanding_limit(voters));
        assert_eq!(shares, [300, 300, 250]);
    }
}
