//! Reads the replica's status again and again: does its group have a leader?

use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::{Runtime, Select2, select2};

use crate::quorum::Held;
use crate::service::Service;
use crate::settings::{QUORUM_CHECK_MS, QUORUM_LOST_CHECKS};

/// Watches the replica's status until the node stops.
pub(crate) async fn watch<R: Runtime>(service: Arc<Service<R>>) {
    let mut without = 0;
    let mut interval = service
        .runtime
        .interval(Duration::from_millis(QUORUM_CHECK_MS));
    loop {
        if let Select2::First(()) = select2(service.stopping.wait(), interval.tick()).await {
            return;
        }
        let Ok(replica) = service.replica() else {
            return;
        };
        without = match replica.status().leader {
            Some(_) => 0,
            None => (without + 1).min(QUORUM_LOST_CHECKS),
        };
        drop(replica);
        let seen = match without {
            QUORUM_LOST_CHECKS => Held::Lost,
            _ => Held::Held,
        };
        if service.quorum.see(seen) {
            service.quorum_changed();
        }
    }
}
