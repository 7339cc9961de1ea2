//! What other nodes have sent to this one while it leads.
//!
//! A node sends its operations to the leader in one stream for each term, in their order and with
//! their numbers. A stream that broke is opened again in the same term; then the leader names the
//! last number that it has taken, and the node goes on behind it. So nothing is taken twice in one
//! term, and nothing is left out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use innkeeper_tree::Operation;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Room;
use crate::types::{NodeId, Origin};

/// How many operations of one node may wait here. Its stream waits while they are more.
const WAITING_MAX: usize = 4096;
/// How many bytes of operations of one node may wait here. One operation may go beyond it.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// Whose an operation is.
pub(crate) enum Holder {
    /// This node's, with its room in the queue.
    Own(Room),
    /// Another node's.
    Peer(Origin),
}

/// An operation that another node has sent.
pub(crate) struct Forwarded {
    pub(crate) number: u64,
    pub(crate) operation: Operation,
    /// The bytes that it came in.
    pub(crate) bytes: usize,
}

/// The operations of other nodes. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Intake {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Something has arrived, for the proposer.
    arrived: Notify,
    /// Something was taken out, for the streams that wait.
    taken_out: Notify,
}

#[derive(Default)]
struct State {
    /// Does this node take operations?
    takes: bool,
    /// The term to which everything here belongs.
    term: u64,
    /// The last number taken of each node's run in this term.
    taken: BTreeMap<(NodeId, u64), u64>,
    queues: BTreeMap<NodeId, Queue>,
    /// The node after which the next turn begins.
    last_turn: NodeId,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(Origin, Forwarded)>,
    bytes: usize,
}

impl Queue {
    fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_MAX && self.bytes < WAITING_BYTES_MAX
    }
}

impl Intake {
    /// From now on operations are taken in this term, or in none. What waits from an older term is
    /// dropped, because its node sends it again.
    pub(super) fn set_term(&self, term: Option<u64>) {
        let mut state = self.shared.state.lock();
        state.takes = term.is_some();
        if let Some(term) = term.filter(|term| *term != state.term) {
            *state = State {
                takes: true,
                term,
                ..State::default()
            };
        }
        drop(state);
        self.shared.taken_out.notify_waiters();
    }

    /// A node opens its stream. Returns the last number that was taken in this term, or a sentence
    /// if this node does not take operations in this term.
    pub(crate) fn open(&self, node: NodeId, run: u64, term: u64) -> Result<u64, String> {
        let mut state = self.shared.state.lock();
        if !state.takes || state.term != term {
            return Err(format!("this node does not take operations in term {term}"));
        }
        Ok(*state.taken.entry((node, run)).or_insert(0))
    }

    /// Takes operations of a node's run. The error means that the term is over.
    pub(crate) fn push(
        &self,
        node: NodeId,
        run: u64,
        term: u64,
        operations: Vec<Forwarded>,
    ) -> Result<(), String> {
        let mut state = self.shared.state.lock();
        if !state.takes || state.term != term {
            return Err(format!("term {term} is over for this node"));
        }
        let state = &mut *state;
        let taken = state.taken.entry((node, run)).or_insert(0);
        let queue = state.queues.entry(node).or_default();
        for forwarded in operations {
            if forwarded.number <= *taken {
                return Err(format!(
                    "node {node} sends its operation {} again",
                    forwarded.number
                ));
            }
            *taken = forwarded.number;
            queue.bytes += forwarded.bytes;
            let number = forwarded.number;
            queue
                .waiting
                .push_back((Origin { node, run, number }, forwarded));
        }
        self.shared.arrived.notify_one();
        Ok(())
    }

