//! The types that openraft is instantiated with.
//!
//! Standard Raft: at most one leader per term, so a log id is (term, index). The runtime is a
//! parameter, since openraft calls it by static functions.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use innkeeper_runtime::Runtime;
use innkeeper_tree::Command;
use openraft::impls::{BasicNode, BoxedErrorSource, InlineBatch, ProgressResponder, leader_id_std};
use openraft::vote::RaftLeaderId;
use openraft::{EntryPayload, OptionalSend, RaftTypeConfig};

/// The number of a node.
pub type NodeId = u64;
/// A term and the node that got the vote for it.
pub type LeaderId = leader_id_std::LeaderId<u64, NodeId>;
/// The part of a leader's id that log ids hold: the term.
pub type Term = <LeaderId as RaftLeaderId>::Committed;
/// The id of a log entry: its term and index.
pub type LogId = openraft::LogId<Term>;
/// A vote. It is saved before it is sent.
pub type Vote = openraft::Vote<LeaderId>;
/// The content of a log entry: nothing, a proposal or a membership.
pub type Payload = EntryPayload<Proposal, NodeId, BasicNode>;
/// One entry of the log.
pub type Entry = openraft::Entry<Term, Payload>;
/// The nodes of the group: those that vote and those that only get the log.
pub type Membership = openraft::Membership<NodeId, BasicNode>;
/// A membership and the id of the entry that set it.
pub type StoredMembership = openraft::StoredMembership<Term, NodeId, BasicNode>;
/// The last log id and the membership of a snapshot.
pub type SnapshotMeta = openraft::SnapshotMeta<Term, NodeId, BasicNode>;

/// The log id of a term and an index.
pub fn log_id(term: u64, index: u64) -> LogId {
    LogId::new_term_index(term, index)
}

/// The place of a command among those of the node to which it was submitted.
///
/// It stands in the log beside the command. By it a node finds its own operations among those that
/// are applied, whichever node led when they were appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The node to which the operation was submitted.
    pub node: NodeId,
    /// The run of the node: a random number that each start draws.
    pub run: u64,
    /// The number of the operation in this run. Numbers ascend along the log.
    pub number: u64,
}

/// A command in the log, decoded and encoded. Clones share it.
///
/// Invariant: `encoded` is the encoding of `command`. It is made once: when the command is
/// proposed, or when the entry is read from a disk or a peer.
#[derive(Clone)]
pub struct Proposal {
    inner: Arc<Inner>,
}

struct Inner {
    command: Command,
    encoded: Bytes,
    origin: Option<Origin>,
    /// The only term in which the command may be appended; `None` for one that was read.
    bound_to: Option<u64>,
}

impl Proposal {
    /// A command with its encoding, as it is read from a log.
    pub fn new(command: Command, encoded: Bytes, origin: Option<Origin>) -> Self {
        Self {
            inner: Arc::new(Inner {
                command,
                encoded,
                origin,
                bound_to: None,
            }),
        }
    }

    /// A command that is proposed in one term.
    pub(crate) fn bound(command: Command, encoded: Bytes, origin: Origin, term: u64) -> Self {
        Self {
            inner: Arc::new(Inner {
                command,
                encoded,
                origin: Some(origin),
                bound_to: Some(term),
            }),
        }
    }

    /// The operation's place among those of its node. Logs of older releases name none.
    pub fn origin(&self) -> Option<Origin> {
        self.inner.origin
    }

    /// Was this command, as the entry with this id, appended in another term than the one that it
    /// was proposed in? Then the entry does nothing and is stored and sent as a blank one.
    ///
    /// This happens if a leader loses the term and wins a later one while a batch waits for
    /// openraft. By then the batch's nodes may have sent the operations again.
    pub fn is_void(&self, id: &LogId) -> bool {
        let term = **id.committed_leader_id();
        self.inner.bound_to.is_some_and(|bound| bound != term)
    }

    /// The command.
    pub fn command(&self) -> &Command {
        &self.inner.command
    }

    /// The command's encoded bytes, for the log and the peers.
    pub fn encoded(&self) -> &Bytes {
        &self.inner.encoded
    }

    /// The command. It is copied only if there are other clones of the proposal.
    pub fn into_command(self) -> Command {
        match Arc::try_unwrap(self.inner) {
            Ok(inner) => inner.command,
            Err(shared) => shared.command.clone(),
        }
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.command.fmt(f)
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a command of {} bytes", self.inner.encoded.len())
    }
}

/// openraft's type parameters for one runtime.
pub struct TypeConfig<R>(PhantomData<fn() -> R>);

impl<R> Clone for TypeConfig<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for TypeConfig<R> {}

impl<R> Default for TypeConfig<R> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<R> fmt::Debug for TypeConfig<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TypeConfig")
    }
}

impl<R> PartialEq for TypeConfig<R> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<R> Eq for TypeConfig<R> {}

impl<R> PartialOrd for TypeConfig<R> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<R> Ord for TypeConfig<R> {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}

impl<R: Runtime> RaftTypeConfig for TypeConfig<R> {
    type D = Proposal;
    /// Replies come from [`crate::Delivery`], never through openraft.
    type R = ();
    type NodeId = NodeId;
    type Node = BasicNode;
    type Term = u64;
    type LeaderId = LeaderId;
    type Vote = Vote;
    type Payload = Payload;
    type Entry = Entry;
    type AsyncRuntime = R::Raft;
    type Responder<T>
        = ProgressResponder<Self, T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = BoxedErrorSource;
}
