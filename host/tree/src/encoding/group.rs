//! The encoding of the group and of its changes.

use std::collections::{BTreeMap, BTreeSet};

use super::EncodingError;
use super::primitives::{Reader, Sink, put_option, put_str, put_u64, unknown};
use crate::group::{ClusterId, GroupChange, GroupInfo, Incarnation, Member, Ports, Role};
use crate::{Ticket, Zxid};

/// The tags never change and are never used for another thing.
mod tag {
    pub(super) const FOUND: u8 = 1;
    pub(super) const ADMIT: u8 = 2;
    pub(super) const CONFIGURE: u8 = 3;

    pub(super) const VOTER: u8 = 1;
    pub(super) const LEARNER: u8 = 2;
    /// The same with the ports that ZooKeeper's configuration shows.
    pub(super) const VOTER_WITH_PORTS: u8 = 3;
    pub(super) const LEARNER_WITH_PORTS: u8 = 4;
}

/// Appends a change without the tag of its operation.
pub(super) fn put_change<B: Sink>(out: &mut B, change: &GroupChange) {
    match change {
        GroupChange::Found { cluster, members } => {
            out.put_u8(tag::FOUND);
            out.put_slice(&cluster.0);
            put_members(out, members);
        }
        GroupChange::Admit {
            node,
            was,
            incarnation,
        } => {
            out.put_u8(tag::ADMIT);
            put_u64(out, *node);
            put_incarnation(out, *was);
            out.put_slice(&incarnation.0);
        }
        GroupChange::Configure {
            ticket,
            version,
            joining,
            leaving,
        } => {
            out.put_u8(tag::CONFIGURE);
            out.put_u64_le(ticket.0);
            put_option(out, *version, |out, version| put_u64(out, version.0));
            put_u64(out, joining.len() as u64);
            for (node, (role, address)) in joining {
                put_u64(out, *node);
                put_role(out, *role);
                put_str(out, address);
            }
            put_u64(out, leaving.len() as u64);
            leaving.iter().for_each(|node| put_u64(out, *node));
        }
    }
}

pub(super) fn change(reader: &mut Reader) -> Result<GroupChange, EncodingError> {
    Ok(match reader.u8("group change's tag")? {
        tag::FOUND => GroupChange::Found {
            cluster: ClusterId(reader.array("cluster's id")?),
            members: members(reader)?,
        },
        tag::ADMIT => GroupChange::Admit {
            node: reader.u64("member's number")?,
            was: incarnation(reader)?,
            incarnation: Incarnation(reader.array("incarnation")?),
        },
        tag::CONFIGURE => GroupChange::Configure {
            ticket: Ticket(reader.id("ticket")?),
            version: reader.option("version", |reader| reader.u64("version").map(Zxid))?,
            joining: ascending(
                reader.list("joining members", 3, |reader| {
                    let node = reader.u64("member's number")?;
                    Ok((node, (role(reader)?, reader.string("member's address")?)))
                })?,
                |(node, _)| *node,
            )?
            .collect(),
            leaving: ascending(
                reader.list("leaving members", 1, |reader| reader.u64("member's number"))?,
                |node| *node,
            )?
            .collect::<BTreeSet<_>>(),
        },
        tag => return Err(unknown("group change", tag)),
    })
}

/// Appends the group as a row has it.
pub(super) fn put_group<B: Sink>(out: &mut B, group: &GroupInfo) {
    out.put_slice(&group.cluster.0);
    put_u64(out, group.version.0);
    put_members(out, &group.members);
}

pub(super) fn group(reader: &mut Reader) -> Result<GroupInfo, EncodingError> {
    Ok(GroupInfo {
        cluster: ClusterId(reader.array("cluster's id")?),
        version: Zxid(reader.u64("version")?),
        members: members(reader)?,
    })
}

fn put_members<B: Sink>(out: &mut B, members: &BTreeMap<u64, Member>) {
    put_u64(out, members.len() as u64);
    for (node, member) in members {
        put_u64(out, *node);
        let ports = (member.ports != Ports::default()).then_some(&member.ports);
        match (member.role, ports) {
            (role, None) => put_role(out, role),
            (Role::Voter, Some(_)) => out.put_u8(tag::VOTER_WITH_PORTS),
            (Role::Learner, Some(_)) => out.put_u8(tag::LEARNER_WITH_PORTS),
        }
        put_str(out, &member.address);
        if let Some(ports) = ports {
            put_u64(out, u64::from(ports.election));
            put_option(out, ports.clients.as_deref(), put_str);
        }
        put_incarnation(out, member.incarnation);
    }
}

fn members(reader: &mut Reader) -> Result<BTreeMap<u64, Member>, EncodingError> {
    let members = reader.list("members", 4, |reader| {
        let node = reader.u64("member's number")?;
        let (role, has_ports) = match reader.u8("role")? {
            tag::VOTER => (Role::Voter, false),
            tag::LEARNER => (Role::Learner, false),
            tag::VOTER_WITH_PORTS => (Role::Voter, true),
            tag::LEARNER_WITH_PORTS => (Role::Learner, true),
            tag => return Err(unknown("role", tag)),
        };
        let address = reader.string("member's address")?;
        let ports = match has_ports {
            true => ports(reader)?,
            false => Ports::default(),
        };
        let member = Member {
            role,
            address,
            ports,
            incarnation: incarnation(reader)?,
        };
        Ok((node, member))
    })?;
    Ok(ascending(members, |(node, _)| *node)?.collect())
}

/// Ports that say nothing are left out, so that a member has one form.
fn ports(reader: &mut Reader) -> Result<Ports, EncodingError> {
    let invalid = EncodingError::Invalid {
        what: "ports of a member",
    };
    let election = reader.u64("port for elections")?;
    let ports = Ports {
        election: u16::try_from(election).map_err(|_| invalid.clone())?,
        clients: reader.option("clients' address", |reader| {
            reader.string("clients' address")
        })?,
    };
    match ports == Ports::default() {
        true => Err(invalid),
        false => Ok(ports),
    }
}

/// Each number stands once and in order, so that a group has one form.
fn ascending<T>(
    items: Vec<T>,
    number: impl Fn(&T) -> u64,
) -> Result<impl Iterator<Item = T>, EncodingError> {
    if items.is_sorted_by(|one, other| number(one) < number(other)) {
        return Ok(items.into_iter());
    }
    Err(EncodingError::Invalid {
        what: "order of members",
    })
}

fn put_role<B: Sink>(out: &mut B, role: Role) {
    out.put_u8(match role {
        Role::Voter => tag::VOTER,
        Role::Learner => tag::LEARNER,
    });
}

fn role(reader: &mut Reader) -> Result<Role, EncodingError> {
    match reader.u8("role")? {
        tag::VOTER => Ok(Role::Voter),
        tag::LEARNER => Ok(Role::Learner),
        tag => Err(unknown("role", tag)),
    }
}

fn put_incarnation<B: Sink>(out: &mut B, incarnation: Option<Incarnation>) {
    put_option(out, incarnation, |out, id| out.put_slice(&id.0));
}

fn incarnation(reader: &mut Reader) -> Result<Option<Incarnation>, EncodingError> {
    reader.option("incarnation", |reader| {
        reader.array("incarnation").map(Incarnation)
    })
}
