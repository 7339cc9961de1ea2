//! Counts ticks and ends sessions that stay silent.

use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::{Runtime, Select2, select2};
use innkeeper_tree::Operation;

use crate::delivery::fanout::told_expired;
use crate::delivery::outbox::Close;
use crate::expiry::Step;
use crate::service::Service;

/// Counts ticks and ends sessions that stay silent.
pub(crate) async fn run<R: Runtime>(service: Arc<Service<R>>) {
    let period = Duration::from_millis(u64::from(service.expiry.tick_ms()));
    let mut interval = service.runtime.interval(period);
    loop {
        if let Select2::First(()) = select2(service.stopping.wait(), interval.tick()).await {
            return;
        }
        service.answers.cut_off_stalled(service.runtime.now());
        let mut proposals = Vec::new();
        for step in service.expiry.tick() {
            match step {
                Step::Probe(session) => match service.fanout.outbox_of(session) {
                    Some(outbox) => outbox.probe(),
                    None => {
                        if let Some(heartbeat) = service.expiry.heartbeat(session) {
                            heartbeat.nothing_buffered();
                        }
                    }
                },
                Step::Expire(session, attachment) => {
                    if service.local_sessions.end(session, &service.expiry) {
                        told_expired(session);
                        if let Some(outbox) = service.fanout.outbox_of(session) {
                            outbox.close(Close::Ended);
                        }
                        continue;
                    }
                    proposals.push(Operation::ExpireSession {
                        session,
                        attachment,
                    });
                }
            }
        }
        if !proposals.is_empty() {
            service.proposals.submit(proposals).await;
        }
    }
}
