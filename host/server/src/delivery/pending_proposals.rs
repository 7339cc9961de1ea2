//! The proposals that this node made in its own name, and the tasks that wait for them.
//!
//! 1. [`PendingProposals::propose`] draws a ticket, notes the waiting task, and proposes the
//!    operation.
//! 2. The operation is applied. The fan-out finds
//!    [`Outcome::Ticket`](innkeeper_tree::applied::Outcome) and takes the waiter out while it holds
//!    its lock.
//! 3. After the new view is published and the lock is released, the waiter gets its [`Settled`]: a
//!    view taken then holds what the operation did.
//!
//! A session's writes do not come this way: they are numbered, and their results go to the
//! session's outbox.

use innkeeper_raft::{Proposals, Refusal};
use innkeeper_runtime::Runtime;
use innkeeper_tree::applied::TicketResult;
use innkeeper_tree::{Operation, Ticket, Zxid};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

/// The result of a node's own proposal.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The zxid that the operation took.
    pub zxid: Zxid,
    /// The state's time at the operation, in milliseconds since 1970.
    pub time_ms: u64,
    /// What the operation did, or its error.
    pub result: TicketResult,
}

/// Why a proposal has no result here. Either the operation was not appended to the log, or only the
/// state shows whether it was applied.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    /// The operation was not proposed.
    #[error("the proposal was refused: {0}")]
    Refused(Refusal),
    /// The node stops.
    #[error("the node is stopping; try again when it runs")]
    Stopping,
    /// The state of another node has replaced this one's. The operation may be in there.
    #[error(
        "this node has taken over the state of another one, so it does not know whether the operation was applied; look before you try again"
    )]
    Replaced,
}

/// The channel by which a waiting task is told, once the lock is released.
pub(crate) type Waiter = oneshot::Sender<Result<Settled, ProposeError>>;

/// The waiting proposals of this node.
///
/// Invariants:
/// - Every ticket in the map was proposed, or is about to be, and its waiter exists: a waiter that
///   is dropped removes its ticket. So the map is bounded by the number of connections in their
///   handshake, guests in a reaction, and admin requests.
/// - A waiter hears at most once, and only after the view that holds the outcome is published.
#[derive(Debug, Default)]
pub struct PendingProposals {
    waiting: Mutex<FxHashMap<Ticket, Waiter>>,
}

impl PendingProposals {
    /// Proposes the operation that `operation` makes of a fresh ticket, and waits until it was
    /// applied here.
    pub async fn propose<R: Runtime>(
        &self,
        runtime: &R,
        proposals: &Proposals,
        operation: impl FnOnce(Ticket) -> Operation,
    ) -> Result<Settled, ProposeError> {
        let ticket = Ticket(runtime.random_u64());
        let receiver = self.wait_for(ticket);
        let _forget = Forget {
            pending_proposals: self,
            ticket,
        };
        proposals.submit(vec![operation(ticket)]).await;
        receiver.await.unwrap_or(Err(ProposeError::Stopping))
    }

    /// Notes a waiter of a ticket.
    pub(crate) fn wait_for(
        &self,
        ticket: Ticket,
    ) -> oneshot::Receiver<Result<Settled, ProposeError>> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().insert(ticket, sender);
        receiver
    }

    /// Takes out the waiter of a ticket. Most tickets belong to other nodes and have no waiter
    /// here.
    pub(crate) fn take(&self, ticket: Ticket) -> Option<Waiter> {
        self.waiting.lock().remove(&ticket)
    }

    /// Tells all waiters that the node stops.
    pub(crate) fn stop(&self) {
        self.end(|| ProposeError::Stopping);
    }

    /// Tells all waiters that the state was replaced. It must be published.
    pub(crate) fn replaced(&self) {
        self.end(|| ProposeError::Replaced);
    }

    fn end(&self, why: impl Fn() -> ProposeError) {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for (_, waiter) in waiting {
            // The waiting task may have ended; then nobody needs the answer.
            let _ = waiter.send(Err(why()));
        }
    }
}

/// Removes the ticket of a task that stopped waiting.
struct Forget<'a> {
    pending_proposals: &'a PendingProposals,
    ticket: Ticket,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.pending_proposals.waiting.lock().remove(&self.ticket);
    }
}
