//! The servers of a configuration file, and the number of this server.
//!
//! 1. Lines `server.N=host:port:port[:role][;[host:]clientPort]` are in the file or in the one that
//!    `dynamicConfigFile` names, not in both.
//! 2. `myid` in the data folder holds the N of this server. It is required if several servers vote.
//! 3. If several servers vote they form a group, over the first of each server's two ports. The
//!    second one, for elections, is not opened: the first carries everything.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use innkeeper_auth::java;
use innkeeper_server::settings::{GroupSettings, PeerAddress, Ports};
use innkeeper_tree::text::{file_name, piece};

use crate::peers;

/// One `server.N` line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Member {
    /// Where the other servers reach it: the first address of the line.
    pub(super) peer: PeerAddress,
    /// The port for elections, which is not opened.
    pub(super) election: u16,
    /// Whether it votes; an observer does not.
    pub(super) votes: bool,
    /// The host and port for its clients, if the line names them.
    pub(super) client: Option<(String, u16)>,
}

/// All servers, by number.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Ensemble {
    members: BTreeMap<i64, Member>,
    /// `group.N` and `weight.N`.
    groups: Vec<String>,
    standalone_disabled: bool,
}

impl Ensemble {
    /// Takes a `server.N`, `group.N` or `weight.N` line; false if the key is none of these.
    pub(super) fn take(&mut self, key: &str, value: &str) -> anyhow::Result<bool> {
        if let Some(number) = key.strip_prefix("server.") {
            let number = java::parse_long(number).ok_or_else(|| {
                let key = piece(key);
                anyhow!("{key}: a server has a number; write server.1, server.2, …")
            })?;
            self.members.insert(number, member(key, value)?);
        } else if key.starts_with("group") || key.starts_with("weight") {
            self.groups.push(key.to_owned());
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// `standaloneEnabled=false`: a single server counts as an ensemble.
    pub(super) fn disable_standalone(&mut self) {
        self.standalone_disabled = true;
    }

    /// Whether ZooKeeper would run as one server of an ensemble, and so require `myid`.
    pub(super) fn is_distributed(&self) -> bool {
        let voters = self.members.values().filter(|member| member.votes).count();
        voters > 1 || (voters == 1 && self.standalone_disabled)
    }

    /// Whether no line was taken.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.groups.is_empty()
    }

    /// The server with that number.
    pub(super) fn member(&self, number: i64) -> Option<&Member> {
        self.members.get(&number)
    }

    /// Refuses the lists of servers that ZooKeeper refuses, those in which a host has a name that
    /// none can have, and those in which two servers have one address. ZooKeeper refuses such only when a client adds one: from a file it starts, and one of
    /// the two never gets into the ensemble.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let voters = self.members.values().filter(|member| member.votes).count();
        let observers = self.members.len() - voters;
        if voters == 0 && self.standalone_disabled {
            bail!(
                "standaloneEnabled=false needs a server.N line: name the servers, or leave it out"
            );
        }
        if observers > 0 && voters <= 1 && !self.is_distributed() {
            bail!("the servers named are observers without a quorum: name those that vote as well");
        }
        if !self.is_distributed() {
            return Ok(());
        }
        for (number, member) in &self.members {
            let client = member.client.as_ref().map(|(host, _)| host);
            for host in [Some(&member.peer.host), client].into_iter().flatten() {
                peers::nameable(host).with_context(|| format!("server.{number}"))?;
            }
        }
        let members = self.members.iter();
        let sharing = peers::sharing(members.map(|(number, member)| (*number, &member.peer)));
        if let Some((one, other, address)) = sharing {
            bail!(
                "server.{one} and server.{other} have the same address, {}: give each server its own",
                piece(address)
            );
        }
        Ok(())
    }

    /// The group as the server with this number is a member of it.
    pub(super) fn group(&self, number: i64, listen: SocketAddr) -> GroupSettings {
        let of = |votes: bool| {
            let members = self.members.iter();
            let members = members.filter(move |(_, member)| member.votes == votes);
            // Of a negative number the bits.
            let members =
                members.map(|(number, member)| (number.cast_unsigned(), member.peer.clone()));
            members.collect()
        };
        let id = number.cast_unsigned();
        GroupSettings {
            ports: self.ports(),
            ..GroupSettings::new(id, listen, of(true), of(false))
        }
    }

    /// What `/zookeeper/config` shows of the servers beside their addresses.
    fn ports(&self) -> BTreeMap<u64, Ports> {
        let ports = self.members.iter().map(|(number, member)| {
            let clients = member.client.clone().map(|(host, port)| {
                let clients = PeerAddress { host, port };
                clients.to_string()
            });
            let ports = Ports {
                election: member.election,
                clients,
            };
            (number.cast_unsigned(), ports)
        });
        ports.collect()
    }

