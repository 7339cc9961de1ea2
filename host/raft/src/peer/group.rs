//! The group that a node is to be a member of, and how it is formed.
//!
//! 1. Empty nodes compare their lists of voters. A node that reaches a majority of the listed nodes,
//!    all empty and with the same list, is ready: it may vote from now on.
//! 2. A node that reaches a majority that is ready initializes openraft with these numbers. The
//!    first entry of the log is the same on all nodes, so their order does not matter, nor that
//!    some initialize later than others.
//! 3. The first leader writes the group into the state ([`crate::membership`]).
//!
//! A node that is not ready when the others form the group waits until the leader takes it in.
//! Lists that differ form nothing.
//!
//! An emptied folder cannot be told from one that was never used. A node whose folder is emptied
//! waits only because it reaches a node that has the group, so this holds for sure once all listed
//! voters have been reached, and have the group. Before that a second group may form beside the
//! first: of five voters, three form the group while two are not reached yet; one of the three is
//! emptied while it does not reach the other two; with the two that were never reached it sees
//! three empty nodes of five, a majority, and these form another group. So an operator empties no
//! folder before every listed voter has been seen as a member, and starts an emptied node only
//! where it reaches the others. Where two groups have formed (their cluster ids differ, and their
//! nodes refuse each other), the operator stops the nodes of the newer one, empties their folders,
//! and starts them where they reach the older one.
//!
//! **Invariant:** a node whose folder was emptied forms no group while it reaches a node that has
//! one: it waits until the leader takes it in. (test:
//! `wiped_nodes_form_no_second_group_beside_a_node_that_has_the_first`)

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream::{FuturesUnordered, StreamExt};
use innkeeper_runtime::Runtime;
use innkeeper_tree::group::{Member, Ports, Role};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{InitializeError, RaftError};
use openraft::impls::BasicNode;

use super::address::PeerAddress;
use super::identity::Secret;
use super::message::{self, kind};
use super::peers::Peers;
use super::settings::PeerSettings;
use super::wire::Protection;
use crate::codec::{self, CodecError, Fields};
use crate::engine::RaftOf;
use crate::types::NodeId;
use crate::voting_right::VotingRight;

/// The pause between two rounds of questions.
const ROUND: Duration = Duration::from_millis(100);
/// After so many rounds an empty node says what it waits for.
const TOLD_AFTER_ROUNDS: u32 = 50;
/// How long a round waits for the answers.
const ANSWER: Duration = Duration::from_millis(500);

/// The group that a replica is a member of.
pub struct Group<R: Runtime> {
    /// The voters with the addresses of their peer ports, the same on all nodes. Once the group is
    /// founded, its own configuration counts instead; a node that is to be taken into it lists
    /// itself and nodes that are members.
    pub voters: BTreeMap<NodeId, PeerAddress>,
    /// The learners with the addresses of their peer ports. The replica's own number stands here or
    /// among the voters.
    pub learners: BTreeMap<NodeId, PeerAddress>,
    /// What ZooKeeper's configuration says of members besides.
    pub ports: BTreeMap<NodeId, Ports>,
    /// This node's peer port.
    pub listener: R::Listener,
    /// The secret that all members know; the empty one protects nothing.
    pub secret: Secret,
    /// What protects the connections.
    pub protection: Arc<dyn Protection<R>>,
    /// Time limits and bounds.
    pub settings: PeerSettings,
}

impl<R: Runtime> fmt::Debug for Group<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("voters", &self.voters)
            .finish_non_exhaustive()
    }
}

impl<R: Runtime> Group<R> {
    /// Where the settings say that a node is.
    pub(crate) fn address_of(&self, node: NodeId) -> Option<PeerAddress> {
        let listed = self.voters.get(&node).or_else(|| self.learners.get(&node));
        listed.cloned()
    }

    /// The members in the settings, whose data folders are not known.
    pub(crate) fn listed(&self) -> BTreeMap<NodeId, Member> {
        let of = |role| {
            move |(node, address): (&NodeId, &PeerAddress)| {
                let member = Member {
                    role,
                    address: address.to_string(),
                    ports: self.ports.get(node).cloned().unwrap_or_default(),
                    incarnation: None,
                };
                (*node, member)
            }
        };
        let voters = self.voters.iter().map(of(Role::Voter));
        let learners = self.learners.iter().map(of(Role::Learner));
        voters.chain(learners).collect()
    }
}

