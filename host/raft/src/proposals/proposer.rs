//! The proposer: the task through which everything passes on its way into the log.
//!
//! On the established leader it proposes batches. On a follower it numbers and encodes the
//! operations, and a [stream](crate::peer) takes them to the leader. Otherwise they wait.
//!
//! What was sent in one term is settled by the first applied entry of a newer one: by then it was
//! applied here, or it never will be. What is left goes out again, in order, except what only a
//! leader decides, which is refused.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use innkeeper_runtime::{
    AbortOnDrop, Instant, Latest, Runtime, Select2, Select4, Signal, ThreadRole, select2, select4,
};
use innkeeper_tree::{Command, Operation, encoding};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::ClientWriteError;
use openraft::metrics::RaftServerMetrics;
use openraft::type_config::alias::WatchReceiverOf;
use tokio::sync::mpsc;

use super::batch::{Batch, Stamped};
use super::fairness::Fairness;
use super::flights::Flights;
use super::intake::{Holder, Intake};
use super::outstanding::{Outstanding, Sent, is_leaders_own};
use super::{Proposals, Room, Submission, size};
use crate::engine::RaftOf;
use crate::error::{Failure, Refusal};
use crate::histogram::RaftStats;
use crate::log::Log;
use crate::peer::{Forwarder, Peers};
use crate::settings::Settings;
use crate::standing::Standing;
use crate::state::{Checkpointer, Progress, StateShared, weight};
use crate::types::{LogId, NodeId, Origin, Proposal, TypeConfig};

/// The proposer does not wait for less than this: timers are not finer, and clients do not notice.
const PACED_AHEAD: Duration = Duration::from_millis(1);

/// The longest wait after one batch. It bounds the delay of clients even if checkpoints are very
/// slow.
const PACED_MOST: Duration = Duration::from_millis(100);

/// How long a leader waits after openraft has refused a batch, because no quorum has acknowledged
/// it for a while.
const WITHOUT_LEASE: Duration = Duration::from_millis(20);

/// How long a member of a group that is closed waits for what is in flight. Without a quorum it
/// would wait for ever.
const CLOSING: Duration = Duration::from_secs(3);

/// An operation with whose it is.
type Item = (Operation, Holder);

/// What the proposer works with.
pub(crate) struct Around<R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) raft: RaftOf<R>,
    pub(crate) peers: Peers<R>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) state: Arc<StateShared>,
    /// The proposer waits while its disk falls behind what the others commit.
    pub(crate) log: Log<R>,
    /// The proposer is slowed down to the speed at which `state.redb` can follow.
    pub(crate) checkpointer: Checkpointer,
    pub(crate) failure: Failure,
    /// What other nodes send while this one leads.
    pub(crate) intake: Intake,
    pub(crate) stats: Arc<RaftStats>,
    /// Told when the standing changes.
    pub(crate) standing: Latest<Standing>,
    pub(crate) stop: Signal,
}

/// The proposer's task.
///
/// Invariants:
/// - Operations of this node are sent in the order in which they came, and so are those of another
///   node. A batch that openraft refused goes out again before anything else.
/// - At most `batches_in_flight` batches of at most `batch_commands` commands are in flight.
/// - Nothing is proposed while entries of `held_bytes` are in memory and some wait for this node's
///   sync. They are applied when the others have them, so they are in flight no longer. (test:
///   `what_others_have_committed_and_a_leader_has_not_synced_is_bounded`)
pub(crate) struct Proposer<R: Runtime> {
    around: Around<R>,
    proposals: Proposals,
    queue: mpsc::Receiver<Submission>,
    /// This node and its run.
    own: (NodeId, u64),
    next_number: u64,
    standing: Standing,
    /// openraft's word on votes and members. It counts as seen when the standing was judged by it.
    server: WatchReceiverOf<TypeConfig<R>, RaftServerMetrics<TypeConfig<R>>>,
    /// The last applied entry by which the standing was judged.
    judged: Option<LogId>,
    /// The term of the last applied entry that was looked at.
    term: u64,
    /// The snapshots installed when the progress was looked at last.
    installed: u64,
    /// What waits to be sent.
    waiting: VecDeque<Item>,
    fairness: Fairness,
    outstanding: Outstanding,
    flights: Flights,
    /// The stream to the leader that this node follows.
    forwarding: Option<AbortOnDrop<()>>,
    /// The time at which the proposed batches are over at the checkpoints' speed.
    paced: Option<Instant>,
    /// Nothing is proposed before this time, for want of a lease.
    lapsed: Option<Instant>,
    last_time_ms: u64,
}

enum Event {
    More(Submission),
    Look,
    Stop,
}

