//! What ZooKeeper says of a server that is one of an ensemble, under its names.
//!
//! Without a meaning here, and constant: the port for elections is 0 unless the configuration names
//! one; of an observer's connection the packets and their sizes are 0; no sync is pending at a
//! leader, since a sync is a read index here. Addresses are as they were configured: names stay
//! names, where ZooKeeper shows what they resolve to.

use std::fmt::Write;

use innkeeper_runtime::Runtime;
use innkeeper_server::inspect::{MemberLag, Mode};
use innkeeper_server::service::{Service, Standing};
use innkeeper_tree::group::{Member, Role};
use serde_json::{Map, Value, json};

/// Names and values.
type Fields = Vec<(String, Value)>;

/// Whether the node is one of an ensemble that it has contact with.
pub(crate) fn is_in_ensemble(mode: Mode) -> bool {
    matches!(mode, Mode::Leader | Mode::Follower | Mode::Observer)
}

/// What the node does in its ensemble (`peer_state`).
pub(crate) fn peer_state<R: Runtime>(service: &Service<R>) -> Option<String> {
    let does = match service.mode() {
        Mode::Leader => "leading",
        Mode::Follower => "following",
        Mode::Observer => "observing",
        Mode::Standalone | Mode::ReadOnly => return None,
    };
    Some(match service.standing() {
        Standing::Waits => "looking".to_owned(),
        _ => format!("{does} - {}", zab_state(service)),
    })
}

/// What ZooKeeper calls the state of its protocol.
fn zab_state<R: Runtime>(service: &Service<R>) -> &'static str {
    match service.standing() {
        Standing::Waits => "election",
        _ => "broadcast",
    }
}

/// Whom an observer follows (`observer_master_id`).
pub(crate) fn observer_master<R: Runtime>(service: &Service<R>) -> Option<i64> {
    let leader = service
        .leader()
        .filter(|_| service.mode() == Mode::Observer);
    leader.map(u64::cast_signed)
}

/// The bytes of the last, the shortest and the longest command that a leader of an ensemble has
/// proposed; -1 if there was none.
pub(crate) fn proposal_sizes<R: Runtime>(service: &Service<R>) -> Option<[i64; 3]> {
    if service.mode() != Mode::Leader {
        return None;
    }
    let sizes = service.replica().ok()?.stats().proposals();
    let size = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    Some(sizes.map_or([-1; 3], |(last, min, max)| [last, min, max].map(size)))
}

/// The sizes as the commands show them (`proposal_stats`).
pub(crate) fn proposal_stats<R: Runtime>(service: &Service<R>) -> Option<Value> {
    proposal_sizes(service).map(|[last, min, max]| {
        json!({"last_buffer_size": last, "min_buffer_size": min, "max_buffer_size": max})
    })
}

/// What a leader shows of the members that follow it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Following {
    /// Those that it has contact with.
    pub(crate) learners: usize,
    /// Those in step that vote.
    pub(crate) synced_followers: usize,
    /// Those in step that are to vote and do not yet.
    pub(crate) synced_non_voting: usize,
    /// Those in step that observe.
    pub(crate) synced_observers: usize,
    /// Read indexes that clients of the leader, or other nodes, wait for.
    pub(crate) pending_syncs: usize,
}

/// What a leader of an ensemble shows of the members that follow it; `None` elsewhere.
pub(crate) fn following<R: Runtime>(service: &Service<R>) -> Option<Following> {
    if service.mode() != Mode::Leader {
        return None;
    }
    let status = service.replica().ok()?.status();
    let voters = status.members.voters;
    let members = service.members();
    let mut following = Following {
        pending_syncs: status.read_indexes,
        ..Following::default()
    };
    for lag in service.member_lags() {
        following.learners += usize::from(lag.contact_ms.is_some());
        let role = members.get(&lag.node).map(|member| member.role);
        let count = match role {
            _ if !lag.synced => continue,
            _ if voters.contains(&lag.node) => &mut following.synced_followers,
            Some(Role::Voter) => &mut following.synced_non_voting,
            Some(Role::Learner) | None => &mut following.synced_observers,
        };
        *count += 1;
    }
    Some(following)
}

/// `leader`; `None` if the node is in no ensemble.
pub(crate) fn leader<R: Runtime>(service: &Service<R>) -> Option<Fields> {
    let mode = service.mode();
    if !is_in_ensemble(mode) {
        return None;
    }
    let leader = service.leader();
    let members = service.members();
    let member = leader.and_then(|leader| members.get(&leader));
    let host = member.map_or("", |member| host_and_port(&member.address).0);
    Some(vec![
        ("is_leader".to_owned(), (mode == Mode::Leader).into()),
        (
            "leader_id".to_owned(),
            leader.map_or(-1, u64::cast_signed).into(),
        ),
        ("leader_ip".to_owned(), host.into()),
    ])
}

/// `voting_view`: the members that vote by the configuration; none outside an ensemble.
pub(crate) fn voting_view<R: Runtime>(service: &Service<R>) -> Value {
    if !is_in_ensemble(service.mode()) {
        return Map::new().into();
    }
    let members = service.members().into_iter();
    let voters = members.filter(|(_, member)| member.role == Role::Voter);
    let shown = voters.map(|(id, member)| {
        let view = json!({
            "server_addresses": [member.address],
            "election_addresses": [election_address(&member)],
            "client_address": client_address(service, id, &member),
            "learner_type": "participant",
        });
        (id.cast_signed().to_string(), view)
    });
    shown.collect::<Map<_, _>>().into()
}

