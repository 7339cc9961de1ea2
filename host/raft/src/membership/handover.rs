//! A leader that others cannot dial hands its term over.
//!
//! Whoever asks dials ([`crate::peer`]). A leader whose peer port is closed still leads, since its
//! signs of life and its entries go over connections that it dials itself. But no operation and no
//! question of another node gets to it. openraft knows nothing of this, so:
//!
//! 1. Each node asks the others from time to time which nodes they do not reach. So a connection
//!    over which nothing gets through is noticed although nobody uses it. Only a leader does
//!    something with the answers.
//! 2. If some do not reach the leader, and a voter would serve more nodes than the leader does, the
//!    leader hands over to it. A leader serves a node if both reach each other.
//! 3. Otherwise it goes on, and the log names the nodes that do not reach it.
//!
//! The number of served nodes grows with each such handover, so while the network stays as it is,
//! the leadership does not wander. A node hands over at most once in [`PAUSE_ELECTIONS`] election
//! timeouts, so it does not wander much in a network that changes all the time. (test:
//! `the_leadership_rests_where_it_serves_the_most`)
//!
//! openraft's leader stops sending when it has handed over. If its successor cannot send it
//! anything either, it would not hear of the newer term. So it takes the vote of its successor from
//! what the others tell it. (test:
//! `a_leader_that_nobody_can_dial_hands_over`)

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use innkeeper_runtime::{Instant, Runtime, Signal, select2};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::AppendEntriesRequest;

use super::transfer::transfer;
use crate::engine::RaftOf;
use crate::error::Failure;
use crate::peer::{Peers, Reach};
use crate::standing::hears;
use crate::types::{NodeId, Vote};

/// A node hands over for this reason at most once in so many election timeouts.
const PAUSE_ELECTIONS: u32 = 20;

/// The task that looks whether a leader is reached.
pub(crate) struct Handover<R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) raft: RaftOf<R>,
    pub(crate) peers: Peers<R>,
    pub(crate) me: NodeId,
    /// The least silence after which a leader is replaced.
    pub(crate) election: Duration,
    pub(crate) stop: Signal,
    pub(crate) failure: Failure,
}

/// What a leader knows of its group.
struct Led {
    vote: Vote,
    /// The voters; two sets while the membership changes.
    voters: Vec<BTreeSet<NodeId>>,
    /// The other nodes that answer the leader.
    heard: BTreeSet<NodeId>,
}

impl<R: Runtime> Handover<R> {
    /// Runs on the raft thread until the node stops.
    pub(crate) async fn run(self) {
        let end = select2(self.stop.wait(), self.failure.failed());
        select2(end, self.rounds()).await;
    }

    async fn rounds(&self) {
        let mut said = Verdict::Reached;
        let mut last: Option<Instant> = None;
        loop {
            self.runtime.sleep(self.election).await;
            let others = self.others();
            let told = self.ask(&others).await;
            let Some(led) = self.led(others) else {
                said = Verdict::Reached;
                continue;
            };
            let newest = told.values().map(|reach| reach.vote);
            let newest = newest
                .filter(|vote| vote.committed)
                .max_by_key(|vote| vote.leader_id.term);
            if let Some(newer) = newest.filter(|vote| *vote > led.vote) {
                self.follow(newer).await;
                continue;
            }
            let own = self.peers.unreached();
            let scene = Scene {
                me: self.me,
                voters: &led.voters,
                reached: led.heard.difference(&own).copied().collect(),
                unreached: told
                    .into_iter()
                    .map(|(node, reach)| (node, reach.unreached))
                    .collect(),
            };
            let verdict = scene.judge();
            if verdict != said {
                verdict.say(self.me);
                said = verdict.clone();
            }
            let now = self.runtime.now();
            let pause = self.election * PAUSE_ELECTIONS;
            let may = last.is_none_or(|last| now.since(last) >= pause);
            // With this guard out a test must fail.
            let may = may && !cfg!(innkeeper_break = "handover");
            if let Verdict::Better(to, _) = verdict
                && may
            {
                last = Some(now);
                let handed = transfer(&self.runtime, &self.raft, self.election, to).await;
                if let Err(sentence) = handed {
                    tracing::warn!("{sentence}");
                }
            }
        }
    }

