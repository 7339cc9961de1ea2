//! A leader whose process has died is replaced at once, and not only after its silence.
//!
//! 1. A follower takes the leader's process for dead when every connection with it has ended and
//!    its machine refuses a new one at once. A cut link ends no connection and refuses nothing. A
//!    process that was started again accepts the connection.
//! 2. The followers that take it for dead go on in the order of their ranks, so that they do not
//!    disturb each other. Each asks the other voters whether it may stand for election.
//! 3. A voter agrees if it takes the same leader for dead itself, has no longer log, and has agreed
//!    to no other node lately. So a majority agrees to one node at a time, and only if the leader is
//!    dead for a majority.
//! 4. That node is elected as if the leader had handed its office over: openraft's voters then
//!    grant their votes although they have heard from the leader a moment ago. This is safe, since
//!    reads are confirmed by a quorum and rely on no lease.
//!
//! **Invariant:** a leader that lives is not replaced before its silence, whatever connections
//! break or are refused. (tests: `broken_connections_do_not_depose_a_leader_that_lives`,
//! `refused_dials_do_not_depose_a_leader_whose_connections_stand`,
//! `a_silent_or_cut_off_leader_is_replaced_after_its_silence`)

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream::{FuturesUnordered, StreamExt};
use innkeeper_runtime::{Instant, Runtime, Select2, select2};
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use openraft::raft::TransferLeaderRequest;
use parking_lot::Mutex;

use super::message::{self, kind};
use super::peers::Peers;
use crate::codec::{self, CodecError};
use crate::engine::RaftOf;
use crate::log::Log;
use crate::types::{LogId, NodeId, TypeConfig, Vote};
use crate::voting_right::VotingRight;

/// A follower waits so long for each voter that comes before it.
const STAGGER: Duration = Duration::from_millis(30);
/// The pause after a dial that was not refused. A process that dies closes its connections and its
/// listener one after the other, so the first dial may come between them.
const DIAL_AGAIN: Duration = Duration::from_millis(10);
/// The same pause, once the connections have been gone for longer than the silence.
const DIAL_LATER: Duration = Duration::from_millis(100);
/// The pause after a question to which no majority has agreed.
const ASK_AGAIN: Duration = Duration::from_millis(10);
/// How long the answers to one question are awaited.
const ANSWERS: Duration = Duration::from_millis(50);
/// A voter that has agreed to a node agrees to no other one for this time. It is longer than
/// [`ANSWERS`], so that the node stands for election meanwhile.
const AGREED: Duration = Duration::from_millis(150);

/// A leader that this node follows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Led {
    vote: Vote,
    leader: NodeId,
    /// The voters; two sets while the membership changes.
    voters: Vec<BTreeSet<NodeId>>,
}

impl Led {
    /// The leader, if this node is a voter that follows one.
    fn by<R: Runtime>(metrics: &RaftServerMetrics<TypeConfig<R>>) -> Option<Self> {
        let vote = metrics.vote;
        let leader = vote.leader_id.voted_for;
        let follows = metrics.state == ServerState::Follower && vote.committed;
        (follows && leader != metrics.id).then(|| Self {
            vote,
            leader,
            voters: metrics
                .membership_config
                .membership()
                .get_joint_config()
                .clone(),
        })
    }

    /// All voters but the leader, in their order.
    fn others(&self) -> BTreeSet<NodeId> {
        let all = self.voters.iter().flatten().copied();
        all.filter(|voter| *voter != self.leader).collect()
    }

    /// How many voters come before this one.
    fn rank(&self, node: NodeId) -> u32 {
        let before = self.others().range(..node).count();
        u32::try_from(before).unwrap_or(u32::MAX)
    }

    fn is_majority(&self, of: &BTreeSet<NodeId>) -> bool {
        self.voters
            .iter()
            .all(|voters| voters.intersection(of).count() > voters.len() / 2)
    }
}

/// What a node asks: may it stand for election in place of a dead leader?
#[derive(Debug, Clone, PartialEq, Eq)]
struct Question {
    /// The vote of the leader that is dead.
    vote: Vote,
    node: NodeId,
    /// The last entry of the node's log.
    last: Option<LogId>,
}

