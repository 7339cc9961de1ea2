//! Accepts connections and gives each a task of its own.

use std::sync::Arc;
use std::time::Duration;

use innkeeper_runtime::{Listener, Role, Runtime, Select2, Stream, select2};

use crate::connection;
use crate::core::Core;
use crate::tls::Port;

/// How long accepting pauses after an error (usually: out of file descriptors).
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts until the node stops. The listener is closed when this returns.
pub(crate) async fn accept<R: Runtime>(core: Arc<Core<R>>, listener: R::Listener, port: Port) {
    loop {
        let stream = match select2(core.stopping.wait(), listener.accept()).await {
            Select2::First(()) => return,
            Select2::Second(Ok(stream)) => stream,
            Select2::Second(Err(error)) => {
                tracing::warn!("a client could not be accepted: {error}");
                core.runtime.sleep(PAUSE).await;
                continue;
            }
        };
        let peer = stream.peer_addr();
        let present = match core.clients.enter(peer, core.runtime.wall_ms()) {
            Ok(present) => present,
            Err(why) => {
                tracing::warn!(?peer, "a connection was turned away: {why}");
                continue;
            }
        };
        core.runtime
            .spawn(
                Role::Client,
                connection::serve(core.clone(), stream, port, present),
            )
            .detach();
    }
}