/// What a node says about its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct About {
    /// It has entries or a vote already.
    pub(super) is_initialized: bool,
    /// It may vote, so what it has is a group's.
    pub(super) may_vote: bool,
    /// The voters of the membership in its log.
    pub(super) members: BTreeSet<NodeId>,
    /// The voters in its settings.
    pub(super) voters: BTreeSet<NodeId>,
}

impl About {
    /// Is the node in a group that is not the one of these voters, or that is founded already? A
    /// node that has given its vote in this very forming has no entry yet, and holds nobody up.
    fn is_in_another_group(&self, voters: &BTreeSet<NodeId>, knows_cluster: bool) -> bool {
        let has_others = !self.members.is_empty() && self.members != *voters;
        self.is_initialized && self.may_vote && (has_others || knows_cluster)
    }

    pub(super) fn put(&self, out: &mut BytesMut) -> Result<(), CodecError> {
        out.put_u8(message::VERSION);
        out.put_u8(u8::from(self.is_initialized));
        out.put_u8(u8::from(self.may_vote));
        put_nodes(out, &self.members)?;
        put_nodes(out, &self.voters)
    }

    pub(super) fn read(body: &[u8]) -> Result<Self, CodecError> {
        let mut fields = message::fields("list of voters", body)?;
        Ok(Self {
            is_initialized: fields.flag()?,
            may_vote: fields.flag()?,
            members: nodes(&mut fields)?,
            voters: nodes(&mut fields)?,
        })
    }
}

pub(super) fn put_nodes(out: &mut BytesMut, nodes: &BTreeSet<NodeId>) -> Result<(), CodecError> {
    codec::put_count(out, "nodes", nodes.len())?;
    nodes.iter().for_each(|node| out.put_u64_le(*node));
    Ok(())
}

pub(super) fn nodes(fields: &mut Fields<'_>) -> Result<BTreeSet<NodeId>, CodecError> {
    (0..fields.u32()?).map(|_| fields.u64()).collect()
}

/// What this node says about its group.
pub(super) async fn about<R: Runtime>(
    raft: &RaftOf<R>,
    right: &VotingRight<R>,
    voters: &BTreeSet<NodeId>,
) -> Result<About, String> {
    let is_initialized = raft.is_initialized().await;
    let metrics = raft.server_metrics();
    let membership = metrics.borrow_watched().membership_config.clone();
    Ok(About {
        is_initialized: is_initialized.map_err(|fatal| fatal.to_string())?,
        may_vote: right.may_vote(),
        members: membership.voter_ids().collect(),
        voters: voters.clone(),
    })
}

/// Forms the group, or waits until this node finds itself in it. Ends early when openraft does.
pub(crate) async fn form<R: Runtime>(
    peers: Peers<R>,
    raft: RaftOf<R>,
    right: VotingRight<R>,
    voters: Arc<BTreeSet<NodeId>>,
) {
    let runtime = peers.inner().runtime.clone();
    let me = peers.identity().node_id;
    let mut told = BTreeMap::new();
    let mut rounds = 0;
    loop {
        let Ok(own) = about(&raft, &right, &voters).await else {
            return;
        };
        if own.is_initialized || peers.inner().stop.is_raised() {
            return;
        }
        let answers = ask_all(&peers, &own).await;
        let (mut empty, mut ready) = (1, 1);
        let mut is_formed_elsewhere = false;
        let mut used = BTreeSet::new();
        for (node, about) in answers {
            if about.is_initialized && about.may_vote {
                used.insert(node);
            }

            if about.is_in_another_group(&own.voters, peers.knows_cluster_of(node)) {
                is_formed_elsewhere = true;
            } else if about.voters != own.voters {
                tell_difference(&peers, &mut told, node, &own, &about);
            } else {
                empty += usize::from(!about.is_initialized);
                ready += usize::from(about.may_vote);
            }
        }
        if voters.contains(&me) && !is_formed_elsewhere {
            let majority = voters.len() / 2 + 1;
            if own.may_vote && ready >= majority {
                initialize(&raft, &voters).await;
            } else if !own.may_vote && empty >= majority {
                match right.ready().await {
                    Ok(()) => {
                        let_vote(&raft, &right, &peers);
                        continue;
                    }
                    Err(error) => tracing::warn!("the group cannot be formed: {error}"),
                }
            }
        }
        rounds += 1;
        if rounds == TOLD_AFTER_ROUNDS && !own.may_vote && !used.is_empty() {
            tracing::warn!(
                "the data folder of node {me} is empty, and the nodes {} have entries of a group already: its leader takes this node in; if there is no leader, since a majority of the voters is away or has lost its folders, start the others, or restore their folders from a backup",
                list(&used)
            );
        }
        runtime.sleep(ROUND).await;
    }
}

