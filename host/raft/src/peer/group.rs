//! The group that a node is to be a member of, and how it is formed.
//!
//! Empty nodes compare their lists of voters. When a majority of the listed nodes is reachable,
//! empty and has the same list, each of them initializes openraft with these numbers. So the first
//! entry of the log is the same on all of them, and it does not matter in which order they start,
//! or that some of them initialize later than others. A node that finds the group formed waits for
//! the leader's entries. Lists that differ form nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream::{FuturesUnordered, StreamExt};
use innkeeper_runtime::Runtime;
use openraft::errors::{InitializeError, RaftError};
use openraft::impls::BasicNode;

use super::address::PeerAddress;
use super::identity::Secret;
use super::message::{self, kind};
use super::peers::{PeerSettings, Peers};
use super::wire::Protection;
use crate::codec::{self, CodecError};
use crate::engine::RaftOf;
use crate::types::NodeId;

/// The pause between two rounds of questions.
const ROUND: Duration = Duration::from_millis(100);
/// How long a round waits for the answers.
const ANSWER: Duration = Duration::from_millis(500);

/// The group that a replica is a member of.
pub struct Group<R: Runtime> {
    /// The voters with the addresses of their peer ports. The replica's own number is among them.
    pub voters: BTreeMap<NodeId, PeerAddress>,
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

/// What a node says about its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct About {
    /// It has entries or a vote already.
    pub(super) is_initialized: bool,
    /// The voters in its settings.
    pub(super) voters: BTreeSet<NodeId>,
}

impl About {
    pub(super) fn put(&self, out: &mut BytesMut) -> Result<(), CodecError> {
        out.put_u8(message::VERSION);
        out.put_u8(u8::from(self.is_initialized));
        codec::put_count(out, "voters", self.voters.len())?;
        self.voters.iter().for_each(|voter| out.put_u64_le(*voter));
        Ok(())
    }

    pub(super) fn read(body: &[u8]) -> Result<Self, CodecError> {
        let mut fields = message::fields("list of voters", body)?;
        let is_initialized = fields.flag()?;
        let mut voters = BTreeSet::new();
        for _ in 0..fields.u32()? {
            voters.insert(fields.u64()?);
        }
        Ok(Self {
            is_initialized,
            voters,
        })
    }
}

/// What this node says about its group.
pub(super) async fn about<R: Runtime>(
    raft: &RaftOf<R>,
    voters: &BTreeSet<NodeId>,
) -> Result<About, String> {
    let is_initialized = raft.is_initialized().await;
    Ok(About {
        is_initialized: is_initialized.map_err(|fatal| fatal.to_string())?,
        voters: voters.clone(),
    })
}

/// Forms the group, or waits until this node finds itself in it. Ends early when openraft does.
pub(crate) async fn form<R: Runtime>(
    peers: Peers<R>,
    raft: RaftOf<R>,
    voters: Arc<BTreeSet<NodeId>>,
) {
    let runtime = peers.inner().runtime.clone();
    let mut told = BTreeMap::new();
    loop {
        let Ok(own) = about(&raft, &voters).await else {
            return;
        };
        if own.is_initialized || peers.inner().stop.is_raised() {
            return;
        }
        let answers = ask_all(&peers, &own).await;
        let mut same = 1;
        for (node, about) in answers {
            if about.voters != own.voters {
                tell_difference(&peers, &mut told, node, &own, &about);
            } else if !about.is_initialized {
                same += 1;
            }
        }
        // A voter that is initialized counts for nothing: if the group is formed, its leader sends
        // this node the entries.
        if same > voters.len() / 2 {
            let members: BTreeMap<_, _> = voters
                .iter()
                .map(|voter| (*voter, BasicNode::default()))
                .collect();
            match raft.initialize(members).await {
                Ok(()) => tracing::info!("this node forms a group of the voters {}", list(&voters)),
                // An entry or a vote of another member came first.
                Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
                Err(error) => tracing::warn!("the group cannot be formed: {error}"),
            }
        }
        runtime.sleep(ROUND).await;
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
            voters: [1, 2, 3].into(),
        };
        let mut body = BytesMut::new();
        own.put(&mut body).unwrap();
        assert_eq!(About::read(&body).unwrap(), own);
        assert!(About::read(&body[..body.len() - 1]).is_err());
        let other = About {
            is_initialized: false,
            voters: [1, 2, 4].into(),
        };
        assert_eq!(
            difference(1, &own, 2, &other),
            "node 2 lists the voters 1, 2, 4 and node 1 lists 1, 2, 3: give both the same list, so that they form one group"
        );
    }
}