impl Question {
    fn put(&self) -> Bytes {
        message::bytes(|out| {
            out.put_u8(message::VERSION);
            codec::put_vote(out, &self.vote);
            out.put_u64_le(self.node);
            codec::put_log_id(out, self.last.as_ref());
        })
    }

    fn read(body: &[u8]) -> Result<Self, CodecError> {
        let mut fields = message::fields("question of a successor", body)?;
        Ok(Self {
            vote: codec::read_vote(&mut fields)?,
            node: fields.u64()?,
            last: codec::read_log_id(&mut fields)?,
        })
    }
}

fn put_answer(out: &mut BytesMut, agrees: bool) {
    out.put_u8(message::VERSION);
    out.put_u8(u8::from(agrees));
}

fn read_answer(body: &[u8]) -> Result<bool, CodecError> {
    message::fields("answer to a successor", body)?.flag()
}

/// To whom this node has agreed, itself or another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Agreed {
    node: NodeId,
    until: Instant,
}

/// What this node knows of a dead leader.
///
/// Invariant: before `until` it agrees to no node that comes after the one that it has agreed to.
/// Once it stands for election itself, it agrees to none.
#[derive(Debug, Default)]
struct Opinion {
    /// The leader that it takes for dead.
    dead: Option<Led>,
    agreed: Option<Agreed>,
    stands: bool,
}

impl Opinion {
    /// Does this node, with this last entry, agree that another one stands for election?
    fn agrees(
        &mut self,
        me: NodeId,
        own_last: Option<LogId>,
        asked: &Question,
        now: Instant,
    ) -> bool {
        let Some(led) = &self.dead else {
            return false;
        };
        if led.vote != asked.vote || self.stands || asked.last < own_last {
            return false;
        }
        let comes_first = asked.last > own_last || led.rank(asked.node) < led.rank(me);
        let taken = self.agreed.is_some_and(|agreed| {
            let is_own = agreed.node == me && comes_first;
            now < agreed.until && agreed.node != asked.node && !is_own
        });
        if !taken {
            self.agree(asked.node, now);
        }
        !taken
    }

    fn agree(&mut self, node: NodeId, now: Instant) {
        let until = now + AGREED;
        self.agreed = Some(Agreed { node, until });
    }

    /// This node asks the others, unless it has agreed to one of them.
    fn may_ask(&mut self, me: NodeId, now: Instant) -> bool {
        let other = |agreed: &Agreed| agreed.node != me && now < agreed.until;
        if self.agreed.as_ref().is_some_and(other) {
            return false;
        }
        self.agree(me, now);
        true
    }

    /// A majority agrees. Does this node still want to stand?
    fn may_stand(&mut self, me: NodeId) -> bool {
        self.stands = self.agreed.is_some_and(|agreed| agreed.node == me);
        self.stands
    }
}

/// Watches the leader, and answers the other voters. Clones share what this node thinks.
pub(crate) struct Succession<R: Runtime> {
    peers: Peers<R>,
    raft: RaftOf<R>,
    log: Log<R>,
    right: VotingRight<R>,
    opinion: Arc<Mutex<Opinion>>,
    /// After this time openraft's followers stand for election by themselves.
    silence: Duration,
}

impl<R: Runtime> Clone for Succession<R> {
    fn clone(&self) -> Self {
        Self {
            peers: self.peers.clone(),
            raft: self.raft.clone(),
            log: self.log.clone(),
            right: self.right.clone(),
            opinion: self.opinion.clone(),
            silence: self.silence,
        }
    }
}

impl<R: Runtime> Succession<R> {
    pub(crate) fn new(
        peers: Peers<R>,
        raft: RaftOf<R>,
        log: Log<R>,
        right: VotingRight<R>,
        silence: Duration,
    ) -> Self {
        Self {
            peers,
            raft,
            log,
            right,
            opinion: Arc::default(),
            silence,
        }
    }

    /// Runs on the raft thread until the peers are closed or openraft ends.
    pub(crate) async fn run(self) {
        let stop = self.peers.inner().stop.clone();
        select2(stop.wait(), self.watch()).await;
    }

    async fn watch(&self) {
        let mut metrics = self.raft.server_metrics();
        loop {
            *self.opinion.lock() = Opinion::default();
            let led = Led::by(&metrics.borrow_and_update());
            let succeed = async {
                match &led {
                    Some(led) => self.succeed(led).await,
                    None => pending().await,
                }
            };
            // Whoever leads next, or stands for it: what was thought of the old leader is over.
            if let Select2::First(Err(_)) = select2(metrics.changed(), succeed).await {
                return;
            }
        }
    }