/// Lets this node vote.
pub(crate) fn let_vote<R: Runtime>(raft: &RaftOf<R>, right: &VotingRight<R>, peers: &Peers<R>) {
    right.let_vote();
    peers.change_identity(|identity| identity.may_vote = true);
    raft.runtime_config().elect(true);
}

async fn initialize<R: Runtime>(raft: &RaftOf<R>, voters: &BTreeSet<NodeId>) {
    let members: BTreeMap<_, _> = voters
        .iter()
        .map(|voter| (*voter, BasicNode::default()))
        .collect();
    match raft.initialize(members).await {
        Ok(()) => tracing::info!("this node forms a group of the voters {}", list(voters)),
        // An entry or a vote of another member came first.
        Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
        Err(error) => tracing::warn!("the group cannot be formed: {error}"),
    }
}

/// Asks all other voters at once. Those that do not answer are left out.
async fn ask_all<R: Runtime>(peers: &Peers<R>, own: &About) -> Vec<(NodeId, About)> {
    let mut body = BytesMut::new();
    if own.put(&mut body).is_err() {
        return Vec::new();
    }
    let body = body.freeze();
    let me = peers.identity().node_id;
    let others = own.voters.iter().filter(|voter| **voter != me);
    let asking: FuturesUnordered<_> = others.map(|voter| ask(peers, *voter, &body)).collect();
    let answers: Vec<_> = asking.collect().await;
    answers.into_iter().flatten().collect()
}

async fn ask<R: Runtime>(peers: &Peers<R>, voter: NodeId, body: &Bytes) -> Option<(NodeId, About)> {
    let caller = peers.caller(voter);
    let runtime = &peers.inner().runtime;
    let asked = runtime.timeout(ANSWER, caller.call(kind::ABOUT, body.clone()));
    let answer = asked.await.ok()?.ok()?;
    Some((voter, About::read(&answer).ok()?))
}

fn tell_difference<R: Runtime>(
    peers: &Peers<R>,
    told: &mut BTreeMap<NodeId, BTreeSet<NodeId>>,
    node: NodeId,
    own: &About,
    other: &About,
) {
    if told.insert(node, other.voters.clone()).as_ref() == Some(&other.voters) {
        return;
    }
    let me = peers.identity().node_id;
    tracing::warn!("{}", difference(me, own, node, other));
}

fn difference(me: NodeId, own: &About, node: NodeId, other: &About) -> String {
    format!(
        "node {node} lists the voters {} and node {me} lists {}: give both the same list, so that they form one group",
        list(&other.voters),
        list(&own.voters)
    )
}

fn list(voters: &BTreeSet<NodeId>) -> String {
    let voters: Vec<_> = voters.iter().map(ToString::to_string).collect();
    voters.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_is_read_back_and_a_difference_is_named() {
        let own = About {
            is_initialized: false,
            may_vote: true,
            members: [1].into(),
            voters: [1, 2, 3].into(),
        };
        let mut body = BytesMut::new();
        own.put(&mut body).unwrap();
        assert_eq!(About::read(&body).unwrap(), own);
        assert!(About::read(&body[..body.len() - 1]).is_err());
        let other = About {
            voters: [1, 2, 4].into(),
            ..own.clone()
        };
        assert_eq!(
            difference(1, &own, 2, &other),
            "node 2 lists the voters 1, 2, 4 and node 1 lists 1, 2, 3: give both the same list, so that they form one group"
        );
    }
}