impl<R: Runtime> Proposer<R> {
    pub(crate) fn new(
        around: Around<R>,
        proposals: Proposals,
        queue: mpsc::Receiver<Submission>,
    ) -> Self {
        let runtime = &around.runtime;
        let own = (around.settings.node_id, runtime.random_u64());
        around.state.set_own(own.0, own.1);
        Self {
            proposals,
            queue,
            own,
            next_number: 1,
            standing: Standing::Waits,
            server: around.raft.server_metrics(),
            judged: None,
            term: 0,
            installed: 0,
            waiting: VecDeque::new(),
            fairness: Fairness::new(around.settings.hold_back),
            outstanding: Outstanding::default(),
            flights: Flights::new(runtime.random_u64()),
            forwarding: None,
            paced: None,
            lapsed: None,
            last_time_ms: 0,
            around,
        }
    }

    /// Runs until the node is closed or fails. At its end everything that was not sent was refused.
    /// If the node was closed in order, everything that was sent is applied, unless a group has no
    /// quorum.
    pub(crate) async fn run(mut self) {
        loop {
            self.look();
            self.take_queued();
            if self.has_work() {
                match self.standing {
                    Standing::Leads { term, alone } if self.may_propose() => {
                        self.propose(term, alone).await;
                        continue;
                    }
                    Standing::Follows { .. } => {
                        self.forward();
                        continue;
                    }
                    Standing::Leads { .. } | Standing::Waits => {}
                }
            }
            match self.wait().await {
                Event::More(submission) => self.admit(submission),
                Event::Look => {}
                Event::Stop => break,
            }
        }
        self.end().await;
    }

    fn admit(&mut self, submission: Submission) {
        let own = submission.operations.into_iter();
        self.waiting
            .extend(own.map(|(operation, room)| (operation, Holder::Own(room))));
    }

    fn has_work(&self) -> bool {
        !self.waiting.is_empty() || self.fairness.is_due(self.around.runtime.now())
    }

    /// Fills up what waits to a whole batch, from this node's queue and from the other nodes in
    /// turn.
    fn take_queued(&mut self) {
        let most = self.around.settings.batch_commands;
        let nodes = match self.standing {
            Standing::Leads { .. } => self.around.intake.nodes_waiting(),
            Standing::Waits | Standing::Follows { .. } => 0,
        };
        let each = (most / (nodes + 1)).max(1);
        let mut own = 0;
        while self.waiting.len() < most && (nodes == 0 || own < each) {
            match self.queue.try_recv() {
                Ok(submission) => {
                    own += submission.operations.len();
                    self.admit(submission);
                }
                Err(_) => break,
            }
        }
        if nodes > 0 && self.waiting.len() < most {
            let room = most - self.waiting.len();
            self.waiting.extend(self.around.intake.take(each, room));
        }
    }

    /// Looks at what was applied and at what this node is by now.
    fn look(&mut self) {
        let progress = self.around.state.progress();
        self.outstanding.applied(progress.own);
        if progress.installed != self.installed {
            self.installed = progress.installed;
            // It may be in the snapshot, so it must not go out again, and nothing tells which of
            // it is. The delivery has heard of the snapshot.
            drop(self.outstanding.take_from(0));
            self.flights.clear();
        }
        let term = self.settled(&progress);
        if term > self.term {
            self.term = term;
            self.settle();
        }
        self.flights.landed(progress.zxid);
        let is_new = self.server.changed().now_or_never().is_some();
        if !is_new && progress.applied == self.judged {
            return;
        }
        self.judged = progress.applied;
        let standing = Standing::of(&self.around.raft, progress.applied);
        if standing != self.standing {
            self.stand(standing);
        }
    }

    /// The term whose first entry is applied: all operations of older terms are settled.
    ///
    /// With the cfg below they count as settled as soon as another node votes in a newer term, so
    /// that some are sent again although they are applied later, and a test must fail.
    fn settled(&self, progress: &Progress) -> u64 {
        if cfg!(innkeeper_break = "early-resend") {
            let metrics = self.around.raft.server_metrics();
            return metrics.borrow_watched().vote.leader_id.term;
        }
        progress.applied.map_or(0, |id| **id.committed_leader_id())
    }

    /// The first entry of a newer term is applied: what was sent before and is not applied never
    /// will be.
    fn settle(&mut self) {
        self.flights.clear();
        self.lapsed = None;
        // What other nodes have sent in an older term they send again.
        let is_own = |item: &Item| matches!(item.1, Holder::Own(_));
        let held: Vec<_> = self.fairness.drain().filter(is_own).collect();
        self.waiting.retain(is_own);
        let lost = self.outstanding.take_from(0);
        let lost = lost.into_iter().map(|sent| {
            (
                sent.proposal.into_command().operation,
                Holder::Own(sent.room),
            )
        });
        let again: Vec<_> = lost.chain(held).collect();
        for (operation, holder) in again.into_iter().rev() {
            if is_leaders_own(&operation) {
                self.proposals
                    .shared
                    .delivery
                    .refused(operation, Refusal::NotLeader);
            } else {
                self.waiting.push_front((operation, holder));
            }
        }
    }

