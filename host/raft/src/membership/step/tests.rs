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
        address: None,
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
    assert!(stage.scene().awaited().is_some());
    stage.lacks.insert(4, 3);
    let rest = stage.settle();
    let all = [Step::Voters([1, 3, 4].into()), Step::RemoveLearner(2)];
    assert_eq!(rest, all);
    assert_eq!(stage.scene().awaited(), None);
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
    let waits_for = |stage: &Stage, silent: &[NodeId], catching_up: &[NodeId]| {
        let awaited = Awaited {
            silent: silent.iter().copied().collect(),
            catching_up: catching_up.iter().copied().collect(),
            staying: [3].into(),
        };
        assert_eq!(stage.scene().awaited(), Some(awaited));
    };
    waits_for(&stage, &[4], &[]);
    stage.heard.insert(4);
    waits_for(&stage, &[], &[4]);
    stage.heard.remove(&4);
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
