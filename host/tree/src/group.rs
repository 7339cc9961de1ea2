//! The group in the state: the nodes that form it, and what each of them is.
//!
//! The wanted configuration stands here, and clients read it as `/zookeeper/config`; Raft's own membership follows it, one change at a time. A
//! member's [`Incarnation`] is the data folder by which the member is known: a node whose folder
//! was emptied has forgotten its votes, so it must not vote before the group has named its new
//! folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::net::IpAddr;

use crate::{Ticket, Zxid};

/// The greatest number of members. ZooKeeper's server numbers end here, too.
pub const MEMBERS_MAX: usize = 255;

/// The greatest number of bytes of a member's address: a DNS name has at most 253.
pub const ADDRESS_BYTES_MAX: usize = 300;

/// 128 random bits, shown in hexadecimal.
macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

random_id! {
    /// The id that a group got when it was founded.
    ClusterId
}

random_id! {
    /// The id of a data folder, drawn when the folder was first used. A node whose folder was
    /// emptied has another one, and so is seen to have forgotten its votes.
    Incarnation
}

/// What a member is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// It votes, and what it has stored counts. ZooKeeper calls it a participant.
    Voter,
    /// It only gets the log. ZooKeeper calls it an observer.
    Learner,
}

/// What ZooKeeper's configuration says of a member beside its address and role. The group itself
/// needs none of it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Ports {
    /// The port for elections, which is not opened: the peer port carries everything. It is 0 if
    /// nobody has named one.
    pub election: u16,
    /// The host and port at which the member's clients connect; `None` if nobody has named them.
    pub clients: Option<String>,
}

/// One member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// What it is to be.
    pub role: Role,
    /// The host and port at which its peers reach it.
    pub address: String,
    /// What is shown of it besides.
    pub ports: Ports,
    /// The data folder by which it is known; `None` until the group has seen the node.
    pub incarnation: Option<Incarnation>,
}

/// A founded group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupInfo {
    /// The group's id.
    pub cluster: ClusterId,
    /// The zxid of the last change of the configuration: of addresses, roles and numbers.
    pub version: Zxid,
    /// The members by their numbers; at least one is a voter.
    pub members: BTreeMap<u64, Member>,
}

impl GroupInfo {
    /// The configuration as ZooKeeper writes it: the data of `/zookeeper/config`.
    pub fn config(&self) -> String {
        let mut text = String::new();
        for (node, member) in &self.members {
            let role = match member.role {
                Role::Voter => "participant",
                Role::Learner => "observer",
            };
            // Of a negative number the bits stand here. Writing to a String cannot fail.
            let _ = write!(
                text,
                "server.{}={}:{}:{role}",
                node.cast_signed(),
                member.address,
                member.ports.election
            );
            if let Some(clients) = &member.ports.clients {
                text.push(';');
                text.push_str(clients);
            }
            text.push('\n');
        }
        let _ = write!(text, "version={:x}", self.version.0);
        text
    }

    /// Is a node with this data folder a member?
    pub fn names(&self, node: u64, incarnation: Incarnation) -> bool {
        let member = self.members.get(&node);
        member.is_some_and(|member| member.incarnation == Some(incarnation))
    }
}

/// An address `HOST:PORT` in the one spelling in which two addresses are compared. A host's name is
/// the same in capitals and with a dot at its end, and an IP address in each of its spellings. No
/// name is looked up.
pub fn canonical(address: &str) -> String {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    let host = match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().to_string(),
        Err(_) => host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase(),
    };
    // A port may have zeros or a plus before it.
    let port = port
        .parse()
        .map_or_else(|_| port.to_owned(), |port: u16| port.to_string());
    format!("{host} {port}")
}

/// A change of the group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupChange {
    /// The first leader founds the group. It does nothing if the group is founded already.
    Found {
        /// The group's id, random.
        cluster: ClusterId,
        /// The members, with the data folders that the leader has seen.
        members: BTreeMap<u64, Member>,
    },
    /// The leader names a member's data folder: of a node that it has not seen before, or of one
    /// that was emptied. The node is no part of Raft's membership at this point of the log. It
    /// does nothing if another folder was named since.
    Admit {
        /// The member.
        node: u64,
        /// The folder that was named before.
        was: Option<Incarnation>,
        /// The folder from now on.
        incarnation: Incarnation,
    },
    /// Somebody wants another configuration. It is refused if a member that comes or changes would
    /// have the [address](canonical) of another member, or one that a member has for its clients.
    Configure {
        /// Names the caller that waits for the result.
        ticket: Ticket,
        /// The version that the caller has seen; `None` for any.
        version: Option<Zxid>,
        /// Members that come, or that change their role or address.
        joining: BTreeMap<u64, (Role, String)>,
        /// Members that go. Numbers of no member are left alone.
        leaving: BTreeSet<u64>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_spelling() {
        for (one, other) in [
            ("zoo:2888", "ZOO:2888"),
            ("zoo.example:2888", "zoo.example.:02888"),
            ("10.0.0.1:1", "[::ffff:10.0.0.1]:+1"),
            ("[::1]:1", "[0:0::1]:1"),
            ("::1:1", "[::1]:1"),
        ] {
            assert_eq!(canonical(one), canonical(other), "{one}");
        }
        for (one, other) in [
            ("zoo:2888", "zoo:2889"),
            ("zoo:2888", "zoo2:888"),
            ("zoo", "zoo:0"),
            ("zoo:x", "zoo:y"),
            ("10.0.0.1:1", "[::a00:1]:1"),
            ("", ":0"),
        ] {
            assert_ne!(canonical(one), canonical(other), "{one}");
        }
    }
}