    /// The keys `group.N` and `weight.N`, which have no effect here.
    pub(super) fn groups(&self) -> &[String] {
        &self.groups
    }
}

fn member(key: &str, value: &str) -> anyhow::Result<Member> {
    let shown = || format!("{}={}", piece(key), piece(value));
    let form = || {
        anyhow!(
            "{} is not of the form host:port:port[:participant|observer][;[host:]port]",
            shown()
        )
    };
    let port = |text: &str| {
        let number = java::parse_int(text);
        let port = number.and_then(|number| u16::try_from(number).ok());
        port.ok_or_else(form)
    };
    let halves = java::split(value, ';');
    let (servers, client) = match halves.as_slice() {
        [servers] => (*servers, None),
        [servers, client] => {
            let parts = host_and_ports(client).ok_or_else(form)?;
            let (number, host) = match parts.as_slice() {
                [number] => (number, "0.0.0.0"),
                [host, number] => (number, &**host),
                _ => return Err(form()),
            };
            (*servers, Some((host.to_owned(), port(number)?)))
        }
        _ => return Err(form()),
    };
    let mut votes = None;
    let mut first = None;
    for server in java::split(servers, '|') {
        let parts = host_and_ports(server).ok_or_else(form)?;
        let (peer, election, role) = match parts.as_slice() {
            [_, peer, election] => (peer, election, None),
            [_, peer, election, role] => (peer, election, Some(role)),
            _ => return Err(form()),
        };
        let (peer, election) = (port(peer)?, port(election)?);
        if first.is_none() {
            let host = parts[0].clone();
            first = Some((PeerAddress { host, port: peer }, election));
        }
        if peer == election {
            bail!(
                "{}: the port for peers and the one for elections must differ",
                shown()
            );
        }
        if let Some(role) = role {
            let this = votes_of(role).with_context(shown)?;
            if votes.is_some_and(|votes| votes != this) {
                bail!(
                    "{}: all addresses of one server must have one role",
                    shown()
                );
            }
            votes = Some(this);
        }
    }
    let (peer, election) = first.ok_or_else(form)?;
    Ok(Member {
        peer,
        election,
        votes: votes.unwrap_or(true),
        client,
    })
}

/// Whether a peer of that type votes.
pub(super) fn votes_of(role: &str) -> anyhow::Result<bool> {
    match role.trim().to_ascii_lowercase().as_str() {
        "participant" => Ok(true),
        "observer" => Ok(false),
        _ => bail!(
            "{} is no type of peer: write participant or observer",
            piece(role)
        ),
    }
}

/// Splits at colons, except within an IPv6 address in brackets.
fn host_and_ports(text: &str) -> Option<Vec<String>> {
    let owned = |parts: Vec<&str>| parts.into_iter().map(str::to_owned).collect();
    let Some(bracketed) = text.strip_prefix('[') else {
        return Some(owned(java::split(text, ':')));
    };
    let (host, rest) = bracketed.split_once(']')?;
    let mut parts = vec![host.to_owned()];
    if !rest.is_empty() {
        let ports: Vec<String> = owned(java::split(rest.strip_prefix(':')?, ':'));
        parts.extend(ports);
    }
    Some(parts)
}

