//! The settings of replication and storage.

use std::time::Duration;

use innkeeper_tree::command::COMMAND_BYTES_LEAST;

use crate::log::MAX_BODY_BYTES;
use crate::peer::FEATURE_LEVEL;

/// The default of [`Settings::election`], in milliseconds.
pub const ELECTION_MS: u32 = 500;
/// The shortest [`Settings::election`], in milliseconds: openraft counts in whole milliseconds, and a
/// busy machine must not look like a dead leader.
pub const ELECTION_MS_MIN: u32 = 100;

/// The settings of one node's log, checkpoints and proposals. The defaults suit a server.
///
/// The bounds of all queues of this crate are here, or follow from these settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// This node's number in votes and in the membership. A data folder that already has a number
    /// keeps it.
    pub node_id: u64,
    /// The size of a segment of the log, in bytes. Segments are preallocated. A longer record gets
    /// a segment of its own.
    pub segment_bytes: u64,
    /// A sealed segment that a checkpoint covers is removed when it is older than this.
    pub retention_age: Duration,
    /// A sealed segment that a checkpoint covers is also removed when this many bytes of the log
    /// come after it.
    pub retention_bytes: u64,
    /// A checkpoint begins when this many entries, or a sixteenth of `lag_bytes`, were applied
    /// since the last one began.
    pub checkpoint_entries: u64,
    /// A checkpoint also begins this long after the last one, if anything has changed.
    pub checkpoint_interval: Duration,
    /// How many bytes of applied commands may be in no checkpoint yet. Each command counts for at
    /// least 128 bytes. It bounds how much of the log a start replays. From an eighth of it on, a
    /// leader slows proposals down more and more; at all of it they wait, and a follower takes no
    /// further entries from the leader.
    pub lag_bytes: u64,
    /// How many bytes of memory the entries may take that a node has not yet applied and synced.
    /// Above it, those that are synced leave memory. While the others take more, a follower takes
    /// no further ones from the leader, and a leader proposes nothing. A command counts for about
    /// twice its encoded bytes. What is on its way is bounded by
    /// [`PeerSettings`](crate::peer::PeerSettings).
    pub held_bytes: usize,
    /// How many entries one append to a follower has at most.
    pub append_entries_max: u64,
    /// How many bytes of applied entries stay in memory for readers of the log. Entries that are
    /// not yet applied or synced always stay in memory; on a leader there are at most
    /// `batch_commands * batches_in_flight` of them.
    pub tail_bytes: usize,
    /// redb's page cache for `state.redb`, in bytes.
    pub state_cache_bytes: usize,
    /// redb's page cache for `modules.redb`, in bytes.
    pub module_cache_bytes: usize,
    /// How many operations may wait to be proposed.
    pub queued_operations: usize,
    /// How many bytes of operations may wait to be proposed. A larger operation may wait if no
    /// other does.
    pub queued_bytes: usize,
    /// The longest command, in encoded bytes. A longer one is refused before it is proposed. The
    /// bounds of requests and transactions must be lower.
    pub command_bytes_max: usize,
    /// The longest record of the log, in bytes of its body. The node stops before it writes a
    /// longer one. Reading has no such bound.
    pub record_bytes_max: usize,
    /// The greatest number of commands in a batch. Further ones go into the next batch.
    pub batch_commands: usize,
    /// How many batches may be proposed and not yet applied. Operations that arrive meanwhile
    /// become the next batch, and share its sync.
    pub batches_in_flight: usize,
    /// After so many applied commands the results are delivered (published and answered).
    pub apply_commands: usize,
    /// How long proposals are held back for a guest or a session that lost three races in a row.
    pub hold_back: Duration,
    /// A sync of the log that takes longer than this is counted as slow and logged, as with
    /// ZooKeeper's `fsync.warningthresholdms`.
    pub slow_sync: Duration,
    /// The least silence of a leader after which a follower stands for election. The others follow
    /// within two fifths of it, by chance. A leader sends ten signs of life in this time. A voter
    /// grants no vote for seven tenths of it after it has heard from a leader. A round trip between
    /// two nodes must take less than a tenth of it: a leader does not wait longer for an answer to
    /// a sign of life, and without those no read is confirmed while nothing is written.
    pub election: Duration,
    /// The highest feature level that this node supports, which it tells its peers. It stops before
    /// it applies a command that raises the group's level above it.
    pub feature_level: u32,
    /// How long opening may take, from the first vote until the whole log is applied.
    pub open_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node_id: 1,
            segment_bytes: 64 << 20,
            retention_age: Duration::from_secs(60),
            retention_bytes: 256 << 20,
            checkpoint_entries: 100_000,
            checkpoint_interval: Duration::from_secs(10),
            lag_bytes: 512 << 20,
            held_bytes: 64 << 20,
            append_entries_max: 1024,
            tail_bytes: 8 << 20,
            state_cache_bytes: 64 << 20,
            module_cache_bytes: 8 << 20,
            queued_operations: 16_384,
            queued_bytes: 64 << 20,
            command_bytes_max: COMMAND_BYTES_LEAST,
            record_bytes_max: MAX_BODY_BYTES,
            batch_commands: 1024,
            batches_in_flight: 4,
            apply_commands: 512,
            hold_back: Duration::from_millis(5),
            slow_sync: Duration::from_secs(1),
            election: Duration::from_millis(u64::from(ELECTION_MS)),
            feature_level: FEATURE_LEVEL,
            open_timeout: Duration::from_secs(300),
        }
    }
}

/// The smallest segment: the header, the vote, the purge mark and the committed index, and one
/// small batch.
const MIN_SEGMENT_BYTES: u64 = 4096;
/// The largest segment: offsets inside a segment are kept in 32 bits.
const MAX_SEGMENT_BYTES: u64 = 1 << 30;
/// The smallest bound on commands: it has room for everything that a node proposes by itself.
const MIN_COMMAND_BYTES: usize = 1024;

impl Settings {
    /// How long a quorum's acknowledgement keeps others from electing another leader: a voter
    /// grants no vote for this long after it has heard from its leader.
    pub fn lease(&self) -> Duration {
        self.election * 7 / 10
    }

    /// Checks the settings. The error is one sentence that says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        let wrong = if !(MIN_SEGMENT_BYTES..=MAX_SEGMENT_BYTES).contains(&self.segment_bytes) {
            Some("segment_bytes must lie between 4096 and 1073741824")
        } else if self.election < Duration::from_millis(u64::from(ELECTION_MS_MIN)) {
            Some("election must be at least 100 ms")
        } else if self.command_bytes_max < MIN_COMMAND_BYTES {
            Some("command_bytes_max must be at least 1024")
        } else if self.record_bytes_max > MAX_BODY_BYTES {
            Some("record_bytes_max must be at most 1073741824")
        } else if self.command_bytes_max > self.record_bytes_max / 2 {
            Some("command_bytes_max must be at most half of record_bytes_max")
        } else if self.checkpoint_entries == 0
            || self.lag_bytes == 0
            || self.held_bytes == 0
            || self.append_entries_max == 0
            || self.queued_operations == 0
            || self.queued_bytes == 0
            || self.batch_commands == 0
            || self.batches_in_flight == 0
            || self.apply_commands == 0
        {
            Some("a bound of zero lets nothing through")
        } else {
            None
        };
        wrong.map_or(Ok(()), |what| Err(what.to_owned()))
    }
}
