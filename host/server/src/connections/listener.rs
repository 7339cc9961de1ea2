//! Accepts connections and gives each a task of its own.

use std::sync::Arc;
use std::time::Duration;

use innkeeper_auth::Port;
use innkeeper_runtime::{Listener, Runtime, Select2, Stream, ThreadRole, select2};

use crate::connections::connection;
use crate::four_letter_words::FourLetterWords;
use crate::service::Service;

/// How long accepting pauses after an error (usually: out of file descriptors).
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts until the node stops. The listener is closed when this returns.
pub(crate) async fn accept<R: Runtime>(
    service: Arc<Service<R>>,
    listener: R::Listener,
    port: Port,
    words: Arc<dyn FourLetterWords>,
) {
    loop {
        let stream = match select2(service.stopping.wait(), listener.accept()).await {
            Select2::First(()) => return,
            Select2::Second(Ok(stream)) => stream,
            Select2::Second(Err(error)) => {
                tracing::warn!("a client could not be accepted: {error}");
                service.runtime.sleep(PAUSE).await;
                continue;
            }
        };
        let peer = stream.peer_addr();
        let present = match service.clients.enter(peer, service.runtime.wall_ms()) {
            Ok(present) => present,
            Err(why) => {
                tracing::warn!(?peer, "a connection was turned away: {why}");
                continue;
            }
        };
        service
            .runtime
            .spawn(
                ThreadRole::Client,
                connection::serve(service.clone(), stream, port, words.clone(), present),
            )
            .detach();
    }
}
