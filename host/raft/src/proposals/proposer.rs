//! The proposer: the task that takes batches out of the queue and proposes them.

use std::collections::VecDeque;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use innkeeper_runtime::{Instant, Runtime, Select2, Select4, Signal, select2, select4};
use innkeeper_tree::footprint::InFlight;
use innkeeper_tree::{Command, Operation, Zxid, encoding};
use openraft::Raft;
use openraft::errors::ClientWriteError;
use tokio::sync::mpsc;

use super::fairness::Fairness;
use super::{Proposals, Room, Submission, size};
use crate::error::{Failure, Refusal};
use crate::settings::Settings;
use crate::state::{Checkpointer, StateMachine, StateShared, weight};
use crate::types::{Proposal, TypeConfig};

/// The proposer does not wait for less than this: timers are not finer, and clients do not notice.
const PACED_AHEAD: Duration = Duration::from_millis(1);

/// The longest wait after one batch. It bounds the delay of clients even if checkpoints are very
/// slow.
const PACED_MOST: Duration = Duration::from_millis(100);

/// The result of a proposed batch.
struct Done {
    /// The places in the batch of operations that were not appended, because this node does not
    /// lead.
    refused: Vec<usize>,
    /// openraft has stopped.
    fatal: Option<String>,
}

/// A batch that is proposed and not yet applied.
struct Flight {
    proposals: Vec<Proposal>,
    /// The bytes that the batch adds to the lag of the checkpoints.
    weight: u64,
    first_zxid: Zxid,
    /// How many of the proposals are in the footprints.
    indexed: usize,
    done: Pin<Box<dyn Future<Output = Done> + Send>>,
}

/// The proposer's task.
///
/// Invariants:
/// - `next_zxid` is the zxid of the next proposal if every proposal in flight is appended. If one
///   was refused, nothing is proposed until all others in flight are applied.
/// - At most `batches_in_flight` batches of at most `batch_commands` commands are in flight.
pub(crate) struct Proposer<R: Runtime> {
    runtime: R,
    raft: Raft<TypeConfig<R>, StateMachine<R>>,
    settings: Arc<Settings>,
    proposals: Proposals,
    queue: mpsc::Receiver<Submission>,
    state: Arc<StateShared>,
    /// The proposer is slowed down to the speed at which `state.redb` can follow.
    checkpointer: Checkpointer,
    /// The time at which the proposed batches are over at this speed.
    paced: Option<Instant>,
    failure: Failure,
    stop: Signal,
    intake: VecDeque<(Operation, Room)>,
    fairness: Fairness,
    in_flight: VecDeque<Flight>,
    next_zxid: Zxid,
    resync: bool,
    last_time_ms: u64,
    /// The footprints of the proposals in flight. They are updated only when a transaction needs
    /// them.
    footprints: InFlight,
}

enum Event {
    Done(Done),
    More(Submission),
    Due,
    Stop,
}

impl<R: Runtime> Proposer<R> {
    #[allow(clippy::too_many_arguments)] // Wired up once, in one place.
    pub(crate) fn new(
        runtime: R,
        raft: Raft<TypeConfig<R>, StateMachine<R>>,
        settings: Arc<Settings>,
        proposals: Proposals,
        queue: mpsc::Receiver<Submission>,
        state: Arc<StateShared>,
        checkpointer: Checkpointer,
        failure: Failure,
        stop: Signal,
    ) -> Self {
        let fairness = Fairness::new(settings.hold_back);
        let footprints = InFlight::new(runtime.random_u64());
        Self {
            runtime,
            raft,
            settings,
            proposals,
            queue,
            state,
            checkpointer,
            paced: None,
            failure,
            stop,
            intake: VecDeque::new(),
            fairness,
            in_flight: VecDeque::new(),
            next_zxid: Zxid::default(),
            resync: false,
            last_time_ms: 0,
            footprints,
        }
    }

    /// Runs until the node is closed or fails. At its end everything in the queue was refused and,
    /// if the node was closed in order, everything in flight was applied.
    pub(crate) async fn run(mut self) {
        loop {
            self.take_queued();
            let waits = !self.intake.is_empty() || self.fairness.is_due(self.runtime.now());
            if waits && self.may_propose() {
                self.propose().await;
                continue;
            }
            match self.wait().await {
                Event::Done(done) => self.landed(done),
                Event::More(submission) => self.intake.extend(submission.operations),
                Event::Due => {}
                Event::Stop => break,
            }
        }
        self.end().await;
    }

    fn take_queued(&mut self) {
        while self.intake.len() < self.settings.batch_commands {
            match self.queue.try_recv() {
                Ok(submission) => self.intake.extend(submission.operations),
                Err(_) => return,
            }
        }
    }

    /// The bytes that are proposed and not yet applied, counted as for the lag of the checkpoints.
    fn flying(&self) -> u64 {
        self.in_flight.iter().map(|batch| batch.weight).sum()
    }

    /// Is the lag of the checkpoints at its bound?
    fn is_behind(&self) -> bool {
        self.checkpointer.lag.is_full(self.flying())
    }