/// `observers`: those in step with a leader.
pub(crate) fn observers<R: Runtime>(service: &Service<R>) -> Fields {
    let members = service.members();
    let is_observer = |lag: &MemberLag| {
        let role = members.get(&lag.node).map(|member| member.role);
        lag.synced && role == Some(Role::Learner)
    };
    let zxid = service.reader.view().zxid().0;
    let lags = match service.mode() {
        Mode::Leader => service.member_lags(),
        _ => Vec::new(),
    };
    let observers = lags.into_iter().filter(is_observer).map(|lag| {
        let address = members.get(&lag.node).map(|member| &*member.address);
        json!({
            "remote_socket_address": format!("/{}", address.unwrap_or_default()),
            "sid": lag.node.cast_signed(),
            "established": lag.contact_ms.unwrap_or_default(),
            "queued_packets": lag.entries,
            "queued_packets_size": 0,
            "packets_received": 0,
            "packets_sent": 0,
            "requests": 0,
            "last_zxid": zxid.saturating_sub(lag.entries),
        })
    });
    let observers: Vec<Value> = observers.collect();
    vec![
        ("synced_observers".to_owned(), observers.len().into()),
        ("observers".to_owned(), observers.into()),
    ]
}

/// `zabstate`.
pub(crate) fn zabstate<R: Runtime>(service: &Service<R>) -> Fields {
    let field = |name: &str, value: Value| (name.to_owned(), value);
    let mode = service.mode();
    let own = service.settings.group.as_ref().map(|group| group.id);
    let own = own.and_then(|id| Some((id, service.members().remove(&id)?)));
    let Some((id, member)) = own.filter(|_| is_in_ensemble(mode)) else {
        return vec![field("voting", false.into()), field("zabstate", "".into())];
    };
    let zxid = service.reader.view().zxid().0;
    vec![
        field("myid", service.settings.server_id().into()),
        field("is_leader", (mode == Mode::Leader).into()),
        field("quorum_address", addresses(&member.address)),
        field("election_address", addresses(&election_address(&member))),
        field(
            "client_address",
            client_address(service, id, &member).into(),
        ),
        field("voting", (member.role == Role::Voter).into()),
        field("last_zxid", format!("{zxid:#x}").into()),
        field("zab_epoch", (zxid >> 32).into()),
        field("zab_counter", (zxid & 0xffff_ffff).into()),
        field("zabstate", zab_state(service).into()),
    ]
}

/// The last lines of `conf`, which a server of an ensemble has.
pub(crate) fn conf<R: Runtime>(service: &Service<R>) -> String {
    let Some(group) = &service.settings.group else {
        return String::new();
    };
    let own = service.members().remove(&group.id);
    let election = own.as_ref().map_or(0, |member| member.ports.election);
    let observes = own.is_some_and(|member| member.role == Role::Learner);
    let mut text = format!(
        "initLimit={}\nsyncLimit={}\nelectionAlg=3\nelectionPort={election}\nquorumPort={}\n\
         peerType={}\n",
        group.init_limit,
        group.sync_limit,
        group.listen.port(),
        u8::from(observes),
    );
    if is_in_ensemble(service.mode()) {
        let view = service.reader.view();
        let config = view.group().map(|founded| founded.config());
        // Writing to a String cannot fail.
        let _ = write!(text, "membership: \n{}", config.unwrap_or_default());
    }
    text
}

/// The host without brackets, and the port.
fn host_and_port(address: &str) -> (&str, &str) {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "0"));
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    (bare.unwrap_or(host), port)
}

/// At which address a server would be elected: its host, with the port for elections.
fn election_address(member: &Member) -> String {
    let host = member.address.rsplit_once(':').map(|(host, _)| host);
    let host = host.unwrap_or(&member.address);
    format!("{host}:{}", member.ports.election)
}

/// Where a member's clients connect. This node knows its own; of the others what the configuration
/// says.
fn client_address<R: Runtime>(service: &Service<R>, id: u64, member: &Member) -> String {
    let is_own = service
        .settings
        .group
        .as_ref()
        .is_some_and(|own| own.id == id);
    match &member.ports.clients {
        Some(clients) => clients.clone(),
        None if is_own => service.bound.zookeeper.to_string(),
        None => String::new(),
    }
}

/// ZooKeeper's list of the addresses of a server, which is one here.
fn addresses(address: &str) -> Value {
    let (host, port) = host_and_port(address);
    let port: u16 = port.parse().unwrap_or_default();
    json!({
        "empty": false,
        "all_addresses": [address],
        "wildcard_addresses": [format!("0.0.0.0:{port}")],
        "all_ports": [port],
        "all_host_strings": [host],
        "reachable_address": address,
        "all_reachable_addresses": [address],
        "all_reachable_addresses_or_all": [address],
        "reachable_or_one": address,
        "one": address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_host_without_brackets() {
        assert_eq!(host_and_port("zoo-1:2888"), ("zoo-1", "2888"));
        assert_eq!(host_and_port("[::1]:2888"), ("::1", "2888"));
        let member = Member {
            role: Role::Voter,
            address: "[::1]:2888".to_owned(),
            ports: Default::default(),
            incarnation: None,
        };
        assert_eq!(election_address(&member), "[::1]:0");
        assert_eq!(addresses("[::1]:2888")["all_host_strings"], json!(["::1"]));
        assert_eq!(addresses("[::1]:2888")["all_ports"], json!([2888]));
    }
}
