//! Connections of the admin HTTP and of the admin socket: one request each.
//!
//! 1. [`accept`] takes a connection when a place for it is free; until then it waits in the
//!    kernel's queue.
//! 2. hyper reads the request's head, the router answers, hyper writes the answer. A clock of
//!    three stages stands beside it ([`Pace`]): who is slower is cut off.
//! 3. The answer is followed by the end of our half of the stream, and what the client still
//!    sends is read and dropped for a moment: closing on unread input would reset the
//!    connection and take the answer (say, "the module is too large") away with it.
//!
//! One request per connection costs a `curl` nothing and leaves nobody to sit idle in a place.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use innkeeper_runtime::{
    Listener, Role, Runtime, Select2, Select3, Signal, Stream, select2, select3,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;

use super::methods;

/// The longest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The most header fields of a request.
const MAX_HEADERS: usize = 64;

/// How long a client may take to send a request's head.
const HEAD_LIMIT: Duration = Duration::from_secs(5);

/// How long a request may take, from its head to the last byte of its answer.
const REQUEST_LIMIT: Duration = Duration::from_secs(15);

/// How long it may take besides if its client is trusted: a module is uploaded and compiled, a
/// binding is waited for.
const TRUSTED_LIMIT: Duration = Duration::from_secs(180);

/// How long input is dropped after the answer, so that it arrives.
const LINGER: Duration = Duration::from_secs(2);

/// How long accepting pauses after an error (usually: out of file descriptors).
const PAUSE: Duration = Duration::from_millis(50);

/// How long requests may go on when the node stops.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// Where a request comes from; `None` over the admin socket. It is among the request's
/// extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) Option<SocketAddr>);

/// How far a connection's request has come; it is among the request's extensions.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    begun: Signal,
    trusted: Signal,
}

impl Pace {
    /// The client has proved that it may change things: it gets more time.
    pub(super) fn trust(&self) {
        self.trusted.raise();
    }

    /// Returns when the request has taken too long: longer than `limit`, if one was configured.
    async fn overdue<R: Runtime>(&self, runtime: &R, limit: Option<Duration>) {
        if runtime
            .timeout(limit.unwrap_or(HEAD_LIMIT), self.begun.wait())
            .await
            .is_err()
            || runtime
                .timeout(limit.unwrap_or(REQUEST_LIMIT), self.trusted.wait())
                .await
                .is_err()
        {
            return;
        }
        runtime.sleep(TRUSTED_LIMIT).await;
    }
}

/// Accepts connections, at most `places` at a time, until the node stops; returns when they
/// have ended.
pub(super) async fn accept<R: Runtime>(
    runtime: R,
    listener: R::Listener,
    router: Router,
    places: u32,
    limit: Option<Duration>,
    stopping: Signal,
) {
    let free = Arc::new(Semaphore::new(places as usize));
    loop {
        let stream = async {
            let place = free.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        match select2(stopping.wait(), stream).await {
            Select2::First(()) => break,
            Select2::Second((Ok(place), Ok(stream))) => {
                let connection = connection(
                    runtime.clone(),
                    stream,
                    router.clone(),
                    limit,
                    stopping.clone(),
                    place,
                );
                runtime.spawn(Role::Admin, connection).detach();
            }
            Select2::Second((_, Err(error))) => {
                tracing::warn!("an admin connection could not be accepted: {error}");
                runtime.sleep(PAUSE).await;
            }
            // Nobody closes the semaphore.
            Select2::Second((Err(_), _)) => break,
        }
    }
    drop(listener);
    // All places are free again when no connection is left.
    let _ = free.acquire_many(places).await;
}

async fn connection<R: Runtime>(
    runtime: R,
    stream: R::Stream,
    router: Router,
    limit: Option<Duration>,
    stopping: Signal,
    _place: OwnedSemaphorePermit,
) {
    let pace = Pace::default();
    let peer = Peer(stream.peer_addr());
    let service = {
        let pace = pace.clone();
        service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            pace.begun.raise();
            request.extensions_mut().insert(pace.clone());
            request.extensions_mut().insert(peer);
            let method = request.method().clone();
            let answered = router.clone().oneshot(request);
            async move {
                let Ok(response) = answered.await;
                Ok::<_, Infallible>(methods::complete(&method, response))
            }
        })
    };
    let answered = http1::Builder::new()
        .keep_alive(false)
        .half_close(true)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD_BYTES)
        // The clock beside this one is the runtime's.
        .header_read_timeout(None)
        // The date would come from a clock that is not the runtime's.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .without_shutdown();
    let stopped = async {
        stopping.wait().await;
        runtime.sleep(STOP_GRACE).await;
    };
    match select3(answered, pace.overdue(&runtime, limit), stopped).await {
        Select3::First(Ok(parts)) => linger(&runtime, parts.io.into_inner()).await,
        Select3::First(Err(error)) => tracing::debug!("an admin request is not HTTP: {error}"),
        Select3::Second(()) => tracing::debug!("an admin request took too long"),
        Select3::Third(()) => {}
    }
}

async fn linger<R: Runtime>(runtime: &R, mut stream: R::Stream) {
    let drain = async move {
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut dropped = vec![0; 16 * 1024];
        while let Ok(1..) = stream.read(&mut dropped).await {}
    };
    // Either way the connection ends now.
    let _ = runtime.timeout(LINGER, drain).await;
}
