//! The members of the group, and how Raft's membership follows the configuration in the state.
//!
//! 1. The first leader founds the group: it writes a random cluster id, and the members with their
//!    data folders, into the state.
//! 2. Anybody changes the configuration through the [proposals](crate::Proposals).
//! 3. The established leader goes from Raft's membership to the configuration, [step by
//!    step](step), and asks nobody: it takes new members in as learners, makes them voters when
//!    they have caught up, and takes out those that go. A voter that is replaced keeps its vote
//!    until then ([`awaited`]). A member whose folder was emptied it takes out and in again.
//! 4. A leader that others cannot dial hands over (`handover.rs`).
//! 5. Every node follows the group in its own state: it tells its [peers](crate::peer) the
//!    addresses, the named folders and the cluster's id, and lets itself vote when the group names
//!    its folder.

mod awaited;
mod handover;
mod step;
mod transfer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::{Instant, Runtime, Select2, Select4, Signal, ThreadRole, select2, select4};
use innkeeper_tree::Operation;
use innkeeper_tree::group::{GroupInfo, Member};
use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::impls::BasicNode;

use self::awaited::{News, Told};
use self::step::{Scene, Step};
use crate::engine::RaftOf;
use crate::error::Failure;
use crate::log::Log;
use crate::peer::{ClusterId, Peers, let_vote};
use crate::proposals::Proposals;
use crate::standing::{Standing, hears};
use crate::state::StateShared;
use crate::types::NodeId;
use crate::voting_right::VotingRight;

pub(crate) use handover::Handover;
pub(crate) use transfer::{hand_over, transfer};

/// The log says whom the group waits for when it has waited for so many times
/// [`election`](crate::Settings::election).
const AWAITED_ELECTIONS: u32 = 20;

/// The task that keeps the membership.
pub(crate) struct Keeper<R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) raft: RaftOf<R>,
    pub(crate) peers: Peers<R>,
    pub(crate) proposals: Proposals,
    pub(crate) state: Arc<StateShared>,
    pub(crate) log: Log<R>,
    pub(crate) right: VotingRight<R>,
    pub(crate) me: NodeId,
    /// The members in this node's settings.
    pub(crate) listed: BTreeMap<NodeId, Member>,
    /// The least silence after which a leader is replaced.
    pub(crate) election: Duration,
    pub(crate) stop: Signal,
    pub(crate) failure: Failure,
}

/// The membership as openraft knows it on the leader.
struct Known {
    voters: Vec<BTreeSet<NodeId>>,
    nodes: BTreeSet<NodeId>,
    is_committed: bool,
    heard: BTreeSet<NodeId>,
    lacks: BTreeMap<NodeId, u64>,
}

impl<R: Runtime> Keeper<R> {
    /// Runs on the raft thread until the node stops.
    pub(crate) async fn run(self) {
        let mut groups = self.state.group.reader();
        let mut news = self.peers.news().reader();
        let mut metrics = self.raft.server_metrics();
        let stop = self.stop.clone();
        // Since when this node leads in a term.
        let mut leads: Option<(u64, Instant)> = None;
        let mut told = Told::default();
        self.follow(self.state.group.get());
        let pace = self.election / 5;
        loop {
            metrics.borrow_and_update();
            let standing = Standing::of(&self.raft, self.state.applied());
            let busy = match standing {
                Standing::Leads { term, .. } => {
                    let now = self.runtime.now();
                    let since = leads.filter(|(of, _)| *of == term);
                    let (_, since) = *leads.insert(since.unwrap_or((term, now)));
                    self.lead(now.since(since), &mut told).await
                }
                // It may be elected and not established yet.
                Standing::Waits => true,
                Standing::Follows { .. } => {
                    told = Told::default();
                    false
                }
            };
            let pause = async {
                match busy {
                    true => self.runtime.sleep(pace).await,
                    false => std::future::pending().await,
                }
            };
            let end = select2(stop.wait(), self.failure.failed());
            let moved = select2(metrics.changed(), news.changed());
            match select4(end, groups.changed(), moved, pause).await {
                // openraft has ended, and nothing changes any more.
                Select4::First(_) | Select4::Third(Select2::First(Err(_))) => return,
                Select4::Second(group) => self.follow(group),
                Select4::Third(_) | Select4::Fourth(()) => {}
            }
        }
    }

