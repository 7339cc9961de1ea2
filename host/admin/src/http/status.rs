//! `GET /v1/status`: the state of the node in numbers.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use innkeeper_raft::RaftRole;
use innkeeper_runtime::Runtime;
use innkeeper_runtime::calendar::rfc_3339;
use innkeeper_server::settings::VERSION;
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

/// The group by the newest membership in this node's log.
#[derive(Serialize)]
struct Group {
    voters: Vec<i64>,
    observers: Vec<i64>,
    /// How long ago a leader with a quorum acknowledged this node's report; `None` if none has.
    contact_ms: Option<u64>,
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
    let replica = service.replica()?.status();
    let view = service.reader.view();
    let node_id = service.settings.server_number.unwrap_or(1);
    let uptime_ms = (service.runtime.now() - service.started).as_millis();
    let uptime_ms = u64::try_from(uptime_ms).unwrap_or(u64::MAX);
    let group = service.settings.group.as_ref().map(|_| {
        let contact = service.quorum.contact_age(service.runtime.now());
        let numbers = |nodes: &BTreeSet<u64>| nodes.iter().map(|node| node.cast_signed()).collect();
        Group {
            voters: numbers(&replica.members.voters),
            observers: numbers(&replica.members.learners),
            contact_ms: contact.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
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