    /// The other nodes of the group.
    fn others(&self) -> Vec<NodeId> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let nodes = metrics.membership_config.membership().nodes();
        let others = nodes.map(|(node, _)| *node);
        others.filter(|node| *node != self.me).collect()
    }

    /// What this node knows, if it leads others.
    fn led(&self, others: Vec<NodeId>) -> Option<Led> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        if !metrics.state.is_leader() {
            return None;
        }
        let membership = metrics.membership_config.membership();
        let heard = others.iter().copied();
        let heard: BTreeSet<_> = heard
            .filter(|node| hears(&metrics, *node, self.election))
            .collect();
        (!others.is_empty()).then(|| Led {
            vote: metrics.vote,
            voters: membership.get_joint_config().clone(),
            heard,
        })
    }

    /// What the nodes that answer tell.
    async fn ask(&self, others: &[NodeId]) -> BTreeMap<NodeId, Reach> {
        let asking = others.iter().map(|node| async move {
            let asked = self.peers.reach_of(*node);
            let told = self.runtime.timeout(self.election, asked).await;
            Some((*node, told.ok()?.ok()?))
        });
        join_all(asking).await.into_iter().flatten().collect()
    }

    /// Follows the leader of a newer term, as if its sign of life had come.
    async fn follow(&self, vote: Vote) {
        let sign = AppendEntriesRequest {
            vote,
            prev_log_id: None,
            entries: Vec::new(),
            leader_commit: None,
        };
        // If openraft has stopped, that is said elsewhere.
        if self.raft.append_entries(sign).await.is_ok() {
            tracing::info!("this node leads no more: {vote} is the vote of a newer leader");
        }
    }
}

/// Who reaches whom, as far as the leader knows.
struct Scene<'a> {
    me: NodeId,
    voters: &'a [BTreeSet<NodeId>],
    /// The nodes that the leader reaches.
    reached: BTreeSet<NodeId>,
    /// The nodes that have answered, and whom each of them does not reach.
    unreached: BTreeMap<NodeId, BTreeSet<NodeId>>,
}

/// What the leader thinks of its place.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// Everybody that answers reaches it.
    Reached,
    /// These nodes do not reach it, and no voter serves more nodes.
    Best(BTreeSet<NodeId>),
    /// This voter serves more nodes, and these do not reach the leader.
    Better(NodeId, BTreeSet<NodeId>),
}

impl Verdict {
    fn say(&self, me: NodeId) {
        let begin = |nodes| {
            format!(
                "node {me} leads and cannot be dialed by {}: open its peer port to them",
                list(nodes)
            )
        };
        match self {
            Verdict::Reached => tracing::info!("node {me} leads and is reached again by all"),
            Verdict::Best(nodes) => tracing::warn!(
                "{}; until then operations that are submitted there wait, since no other voter serves more nodes",
                begin(nodes)
            ),
            Verdict::Better(to, nodes) => {
                tracing::warn!("{}; node {to} takes over the leadership", begin(nodes));
            }
        }
    }
}

fn list(nodes: &BTreeSet<NodeId>) -> String {
    let nodes: Vec<_> = nodes.iter().map(|node| format!("node {node}")).collect();
    nodes.join(" and ")
}

