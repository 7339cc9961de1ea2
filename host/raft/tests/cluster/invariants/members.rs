//! **The configuration that was asked for last is reached**: Raft's membership, on all members,
//! becomes what the last change in the history says, with the addresses and roles in it, whoever
//! leads meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use innkeeper_raft::RaftMembers;
use innkeeper_tree::group::{GroupChange, Role};
use innkeeper_tree::{Operation, Ticket, Zxid};

use crate::stage::Member;

/// A configuration: the members by number, with their roles and addresses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Members {
    /// The zxid of its last change; 0 before the group is founded.
    pub version: u64,
    all: BTreeMap<u64, (Role, String)>,
}

/// A change of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// The version that it is made for; `None` for any.
    pub version: Option<u64>,
    pub joining: BTreeMap<u64, (Role, String)>,
    pub leaving: BTreeSet<u64>,
}

impl Change {
    pub fn operation(&self, ticket: u64) -> Operation {
        Operation::Group(GroupChange::Configure {
            ticket: Ticket(ticket),
            version: self.version.map(Zxid),
            joining: self.joining.clone(),
            leaving: self.leaving.clone(),
        })
    }
}

impl Members {
    pub fn new(all: impl IntoIterator<Item = (u64, (Role, String))>) -> Self {
        Self {
            version: 0,
            all: all.into_iter().collect(),
        }
    }

    /// The group is founded with these members, or one of them is taken in later, which changes
    /// nothing here.
    pub fn founded(&mut self, zxid: u64, all: impl IntoIterator<Item = (u64, (Role, String))>) {
        if self.version == 0 {
            self.version = zxid;
            self.all = all.into_iter().collect();
        }
    }

    /// The change is applied with this zxid. It does nothing if it was made for another version.
    pub fn change(&mut self, change: &Change, zxid: u64) -> bool {
        if change
            .version
            .is_some_and(|version| version != self.version)
        {
            return false;
        }
        self.all.retain(|node, _| !change.leaving.contains(node));
        self.all.extend(change.joining.clone());
        self.version = zxid;
        true
    }

    pub fn all(&self) -> BTreeMap<u64, (Role, String)> {
        self.all.clone()
    }

    pub fn has(&self, node: u64) -> bool {
        self.all.contains_key(&node)
    }

    /// The numbers of the members with this role.
    pub fn of(&self, role: Role) -> BTreeSet<u64> {
        let all = self.all.iter().filter(|(_, (its, _))| *its == role);
        all.map(|(node, _)| *node).collect()
    }

    /// Do all members know this configuration and follow it, with all their data folders named, and
    /// does one of them know that its whole log is committed?
    pub fn is_reached(&self, hosts: &[Arc<Member>]) -> bool {
        let wanted = RaftMembers {
            voters: self.of(Role::Voter),
            learners: self.of(Role::Learner),
            changes: false,
        };
        let mut is_committed = false;
        let members = hosts.iter().filter(|host| self.has(host.id));
        let all_show_it = members.into_iter().all(|host| {
            let Some(replica) = host.replica() else {
                return false;
            };
            let status = replica.status();
            if status.members != wanted {
                return false;
            }
            is_committed |= status.applied == status.last_log;
            let view = replica.reader().view();
            view.group().is_some_and(|group| {
                let shown = group.members.iter();
                let shown = shown.map(|(node, it)| (*node, (it.role, it.address.clone())));
                self.all.clone().into_iter().eq(shown)
                    && group.members.values().all(|it| it.incarnation.is_some())
            })
        });
        self.version > 0 && all_show_it && is_committed
    }
}
