//! What the proposer does on the established leader: it puts batches together and proposes them.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use innkeeper_runtime::Runtime;
use innkeeper_tree::Operation;
use openraft::errors::ClientWriteError;

use super::Proposer;
use crate::error::Refusal;
use crate::proposals::batch::{Batch, Stamped};
use crate::proposals::intake::Holder;
use crate::proposals::outstanding::Sent;
use crate::state::weight;
use crate::types::Proposal;

/// The longest wait after one batch. It bounds the delay of clients even if checkpoints are very
/// slow.
const PACED_MOST: Duration = Duration::from_millis(100);

/// How long a leader waits after openraft has refused a batch, because no quorum has acknowledged
/// it for a while.
const WITHOUT_LEASE: Duration = Duration::from_millis(20);

impl<R: Runtime> Proposer<R> {
    /// Proposes a batch of what waits.
    pub(super) async fn propose(&mut self, term: u64, alone: bool) {
        let reader = self.around.state.reader();
        let published = reader.last_zxid();
        let now = self.around.runtime.now();
        for proposal in self.around.state.take_lost() {
            let operation = &proposal.command().operation;
            let footprints = &self.flights.footprints;
            self.fairness
                .lost(operation, footprints, &reader.view(), now);
        }
        self.last_time_ms = self.last_time_ms.max(self.around.runtime.wall_ms());

        let first_zxid = self.flights.next_zxid(published);
        let most = self.around.settings.command_bytes_max;
        let mut batch = Batch::new(self.last_time_ms, first_zxid, most);
        while batch.commands.len() < self.around.settings.batch_commands {
            let footprints = &self.flights.footprints;
            let Some((operation, holder)) = self.fairness.next(&mut self.waiting, footprints, now)
            else {
                break;
            };
            if let Operation::Transaction { transaction, .. } = &operation {
                self.flights.index(&mut batch, published);
                let footprints = &mut self.flights.footprints;
                if footprints.doomed(transaction).is_some() {
                    self.fairness
                        .lost(&operation, footprints, &reader.view(), now);
                    drop(holder);
                    let delivery = &self.proposals.shared.delivery;
                    delivery.refused(operation, Refusal::Doomed);
                    continue;
                }
            }
            if let Some((operation, refusal)) = batch.push(operation, holder) {
                self.proposals.shared.delivery.refused(operation, refusal);
            }
        }
        if !batch.commands.is_empty() {
            self.send(batch, term, alone).await;
        }
    }

    /// Proposes a batch in a term.
    async fn send(&mut self, batch: Batch, term: u64, alone: bool) {
        let (first_zxid, indexed) = (batch.first_zxid, batch.indexed);
        let first_number = self.next_number;
        let mut proposals = Vec::with_capacity(batch.commands.len());
        let mut peers = Vec::new();
        let mut batch_weight = 0;
        for stamped in batch.into_stamped() {
            let Stamped {
                command,
                encoded,
                holder,
            } = stamped;
            batch_weight += weight(encoded.len());
            self.around.stats.proposed(encoded.len() as u64);
            let origin = match &holder {
                Holder::Own(_) => self.number(),
                Holder::Peer(origin) => *origin,
            };
            let proposal = Proposal::bound(command, encoded, origin, term);
            proposals.push(proposal.clone());
            match holder {
                Holder::Own(room) => self.outstanding.push(Sent {
                    number: origin.number,
                    proposal,
                    room,
                }),
                peer @ Holder::Peer(_) => peers.push((proposals.len() - 1, peer)),
            }
        }
        self.pace(batch_weight);
        let raft = self.around.raft.clone();
        let written = raft.client_write_many(proposals.iter().cloned()).await;
        let mut results = match written {
            Ok(results) => results,
            Err(fatal) => return self.stopped(&fatal.to_string(), first_number),
        };
        self.flights
            .push(proposals, batch_weight, first_zxid, indexed);
        if alone {
            return;
        }
        // openraft takes its messages in order: after this one it has appended the batch, or has
        // refused it as a whole.
        if let Err(fatal) = raft.with_raft_state(|_| ()).await {
            self.around.failure.fail(fatal.to_string());
            return;
        }
        let first = results.next().now_or_never();
        if let Some(Some(Ok(Err(ClientWriteError::ForwardToLeader(_))))) = first {
            self.take_back(first_number, peers);
        }
    }

    /// Notes a batch that goes into the log.
    fn pace(&mut self, weight: u64) {
        let now = self.around.runtime.now();
        let lag = &self.around.checkpointer.lag;
        let pause = lag.pace(weight, self.flights.weight());
        self.paced = pause.map(|pause| {
            let from = self.paced.filter(|paced| *paced > now).unwrap_or(now);
            from + pause.min(PACED_MOST)
        });
    }

    /// A batch was not appended: it waits again, before everything else.
    fn take_back(&mut self, first_number: u64, peers: Vec<(usize, Holder)>) {
        let proposals = self.flights.take_back();
        let mut own = self.outstanding.take_from(first_number);
        let mut peers = peers.into_iter().peekable();
        let mut back = Vec::with_capacity(proposals.len());
        for (place, proposal) in proposals.into_iter().enumerate() {
            let holder = match peers.next_if(|(of, _)| *of == place) {
                Some((_, peer)) => Some(peer),
                None => own.pop_front().map(|sent| {
                    drop(sent.proposal);
                    Holder::Own(sent.room)
                }),
            };
            if let Some(holder) = holder {
                back.push((proposal.into_command().operation, holder));
            }
        }
        for item in back.into_iter().rev() {
            self.waiting.push_front(item);
        }
        self.next_number = first_number;
        self.lapsed = Some(self.around.runtime.now() + WITHOUT_LEASE);
    }

    /// openraft has stopped before it took the batch.
    fn stopped(&mut self, fatal: &str, first_number: u64) {
        let sentence = self.around.failure.fail(fatal);
        for sent in self.outstanding.take_from(first_number) {
            let operation = sent.proposal.into_command().operation;
            let delivery = &self.proposals.shared.delivery;
            delivery.refused(operation, Refusal::Stopped(sentence.clone()));
        }
    }
}
