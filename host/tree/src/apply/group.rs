//! The founding of the group and the changes of its members.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use innkeeper_proto::ErrorCode;

use super::Cause;
use crate::applied::{Applied, Outcome, TicketResult};
use crate::encoding;
use crate::group::{
    ADDRESS_BYTES_MAX, ClusterId, GroupChange, GroupInfo, Incarnation, MEMBERS_MAX, Member, Role,
    canonical,
};
use crate::{Tree, Zxid};

impl Tree {
    pub(super) fn change_group(&mut self, change: &GroupChange, applied: &mut Applied) {
        match change {
            GroupChange::Found { cluster, members } => self.found(*cluster, members, applied),
            GroupChange::Admit {
                node,
                was,
                incarnation,
            } => self.admit(*node, *was, *incarnation),
            GroupChange::Configure {
                ticket,
                version,
                joining,
                leaving,
            } => {
                let result = self.configure(*version, joining, leaving, applied);
                let result = TicketResult::Configured(result);
                applied.outcome = Outcome::Ticket {
                    ticket: *ticket,
                    result,
                };
            }
        }
    }

    fn found(
        &mut self,
        cluster: ClusterId,
        members: &BTreeMap<u64, Member>,
        applied: &mut Applied,
    ) {
        if self.group.is_none() && is_valid(members) {
            self.set_group(GroupInfo {
                cluster,
                version: self.zxid,
                members: members.clone(),
            });
            self.show_configuration(applied);
        }
    }

    fn admit(&mut self, node: u64, was: Option<Incarnation>, incarnation: Incarnation) {
        let Some(mut group) = self.group.as_deref().cloned() else {
            return;
        };
        if let Some(member) = group.members.get_mut(&node)
            && member.incarnation == was
        {
            member.incarnation = Some(incarnation);
            self.set_group(group);
        }
    }

    fn configure(
        &mut self,
        version: Option<Zxid>,
        joining: &BTreeMap<u64, (Role, String)>,
        leaving: &BTreeSet<u64>,
        applied: &mut Applied,
    ) -> Result<Zxid, ErrorCode> {
        let Some(mut group) = self.group.as_deref().cloned() else {
            return Err(ErrorCode::ReconfigDisabled);
        };
        if version.is_some_and(|seen| seen != group.version) {
            return Err(ErrorCode::BadVersion);
        }
        group.members.retain(|node, _| !leaving.contains(node));
        for (node, (role, address)) in joining {
            let known = group.members.get(node);
            let member = Member {
                role: *role,
                address: address.clone(),
                ports: known.map(|member| member.ports.clone()).unwrap_or_default(),
                incarnation: known.and_then(|member| member.incarnation),
            };
            group.members.insert(*node, member);
        }
        if !is_valid(&group.members) || takes_a_place(joining, &group.members) {
            return Err(ErrorCode::BadArguments);
        }
        group.version = self.zxid;
        self.set_group(group);
        self.show_configuration(applied);
        Ok(self.zxid)
    }

    /// Sets the data of `/zookeeper/config` to the configuration. Watches of it fire.
    fn show_configuration(&mut self, applied: &mut Applied) {
        let Some(group) = self.group.clone() else {
            return;
        };
        let store = self.store.clone();
        let mut change = self.change(&store);
        change.show_configuration(&Bytes::from(group.config()));
        let done = change.commit(&store, &self.horizon);
        self.finish(done, Cause::default(), applied);
    }

    fn set_group(&mut self, group: GroupInfo) {
        let record = encoding::rows::group(&group);
        self.mix(b"group");
        self.mix(record.value.as_deref().unwrap_or_default());
        self.group = Some(Arc::new(group));
        self.is_group_dirty = true;
    }
}

fn is_valid(members: &BTreeMap<u64, Member>) -> bool {
    let fits = |member: &Member| {
        let is_address = |text: &String| (1..=ADDRESS_BYTES_MAX).contains(&text.len());
        is_address(&member.address) && member.ports.clients.iter().all(is_address)
    };
    members.len() <= MEMBERS_MAX
        && members.values().any(|member| member.role == Role::Voter)
        && members.values().all(fits)
}

/// Whether one of those who come or change takes the address of another member, or one that a
/// member has for its clients. The others are left out of account, so that a group in which two
/// have one address can be mended.
fn takes_a_place(joining: &BTreeMap<u64, (Role, String)>, members: &BTreeMap<u64, Member>) -> bool {
    let mut peers = BTreeMap::new();
    let mut clients = BTreeSet::new();
    for member in members.values() {
        *peers.entry(canonical(&member.address)).or_insert(0) += 1;
        clients.extend(member.ports.clients.as_deref().map(canonical));
    }
    joining.values().any(|(_, address)| {
        let place = canonical(address);
        peers.get(&place) > Some(&1) || clients.contains(&place)
    })
}
