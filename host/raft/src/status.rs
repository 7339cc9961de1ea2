//! The status of a node: its role, log and checkpoints at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::log::LogStatus;

/// The role of a node in its Raft group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaftRole {
    /// The node leads the group.
    Leader,
    /// The node follows a leader.
    Follower,
    /// The node stands for election.
    Candidate,
    /// The node gets the log and has no vote.
    Learner,
    /// The node has stopped.
    Stopped,
}

/// The nodes of Raft's membership in the newest entry of the log that sets one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RaftMembers {
    /// The nodes that vote. Within a change these are the voters before and after it.
    pub voters: BTreeSet<u64>,
    /// The nodes that only get the log.
    pub learners: BTreeSet<u64>,
    /// Is a change of the voters under way?
    pub changes: bool,
}

/// The appends that were sent to one node, and to which it has not answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unanswered {
    /// How many appends these are.
    pub requests: usize,
    /// The entries in them.
    pub entries: usize,
    /// Their encoded bytes.
    pub bytes: usize,
}

/// How far another member has come, as the leader knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PeerProgress {
    /// How many entries the member has acknowledged, counted from the log's beginning.
    pub has: u64,
    /// How many entries the leader has and the member has not acknowledged.
    pub lacks: u64,
    /// The age of the member's last acknowledgement; `None` if there was none since this node leads.
    pub heard: Option<Duration>,
}

/// A node's state at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The number of this node.
    pub node_id: u64,
    /// The node's role.
    pub role: RaftRole,
    /// The number of the leader, if the node knows one.
    pub leader: Option<u64>,
    /// The current term.
    pub term: u64,
    /// Index of the last entry in the log.
    pub last_log: Option<u64>,
    /// Index of the last entry known to be committed.
    pub committed: Option<u64>,
    /// The nodes of Raft's membership.
    pub members: RaftMembers,
    /// Index of the last entry applied and published.
    pub applied: Option<u64>,
    /// The term of that entry.
    pub applied_term: Option<u64>,
    /// Index of the last entry in `state.redb`; `None` before the first checkpoint.
    pub checkpoint: Option<u64>,
    /// Bytes of commands that are applied and not yet in `state.redb`. Each counts for at least 128.
    pub lag_bytes: u64,
    /// What this node has sent to others as their leader, and has no answer to, by node.
    pub unanswered: BTreeMap<u64, Unanswered>,
    /// The nodes that this node has dialed in vain for
    /// [`unreached_after`](crate::peer::PeerSettings::unreached_after).
    pub unreached: BTreeSet<u64>,
    /// Read indexes that callers wait for: clients of this node, and other nodes that it leads.
    pub read_indexes: usize,
    /// How many entries were applied from the log when the node opened.
    pub replayed: u64,
    /// The longest poll of a task on the raft thread since the process started. Nothing else runs
    /// there meanwhile.
    pub longest_poll: Duration,
    /// How many syncs, of files and folders, the disk has done since the process started.
    pub syncs: u64,
    /// The log's segments.
    pub log: LogStatus,
    /// Why the node has failed, if it has.
    pub failure: Option<String>,
}