/// The number in the data folder's `myid`, if the file exists: its first line, which must be one of
/// Java's longs and nothing else.
pub(super) fn my_id(data_dir: &Path) -> anyhow::Result<Option<i64>> {
    let path = data_dir.join("myid");
    if !path.is_file() {
        return Ok(None);
    }
    let bytes =
        std::fs::read(&path).with_context(|| format!("{} cannot be read", file_name(&path)))?;
    let text = String::from_utf8_lossy(&bytes);
    let line = java::first_line(&text).unwrap_or_default();
    let number = java::parse_long(line).ok_or_else(|| {
        anyhow!(
            "{} holds `{}` and no number: write this server's number into it, e.g. 1, with no \
             blank before or behind it",
            file_name(&path),
            piece(line)
        )
    })?;
    Ok(Some(number))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Files of tests.
mod tests {
    use super::*;

    fn ensemble(lines: &[(&str, &str)]) -> Ensemble {
        let mut ensemble = Ensemble::default();
        for (key, value) in lines {
            assert!(ensemble.take(key, value).unwrap());
        }
        ensemble
    }

    #[test]
    fn server_lines_are_read_as_zookeeper_reads_them() {
        let read = ensemble(&[
            ("server.1", "zk1:2888:3888"),
            ("server.2", "zk2:2888:3888:observer;2182"),
            ("server.3", "[2001:db8::1]:2888:3888;[2001:db8::1]:2183"),
            (
                "server.4",
                "zk4:2888:3888:participant|zk4b:2889:3889:participant;zk4:2184",
            ),
            ("group.1", "1:2"),
            ("weight.1", "3"),
        ]);
        assert_eq!(
            read.member(1),
            Some(&Member {
                peer: "zk1:2888".parse().unwrap(),
                election: 3888,
                votes: true,
                client: None
            })
        );
        let client = |number| read.member(number).unwrap().client.clone().unwrap();
        assert_eq!(client(2), ("0.0.0.0".to_owned(), 2182));
        assert!(!read.member(2).unwrap().votes);
        assert_eq!(client(3), ("2001:db8::1".to_owned(), 2183));
        assert_eq!(client(4), ("zk4".to_owned(), 2184));
        assert!(read.is_distributed());
        assert_eq!(read.groups(), ["group.1", "weight.1"]);
        let group = read.group(3, "127.0.0.1:1".parse().unwrap());
        let peers = [1, 3, 4].map(|number| group.voters[&number].to_string());
        assert_eq!(peers, ["zk1:2888", "[2001:db8::1]:2888", "zk4:2888"]);
        let ports = [1, 2, 3].map(|number| group.ports[&number].clients.as_deref());
        let clients = [None, Some("0.0.0.0:2182"), Some("[2001:db8::1]:2183")];
        assert_eq!(ports, clients);
        assert_eq!(group.ports[&4].election, 3888);
        assert_eq!(
            (group.id, group.observers[&2].to_string()),
            (3, "zk2:2888".to_owned())
        );
    }

    #[test]
    fn a_server_has_any_number_and_separators_may_end_its_line() {
        let read = ensemble(&[
            ("server.0", "zk:2888:3888;"),
            ("server.-7", "zk:2888:3888:"),
            ("server.1001", "zk:2888:3888|"),
            ("server.9223372036854775807", "zk:2888:3888;;"),
            ("server.+5", "zk:+2888:3888;:2181"),
        ]);
        for number in [0, -7, 1001, i64::MAX] {
            assert_eq!(read.member(number).unwrap().client, None, "{number}");
        }
        let client = read.member(5).unwrap().client.clone();
        assert_eq!(client, Some((String::new(), 2181)));
    }

    #[test]
    fn myid_is_the_first_line_however_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("myid");
        assert_eq!(my_id(folder.path()).unwrap(), None);
        for (text, number) in [
            ("0", 0),
            ("1\n", 1),
            ("2\r", 2),
            ("3\r\n4", 3),
            ("1001\rx", 1001),
            ("-5\n", -5),
            ("+6", 6),
            ("9223372036854775807", i64::MAX),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(my_id(folder.path()).unwrap(), Some(number), "{text:?}");
        }
        for text in [
            "",
            "\n1",
            "1 ",
            " 1",
            "0x1",
            "one",
            "9223372036854775808",
            "\u{feff}1",
        ] {
            std::fs::write(&path, text).unwrap();
            assert!(my_id(folder.path()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn lines_that_zookeeper_refuses_are_refused() {
        let mut ensemble = Ensemble::default();
        for (key, value) in [
            ("server.one", "zk:2888:3888"),
            ("server.1", "zk"),
            ("server.1", "zk:2888"),
            ("server.1", "zk:2888:2888"),
            ("server.1", "zk:a:3888"),
            ("server.1", "zk:2888:3888:king"),
            ("server.1", "zk:2888:3888:observer:x"),
            ("server.1", "zk:2888:3888:observer|zk:2889:3889:participant"),
            ("server.1", ""),
            ("server.1", ";2181"),
            ("server.1", "zk:-1:3888"),
            ("server.1", "zk:2888:65536"),
            ("server.9223372036854775808", "zk:2888:3888"),
            ("server.", "zk:2888:3888"),
            ("server.1", "zk:2888:3888;1;2"),
            ("server.1", "zk:2888:3888;zk:x"),
            ("server.1", "[::1:2888:3888"),
        ] {
            assert!(ensemble.take(key, value).is_err(), "{key}={value}");
        }
    }

    #[test]
    fn one_server_is_no_ensemble_unless_it_must_be() {
        let mut one = ensemble(&[("server.7", "zk:2888:3888")]);
        assert!(!one.is_distributed());
        one.check().unwrap();
        one.disable_standalone();
        assert!(one.is_distributed());
        let observers = ensemble(&[("server.1", "zk:2888:3888:observer")]);
        assert!(observers.check().is_err());
        let mut none = Ensemble::default();
        none.check().unwrap();
        none.disable_standalone();
        assert!(none.check().is_err());
    }
}
