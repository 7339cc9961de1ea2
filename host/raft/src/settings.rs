//! What can be set about replication and storage.

use std::time::Duration;

use innkeeper_tree::command::COMMAND_BYTES_LEAST;

use crate::log::MAX_BODY_BYTES;

/// Settings of one node's log, checkpoints and door, with defaults that suit a server.
///
/// The bounds of every queue of this crate stand here or follow from what stands here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// This node's number; it stands in votes and in the membership. A folder that has a number
    /// already keeps it.
    pub node_id: u64,
    /// How large a segment of the log is, in bytes. A segment is preallocated; a record that
    /// does not fit gets a segment of its own.
    pub segment_bytes: u64,
    /// A sealed segment whose entries a checkpoint covers goes when it is older than this …
    pub retention_age: Duration,
    /// … or when more than this many bytes of the log lie after it.
    pub retention_bytes: u64,
    /// A checkpoint is begun when this many entries were applied since the last one began, or a
    /// sixteenth of `lag_bytes` …
    pub checkpoint_entries: u64,
    /// … and at the latest this long after it, if anything changed.
    pub checkpoint_interval: Duration,
    /// How many bytes of commands may be applied and in no checkpoint yet; each command counts for
    /// 128 bytes at least. It bounds what a start replays. The door is slowed down from an eighth
    /// of it on, ever more, and waits at all of it.
    pub lag_bytes: u64,
    /// How many bytes of applied entries stay in memory for readers of the log. Entries that are
    /// not applied or not flushed stay whatever this says; their number is bounded by
    /// `batch_commands * batches_in_flight` on a leader.
    pub tail_bytes: usize,
    /// redb's page cache for `state.redb`, in bytes.
    pub state_cache_bytes: usize,
    /// redb's page cache for `modules.redb`, in bytes.
    pub module_cache_bytes: usize,
    /// How many operations may wait at the door.
    pub door_operations: usize,
    /// How many bytes of operations may wait at the door. One operation that is larger is let in
    /// alone.
    pub door_bytes: usize,
    /// How long one command may be in the log, in bytes of its encoding; the door refuses what is
    /// longer before anything is written. A submitter's own bounds must lie below.
    pub command_bytes_max: usize,
    /// How long one record of the log may be, in bytes of its body. The log stops the node before
    /// it writes a longer one; what is on disk is read whatever this says.
    pub record_bytes_max: usize,
    /// How many commands one batch holds at most; what is queued beyond is the next batch.
    pub batch_commands: usize,
    /// How many batches may be proposed and not yet applied. What arrives meanwhile queues up
    /// and becomes the next batch, which is what makes group commit work.
    pub batches_in_flight: usize,
    /// How many commands are applied before they are delivered (published and answered).
    pub apply_commands: usize,
    /// How long the door holds back proposals in favour of a guest or a session that lost three
    /// races in a row.
    pub hold_back: Duration,
    /// A batch of the log that took longer than this is counted as slow and logged, as ZooKeeper
    /// does with `fsync.warningthresholdms`.
    pub slow_sync: Duration,
    /// A leader sends heartbeats this often.
    pub heartbeat_interval: Duration,
    /// A follower that hears nothing stands for election after a random time from here …
    pub election_timeout_min: Duration,
    /// … to here. Never below half a second: a busy machine must not lose its leader.
    pub election_timeout_max: Duration,
    /// How long opening may take from the first vote to the last entry applied.
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
            tail_bytes: 8 << 20,
            state_cache_bytes: 64 << 20,
            module_cache_bytes: 8 << 20,
            door_operations: 16_384,
            door_bytes: 64 << 20,
            command_bytes_max: COMMAND_BYTES_LEAST,
            record_bytes_max: MAX_BODY_BYTES,
            batch_commands: 1024,
            batches_in_flight: 4,
            apply_commands: 512,
            hold_back: Duration::from_millis(5),
            slow_sync: Duration::from_secs(1),
            heartbeat_interval: Duration::from_millis(100),
            election_timeout_min: Duration::from_millis(500),
            election_timeout_max: Duration::from_millis(1000),
            open_timeout: Duration::from_secs(300),
        }
    }
}

/// The smallest segment: header, what is carried over, and one small batch.
const MIN_SEGMENT_BYTES: u64 = 4096;
/// The largest segment: offsets inside a segment are kept in 32 bits.
const MAX_SEGMENT_BYTES: u64 = 1 << 30;
/// The smallest bound for a command: everything that a node proposes by itself fits.
const MIN_COMMAND_BYTES: usize = 1024;
/// The smallest election timeout: a busy machine must not look like a dead leader.
const MIN_ELECTION_TIMEOUT: Duration = Duration::from_millis(500);

impl Settings {
    /// Says in one sentence what is wrong with these settings, if anything is.
    pub fn check(&self) -> Result<(), String> {
        let wrong = if !(MIN_SEGMENT_BYTES..=MAX_SEGMENT_BYTES).contains(&self.segment_bytes) {
            Some("segment_bytes must lie between 4096 and 1073741824")
        } else if self.election_timeout_min < MIN_ELECTION_TIMEOUT {
            Some("election_timeout_min must be at least 500 ms")
        } else if self.election_timeout_max <= self.election_timeout_min {
            Some("election_timeout_max must be greater than election_timeout_min")
        } else if self.heartbeat_interval >= self.election_timeout_min {
            Some("heartbeat_interval must be smaller than election_timeout_min")
        } else if self.command_bytes_max < MIN_COMMAND_BYTES {
            Some("command_bytes_max must be at least 1024")
        } else if self.record_bytes_max > MAX_BODY_BYTES {
            Some("record_bytes_max must be at most 1073741824")
        } else if self.command_bytes_max > self.record_bytes_max / 2 {
            Some("command_bytes_max must be at most half of record_bytes_max")
        } else if self.checkpoint_entries == 0
            || self.lag_bytes == 0
            || self.door_operations == 0
            || self.door_bytes == 0
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
