//! The background tasks of a service, one module for each.

mod catch_up;
mod disk_room;
mod expire;
mod report;
mod sweeper;
mod watch_members;

use std::sync::Arc;

use innkeeper_runtime::{Runtime, Task, ThreadRole};

use crate::service::Service;

/// Starts all tasks of a service. They end when the service stops.
pub fn start<R: Runtime>(service: &Arc<Service<R>>) -> Vec<Task<()>> {
    let runtime = &service.runtime;
    let (fresh, daily) = (service.clone(), service.clone());
    vec![
        runtime.spawn(ThreadRole::Client, async move {
            if let Some(tls) = &fresh.tls {
                tls.keep_fresh(&fresh.runtime, fresh.stopping.clone()).await;
            }
        }),
        runtime.spawn(ThreadRole::Client, async move {
            if let Some(tls) = &daily.tls {
                tls.warn_daily(&daily.runtime, daily.stopping.clone()).await;
            }
        }),
        runtime.spawn(ThreadRole::Client, expire::run(service.clone())),
        // Clients that ask for much must not make this node look like one without a quorum.
        runtime.spawn(ThreadRole::Raft, report::run(service.clone())),
        runtime.spawn(ThreadRole::Client, catch_up::run(service.clone())),
        runtime.spawn(ThreadRole::Client, watch_members::run(service.clone())),
        runtime.spawn(ThreadRole::Client, sweeper::run(service.clone())),
        runtime.spawn(ThreadRole::Client, disk_room::watch(service.clone())),
    ]
}
