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
        }
    }

    /// The session timeout that a client gets, given what it asked for.
    pub fn negotiate_timeout_ms(&self, asked_ms: i32) -> u32 {
        let (min, max) = self.timeout_range_ms();
        u32::try_from(asked_ms).unwrap_or(0).clamp(min, max)
    }

    /// The shortest and the longest session timeout.
    pub fn timeout_range_ms(&self) -> (u32, u32) {
        (
            self.tick_time_ms.saturating_mul(2),
            self.tick_time_ms.saturating_mul(20),
        )
    }
}
