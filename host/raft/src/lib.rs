//! Replication: openraft, our own write-ahead log, checkpoints in redb, and the one door into
//! the log. The only user of openraft and redb.
//!
//! One write, from the server and back to it:
//!
//! 1. The server makes an operation and gives it to the [`Proposals`]. The door's task, on the thread
//!    of openraft, takes what has queued up, stamps the time once, refuses transactions that a
//!    write in flight has doomed, encodes each command once and proposes the batch.
//! 2. openraft appends it to the [`Log`](log::Log). While the fsync thread writes and syncs one
//!    batch, the next ones collect; one sync covers them all.
//! 3. What is durable (on a quorum) is committed and read back from the log's tail in memory.
//!    The [state machine](state::StateMachine) applies it to the tree and hands it to the
//!    server's [`Delivery`], which publishes it and answers.
//! 4. Now and then what changed is written to `state.redb`, in one commit with the log id that
//!    it stands at, by another thread; then the log's old segments may go.
//! 5. After a crash: `state.redb` is read, the log's tail is applied on top, the node elects
//!    itself and serves.
//!
//! A [`Replica`] is all of it for one node. Everything that touches the world goes through
//! `innkeeper_runtime::Runtime`, so the same code runs on a simulated disk that loses power.
//!
//! **Invariant:** nothing is acknowledged before the log's sync has returned, and the first write
//! or sync that fails is the end of the node: after a failed fsync nobody knows what the disk
//! holds. (tests: `a_power_cut_at_any_sync_loses_nothing_that_was_acknowledged`,
//! `a_failed_sync_stops_the_node_with_one_sentence`,
//! `every_acknowledged_write_survives_twenty_kills`)
//!
//! **Invariant:** nothing is written that cannot be read back. The door refuses a command by its
//! encoded size before it is proposed. The log refuses a record above its bound, or a length that
//! its field cannot hold, and that stops the node before anything of the batch is written. No
//! length is narrower than what it counts, and none saturates. (tests:
//! `what_is_not_refused_is_read_back`, `every_kind_straddles_the_bound`,
//! `commands_of_16_mib_are_read_back_and_longer_ones_refused`,
//! `a_transaction_of_more_than_4_gib_is_refused_without_being_encoded`,
//! `a_record_beyond_its_bound_stops_the_log_and_leaves_it_readable`, `sizes_are_what_is_written`,
//! `the_greatest_transaction_is_there_after_a_crash`)

// They panic where nobody reads any more.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod checkpoint_schedule;
mod codec;
mod engine;
mod error;
pub mod histogram;
pub mod log;
mod modules;
mod network;
mod proposals;
mod read_index;
mod replica;
mod settings;
mod startup;
pub mod state;
mod status;
mod types;

use innkeeper_tree::{Applied, Operation};

pub use codec::CodecError;
pub use error::{LogError, OpenError, Refusal, StateError, Unavailable};
pub use modules::ModuleStore;
pub use proposals::{Fitting, Proposals};
pub use replica::Replica;
pub use settings::Settings;
pub use status::{RaftRole, Status};
pub use types::{
    Entry, LeaderId, LogId, Membership, NodeId, Payload, Proposal, SnapshotMeta, StoredMembership,
    Term, TypeConfig, Vote, log_id,
};

/// The server's side: gets what was applied, and what was not let in.
pub trait Delivery: Send + Sync + 'static {
    /// Called after each batch was applied, on openraft's thread, in zxid order. It matches the
    /// batch's events, calls `publish` exactly once (while it holds whatever keeps readers from
    /// seeing the data before the event), and wakes connections. It must not block.
    ///
    /// It is also called for what is replayed when a node opens, before [`Replica::open`]
    /// returns.
    fn deliver(&self, batch: Vec<Applied>, publish: &mut dyn FnMut());

    /// The door refused an operation; nothing was appended for it. Called on openraft's thread
    /// or, when the node is closed, on the caller's.
    fn refused(&self, operation: Operation, refusal: Refusal);
}
