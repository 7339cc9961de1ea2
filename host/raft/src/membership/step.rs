//! The next step from Raft's membership to the configuration in the state.
//!
//! **Invariant:** one change at a time, each from what is committed. So a leader that died between
//! two steps leaves nothing that its successor must know.
//!
//! **Invariant:** no voter that answers goes while one that is to vote does not vote yet. So a
//! replaced voter counts until its successor has caught up, whether the leader has heard of the
//! successor or not. (tests: `a_voter_that_is_replaced_goes_after_its_successor_has_caught_up`,
//! `a_replaced_voter_counts_until_its_successor_votes`)
//!
//! **Invariant:** a member's folder is named only if this member has forgotten nothing, or while
//! Raft's membership does not hold it. What the emptied folder had promised then counts for
//! nothing: every later quorum was asked anew. (test: `an_emptied_member_is_named_outside_only`)

use std::collections::{BTreeMap, BTreeSet};

use innkeeper_tree::group::{GroupChange, GroupInfo, Incarnation, Member, Role};

use super::awaited::Awaited;
use crate::peer::{ClusterId, Identity};
use crate::types::NodeId;

/// A learner that lacks no more entries than this becomes a voter: then it follows as fast as the
/// others.
const CAUGHT_UP: u64 = 256;

/// What the established leader knows when it looks for a step.
pub(super) struct Scene<'a> {
    pub(super) me: NodeId,
    pub(super) my_folder: Incarnation,
    /// The group in the state; `None` before it is founded.
    pub(super) group: Option<&'a GroupInfo>,
    /// The members in this node's settings, by which a group is founded.
    pub(super) listed: &'a BTreeMap<NodeId, Member>,
    /// The voters of Raft's membership, in one set or, within a change, in two.
    pub(super) voters: &'a [BTreeSet<NodeId>],
    /// All nodes of Raft's membership.
    pub(super) nodes: &'a BTreeSet<NodeId>,
    pub(super) is_committed: bool,
    /// What the peers said in their last hellos.
    pub(super) met: &'a BTreeMap<NodeId, Identity>,
    /// The peers whose acknowledgements are recent.
    pub(super) heard: &'a BTreeSet<NodeId>,
    /// How many entries each peer lacks.
    pub(super) lacks: &'a BTreeMap<NodeId, u64>,
    /// It has led for so long that everybody who answers has been heard.
    pub(super) is_late: bool,
    /// The id for the group, if this step founds it.
    pub(super) cluster: ClusterId,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A command for the state.
    Command(GroupChange),
    /// Ends the change between two sets of voters that the leader before has begun.
    EndChange,
    /// Takes a voter out of the membership.
    RemoveVoter(NodeId),
    /// Takes a learner out of the membership.
    RemoveLearner(NodeId),
    /// Takes a node in that does not vote.
    AddLearner(NodeId),
    /// Changes the voters. Those that stop voting become learners.
    Voters(BTreeSet<NodeId>),
    /// This node is to go or not to vote: another one leads first.
    Transfer(NodeId),
}

