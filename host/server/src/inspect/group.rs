//! The group as operators see it: members, who leads, how far the others are behind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use innkeeper_raft::{Standing, Status};
use innkeeper_runtime::{Runtime, Select2, select2};
use innkeeper_tree::group::{Member, Role};

use crate::reports::{Answer, Question};
pub use crate::reports::{FailOver, Late, MemberLag};
use crate::service::Service;
use crate::settings::{PeerAddress, QUORUM_LOST_ELECTIONS};

/// The group, as one of its nodes knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupReport {
    /// The age of this node's last contact with a leader that had a quorum; `None` if there was none.
    pub contact: Option<Duration>,
    /// The last fail-over since this node started; `None` if it has seen none.
    pub fail_over: Option<FailOver>,
    /// The members, in the order of their numbers.
    pub members: Vec<MemberReport>,
    /// The nodes that vote and are to vote no more. They do so until all members that are to vote
    /// have been taken in.
    pub leaving: BTreeSet<u64>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberReport {
    /// Its number.
    pub id: u64,
    /// What it is by the configuration.
    pub role: Role,
    /// Whether Raft's membership has it in this role already.
    pub is_in: bool,
    /// The host and port at which the other members reach it.
    pub address: String,
    /// Whether it is the leader that this node knows.
    pub leads: bool,
    /// How far it is behind, as the leader says; `None` for the leader itself, and if the leader does
    /// not answer.
    pub lag: Option<MemberLag>,
}

impl<R: Runtime> Service<R> {
    /// What this node knows of its group, with what its leader says of the members' lag; `None` for
    /// a node alone. Asks the leader, and waits for it a moment at most.
    pub async fn group_report(&self) -> Option<GroupReport> {
        self.settings.group.as_ref()?;
        let status = self.replica().ok()?.status();
        let leader = self.leader();
        let lags = self.lags().await;
        let members = self.members();
        let leaving = leaving(&status.members.voters, &members);
        let members = members.into_iter().map(|(id, member)| {
            let Member { role, address, .. } = member;
            MemberReport {
                id,
                role,
                is_in: is_in(&status, id, role),
                address,
                leads: leader == Some(id),
                lag: lags.iter().copied().find(|lag| lag.node == id),
            }
        });
        let members = members.collect();
        Some(GroupReport {
            contact: self.quorum.contact_age(self.runtime.now()),
            fail_over: self.fanout.reporters.leaders.last(),
            members,
            leaving,
        })
    }

    /// The members of the group by its configuration in the state; before the group is founded, by
    /// this node's settings. A node alone has none.
    pub fn members(&self) -> BTreeMap<u64, Member> {
        let Some(group) = &self.settings.group else {
            return BTreeMap::new();
        };
        if let Some(founded) = self.reader.view().group() {
            return founded.members.clone();
        }
        let of = |role| {
            move |(id, address): (&u64, &PeerAddress)| {
                let member = Member {
                    role,
                    address: address.to_string(),
                    ports: group.ports.get(id).cloned().unwrap_or_default(),
                    incarnation: None,
                };
                (*id, member)
            }
        };
        let voters = group.voters.iter().map(of(Role::Voter));
        let observers = group.observers.iter().map(of(Role::Learner));
        voters.chain(observers).collect()
    }

    /// The leader that this node knows and has applied an entry of.
    pub fn leader(&self) -> Option<u64> {
        self.leader_of(self.standing()).map(|(_, leader)| leader)
    }

    /// What the leader knows of the other members; nothing if it does not answer soon.
    async fn lags(&self) -> Vec<MemberLag> {
        let Standing::Follows { leader, .. } = self.standing() else {
            return self.member_lags();
        };
        let Ok(replica) = self.replica() else {
            return Vec::new();
        };
        let limit = self.settings.election() * QUORUM_LOST_ELECTIONS;
        let asked = replica.ask(leader, Question::Lags.encode());
        let end = select2(self.stopping.wait(), self.runtime.sleep(limit));
        let Select2::Second(Ok(answer)) = select2(end, asked).await else {
            return Vec::new();
        };
        match Answer::decode(&answer) {
            Ok(Answer::Lags(lags)) => lags,
            _ => Vec::new(),
        }
    }

    /// How far the other members are behind this node, while it leads; nothing elsewhere.
    pub fn member_lags(&self) -> Vec<MemberLag> {
        self.fanout.reporters.members.lags()
    }

    /// For how long this node has led; `None` if it does not lead.
    pub fn led_for(&self) -> Option<Duration> {
        let Standing::Leads { term, .. } = self.standing() else {
            return None;
        };
        let since = self.fanout.reporters.leaders.since(term)?;
        Some(self.runtime.now().since(since))
    }
}

fn is_in(status: &Status, id: u64, role: Role) -> bool {
    match role {
        Role::Voter => status.members.voters.contains(&id),
        Role::Learner => status.members.learners.contains(&id),
    }
}

/// Those of Raft's voters that are no voters by the configuration.
fn leaving(voters: &BTreeSet<u64>, members: &BTreeMap<u64, Member>) -> BTreeSet<u64> {
    let is_wanted = |id: &u64| {
        let member = members.get(id);
        member.is_some_and(|member| member.role == Role::Voter)
    };
    voters.iter().copied().filter(|id| !is_wanted(id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_votes_and_is_to_go_is_leaving() {
        let member = |id: u64, role| {
            let member = Member {
                role,
                address: format!("zoo-{id}:2888"),
                ports: Default::default(),
                incarnation: None,
            };
            (id, member)
        };
        let members = [
            member(1, Role::Voter),
            member(2, Role::Learner),
            member(4, Role::Voter),
        ]
        .into();
        assert_eq!(leaving(&[1, 2, 3].into(), &members), [2, 3].into());
        assert_eq!(leaving(&[1, 4].into(), &members), [].into());
    }
}
