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
        let wanted = |group: &GroupInfo, role| -> BTreeSet<NodeId> {
            let members = group.members.iter();
            let of_role = members.filter(|(_, member)| role == member.role);
            of_role.map(|(node, _)| *node).collect()
        };
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
        let are_all_there = wanted.into_iter().all(|node| goal.contains(node));
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

#[cfg(test)]
mod tests {
    use super::*;
    use innkeeper_tree::Zxid;
    use innkeeper_tree::group::Ports;

    /// A leader of number 1 whose peers all answer and lack nothing.
    struct Stage {
        group: Option<GroupInfo>,
        listed: BTreeMap<NodeId, Member>,
        voters: Vec<BTreeSet<NodeId>>,
        nodes: BTreeSet<NodeId>,
        met: BTreeMap<NodeId, Identity>,
        heard: BTreeSet<NodeId>,
        lacks: BTreeMap<NodeId, u64>,
        is_committed: bool,
        is_late: bool,
    }

    fn folder(byte: u8) -> Incarnation {
        Incarnation([byte; 16])
    }

    fn identity(node_id: NodeId, byte: u8, may_vote: bool) -> Identity {
        Identity {
            cluster: None,
            node_id,
            incarnation: folder(byte),
            feature_level: 1,
            may_vote,
        }
    }

    const CLUSTER: ClusterId = ClusterId([9; 16]);

    impl Stage {
        /// Three voters that know each other.
        fn three() -> Self {
            let members = [1u8, 2, 3].map(|node| {
                let member = Member {
                    role: Role::Voter,
                    address: format!("node-{node}:2888"),
                    ports: Ports::default(),
                    incarnation: Some(folder(node)),
                };
                (u64::from(node), member)
            });
            let listed = members.iter().map(|(node, member)| {
                let listed = Member {
                    incarnation: None,
                    ..member.clone()
                };
                (*node, listed)
            });
            Self {
                listed: listed.collect(),
                group: Some(GroupInfo {
                    cluster: CLUSTER,
                    version: Zxid(1),
                    members: members.into(),
                }),
                voters: vec![[1, 2, 3].into()],
                nodes: [1, 2, 3].into(),
                met: [2u8, 3]
                    .map(|node| (u64::from(node), identity(node.into(), node, true)))
                    .into(),
                heard: [2, 3].into(),
                lacks: [(2, 0), (3, 0)].into(),
                is_committed: true,
                is_late: false,
            }
        }

        fn scene(&self) -> Scene<'_> {
            Scene {
                me: 1,
                my_folder: folder(1),
                group: self.group.as_ref(),
                listed: &self.listed,
                voters: &self.voters,
                nodes: &self.nodes,
                is_committed: self.is_committed,
                met: &self.met,
                heard: &self.heard,
                lacks: &self.lacks,
                is_late: self.is_late,
                cluster: CLUSTER,
            }
        }

        fn next(&self) -> Option<Step> {
            self.scene().next()
        }

        fn set(&mut self, node: NodeId, role: Role) {
            let members = &mut self.group.as_mut().unwrap().members;
            let member = members.entry(node).or_insert(Member {
                role,
                address: format!("node-{node}:2888"),
                ports: Ports::default(),
                incarnation: None,
            });
            member.role = role;
        }

        fn unset(&mut self, node: NodeId) {
            self.group.as_mut().unwrap().members.remove(&node);
        }

