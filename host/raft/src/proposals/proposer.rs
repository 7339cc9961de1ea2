//! The proposer: the task through which everything passes on its way into the log.
//!
//! On the established leader it proposes batches (`proposer/leading.rs`), as far as it may
//! (`proposer/waiting.rs`). On a follower it numbers and encodes the operations
//! (`proposer/following.rs`), and a [stream](crate::peer) takes them to the leader. Otherwise they
//! wait.
//!
//! What was sent in one term is settled by the first applied entry of a newer one: by then it was
//! applied here, or it never will be. What is left goes out again, in order, except what only a
//! leader decides, which is refused.

mod following;
mod leading;
mod waiting;

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use innkeeper_runtime::{
    AbortOnDrop, Instant, Latest, Runtime, Select2, Signal, ThreadRole, select2,
};
use innkeeper_tree::Operation;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use openraft::type_config::alias::WatchReceiverOf;
use tokio::sync::mpsc;

use self::waiting::Event;
use super::fairness::Fairness;
use super::flights::Flights;
use super::intake::{Holder, Intake};
use super::outstanding::{Outstanding, is_expiry, is_leaders_own};
use super::{Proposals, Submission};
use crate::engine::RaftOf;
use crate::error::{Failure, Refusal};
use crate::histogram::RaftStats;
use crate::log::Log;
use crate::peer::{Forwarder, Peers};
use crate::settings::Settings;
use crate::standing::Standing;
use crate::state::{Checkpointer, Progress, StateShared};
use crate::types::{LogId, NodeId, Origin, TypeConfig};

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
        let leads = self.standing.leads();
        if submission.term.is_some() && submission.term != leads {
            let delivery = &self.proposals.shared.delivery;
            for (operation, room) in submission.operations {
                drop(room);
                delivery.refused(operation, Refusal::NotLeader);
            }
            return;
        }
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
        let waiting: Vec<_> = self.waiting.drain(..).filter(is_own).collect();
        let lost = self.outstanding.take_from(0);
        let lost = lost.into_iter().map(|sent| {
            (
                sent.proposal.into_command().operation,
                Holder::Own(sent.room),
            )
        });
        let sent = lost.chain(held).map(|item| (is_leaders_own(&item.0), item));
        // openraft may have refused an expiry in the older term for want of a lease. What else
        // waits may be of the new term, and apply judges it.
        let waiting = waiting.into_iter().map(|item| (is_expiry(&item.0), item));
        for (is_over, (operation, holder)) in sent.chain(waiting) {
            if is_over {
                self.proposals
                    .shared
                    .delivery
                    .refused(operation, Refusal::NotLeader);
            } else {
                self.waiting.push_back((operation, holder));
            }
        }
    }

    /// This node is something else from now on.
    fn stand(&mut self, standing: Standing) {
        self.standing = standing;
        self.around.standing.set(standing);
        self.forwarding = None;
        self.around.intake.set_term(standing.leads());
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

    fn number(&mut self) -> Origin {
        let number = self.next_number;
        self.next_number += 1;
        let (node, run) = self.own;
        Origin { node, run, number }
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
