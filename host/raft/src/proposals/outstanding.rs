//! This node's own operations that were sent and are not applied here yet.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use innkeeper_tree::Operation;
use innkeeper_tree::group::GroupChange;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Room;
use crate::types::Proposal;

/// An operation that was sent.
pub(crate) struct Sent {
    pub(crate) number: u64,
    pub(crate) proposal: Proposal,
    pub(crate) room: Room,
}

/// The operations that were sent in one term, in the order of their numbers. Clones share them.
///
/// Invariants:
/// - All were sent in the same term: nothing is sent in a term before the first entry of this term
///   is applied here, and then nothing of an older term is left.
/// - Each keeps its room in the queue, which bounds them.
#[derive(Clone, Default)]
pub(crate) struct Outstanding {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    sent: Mutex<VecDeque<Sent>>,
    /// Something was added, for the stream to the leader.
    added: Notify,
}

impl Outstanding {
    pub(super) fn push(&self, sent: Sent) {
        self.shared.sent.lock().push_back(sent);
        self.shared.added.notify_one();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shared.sent.lock().is_empty()
    }

    /// The first number that is not applied.
    pub(crate) fn first(&self) -> Option<u64> {
        self.shared.sent.lock().front().map(|sent| sent.number)
    }

    /// Operations up to a number are applied: their room is given back.
    pub(super) fn applied(&self, upto: u64) {
        let mut rooms: Option<Room> = None;
        let mut sent = self.shared.sent.lock();
        while let Some(first) = sent.pop_front_if(|first| first.number <= upto) {
            match &mut rooms {
                Some(all) => all.join(first.room),
                None => rooms = Some(first.room),
            }
        }
        drop(sent);
    }

    /// Takes out everything from a number on, in order.
    pub(super) fn take_from(&self, number: u64) -> VecDeque<Sent> {
        let mut sent = self.shared.sent.lock();
        let kept = sent.partition_point(|sent| sent.number < number);
        sent.split_off(kept)
    }

    /// The encoded commands after a number, up to about so many bytes.
    pub(crate) fn after(&self, number: u64, bytes_max: usize) -> Vec<(u64, Bytes)> {
        let sent = self.shared.sent.lock();
        let from = sent.partition_point(|sent| sent.number <= number);
        let mut bytes = 0;
        let within = sent.range(from..).take_while(|sent| {
            let fits = bytes < bytes_max;
            bytes += sent.proposal.encoded().len();
            fits
        });
        within
            .map(|sent| (sent.number, sent.proposal.encoded().clone()))
            .collect()
    }

    /// Waits until something was added.
    pub(crate) async fn added(&self) {
        self.shared.added.notified().await;
    }
}

/// May an operation be sent again in another term? What only a leader decides is dropped instead:
/// it was right in the leader's own term only.
pub(crate) fn is_leaders_own(operation: &Operation) -> bool {
    match operation {
        Operation::ExpireSession { .. } => is_expiry(operation),
        Operation::Sweep(_)
        | Operation::Activate { .. }
        | Operation::Transaction { .. }
        | Operation::RaiseLevel { .. }
        | Operation::Group(GroupChange::Found { .. } | GroupChange::Admit { .. }) => true,
        Operation::CreateSession { .. }
        | Operation::Reattach { .. }
        | Operation::Session { .. }
        | Operation::Admin { .. }
        | Operation::RegisterModule { .. }
        | Operation::Group(GroupChange::Configure { .. }) => false,
    }
}

/// Is it the end of a silent session? The next leader owes the session its full timeout, even if the
/// same node is the next one, and apply does not know of it.
///
/// With the cfg below an expiry is sent again, and a test must fail.
pub(crate) fn is_expiry(operation: &Operation) -> bool {
    cfg!(not(innkeeper_break = "stale-expiry"))
        && matches!(operation, Operation::ExpireSession { .. })
}
