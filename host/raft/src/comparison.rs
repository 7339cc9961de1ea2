//! The comparison of this node's state with the others'.
//!
//! 1. Each command mixes its changes into a rolling hash, and the tree keeps the hash at fixed
//!    zxids.
//! 2. From time to time each node asks the others for their hash at the last of these zxids.
//! 3. A node that differs from a majority of the voters has applied something else than they did:
//!    a fault of its machine, or of this program. What it would serve is wrong, so it stops and
//!    says so. Without a majority the nodes only say what they have seen.
//!
//! **Invariant:** a node whose state differs from that of a majority serves nobody for long. (test:
//! `a_node_whose_state_differs_from_the_others_stops_and_says_so`)

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use innkeeper_runtime::{Runtime, Signal, select2};
use innkeeper_tree::Zxid;
use openraft::async_runtime::watch::WatchReceiver;

use crate::engine::RaftOf;
use crate::error::Failure;
use crate::peer::Peers;
use crate::state::StateShared;
use crate::types::NodeId;

/// The task that compares.
pub(crate) struct Comparison<R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) raft: RaftOf<R>,
    pub(crate) peers: Peers<R>,
    pub(crate) state: Arc<StateShared>,
    pub(crate) me: NodeId,
    /// The time between two rounds of questions.
    pub(crate) pace: Duration,
    pub(crate) stop: Signal,
    pub(crate) failure: Failure,
}

impl<R: Runtime> Comparison<R> {
    /// Runs on the raft thread until the node stops.
    pub(crate) async fn run(self) {
        let stop = self.stop.clone();
        let end = select2(stop.wait(), self.failure.failed());
        select2(end, self.rounds()).await;
    }

    async fn rounds(&self) {
        // The hash of the round before: by now the others have applied the commands, too.
        let mut older: Option<(Zxid, u64)> = None;
        let mut done = Zxid(0);
        loop {
            self.runtime.sleep(self.pace).await;
            if let Some((zxid, own)) = older.filter(|(zxid, _)| *zxid > done) {
                let (nodes, voters) = self.members();
                let hashes = self.ask(&nodes, zxid).await;
                if hashes.len() == nodes.len() {
                    done = zxid;
                }
                match judge(self.me, own, &hashes, &voters) {
                    Verdict::Same => {}
                    Verdict::Minority(others) => {
                        self.failure.fail(format!(
                            "the state of node {} differs from that of the nodes {} at zxid {zxid}: keep its data folder for a report, and start it with an empty one",
                            self.me,
                            list(&others)
                        ));
                        return;
                    }
                    Verdict::Undecided(others) => {
                        done = zxid;
                        tracing::error!(
                            "the state of the nodes {} differs from that of node {} at zxid {zxid}, and no majority says which one is right",
                            list(&others),
                            self.me
                        );
                    }
                }
            }
            older = self.state.reader().view().last_digest();
        }
    }

    /// The other nodes of the group, and its voters.
    fn members(&self) -> (Vec<NodeId>, BTreeSet<NodeId>) {
        let metrics = self.raft.server_metrics();
        let stored = metrics.borrow_watched().membership_config.clone();
        let nodes = stored.membership().nodes().map(|(node, _)| *node);
        let others = nodes.filter(|node| *node != self.me).collect();
        (others, stored.voter_ids().collect())
    }

    /// The hashes of the nodes that have one for this zxid.
    async fn ask(&self, nodes: &[NodeId], zxid: Zxid) -> BTreeMap<NodeId, u64> {
        let asking = nodes.iter().map(|node| async move {
            let hash = self.peers.hash_at(*node, zxid).await.ok()??;
            Some((*node, hash))
        });
        join_all(asking).await.into_iter().flatten().collect()
    }
}

fn list(nodes: &[NodeId]) -> String {
    let nodes: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    nodes.join(", ")
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Nobody is known to differ, or this node is with the majority: the others stop themselves.
    Same,
    /// A majority of the voters, with these nodes, has another state.
    Minority(Vec<NodeId>),
    /// These nodes differ, and no majority is known.
    Undecided(Vec<NodeId>),
}

fn judge(
    me: NodeId,
    own: u64,
    hashes: &BTreeMap<NodeId, u64>,
    voters: &BTreeSet<NodeId>,
) -> Verdict {
    let of = |hash: u64| hashes.iter().filter(move |(_, other)| **other == hash);
    let is_majority = |hash: u64| {
        let others = of(hash).filter(|(node, _)| voters.contains(node)).count();
        let mine = usize::from(own == hash && voters.contains(&me));
        others + mine > voters.len() / 2
    };
    if is_majority(own) {
        return Verdict::Same;
    }
    let different: Vec<_> = hashes.iter().filter(|(_, hash)| **hash != own).collect();
    if let Some((_, hash)) = different.iter().find(|(_, hash)| is_majority(**hash)) {
        return Verdict::Minority(of(**hash).map(|(node, _)| *node).collect());
    }
    match different.is_empty() {
        true => Verdict::Same,
        false => Verdict::Undecided(different.iter().map(|(node, _)| **node).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minority_is_known_by_the_majority_of_the_voters() {
        let voters = BTreeSet::from([1, 2, 3]);
        let judge =
            |me, hashes: &[(NodeId, u64)]| judge(me, 7, &hashes.iter().copied().collect(), &voters);
        assert_eq!(judge(1, &[(2, 7), (3, 7)]), Verdict::Same);
        assert_eq!(judge(1, &[(2, 7), (3, 8)]), Verdict::Same);
        assert_eq!(judge(1, &[(2, 8), (3, 8)]), Verdict::Minority(vec![2, 3]));
        assert_eq!(judge(1, &[(2, 8)]), Verdict::Undecided(vec![2]));
        assert_eq!(judge(1, &[]), Verdict::Same);
        assert_eq!(judge(1, &[(2, 8), (3, 9)]), Verdict::Undecided(vec![2, 3]));
        // A learner's word does not count, but it may find itself in the minority.
        assert_eq!(judge(1, &[(2, 7), (4, 8)]), Verdict::Same);
        assert_eq!(judge(1, &[(2, 8), (4, 8)]), Verdict::Undecided(vec![2, 4]));
        assert_eq!(judge(4, &[(1, 8), (2, 8)]), Verdict::Minority(vec![1, 2]));
    }
}