    /// Waits until there is room for operations of a node.
    pub(crate) async fn room(&self, node: NodeId) {
        loop {
            let mut changed = std::pin::pin!(self.shared.taken_out.notified());
            changed.as_mut().enable();
            {
                let state = self.shared.state.lock();
                if state.queues.get(&node).is_none_or(Queue::has_room) {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Waits until something has arrived.
    pub(super) async fn arrived(&self) {
        self.shared.arrived.notified().await;
    }

    /// How many nodes have operations here.
    pub(super) fn nodes_waiting(&self) -> usize {
        let state = self.shared.state.lock();
        let queues = state.queues.values();
        queues.filter(|queue| !queue.waiting.is_empty()).count()
    }

    /// Takes up to `each` operations of each node, the nodes in turn, and up to `most` together.
    pub(super) fn take(&self, each: usize, most: usize) -> Vec<(Operation, Holder)> {
        let mut state = self.shared.state.lock();
        let mut taken = Vec::new();
        let after: Vec<_> = {
            let last = state.last_turn;
            let nodes = state.queues.keys().copied();
            let (before, after): (Vec<_>, Vec<_>) = nodes.partition(|node| *node <= last);
            after.into_iter().chain(before).collect()
        };
        for node in after {
            let Some(queue) = state.queues.get_mut(&node) else {
                continue;
            };
            let mut of_node = 0;
            while of_node < each && taken.len() < most {
                let Some((origin, forwarded)) = queue.waiting.pop_front() else {
                    break;
                };
                queue.bytes -= forwarded.bytes;
                taken.push((forwarded.operation, Holder::Peer(origin)));
                of_node += 1;
            }
            if of_node > 0 {
                state.last_turn = node;
            }
        }
        drop(state);
        if !taken.is_empty() {
            self.shared.taken_out.notify_waiters();
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(numbers: std::ops::Range<u64>) -> Vec<Forwarded> {
        numbers
            .map(|number| Forwarded {
                number,
                operation: Operation::RaiseLevel { level: 1 },
                bytes: 10,
            })
            .collect()
    }

    fn origins(taken: &[(Operation, Holder)]) -> Vec<(NodeId, u64)> {
        let origin = |holder: &Holder| match holder {
            Holder::Peer(origin) => (origin.node, origin.number),
            Holder::Own(_) => panic!("nothing here is this node's own"),
        };
        taken.iter().map(|(_, holder)| origin(holder)).collect()
    }

    #[test]
    fn nodes_take_turns_and_each_keeps_its_order() {
        let intake = Intake::default();
        intake.set_term(Some(3));
        for node in [2, 3] {
            assert_eq!(intake.open(node, 7, 3), Ok(0));
            intake.push(node, 7, 3, forwarded(1..4)).unwrap();
        }
        assert_eq!(intake.nodes_waiting(), 2);
        assert_eq!(origins(&intake.take(2, 3)), [(2, 1), (2, 2), (3, 1)]);
        assert_eq!(origins(&intake.take(2, 9)), [(2, 3), (3, 2), (3, 3)]);
        assert!(intake.take(2, 9).is_empty());
    }

    #[test]
    fn a_stream_that_broke_goes_on_behind_what_was_taken() {
        let intake = Intake::default();
        intake.set_term(Some(3));
        intake.push(2, 7, 3, forwarded(1..6)).unwrap();
        assert_eq!(intake.open(2, 7, 3), Ok(5));
        assert!(intake.push(2, 7, 3, forwarded(5..7)).is_err(), "5 again");
        // Another run of the node begins anew, and so does another term.
        assert_eq!(intake.open(2, 8, 3), Ok(0));
        intake.set_term(Some(4));
        assert_eq!(intake.open(2, 7, 4), Ok(0));
        assert!(intake.take(9, 9).is_empty(), "its node sends it again");
        assert!(intake.push(2, 7, 3, forwarded(7..8)).is_err());
        // A leader that is none for a moment has not forgotten what it has taken.
        intake.push(2, 7, 4, forwarded(7..9)).unwrap();
        intake.set_term(None);
        assert!(intake.open(2, 7, 4).is_err());
        intake.set_term(Some(4));
        assert_eq!(intake.open(2, 7, 4), Ok(8));
        assert_eq!(origins(&intake.take(9, 9)), [(2, 7), (2, 8)]);
    }
}
