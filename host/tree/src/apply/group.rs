//! The founding of the group and the changes of its members.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use innkeeper_proto::ErrorCode;

use crate::applied::{Applied, Outcome, TicketResult};
use crate::encoding;
use crate::group::{
    ADDRESS_BYTES_MAX, ClusterId, GroupChange, GroupInfo, Incarnation, MEMBERS_MAX, Member, Role,
};
use crate::{Tree, Zxid};

impl Tree {
    pub(super) fn change_group(&mut self, change: &GroupChange, applied: &mut Applied) {
        match change {
            GroupChange::Found { cluster, members } => self.found(*cluster, members),
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
                let result = TicketResult::Configured(self.configure(*version, joining, leaving));
                applied.outcome = Outcome::Ticket {
                    ticket: *ticket,
                    result,
                };
            }
        }
    }

    fn found(&mut self, cluster: ClusterId, members: &BTreeMap<u64, Member>) {
        if self.group.is_none() && is_valid(members) {
            self.set_group(GroupInfo {
                cluster,
                version: self.zxid,
                members: members.clone(),
            });
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
                incarnation: known.and_then(|member| member.incarnation),
            };
            group.members.insert(*node, member);
        }
        if !is_valid(&group.members) {
            return Err(ErrorCode::BadArguments);
        }
        group.version = self.zxid;
        self.set_group(group);
        Ok(self.zxid)
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
    let fits = |member: &Member| (1..=ADDRESS_BYTES_MAX).contains(&member.address.len());
    members.len() <= MEMBERS_MAX
        && members.values().any(|member| member.role == Role::Voter)
        && members.values().all(fits)
}