    /// This node is something else from now on.
    fn stand(&mut self, standing: Standing) {
        self.standing = standing;
        self.around.standing.set(standing);
        self.forwarding = None;
        let leads = match standing {
            Standing::Leads { term, .. } => Some(term),
            Standing::Waits | Standing::Follows { .. } => None,
        };
        self.around.intake.set_term(leads);
        if let Standing::Follows { term, leader } = standing {
            let forwarder = Forwarder {
                peers: self.around.peers.clone(),
                leader,
                term,
                run: self.own.1,
                outstanding: self.outstanding.clone(),
            };
            let runtime = &self.around.runtime;
            let task = runtime.spawn(ThreadRole::Raft, forwarder.run());
            self.forwarding = Some(task.abort_on_drop());
        }
    }

    /// Is the lag of the checkpoints at its bound, or what the log has not synced?
    fn is_behind(&self) -> bool {
        let Around {
            checkpointer, log, ..
        } = &self.around;
        checkpointer.lag.is_full(self.flights.weight()) || log.is_full(0)
    }

    /// The time until which the proposer must wait, because of its pace or for a lease.
    fn paced(&self) -> Option<Instant> {
        let now = self.around.runtime.now();
        let paced = self.paced.filter(|paced| *paced > now + PACED_AHEAD);
        let lapsed = self.lapsed.filter(|lapsed| *lapsed > now);
        paced.into_iter().chain(lapsed).max()
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

    fn may_propose(&self) -> bool {
        matches!(self.standing, Standing::Leads { .. })
            && self.flights.len() < self.around.settings.batches_in_flight
            && !self.is_behind()
            && self.paced().is_none()
            && self.around.failure.get().is_none()
    }

    async fn wait(&mut self) -> Event {
        // Other threads make room, perhaps since the last look: first this listens, then it looks.
        let log = self.around.log.clone();
        let settles = log.settles();
        let seen = self.around.checkpointer.durable.get();
        let hungry = self.waiting.is_empty();
        if !hungry && self.may_propose() {
            return Event::Look;
        }
        let leads = matches!(self.standing, Standing::Leads { .. });
        let behind = self.is_behind();
        // If nothing can be proposed, the end of a batch in flight wakes the task anyway.
        let held = self.fairness.deadline();
        let paced = (!hungry || held.is_some()).then(|| self.paced()).flatten();
        let held = held.filter(|_| self.may_propose());
        let deadline = [held, paced].into_iter().flatten().min();
        let Around {
            runtime,
            state,
            checkpointer,
            failure,
            intake,
            stop,
            ..
        } = &self.around;
        let queue = &mut self.queue;
        let more = async {
            match hungry {
                true => queue.recv().await,
                false => pending().await,
            }
        };
        let others = async {
            match hungry && leads {
                true => intake.arrived().await,
                false => pending().await,
            }
        };
        // A change that came after the last look ends the wait at once.
        let mut server = self.server.clone();
        let changed = async {
            let moved = async {
                if server.changed().await.is_err() {
                    pending::<()>().await;
                }
            };
            select2(state.advanced.notified(), moved).await;
        };
        let due = async {
            let room = async {
                match behind {
                    true => {
                        let checkpoint = checkpointer.durable.wait_for(|now| *now != seen);
                        select2(checkpoint, settles).await;
                    }
                    false => pending().await,
                }
            };
            let time_comes = async {
                match deadline {
                    Some(at) => runtime.sleep_until(at).await,
                    None => pending().await,
                }
            };
            select2(room, time_comes).await;
        };
        let end = async {
            select2(stop.wait(), failure.failed()).await;
        };
        match select4(end, select2(changed, others), more, due).await {
            Select4::First(()) | Select4::Third(None) => Event::Stop,
            Select4::Third(Some(submission)) => Event::More(submission),
            Select4::Second(_) | Select4::Fourth(()) => Event::Look,
        }
    }

    async fn propose(&mut self, term: u64, alone: bool) {
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

    fn number(&mut self) -> Origin {
        let number = self.next_number;
        self.next_number += 1;
        let (node, run) = self.own;
        Origin { node, run, number }
    }

    /// Hands everything that waits to the stream to the leader.
    fn forward(&mut self) {
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

    async fn end(mut self) {
        self.proposals.close();
        self.queue.close();
        let mut rest: VecDeque<_> = self.fairness.drain().collect();
        rest.append(&mut self.waiting);
        while let Ok(submission) = self.queue.try_recv() {
            let own = submission.operations.into_iter();
            rest.extend(own.map(|(operation, room)| (operation, Holder::Own(room))));
        }
        for (operation, holder) in rest {
            if let Holder::Own(_) = holder {
                self.proposals.refuse(operation);
            }
        }
        let alone = matches!(self.standing, Standing::Leads { alone: true, .. });
        let until = self.around.runtime.now() + CLOSING;
        while !self.outstanding.is_empty() && self.around.failure.get().is_none() {
            let state = self.around.state.clone();
            let limit = async {
                match alone {
                    true => pending().await,
                    false => self.around.runtime.sleep_until(until).await,
                }
            };
            let failed = self.around.failure.failed();
            match select2(select2(failed, limit), state.advanced.notified()).await {
                Select2::First(_) => return,
                Select2::Second(()) => {
                    let Progress { own, .. } = state.progress();
                    self.outstanding.applied(own);
                }
            }
        }
    }
}
