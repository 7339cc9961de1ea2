//! What a node is told at its start, and the bounds of every queue that the server owns.

use std::net::SocketAddr;
use std::path::PathBuf;

use innkeeper_proto::frame::FourLetterWord;

/// The version that is announced to clients.
pub const VERSION: &str = concat!("3.9.5-innkeeper-", env!("CARGO_PKG_VERSION"));

/// The longest frame that is taken from a client, in bytes.
pub const MAX_FRAME_BYTES: usize = innkeeper_proto::frame::DEFAULT_MAX_LEN;

/// Output of one connection that may wait for its socket, in bytes; above it the connection
/// answers nothing more and reads nothing more until the client has read. One reply or one
/// event may exceed it.
pub const MAX_OUTPUT_BYTES: usize = 256 * 1024;

/// Requests of one connection that are parsed and not yet answered; above it nothing is read.
pub const MAX_PENDING_REQUESTS: usize = 1024;

/// Bytes of one connection's requests that are parsed and not yet answered; above it nothing is
/// read. One request may exceed it.
pub const MAX_PENDING_BYTES: usize = 4 * 1024 * 1024;

/// Writes that one connection hands to the door in one call.
pub const MAX_SUBMIT: usize = 256;

/// How many paths of a setWatches are judged under one hold of the fan-out's lock.
pub const SET_WATCHES_CHUNK: usize = 256;

/// How long a connection may take to send its first frame, in milliseconds.
pub const HANDSHAKE_TIMEOUT_MS: u64 = 10_000;

/// How long a stopping node waits for its connections to end, in milliseconds.
pub const STOP_TIMEOUT_MS: u64 = 3_000;

/// How long a reaction may hold its view, in milliseconds, unless a node is told otherwise: what
/// the view alone can see stays in memory as long.
pub const VIEW_MAX_AGE_MS: u64 = 10_000;

/// A node's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeSettings {
    /// The node's number, 1 to 255: the top byte of the session ids that it hands out.
    pub node_id: u8,
    /// The data folder.
    pub data: PathBuf,
    /// Where ZooKeeper's clients connect; port 0 picks one.
    pub listen: SocketAddr,
    /// Where HTTP is served; port 0 picks one, `None` serves none.
    pub http: Option<SocketAddr>,
    /// ZooKeeper's tick; session timeouts lie between 2 and 20 of it.
    pub tick_time_ms: u32,
    /// Connections that one IP address may have at a time; 0 is any number.
    pub max_client_connections: usize,
    /// The four-letter words that are answered.
    pub words: Vec<FourLetterWord>,
    /// `user:base64(sha1(user:password))` of the super user, if there is one.
    pub super_digest: Option<String>,
    /// How long a reaction may hold its view, in milliseconds; then it is ended, and counts as
    /// failed.
    pub view_max_age_ms: u64,
    /// The shortest session timeout that is granted (`minSessionTimeout`); two ticks if not set.
    pub min_session_timeout_ms: Option<u32>,
    /// The longest session timeout that is granted (`maxSessionTimeout`); twenty ticks if not set.
    pub max_session_timeout_ms: Option<u32>,
    /// The longest frame in either direction, in bytes (`jute.maxbuffer`).
    pub jute_max_buffer_bytes: usize,
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
    /// Whether ACLs are not looked at (`skipACL`).
    pub skip_acl: bool,
    /// Whether the plain port takes TLS as well (`client.portUnification`).
    pub port_unification: bool,
    /// Where TLS clients connect (`secureClientPort`, `secureClientPortAddress`); port 0 picks
    /// one.
    pub secure_listen: Option<SocketAddr>,
    /// Where `/metrics` is served besides the HTTP listener (`metricsProvider.httpHost`,
    /// `metricsProvider.httpPort`).
    pub metrics: Option<SocketAddr>,
    /// The path below which ZooKeeper's admin commands are served (`admin.commandURL`).
    pub admin_command_url: String,
}

impl NodeSettings {
    /// The defaults of `innkeeper serve` for a data folder, on ports that the system picks.
    pub fn on_free_ports(data: impl Into<PathBuf>) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            node_id: 1,
            data: data.into(),
            listen: any,
            http: Some(any),
            tick_time_ms: 2000,
            max_client_connections: 60,
            words: vec![FourLetterWord::Srvr],
            super_digest: None,
            view_max_age_ms: VIEW_MAX_AGE_MS,
            min_session_timeout_ms: None,
            max_session_timeout_ms: None,
            jute_max_buffer_bytes: MAX_FRAME_BYTES,
            max_connections: 0,
            global_outstanding_limit: 1000,
            extended_types_enabled: false,
            reconfig_enabled: false,
            enforce_quota: false,
            container_check_interval_ms: 60_000,
            container_max_per_minute: 10_000,
            container_max_never_used_ms: 0,
            local_sessions: false,
            local_sessions_upgrading: false,
            read_only_mode: false,
            skip_acl: false,
            port_unification: false,
            secure_listen: None,
            metrics: None,
            admin_command_url: "/commands".to_owned(),
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