    /// Replaces the leader if it dies. Ends when it has a successor, or with the wait for openraft.
    async fn succeed(&self, led: &Led) {
        let runtime = &self.peers.inner().runtime;
        let me = self.peers.identity().node_id;
        if !led.others().contains(&me) || !self.right.may_vote() {
            return pending().await;
        }
        let connections = self.peers.connections(led.leader);
        loop {
            connections.wait_for(|count| *count > 0).await;
            connections.wait_for(|count| *count == 0).await;
            let is_back = connections.wait_for(|count| *count > 0);
            if let Select2::Second(()) = select2(is_back, self.until_refused(led.leader)).await {
                tracing::info!("the process of the leader, node {}, has ended", led.leader);
                self.opinion.lock().dead = Some(led.clone());
                let until = runtime.now() + self.silence;
                runtime.sleep(STAGGER * led.rank(me)).await;
                while connections.get() == 0 && runtime.now() < until {
                    if self.stand(led, me).await {
                        return pending().await;
                    }
                    runtime.sleep(ASK_AGAIN).await;
                }
                *self.opinion.lock() = Opinion::default();
            }
        }
    }

    /// Dials until the peer's machine refuses it.
    async fn until_refused(&self, node: NodeId) {
        let runtime = &self.peers.inner().runtime;
        let until = runtime.now() + self.silence;
        while !self.peers.is_refused(node).await {
            let pause = match runtime.now() < until {
                true => DIAL_AGAIN,
                false => DIAL_LATER,
            };
            runtime.sleep(pause).await;
        }
    }

    /// Stands for election if a majority agrees.
    async fn stand(&self, led: &Led, me: NodeId) -> bool {
        let runtime = &self.peers.inner().runtime;
        let last = self.log.last_log_id();
        // openraft would wait for it, but meanwhile the others would agree to another node.
        if let Some(last) = last
            && self.log.flushed_past(last.index).await.is_err()
        {
            return false;
        }
        if !self.opinion.lock().may_ask(me, runtime.now()) {
            return false;
        }
        let question = Question {
            vote: led.vote,
            node: me,
            last,
        };
        let asked = runtime.timeout(ANSWERS, self.ask(led, &question)).await;
        if asked != Ok(true) || !self.opinion.lock().may_stand(me) {
            return false;
        }
        tracing::info!(
            "this node stands for election in place of node {}",
            led.leader
        );
        let request = TransferLeaderRequest::new(led.vote, me, last);
        let taken = self.raft.handle_transfer_leader(request).await;
        let stands = matches!(taken, Ok(Ok(())));
        self.opinion.lock().stands = stands;
        stands
    }

    /// Does a majority agree? Returns as soon as that is known: a voter that does not agree yet may
    /// do so in a moment, when it has noticed the leader's death itself, and is asked again then.
    async fn ask(&self, led: &Led, question: &Question) -> bool {
        let body = question.put();
        let others = led.others();
        let others = others.iter().filter(|voter| **voter != question.node);
        let mut asking: FuturesUnordered<_> = others
            .map(|voter| {
                let (caller, body) = (self.peers.caller(*voter), body.clone());
                async move {
                    let answer = caller.call(kind::SUCCEED, body).await.ok()?;
                    read_answer(&answer).ok()?.then_some(*voter)
                }
            })
            .collect();
        let mut agree = BTreeSet::from([question.node]);
        while !led.is_majority(&agree) {
            match asking.next().await {
                Some(voter) => agree.extend(voter),
                None => return false,
            }
        }
        true
    }

    /// The answer to another voter that asks whether it may stand for election.
    pub(super) fn answer(&self, body: &[u8]) -> Result<Bytes, CodecError> {
        let question = Question::read(body)?;
        let now = self.peers.inner().runtime.now();
        let me = self.peers.identity().node_id;
        let last = self.log.last_log_id();
        let agrees = self.opinion.lock().agrees(me, last, &question, now);
        Ok(message::bytes(|out| put_answer(out, agrees)))
    }
}

#[cfg(test)]
mod tests;