        /// Takes steps as a group without faults would, and returns them.
        fn settle(&mut self) -> Vec<Step> {
            let mut steps = Vec::new();
            while let Some(step) = self.next() {
                assert!(steps.len() < 20, "{steps:?}");
                match &step {
                    Step::Command(GroupChange::Admit {
                        node, incarnation, ..
                    }) => {
                        let members = &mut self.group.as_mut().unwrap().members;
                        members.get_mut(node).unwrap().incarnation = Some(*incarnation);
                    }
                    Step::Command(_) => {}
                    Step::EndChange => drop(self.voters.remove(0)),
                    Step::RemoveVoter(gone) | Step::RemoveLearner(gone) => {
                        self.voters[0].remove(gone);
                        self.nodes.remove(gone);
                    }
                    Step::AddLearner(node) => {
                        self.nodes.insert(*node);
                        self.heard.insert(*node);
                        self.lacks.insert(*node, 0);
                    }
                    Step::Voters(voters) => self.voters[0] = voters.clone(),
                    Step::Transfer(_) => return [steps, vec![step]].concat(),
                }
                steps.push(step);
            }
            assert!(self.scene().is_reached());
            steps
        }
    }

    #[test]
    fn a_group_that_is_what_it_should_be_takes_no_step() {
        let stage = Stage::three();
        assert!(stage.scene().is_reached());
        assert_eq!(stage.next(), None);
    }

    #[test]
    fn the_first_leader_founds_with_the_folders_that_it_has_met() {
        let mut stage = Stage::three();
        let members = stage.group.take().unwrap().members;
        let found = |members| {
            Some(Step::Command(GroupChange::Found {
                cluster: CLUSTER,
                members,
            }))
        };
        assert_eq!(stage.next(), found(members.clone()));
        stage.met.remove(&3);
        assert_eq!(stage.next(), None, "it waits for the third a while");
        stage.is_late = true;
        let mut less = members;
        less.get_mut(&3).unwrap().incarnation = None;
        assert_eq!(stage.next(), found(less.clone()));
        // An emptied one is no founder.
        stage.met.insert(3, identity(3, 7, false));
        assert_eq!(stage.next(), found(less.clone()));
        // Later the third is named, in its place if it is a founder.
        stage.group = Some(GroupInfo {
            cluster: CLUSTER,
            version: Zxid(1),
            members: less,
        });
        stage.met.insert(3, identity(3, 3, true));
        let admit = Step::Command(GroupChange::Admit {
            node: 3,
            was: None,
            incarnation: folder(3),
        });
        assert_eq!(stage.settle(), [admit]);
    }

    #[test]
    fn an_emptied_member_is_named_outside_only() {
        let mut stage = Stage::three();
        stage.met.insert(3, identity(3, 33, false));
        assert!(!stage.scene().is_reached());
        stage.heard.remove(&3);
        let steps = stage.settle();
        let admit = Step::Command(GroupChange::Admit {
            node: 3,
            was: Some(folder(3)),
            incarnation: folder(33),
        });
        let all = [
            Step::RemoveVoter(3),
            admit,
            Step::AddLearner(3),
            Step::Voters([1, 2, 3].into()),
        ];
        assert_eq!(steps, all);
        // Without a quorum of the others nothing is begun.
        let mut stage = Stage::three();
        stage.met.insert(3, identity(3, 33, false));
        stage.heard = [3].into();
        assert_eq!(stage.next(), None);
    }

    /// It was taken out of the configuration and put in again before Raft's membership followed.
    #[test]
    fn a_leader_names_its_own_folder() {
        let mut stage = Stage::three();
        stage.unset(1);
        stage.set(1, Role::Voter);
        assert!(!stage.scene().is_reached());
        let admit = Step::Command(GroupChange::Admit {
            node: 1,
            was: None,
            incarnation: folder(1),
        });
        assert_eq!(stage.settle(), [admit]);
        assert!(stage.scene().is_reached());
    }

    #[test]
    fn a_member_is_replaced_in_one_change_of_voters() {
        let mut stage = Stage::three();
        stage.unset(2);
        stage.set(4, Role::Voter);
        stage.met.insert(4, identity(4, 4, false));
        let mut steps = Vec::new();
        // While the new one catches up, the old one votes.
        for _ in 0..2 {
            let step = stage.next().unwrap();
            if step == Step::AddLearner(4) {
                stage.nodes.insert(4);
                stage.heard.insert(4);
                stage.lacks.insert(4, 10_000);
            } else {
                let members = &mut stage.group.as_mut().unwrap().members;
                members.get_mut(&4).unwrap().incarnation = Some(folder(4));
            }
            steps.push(step);
        }
        assert_eq!(steps[1], Step::AddLearner(4));
        assert_eq!(stage.next(), None);
        stage.lacks.insert(4, 3);
        let rest = stage.settle();
        let all = [Step::Voters([1, 3, 4].into()), Step::RemoveLearner(2)];
        assert_eq!(rest, all);
    }

    #[test]
    fn members_become_learners_and_voters_again() {
        let mut stage = Stage::three();
        stage.set(3, Role::Learner);
        assert_eq!(stage.settle(), [Step::Voters([1, 2].into())]);
        stage.set(3, Role::Voter);
        assert_eq!(stage.settle(), [Step::Voters([1, 2, 3].into())]);
    }

    /// One that was never met is waited for.
    #[test]
    fn a_voter_that_is_replaced_goes_after_its_successor_has_caught_up() {
        let mut stage = Stage::three();
        stage.set(4, Role::Voter);
        stage.unset(3);
        stage.is_late = true;
        assert_eq!(stage.next(), None);
        assert!(!stage.scene().is_reached());
        // A dead one is not. A leader that has just begun cannot tell.
        stage.heard.remove(&3);
        assert_eq!(stage.next(), Some(Step::Voters([1, 2].into())));
        stage.is_late = false;
        assert_eq!(stage.next(), None);
        // The leader that is to go stays, too.
        let mut stage = Stage::three();
        stage.set(4, Role::Voter);
        stage.unset(1);
        stage.is_late = true;
        assert_eq!(stage.next(), None);
        stage.met.insert(4, identity(4, 4, false));
        let begun = [stage.settle(), Vec::new()].concat();
        let voters = Step::Voters([1, 2, 3, 4].into());
        assert!(begun.contains(&voters), "{begun:?}");
        assert_eq!(begun.last(), Some(&Step::Transfer(2)));
    }

    #[test]
    fn a_leader_that_goes_hands_over_first() {
        let mut stage = Stage::three();
        stage.unset(1);
        stage.lacks = [(2, 5), (3, 1)].into();
        assert_eq!(stage.settle(), [Step::Transfer(3)]);
        stage.heard.remove(&3);
        assert_eq!(stage.next(), Some(Step::Transfer(2)));
    }

    #[test]
    fn what_a_leader_left_half_done_is_finished_first() {
        let mut stage = Stage::three();
        stage.voters = vec![[1, 2].into(), [1, 2, 3].into()];
        assert_eq!(stage.next(), Some(Step::EndChange));
        stage.is_committed = false;
        assert_eq!(stage.next(), None);
    }
}
