//! How a node talks to its peers: times and bounds.

use std::time::Duration;

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
