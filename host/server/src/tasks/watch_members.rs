//! Looks at the group again and again.
//!
//! 1. While this node leads: how far the other members are. Those that are late are named
//!    ([`crate::reports`]).
//! 2. On each node: how many members vote, since these share the limit on outstanding requests.

use std::sync::Arc;
use std::time::Duration;

use innkeeper_raft::Standing;
use innkeeper_runtime::{Runtime, Select2, select2};
use innkeeper_tree::group::Role;

use crate::reports::{Late, Limits};
use crate::service::Service;
use crate::settings::{LOOK_LEAST_MS, LOOK_MOST_MS, QUORUM_LOST_ELECTIONS, ServerSettings};

/// Runs until the node stops. A node alone has nobody to look at.
pub(crate) async fn run<R: Runtime>(service: Arc<Service<R>>) {
    let Some(group) = &service.settings.group else {
        return;
    };
    let pause = pause(&service.settings);
    let ticks = |ticks: u32| {
        let length = Duration::from_millis(u64::from(service.settings.tick_time_ms)) * ticks;
        (length.as_millis() / pause.as_millis()).max(1) as u64
    };
    let limits = Limits {
        start: ticks(group.init_limit),
        behind: ticks(group.sync_limit),
        contact: service.settings.election() * QUORUM_LOST_ELECTIONS,
    };
    loop {
        let time_comes = service.runtime.sleep(pause);
        if let Select2::First(()) = select2(service.stopping.wait(), time_comes).await {
            return;
        }
        share_limit(&service, group.id);
        look(&service, &limits);
    }
}

/// The time between two looks: an eighth of a tick, so that a limit of one tick can be told.
fn pause(settings: &ServerSettings) -> Duration {
    let ms = u64::from(settings.tick_time_ms) / 8;
    Duration::from_millis(ms.clamp(LOOK_LEAST_MS, LOOK_MOST_MS))
}

/// Adapts the limit on outstanding requests to the voters of the configuration in the state.
fn share_limit<R: Runtime>(service: &Service<R>, own: u64) {
    let view = service.reader.view();
    let Some(group) = view.group() else {
        return;
    };
    let voters = group.members.iter();
    let voters = voters.filter(|(_, member)| member.role == Role::Voter);
    let votes = group
        .members
        .get(&own)
        .is_some_and(|own| own.role == Role::Voter);
    let voters = if votes { voters.count() } else { 0 };
    let limit = service.settings.outstanding_limit(voters);
    service.outstanding.set_limit(limit);
}

fn look<R: Runtime>(service: &Service<R>, limits: &Limits) {
    let Ok(replica) = service.replica() else {
        return;
    };
    let members = &service.fanout.reporters.members;
    let Standing::Leads { term, .. } = replica.standing() else {
        members.clear();
        return;
    };
    // A leader whom no quorum acknowledges cannot say who is late: it may be itself.
    if replica.leads_under_lease().is_none() {
        return;
    }
    let progress = replica.progress();
    for news in members.look(term, &progress, limits, service.runtime.wall_ms()) {
        let node = news.node.cast_signed();
        match news.late {
            Some(Late::Start) => tracing::warn!(
                event = "member-late",
                node,
                "node {node} has not caught up within initLimit: see whether it runs and is reached"
            ),
            Some(Late::Behind) => tracing::warn!(
                event = "member-late",
                node,
                "node {node} lags for longer than syncLimit: see whether it runs and is reached"
            ),
            None => tracing::info!(
                event = "member-in-step",
                node,
                "node {node} is in step with this leader again"
            ),
        }
    }
}
