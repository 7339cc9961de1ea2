//! Lets clients in when a node that has begun, or that has taken over the state of another one, has
//! caught up with what was committed by then.

use std::sync::Arc;
use std::time::Duration;

use innkeeper_raft::Unavailable;
use innkeeper_runtime::{Runtime, Select2, select2};

use crate::service::Service;
use crate::settings::CATCH_UP_AGAIN_MS;

/// Runs until the node stops.
pub(crate) async fn run<R: Runtime>(service: Arc<Service<R>>) {
    let catch_up = async {
        loop {
            let begun = service.quorum.is_behind().await;
            match service.read_index().await {
                Ok(()) => {
                    service.quorum.has_caught_up(begun);
                    tracing::info!(event = "caught-up", "the node has caught up with its group");
                }
                Err(Unavailable::NotLeader(_)) => {
                    let pause = Duration::from_millis(CATCH_UP_AGAIN_MS);
                    service.runtime.sleep(pause).await;
                }
                Err(Unavailable::Stopped(_)) => return,
            }
        }
    };
    if let Select2::Second(()) = select2(service.stopping.wait(), catch_up).await {
        tracing::debug!("the replica has stopped");
    }
}
