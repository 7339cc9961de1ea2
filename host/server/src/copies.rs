//! How many nodes of the group store a module.
//!
//! The bytes of a module travel outside the log. Before the log names a module, a quorum of the
//! voters stores it durably: then it outlives the loss of any minority. The node that has it asks
//! all others; one that does not store it begins to fetch it, and is asked again.

use std::collections::BTreeSet;
use std::future::pending;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use innkeeper_raft::Replica;
use innkeeper_runtime::{Runtime, Select3, select3};
use innkeeper_tree::Digest;

use crate::reports::{Answer, Question};
use crate::service::Service;

/// The pause before a node that lacks a module is asked again; it doubles with each time.
const AGAIN_LEAST: Duration = Duration::from_millis(20);

/// The longest of these pauses.
const AGAIN_MOST: Duration = Duration::from_secs(1);

/// After this time the members are looked at anew.
const MEMBERS_AGAIN: Duration = Duration::from_secs(5);

/// How many voters store a module durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copies {
    /// The voters that store it.
    pub stored: usize,
    /// How many of them have to.
    pub needed: usize,
}

impl<R: Runtime> Service<R> {
    /// Waits until a quorum of the voters stores a module durably. This node stores it already.
    /// `tell` hears how many do, each time that this is not enough. False if the node stops.
    pub async fn is_stored_by_quorum(&self, module: Digest, tell: impl Fn(Copies)) -> bool {
        loop {
            let Ok(replica) = self.replica() else {
                return false;
            };
            let stored = self.stored_by_quorum(&replica, module, &tell);
            let again = self.runtime.sleep(MEMBERS_AGAIN);
            match select3(self.stopping.wait(), stored, again).await {
                Select3::First(()) => return false,
                Select3::Second(()) => return true,
                Select3::Third(()) => {}
            }
        }
    }

    /// Returns when a quorum of the present members stores it.
    async fn stored_by_quorum(&self, replica: &Replica<R>, module: Digest, tell: &impl Fn(Copies)) {
        let status = replica.status();
        let (me, voters) = (status.node_id, &status.members.voters);
        let others = voters.iter().chain(&status.members.learners);
        let others = others.copied().filter(|node| *node != me);
        let mut asking: FuturesUnordered<_> = others
            .map(|node| self.until_stored(replica, node, module))
            .collect();
        let mut holders = BTreeSet::from([me]);
        while !replica.is_quorum(&holders) {
            tell(Copies {
                stored: voters.intersection(&holders).count(),
                needed: voters.len() / 2 + 1,
            });
            match asking.next().await {
                Some(node) => holders.insert(node),
                // The membership changes.
                None => pending().await,
            };
        }
    }

    /// Asks one node until it says that it stores the module.
    async fn until_stored(&self, replica: &Replica<R>, node: u64, module: Digest) -> u64 {
        let mut pause = AGAIN_LEAST;
        loop {
            let answer = replica.ask(node, Question::Stores(module).encode()).await;
            if answer.is_ok_and(|body| Answer::decode(&body) == Ok(Answer::Stores(true))) {
                return node;
            }
            self.runtime.sleep(pause).await;
            pause = (pause * 2).min(AGAIN_MOST);
        }
    }
}
