//! Members of a group that come and go.

use std::collections::BTreeSet;

use innkeeper_raft::RaftMembers;
use innkeeper_runtime::World;
use innkeeper_tree::group::{GroupChange, Role};
use innkeeper_tree::{Operation, Ticket};

use super::group::{Member, Start, done, eventually, group, members, peer_address};
use super::{create, path_of};

pub const VOTERS: [u64; 3] = [1, 2, 3];

pub fn start_all(members: &[Member], start: &Start) {
    members.iter().for_each(|member| member.start(start));
}

pub async fn write(world: &World, member: &Member, ticket: u64) {
    assert!(done(world, member, ticket, create(ticket)).await);
}

pub fn change(ticket: u64, joining: &[(u64, Role)], leaving: &[u64]) -> Operation {
    let joining = joining
        .iter()
        .map(|(id, role)| (*id, (*role, peer_address(*id).to_string())));
    Operation::Group(GroupChange::Configure {
        ticket: Ticket(ticket),
        version: None,
        joining: joining.collect(),
        leaving: leaving.iter().copied().collect(),
    })
}

/// Waits until all these members know that the group has these voters and learners, each with the
/// data folder that it has.
pub async fn reached(world: &World, members: &[&Member], voters: &[u64], learners: &[u64]) {
    let wanted = RaftMembers {
        voters: voters.iter().copied().collect(),
        learners: learners.iter().copied().collect(),
        changes: false,
    };
    let all: BTreeSet<u64> = wanted.voters.union(&wanted.learners).copied().collect();
    let is_reached = |member: &&Member| {
        let (Some(status), Some(group)) = (member.status(), group(member)) else {
            return false;
        };
        let named = group
            .members
            .iter()
            .filter(|(_, m)| m.incarnation.is_some());
        let named: BTreeSet<u64> = named.map(|(id, _)| *id).collect();
        status.members == wanted && status.applied == status.last_log && named == all
    };
    let what = format!("the voters are {voters:?} and the learners {learners:?}");
    eventually(world, &what, || members.iter().all(is_reached)).await;
}

/// Three voters that have founded their group and know each other.
pub async fn founded(world: &World, start: &Start) -> Vec<Member> {
    let members = members(world, &VOTERS);
    start_all(&members, start);
    reached(world, &members.iter().collect::<Vec<_>>(), &VOTERS, &[]).await;
    members
}

/// Is the ticket's znode on this member?
pub fn has(member: &Member, ticket: u64) -> bool {
    let reader = member.replica().expect("it runs").reader();
    reader.view().exists(&path_of(ticket)).is_some()
}
