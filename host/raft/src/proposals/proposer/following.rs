//! What the proposer does on a follower: it numbers and encodes the operations for the stream to the
//! leader.

use bytes::Bytes;
use innkeeper_runtime::Runtime;
use innkeeper_tree::{Command, Operation, encoding};

use super::Proposer;
use crate::error::Refusal;
use crate::proposals::intake::Holder;
use crate::proposals::outstanding::{Sent, is_leaders_own};
use crate::proposals::{Room, size};
use crate::types::Proposal;

impl<R: Runtime> Proposer<R> {
    /// Hands everything that waits to the stream to the leader.
    pub(super) fn forward(&mut self) {
        let held: Vec<_> = self.fairness.drain().collect();
        let items: Vec<_> = held.into_iter().chain(self.waiting.drain(..)).collect();
        for (operation, holder) in items {
            // Nobody sends to a node that does not lead.
            let Holder::Own(room) = holder else {
                continue;
            };
            if let Some((operation, refusal)) = self.forward_one(operation, room) {
                self.proposals.shared.delivery.refused(operation, refusal);
            }
        }
    }

    /// Gives back an operation that cannot be sent.
    fn forward_one(&mut self, operation: Operation, room: Room) -> Option<(Operation, Refusal)> {
        if is_leaders_own(&operation) {
            return Some((operation, Refusal::NotLeader));
        }
        // The leader sets the time.
        let command = Command {
            time_ms: 0,
            operation,
        };
        let mut encoded = Vec::new();
        encoding::encode_command(&command, &mut encoded);
        let most = self.around.settings.command_bytes_max;
        if let Err(refusal) = size::check(encoded.len(), most) {
            return Some((command.operation, refusal));
        }
        let origin = self.number();
        self.outstanding.push(Sent {
            number: origin.number,
            proposal: Proposal::new(command, Bytes::from(encoded), Some(origin)),
            room,
        });
        None
    }
}