    /// The time until which the proposer must wait because of its pace, if it must.
    fn paced(&self) -> Option<Instant> {
        let paced = self.paced?;
        (paced > self.runtime.now() + PACED_AHEAD).then_some(paced)
    }

    /// Notes a batch that goes into the log.
    fn pace(&mut self, weight: u64) {
        let now = self.runtime.now();
        let pause = self.checkpointer.lag.pace(weight, self.flying());
        self.paced = pause.map(|pause| {
            let from = self.paced.filter(|paced| *paced > now).unwrap_or(now);
            from + pause.min(PACED_MOST)
        });
    }

    fn may_propose(&self) -> bool {
        let free = if self.resync {
            self.in_flight.is_empty()
        } else {
            self.in_flight.len() < self.settings.batches_in_flight
        };
        free && !self.is_behind() && self.paced().is_none() && self.failure.get().is_none()
    }

    async fn wait(&mut self) -> Event {
        let hungry = self.intake.is_empty();
        let behind = self.is_behind();
        // If nothing can be proposed, the end of a batch in flight wakes the task anyway.
        let held = self.fairness.deadline();
        let paced = (!hungry || held.is_some()).then(|| self.paced()).flatten();
        let held = held.filter(|_| self.may_propose());
        let deadline = [held, paced].into_iter().flatten().min();
        let durable = &self.checkpointer.durable;
        let (runtime, queue) = (&self.runtime, &mut self.queue);
        let (stop, failure) = (&self.stop, &self.failure);
        let flight = self.in_flight.front_mut();
        let done = async {
            match flight {
                Some(batch) => batch.done.as_mut().await,
                None => pending().await,
            }
        };
        let more = async {
            match hungry {
                true => queue.recv().await,
                false => pending().await,
            }
        };
        let due = async {
            let seen = durable.get();
            let checkpoint = async {
                match behind {
                    true => drop(durable.wait_for(|now| *now != seen).await),
                    false => pending().await,
                }
            };
            let time_comes = async {
                match deadline {
                    Some(at) => runtime.sleep_until(at).await,
                    None => pending().await,
                }
            };
            select2(checkpoint, time_comes).await;
        };
        let end = async {
            match select2(stop.wait(), failure.failed()).await {
                Select2::First(()) | Select2::Second(_) => {}
            }
        };
        match select4(end, done, more, due).await {
            Select4::First(()) | Select4::Third(None) => Event::Stop,
            Select4::Second(done) => Event::Done(done),
            Select4::Third(Some(submission)) => Event::More(submission),
            Select4::Fourth(()) => Event::Due,
        }
    }

    /// Notes the end of the oldest batch in flight.
    fn landed(&mut self, done: Done) {
        let Some(batch) = self.in_flight.pop_front() else {
            return;
        };
        if let Some(fatal) = done.fatal {
            self.failure.fail(fatal);
        }
        if !done.refused.is_empty() {
            self.resync = true;
        }
        let mut places = done.refused.into_iter().peekable();
        for (place, proposal) in batch.proposals.into_iter().enumerate() {
            if places.next_if_eq(&place).is_some() {
                let operation = proposal.into_command().operation;
                let delivery = &self.proposals.shared.delivery;
                delivery.refused(operation, Refusal::NotLeader);
            }
        }
    }

    async fn propose(&mut self) {
        let reader = self.state.reader();
        let now = self.runtime.now();
        if self.in_flight.is_empty() {
            self.next_zxid = reader.last_zxid().next();
            self.footprints.clear();
            self.resync = false;
        }
        self.footprints.applied(reader.last_zxid());
        for proposal in self.state.take_lost() {
            let operation = &proposal.command().operation;
            self.fairness
                .lost(operation, &self.footprints, &reader.view(), now);
        }
        self.last_time_ms = self.last_time_ms.max(self.runtime.wall_ms());

        let first_zxid = self.next_zxid;
        let most = self.settings.command_bytes_max;
        let mut batch = Batch::new(self.last_time_ms, first_zxid, most);
        while batch.commands.len() < self.settings.batch_commands {
            let (intake, footprints) = (&mut self.intake, &self.footprints);
            let Some((operation, room)) = self.fairness.next(intake, footprints, now) else {
                break;
            };
            if let Operation::Transaction { transaction, .. } = &operation {
                self.index(&mut batch, reader.last_zxid());
                if self.footprints.doomed(transaction).is_some() {
                    self.fairness
                        .lost(&operation, &self.footprints, &reader.view(), now);
                    drop(room);
                    let delivery = &self.proposals.shared.delivery;
                    delivery.refused(operation, Refusal::Doomed);
                    continue;
                }
            }
            if let Some((operation, refusal)) = batch.push(operation, room) {
                self.proposals.shared.delivery.refused(operation, refusal);
            }
        }
        if batch.commands.is_empty() {
            return;
        }
        let indexed = batch.indexed;
        let (proposals, room) = batch.into_proposals();
        let each = proposals
            .iter()
            .map(|proposal| weight(proposal.encoded().len()));
        let weight = each.sum();
        self.pace(weight);
        self.next_zxid = Zxid(first_zxid.0 + proposals.len() as u64);
        let written = self.raft.client_write_many(proposals.iter().cloned()).await;
        drop(room);
        match written {
            Ok(results) => self.in_flight.push_back(Flight {
                proposals,
                weight,
                first_zxid,
                indexed,
                done: Box::pin(done::<R>(results)),
            }),
            Err(fatal) => {
                let sentence = self.failure.fail(fatal.to_string());
                for proposal in proposals {
                    let operation = proposal.into_command().operation;
                    let delivery = &self.proposals.shared.delivery;
                    delivery.refused(operation, Refusal::Stopped(sentence.clone()));
                }
            }
        }
    }