impl Scene<'_> {
    /// The next step; `None` if there is none at the moment.
    pub(super) fn next(&self) -> Option<Step> {
        if !self.is_committed {
            return None;
        }
        let [voters] = self.voters else {
            return Some(Step::EndChange);
        };
        let Some(group) = self.group else {
            return self.found(voters);
        };
        self.take_out(group, voters)
            .or_else(|| self.name(group))
            .or_else(|| self.take_in(group))
            .or_else(|| self.change_voters(group, voters))
            .or_else(|| self.drop_learner(group, voters))
    }

    /// Is Raft's membership what the configuration wants?
    pub(super) fn is_reached(&self) -> bool {
        let (Some(group), [voters]) = (self.group, self.voters) else {
            return false;
        };
        let learners: BTreeSet<_> = self.nodes.difference(voters).copied().collect();
        let has_forgotten = |node| self.has_forgotten(group, node);
        self.is_committed
            && *voters == wanted(group, Role::Voter)
            && learners == wanted(group, Role::Learner)
            && !self.nodes.iter().any(has_forgotten)
            && self.name(group).is_none()
    }

    /// Whom the group waits for, if voters that are to go stay for it.
    pub(super) fn awaited(&self) -> Option<Awaited> {
        let (Some(group), [voters]) = (self.group, self.voters) else {
            return None;
        };
        let wanted = wanted(group, Role::Voter);
        let coming = wanted.difference(voters).copied();
        let (catching_up, silent) = coming.partition(|node| self.heard.contains(node));
        let awaited = Awaited {
            silent,
            catching_up,
            staying: voters.difference(&wanted).copied().collect(),
        };
        let waits = !wanted.is_subset(voters) && !awaited.staying.is_empty();
        waits.then_some(awaited)
    }

    fn found(&self, voters: &BTreeSet<NodeId>) -> Option<Step> {
        let folder_of = |node: NodeId| match node == self.me {
            true => Some(self.my_folder),
            false => {
                let met = self.met.get(&node).filter(|met| met.may_vote);
                met.map(|met| met.incarnation)
            }
        };
        let are_all_met = voters.iter().all(|voter| folder_of(*voter).is_some());
        if !(are_all_met || self.is_late) {
            return None;
        }
        let members = self.listed.iter().map(|(node, listed)| {
            let member = Member {
                incarnation: folder_of(*node),
                ..listed.clone()
            };
            (*node, member)
        });
        Some(Step::Command(GroupChange::Found {
            cluster: self.cluster,
            members: members.collect(),
        }))
    }

    /// Is this a member whose folder was emptied since it was named?
    fn has_forgotten(&self, group: &GroupInfo, node: &NodeId) -> bool {
        let met = self.met.get(node).filter(|met| !met.may_vote);
        met.is_some_and(|met| !group.names(*node, met.incarnation))
    }

    /// Takes a member out that has forgotten what it stored and promised.
    fn take_out(&self, group: &GroupInfo, voters: &BTreeSet<NodeId>) -> Option<Step> {
        let mut nodes = self.nodes.iter().filter(|node| **node != self.me);
        let gone = *nodes.find(|node| self.has_forgotten(group, node))?;
        if !voters.contains(&gone) {
            return Some(Step::RemoveLearner(gone));
        }
        let mut rest = voters.clone();
        rest.remove(&gone);
        let can = self.is_quorum(voters, Some(gone)) && self.is_quorum(&rest, None);
        can.then_some(Step::RemoveVoter(gone))
    }

    /// Names the folder of a member.
    fn name(&self, group: &GroupInfo) -> Option<Step> {
        group.members.iter().find_map(|(node, member)| {
            // A leader votes.
            let (folder, may_vote) = match *node == self.me {
                true => (self.my_folder, true),
                false => self
                    .met
                    .get(node)
                    .map(|met| (met.incarnation, met.may_vote))?,
            };
            let is_known = member.incarnation == Some(folder);
            // One that may vote has forgotten nothing. It was not met when the group was founded,
            // or it was removed and is added again.
            let may = match may_vote {
                true => member.incarnation.is_none(),
                false => !self.nodes.contains(node),
            };
            (!is_known && may).then_some(Step::Command(GroupChange::Admit {
                node: *node,
                was: member.incarnation,
                incarnation: folder,
            }))
        })
    }

    /// Adds a named member, as a learner first.
    fn take_in(&self, group: &GroupInfo) -> Option<Step> {
        let mut members = group.members.keys().copied();
        let new = members.find(|node| {
            let met = self.met.get(node);
            let is_named = met.is_some_and(|met| group.names(*node, met.incarnation));
            is_named && !self.nodes.contains(node)
        })?;
        Some(Step::AddLearner(new))
    }

    fn change_voters(&self, group: &GroupInfo, voters: &BTreeSet<NodeId>) -> Option<Step> {
        let is_wanted = |node: &NodeId| {
            let member = group.members.get(node);
            member.is_some_and(|member| member.role == Role::Voter)
        };
        let coming = self
            .nodes
            .iter()
            .filter(|node| is_wanted(node) && !voters.contains(node))
            .filter(|node| self.heard.contains(node));
        let (ready, catching_up): (BTreeSet<_>, BTreeSet<_>) = coming.partition(|node| {
            self.lacks
                .get(node)
                .is_some_and(|lacks| *lacks <= CAUGHT_UP)
        });
        let mut goal: BTreeSet<_> = voters.union(&ready).copied().collect();
        let wanted = group.members.keys().filter(|node| is_wanted(node));
        // With this guard out a test must fail: a replaced voter goes at once.
        let are_all_there = cfg!(innkeeper_break = "kept-voter")
            || wanted.into_iter().all(|node| goal.contains(node));
        // A voter that is dead and goes is no help, whoever replaces it.
        let is_dead = |node: &NodeId| self.is_late && !self.heard.contains(node);
        goal.retain(|node| {
            let may_go = are_all_there || (catching_up.is_empty() && is_dead(node));
            is_wanted(node) || *node == self.me || !may_go
        });
        if goal != *voters {
            let can = self.is_quorum(voters, None) && self.is_quorum(&goal, None);
            return can.then_some(Step::Voters(goal));
        }
        if is_wanted(&self.me) || !are_all_there {
            return None;
        }
        let others = voters.iter().filter(|node| is_wanted(node));
        let ready = others.filter(|node| self.heard.contains(node));
        let least = ready.min_by_key(|node| self.lacks.get(node).copied().unwrap_or(u64::MAX));
        least.copied().map(Step::Transfer)
    }

    /// Takes a learner out that is no member any more.
    fn drop_learner(&self, group: &GroupInfo, voters: &BTreeSet<NodeId>) -> Option<Step> {
        let mut learners = self.nodes.difference(voters);
        let gone = learners.find(|node| !group.members.contains_key(node))?;
        Some(Step::RemoveLearner(*gone))
    }

    /// Do enough of these voters answer, without one of them?
    fn is_quorum(&self, voters: &BTreeSet<NodeId>, without: Option<NodeId>) -> bool {
        let answering = voters
            .iter()
            .filter(|voter| **voter == self.me || self.heard.contains(voter))
            .filter(|voter| Some(**voter) != without);
        answering.count() > voters.len() / 2
    }
}

/// The members that the configuration has in a role.
fn wanted(group: &GroupInfo, role: Role) -> BTreeSet<NodeId> {
    let members = group.members.iter();
    let of_role = members.filter(|(_, member)| role == member.role);
    of_role.map(|(node, _)| *node).collect()
}

#[cfg(test)]
mod tests;