    /// Takes over what the group in the state says.
    fn follow(&self, group: Option<Arc<GroupInfo>>) {
        let Some(group) = group else {
            return;
        };
        self.peers.set_group(&group);
        if !group.names(self.me, self.right.incarnation()) || self.right.may_vote() {
            return;
        }
        let_vote(&self.raft, &self.right, &self.peers);
        tracing::info!("the group has taken in this node's data folder");
        // Until the entry is durable here, a power cut would make the node forget it.
        let (right, log, applied) = (self.right.clone(), self.log.clone(), self.state.applied());
        let task = async move {
            let index = applied.map_or(0, |id| id.index);
            let done = match log.flushed_past(index).await {
                Ok(()) => right.joined().await.map_err(|error| error.to_string()),
                Err(sentence) => Err(sentence),
            };
            if let Err(error) = done {
                tracing::warn!("the data folder still says that it joins a group: {error}");
            }
        };
        self.runtime.spawn(ThreadRole::Raft, task).detach();
    }

    /// Takes the next step of the established leader. Returns whether there is more to do.
    async fn lead(&self, since: Duration, told: &mut Told) -> bool {
        let Some(known) = self.known() else {
            return true;
        };
        let group = self.state.group.get();
        let met = self.peers.met();
        let mut cluster = [0; 16];
        if group.is_none() {
            self.runtime.fill_random(&mut cluster);
        }
        let scene = Scene {
            me: self.me,
            my_folder: self.right.incarnation(),
            group: group.as_deref(),
            listed: &self.listed,
            voters: &known.voters,
            nodes: &known.nodes,
            is_committed: known.is_committed,
            met: &met,
            heard: &known.heard,
            lacks: &known.lacks,
            is_late: since >= self.election * 2,
            cluster: ClusterId(cluster),
        };
        let limit = self.election * AWAITED_ELECTIONS;
        match told.look(scene.awaited(), self.runtime.now(), limit) {
            Some(News::Waits(awaited)) => tracing::warn!("{awaited}"),
            Some(News::Over) => tracing::info!("the group waits for nobody to vote any more"),
            None => {}
        }
        if let Some(step) = scene.next() {
            // openraft's answer may wait for a quorum that is not there, and the term may end.
            let limit = self.runtime.sleep(self.election * 4);
            let end = select2(self.stop.wait(), limit);
            select2(end, self.take(step)).await;
            return true;
        }
        !scene.is_reached()
    }

    fn known(&self) -> Option<Known> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let stored = &metrics.membership_config;
        let membership = stored.membership();
        let last = metrics.last_log_index.unwrap_or(0);
        let replication = metrics.replication.as_ref()?;
        let lacks = replication.iter().map(|(node, matched)| {
            let has = matched.as_ref().map_or(0, |id| id.index + 1);
            (*node, (last + 1).saturating_sub(has))
        });
        let heard = metrics.heartbeat.iter().flatten().map(|(node, _)| *node);
        let heard = heard.filter(|node| hears(&metrics, *node, self.election));
        Some(Known {
            voters: membership.get_joint_config().clone(),
            nodes: membership.nodes().map(|(node, _)| *node).collect(),
            is_committed: *stored.log_id() <= self.state.applied(),
            heard: heard.collect(),
            lacks: lacks.collect(),
        })
    }

    async fn take(&self, step: Step) {
        let changes = match step {
            Step::Command(change) => {
                tracing::info!("the group changes: {change:?}");
                let mut groups = self.state.group.reader();
                self.proposals.submit(vec![Operation::Group(change)]).await;
                groups.changed().await;
                return;
            }
            Step::Transfer(to) => {
                if let Err(sentence) = transfer(&self.runtime, &self.raft, self.election, to).await
                {
                    tracing::warn!("{sentence}");
                }
                return;
            }
            Step::EndChange => (ChangeMembers::AddVoterIds(BTreeSet::new()), true),
            Step::AddLearner(node) => {
                let node = (node, BasicNode::default());
                (ChangeMembers::AddNodes([node].into()), true)
            }
            Step::Voters(voters) => (ChangeMembers::ReplaceAllVoters(voters), true),
            Step::RemoveVoter(gone) => (ChangeMembers::RemoveVoters([gone].into()), false),
            Step::RemoveLearner(gone) => (ChangeMembers::RemoveNodes([gone].into()), true),
        };
        // Voters that go become learners if they are retained.
        let (changes, retain) = changes;
        tracing::info!("Raft's membership changes: {changes:?}");
        match self.raft.change_membership(changes, retain).await {
            Ok(_) => {}
            Err(error) => tracing::info!("Raft's membership has not changed: {error}"),
        }
    }
}