    /// Brings the footprints up to date with everything in flight and in the batch so far.
    fn index(&mut self, batch: &mut Batch, published: Zxid) {
        let footprints = &mut self.footprints;
        for flight in &mut self.in_flight {
            let from = flight.indexed;
            for (place, proposal) in flight.proposals.iter().enumerate().skip(from) {
                let zxid = Zxid(flight.first_zxid.0 + place as u64);
                // An applied operation is in the view that the next guest reads.
                if zxid > published {
                    footprints.admit(zxid, &proposal.command().operation);
                }
            }
            flight.indexed = flight.proposals.len();
        }
        for (place, command) in batch.commands.iter().enumerate().skip(batch.indexed) {
            let zxid = Zxid(batch.first_zxid.0 + place as u64);
            footprints.admit(zxid, &command.operation);
        }
        batch.indexed = batch.commands.len();
    }

    async fn end(mut self) {
        self.proposals.close();
        self.queue.close();
        let mut rest: VecDeque<_> = self.fairness.drain().collect();
        rest.append(&mut self.intake);
        while let Ok(submission) = self.queue.try_recv() {
            rest.extend(submission.operations);
        }
        for (operation, _room) in rest {
            self.proposals.refuse(operation);
        }
        while self.failure.get().is_none() {
            let Some(batch) = self.in_flight.front_mut() else {
                return;
            };
            let failure = &self.failure;
            match select2(batch.done.as_mut(), failure.failed()).await {
                Select2::First(done) => self.landed(done),
                Select2::Second(_) => return,
            }
        }
    }
}

async fn done<R: Runtime>(
    mut results: impl futures_util::Stream<Item = WriteResult<R>> + Unpin,
) -> Done {
    let mut done = Done {
        refused: Vec::new(),
        fatal: None,
    };
    let mut place = 0;
    while let Some(result) = results.next().await {
        match result {
            Ok(Ok(_)) => {}
            Ok(Err(ClientWriteError::ForwardToLeader(_))) => done.refused.push(place),
            // The result is unknown. A session may send again: its sequence numbers prevent that
            // anything is applied twice.
            Ok(Err(_)) => {}
            Err(fatal) => {
                done.fatal = Some(fatal.to_string());
                return done;
            }
        }
        place += 1;
    }
    done
}

type WriteResult<R> =
    Result<openraft::raft::WriteResult<TypeConfig<R>>, openraft::errors::Fatal<TypeConfig<R>>>;

/// A batch that is being put together.
///
/// Invariant: no command in it is longer than `command_bytes_max`.
struct Batch {
    time_ms: u64,
    command_bytes_max: usize,
    first_zxid: Zxid,
    commands: Vec<Command>,
    room: Option<Room>,
    encoded: Vec<u8>,
    ends: Vec<usize>,
    indexed: usize,
}

impl Batch {
    fn new(time_ms: u64, first_zxid: Zxid, command_bytes_max: usize) -> Self {
        Self {
            time_ms,
            command_bytes_max,
            first_zxid,
            commands: Vec::new(),
            room: None,
            encoded: Vec::new(),
            ends: Vec::new(),
            indexed: 0,
        }
    }

    /// Encodes an operation into the batch, or gives it back unchanged if its exact length is above
    /// the bound.
    fn push(&mut self, operation: Operation, room: Room) -> Option<(Operation, Refusal)> {
        let start = self.encoded.len();
        let command = Command {
            time_ms: self.time_ms,
            operation,
        };
        encoding::encode_command(&command, &mut self.encoded);
        let bytes = self.encoded.len() - start;
        if let Err(refusal) = size::check(bytes, self.command_bytes_max) {
            self.encoded.truncate(start);
            return Some((command.operation, refusal));
        }
        self.ends.push(self.encoded.len());
        self.commands.push(command);
        match &mut self.room {
            Some(all) => all.join(room),
            none => *none = Some(room),
        }
        None
    }

    /// The encodings share one buffer.
    fn into_proposals(self) -> (Vec<Proposal>, Option<Room>) {
        let encoded = Bytes::from(self.encoded);
        let mut start = 0;
        let with_bytes = self.commands.into_iter().zip(self.ends);
        let proposals = with_bytes.map(|(command, end)| {
            let bytes = encoded.slice(start..end);
            start = end;
            Proposal::new(command, bytes)
        });
        (proposals.collect(), self.room)
    }
}
