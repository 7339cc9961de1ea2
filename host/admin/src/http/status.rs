//! `GET /v1/status`: the state of the node in numbers.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use innkeeper_raft::RaftRole;
use innkeeper_runtime::Runtime;
use innkeeper_runtime::calendar::rfc_3339;
use innkeeper_server::inspect::{FailOver, GroupReport, Late, MemberReport};
use innkeeper_server::settings::VERSION;
use innkeeper_tree::group::Role;
use serde::Serialize;

use super::Admin;
use super::json::Json;
use super::problem::Problem;

/// What the node says about itself.
#[derive(Serialize)]
pub(super) struct Status {
    version: &'static str,
    node_id: i64,
    role: &'static str,
    leader: Option<i64>,
    term: u64,
    /// Why the node has failed, if it has.
    failure: Option<String>,
    addresses: Addresses,
    /// The node's group; a node alone has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Group>,
    uptime_ms: u64,
    /// When the node started, as RFC 3339 has it.
    started: String,
    /// The last zxid that is published.
    zxid: u64,
    /// The state's time at that zxid, in milliseconds since 1970.
    time_ms: u64,
    /// The same as RFC 3339 has it, once anything was applied.
    time: Option<String>,
    znodes: usize,
    sessions: usize,
    connections: usize,
    watches: usize,
    modules: usize,
    /// Compiling processes that were started.
    modules_compiled: u64,
    /// Modules loaded from what was compiled before.
    modules_loaded: u64,
    bindings: usize,
    log: Log,
}

#[derive(Serialize)]
struct Addresses {
    zookeeper: SocketAddr,
    http: Option<SocketAddr>,
}

/// The group.
#[derive(Serialize)]
struct Group {
    /// The voters and observers of the newest membership in this node's log.
    voters: Vec<i64>,
    observers: Vec<i64>,
    /// How long ago a leader with a quorum acknowledged this node's report; `None` if none has.
    contact_ms: Option<u64>,
    /// All members of the configuration.
    members: Vec<Member>,
    /// The nodes that vote and are to vote no more, when all members that are to vote are taken in.
    leaving: Vec<i64>,
    /// The last change of the leader since this node started, if it has seen one.
    fail_over: Option<Change>,
}

/// One member.
#[derive(Serialize)]
struct Member {
    id: i64,
    /// `voter` or `observer`.
    role: &'static str,
    /// Whether it has been taken in, in this role.
    is_in: bool,
    address: String,
    leads: bool,
    /// How many entries of the leader's log it lacks, and how long ago the leader heard from it; `None`
    /// for the leader itself, and if the leader does not answer.
    entries_behind: Option<u64>,
    heard_ms: Option<u64>,
    /// Whether it has contact and has caught up, and is not late.
    synced: Option<bool>,
    /// The limit beyond which it is late, `initLimit` or `syncLimit`.
    late: Option<&'static str>,
}

/// A change of the leader.
#[derive(Serialize)]
struct Change {
    /// When this node had contact with the new one and its quorum, as RFC 3339 has it.
    at: String,
    from: i64,
    to: i64,
    term: u64,
    /// For how long this node saw no leader with a quorum.
    without_leader_ms: u64,
}

impl Member {
    fn of(member: MemberReport) -> Self {
        let MemberReport {
            id,
            role,
            is_in,
            address,
            leads,
            lag,
        } = member;
        Self {
            id: id.cast_signed(),
            role: match role {
                Role::Voter => "voter",
                Role::Learner => "observer",
            },
            is_in,
            address,
            leads,
            entries_behind: lag.map(|lag| lag.entries),
            heard_ms: lag.and_then(|lag| lag.heard_ms),
            synced: lag.map(|lag| lag.synced),
            late: lag.and_then(|lag| lag.late).map(|late| match late {
                Late::Start => "initLimit",
                Late::Behind => "syncLimit",
            }),
        }
    }
}

impl Change {
    fn of(seen: FailOver) -> Self {
        Self {
            at: rfc_3339(seen.at_ms),
            from: seen.from.cast_signed(),
            to: seen.to.cast_signed(),
            term: seen.term,
            without_leader_ms: seen.without_ms,
        }
    }
}

/// The replicated log, by index.
#[derive(Serialize)]
struct Log {
    last: Option<u64>,
    committed: Option<u64>,
    applied: Option<u64>,
    checkpoint: Option<u64>,
    /// Entries that were applied from the log when the node opened.
    replayed: u64,
    /// Syncs of files and folders since the process started.
    syncs: u64,
}

pub(super) async fn status<R: Runtime>(
    State(admin): State<Arc<Admin<R>>>,
) -> Result<Json<Status>, Problem> {
    let service = &admin.surface.service;
    let report = service.group_report().await;
    let replica = service.replica()?.status();
    let view = service.reader.view();
    let node_id = service.settings.server_number.unwrap_or(1);
    let uptime_ms = (service.runtime.now() - service.started).as_millis();
    let uptime_ms = u64::try_from(uptime_ms).unwrap_or(u64::MAX);
    let numbers = |nodes: &BTreeSet<u64>| nodes.iter().map(|node| node.cast_signed()).collect();
    let ms = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    let group = report.map(|report| {
        let GroupReport {
            contact,
            fail_over,
            members,
            leaving,
        } = report;
        Group {
            voters: numbers(&replica.members.voters),
            observers: numbers(&replica.members.learners),
            contact_ms: contact.map(ms),
            members: members.into_iter().map(Member::of).collect(),
            leaving: numbers(&leaving),
            fail_over: fail_over.map(Change::of),
        }
    });
    Ok(Json(Status {
        group,
        version: VERSION,
        node_id,
        role: match replica.role {
            RaftRole::Leader => "leader",
            RaftRole::Follower => "follower",
            RaftRole::Candidate => "candidate",
            RaftRole::Learner => "learner",
            RaftRole::Stopped => "stopped",
        },
        // The folder may know this node by an earlier number.
        leader: replica
            .leader
            .map(|leader| match leader == replica.node_id {
                true => node_id,
                false => leader.cast_signed(),
            }),
        term: replica.term,
        failure: replica.failure,
        addresses: Addresses {
            zookeeper: service.bound.zookeeper,
            http: admin.surface.addresses.http,
        },
        uptime_ms,
        started: rfc_3339(service.runtime.wall_ms().saturating_sub(uptime_ms)),
        zxid: view.zxid().0,
        time_ms: view.time_ms(),
        time: (view.time_ms() > 0).then(|| rfc_3339(view.time_ms())),
        znodes: view.znode_count(),
        sessions: service.session_count(),
        connections: service.connection_count(),
        watches: service.fanout.watch_counts().watches(),
        modules: view.modules().len(),
        modules_compiled: service.stats.modules_compiled.get(),
        modules_loaded: service.stats.modules_loaded.get(),
        bindings: view.bindings().len(),
        log: Log {
            last: replica.last_log,
            committed: replica.committed,
            applied: replica.applied,
            checkpoint: replica.checkpoint,
            replayed: replica.replayed,
            syncs: replica.syncs,
        },
    }))
}
