//! Replication: openraft, our own write-ahead log, checkpoints in redb, and the proposals, which
//! are the only way into the log. No other crate uses openraft or redb.
//!
//! How a write passes through this crate:
//!
//! 1. The server makes an operation and submits it to the [`Proposals`].
//!    The proposer's task runs on openraft's thread. It takes all waiting operations as one batch,
//!    adds the time, refuses transactions that a write in flight makes fail, encodes each command
//!    once and proposes the batch.
//! 2. openraft appends the batch to the [`Log`](log::Log). While the fsync thread writes and syncs
//!    one batch, further batches collect; the next sync covers all of them.
//! 3. A batch that is durable on a quorum is committed. The
//!    [state machine](state::StateMachine) reads it from the log's tail in memory, applies it to
//!    the tree and hands the results to the server's [`Delivery`], which publishes and answers.
//! 4. From time to time another thread writes the changes to `state.redb`, in one commit with the
//!    log id that they belong to. Then old segments of the log may be removed.
//! 5. In a group, each node [talks](peer) to the others; a follower's operations go to the leader.
//!    The leader brings Raft's membership to the configuration in the state (`membership`).
//! 6. After a crash the node reads `state.redb`, applies the rest of the log, elects itself and
//!    serves.
//!
//! A [`Replica`] holds all of this for one node. The crate reaches clocks, disks and threads only
//! through `innkeeper_runtime::Runtime`, so the same code runs on a simulated disk that loses
//! power.
//!
//! **Invariant:** nothing is acknowledged before the log's sync has returned, and the first failed
//! write or sync ends the node, because after a failed fsync the content of the disk is unknown.
//! (tests: `a_power_cut_at_any_sync_loses_nothing_that_was_acknowledged`,
//! `a_failed_sync_stops_the_node_with_one_sentence`,
//! `every_acknowledged_write_survives_twenty_kills`)
//!
//! **Invariant:** everything that is written can be read back. The proposals refuse a command that
//! is too long before it is proposed. The log refuses a record above its bound, or a length that
//! its field cannot hold; this stops the node before any part of the batch is written. (tests:
//! `what_is_not_refused_is_read_back`, `every_kind_straddles_the_bound`,
//! `commands_of_16_mib_are_read_back_and_longer_ones_refused`,
//! `a_transaction_of_more_than_4_gib_is_refused_without_being_encoded`,
//! `a_record_beyond_its_bound_stops_the_log_and_leaves_it_readable`, `sizes_are_what_is_written`,
//! `the_greatest_transaction_is_there_after_a_crash`)

// `println!` and its like panic when the reader of the output has closed it.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod checkpoint_schedule;
mod codec;
mod comparison;
mod disk_progress;
mod engine;
mod error;
mod heard_leader;
pub mod histogram;
pub mod log;
mod membership;
mod modules;
pub mod peer;
mod proposals;
mod read_index;
mod replica;
mod settings;
mod standing;
mod startup;
pub mod state;
mod status;
mod types;
mod voting_right;

use bytes::Bytes;
use innkeeper_tree::{Applied, Operation, View};

pub use codec::CodecError;
pub use error::{FetchError, LogError, OpenError, Refusal, StateError, Unavailable};
pub use modules::ModuleStore;
pub use proposals::{Fitting, Proposals};
pub use replica::Replica;
pub use settings::{ELECTION_MS, ELECTION_MS_MIN, Settings};
pub use standing::Standing;
pub use status::{PeerProgress, RaftMembers, RaftRole, Status, Unanswered};
pub use types::{
    Entry, LeaderId, LogId, Membership, NodeId, Origin, Payload, Proposal, SnapshotMeta,
    StoredMembership, Term, TypeConfig, Vote, log_id,
};

/// Implemented by the server: it gets the results of applied commands, and refused operations.
pub trait Delivery: Send + Sync + 'static {
    /// Called after each applied batch, on openraft's thread, in the order of the zxids. It finds
    /// the watchers of the batch's events, calls `publish` exactly once, and wakes connections.
    /// While it calls `publish` it must hold the lock that keeps readers from seeing new data
    /// before the event. It must not block.
    ///
    /// When a node opens it is also called for replayed commands, before [`Replica::open`] returns.
    fn deliver(&self, batch: Vec<Applied>, publish: &mut dyn FnMut());

    /// Called instead of [`Delivery::deliver`] when a snapshot of another node has replaced the
    /// state, on openraft's thread. The state jumps from `before`, which was published last, to
    /// `after`. Nothing is known of the commands in between: no events, and no results, even for
    /// operations that were submitted here. So the delivery ends what relies on every event or
    /// waits for a result, above all the connections of clients, which come back and read anew.
    ///
    /// It calls `publish` exactly once, as for a batch, and must not block. The views are not to
    /// be kept: `before` keeps the whole old state in memory.
    ///
    /// While a node opens nothing is installed.
    fn installed(&self, before: &View, after: &View, publish: &mut dyn FnMut());

    /// Called for a refused operation, for which nothing was appended to the log. It runs on
    /// openraft's thread, or on the submitter's thread if the node is closed.
    fn refused(&self, operation: Operation, refusal: Refusal);

    /// The server of another node asks something beside the log ([`Replica::ask`]). `leads` is true
    /// if this node is the established leader, a quorum has acknowledged it within its lease, and the
    /// other node has acknowledged it lately: a node that gets no log is not in contact with it.
    /// The answer is the body that the other server gets, or a sentence that says why there is
    /// none. It is made on openraft's thread and must not block.
    fn asked(&self, from: NodeId, leads: bool, question: &[u8]) -> Result<Bytes, String> {
        let _ = (from, leads, question);
        Err("this node answers no questions of servers: update it first".to_owned())
    }
}