impl Scene<'_> {
    fn judge(&self) -> Verdict {
        let shut_out: BTreeSet<_> = self
            .unreached
            .iter()
            .filter(|(_, unreached)| unreached.contains(&self.me))
            .map(|(node, _)| *node)
            .collect();
        if shut_out.is_empty() {
            return Verdict::Reached;
        }
        let others = self.unreached.keys().copied();
        let able = others.filter(|node| self.reached.contains(node) && self.can_lead(*node));
        // Of equals the first one.
        let best = able.rev().max_by_key(|node| self.served_by(*node));
        match best {
            Some(best) if self.served_by(best) > self.served_by(self.me) => {
                Verdict::Better(best, shut_out)
            }
            Some(_) | None => Verdict::Best(shut_out),
        }
    }

    fn reaches(&self, from: NodeId, to: NodeId) -> bool {
        if from == to {
            return true;
        }
        if from == self.me {
            return self.reached.contains(&to);
        }
        let unreached = self.unreached.get(&from);
        unreached.is_some_and(|unreached| !unreached.contains(&to))
    }

    /// Does the node vote, and reach a quorum?
    fn can_lead(&self, node: NodeId) -> bool {
        self.voters.iter().all(|voters| {
            let reached = voters.iter().filter(|voter| self.reaches(node, **voter));
            voters.contains(&node) && reached.count() > voters.len() / 2
        })
    }

    /// How many nodes, with itself, a leader would serve.
    fn served_by(&self, leader: NodeId) -> usize {
        let nodes = self.unreached.keys().chain([&self.me]);
        let served =
            nodes.filter(|node| self.reaches(leader, **node) && self.reaches(**node, leader));
        served.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The leader is node 1. `closed` are pairs of nodes of which the first one does not reach the
    /// second one.
    fn judge(voters: &[&[NodeId]], nodes: &[NodeId], closed: &[(NodeId, NodeId)]) -> Verdict {
        let voters: Vec<_> = voters
            .iter()
            .map(|set| set.iter().copied().collect())
            .collect();
        let by = |from: NodeId| {
            let of = closed.iter().filter(move |(a, _)| *a == from);
            of.map(|(_, to)| *to).collect::<BTreeSet<_>>()
        };
        let others = nodes.iter().copied().filter(|node| *node != 1);
        let reached = others.clone().filter(|node| !by(1).contains(node));
        let scene = Scene {
            me: 1,
            voters: &voters,
            reached: reached.collect(),
            unreached: others.map(|node| (node, by(node))).collect(),
        };
        scene.judge()
    }

    #[test]
    fn a_leader_hands_over_to_a_voter_that_serves_more() {
        let three = |closed: &[_]| judge(&[&[1, 2, 3]], &[1, 2, 3], closed);
        assert_eq!(three(&[]), Verdict::Reached);
        // The port of node 1 is closed.
        let better = Verdict::Better(2, [2, 3].into());
        assert_eq!(three(&[(2, 1), (3, 1)]), better);
        // Only node 3 does not reach it.
        assert_eq!(three(&[(3, 1)]), Verdict::Better(2, [3].into()));
        // Node 3 reaches nobody: that is not the leader's fault.
        assert_eq!(three(&[(3, 1), (3, 2)]), Verdict::Best([3].into()));
        // Node 2 is no better place than node 1.
        let both = [(2, 1), (3, 1), (1, 2), (3, 2)];
        assert_eq!(three(&both), Verdict::Best([2, 3].into()));
        // What the leader does not reach and nobody else misses is no reason.
        assert_eq!(three(&[(1, 3)]), Verdict::Reached);
    }

    #[test]
    fn only_a_voter_that_reaches_a_quorum_gets_it() {
        // With node 3 away, node 2 would reach itself alone.
        let two = judge(&[&[1, 2, 3]], &[1, 2], &[(2, 1)]);
        assert_eq!(two, Verdict::Best([2].into()));
        // Learners are served, and do not lead.
        let learners = judge(&[&[1, 2, 3]], &[1, 2, 3, 4], &[(4, 1)]);
        assert_eq!(learners, Verdict::Better(2, [4].into()));
        let learner = judge(&[&[1, 2]], &[1, 2, 3, 4], &[(2, 1), (3, 1), (4, 1)]);
        assert_eq!(learner, Verdict::Best([2, 3, 4].into()));
        // Within a change of the voters it must be one of both sets.
        let joint = judge(&[&[1, 2, 3], &[1, 3, 4]], &[1, 2, 3, 4], &[(2, 1), (4, 1)]);
        assert_eq!(joint, Verdict::Better(3, [2, 4].into()));
    }

    /// In every network that stays as it is, handing over comes to an end.
    #[test]
    fn the_leadership_rests_where_it_serves_the_most() {
        let nodes: Vec<NodeId> = (1..=4).collect();
        let pairs: Vec<(NodeId, NodeId)> = nodes
            .iter()
            .flat_map(|a| nodes.iter().map(move |b| (*a, *b)))
            .filter(|(a, b)| a != b)
            .collect();
        for closed in 0..1 << pairs.len() {
            let closed: BTreeSet<_> = pairs
                .iter()
                .enumerate()
                .filter(|(bit, _)| closed >> bit & 1 == 1)
                .map(|(_, pair)| *pair)
                .collect();
            let voters = [nodes.iter().copied().collect()];
            let mut me = 1;
            let mut handovers = 0;
            loop {
                let by = |from: NodeId| -> BTreeSet<NodeId> {
                    let of = closed.iter().filter(|(a, _)| *a == from);
                    of.map(|(_, to)| *to).collect()
                };
                // A leader asks over connections that it dials.
                let others = nodes.iter().copied().filter(|node| *node != me);
                let reached: BTreeSet<_> = others.filter(|node| !by(me).contains(node)).collect();
                let scene = Scene {
                    me,
                    voters: &voters,
                    unreached: reached.iter().map(|node| (*node, by(*node))).collect(),
                    reached,
                };
                let Verdict::Better(to, _) = scene.judge() else {
                    break;
                };
                me = to;
                handovers += 1;
                assert!(handovers < nodes.len(), "{closed:?}");
            }
        }
    }
}
