//! What a node says about itself.

use crate::log::LogStatus;

/// What a node is in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaftRole {
    /// It leads.
    Leader,
    /// It follows a leader.
    Follower,
    /// It stands for election.
    Candidate,
    /// It listens and does not vote.
    Learner,
    /// It has stopped.
    Stopped,
}

/// A node's state at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// This node.
    pub node_id: u64,
    /// What it is.
    pub role: RaftRole,
    /// Who leads, as far as it knows.
    pub leader: Option<u64>,
    /// The current term.
    pub term: u64,
    /// Index of the last entry in the log.
    pub last_log: Option<u64>,
    /// Index of the last entry known to be committed.
    pub committed: Option<u64>,
    /// Index of the last entry applied and published.
    pub applied: Option<u64>,
    /// Index that `state.redb` stands at.
    pub checkpoint: Option<u64>,
    /// How many entries were applied from the log when the node opened.
    pub replayed: u64,
    /// How many syncs, of files and folders, the disk has done since the process started.
    pub syncs: u64,
    /// The log's segments.
    pub log: LogStatus,
    /// Why the node has failed, if it has.
    pub failure: Option<String>,
}
